//! Launch templates: one per group of nodes, a new version whenever something in it changes.

mod content;

use aws_sdk_ec2::types::{LaunchTemplateVersion, ResourceType};
use futuswarm_converge::Resource;
use futuswarm_spec::Group;

use super::{image, key_pair};
use crate::consistency::until_visible;
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::names::CLUSTER_TAG;
use crate::{Aws, Run, components, ec2_tags};

/// The template of a group; one that is not desired has no settings.
pub(crate) struct Template {
    group: String,
    desired: Option<Group>,
    key_pair: bool,
    /// Found before the graph runs, because a comparison asks nobody.
    image: String,
}

impl Template {
    pub(crate) async fn all(aws: &Aws, run: &Run) -> Result<Vec<Self>, Error> {
        let mut all = Vec::new();
        for (name, group) in &run.cluster.spec.groups {
            let image = image::find(aws, run, group.architecture()).await?;
            let key_pair = key_pair::is_desired(run);
            all.push(Self { group: name.clone(), desired: Some(group.clone()), key_pair, image });
        }
        Ok(all)
    }

    /// Those of groups that the spec has, for deleting them: nothing needs to be known of them.
    pub(crate) fn to_delete(spec: &futuswarm_spec::Spec) -> Vec<Self> {
        spec.groups.keys().map(|name| Self::without_settings(name.clone())).collect()
    }

    /// Those of groups that the spec does not have.
    pub(crate) async fn orphans(aws: &Aws, run: &Run) -> Result<Vec<Self>, Error> {
        let prefix = run.cluster.names.of("");
        // Another cluster's name may begin with ours.
        let ours = |version: &&LaunchTemplateVersion| {
            let tags = version.launch_template_data().map(|data| data.tag_specifications()).unwrap_or_default();
            let mut tags = tags.iter().flat_map(|tags| tags.tags());
            tags.any(|tag| tag.key() == Some(CLUSTER_TAG) && tag.value() == Some(&run.cluster.spec.cluster))
        };
        let names = run.inventory.templates(aws).await?.iter().filter(ours);
        let names = names.filter_map(|version| version.launch_template_name()?.strip_prefix(&prefix));
        Ok(names
            .filter(|name| !run.cluster.spec.groups.contains_key(*name))
            .map(|name| Self::without_settings(name.to_owned()))
            .collect())
    }

    /// One that is desired, as tests of what it depends on need it.
    #[cfg(test)]
    pub(super) fn desired(run: &Run, group: &str, settings: &Group) -> Self {
        let (group, desired) = (group.to_owned(), Some(settings.clone()));
        Self { group, desired, key_pair: key_pair::is_desired(run), image: "ami-1".to_owned() }
    }

    fn without_settings(group: String) -> Self {
        Self { group, desired: None, key_pair: false, image: String::new() }
    }
}

impl Resource<Run> for Template {
    type Observed = LaunchTemplateVersion;

    fn kind(&self) -> &'static str {
        "launch template"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.of(&self.group)
    }

    fn component(&self) -> String {
        components::template(&self.group)
    }

    fn depends_on(&self) -> Vec<String> {
        let Some(group) = &self.desired else { return Vec::new() };
        let mut depends_on = vec![components::SECURITY_NODES.to_owned(), components::role(group.role)];
        depends_on.push(components::instance_profile(group.role));
        depends_on.extend(self.key_pair.then(|| components::KEY_PAIR.to_owned()));
        depends_on
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<LaunchTemplateVersion>, Error> {
        let name = self.name(run);
        let all = run.inventory.templates(aws).await?;
        Ok(all.iter().find(|version| version.launch_template_name() == Some(&name)).cloned())
    }

    /// The version that nodes should start from.
    fn id(&self, observed: &LaunchTemplateVersion) -> String {
        observed.version_number().unwrap_or(1).to_string()
    }

    fn is_desired(&self) -> bool {
        self.desired.is_some()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let Some(group) = &self.desired else { return Ok(Fields::new()) };
        content::desired(run, &self.group, group, &self.image)
    }

    fn current(&self, _: &Run, observed: &LaunchTemplateVersion) -> Fields {
        observed.launch_template_data().map(content::observed).unwrap_or_default()
    }

    /// Its id is its version.
    fn changes_id(&self) -> bool {
        true
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let group = self.desired.as_ref().ok_or_else(incomplete("CreateLaunchTemplate", "group"))?;
        let data = content::data(run, &self.group, group, &self.image)?;
        let create = aws.ec2.create_launch_template().launch_template_name(self.name(run));
        let create = create
            .tag_specifications(run.cluster.ec2_tags(ResourceType::LaunchTemplate, &components::template(&self.group)));
        create.launch_template_data(data).send().await.map_err(failed("CreateLaunchTemplate"))?;
        Ok("1".to_owned())
    }

    async fn update(
        &self,
        aws: &Aws,
        run: &Run,
        observed: &LaunchTemplateVersion,
        changed: &Changed,
    ) -> Result<(), Error> {
        // The template's own tags; before the version that tells that they are right.
        if changed.any(&[Field::InstanceTags]) {
            ec2_tags::set(
                aws,
                &run.cluster,
                observed.launch_template_id().unwrap_or_default(),
                &components::template(&self.group),
            )
            .await?;
        }
        let group = self.desired.as_ref().ok_or_else(incomplete("CreateLaunchTemplateVersion", "group"))?;
        let (name, data) = (self.name(run), content::data(run, &self.group, group, &self.image)?);
        let create = aws.ec2.create_launch_template_version().launch_template_name(&name).launch_template_data(data);
        let made = create.send().await.map_err(failed("CreateLaunchTemplateVersion"))?;
        let version = made.launch_template_version.and_then(|version| version.version_number);
        let version = version.ok_or_else(incomplete("CreateLaunchTemplateVersion", "VersionNumber"))?.to_string();
        until_visible("the launch template's version", || async {
            let modify = aws.ec2.modify_launch_template().launch_template_name(&name).default_version(&version);
            modify.send().await.map_err(failed("ModifyLaunchTemplate"))
        })
        .await?;
        run.note_id(components::template(&self.group), version);
        Ok(())
    }

    async fn delete(&self, aws: &Aws, run: &Run, _: &LaunchTemplateVersion) -> Result<(), Error> {
        let delete = aws.ec2.delete_launch_template().launch_template_name(self.name(run));
        delete.send().await.map_err(failed("DeleteLaunchTemplate"))?;
        Ok(())
    }
}
