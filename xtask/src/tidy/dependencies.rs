//! Tests of what we depend on: licences, sources, bans and unused dependencies, without a network. `cargo deny check` says
//! the same of the first three, and more: advisories and yanked versions, which only a network knows.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use super::{root, sources};

/// The one source of crates that are not ours.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What cargo resolves for our target.
pub(super) fn metadata() -> Value {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["metadata", "--format-version", "1", "--locked", "--offline"]);
    let output = cargo.args(["--filter-platform", "x86_64-unknown-linux-gnu"]).output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every package that is built for our target, as cargo resolves it.
static PACKAGES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let mut metadata = metadata();
    let built: BTreeSet<String> =
        metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|node| text(&node["id"])).collect();
    let Value::Array(mut packages) = metadata["packages"].take() else { panic!("no packages") };
    packages.retain(|package| built.contains(&text(&package["id"])));
    assert!(packages.len() > 200, "only {} packages were found", packages.len());
    packages
});

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn name(package: &Value) -> String {
    format!("{} {}", text(&package["name"]), text(&package["version"]))
}

/// Packages of the workspace.
fn ours() -> impl Iterator<Item = &'static Value> {
    PACKAGES.iter().filter(|package| package["source"].is_null())
}

fn deny() -> toml::Table {
    std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap()
}

/// Whether a licence expression (<https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/>) can be met with these
/// licences. `None` when it is no expression.
fn met(expression: &str, allowed: &BTreeSet<String>) -> Option<bool> {
    // Before 2018 crates wrote a slash for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let outcome = any(&mut rest, allowed)?;
    rest.is_empty().then_some(outcome)
}

fn any(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut outcome = all(rest, allowed)?;
    while let ["OR", after @ ..] = *rest {
        *rest = after;
        outcome |= all(rest, allowed)?;
    }
    Some(outcome)
}

fn all(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut outcome = one(rest, allowed)?;
    while let ["AND", after @ ..] = *rest {
        *rest = after;
        outcome &= one(rest, allowed)?;
    }
    Some(outcome)
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let outcome = any(rest, allowed)?;
            let [")", after @ ..] = *rest else { return None };
            *rest = after;
            Some(outcome)
        }
        [")" | "AND" | "OR" | "WITH", ..] | [] => None,
        [licence, "WITH", exception, after @ ..] => {
            *rest = after;
            Some(allowed.contains(&format!("{licence} WITH {exception}")))
        }
        [licence, after @ ..] => {
            *rest = after;
            Some(allowed.contains(*licence))
        }
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed: BTreeSet<String> = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for (expression, outcome) in [
        ("MIT", Some(true)),
        ("GPL-3.0-only", Some(false)),
        ("MIT OR GPL-3.0-only", Some(true)),
        ("MIT AND GPL-3.0-only", Some(false)),
        ("GPL-3.0-only OR MIT AND ISC", Some(true)),
        ("(GPL-3.0-only OR MIT) AND Zlib", Some(false)),
        ("ISC AND (Zlib OR MIT)", Some(true)),
        ("MIT/Apache-2.0", Some(true)),
        ("Apache-2.0 WITH LLVM-exception", Some(true)),
        ("Apache-2.0 OR Zlib", Some(false)),
        ("", None),
        ("MIT OR", None),
        ("(MIT", None),
        ("MIT ISC", None),
    ] {
        assert_eq!(met(expression, &allowed), outcome, "{expression}");
    }
}

