//! The state bucket: versioned, encrypted, closed to the public.

use aws_sdk_s3::error::BuildError;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, Delete, ObjectIdentifier,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging, VersioningConfiguration,
};
use futuswarm_spec::Spec;
use futuswarm_store::keys;

use crate::error::{Error, aws, incomplete};
use crate::{Action, Cloud, policies};

/// The one region whose buckets take no location constraint.
const FIRST_REGION: &str = "us-east-1";

fn unbuilt(_: BuildError) -> Error {
    incomplete("PutBucketConfiguration", "a required field")()
}

/// Makes the bucket and puts every setting right that is not.
pub(super) async fn ensure(cloud: &mut Cloud, key_arn: Option<&str>) -> Result<(), Error> {
    let name = cloud.names.bucket();
    let exists = match cloud.s3.head_bucket().bucket(&name).send().await.map_err(aws("HeadBucket")) {
        Ok(_) => true,
        Err(error) if error.is_not_found() => false,
        Err(error) => return Err(error.into()),
    };
    if !exists {
        if !cloud.plan.begin(Action::Create, "bucket", &name) {
            return Ok(());
        }
        let mut create = cloud.s3.create_bucket().bucket(&name);
        if cloud.spec.region != FIRST_REGION {
            let region = BucketLocationConstraint::from(cloud.spec.region.as_str());
            create = create
                .create_bucket_configuration(CreateBucketConfiguration::builder().location_constraint(region).build());
        }
        create.send().await.map_err(aws("CreateBucket"))?;
    }
    close_to_the_public(cloud, &name).await?;
    version(cloud, &name).await?;
    if let Some(key) = key_arn {
        encrypt(cloud, &name, key).await?;
    }
    require_tls(cloud, &name).await?;
    tag(cloud, &name).await
}

async fn tag(cloud: &mut Cloud, name: &str) -> Result<(), Error> {
    let current = match cloud.s3.get_bucket_tagging().bucket(name).send().await.map_err(aws("GetBucketTagging")) {
        Ok(current) => current.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect(),
        Err(error) if error.is_not_found() || error.is(&["NoSuchTagSet"]) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let wanted = cloud.tags("bucket");
    if wanted.iter().all(|tag| current.contains(tag))
        || !cloud.plan.begin(Action::Update, "bucket", &format!("{name}: tags"))
    {
        return Ok(());
    }
    let mut tags = Vec::new();
    for (key, value) in wanted {
        tags.push(Tag::builder().key(key).value(value).build().map_err(unbuilt)?);
    }
    let tagging = Tagging::builder().set_tag_set(Some(tags)).build().map_err(unbuilt)?;
    cloud.s3.put_bucket_tagging().bucket(name).tagging(tagging).send().await.map_err(aws("PutBucketTagging"))?;
    Ok(())
}

async fn close_to_the_public(cloud: &mut Cloud, name: &str) -> Result<(), Error> {
    let current = cloud.s3.get_public_access_block().bucket(name).send().await.map_err(aws("GetPublicAccessBlock"));
    let closed = match current {
        Ok(current) => current.public_access_block_configuration().is_some_and(|block| {
            [
                block.block_public_acls(),
                block.ignore_public_acls(),
                block.block_public_policy(),
                block.restrict_public_buckets(),
            ]
            .into_iter()
            .all(|flag| flag == Some(true))
        }),
        Err(error) if error.is_not_found() || error.is(&["NoSuchPublicAccessBlockConfiguration"]) => false,
        Err(error) => return Err(error.into()),
    };
    if closed || !cloud.plan.begin(Action::Update, "bucket", &format!("{name}: no public access")) {
        return Ok(());
    }
    let block = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build();
    let request = cloud.s3.put_public_access_block().bucket(name).public_access_block_configuration(block);
    request.send().await.map_err(aws("PutPublicAccessBlock"))?;
    Ok(())
}

async fn version(cloud: &mut Cloud, name: &str) -> Result<(), Error> {
    let current = cloud.s3.get_bucket_versioning().bucket(name).send().await.map_err(aws("GetBucketVersioning"))?;
    if current.status() == Some(&BucketVersioningStatus::Enabled)
        || !cloud.plan.begin(Action::Update, "bucket", &format!("{name}: versioning"))
    {
        return Ok(());
    }
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let request = cloud.s3.put_bucket_versioning().bucket(name).versioning_configuration(versioning);
    request.send().await.map_err(aws("PutBucketVersioning"))?;
    Ok(())
}

async fn encrypt(cloud: &mut Cloud, name: &str, key: &str) -> Result<(), Error> {
    let current = cloud.s3.get_bucket_encryption().bucket(name).send().await.map_err(aws("GetBucketEncryption"));
    let right = match &current {
        Ok(current) => current
            .server_side_encryption_configuration()
            .and_then(|configuration| configuration.rules().first())
            .and_then(|rule| rule.apply_server_side_encryption_by_default())
            .is_some_and(|default| default.kms_master_key_id() == Some(key)),
        Err(error) if error.is_not_found() || error.is(&["ServerSideEncryptionConfigurationNotFoundError"]) => false,
        Err(_) => {
            return Err(current
                .map(|_| ())
                .map_err(Error::from)
                .err()
                .unwrap_or_else(incomplete("GetBucketEncryption", "answer")));
        }
    };
    if right || !cloud.plan.begin(Action::Update, "bucket", &format!("{name}: encryption")) {
        return Ok(());
    }
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::AwsKms)
        .kms_master_key_id(key)
        .build()
        .map_err(unbuilt)?;
    // The bucket key saves a KMS request per object.
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default)
        .bucket_key_enabled(true)
        .build();
    let configuration = ServerSideEncryptionConfiguration::builder().rules(rule).build().map_err(unbuilt)?;
    let request = cloud.s3.put_bucket_encryption().bucket(name).server_side_encryption_configuration(configuration);
    request.send().await.map_err(aws("PutBucketEncryption"))?;
    Ok(())
}

