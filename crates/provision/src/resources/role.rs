//! IAM roles of the nodes, each with its one inline policy.

use std::collections::BTreeSet;

use aws_sdk_iam::types::RoleDetail;
use futuswarm_converge::Resource;
use futuswarm_spec::Role as NodeRole;
use serde_json::Value;

use super::tags;
use crate::consistency::{until_detached, until_visible};
use crate::error::{Error, failed, ignore_not_found, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Run, components, policies};

/// The name of the one inline policy.
const POLICY: &str = "node";

pub(crate) struct Role(pub(crate) NodeRole);

impl Role {
    fn policy(&self, run: &Run) -> Value {
        let key = |component: &str| run.id_or_unknown(component);
        let (cluster_key, manager_key) = (key(components::CLUSTER_KEY), key(components::MANAGER_KEY));
        let spec = &run.cluster.spec;
        let grants = policies::Grants { domain: &spec.domain, import: spec.import.as_ref() };
        policies::node(&run.cluster.names, self.0, &cluster_key, &manager_key, grants)
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

/// IAM returns documents percent-encoded (RFC 3986); written again, so that spaces and order do not count.
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
        components::role(self.0)
    }

    fn depends_on(&self) -> Vec<String> {
        [components::CLUSTER_KEY, components::MANAGER_KEY].map(str::to_owned).to_vec()
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<RoleDetail>, Error> {
        let name = run.cluster.names.role(self.0);
        Ok(run.inventory.roles(aws).await?.iter().find(|role| role.role_name() == Some(&name)).cloned())
    }

    fn id(&self, observed: &RoleDetail) -> String {
        observed.role_id().unwrap_or_default().to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        Ok(Fields::new()
            .with(Field::Trust, policies::trust())
            .with(Field::Policy(POLICY.to_owned()), self.policy(run))
            .with_desired_tags(&run.cluster.tags(&components::role(self.0))))
    }

    fn current(&self, run: &Run, observed: &RoleDetail) -> Fields {
        let mut fields = Fields::new().with_some(Field::Trust, document(observed.assume_role_policy_document()));
        for policy in observed.role_policy_list() {
            let name = policy.policy_name().unwrap_or_default().to_owned();
            fields = fields.with_some(Field::Policy(name), document(policy.policy_document()));
        }
        for policy in observed.attached_managed_policies().iter().filter_map(|policy| policy.policy_arn()) {
            fields = fields.with(Field::Policy(policy.to_owned()), "attached");
        }
        fields.with_tags(tags::iam_pairs(observed.tags()), &run.cluster.tags(&components::role(self.0)))
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let create = aws.iam.create_role().role_name(self.name(run));
        let create = create.assume_role_policy_document(policies::trust().to_string());
        let create = create.set_tags(Some(tags::iam(&run.cluster, &components::role(self.0))?));
        let made = create.send().await.map_err(failed("CreateRole"))?;
        let id = made.role.map(|role| role.role_id).ok_or_else(incomplete("CreateRole", "RoleId"))?;
        self.put_policy(aws, run).await?;
        Ok(id)
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &RoleDetail, changed: &Changed) -> Result<(), Error> {
        let name = self.name(run);
        if changed.any(&[Field::Trust]) {
            let update = aws.iam.update_assume_role_policy().role_name(&name);
            let update = update.policy_document(policies::trust().to_string());
            update.send().await.map_err(failed("UpdateAssumeRolePolicy"))?;
        }
        if changed.any_of(|field| matches!(field, Field::Policy(_))) {
            self.put_policy(aws, run).await?;
            // Least privilege: another policy is somebody's accident.
            for other in observed.role_policy_list().iter().filter_map(|policy| policy.policy_name()) {
                if other != POLICY {
                    let delete = aws.iam.delete_role_policy().role_name(&name).policy_name(other);
                    ignore_not_found(delete.send().await.map_err(failed("DeleteRolePolicy")))?;
                }
            }
            detach_policies(aws, &name, observed).await?;
        }
        if changed.tags() {
            let tag =
                aws.iam.tag_role().role_name(&name).set_tags(Some(tags::iam(&run.cluster, &components::role(self.0))?));
            tag.send().await.map_err(failed("TagRole"))?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, run: &Run, observed: &RoleDetail) -> Result<(), Error> {
        let name = self.name(run);
        for policy in policies_to_delete(observed) {
            let delete = aws.iam.delete_role_policy().role_name(&name).policy_name(policy);
            ignore_not_found(delete.send().await.map_err(failed("DeleteRolePolicy")))?;
        }
        detach_policies(aws, &name, observed).await?;
        until_detached("the role", || async {
            aws.iam.delete_role().role_name(&name).send().await.map_err(failed("DeleteRole"))
        })
        .await?;
        Ok(())
    }
}

/// The inline policies of a role that goes. Ours is among them even when it was not listed: the list of a role that was just made
/// may be older than its policy.
fn policies_to_delete(observed: &RoleDetail) -> BTreeSet<&str> {
    let listed = observed.role_policy_list().iter().filter_map(|policy| policy.policy_name());
    listed.chain([POLICY]).collect()
}

async fn detach_policies(aws: &Aws, name: &str, observed: &RoleDetail) -> Result<(), Error> {
    for policy in observed.attached_managed_policies().iter().filter_map(|policy| policy.policy_arn()) {
        let detach = aws.iam.detach_role_policy().role_name(name).policy_arn(policy);
        ignore_not_found(detach.send().await.map_err(failed("DetachRolePolicy")))?;
    }
    Ok(())
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
    fn documents_are_decoded_and_written_anew() {
        assert_eq!(document(Some("%7B%22b%22%3A%20%22100%%22%2C%22a%22%3A1%7D")).unwrap(), "{\"a\":1,\"b\":\"100%\"}");
        assert_eq!(document(Some("%c3%a9%")).unwrap(), "é%");
        assert_eq!(document(None), None);
    }
}