#[test]
fn every_licence_is_allowed() {
    let deny = deny();
    let allowed = deny["licenses"]["allow"].as_array().unwrap().iter();
    let allowed: BTreeSet<String> = allowed.map(|licence| licence.as_str().unwrap().to_owned()).collect();
    let refused: Vec<String> = PACKAGES
        .iter()
        .filter(|package| met(&text(&package["license"]), &allowed) != Some(true))
        .map(|package| format!("{}: {:?} is not allowed by deny.toml", name(package), text(&package["license"])))
        .collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn every_crate_comes_from_the_registry() {
    let elsewhere: Vec<String> = PACKAGES
        .iter()
        .filter(|package| !package["source"].is_null() && package["source"] != REGISTRY)
        .map(|package| format!("{} comes from {}", name(package), package["source"]))
        .collect();
    assert!(elsewhere.is_empty(), "{}", elsewhere.join("\n"));
    let outside: Vec<String> = ours()
        .filter(|package| !Path::new(&text(&package["manifest_path"])).starts_with(root().canonicalize().unwrap()))
        .map(name)
        .collect();
    assert!(outside.is_empty(), "outside of the clone: {}", outside.join(", "));
}

#[test]
fn banned_crates_and_wildcards_are_absent() {
    let deny = deny();
    let banned: Vec<&str> =
        deny["bans"]["deny"].as_array().unwrap().iter().map(|ban| ban["crate"].as_str().unwrap()).collect();
    assert!(banned.contains(&"openssl-sys"), "{banned:?}");
    let mut wrong: Vec<String> = PACKAGES
        .iter()
        .filter(|package| banned.contains(&package["name"].as_str().unwrap_or_default()))
        .map(|package| format!("{} is banned by deny.toml", name(package)))
        .collect();
    for package in ours() {
        for dependency in package["dependencies"].as_array().unwrap() {
            if dependency["req"] == "*" && dependency["path"].is_null() {
                wrong.push(format!("{} takes any version of {}", name(package), dependency["name"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether Rust code names a crate: in a path, or alone in a `use`.
fn names(code: &str, ident: &str) -> bool {
    let word = |byte: Option<u8>| byte.is_some_and(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
    code.match_indices(ident).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + ident.len()..]);
        let whole = !word(before.bytes().last()) && !word(after.bytes().next()) && !before.ends_with("::");
        whole && (after.starts_with("::") || before.ends_with("use ") || before.ends_with("extern crate "))
    })
}

#[test]
fn a_crate_is_named_by_paths_and_not_by_prose() {
    for code in
        ["use hex;", "hex::encode(x)", "#[tokio::main] use hex as y;", "pub use hex::encode;", "let x = &hex::encode;"]
    {
        assert!(names(code, "hex"), "{code}");
    }
    for code in ["// as hex", "to_hex::x()", "hexadecimal::x()", "x.hex()", "crate::hex::encode(x)", "let hex = 1;"] {
        assert!(!names(code, "hex"), "{code}");
    }
}

/// Rust code without the lines that are comments: a link in one needs no dependency.
fn without_comments(code: &str) -> String {
    code.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

/// What of a file is compiled outside of its tests: everything before a module of tests that has its body here.
fn outside_of_tests(code: &str) -> &str {
    let begins_tests = |rest: &str| {
        let head = rest.find(['{', ';']).filter(|end| rest[*end..].starts_with('{')).map_or("", |end| &rest[..end]);
        head.lines().any(|line| line.split_whitespace().any(|word| word == "mod"))
    };
    let cut = code.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|at| begins_tests(&code[*at..]));
    cut.map_or(code, |at| &code[..at])
}

/// Whether a file of a package has tests only.
fn is_test(file: &Path) -> bool {
    file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn code_is_told_from_comments_and_tests() {
    assert_eq!(without_comments("/// [`hex::encode`]\nuse sha2;\n    // hex::decode\n"), "use sha2;\n");
    for whole in ["fn a() {}\n#[cfg(test)]\nmod tests;\n", "#[cfg(test)]\nfn b() { hex::c() }\n", "fn mod_a() {}"] {
        assert_eq!(outside_of_tests(whole), whole);
    }
    for module in ["mod tests {\n use hex; }", "pub(crate) mod tests {\n}"] {
        assert_eq!(outside_of_tests(&format!("fn a() {{}}\n#[cfg(test)]\n{module}")), "fn a() {}\n");
    }
    assert!(is_test(Path::new("src/tests.rs")) && is_test(Path::new("src/a/tests/b.rs")));
    assert!(!is_test(Path::new("src/testing.rs")));
}

#[test]
fn every_dependency_is_used() {
    let mut unused = Vec::new();
    let mut used_by_anybody = BTreeSet::new();
    for package in ours() {
        let manifest = text(&package["manifest_path"]);
        let mut files = Vec::new();
        let folder = Path::new(&manifest).parent().unwrap();
        sources(folder, &mut files);
        let (mut code, mut with_tests) = (String::new(), String::new());
        for file in files {
            let text = without_comments(&std::fs::read_to_string(&file).unwrap());
            // Within the package: the clone may be below a folder of any name.
            if !is_test(file.strip_prefix(folder).unwrap()) {
                code.push_str(outside_of_tests(&text));
            }
            with_tests.push_str(&text);
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            let key = match dependency["rename"].as_str() {
                Some(rename) => rename.to_owned(),
                None => text(&dependency["name"]),
            };
            let of_tests = dependency["kind"] == "dev";
            let code = if of_tests { with_tests.as_str() } else { code.as_str() };
            if !names(code, &key.replace('-', "_")) {
                let where_else = if of_tests { "" } else { " outside of comments and tests" };
                unused.push(format!("{manifest}: no code names {key}{where_else}"));
            }
            used_by_anybody.insert(key);
        }
    }
    let workspace: toml::Table = std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let declared = workspace["workspace"]["dependencies"].as_table().unwrap().keys();
    unused.extend(
        declared
            .filter(|key| !used_by_anybody.contains(*key))
            .map(|key| format!("Cargo.toml: no crate depends on {key}")),
    );
    assert!(unused.is_empty(), "{}", unused.join("\n"));
}
