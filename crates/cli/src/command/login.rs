//! Making clusters known, and asking them who we are.

use std::path::Path;

use futuswarm_output::eprintln;
use futuswarm_rpc::message::{Request, Whoami};

use super::{Context, content};
use crate::arguments::Login;
use crate::connection::{Connection, PATIENCE, Trust, ssh::HOST_ALIAS};
use crate::failure::{Code, Failure, Result};
use crate::home::{self, Cluster, Config, Home, KNOWN_HOSTS};
use crate::output;

/// What OpenSSH signs host keys with.
const ALGORITHMS: [&str; 5] =
    ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];
/// The longest public key in its text form; RSA of 16,384 bits has less.
const LONGEST_KEY: usize = 4096;

fn ask(cluster: &Cluster, trust: Trust) -> Result<Whoami> {
    Ok(content!(Connection::open(cluster, trust)?.ask(&Request::Whoami, Some(PATIENCE), |_, _| Ok(()))?, Whoami))
}

/// `login`: nothing is kept of one that fails. `name` is what was typed for the cluster: under the name of the environment's variable the
/// address and the authority of another cluster would be written over.
pub fn login(context: &Context, home: &Home, name: Option<&str>, options: &Login) -> Result<u8> {
    let (user, host, port) = target(&options.target)?;
    let absolute = |path: &Path| std::path::absolute(path).map_err(|error| Failure::file("find", path, &error));
    let identity = options.identity.as_deref().map(absolute).transpose()?;
    if let Some(missing) = identity.as_ref().filter(|path| !path.is_file()) {
        return Err(Failure::usage(format!("there is no key {}", missing.display())));
    }
    let ssh_config = match options.ssh_config.as_deref() {
        Some(none) if none.as_os_str() == "none" => Some(none.to_owned()),
        file => file.map(absolute).transpose()?,
    };
    let config = Config { user, host, port, identity, ssh_config };
    let stage = home.stage()?;
    let trial = Cluster { name: config.host.clone(), folder: stage.path().to_owned(), config: config.clone() };
    let file = trial.folder.join(KNOWN_HOSTS);
    let authority = match &options.host_ca {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
            authority(&text).map_err(|reason| Failure::usage(format!("{}: {reason}", path.display())))?
        }
        None => {
            home.write(&file, "")?;
            let first = ask(&trial, Trust::First)?;
            let given = authority(&first.host_ca);
            given.map_err(|reason| Failure::failed(format!("the cluster's authority as it says it: {reason}")))?
        }
    };
    let known_hosts = format!("@cert-authority {HOST_ALIAS} {authority}\n");
    home.write(&file, &known_hosts)?;
    // Over the connection as it will be used: whoever answers has to have a certificate of that authority.
    let known = ask(&trial, Trust::Trial)?;
    if known.name != config.user {
        return Err(Failure::new(
            Code::Denied,
            format!(
                "your key is the one of {}, and not of {}: log in as {}@…, or say with --identity which key to offer",
                output::plain(&known.name),
                config.user,
                output::plain(&known.name)
            ),
        ));
    }
    let cluster = home.save(name.unwrap_or(&known.cluster), &config, &known_hosts)?;
    make_current(home, &cluster.name)?;
    show(context, &known)
}

/// `NAME@HOST[:PORT]`; an IPv6 address stands in brackets when a port follows.
fn target(text: &str) -> Result<(String, String, u16)> {
    let failure = |what: &str| Failure::usage(format!("{text:?} is not NAME@HOST[:PORT]: {what}"));
    let (user, rest) = text.split_once('@').ok_or_else(|| failure("there is no `@`"))?;
    // Tokens have names that are no persons' names.
    if user.is_empty() || user.len() > 128 || user.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(failure("the name before `@`"));
    }
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(|| failure("what follows `]`"))?)),
        None if rest.matches(':').count() > 1 => (rest, None),
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| failure("the port"))?,
        None => 22,
    };
    let inside = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
    if !host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':') || !host.chars().all(inside) {
        return Err(failure("the host"));
    }
    Ok((user.to_owned(), host.to_owned(), port))
}

/// Algorithm and key out of a public key's line, which may be one of a file of known hosts.
fn authority(text: &str) -> std::result::Result<String, String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err("expected one line with one public key".to_owned());
    };
    let mut words: Vec<&str> = line.split_whitespace().collect();
    if words.first() == Some(&"@cert-authority") {
        words.drain(..words.len().min(2));
    }
    let [algorithm, key, ..] = words[..] else {
        return Err("it is no public key: expected `ALGORITHM BASE64`".to_owned());
    };
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    match ALGORITHMS.contains(&algorithm) && key.len() <= LONGEST_KEY && key.chars().all(base64) {
        true => Ok(format!("{algorithm} {key}")),
        false => Err(format!("it is no public key: expected one of {}", ALGORITHMS.join(", "))),
    }
}

