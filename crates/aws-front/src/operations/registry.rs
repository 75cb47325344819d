//! The table of the calls that are not simply passed on: (service, operation) → who handles it, and how. The documentation prints
//! it (`docs/local-cloud.md`).

use std::pin::Pin;

use futuswarm_local_api::faults::Caller;
use http::Response;

use super::request::{OperationRequest, Outcome};
use super::{Operations, balancer_again, balancer_tags, records};
use crate::server::Body;
use crate::service::Service;

/// What the front does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// The emulator is not asked.
    Answers,
    /// The emulator answers, and the front completes what it says.
    Completes,
    /// The emulator gets another call, or several.
    Rewrites,
    /// What AWS would refuse is refused; everything else goes on.
    Refuses,
}

impl Manner {
    /// The word of the documentation.
    fn word(self) -> &'static str {
        match self {
            Self::Answers => "answers alone",
            Self::Completes => "completes the emulator's answer",
            Self::Rewrites => "makes other calls of it",
            Self::Refuses => "refuses",
        }
    }
}

/// An answer that may be `None`: then the next handler is asked, and after the last one the call goes on as it came.
type Answering<'a> = Pin<Box<dyn Future<Output = Outcome<Option<Response<Body>>>> + Send + 'a>>;

/// How a handler gets at its call.
pub enum Handler {
    /// A call of a service with small bodies.
    Call(for<'a> fn(&'a Operations, &'a OperationRequest<'a>) -> Answering<'a>),
    /// An operation of S3, whose bodies stream: see `Operations::completes_s3`.
    S3,
    /// The EBS direct APIs: see `ebs.rs`.
    Ebs,
}

/// A row of the table.
pub struct Entry {
    /// The service, by its signing name.
    pub service: Service,
    /// Its operations, as the AWS documentation names them.
    pub actions: &'static [&'static str],
    /// Whether calls of nodes go on as they came: whether they may is for the emulator to decide, and ours never may.
    pub owner_only: bool,
    /// What is done.
    pub manner: Manner,
    /// What for, in the documentation's words.
    pub purpose: &'static str,
    /// Who does it.
    pub handler: Handler,
}

/// An entry for everybody's calls.
macro_rules! entry {
    ($service:ident $actions:expr, $manner:ident, $purpose:literal, |$operations:ident, $asked:ident| $answer:expr) => {
        Entry {
            service: Service::$service,
            actions: &$actions,
            owner_only: false,
            manner: Manner::$manner,
            purpose: $purpose,
            handler: Handler::Call(|$operations, $asked| Box::pin($answer)),
        }
    };
}

/// An entry for calls of the owner only.
macro_rules! owner {
    ($($entry:tt)*) => { Entry { owner_only: true, ..entry!($($entry)*) } };
}

/// Calls of Elastic Load Balancing that may name certificates.
const WITH_CERTIFICATES: [&str; 6] = [
    "AddListenerCertificates",
    "CreateListener",
    "CreateLoadBalancer",
    "CreateLoadBalancerListeners",
    "ModifyListener",
    "SetLoadBalancerListenerSSLCertificate",
];
/// Calls of Elastic Load Balancing that have tags.
const WITH_TAGS: [&str; 6] =
    ["AddTags", "CreateListener", "CreateLoadBalancer", "CreateRule", "CreateTargetGroup", "CreateTrustStore"];

