//! What a request must look like before anybody decides on it. The emulator and the front read each request for themselves;
//! whatever the two could read differently is refused to nodes, so that what is decided on is what is done.

use std::collections::BTreeSet;

use http::request::Parts;
use percent_encoding::percent_decode;

use crate::resign::Scope;
use crate::service::{Protocol, Service};

/// Why a request is refused.
pub type Reason = &'static str;

/// Whether a path leads to the emulator's own switches (reset, IAM off), which are no part of the cloud. The emulator decodes a
/// path before it looks, and several slashes at its beginning are one to it.
pub fn is_a_switch(path: &str) -> bool {
    let decoded: Vec<u8> = percent_decode(path.as_bytes()).skip_while(|byte| *byte == b'/').collect();
    decoded.starts_with(b"moto-api")
}

/// Whether a node's request says one thing only. `body` is there for services whose bodies are small.
///
/// # Errors
/// With the reason when it does not.
pub fn check(parts: &Parts, scope: &Scope, body: Option<&[u8]>) -> Result<(), Reason> {
    let plain = |word: &str| {
        let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !word.is_empty() && word.bytes().all(small)
    };
    if !plain(scope.service.name()) || !plain(&scope.region) {
        return Err("the signature's service or region has other than small letters, digits and hyphens");
    }
    one_reading(parts)?;
    signature(parts, &scope.service)?;
    // The emulator finds an operation there, too, when it finds it nowhere else.
    if parts.headers.contains_key("action") {
        return Err("an Action header names no operation");
    }
    if parts.headers.keys().any(|name| name.as_str().starts_with("x-moto-")) {
        return Err("headers of the emulator itself are not for nodes");
    }
    target(parts, &scope.service)?;
    presigning(parts)?;
    match (scope.service.protocol(), body) {
        (Protocol::S3, _) => no_form(parts),
        (Protocol::Json, Some(body)) => json(parts, body),
        (_, Some(body)) => one_action(parts, body),
        (_, None) => Ok(()),
    }
}

/// Headers with a meaning are there once, in plain text: of others we would see nothing, or only the first.
fn one_reading(parts: &Parts) -> Result<(), Reason> {
    for name in parts.headers.keys() {
        let values = parts.headers.get_all(name);
        if values.iter().any(|value| value.to_str().is_err()) {
            return Err("a header is not plain text");
        }
        let means = name.as_str().starts_with("x-amz-") || ["authorization", "content-type"].contains(&name.as_str());
        if means && values.iter().nth(1).is_some() {
            return Err("a header is there twice");
        }
    }
    Ok(())
}

/// One signature, written as SDKs write it: whom and what it names is read by both of us, in different ways.
fn signature(parts: &Parts, service: &Service) -> Result<(), Reason> {
    let Some(header) = parts.headers.get("authorization") else {
        return Some(()).filter(|()| *service == Service::S3).ok_or("only S3 takes a signature in the query");
    };
    let usual = || {
        let rest = header.to_str().ok()?.strip_prefix("AWS4-HMAC-SHA256 Credential=")?;
        let (credential, rest) = rest.split_once(',')?;
        let graphic = credential.bytes().all(|byte| byte.is_ascii_graphic());
        let five = credential.split('/').count() == 5 && credential.ends_with("/aws4_request");
        (graphic && five && !rest.contains("Credential=")).then_some(())
    };
    if usual().is_none() {
        return Err("the Authorization header is not the usual one");
    }
    Ok(())
}

/// The emulator asks nobody about a request whose target is one of Cognito's public operations, whatever it then does.
fn target(parts: &Parts, service: &Service) -> Result<(), Reason> {
    let Some(target) = parts.headers.get("x-amz-target") else { return Ok(()) };
    if target.as_bytes().to_ascii_lowercase().starts_with(b"awscognito") {
        return Err("an X-Amz-Target names the operation of another service");
    }
    let by_target = match service.protocol() {
        Protocol::Json => true,
        Protocol::Query => !service.has_small_bodies(),
        Protocol::RestJson | Protocol::S3 | Protocol::Ec2 => false,
    };
    by_target.then_some(()).ok_or("this service knows no X-Amz-Target")
}

