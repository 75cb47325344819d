//! Calls of a JSON service against a server on loopback that gives each connection an answer.

use std::sync::mpsc::Receiver;

use aws_config::retry::RetryConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use futuswarm_testkit::answers::{Answer, on_loopback};
use serde_json::json;

use super::*;

/// A service that gives each connection the next answer, and what it was asked.
fn service(answers: Vec<Answer>) -> (Json, Receiver<String>) {
    let (endpoint, requests) = on_loopback(answers);
    let retries =
        RetryConfig::standard().with_max_attempts(3).with_initial_backoff(std::time::Duration::from_millis(1));
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .retry_config(retries)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("KEY", "secret", None, None, "test")));
    (Json::new(&SSM, &sdk.build()), requests)
}

#[tokio::test]
async fn a_call_is_signed_and_carries_its_members() {
    let (ssm, requests) = service(vec![Answer::json(200, r#"{"Parameter":{"Value":"ami-1"}}"#)]);
    let answer = ssm.call("GetParameter", json!({ "Name": "/a" })).await.unwrap();
    assert_eq!(answer["Parameter"]["Value"], "ami-1");
    let request = requests.recv().unwrap();
    assert!(request.starts_with("POST / HTTP/1.1\r\n") && request.ends_with("\r\n\r\n{\"Name\":\"/a\"}"), "{request}");
    for part in [
        "x-amz-target: AmazonSSM.GetParameter\r\n",
        "content-type: application/x-amz-json-1.1\r\n",
        "/eu-west-1/ssm/aws4_request, SignedHeaders=",
        "Credential=KEY/",
        "amz-sdk-invocation-id: ",
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }
    assert!(!request.contains("secret"), "{request}");
}

#[tokio::test]
async fn what_is_refused_has_its_code_wherever_it_stands() {
    for (header, body) in [
        ("", r#"{"__type":"com.amazonaws.ssm#ParameterNotFound","message":"none"}"#),
        ("", r#"{"__type":"ParameterNotFound","Message":"none"}"#),
        ("x-amzn-ErrorType: ParameterNotFound:http://internal\r\n", r#"{"message":"none"}"#),
    ] {
        let headers = "x-amzn-RequestId: 42\r\n".to_owned() + header;
        let (ssm, requests) = service(vec![Answer { headers, ..Answer::json(400, body) }]);
        let error = ssm.call("GetParameter", json!({})).await.unwrap_err();
        assert!(error.is(&["ParameterNotFound"]) && error.is_not_found(), "{error}");
        assert_eq!(error.to_string(), "GetParameter answered ParameterNotFound: none (request 42)");
        assert_eq!(requests.iter().count(), 1, "asked once");
    }
    let (ssm, _told) = service(vec![Answer::json(403, "not JSON")]);
    let error = ssm.call("GetParameter", json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "GetParameter answered HTTP 403: no further explanation");
}

#[tokio::test]
async fn what_may_pass_is_asked_again_and_not_for_ever() {
    let fine = || Answer::json(200, "{}");
    for trouble in [
        Answer::json(500, r#"{"__type":"InternalServerError"}"#),
        Answer::json(400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#),
        Answer::json(503, ""),
        Answer::default(),
    ] {
        let (ssm, requests) = service(vec![trouble.clone(), trouble.clone(), fine()]);
        assert_eq!(ssm.call("GetParameter", json!({})).await.unwrap(), json!({}), "{trouble:?}");
        assert_eq!(requests.iter().count(), 3, "{trouble:?}");
        let (ssm, requests) = service(vec![trouble.clone(); 3]);
        let error = ssm.call("GetParameter", json!({})).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert_eq!(requests.iter().count(), 3, "{trouble:?}");
    }
    let (ssm, _told) = service(vec![Answer::json(200, "no JSON")]);
    assert!(ssm.call("GetParameter", json!({})).await.is_err());
}
