//! Copies in other regions, and other accounts that may start an image.

use aws_sdk_ec2::types::{
    Image, LaunchPermission, LaunchPermissionModifications, OperationType, ResourceType, SnapshotAttributeName, Tag,
    TagSpecification,
};
use futuswarm_image_format::{DISK_TAG, FAMILY_TAG};

use crate::error::{Error, Result, aws_on, incomplete};
use crate::image::LocalImage;
use crate::region::RegionClients;
use crate::{BLOCKS_TAG, register};

/// Copies an image into another region, or finds that it is there; returns the copy's id and whether it was there.
///
/// # Errors
/// When EC2 refuses, or another image has the name there.
pub async fn copy(from: &RegionClients, to: &RegionClients, image: &LocalImage, id: &str) -> Result<(String, bool)> {
    let name = &image.registration.name;
    if let Some(registered) = register::find(to, name).await? {
        return same(to, image, &registered).map(|id| (id, true));
    }
    let snapshot_tags = [
        ("Name", name.as_str()),
        (FAMILY_TAG, image.family()),
        (DISK_TAG, &image.disk_sha256),
        (BLOCKS_TAG, &image.index.digest()),
    ];
    let snapshot_tags = snapshot_tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
    let snapshot_tags = TagSpecification::builder()
        .resource_type(ResourceType::Snapshot)
        .set_tags(Some(snapshot_tags.to_vec()))
        .build();
    let copied = to
        .ec2
        .copy_image()
        .source_image_id(id)
        .source_region(&from.region)
        .name(name)
        .description(&image.registration.description)
        // A call that is repeated because its answer was lost makes no second copy. EC2 remembers tokens for longer than a run
        // lasts: the next one, which may come because this copy has failed, needs another.
        .client_token(format!("{:032x}", fastrand::u128(..)))
        .tag_specifications(register::tags(&image.registration))
        .tag_specifications(snapshot_tags)
        .send()
        .await
        .map_err(aws_on(&to.region, "CopyImage", id));
    match copied {
        Ok(copied) => Ok((copied.image_id.ok_or_else(incomplete(&to.region, "CopyImage", "ImageId"))?, false)),
        Err(error) if error.is(&[register::DUPLICATE]) => {
            let registered = register::holder(to, name).await?.ok_or(error)?;
            same(to, image, &registered).map(|id| (id, true))
        }
        Err(error) => Err(error),
    }
}

/// The id of an image of ours that is there already.
///
/// # Errors
/// When its content is another, or it cannot be used.
pub fn same(clients: &RegionClients, image: &LocalImage, registered: &Image) -> Result<String> {
    let id = registered.image_id().unwrap_or_default();
    if let Some(remedy) = register::remedy(clients, id, registered) {
        return Err(Error::Refused(remedy));
    }
    let digest = crate::snapshot::tag(registered.tags(), DISK_TAG).unwrap_or("no digest in its tags");
    if digest == image.disk_sha256 {
        return Ok(id.to_owned());
    }
    Err(Error::Refused(format!(
        "{}: {id} has the name {} and another content ({digest} instead of {}): deregister it, or bake under another name",
        clients.region, image.registration.name, image.disk_sha256
    )))
}

/// Lets other accounts start an image and make volumes of its snapshot.
///
/// # Errors
/// When EC2 refuses.
pub async fn share(clients: &RegionClients, image: &str, snapshot: &str, accounts: &[String]) -> Result<()> {
    if accounts.is_empty() {
        return Ok(());
    }
    let launch = accounts.iter().map(|account| LaunchPermission::builder().user_id(account).build());
    let launch = LaunchPermissionModifications::builder().set_add(Some(launch.collect())).build();
    clients.ec2.modify_image_attribute().image_id(image).launch_permission(launch).send().await.map_err(aws_on(
        &clients.region,
        "ModifyImageAttribute",
        image,
    ))?;
    clients
        .ec2
        .modify_snapshot_attribute()
        .snapshot_id(snapshot)
        .attribute(SnapshotAttributeName::CreateVolumePermission)
        .operation_type(OperationType::Add)
        .set_user_ids(Some(accounts.to_vec()))
        .send()
        .await
        .map_err(aws_on(&clients.region, "ModifySnapshotAttribute", snapshot))?;
    Ok(())
}
