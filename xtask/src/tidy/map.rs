//! The crate map: which crate may know which, and which of them may know AWS. Held against `cargo metadata` and ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;

use super::root;

/// A crate and what it depends on outside of its tests. Tests may depend on anything that cargo lets them.
struct Row {
    /// The name without `futuswarm-`.
    name: &'static str,
    knows: &'static [&'static str],
    /// Whether an `aws-sdk-*` crate is compiled into it, by whatever way.
    sdk: bool,
}

const fn pure(name: &'static str, knows: &'static [&'static str]) -> Row {
    Row { name, knows, sdk: false }
}

const fn aws(name: &'static str, knows: &'static [&'static str]) -> Row {
    Row { name, knows, sdk: true }
}

/// From the ground up: a crate knows only what stands above it in this table, so that no circle can begin.
const FLOORS: &[(&str, &[Row])] = &[
    // Words and tools that everybody may use.
    (
        "ground",
        &[
            pure("model", &[]),
            pure("retry", &[]),
            pure("paths", &[]),
            pure("output", &[]),
            pure("secret", &[]),
            pure("image-format", &[]),
            pure("faults", &[]),
            pure("node-files", &[]),
            pure("local-api", &[]),
        ],
    ),
    // Decisions and texts, without input or output.
    (
        "pure",
        &[
            pure("iam", &[]),
            pure("firewall", &[]),
            pure("edge", &["secret"]),
            pure("sso", &["model", "secret"]),
            pure("spec", &["model", "sso"]),
            pure("userdata", &["model"]),
            pure("paas", &["model"]),
            pure("rpc", &["model"]),
            pure("ssh-keys", &["secret"]),
        ],
    ),
    // What speaks to the outside.
    (
        "clients",
        &[
            aws("aws", &[]),
            aws("imds", &[]),
            aws("store", &["aws", "faults", "model", "retry"]),
            aws("vault", &["aws", "faults", "secret"]),
            pure("swarm", &["faults", "model", "secret"]),
            aws("database", &["aws", "faults", "retry", "secret"]),
        ],
    ),
    (
        "image",
        &[
            pure("initrd", &[]),
            pure("mainpage", &[]),
            pure("probe", &[]),
            pure("tools", &["paths"]),
            pure("bake", &["image-format", "output", "paths", "tools"]),
            aws("publish", &["aws", "image-format", "output", "paths", "retry"]),
        ],
    ),
    // What app developers have on their own machines: no AWS.
    ("developers", &[pure("cli", &["model", "output", "paas", "rpc"])]),
    (
        "account",
        &[
            pure("converge", &["retry"]),
            aws(
                "provision",
                &[
                    "aws", "converge", "edge", "model", "output", "retry", "spec", "ssh-keys", "sso", "store",
                    "userdata", "vault",
                ],
            ),
        ],
    ),
    (
        "nodes",
        &[
            aws("edge-agent", &["edge", "model", "node-files", "retry", "sso", "store", "swarm", "vault"]),
            aws(
                "agent",
                &[
                    "aws",
                    "edge",
                    "firewall",
                    "imds",
                    "model",
                    "node-files",
                    "retry",
                    "ssh-keys",
                    "sso",
                    "store",
                    "swarm",
                    "userdata",
                    "vault",
                ],
            ),
            pure("session", &["model", "node-files", "rpc", "ssh-keys"]),
            aws(
                "server",
                &[
                    "aws",
                    "database",
                    "edge",
                    "model",
                    "node-files",
                    "paas",
                    "retry",
                    "rpc",
                    "secret",
                    "ssh-keys",
                    "store",
                    "swarm",
                    "vault",
                ],
            ),
            aws(
                "node",
                &[
                    "agent",
                    "aws",
                    "edge",
                    "edge-agent",
                    "model",
                    "node-files",
                    "output",
                    "server",
                    "session",
                    "store",
                    "swarm",
                    "vault",
                ],
            ),
        ],
    ),
    (
        "rehearsal",
        &[
            aws("aws-front", &["aws", "iam", "local-api", "secret"]),
            aws("local", &["aws", "aws-front", "local-api", "output", "paths", "secret", "spec", "tools"]),
            aws(
                "bench",
                &[
                    "aws", "database", "edge", "faults", "model", "output", "paas", "rpc", "server", "session",
                    "store", "swarm", "tools", "vault",
                ],
            ),
            aws("fuzz-targets", &["cli", "edge", "faults", "model", "paas", "rpc", "server", "vault"]),
            pure("testkit", &["image-format", "local-api", "paths"]),
            pure("e2e", &[]),
            pure("xtask", &["image-format", "local-api", "output", "paths", "tools"]),
        ],
    ),
];

fn rows() -> impl Iterator<Item = &'static Row> {
    FLOORS.iter().flat_map(|(_, rows)| rows.iter())
}

/// Crates of what comes next, and what they will know: who makes one moves its row into [`FLOORS`].
const LATER: &[Row] = &[
    // EBS volumes of nodes.
    aws("volume", &["aws", "imds", "model", "retry"]),
    pure("chaos", &["paths"]),
];

/// Crates that only decide or render: besides the SDK they have none of these either.
const NO_INPUT_OR_OUTPUT: [&str; 11] =
    ["edge", "firewall", "iam", "model", "paas", "rpc", "secret", "spec", "ssh-keys", "sso", "userdata"];
const INPUT_AND_OUTPUT: [&str; 4] = ["bollard", "hyper", "rustix", "tokio"];

static METADATA: LazyLock<Value> = LazyLock::new(super::dependencies::metadata);

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Name → the names of what is compiled into it directly, outside of its tests; for every package.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let names: BTreeMap<&str, &str> = METADATA["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in METADATA["resolve"]["nodes"].as_array().unwrap() {
        // Two versions of one package are one here.
        let into = all.entry(names[text(&node["id"])].to_owned()).or_default();
        for dependency in node["deps"].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            if kinds.iter().any(|kind| kind["kind"] != "dev") {
                into.insert(names[text(&dependency["pkg"])].to_owned());
            }
        }
    }
    all
}

