//! apt in a private root: what the mirrors have today, checked by signature, and files fetched as this machine fetches packages.
//!
//! Of the machine's own configuration only the way to the network is taken (`Acquire::http` and the like: proxies, timeouts,
//! certificates), so that a pinned package or a hook of the machine has no say in an image. What apt did is read from its exit
//! status, from output that is made for programs, and from the files that are there afterwards; never from its messages.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futuswarm_image_format::Package;
use futuswarm_tools::child::{self, Failure};
use percent_encoding::percent_decode_str;

use crate::Error;
use crate::archive::Archives;
use crate::run::{run, run_within};

/// The architecture of the images.
pub(crate) const ARCHITECTURE: &str = "amd64";
/// Settings of the machine that are taken over: how to get to the network.
const INHERITED: &[&str] = &["Acquire::http", "Acquire::https", "Acquire::ForceIPv4", "Acquire::ForceIPv6"];
/// Longest time to read the indexes of all suites, in all.
const INDEX_DEADLINE: Duration = Duration::from_secs(300);
/// Longest silence of a server.
const TIMEOUT_SECONDS: u32 = 20;

/// A root folder for apt, with nothing installed in it.
#[derive(Debug)]
pub struct Apt {
    config: PathBuf,
    helper: PathBuf,
}

#[derive(Debug)]
pub struct Download {
    pub url: String,
    /// Digest that it must have, in hexadecimal.
    pub sha256: String,
    /// Where to. The file is there afterwards if, and only if, it has the digest.
    pub path: PathBuf,
}

