//! The cluster's tags as each service takes them; EC2's are in `cluster.rs`.

use crate::error::{Error, failed, incomplete};
use crate::{Aws, Cluster};

/// Roles and instance profiles.
pub(crate) fn iam(cluster: &Cluster, component: &str) -> Result<Vec<aws_sdk_iam::types::Tag>, Error> {
    let tag = |(key, value)| aws_sdk_iam::types::Tag::builder().key(key).value(value).build();
    let tags = cluster.tags(component).into_iter().map(tag).collect::<Result<_, _>>();
    tags.map_err(|_| incomplete("TagRole", "Key")())
}

/// Keys; their tags have fields of other names.
pub(crate) fn kms(cluster: &Cluster, component: &str) -> Result<Vec<aws_sdk_kms::types::Tag>, Error> {
    let tag = |(key, value)| aws_sdk_kms::types::Tag::builder().tag_key(key).tag_value(value).build();
    let tags = cluster.tags(component).into_iter().map(tag).collect::<Result<_, _>>();
    tags.map_err(|_| incomplete("CreateKey", "TagKey")())
}

/// For Certificate Manager.
pub(crate) fn acm(cluster: &Cluster, component: &str) -> Result<Vec<aws_sdk_acm::types::Tag>, Error> {
    let tag = |(key, value): (String, String)| aws_sdk_acm::types::Tag::builder().key(key).value(value).build();
    let tags = cluster.tags(component).into_iter().map(tag).collect::<Result<_, _>>();
    tags.map_err(|_| incomplete("RequestCertificate", "Key")())
}

/// Databases, subnet groups and snapshots.
pub(crate) fn rds(cluster: &Cluster, component: &str) -> Vec<aws_sdk_rds::types::Tag> {
    let tag = |(key, value): (String, String)| aws_sdk_rds::types::Tag::builder().key(key).value(value).build();
    cluster.tags(component).into_iter().map(tag).collect()
}

/// For application load balancers, their target groups and listeners.
pub(crate) fn balancing(cluster: &Cluster, component: &str) -> Vec<aws_sdk_elasticloadbalancingv2::types::Tag> {
    let tag = |(key, value): (String, String)| {
        aws_sdk_elasticloadbalancingv2::types::Tag::builder().key(key).value(value).build()
    };
    cluster.tags(component).into_iter().map(tag).collect()
}

/// Puts the tags of a balancer, target group or listener right.
pub(crate) async fn put_balancing(aws: &Aws, cluster: &Cluster, arn: &str, component: &str) -> Result<(), Error> {
    let add = aws.balancing.add_tags().resource_arns(arn).set_tags(Some(balancing(cluster, component)));
    add.send().await.map_err(failed("AddTags"))?;
    Ok(())
}

/// IAM's tags as pairs.
pub(crate) fn iam_pairs(tags: &[aws_sdk_iam::types::Tag]) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().map(|tag| (tag.key(), tag.value()))
}
