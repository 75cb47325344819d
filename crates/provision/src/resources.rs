//! One file per kind of resource: how it is observed, how it should be, and how it is made, changed and deleted.

pub(crate) mod balancer;
mod bucket;
mod certificate;
mod classic;
mod cli_object;
pub(crate) mod dns;
mod fingerprint;
mod genesis;
mod group;
mod image;
mod instance_profile;
mod internet_gateway;
mod key_pair;
mod kms_key;
mod listener;
mod load_balancer;
mod login_object;
mod login_rule;
mod peering;
mod rds;
mod role;
mod route_table;
mod s3_endpoint;
mod security_group;
mod spec_object;
mod ssh_name;
mod subnet;
mod tags;
mod target_group;
mod template;
mod validation;
mod vpc;

use futuswarm_converge::{Context as _, Report, Step, orphan, step};
use futuswarm_spec::{BalancerKind, Role, Spec};

use crate::components::Tier;
use crate::error::Error;
use crate::{Aws, Run, components, preflight};

/// Makes the cluster what its spec says; in a plan says how.
///
/// # Errors
/// With every failure; what was made so far stays, and the next run carries on.
pub async fn apply(aws: &Aws, run: Run) -> Result<Report, Error> {
    let mut steps = common(&run);
    preflight::check_adoption(&run, &steps)?;
    preflight::check(aws, &run).await?;
    steps.extend(template::Template::all(aws, &run).await?.into_iter().map(step));
    let previous = fingerprint::previous(aws, &run).await?;
    let run = run.with_stale_tags(previous.stale_tags);
    futuswarm_converge::apply(aws, &run, steps, async || orphans(aws, &run, &previous).await).await?;
    if previous.differs {
        futuswarm_converge::run_forwards(aws, &run, &[step(fingerprint::Fingerprint)]).await?;
    }
    Ok(run.ledger().take_report())
}

/// Deletes everything that belongs to the cluster, or says what would go. What is gone already is no error. The bucket and the
/// keys that open it stay, unless data is to be deleted, and the database leaves a last snapshot.
///
/// # Errors
/// With everything that could not be deleted; what does not hang on it was. The next run carries on.
pub async fn destroy(aws: &Aws, run: &Run) -> Result<Report, Error> {
    let mut steps = common(run);
    steps.extend(template::Template::to_delete(&run.cluster.spec).into_iter().map(step));
    steps.extend(orphans(aws, run, &fingerprint::previous(aws, run).await?).await?);
    futuswarm_converge::destroy(aws, run, &steps).await?;
    Ok(run.ledger().take_report())
}

/// Everything that the spec asks for, but for the launch templates.
fn common(run: &Run) -> Vec<Box<dyn Step<Run>>> {
    let spec = &run.cluster.spec;
    let mut steps: Vec<Box<dyn Step<Run>>> = vec![
        step(kms_key::KmsKey::Cluster),
        step(kms_key::KmsKey::Managers),
        step(bucket::Bucket),
        step(spec_object::SpecObject),
        step(login_object::LoginObject::of(spec)),
        step(genesis::Epoch),
        step(vpc::Vpc),
        step(internet_gateway::InternetGateway),
        step(s3_endpoint::S3Endpoint),
        step(security_group::SecurityGroup::Balancer),
        step(security_group::SecurityGroup::Nodes),
        step(security_group::SecurityGroup::Database),
        step(login_rule::LoginRule { desired: spec.login.is_some() }),
        step(rds::SubnetGroup { subnets: Tier::Private.subnets(spec), desired: spec.rds.is_some() }),
        step(rds::Rds(spec.rds.clone())),
    ];
    steps.extend(run.overrides.cli.clone().map(|program| step(cli_object::CliObject(program))));
    steps.extend(key_pair::KeyPair::of(run).map(step));
    for role in [Role::Manager, Role::Worker] {
        steps.push(step(role::Role(role)));
        steps.push(step(instance_profile::InstanceProfile(role)));
    }
    for tier in [Tier::Public, Tier::Private] {
        steps.push(step(route_table::Table::of(tier, spec)));
    }
    steps.extend(subnet::Subnet::all(spec).into_iter().map(step));
    steps.extend(peering::Peering::all(spec).into_iter().map(step));
    for (component, domain) in certificate::all(spec) {
        steps.push(step(validation::Validation { certificate: component, domain: domain.clone() }));
        steps.push(step(certificate::Certificate { component, domain }));
    }
    steps.extend(balancer(spec));
    steps.extend(dns::all(spec).into_iter().map(step));
    steps.push(step(ssh_name::SshName));
    steps.extend(group::Group::all(spec).into_iter().map(step));
    steps
}

fn balancer(spec: &Spec) -> Vec<Box<dyn Step<Run>>> {
    let (subnets, login) = (Tier::Public.subnets(spec), spec.login.is_some());
    match spec.load_balancer.kind {
        BalancerKind::Application => {
            let certificates = certificate::all(spec).into_iter().map(|(component, _)| component.to_owned()).collect();
            vec![
                step(load_balancer::LoadBalancer(subnets)),
                step(target_group::TargetGroup::Edge),
                step(target_group::TargetGroup::Login { desired: login }),
                step(listener::Listener::http(login)),
                step(listener::Listener::https(certificates, login)),
            ]
        }
        BalancerKind::Classic => {
            let certificate = classic::certificate_part(spec);
            vec![step(classic::ClassicBalancer { subnets, certificate })]
        }
    }
}

/// What is there and the spec no longer asks for: key pairs, groups, templates, zones, peerings, the other kind of balancer, domains.
async fn orphans(aws: &Aws, run: &Run, previous: &fingerprint::Previous) -> Result<Vec<Box<dyn Step<Run>>>, Error> {
    let mut steps: Vec<Box<dyn Step<Run>>> = Vec::new();
    match previous.balancer {
        Some(BalancerKind::Application) => steps.extend([
            orphan(load_balancer::LoadBalancer(Vec::new())),
            orphan(target_group::TargetGroup::Edge),
            orphan(target_group::TargetGroup::Login { desired: false }),
            // Whether they led to a login: they go before its target group.
            orphan(listener::Listener::http(true)),
            orphan(listener::Listener::https(Vec::new(), true)),
        ]),
        Some(BalancerKind::Classic) => {
            let certificate = classic::certificate_part(&run.cluster.spec);
            steps.push(orphan(classic::ClassicBalancer { subnets: Vec::new(), certificate }));
        }
        None => {}
    }
    for ((component, dns), domain) in
        components::PREVIOUS_CERTIFICATES.into_iter().zip(components::PREVIOUS_DNS).zip(&previous.domains)
    {
        steps.push(orphan(validation::Validation { certificate: component, domain: domain.clone() }));
        steps.push(orphan(certificate::Certificate { component, domain: domain.clone() }));
        steps.push(orphan(dns::Names { component: dns, domain: domain.clone() }));
    }
    steps.extend(key_pair::KeyPair::orphans(aws, run).await?.into_iter().map(step));
    steps.extend(group::Group::orphans(aws, run).await?.into_iter().map(step));
    steps.extend(template::Template::orphans(aws, run).await?.into_iter().map(step));
    steps.extend(subnet::Subnet::orphans(aws, run).await?.into_iter().map(step));
    steps.extend(peering::Peering::orphans(aws, run).await?.into_iter().map(step));
    Ok(steps)
}

#[cfg(test)]
mod tests;
