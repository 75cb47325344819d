//! What the emulator says of classic load balancers: listeners, their health check, registered instances.

use aws_sdk_elasticloadbalancing::types::{HealthCheck, LoadBalancerDescription};
use futuswarm_aws::Error as AwsError;

use super::Notes;
use super::model::{Action, Check, Listener, Pool, Server};
use super::observe::Found;
use crate::error::Result;
use crate::observed_instances::View;
use futuswarm_aws_front::clients::Clients;

/// Adds the classic load balancers to what was found, in the order of their names.
///
/// # Errors
/// When the emulator cannot be asked.
pub async fn observe(clients: &Clients, view: &View, all: &mut Found, notes: &mut Notes) -> Result<()> {
    let found = clients.classic.describe_load_balancers().send().await;
    let found = found.map_err(|error| AwsError::new("DescribeLoadBalancers", error))?;
    let mut balancers = found.load_balancer_descriptions.unwrap_or_default();
    balancers.sort_by_key(|balancer| balancer.load_balancer_name().unwrap_or_default().to_owned());
    for balancer in &balancers {
        add(view, balancer, all, notes);
    }
    Ok(())
}

fn add(view: &View, balancer: &LoadBalancerDescription, all: &mut Found, notes: &mut Notes) {
    let name = balancer.load_balancer_name().unwrap_or_default();
    for listener in balancer.listener_descriptions().iter().filter_map(|description| description.listener()) {
        let port = listener.load_balancer_port();
        let certificates = match listener.protocol() {
            "HTTP" => Vec::new(),
            "HTTPS" => listener.ssl_certificate_id().map(str::to_owned).into_iter().collect(),
            other => {
                notes.say(format!("port {port} of {name} is for {other}; the local cloud leaves it out"));
                continue;
            }
        };
        let target_port = listener.instance_port();
        let pool = format!("{name}-{target_port}");
        let ids: Vec<&str> = balancer.instances().iter().filter_map(|instance| instance.instance_id()).collect();
        let server = |id: &&str| {
            let address = view.running.get(*id)?.address.to_string();
            Some(Server { id: (*id).to_owned(), address, port: target_port })
        };
        let mut servers: Vec<Server> = ids.iter().filter_map(server).collect();
        servers.sort_by(|a, b| a.id.cmp(&b.id));
        let tls = listener.instance_protocol() == Some("HTTPS");
        let check = check(balancer.health_check());
        all.pools.insert(pool.clone(), Pool { name: pool.clone(), check, tls, targets: ids.len(), servers });
        let (balancer, default) = (name.to_owned(), Action::Forward(pool));
        all.listeners.push(Listener { balancer, port, certificates, rules: Vec::new(), default });
    }
}

/// A check such as `HTTP:80/status` or `TCP:80`.
fn check(found: Option<&HealthCheck>) -> Check {
    let target = found.map_or("TCP:80", |check| check.target());
    let (protocol, rest) = target.split_once(':').unwrap_or((target, ""));
    let (port, path) = rest.split_once('/').map_or((rest, None), |(port, path)| (port, Some(format!("/{path}"))));
    let number = |value: Option<i32>, default: i32| value.filter(|value| *value > 0).unwrap_or(default);
    Check {
        path: path.filter(|_| protocol.starts_with("HTTP")),
        port: port.parse().ok(),
        matcher: "200".to_owned(),
        interval: number(found.map(|check| check.interval()), 30),
        timeout: number(found.map(|check| check.timeout()), 5),
        rise: number(found.map(|check| check.healthy_threshold()), 10),
        fall: number(found.map(|check| check.unhealthy_threshold()), 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_checks_of_classic_balancers() {
        let of = |target: &str| {
            check(Some(
                &HealthCheck::builder()
                    .target(target)
                    .interval(10)
                    .timeout(5)
                    .healthy_threshold(3)
                    .unhealthy_threshold(0)
                    .build()
                    .unwrap(),
            ))
        };
        let http = of("HTTP:80/status?deep=1");
        assert_eq!((http.path.as_deref(), http.port), (Some("/status?deep=1"), Some(80)));
        assert_eq!((http.interval, http.rise, http.fall), (10, 3, 2));
        let tcp = of("TCP:443");
        assert_eq!((tcp.path, tcp.port), (None, Some(443)));
    }
}
