//! Certificates of ACM. The emulator issues one when some time is over; here, as on AWS, one is issued when its validation
//! records stand in DNS: in a public zone of the emulator's Route 53. Until then no listener takes it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_sdk_acm::types::{CertificateDetail, CertificateStatus, DomainValidation};
use aws_sdk_route53::types::{HostedZone, ResourceRecordSet};
use futuswarm_aws::Error as AwsError;
use http::Response;
use serde_json::Value;

use super::request::{OperationRequest, Outcome, Refusal, whole};
use crate::clients::Clients;
use crate::form::Form;
use crate::server::Body;

/// What a certificate that is not issued does not have yet.
const ONLY_ISSUED: [&str; 4] = ["IssuedAt", "NotBefore", "NotAfter", "Serial"];
const PENDING: &str = "PENDING_VALIDATION";
/// Certificates and their validation.
pub struct Certificates {
    /// By the bypass, where nothing is completed.
    inner: Clients,
    /// ARNs of those whose records have stood: an issued certificate stays one.
    issued: Mutex<BTreeSet<String>>,
    /// How many certificates were deleted.
    deletions: AtomicU32,
}

/// A CNAME record: name, value; both without the last dot, in small letters.
type Record = (String, String);

impl Certificates {
    /// Nothing is issued yet.
    pub fn new(inner: Clients) -> Self {
        Self { inner, issued: Mutex::default(), deletions: AtomicU32::new(0) }
    }

    /// Tells whether a certificate is issued, and what of it is proven.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn describe(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let (head, body) = asked.forward_unchanged().await?;
        let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else { return Ok(Some(whole(head, body))) };
        if let Some(certificate) = answer.get_mut("Certificate") {
            let standing = self.standing().await?;
            self.complete(certificate, &standing);
        }
        Ok(Some(whole(head, answer.to_string())))
    }

    /// Completes the certificates that are listed.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn list(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let mut request: Value = serde_json::from_slice(asked.body).unwrap_or_default();
        let statuses = request.as_object_mut().and_then(|request| request.remove("CertificateStatuses"));
        let (head, body) =
            asked.forward(if statuses.is_some() { request.to_string().into() } else { asked.body.clone() }).await?;
        let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else { return Ok(Some(whole(head, body))) };
        if let Some(summaries) = answer.get_mut("CertificateSummaryList").and_then(Value::as_array_mut) {
            let standing = self.standing().await?;
            for summary in summaries.iter_mut() {
                // The emulator leaves out what is asked most: which names, and whether they are proven.
                let arn = summary["CertificateArn"].as_str().unwrap_or_default().to_owned();
                let Some(detail) = self.detail(&arn).await else { continue };
                summary["SubjectAlternativeNameSummaries"] = detail.subject_alternative_names().into();
                summary["HasAdditionalSubjectAlternativeNames"] = false.into();
                if summary["Status"] == PENDING && self.note(&arn, &records(&detail), &standing) {
                    summary["Status"] = "ISSUED".into();
                } else if summary["Status"] == PENDING
                    && let Some(fields) = summary.as_object_mut()
                {
                    ONLY_ISSUED.iter().for_each(|field| drop(fields.remove(*field)));
                }
            }
            let wanted = statuses.as_ref().and_then(Value::as_array);
            summaries.retain(|summary| wanted.is_none_or(|wanted| wanted.contains(&summary["Status"])));
        }
        Ok(Some(whole(head, answer.to_string())))
    }

    /// The emulator fails on an idempotency token whose certificate was deleted; so what was asked for before a deletion is
    /// another wish than what is asked for after it.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn request(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        if !asked.trusted {
            return Ok(None);
        }
        let mut request: Value = serde_json::from_slice(asked.body).unwrap_or_default();
        let deletions = self.deletions.load(Ordering::Relaxed);
        let (head, body) = match request["IdempotencyToken"].as_str().map(|token| format!("{token}{deletions}")) {
            Some(token) if deletions > 0 => {
                request["IdempotencyToken"] = token.into();
                asked.forward(request.to_string()).await?
            }
            _ => asked.forward_unchanged().await?,
        };
        Ok(Some(whole(head, body)))
    }

    /// Deletes a certificate, and counts that.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn delete(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let (head, body) = asked.forward_unchanged().await?;
        if head.status.is_success() {
            self.deletions.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Some(whole(head, body)))
    }

    /// Refuses a certificate that is not issued.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn get(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let request: Value = serde_json::from_slice(asked.body).unwrap_or_default();
        let Some(arn) = request["CertificateArn"].as_str() else { return Ok(None) };
        if self.is_issued(arn).await? != Some(false) {
            return Ok(None);
        }
        let message = format!("Certificate request in progress for {arn}");
        Ok(Some(asked.refuse(&Refusal::new("RequestInProgressException", message))))
    }

    /// Refuses a call that gives a listener a certificate which is not issued.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn listener(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let classic = super::classic::is_classic(&asked.call.form);
        for arn in certificates(&asked.call.form) {
            if arn.contains(":acm:") && self.is_issued(&arn).await? == Some(false) {
                let refusal = if classic {
                    Refusal::new("CertificateNotFound", format!("Server Certificate not found for the key: {arn}"))
                } else {
                    let what =
                        "must have a fully-qualified domain name, a supported signature, and a supported key size.";
                    Refusal::new("UnsupportedCertificate", format!("The certificate '{arn}' {what}"))
                };
                return Ok(Some(asked.refuse(&refusal)));
            }
        }
        Ok(None)
    }

    /// Whether a certificate is issued; `None` when there is no such certificate here.
    async fn is_issued(&self, arn: &str) -> Result<Option<bool>, AwsError> {
        let Some(detail) = self.detail(arn).await else { return Ok(None) };
        if detail.status() != Some(&CertificateStatus::PendingValidation) {
            return Ok(Some(detail.status() == Some(&CertificateStatus::Issued)));
        }
        let standing = self.standing().await?;
        Ok(Some(self.note(arn, &records(&detail), &standing)))
    }

    /// What the emulator says of a certificate, if it is one of this region.
    async fn detail(&self, arn: &str) -> Option<CertificateDetail> {
        let found = self.inner.acm.describe_certificate().certificate_arn(arn).send().await;
        match found.map_err(|error| AwsError::new("DescribeCertificate", error)) {
            Ok(found) => found.certificate,
            Err(error) => {
                tracing::debug!(arn, %error, "not a certificate of this region");
                None
            }
        }
    }

    /// Whether a certificate whose validation wants these records is issued.
    fn note(&self, arn: &str, records: &BTreeSet<Record>, standing: &BTreeSet<Record>) -> bool {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if !records.is_empty() && records.is_subset(standing) && issued.insert(arn.to_owned()) {
            tracing::info!(arn, "the certificate's validation records stand; it is issued");
        }
        issued.contains(arn)
    }

    /// Puts the true status into what the emulator says of a certificate.
    fn complete(&self, certificate: &mut Value, standing: &BTreeSet<Record>) {
        if certificate["Status"] != PENDING {
            return;
        }
        let wanted = |option: &Value| {
            let record = &option["ResourceRecord"];
            Some((plain(record["Name"].as_str()?), plain(record["Value"].as_str()?)))
        };
        let options = certificate["DomainValidationOptions"].as_array().cloned().unwrap_or_default();
        let records: BTreeSet<Record> = options.iter().filter_map(wanted).collect();
        let issued = self.note(certificate["CertificateArn"].as_str().unwrap_or_default(), &records, standing);
        for option in certificate["DomainValidationOptions"].as_array_mut().into_iter().flatten() {
            let stands = issued || wanted(option).is_some_and(|record| standing.contains(&record));
            option["ValidationStatus"] = if stands { "SUCCESS" } else { PENDING }.into();
        }
        if issued {
            certificate["Status"] = "ISSUED".into();
        } else if let Some(fields) = certificate.as_object_mut() {
            ONLY_ISSUED.iter().for_each(|field| drop(fields.remove(*field)));
        }
    }

    /// All CNAME records of public zones.
    async fn standing(&self) -> Result<BTreeSet<Record>, AwsError> {
        let mut records = BTreeSet::new();
        let mut pages = self.inner.route53.list_hosted_zones().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| AwsError::new("ListHostedZones", error))?;
            for zone in page.hosted_zones().iter().filter(|zone| public(zone)) {
                let found = self.inner.route53.list_resource_record_sets().hosted_zone_id(zone.id()).send().await;
                let found = found.map_err(|error| AwsError::new("ListResourceRecordSets", error))?;
                records.extend(found.resource_record_sets().iter().flat_map(cname));
            }
        }
        Ok(records)
    }
}

