//! One file per kind of resource: how it is observed, how it should be, and how it is made, changed and deleted.

mod bucket;
mod certificate;
mod classic;
mod dns;
mod genesis;
mod group;
mod image;
mod instance_profile;
mod internet_gateway;
mod key_pair;
mod kms_key;
mod listener;
mod load_balancer;
mod marks;
mod peering;
mod rds;
mod role;
mod route_table;
mod s3_endpoint;
mod security_group;
mod spec_object;
mod subnet;
mod target_group;
mod template;
mod validation;
mod vpc;

use futuswarm_converge::{Context as _, Report, Step, orphan, step};
use futuswarm_spec::{BalancerKind, Role, Spec};

use crate::error::{Error, aws};
use crate::{Cloud, preflight};
use subnet::Tier;

/// Makes the cluster what its spec says; in a plan says how.
///
/// # Errors
/// With every failure; what was made so far stays, and the next run carries on.
pub async fn apply(cloud: &Cloud) -> Result<Report, Error> {
    let mut steps = common(cloud);
    preflight::check_adoption(cloud, &steps)?;
    preflight::check(cloud).await?;
    steps.extend(template::Template::all(cloud).await?.into_iter().map(step));
    let former = marks::former(cloud).await?;
    cloud.note_stale_tags(former.stale_tags);
    futuswarm_converge::apply(cloud, steps, async || orphans(cloud, &former).await).await?;
    if former.differs {
        futuswarm_converge::run_forwards(cloud, &[step(marks::Marks)]).await?;
    }
    Ok(cloud.ledger().take_report())
}

/// Deletes everything that belongs to the cluster, or says what would go. What is gone already is no error. The bucket and the
/// keys that open it stay, unless data is to be deleted, and the database leaves a last snapshot.
///
/// # Errors
/// With everything that could not be deleted; what does not hang on it was. The next run carries on.
pub async fn destroy(cloud: &Cloud) -> Result<Report, Error> {
    let mut steps = common(cloud);
    steps.extend(template::Template::to_delete(&cloud.spec).into_iter().map(step));
    steps.extend(orphans(cloud, &marks::former(cloud).await?).await?);
    futuswarm_converge::destroy(cloud, &steps).await?;
    Ok(cloud.ledger().take_report())
}

/// Everything that the spec asks for, but for the launch templates.
fn common(cloud: &Cloud) -> Vec<Box<dyn Step<Cloud>>> {
    let spec = &cloud.spec;
    let mut steps: Vec<Box<dyn Step<Cloud>>> = vec![
        step(kms_key::KmsKey::Cluster),
        step(kms_key::KmsKey::Managers),
        step(bucket::Bucket),
        step(spec_object::SpecObject),
        step(genesis::Epoch),
        step(vpc::Vpc),
        step(internet_gateway::InternetGateway),
        step(s3_endpoint::S3Endpoint),
        step(security_group::SecurityGroup::Balancer),
        step(security_group::SecurityGroup::Nodes),
        step(security_group::SecurityGroup::Database),
        step(rds::SubnetGroup { subnets: Tier::Private.parts(spec), wanted: spec.rds.is_some() }),
        step(rds::Rds(spec.rds.clone())),
    ];
    steps.extend(key_pair::KeyPair::of(cloud).map(step));
    for role in [Role::Manager, Role::Worker] {
        steps.push(step(role::Role(role)));
        steps.push(step(instance_profile::InstanceProfile(role)));
    }
    for tier in [Tier::Public, Tier::Private] {
        steps.push(step(route_table::Table::of(tier, spec)));
    }
    steps.extend(subnet::Subnet::all(spec).into_iter().map(step));
    steps.extend(peering::Peering::all(spec).into_iter().map(step));
    for (part, domain) in certificate::all(spec) {
        steps.push(step(validation::Validation { certificate: part, domain: domain.clone() }));
        steps.push(step(certificate::Certificate { part, domain }));
    }
    steps.extend(balancer(spec));
    steps.extend(dns::all(spec).into_iter().map(step));
    steps.extend(group::Group::all(spec).into_iter().map(step));
    steps
}

