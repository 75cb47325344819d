//! The agent's clients on a node of AWS, or of the local cloud, which differs by an authority only.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::net::Ipv4Addr;

use aws_sdk_ec2::types::{Filter, Instance, InstanceStateName};
use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType};
use futuswarm_imds::Imds;
use futuswarm_store::S3Bucket;
use futuswarm_swarm::DockerEngine;
use futuswarm_vault::KmsVault;

use crate::login::Https;
use crate::{Addresses, Dns, Edge, Error, InstanceAddresses, Instances, Platform, Record, SystemClock, Zone};

/// DescribeInstances takes so many values per filter.
const IDS_PER_FILTER: usize = 200;

/// A node of AWS with this kind of edge.
pub(crate) struct Aws<X>(PhantomData<X>);

impl<X: Edge> Platform for Aws<X> {
    type Bucket = S3Bucket;
    type Engine = DockerEngine;
    type Vault = KmsVault;
    type Instances = aws_sdk_ec2::Client;
    type Dns = aws_sdk_route53::Client;
    type Discovery = Https;
    type Metadata = Imds;
    type Clock = SystemClock;
    type Edge = X;
}

/// What EC2 says of instances; nothing of those that it has forgotten.
async fn describe(ec2: &aws_sdk_ec2::Client, instances: &[String]) -> Result<Vec<Instance>, Error> {
    let mut all = Vec::new();
    for ids in instances.chunks(IDS_PER_FILTER) {
        // A filter, not ids: an id that EC2 has forgotten would fail the whole call.
        let filter = Filter::builder().name("instance-id").set_values(Some(ids.to_vec())).build();
        let mut pages = ec2.describe_instances().filters(filter).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| futuswarm_aws::Error::new("DescribeInstances", error))?;
            all.extend(
                page.reservations.unwrap_or_default().into_iter().flat_map(|one| one.instances.unwrap_or_default()),
            );
        }
    }
    Ok(all)
}

fn is_in(instance: &Instance, states: &[InstanceStateName]) -> bool {
    instance.state().and_then(|state| state.name()).is_some_and(|state| states.contains(state))
}

impl Instances for aws_sdk_ec2::Client {
    async fn alive(&self, instances: &[String]) -> Result<BTreeSet<String>, Error> {
        let all = describe(self, instances).await?;
        let gone = [InstanceStateName::Terminated, InstanceStateName::ShuttingDown];
        Ok(all.into_iter().filter(|one| !is_in(one, &gone)).filter_map(|one| one.instance_id).collect())
    }
}

impl InstanceAddresses for aws_sdk_ec2::Client {
    async fn addresses(&self, instances: &[String]) -> Result<BTreeMap<String, Addresses>, Error> {
        let all = describe(self, instances).await?;
        let running = all.iter().filter(|one| is_in(one, &[InstanceStateName::Running]));
        let addresses = |one: &Instance| {
            let address = |text: Option<&str>| text?.parse::<Ipv4Addr>().ok();
            let (private, public) = (address(one.private_ip_address())?, address(one.public_ip_address()));
            Some((one.instance_id()?.to_owned(), Addresses { private, public }))
        };
        Ok(running.filter_map(addresses).collect())
    }
}

/// Route 53 writes names with a last dot.
fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// What a record set says of addresses.
fn record_of(set: &ResourceRecordSet) -> Record {
    let addresses = set.resource_records().iter().filter_map(|record| record.value().parse().ok()).collect();
    Record { ttl: set.ttl(), addresses }
}

fn record_set(name: &str, record: &Record) -> Result<ResourceRecordSet, aws_sdk_route53::error::BuildError> {
    let mut set = ResourceRecordSet::builder().name(name).r#type(RrType::A).set_ttl(record.ttl);
    for address in &record.addresses {
        set = set.resource_records(ResourceRecord::builder().value(address.to_string()).build()?);
    }
    set.build()
}

fn upsert(name: &str, record: &Record) -> Result<ChangeBatch, aws_sdk_route53::error::BuildError> {
    let change = Change::builder().action(ChangeAction::Upsert).resource_record_set(record_set(name, record)?);
    ChangeBatch::builder().changes(change.build()?).build()
}

impl Dns for aws_sdk_route53::Client {
    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        let mut pages = self.list_hosted_zones().into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| futuswarm_aws::Error::new("ListHostedZones", error))?;
            for zone in page.hosted_zones {
                if zone.config.as_ref().is_none_or(|config| !config.private_zone) {
                    let id = zone.id.trim_start_matches("/hostedzone/").to_owned();
                    all.push(Zone { id, name: normal(&zone.name) });
                }
            }
        }
        Ok(all)
    }

    async fn record(&self, zone: &str, name: &str) -> Result<Option<Record>, Error> {
        // The list begins with it, or with what comes after it.
        let ask = self.list_resource_record_sets().hosted_zone_id(zone).start_record_name(name);
        let answer = ask.start_record_type(RrType::A).max_items(1).send().await;
        let answer = answer.map_err(|error| futuswarm_aws::Error::new("ListResourceRecordSets", error))?;
        let exact = |set: &&ResourceRecordSet| normal(set.name()) == name && *set.r#type() == RrType::A;
        Ok(answer.resource_record_sets().iter().find(exact).map(record_of))
    }

    async fn put(&self, zone: &str, name: &str, record: &Record) -> Result<(), Error> {
        let batch = upsert(name, record).map_err(|error| Error::Refused(format!("{name} makes no record: {error}")))?;
        let change = self.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch).send().await;
        change.map_err(|error| futuswarm_aws::Error::new("ChangeResourceRecordSets", error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_and_read_the_same() {
        let addresses = BTreeSet::from([[203, 0, 113, 2], [203, 0, 113, 1]].map(Ipv4Addr::from));
        let record = Record { ttl: Some(30), addresses };
        let set = record_set("ssh.example.com", &record).unwrap();
        assert_eq!((set.name(), set.r#type(), set.resource_records().len()), ("ssh.example.com", &RrType::A, 2));
        assert_eq!(record_of(&set), record);
        let batch = upsert("ssh.example.com", &record).unwrap();
        assert_eq!(batch.changes()[0].action(), &ChangeAction::Upsert);
        // An alias has neither.
        let alias = ResourceRecordSet::builder().name("ssh.example.com").r#type(RrType::A).build().unwrap();
        assert_eq!(record_of(&alias), Record { ttl: None, addresses: BTreeSet::new() });
        assert_eq!(normal("SSH.Example.com."), "ssh.example.com");
    }
}
