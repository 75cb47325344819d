//! Credentials of a node's role. On AWS the EC2 service assumes it; the emulator has no such service and fails on a trust
//! policy that names one, so for the moment of the call the role trusts the account's owner instead.

use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use futuswarm_aws::Error as AwsError;

use crate::error::{Error, Result};
use futuswarm_aws_front::clients::Clients;
use futuswarm_aws_front::sessions::Sessions;

/// What the provisioned roles trust. The emulator's answer to GetRole cannot be put back as it is, so it is written again.
const TRUST_EC2: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
/// As long as EC2's own.
const SECONDS: i32 = 3600;

/// Assumes `role` for an instance; one at a time, because the trust is the role's, and with nobody else looking at it. `clients` ask
/// the emulator by the bypass: the way of everybody else waits until this is done.
pub async fn assume(
    clients: &Clients,
    sessions: &Sessions,
    account: &str,
    role: &str,
    instance: &str,
) -> Result<AssumeRoleOutput> {
    let _alone = sessions.borrow_trust().await;
    let owner =
        clients.sts.get_caller_identity().send().await.map_err(|error| AwsError::new("GetCallerIdentity", error))?;
    let owner = owner.arn().ok_or_else(|| Error::Incomplete("the AWS emulator does not know its owner".to_owned()))?;
    let trust = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Principal": { "AWS": owner }, "Action": "sts:AssumeRole" }]
    });
    set_trust(clients, role, &trust.to_string()).await?;
    let assumed = clients
        .sts
        .assume_role()
        .role_arn(format!("arn:aws:iam::{account}:role/{role}"))
        .role_session_name(instance)
        .duration_seconds(SECONDS)
        .send()
        .await
        .map_err(|error| AwsError::new("AssumeRole", error));
    set_trust(clients, role, TRUST_EC2).await?;
    Ok(assumed?)
}

async fn set_trust(clients: &Clients, role: &str, document: &str) -> Result<()> {
    let update = clients.iam.update_assume_role_policy().role_name(role).policy_document(document);
    update.send().await.map_err(|error| AwsError::new("UpdateAssumeRolePolicy", error))?;
    Ok(())
}