/// Everything that is compiled into `name`.
fn reach<'a>(graph: &'a BTreeMap<String, BTreeSet<String>>, name: &'a str) -> BTreeSet<&'a str> {
    let (mut all, mut next) = (BTreeSet::new(), vec![name]);
    while let Some(one) = next.pop() {
        for dependency in graph.get(one).into_iter().flatten() {
            if all.insert(dependency.as_str()) {
                next.push(dependency);
            }
        }
    }
    all
}

fn full(name: &str) -> String {
    if name == "xtask" { name.to_owned() } else { format!("futuswarm-{name}") }
}

/// The packages of the workspace.
fn ours() -> BTreeSet<String> {
    let packages = METADATA["packages"].as_array().unwrap().iter();
    packages.filter(|package| package["source"].is_null()).map(|package| text(&package["name"]).to_owned()).collect()
}

#[test]
fn arrows_of_the_map_go_down_only() {
    let mut above = BTreeSet::new();
    for row in rows() {
        for known in row.knows {
            assert!(above.contains(known), "{} knows {known}, which does not stand above it", row.name);
        }
        assert!(above.insert(row.name), "{} stands in the map twice", row.name);
    }
    for row in LATER {
        assert!(above.insert(row.name), "{} stands in the map twice", row.name);
    }
    for row in LATER {
        for known in row.knows {
            assert!(above.contains(known), "{} will know {known}, which is not in the map", row.name);
        }
    }
}

#[test]
fn every_crate_knows_what_the_map_says() {
    let (graph, ours) = (graph(), ours());
    let mut wrong = Vec::new();
    for row in rows() {
        let Some(dependencies) = graph.get(&full(row.name)) else {
            wrong.push(format!("there is no crate {}", full(row.name)));
            continue;
        };
        let known: BTreeSet<&str> =
            dependencies.iter().filter(|name| ours.contains(*name)).map(String::as_str).collect();
        let allowed: BTreeSet<String> = row.knows.iter().map(|name| full(name)).collect();
        let allowed: BTreeSet<&str> = allowed.iter().map(String::as_str).collect();
        for more in known.difference(&allowed) {
            wrong.push(format!("{} depends on {more}, which the map does not allow", row.name));
        }
        for less in allowed.difference(&known) {
            wrong.push(format!("{} does not depend on {less}, and the map says that it does", row.name));
        }
    }
    let mapped: BTreeSet<String> = rows().map(|row| full(row.name)).collect();
    wrong.extend(ours.difference(&mapped).map(|name| format!("{name} is not in the map")));
    assert!(wrong.is_empty(), "xtask/src/tidy/map.rs:\n{}", wrong.join("\n"));
}

