//! A package archive on this machine that has exactly what a lock names, so that mmdebstrap has no choice.
//!
//! It is not signed: every file in it was compared with the lock's digest when it was put there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use futuswarm_image_format::Package;
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::apt::ARCHITECTURE;
use crate::archive::encode;
use crate::lock::Lock;
use crate::run::run;

/// Makes the archive in `dir`, which must be absolute, of the files that `deb` names; returns apt's line for it.
///
/// # Errors
/// When a file cannot be read, or is another package than the lock says.
pub fn make(dir: &Path, suite: &str, lock: &Lock, deb: &(dyn Fn(&Package) -> PathBuf + Sync)) -> Result<String, Error> {
    let index = dir.join(format!("dists/{suite}/main/binary-{ARCHITECTURE}"));
    let pool = dir.join("pool");
    for folder in [&index, &pool] {
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<&[Package]> = lock.package.chunks(lock.package.len().div_ceil(threads).max(1)).collect();
    let stanzas = std::thread::scope(|scope| {
        let work = |part: &'_ [Package]| part.iter().map(|package| add(&pool, package, &deb(package))).collect();
        let threads: Vec<_> = parts.into_iter().map(|part| scope.spawn(move || work(part))).collect();
        threads.into_iter().map(join).collect::<Vec<Result<Vec<String>, Error>>>()
    });
    let packages = stanzas.into_iter().collect::<Result<Vec<_>, _>>()?.concat().join("\n");
    write(&index.join("Packages"), &packages)?;
    // apt asks for the suite's name.
    let release = format!(
        "Suite: {suite}\nCodename: {suite}\nArchitectures: {ARCHITECTURE}\nComponents: main\nSHA256:\n {} {} main/binary-{ARCHITECTURE}/Packages\n",
        hex::encode(Sha256::digest(&packages)),
        packages.len(),
    );
    write(&dir.join(format!("dists/{suite}/Release")), &release)?;
    Ok(format!("deb [trusted=yes] copy://{} {suite} main", encode(&dir.to_string_lossy())))
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(Error::file(path))
}

/// Puts a package into the pool; returns its part of the index.
fn add(pool: &Path, package: &Package, deb: &Path) -> Result<String, Error> {
    let name = format!("{}.deb", package.sha256);
    let path = pool.join(&name);
    // The cache may be on another file system.
    if std::fs::hard_link(deb, &path).is_err() {
        std::fs::copy(deb, &path).map_err(Error::file(deb))?;
    }
    let control = run("dpkg-deb", Command::new("dpkg-deb").arg("--field").arg(&path).env("LC_ALL", "C"))?;
    stanza(package, &String::from_utf8_lossy(&control), &format!("pool/{name}"))
        .map_err(|reason| Error::Malformed { path: deb.to_owned(), reason })
}

/// The part of an index about one package, from the control file inside it.
fn stanza(package: &Package, control: &str, file: &str) -> Result<String, String> {
    let field = |name: &str| control.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let (name, version) = (field("Package").unwrap_or_default(), field("Version").unwrap_or_default());
    if (name, version) != (&package.name, &package.version) {
        return Err(format!("it is {name} {version}, and the lock says {} {}", package.name, package.version));
    }
    let mut text = control.trim_end().to_owned();
    let _infallible = write!(text, "\nFilename: {file}\nSize: {}\nSHA256: {}\n", package.size, package.sha256);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_is_the_control_file_and_where_the_package_is() {
        let package = Package {
            name: "tini".to_owned(),
            version: "0.19.0-3".to_owned(),
            sha256: "ab".to_owned(),
            size: 7,
            path: "debian/pool/main/t/tini/tini_0.19.0-3_amd64.deb".to_owned(),
        };
        let control = "Package: tini\nVersion: 0.19.0-3\nDescription: init\n Package: x\n";
        let text = stanza(&package, control, "pool/ab.deb").unwrap();
        assert_eq!(text, format!("{control}Filename: pool/ab.deb\nSize: 7\nSHA256: ab\n"));
        let other = stanza(&package, &control.replace("0.19.0-3", "0.20"), "pool/ab.deb").unwrap_err();
        assert_eq!(other, "it is tini 0.20, and the lock says tini 0.19.0-3");
    }
}
