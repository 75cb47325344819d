//! IAM roles of the nodes, each with its one inline policy.

use std::collections::BTreeSet;

use aws_sdk_iam::types::{RoleDetail, Tag};
use futuswarm_spec::Role as NodeRole;
use serde_json::Value;

use super::kms_key::KmsKey;
use crate::consistency::{until_detached, until_visible};
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Cluster, Run, policies};
use futuswarm_converge::Resource;

/// The name of the one inline policy.
const POLICY: &str = "node";

/// A role.
pub(crate) struct Role(pub(crate) NodeRole);

/// The part of a role; its id is what AWS calls the role id.
pub(crate) fn part(role: NodeRole) -> String {
    format!("{role}-role")
}

pub(crate) fn tags(cluster: &Cluster, part: &str) -> Result<Vec<Tag>, Error> {
    let tag = |(key, value): (String, String)| Tag::builder().key(key).value(value).build();
    cluster.tags(part).into_iter().map(|pair| tag(pair).map_err(|_| incomplete("TagRole", "Key")())).collect()
}

pub(crate) fn tag_pairs(tags: &[Tag]) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().map(|tag| (tag.key(), tag.value()))
}

impl Role {
    fn policy(&self, run: &Run) -> Value {
        let key = |key: KmsKey| run.id_or_unknown(key.part_name());
        policies::node(&run.cluster.names, self.0, &key(KmsKey::Cluster), &key(KmsKey::Managers))
    }

    async fn put_policy(&self, aws: &Aws, run: &Run) -> Result<(), Error> {
        let name = run.cluster.names.role(self.0);
        let document = self.policy(run).to_string();
        until_visible("the role", || async {
            let put = aws.iam.put_role_policy().role_name(&name).policy_name(POLICY).policy_document(&document);
            put.send().await.map_err(failed("PutRolePolicy"))
        })
        .await?;
        Ok(())
    }
}

/// IAM returns documents percent-encoded (RFC 3986); written anew, so that spaces and order do not count.
fn document(text: Option<&str>) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(text?).decode_utf8_lossy().into_owned();
    Some(serde_json::from_str::<Value>(&decoded).map_or(decoded, |value| value.to_string()))
}

impl Resource<Run> for Role {
    type Observed = RoleDetail;

