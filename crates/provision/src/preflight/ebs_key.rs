//! The key that encrypts volumes when nobody names another. Root volumes are made in the name of Auto Scaling's service-linked
//! role, which may use AWS's own key and no customer's: without a grant each instance ends at its launch.
//!
//! See "Required AWS KMS key policy for use with encrypted volumes" in the user guide of EC2 Auto Scaling.

use aws_sdk_kms::types::{GrantListEntry, KeyManagerType, KeyState};
use serde_json::Value;

use crate::error::{Error, failed};
use crate::{Aws, Cluster, Run};

/// AWS's own key, by the name that EC2 has for it.
const MANAGED: &str = "alias/aws/ebs";
/// What Auto Scaling does with a key: action of a policy, operation of a grant.
const NEEDED: [(&str, &str); 3] = [
    ("kms:CreateGrant", "CreateGrant"),
    ("kms:Decrypt", "Decrypt"),
    ("kms:GenerateDataKeyWithoutPlaintext", "GenerateDataKeyWithoutPlaintext"),
];
/// The operations of the grant in AWS's documentation.
const OPERATIONS: &str =
    "Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext DescribeKey CreateGrant";

/// Why Auto Scaling could not use the account's default key. That it cannot be asked for is a note.
pub(super) async fn problem(aws: &Aws, run: &Run) -> Option<String> {
    match check(aws, &run.cluster).await {
        Ok(problem) => problem,
        Err(error) => {
            run.note(format!(
                "whether Auto Scaling may use the key that encrypts the nodes' volumes was not looked at ({error}); \
                 ec2:GetEbsDefaultKmsKeyId, kms:DescribeKey, kms:ListGrants and kms:GetKeyPolicy are the permissions for it"
            ));
            None
        }
    }
}

async fn check(aws: &Aws, cluster: &Cluster) -> Result<Option<String>, Error> {
    let answer = aws.ec2.get_ebs_default_kms_key_id().send().await.map_err(failed("GetEbsDefaultKmsKeyId"))?;
    let Some(key) = answer.kms_key_id.filter(|key| !key.ends_with(MANAGED)) else { return Ok(None) };
    let region = &cluster.spec.region;
    let default = format!("the key that encrypts volumes in {region} when no other is named, {key},");
    let described = match aws.kms.describe_key().key_id(&key).send().await.map_err(failed("DescribeKey")) {
        Err(error) if error.is_not_found() => {
            return Ok(Some(format!(
                "{default} does not exist: choose another with `aws ec2 modify-ebs-default-kms-key-id --region {region} --kms-key-id KEY`"
            )));
        }
        described => described?.key_metadata,
    };
    let Some(described) = described else { return Ok(None) };
    if described.key_manager() == Some(&KeyManagerType::Aws) {
        return Ok(None);
    }
    if let Some(state) = described.key_state().filter(|state| **state != KeyState::Enabled) {
        return Ok(Some(format!(
            "{default} is {}, so no volume can be made: enable it, or choose another with `aws ec2 modify-ebs-default-kms-key-id --region {region} --kms-key-id KEY`",
            state.as_str()
        )));
    }
    let arn = described.arn().unwrap_or(&key).to_owned();
    let role = format!(
        "arn:{}:iam::{}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
        cluster.names.partition(),
        cluster.names.account
    );
    let mut granted = Vec::new();
    let mut pages = aws.kms.list_grants().key_id(&arn).into_paginator().send();
    while let Some(page) = pages.next().await {
        granted.extend(page.map_err(failed("ListGrants"))?.grants.unwrap_or_default());
    }
    let policy = aws.kms.get_key_policy().key_id(&arn).policy_name("default").send().await;
    let policy = policy.map_err(failed("GetKeyPolicy"))?.policy.unwrap_or_default();
    let policy = serde_json::from_str(&policy).unwrap_or_default();
    let missing = missing(&role, &granted, &policy);
    if missing.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!(
        "{default} is a customer's, and Auto Scaling may not use it ({} is missing), so that every node would end at its launch: allow it with `aws kms create-grant --region {region} --key-id {arn} --grantee-principal {role} --operations {OPERATIONS}` (in a new account after `aws iam create-service-linked-role --aws-service-name autoscaling.amazonaws.com`)",
        missing.join(", ")
    )))
}

