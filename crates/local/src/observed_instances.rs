//! What the emulator says should exist: subnets and running instances, with all that a machine needs to know of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use aws_sdk_ec2::types::{
    Filter, IamInstanceProfileSpecification, Instance, InstanceAttributeName, InstanceStateName,
    ResponseLaunchTemplateData,
};
use base64::Engine as _;
use futuswarm_aws::Error as AwsError;
use futuswarm_aws_front::clients::Clients;
use futuswarm_aws_front::images::Images;
use ipnet::Ipv4Net;

use crate::error::{Error, Result};
use crate::network::names;

/// AWS's root volume when nobody says otherwise.
const DEFAULT_ROOT_GIB: u64 = 8;

/// The tag that an Auto Scaling group leaves.
pub const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// One running instance.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Instance id.
    pub id: String,
    /// AMI id.
    pub ami: String,
    /// As in `t3.small`.
    pub instance_type: String,
    /// Primary private address.
    pub address: Ipv4Addr,
    /// Address of its interface. The emulator gives every interface the same, so ours derives from the address.
    pub mac: String,
    /// Availability zone.
    pub zone: String,
    /// Subnet id.
    pub subnet: String,
    /// The subnet's addresses.
    pub subnet_cidr: Ipv4Net,
    /// VPC id.
    pub vpc: String,
    /// Interface id.
    pub interface: String,
    /// Security groups: id → name.
    pub groups: Vec<(String, String)>,
    /// ARN of the instance profile.
    pub profile: Option<String>,
    /// Key and value, those of its group included.
    pub tags: BTreeMap<String, String>,
    /// Public part of its key pair, in OpenSSH's format.
    pub public_key: Option<String>,
    /// User data, decoded.
    pub user_data: Vec<u8>,
    /// Root volume id.
    pub volume: String,
    /// Root volume's size in GiB.
    pub root_gib: u64,
    /// Whether the guest's own shutdown terminates the instance.
    pub terminates_on_shutdown: bool,
    /// Launch time, RFC 3339.
    pub launched: String,
    /// Reservation id.
    pub reservation: String,
}

