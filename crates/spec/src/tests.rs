//! The shipped specs are good, and everything else is refused with file, line, key and a way out.

mod login;

use super::*;

const LOCAL: &str = include_str!("../../../clusters/local.toml");
const EXAMPLE: &str = include_str!("../../../clusters/example.toml");

fn problems(text: &str) -> String {
    Spec::parse("cluster.toml", text).unwrap_err().to_string()
}

#[test]
fn the_shipped_specs_are_good() {
    let local = Spec::parse("clusters/local.toml", LOCAL).unwrap();
    insta::assert_debug_snapshot!(local);
    assert_eq!((local.count_of(Role::Manager), local.count_of(Role::Worker)), (1, 2));
    let example = Spec::parse("clusters/example.toml", EXAMPLE).unwrap();
    assert_eq!(example.count_of(Role::Manager), 3);
    let three = Spec::parse("clusters/local-three.toml", include_str!("../../../clusters/local-three.toml")).unwrap();
    assert_eq!((three.count_of(Role::Manager), three.cluster.as_str()), (3, "local-three"));
}

#[test]
fn subnets_follow_the_zones() {
    let local = Spec::parse("clusters/local.toml", LOCAL).unwrap();
    let texts = |subnets: Vec<(String, Ipv4Net)>| -> Vec<String> {
        subnets.into_iter().map(|(zone, net)| format!("{zone} {net}")).collect()
    };
    assert_eq!(
        texts(local.public_subnets()),
        ["eu-west-1a 10.42.0.0/20", "eu-west-1b 10.42.16.0/20", "eu-west-1c 10.42.32.0/20"]
    );
    assert_eq!(
        texts(local.private_subnets()),
        ["eu-west-1a 10.42.128.0/20", "eu-west-1b 10.42.144.0/20", "eu-west-1c 10.42.160.0/20"]
    );
    let fewer = LOCAL.replace("zones = [\"eu-west-1a\", ", "zones = [");
    assert_ne!(fewer, LOCAL);
    let fewer = Spec::parse("clusters/local.toml", &fewer).unwrap();
    assert_eq!(fewer.public_subnets(), local.public_subnets()[1..], "a zone that goes moves no other subnet");
    assert_eq!(fewer.private_subnets(), local.private_subnets()[1..]);
    let small = Spec::parse("x", &LOCAL.replace("10.42.0.0/16", "172.16.12.0/22")).unwrap();
    assert_eq!(texts(small.private_subnets())[2], "eu-west-1c 172.16.14.128/26");
}

