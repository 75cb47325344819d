//! Copies in other regions, and other accounts that may start an image.

use aws_sdk_ec2::types::{
    Image, LaunchPermission, LaunchPermissionModifications, OperationType, ResourceType, SnapshotAttributeName, Tag,
    TagSpecification,
};

use crate::error::{Error, Result, aws, incomplete};
use crate::image::LocalImage;
use crate::place::Place;
use crate::{BLOCKS_TAG, DISK_TAG, FAMILY_TAG, register};

/// Copies an image into another region, or finds that it is there; returns the copy's id and whether it was there.
///
/// # Errors
/// When EC2 refuses, or another image has the name there.
pub async fn copy(from: &Place, to: &Place, image: &LocalImage, id: &str) -> Result<(String, bool)> {
    let name = &image.registration.name;
    if let Some(found) = register::find(to, name).await? {
        return same(to, image, &found).map(|id| (id, true));
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
        // A call that is repeated because its answer was lost makes no second copy.
        .client_token(format!("{}-{id}", to.region))
        .tag_specifications(register::tags(&image.registration))
        .tag_specifications(snapshot_tags)
        .send()
        .await
        .map_err(aws(&to.region, "CopyImage"))?;
    let copy = copied.image_id.ok_or_else(incomplete(&to.region, "CopyImage", "ImageId"))?;
    Ok((copy, false))
}

/// The id of an image of ours that is there already.
///
/// # Errors
/// When its content is another.
pub fn same(place: &Place, image: &LocalImage, found: &Image) -> Result<String> {
    let id = found.image_id().unwrap_or_default();
    let digest = crate::snapshot::tag(found.tags(), DISK_TAG).unwrap_or("no digest in its tags");
    if digest == image.disk_sha256 {
        return Ok(id.to_owned());
    }
    Err(Error::Refused(format!(
        "{}: {id} has the name {} and another content ({digest} instead of {}): deregister it, or bake under another name",
        place.region, image.registration.name, image.disk_sha256
    )))
}

/// Lets other accounts start an image and make volumes of its snapshot.
///
/// # Errors
/// When an account is not one, or EC2 refuses.
pub async fn share(place: &Place, image: &str, snapshot: &str, accounts: &[String]) -> Result<()> {
    if accounts.is_empty() {
        return Ok(());
    }
    if let Some(wrong) = accounts.iter().find(|id| id.len() != 12 || !id.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(Error::Refused(format!("{wrong} is no AWS account: an account id has 12 digits")));
    }
    let launch = accounts.iter().map(|account| LaunchPermission::builder().user_id(account).build());
    let launch = LaunchPermissionModifications::builder().set_add(Some(launch.collect())).build();
    place
        .ec2
        .modify_image_attribute()
        .image_id(image)
        .launch_permission(launch)
        .send()
        .await
        .map_err(aws(&place.region, "ModifyImageAttribute"))?;
    place
        .ec2
        .modify_snapshot_attribute()
        .snapshot_id(snapshot)
        .attribute(SnapshotAttributeName::CreateVolumePermission)
        .operation_type(OperationType::Add)
        .set_user_ids(Some(accounts.to_vec()))
        .send()
        .await
        .map_err(aws(&place.region, "ModifySnapshotAttribute"))?;
    Ok(())
}