    fn kind(&self) -> &'static str {
        "IAM role"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.role(self.0)
    }

    fn component(&self) -> String {
        part(self.0)
    }

    fn depends_on(&self) -> Vec<String> {
        [KmsKey::Cluster, KmsKey::Managers].map(|key| key.part_name().to_owned()).to_vec()
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<RoleDetail>, Error> {
        let name = run.cluster.names.role(self.0);
        Ok(run.inventory.roles(aws).await?.iter().find(|role| role.role_name() == Some(&name)).cloned())
    }

    fn id(&self, found: &RoleDetail) -> String {
        found.role_id().unwrap_or_default().to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        Ok(Fields::new()
            .with(Field::Trust, policies::trust())
            .with(Field::Policy(POLICY.to_owned()), self.policy(run))
            .with_desired_tags(&run.cluster.tags(&part(self.0))))
    }

    fn current(&self, run: &Run, found: &RoleDetail) -> Fields {
        let mut fields = Fields::new().with_some(Field::Trust, document(found.assume_role_policy_document()));
        for policy in found.role_policy_list() {
            let name = policy.policy_name().unwrap_or_default().to_owned();
            fields = fields.with_some(Field::Policy(name), document(policy.policy_document()));
        }
        for policy in found.attached_managed_policies().iter().filter_map(|policy| policy.policy_arn()) {
            fields = fields.with(Field::Policy(policy.to_owned()), "attached");
        }
        fields.with_tags(tag_pairs(found.tags()), &run.cluster.tags(&part(self.0)))
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let create = aws.iam.create_role().role_name(self.name(run));
        let create = create.assume_role_policy_document(policies::trust().to_string());
        let create = create.set_tags(Some(tags(&run.cluster, &part(self.0))?));
        let made = create.send().await.map_err(failed("CreateRole"))?;
        let id = made.role.map(|role| role.role_id).ok_or_else(incomplete("CreateRole", "RoleId"))?;
        self.put_policy(aws, run).await?;
        Ok(id)
    }

    async fn update(&self, aws: &Aws, run: &Run, found: &RoleDetail, changed: &Changed) -> Result<(), Error> {
        let name = self.name(run);
        if changed.any(&[Field::Trust]) {
            let update = aws.iam.update_assume_role_policy().role_name(&name);
            let update = update.policy_document(policies::trust().to_string());
            update.send().await.map_err(failed("UpdateAssumeRolePolicy"))?;
        }
        if changed.any_of(|field| matches!(field, Field::Policy(_))) {
            self.put_policy(aws, run).await?;
            // Least privilege: another policy is somebody's accident.
            for other in found.role_policy_list().iter().filter_map(|policy| policy.policy_name()) {
                if other != POLICY {
                    let delete = aws.iam.delete_role_policy().role_name(&name).policy_name(other);
                    or_gone(delete.send().await.map_err(failed("DeleteRolePolicy")))?;
                }
            }
            detach_policies(aws, &name, found).await?;
        }
        if changed.tags() {
            let tag = aws.iam.tag_role().role_name(&name).set_tags(Some(tags(&run.cluster, &part(self.0))?));
            tag.send().await.map_err(failed("TagRole"))?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, run: &Run, found: &RoleDetail) -> Result<(), Error> {
        let name = self.name(run);
        for policy in policies_to_delete(found) {
            let delete = aws.iam.delete_role_policy().role_name(&name).policy_name(policy);
            or_gone(delete.send().await.map_err(failed("DeleteRolePolicy")))?;
        }
        detach_policies(aws, &name, found).await?;
        until_detached("the role", || async {
            aws.iam.delete_role().role_name(&name).send().await.map_err(failed("DeleteRole"))
        })
        .await?;
        Ok(())
    }
}

/// The inline policies of a role that goes. Ours is among them even when it was not listed: the list of a role that was just made
/// may be older than its policy.
fn policies_to_delete(found: &RoleDetail) -> BTreeSet<&str> {
    let listed = found.role_policy_list().iter().filter_map(|policy| policy.policy_name());
    listed.chain([POLICY]).collect()
}

async fn detach_policies(aws: &Aws, name: &str, found: &RoleDetail) -> Result<(), Error> {
    for policy in found.attached_managed_policies().iter().filter_map(|policy| policy.policy_arn()) {
        let detach = aws.iam.detach_role_policy().role_name(name).policy_arn(policy);
        or_gone(detach.send().await.map_err(failed("DetachRolePolicy")))?;
    }
    Ok(())
}

/// That a policy, a route or another thing of a resource is gone already must not pass for the whole resource's being gone: what
/// deletes a resource takes NotFound of the resource itself for success.
pub(super) fn or_gone<T>(outcome: Result<T, futuswarm_aws::Error>) -> Result<(), futuswarm_aws::Error> {
    match outcome {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_policy_is_deleted_even_when_it_was_not_listed() {
        let policy = |name: &str| aws_sdk_iam::types::PolicyDetail::builder().policy_name(name).build();
        let role = RoleDetail::builder().role_policy_list(policy("extra")).build();
        assert_eq!(policies_to_delete(&role).into_iter().collect::<Vec<_>>(), ["extra", POLICY]);
        let role = RoleDetail::builder().role_policy_list(policy(POLICY)).build();
        assert_eq!(policies_to_delete(&role).into_iter().collect::<Vec<_>>(), [POLICY]);
    }

    #[test]
    fn only_not_found_is_gone() {
        let error = |code: &str| -> futuswarm_aws::Error {
            futuswarm_aws::Failure {
                operation: "DeleteRolePolicy",
                code: Some(code.to_owned()),
                message: String::new(),
                request_id: None,
                status: Some(400),
            }
            .into()
        };
        assert!(or_gone(Ok(())).is_ok() && or_gone::<()>(Err(error("NoSuchEntity"))).is_ok());
        assert!(or_gone::<()>(Err(error("AccessDenied"))).is_err());
    }

    #[test]
    fn documents_are_decoded_and_written_anew() {
        assert_eq!(document(Some("%7B%22b%22%3A%20%22100%%22%2C%22a%22%3A1%7D")).unwrap(), "{\"a\":1,\"b\":\"100%\"}");
        assert_eq!(document(Some("%c3%a9%")).unwrap(), "é%");
        assert_eq!(document(None), None);
    }
}
