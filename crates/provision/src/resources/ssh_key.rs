//! The SSH key pair of the nodes' `admin`: only its public part is ever here.

use aws_sdk_ec2::primitives::Blob;
use aws_sdk_ec2::types::ResourceType;

use super::gone;
use crate::error::{Error, aws};
use crate::{Action, Cloud};

/// The key pair's name, when the cluster has one.
pub(super) fn name(cloud: &Cloud) -> Option<String> {
    cloud.extras.ssh_public_key.as_ref().map(|_| cloud.names.of("ssh"))
}

/// Imports the public key, unless one is there already.
pub(super) async fn ensure(cloud: &mut Cloud) -> Result<(), Error> {
    let (Some(name), Some(key)) = (name(cloud), cloud.extras.ssh_public_key.clone()) else { return Ok(()) };
    if exists(cloud, &name).await? || !cloud.plan.begin(Action::Create, "key pair", &name) {
        return Ok(());
    }
    let import = cloud.ec2.import_key_pair().key_name(&name).public_key_material(Blob::new(key.into_bytes()));
    import
        .tag_specifications(cloud.ec2_tags(ResourceType::KeyPair, "ssh"))
        .send()
        .await
        .map_err(aws("ImportKeyPair"))?;
    Ok(())
}

async fn exists(cloud: &Cloud, name: &str) -> Result<bool, Error> {
    match cloud.ec2.describe_key_pairs().key_names(name).send().await.map_err(aws("DescribeKeyPairs")) {
        Ok(found) => Ok(!found.key_pairs().is_empty()),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Deletes the key pair.
pub(super) async fn delete(cloud: &mut Cloud) -> Result<(), Error> {
    let name = cloud.names.of("ssh");
    if !exists(cloud, &name).await? {
        return Ok(());
    }
    let ec2 = cloud.ec2.clone();
    let delete = async { ec2.delete_key_pair().key_name(&name).send().await.map_err(aws("DeleteKeyPair")) };
    gone(cloud, "key pair", &name, delete).await
}
