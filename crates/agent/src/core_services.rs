//! The services that every cluster has. They come out of the image: a node needs no registry to serve them.

use std::collections::HashMap;

use futuswarm_edge::Reserved;
use futuswarm_node_files::Files;
use futuswarm_swarm::{Environment, Mode, NetworkAttachment, PlatformMount, Resources, ServiceApi, ServiceSpec};

use crate::Error;

/// The network of the core services.
pub(crate) const NETWORK: &str = "futuswarm-core";

/// The service that has the cluster's bare domain.
const MAINPAGE: &str = "mainpage";

/// Host names that belong to core services: the bare domain, what a local cloud's page is asked for by, and the managers' own, which
/// leads to no edge.
pub(crate) fn reserved(domain: &str) -> Reserved {
    let mut all = hosts(domain);
    all.push(futuswarm_model::ssh_host(domain));
    Reserved { hosts: all, owner: MAINPAGE.to_owned() }
}

fn hosts(domain: &str) -> Vec<String> {
    vec![domain.to_owned(), "localhost".to_owned()]
}

/// Makes the core services what they should be.
pub(crate) async fn ensure(engine: &impl ServiceApi, files: &Files, domain: &str) -> Result<(), Error> {
    let images = files.container_images()?;
    let Some(image) = images.get(MAINPAGE) else { return Ok(()) };
    let label = |name: &str, value: &str| (format!("com.df.{name}"), value.to_owned());
    let network = engine.ensure_overlay(NETWORK).await?;
    let mainpage = ServiceSpec {
        environment: Environment(vec![format!("DOMAIN={domain}")]),
        labels: HashMap::from([
            label("notify", "true"),
            label("distribute", "false"),
            label("serviceDomain", &hosts(domain).join(",")),
            label("servicePath", "/"),
            label("port", "8080"),
        ]),
        mode: Mode::Replicated(2),
        // The same on every node, whether there is something to download yet or not.
        mounts: vec![PlatformMount::downloads()],
        networks: vec![NetworkAttachment::new(network)],
        resources: Resources { memory_bytes: 32 << 20, ..Resources::default() },
        ..ServiceSpec::new(MAINPAGE, image)
    };
    if engine.ensure_service(&mainpage).await? {
        tracing::info!(service = mainpage.name, image = mainpage.image, "core service created or updated");
    }
    Ok(())
}
