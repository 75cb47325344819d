//! The database's subnet group: the private subnets.

use aws_sdk_rds::types::DbSubnetGroup as Observed;
use futuswarm_converge::Resource;

use super::super::tags;
use crate::consistency::{until_free, until_visible};
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields, sorted};
use crate::resources::fingerprint;
use crate::{Aws, Run, components};

/// The group, with the components of its subnets; not desired without a database.
pub(crate) struct SubnetGroup {
    pub(crate) subnets: Vec<String>,
    pub(crate) desired: bool,
}

impl SubnetGroup {
    fn ids(&self, run: &Run) -> Result<Vec<String>, Error> {
        self.subnets.iter().map(|component| run.need(component)).collect()
    }
}

impl Resource<Run> for SubnetGroup {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "database subnet group"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.database()
    }

    fn component(&self) -> String {
        components::DATABASE_SUBNETS.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        self.subnets.clone()
    }

    fn is_desired(&self) -> bool {
        self.desired
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        // A database tells its group with it.
        let database = run.inventory.database(super::find(aws, &run.cluster)).await?;
        if let Some(group) = database.and_then(|database| database.db_subnet_group()) {
            return Ok(Some(group.clone()));
        }
        let ask = aws.rds.describe_db_subnet_groups().db_subnet_group_name(run.cluster.names.database());
        match ask.send().await.map_err(failed("DescribeDBSubnetGroups")) {
            Ok(observed) => Ok(observed.db_subnet_groups.unwrap_or_default().into_iter().next()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn id(&self, observed: &Observed) -> String {
        observed.db_subnet_group_name().unwrap_or_default().to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let subnets = self.subnets.iter().map(|component| run.id_or_unknown(component));
        Ok(fingerprint::desired(Fields::new().with(Field::Subnets, sorted(subnets))))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let subnets = observed.subnets().iter().filter_map(|subnet| subnet.subnet_identifier().map(str::to_owned));
        fingerprint::current(run, Fields::new().with(Field::Subnets, sorted(subnets)))
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let ids = self.ids(run)?;
        let made = until_visible("the private subnets", || async {
            let create = aws.rds.create_db_subnet_group().db_subnet_group_name(run.cluster.names.database());
            let create = create.db_subnet_group_description("Futuswarm: private subnets");
            let create = create
                .set_subnet_ids(Some(ids.clone()))
                .set_tags(Some(tags::rds(&run.cluster, components::DATABASE_SUBNETS)));
            create.send().await.map_err(failed("CreateDBSubnetGroup"))
        });
        let made = made.await?.db_subnet_group.and_then(|group| group.db_subnet_group_name);
        made.ok_or_else(incomplete("CreateDBSubnetGroup", "DBSubnetGroupName"))
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        if changed.any(&[Field::Subnets]) {
            let modify = aws.rds.modify_db_subnet_group().db_subnet_group_name(run.cluster.names.database());
            let modify = modify.set_subnet_ids(Some(self.ids(run)?));
            modify.send().await.map_err(failed("ModifyDBSubnetGroup"))?;
        }
        if fingerprint::differs(changed) {
            let (region, account) = (&run.cluster.names.region, &run.cluster.names.account);
            // What a database tells of its group leaves out the ARN.
            let arn =
                format!("arn:{}:rds:{region}:{account}:subgrp:{}", run.cluster.names.partition(), self.id(observed));
            let add = aws
                .rds
                .add_tags_to_resource()
                .resource_name(arn)
                .set_tags(Some(tags::rds(&run.cluster, components::DATABASE_SUBNETS)));
            add.send().await.map_err(failed("AddTagsToResource"))?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, run: &Run, _: &Observed) -> Result<(), Error> {
        until_free("the database subnet group", || async {
            let delete = aws.rds.delete_db_subnet_group().db_subnet_group_name(run.cluster.names.database());
            delete.send().await.map_err(failed("DeleteDBSubnetGroup"))
        })
        .await?;
        Ok(())
    }
}
