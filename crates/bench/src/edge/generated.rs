//! What the agent of a node renders.

use anyhow::ensure;
use futuswarm_edge::{Expressions, LISTEN_PORT, Network, Rendered, Reserved, Routes, Service, decide, render};

use super::haproxy::INSIDE;
use super::host;

/// A service with the labels that an app has, and more of them.
pub(super) fn service(name: &str, port: u16, tasks: u32, more: &[(&str, &str)]) -> Service {
    let (port, host) = (port.to_string(), host(name));
    let own = [
        ("notify", "true"),
        ("distribute", "false"),
        ("servicePath", "/"),
        ("port", port.as_str()),
        ("serviceDomain", host.as_str()),
    ];
    let labels = own.iter().chain(more).map(|(label, value)| (format!("com.df.{label}"), (*value).to_owned()));
    Service {
        name: name.to_owned(),
        created_at: "2026-11-27T05:00:00Z".to_owned(),
        labels: labels.collect(),
        networks: vec![Network { name: "apps".to_owned(), attachable: true }],
        tasks,
    }
}

/// What edges serve for these services; all of them have to be served.
pub(super) fn decided(services: &[Service]) -> anyhow::Result<Routes> {
    let routes = decide(services, &Reserved { hosts: Vec::new(), owner: String::new() }, &Routes::default());
    ensure!(routes.refused.is_empty(), "services of the benchmark are refused: {:?}", routes.refused);
    Ok(routes)
}

/// The same with a port and a name server of this machine instead of the container's.
pub(super) fn rendered(routes: &Routes, port: u16, names: u16) -> anyhow::Result<Rendered> {
    let mut rendered = render(routes, true, INSIDE, Expressions::Compiled)?;
    for (before, after) in [
        (format!("bind :{LISTEN_PORT}"), format!("bind 127.0.0.1:{port}")),
        ("127.0.0.11:53".to_owned(), format!("127.0.0.1:{names}")),
    ] {
        ensure!(rendered.config.contains(&before), "the generated configuration has no {before:?}");
        rendered.config = rendered.config.replace(&before, &after);
    }
    Ok(rendered)
}