impl Apt {
    /// Writes the configuration below `dir`.
    ///
    /// # Errors
    /// When apt or the keyring is not there, or `dir` cannot be written.
    pub fn new(dir: &Path, archives: &Archives, suite: &str) -> Result<Self, Error> {
        archives.check()?;
        let create = |path: PathBuf| std::fs::create_dir_all(&path).map_err(Error::file(path));
        for folder in ["state/lists/partial", "cache/archives/partial", "etc/keys", "etc/none", "log"] {
            create(dir.join(folder))?;
        }
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.join(name);
            std::fs::write(&path, bytes).map_err(Error::file(&path)).map(|()| path)
        };
        let keys = std::fs::read(&archives.keyring)
            .map_err(|source| Error::Keyring { path: archives.keyring.clone(), source })?;
        // apt goes by the ending.
        let armored = keys.starts_with(b"-----BEGIN");
        write(if armored { "etc/keys/archive.asc" } else { "etc/keys/archive.gpg" }, &keys)?;
        write("state/status", b"")?;
        write("etc/sources.list", archives.sources(suite).as_bytes())?;
        let dump = run("apt-config", Command::new("apt-config").arg("dump").env("LC_ALL", "C"))?;
        let config = write("apt.conf", configuration(dir, &String::from_utf8_lossy(&dump))?.as_bytes())?;
        let mut methods = Command::new("apt-config");
        let methods = run("apt-config", methods.args(["shell", "METHODS", "Dir::Bin::methods/f"]))?;
        let helper = helper(&String::from_utf8_lossy(&methods))
            .ok_or_else(|| Error::Address("apt-config does not say where apt keeps its programs".to_owned()))?;
        Ok(Self { config, helper })
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.config).env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Reads the indexes of the mirrors; all, or it is an error.
    ///
    /// # Errors
    /// When a mirror does not answer, an index is not signed with a key of the keyring, or is not what the signed one names.
    pub fn update(&self, tick: &mut dyn FnMut()) -> Result<(), Error> {
        let mut command = self.command("apt-get");
        run_within("apt-get update", command.args(["-q", "update"]), b"", INDEX_DEADLINE, tick).map(|_| ())
    }

    /// The packages that `names`, all they depend on, and what Debian calls essential are today. [`Self::update`] comes before.
    ///
    /// # Errors
    /// When a package is not there, or they cannot be installed together.
    pub fn resolve(&self, archives: &Archives, names: &[&str]) -> Result<Vec<Package>, Error> {
        let mut command = self.command("apt-cache");
        command.args(["show", "--no-all-versions"]).args(names);
        // Ends with a failure when one is not there, and shows the others all the same.
        let shown = child::output(&mut command, b"", INDEX_DEADLINE, &mut || ())
            .map_err(|failure| Error::Unfinished { program: "apt-cache".to_owned(), failure })?;
        let shown = String::from_utf8_lossy(&shown.stdout);
        let known: Vec<&str> = shown.lines().filter_map(|line| line.strip_prefix("Package: ")).collect();
        let withdrawn: Vec<&str> = names.iter().copied().filter(|name| !known.contains(name)).collect();
        if !withdrawn.is_empty() {
            return Err(Error::Withdrawn(withdrawn.join(", ")));
        }
        let mut command = self.command("apt-get");
        command.args(["install", "--print-uris", "-qq", "--yes", "?essential"]).args(names);
        let output = run("apt-get install --print-uris", &mut command)?;
        let mut packages = Vec::new();
        for line in String::from_utf8_lossy(&output).lines().filter(|line| line.starts_with('\'')) {
            packages.push(parse_uri(line, archives).ok_or_else(|| Error::Malformed {
                path: "apt-get install --print-uris".into(),
                reason: format!("cannot read {line:?}"),
            })?);
        }
        packages.sort();
        Ok(packages)
    }

    /// Fetches what can be fetched, as fast as apt can. Which files came is seen from the files.
    ///
    /// # Errors
    /// When apt's program cannot be started; not when a file is missing or is another, or when the time is up.
    pub fn download(&self, files: &[Download], deadline: Duration, tick: &mut dyn FnMut()) -> Result<(), Error> {
        let mut command = self.command(&self.helper);
        command.arg("download-file");
        for file in files {
            command.arg(&file.url).arg(&file.path).arg(format!("SHA256:{}", file.sha256));
        }
        match run_within("apt-helper", &mut command, b"", deadline, tick) {
            // It ends with a failure when one of many is missing.
            Ok(_) | Err(Error::Program { .. } | Error::Unfinished { failure: Failure::Deadline(_), .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The configuration, with the way to the network from `dump`, the output of `apt-config dump`.
fn configuration(dir: &Path, dump: &str) -> Result<String, Error> {
    let root = dir.to_str().filter(|dir| !dir.contains(['"', '\\', '\n'])).ok_or_else(|| Error::Malformed {
        path: dir.to_owned(),
        reason: "apt cannot work below a folder of this name; set FUTUSWARM_CACHE to another".to_owned(),
    })?;
    let mut text = String::new();
    for line in dump.lines().filter(|line| inherited(line)) {
        let _infallible = writeln!(text, "{line}");
    }
    let settings = [
        ("Dir::State", format!("{root}/state")),
        ("Dir::State::lists", "lists/".to_owned()),
        ("Dir::State::status", format!("{root}/state/status")),
        ("Dir::Cache", format!("{root}/cache")),
        ("Dir::Etc::sourcelist", format!("{root}/etc/sources.list")),
        ("Dir::Etc::sourceparts", format!("{root}/etc/none")),
        ("Dir::Etc::parts", format!("{root}/etc/none")),
        ("Dir::Etc::main", "/dev/null".to_owned()),
        ("Dir::Etc::preferences", "/dev/null".to_owned()),
        ("Dir::Etc::preferencesparts", format!("{root}/etc/none")),
        ("Dir::Etc::trusted", "/dev/null".to_owned()),
        ("Dir::Etc::trustedparts", format!("{root}/etc/keys")),
        ("Dir::Log", format!("{root}/log")),
        ("APT::Architecture", ARCHITECTURE.to_owned()),
        ("APT::Architectures", ARCHITECTURE.to_owned()),
        ("APT::Install-Recommends", "false".to_owned()),
        ("APT::Install-Suggests", "false".to_owned()),
        // apt counts itself as essential; a node has no apt.
        ("pkgCacheGen::ForceEssential", ",".to_owned()),
        // The folders are ours and nobody else's.
        ("APT::Sandbox::User", "root".to_owned()),
        // An index that cannot be had is an error, not a warning.
        ("APT::Update::Error-Mode", "any".to_owned()),
        ("Acquire::Languages", "none".to_owned()),
        // What --print-uris shows.
        ("Acquire::ForceHash", "SHA256".to_owned()),
        // Loopback never goes through a proxy.
        ("Acquire::http::Proxy::127.0.0.1", "DIRECT".to_owned()),
        ("Acquire::http::Proxy::localhost", "DIRECT".to_owned()),
        // We try again ourselves.
        ("Acquire::Retries", "0".to_owned()),
        ("Acquire::http::Timeout", TIMEOUT_SECONDS.to_string()),
        ("Acquire::https::Timeout", TIMEOUT_SECONDS.to_string()),
    ];
    for (name, value) in settings {
        let _infallible = writeln!(text, "{name} \"{value}\";");
    }
    Ok(text)
}

fn inherited(line: &str) -> bool {
    let name = line.split(' ').next().unwrap_or_default();
    INHERITED
        .iter()
        .any(|prefix| name == *prefix || name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("::")))
}

/// `METHODS='/usr/lib/apt/methods/'` → `/usr/lib/apt/apt-helper`, which Debian puts beside the methods.
fn helper(shell: &str) -> Option<PathBuf> {
    let methods = shell.trim().strip_prefix("METHODS=")?.trim_matches('\'');
    Some(Path::new(methods.trim_end_matches('/')).parent()?.join("apt-helper"))
}

/// One line of `--print-uris`: `'URL' name_version_architecture.deb size SHA256:digest`.
fn parse_uri(line: &str, archives: &Archives) -> Option<Package> {
    let (url, rest) = line.strip_prefix('\'')?.split_once("' ")?;
    let mut words = rest.split(' ');
    let (file, size, hash) = (words.next()?, words.next()?, words.next()?);
    let (name, version) = parse_deb_name(file)?;
    let sha256 = hash.strip_prefix("SHA256:")?.to_owned();
    let valid = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then_some(())?;
    Some(Package { name, version, sha256, size: size.parse().ok()?, path: archives.path_of(url)? })
}

/// `docker.io_26.1.5+dfsg1-9_amd64.deb` → name and version; apt writes the colon of an epoch as `%3a`.
fn parse_deb_name(file: &str) -> Option<(String, String)> {
    let mut parts = file.strip_suffix(".deb")?.split('_');
    let (name, version) = (parts.next()?, parts.next()?);
    let valid = parts.next().is_some() && parts.next().is_none() && !name.is_empty();
    let version = percent_decode_str(version).decode_utf8().ok()?;
    valid.then(|| (name.to_owned(), version.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_archives_are_taken_apart() {
        assert_eq!(
            parse_deb_name("iptables_1%3a1.8.11-2_amd64.deb"),
            Some(("iptables".to_owned(), "1:1.8.11-2".to_owned()))
        );
        for bad in ["partial", "a.deb", "a_1.deb", "a_1_amd64_x.deb", "_1_amd64.deb"] {
            assert_eq!(parse_deb_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn lines_of_print_uris_become_packages() {
        let digest = "23a6f8a774d5dceda5f759b4ecdcdd652dfbefbf8271912e6a7ab0ee3250dc75";
        let url = "http://security.debian.org/debian-security/pool/updates/main/libz/libzstd/libzstd1_1.5.7%2bdfsg-1_amd64.deb";
        let line = format!("'{url}' libzstd1_1.5.7+dfsg-1_amd64.deb 304140 SHA256:{digest}");
        let package = parse_uri(&line, &Archives::default()).unwrap();
        assert_eq!(package.path, "debian-security/pool/updates/main/libz/libzstd/libzstd1_1.5.7+dfsg-1_amd64.deb");
        assert_eq!((package.name.as_str(), package.size), ("libzstd1", 304_140));
        // Another hash, none, or a mirror that we did not ask for.
        for bad in [line.replace("SHA256", "MD5Sum"), line.replace(digest, ""), line.replace("security.debian", "x")] {
            assert_eq!(parse_uri(&bad, &Archives::default()), None, "{bad}");
        }
    }

    #[test]
    fn only_the_way_to_the_network_is_taken_from_the_machine() {
        let dump = "Acquire::http::Proxy \"http://proxy:3128\";\nAcquire::https::CaInfo \"/ca\";\n\
            Acquire::Check-Valid-Until \"false\";\nAcquire::AllowInsecureRepositories \"1\";\nAcquire::httpx \"1\";\n\
            APT::Default-Release \"sid\";\nDPkg::Post-Invoke:: \"rm\";\nDir::Etc::parts \"/etc/apt\";\n";
        let text = configuration(Path::new("/a folder"), dump).unwrap();
        assert!(
            text.starts_with(
                "Acquire::http::Proxy \"http://proxy:3128\";\nAcquire::https::CaInfo \"/ca\";\nDir::State "
            )
        );
        for foreign in ["Check-Valid", "Insecure", "httpx", "sid", "rm", "/etc/apt\""] {
            assert!(!text.contains(foreign), "{foreign}: {text}");
        }
        assert!(configuration(Path::new("/a\"b"), dump).is_err());
    }

    #[test]
    fn the_helper_is_beside_the_methods() {
        assert_eq!(helper("METHODS='/usr/lib/apt/methods/'\n").unwrap(), Path::new("/usr/lib/apt/apt-helper"));
        assert_eq!(helper(""), None);
    }
}
