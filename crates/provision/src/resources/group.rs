//! Auto Scaling groups: one per group of nodes in the spec.

mod content;

use aws_sdk_autoscaling::types::{AutoScalingGroup, LaunchTemplateSpecification, Tag};
use futuswarm_converge::{Context as _, Resource};
use futuswarm_spec::{BalancerKind, Group as Settings, Role, Spec};

use crate::components::Tier;
use crate::consistency::{self, until_free, until_visible};
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields, sorted};
use crate::names::PART_TAG;
use crate::{Aws, Run, components, inventory};

/// A node needs this long to boot before its health counts, in seconds.
const GRACE_SECONDS: i32 = 300;
/// Instances end within a few minutes.
const END: std::time::Duration = std::time::Duration::from_secs(600);
/// Those of a cluster with a login.
const TARGET_GROUPS: [&str; 2] = [components::TARGET_GROUP, components::LOGIN_TARGET_GROUP];

/// A group; one that is not desired has no settings.
pub(crate) struct Group {
    name: String,
    desired: Option<Settings>,
    /// The components that bring it requests: target groups, or a classic load balancer.
    attachments: Vec<&'static str>,
}

/// As AWS describes it.
pub(crate) struct Observed {
    group: AutoScalingGroup,
    hooks: Vec<aws_sdk_autoscaling::types::LifecycleHook>,
}

fn attachments(spec: &Spec) -> Vec<&'static str> {
    match spec.load_balancer.kind {
        BalancerKind::Application if spec.login.is_some() => TARGET_GROUPS.to_vec(),
        BalancerKind::Application => vec![components::TARGET_GROUP],
        BalancerKind::Classic => vec![components::LOAD_BALANCER],
    }
}

/// Takes a target group off all groups that have it.
pub(super) async fn detach_everywhere(aws: &Aws, run: &Run, target_group: &str) -> Result<(), Error> {
    let has = |group: &&AutoScalingGroup| group.target_group_arns().iter().any(|arn| arn == target_group);
    // Some may have gone in this run.
    let now = run.afresh();
    for group in now.inventory.groups(aws).await?.iter().filter(has) {
        let Err(error) = content::detach(aws, group, target_group).await else { continue };
        // Auto Scaling refuses what an attempt whose answer was lost has done.
        let again = run.afresh();
        let mut groups = again.inventory.groups(aws).await?.iter().filter(has);
        if groups.any(|one| one.auto_scaling_group_name() == group.auto_scaling_group_name()) {
            return Err(error);
        }
    }
    Ok(())
}

impl Group {
    pub(crate) fn all(spec: &Spec) -> Vec<Self> {
        let of = |(name, group): (&String, &Settings)| Self {
            name: name.clone(),
            desired: Some(group.clone()),
            attachments: attachments(spec),
        };
        spec.groups.iter().map(of).collect()
    }

    pub(crate) async fn orphans(aws: &Aws, run: &Run) -> Result<Vec<Self>, Error> {
        let observed = run.inventory.groups(aws).await?.iter();
        let existing = observed.filter_map(|group| {
            let tag = group.tags().iter().find(|tag| tag.key() == Some(PART_TAG))?;
            components::group_of_nodes(tag.value()?).map(str::to_owned)
        });
        Ok(existing
            .filter(|name| !run.cluster.spec.groups.contains_key(name))
            .map(|name| Self { name, desired: None, attachments: TARGET_GROUPS.to_vec() })
            .collect())
    }

    fn subnets(&self, run: &Run) -> Result<String, Error> {
        let zones = self.desired.iter().flat_map(|group| &group.zones);
        let ids: Result<Vec<String>, Error> = zones.map(|zone| run.need(&Tier::Public.subnet(zone))).collect();
        Ok(ids?.join(","))
    }

    /// Component and id of what brings it requests.
    fn needed_attachments(&self, run: &Run) -> Result<Vec<(&'static str, String)>, Error> {
        self.attachments.iter().map(|component| run.need(component).map(|id| (*component, id))).collect()
    }

    /// What brings it requests now. The target group of a login that goes is none of its business: it is taken off once no listener leads
    /// there any more, and listeners are changed after groups.
    fn attached(&self, run: &Run, observed: &AutoScalingGroup) -> Vec<String> {
        let login = format!(":targetgroup/{}/", run.cluster.names.login_targets());
        let keeps_login = self.attachments.contains(&components::LOGIN_TARGET_GROUP);
        let all = observed.target_group_arns().iter().chain(observed.load_balancer_names());
        all.filter(|one| keeps_login || !one.contains(&login)).cloned().collect()
    }

