//! The SSH key pair of the nodes' `admin`: only its public part is ever here.
//!
//! EC2 cannot change a key pair, and launch templates name it. So another key is another pair with a name of its own, and the
//! previous one goes last, when no template names it any more: a key that EC2 refuses takes nothing away from a living cluster.

use aws_sdk_ec2::primitives::Blob;
use aws_sdk_ec2::types::{KeyPairInfo, ResourceType};
use futuswarm_converge::Resource;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, failed};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Cluster, Run, components, ec2_tags, inventory};

/// How many names are tried when somebody else's pairs have them.
const NAMES: u32 = 4;

pub(crate) enum KeyPair {
    /// The one of this public key, in OpenSSH's format.
    Desired(String),
    /// One of a previous key, under this name.
    Previous(String),
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
fn key(run: &Run) -> Option<&String> {
    run.overrides.ssh_public_key.as_ref().or(run.cluster.spec.ssh.public_key.as_ref())
}

/// Whether nodes have a key pair.
pub(crate) fn is_desired(run: &Run) -> bool {
    key(run).is_some()
}

fn is_of(pair: &KeyPairInfo, key: &str) -> bool {
    pair.public_key().map(without_comment) == Some(without_comment(key))
}

impl KeyPair {
    /// The one that the cluster should have.
    pub(crate) fn of(run: &Run) -> Option<Self> {
        key(run).cloned().map(Self::Desired)
    }

    /// Those of other keys; all of them when nobody gave one.
    pub(crate) async fn orphans(aws: &Aws, run: &Run) -> Result<Vec<Self>, Error> {
        let mut all = run.inventory.key_pairs(aws, components::KEY_PAIR).await?.iter().collect::<Vec<_>>();
        if let Some(key) = key(run)
            && let Some(ours) = all.iter().position(|pair| is_of(pair, key))
        {
            all.remove(ours);
        }
        Ok(all.into_iter().filter_map(|pair| pair.key_name().map(|name| Self::Previous(name.to_owned()))).collect())
    }

    /// The name to try first, and others.
    fn names(cluster: &Cluster, key: &str) -> impl Iterator<Item = String> {
        let first = format!("{}-{}", cluster.names.of(components::KEY_PAIR), digest(key));
        (1..=NAMES).map(move |number| if number == 1 { first.clone() } else { format!("{first}-{number}") })
    }
}

impl Resource<Run> for KeyPair {
    type Observed = KeyPairInfo;

    fn kind(&self) -> &'static str {
        "key pair"
    }

    fn name(&self, run: &Run) -> String {
        match self {
            Self::Desired(key) => Self::names(&run.cluster, key).next().unwrap_or_default(),
            Self::Previous(name) => name.clone(),
        }
    }

    fn component(&self) -> String {
        match self {
            Self::Desired(_) => components::KEY_PAIR.to_owned(),
            Self::Previous(name) => components::previous_key_pair(name),
        }
    }

    fn is_desired(&self) -> bool {
        matches!(self, Self::Desired(_))
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<KeyPairInfo>, Error> {
        let is_it = |pair: &&KeyPairInfo| match self {
            Self::Desired(key) => is_of(pair, key),
            Self::Previous(name) => pair.key_name() == Some(name),
        };
        Ok(run.inventory.key_pairs(aws, components::KEY_PAIR).await?.iter().find(is_it).cloned())
    }

    fn id(&self, observed: &KeyPairInfo) -> String {
        observed.key_name().unwrap_or_default().to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let Self::Desired(key) = self else { return Ok(Fields::new()) };
        Ok(Fields::new()
            .with(Field::PublicKey, without_comment(key))
            .with_desired_tags(&run.cluster.tags(components::KEY_PAIR)))
    }

    fn current(&self, run: &Run, observed: &KeyPairInfo) -> Fields {
        let fields = Fields::new().with_some(Field::PublicKey, observed.public_key().map(without_comment));
        fields.with_tags(inventory::pairs(observed.tags()), &run.cluster.tags(components::KEY_PAIR))
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let Self::Desired(key) = self else { return Ok(self.name(run)) };
        let mut last = None;
        for name in Self::names(&run.cluster, key) {
            let import = aws.ec2.import_key_pair().key_name(&name).public_key_material(Blob::new(key.as_bytes()));
            let import = import.tag_specifications(run.cluster.ec2_tags(ResourceType::KeyPair, components::KEY_PAIR));
            match import.send().await.map_err(failed("ImportKeyPair")) {
                Ok(_) => return Ok(name),
                Err(error) if error.is(&["InvalidKeyPair.Duplicate"]) => {
                    let ask = aws.ec2.describe_key_pairs().key_names(&name).include_public_key(true).send().await;
                    let there = ask.map_err(failed("DescribeKeyPairs"))?.key_pairs.unwrap_or_default();
                    // Made by a call of ours whose answer was lost, or without our tags.
                    if let Some(pair) = there.iter().find(|pair| is_of(pair, key)) {
                        ec2_tags::set(aws, &run.cluster, pair.key_pair_id().unwrap_or_default(), components::KEY_PAIR)
                            .await?;
                        return Ok(name);
                    }
                    last = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.map_or_else(|| Error::Missing("no name is left for the key pair".to_owned()), Error::from))
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &KeyPairInfo, _: &Changed) -> Result<(), Error> {
        // By its key it was found, so that only tags can differ.
        ec2_tags::set(aws, &run.cluster, observed.key_pair_id().unwrap_or_default(), components::KEY_PAIR).await
    }

    /// Nodes that run keep the key that they started with.
    async fn delete(&self, aws: &Aws, _: &Run, observed: &KeyPairInfo) -> Result<(), Error> {
        let delete = aws.ec2.delete_key_pair().key_name(self.id(observed));
        delete.send().await.map_err(failed("DeleteKeyPair"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_is_another_pair_and_a_comment_makes_no_difference() {
        let run = Run::local();
        let name = |key: &str| KeyPair::Desired(key.to_owned()).name(&run);
        assert_eq!(name("ssh-ed25519 AAAA1"), name("ssh-ed25519  AAAA1 somebody@example.com\n"));
        assert_ne!(name("ssh-ed25519 AAAA1"), name("ssh-ed25519 AAAA2"));
        let names: Vec<String> = KeyPair::names(&run.cluster, "ssh-ed25519 AAAA1").collect();
        assert!(names[0].starts_with("futuswarm-local-ssh-"), "{names:?}");
        assert_eq!(names[1..], [2, 3, 4].map(|number| format!("{}-{number}", names[0])));
        // EC2 takes 255 characters (ImportKeyPair's documentation).
        assert!(names.iter().all(|name| name.len() < 100));
    }
}