/// The table. Of several entries for an operation the first that has an answer gives it.
pub static REGISTRY: [Entry; 41] = [
    entry!(
        Acm["DeleteCertificate"],
        Completes,
        "counts deletions, for tokens of requests that come later",
        |operations, asked| operations.certificates.delete(asked)
    ),
    entry!(Acm ["DescribeCertificate", "ListCertificates"], Completes,
    "issued when the validation records stand in a public zone, and not when some time is over",
    |operations, asked| async move {
        match asked.call.action.as_str() {
            "ListCertificates" => operations.certificates.list(asked).await,
            _ => operations.certificates.describe(asked).await,
        }
    }),
    entry!(Acm["GetCertificate"], Refuses, "one that is not issued", |operations, asked| operations
        .certificates
        .get(asked)),
    entry!(
        Acm["RequestCertificate"],
        Rewrites,
        "a token whose certificate was deleted is another wish",
        |operations, asked| operations.certificates.request(asked)
    ),
    entry!(
        AutoScaling["CompleteLifecycleAction"],
        Answers,
        "an instance waits for its hooks before it is terminated",
        |operations, asked| operations.zones.lifecycle.complete(asked)
    ),
    entry!(AutoScaling["RecordLifecycleActionHeartbeat"], Answers, "prolongs a hook", |operations, asked| operations
        .zones
        .lifecycle
        .heartbeat(asked)),
    entry!(
        AutoScaling["DescribeLifecycleHooks"],
        Completes,
        "without what the emulator invents",
        |operations, asked| operations.zones.lifecycle.describe_hooks(asked)
    ),
    entry!(
        AutoScaling["DescribeAutoScalingGroups"],
        Completes,
        "with instances that wait for their hooks",
        |operations, asked| operations.zones.lifecycle.describe_groups(asked)
    ),
    entry!(
        AutoScaling["DescribeAutoScalingInstances"],
        Completes,
        "with instances that wait for their hooks",
        |operations, asked| operations.zones.lifecycle.describe_instances(asked)
    ),
    owner!(
        AutoScaling["CreateAutoScalingGroup"],
        Rewrites,
        "instances are spread over the zones, and hooks come with the group",
        |operations, asked| operations.zones.create(asked)
    ),
    owner!(
        AutoScaling["UpdateAutoScalingGroup"],
        Rewrites,
        "instances are spread over the zones, and the policy stays",
        |operations, asked| operations.zones.update(asked)
    ),
    owner!(AutoScaling["SetDesiredCapacity"], Rewrites, "instances are spread over the zones", |operations, asked| {
        operations.zones.resize(asked)
    }),
    entry!(
        AutoScaling["TerminateInstanceInAutoScalingGroup"],
        Rewrites,
        "after its hooks; the replacement goes where it belongs",
        |operations, asked| operations.zones.terminate_in_group(asked)
    ),
    Entry {
        service: Service::Ebs,
        actions: &[
            "CompleteSnapshot",
            "GetSnapshotBlock",
            "ListChangedBlocks",
            "ListSnapshotBlocks",
            "PutSnapshotBlock",
            "StartSnapshot",
        ],
        owner_only: true,
        manner: Manner::Answers,
        purpose: "blocks go to a sparse file, from which machines boot",
        handler: Handler::Ebs,
    },
    entry!(Ec2["DescribeImages"], Completes, "with what the image was registered with", |operations, asked| operations
        .images
        .describe(asked)),
    entry!(
        Ec2["DescribeSnapshots"],
        Completes,
        "with states and progress, without the emulator's own",
        |operations, asked| operations.images.describe_snapshots(asked)
    ),
    entry!(Ec2["GetConsoleOutput"], Completes, "with the machine's own console", |operations, asked| operations
        .images
        .console(asked)),
    owner!(Ec2["RegisterImage"], Completes, "over a snapshot that is complete, with its tags", |operations, asked| {
        operations.images.register(asked)
    }),
    owner!(Ec2["CopyImage"], Completes, "with its snapshot and tags", |operations, asked| operations
        .images
        .copy(asked)),
    owner!(Ec2["DeregisterImage"], Completes, "it is no longer known here", |operations, asked| operations
        .images
        .deregister(asked)),
    owner!(
        Ec2["DeleteSnapshot"],
        Refuses,
        "one that an image is made of; the file goes with the snapshot",
        |operations, asked| operations.images.delete_snapshot(asked)
    ),
    entry!(
        Ec2["DescribeLaunchTemplateVersions"],
        Completes,
        "with the user data of versions that were added",
        |operations, asked| operations.templates.describe(asked)
    ),
    entry!(
        Ec2["CreateLaunchTemplateVersion"],
        Rewrites,
        "the emulator starts nothing from a version with user data",
        |operations, asked| operations.templates.add(asked)
    ),
    entry!(Ec2["RebootInstances"], Completes, "the machines start again", |operations, asked| operations
        .reboots
        .reboot(asked)),
    owner!(Ec2["ModifyVpcEndpoint"], Completes, "routes come and go with route tables", |operations, asked| operations
        .endpoint_routes
        .modify(asked)),
    owner!(Ec2 ["GetEbsDefaultKmsKeyId", "ModifyEbsDefaultKmsKeyId", "ResetEbsDefaultKmsKeyId"], Answers,
        "the key of volumes for which nobody names another",
        |operations, asked| std::future::ready(operations.ebs_keys.answer(asked))),
    owner!(
        Ec2["TerminateInstances"],
        Rewrites,
        "replacements of a group's instances go where they belong",
        |operations, asked| operations.zones.terminate(asked)
    ),
    entry!(ElasticLoadBalancing WITH_TAGS, Refuses, "tags that are longer or more than AWS takes",
    |_operations, asked| std::future::ready(
        Ok(balancer_tags::refusal(asked.call).map(|refusal| asked.refuse(&refusal)))
    )),
    entry!(ElasticLoadBalancing ["CreateLoadBalancer", "CreateListener"], Answers, "one that is there already",
        |_operations, asked| balancer_again::answer(asked)),
    entry!(ElasticLoadBalancing WITH_CERTIFICATES, Refuses, "a certificate that is not issued",
        |operations, asked| operations.certificates.listener(asked)),
    entry!(ElasticLoadBalancing ["CreateLoadBalancer", "CreateLoadBalancerListeners"], Completes,
        "of classic ones the protocol to instances is kept here",
        |operations, asked| operations.classic.create(asked)),
    entry!(
        ElasticLoadBalancing["DescribeLoadBalancers"],
        Completes,
        "classic ones with protocols, default policies and their hosted zone",
        |operations, asked| operations.classic.describe(asked)
    ),
    entry!(Rds ["CreateDBInstance", "RestoreDBInstanceFromDBSnapshot"], Rewrites,
    "with defaults that the emulator lacks; available when a server accepts connections",
    |operations, asked| async move {
        match asked.call.action.as_str() {
            "CreateDBInstance" => operations.databases.create(asked).await,
            _ => operations.databases.restore(asked).await,
        }
    }),
    entry!(
        Rds["ModifyDBInstance"],
        Rewrites,
        "passwords are those of the server; nothing is renamed",
        |operations, asked| operations.databases.modify(asked)
    ),
    entry!(Rds["CreateDBSnapshot"], Refuses, "a snapshot of a server that runs", |operations, asked| operations
        .databases
        .create_snapshot(asked)),
    entry!(
        Rds["DeleteDBInstance"],
        Refuses,
        "one whose last snapshot is neither named nor declined",
        |operations, asked| operations.databases.delete(asked)
    ),
    entry!(Rds ["DeleteDBSnapshot", "DescribeDBInstances"], Completes,
    "an instance is available, and has an endpoint, when a server accepts connections; files go with a snapshot",
    |operations, asked| async move {
        match asked.call.action.as_str() {
            "DescribeDBInstances" => operations.databases.describe(asked).await,
            _ => operations.databases.delete_snapshot(asked).await,
        }
    }),
    entry!(Route53 ["ChangeResourceRecordSets", "ListResourceRecordSets"], Rewrites,
    "a star in a name is written as its code; what is deleted must be there",
    |_operations, asked| async move {
        match asked.call.action.as_str() {
            "ListResourceRecordSets" => records::list(asked).await,
            _ => records::change(asked).await,
        }
    }),
    Entry {
        service: Service::S3,
        actions: &["GetBucketVersioning"],
        owner_only: false,
        manner: Manner::Completes,
        purpose: "the root element has the name that SDKs look for",
        handler: Handler::S3,
    },
    entry!(
        SecretsManager["GetSecretValue"],
        Completes,
        "the password that a database's server really has",
        |operations, asked| operations.databases.secret(asked)
    ),
    entry!(Quotas ["GetAWSDefaultServiceQuota", "GetServiceQuota", "RequestServiceQuotaIncrease"], Answers,
    "the quotas that a cluster needs; what is asked for is granted at once",
    |operations, asked| async move {
        if asked.caller == Caller::Owner { operations.quotas.answer(asked) } else { Ok(None) }
    }),
];

