//! What a release runs with.

use std::collections::BTreeMap;

use futuswarm_model::{AppRecord, Release};
use futuswarm_rpc::message::Kind;
use futuswarm_swarm::{Environment, NetworkApi as _};

use crate::desired::{self, Content};
use crate::{Control, Error, Platform, links, rollout};

impl<P: Platform> Control<P> {
    /// What a release runs with, out of the bucket and the Swarm; on the networks that the app's `record` says, whatever it was on when
    /// the release was made.
    pub(crate) async fn content(&self, release: &Release, record: Option<&AppRecord>) -> Result<Content, Error> {
        let app = &release.app;
        let config = match &release.config {
            Some(version) => self.opened(app, Kind::Config, version).await?,
            None => BTreeMap::new(),
        };
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        let config: Environment = config.into_iter().map(|(key, value)| (key, text(value))).collect();
        let secrets = match &release.secrets {
            Some(version) => {
                let values = self.opened(app, Kind::Secrets, version).await?;
                rollout::secrets(&self.engine, app, version, &values).await?
            }
            None => Vec::new(),
        };
        // Its own network first: on that the edge reaches it.
        let mut networks = vec![self.engine.ensure_overlay(&desired::network_name(app)).await?];
        if let Some(record) = record {
            networks.extend(links::ensured(self, record).await?);
        }
        Ok(Content { config, secrets, networks, domain: self.facts.domain.clone() })
    }
}