/// What neither a grant nor the key's policy lets the role do. The policy's leave for the account itself is not enough, because
/// the role's own policy names no key.
fn missing(role: &str, grants: &[GrantListEntry], policy: &Value) -> Vec<&'static str> {
    let granted = |operation: &str| {
        let ours = grants.iter().filter(|grant| grant.grantee_principal() == Some(role));
        ours.flat_map(|grant| grant.operations()).any(|one| one.as_str() == operation)
    };
    let is_missing = |(action, operation): &(&'static str, &str)| !granted(operation) && !allows(policy, role, action);
    NEEDED.iter().filter(|needed| is_missing(needed)).map(|(action, _)| *action).collect()
}

fn allows(policy: &Value, role: &str, action: &str) -> bool {
    let words = |value: &Value| match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let statements = match &policy["Statement"] {
        Value::Array(all) => all.clone(),
        one => vec![one.clone()],
    };
    statements.iter().filter(|statement| statement["Effect"] == "Allow").any(|statement| {
        let principal = &statement["Principal"];
        let mut principals = words(principal);
        principals.extend(words(&principal["AWS"]));
        principals.iter().any(|one| one == role || one == "*")
            && words(&statement["Action"]).iter().any(|pattern| fits(pattern, action))
    })
}

/// Whether a pattern of an action, with at most one `*` at its end, fits. Actions are the same in any case.
fn fits(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    match pattern.strip_suffix('*') {
        Some(prefix) => action.starts_with(prefix),
        None => action == pattern,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::types::GrantOperation;
    use serde_json::json;

    use super::*;

    const ROLE: &str = "arn:aws:iam::1:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling";

    fn policy(principal: &Value, action: &Value, effect: &str) -> Value {
        let statement = json!({ "Effect": effect, "Principal": principal, "Action": action, "Resource": "*" });
        let root = json!({ "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::1:root" }, "Action": "kms:*" });
        json!({ "Version": "2012-10-17", "Statement": [root, statement] })
    }

    #[test]
    fn the_role_needs_leave_of_its_own_by_policy_or_grant() {
        let all = ["kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext"];
        let ours = json!({ "AWS": ["arn:aws:iam::1:user/x", ROLE] });
        let none = Vec::<&str>::new();
        for (policy, expected) in [
            (json!({}), all.to_vec()),
            (policy(&json!({ "AWS": "arn:aws:iam::1:root" }), &json!("kms:*"), "Allow"), all.to_vec()),
            (policy(&ours, &json!("kms:*"), "Deny"), all.to_vec()),
            (policy(&ours, &json!("kms:*"), "Allow"), none.clone()),
            (policy(&json!("*"), &json!("*"), "Allow"), none.clone()),
            (policy(&ours, &json!(["kms:Decrypt", "kms:GenerateDataKey*"]), "Allow"), vec!["kms:CreateGrant"]),
            (policy(&ours, &json!(all), "Allow"), none.clone()),
        ] {
            assert_eq!(missing(ROLE, &[], &policy), expected, "{policy}");
        }
        let grant = |to: &str| {
            let operations =
                [GrantOperation::CreateGrant, GrantOperation::Decrypt, GrantOperation::GenerateDataKeyWithoutPlaintext];
            GrantListEntry::builder().grantee_principal(to).set_operations(Some(operations.to_vec())).build()
        };
        assert_eq!(missing(ROLE, &[grant(ROLE)], &json!({})), none);
        assert_eq!(missing(ROLE, &[grant("arn:aws:iam::1:role/other")], &json!({})), all);
    }
}
