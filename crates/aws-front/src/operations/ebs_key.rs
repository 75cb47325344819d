//! The key that encrypts an account's volumes when nobody names another: the emulator knows neither it nor who changes it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::Response;

use super::request::{OperationRequest, Outcome, Refusal, document};
use crate::error_body::REQUEST_ID;
use crate::server::Body;
use crate::xml::{in_namespace, leaf, node};

/// The AWS managed key, which every account has from the beginning. GetEbsDefaultKmsKeyId names it by its alias.
const MANAGED: &str = "alias/aws/ebs";

/// Region → key, where it is another than AWS's own.
#[derive(Default)]
pub struct EbsKeys(Mutex<BTreeMap<String, String>>);

impl EbsKeys {
    /// Answers Get-, Modify- and ResetEbsDefaultKmsKeyId.
    pub fn answer(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let action = asked.call.action.as_str();
        let key = match self.key(action, &asked.scope.region, asked.call.form.get("KmsKeyId")) {
            Ok(key) => key,
            Err(refusal) => return Ok(Some(asked.refuse(&refusal))),
        };
        let answer = node(&format!("{action}Response"), [leaf("requestId", REQUEST_ID), leaf("kmsKeyId", key)]);
        Ok(Some(document(&in_namespace(answer, "http://ec2.amazonaws.com/doc/2016-11-15/"))))
    }

    /// The key of a region after a call.
    fn key(&self, action: &str, region: &str, key: Option<&str>) -> Result<String, Refusal> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (action, key) {
            ("ModifyEbsDefaultKmsKeyId", Some(key)) => {
                keys.insert(region.to_owned(), key.to_owned());
            }
            ("ModifyEbsDefaultKmsKeyId", None) => {
                return Err(Refusal::new("MissingParameter", "The request must contain the parameter KmsKeyId"));
            }
            ("ResetEbsDefaultKmsKeyId", _) => {
                keys.remove(region);
            }
            _ => {}
        }
        Ok(keys.get(region).map_or(MANAGED, String::as_str).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_region_has_a_key_of_its_own_until_it_is_reset() {
        let keys = EbsKeys::default();
        let ask = |action: &str, region: &str, key: Option<&str>| keys.key(action, region, key).unwrap();
        assert_eq!(ask("GetEbsDefaultKmsKeyId", "eu-west-1", None), MANAGED);
        let arn = "arn:aws:kms:eu-west-1:123456789012:key/1";
        assert_eq!(ask("ModifyEbsDefaultKmsKeyId", "eu-west-1", Some(arn)), arn);
        assert_eq!(ask("GetEbsDefaultKmsKeyId", "eu-west-1", None), arn);
        assert_eq!(ask("GetEbsDefaultKmsKeyId", "eu-north-1", None), MANAGED);
        assert_eq!(ask("ResetEbsDefaultKmsKeyId", "eu-west-1", None), MANAGED);
        assert!(keys.key("ModifyEbsDefaultKmsKeyId", "eu-west-1", None).is_err());
    }
}
