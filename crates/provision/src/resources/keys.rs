//! KMS keys and their aliases.

use aws_sdk_kms::types::{KeyState, Tag};

use crate::error::{Error, aws, incomplete};
use crate::{Action, Cloud};

/// KMS deletes keys only after a waiting period; this is the shortest, in days.
const SHORTEST_WAIT_DAYS: i32 = 7;

/// Makes a key with yearly rotation and its alias; returns the key's ARN.
pub(super) async fn ensure(cloud: &mut Cloud, alias: &str, part: &str) -> Result<Option<String>, Error> {
    if let Some(arn) = find(cloud, alias).await? {
        return Ok(Some(arn));
    }
    if !cloud.plan.begin(Action::Create, "KMS key", alias) {
        return Ok(None);
    }
    let mut tags = Vec::new();
    for (key, value) in cloud.tags(part) {
        tags.push(
            Tag::builder().tag_key(key).tag_value(value).build().map_err(|_| incomplete("TagResource", "TagKey")())?,
        );
    }
    let made = cloud
        .kms
        .create_key()
        .description(format!("Futuswarm cluster {}: {part}", cloud.spec.cluster))
        .set_tags(Some(tags))
        .send()
        .await
        .map_err(aws("CreateKey"))?;
    let key = made.key_metadata.ok_or_else(incomplete("CreateKey", "KeyMetadata"))?;
    cloud.kms.enable_key_rotation().key_id(&key.key_id).send().await.map_err(aws("EnableKeyRotation"))?;
    cloud.kms.create_alias().alias_name(alias).target_key_id(&key.key_id).send().await.map_err(aws("CreateAlias"))?;
    Ok(Some(key.arn.ok_or_else(incomplete("CreateKey", "Arn"))?))
}

async fn find(cloud: &Cloud, alias: &str) -> Result<Option<String>, Error> {
    match cloud.kms.describe_key().key_id(alias).send().await.map_err(aws("DescribeKey")) {
        Ok(found) => {
            let key = found.key_metadata.ok_or_else(incomplete("DescribeKey", "KeyMetadata"))?;
            if key.key_state == Some(KeyState::PendingDeletion) {
                return Err(Error::Missing(format!(
                    "the KMS key {alias} is scheduled for deletion: cancel that with `aws kms cancel-key-deletion`, or delete the alias to get a new key"
                )));
            }
            Ok(key.arn)
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Deletes the alias at once and the key after the shortest waiting period.
pub(super) async fn delete(cloud: &mut Cloud, alias: &str) -> Result<(), Error> {
    let Some(arn) = find(cloud, alias).await? else { return Ok(()) };
    if !cloud.plan.begin(Action::Delete, "KMS key", alias) {
        return Ok(());
    }
    cloud.kms.delete_alias().alias_name(alias).send().await.map_err(aws("DeleteAlias"))?;
    // By its id: the alias is gone.
    let id = arn.rsplit('/').next().unwrap_or(&arn);
    let request = cloud.kms.schedule_key_deletion().key_id(id).pending_window_in_days(SHORTEST_WAIT_DAYS);
    request.send().await.map_err(aws("ScheduleKeyDeletion"))?;
    Ok(())
}
