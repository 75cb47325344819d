//! The agent's clients on a node of AWS, or of the local cloud, which differs by an authority only.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use aws_sdk_ec2::types::{Filter, InstanceStateName};
use futuswarm_imds::Imds;
use futuswarm_store::S3Bucket;
use futuswarm_swarm::DockerEngine;
use futuswarm_vault::KmsVault;

use crate::{Edge, Error, Instances, Platform, SystemClock};

/// DescribeInstances takes so many values per filter.
const IDS_PER_FILTER: usize = 200;

/// A node of AWS with this kind of edge.
pub(crate) struct Aws<X>(PhantomData<X>);

impl<X: Edge> Platform for Aws<X> {
    type Bucket = S3Bucket;
    type Engine = DockerEngine;
    type Vault = KmsVault;
    type Instances = aws_sdk_ec2::Client;
    type Metadata = Imds;
    type Clock = SystemClock;
    type Edge = X;
}

impl Instances for aws_sdk_ec2::Client {
    async fn alive(&self, instances: &[String]) -> Result<BTreeSet<String>, Error> {
        let mut alive = BTreeSet::new();
        for ids in instances.chunks(IDS_PER_FILTER) {
            // A filter, not ids: an id that EC2 has forgotten would fail the whole call.
            let filter = Filter::builder().name("instance-id").set_values(Some(ids.to_vec())).build();
            let mut pages = self.describe_instances().filters(filter).into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| futuswarm_aws::Error::new("DescribeInstances", error))?;
                for instance in page.reservations().iter().flat_map(|reservation| reservation.instances()) {
                    let state = instance.state().and_then(|state| state.name());
                    let gone = matches!(state, Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown));
                    alive.extend(instance.instance_id().filter(|_| !gone).map(str::to_owned));
                }
            }
        }
        Ok(alive)
    }
}
