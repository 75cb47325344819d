//! Every key of a spec with its type, its default and what may stand there; `clusters/example.toml` is its other half.

mod login;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::instance_type::{Architecture, is_instance_type};
use crate::reader::Table;
use crate::{
    BalancerKind, Group, ImportSource, Ldap, LoadBalancer, Local, Login, Network, Peering, PlainHttp, Rds, Retention,
    Role, Spec, Ssh, Swarm,
};

/// EC2's smallest root volume that holds the image and leaves room for containers, in GiB.
const LEAST_DISK_GIB: i64 = 4;
/// A zone's subnet has this many bits more than the VPC: sixteen of them fit.
const SUBNET_BITS: u8 = 4;
/// Eight of the sixteen are public. No region has more than six zones.
const ZONES: usize = 8;
/// EC2's smallest subnet.
pub(crate) const LONGEST_SUBNET_PREFIX: u8 = 28;

/// What could be read; a part that has a problem is absent, so that the others are still checked.
pub(crate) struct Draft {
    pub(crate) cluster: Option<String>,
    pub(crate) account: Option<Option<String>>,
    pub(crate) region: Option<String>,
    pub(crate) domain: Option<String>,
    pub(crate) open_domain: Option<Option<String>>,
    pub(crate) network: Option<Network>,
    pub(crate) swarm: Option<Swarm>,
    pub(crate) ssh: Option<Ssh>,
    pub(crate) groups: Option<std::collections::BTreeMap<String, Group>>,
    pub(crate) load_balancer: Option<LoadBalancer>,
    pub(crate) login: Option<Option<Login>>,
    pub(crate) rds: Option<Option<Rds>>,
    pub(crate) ldap: Option<Option<Ldap>>,
    pub(crate) peering: Option<std::collections::BTreeMap<String, Peering>>,
    pub(crate) import: Option<Option<ImportSource>>,
    pub(crate) retention: Option<Retention>,
    pub(crate) tags: Option<std::collections::BTreeMap<String, String>>,
    pub(crate) local: Option<Local>,
}

impl Draft {
    /// The spec, when nothing is missing.
    pub(crate) fn whole(self) -> Option<Spec> {
        Some(Spec {
            cluster: self.cluster?,
            account: self.account?,
            region: self.region?,
            domain: self.domain?,
            open_domain: self.open_domain?,
            network: self.network?,
            swarm: self.swarm?,
            ssh: self.ssh?,
            groups: self.groups?,
            load_balancer: self.load_balancer?,
            login: self.login?,
            rds: self.rds?,
            ldap: self.ldap?,
            peering: self.peering?,
            import: self.import?,
            retention: self.retention?,
            tags: self.tags?,
            local: self.local?,
        })
    }
}

