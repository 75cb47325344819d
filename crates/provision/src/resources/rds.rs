//! The PostgreSQL server of the apps, in the private subnets, with a master password that AWS keeps.

mod subnets;

use std::time::Duration;

use aws_sdk_rds::types::{DbInstance, DbSnapshot};
use futuswarm_converge::Resource;
use futuswarm_spec::Rds as Settings;

use super::security_group::DATABASE_PORT;
use super::tags;
use crate::consistency::{self, until_visible};
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Cluster, Run, components};

pub(crate) use subnets::SubnetGroup;

/// The user that owns everything; apps get users of their own.
const MASTER: &str = "futuswarm";
/// RDS needs ten minutes for a new server, and longer for a change of class with a stand-by.
const AVAILABLE: Duration = Duration::from_secs(40 * 60);
/// Fields that ModifyDBInstance sets.
const SETTINGS: &[Field] = &[
    Field::Class,
    Field::Storage,
    Field::Engine,
    Field::SecondZone,
    Field::Backups,
    Field::DeletionProtection,
    Field::SecurityGroup,
    Field::Public,
];

/// The server; one that is not desired has no settings.
pub(crate) struct Rds(pub(crate) Option<Settings>);

fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

async fn find(aws: &Aws, cluster: &Cluster) -> Result<Option<DbInstance>, Error> {
    let ask = aws.rds.describe_db_instances().db_instance_identifier(cluster.names.database());
    match ask.send().await.map_err(failed("DescribeDBInstances")) {
        Ok(observed) => Ok(observed.db_instances.unwrap_or_default().into_iter().next()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The database snapshots of this region that are encrypted under a key, by name: those that a destroy has kept, and whatever else
/// somebody has made or copied under it. Automated ones go with their database. RDS names keys by their ARN.
pub(super) async fn snapshots_under(aws: &Aws, key: &str) -> Result<Vec<String>, Error> {
    let mut pages = aws.rds.describe_db_snapshots().into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let snapshots = page.map_err(failed("DescribeDBSnapshots"))?.db_snapshots.unwrap_or_default();
        names.extend(
            snapshots
                .into_iter()
                .filter(|one| is_kept_under(one, key))
                .filter_map(|snapshot| snapshot.db_snapshot_identifier),
        );
    }
    names.sort_unstable();
    Ok(names)
}

fn is_kept_under(snapshot: &DbSnapshot, key: &str) -> bool {
    snapshot.snapshot_type() != Some("automated")
        && snapshot.kms_key_id().is_some_and(|arn| arn.rsplit('/').next() == Some(key))
}

/// States in which a server serves and takes changes, or does so in a moment.
const HEALTHY: [&str; 4] = ["available", "backing-up", "storage-optimization", "configuring-enhanced-monitoring"];
const DELETING: &str = "deleting";

/// A server's state as a plan shows it.
fn state(observed: &DbInstance) -> &str {
    match observed.db_instance_status().unwrap_or_default() {
        healthy if HEALTHY.contains(&healthy) => "available",
        other => other,
    }
}

/// Waits until the server takes changes; a full disk takes the change that ends that.
async fn until_available(aws: &Aws, cluster: &Cluster) -> Result<(), Error> {
    let what = format!("the database {} to be available", cluster.names.database());
    consistency::wait(&what, AVAILABLE, || async {
        let observed = find(aws, cluster).await?;
        match observed.as_ref().map(state) {
            Some("available" | "storage-full") => Ok(Some(())),
            Some(state @ ("failed" | "incompatible-parameters" | "incompatible-network" | "restore-error")) => {
                Err(Error::Missing(format!(
                    "the database {} is {state}: see its events in the RDS console",
                    cluster.names.database()
                )))
            }
            Some("stopped") => {
                let start = aws.rds.start_db_instance().db_instance_identifier(cluster.names.database());
                match start.send().await.map_err(failed("StartDBInstance")) {
                    // An attempt whose answer was lost has started it.
                    Err(error) if !error.is(&["InvalidDBInstanceState"]) => Err(error.into()),
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    })
    .await
}

async fn until_gone(aws: &Aws, cluster: &Cluster) -> Result<(), Error> {
    let what = format!("the end of the database {}", cluster.names.database());
    consistency::wait(&what, AVAILABLE, || async { Ok(find(aws, cluster).await?.is_none().then_some(())) }).await
}

impl Rds {
    /// RDS rounds a size up, and a volume never shrinks.
    fn storage_in_words(&self, observed: &DbInstance) -> String {
        let (there, kind) = (observed.allocated_storage().unwrap_or(0), observed.storage_type().unwrap_or("?"));
        match self.0.as_ref().map(|desired| desired.storage_gib) {
            Some(desired) if there >= number(desired) => format!("at least {desired} GiB {kind}"),
            _ => format!("{there} GiB {kind}"),
        }
    }

    /// Looks until the server has taken its changes: for a moment after them it is still what it was.
    async fn until_changed(&self, aws: &Aws, run: &Run) -> Result<(), Error> {
        let what = format!("the database {} to take its changes", run.cluster.names.database());
        let desired = self.desired(run)?;
        consistency::wait(&what, AVAILABLE, || async {
            let Some(observed) = find(aws, &run.cluster).await? else { return Ok(None) };
            let differs = desired.differences(&self.current(run, &observed));
            Ok((!differs.any(SETTINGS)).then_some(()))
        })
        .await
    }

    fn settings(&self) -> Result<&Settings, Error> {
        self.0.as_ref().ok_or_else(incomplete("CreateDBInstance", "settings"))
    }
}

impl Resource<Run> for Rds {
    type Observed = DbInstance;

    fn kind(&self) -> &'static str {
        "database"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.database()
    }

    fn component(&self) -> String {
        components::DATABASE.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        [components::DATABASE_SUBNETS, components::SECURITY_DATABASE, components::CLUSTER_KEY]
            .map(str::to_owned)
            .to_vec()
    }

    fn is_desired(&self) -> bool {
        self.0.is_some()
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<DbInstance>, Error> {
        Ok(run.inventory.database(find(aws, &run.cluster)).await?.cloned())
    }

    fn id(&self, observed: &DbInstance) -> String {
        observed.db_instance_identifier().unwrap_or_default().to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let Some(desired) = &self.0 else { return Ok(Fields::new()) };
        Ok(Fields::new()
            .with(Field::State, "available")
            .with(Field::Class, &desired.instance_class)
            .with(Field::Storage, format!("at least {} GiB gp3", desired.storage_gib))
            .with(Field::Engine, format!("postgres {}", desired.engine_version))
            .with(Field::SecondZone, desired.multi_az)
            .with(Field::Backups, format!("{} days", desired.backup_days))
            .with(Field::DeletionProtection, desired.deletion_protection)
            .with(Field::SecurityGroup, run.id_or_unknown(components::SECURITY_DATABASE))
            .with(Field::Encrypted, true)
            .with(Field::Public, false)
            .with_desired_tags(&run.cluster.tags(components::DATABASE)))
    }

    fn current(&self, run: &Run, observed: &DbInstance) -> Fields {
        let version = observed.engine_version().unwrap_or_default().split('.').next().unwrap_or_default();
        let groups: Vec<&str> =
            observed.vpc_security_groups().iter().filter_map(|group| group.vpc_security_group_id()).collect();
        let tags = observed.tag_list().iter().filter_map(|tag| Some((tag.key()?, tag.value().unwrap_or_default())));
        Fields::new()
            .with(Field::State, state(observed))
            .with(Field::Class, observed.db_instance_class().unwrap_or_default())
            .with(Field::Storage, self.storage_in_words(observed))
            .with(Field::Engine, format!("{} {version}", observed.engine().unwrap_or_default()))
            .with(Field::SecondZone, observed.multi_az() == Some(true))
            .with(Field::Backups, format!("{} days", observed.backup_retention_period().unwrap_or(0)))
            .with(Field::DeletionProtection, observed.deletion_protection() == Some(true))
            .with(Field::SecurityGroup, groups.join(" "))
            .with(Field::Encrypted, observed.storage_encrypted() == Some(true))
            .with(Field::Public, observed.publicly_accessible() == Some(true))
            .with_tags(tags, &run.cluster.tags(components::DATABASE))
    }

    fn immutable(&self) -> &'static [Field] {
        const { &[Field::Encrypted] }
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let desired = self.settings()?;
        let group = run.need(components::SECURITY_DATABASE)?;
        let key = run.need(components::CLUSTER_KEY)?;
        until_visible("the database's subnets, key and security group", || async {
            aws.rds
                .create_db_instance()
                .db_instance_identifier(run.cluster.names.database())
                .engine("postgres")
                .engine_version(&desired.engine_version)
                .db_instance_class(&desired.instance_class)
                .allocated_storage(number(desired.storage_gib))
                .storage_type("gp3")
                .storage_encrypted(true)
                .kms_key_id(&key)
                .port(DATABASE_PORT)
                .master_username(MASTER)
                // AWS makes the password, keeps it in Secrets Manager and changes it; nobody else ever has it.
                .manage_master_user_password(true)
                .db_subnet_group_name(run.cluster.names.database())
                .vpc_security_group_ids(&group)
                .publicly_accessible(false)
                .multi_az(desired.multi_az)
                .backup_retention_period(number(desired.backup_days))
                .deletion_protection(desired.deletion_protection)
                .auto_minor_version_upgrade(true)
                .copy_tags_to_snapshot(true)
                .set_tags(Some(tags::rds(&run.cluster, components::DATABASE)))
                .send()
                .await
                .map_err(failed("CreateDBInstance"))
        })
        .await?;
        until_available(aws, &run.cluster).await?;
        Ok(run.cluster.names.database())
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &DbInstance, changed: &Changed) -> Result<(), Error> {
        let desired = self.settings()?;
        if state(observed) == DELETING {
            // Somebody deletes it, or a run that was killed did.
            until_gone(aws, &run.cluster).await?;
            return self.create(aws, run).await.map(drop);
        }
        // A server that is being changed takes no further change.
        until_available(aws, &run.cluster).await?;
        if changed.any(SETTINGS) {
            let modify = aws
                .rds
                .modify_db_instance()
                .db_instance_identifier(run.cluster.names.database())
                .db_instance_class(&desired.instance_class)
                .multi_az(desired.multi_az)
                .backup_retention_period(number(desired.backup_days))
                .deletion_protection(desired.deletion_protection)
                .vpc_security_group_ids(run.need(components::SECURITY_DATABASE)?)
                .publicly_accessible(false)
                .apply_immediately(true);
            let modify = match changed.any(&[Field::Storage]) {
                true => {
                    let size = number(desired.storage_gib).max(observed.allocated_storage().unwrap_or(0));
                    modify.allocated_storage(size).storage_type("gp3")
                }
                false => modify,
            };
            let modify = match changed.any(&[Field::Engine]) {
                true => modify.engine_version(&desired.engine_version).allow_major_version_upgrade(true),
                false => modify,
            };
            consistency::until_free("the database", || async {
                modify.clone().send().await.map_err(failed("ModifyDBInstance"))
            })
            .await?;
            self.until_changed(aws, run).await?;
        }
        if changed.tags() {
            let add = aws.rds.add_tags_to_resource().set_resource_name(observed.db_instance_arn.clone());
            add.set_tags(Some(tags::rds(&run.cluster, components::DATABASE)))
                .send()
                .await
                .map_err(failed("AddTagsToResource"))?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, run: &Run, observed: &DbInstance) -> Result<(), Error> {
        let name = run.cluster.names.database();
        if state(observed) == DELETING {
            return until_gone(aws, &run.cluster).await;
        }
        let without_snapshot = run.mode().deletes_data();
        if observed.deletion_protection() == Some(true) {
            if run.mode().applies() {
                return Err(Error::Missing(
                    "the spec has no [rds] any more, but the database is protected: set `deletion_protection = false` and apply that first"
                        .to_owned(),
                ));
            }
            let lift = aws.rds.modify_db_instance().db_instance_identifier(&name).deletion_protection(false);
            let lift = lift.apply_immediately(true);
            consistency::until_free("the database", || async {
                lift.clone().send().await.map_err(failed("ModifyDBInstance"))
            })
            .await?;
        }
        // A last snapshot is taken only of a server that is available.
        if !without_snapshot {
            until_available(aws, &run.cluster).await?;
        }
        let delete = aws.rds.delete_db_instance().db_instance_identifier(&name);
        let delete = match without_snapshot {
            true => delete.skip_final_snapshot(true).delete_automated_backups(true),
            false => {
                let seconds = futuswarm_model::unix_millis() / 1000;
                let snapshot = format!("{name}-final-{seconds}");
                run.note(format!("the database's last state stays as the snapshot {snapshot}"));
                delete.final_db_snapshot_identifier(snapshot)
            }
        };
        consistency::until_free("the database", || async {
            delete.clone().send().await.map_err(failed("DeleteDBInstance"))
        })
        .await?;
        until_gone(aws, &run.cluster).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;

    use futuswarm_testkit::answers::{Answer, on_loopback};

    use super::*;

    /// An RDS that gives these answers.
    fn service(answers: Vec<Answer>) -> (Aws, Run, Receiver<String>) {
        let (endpoint, requests) = on_loopback(answers);
        let run = Run::local();
        (Aws::at(&endpoint, &run.cluster), run, requests)
    }

    /// What DescribeDBInstances answers.
    fn in_state(state: &str) -> Answer {
        let instance = format!("<DBInstance><DBInstanceStatus>{state}</DBInstanceStatus></DBInstance>");
        let result =
            format!("<DescribeDBInstancesResult><DBInstances>{instance}</DBInstances></DescribeDBInstancesResult>");
        let body = format!("<DescribeDBInstancesResponse>{result}</DescribeDBInstancesResponse>");
        Answer { status: Some(200), body, ..Answer::default() }
    }

    fn refused(code: &str) -> Answer {
        let body = format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>");
        Answer { status: Some(400), body, ..Answer::default() }
    }

    /// The operations that were asked for.
    fn operations(requests: &Receiver<String>) -> Vec<String> {
        let operation =
            |asked: String| asked.split("Action=").nth(1).and_then(|rest| rest.split('&').next()).map(str::to_owned);
        requests.iter().filter_map(operation).collect()
    }

    const DESCRIBE: &str = "DescribeDBInstances";
    const START: &str = "StartDBInstance";

    #[tokio::test]
    async fn a_server_that_was_started_without_an_answer_is_waited_for() {
        let answers = vec![
            in_state("stopped"),
            Answer::default(),
            refused("InvalidDBInstanceState"),
            in_state("starting"),
            in_state("available"),
        ];
        let (aws, run, requests) = service(answers);
        until_available(&aws, &run.cluster).await.unwrap();
        assert_eq!(operations(&requests), [DESCRIBE, START, START, DESCRIBE, DESCRIBE]);
    }

    #[tokio::test]
    async fn a_server_that_may_not_be_started_is_told() {
        let (aws, run, requests) = service(vec![in_state("stopped"), refused("InsufficientDBInstanceCapacity")]);
        let error = until_available(&aws, &run.cluster).await.unwrap_err().to_string();
        assert!(error.contains("StartDBInstance") && error.contains("InsufficientDBInstanceCapacity"), "{error}");
        assert_eq!(operations(&requests), [DESCRIBE, START]);
    }

    #[test]
    fn snapshots_that_outlive_their_database_keep_its_key() {
        let arn = |key: &str| format!("arn:aws:kms:eu-west-1:123456789012:key/{key}");
        for (kind, key, kept) in [
            ("manual", Some("ours"), true),
            ("awsbackup", Some("ours"), true),
            ("automated", Some("ours"), false),
            ("manual", Some("ours-too"), false),
            ("manual", None, false),
        ] {
            let snapshot = DbSnapshot::builder().snapshot_type(kind).set_kms_key_id(key.map(arn)).build();
            assert_eq!(is_kept_under(&snapshot, "ours"), kept, "{kind} {key:?}");
        }
    }
}