    fn template(&self, run: &Run) -> Result<LaunchTemplateSpecification, Error> {
        Ok(LaunchTemplateSpecification::builder()
            .launch_template_name(run.cluster.names.of(&self.name))
            .version(run.need(&components::template(&self.name))?)
            .build())
    }

    fn tags(&self, run: &Run) -> Vec<Tag> {
        let tag = |(key, value): (String, String)| {
            let tag = Tag::builder().key(key).value(value).propagate_at_launch(true);
            tag.resource_id(Resource::name(self, run)).resource_type("auto-scaling-group").build()
        };
        run.cluster.tags(&components::nodes(&self.name)).into_iter().map(tag).collect()
    }

    /// Managers are protected; ending one that has not left the Swarm could cost it its majority, so somebody must look on.
    fn note_surplus(&self, run: &Run, observed: &AutoScalingGroup) {
        let Some(desired) = self.desired.as_ref().filter(|desired| desired.role == Role::Manager) else { return };
        let there = observed.instances().len();
        if usize::try_from(desired.max).is_ok_and(|most| there > most) {
            run.note(format!(
                "the group {} has {there} managers and the spec wants {}: end the others one by one (`aws ec2 terminate-instances`), each when all that are left are Ready",
                self.name, desired.max
            ));
        }
    }

    /// What CreateAutoScalingGroup does not do.
    async fn configure(&self, aws: &Aws, run: &Run, group: &Settings) -> Result<(), Error> {
        let name = Resource::name(self, run);
        content::put_hook(aws, &name).await?;
        if group.role == Role::Manager {
            content::keep_managers(aws, &name).await?;
        }
        Ok(())
    }
}