pub(crate) fn draft(root: &mut Table) -> Draft {
    let cluster = root.string("cluster", None, |name| {
        let good = (2..=24).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && !name.ends_with('-')
            && !name.contains("--")
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        good.then_some(()).ok_or("2 to 24 lower-case letters, digits and single hyphens, a letter first")
    });
    let account = root.optional("account", account_id);
    let region = root.string("region", None, region);
    let domain = root.string("domain", None, domain);
    let open_domain = root.optional("open_domain", self::domain);
    let zones = region.clone().unwrap_or_default();
    let network = root.table("network", |table| network(table, &zones));
    let swarm = root.table("swarm", |table| {
        let pool = table.network("address_pool", Some(Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 0, 0), 9)));
        let mask = table.integer("address_pool_mask", Some(24), 8..=29);
        let bridges = table.network("bridge_pool", Some(Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 128, 0), 17)));
        Some(Swarm { address_pool: pool?, address_pool_mask: u8::try_from(mask?).ok()?, bridge_pool: bridges? })
    });
    let ssh = root.table("ssh", |table| {
        let allowed = table.networks("allowed_cidrs", &[]);
        let key = table.optional("public_key", crate::ssh_key::check);
        Some(Ssh { allowed_cidrs: allowed?, public_key: key? })
    });
    let all_zones = network.as_ref().map(|network| network.zones.clone()).unwrap_or_default();
    let groups = root.tables("groups", true, "groups.workers", |_, table| group(table, &all_zones));
    let load_balancer = root.table("load_balancer", load_balancer);
    let login = root.optional_table("login", login::login);
    let rds = root.optional_table("rds", rds);
    let ldap = root.optional_table("ldap", |table| {
        let uri = table.string("uri", None, |uri| {
            let host = uri.strip_prefix("ldaps://").or_else(|| uri.strip_prefix("ldap://"));
            host.is_some_and(|host| !host.is_empty())
                .then_some(())
                .ok_or("an address such as \"ldaps://ldap.example.com\"")
        });
        let base_dn = table.string("base_dn", None, |name| {
            name.contains('=').then_some(()).ok_or("a distinguished name such as \"dc=example,dc=com\"")
        });
        Some(Ldap { uri: uri?, base_dn: base_dn? })
    });
    let peering = root.tables("peering", false, "peering.office", |_, table| peering(table));
    let import = root.optional_table("import", import);
    let retention = root.table("retention", |table| {
        let versions = table.integer("versions_days", Some(90), 1..=3650);
        let backup = table.integer("backup_days", Some(30), 1..=3650);
        let audit = table.integer("audit_days", Some(365), 1..=3650);
        Some(Retention { versions_days: small(versions)?, backup_days: small(backup)?, audit_days: small(audit)? })
    });
    let tags = root.map("tags");
    let local = root.table("local", local);
    Draft {
        cluster,
        account,
        region,
        domain,
        open_domain,
        network,
        swarm,
        ssh,
        groups,
        load_balancer,
        login,
        rds,
        ldap,
        peering,
        import,
        retention,
        tags,
        local,
    }
}

/// A checked number as it is stored.
fn small<T: TryFrom<i64>>(number: Option<i64>) -> Option<T> {
    T::try_from(number?).ok()
}

fn account_id(text: &str) -> Result<(), &'static str> {
    let good = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then_some(()).ok_or("the twelve digits of an AWS account id")
}

fn region(name: &str) -> Result<(), &'static str> {
    let good = name.split('-').count() >= 3
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    good.then_some(()).ok_or("an AWS region such as \"eu-west-1\"")
}

fn domain(name: &str) -> Result<(), &'static str> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    // A top-level domain belongs to nobody who runs this, and what ends with digits is an address
    // (https://datatracker.ietf.org/doc/html/rfc3696#section-2).
    let labels: Vec<&str> = name.split('.').collect();
    let top = labels.last().is_some_and(|top| top.len() >= 2 && !top.bytes().all(|byte| byte.is_ascii_digit()));
    // 64 is the longest that ACM takes as a certificate's first name.
    if name.len() > 64 || labels.len() < 2 || !top || !labels.iter().all(|part| label(part)) {
        return Err("a domain name of your own such as \"apps.example.com\", in lower case, of at most 64 characters,");
    }
    if is_of_a_registry(name) {
        return Err("a domain name of your own, and not one below which anybody registers domains as below \"co.uk\",");
    }
    Ok(())
}

/// Whether a name is one of those below which registries sell domains (<https://publicsuffix.org/list/>, the section of ICANN's
/// domains). The other section is of names below which companies let others have domains, such as `github.io`: whoever runs this
/// may well be that company. What is not in the list, such as `apps.localhost`, is somebody's own.
fn is_of_a_registry(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix == name && suffix.typ() == Some(psl::Type::Icann))
}

/// A zone's last letter as a number: 0 for `a`.
fn letter(zone: &str) -> Option<usize> {
    let letter = zone.bytes().last().filter(u8::is_ascii_lowercase)? - b'a';
    Some(usize::from(letter)).filter(|letter| *letter < ZONES)
}

