//! Instance profiles: how a role gets onto an instance.

use aws_sdk_iam::types::InstanceProfile as Observed;
use futuswarm_converge::Resource;
use futuswarm_spec::Role as NodeRole;

use super::{fingerprint, tags};
use crate::consistency::{until_detached, until_visible};
use crate::error::{Error, failed, ignore_not_found};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Cluster, Run, components, inventory};

/// The profile of a role; it has the role's name.
pub(crate) struct InstanceProfile(pub(crate) NodeRole);

impl InstanceProfile {
    /// A profile holds one role at a time, so that the previous one goes first; when the new one is refused, it is put back. Another
    /// profile would not help: instances keep the one that they have.
    async fn replace_roles(&self, aws: &Aws, run: &Run, observed: &Observed) -> Result<(), Error> {
        self.remove_roles(aws, run, observed).await?;
        let Err(refused) = self.add_role(aws, &run.cluster, &self.name(run)).await else { return Ok(()) };
        for previous in observed.roles() {
            if let Err(error) = self.add_role(aws, &run.cluster, previous.role_name()).await {
                let (role, profile) = (previous.role_name(), self.name(run));
                run.note(format!("the role {role} could not be put back into the instance profile {profile}: {error}"));
            }
        }
        Err(refused)
    }

    async fn add_role(&self, aws: &Aws, cluster: &Cluster, role: &str) -> Result<(), Error> {
        let name = cluster.names.role(self.0);
        let added = until_visible("the instance profile and its role", || async {
            let add = aws.iam.add_role_to_instance_profile().instance_profile_name(&name).role_name(role);
            add.send().await.map_err(failed("AddRoleToInstanceProfile"))
        });
        match added.await {
            // It has one already, and one is all that it may have: perhaps by a call of ours whose answer was lost.
            Err(error) if error.is(&["LimitExceeded", "LimitExceededException"]) => {
                let observed = get(aws, &name).await?;
                let has = observed.is_some_and(|observed| observed.roles().iter().any(|one| one.role_name() == role));
                if has { Ok(()) } else { Err(error.into()) }
            }
            added => {
                added?;
                Ok(())
            }
        }
    }

    async fn remove_roles(&self, aws: &Aws, run: &Run, observed: &Observed) -> Result<(), Error> {
        for role in observed.roles() {
            let remove = aws.iam.remove_role_from_instance_profile().instance_profile_name(self.name(run));
            let removed = remove.role_name(role.role_name()).send().await;
            ignore_not_found(removed.map_err(failed("RemoveRoleFromInstanceProfile")))?;
        }
        Ok(())
    }
}

async fn get(aws: &Aws, name: &str) -> Result<Option<Observed>, Error> {
    let observed = aws.iam.get_instance_profile().instance_profile_name(name).send().await;
    match observed.map_err(failed("GetInstanceProfile")) {
        Ok(observed) => Ok(observed.instance_profile),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Resource<Run> for InstanceProfile {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "instance profile"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.role(self.0)
    }

    fn component(&self) -> String {
        components::instance_profile(self.0)
    }

    fn depends_on(&self) -> Vec<String> {
        vec![components::role(self.0)]
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let name = self.name(run);
        let roles = run.inventory.roles(aws).await?.iter().filter(|role| role.role_name() == Some(&name));
        let known = roles.flat_map(inventory::profiles).find(|profile| profile.instance_profile_name() == name);
        if let Some(known) = known {
            return Ok(Some(known.clone()));
        }
        // One that holds no role is behind no role.
        get(aws, &name).await
    }

    fn id(&self, observed: &Observed) -> String {
        observed.instance_profile_name().to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        Ok(fingerprint::desired(Fields::new().with(Field::Role, self.name(run))))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let role = observed.roles().first().map(|role| role.role_name());
        fingerprint::current(run, Fields::new().with_some(Field::Role, role))
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let name = self.name(run);
        let create = aws.iam.create_instance_profile().instance_profile_name(&name);
        let create = create.set_tags(Some(tags::iam(&run.cluster, &components::instance_profile(self.0))?));
        create.send().await.map_err(failed("CreateInstanceProfile"))?;
        self.add_role(aws, &run.cluster, &name).await?;
        Ok(name)
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        if changed.any(&[Field::Role]) {
            self.replace_roles(aws, run, observed).await?;
        }
        if fingerprint::differs(changed) {
            let tag = aws.iam.tag_instance_profile().instance_profile_name(self.name(run));
            let tag = tag.set_tags(Some(tags::iam(&run.cluster, &components::instance_profile(self.0))?));
            tag.send().await.map_err(failed("TagInstanceProfile"))?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, run: &Run, observed: &Observed) -> Result<(), Error> {
        self.remove_roles(aws, run, observed).await?;
        let name = self.name(run);
        until_detached("the instance profile", || async {
            let delete = aws.iam.delete_instance_profile().instance_profile_name(&name);
            delete.send().await.map_err(failed("DeleteInstanceProfile"))
        })
        .await?;
        Ok(())
    }
}