/// What signs a request in its query is written plainly and once: who compares bytes reads the same as who decodes them.
fn presigning(parts: &Parts) -> Result<(), Reason> {
    let mut names = BTreeSet::new();
    for pair in parts.uri.query().unwrap_or_default().split('&') {
        let written = pair.split('=').next().unwrap_or_default();
        let name = percent_decode(written.as_bytes()).collect::<Vec<u8>>();
        if !name.to_ascii_lowercase().starts_with(b"x-amz-") {
            continue;
        }
        if name != written.as_bytes() || !names.insert(name.to_ascii_lowercase()) {
            return Err("a field of the query that begins with X-Amz- is escaped, or there twice");
        }
    }
    Ok(())
}

/// Fields of a form are the emulator's fields of the query, so they could say which version of an object is meant.
fn no_form(parts: &Parts) -> Result<(), Reason> {
    let form = |kind: &[u8]| {
        let kind = kind.trim_ascii_start().to_ascii_lowercase();
        kind.starts_with(b"application/x-www-form-urlencoded") || kind.starts_with(b"multipart/")
    };
    match parts.headers.get("content-type").is_some_and(|kind| form(kind.as_bytes())) {
        true => Err("the local cloud takes no forms for S3"),
        false => Ok(()),
    }
}

/// The operation is named by the target and by nothing else; the emulator prefers an `Action` wherever it finds one, and it
/// reads the body as a form whatever it is.
fn json(parts: &Parts, body: &[u8]) -> Result<(), Reason> {
    let kind = parts.headers.get("content-type");
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-amz-json-1.")) {
        return Err("the content type is not application/x-amz-json");
    }
    if !parts.headers.contains_key("x-amz-target") {
        return Err("no X-Amz-Target names the operation");
    }
    if parts.uri.query().is_some_and(|query| !query.is_empty()) || actions(body) > 0 {
        return Err("an Action beside the X-Amz-Target");
    }
    Ok(())
}

/// The operation is named once.
fn one_action(parts: &Parts, body: &[u8]) -> Result<(), Reason> {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    if actions(body) + actions(query) > 1 || (!body.is_empty() && actions(query) > 0) {
        return Err("the operation is named twice");
    }
    Ok(())
}