async fn require_tls(cloud: &mut Cloud, name: &str) -> Result<(), Error> {
    // Behind an endpoint without TLS the policy would do what it says, and lock everybody out.
    if cloud.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")) {
        return Ok(());
    }
    let wanted = policies::bucket(&cloud.names);
    let current = match cloud.s3.get_bucket_policy().bucket(name).send().await.map_err(aws("GetBucketPolicy")) {
        Ok(current) => current.policy().and_then(|text| serde_json::from_str(text).ok()),
        Err(error) if error.is_not_found() || error.is(&["NoSuchBucketPolicy"]) => None,
        Err(error) => return Err(error.into()),
    };
    if current == Some(wanted.clone()) || !cloud.plan.begin(Action::Update, "bucket", &format!("{name}: policy")) {
        return Ok(());
    }
    cloud
        .s3
        .put_bucket_policy()
        .bucket(name)
        .policy(wanted.to_string())
        .send()
        .await
        .map_err(aws("PutBucketPolicy"))?;
    Ok(())
}

/// Leaves the spec where nodes and the next operator find it.
pub(super) async fn write_spec(cloud: &mut Cloud) -> Result<(), Error> {
    let current = match cloud.store.get::<Spec>(keys::SPEC).await {
        Ok(current) => current.map(|current| current.value),
        // An older program wrote it, or in a plan there is no bucket yet.
        Err(futuswarm_store::Error::Malformed { .. }) => None,
        Err(_) if !cloud.plan.apply => None,
        Err(error) => return Err(error.into()),
    };
    if current.as_ref() != Some(&cloud.spec) && cloud.plan.begin(Action::Update, "object", keys::SPEC) {
        cloud.store.put(keys::SPEC, &cloud.spec).await?;
    }
    Ok(())
}

/// Deletes the bucket with every version of every object.
pub(super) async fn delete(cloud: &mut Cloud) -> Result<(), Error> {
    let name = cloud.names.bucket();
    match cloud.s3.head_bucket().bucket(&name).send().await.map_err(aws("HeadBucket")) {
        Ok(_) => {}
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    if !cloud.plan.begin(Action::Delete, "bucket", &name) {
        return Ok(());
    }
    loop {
        let page = cloud.s3.list_object_versions().bucket(&name).send().await.map_err(aws("ListObjectVersions"))?;
        let versions = page.versions().iter().map(|version| (version.key(), version.version_id()));
        let marks = page.delete_markers().iter().map(|mark| (mark.key(), mark.version_id()));
        let mut objects = Vec::new();
        for (key, version) in versions.chain(marks) {
            let object =
                ObjectIdentifier::builder().key(key.unwrap_or_default()).set_version_id(version.map(str::to_owned));
            objects.push(object.build().map_err(unbuilt)?);
        }
        if objects.is_empty() {
            break;
        }
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build().map_err(unbuilt)?;
        let answer =
            cloud.s3.delete_objects().bucket(&name).delete(delete).send().await.map_err(aws("DeleteObjects"))?;
        if let Some(error) = answer.errors().first() {
            return Err(Error::Missing(format!(
                "DeleteObjects: {}: {}",
                error.key().unwrap_or_default(),
                error.message().unwrap_or_default()
            )));
        }
    }
    cloud.s3.delete_bucket().bucket(&name).send().await.map_err(aws("DeleteBucket"))?;
    Ok(())
}
