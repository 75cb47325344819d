//! A config of a hundred keys in S3 and KMS: as one sealed document, and as the old tool kept it, an object and a sealed data key for
//! each key, read one after the other.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, VersioningConfiguration,
};
use clap::{Args, Subcommand};
use futuswarm_server::records::{Error, Kind, Records, Value, Values};
use futuswarm_store::{Bucket as _, Condition, S3Bucket};
use futuswarm_vault::{Context, KmsVault, Secret, Vault as _};
use serde::Serialize;

const APP: &str = "hello";
const ENVIRONMENT: &str = "default";
const KEYS: usize = 100;
/// As long as a connection string is.
const VALUE: &str = "postgres://hello:0123456789abcdef0123456789abcdef@db.example.com:5432/hello?sslmode=verify-full";

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Makes a bucket and a KMS key, and puts the config into them in both ways.
    Prepare {
        #[arg(long)]
        bucket: String,
    },
    /// Loads it as one sealed document.
    Ours(Place),
    /// Loads it key by key.
    Peer(Place),
}

#[derive(Debug, Args)]
pub(crate) struct Place {
    #[arg(long)]
    bucket: String,
    /// Id of the KMS key.
    #[arg(long)]
    key: String,
    /// So many times; the first, which connects, is not among them.
    #[arg(long, default_value_t = 5)]
    times: u32,
}

/// What was done.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Done {
    /// Id of the KMS key.
    Prepared { key: String },
    /// The median of so many loads, and how many there were with the first one.
    Loaded { seconds: f64, loads: u32 },
}

struct Clients {
    sdk: futuswarm_aws::SdkConfig,
    bucket: S3Bucket,
    vault: KmsVault,
}

impl Clients {
    async fn new(bucket: &str) -> Self {
        let sdk = futuswarm_aws::config(None).await;
        Self { bucket: S3Bucket::new(&sdk, bucket), vault: KmsVault::new(&sdk), sdk }
    }

    fn records(&self, key: &str) -> Records<S3Bucket, KmsVault> {
        Records::new(self.bucket.clone(), self.vault.clone(), "bench", key)
    }
}

impl Config {
    pub(crate) async fn run(self) -> anyhow::Result<Done> {
        match self {
            Self::Prepare { bucket } => prepare(&bucket).await,
            Self::Ours(place) => {
                let records = Clients::new(&place.bucket).await.records(&place.key);
                let load = async || {
                    let document = records.values(APP, ENVIRONMENT, Kind::Config, None).await?;
                    anyhow::Ok(document.context("there is no config")?.values.len())
                };
                timed(place.times, load).await
            }
            Self::Peer(place) => {
                let clients = Clients::new(&place.bucket).await;
                let load = async || {
                    let mut loaded = 0;
                    for number in 0..KEYS {
                        let object = clients.bucket.get(&old_key(number)).await?.context("a key is gone")?;
                        let sealed = String::from_utf8(object.body)?;
                        let value = clients.vault.open(&place.key, &old_context(number), &sealed).await?;
                        loaded += usize::from(value.expose() == VALUE);
                    }
                    anyhow::Ok(loaded)
                };
                timed(place.times, load).await
            }
        }
    }
}

/// Where the old way keeps a key.
fn old_key(number: usize) -> String {
    format!("old/{APP}/KEY_{number}")
}

fn old_context(number: usize) -> Context {
    Context { cluster: "bench".to_owned(), kind: "config".to_owned(), name: format!("KEY_{number}") }
}

async fn timed(times: u32, load: impl AsyncFn() -> anyhow::Result<usize>) -> anyhow::Result<Done> {
    let mut seconds = Vec::new();
    for _ in 0..=times {
        let began = Instant::now();
        let loaded = load().await?;
        seconds.push(began.elapsed());
        anyhow::ensure!(loaded == KEYS, "{loaded} keys were loaded");
    }
    // The first connects.
    let mut warm: Vec<Duration> = seconds.split_off(1);
    warm.sort();
    let median = warm.get(warm.len() / 2).context("no load was measured")?;
    Ok(Done::Loaded { seconds: median.as_secs_f64(), loads: times + 1 })
}

async fn prepare(name: &str) -> anyhow::Result<Done> {
    let clients = Clients::new(name).await;
    let s3 = aws_sdk_s3::config::Builder::from(&clients.sdk).force_path_style(clients.sdk.endpoint_url().is_some());
    let region = clients.sdk.region().context("AWS_REGION is needed")?;
    let configuration = CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::from(region.as_ref()))
        .build();
    let s3 = aws_sdk_s3::Client::from_conf(s3.build());
    let created = s3.create_bucket().bucket(name).create_bucket_configuration(configuration).send().await;
    created.map_err(|error| futuswarm_aws::Error::new("CreateBucket", error))?;
    // As a cluster's bucket is.
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let versioned = s3.put_bucket_versioning().bucket(name).versioning_configuration(versioning).send().await;
    versioned.map_err(|error| futuswarm_aws::Error::new("PutBucketVersioning", error))?;
    let key = aws_sdk_kms::Client::new(&clients.sdk).create_key().send().await;
    let key = key.map_err(|error| futuswarm_aws::Error::new("CreateKey", error))?;
    let key = key.key_metadata().context("CreateKey answers without a key")?.key_id().to_owned();

    let records = clients.records(&key);
    records.create_app(APP, "jane", futuswarm_model::unix_millis()).await?;
    let all: Values = (0..KEYS).map(|number| (format!("KEY_{number}"), Value::from(VALUE))).collect();
    let change = |_: &Values| Ok::<_, Error>(all.clone());
    records.change_values(APP, ENVIRONMENT, Kind::Config, "jane", futuswarm_model::unix_millis(), change).await?;
    for number in 0..KEYS {
        let secret = Secret::new(VALUE.to_owned());
        let sealed = clients.vault.seal(&key, &old_context(number), &secret).await?;
        clients.bucket.put(&old_key(number), sealed.into_bytes(), Condition::None).await?;
    }
    Ok(Done::Prepared { key })
}
