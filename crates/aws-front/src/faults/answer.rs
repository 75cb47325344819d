//! The answers that faults give instead of a service, each in the protocol of that service.

use futuswarm_local_api::faults::ApiFault;
use http::{Method, Response, StatusCode};
use time::OffsetDateTime;

use super::activities;
use crate::error_body;
use crate::form::Form;
use crate::operations::request::result;
use crate::server::{Body, full};
use crate::service::Service;

/// As in an answer of AWS; an error without one cannot be followed up.
const REQUEST_ID: &str = "local-cloud-fault";

/// The answer to a call that a fault keeps from being made.
pub fn instead(fault: &ApiFault, service: &Service, method: &Method, form: Option<&Form>) -> Response<Body> {
    let (status, code, message) = match fault {
        ApiFault::Activities { activities } => {
            let form = form.cloned().unwrap_or_default();
            let described = activities::described(activities, &form, OffsetDateTime::now_utc());
            return result("DescribeScalingActivities", service, described);
        }
        ApiFault::Refused { code, message, status } => {
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            let message = message.as_deref().unwrap_or("The request is refused.");
            (status.unwrap_or(StatusCode::BAD_REQUEST), code.as_str(), message)
        }
        ApiFault::Absent => (StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist."),
        ApiFault::Throttle => {
            let (status, code) = service.throttling();
            (status, code, "Please reduce your request rate.")
        }
        ApiFault::Internal | ApiFault::Late { .. } | ApiFault::Lost | ApiFault::Cut => {
            (StatusCode::INTERNAL_SERVER_ERROR, service.internal_error(), "We encountered an internal error.")
        }
    };
    let mut answer = error_body::error(service, status, code, message, REQUEST_ID);
    if *method == Method::HEAD {
        *answer.body_mut() = full("");
    }
    answer
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn text(answer: Response<Body>) -> String {
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_refusal_has_its_code_and_message_in_the_words_of_the_service() {
        let fault: ApiFault = serde_json::from_str(
            r#"{"kind":"refused","code":"ValidationError","message":"Provided Load Balancers may not be valid. <x>"}"#,
        )
        .unwrap();
        for service in ["autoscaling", "ec2", "s3", "kms", "ebs"] {
            let answer = instead(&fault, &Service::of(service), &Method::POST, None);
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
            let code = answer.headers().get("x-amzn-errortype").map(|code| code.to_str().unwrap().to_owned());
            let text = text(answer).await;
            assert!(text.contains("Provided Load Balancers may not be valid."), "{service}: {text}");
            assert!(
                text.contains("ValidationError") || code.as_deref() == Some("ValidationError"),
                "{service}: {text}"
            );
            assert!(!text.contains("<x>") || ["kms", "ebs"].contains(&service), "{service}: {text}");
        }
    }

    #[tokio::test]
    async fn an_absent_object_is_one_that_does_not_exist() {
        let get = instead(&ApiFault::Absent, &Service::S3, &Method::GET, None);
        assert_eq!(get.status(), StatusCode::NOT_FOUND);
        assert!(text(get).await.contains("<Code>NoSuchKey</Code>"));
        let head = instead(&ApiFault::Absent, &Service::S3, &Method::HEAD, None);
        assert_eq!((head.status(), text(head).await.as_str()), (StatusCode::NOT_FOUND, ""));
    }

    #[tokio::test]
    async fn activities_are_an_answer_and_no_error() {
        let fault = ApiFault::Activities { activities: Vec::new() };
        let answer = instead(&fault, &Service::AutoScaling, &Method::POST, Some(&Form::default()));
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(text(answer).await.contains("<DescribeScalingActivitiesResult><Activities/>"));
    }
}
