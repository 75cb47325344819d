//! Launch templates: one per group of nodes, a new version whenever something in it changes.

use aws_sdk_ec2::types::{
    HttpTokensState, InstanceMetadataEndpointState, InstanceMetadataTagsState, InstanceType,
    LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest, LaunchTemplateHttpTokensState,
    LaunchTemplateIamInstanceProfileSpecificationRequest, LaunchTemplateInstanceMetadataEndpointState,
    LaunchTemplateInstanceMetadataOptionsRequest, LaunchTemplateInstanceMetadataTagsState,
    LaunchTemplateTagSpecificationRequest, RequestLaunchTemplateData, ResourceType, ShutdownBehavior, Tag, VolumeType,
};
use base64::Engine as _;
use futuswarm_spec::{Group, Role};
use futuswarm_userdata::NodeConfig;
use sha2::{Digest as _, Sha256};

use super::{Made, gone, ssh_key};
use crate::error::{Error, aws, incomplete};
use crate::names::{CLUSTER_TAG, PART_TAG};
use crate::{Action, Cloud};

/// The root device of our images.
const ROOT_DEVICE: &str = "/dev/xvda";
/// Tag on a template's version: a digest of its content, so that a change is seen without comparing every field.
const CONTENT: &str = "futuswarm:content";

/// The name of a group's template.
pub(super) fn name(cloud: &Cloud, group: &str) -> String {
    cloud.names.of(group)
}

/// Makes the template, or a new version of it; returns the version that nodes should start from.
pub(super) async fn ensure(
    cloud: &mut Cloud,
    made: &Made,
    group_name: &str,
    group: &Group,
) -> Result<Option<String>, Error> {
    let name = name(cloud, group_name);
    let user_data = futuswarm_userdata::render(&node_config(cloud, group_name, group))?;
    let (Some(image), Some(security_group)) = (&made.image, &made.nodes_group) else {
        cloud.plan.begin(Action::Create, "launch template", &name);
        return Ok(None);
    };
    let content = description(&[
        image,
        security_group,
        &group.instance_type,
        &group.disk_gib.to_string(),
        &user_data,
        &format!("{:?}", ssh_key::name(cloud)),
        &format!("{:?}", cloud.spec.tags),
    ]);
    let latest = latest(cloud, &name).await?;
    if let Some((version, found)) = &latest
        && found == &content
    {
        return Ok(Some(version.clone()));
    }
    let action = if latest.is_some() { Action::Update } else { Action::Create };
    if !cloud.plan.begin(action, "launch template", &name) {
        return Ok(latest.map(|(version, _)| version));
    }
    let data = data(cloud, image, security_group, group_name, group, &user_data);
    if latest.is_some() {
        let create =
            cloud.ec2.create_launch_template_version().launch_template_name(&name).version_description(&content);
        let created = create.launch_template_data(data).send().await.map_err(aws("CreateLaunchTemplateVersion"))?;
        let version = created.launch_template_version.and_then(|version| version.version_number);
        let version = version.ok_or_else(incomplete("CreateLaunchTemplateVersion", "VersionNumber"))?.to_string();
        let modify = cloud.ec2.modify_launch_template().launch_template_name(&name).default_version(&version);
        modify.send().await.map_err(aws("ModifyLaunchTemplate"))?;
        return Ok(Some(version));
    }
    let create = cloud.ec2.create_launch_template().launch_template_name(&name).version_description(&content);
    let create =
        create.tag_specifications(cloud.ec2_tags(ResourceType::LaunchTemplate, &format!("template-{group_name}")));
    create.launch_template_data(data).send().await.map_err(aws("CreateLaunchTemplate"))?;
    Ok(Some("1".to_owned()))
}

/// The node's section of the user data.
fn node_config(cloud: &Cloud, group_name: &str, group: &Group) -> NodeConfig {
    let spec = &cloud.spec;
    NodeConfig {
        version: NodeConfig::VERSION,
        cluster: spec.cluster.clone(),
        region: spec.region.clone(),
        role: group.role,
        group: group_name.to_owned(),
        bucket: cloud.names.bucket(),
        cluster_key: cloud.names.cluster_key(),
        manager_key: (group.role == Role::Manager).then(|| cloud.names.manager_key()),
        address_pool: spec.swarm.address_pool.to_string(),
        address_pool_mask: spec.swarm.address_pool_mask,
        domain: spec.domain.clone(),
        expected_managers: spec.count_of(Role::Manager),
        endpoint_url: cloud.extras.node_endpoint.clone(),
        labels: group.labels.clone(),
    }
}

