//! The SSH key pair of the nodes' `admin`: only its public part is ever here.

use aws_sdk_ec2::primitives::Blob;
use aws_sdk_ec2::types::{KeyPairInfo, ResourceType};

use crate::engine::Resource;
use crate::error::{Error, aws};
use crate::plan::{Changed, Fields};
use crate::{Cloud, world};

pub(crate) const PART: &str = "ssh";
const KEY: &str = "public key";

/// The key pair; not wanted when nobody gave a key.
pub(crate) struct KeyPair(pub(crate) Option<String>);

/// The two words of a public key that count; the third is a comment.
fn without_comment(key: &str) -> String {
    key.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

impl KeyPair {
    pub(crate) fn of(cloud: &Cloud) -> Self {
        Self(cloud.extras.ssh_public_key.clone().or_else(|| cloud.spec.ssh.public_key.clone()))
    }
}

impl Resource for KeyPair {
    type Found = KeyPairInfo;

    fn kind(&self) -> &'static str {
        "key pair"
    }

    fn name(&self, cloud: &Cloud) -> String {
        cloud.names.of(PART)
    }

    fn part(&self) -> String {
        PART.to_owned()
    }

    fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    async fn observe(&self, cloud: &Cloud) -> Result<Option<KeyPairInfo>, Error> {
        let ask = cloud.ec2.describe_key_pairs().key_names(self.name(cloud)).include_public_key(true);
        match ask.send().await.map_err(aws("DescribeKeyPairs")) {
            Ok(found) => Ok(found.key_pairs.unwrap_or_default().into_iter().next()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn id(&self, found: &KeyPairInfo) -> String {
        found.key_name().unwrap_or_default().to_owned()
    }

    fn wanted(&self, cloud: &Cloud) -> Result<Fields, Error> {
        let fields = Fields::new().with_some(KEY, self.0.as_deref().map(without_comment));
        Ok(fields.with_wanted_tags(&cloud.tags(PART)))
    }

    fn current(&self, cloud: &Cloud, found: &KeyPairInfo) -> Fields {
        let fields = Fields::new().with_some(KEY, found.public_key().map(without_comment));
        fields.with_tags(world::pairs(found.tags()), &cloud.tags(PART))
    }

    async fn create(&self, cloud: &Cloud) -> Result<String, Error> {
        let (name, key) = (self.name(cloud), self.0.clone().unwrap_or_default());
        let import = cloud.ec2.import_key_pair().key_name(&name).public_key_material(Blob::new(key.into_bytes()));
        let import = import.tag_specifications(cloud.ec2_tags(ResourceType::KeyPair, PART));
        import.send().await.map_err(aws("ImportKeyPair"))?;
        Ok(name)
    }

    /// EC2 cannot change a key; nodes that run keep the one they started with.
    async fn update(&self, cloud: &Cloud, found: &KeyPairInfo, changed: Changed<'_>) -> Result<(), Error> {
        if !changed.any(&[KEY]) {
            return cloud.tag_ec2(found.key_pair_id().unwrap_or_default(), PART).await;
        }
        self.delete(cloud, found).await?;
        self.create(cloud).await.map(|_| ())
    }

    async fn delete(&self, cloud: &Cloud, _: &KeyPairInfo) -> Result<(), Error> {
        let delete = cloud.ec2.delete_key_pair().key_name(self.name(cloud));
        delete.send().await.map_err(aws("DeleteKeyPair"))?;
        Ok(())
    }
}
