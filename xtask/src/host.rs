//! What the host must have before anything else can run: a handful of small programs, installed with apt when we may.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use futuswarm_output::eprintln;

use crate::cargo::LOCALE;
use crate::process;

/// A program or file, and the Debian package that brings it.
struct Need {
    what: &'static str,
    package: &'static str,
    present: fn() -> bool,
}

/// Everything else comes from the tools tree.
const NEEDS: &[Need] = &[
    Need { what: "mmdebstrap", package: "mmdebstrap", present: || process::on_path("mmdebstrap") },
    Need { what: "ip", package: "iproute2", present: || process::on_path("ip") },
    Need { what: "cc (a linker for Rust)", package: "gcc", present: || process::on_path("cc") },
    Need {
        what: "the C library's headers",
        package: "libc6-dev",
        present: || Path::new("/usr/include/stdio.h").exists(),
    },
    Need {
        what: "python3 with venv",
        package: "python3-venv",
        present: || {
            Command::new("/usr/bin/python3")
                .args(["-c", "import ensurepip, venv"])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        },
    },
    Need {
        what: "TLS certificates",
        package: "ca-certificates",
        present: || Path::new("/etc/ssl/certs/ca-certificates.crt").exists(),
    },
];

/// Installs what is missing, after saying what; with `install` off it only says what is missing, and fails.
pub fn prepare(install: bool) -> anyhow::Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let line = format!("apt-get install --yes --no-install-recommends {}", packages.join(" "));
    for need in &missing {
        eprintln!("missing: {} (package {})", need.what, need.package);
    }
    if !install {
        bail!("this machine lacks {} package(s); install them with `{line}`", packages.len());
    }
    if !process::on_path("apt-get") {
        bail!("this machine lacks what is listed above and has no apt-get; install it in your system's own way");
    }
    let root = is_root();
    if !root && !can_sudo() {
        bail!(
            "this machine lacks {} package(s) and sudo asks for a password; run `sudo {line}` and try again",
            packages.len()
        );
    }
    eprintln!("installing: {}", packages.join(" "));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new(if root { "apt-get" } else { "sudo" });
        if !root {
            command.args(["-n", "apt-get"]);
        }
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").env(LOCALE.0, LOCALE.1);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    };
    // A list of packages that is too old names files which the mirror no longer has.
    process::run(&mut apt(&["update", "--quiet", "--quiet"])).context("apt-get update")?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends", "--quiet", "--quiet"];
    arguments.extend(&packages);
    process::run(&mut apt(&arguments)).context("apt-get install")?;
    let still: Vec<&str> = NEEDS.iter().filter(|need| !(need.present)()).map(|need| need.what).collect();
    if !still.is_empty() {
        bail!("apt-get installed the packages, but this is still missing: {}", still.join(", "));
    }
    Ok(())
}

/// Whether we are root: the owner of our own /proc folder.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0)
}

fn can_sudo() -> bool {
    Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