fn show(context: &Context, known: &Whoami) -> Result<u8> {
    if context.json {
        output::json(known)?;
        return Ok(0);
    }
    let groups: Vec<&str> = known.groups.iter().map(String::as_str).collect();
    let mut pairs = vec![("name", known.name.clone())];
    match &known.token_of {
        Some(app) => pairs.push(("token of", app.clone())),
        None => {
            pairs.extend([("admin", if known.admin { "yes" } else { "no" }.to_owned()), ("groups", groups.join(", "))])
        }
    }
    pairs.extend([
        ("cluster", known.cluster.clone()),
        ("domain", known.domain.clone()),
        ("version", known.version.clone()),
        ("answered by", known.node.clone()),
    ]);
    output::list(&pairs);
    Ok(0)
}

/// Asks the cluster; another name than that of the login is an error.
pub fn whoami(context: &Context) -> Result<u8> {
    let known = content!(context.ask(&Request::Whoami)?, Whoami);
    let expected = context.cluster()?.config.user;
    if known.name != expected {
        return Err(Failure::new(
            Code::Denied,
            format!(
                "the cluster knows your key as {}, and you have logged in as {expected}: log in again, with --identity if `ssh` offers another key",
                output::plain(&known.name)
            ),
        ));
    }
    show(context, &known)
}

/// Lists what was logged in to; a star marks the current one.
pub fn clusters(context: &Context, home: &Home) -> Result<u8> {
    let current = home.current();
    let mut all = Vec::new();
    for name in home.clusters()? {
        let cluster = home.cluster(Some(&name))?;
        let is_current = current.as_ref() == Some(&name);
        all.push((name, cluster.config, is_current));
    }
    if context.json {
        let documents: Vec<_> = all.iter().map(|(name, config, current)| document(name, config, *current)).collect();
        output::json(&documents)?;
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|(name, config, current)| {
            let mark = if *current { "*" } else { "" };
            vec![format!("{name}{mark}"), config.user.clone(), config.host.clone(), config.port.to_string()]
        })
        .collect();
    output::table(&["CLUSTER", "USER", "HOST", "PORT"], &rows, "No clusters: `futuswarm login` makes one known.");
    Ok(0)
}

fn document(name: &str, config: &Config, current: bool) -> serde_json::Value {
    serde_json::json!({ "name": name, "user": config.user, "host": config.host, "port": config.port, "current": current })
}

/// `clusters:use`.
pub fn choose(context: &Context, home: &Home, name: &str) -> Result<u8> {
    let cluster = home.cluster(Some(name))?;
    make_current(home, &cluster.name)?;
    if context.json {
        output::json(&document(&cluster.name, &cluster.config, true))?;
    }
    Ok(0)
}

/// Makes a cluster the current one, and says when the environment names another one all the same.
fn make_current(home: &Home, name: &str) -> Result<()> {
    home.set_current(name)?;
    eprintln!("{name} is the current cluster now");
    if let Some(other) = home::of_environment().filter(|other| other != name) {
        let other = output::plain(&other);
        eprintln!(
            "note: commands are for {other} as long as FUTUSWARM_CLUSTER names it; --cluster {name} says otherwise"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_names_hosts_and_ports() {
        let owned = |(user, host, port): (&str, &str, u16)| (user.to_owned(), host.to_owned(), port);
        for (text, expected) in [
            ("jane@h", ("jane", "h", 22)),
            ("jane@ssh.apps.example.com:2222", ("jane", "ssh.apps.example.com", 2222)),
            ("jane@[::1]:2222", ("jane", "::1", 2222)),
            ("jane@fe80::1%eth0", ("jane", "fe80::1%eth0", 22)),
            ("hello/ci@h", ("hello/ci", "h", 22)),
        ] {
            assert_eq!(target(text).unwrap(), owned(expected), "{text}");
        }
        for text in [
            "",
            "jane",
            "@h",
            "jane@",
            "jane@h:",
            "jane@h:0",
            "jane@h:99999",
            "jane@-oProxyCommand=x",
            "a b@h",
            "jane@h x",
            "jane@[::1]x",
        ] {
            assert_eq!(target(text).unwrap_err().code, Code::Usage, "{text:?}");
        }
    }

    #[test]
    fn an_authority_is_one_public_key() {
        for text in [
            "ssh-ed25519 AAAAC3Nz/+= comment here\n",
            "# from ops\n@cert-authority futuswarm ssh-ed25519 AAAAC3Nz/+=\n",
        ] {
            assert_eq!(authority(text).unwrap(), "ssh-ed25519 AAAAC3Nz/+=");
        }
        for text in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AA\nssh-ed25519 BB",
            "ssh-dss AAAA",
            "ssh-ed25519 A\u{1}A",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "@cert-authority",
        ] {
            assert!(authority(text).is_err(), "{text:?}");
        }
    }
}