fn public(zone: &HostedZone) -> bool {
    !zone.config().is_some_and(|config| config.private_zone())
}

fn cname(set: &ResourceRecordSet) -> Vec<Record> {
    if set.r#type() != &aws_sdk_route53::types::RrType::Cname {
        return Vec::new();
    }
    set.resource_records().iter().map(|record| (plain(set.name()), plain(record.value()))).collect()
}

/// A name as DNS compares it.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

/// The records that a certificate's validation wants.
fn records(detail: &CertificateDetail) -> BTreeSet<Record> {
    let record = |option: &DomainValidation| {
        option.resource_record().map(|record| (plain(record.name()), plain(record.value())))
    };
    detail.domain_validation_options().iter().filter_map(record).collect()
}

/// The certificates that a call to one of the two load balancer APIs names.
fn certificates(form: &Form) -> Vec<String> {
    let mut found: Vec<String> = form.get("SSLCertificateId").map(str::to_owned).into_iter().collect();
    for (list, field) in [("Certificates.member", "CertificateArn"), ("Listeners.member", "SSLCertificateId")] {
        found.extend(form.structures(list).iter().filter_map(|one| one.get(field).map(str::to_owned)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_dns_does() {
        assert_eq!(plain("_Ab.Example.COM."), plain("_ab.example.com"));
    }

    #[test]
    fn both_load_balancers_name_certificates_in_their_way() {
        let both = "Certificates.member.1.CertificateArn=a&Listeners.member.1.Protocol=HTTP&Listeners.member.2.SSLCertificateId=b";
        assert_eq!(certificates(&Form::parse(both)), ["a", "b"]);
        assert_eq!(certificates(&Form::parse("SSLCertificateId=c&LoadBalancerPort=443")), ["c"]);
        assert!(certificates(&Form::parse("Action=DescribeListeners")).is_empty());
    }
}
