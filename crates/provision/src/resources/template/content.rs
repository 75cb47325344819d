//! What is in a launch template: as a request, and as fields to compare.

use aws_sdk_ec2::types::{
    InstanceType, LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest,
    LaunchTemplateHttpTokensState, LaunchTemplateIamInstanceProfileSpecificationRequest,
    LaunchTemplateInstanceMetadataEndpointState, LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateInstanceMetadataTagsState, LaunchTemplateTagSpecificationRequest, RequestLaunchTemplateData,
    ResourceType, ResponseLaunchTemplateData, ShutdownBehavior, Tag, VolumeType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futuswarm_converge::UNKNOWN;
use futuswarm_spec::{Group, Role};
use futuswarm_userdata::NodeConfig;
use sha2::{Digest as _, Sha256};

use super::super::key_pair;
use crate::error::Error;
use crate::field::{Field, Fields};
use crate::{Cluster, Run, components};

/// The root device of our images.
const ROOT_DEVICE: &str = "/dev/xvda";
/// One hop: containers behind a bridge cannot reach the node's credentials.
const HOPS: i32 = 1;

/// The node's section of the user data, rendered.
fn user_data(run: &Run, group_name: &str, group: &Group) -> Result<String, Error> {
    let spec = &run.cluster.spec;
    let config = NodeConfig {
        version: NodeConfig::VERSION,
        cluster: spec.cluster.clone(),
        region: spec.region.clone(),
        role: group.role,
        role_id: run.id_or_unknown(&components::role(group.role)),
        group: group_name.to_owned(),
        bucket: run.cluster.names.bucket(),
        cluster_key: run.cluster.names.cluster_key(),
        manager_key: (group.role == Role::Manager).then(|| run.cluster.names.manager_key()),
        address_pool: spec.swarm.address_pool.to_string(),
        address_pool_mask: spec.swarm.address_pool_mask,
        // Left out when it is the image's own, so that the templates of clusters that never asked for it stay as they are.
        bridge_pool: Some(spec.swarm.bridge_pool.to_string())
            .filter(|pool| pool != futuswarm_userdata::DEFAULT_BRIDGE_POOL),
        vpc_cidr: Some(spec.network.cidr),
        node_subnets: spec.network.public_subnets.clone(),
        domain: spec.domain.clone(),
        expected_managers: spec.count_of(Role::Manager),
        labels: group.labels.clone(),
    };
    Ok(futuswarm_userdata::render(&config)?)
}

/// User data is long; what a person wants to know is whether it is another.
fn digest(text: &[u8]) -> String {
    format!("sha256 {}", &hex::encode(Sha256::digest(text))[..16])
}

/// In a plan it may not be there yet.
fn key_pair_name(run: &Run) -> Option<String> {
    key_pair::is_desired(run).then(|| run.id_or_unknown(components::KEY_PAIR))
}

/// What a person wants to know of user data; nothing yet while it has an id that is not known yet.
fn user_data_in_words(user_data: &str) -> String {
    match user_data.contains(UNKNOWN) {
        true => UNKNOWN.to_owned(),
        false => digest(user_data.as_bytes()),
    }
}

fn tags_in_words(tags: impl IntoIterator<Item = (String, String)>) -> String {
    let mut words: Vec<String> = tags.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    words.sort();
    words.join(", ")
}

fn instance_tags(cluster: &Cluster, group_name: &str) -> Vec<(String, String)> {
    cluster.tags(&format!("node-{group_name}"))
}

/// How the template should be.
pub(super) fn desired(run: &Run, group_name: &str, group: &Group, image: &str) -> Result<Fields, Error> {
    let user_data = user_data(run, group_name, group)?;
    Ok(Fields::new()
        .with(Field::Image, image)
        .with(Field::InstanceType, &group.instance_types[0])
        .with(Field::Profile, run.cluster.names.role(group.role))
        .with(Field::SecurityGroup, run.id_or_unknown(components::SECURITY_NODES))
        .with_some(Field::KeyPair, key_pair_name(run))
        .with(Field::RootVolume, format!("{} GiB gp3, encrypted", group.disk_gib))
        .with(Field::Metadata, format!("version 2, {HOPS} hop"))
        .with(Field::Shutdown, ShutdownBehavior::Terminate.as_str())
        .with(Field::UserData, user_data_in_words(&user_data))
        .with(Field::InstanceTags, tags_in_words(instance_tags(&run.cluster, group_name))))
}

/// How it is.
pub(super) fn observed(data: &ResponseLaunchTemplateData) -> Fields {
    let disk = data.block_device_mappings().iter().find(|mapping| mapping.device_name() == Some(ROOT_DEVICE));
    let disk = disk.and_then(|mapping| mapping.ebs()).map(|disk| {
        format!(
            "{} GiB {}{}",
            disk.volume_size().unwrap_or(0),
            disk.volume_type().map_or("?", VolumeType::as_str),
            if disk.encrypted() == Some(true) { ", encrypted" } else { "" }
        )
    });
    let metadata = data.metadata_options().map(|options| {
        let tokens = options.http_tokens().map_or("optional", LaunchTemplateHttpTokensState::as_str);
        let version = if tokens == "required" { "version 2" } else { "version 1, too" };
        format!("{version}, {} hop", options.http_put_response_hop_limit().unwrap_or(1))
    });
    let user_data = data.user_data().map(|text| digest(&STANDARD.decode(text).unwrap_or_default()));
    let tags = data.tag_specifications().iter().find(|tags| tags.resource_type() == Some(&ResourceType::Instance));
    let tags = tags.map(|tags| {
        let pairs = tags.tags().iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned())));
        tags_in_words(pairs)
    });
    Fields::new()
        .with_some(Field::Image, data.image_id())
        .with_some(Field::InstanceType, data.instance_type().map(InstanceType::as_str))
        .with_some(Field::Profile, data.iam_instance_profile().and_then(|profile| profile.name()))
        .with_some(Field::SecurityGroup, data.security_group_ids().first())
        .with_some(Field::KeyPair, data.key_name())
        .with_some(Field::RootVolume, disk)
        .with_some(Field::Metadata, metadata)
        .with_some(Field::Shutdown, data.instance_initiated_shutdown_behavior().map(|word| word.as_str()))
        .with_some(Field::UserData, user_data)
        .with_some(Field::InstanceTags, tags)
}

