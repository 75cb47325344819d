//! The image that nodes start from: one that was named, or the one that was promoted last.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, Image};
use futuswarm_aws::at_most_one;
use futuswarm_spec::Architecture;
use serde_json::json;

use crate::error::{Error, failed};
use crate::{Aws, Cluster, Run};

/// Where `cargo xtask publish` leaves the id of the image that it promoted.
fn parameter(architecture: &str) -> String {
    format!("/futuswarm/images/{architecture}/latest/image_id")
}

/// The id of the image for an architecture.
///
/// # Errors
/// When there is none; the message says how to get one.
pub(crate) async fn find(aws: &Aws, run: &Run, architecture: Architecture) -> Result<String, Error> {
    let architecture = architecture.to_string();
    if let Some(observed) = run.inventory.image(&architecture, by_architecture(aws, run)).await? {
        return Ok(observed);
    }
    let region = &run.cluster.spec.region;
    let make = format!("bake one with `cargo xtask bake`, then `cargo xtask publish --region {region}");
    Err(Error::Missing(match &run.overrides.image {
        None => format!("no image for {architecture} was promoted in {region}: {make} --promote`"),
        Some(id) if is_id(id) => format!("there is no image {id} for {architecture} in {region}: {make}`"),
        Some(name) => match shared(aws, name).await? {
            Some((id, owner)) => format!(
                "the account has no image named {name} in {region}, and the account {owner} shares one of that name, {id}: \
                 pass --image {id} if that account is one of yours"
            ),
            None => format!("there is no image named {name} for {architecture} in {region}: {make}`"),
        },
    }))
}

/// Whether an image was named by its id.
fn is_id(name: &str) -> bool {
    name.strip_prefix("ami-").is_some_and(|rest| rest.len() >= 8 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Architecture → image id, for all architectures of the spec.
async fn by_architecture(aws: &Aws, run: &Run) -> Result<BTreeMap<String, String>, Error> {
    match &run.overrides.image {
        None => promoted(aws, &run.cluster).await,
        Some(name) => Ok(named(aws, name).await?.into_iter().collect()),
    }
}

/// The images that were promoted.
async fn promoted(aws: &Aws, cluster: &Cluster) -> Result<BTreeMap<String, String>, Error> {
    let mut observed = BTreeMap::new();
    for group in cluster.spec.groups.values() {
        let architecture = group.architecture().to_string();
        if observed.contains_key(&architecture) {
            continue;
        }
        match aws.ssm.call("GetParameter", json!({ "Name": parameter(&architecture) })).await {
            Ok(answer) => {
                let value = answer["Parameter"]["Value"].as_str();
                observed.extend(value.map(|value| (architecture, value.to_owned())));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(observed)
}

/// The architecture and id of an image: by its id whosever it is, by its name only of the account's own.
async fn named(aws: &Aws, name: &str) -> Result<Option<(String, String)>, Error> {
    let ask = aws.ec2.describe_images();
    let ask = match is_id(name) {
        true => ask.image_ids(name),
        false => ask.owners("self").filters(Filter::builder().name("name").values(name).build()),
    };
    let images = match ask.send().await.map_err(failed("DescribeImages")) {
        Err(error) if error.is(&["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed"]) => {
            return Ok(None);
        }
        observed => observed?.images.unwrap_or_default(),
    };
    // Names are unique in an account and region, so there is one image, of one architecture.
    let image = at_most_one(format!("images named {name}"), images, id)?;
    Ok(image.map(|image| {
        let architecture = image.architecture().map_or("x86_64", |architecture| architecture.as_str());
        (architecture.to_owned(), id(&image))
    }))
}

/// The id and owner of an image of this name that another account shares with this one. It is only reported and never taken: whoever
/// knows an account's number can share an image of any name with it.
async fn shared(aws: &Aws, name: &str) -> Result<Option<(String, String)>, Error> {
    let filter = Filter::builder().name("name").values(name).build();
    let observed = aws.ec2.describe_images().executable_users("self").filters(filter).send().await;
    let observed = observed.map_err(failed("DescribeImages"))?.images.unwrap_or_default();
    Ok(observed.first().map(|image| (id(image), image.owner_id().unwrap_or("(unknown)").to_owned())))
}

fn id(image: &Image) -> String {
    image.image_id().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_told_from_a_name() {
        assert!(is_id("ami-0123456789abcdef0") && is_id("ami-01234567"));
        assert!(!is_id("futuswarm-node-0123456789ab") && !is_id("ami-node-one") && !is_id("ami-1"));
    }
}