fn balancer(spec: &Spec) -> Vec<Box<dyn Step<Cloud>>> {
    let subnets = Tier::Public.parts(spec);
    match spec.load_balancer.kind {
        BalancerKind::Application => {
            let certificates = certificate::all(spec).into_iter().map(|(part, _)| part.to_owned()).collect();
            vec![
                step(load_balancer::LoadBalancer(subnets)),
                step(target_group::TargetGroup),
                step(listener::Listener::Http),
                step(listener::Listener::Https(certificates)),
            ]
        }
        BalancerKind::Classic => {
            let certificate = classic::certificate_part(spec);
            vec![step(classic::ClassicBalancer { subnets, certificate })]
        }
    }
}

/// What is there and the spec no longer asks for: key pairs, groups, templates, zones, peerings, the other kind of balancer, domains.
async fn orphans(cloud: &Cloud, former: &marks::Former) -> Result<Vec<Box<dyn Step<Cloud>>>, Error> {
    let mut steps: Vec<Box<dyn Step<Cloud>>> = Vec::new();
    match former.balancer {
        Some(BalancerKind::Application) => steps.extend([
            orphan(load_balancer::LoadBalancer(Vec::new())),
            orphan(target_group::TargetGroup),
            orphan(listener::Listener::Http),
            orphan(listener::Listener::Https(Vec::new())),
        ]),
        Some(BalancerKind::Classic) => {
            let certificate = classic::certificate_part(&cloud.spec);
            steps.push(orphan(classic::ClassicBalancer { subnets: Vec::new(), certificate }));
        }
        None => {}
    }
    for ((part, dns), domain) in certificate::FORMER.into_iter().zip(dns::FORMER).zip(&former.domains) {
        steps.push(orphan(validation::Validation { certificate: part, domain: domain.clone() }));
        steps.push(orphan(certificate::Certificate { part, domain: domain.clone() }));
        steps.push(orphan(dns::Names { part: dns, domain: domain.clone() }));
    }
    steps.extend(key_pair::KeyPair::orphans(cloud).await?.into_iter().map(step));
    steps.extend(group::Group::orphans(cloud).await?.into_iter().map(step));
    steps.extend(template::Template::orphans(cloud).await?.into_iter().map(step));
    steps.extend(subnet::Subnet::orphans(cloud).await?.into_iter().map(step));
    steps.extend(peering::Peering::orphans(cloud).await?.into_iter().map(step));
    Ok(steps)
}

/// Whether the load balancer serves HTTPS.
pub(crate) async fn serves_https(cloud: &Cloud) -> Result<bool, Error> {
    match cloud.spec.load_balancer.kind {
        BalancerKind::Application => {
            let Some(arn) = load_balancer::find(cloud).await?.and_then(|found| found.load_balancer_arn) else {
                return Ok(false);
            };
            let ask = cloud.balancing.describe_listeners().load_balancer_arn(arn).send().await;
            let answer = ask.map_err(aws("DescribeListeners"))?;
            Ok(answer.listeners().iter().any(|listener| listener.port() == Some(443)))
        }
        BalancerKind::Classic => {
            let found = classic::find(cloud).await?;
            let listeners = found.and_then(|found| found.listener_descriptions).unwrap_or_default();
            let mut ports = listeners.iter().filter_map(|one| one.listener()).map(|one| one.load_balancer_port());
            Ok(ports.any(|port| port == 443))
        }
    }
}

/// The load balancer's DNS name.
pub(crate) async fn balancer_name(cloud: &Cloud) -> Result<Option<String>, Error> {
    Ok(match cloud.spec.load_balancer.kind {
        BalancerKind::Application => load_balancer::find(cloud).await?.and_then(|found| found.dns_name),
        BalancerKind::Classic => classic::find(cloud).await?.and_then(|found| found.dns_name),
    })
}

/// The DNS names of the cluster's balancers, of either kind, in small letters.
async fn balancer_names(cloud: &Cloud) -> Result<Vec<String>, Error> {
    let application = load_balancer::find(cloud).await?.and_then(|found| found.dns_name);
    let classic = classic::find(cloud).await?.and_then(|found| found.dns_name);
    Ok(application.into_iter().chain(classic).map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect())
}
