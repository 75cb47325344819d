//! The state bucket: versioned, encrypted, closed to the public, with an end for what is old.

mod settings;

use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration, Delete, ObjectIdentifier, Tag, Tagging};

use futuswarm_converge::Resource;
use futuswarm_store::Versioned;
use serde::de::DeserializeOwned;

use crate::consistency::until_visible;
use crate::error::{Error, failed};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Cluster, Run, components};
use settings::unbuilt;

/// The one region whose buckets take no location constraint.
const FIRST_REGION: &str = "us-east-1";

pub(crate) struct Bucket;

/// What an object of the bucket is called.
pub(super) fn object_name(cluster: &Cluster, key: &str) -> String {
    format!("s3://{}/{key}", cluster.names.bucket())
}

/// An object of the bucket, if there is one; in a plan there may be no bucket yet.
pub(super) async fn object<T: DeserializeOwned>(
    aws: &Aws,
    run: &Run,
    key: &str,
) -> Result<Option<Versioned<T>>, futuswarm_store::Error> {
    if run.id(components::BUCKET).is_none() {
        return Ok(None);
    }
    aws.store.get(key).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    Versioning,
    PublicAccess,
    Encryption,
    Policy,
    Lifecycle,
    Tags,
}

impl Setting {
    /// Versioning first: in the minutes after it is enabled, S3 may deny what is written
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/manage-versioning-examples.html>), so it begins as long as possible
    /// before the first object. New buckets are closed to the public without being told.
    const IN_ORDER: [Self; 6] =
        [Self::Versioning, Self::PublicAccess, Self::Encryption, Self::Policy, Self::Lifecycle, Self::Tags];
}

impl Bucket {
    async fn put(&self, aws: &Aws, run: &Run, name: &str, setting: Setting) -> Result<(), Error> {
        match setting {
            Setting::Versioning => settings::version(aws, name).await,
            Setting::PublicAccess => settings::close_to_the_public(aws, name).await,
            Setting::Encryption => settings::encrypt(aws, run, name).await,
            Setting::Policy => settings::require_tls(aws, &run.cluster, name).await,
            Setting::Lifecycle => settings::expire(aws, &run.cluster, name).await,
            Setting::Tags => self.put_tags(aws, &run.cluster, name).await,
        }
    }

    async fn put_tags(&self, aws: &Aws, cluster: &Cluster, name: &str) -> Result<(), Error> {
        let mut tags = Vec::new();
        for (key, value) in cluster.tags(components::BUCKET) {
            tags.push(Tag::builder().key(key).value(value).build().map_err(unbuilt)?);
        }
        let tagging = Tagging::builder().set_tag_set(Some(tags)).build().map_err(unbuilt)?;
        until_visible("the bucket", || async {
            let put = aws.s3.put_bucket_tagging().bucket(name).tagging(tagging.clone());
            put.send().await.map_err(failed("PutBucketTagging"))
        })
        .await?;
        Ok(())
    }
}

impl Resource<Run> for Bucket {
    /// Its settings.
    type Observed = Fields;

    fn kind(&self) -> &'static str {
        "bucket"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.bucket()
    }

    fn component(&self) -> String {
        components::BUCKET.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        vec![components::CLUSTER_KEY.to_owned()]
    }

    fn holds_data(&self) -> bool {
        true
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Fields>, Error> {
        settings::read(aws, &run.cluster, &run.cluster.names.bucket()).await
    }

    fn id(&self, _: &Fields) -> String {
        components::BUCKET.to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        Ok(settings::desired(run)?.with_desired_tags(&run.cluster.tags(components::BUCKET)))
    }

    fn current(&self, _: &Run, observed: &Fields) -> Fields {
        observed.clone()
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let name = run.cluster.names.bucket();
        let mut create = aws.s3.create_bucket().bucket(&name);
        if run.cluster.spec.region != FIRST_REGION {
            let region = BucketLocationConstraint::from(run.cluster.spec.region.as_str());
            let place = CreateBucketConfiguration::builder().location_constraint(region).build();
            create = create.create_bucket_configuration(place);
        }
        until_visible("the name of a bucket that was just deleted", || async {
            match create.clone().send().await.map_err(failed("CreateBucket")) {
                // By a call of ours whose answer was lost: there was none when this run observed it.
                Err(error) if error.is(&["BucketAlreadyOwnedByYou"]) => Ok(()),
                outcome => outcome.map(drop),
            }
        })
        .await?;
        // One after the other: S3 refuses settings that are made at the same time.
        for setting in Setting::IN_ORDER {
            self.put(aws, run, &name, setting).await?;
        }
        Ok(components::BUCKET.to_owned())
    }

    async fn update(&self, aws: &Aws, run: &Run, _: &Fields, changed: &Changed) -> Result<(), Error> {
        let name = run.cluster.names.bucket();
        for setting in Setting::IN_ORDER {
            let differs = match setting {
                Setting::Versioning => changed.any(&[Field::Versioning]),
                Setting::PublicAccess => changed.any(&[Field::PublicAccess]),
                Setting::Encryption => changed.any(&[Field::Encryption]),
                Setting::Policy => changed.any(&[Field::BucketPolicy]),
                Setting::Lifecycle => changed.any_of(|field| matches!(field, Field::Expiry(_))),
                Setting::Tags => changed.tags(),
            };
            if differs {
                self.put(aws, run, &name, setting).await?;
            }
        }
        Ok(())
    }

    /// With every version of every object.
    async fn delete(&self, aws: &Aws, run: &Run, _: &Fields) -> Result<(), Error> {
        let name = run.cluster.names.bucket();
        loop {
            let page = aws.s3.list_object_versions().bucket(&name).send().await;
            let page = page.map_err(failed("ListObjectVersions"))?;
            let versions = page.versions().iter().map(|version| (version.key(), version.version_id()));
            let markers = page.delete_markers().iter().map(|mark| (mark.key(), mark.version_id()));
            let mut objects = Vec::new();
            for (key, version) in versions.chain(markers) {
                let object = ObjectIdentifier::builder().key(key.unwrap_or_default());
                objects.push(object.set_version_id(version.map(str::to_owned)).build().map_err(unbuilt)?);
            }
            if objects.is_empty() {
                break;
            }
            let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build().map_err(unbuilt)?;
            let answer = aws.s3.delete_objects().bucket(&name).delete(delete).send().await;
            if let Some(error) = answer.map_err(failed("DeleteObjects"))?.errors().first() {
                return Err(Error::Item {
                    operation: "DeleteObjects",
                    item: error.key().unwrap_or_default().to_owned(),
                    reason: error.message().unwrap_or_default().to_owned(),
                });
            }
        }
        aws.s3.delete_bucket().bucket(&name).send().await.map_err(failed("DeleteBucket"))?;
        Ok(())
    }
}
