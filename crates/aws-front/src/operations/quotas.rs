//! Service Quotas of what a cluster needs. The emulator knows those of VPCs alone, and nobody can ask it for more.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::request::{OperationRequest, Outcome};
use crate::server::{Body, full};

/// Service, quota, name and value. The codes and names are AWS's; the values of vCPUs are those of an account that has been used
/// for a while, since a new one's (5 and fewer) would stop most rehearsals.
const QUOTAS: [(&str, &str, &str, f64); 6] = [
    ("ec2", "L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 256.0),
    ("ec2", "L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 256.0),
    // As AWS gives it to everybody at first.
    ("ec2", "L-DB2E81BA", "Running On-Demand G and VT instances", 0.0),
    ("vpc", "L-F678F1CE", "VPCs per Region", 5.0),
    ("elasticloadbalancing", "L-53DA6B97", "Application Load Balancers per Region", 50.0),
    ("elasticloadbalancing", "L-E9E9831D", "Classic Load Balancers per Region", 20.0),
];

/// Region, service and code → what was granted beyond the default.
#[derive(Default)]
pub struct Quotas(Mutex<BTreeMap<(String, String, String), f64>>);

impl Quotas {
    /// Answers GetServiceQuota, GetAWSDefaultServiceQuota and RequestServiceQuotaIncrease.
    pub fn answer(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let request: Value = serde_json::from_slice(asked.body).unwrap_or_default();
        Ok(self.outcome(&asked.call.action, &asked.scope.region, &request).map(|outcome| {
            let (status, body) = match outcome {
                Ok(body) => (StatusCode::OK, body),
                Err(body) => (StatusCode::BAD_REQUEST, body),
            };
            let mut response = Response::new(full(body.to_string()));
            *response.status_mut() = status;
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/x-amz-json-1.1"));
            response
        }))
    }

    /// What is asked for is granted at once; at AWS somebody may look at it first.
    fn outcome(&self, action: &str, region: &str, request: &Value) -> Option<Result<Value, Value>> {
        if !["GetServiceQuota", "GetAWSDefaultServiceQuota", "RequestServiceQuotaIncrease"].contains(&action) {
            return None;
        }
        let text = |key: &str| request[key].as_str().unwrap_or_default();
        let (service, code) = (text("ServiceCode"), text("QuotaCode"));
        let Some((_, _, name, default)) = QUOTAS.iter().find(|one| (one.0, one.1) == (service, code)) else {
            return Some(Err(refusal(
                "NoSuchResourceException",
                "The request failed because the specified quota does not exist.",
            )));
        };
        let key = (region.to_owned(), service.to_owned(), code.to_owned());
        let mut granted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = granted.get(&key).copied().unwrap_or(*default);
        if action == "RequestServiceQuotaIncrease" {
            let desired = request["DesiredValue"].as_f64().unwrap_or_default();
            if desired <= now {
                let message = "You must provide a quota value greater than the current quota value";
                return Some(Err(refusal("IllegalArgumentException", message)));
            }
            granted.insert(key, desired);
            return Some(Ok(json!({ "RequestedQuota": {
                "Id": "local-cloud", "ServiceCode": service, "QuotaCode": code, "DesiredValue": desired, "Status": "APPROVED",
            }})));
        }
        let value = if action == "GetServiceQuota" { now } else { *default };
        Some(Ok(json!({ "Quota": {
            "ServiceCode": service, "QuotaCode": code, "QuotaName": name, "Value": value, "Unit": "None",
            "Adjustable": true, "GlobalQuota": false,
        }})))
    }
}

fn refusal(code: &str, message: &str) -> Value {
    json!({ "__type": code, "Message": message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_granted_counts_in_its_region_and_the_default_stays() {
        let quotas = Quotas::default();
        let vcpus = json!({ "ServiceCode": "ec2", "QuotaCode": "L-1216C47A" });
        let value = |action: &str, region: &str| {
            let answer = quotas.outcome(action, region, &vcpus).unwrap().unwrap();
            answer["Quota"]["Value"].as_f64().unwrap()
        };
        let increase = |to: f64| {
            let mut request = vcpus.clone();
            request["DesiredValue"] = to.into();
            quotas.outcome("RequestServiceQuotaIncrease", "eu-west-1", &request).unwrap()
        };
        assert!(increase(256.0).is_err(), "no more than there is");
        assert!(increase(500.0).is_ok());
        assert_eq!(value("GetServiceQuota", "eu-west-1").to_string(), "500");
        assert_eq!(value("GetAWSDefaultServiceQuota", "eu-west-1").to_string(), "256");
        assert_eq!(value("GetServiceQuota", "eu-north-1").to_string(), "256");
        let unknown = json!({ "ServiceCode": "ec2", "QuotaCode": "L-0" });
        let refused = quotas.outcome("GetServiceQuota", "eu-west-1", &unknown).unwrap().unwrap_err();
        assert_eq!(refused["__type"], "NoSuchResourceException");
        assert!(quotas.outcome("ListServiceQuotas", "eu-west-1", &unknown).is_none());
    }
}
