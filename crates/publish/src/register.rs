//! From a snapshot to an AMI: the whole body of `register.json`, then patience until EC2 shows it everywhere.

use std::time::Duration;

use aws_sdk_ec2::types::{
    ArchitectureValues, BlockDeviceMapping, BootModeValues, EbsBlockDevice, Filter, Image, ImageState,
    ImdsSupportValues, ResourceType, Tag, TagSpecification, TpmSupportValues, VolumeType,
};
use futuswarm_image_format::Registration;
use futuswarm_retry::{Failure, Policy, retry};

use crate::error::{Error, Result, aws_on, failure, gave_up, incomplete};
use crate::region::RegionClients;

/// EC2 is eventually consistent: an image that one endpoint shows may be unknown to the next for a while.
const OBSERVATIONS: u32 = 3;
/// Between two observations.
const BETWEEN: Duration = Duration::from_millis(400);
/// A registration is visible within seconds, a copy to another region within minutes.
const VISIBLE: Policy = Policy {
    first: Duration::from_millis(300),
    cap: Duration::from_secs(10),
    total: Duration::from_secs(1800),
    attempt: Duration::from_secs(60),
};

/// EC2 knows that a name is taken before it shows by which image.
const TAKEN: Policy = Policy { total: Duration::from_secs(30), ..VISIBLE };
/// What EC2 says when a name is taken.
pub(crate) const DUPLICATE: &str = "InvalidAMIName.Duplicate";

/// The account's own image with this name, whatever its state: it keeps the name until it is deregistered.
///
/// # Errors
/// When EC2 cannot be asked.
pub async fn find(clients: &RegionClients, name: &str) -> Result<Option<Image>> {
    let filter = Filter::builder().name("name").values(name).build();
    let answer = clients.ec2.describe_images().owners("self").include_disabled(true).filters(filter).send().await;
    let images = answer.map_err(aws_on(&clients.region, "DescribeImages", name))?.images.unwrap_or_default();
    // Names are unique within an account and region; a filter may match a pattern.
    let named = |image: &Image| image.name() == Some(name) && image.state() != Some(&ImageState::Deregistered);
    Ok(images.into_iter().find(named))
}

/// The image that has a name of which EC2 has just said that it is taken; none if EC2 does not show it.
///
/// # Errors
/// When EC2 cannot be asked.
pub(crate) async fn holder(clients: &RegionClients, name: &str) -> Result<Option<Image>> {
    let holder = retry(&format!("looking for {name}"), TAKEN, || async {
        let image = find(clients, name).await.map_err(|error| failure(error, &[]))?;
        image.ok_or_else(|| Failure::Transient(Error::Wrong("no image is shown that has the name".to_owned())))
    })
    .await;
    match holder {
        Ok(image) => Ok(Some(image)),
        Err(futuswarm_retry::Error::Exhausted { .. }) => Ok(None),
        Err(futuswarm_retry::Error::Permanent(error)) => Err(error),
    }
}

/// What to do about an image that will never be available, or is not now; nothing when it is, or is about to be.
pub(crate) fn remedy(clients: &RegionClients, id: &str, image: &Image) -> Option<String> {
    let region = &clients.region;
    let why = image.state_reason().and_then(|reason| reason.message());
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    let away = format!("deregister it (`aws ec2 deregister-image --region {region} --image-id {id}`) and repeat");
    match image.state()? {
        state @ (ImageState::Failed | ImageState::Error | ImageState::Invalid) => {
            Some(format!("{region}: {id} is {}{why} and keeps its name: {away}", state.as_str()))
        }
        ImageState::Disabled => Some(format!(
            "{region}: {id} is disabled: enable it (`aws ec2 enable-image --region {region} --image-id {id}`), or {away}"
        )),
        _ => None,
    }
}

