//! What a run says to people: changes as they happen, the plan with its differences, and the table of nodes.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futuswarm_converge::{Action, Change, Event, Key, Report};

use crate::field::Field;
use crate::status::Status;

/// A change that takes longer says that it goes on.
const LONG: Duration = Duration::from_secs(15);

/// Draws a run on standard error: spinners on a terminal, a line per change elsewhere.
pub struct Progress {
    bars: indicatif::MultiProgress,
    running: Mutex<Vec<(String, indicatif::ProgressBar, Instant)>>,
    plans: bool,
    write: fn(&str),
}

impl Progress {
    /// Progress that writes its lines with `write`; in a plan changes are shown at the end, with their differences.
    #[must_use]
    pub fn new(plans: bool, write: fn(&str)) -> Self {
        let target = match std::io::stderr().is_terminal() {
            true => indicatif::ProgressDrawTarget::stderr(),
            false => indicatif::ProgressDrawTarget::hidden(),
        };
        Self { bars: indicatif::MultiProgress::with_draw_target(target), running: Mutex::default(), plans, write }
    }

    fn line(&self, text: &str) {
        // A bar that is drawn would be torn by a line beside it.
        self.bars.suspend(|| (self.write)(text));
    }

    /// Shows what has happened.
    pub fn show(&self, event: Event<'_>) {
        let mut running = self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            Event::Note(_) => {}
            Event::Started(_) | Event::Finished(..) | Event::Failed(_) if self.plans => {}
            Event::Started(change) => {
                let bar = self.bars.add(indicatif::ProgressBar::new_spinner());
                bar.set_message(change.to_string());
                bar.enable_steady_tick(Duration::from_millis(120));
                running.push((change.component.clone(), bar, Instant::now()));
            }
            Event::Finished(change, took) => {
                finish(&mut running, change);
                let seconds = if took >= Duration::from_secs(1) {
                    format!(" ({:.0} s)", took.as_secs_f64())
                } else {
                    String::new()
                };
                self.line(&format!("  {change}{seconds}"));
            }
            Event::Failed(change) => {
                finish(&mut running, change);
                self.line(&format!("  ! {} {} failed", change.kind, change.name));
            }
        }
        // Where no spinner can be seen, long work is mentioned whenever something else happens.
        if !std::io::stderr().is_terminal() {
            for (component, _, since) in running.iter_mut().filter(|(_, _, since)| since.elapsed() > LONG) {
                self.line(&format!("    {component} is still being worked on"));
                *since = Instant::now();
            }
        }
    }
}

fn finish(running: &mut Vec<(String, indicatif::ProgressBar, Instant)>, change: &Change) {
    running.retain(|(component, bar, _)| {
        if *component == change.component {
            bar.finish_and_clear();
        }
        *component != change.component
    });
}

/// The plan, with every difference of what exists, and a line that counts.
#[must_use]
pub fn plan(report: &Report) -> String {
    let mut text = String::new();
    let mut changes: Vec<&Change> = report.changes.iter().collect();
    changes.sort_by_key(|change| change.action);
    for change in changes {
        let _infallible = writeln!(text, "  {change}");
        if change.action == Action::Update {
            for difference in &change.differences {
                let _infallible = writeln!(text, "      {difference}");
            }
        }
    }
    let count = |action| report.count(action);
    let _infallible = writeln!(
        text,
        "{} to create, {} to change, {} to delete",
        count(Action::Create),
        count(Action::Update),
        count(Action::Delete)
    );
    text
}

/// What somebody has to know or do.
#[must_use]
pub fn notes(report: &Report) -> String {
    report.notes.iter().map(|note| format!("note: {note}\n")).collect()
}

/// All nodes in a line.
#[must_use]
pub fn summary(observed: &Status, page: bool) -> String {
    let mut states: Vec<String> = observed.nodes.iter().map(|node| format!("{} {}", node.role, node.state)).collect();
    states.sort();
    format!("{}; page {}", states.join(", "), if page { "answers" } else { "not yet" })
}

/// What somebody has to do so that people reach the managers.
#[must_use]
pub fn ssh_records(observed: &Status) -> String {
    match observed.ssh_records.is_empty() {
        true => String::new(),
        false => format!(
            "\nno hosted zone of this account serves {}: make these records where its DNS is, with a TTL of 30 s, and again when a manager is replaced\n    {}\n",
            observed.ssh.trim_end_matches(":22"),
            observed.ssh_records.join("\n    ")
        ),
    }
}

/// All nodes, one a line.
#[must_use]
pub fn table(observed: &Status) -> String {
    let mut text =
        format!("{:<20} {:<8} {:<9} {:<15} {:<12} {:>7}\n", "INSTANCE", "ROLE", "STATE", "ADDRESS", "ZONE", "JOINED");
    for node in &observed.nodes {
        let state = match node.state.as_str() {
            // A member of the Swarm whose edge still lacks routes.
            "ready" if !node.serves => "joined",
            "ready" if !node.ready => "silent",
            state => state,
        };
        let joined = node.joined_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0} s"));
        let _infallible = writeln!(
            text,
            "{:<20} {:<8} {:<9} {:<15} {:<12} {joined:>7}",
            node.instance,
            node.role.to_string(),
            state,
            node.address,
            node.zone
        );
        if let Some(reason) = &node.reason {
            let _infallible = writeln!(text, "  {reason}");
        }
    }
    for refusal in &observed.not_served {
        let _infallible = writeln!(text, "not served: {}: {}", refusal.service, refusal.reason);
    }
    text
}

