//! Calls of a JSON service against a server on loopback that gives each connection an answer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use aws_config::retry::RetryConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::json;

use super::*;

/// One answer of a service: its first lines after the status, and its body; without a status the connection ends.
type Answer = (Option<u16>, &'static str, &'static str);

/// Gives each connection the next answer, and tells what it was asked.
fn service(answers: Vec<Answer>) -> (Json, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for (status, header, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut asked, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                asked.push_str(&line);
                if line == "\r\n" {
                    break;
                }
            }
            let mut content = vec![0; length];
            reader.read_exact(&mut content).unwrap();
            asked.push_str(std::str::from_utf8(&content).unwrap());
            tell.send(asked).unwrap();
            if let Some(status) = status {
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} x\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n");
                stream.write_all((head + body).as_bytes()).unwrap();
            }
        }
    });
    let retries =
        RetryConfig::standard().with_max_attempts(3).with_initial_backoff(std::time::Duration::from_millis(1));
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .retry_config(retries)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("KEY", "secret", None, None, "test")));
    (Json::new(&SSM, &sdk.build()), told)
}

#[tokio::test]
async fn a_call_is_signed_and_carries_its_members() {
    let (ssm, told) = service(vec![(Some(200), "", r#"{"Parameter":{"Value":"ami-1"}}"#)]);
    let answer = ssm.call("GetParameter", json!({ "Name": "/a" })).await.unwrap();
    assert_eq!(answer["Parameter"]["Value"], "ami-1");
    let asked = told.recv().unwrap();
    assert!(asked.starts_with("POST / HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n{\"Name\":\"/a\"}"), "{asked}");
    for part in [
        "x-amz-target: AmazonSSM.GetParameter\r\n",
        "content-type: application/x-amz-json-1.1\r\n",
        "/eu-west-1/ssm/aws4_request, SignedHeaders=",
        "Credential=KEY/",
        "amz-sdk-invocation-id: ",
    ] {
        assert!(asked.contains(part), "{part} in {asked}");
    }
    assert!(!asked.contains("secret"), "{asked}");
}

#[tokio::test]
async fn what_is_refused_has_its_code_wherever_it_stands() {
    for (header, body) in [
        ("", r#"{"__type":"com.amazonaws.ssm#ParameterNotFound","message":"none"}"#),
        ("", r#"{"__type":"ParameterNotFound","Message":"none"}"#),
        ("x-amzn-ErrorType: ParameterNotFound:http://internal\r\n", r#"{"message":"none"}"#),
    ] {
        let request = "x-amzn-RequestId: 42\r\n".to_owned() + header;
        let (ssm, told) = service(vec![(Some(400), request.leak(), body)]);
        let error = ssm.call("GetParameter", json!({})).await.unwrap_err();
        assert!(error.is(&["ParameterNotFound"]) && error.is_not_found(), "{error}");
        assert_eq!(error.to_string(), "GetParameter answered ParameterNotFound: none (request 42)");
        assert_eq!(told.iter().count(), 1, "asked once");
    }
    let (ssm, _told) = service(vec![(Some(403), "", "not JSON")]);
    let error = ssm.call("GetParameter", json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "GetParameter answered HTTP 403: no further explanation");
}

#[tokio::test]
async fn what_may_pass_is_asked_again_and_not_for_ever() {
    let fine: Answer = (Some(200), "", "{}");
    for trouble in [
        (Some(500), "", r#"{"__type":"InternalServerError"}"#),
        (Some(400), "", r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#),
        (Some(503), "", ""),
        (None, "", ""),
    ] {
        let (ssm, told) = service(vec![trouble, trouble, fine]);
        assert_eq!(ssm.call("GetParameter", json!({})).await.unwrap(), json!({}), "{trouble:?}");
        assert_eq!(told.iter().count(), 3, "{trouble:?}");
        let (ssm, told) = service(vec![trouble; 3]);
        let error = ssm.call("GetParameter", json!({})).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert_eq!(told.iter().count(), 3, "{trouble:?}");
    }
    let (ssm, _told) = service(vec![(Some(200), "", "no JSON")]);
    assert!(ssm.call("GetParameter", json!({})).await.is_err());
}
