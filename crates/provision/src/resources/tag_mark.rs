//! The spec's tags, on what AWS does not describe together with its tags: asking for them would be a request for each of a dozen
//! resources. A tag of the VPC says which tags all of them have; when the spec has others, all of them get those, and the mark
//! follows last.

use aws_sdk_ec2::types::{Tag, Vpc};
use sha2::{Digest as _, Sha256};

use super::vpc;
use crate::engine::Resource;
use crate::error::{Error, aws};
use crate::plan::{Changed, Fields};
use crate::{Cloud, world};

const PART: &str = "tags";
/// The mark.
pub(super) const MARK: &str = "futuswarm:tags";
/// The field of a resource whose tags are not seen.
const FIELD: &str = "spec's tags";

/// The mark, with the parts that get their tags before it.
pub(crate) struct TagMark(pub(crate) Vec<String>);

/// What the mark says of the spec's tags.
pub(super) fn digest(cloud: &Cloud) -> String {
    let mut digest = Sha256::new();
    for (key, value) in &cloud.spec.tags {
        digest.update(format!("{}:{key}={value}\n", key.len()));
    }
    hex::encode(&digest.finalize()[..8])
}

/// The mark, once there is a VPC.
async fn found(cloud: &Cloud) -> Result<Option<Option<String>>, Error> {
    let vpc = world::part(cloud, cloud.world.vpcs(cloud).await?, "VPCs", vpc::PART)?;
    Ok(vpc.map(|vpc: Vpc| world::tag(vpc.tags(), MARK).map(str::to_owned)))
}

/// Whether what there is may have the tags of another spec.
pub(crate) async fn is_stale(cloud: &Cloud) -> Result<bool, Error> {
    Ok(found(cloud).await?.is_some_and(|mark| mark != Some(digest(cloud))))
}

/// With the tags that are wanted of a resource whose tags are not seen.
pub(super) fn wanted(fields: Fields) -> Fields {
    fields.with(FIELD, "set")
}

/// With what is known of the tags of such a resource.
pub(super) fn current(cloud: &Cloud, fields: Fields) -> Fields {
    fields.with(FIELD, if cloud.has_stale_tags() { "those of another spec" } else { "set" })
}

/// Whether such a resource needs its tags.
pub(super) fn differs(changed: Changed<'_>) -> bool {
    changed.any(&[FIELD])
}

impl Resource for TagMark {
    type Found = Option<String>;

    fn kind(&self) -> &'static str {
        "mark of the tags"
    }

    fn name(&self, cloud: &Cloud) -> String {
        cloud.names.of(PART)
    }

    fn part(&self) -> String {
        PART.to_owned()
    }

    fn needs(&self) -> Vec<String> {
        self.0.clone()
    }

    async fn observe(&self, cloud: &Cloud) -> Result<Option<Option<String>>, Error> {
        found(cloud).await
    }

    fn id(&self, _: &Option<String>) -> String {
        PART.to_owned()
    }

    fn wanted(&self, cloud: &Cloud) -> Result<Fields, Error> {
        Ok(Fields::new().with(MARK, digest(cloud)))
    }

    fn current(&self, _: &Cloud, found: &Option<String>) -> Fields {
        Fields::new().with_some(MARK, found.as_ref())
    }

    async fn create(&self, cloud: &Cloud) -> Result<String, Error> {
        let mark = Tag::builder().key(MARK).value(digest(cloud)).build();
        let request = cloud.ec2.create_tags().resources(cloud.need(vpc::PART)?).tags(mark);
        request.send().await.map_err(aws("CreateTags"))?;
        Ok(PART.to_owned())
    }

    async fn update(&self, cloud: &Cloud, _: &Option<String>, _: Changed<'_>) -> Result<(), Error> {
        self.create(cloud).await.map(|_| ())
    }

    /// It goes with the VPC.
    async fn delete(&self, _: &Cloud, _: &Option<String>) -> Result<(), Error> {
        Ok(())
    }
}