/// The request.
pub(super) fn data(
    run: &Run,
    group_name: &str,
    group: &Group,
    image: &str,
) -> Result<RequestLaunchTemplateData, Error> {
    let disk = LaunchTemplateEbsBlockDeviceRequest::builder()
        .volume_size(i32::try_from(group.disk_gib).unwrap_or(i32::MAX))
        .volume_type(VolumeType::Gp3)
        .encrypted(true)
        .delete_on_termination(true)
        .build();
    let metadata = LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_tokens(LaunchTemplateHttpTokensState::Required)
        .http_endpoint(LaunchTemplateInstanceMetadataEndpointState::Enabled)
        .http_put_response_hop_limit(HOPS)
        .instance_metadata_tags(LaunchTemplateInstanceMetadataTagsState::Disabled)
        .build();
    let tags = |kind: ResourceType| {
        let tags = instance_tags(&run.cluster, group_name).into_iter();
        let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        LaunchTemplateTagSpecificationRequest::builder().resource_type(kind).set_tags(Some(tags)).build()
    };
    let profile = LaunchTemplateIamInstanceProfileSpecificationRequest::builder()
        .name(run.cluster.names.role(group.role))
        .build();
    let root = LaunchTemplateBlockDeviceMappingRequest::builder().device_name(ROOT_DEVICE).ebs(disk).build();
    Ok(RequestLaunchTemplateData::builder()
        .image_id(image)
        .instance_type(InstanceType::from(group.instance_types[0].as_str()))
        .iam_instance_profile(profile)
        .security_group_ids(run.need(components::SECURITY_NODES)?)
        .set_key_name(run.id(components::KEY_PAIR))
        .block_device_mappings(root)
        .metadata_options(metadata)
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .user_data(STANDARD.encode(user_data(run, group_name, group)?))
        .tag_specifications(tags(ResourceType::Instance))
        .tag_specifications(tags(ResourceType::Volume))
        .build())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_spec_without_a_bridge_pool_means_the_one_of_the_image() {
        let local = futuswarm_spec::Spec::parse("local", include_str!("../../../../../clusters/local.toml")).unwrap();
        assert_eq!(local.swarm.bridge_pool.to_string(), futuswarm_userdata::DEFAULT_BRIDGE_POOL);
    }
}
