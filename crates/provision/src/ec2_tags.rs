//! Tags of EC2 resources that exist already: the call that puts them, which comes right after the one that made the resource.

use aws_sdk_ec2::types::Tag;

use crate::consistency::until_visible;
use crate::error::{Error, failed};
use crate::{Aws, Cluster};

/// Puts tags on a resource. Where the resource was just made, other endpoints of EC2 may not see it yet: "its ID might not have
/// propagated throughout the system, and you will get an error responding that the resource does not exist" (Amazon EC2 Developer
/// Guide, "Eventual consistency").
///
/// # Errors
/// When AWS refuses, or the resource stays unseen for as long as [`until_visible`] waits.
pub(crate) async fn put(ec2: &aws_sdk_ec2::Client, id: &str, tags: Vec<Tag>) -> Result<(), Error> {
    let request = ec2.create_tags().resources(id).set_tags(Some(tags));
    until_visible("the resource to tag", || async { request.clone().send().await.map_err(failed("CreateTags")) })
        .await?;
    Ok(())
}

/// Puts the cluster's tags of a component on a resource.
///
/// # Errors
/// As [`put`].
pub(crate) async fn set(aws: &Aws, cluster: &Cluster, id: &str, component: &str) -> Result<(), Error> {
    put(&aws.ec2, id, cluster.ec2_tag_list(component)).await
}