/// The handlers of an operation, in their order.
pub fn handlers(service: &Service, action: &str) -> impl Iterator<Item = &'static Entry> {
    REGISTRY.iter().filter(move |entry| entry.service == *service && entry.actions.contains(&action))
}

impl Operations {
    /// The answer to a call that is not simply passed on.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn answer(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        for entry in handlers(&asked.call.service, &asked.call.action) {
            if entry.owner_only && asked.caller != Caller::Owner {
                continue;
            }
            let Handler::Call(handler) = &entry.handler else { continue };
            if let Some(answer) = handler(self, asked).await? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }
}

/// The table as the documentation shows it, in Markdown.
pub fn table() -> String {
    let mut table = "| service | operations | the front | |\n|---|---|---|---|\n".to_owned();
    for entry in &REGISTRY {
        let actions: Vec<String> = entry.actions.iter().map(|action| format!("`{action}`")).collect();
        let manner = entry.manner.word();
        table += &format!("| `{}` | {} | {manner} | {} |\n", entry.service.name(), actions.join(", "), entry.purpose);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_documentation_shows_the_table() {
        let document = include_str!("../../../../docs/local-cloud.md");
        assert!(document.contains(&table()), "docs/local-cloud.md lacks this table:\n{}", table());
    }

    #[test]
    fn services_are_in_order_and_no_operation_is_twice_in_an_entry() {
        let services: Vec<&str> = REGISTRY.iter().map(|entry| entry.service.name()).collect();
        assert!(services.is_sorted(), "{services:?}");
        for entry in &REGISTRY {
            let names: BTreeSet<&str> = entry.actions.iter().copied().collect();
            assert_eq!(names.len(), entry.actions.len(), "{:?}", entry.actions);
            let by_call = matches!(entry.handler, Handler::Call(_));
            assert_eq!(by_call, entry.service.has_small_bodies(), "{:?}", entry.actions);
        }
    }

    #[test]
    fn an_operation_has_its_handlers_in_order() {
        let of = |service, action| handlers(&service, action).map(|entry| entry.manner).collect::<Vec<_>>();
        use Manner::{Answers, Completes, Refuses, Rewrites};
        let created = of(Service::ElasticLoadBalancing, "CreateLoadBalancer");
        assert_eq!(created, [Refuses, Answers, Refuses, Completes]);
        assert_eq!(of(Service::AutoScaling, "SetDesiredCapacity"), [Rewrites]);
        assert_eq!(of(Service::Ec2, "SetDesiredCapacity"), []);
        assert_eq!(of(Service::Other("dynamodb".to_owned()), "ListTables"), []);
    }
}
