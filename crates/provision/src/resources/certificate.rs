//! Certificates of ACM: one for each domain, for the domain itself and everything below it.

use aws_sdk_acm::types::{CertificateStatus, CertificateSummary, Tag, ValidationMethod};
use futuswarm_aws::at_most_one;
use futuswarm_converge::{Resource, UNKNOWN};
use sha2::{Digest as _, Sha256};

use super::{fingerprint, tags};
use crate::consistency::{until_free, until_visible};
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::names::CLUSTER_TAG;
use crate::{Aws, Cluster, Run, components};

/// The certificate of a domain; its id is its ARN.
pub(crate) struct Certificate {
    pub(crate) component: &'static str,
    pub(crate) domain: String,
}

/// Parts and domains of all certificates of the spec, the private domain first.
pub(crate) fn all(spec: &futuswarm_spec::Spec) -> Vec<(&'static str, String)> {
    components::CERTIFICATES.into_iter().zip(spec.domains().into_iter().map(str::to_owned)).collect()
}

/// ARNs of the living certificates for a domain and everything below it; others are somebody else's.
pub(super) async fn arns(aws: &Aws, run: &Run, domain: &str) -> Result<Vec<String>, Error> {
    Ok(living(aws, run, domain).await?.into_iter().filter_map(|one| one.certificate_arn).collect())
}

async fn living(aws: &Aws, run: &Run, domain: &str) -> Result<Vec<CertificateSummary>, Error> {
    let covers = |certificate: &&CertificateSummary| {
        certificate.domain_name() == Some(domain)
            && certificate.subject_alternative_name_summaries().contains(&wildcard(domain))
    };
    Ok(run.inventory.certificates(aws).await?.iter().filter(covers).cloned().collect())
}

pub(crate) fn wildcard(domain: &str) -> String {
    format!("*.{domain}")
}

/// Whether AWS has issued it.
pub(crate) fn is_issued(certificate: &CertificateSummary) -> bool {
    certificate.status() == Some(&CertificateStatus::Issued)
}

/// The ARN of a certificate, once it was issued.
pub(crate) fn issued(run: &Run, certificate: &str) -> Option<String> {
    run.id(&components::validation(certificate)).filter(|arn| arn.starts_with("arn:"))
}

/// The same; in a plan also of a certificate that the run is going to get issued, whose ARN nobody knows yet.
pub(crate) fn issued_by_then(run: &Run, certificate: &str) -> Option<String> {
    issued(run, certificate)
        .or_else(|| (run.mode().plans() && !is_elsewhere(run, certificate)).then(|| UNKNOWN.to_owned()))
}

/// The id of a validation that somebody else has to finish.
pub(super) const ELSEWHERE: &str = "elsewhere";

/// Whether only somebody else can get the certificate issued.
pub(crate) fn is_elsewhere(run: &Run, certificate: &str) -> bool {
    run.id(&components::validation(certificate)).as_deref() == Some(ELSEWHERE)
}

impl Certificate {
    /// Asks for it; requests with the same salt are one request.
    async fn request(&self, aws: &Aws, cluster: &Cluster, salt: &str) -> Result<String, Error> {
        // At most 32 characters.
        let token = hex::encode(&Sha256::digest(format!("{} {} {salt}", cluster.spec.cluster, self.domain))[..16]);
        let request = aws.acm.request_certificate().domain_name(&self.domain);
        let request =
            request.subject_alternative_names(wildcard(&self.domain)).validation_method(ValidationMethod::Dns);
        let request = request.idempotency_token(token).set_tags(Some(tags::acm(cluster, self.component)?));
        let made = request.send().await.map_err(failed("RequestCertificate"))?;
        made.certificate_arn.ok_or_else(incomplete("RequestCertificate", "CertificateArn"))
    }
}

impl Resource<Run> for Certificate {
    type Observed = CertificateSummary;

