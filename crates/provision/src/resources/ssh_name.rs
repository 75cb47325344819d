//! The managers' own name. The Swarm's leader makes its record and keeps it (`crates/agent/src/ssh_name.rs`); here it only goes, once
//! nobody is left who would make it again.

use aws_sdk_route53::types::RrType;
use futuswarm_converge::Resource;
use futuswarm_model::ssh_host;

use super::dns;
use crate::error::Error;
use crate::field::{Changed, Fields};
use crate::{Aws, Run, components};

pub(crate) struct SshName;

/// Whose it is to change.
pub(crate) enum Observed {
    /// The leader's: nothing is asked.
    Kept,
    /// Ours, in this zone: the cluster goes, and has left it.
    Left(String),
}

impl Resource<Run> for SshName {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "DNS name of managers"
    }

    fn name(&self, run: &Run) -> String {
        ssh_host(&run.cluster.spec.domain)
    }

    fn component(&self) -> String {
        components::SSH_NAME.to_owned()
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        if run.mode().applies() {
            return Ok(Some(Observed::Kept));
        }
        let name = self.name(run);
        let Some(zone) = dns::zone(aws, run, &name).await? else { return Ok(None) };
        let there = dns::exists(aws, &zone, &name, RrType::A).await?;
        Ok(there.then_some(Observed::Left(zone)))
    }

    fn id(&self, _: &Observed) -> String {
        components::SSH_NAME.to_owned()
    }

    fn desired(&self, _: &Run) -> Result<Fields, Error> {
        Ok(Fields::new())
    }

    fn current(&self, _: &Run, _: &Observed) -> Fields {
        Fields::new()
    }

    async fn create(&self, _: &Aws, _: &Run) -> Result<String, Error> {
        Ok(components::SSH_NAME.to_owned())
    }

    async fn update(&self, _: &Aws, _: &Run, _: &Observed, _: &Changed) -> Result<(), Error> {
        Ok(())
    }

    /// Where the domain leads to somebody else by now, this name is theirs, too.
    async fn delete(&self, aws: &Aws, run: &Run, observed: &Observed) -> Result<(), Error> {
        let Observed::Left(zone) = observed else { return Ok(()) };
        let name = self.name(run);
        if dns::leads_elsewhere(aws, &run.cluster, zone, &run.cluster.spec.domain).await? {
            run.note(format!("the record {name} stays: the domain does not lead to this cluster"));
            return Ok(());
        }
        dns::remove(aws, zone, &name, RrType::A).await
    }
}