fn network(table: &mut Table, region: &str) -> Option<Network> {
    let cidr = table.network("cidr", Some(Ipv4Net::new_assert(Ipv4Addr::new(10, 42, 0, 0), 16)));
    let zones = table.strings("zones").map(|zones| match zones.is_empty() {
        true => ["a", "b", "c"].map(|zone| format!("{region}{zone}")).to_vec(),
        false => zones,
    });
    // By the zone's letter: a subnet stays where it is when another zone comes or goes.
    let derived = |offset: usize| -> Vec<Ipv4Net> {
        let (Some(cidr), Some(zones)) = (cidr, &zones) else { return Vec::new() };
        let prefix = cidr.prefix_len().saturating_add(SUBNET_BITS).min(LONGEST_SUBNET_PREFIX);
        let place = |zone: &String| letter(zone).and_then(|letter| cidr.subnets(prefix).ok()?.nth(offset + letter));
        zones.iter().filter_map(place).collect()
    };
    let public = table.networks("public_subnets", &derived(0));
    let private = table.networks("private_subnets", &derived(ZONES));
    Some(Network { cidr: cidr?, zones: zones?, public_subnets: public?, private_subnets: private? })
}

fn group(table: &mut Table, all_zones: &[String]) -> Option<Group> {
    let role = table.choice("role", None, &[("manager", Role::Manager), ("worker", Role::Worker)]);
    // Either a fixed number, or a range.
    let (min, max) = if table.has("min") || table.has("max") {
        if table.has("count") {
            table.wrong("count", "give either `count`, or `min` and `max`".to_owned());
        }
        table.known("count");
        (table.integer("min", None, 0..=100), table.integer("max", None, 0..=100))
    } else {
        table.known("min");
        table.known("max");
        let count = table.integer("count", None, 0..=100);
        (count, count)
    };
    let types = if table.has("instance_types") {
        if table.has("instance_type") {
            table.wrong("instance_type", "give either `instance_type` or `instance_types`".to_owned());
        }
        table.known("instance_type");
        table.strings("instance_types")
    } else {
        table.known("instance_types");
        let form = |name: &str| is_instance_type(name).then_some(()).ok_or("an EC2 instance type such as \"t3.small\"");
        table.string("instance_type", None, form).map(|one| vec![one])
    };
    let types = types.filter(|types| {
        let bad = types.iter().find(|name| !is_instance_type(name));
        match bad {
            Some(bad) => table.wrong("instance_types", format!("{bad:?} is no EC2 instance type such as \"t3.small\"")),
            None if types.is_empty() => {
                table.wrong("instance_types", "at least one instance type is needed".to_owned())
            }
            None => return true,
        }
        false
    });
    if let Some(arm) = types.iter().flatten().find(|name| Architecture::of(name) == Architecture::Arm64) {
        let key = if table.has("instance_types") { "instance_types" } else { "instance_type" };
        let reason = "has a Graviton processor (arm64), and images are baked for x86_64 only: it could not boot one";
        table.wrong(key, format!("{arm} {reason}; take a type with an Intel or AMD processor such as \"t3.small\""));
    }
    let disk_gib = table.integer("disk_gib", Some(20), LEAST_DISK_GIB..=16384);
    let zones = table.strings("zones").map(|zones| if zones.is_empty() { all_zones.to_vec() } else { zones });
    let spot = table.flag("spot", false);
    let labels = table.map("labels");
    Some(Group {
        role: role?,
        min: small(min)?,
        max: small(max)?,
        instance_types: types?,
        disk_gib: small(disk_gib)?,
        zones: zones?,
        spot: spot?,
        labels: labels?,
    })
}

fn load_balancer(table: &mut Table) -> Option<LoadBalancer> {
    let everybody = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);
    let kind = table.choice(
        "kind",
        Some(BalancerKind::Application),
        &[("application", BalancerKind::Application), ("classic", BalancerKind::Classic)],
    );
    let internal = table.flag("internal", false);
    let allowed = table.networks("allowed_cidrs", &[everybody]);
    let http = table.choice(
        "http",
        Some(PlainHttp::Redirect),
        &[("redirect", PlainHttp::Redirect), ("forward", PlainHttp::Forward)],
    );
    let idle = table.integer("idle_timeout_seconds", Some(60), 1..=4000);
    Some(LoadBalancer {
        kind: kind?,
        internal: internal?,
        allowed_cidrs: allowed?,
        http: http?,
        idle_timeout_seconds: small(idle)?,
    })
}

