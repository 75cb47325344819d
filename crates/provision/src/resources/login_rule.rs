//! The rule of the nodes' security group that lets the load balancer reach the login. A component of its own: while a login goes, the
//! listeners have to be changed before it.

use aws_sdk_ec2::types::IpPermission;
use futuswarm_converge::Resource;
use futuswarm_edge::LOGIN_HOST_PORT;

use super::security_group::{self, SecurityGroup, Way, login_rule};
use crate::error::Error;
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Run, components};

pub(crate) struct LoginRule {
    /// Whether the spec has a login.
    pub(crate) desired: bool,
}

/// The group that has it, and what to revoke it with.
pub(crate) struct Observed {
    group: String,
    permission: IpPermission,
}

impl Resource<Run> for LoginRule {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "security group rule"
    }

    fn name(&self, run: &Run) -> String {
        format!("{} port {LOGIN_HOST_PORT}", Resource::name(&SecurityGroup::Nodes, run))
    }

    fn component(&self) -> String {
        components::SECURITY_LOGIN.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        [components::SECURITY_NODES, components::SECURITY_BALANCER].map(str::to_owned).to_vec()
    }

    fn is_desired(&self) -> bool {
        self.desired
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let all = run.inventory.security_groups(aws).await?;
        let find = |group: SecurityGroup| run.inventory.find(all, "security groups", group.component_name());
        let (Some(nodes), Some(balancer)) = (find(SecurityGroup::Nodes)?, find(SecurityGroup::Balancer)?) else {
            return Ok(None);
        };
        // In a deletion the balancer's group is behind us in the graph.
        run.note_id(components::SECURITY_BALANCER, balancer.group_id().unwrap_or_default());
        let rule = login_rule(run);
        let found = security_group::there(&nodes).into_iter().find(|(one, _)| *one == rule);
        let group = nodes.group_id().unwrap_or_default().to_owned();
        Ok(found.map(|(_, permission)| Observed { group, permission }))
    }

    fn id(&self, _: &Observed) -> String {
        components::SECURITY_LOGIN.to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        Ok(Fields::new().with(Field::Rule(login_rule(run).to_string()), "allowed"))
    }

    fn current(&self, run: &Run, _: &Observed) -> Fields {
        Fields::new().with(Field::Rule(login_rule(run).to_string()), "allowed")
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let nodes = run.need(components::SECURITY_NODES)?;
        run.need(components::SECURITY_BALANCER)?;
        let rules = vec![security_group::permission(&login_rule(run))];
        security_group::allow(aws, Way::In, &nodes, rules).await?;
        Ok(components::SECURITY_LOGIN.to_owned())
    }

    /// It is there or it is not.
    async fn update(&self, _: &Aws, _: &Run, _: &Observed, _: &Changed) -> Result<(), Error> {
        Ok(())
    }

    async fn delete(&self, aws: &Aws, _: &Run, observed: &Observed) -> Result<(), Error> {
        let rules = vec![observed.permission.clone()];
        Ok(security_group::revoke(aws, Way::In, &observed.group, rules).await?)
    }
}
