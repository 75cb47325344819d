//! Instance profiles: how a role gets onto an instance.

use aws_sdk_iam::types::InstanceProfile as Found;
use futuswarm_spec::Role as NodeRole;

use super::{marks, role};
use crate::Cloud;
use crate::consistency::{until_detached, until_visible};
use crate::error::{Error, aws};
use crate::world;
use futuswarm_converge::{Changed, Fields, Resource};

/// The profile of a role; it has the role's name.
pub(crate) struct InstanceProfile(pub(crate) NodeRole);

pub(crate) fn part(role: NodeRole) -> String {
    format!("{role}-profile")
}

impl InstanceProfile {
    /// A profile holds one role at a time, so that the former goes first; when the new one is refused, the former is put back. Another
    /// profile would not help: instances keep the one that they have.
    async fn replace_roles(&self, cloud: &Cloud, found: &Found) -> Result<(), Error> {
        self.remove_roles(cloud, found).await?;
        let Err(refused) = self.add_role(cloud, &self.name(cloud)).await else { return Ok(()) };
        for former in found.roles() {
            if let Err(error) = self.add_role(cloud, former.role_name()).await {
                let (role, profile) = (former.role_name(), self.name(cloud));
                cloud.note(format!(
                    "the role {role} could not be put back into the instance profile {profile}: {error}"
                ));
            }
        }
        Err(refused)
    }

    async fn add_role(&self, cloud: &Cloud, role: &str) -> Result<(), Error> {
        let name = cloud.names.role(self.0);
        let added = until_visible("the instance profile and its role", || async {
            let add = cloud.iam.add_role_to_instance_profile().instance_profile_name(&name).role_name(role);
            add.send().await.map_err(aws("AddRoleToInstanceProfile"))
        });
        match added.await {
            // It has one already, and one is all that it may have: perhaps by a call of ours whose answer was lost.
            Err(error) if error.is(&["LimitExceeded", "LimitExceededException"]) => {
                let found = get(cloud, &name).await?;
                let has = found.is_some_and(|found| found.roles().iter().any(|one| one.role_name() == role));
                if has { Ok(()) } else { Err(error.into()) }
            }
            added => {
                added?;
                Ok(())
            }
        }
    }

    async fn remove_roles(&self, cloud: &Cloud, found: &Found) -> Result<(), Error> {
        for role in found.roles() {
            let remove = cloud.iam.remove_role_from_instance_profile().instance_profile_name(self.name(cloud));
            let removed = remove.role_name(role.role_name()).send().await;
            role::or_gone(removed.map_err(aws("RemoveRoleFromInstanceProfile")))?;
        }
        Ok(())
    }
}

async fn get(cloud: &Cloud, name: &str) -> Result<Option<Found>, Error> {
    let found = cloud.iam.get_instance_profile().instance_profile_name(name).send().await;
    match found.map_err(aws("GetInstanceProfile")) {
        Ok(found) => Ok(found.instance_profile),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Resource<Cloud> for InstanceProfile {
    type Observed = Found;

    fn kind(&self) -> &'static str {
        "instance profile"
    }

    fn name(&self, cloud: &Cloud) -> String {
        cloud.names.role(self.0)
    }

    fn component(&self) -> String {
        part(self.0)
    }

    fn depends_on(&self) -> Vec<String> {
        vec![role::part(self.0)]
    }

    async fn observe(&self, cloud: &Cloud) -> Result<Option<Found>, Error> {
        let name = self.name(cloud);
        let roles = cloud.world.roles(cloud).await?.iter().filter(|role| role.role_name() == Some(&name));
        let known = roles.flat_map(world::profiles).find(|profile| profile.instance_profile_name() == name);
        if let Some(known) = known {
            return Ok(Some(known.clone()));
        }
        // One that holds no role is behind no role.
        get(cloud, &name).await
    }

    fn id(&self, found: &Found) -> String {
        found.instance_profile_name().to_owned()
    }

    fn desired(&self, cloud: &Cloud) -> Result<Fields, Error> {
        Ok(marks::wanted(Fields::new().with("role", self.name(cloud))))
    }

    fn current(&self, cloud: &Cloud, found: &Found) -> Fields {
        let role = found.roles().first().map(|role| role.role_name());
        marks::current(cloud, Fields::new().with_some("role", role))
    }

    async fn create(&self, cloud: &Cloud) -> Result<String, Error> {
        let name = self.name(cloud);
        let create = cloud.iam.create_instance_profile().instance_profile_name(&name);
        let create = create.set_tags(Some(role::tags(cloud, &part(self.0))?));
        create.send().await.map_err(aws("CreateInstanceProfile"))?;
        self.add_role(cloud, &name).await?;
        Ok(name)
    }

    async fn update(&self, cloud: &Cloud, found: &Found, changed: Changed<'_>) -> Result<(), Error> {
        if changed.any(&["role"]) {
            self.replace_roles(cloud, found).await?;
        }
        if marks::differs(changed) {
            let tag = cloud.iam.tag_instance_profile().instance_profile_name(self.name(cloud));
            let tag = tag.set_tags(Some(role::tags(cloud, &part(self.0))?));
            tag.send().await.map_err(aws("TagInstanceProfile"))?;
        }
        Ok(())
    }

    async fn delete(&self, cloud: &Cloud, found: &Found) -> Result<(), Error> {
        self.remove_roles(cloud, found).await?;
        let name = self.name(cloud);
        until_detached("the instance profile", || async {
            let delete = cloud.iam.delete_instance_profile().instance_profile_name(&name);
            delete.send().await.map_err(aws("DeleteInstanceProfile"))
        })
        .await?;
        Ok(())
    }
}
