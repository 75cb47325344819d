//! The bucket's settings: reading all of them, and putting each right.

use aws_sdk_s3::error::BuildError;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketVersioningStatus, ExpirationStatus,
    LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, NoncurrentVersionExpiration,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, VersioningConfiguration,
};

use futuswarm_model::keys;
use futuswarm_spec::Retention;

use crate::consistency::until_visible;
use crate::error::{Error, failed, incomplete};
use crate::field::{Field, Fields};
use crate::{Aws, Cluster, Run, components, policies};

/// Days after which the parts of an upload that was never finished go.
const UNFINISHED_DAYS: i32 = 7;
/// Days after which older versions of heartbeats go: the fewest that S3 takes. One a minute of fifty nodes makes 72,000 versions a
/// day.
const HEARTBEAT_DAYS: i32 = 1;

pub(super) fn unbuilt(_: BuildError) -> Error {
    incomplete("a request about the bucket", "required field")()
}

/// One rule about the age of objects.
struct Expiry {
    name: &'static str,
    prefix: &'static str,
    /// After how many days objects go.
    current: Option<i32>,
    /// After how many days older versions go.
    older: Option<i32>,
    /// After how many days the parts of an upload that was never finished go.
    unfinished: Option<i32>,
    /// Whether a delete marker goes once no version is left behind it. S3 takes no days for it, nor for objects beside it
    /// (Amazon S3 API Reference, LifecycleExpiration).
    markers: bool,
}

impl Expiry {
    const fn new(name: &'static str, prefix: &'static str) -> Self {
        Self { name, prefix, current: None, older: None, unfinished: None, markers: false }
    }

    /// For objects that every node writes again and again, and whose past nobody reads. Where several rules fit a version, S3
    /// follows the shortest (Amazon S3 User Guide, "Examples of S3 Lifecycle configurations", overlapping filters).
    const fn of_heartbeats(name: &'static str, prefix: &'static str) -> Self {
        Self { older: Some(HEARTBEAT_DAYS), markers: true, ..Self::new(name, prefix) }
    }
}

/// Each prefix has a rule of its own but `apps/`, which has none: releases name older versions of config and secrets, however old they
/// are, and a rule for everything would end them, since no other rule can take something out of it.
fn expiries(retention: &Retention) -> [Expiry; 9] {
    let days = |days: u32| i32::try_from(days).ok();
    let older = days(retention.versions_days);
    let unfinished = Some(UNFINISHED_DAYS);
    [
        Expiry { unfinished, ..Expiry::new("unfinished-uploads", "") },
        Expiry { older, ..Expiry::new("cluster", "cluster/") },
        Expiry { older, markers: true, ..Expiry::new("users", keys::USERS) },
        Expiry { older, markers: true, ..Expiry::new("tokens", keys::TOKENS) },
        Expiry { older, markers: true, ..Expiry::new("registry", keys::REGISTRY) },
        Expiry { current: days(retention.backup_days), older, ..Expiry::new("backups", keys::BACKUPS) },
        Expiry { current: days(retention.audit_days), older, ..Expiry::new("audit", keys::AUDIT) },
        Expiry::of_heartbeats("nodes", keys::NODES),
        Expiry::of_heartbeats("managers", keys::MANAGERS),
    ]
}

/// A rule in words, the same for one that is desired and one that is there.
fn in_words(rule: &LifecycleRule) -> String {
    let prefix = rule.filter().and_then(|filter| filter.prefix()).unwrap_or_default();
    let expiration = rule.expiration();
    let older = rule.noncurrent_version_expiration().and_then(|expiration| expiration.noncurrent_days());
    let unfinished = rule.abort_incomplete_multipart_upload().and_then(|abort| abort.days_after_initiation());
    let after = |days: i32| if days == 1 { "after a day".to_owned() } else { format!("after {days} days") };
    let mut words = vec![if prefix.is_empty() { "everything".to_owned() } else { prefix.to_owned() }];
    words.extend(expiration.and_then(|expiration| expiration.days()).map(after));
    words.extend(older.map(|days| format!("older versions {}", after(days))));
    words.extend(unfinished.map(|days| format!("unfinished uploads {}", after(days))));
    if expiration.is_some_and(|expiration| expiration.expired_object_delete_marker() == Some(true)) {
        words.push("delete markers with nothing behind them".to_owned());
    }
    words.join(", ")
}

