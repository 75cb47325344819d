//! The target groups: every node's edge, and the login in front of it, each asked for its health.

use aws_sdk_elasticloadbalancingv2::types::{Matcher, ProtocolEnum, TargetGroup as Observed, TargetTypeEnum};
use futuswarm_converge::Resource;
use futuswarm_edge::LOGIN_HOST_PORT;

use super::security_group::EDGE_PORT;
use super::{fingerprint, group, login_object, tags};
use crate::consistency::{until_free, until_visible};
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Run, components};

/// Edge and login answer here when the host name is nobody's, as a health check's is.
pub(crate) const HEALTH_PATH: &str = "/status";
/// Seconds between two checks, and for the answer to one.
pub(crate) const INTERVAL: i32 = 10;
pub(crate) const TIMEOUT: i32 = 5;
/// Answers in a row that change the opinion.
pub(crate) const THRESHOLD: i32 = 2;
const HEALTHY: &str = "200";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetGroup {
    /// Every node's edge.
    Edge,
    /// The login on every node.
    Login {
        /// Whether the spec has one.
        desired: bool,
    },
}

impl TargetGroup {
    fn port(self) -> i32 {
        match self {
            Self::Edge => EDGE_PORT,
            Self::Login { .. } => i32::from(LOGIN_HOST_PORT),
        }
    }
}

fn check(path: &str, interval: i32, timeout: i32, healthy: i32, unhealthy: i32, codes: &str) -> String {
    format!("{path} every {interval} s within {timeout} s answers {codes}, {healthy} up {unhealthy} down")
}

impl Resource<Run> for TargetGroup {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "target group"
    }

    fn name(&self, run: &Run) -> String {
        match self {
            Self::Edge => run.cluster.names.balancer(),
            Self::Login { .. } => run.cluster.names.login_targets(),
        }
    }

    fn component(&self) -> String {
        match self {
            Self::Edge => components::TARGET_GROUP.to_owned(),
            Self::Login { .. } => components::LOGIN_TARGET_GROUP.to_owned(),
        }
    }

    fn depends_on(&self) -> Vec<String> {
        let login: &[&str] = match self {
            Self::Edge => &[],
            Self::Login { .. } => &[components::LOGIN, components::SECURITY_LOGIN],
        };
        login.iter().copied().chain([components::VPC]).map(str::to_owned).collect()
    }

    fn is_desired(&self) -> bool {
        !matches!(self, Self::Login { desired: false })
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        // One that was made has left a mark.
        if *self == (Self::Login { desired: false })
            && run.mode().applies()
            && !login_object::is_there(aws, run).await?
        {
            return Ok(None);
        }
        let ask = aws.balancing.describe_target_groups().names(Resource::name(self, run));
        match ask.send().await.map_err(failed("DescribeTargetGroups")) {
            Ok(observed) => Ok(observed.target_groups.unwrap_or_default().into_iter().next()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn id(&self, observed: &Observed) -> String {
        observed.target_group_arn().unwrap_or_default().to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let fields = Fields::new()
            .with(Field::Vpc, run.id_or_unknown(components::VPC))
            .with(Field::Port, self.port())
            .with(Field::HealthCheck, check(HEALTH_PATH, INTERVAL, TIMEOUT, THRESHOLD, THRESHOLD, HEALTHY));
        Ok(fingerprint::desired(fields))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let number = |number: Option<i32>| number.unwrap_or(0);
        let check = check(
            observed.health_check_path().unwrap_or_default(),
            number(observed.health_check_interval_seconds()),
            number(observed.health_check_timeout_seconds()),
            number(observed.healthy_threshold_count()),
            number(observed.unhealthy_threshold_count()),
            observed.matcher().and_then(|matcher| matcher.http_code()).unwrap_or_default(),
        );
        let fields = Fields::new()
            .with(Field::Vpc, observed.vpc_id().unwrap_or_default())
            .with(Field::Port, number(observed.port()));
        fingerprint::current(run, fields.with(Field::HealthCheck, check))
    }

    fn immutable(&self) -> &'static [Field] {
        const { &[Field::Vpc, Field::Port] }
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let vpc = run.need(components::VPC)?;
        let made = until_visible("the VPC", || async {
            aws.balancing
                .create_target_group()
                .name(Resource::name(self, run))
                .protocol(ProtocolEnum::Http)
                .port(self.port())
                .vpc_id(&vpc)
                .target_type(TargetTypeEnum::Instance)
                .health_check_path(HEALTH_PATH)
                .health_check_interval_seconds(INTERVAL)
                .health_check_timeout_seconds(TIMEOUT)
                .healthy_threshold_count(THRESHOLD)
                .unhealthy_threshold_count(THRESHOLD)
                .matcher(Matcher::builder().http_code(HEALTHY).build())
                .set_tags(Some(tags::balancing(&run.cluster, &Resource::component(self))))
                .send()
                .await
                .map_err(failed("CreateTargetGroup"))
        });
        let made = made.await?;
        let arn = made.target_groups().first().and_then(|group| group.target_group_arn()).map(str::to_owned);
        arn.ok_or_else(incomplete("CreateTargetGroup", "TargetGroupArn"))
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        if fingerprint::differs(changed) {
            tags::put_balancing(aws, &run.cluster, &self.id(observed), &Resource::component(self)).await?;
        }
        if !changed.any(&[Field::HealthCheck]) {
            return Ok(());
        }
        let modify = aws.balancing.modify_target_group().target_group_arn(self.id(observed));
        modify
            .health_check_path(HEALTH_PATH)
            .health_check_interval_seconds(INTERVAL)
            .health_check_timeout_seconds(TIMEOUT)
            .healthy_threshold_count(THRESHOLD)
            .unhealthy_threshold_count(THRESHOLD)
            .matcher(Matcher::builder().http_code(HEALTHY).build())
            .send()
            .await
            .map_err(failed("ModifyTargetGroup"))?;
        Ok(())
    }

    async fn delete(&self, aws: &Aws, run: &Run, observed: &Observed) -> Result<(), Error> {
        let arn = self.id(observed);
        // By now no listener leads to it. The nodes' groups have left it alone, since they are changed before listeners are.
        if matches!(self, Self::Login { .. }) {
            group::detach_everywhere(aws, run, &arn).await?;
        }
        until_free("the target group", || async {
            aws.balancing.delete_target_group().target_group_arn(&arn).send().await.map_err(failed("DeleteTargetGroup"))
        })
        .await?;
        Ok(())
    }
}
