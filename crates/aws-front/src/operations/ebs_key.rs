//! The key that encrypts an account's volumes when nobody names another: the emulator knows neither it nor who changes it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::{HeaderValue, Response};

use super::request::{OperationRequest, Outcome};
use crate::server::{Body, full};
use crate::xml::{ec2_error, escape};
use futuswarm_local_api::faults::Caller;

/// The AWS managed key, which every account has from the beginning. GetEbsDefaultKmsKeyId names it by its alias.
const MANAGED: &str = "alias/aws/ebs";

/// Region → key, where it is another than AWS's own.
#[derive(Default)]
pub struct EbsKeys(Mutex<BTreeMap<String, String>>);

impl EbsKeys {
    /// Answers Get-, Modify- and ResetEbsDefaultKmsKeyId.
    pub fn answer(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        // Nodes ask for neither, and may not.
        if asked.caller != Caller::Owner {
            return Ok(None);
        }
        let key = asked.call.form.get("KmsKeyId");
        Ok(self.outcome(&asked.call.action, &asked.scope.region, key).map(|outcome| {
            let (status, xml) = match outcome {
                Ok(xml) => (http::StatusCode::OK, xml),
                Err(xml) => (http::StatusCode::BAD_REQUEST, xml),
            };
            let mut response = Response::new(full(xml));
            *response.status_mut() = status;
            response.headers_mut().insert("content-type", HeaderValue::from_static("text/xml"));
            response
        }))
    }

    fn outcome(&self, action: &str, region: &str, key: Option<&str>) -> Option<Result<String, String>> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match action {
            "GetEbsDefaultKmsKeyId" => {}
            "ModifyEbsDefaultKmsKeyId" => match key {
                Some(key) => {
                    keys.insert(region.to_owned(), key.to_owned());
                }
                None => {
                    let message = "The request must contain the parameter KmsKeyId";
                    return Some(Err(ec2_error("MissingParameter", message)));
                }
            },
            "ResetEbsDefaultKmsKeyId" => {
                keys.remove(region);
            }
            _ => return None,
        }
        let key = keys.get(region).map_or(MANAGED, String::as_str);
        Some(Ok(format!(
            "<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>local-cloud</requestId>\
             <kmsKeyId>{}</kmsKeyId></{action}Response>\n",
            escape(key)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::content;

    #[test]
    fn each_region_has_a_key_of_its_own_until_it_is_reset() {
        let keys = EbsKeys::default();
        let ask = |action: &str, region: &str, key: Option<&str>| {
            let xml = keys.outcome(action, region, key).unwrap().unwrap();
            content(&xml, "kmsKeyId").unwrap().to_owned()
        };
        assert_eq!(ask("GetEbsDefaultKmsKeyId", "eu-west-1", None), MANAGED);
        let arn = "arn:aws:kms:eu-west-1:123456789012:key/1";
        assert_eq!(ask("ModifyEbsDefaultKmsKeyId", "eu-west-1", Some(arn)), arn);
        assert_eq!(ask("GetEbsDefaultKmsKeyId", "eu-west-1", None), arn);
        assert_eq!(ask("GetEbsDefaultKmsKeyId", "eu-north-1", None), MANAGED);
        assert_eq!(ask("ResetEbsDefaultKmsKeyId", "eu-west-1", None), MANAGED);
        assert!(keys.outcome("ModifyEbsDefaultKmsKeyId", "eu-west-1", None).unwrap().is_err());
        assert!(keys.outcome("DescribeVolumes", "eu-west-1", None).is_none());
    }
}