fn rule(expiry: &Expiry) -> Result<LifecycleRule, Error> {
    let markers = expiry.markers.then(|| LifecycleExpiration::builder().expired_object_delete_marker(true).build());
    let current = expiry.current.map(|days| LifecycleExpiration::builder().days(days).build());
    let older = expiry.older.map(|days| NoncurrentVersionExpiration::builder().noncurrent_days(days).build());
    let unfinished =
        expiry.unfinished.map(|days| AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build());
    LifecycleRule::builder()
        .id(expiry.name)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix(expiry.prefix).build())
        .set_expiration(current.or(markers))
        .set_noncurrent_version_expiration(older)
        .set_abort_incomplete_multipart_upload(unfinished)
        .build()
        .map_err(unbuilt)
}

fn rules(retention: &Retention) -> Result<Vec<LifecycleRule>, Error> {
    expiries(retention).iter().map(rule).collect()
}

/// The policy that is desired, if any. Behind an endpoint without TLS it would do what it says, and lock everybody out.
fn policy(cluster: &Cluster) -> Option<String> {
    cluster.over_tls.then(|| policies::bucket(&cluster.names).to_string())
}

pub(super) fn desired(run: &Run) -> Result<Fields, Error> {
    let mut fields = Fields::new()
        .with(Field::PublicAccess, "blocked")
        .with(Field::Versioning, BucketVersioningStatus::Enabled.as_str())
        .with(Field::Encryption, run.id_or_unknown(components::CLUSTER_KEY))
        .with_some(Field::BucketPolicy, policy(&run.cluster));
    for rule in rules(&run.cluster.spec.retention)? {
        fields = fields.with(Field::Expiry(rule.id().unwrap_or_default().to_owned()), in_words(&rule));
    }
    Ok(fields)
}

/// All settings, or nothing when there is no bucket.
pub(super) async fn read(aws: &Aws, cluster: &Cluster, name: &str) -> Result<Option<Fields>, Error> {
    let versioning = aws.s3.get_bucket_versioning().bucket(name).send().await.map_err(failed("GetBucketVersioning"));
    let versioning = match versioning {
        Ok(answer) => answer.status().map_or("off", BucketVersioningStatus::as_str).to_owned(),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) if error.is(&["AccessDenied"]) => {
            return Err(Error::Missing(format!(
                "the bucket {name} belongs to somebody else, or is closed to these credentials: {error}"
            )));
        }
        Err(error) => return Err(error.into()),
    };
    let (public, encryption, policy, expiry, tags) = futures_util::try_join!(
        read_public(aws, name),
        read_encryption(aws, name),
        read_policy(aws, cluster, name),
        read_expiry(aws, name),
        read_tags(aws, name)
    )?;
    let mut fields = Fields::new()
        .with(Field::PublicAccess, if public { "blocked" } else { "open" })
        .with(Field::Versioning, versioning)
        .with_some(Field::Encryption, encryption)
        .with_some(Field::BucketPolicy, policy);
    for (name, words) in expiry {
        fields = fields.with(Field::Expiry(name), words);
    }
    let tags = tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    Ok(Some(fields.with_tags(tags, &cluster.tags(components::BUCKET))))
}

