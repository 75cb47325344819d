//! `cli:version-check`: whether this program and the cluster understand each other, and whether it is the one that the cluster offers.

use std::fs::File;

use futuswarm_output::println;
use futuswarm_rpc::PROTOCOL;
use futuswarm_rpc::message::{CommandLine, Request, Whoami};
use serde_json::{Value, json};

use super::{Context, content};
use crate::archive;
use crate::failure::Result;
use crate::output;

/// The platform of the program that a cluster offers: others are made of the same source, and never the same file.
const IS_OF_ITS_PLATFORM: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

/// This program.
struct Ours<'a> {
    version: &'a str,
    /// Of its file, in hexadecimal digits; `None` where it cannot be read.
    sha256: Option<&'a str>,
    /// Whether it could be the one that a cluster offers.
    comparable: bool,
}

/// Asks the cluster, which greets only who understands it.
pub fn version_check(context: &Context) -> Result<u8> {
    let known = content!(context.ask(&Request::Whoami)?, Whoami);
    let sha256 = own_digest();
    let sha256 = sha256.as_deref();
    let ours = Ours { version: env!("CARGO_PKG_VERSION"), sha256, comparable: IS_OF_ITS_PLATFORM };
    match context.json {
        true => output::json(&document(&ours, &known))?,
        false => println!("{}", line(&ours, &known)),
    }
    Ok(0)
}

/// The digest of the file that runs. It may have been replaced since, or be one that only its owner reads.
fn own_digest() -> Option<String> {
    let file = File::open(std::env::current_exe().ok()?).ok()?;
    let hashed = archive::hash(file).ok()?;
    hashed.digest.strip_prefix("sha256:").map(str::to_owned)
}

/// Whether the offered program is this one; `None` where that cannot be said.
fn is_offered(ours: &Ours<'_>, offered: Option<&CommandLine>) -> Option<bool> {
    let (offered, sha256) = (offered?, ours.sha256?);
    ours.comparable.then(|| offered.sha256.eq_ignore_ascii_case(sha256))
}

fn line(ours: &Ours<'_>, known: &Whoami) -> String {
    let (cluster, version) = (output::plain(&known.cluster), ours.version);
    let offered = known.command_line.as_ref();
    let place = match offered {
        Some(offered) => output::plain(&offered.url),
        None => output::plain(&format!("https://{}", known.domain)),
    };
    match (known.version == version, is_offered(ours, offered)) {
        (false, _) => {
            format!(
                "futuswarm {version} fits {cluster}, which has {}: {place} has its command line",
                output::plain(&known.version)
            )
        }
        (true, Some(false)) => {
            format!("futuswarm {version} is the version of {cluster}, which offers another build of it: {place}")
        }
        (true, Some(true)) => format!("futuswarm {version} is the program that {cluster} offers"),
        (true, None) => format!("futuswarm {version} is the version of {cluster}"),
    }
}

fn document(ours: &Ours<'_>, known: &Whoami) -> Value {
    json!({
        "version": ours.version,
        "sha256": ours.sha256,
        "protocol": { "oldest": PROTOCOL.0, "newest": PROTOCOL.1 },
        "cluster_version": known.version,
        "fits": true,
        "offered": known.command_line,
        "is_offered": is_offered(ours, known.command_line.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(version: &str, offered: Option<&str>) -> Whoami {
        let word = str::to_owned;
        Whoami {
            name: word("jane"),
            token_of: None,
            admin: false,
            groups: Default::default(),
            cluster: word("prod"),
            domain: word("apps.example.com"),
            node: word("i-1"),
            version: word(version),
            host_ca: String::new(),
            command_line: offered.map(|sha256| CommandLine {
                version: word(version),
                sha256: word(sha256),
                bytes: 7,
                url: word("https://apps.example.com/cli/futuswarm"),
            }),
        }
    }

    #[test]
    fn it_says_which_program_to_get_and_compares_only_what_can_be_compared() {
        let ours = |sha256, comparable| Ours { version: "0.1.0", sha256, comparable };
        for (ours, known, expected, part) in [
            (ours(Some("aa"), true), known("0.1.0", Some("aa")), Some(true), "is the program that prod offers"),
            (
                ours(Some("aa"), true),
                known("0.1.0", Some("bb")),
                Some(false),
                "another build of it: https://apps.example.com/cli/",
            ),
            (ours(Some("aa"), false), known("0.1.0", Some("bb")), None, "is the version of prod"),
            (ours(None, true), known("0.1.0", Some("bb")), None, "is the version of prod"),
            (ours(Some("aa"), true), known("0.1.0", None), None, "is the version of prod"),
            (
                ours(Some("aa"), true),
                known("0.2.0", None),
                None,
                "fits prod, which has 0.2.0: https://apps.example.com has",
            ),
            (
                ours(Some("aa"), true),
                known("0.2.0", Some("bb")),
                Some(false),
                "0.2.0: https://apps.example.com/cli/futuswarm has",
            ),
        ] {
            let said = line(&ours, &known);
            assert!(said.contains(part), "{said}");
            let document = document(&ours, &known);
            assert_eq!(document["is_offered"], json!(expected), "{document}");
            assert_eq!((&document["fits"], &document["cluster_version"]), (&json!(true), &json!(known.version)));
        }
    }

    #[test]
    fn the_file_that_runs_has_a_digest() {
        assert!(own_digest().is_some_and(|digest| digest.len() == 64));
    }
}
