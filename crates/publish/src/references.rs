//! Who uses an image: instances, launch templates, other accounts.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, ImageAttributeName, LaunchPermission};

use crate::error::{Result, aws, aws_on};
use crate::promote;
use crate::region::RegionClients;

/// Before the name of a parameter where a launch template could have an image's id.
const ALIAS: &str = "resolve:ssm:";

/// Image id → who uses it.
pub type References = BTreeMap<String, BTreeSet<String>>;

/// Instances that are not terminated, and every version of every launch template, because a group may start from any of them.
///
/// # Errors
/// When AWS cannot be asked.
pub async fn of_images(clients: &RegionClients) -> Result<References> {
    let mut references = References::new();
    instances(clients, &mut references).await?;
    for template in templates(clients).await? {
        versions(clients, &template, &mut references).await?;
    }
    resolve(clients, references).await
}

async fn instances(clients: &RegionClients, references: &mut References) -> Result<()> {
    let states = ["pending", "running", "shutting-down", "stopping", "stopped"].map(str::to_owned).to_vec();
    let filter = Filter::builder().name("instance-state-name").set_values(Some(states)).build();
    let mut pages = clients.ec2.describe_instances().filters(filter).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws(&clients.region, "DescribeInstances"))?;
        for instance in page.reservations().iter().flat_map(|reservation| reservation.instances()) {
            if let (Some(image), Some(id)) = (instance.image_id(), instance.instance_id()) {
                references.entry(image.to_owned()).or_default().insert(id.to_owned());
            }
        }
    }
    Ok(())
}

async fn templates(clients: &RegionClients) -> Result<Vec<String>> {
    let mut templates = Vec::new();
    let mut pages = clients.ec2.describe_launch_templates().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws(&clients.region, "DescribeLaunchTemplates"))?;
        let ids = page.launch_templates().iter().filter_map(|template| template.launch_template_id());
        templates.extend(ids.map(str::to_owned));
    }
    Ok(templates)
}

async fn versions(clients: &RegionClients, template: &str, references: &mut References) -> Result<()> {
    let mut pages =
        clients.ec2.describe_launch_template_versions().launch_template_id(template).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws_on(&clients.region, "DescribeLaunchTemplateVersions", template))?;
        for version in page.launch_template_versions() {
            let image = version.launch_template_data().and_then(|data| data.image_id());
            if let (Some(image), Some(number)) = (image, version.version_number()) {
                let name = version.launch_template_name().unwrap_or(template);
                let user = format!("launch template {name} version {number}");
                references.entry(image.to_owned()).or_default().insert(user);
            }
        }
    }
    Ok(())
}

/// Puts the images that parameters name now where launch templates name the parameters.
async fn resolve(clients: &RegionClients, references: References) -> Result<References> {
    let mut resolved = References::new();
    for (image, who) in references {
        let image = match image.strip_prefix(ALIAS) {
            Some(parameter) => promote::value(clients, parameter).await?,
            None => Some(image),
        };
        if let Some(image) = image {
            resolved.entry(image).or_default().extend(who);
        }
    }
    Ok(resolved)
}

/// With whom an image is shared. Whether anybody uses it there cannot be known from here.
///
/// # Errors
/// When EC2 cannot be asked.
pub async fn shared(clients: &RegionClients, image: &str) -> Result<Vec<String>> {
    let ask = clients.ec2.describe_image_attribute().image_id(image).attribute(ImageAttributeName::LaunchPermission);
    match ask.send().await.map_err(aws_on(&clients.region, "DescribeImageAttribute", image)) {
        Ok(answer) => Ok(answer.launch_permissions().iter().filter_map(whom).collect()),
        Err(error) if error.is(&["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"]) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn whom(permission: &LaunchPermission) -> Option<String> {
    let who = permission.user_id().or(permission.organization_arn()).or(permission.organizational_unit_arn());
    who.map(str::to_owned).or_else(|| permission.group().map(|group| format!("the group {}", group.as_str())))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::PermissionGroup;

    use super::*;

    #[test]
    fn whoever_an_image_is_shared_with_is_named() {
        let account = LaunchPermission::builder().user_id("123456789012").build();
        assert_eq!(whom(&account).as_deref(), Some("123456789012"));
        let everybody = LaunchPermission::builder().group(PermissionGroup::All).build();
        assert_eq!(whom(&everybody).as_deref(), Some("the group all"));
        let organisation = LaunchPermission::builder().organization_arn("arn:o").build();
        assert_eq!(whom(&organisation).as_deref(), Some("arn:o"));
    }
}
