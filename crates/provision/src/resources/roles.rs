//! IAM roles and instance profiles of the nodes.

use aws_sdk_iam::types::Tag;
use futuswarm_spec::Role;
use serde_json::Value;

use super::gone;
use crate::error::{Error, aws, incomplete};
use crate::{Action, Cloud, policies};

/// The name of the one inline policy.
const POLICY: &str = "node";

/// Makes role, policy and instance profile of a role.
pub(super) async fn ensure(
    cloud: &mut Cloud,
    role: Role,
    cluster_key: Option<&str>,
    manager_key: Option<&str>,
) -> Result<(), Error> {
    let name = cloud.names.role(role);
    if !exists(cloud.iam.get_role().role_name(&name).send().await.map_err(aws("GetRole")))? {
        if !cloud.plan.begin(Action::Create, "IAM role", &name) {
            return Ok(());
        }
        let mut tags = Vec::new();
        for (key, value) in cloud.tags(&format!("{role}-role")) {
            tags.push(Tag::builder().key(key).value(value).build().map_err(|_| incomplete("TagRole", "Key")())?);
        }
        let create =
            cloud.iam.create_role().role_name(&name).assume_role_policy_document(policies::trust().to_string());
        create.set_tags(Some(tags)).send().await.map_err(aws("CreateRole"))?;
    }
    if let (Some(cluster_key), Some(manager_key)) = (cluster_key, manager_key) {
        let wanted = policies::node(&cloud.names, role, cluster_key, manager_key);
        if current_policy(cloud, &name).await? != Some(wanted.clone())
            && cloud.plan.begin(Action::Update, "IAM policy", &name)
        {
            let put =
                cloud.iam.put_role_policy().role_name(&name).policy_name(POLICY).policy_document(wanted.to_string());
            put.send().await.map_err(aws("PutRolePolicy"))?;
        }
    }
    let profile =
        cloud.iam.get_instance_profile().instance_profile_name(&name).send().await.map_err(aws("GetInstanceProfile"));
    let has_role = match profile {
        Ok(profile) => profile.instance_profile().is_some_and(|profile| !profile.roles().is_empty()),
        Err(error) if error.is_not_found() => {
            if !cloud.plan.begin(Action::Create, "instance profile", &name) {
                return Ok(());
            }
            cloud
                .iam
                .create_instance_profile()
                .instance_profile_name(&name)
                .send()
                .await
                .map_err(aws("CreateInstanceProfile"))?;
            false
        }
        Err(error) => return Err(error.into()),
    };
    if !has_role && cloud.plan.apply {
        let add = cloud.iam.add_role_to_instance_profile().instance_profile_name(&name).role_name(&name);
        add.send().await.map_err(aws("AddRoleToInstanceProfile"))?;
    }
    Ok(())
}

async fn current_policy(cloud: &Cloud, role: &str) -> Result<Option<Value>, Error> {
    match cloud.iam.get_role_policy().role_name(role).policy_name(POLICY).send().await.map_err(aws("GetRolePolicy")) {
        Ok(found) => Ok(serde_json::from_str(&percent_decoded(found.policy_document())).ok()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// IAM returns documents percent-encoded (RFC 3986).
fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn exists<T>(found: Result<T, futuswarm_aws::Error>) -> Result<bool, Error> {
    match found {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Deletes instance profile, policy and role.
pub(super) async fn delete(cloud: &mut Cloud, role: Role) -> Result<(), Error> {
    let name = cloud.names.role(role);
    let iam = cloud.iam.clone();
    if exists(iam.get_instance_profile().instance_profile_name(&name).send().await.map_err(aws("GetInstanceProfile")))?
    {
        let delete = async {
            let remove = iam.remove_role_from_instance_profile().instance_profile_name(&name).role_name(&name);
            match remove.send().await.map_err(aws("RemoveRoleFromInstanceProfile")) {
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
            iam.delete_instance_profile()
                .instance_profile_name(&name)
                .send()
                .await
                .map_err(aws("DeleteInstanceProfile"))
        };
        gone(cloud, "instance profile", &name, delete).await?;
    }
    if exists(iam.get_role().role_name(&name).send().await.map_err(aws("GetRole")))? {
        let delete = async {
            match iam
                .delete_role_policy()
                .role_name(&name)
                .policy_name(POLICY)
                .send()
                .await
                .map_err(aws("DeleteRolePolicy"))
            {
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
            iam.delete_role().role_name(&name).send().await.map_err(aws("DeleteRole"))
        };
        gone(cloud, "IAM role", &name, delete).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_decoded() {
        assert_eq!(percent_decoded("%7B%22a%22%3A%20%22100%%22%7D"), "{\"a\": \"100%\"}");
        assert_eq!(percent_decoded("{}"), "{}");
        assert_eq!(percent_decoded("%c3%a9%"), "é%");
    }
}
