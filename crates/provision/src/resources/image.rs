//! The image that nodes start from: one that was named, or the one that was promoted last.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::Filter;
use futuswarm_aws::at_most_one;
use futuswarm_spec::Architecture;

use crate::Cloud;
use crate::error::{Error, aws};

/// Where `cargo xtask publish` leaves the id of the image that it promoted.
fn parameter(architecture: &str) -> String {
    format!("/futuswarm/images/{architecture}/latest/image_id")
}

/// The id of the image for an architecture.
///
/// # Errors
/// When there is none; the message says how to get one.
pub(crate) async fn find(cloud: &Cloud, architecture: Architecture) -> Result<String, Error> {
    let architecture = architecture.to_string();
    let found = cloud.world.image(&architecture, look(cloud)).await?;
    found.ok_or_else(|| {
        let what = match &cloud.extras.image {
            Some(name) => format!("there is no image named {name} for {architecture}"),
            None => format!("no image for {architecture} was promoted"),
        };
        Error::Missing(format!(
            "{what} in {}: bake one with `cargo xtask bake`, then `cargo xtask publish --region {}`",
            cloud.spec.region, cloud.spec.region
        ))
    })
}

/// Architecture → image id, for all architectures of the spec.
async fn look(cloud: &Cloud) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    let Some(name) = &cloud.extras.image else {
        for group in cloud.spec.groups.values() {
            let architecture = group.architecture().to_string();
            if found.contains_key(&architecture) {
                continue;
            }
            match cloud.ssm.get_parameter().name(parameter(&architecture)).send().await.map_err(aws("GetParameter")) {
                Ok(answer) => {
                    let value = answer.parameter.and_then(|parameter| parameter.value);
                    found.extend(value.map(|value| (architecture, value)));
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(found);
    };
    let filter = Filter::builder().name("name").values(name).build();
    let images = cloud.ec2.describe_images().owners("self").filters(filter).send().await;
    let images = images.map_err(aws("DescribeImages"))?.images.unwrap_or_default();
    let id = |image: &aws_sdk_ec2::types::Image| image.image_id().unwrap_or_default().to_owned();
    // Names are unique in an account and region, so there is one image, of one architecture.
    if let Some(image) = at_most_one(format!("images named {name}"), images, id)? {
        let architecture = image.architecture().map_or("x86_64", |architecture| architecture.as_str());
        found.insert(architecture.to_owned(), id(&image));
    }
    Ok(found)
}
