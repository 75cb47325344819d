//! What all connections of a service share.

use tokio::sync::watch;

use crate::limits::Limits;
use crate::recent::Standing;

/// How many there may be, who still may ask, and whether the service stops.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) limits: Limits,
    pub(crate) standing: Standing,
    pub(crate) stopping: watch::Sender<bool>,
}

impl Default for Connections {
    fn default() -> Self {
        Self { limits: Limits::default(), standing: Standing::default(), stopping: watch::Sender::new(false) }
    }
}

impl Connections {
    /// Ends when the service stops, and never before.
    pub(crate) async fn stopping(&self) {
        let mut stopping = self.stopping.subscribe();
        if stopping.wait_for(|stopping| *stopping).await.is_err() {
            std::future::pending().await
        }
    }
}