/// How many fields of a form are called `Action`.
fn actions(form: &[u8]) -> usize {
    let name = |pair: &[u8]| pair.split(|byte| *byte == b'=').next().unwrap_or_default().to_vec();
    let names = form.split(|byte| *byte == b'&').map(name);
    names.filter(|name| percent_decode(name).eq(b"Action".iter().copied())).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "x-amz-target";
    const JSON: (&str, &str) = ("content-type", "application/x-amz-json-1.1");
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

    fn passes(service: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> bool {
        let signed = format!(
            "AWS4-HMAC-SHA256 Credential=ASIA1/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=1"
        );
        let mut request = http::Request::builder().method("POST").uri(uri).header("authorization", signed);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        let scope = Scope { region: "eu-west-1".to_owned(), service: Service::of(service) };
        let body = Some(body.as_bytes()).filter(|_| scope.service.has_small_bodies());
        check(&parts, &scope, body).is_ok()
    }

    #[test]
    fn switches_are_found_however_they_are_written() {
        for path in ["/moto-api/reset", "//moto-api/reset", "///moto-api", "/%6doto-api/reset-auth", "/%2fmoto%2Dapi/"]
        {
            assert!(is_a_switch(path), "{path}");
        }
        for path in ["/", "/bucket/moto-api", "/motor", "/%", "/%ff"] {
            assert!(!is_a_switch(path), "{path}");
        }
    }

    #[test]
    fn what_signs_a_query_is_written_plainly_and_once() {
        assert!(passes("s3", "/b/k?X-Amz-Credential=a%2Fb&X-Amz-Date=1&versionId=2", &[], ""));
        for query in [
            "X%2DAmz-Credential=a",
            "X-Amz-Credential=a&X%2dAmz-Credential=b",
            "X-Amz-Credential=a&X-Amz-Credential=b",
            "X-Amz-Credential=a&x-amz-credential=b",
            "%58-Amz-Date=1",
        ] {
            assert!(!passes("s3", &format!("/b/k?{query}"), &[], ""), "{query}");
        }
    }

    #[test]
    fn what_sdks_send_is_taken() {
        assert!(passes("ec2", "/", &[FORM], "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=a"));
        assert!(passes("sts", "/?Action=GetCallerIdentity&Version=2011-06-15", &[], ""));
        assert!(passes("kms", "/", &[JSON, (TARGET, "TrentService.Decrypt")], r#"{"KeyId":"k","a":"&b=c"}"#));
        assert!(passes("secretsmanager", "/", &[JSON, (TARGET, "secretsmanager.GetSecretValue")], "{}"));
        assert!(passes("s3", "/b/k?x-id=PutObject", &[("content-type", "application/octet-stream")], ""));
        assert!(passes("route53", "/2013-04-01/hostedzone", &[], "<xml/>"));
        assert!(passes("dynamodb", "/", &[JSON, (TARGET, "DynamoDB_20120810.ListTables")], ""));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let public = (TARGET, "AWSCognitoIdentityService.GetId");
        for service in ["ec2", "s3", "kms", "iam", "route53", "dynamodb", "ebs"] {
            assert!(!passes(service, "/", &[JSON, public], "Action=RunInstances"), "{service}");
        }
        assert!(!passes("ec2", "/", &[FORM, (TARGET, "TrentService.Decrypt")], "Action=RunInstances"));
        let decrypt = (TARGET, "TrentService.Decrypt");
        assert!(!passes("kms", "/", &[JSON, decrypt, decrypt], "{}"));
        assert!(!passes("kms", "/?Action=ScheduleKeyDeletion", &[JSON, decrypt], "{}"));
        assert!(!passes("kms", "/", &[JSON, decrypt, ("action", "ScheduleKeyDeletion")], "{}"));
        assert!(!passes("kms", "/", &[JSON, decrypt], r#"{"a":"&%41ction=ScheduleKeyDeletion&"}"#));
        assert!(!passes("kms", "/", &[FORM, decrypt], "Action=ScheduleKeyDeletion"));
        assert!(!passes("kms", "/", &[JSON], "{}"));
        assert!(!passes("ec2", "/", &[FORM], "A%63tion=RunInstances&Action=DescribeInstances"));
        assert!(!passes("ec2", "/?Action=DescribeInstances", &[FORM], "Version=1"));
        assert!(!passes("s3", "/b/k", &[FORM], ""));
        assert!(!passes("s3", "/b/k", &[("x-moto-account-id", "1")], ""));
        // As latin-1 the emulator would read it.
        let source = "x-amz-copy-source";
        assert!(passes("s3", "/b/k", &[(source, "b/other")], ""));
        assert!(!passes("s3", "/b/k", &[(source, "b/other?x=\u{e9}")], ""));
        assert!(!passes("s3", "/b/k", &[(source, "b/other"), (source, "b/another")], ""));
        assert!(!passes("ec2", "/", &[FORM, ("authorization", "again")], "Action=DescribeInstances"));
        for service in ["S3", "s3.x", "kms ", ""] {
            assert!(!passes(service, "/", &[], ""), "{service}");
        }
    }

    #[test]
    fn a_signature_is_written_in_one_way() {
        let of = |values: &[&str]| {
            let mut request = http::Request::builder().uri("/");
            for value in values {
                request = request.header("authorization", *value);
            }
            signature(&request.body(()).unwrap().into_parts().0, &Service::Ec2).is_ok()
        };
        let usual = "AWS4-HMAC-SHA256 Credential=A/1/r/ec2/aws4_request, SignedHeaders=host, Signature=1";
        assert!(of(&[usual]));
        assert!(!of(&["AWS4-HMAC-SHA256 A/1/r/s3/x, Credential=A/1/r/ec2/aws4_request, Signature=1"]));
        assert!(!of(&["AWS4-HMAC-SHA256 Credential=A/1/r/ec2/aws4_request, Credential=A/1/r/s3/aws4_request"]));
        assert!(!of(&["AWS4-HMAC-SHA256 Credential=A B/1/r/ec2/aws4_request, Signature=1"]));
        assert!(!of(&[]), "a signature in the query is for S3");
    }
}