/// The example with its commented keys, by the marks that it explains.
fn uncommented(marks: &[&str]) -> String {
    let line = |line: &str| {
        let rest = marks.iter().find_map(|mark| line.strip_prefix(mark));
        // Prose is behind a mark, too; a key or a table is what has "=" or begins with "[".
        match rest
            .filter(|rest| rest.starts_with('[') || rest.split('#').next().is_some_and(|code| code.contains(" = ")))
        {
            Some(rest) => rest.to_owned(),
            None => line.to_owned(),
        }
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_tells_the_defaults() {
    let shipped = Spec::parse("example", EXAMPLE).unwrap();
    assert_eq!(Spec::parse("example", &uncommented(&["# "])).unwrap(), shipped);
    assert_ne!(Spec::parse("example", &uncommented(&["# ", "#: "])).unwrap(), shipped);
    let changed = uncommented(&["# "]).replace("versions_days = 90", "versions_days = 91");
    assert_ne!(Spec::parse("example", &changed).unwrap(), shipped, "the comparison sees a wrong default");
}

#[test]
fn the_example_has_every_key() {
    // Names of groups and peerings are the operator's.
    let general = |path: &str| {
        let parts: Vec<&str> = path.split('.').collect();
        match parts.as_slice() {
            [outer @ ("groups" | "peering"), _, key] => format!("{outer}.*.{key}"),
            _ => path.to_owned(),
        }
    };
    let text = uncommented(&["# ", "#: "]);
    let mut root = Table::parse("example", &text).unwrap();
    read::draft(&mut root);
    let known: std::collections::BTreeSet<String> = root.all_known().map(|path| general(path)).collect();
    let document: toml_edit::Document<String> = toml_edit::Document::parse(text).unwrap();
    let mut there = std::collections::BTreeSet::new();
    fn walk(prefix: &str, table: &dyn toml_edit::TableLike, there: &mut Vec<String>) {
        for (key, item) in table.iter() {
            let path = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
            if let Some(inner) = item.as_table() {
                walk(&path, inner, there);
            }
            there.push(path);
        }
    }
    let mut paths = Vec::new();
    walk("", document.as_table(), &mut paths);
    there.extend(paths.iter().map(|path| general(path)));
    // Below these any key may stand.
    there.retain(|path| {
        !path.starts_with("tags.") && !["groups.managers", "groups.workers", "peering.office"].contains(&path.as_str())
    });
    assert_eq!(there, known);
}

#[test]
fn all_problems_are_reported_at_once_each_with_its_line() {
    insta::assert_snapshot!(problems(
        r#"clutser = "prod"
region = "eu-west-1"
domain = 7

[network]
cidr = "10.42.0.1/16"
zone = ["eu-west-1a"]

[groups.managers]
role = "manger"
count = "3"
instance_type = "t3.small"
labels = { disk = 1 }

[groups.workers]
role = "worker"
conut = 2
instance_type = "t3.small"

[local]
api_port = 99999
"#
    ));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let with = |from: &str, to: &str| {
        assert!(LOCAL.contains(from), "{from}");
        problems(&LOCAL.replacen(from, to, 1))
    };
    for (from, to, expected) in [
        ("count = 1 ", "count = 2 ", "a Swarm needs 1, 3, 5 or 7"),
        ("10.42.0.0/16", "10.0.0.0/8", "a VPC is between /16 and /28"),
        ("10.42.0.0/16", "10.42.0.0/26", "there are 3 zones and 0 private subnets"),
        ("10.42.0.0/16", "10.200.0.0/16", "10.128.0.0/9 overlaps with 10.200.0.0/16 of network.cidr"),
        ("10.42.0.0/16", "192.168.160.0/20", "192.168.128.0/17 overlaps with 192.168.160.0/20 of network.cidr"),
        ("10.42.0.0/16", "127.1.0.0/16", "127.0.0.0/8 is the loopback network"),
        ("10.42.0.0/16", "169.254.0.0/16", "169.254.0.0/16 is for link-local addresses"),
        ("10.42.0.0/16", "224.0.0.0/16", "224.0.0.0/4 is for multicast"),
        ("10.42.0.0/16", "0.0.0.0/16", "0.0.0.0/8 is reserved"),
        ("10.42.0.0/16", "250.1.0.0/16", "240.0.0.0/4 is reserved"),
        (
            "10.42.0.0/16",
            "10.42.0.5/16",
            "write \"10.42.0.0/16\" for the network, or \"10.42.0.5/32\" for that one address",
        ),
        ("10.42.0.0/16", "fd00::/56", "\"fd00::/56\" is IPv6, which is not used here"),
        ("10.42.0.0/16", "10.42.0.0", "\"10.42.0.0\" has no prefix length"),
        ("10.42.0.0/16", "ten", "\"ten\" is not a CIDR block"),
        (
            "# [swarm]",
            "[swarm]\nbridge_pool = \"10.42.0.0/17\"\n#",
            "10.42.0.0/17 overlaps with 10.42.0.0/16 of network.cidr",
        ),
        (
            "# [swarm]",
            "[swarm]\nbridge_pool = \"10.200.0.0/17\"\n#",
            "10.200.0.0/17 overlaps with 10.128.0.0/9 of swarm.address_pool",
        ),
        (
            "[local]",
            "[ssh]\nallowed_cidrs = [\"192.168.178.0/24\"]\n[local]",
            "answers of the nodes would never reach it",
        ),
        (
            "[local]",
            "[peering.office]\nvpc = \"vpc-1\"\ncidr = \"192.168.128.0/24\"\n[local]",
            "192.168.128.0/24 overlaps with 192.168.128.0/17 of swarm.bridge_pool",
        ),
        (
            "cidr = \"10.42.0.0/16\"",
            "public_subnets = [\"10.42.0.0/20\", \"10.42.0.0/24\", \"10.9.0.0/24\"]",
            "10.9.0.0/24 is outside of the VPC",
        ),
        (
            "cidr = \"10.42.0.0/16\"",
            "public_subnets = [\"10.42.0.0/20\", \"10.42.0.0/24\", \"10.42.32.0/24\"]",
            "10.42.0.0/24 overlaps with 10.42.0.0/20",
        ),
        ("\"eu-west-1c\"", "\"us-east-1c\"", "is not in the region"),
        ("\"eu-west-1c\"", "\"eu-west-1C\"", "there is no zone \"eu-west-1C\"; did you mean \"eu-west-1c\"?"),
        ("\"eu-west-1c\"", "\"eu-west-1-lon-1a\"", "is a local or wavelength zone"),
        ("\"eu-west-1c\"", "\"eu-west-11c\"", "is not in the region"),
        ("count = 1 ", "count = 1.0 ", "write 1 without a decimal point"),
        ("count = 1 ", "count = 1.5 ", "a whole number between 0 and 100 is needed, but the number 1.5 is there"),
        ("count = 1 ", "count = 101 ", "101 cannot be used; a whole number between 0 and 100 is needed"),
        ("domain = \"apps.localhost\"", "domain = \"10.0.0.1\"", "a domain name of your own such as"),
        ("domain = \"apps.localhost\"", "domain = \"com\"", "a domain name of your own such as"),
        ("domain = \"apps.localhost\"", "domain = \"apps.example.com.\"", "a domain name of your own such as"),
        ("domain = \"apps.localhost\"", "domain = \"co.uk\"", "below which anybody registers domains"),
        // By a rule with a star.
        ("domain = \"apps.localhost\"", "domain = \"anything.ck\"", "below which anybody registers domains"),
        (
            "domain = \"apps.localhost\"",
            "open_domain = \"xn--55qx5d.cn\"\ndomain = \"apps.localhost\"",
            "below which anybody registers domains",
        ),
        (
            "domain = \"apps.localhost\"",
            "open_domain = \"org\"\ndomain = \"apps.localhost\"",
            "a domain name of your own such as",
        ),
        (
            "domain = \"apps.localhost\"",
            "account = 123456789012\ndomain = \"apps.localhost\"",
            "a string is needed, but the number 123456789012 is there: write \"123456789012\"",
        ),
        (
            "[local]",
            "[tags]\nteam = 5\n[local]",
            "tags.team: a string is needed, but the number 5 is there: write \"5\"",
        ),
        ("[local]", "[tags]\nteam = [\"a\"]\n[local]", "tags.team: a string is needed, but a list is there"),
        ("[local]", "[tags]\n\"rds:team\" = \"a\"\n[local]", "such tags are made by us or by AWS"),
        ("[local]", "[tags]\nteam = \"aws:a\"\n[local]", "a value that begins with `aws:`"),
        ("[local]", "[tags]\nteam = \" a\"\n[local]", "neither begins nor ends with a space"),
        (
            "[local]",
            "[groups.\"\"]\nrole = \"worker\"\ncount = 1\ninstance_type = \"t3.small\"\n[local]",
            "such a name has 1 to 24",
        ),
        (
            "[local]",
            "[groups.-]\nrole = \"worker\"\ncount = 1\ninstance_type = \"t3.small\"\n[local]",
            "such a name has 1 to 24",
        ),
        ("\"eu-west-1c\"", "\"eu-west-1b\"", "is there twice"),
        ("[\"eu-west-1a\", \"eu-west-1b\", \"eu-west-1c\"]", "[\"eu-west-1a\"]", "needs at least two zones"),
        ("# api_port = 4566", "api_port = 8080", "choose two ports"),
        ("# [swarm]", "[swarm]\naddress_pool_mask = 9\n#", "cannot be taken from"),
        ("\"local\" ", "\"Local!\" ", "lower-case letters"),
        ("[local]", "[ssh]\nallowed_cidrs = [\"0.0.0.0/0\"]\n[local]", "never open to the whole internet"),
        (
            "[local]",
            "[ssh]\nallowed_cidrs = [\"0.0.0.0/1\", \"128.0.0.0/1\"]\n[local]",
            "never open to the whole internet",
        ),
        ("[local]", "[ssh]\nallowed_cidrs = [\"64.0.0.0/2\"]\n[local]", "never open to the whole internet"),
        ("http = \"forward\"", "kind = \"classic\"", "a classic load balancer cannot redirect"),
        ("[local]", "[tags]\nName = \"x\"\n[local]", "such tags are made by us"),
        (
            "[local]",
            "[peering.office]\nvpc = \"vpc-1\"\ncidr = \"10.42.8.0/24\"\n[local]",
            "10.42.8.0/24 overlaps with 10.42.0.0/16 of network.cidr",
        ),
        (
            "[local]",
            "[peering.office]\nvpc = \"vpc-1\"\ncidr = \"192.168.0.0/24\"\nldap = true\n[local]",
            "there is no [ldap] table",
        ),
        (
            "[local]",
            "[import]\nbucket = \"Old_Bucket\"\nkey = \"arn:aws:kms:eu-west-1:123456789012:key/1\"\n[local]",
            "the name of an S3 bucket such as",
        ),
        (
            "[local]",
            "[rds]\nengine_version = \"16\"\n[local]",
            "rds.engine_version: \"16\" cannot be used; \"17\", the version of the image's pg_dump and pg_restore, is needed",
        ),
        ("[local]", "[import]\nbucket = \"old\"\nkey = \"alias/old\"\n[local]", "the ARN of a KMS key such as"),
        (
            "[local]",
            "[import]\nbucket = \"old\"\nkey = \"arn:aws:kms:eu-west-1:123456789012:alias/old\"\n[local]",
            "the ARN of a KMS key such as",
        ),
        ("[local]", "[import]\nbucket = \"old\"\n[local]", "import.key: this key is missing"),
        ("role = \"worker\"", "role = \"worker\"\nmin = 1", "give either `count`"),
        ("role = \"worker\"", "role = \"worker\"\nzones = [\"eu-west-1d\"]", "is not one of network.zones"),
        ("role = \"manager\"", "role = \"manager\"\nspot = true", "never run on spot capacity"),
        (
            "instance_type = \"t3.small\"",
            "instance_types = [\"t3.small\", \"t4g.small\"]",
            "groups.managers.instance_types: t4g.small has a Graviton processor (arm64)",
        ),
        ("instance_type = \"t3.small\"", "instance_type = \"m7g.large\"", "images are baked for x86_64 only"),
        (
            "domain = \"apps.localhost\"",
            "open_domain = \"open.apps.localhost\"\ndomain = \"apps.localhost\"",
            "overlap",
        ),
    ] {
        let message = with(from, to);
        assert!(message.contains(expected), "{message}");
        assert!(message.starts_with("cluster.toml:"), "{message}");
    }
}

#[test]
fn tags_are_counted_in_characters() {
    let with = |key: &str, value: &str| {
        Spec::parse("x", &LOCAL.replacen("[local]", &format!("[tags]\n\"{key}\" = \"{value}\"\n[local]"), 1))
    };
    // Three bytes each: AWS counts characters.
    assert!(with(&"あ".repeat(100), &"あ".repeat(255)).is_ok());
    assert!(with(&"あ".repeat(127), "x").is_ok());
    let long = with(&"a".repeat(128), "x").unwrap_err().to_string();
    assert!(long.contains("at most 127 characters of name and 255 of value; this one has 128 and 1"), "{long}");
    assert!(with("team", &"a".repeat(256)).is_err());
}

#[test]
fn a_classic_balancer_takes_fewer_tags() {
    let spec = |kind: &str, count: usize| {
        let tags: String = (0..count).map(|tag| format!("tag{tag} = \"x\"\n")).collect();
        let balancer = format!("http = \"forward\"\nkind = \"{kind}\"\n[tags]\n{tags}");
        Spec::parse("x", &LOCAL.replacen("http = \"forward\"", &balancer, 1))
    };
    assert!(spec("classic", 7).is_ok());
    assert!(spec("application", 8).is_ok());
    assert!(spec("classic", 8).unwrap_err().to_string().contains("a classic load balancer takes 7 besides ours"));
}

#[test]
fn parts_that_do_not_fit_are_reported_beside_keys_that_cannot_be_read() {
    let text = LOCAL.replace("count = 1 ", "count = 2 ").replace("memory_mib = 1536", "memory_mib = \"much\"");
    let message = problems(&text);
    assert!(message.contains("a Swarm needs 1, 3, 5 or 7") && message.contains("local.memory_mib: "), "{message}");
    assert!(message.contains("cluster.toml:13: groups: ") || message.contains(": groups: "), "{message}");
}

#[test]
fn what_is_no_toml_says_where() {
    let message = problems("cluster = \"x\"\nregion = = 1\n");
    assert!(message.starts_with("cluster.toml:2: this is not TOML: "), "{message}");
    assert!(problems("").starts_with("cluster.toml:1: cluster: this key is missing"));
}

#[test]
fn an_ssh_key_with_characters_missing_is_refused_with_its_line() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL8yNFHcVkVvm0CuEe8zWqkjXJcvCYQ0Dp0h3tmbxNqN";
    let with = |key: &str| format!("{LOCAL}\n[ssh]\npublic_key = \"{key} me@example.com\"\n");
    assert_eq!(Spec::parse("c", &with(key)).unwrap().ssh.public_key.unwrap(), format!("{key} me@example.com"));
    let cut = &key[..key.len() - 5];
    let text = problems(&with(cut));
    assert!(text.contains("ssh.public_key") && text.contains("this one is cut short or damaged"), "{text}");
}

#[test]
fn a_domain_of_ones_own_is_taken_whatever_it_is_below() {
    for domain in [
        "apps.localhost",
        "localhost.localdomain",
        "example.com",
        "example.co.uk",
        "apps.internal",
        "apps.example.museum",
        // Exceptions to a rule with a star, and names that companies let others have domains below.
        "www.ck",
        "github.io",
        "example.github.io",
        "s3.amazonaws.com",
    ] {
        let text = LOCAL.replace("domain = \"apps.localhost\"", &format!("domain = \"{domain}\""));
        assert!(text.contains(domain), "{domain}");
        assert_eq!(
            Spec::parse("c", &text).map(|spec| spec.domain).map_err(|problems| problems.to_string()),
            Ok(domain.to_owned())
        );
    }
}
