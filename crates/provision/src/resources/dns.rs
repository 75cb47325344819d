//! DNS names of the cluster: the domain and everything below it lead to the load balancer.

use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType,
};
use futuswarm_converge::{Resource, UNKNOWN};

use super::{balancer, certificate, load_balancer};
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Cluster, Run, components};

/// Seconds for which others may remember a record.
const TTL: i64 = 300;

/// The names of one domain.
pub(crate) struct Names {
    pub(crate) component: &'static str,
    pub(crate) domain: String,
}

/// Parts and domains of all names of the spec.
pub(crate) fn all(spec: &futuswarm_spec::Spec) -> Vec<Names> {
    components::DNS
        .into_iter()
        .zip(spec.domains())
        .map(|(component, domain)| Names { component, domain: domain.to_owned() })
        .collect()
}

/// The id of the public hosted zone that serves a domain: the longest that it ends with.
pub(crate) async fn zone(aws: &Aws, run: &Run, domain: &str) -> Result<Option<String>, Error> {
    Ok(longest(run.inventory.zones(aws).await?, domain).map(|(id, _)| id.clone()))
}

/// The zone that serves a name: the longest that it ends with.
pub(crate) fn longest<'a>(zones: &'a [(String, String)], domain: &str) -> Option<&'a (String, String)> {
    let serves = |name: &str| domain == name || domain.ends_with(&format!(".{name}"));
    zones.iter().filter(|(_, name)| serves(name)).max_by_key(|(_, name)| name.len())
}

/// Route 53 writes the star of a wildcard in octal, and every name with a last dot.
fn normal(name: &str) -> String {
    name.replace("\\052", "*").trim_end_matches('.').to_ascii_lowercase()
}

fn builder_error<E>(_: E) -> Error {
    incomplete("ChangeResourceRecordSets", "required field")()
}

/// Deletes records and makes or replaces others, all at once and in this order. What is gone already is not deleted: an attempt whose
/// answer was lost has done it, and Route 53 refuses the whole batch then.
async fn change(
    aws: &Aws,
    zone: &str,
    mut to_delete: Vec<ResourceRecordSet>,
    made: Vec<ResourceRecordSet>,
) -> Result<(), Error> {
    loop {
        let refused = match change_once(aws, zone, &to_delete, &made).await {
            Err(Error::Aws(refused)) if refused.is(&["InvalidChangeBatch"]) => refused,
            outcome => return outcome,
        };
        let mut left = Vec::new();
        for set in &to_delete {
            if records(aws, zone, set.name(), 100).await?.contains(set) {
                left.push(set.clone());
            }
        }
        if left.len() == to_delete.len() {
            return Err(refused.into());
        }
        to_delete = left;
    }
}

async fn change_once(
    aws: &Aws,
    zone: &str,
    to_delete: &[ResourceRecordSet],
    made: &[ResourceRecordSet],
) -> Result<(), Error> {
    let deletions = to_delete.iter().map(|set| (ChangeAction::Delete, set));
    let changes = deletions.chain(made.iter().map(|set| (ChangeAction::Upsert, set))).collect::<Vec<_>>();
    if changes.is_empty() {
        return Ok(());
    }
    let mut batch = ChangeBatch::builder();
    for (action, set) in changes {
        let change = Change::builder().action(action).resource_record_set(set.clone()).build();
        batch = batch.changes(change.map_err(builder_error)?);
    }
    let request = aws.dns.change_resource_record_sets().hosted_zone_id(zone);
    let request = request.change_batch(batch.build().map_err(builder_error)?);
    request.send().await.map_err(failed("ChangeResourceRecordSets"))?;
    Ok(())
}

/// Makes or replaces a record with one value.
pub(crate) async fn upsert(aws: &Aws, zone: &str, name: &str, kind: RrType, value: &str) -> Result<(), Error> {
    let record = ResourceRecord::builder().value(value).build().map_err(builder_error)?;
    let set = ResourceRecordSet::builder().name(name).r#type(kind).ttl(TTL).resource_records(record);
    change(aws, zone, Vec::new(), vec![set.build().map_err(builder_error)?]).await
}

