//! KMS keys with yearly rotation, each behind an alias.

use aws_sdk_kms::types::{KeyMetadata, KeyState};

use futuswarm_aws::NotTwice;
use futuswarm_converge::Resource;

use super::{fingerprint, rds, tags};
use crate::consistency::until_visible;
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::names::Names;
use crate::{Aws, Cluster, Run, components};

/// KMS deletes keys only after a waiting period; this is the shortest, in days.
const SHORTEST_WAIT_DAYS: i32 = 7;
const ENABLED: &str = "Enabled";

/// Who may use a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KmsKey {
    /// Every node.
    Cluster,
    /// Managers only.
    Managers,
}

impl KmsKey {
    /// Its component; the id is the key's ARN.
    pub(crate) fn component_name(self) -> &'static str {
        match self {
            Self::Cluster => components::CLUSTER_KEY,
            Self::Managers => components::MANAGER_KEY,
        }
    }

    fn alias(self, cluster: &Cluster) -> String {
        match self {
            Self::Cluster => cluster.names.cluster_key(),
            Self::Managers => cluster.names.manager_key(),
        }
    }

    fn description(self, cluster: &Cluster) -> String {
        format!("Futuswarm cluster {}: {}", cluster.spec.cluster, self.component_name())
    }

    /// A key of this component without an alias, which a run that was killed has left, or one that waits for its end: what was sealed
    /// with it can be opened as long as it lives. Asked for only when there is no alias, because it asks for every key of the
    /// account.
    async fn nameless(self, aws: &Aws, cluster: &Cluster) -> Result<Option<KeyMetadata>, Error> {
        let (desired, mut observed) = (self.description(cluster), Vec::new());
        let mut pages = aws.kms.list_keys().into_paginator().send();
        while let Some(page) = pages.next().await {
            for key in page.map_err(failed("ListKeys"))?.keys.unwrap_or_default() {
                let Some(id) = key.key_id() else { continue };
                match aws.kms.describe_key().key_id(id).send().await.map_err(failed("DescribeKey")) {
                    Ok(answer) => observed.extend(answer.key_metadata),
                    // Somebody else's key may be hidden from us by its policy.
                    Err(error) if error.is_not_found() || error.is(&["AccessDeniedException"]) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let usable = |key: &KeyMetadata| {
            key.description.as_deref() == Some(&desired)
                && [KeyState::Enabled, KeyState::Disabled, KeyState::PendingDeletion].map(Some).contains(&key.key_state)
        };
        let newest = |key: &KeyMetadata| {
            let made = key.creation_date.map(|date| (date.secs(), date.subsec_nanos()));
            (key.key_state == Some(KeyState::Enabled), made)
        };
        Ok(observed.into_iter().filter(usable).max_by_key(newest))
    }

    /// Takes a key back that waits for its end, which leaves it disabled, or that is disabled.
    async fn revive(self, aws: &Aws, cluster: &Cluster, key: &str, state: &KeyState) -> Result<(), Error> {
        if *state == KeyState::PendingDeletion {
            aws.kms.cancel_key_deletion().key_id(key).send().await.map_err(failed("CancelKeyDeletion"))?;
        }
        aws.kms.enable_key().key_id(key).send().await.map_err(failed("EnableKey"))?;
        let tag = aws.kms.tag_resource().key_id(key).set_tags(Some(tags::kms(cluster, self.component_name())?));
        tag.send().await.map_err(failed("TagResource"))?;
        Ok(())
    }

    async fn state(self, aws: &Aws, key: &str) -> Result<KeyState, Error> {
        let observed = aws.kms.describe_key().key_id(key).send().await.map_err(failed("DescribeKey"))?;
        let state = observed.key_metadata.and_then(|key| key.key_state);
        state.ok_or_else(incomplete("DescribeKey", "KeyState"))
    }

    async fn create_key(self, aws: &Aws, cluster: &Cluster) -> Result<String, Error> {
        let tags = tags::kms(cluster, self.component_name())?;
        let create = aws.kms.create_key().description(self.description(cluster)).set_tags(Some(tags));
        let not_twice = aws_sdk_kms::config::Builder::new().retry_classifier(NotTwice);
        let made = create.customize().config_override(not_twice).send().await;
        let key = made.map_err(failed("CreateKey"))?.key_metadata.and_then(|key| key.arn);
        key.ok_or_else(incomplete("CreateKey", "Arn"))
    }
}

impl KmsKey {
    /// Whether the key stays when everything else goes, because database snapshots that an earlier destroy has kept can be opened
    /// with nothing else; says so. A plan says it, too, before anybody is asked.
    async fn is_needed_by_snapshots(self, aws: &Aws, run: &Run, key: &str) -> Result<bool, Error> {
        let goes = run.mode().deletes_data();
        if !goes || self != Self::Cluster {
            return Ok(false);
        }
        let snapshots = rds::snapshots_under(aws, key).await?;
        if let Some(note) = kept_for(&self.alias(&run.cluster), &snapshots) {
            run.note(note);
        }
        Ok(!snapshots.is_empty())
    }
}

/// What to do about a key that stays; nothing when no snapshot needs it.
fn kept_for(alias: &str, snapshots: &[String]) -> Option<String> {
    let first = snapshots.first()?;
    Some(format!(
        "the KMS key {alias} stays: without it nobody could open the database snapshot{} {} again; to delete them, too, run `aws rds delete-db-snapshot --db-snapshot-identifier {first}`{} and this command again",
        if snapshots.len() == 1 { "" } else { "s" },
        snapshots.join(", "),
        if snapshots.len() == 1 { "" } else { ", the same for the others," },
    ))
}

/// A key behind its alias, and whether it rotates.
pub(crate) struct Observed {
    arn: String,
    key: String,
    state: KeyState,
    rotates: bool,
}

/// The last part of an ARN; where an alias was deleted, KMS wants the id itself.
fn id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

impl Resource<Run> for KmsKey {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "KMS key"
    }

    fn name(&self, run: &Run) -> String {
        self.alias(&run.cluster)
    }

    fn component(&self) -> String {
        self.component_name().to_owned()
    }

    fn holds_data(&self) -> bool {
        true
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let alias = self.alias(&run.cluster);
        let Some((_, key)) = run.inventory.aliases(aws).await?.iter().find(|(name, _)| *name == alias) else {
            return Ok(None);
        };
        // A key that rotates is well, or somebody has disabled it, which announces itself at the first use.
        let rotates = aws.kms.get_key_rotation_status().key_id(key).send().await;
        let rotates = match rotates.map_err(failed("GetKeyRotationStatus")) {
            Ok(answer) => answer.key_rotation_enabled(),
            // Some answers refuse the question about a key that waits for its end.
            Err(error) if error.is(&["KMSInvalidStateException"]) => false,
            Err(error) => return Err(error.into()),
        };
        if self.is_needed_by_snapshots(aws, run, key).await? {
            return Ok(None);
        }
        let state = if rotates { KeyState::Enabled } else { self.state(aws, key).await? };
        let Names { region, account, .. } = &run.cluster.names;
        let arn = format!("arn:{}:kms:{region}:{account}:key/{key}", run.cluster.names.partition());
        Ok(Some(Observed { arn, key: key.clone(), state, rotates }))
    }

    fn id(&self, observed: &Observed) -> String {
        observed.arn.clone()
    }

    fn desired(&self, _: &Run) -> Result<Fields, Error> {
        Ok(fingerprint::desired(Fields::new().with(Field::State, ENABLED).with(Field::Rotation, "yearly")))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let rotation = if observed.rotates { "yearly" } else { "off" };
        fingerprint::current(
            run,
            Fields::new().with(Field::State, observed.state.as_str()).with(Field::Rotation, rotation),
        )
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let arn = match self.nameless(aws, &run.cluster).await? {
            Some(key) => {
                if let Some(state) = key.key_state.filter(|state| *state != KeyState::Enabled) {
                    self.revive(aws, &run.cluster, &key.key_id, &state).await?;
                }
                key.arn.ok_or_else(incomplete("DescribeKey", "Arn"))?
            }
            None => self.create_key(aws, &run.cluster).await?,
        };
        rotate(aws, &arn).await?;
        let alias = aws.kms.create_alias().alias_name(self.alias(&run.cluster)).target_key_id(id(&arn));
        alias.send().await.map_err(failed("CreateAlias"))?;
        Ok(arn)
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        let key = &observed.key;
        if changed.any(&[Field::State]) {
            self.revive(aws, &run.cluster, key, &observed.state).await?;
        }
        if changed.any(&[Field::Rotation]) {
            rotate(aws, key).await?;
        }
        if fingerprint::differs(changed) {
            let tag =
                aws.kms.tag_resource().key_id(key).set_tags(Some(tags::kms(&run.cluster, self.component_name())?));
            tag.send().await.map_err(failed("TagResource"))?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, run: &Run, observed: &Observed) -> Result<(), Error> {
        if observed.state != KeyState::PendingDeletion {
            let schedule = aws.kms.schedule_key_deletion().key_id(&observed.key);
            let schedule = schedule.pending_window_in_days(SHORTEST_WAIT_DAYS);
            schedule.send().await.map_err(failed("ScheduleKeyDeletion"))?;
        }
        // Last: without it the key could not be found again.
        aws.kms.delete_alias().alias_name(self.alias(&run.cluster)).send().await.map_err(failed("DeleteAlias"))?;
        Ok(())
    }
}

async fn rotate(aws: &Aws, key: &str) -> Result<(), Error> {
    until_visible("the KMS key", || async {
        aws.kms.enable_key_rotation().key_id(id(key)).send().await.map_err(failed("EnableKeyRotation"))
    })
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stays_names_every_snapshot_and_the_command_that_deletes_it() {
        let snapshots = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(kept_for("alias/a", &[]), None);
        let one = kept_for("alias/a", &snapshots(&["db-final-1"])).unwrap();
        assert!(
            one.contains(
                "the KMS key alias/a stays: without it nobody could open the database snapshot db-final-1 again"
            ),
            "{one}"
        );
        assert!(
            one.ends_with(
                "run `aws rds delete-db-snapshot --db-snapshot-identifier db-final-1` and this command again"
            ),
            "{one}"
        );
        let two = kept_for("alias/a", &snapshots(&["db-final-1", "mine"])).unwrap();
        assert!(
            two.contains("the database snapshots db-final-1, mine again") && two.contains("the same for the others"),
            "{two}"
        );
    }
}