impl Key for Field {
    fn name(&self) -> Cow<'static, str> {
        let name = match self {
            Self::Tag(key) => return format!("tag {key}").into(),
            Self::Route(destination) => return format!("route {destination}").into(),
            Self::Subnet(id) => return format!("subnet {id}").into(),
            Self::RouteTable(id) => return format!("route table {id}").into(),
            Self::Policy(name) => return format!("policy {name}").into(),
            Self::Expiry(rule) => return format!("expiry {rule}").into(),
            Self::Listener(port) => return format!("listener {port}").into(),
            Self::Program(word) => return (*word).into(),
            Self::Rule(text) | Self::SpecValue(text) | Self::DnsName(text) => return text.clone().into(),
            Self::Fingerprint(tag) => tag,
            Self::Action => "action",
            Self::Attachment => "behind",
            Self::AttachedTo => "attached to",
            Self::AttributeDropInvalidHeaders => "routing.http.drop_invalid_header_fields.enabled",
            Self::AttributeIdleTimeout => "idle_timeout.timeout_seconds",
            Self::Backups => "backups",
            Self::BucketPolicy => "policy",
            Self::Certificate => "certificate",
            Self::Cidr => "CIDR",
            Self::Class => "class",
            Self::CrossZone => "across zones",
            Self::DeletionProtection => "deletion protection",
            Self::DnsHostnames => "futuswarm:dns-hostnames",
            Self::Encrypted => "encrypted",
            Self::Encryption => "encryption",
            Self::Engine => "engine",
            Self::FurtherCertificates => "further certificates",
            Self::HealthCheck => "health check",
            Self::IdleTimeout => "idle timeout",
            Self::Image => "image",
            Self::InstanceTags => "tags",
            Self::InstanceType => "instance type",
            Self::InstanceTypes => "instance types",
            Self::KeyPair => "key pair",
            Self::Ldap => "LDAP",
            Self::MaxSize => "most",
            Self::Metadata => "metadata",
            Self::MinSize => "fewest",
            Self::Names => "names",
            Self::Nodes => "nodes",
            Self::OpenRule => "open domain",
            Self::PeerRole => "role there",
            Self::PeerRoutes => "routes there",
            Self::Port => "port",
            Self::Profile => "profile",
            Self::Public => "public",
            Self::PublicAccess => "public access",
            Self::PublicAddresses => "public addresses",
            Self::PublicKey => "public key",
            Self::Role => "role",
            Self::RootVolume => "root volume",
            Self::Rotation => "rotation",
            Self::S3Endpoint => "futuswarm:s3-endpoint",
            Self::ScaleInProtection => "managers are kept",
            Self::Scheme => "scheme",
            Self::SecondZone => "second zone",
            Self::SecurityGroup => "security group",
            Self::Shutdown => "shutdown",
            Self::SpecTags => "spec's tags",
            Self::Spot => "spare capacity",
            Self::State => "state",
            Self::Storage => "storage",
            Self::Subnets => "subnets",
            Self::Swarm => "Swarm",
            Self::Template => "template",
            Self::TerminationHook => "hook at the end",
            Self::Tls => "TLS",
            Self::Trust => "trust",
            Self::UserData => "user data",
            Self::Versioning => "versioning",
            Self::Vpc => "VPC",
            Self::Zone => "zone",
        };
        name.into()
    }

    fn label(&self) -> Cow<'static, str> {
        match self {
            Self::Attachment => "load balancer".into(),
            Self::MaxSize => "max".into(),
            Self::MinSize => "min".into(),
            Self::ScaleInProtection => "scale-in protection".into(),
            Self::Spot => "spot".into(),
            Self::TerminationHook => "termination hook".into(),
            _ => self.name(),
        }
    }

    fn of_tag(name: &str) -> Self {
        Self::Tag(name.to_owned())
    }

    fn is_tag(&self) -> bool {
        matches!(self, Self::Tag(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futuswarm_converge::Difference;

    fn change(action: Action, kind: &'static str, name: &str, differences: Vec<Difference>) -> Change {
        Change { action, kind, name: name.to_owned(), component: name.to_owned(), differences }
    }

    #[test]
    fn a_plan_shows_what_changes_in_what_exists() {
        let difference = |field: &str, from: Option<&str>, to: Option<&str>| Difference {
            field: field.to_owned(),
            label: field.to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        let report = Report {
            changes: vec![
                change(Action::Delete, "Auto Scaling group", "futuswarm-prod-old", Vec::new()),
                change(
                    Action::Create,
                    "subnet",
                    "futuswarm-prod-public-eu-west-1c",
                    vec![difference("zone", None, Some("c"))],
                ),
                change(
                    Action::Update,
                    "bucket",
                    "futuswarm-prod-1",
                    vec![
                        difference("versioning", Some("off"), Some("Enabled")),
                        difference("policy", None, Some("TLS")),
                    ],
                ),
            ],
            notes: vec!["make a record".to_owned()],
        };
        insta::assert_snapshot!(format!("{}{}", plan(&report), notes(&report)));
    }
}