/// The answer, or nothing when the setting was never made.
fn or_unset<T>(answer: Result<T, futuswarm_aws::Error>, code: &str) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is(&[code]) || error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn read_public(aws: &Aws, name: &str) -> Result<bool, Error> {
    let answer = aws.s3.get_public_access_block().bucket(name).send().await.map_err(failed("GetPublicAccessBlock"));
    let answer = or_unset(answer, "NoSuchPublicAccessBlockConfiguration")?;
    Ok(answer.and_then(|answer| answer.public_access_block_configuration).is_some_and(|block| {
        [block.block_public_acls, block.ignore_public_acls, block.block_public_policy, block.restrict_public_buckets]
            .into_iter()
            .all(|flag| flag == Some(true))
    }))
}

async fn read_encryption(aws: &Aws, name: &str) -> Result<Option<String>, Error> {
    let answer = aws.s3.get_bucket_encryption().bucket(name).send().await.map_err(failed("GetBucketEncryption"));
    let answer = or_unset(answer, "ServerSideEncryptionConfigurationNotFoundError")?;
    Ok(answer.and_then(|answer| answer.server_side_encryption_configuration).and_then(|configuration| {
        let default = configuration.rules().first()?.apply_server_side_encryption_by_default()?;
        Some(default.kms_master_key_id().unwrap_or_else(|| default.sse_algorithm().as_str()).to_owned())
    }))
}

async fn read_policy(aws: &Aws, cluster: &Cluster, name: &str) -> Result<Option<String>, Error> {
    if policy(cluster).is_none() {
        return Ok(None);
    }
    let answer = aws.s3.get_bucket_policy().bucket(name).send().await.map_err(failed("GetBucketPolicy"));
    let policy = or_unset(answer, "NoSuchBucketPolicy")?.and_then(|answer| answer.policy);
    // Written again, so that spaces and order do not count.
    let normal =
        |text: String| serde_json::from_str::<serde_json::Value>(&text).map_or(text, |value| value.to_string());
    Ok(policy.map(normal))
}

async fn read_expiry(aws: &Aws, name: &str) -> Result<Vec<(String, String)>, Error> {
    let answer = aws.s3.get_bucket_lifecycle_configuration().bucket(name).send().await;
    let answer = or_unset(answer.map_err(failed("GetBucketLifecycleConfiguration")), "NoSuchLifecycleConfiguration")?;
    let rules = answer.and_then(|answer| answer.rules).unwrap_or_default();
    let in_force = rules.iter().filter(|rule| *rule.status() == ExpirationStatus::Enabled);
    Ok(in_force.map(|rule| (rule.id().unwrap_or_default().to_owned(), in_words(rule))).collect())
}

async fn read_tags(aws: &Aws, name: &str) -> Result<Vec<(String, String)>, Error> {
    let answer = aws.s3.get_bucket_tagging().bucket(name).send().await.map_err(failed("GetBucketTagging"));
    let tags = or_unset(answer, "NoSuchTagSet")?.map(|answer| answer.tag_set).unwrap_or_default();
    Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

pub(super) async fn close_to_the_public(aws: &Aws, name: &str) -> Result<(), Error> {
    let block = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build();
    until_visible("the bucket", || async {
        let put = aws.s3.put_public_access_block().bucket(name).public_access_block_configuration(block.clone());
        put.send().await.map_err(failed("PutPublicAccessBlock"))
    })
    .await?;
    Ok(())
}

pub(super) async fn version(aws: &Aws, name: &str) -> Result<(), Error> {
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let put = aws.s3.put_bucket_versioning().bucket(name).versioning_configuration(versioning);
    until_visible("the bucket", || async { put.clone().send().await.map_err(failed("PutBucketVersioning")) }).await?;
    Ok(())
}

pub(super) async fn encrypt(aws: &Aws, run: &Run, name: &str) -> Result<(), Error> {
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::AwsKms)
        .kms_master_key_id(run.need(components::CLUSTER_KEY)?)
        .build()
        .map_err(unbuilt)?;
    // The bucket key saves a KMS request per object.
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default)
        .bucket_key_enabled(true)
        .build();
    let configuration = ServerSideEncryptionConfiguration::builder().rules(rule).build().map_err(unbuilt)?;
    let put = aws.s3.put_bucket_encryption().bucket(name).server_side_encryption_configuration(configuration);
    until_visible("the bucket", || async { put.clone().send().await.map_err(failed("PutBucketEncryption")) }).await?;
    Ok(())
}

