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
use certificates::Certificates;
use classic::Classic;
use databases::DatabaseCalls;
use ebs_key::EbsKeys;
use endpoint_routes::EndpointRoutes;
use image_calls::ImageCalls;
use launch_templates::Added;
use quotas::Quotas;
use reboots::Reboots;
use request::{OperationRequest, Outcome, whole};
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
    /// Operations that know the images and ask the emulator straight.
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
    pub fn complete(&self, head: response::Parts, body: &Bytes) -> Response<Body> {
        whole(head, bucket_configuration::complete(&String::from_utf8_lossy(body)))
    }
    /// The answer to a call that is not simply passed on.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn answer(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        match &asked.call.service {
            Service::Ec2 => self.ec2(asked).await,
            Service::Quotas => self.quotas.answer(asked),
            Service::AutoScaling => match self.zones.lifecycle.answer(asked).await? {
                Some(answer) => Ok(Some(answer)),
                None => self.zones.answer(asked).await,
            },
            Service::Acm => self.certificates.answer(asked).await,
            Service::Route53 => Self::records(asked).await,
            Service::Rds => self.databases.answer(asked).await,
            Service::SecretsManager => self.databases.secret(asked).await,
            Service::ElasticLoadBalancing => self.balancing(asked).await,
            _ => Ok(None),
        }
    }

    async fn balancing(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        if let Some(refusal) = balancer_tags::refusal(asked.call) {
            return Ok(Some(refusal));
        }
        if let Some(answer) = balancer_again::answer(asked).await? {
            return Ok(Some(answer));
        }
        match self.certificates.answer(asked).await? {
            Some(answer) => Ok(Some(answer)),
            None => self.classic.answer(asked).await,
        }
    }

    async fn ec2(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        if let Some(answer) = self.images.answer(asked).await? {
            return Ok(Some(answer));
        }
        if let Some(answer) = self.templates.answer(asked).await? {
            return Ok(Some(answer));
        }
        if let Some(answer) = self.reboots.answer(asked).await? {
            return Ok(Some(answer));
        }
        if let Some(answer) = self.endpoint_routes.answer(asked).await? {
            return Ok(Some(answer));
        }
        match self.ebs_keys.answer(asked)? {
            Some(answer) => Ok(Some(answer)),
            None => self.zones.answer(asked).await,
        }
    }

    async fn records(asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let request = String::from_utf8_lossy(asked.body).into_owned();
        let (head, body) = match asked.call.action.as_str() {
            "ChangeResourceRecordSets" if asked.trusted => {
                if let Some(refusal) = records::refusal(asked, &request).await? {
                    return Ok(Some(refusal));
                }
                asked.forward(records::plain(&request)).await?
            }
            _ => asked.forward_unchanged().await?,
        };
        Ok(Some(whole(head, records::complete(&String::from_utf8_lossy(&body)))))
    }
}
