//! The SSH key pair of the nodes' `admin`: only its public part is ever here.
//!
//! EC2 cannot change a key pair, and launch templates name it. So another key is another pair with a name of its own, and the
//! former one goes last, when no template names it any more: a key that EC2 refuses takes nothing away from a living cluster.

use aws_sdk_ec2::primitives::Blob;
use aws_sdk_ec2::types::{Filter, KeyPairInfo, ResourceType};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, aws};
use crate::names::PART_TAG;
use crate::{Cloud, world};
use futuswarm_converge::{Changed, Fields, Resource};

pub(crate) const PART: &str = "ssh";
/// The parts of pairs that go begin so.
const FORMER: &str = "former-ssh";
const KEY: &str = "public key";
/// How many names are tried when somebody else's pairs have them.
const NAMES: u32 = 4;

/// A key pair.
pub(crate) enum KeyPair {
    /// The one of this public key, in OpenSSH's format.
    Wanted(String),
    /// One of a former key, under this name.
    Former(String),
}

/// The two words of a public key that count; the third is a comment.
fn without_comment(key: &str) -> String {
    key.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// Tells the keys of one cluster apart.
fn digest(key: &str) -> String {
    hex::encode(&Sha256::digest(without_comment(key))[..4])
}

/// The public key that the nodes' `admin` has, if anybody gave one.
fn key(cloud: &Cloud) -> Option<&String> {
    cloud.extras.ssh_public_key.as_ref().or(cloud.spec.ssh.public_key.as_ref())
}

/// Whether nodes have a key pair.
pub(crate) fn is_wanted(cloud: &Cloud) -> bool {
    key(cloud).is_some()
}

/// All pairs with the cluster's tags.
async fn pairs(cloud: &Cloud) -> Result<&[KeyPairInfo], Error> {
    let ask = || async {
        let part = Filter::builder().name(format!("tag:{PART_TAG}")).values(PART).build();
        let ask = cloud.ec2.describe_key_pairs().filters(cloud.ours()).filters(part).include_public_key(true);
        let found = ask.send().await.map_err(aws("DescribeKeyPairs"))?;
        Ok(found.key_pairs.unwrap_or_default())
    };
    cloud.world.key_pairs.get_or_try_init(ask).await.map(Vec::as_slice)
}

fn is_of(pair: &KeyPairInfo, key: &str) -> bool {
    pair.public_key().map(without_comment) == Some(without_comment(key))
}

impl KeyPair {
    /// The one that the cluster should have.
    pub(crate) fn of(cloud: &Cloud) -> Option<Self> {
        key(cloud).cloned().map(Self::Wanted)
    }

    /// Those of other keys; all of them when nobody gave one.
    pub(crate) async fn orphans(cloud: &Cloud) -> Result<Vec<Self>, Error> {
        let mut all = pairs(cloud).await?.iter().collect::<Vec<_>>();
        if let Some(key) = key(cloud)
            && let Some(ours) = all.iter().position(|pair| is_of(pair, key))
        {
            all.remove(ours);
        }
        Ok(all.into_iter().filter_map(|pair| pair.key_name().map(|name| Self::Former(name.to_owned()))).collect())
    }

    /// The name to try first, and others.
    fn names(cloud: &Cloud, key: &str) -> impl Iterator<Item = String> {
        let first = format!("{}-{}", cloud.names.of(PART), digest(key));
        (1..=NAMES).map(move |number| if number == 1 { first.clone() } else { format!("{first}-{number}") })
    }
}

impl Resource<Cloud> for KeyPair {
    type Observed = KeyPairInfo;

    fn kind(&self) -> &'static str {
        "key pair"
    }

    fn name(&self, cloud: &Cloud) -> String {
        match self {
            Self::Wanted(key) => Self::names(cloud, key).next().unwrap_or_default(),
            Self::Former(name) => name.clone(),
        }
    }

    fn component(&self) -> String {
        match self {
            Self::Wanted(_) => PART.to_owned(),
            Self::Former(name) => format!("{FORMER} {name}"),
        }
    }

    fn is_desired(&self) -> bool {
        matches!(self, Self::Wanted(_))
    }

    async fn observe(&self, cloud: &Cloud) -> Result<Option<KeyPairInfo>, Error> {
        let is_it = |pair: &&KeyPairInfo| match self {
            Self::Wanted(key) => is_of(pair, key),
            Self::Former(name) => pair.key_name() == Some(name),
        };
        Ok(pairs(cloud).await?.iter().find(is_it).cloned())
    }

    fn id(&self, found: &KeyPairInfo) -> String {
        found.key_name().unwrap_or_default().to_owned()
    }

    fn desired(&self, cloud: &Cloud) -> Result<Fields, Error> {
        let Self::Wanted(key) = self else { return Ok(Fields::new()) };
        Ok(Fields::new().with(KEY, without_comment(key)).with_desired_tags(&cloud.tags(PART)))
    }

    fn current(&self, cloud: &Cloud, found: &KeyPairInfo) -> Fields {
        let fields = Fields::new().with_some(KEY, found.public_key().map(without_comment));
        fields.with_tags(world::pairs(found.tags()), &cloud.tags(PART))
    }

    async fn create(&self, cloud: &Cloud) -> Result<String, Error> {
        let Self::Wanted(key) = self else { return Ok(self.name(cloud)) };
        let mut last = None;
        for name in Self::names(cloud, key) {
            let import = cloud.ec2.import_key_pair().key_name(&name).public_key_material(Blob::new(key.as_bytes()));
            let import = import.tag_specifications(cloud.ec2_tags(ResourceType::KeyPair, PART));
            match import.send().await.map_err(aws("ImportKeyPair")) {
                Ok(_) => return Ok(name),
                Err(error) if error.is(&["InvalidKeyPair.Duplicate"]) => {
                    let ask = cloud.ec2.describe_key_pairs().key_names(&name).include_public_key(true).send().await;
                    let there = ask.map_err(aws("DescribeKeyPairs"))?.key_pairs.unwrap_or_default();
                    // Made by a call of ours whose answer was lost, or without our tags.
                    if let Some(pair) = there.iter().find(|pair| is_of(pair, key)) {
                        cloud.tag_ec2(pair.key_pair_id().unwrap_or_default(), PART).await?;
                        return Ok(name);
                    }
                    last = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.map_or_else(|| Error::Missing("no name is left for the key pair".to_owned()), Error::from))
    }

    async fn update(&self, cloud: &Cloud, found: &KeyPairInfo, _: Changed<'_>) -> Result<(), Error> {
        // By its key it was found, so that only tags can differ.
        cloud.tag_ec2(found.key_pair_id().unwrap_or_default(), PART).await
    }

    /// Nodes that run keep the key that they started with.
    async fn delete(&self, cloud: &Cloud, found: &KeyPairInfo) -> Result<(), Error> {
        let delete = cloud.ec2.delete_key_pair().key_name(self.id(found));
        delete.send().await.map_err(aws("DeleteKeyPair"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Extras;

    #[test]
    fn another_key_is_another_pair_and_a_comment_makes_no_difference() {
        let cloud = Cloud::nowhere(Extras::default(), Box::new(|_| {}));
        let name = |key: &str| KeyPair::Wanted(key.to_owned()).name(&cloud);
        assert_eq!(name("ssh-ed25519 AAAA1"), name("ssh-ed25519  AAAA1 somebody@example.com\n"));
        assert_ne!(name("ssh-ed25519 AAAA1"), name("ssh-ed25519 AAAA2"));
        let names: Vec<String> = KeyPair::names(&cloud, "ssh-ed25519 AAAA1").collect();
        assert!(names[0].starts_with("futuswarm-local-ssh-"), "{names:?}");
        assert_eq!(names[1..], [2, 3, 4].map(|number| format!("{}-{number}", names[0])));
        // EC2 takes 255 characters (ImportKeyPair's documentation).
        assert!(names.iter().all(|name| name.len() < 100));
    }
}
