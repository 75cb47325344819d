//! The cluster's load balancer, of whichever kind it is.

use futuswarm_spec::BalancerKind;

use super::{classic, load_balancer};
use crate::error::{Error, failed};
use crate::{Aws, Cluster};

/// Whether the load balancer serves HTTPS.
pub(crate) async fn serves_https(aws: &Aws, cluster: &Cluster) -> Result<bool, Error> {
    match cluster.spec.load_balancer.kind {
        BalancerKind::Application => {
            let Some(arn) = load_balancer::find(aws, cluster).await?.and_then(|observed| observed.load_balancer_arn)
            else {
                return Ok(false);
            };
            let ask = aws.balancing.describe_listeners().load_balancer_arn(arn).send().await;
            let answer = ask.map_err(failed("DescribeListeners"))?;
            Ok(answer.listeners().iter().any(|listener| listener.port() == Some(443)))
        }
        BalancerKind::Classic => {
            let observed = classic::find(aws, cluster).await?;
            let listeners = observed.and_then(|observed| observed.listener_descriptions).unwrap_or_default();
            let mut ports = listeners.iter().filter_map(|one| one.listener()).map(|one| one.load_balancer_port());
            Ok(ports.any(|port| port == 443))
        }
    }
}

/// The load balancer's DNS name.
pub(crate) async fn dns_name(aws: &Aws, cluster: &Cluster) -> Result<Option<String>, Error> {
    Ok(match cluster.spec.load_balancer.kind {
        BalancerKind::Application => load_balancer::find(aws, cluster).await?.and_then(|observed| observed.dns_name),
        BalancerKind::Classic => classic::find(aws, cluster).await?.and_then(|observed| observed.dns_name),
    })
}

/// The DNS names of the cluster's balancers, of either kind, in small letters.
pub(crate) async fn dns_names(aws: &Aws, cluster: &Cluster) -> Result<Vec<String>, Error> {
    let application = load_balancer::find(aws, cluster).await?.and_then(|observed| observed.dns_name);
    let classic = classic::find(aws, cluster).await?.and_then(|observed| observed.dns_name);
    Ok(application.into_iter().chain(classic).map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect())
}