    fn kind(&self) -> &'static str {
        "certificate"
    }

    fn name(&self, _: &Run) -> String {
        wildcard(&self.domain)
    }

    fn component(&self) -> String {
        self.component.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        vec![components::VPC.to_owned()]
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<CertificateSummary>, Error> {
        let all = living(aws, run, &self.domain).await?;
        // A request of ours beside an issued one is of no use to anybody.
        let issued: Vec<CertificateSummary> = all.iter().filter(|one| is_issued(one)).cloned().collect();
        let candidates = if issued.is_empty() { all } else { issued };
        let arn = |one: &CertificateSummary| one.certificate_arn().unwrap_or_default().to_owned();
        Ok(at_most_one(format!("certificates for {}", self.domain), candidates, arn)?)
    }

    fn id(&self, observed: &CertificateSummary) -> String {
        observed.certificate_arn().unwrap_or_default().to_owned()
    }

    fn desired(&self, _: &Run) -> Result<Fields, Error> {
        Ok(fingerprint::desired(
            Fields::new().with(Field::Names, format!("{} {}", self.domain, wildcard(&self.domain))),
        ))
    }

    fn current(&self, run: &Run, _: &CertificateSummary) -> Fields {
        // By these it was found.
        fingerprint::current(
            run,
            Fields::new().with(Field::Names, format!("{} {}", self.domain, wildcard(&self.domain))),
        )
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        // One life of the cluster asks for one certificate: with the VPC's id, whatever run of whatever operator it is.
        let vpc = run.need(components::VPC)?;
        let arn = self.request(aws, &run.cluster, &vpc).await?;
        let there = until_visible("the certificate", || async {
            aws.acm.describe_certificate().certificate_arn(&arn).send().await.map_err(failed("DescribeCertificate"))
        });
        match there.await {
            Ok(_) => Ok(arn),
            // For an hour a token means the same certificate, also when a destroy that was interrupted has deleted it.
            Err(error) if error.is_not_found() => self.request(aws, &run.cluster, &format!("{vpc} {arn}")).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &CertificateSummary, _: &Changed) -> Result<(), Error> {
        if !is_ours(aws, &run.cluster, &self.id(observed)).await? {
            return Ok(());
        }
        let add = aws.acm.add_tags_to_certificate().certificate_arn(self.id(observed));
        add.set_tags(Some(tags::acm(&run.cluster, self.component)?))
            .send()
            .await
            .map_err(failed("AddTagsToCertificate"))?;
        Ok(())
    }

    async fn delete(&self, aws: &Aws, run: &Run, observed: &CertificateSummary) -> Result<(), Error> {
        let arn = self.id(observed);
        if !is_ours(aws, &run.cluster, &arn).await? {
            run.note(format!("the certificate {arn} for {} stays: the cluster did not ask for it", self.domain));
            return Ok(());
        }
        let described = aws.acm.describe_certificate().certificate_arn(&arn).send().await;
        let users = described.map_err(failed("DescribeCertificate"))?.certificate.and_then(|one| one.in_use_by);
        let ours = run.cluster.names.balancer();
        // Named by ARN, or by DNS name.
        let is_ours = |user: &&String| user.split(['/', '.']).any(|word| word == ours);
        if let Some(other) = users.iter().flatten().find(|user| !is_ours(user)) {
            run.note(format!("the certificate {arn} for {} stays: {other} uses it", self.domain));
            return Ok(());
        }
        // The load balancer's hold on it ends minutes after the balancer.
        until_free("the certificate", || async {
            aws.acm.delete_certificate().certificate_arn(&arn).send().await.map_err(failed("DeleteCertificate"))
        })
        .await?;
        Ok(())
    }
}

/// Whether this cluster has asked for a certificate; one that was there before stays when the cluster goes.
pub(super) async fn is_ours(aws: &Aws, cluster: &Cluster, arn: &str) -> Result<bool, Error> {
    let tags = aws.acm.list_tags_for_certificate().certificate_arn(arn).send().await;
    let tags = tags.map_err(failed("ListTagsForCertificate"))?.tags.unwrap_or_default();
    let ours = |tag: &Tag| tag.key() == CLUSTER_TAG && tag.value() == Some(&cluster.spec.cluster);
    Ok(tags.iter().any(ours))
}
