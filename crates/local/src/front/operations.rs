//! Operations that the emulator lacks or answers incompletely: each is one file under `operations/`.

mod bucket_configuration;
mod describe_images;

use std::sync::{Arc, RwLock};

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http::response;

use super::{Body, full};
use crate::images::Images;

/// One call of a query-protocol service.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// The signing name of the service, for example `ec2`.
    pub service: String,
    /// The operation, for example `DescribeImages`.
    pub action: String,
}

/// Services whose operation is named by `Action=` in a small form body.
pub fn is_query_service(service: &str) -> bool {
    matches!(service, "ec2" | "autoscaling" | "elasticloadbalancing")
}

impl Call {
    /// Reads the operation from the body, the query or the target header.
    pub fn parse(service: &str, parts: &Parts, body: &[u8]) -> Option<Self> {
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        let text = std::str::from_utf8(body).ok()?;
        let named = |text: &str| text.split('&').find_map(|pair| pair.strip_prefix("Action=").map(str::to_owned));
        let action = named(text)
            .or_else(|| named(parts.uri.query()?))
            .or_else(|| target.and_then(|target| target.rsplit('.').next()).map(str::to_owned))?;
        Some(Self { service: service.to_owned(), action })
    }

    /// Reads a question about a bucket's settings, which S3 names by a word in the query.
    pub fn about_bucket(parts: &Parts) -> Option<Self> {
        let query = parts.uri.query().filter(|_| parts.method == http::Method::GET)?;
        let action = query.split('&').find_map(|pair| bucket_configuration::action(pair.trim_end_matches('=')))?;
        Some(Self { service: "s3".to_owned(), action: action.to_owned() })
    }

    /// Whether the world may look different after it.
    pub fn may_change(&self) -> bool {
        !["Describe", "Get", "List"].iter().any(|prefix| self.action.starts_with(prefix))
    }
}

/// What the operations know beyond the emulator.
#[derive(Clone)]
pub struct Operations {
    images: Arc<RwLock<Images>>,
}

impl Operations {
    /// Operations that know the registered images.
    pub fn new(images: Arc<RwLock<Images>>) -> Self {
        Self { images }
    }

    /// Whether [`Self::complete`] has something to say on this call.
    pub fn answers(&self, call: &Call) -> bool {
        call.service == "s3" || (call.service == "ec2" && call.action == "DescribeImages")
    }

    /// Completes the emulator's answer.
    pub fn complete(&self, call: &Call, mut head: response::Parts, body: Bytes) -> Response<Body> {
        let text = String::from_utf8_lossy(&body);
        let answer = if call.service == "s3" {
            bucket_configuration::complete(&text)
        } else {
            let images = self.images.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            describe_images::complete(&text, &images)
        };
        head.headers.remove("content-length");
        Response::from_parts(head, full(answer))
    }
}