fn rds(table: &mut Table) -> Option<Rds> {
    let class = table.string("instance_class", Some("db.t4g.micro"), |class| {
        class
            .strip_prefix("db.")
            .is_some_and(is_instance_type)
            .then_some(())
            .ok_or("an RDS instance class such as \"db.t4g.micro\"")
    });
    let storage = table.integer("storage_gib", Some(20), 20..=65536);
    // Of another version `db:backup` and `db:restore` could not make anything.
    let version = table.string("engine_version", Some("17"), |version| {
        (version == "17").then_some(()).ok_or("\"17\", the version of the image's pg_dump and pg_restore,")
    });
    let multi_az = table.flag("multi_az", false);
    // RDS keeps none with 0; a database without backups is not what anybody wants here.
    let backup = table.integer("backup_days", Some(7), 1..=35);
    let protection = table.flag("deletion_protection", true);
    Some(Rds {
        instance_class: class?,
        storage_gib: small(storage)?,
        engine_version: version?,
        multi_az: multi_az?,
        backup_days: small(backup)?,
        deletion_protection: protection?,
    })
}

fn peering(table: &mut Table) -> Option<Peering> {
    let vpc = table.string("vpc", None, |id| {
        let good = id
            .strip_prefix("vpc-")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        good.then_some(()).ok_or("the id of a VPC such as \"vpc-0123456789abcdef0\"")
    });
    let cidr = table.network("cidr", None);
    let account = table.optional("account", account_id);
    let region = table.optional("region", region);
    let role_arn = table.optional("role_arn", |arn| {
        let good = arn.starts_with("arn:aws") && arn.contains(":role/");
        good.then_some(()).ok_or("the ARN of a role such as \"arn:aws:iam::123456789012:role/peering\"")
    });
    let ldap = table.flag("ldap", false);
    Some(Peering { vpc: vpc?, cidr: cidr?, account: account?, region: region?, role_arn: role_arn?, ldap: ldap? })
}

fn import(table: &mut Table) -> Option<ImportSource> {
    // <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
    let bucket = table.string("bucket", None, |name| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        let end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        let good = (3..=63).contains(&name.len())
            && name.bytes().all(plain)
            && end(name.bytes().next())
            && end(name.bytes().last())
            && !name.contains("..");
        good.then_some(()).ok_or("the name of an S3 bucket such as \"com.futuswarm.app.secrets\"")
    });
    // An alias is no resource that IAM knows.
    let key = table.string("key", None, |arn| {
        let parts: Vec<&str> = arn.split(':').collect();
        let good = match &parts[..] {
            ["arn", partition, "kms", region, account, key] => {
                partition.starts_with("aws")
                    && self::region(region).is_ok()
                    && account_id(account).is_ok()
                    && key.strip_prefix("key/").is_some_and(|id| {
                        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                    })
            }
            _ => false,
        };
        good.then_some(()).ok_or("the ARN of a KMS key such as \"arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef\" and no alias")
    });
    Some(ImportSource { bucket: bucket?, key: key? })
}

fn local(table: &mut Table) -> Option<Local> {
    let api_port = table.integer("api_port", Some(4566), 1..=65535);
    let http_port = table.integer("http_port", Some(8080), 1..=65535);
    let https_port = table.integer("https_port", Some(8443), 1..=65535);
    let ssh_port = table.integer("ssh_port", Some(2222), 1..=65535);
    let memory_mib = table.integer("memory_mib", Some(1536), 768..=65536);
    let cpus = table.integer("cpus", Some(1), 1..=64);
    Some(Local {
        api_port: small(api_port)?,
        http_port: small(http_port)?,
        https_port: small(https_port)?,
        ssh_port: small(ssh_port)?,
        memory_mib: small(memory_mib)?,
        cpus: small(cpus)?,
    })
}