impl Machine {
    /// The MAC of an address: locally administered, stable, and as unique on the bridge as the address, which two machines
    /// never have at a time. A lease that a machine leaves behind is thus its successor's.
    fn mac_of(address: Ipv4Addr) -> String {
        let [a, b, c, d] = address.octets();
        format!("0a:f5:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    }

    /// The interface's name in the namespace.
    pub fn tap(&self) -> String {
        names::tap(&self.id)
    }
}

/// What was observed at one time.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Subnets that are not the account's default ones: id → addresses.
    pub subnets: BTreeMap<String, Ipv4Net>,
    /// Running instances by id.
    pub running: BTreeMap<String, Machine>,
    /// Instances that are stopping or stopped.
    pub stopped: BTreeSet<String>,
    /// Instances that no longer run and whose machines are shutting down still; they keep their addresses until then.
    pub ending: BTreeMap<String, Machine>,
}

impl View {
    /// The instance that has this address. The emulator gives the address of an instance that it ends to the next one at once,
    /// whose machine is not switched on before the old one is gone: until then it is the old one that asks.
    pub fn by_address(&self, address: Ipv4Addr) -> Option<&Machine> {
        let has = |machine: &&Machine| machine.address == address;
        self.ending.values().find(has).or_else(|| self.running.values().find(has))
    }
}

/// Observes the emulator. What never changes of a known instance is taken from `before`.
pub async fn observe(clients: &Clients, images: &Images, before: &View) -> Result<View> {
    let found = clients
        .ec2
        .describe_subnets()
        .filters(Filter::builder().name("default-for-az").values("false").build())
        .send()
        .await
        .map_err(|error| AwsError::new("DescribeSubnets", error))?;
    let mut view = View::default();
    for subnet in found.subnets() {
        if let (Some(id), Some(Ok(cidr))) = (subnet.subnet_id(), subnet.cidr_block().map(str::parse)) {
            view.subnets.insert(id.to_owned(), cidr);
        }
    }
    let mut pages = clients.ec2.describe_instances().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| AwsError::new("DescribeInstances", error))?;
        for reservation in page.reservations() {
            for instance in reservation.instances() {
                let Some(id) = instance.instance_id() else { continue };
                match instance.state().and_then(|state| state.name()) {
                    Some(InstanceStateName::Running | InstanceStateName::Pending) => {
                        let known = before.running.get(id);
                        let reservation = reservation.reservation_id().unwrap_or_default();
                        match machine(clients, images, &view, instance, known, reservation).await {
                            Ok(Some(machine)) => {
                                view.running.insert(id.to_owned(), machine);
                            }
                            Ok(None) => tracing::debug!(instance = id, "is in no subnet of ours"),
                            Err(error) => tracing::warn!(instance = id, %error, "cannot be understood yet"),
                        }
                    }
                    Some(InstanceStateName::Stopped | InstanceStateName::Stopping) => {
                        view.stopped.insert(id.to_owned());
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(view)
}

async fn machine(
    clients: &Clients,
    images: &Images,
    view: &View,
    instance: &Instance,
    known: Option<&Machine>,
    reservation: &str,
) -> Result<Option<Machine>> {
    let id = instance.instance_id().unwrap_or_default();
    let subnet = instance.subnet_id().unwrap_or_default();
    let Some(subnet_cidr) = view.subnets.get(subnet).copied() else { return Ok(None) };
    let tags = instance
        .tags()
        .iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
        .collect();
    if let Some(known) = known {
        return Ok(Some(Machine { tags, ..known.clone() }));
    }
    let Some(address) = instance.private_ip_address().and_then(|address| address.parse().ok()) else { return Ok(None) };
    let (volume, root_gib) = root_volume(clients, images, instance).await?;
    let interface = instance.network_interfaces().first().and_then(|interface| interface.network_interface_id());
    let groups = instance
        .security_groups()
        .iter()
        .filter_map(|group| Some((group.group_id()?.to_owned(), group.group_name()?.to_owned())))
        .collect();
    Ok(Some(Machine {
        id: id.to_owned(),
        ami: instance.image_id().unwrap_or_default().to_owned(),
        instance_type: instance.instance_type().map_or("t3.small", |kind| kind.as_str()).to_owned(),
        address,
        mac: Machine::mac_of(address),
        zone: instance.placement().and_then(|placement| placement.availability_zone()).unwrap_or_default().to_owned(),
        subnet: subnet.to_owned(),
        subnet_cidr,
        vpc: instance.vpc_id().unwrap_or_default().to_owned(),
        interface: interface.unwrap_or_default().to_owned(),
        groups,
        profile: profile(clients, instance).await?,
        tags,
        public_key: public_key(clients, instance.key_name()).await?,
        user_data: user_data(clients, instance).await?,
        volume,
        root_gib,
        terminates_on_shutdown: shutdown_terminates(clients, id).await?,
        launched: instance.launch_time().map(ToString::to_string).unwrap_or_default(),
        reservation: reservation.to_owned(),
    }))
}

/// The volume at the image's root device, or the largest at one of the usual names.
async fn root_volume(clients: &Clients, images: &Images, instance: &Instance) -> Result<(String, u64)> {
    let id = instance.instance_id().unwrap_or_default();
    let found = clients
        .ec2
        .describe_volumes()
        .filters(Filter::builder().name("attachment.instance-id").values(id).build())
        .send()
        .await
        .map_err(|error| AwsError::new("DescribeVolumes", error))?;
    let image = images.by_ami(instance.image_id().unwrap_or_default());
    let root_name = image.map_or("/dev/xvda", |image| image.root_device_name.as_str());
    let mut candidates: Vec<(bool, u64, &str)> = found
        .volumes()
        .iter()
        .filter_map(|volume| {
            let device =
                volume.attachments().iter().find(|attachment| attachment.instance_id() == Some(id))?.device()?;
            let size = u64::try_from(volume.size().unwrap_or(0)).unwrap_or(0);
            let usual = ["/dev/xvda", "/dev/sda1"].contains(&device);
            (usual || device == root_name).then_some((device == root_name, size, volume.volume_id()?))
        })
        .collect();
    candidates.sort_unstable();
    let least = image.map_or(1, |image| image.gib);
    Ok(match candidates.last() {
        Some((_, size, volume)) => ((*volume).to_owned(), (*size).max(least)),
        None => (format!("vol-{}", id.trim_start_matches("i-")), DEFAULT_ROOT_GIB.max(least)),
    })
}

/// The ARN of the instance's profile. The emulator's Auto Scaling groups forget the one in the launch template, so it is
/// read from there and associated.
async fn profile(clients: &Clients, instance: &Instance) -> Result<Option<String>> {
    if let Some(arn) = instance.iam_instance_profile().and_then(|profile| profile.arn()) {
        return Ok(Some(arn.to_owned()));
    }
    let data = template_data(clients, instance).await?;
    let profile = data.as_ref().and_then(|data| data.iam_instance_profile());
    let Some(name) = profile.and_then(|profile| profile.name()) else { return Ok(None) };
    let specification = IamInstanceProfileSpecification::builder().name(name).build();
    let associate = clients.ec2.associate_iam_instance_profile().iam_instance_profile(specification);
    let made = associate.instance_id(instance.instance_id().unwrap_or_default()).send().await;
    let made = made.map_err(|error| AwsError::new("AssociateIamInstanceProfile", error))?;
    Ok(made.iam_instance_profile_association().and_then(|made| made.iam_instance_profile()?.arn()).map(str::to_owned))
}

async fn public_key(clients: &Clients, name: Option<&str>) -> Result<Option<String>> {
    let Some(name) = name else { return Ok(None) };
    let found = clients.ec2.describe_key_pairs().key_names(name).include_public_key(true).send().await;
    let found = found.map_err(|error| AwsError::new("DescribeKeyPairs", error))?;
    Ok(found.key_pairs().first().and_then(|pair| pair.public_key()).map(|key| key.trim().to_owned()))
}

/// What is in the version of the launch template that an instance was started from. The emulator tags a group's
/// instances with the template's default version whatever the group names, so the group is asked.
async fn template_data(clients: &Clients, instance: &Instance) -> Result<Option<ResponseLaunchTemplateData>> {
    let tag = |key: &str| instance.tags().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value());
    let (Some(template), Some(tagged)) = (tag("aws:ec2launchtemplate:id"), tag("aws:ec2launchtemplate:version")) else {
        return Ok(None);
    };
    let of_group = match tag(GROUP_TAG) {
        Some(group) => group_version(clients, group).await?,
        None => None,
    };
    let version = of_group.unwrap_or_else(|| tagged.to_owned());
    let found =
        clients.ec2.describe_launch_template_versions().launch_template_id(template).versions(version).send().await;
    let found = found.map_err(|error| AwsError::new("DescribeLaunchTemplateVersions", error))?;
    Ok(found.launch_template_versions().first().and_then(|version| version.launch_template_data()).cloned())
}

/// The version of the launch template that a group starts instances from now.
async fn group_version(clients: &Clients, group: &str) -> Result<Option<String>> {
    let found = clients.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(group).send().await;
    let found = found.map_err(|error| AwsError::new("DescribeAutoScalingGroups", error))?;
    let Some(group) = found.auto_scaling_groups().first() else { return Ok(None) };
    let mixed =
        group.mixed_instances_policy().and_then(|policy| policy.launch_template()?.launch_template_specification());
    Ok(group.launch_template().or(mixed).and_then(|template| template.version()).map(str::to_owned))
}

/// The instance's own, or that of its template's version, where the emulator has lost it.
async fn user_data(clients: &Clients, instance: &Instance) -> Result<Vec<u8>> {
    let id = instance.instance_id().unwrap_or_default();
    let answer = clients
        .ec2
        .describe_instance_attribute()
        .instance_id(id)
        .attribute(InstanceAttributeName::UserData)
        .send()
        .await
        .map_err(|error| AwsError::new("DescribeInstanceAttribute", error))?;
    let own = answer.user_data().and_then(|value| value.value()).unwrap_or_default();
    let mut text: String = own.split_whitespace().collect();
    if text.is_empty() {
        let data = template_data(clients, instance).await?;
        text = data.and_then(|data| data.user_data).unwrap_or_default().split_whitespace().collect();
    }
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|error| Error::Config(format!("the user data of {id} is not valid base64: {error}")))
}

async fn shutdown_terminates(clients: &Clients, id: &str) -> Result<bool> {
    let answer = clients
        .ec2
        .describe_instance_attribute()
        .instance_id(id)
        .attribute(InstanceAttributeName::InstanceInitiatedShutdownBehavior)
        .send()
        .await
        .map_err(|error| AwsError::new("DescribeInstanceAttribute", error))?;
    let behaviour = answer.instance_initiated_shutdown_behavior().and_then(|value| value.value());
    Ok(behaviour == Some("terminate"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A running instance.
    pub(crate) fn machine(id: &str, address: &str) -> Machine {
        let address = address.parse().unwrap();
        Machine {
            id: id.to_owned(),
            ami: "ami-1".to_owned(),
            instance_type: "t3.small".to_owned(),
            address,
            mac: Machine::mac_of(address),
            zone: "eu-west-1a".to_owned(),
            subnet: "subnet-1".to_owned(),
            subnet_cidr: Ipv4Net::new(address, 20).unwrap().trunc(),
            vpc: "vpc-1".to_owned(),
            interface: "eni-1".to_owned(),
            groups: Vec::new(),
            profile: None,
            tags: BTreeMap::new(),
            public_key: None,
            user_data: Vec::new(),
            volume: "vol-1".to_owned(),
            root_gib: 8,
            terminates_on_shutdown: true,
            launched: "2026-01-01T00:00:00Z".to_owned(),
            reservation: "r-1".to_owned(),
        }
    }

    #[test]
    fn machines_of_two_clusters_with_the_same_last_octets_share_nothing() {
        let (one, other) = (machine("i-0123456789abcdef0", "10.42.0.9"), machine("i-0123456789abcdef1", "10.43.0.9"));
        assert_ne!(one.tap(), other.tap());
        assert_ne!(one.mac, other.mac);
    }

    #[test]
    fn a_machine_that_is_shutting_down_keeps_its_address() {
        let (old, new) = (machine("i-1", "10.42.0.9"), machine("i-2", "10.42.0.9"));
        let mut view = View::default();
        view.running.insert(new.id.clone(), new);
        view.ending.insert(old.id.clone(), old);
        let of = |view: &View| view.by_address("10.42.0.9".parse().unwrap()).map(|machine| machine.id.clone());
        assert_eq!(of(&view).as_deref(), Some("i-1"));
        view.ending.clear();
        assert_eq!(of(&view).as_deref(), Some("i-2"));
    }
}
