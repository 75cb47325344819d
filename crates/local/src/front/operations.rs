//! Operations that the emulator lacks or answers incompletely: each is one file under `operations/`.

pub mod answer;
mod balancer_again;
mod balancer_tags;
mod bucket_configuration;
mod certificates;
mod classic;
mod console_output;
mod databases;
mod describe_images;
mod ebs_key;
mod endpoint_routes;
pub mod image_calls;
mod launch_templates;
pub mod lifecycle;
mod quotas;
pub mod reboots;
mod records;
mod register_image;
mod snapshots;
pub mod xml;
mod zones;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http::response;

use super::Body;
use super::form::Form;
use crate::aws::Clients;
use crate::databases::catalogue::Catalogue;
use certificates::Certificates;
use classic::Classic;
use databases::DatabaseCalls;
use ebs_key::EbsKeys;
use endpoint_routes::EndpointRoutes;
use image_calls::ImageCalls;
use launch_templates::Added;
use lifecycle::Leaving;
use quotas::Quotas;
use reboots::Reboots;
use zones::Zones;

/// One call of a service whose bodies are small.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// The signing name of the service, for example `ec2`.
    pub service: String,
    /// The operation, for example `DescribeImages`.
    pub action: String,
    /// The fields of the query protocol; empty for the JSON protocol.
    pub form: Form,
}

/// Services whose operation is named by `Action=` in a small form body, or by a header.
pub fn is_small(service: &str) -> bool {
    matches!(
        service,
        "ec2"
            | "autoscaling"
            | "elasticloadbalancing"
            | "rds"
            | "kms"
            | "acm"
            | "iam"
            | "secretsmanager"
            | "route53"
            | "sts"
            | "ssm"
            | "servicequotas"
    )
}

impl Call {
    /// Reads the operation from the body, the query or the target header.
    pub fn parse(service: &str, parts: &Parts, body: &[u8]) -> Option<Self> {
        if service == "route53" {
            let action = records::action(parts)?.to_owned();
            return Some(Self { service: service.to_owned(), action, form: Form::default() });
        }
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        let text = std::str::from_utf8(body).ok()?;
        let named = |text: &str| text.split('&').find_map(|pair| pair.strip_prefix("Action=").map(str::to_owned));
        let action = named(text)
            .or_else(|| named(parts.uri.query()?))
            .or_else(|| target.and_then(|target| target.rsplit('.').next()).map(str::to_owned))?;
        let form = if target.is_none() { Form::parse(text) } else { Form::default() };
        Some(Self { service: service.to_owned(), action, form })
    }

    /// Reads a question about a bucket's settings, which S3 names by a word in the query.
    pub fn about_bucket(parts: &Parts) -> Option<Self> {
        let query = parts.uri.query().filter(|_| parts.method == http::Method::GET)?;
        let action = query.split('&').find_map(|pair| bucket_configuration::action(pair.trim_end_matches('=')))?;
        Some(Self { service: "s3".to_owned(), action: action.to_owned(), form: Form::default() })
    }

    /// Whether the world may look different after it.
    pub fn may_change(&self) -> bool {
        // A look after every sealed secret would be one for nothing.
        self.service != "kms" && !["Describe", "Get", "List"].iter().any(|prefix| self.action.starts_with(prefix))
    }
}

/// What the operations know beyond the emulator.
pub struct Operations {
    images: ImageCalls,
    certificates: Certificates,
    classic: Classic,
    databases: DatabaseCalls,
    ebs_keys: EbsKeys,
    endpoint_routes: EndpointRoutes,
    quotas: Quotas,
    reboots: Reboots,
    templates: Added,
    zones: Zones,
}

impl Operations {
    /// Operations that know the images and ask the emulator straight.
    pub fn new(images: ImageCalls, inner: Clients, catalogue: Catalogue, leaving: Leaving, reboots: Reboots) -> Self {
        Self {
            images,
            certificates: Certificates::new(inner.clone()),
            classic: Classic::default(),
            databases: DatabaseCalls::new(inner.clone(), catalogue),
            ebs_keys: EbsKeys::default(),
            endpoint_routes: EndpointRoutes::new(inner.clone()),
            quotas: Quotas::default(),
            reboots,
            templates: Added::default(),
            zones: Zones::new(inner, leaving),
        }
    }

    /// Completes the emulator's answer about a bucket's settings.
    pub fn complete(&self, head: response::Parts, body: &Bytes) -> Response<Body> {
        answer::whole(head, bucket_configuration::complete(&String::from_utf8_lossy(body)))
    }
}
