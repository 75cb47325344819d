//! Validation of certificates by DNS: the records are made where the zone is ours, and said otherwise.

use std::time::Duration;

use aws_sdk_acm::types::{CertificateStatus, ResourceRecord};
use aws_sdk_route53::types::RrType;
use futuswarm_converge::Resource;

use super::certificate::{self, Certificate};
use super::dns;
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Run, components, consistency};

/// ACM names the records within seconds of the request.
const RECORDS: Duration = Duration::from_secs(120);
/// And polls them within minutes.
const ISSUED: Duration = Duration::from_secs(20 * 60);

pub(crate) struct Validation {
    pub(crate) certificate: &'static str,
    pub(crate) domain: String,
}

/// As AWS describes it.
pub(crate) enum Observed {
    /// It is done.
    Issued(String),
    /// ACM waits for records in a zone of ours.
    Pending,
    /// Somebody else has to make the records.
    Elsewhere,
}

impl Validation {
    /// The certificate; in a deletion it comes after us in the graph.
    async fn arn(&self, aws: &Aws, run: &Run) -> Result<Option<String>, Error> {
        if let Some(arn) = run.id(self.certificate) {
            return Ok(Some(arn));
        }
        let certificate = Certificate { component: self.certificate, domain: self.domain.clone() };
        Ok(certificate.observe(aws, run).await?.map(|observed| certificate.id(&observed)))
    }

    /// The certificate's status and records.
    async fn ask(&self, aws: &Aws, arn: &str) -> Result<(CertificateStatus, Vec<ResourceRecord>), Error> {
        let observed = aws.acm.describe_certificate().certificate_arn(arn).send().await;
        let observed = observed.map_err(failed("DescribeCertificate"))?.certificate;
        let observed = observed.ok_or_else(incomplete("DescribeCertificate", "Certificate"))?;
        let status = observed.status.unwrap_or(CertificateStatus::PendingValidation);
        if [CertificateStatus::Failed, CertificateStatus::ValidationTimedOut].contains(&status) {
            return Err(Error::Missing(format!(
                "ACM did not issue the certificate {arn} ({}): delete it and run the command again",
                observed.failure_reason.map_or_else(|| status.as_str().to_owned(), |reason| reason.as_str().to_owned())
            )));
        }
        let mut records: Vec<ResourceRecord> = Vec::new();
        for record in
            observed.domain_validation_options.unwrap_or_default().into_iter().filter_map(|one| one.resource_record)
        {
            // A domain and its wildcard share one record.
            if !records.iter().any(|known| known.name == record.name) {
                records.push(record);
            }
        }
        Ok((status, records))
    }

    /// The records, as soon as ACM names them.
    async fn records(&self, aws: &Aws, arn: &str) -> Result<Vec<ResourceRecord>, Error> {
        let what = format!("the validation records of the certificate for {}", self.domain);
        consistency::wait(&what, RECORDS, || async {
            let (_, records) = self.ask(aws, arn).await?;
            Ok((!records.is_empty()).then_some(records))
        })
        .await
    }
}

impl Resource<Run> for Validation {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "certificate validation"
    }

    fn name(&self, _: &Run) -> String {
        self.domain.clone()
    }

    fn component(&self) -> String {
        components::validation(self.certificate)
    }

    fn depends_on(&self) -> Vec<String> {
        vec![self.certificate.to_owned()]
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let Some(arn) = self.arn(aws, run).await? else { return Ok(None) };
        let known = run.inventory.certificates(aws).await?;
        if known.iter().any(|one| one.certificate_arn() == Some(&arn) && certificate::is_issued(one)) {
            return Ok(Some(Observed::Issued(arn)));
        }
        let (status, _) = self.ask(aws, &arn).await?;
        if status == CertificateStatus::Issued {
            return Ok(Some(Observed::Issued(arn)));
        }
        if dns::zone(aws, run, &self.domain).await?.is_some() {
            // To be done, as it is while there is no certificate yet: a plan that was made before its request says the same.
            return Ok((!run.is_desired_domain(&self.domain)).then_some(Observed::Pending));
        }
        if !run.is_desired_domain(&self.domain) {
            return Ok(Some(Observed::Elsewhere));
        }
        let records = self.records(aws, &arn).await?;
        let lines: Vec<String> =
            records.iter().map(|record| format!("{}  CNAME  {}", record.name(), record.value())).collect();
        run.note(format!(
            "no hosted zone of this account serves {}: make this record where its DNS is, and ACM issues the certificate within minutes\n    {}",
            self.domain,
            lines.join("\n    ")
        ));
        Ok(Some(Observed::Elsewhere))
    }

    fn id(&self, observed: &Observed) -> String {
        match observed {
            Observed::Issued(arn) => arn.clone(),
            Observed::Pending => String::new(),
            Observed::Elsewhere => certificate::ELSEWHERE.to_owned(),
        }
    }

    fn desired(&self, _: &Run) -> Result<Fields, Error> {
        Ok(Fields::new().with(Field::State, "issued"))
    }

    fn current(&self, _: &Run, observed: &Observed) -> Fields {
        Fields::new().with(
            Field::State,
            match observed {
                // What somebody else has to do is a note and no change of ours.
                Observed::Issued(_) | Observed::Elsewhere => "issued",
                Observed::Pending => "pending",
            },
        )
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let arn = run.need(self.certificate)?;
        // Only now it is known whether there is anything that we can do.
        if matches!(self.observe(aws, run).await?, Some(Observed::Elsewhere)) {
            return Ok(certificate::ELSEWHERE.to_owned());
        }
        let zone = dns::zone(aws, run, &self.domain).await?.ok_or_else(incomplete("ListHostedZones", "zone"))?;
        for record in self.records(aws, &arn).await? {
            dns::upsert(aws, &zone, record.name(), RrType::Cname, record.value()).await?;
        }
        if !run.overrides.wait_for_certificates {
            return Ok(String::new());
        }
        let what = format!("ACM to issue the certificate for {}", self.domain);
        consistency::wait(&what, ISSUED, || async {
            let (status, _) = self.ask(aws, &arn).await?;
            Ok((status == CertificateStatus::Issued).then_some(()))
        })
        .await?;
        Ok(arn)
    }

    async fn update(&self, aws: &Aws, run: &Run, _: &Observed, _: &Changed) -> Result<(), Error> {
        let arn = self.create(aws, run).await?;
        run.note_id(Resource::component(self), arn);
        Ok(())
    }

    /// The records go with the certificate: while they stand, ACM renews it. All certificates of the account for a domain share
    /// them, also those of other regions; so they stay when the domain leads to somebody else.
    async fn delete(&self, aws: &Aws, run: &Run, _: &Observed) -> Result<(), Error> {
        let (Some(arn), Some(zone)) = (self.arn(aws, run).await?, dns::zone(aws, run, &self.domain).await?) else {
            return Ok(());
        };
        if !certificate::is_ours(aws, &run.cluster, &arn).await?
            || dns::leads_elsewhere(aws, &run.cluster, &zone, &self.domain).await?
        {
            run.note(format!("the validation records of {} stay: others may need them", self.domain));
            return Ok(());
        }
        for record in self.ask(aws, &arn).await?.1 {
            dns::remove(aws, &zone, record.name(), RrType::Cname).await?;
        }
        Ok(())
    }
}
