//! Operations that the emulator lacks or answers incompletely: each is one file under `operations/`.

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
mod lifecycle;
mod quotas;
pub mod reboots;
mod records;
mod register_image;
pub mod registry;
pub mod request;
mod snapshots;
mod zones;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, response};

use crate::catalogue::Catalogue;
use crate::clients::Clients;
use crate::server::Body;
use crate::service::Service;
use crate::terminating::TerminatingInstances;
use crate::xml;
use certificates::Certificates;
use classic::Classic;
use databases::DatabaseCalls;
use ebs_key::EbsKeys;
use endpoint_routes::EndpointRoutes;
use image_calls::ImageCalls;
use launch_templates::Added;
use quotas::Quotas;
use reboots::Reboots;
use request::whole;
use zones::Zones;

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
    /// Operations that know the images and ask the emulator by the bypass.
    pub fn new(
        images: ImageCalls,
        inner: Clients,
        catalogue: Catalogue,
        terminating: TerminatingInstances,
        reboots: Reboots,
    ) -> Self {
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
            zones: Zones::new(inner, terminating),
        }
    }

    /// Whether an answer of S3 to a streamed call is completed.
    pub fn completes_s3(service: &Service, parts: &Parts) -> bool {
        *service == Service::S3 && bucket_configuration::is_asked(parts)
    }

    /// Completes the emulator's answer about a bucket's settings.
    pub fn complete(&self, head: response::Parts, body: Bytes) -> Response<Body> {
        whole(head, xml::change(body, bucket_configuration::complete))
    }
}