#[test]
fn the_sdk_reaches_only_crates_that_the_map_names() {
    let graph = graph();
    let mut wrong = Vec::new();
    for row in rows() {
        let name = full(row.name);
        let sdk: Vec<&str> =
            reach(&graph, &name).into_iter().filter(|dependency| dependency.starts_with("aws-sdk-")).collect();
        if sdk.is_empty() == row.sdk {
            wrong.push(format!("{}: the map says {}, and it reaches {sdk:?}", row.name, row.sdk));
        }
    }
    assert!(wrong.is_empty(), "xtask/src/tidy/map.rs:\n{}", wrong.join("\n"));
}

#[test]
fn crates_that_decide_and_render_do_no_input_or_output() {
    let graph = graph();
    for name in NO_INPUT_OR_OUTPUT {
        let full = full(name);
        let reached = reach(&graph, &full);
        for forbidden in INPUT_AND_OUTPUT {
            assert!(!reached.contains(forbidden), "{name} depends on {forbidden}");
        }
    }
    // `spec` reads the file that it is given the name of.
    for name in NO_INPUT_OR_OUTPUT.into_iter().filter(|name| *name != "spec") {
        let mut files = Vec::new();
        super::sources(&root().join("crates").join(name).join("src"), &mut files);
        let is_test = |path: &std::path::Path| {
            path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
        };
        for path in files.iter().filter(|path| !is_test(path)) {
            let text = std::fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            assert!(!code.contains("std::fs") && !code.contains("std::net"), "{} does input or output", path.display());
        }
    }
}

#[test]
fn architecture_has_a_row_for_every_crate_with_what_it_knows() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let [place, _, known] = cells[..] else { panic!("a row of three cells is wanted: {line}") };
        let name = place.trim_matches(['|', ' ', '`', '/']).trim_start_matches("crates/").to_owned();
        let known: BTreeSet<String> = known.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        told.insert(name, known);
    }
    let drawn: BTreeMap<String, BTreeSet<String>> =
        rows().map(|row| (row.name.to_owned(), row.knows.iter().map(|name| (*name).to_owned()).collect())).collect();
    let names = |map: &BTreeMap<String, BTreeSet<String>>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&told), names(&drawn), "rows of ARCHITECTURE.md, and of xtask/src/tidy/map.rs");
    for (name, known) in told {
        assert_eq!(known, drawn[&name], "what ARCHITECTURE.md says that {name} knows");
    }
    for row in LATER {
        assert!(text.contains(&format!("`{}`", row.name)), "ARCHITECTURE.md does not name {}", row.name);
    }
}

/// The map as ARCHITECTURE.md draws it: floors with their crates, and arrows, without those to the ground, which everybody may use.
fn drawing() -> String {
    let mut text = "```mermaid\nflowchart TD\n".to_owned();
    for (title, rows) in FLOORS.iter().rev() {
        text.push_str(&format!("    subgraph {title}\n"));
        for row in *rows {
            text.push_str(&format!("        {}\n", row.name));
        }
        text.push_str("    end\n");
    }
    let ground: BTreeSet<&str> = FLOORS[0].1.iter().map(|row| row.name).collect();
    for row in rows() {
        let known: Vec<&str> = row.knows.iter().copied().filter(|known| !ground.contains(known)).collect();
        if !known.is_empty() {
            text.push_str(&format!("    {} --> {}\n", row.name, known.join(" & ")));
        }
    }
    text + "```\n"
}

#[test]
fn architecture_draws_the_map() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let drawing = drawing();
    assert!(text.contains(&drawing), "ARCHITECTURE.md draws another map than this:\n{drawing}");
}

#[test]
fn reach_follows_every_arrow_and_ends_in_a_circle() {
    let arrow = |from: &str, to: &[&str]| (from.to_owned(), to.iter().map(|name| (*name).to_owned()).collect());
    let graph = BTreeMap::from([arrow("a", &["b"]), arrow("b", &["c", "a"]), arrow("c", &[]), arrow("d", &["a"])]);
    assert_eq!(reach(&graph, "a"), BTreeSet::from(["a", "b", "c"]));
    assert_eq!(reach(&graph, "c"), BTreeSet::new());
}
