//! KMS keys and their aliases.

use aws_sdk_kms::types::{KeyState, Tag};

use crate::error::{Error, aws, incomplete};
use crate::{Action, Cloud};

/// KMS deletes keys only after a waiting period; this is the shortest, in days.
const SHORTEST_WAIT_DAYS: i32 = 7;

/// Makes a key with yearly rotation and its alias; returns the key's ARN.
pub(super) async fn ensure(cloud: &mut Cloud, alias: &str, part: &str) -> Result<Option<String>, Error> {
    match find(cloud, alias).await? {
        Some(Found { pending: true, .. }) => {
            return Err(Error::Missing(format!(
                "the KMS key {alias} is scheduled for deletion: cancel that with `aws kms cancel-key-deletion`, or delete the alias to get a new key"
            )));
        }
        Some(found) => return Ok(Some(found.arn)),
        None => {}
    }
    if !cloud.plan.begin(Action::Create, "KMS key", alias) {
        return Ok(None);
    }
    // A run that was killed before it made the alias has left a key that only its description tells.
    let arn = match nameless(cloud, part).await?.into_iter().next() {
        Some(arn) => arn,
        None => create(cloud, part).await?,
    };
    cloud.kms.enable_key_rotation().key_id(id(&arn)).send().await.map_err(aws("EnableKeyRotation"))?;
    cloud.kms.create_alias().alias_name(alias).target_key_id(id(&arn)).send().await.map_err(aws("CreateAlias"))?;
    Ok(Some(arn))
}

async fn create(cloud: &Cloud, part: &str) -> Result<String, Error> {
    let mut tags = Vec::new();
    for (key, value) in cloud.tags(part) {
        tags.push(
            Tag::builder().tag_key(key).tag_value(value).build().map_err(|_| incomplete("TagResource", "TagKey")())?,
        );
    }
    let made = cloud.kms.create_key().description(description(cloud, part)).set_tags(Some(tags)).send().await;
    let key = made.map_err(aws("CreateKey"))?.key_metadata.ok_or_else(incomplete("CreateKey", "KeyMetadata"))?;
    key.arn.ok_or_else(incomplete("CreateKey", "Arn"))
}

fn description(cloud: &Cloud, part: &str) -> String {
    format!("Futuswarm cluster {}: {part}", cloud.spec.cluster)
}

/// The last part of an ARN; where an alias was deleted, KMS wants the id itself.
fn id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// A key behind an alias.
struct Found {
    arn: String,
    /// Whether it is scheduled for deletion.
    pending: bool,
}

async fn find(cloud: &Cloud, alias: &str) -> Result<Option<Found>, Error> {
    match cloud.kms.describe_key().key_id(alias).send().await.map_err(aws("DescribeKey")) {
        Ok(found) => {
            let key = found.key_metadata.ok_or_else(incomplete("DescribeKey", "KeyMetadata"))?;
            let pending = key.key_state == Some(KeyState::PendingDeletion);
            Ok(Some(Found { arn: key.arn.ok_or_else(incomplete("DescribeKey", "Arn"))?, pending }))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Keys of this part that are alive; asked for only when there is no alias, because it looks at every key of the account.
async fn nameless(cloud: &Cloud, part: &str) -> Result<Vec<String>, Error> {
    let (wanted, mut arns) = (description(cloud, part), Vec::new());
    let mut pages = cloud.kms.list_keys().into_paginator().send();
    while let Some(page) = pages.next().await {
        for key in page.map_err(aws("ListKeys"))?.keys.unwrap_or_default() {
            let Some(id) = key.key_id() else { continue };
            match cloud.kms.describe_key().key_id(id).send().await.map_err(aws("DescribeKey")) {
                Ok(found) => arns.extend(
                    found
                        .key_metadata
                        .filter(|key| key.key_state == Some(KeyState::Enabled))
                        .filter(|key| key.description.as_deref() == Some(&wanted))
                        .and_then(|key| key.arn),
                ),
                // Somebody else's key may be hidden from us by its policy.
                Err(error) if error.is_not_found() || error.is(&["AccessDeniedException"]) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(arns)
}

/// Deletes the key after the shortest waiting period and its alias at once.
pub(super) async fn delete(cloud: &mut Cloud, alias: &str, part: &str) -> Result<(), Error> {
    let found = find(cloud, alias).await?;
    let doomed = match &found {
        Some(found) if found.pending => Vec::new(),
        Some(found) => vec![found.arn.clone()],
        None => nameless(cloud, part).await?,
    };
    if (found.is_none() && doomed.is_empty()) || !cloud.plan.begin(Action::Delete, "KMS key", alias) {
        return Ok(());
    }
    for arn in doomed {
        let request = cloud.kms.schedule_key_deletion().key_id(id(&arn)).pending_window_in_days(SHORTEST_WAIT_DAYS);
        request.send().await.map_err(aws("ScheduleKeyDeletion"))?;
    }
    // Last: without it the key could not be found again.
    if found.is_some() {
        cloud.kms.delete_alias().alias_name(alias).send().await.map_err(aws("DeleteAlias"))?;
    }
    Ok(())
}
