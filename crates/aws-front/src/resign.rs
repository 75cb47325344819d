//! Signing a request again with the account owner's keys, whatever it was signed with.
//!
//! The payload's hash is kept as the client declared it (SDKs declare streaming framings there) or declared unsigned, so
//! that bodies stream through.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Uri};

use crate::clients::Keys;
use crate::service::Service;

/// Any of the errors of headers, URIs and signatures.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

const CONTENT_HASH: &str = "x-amz-content-sha256";

/// What a signature is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub region: String,
    pub service: Service,
}

impl Scope {
    /// The scope of a signed request, in its header or (presigned) in its query.
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if let Some(scope) = header.and_then(|value| value.split("Credential=").nth(1)) {
            return Self::parse(scope.split(',').next()?, "/");
        }
        let credential = request.uri().query()?.split('&').find_map(|pair| pair.strip_prefix("X-Amz-Credential="))?;
        Self::parse(&credential.replace("%2f", "%2F"), "%2F").or_else(|| Self::parse(credential, "/"))
    }

    /// `KEY/DATE/REGION/SERVICE/aws4_request`; a key may itself contain the separator, so it is read from its end.
    fn parse(credential: &str, separator: &str) -> Option<Self> {
        let mut backwards = credential.rsplit(separator);
        let (_terminator, service, region) = (backwards.next()?, backwards.next()?, backwards.next()?);
        Some(Self { region: region.to_owned(), service: Service::of(service) })
    }
}

/// Replaces the request's signature.
///
/// # Errors
/// When a header or the path cannot be signed; the text says which.
pub fn resign(parts: &mut Parts, scope: &Scope, keys: &Keys) -> Result<(), BoxError> {
    for name in ["authorization", "x-amz-security-token", "x-amz-date", "date"] {
        parts.headers.remove(name);
    }
    parts.uri = without_presigning(&parts.uri)?;
    let hash = parts.headers.remove(CONTENT_HASH);
    let hash = hash.as_ref().and_then(|value| value.to_str().ok()).unwrap_or("UNSIGNED-PAYLOAD").to_owned();
    let host = parts.headers.get("host").and_then(|value| value.to_str().ok()).unwrap_or("localhost").to_owned();
    parts.headers.insert("host", HeaderValue::from_str(&host)?);

    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    if scope.service == Service::S3 {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    let identity = Credentials::new(&keys.id, &keys.secret, None, None, "local cloud").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&scope.region)
        .name(scope.service.name())
        .time(SystemTime::now())
        .settings(settings)
        .build()?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = format!("http://{host}{path}");
    // Proxies may touch other headers; these are the ones that carry meaning.
    let headers = parts
        .headers
        .iter()
        .filter(|(name, _)| name.as_str() == "host" || name.as_str().starts_with("x-amz-"))
        .filter_map(|(name, value)| value.to_str().ok().map(|value| (name.as_str(), value)));
    let request = SignableRequest::new(parts.method.as_str(), uri, headers, SignableBody::Precomputed(hash))?;
    let (instructions, _signature) = sign(request, &params.into())?.into_parts();
    let (signed, _query) = instructions.into_parts();
    for header in signed {
        let value = HeaderValue::from_str(header.value())?;
        let name = HeaderName::from_bytes(header.name().as_bytes())?;
        parts.headers.insert(name, value);
    }
    Ok(())
}

/// A presigned URL's own signature would contradict the new one.
fn without_presigning(uri: &Uri) -> Result<Uri, BoxError> {
    const PRESIGNING: [&str; 7] = [
        "X-Amz-Algorithm=",
        "X-Amz-Credential=",
        "X-Amz-Date=",
        "X-Amz-Expires=",
        "X-Amz-SignedHeaders=",
        "X-Amz-Signature=",
        "X-Amz-Security-Token=",
    ];
    let Some(query) = uri.query() else { return Ok(uri.clone()) };
    let kept: Vec<&str> =
        query.split('&').filter(|pair| !PRESIGNING.iter().any(|prefix| pair.starts_with(prefix))).collect();
    let text = if kept.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), kept.join("&")) };
    text.parse().map_err(|error| format!("{text}: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(authorization: &str, uri: &str) -> Request<()> {
        let mut builder = Request::builder().uri(uri).header("host", "127.0.0.1:4566");
        if !authorization.is_empty() {
            builder = builder.header("authorization", authorization);
        }
        builder.body(()).unwrap()
    }

    #[test]
    fn the_scope_comes_from_the_header_or_the_query() {
        let expected = Some(Scope { region: "eu-west-1".to_owned(), service: Service::Kms });
        let header =
            "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/kms/aws4_request, SignedHeaders=host, Signature=1";
        assert_eq!(Scope::of(&request(header, "/")), expected);
        let query = "/b/k?X-Amz-Credential=test%2F20260101%2Feu-west-1%2Fkms%2Faws4_request&X-Amz-Signature=1";
        assert_eq!(Scope::of(&request("", query)), expected);
        assert_eq!(Scope::of(&request("", "/b/k?list-type=2")), None);
    }

    #[test]
    fn a_streaming_framing_is_kept_and_an_old_token_is_dropped() {
        let (mut parts, ()) = request("old", "/bucket/a%20key?X-Amz-Signature=1&partNumber=1").into_parts();
        parts.headers.insert(CONTENT_HASH, HeaderValue::from_static("STREAMING-UNSIGNED-PAYLOAD-TRAILER"));
        parts.headers.insert("x-amz-security-token", HeaderValue::from_static("stale"));
        let scope = Scope { region: "eu-west-1".to_owned(), service: Service::S3 };
        resign(&mut parts, &scope, &Keys { id: "AKIA1".to_owned(), secret: "s".to_owned() }).unwrap();
        assert_eq!(parts.headers[CONTENT_HASH], "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        assert!(!parts.headers.contains_key("x-amz-security-token"));
        assert_eq!(parts.uri.to_string(), "/bucket/a%20key?partNumber=1");
        let authorization = parts.headers["authorization"].to_str().unwrap();
        assert!(authorization.contains("Credential=AKIA1/"), "{authorization}");
        assert!(authorization.contains("/eu-west-1/s3/aws4_request"), "{authorization}");
    }
}
