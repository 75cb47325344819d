//! The image that nodes start from.

use futuswarm_aws::at_most_one;

use crate::Cloud;
use crate::error::{Error, aws};

/// The id of the account's own image with the wanted name.
pub(super) async fn find(cloud: &Cloud) -> Result<String, Error> {
    let name = &cloud.extras.image;
    let filter = aws_sdk_ec2::types::Filter::builder().name("name").values(name).build();
    let found =
        cloud.ec2.describe_images().owners("self").filters(filter).send().await.map_err(aws("DescribeImages"))?;
    let ids = found.images().iter().filter_map(|image| image.image_id().map(str::to_owned)).collect();
    at_most_one(format!("images named {name}"), ids, String::clone)?.ok_or_else(|| {
        Error::Missing(format!(
            "there is no image named {name} in {}: bake one with `cargo xtask bake`, and publish it to that region",
            cloud.spec.region
        ))
    })
}