fn data(
    cloud: &Cloud,
    image: &str,
    security_group: &str,
    group_name: &str,
    group: &Group,
    user_data: &str,
) -> RequestLaunchTemplateData {
    let disk = LaunchTemplateEbsBlockDeviceRequest::builder()
        .volume_size(i32::try_from(group.disk_gib).unwrap_or(i32::MAX))
        .volume_type(VolumeType::Gp3)
        .encrypted(true)
        .delete_on_termination(true)
        .build();
    let metadata = LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_tokens(LaunchTemplateHttpTokensState::from(HttpTokensState::Required.as_str()))
        .http_endpoint(LaunchTemplateInstanceMetadataEndpointState::from(
            InstanceMetadataEndpointState::Enabled.as_str(),
        ))
        // One hop: containers behind a bridge cannot reach the node's credentials.
        .http_put_response_hop_limit(1)
        .instance_metadata_tags(LaunchTemplateInstanceMetadataTagsState::from(
            InstanceMetadataTagsState::Disabled.as_str(),
        ))
        .build();
    let part = format!("node-{group_name}");
    let tags = |kind: ResourceType| {
        let tags =
            cloud.tags(&part).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        LaunchTemplateTagSpecificationRequest::builder().resource_type(kind).set_tags(Some(tags)).build()
    };
    RequestLaunchTemplateData::builder()
        .image_id(image)
        .instance_type(InstanceType::from(group.instance_type.as_str()))
        .iam_instance_profile(
            LaunchTemplateIamInstanceProfileSpecificationRequest::builder().name(cloud.names.role(group.role)).build(),
        )
        .security_group_ids(security_group)
        .set_key_name(ssh_key::name(cloud))
        .block_device_mappings(
            LaunchTemplateBlockDeviceMappingRequest::builder().device_name(ROOT_DEVICE).ebs(disk).build(),
        )
        .metadata_options(metadata)
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .user_data(base64::engine::general_purpose::STANDARD.encode(user_data))
        .tag_specifications(tags(ResourceType::Instance))
        .tag_specifications(tags(ResourceType::Volume))
        .build()
}

/// A description that changes with any of its parts, within EC2's 255 characters.
fn description(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    format!("{CONTENT}={}", hex::encode(hash.finalize()))
}

async fn latest(cloud: &Cloud, name: &str) -> Result<Option<(String, String)>, Error> {
    let found =
        cloud.ec2.describe_launch_template_versions().launch_template_name(name).versions("$Latest").send().await;
    match found.map_err(aws("DescribeLaunchTemplateVersions")) {
        Ok(found) => Ok(found.launch_template_versions().first().and_then(|version| {
            Some((version.version_number()?.to_string(), version.version_description().unwrap_or_default().to_owned()))
        })),
        Err(error) if error.is_not_found() || error.is(&["InvalidLaunchTemplateName.NotFoundException"]) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Deletes all templates of the cluster.
pub(super) async fn delete_all(cloud: &mut Cloud) -> Result<(), Error> {
    let filter =
        aws_sdk_ec2::types::Filter::builder().name(format!("tag:{CLUSTER_TAG}")).values(&cloud.spec.cluster).build();
    let ec2 = cloud.ec2.clone();
    let found = ec2.describe_launch_templates().filters(filter).send().await.map_err(aws("DescribeLaunchTemplates"))?;
    let ours =
        |template: &&aws_sdk_ec2::types::LaunchTemplate| template.tags().iter().any(|tag| tag.key() == Some(PART_TAG));
    for name in found.launch_templates().iter().filter(ours).filter_map(|template| template.launch_template_name()) {
        let delete = async {
            ec2.delete_launch_template().launch_template_name(name).send().await.map_err(aws("DeleteLaunchTemplate"))
        };
        gone(cloud, "launch template", name, delete).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_tag_changes_with_every_part_and_never_by_itself() {
        let first = description(&["ami-1", "sg-1"]);
        assert_eq!(first, description(&["ami-1", "sg-1"]));
        assert_ne!(first, description(&["ami-1sg-1", ""]));
        assert_ne!(first, description(&["ami-2", "sg-1"]));
        assert!(first.len() < 255);
    }
}
