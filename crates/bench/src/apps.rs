//! Documents of many apps in the bucket of a cluster that runs, so that its control service has something to keep.

use clap::Args;
use futuswarm_server::records::Records;
use futuswarm_store::{S3Bucket, Store};
use futuswarm_vault::KmsVault;
use serde::Serialize;

use crate::cluster;

/// Releases of each app.
const RELEASES: u64 = 5;

#[derive(Debug, Args)]
pub(crate) struct Apps {
    /// The cluster's bucket.
    #[arg(long)]
    bucket: String,
    /// As in its specification.
    #[arg(long)]
    cluster: String,
    /// So many apps, which have documents and run nothing.
    #[arg(long, default_value_t = 200)]
    count: u32,
}

/// What there is now.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    /// Apps in the index.
    apps: usize,
}

impl Apps {
    pub(crate) async fn run(self) -> anyhow::Result<Written> {
        let sdk = futuswarm_aws::config(None).await;
        let bucket = S3Bucket::new(&sdk, &self.bucket);
        let store = Store::new(bucket.clone());
        for number in 0..self.count {
            cluster::make_app(&store, &format!("bench-{number}"), RELEASES).await?;
        }
        let key = format!("alias/futuswarm/{}/managers", self.cluster);
        let index = Records::new(bucket, KmsVault::new(&sdk), &self.cluster, &key).rebuild_index().await?;
        Ok(Written { apps: index.len() })
    }
}