impl Resource<Run> for Group {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "Auto Scaling group"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.of(&self.name)
    }

    fn component(&self) -> String {
        components::nodes(&self.name)
    }

    fn depends_on(&self) -> Vec<String> {
        let Some(group) = &self.desired else {
            // What its nodes use; they end first.
            let mut depends_on = vec![components::SECURITY_NODES.to_owned(), components::template(&self.name)];
            depends_on.extend(self.attachments.iter().copied().map(str::to_owned));
            return depends_on;
        };
        // Spec and epoch are in the bucket before the first node starts.
        let mut depends_on = vec![components::template(&self.name)];
        depends_on.extend(self.attachments.iter().copied().map(str::to_owned));
        depends_on.extend([components::SPEC.to_owned(), components::EPOCH.to_owned()]);
        depends_on.extend(group.zones.iter().map(|zone| Tier::Public.subnet(zone)));
        if group.role == Role::Manager {
            // Backwards: the name goes when no leader is left who would make it again.
            depends_on.push(components::SSH_NAME.to_owned());
        }
        depends_on
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let name = Resource::name(self, run);
        let all = run.inventory.groups(aws).await?;
        let Some(group) = all.iter().find(|group| group.auto_scaling_group_name() == Some(&name)) else {
            return Ok(None);
        };
        self.note_surplus(run, group);
        let hooks = aws.scaling.describe_lifecycle_hooks().auto_scaling_group_name(&name).send().await;
        let hooks = hooks.map_err(failed("DescribeLifecycleHooks"))?.lifecycle_hooks.unwrap_or_default();
        Ok(Some(Observed { group: group.clone(), hooks }))
    }

    fn id(&self, observed: &Observed) -> String {
        observed.group.auto_scaling_group_name().unwrap_or_default().to_owned()
    }

    fn is_desired(&self) -> bool {
        self.desired.is_some()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let Some(group) = &self.desired else { return Ok(Fields::new()) };
        let attachments = sorted(self.attachments.iter().map(|component| run.id_or_unknown(component)));
        let fields = content::desired(run, &self.name, group, &attachments);
        Ok(fields.with_desired_tags(&run.cluster.tags(&components::nodes(&self.name))))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let fixed = self.desired.as_ref().is_some_and(|group| group.min == group.max);
        let tags = observed.group.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value().unwrap_or_default())));
        content::observed(&observed.group, &observed.hooks, fixed)
            .with(Field::Attachment, sorted(self.attached(run, &observed.group)))
            .with_tags(tags, &run.cluster.tags(&components::nodes(&self.name)))
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let group = self.desired.as_ref().ok_or_else(incomplete("CreateAutoScalingGroup", "group"))?;
        let name = Resource::name(self, run);
        let (subnets, attachments) = (self.subnets(run)?, self.needed_attachments(run)?);
        let template = self.template(run)?;
        let made = until_visible("what the group starts nodes from", || async {
            let create = aws
                .scaling
                .create_auto_scaling_group()
                .auto_scaling_group_name(&name)
                .min_size(content::size(group.min))
                .max_size(content::size(group.max))
                .desired_capacity(content::size(group.min))
                .vpc_zone_identifier(&subnets)
                // A load balancer's opinion never ends a node: an app that fails is not the node's fault.
                .health_check_type("EC2")
                .health_check_grace_period(GRACE_SECONDS)
                .new_instances_protected_from_scale_in(group.role == Role::Manager)
                .set_tags(Some(self.tags(run)));
            let create = attachments.iter().fold(create, |create, (component, id)| match *component {
                components::LOAD_BALANCER => create.load_balancer_names(id),
                _ => create.target_group_arns(id),
            });
            let create = match content::mixed(group, &template) {
                Some(policy) => create.mixed_instances_policy(policy),
                None => create.launch_template(template.clone()),
            };
            create.send().await.map_err(failed("CreateAutoScalingGroup"))
        });
        made.await?;
        self.configure(aws, run, group).await?;
        Ok(name)
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        let group = self.desired.as_ref().ok_or_else(incomplete("UpdateAutoScalingGroup", "group"))?;
        let name = Resource::name(self, run);
        if changed.any(content::UPDATED) {
            let (subnets, template) = (self.subnets(run)?, self.template(run)?);
            let update = aws
                .scaling
                .update_auto_scaling_group()
                .auto_scaling_group_name(&name)
                .min_size(content::size(group.min))
                .max_size(content::size(group.max))
                .vpc_zone_identifier(subnets)
                .health_check_type("EC2")
                .new_instances_protected_from_scale_in(group.role == Role::Manager);
            let update = match content::mixed(group, &template) {
                Some(policy) => update.mixed_instances_policy(policy),
                None => update.launch_template(template),
            };
            let update = match group.min == group.max {
                true => update.desired_capacity(content::size(group.min)),
                false => update,
            };
            until_visible("the template's newest version", || async {
                update.clone().send().await.map_err(failed("UpdateAutoScalingGroup"))
            })
            .await?;
        }
        if changed.any(&[Field::Attachment]) {
            let there = self.attached(run, &observed.group);
            content::attach(aws, &observed.group, &there, &self.needed_attachments(run)?).await?;
        }
        if changed.any(&[Field::TerminationHook, Field::ScaleInProtection]) {
            self.configure(aws, run, group).await?;
        }
        if changed.tags() {
            until_visible("the Auto Scaling group", || async {
                let tag = aws.scaling.create_or_update_tags().set_tags(Some(self.tags(run)));
                tag.send().await.map_err(failed("CreateOrUpdateTags"))
            })
            .await?;
        }
        Ok(())
    }

    /// With its instances, and waits until they are gone.
    async fn delete(&self, aws: &Aws, run: &Run, observed: &Observed) -> Result<(), Error> {
        let name = Resource::name(self, run);
        content::unprotect(aws, &observed.group).await?;
        let deleted = until_free("the Auto Scaling group", || async {
            let delete = aws.scaling.delete_auto_scaling_group().auto_scaling_group_name(&name).force_delete(true);
            delete.send().await.map_err(failed("DeleteAutoScalingGroup"))
        });
        if let Err(error) = deleted.await {
            // Auto Scaling has one code for everything, also for what an attempt whose answer was lost has deleted.
            let gone = error.is(&["ValidationError"]) && self.observe(aws, &run.afresh()).await?.is_none();
            if !gone {
                return Err(error.into());
            }
        }
        let what = format!("the end of the instances of {name}");
        consistency::wait(&what, END, || async {
            let instances = inventory::instances(aws, &run.cluster).await?;
            let ours = |instance: &aws_sdk_ec2::types::Instance| {
                inventory::tag(instance.tags(), PART_TAG) == Some(&components::nodes(&self.name))
            };
            Ok((!instances.iter().any(ours)).then_some(()))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::types::{LifecycleHook, SuspendedProcess, TagDescription};

    use super::*;
    use crate::Cluster;

    fn managers(run: &Run) -> Group {
        let mut all = Group::all(&run.cluster.spec);
        all.remove(all.iter().position(|group| group.name == "managers").unwrap())
    }

    /// The managers' group as it should be.
    fn good(run: &Run) -> Observed {
        let template = LaunchTemplateSpecification::builder().launch_template_name("futuswarm-local-managers");
        let tags = run.cluster.tags("node-managers").into_iter();
        let tags = tags.map(|(key, value)| TagDescription::builder().key(key).value(value).build()).collect();
        let group = AutoScalingGroup::builder().auto_scaling_group_name("futuswarm-local-managers");
        let group = group.min_size(1).max_size(1).desired_capacity(1).health_check_type("EC2").set_tags(Some(tags));
        let group = group.vpc_zone_identifier("subnet-c,subnet-a,subnet-b").target_group_arns("arn:targets");
        let group = group.launch_template(template.version("3").build()).new_instances_protected_from_scale_in(true);
        let rebalance = SuspendedProcess::builder().process_name("AZRebalance").build();
        let hook = LifecycleHook::builder().lifecycle_hook_name("futuswarm-drain").heartbeat_timeout(300);
        let hook = hook.lifecycle_transition("autoscaling:EC2_INSTANCE_TERMINATING").default_result("CONTINUE");
        Observed { group: group.suspended_processes(rebalance).build(), hooks: vec![hook.build()] }
    }

    fn run() -> Run {
        let run = Run::local();
        for zone in ["a", "b", "c"] {
            run.note_id(format!("public-eu-west-1{zone}"), format!("subnet-{zone}"));
        }
        run.note_id("target-group", "arn:targets");
        run.note_id("template-managers", "3");
        run
    }

    fn differs(run: &Run, observed: &Observed) -> Vec<String> {
        let group = managers(run);
        let differences = group.desired(run).unwrap().differences(&group.current(run, observed));
        differences.for_people().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_group_as_it_should_be_differs_in_nothing_and_drift_is_named_as_aws_names_it() {
        let run = run();
        assert_eq!(differs(&run, &good(&run)), Vec::<String>::new());
        let mut drifted = good(&run);
        drifted.hooks.clear();
        drifted.group.max_size = Some(5);
        drifted.group.suspended_processes = None;
        drifted.group.target_group_arns = Some(vec!["arn:other".to_owned()]);
        assert_eq!(
            differs(&run, &drifted),
            [
                "load balancer: arn:other → arn:targets",
                "termination hook: 300 s, then CONTINUE is missing",
                "scale-in protection: true is missing",
                "max: 5 → 1"
            ]
        );
    }

    #[test]
    fn with_a_login_a_group_has_two_target_groups_and_without_one_it_leaves_the_second_to_its_end() {
        const EDGE: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/fsw-local/1";
        const LOGIN: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/fsso-local/2";
        let with_login = Cluster::of(|spec| spec.login = Some(crate::resources::tests::some_login()));
        let noted = |run: Run| {
            for zone in ["a", "b", "c"] {
                run.note_id(format!("public-eu-west-1{zone}"), format!("subnet-{zone}"));
            }
            run.note_id("target-group", EDGE);
            run.note_id("login-target-group", LOGIN);
            run.note_id("template-managers", "3");
            run
        };
        let attached = |run: &Run, arns: &[&str]| {
            let mut observed = good(run);
            observed.group.target_group_arns = Some(arns.iter().map(|arn| (*arn).to_owned()).collect());
            differs(run, &observed)
        };
        let run = noted(Run::of(with_login, futuswarm_converge::Mode::Apply { plan: false }));
        assert_eq!(attached(&run, &[LOGIN, EDGE]), Vec::<String>::new());
        assert_eq!(attached(&run, &[EDGE]), [format!("load balancer: {EDGE} → {LOGIN} {EDGE}")]);
        // Listeners may still lead there.
        let run = noted(Run::local());
        assert_eq!(attached(&run, &[LOGIN, EDGE]), Vec::<String>::new());
        assert_eq!(attached(&run, &["arn:other", EDGE]), [format!("load balancer: {EDGE} arn:other → {EDGE}")]);
    }

    #[test]
    fn what_a_group_depends_on_is_made_before_its_first_node() {
        let run = run();
        let depends_on = managers(&run).depends_on();
        for component in ["template-managers", "target-group", "spec", "epoch", "public-eu-west-1a"] {
            assert!(depends_on.contains(&component.to_owned()), "{component}: {depends_on:?}");
        }
        let classic = Cluster::of(|spec| spec.load_balancer.kind = futuswarm_spec::BalancerKind::Classic);
        let classic = Run::of(classic, futuswarm_converge::Mode::Apply { plan: true });
        assert!(managers(&classic).depends_on().contains(&"load-balancer".to_owned()));
    }
}