pub(super) async fn require_tls(aws: &Aws, cluster: &Cluster, name: &str) -> Result<(), Error> {
    if let Some(policy) = policy(cluster) {
        let put = aws.s3.put_bucket_policy().bucket(name).policy(policy);
        until_visible("the bucket", || async { put.clone().send().await.map_err(failed("PutBucketPolicy")) }).await?;
    }
    Ok(())
}

pub(super) async fn expire(aws: &Aws, cluster: &Cluster, name: &str) -> Result<(), Error> {
    let rules = rules(&cluster.spec.retention)?;
    let lifecycle = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().map_err(unbuilt)?;
    let put = aws.s3.put_bucket_lifecycle_configuration().bucket(name).lifecycle_configuration(lifecycle);
    until_visible("the bucket", || async {
        put.clone().send().await.map_err(failed("PutBucketLifecycleConfiguration"))
    })
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_heartbeats_go_after_a_day_the_past_of_apps_stays_and_everything_else_goes_as_the_spec_says() {
        let retention = Retention { versions_days: 90, backup_days: 30, audit_days: 365 };
        let rules = rules(&retention).unwrap();
        let words: Vec<String> =
            rules.iter().map(|rule| format!("{}: {}", rule.id().unwrap(), in_words(rule))).collect();
        assert_eq!(
            words,
            [
                "unfinished-uploads: everything, unfinished uploads after 7 days",
                "cluster: cluster/, older versions after 90 days",
                "users: users/, older versions after 90 days, delete markers with nothing behind them",
                "tokens: tokens/, older versions after 90 days, delete markers with nothing behind them",
                "registry: registry/, older versions after 90 days, delete markers with nothing behind them",
                "backups: backup/, after 30 days, older versions after 90 days",
                "audit: audit/, after 365 days, older versions after 90 days",
                "nodes: cluster/nodes/, older versions after a day, delete markers with nothing behind them",
                "managers: cluster/managers/, older versions after a day, delete markers with nothing behind them",
            ]
        );
        // S3 refuses a rule that names both ("MalformedXML").
        for rule in rules.iter().filter_map(LifecycleRule::expiration) {
            assert!(rule.days().is_none() || rule.expired_object_delete_marker().is_none(), "{rule:?}");
        }
        // What S3 does with a version that is not the newest, and with an object that is.
        let ends = |key: &str| {
            let fits = |rule: &&LifecycleRule| {
                rule.filter().and_then(|filter| filter.prefix()).is_some_and(|prefix| key.starts_with(prefix))
            };
            let rules: Vec<&LifecycleRule> = rules.iter().filter(fits).collect();
            let older = |rule: &&LifecycleRule| rule.noncurrent_version_expiration()?.noncurrent_days();
            let current = |rule: &&LifecycleRule| rule.expiration()?.days();
            (rules.iter().filter_map(older).min(), rules.iter().filter_map(current).min())
        };
        for (key, older, current) in [
            ("cluster/nodes/AROA:i-1", Some(1), None),
            ("cluster/managers/n1", Some(1), None),
            (keys::SPEC, Some(90), None),
            (keys::APP_INDEX, Some(90), None),
            ("users/jane", Some(90), None),
            ("tokens/e3b0c442", Some(90), None),
            ("registry/docker/registry/v2/x", Some(90), None),
            ("backup/databases/x", Some(90), Some(30)),
            ("audit/2026-11-30/1-x", Some(90), Some(365)),
            ("apps/hello/config", None, None),
            ("apps/hello/secrets/staging", None, None),
            ("apps/hello/releases/00000001", None, None),
        ] {
            assert_eq!(ends(key), (older, current), "{key}");
        }
    }
}