/// Registers a snapshot; returns the image's id. A call that is repeated because its answer was lost finds what it has made.
///
/// # Errors
/// When EC2 refuses.
pub async fn register(clients: &RegionClients, registration: &Registration, snapshot: &str) -> Result<String> {
    let mappings = registration.block_device_mappings.iter().map(|mapping| {
        let volume = EbsBlockDevice::builder()
            .snapshot_id(snapshot)
            .volume_type(VolumeType::from(mapping.ebs.volume_type.as_str()))
            .volume_size(i32::try_from(mapping.ebs.volume_size).unwrap_or(i32::MAX))
            .delete_on_termination(mapping.ebs.delete_on_termination)
            .build();
        BlockDeviceMapping::builder().device_name(&mapping.device_name).ebs(volume).build()
    });
    let registered = clients
        .ec2
        .register_image()
        .name(&registration.name)
        .description(&registration.description)
        .architecture(ArchitectureValues::from(registration.architecture.as_str()))
        .virtualization_type(&registration.virtualization_type)
        .root_device_name(&registration.root_device_name)
        .ena_support(registration.ena_support)
        .set_sriov_net_support(registration.sriov_net_support.clone())
        .set_boot_mode(registration.boot_mode.as_deref().map(BootModeValues::from))
        .set_tpm_support(registration.tpm_support.as_deref().map(TpmSupportValues::from))
        .set_imds_support(registration.imds_support.as_deref().map(ImdsSupportValues::from))
        .set_block_device_mappings(Some(mappings.collect()))
        .tag_specifications(tags(registration))
        .send()
        .await
        .map_err(aws_on(&clients.region, "RegisterImage", &format!("{} of {snapshot}", registration.name)));
    match registered {
        Ok(made) => made.image_id.ok_or_else(incomplete(&clients.region, "RegisterImage", "ImageId")),
        Err(error) if error.is(&[DUPLICATE]) => {
            let holder = holder(clients, &registration.name).await?;
            let ours = |image: &Image| {
                image
                    .block_device_mappings()
                    .iter()
                    .any(|mapping| mapping.ebs().and_then(|ebs| ebs.snapshot_id()) == Some(snapshot))
            };
            holder.filter(ours).and_then(|image| image.image_id).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// The image's tags, as create calls want them.
pub(crate) fn tags(registration: &Registration) -> TagSpecification {
    let tags = registration.tags().map(|tag| Tag::builder().key(&tag.key).value(&tag.value).build());
    TagSpecification::builder().resource_type(ResourceType::Image).set_tags(Some(tags.collect())).build()
}

/// Waits until an image was observed available three times in a row, each time by a client of its own.
///
/// # Errors
/// When it fails or takes too long.
pub async fn visible(clients: &RegionClients, id: &str) -> Result<Image> {
    retry(&format!("waiting until {id} is available"), VISIBLE, || async {
        let mut last = None;
        for observation in 0..OBSERVATIONS {
            if observation > 0 {
                tokio::time::sleep(BETWEEN).await;
            }
            last = Some(available(clients, id).await?);
        }
        last.ok_or_else(|| Failure::Transient(Error::Wrong("it was not polled".to_owned())))
    })
    .await
    .map_err(gave_up(&clients.region, &format!("repeat: the next run finds {id} and carries on from here")))
}

async fn available(clients: &RegionClients, id: &str) -> Result<Image, Failure<Error>> {
    let answer = clients.fresh_ec2().describe_images().image_ids(id).send().await;
    let answer = answer.map_err(aws_on(&clients.region, "DescribeImages", id));
    let answer = answer.map_err(|error| failure(error, &["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"]))?;
    let Some(image) = answer.images.unwrap_or_default().pop() else {
        return Err(Failure::Transient(Error::Wrong("it is unknown".to_owned())));
    };
    if let Some(remedy) = remedy(clients, id, &image) {
        return Err(Failure::Permanent(Error::Refused(remedy)));
    }
    match image.state() {
        Some(ImageState::Available) => Ok(image),
        state => {
            let state = state.map_or("unknown", ImageState::as_str);
            Err(Failure::Transient(Error::Wrong(format!("it is {state}"))))
        }
    }
}