/// Removes the records of a name and type, if there are any.
pub(crate) async fn remove(aws: &Aws, zone: &str, name: &str, kind: RrType) -> Result<(), Error> {
    change(aws, zone, exact(aws, zone, name, &kind).await?, Vec::new()).await
}

/// Whether there are records of a name and type.
pub(super) async fn exists(aws: &Aws, zone: &str, name: &str, kind: RrType) -> Result<bool, Error> {
    Ok(!exact(aws, zone, name, &kind).await?.is_empty())
}

/// The records of a name and type. A name has a dozen types at most, which the zone's order has together.
async fn exact(aws: &Aws, zone: &str, name: &str, kind: &RrType) -> Result<Vec<ResourceRecordSet>, Error> {
    let mut observed = records(aws, zone, name, 20).await?;
    observed.retain(|set| normal(set.name()) == normal(name) && set.r#type() == kind);
    Ok(observed)
}

/// Where a record leads, as names are compared.
fn target(set: &ResourceRecordSet) -> Option<String> {
    let target = normal(set.alias_target()?.dns_name());
    Some(target.trim_start_matches("dualstack.").to_owned())
}

/// Whether somebody else's records stand at a domain: ours lead to our balancer.
pub(super) async fn leads_elsewhere(aws: &Aws, cluster: &Cluster, zone: &str, domain: &str) -> Result<bool, Error> {
    let names = Names { component: "", domain: domain.to_owned() };
    let observed = names.ours(&records(aws, zone, domain, 100).await?);
    let balancer = balancer::dns_names(aws, cluster).await?;
    Ok(observed.iter().any(|set| !target(set).is_some_and(|target| balancer.contains(&target))))
}

/// Records in the zone's order, from a name on.
async fn records(aws: &Aws, zone: &str, from: &str, most: i32) -> Result<Vec<ResourceRecordSet>, Error> {
    let ask = aws.dns.list_resource_record_sets().hosted_zone_id(zone).start_record_name(from).max_items(most);
    Ok(ask.send().await.map_err(failed("ListResourceRecordSets"))?.resource_record_sets)
}

/// What there is.
pub(crate) enum Observed {
    /// Records of the domain in a zone of ours.
    Records(String, Vec<ResourceRecordSet>),
    /// Somebody else has to make them.
    Elsewhere,
}

impl Names {
    fn names(&self) -> [String; 2] {
        [self.domain.clone(), certificate::wildcard(&self.domain)]
    }

    /// The records of our names among those found; a CNAME leaves no room for another record.
    fn ours(&self, observed: &[ResourceRecordSet]) -> Vec<ResourceRecordSet> {
        let names = self.names();
        let ours = |set: &&ResourceRecordSet| {
            [RrType::A, RrType::Cname].contains(set.r#type()) && names.contains(&normal(set.name()))
        };
        observed.iter().filter(ours).cloned().collect()
    }

    fn target(run: &Run) -> String {
        load_balancer::address(run).map_or_else(|| UNKNOWN.to_owned(), |address| normal(&address.name))
    }
}

impl Resource<Run> for Names {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "DNS names"
    }

    fn name(&self, _: &Run) -> String {
        self.names().join(" ")
    }

    fn component(&self) -> String {
        self.component.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        vec![components::LOAD_BALANCER.to_owned()]
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let Some(zone) = zone(aws, run, &self.domain).await? else {
            // Said once the balancer has a name.
            if let Some(address) = load_balancer::address(run).filter(|_| run.is_desired_domain(&self.domain)) {
                run.note(format!(
                    "no hosted zone of this account serves {}: make these records where its DNS is\n    {}  CNAME  {}\n    {}  ALIAS or CNAME  {}",
                    self.domain,
                    certificate::wildcard(&self.domain),
                    address.name,
                    self.domain,
                    address.name
                ));
            }
            return Ok(Some(Observed::Elsewhere));
        };
        // The wildcard follows its domain in the zone's order.
        let observed = self.ours(&records(aws, &zone, &self.domain, 100).await?);
        Ok((!observed.is_empty()).then_some(Observed::Records(zone, observed)))
    }

    fn id(&self, _: &Observed) -> String {
        self.domain.clone()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        Ok(self
            .names()
            .iter()
            .fold(Fields::new(), |fields, name| fields.with(Field::DnsName(name.clone()), Self::target(run))))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let fields = Fields::new();
        match observed {
            Observed::Records(_, sets) => sets.iter().fold(fields, |fields, set| {
                fields.with(
                    Field::DnsName(normal(set.name())),
                    target(set).unwrap_or_else(|| "something else".to_owned()),
                )
            }),
            // What somebody else has to do is a note and no change of ours.
            Observed::Elsewhere => self
                .names()
                .iter()
                .fold(fields, |fields, name| fields.with(Field::DnsName(name.clone()), Self::target(run))),
        }
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        self.put(aws, run, &[]).await?;
        Ok(self.domain.clone())
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, _: &Changed) -> Result<(), Error> {
        match observed {
            Observed::Records(_, observed) => self.put(aws, run, observed).await,
            Observed::Elsewhere => Ok(()),
        }
    }

    /// What leads to another balancer by now is somebody else's.
    async fn delete(&self, aws: &Aws, run: &Run, observed: &Observed) -> Result<(), Error> {
        let Observed::Records(zone, observed) = observed else { return Ok(()) };
        let balancer = balancer::dns_names(aws, &run.cluster).await?;
        let (ours, others): (Vec<_>, Vec<_>) =
            observed.iter().cloned().partition(|set| target(set).is_some_and(|target| balancer.contains(&target)));
        for other in others {
            run.note(format!("the record {} stays: it does not lead to this cluster", normal(other.name())));
        }
        change(aws, zone, ours, Vec::new()).await
    }
}

impl Names {
    /// Makes the records; what cannot stand beside them goes in the same moment.
    async fn put(&self, aws: &Aws, run: &Run, observed: &[ResourceRecordSet]) -> Result<(), Error> {
        let zone = zone(aws, run, &self.domain).await?.ok_or_else(incomplete("ListHostedZones", "zone"))?;
        let address = load_balancer::address(run).ok_or_else(incomplete("DescribeLoadBalancers", "DNSName"))?;
        let in_the_way = observed.iter().filter(|set| *set.r#type() == RrType::Cname).cloned().collect();
        let mut made = Vec::new();
        for name in self.names() {
            let target = AliasTarget::builder().dns_name(&address.name).hosted_zone_id(&address.zone);
            let target = target.evaluate_target_health(false).build().map_err(builder_error)?;
            let set = ResourceRecordSet::builder().name(name).r#type(RrType::A).alias_target(target);
            made.push(set.build().map_err(builder_error)?);
        }
        change(aws, &zone, in_the_way, made).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_zone_serves_a_domain() {
        let zones = [("Z1", "example.com"), ("Z2", "apps.example.com"), ("Z3", "ample.com")];
        let zones: Vec<(String, String)> = zones.map(|(id, name)| (id.to_owned(), name.to_owned())).to_vec();
        let id = |domain: &str| longest(&zones, domain).map(|(id, _)| id.as_str());
        assert_eq!(id("apps.example.com"), Some("Z2"));
        assert_eq!(id("x.apps.example.com"), Some("Z2"));
        assert_eq!(id("other.example.com"), Some("Z1"));
        assert_eq!(id("sample.com"), None, "a name ends with a zone only at a dot");
    }

    #[test]
    fn names_are_compared_as_people_write_them() {
        assert_eq!(normal("\\052.Apps.example.com."), "*.apps.example.com");
    }
}
