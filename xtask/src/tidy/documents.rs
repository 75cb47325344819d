//! Tests of the documents: links lead somewhere, and what they tell to type can be typed.

use std::path::PathBuf;

use clap::Parser as _;

use super::root;

/// The Markdown files that people read, with their text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for folder in ["", "docs", "docs/architecture"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&path).unwrap();
                all.push((path, text));
            }
        }
    }
    assert!(all.len() > 8, "only {} documents were found", all.len());
    all
}

/// Targets of the links in a Markdown text, without those in code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second part is inline code.
        let prose: Vec<&str> = line.split('`').step_by(2).collect();
        let prose = prose.join("`");
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        found.extend(targets.map(str::to_owned));
    }
    found
}

/// The anchor of a heading, as code forges make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_matches(['#', ' ']).to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_are_found_and_anchors_made() {
    let text =
        "see [a](a.md), [b c](docs/b.md#two-words) and `[x](no.md)`\n```\n[y](no.md)\n```\n[z](https://example.com)";
    assert_eq!(links(text), ["a.md", "docs/b.md#two-words", "https://example.com"]);
    assert_eq!(anchor("## The two commands"), "the-two-commands");
    assert_eq!(anchor("# `publish`, and after"), "publish-and-after");
}

#[test]
fn every_link_leads_somewhere() {
    let (mut dead, mut checked) = (Vec::new(), 0);
    for (path, text) in documents() {
        for link in links(&text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            checked += 1;
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            if !target.exists() {
                dead.push(format!("{}: there is no {link}", path.display()));
            } else if !heading.is_empty() {
                let there = std::fs::read_to_string(&target).unwrap_or_default();
                if !there.lines().any(|line| line.starts_with('#') && anchor(line) == heading) {
                    dead.push(format!("{}: {link} names no heading", path.display()));
                }
            }
        }
    }
    assert!(checked > 10, "only {checked} links were found");
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

/// What stands behind each `cargo xtask` of a text, up to where the command ends.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in text.lines() {
        // Inline code ends at a backquote, a command of a shell at a comment, a pipe or a redirection.
        for rest in line.split("cargo xtask ").skip(1) {
            let command = rest.split(['`', '#', '|', '>', ')', '"', '\u{2192}', '\u{2502}']).next().unwrap_or_default();
            // Beyond two spaces is what a command does, in words.
            let command = command.split("  ").next().unwrap_or_default();
            let words =
                command.split_whitespace().map(|word| word.trim_end_matches(['.', ';', ':', ',', '…']).to_owned());
            found.push(words.filter(|word| !word.is_empty()).collect());
        }
    }
    found
}

#[test]
fn what_documents_tell_to_type_can_be_typed() {
    let (mut wrong, mut checked) = (Vec::new(), 0);
    let mut texts = documents();
    let examples = crate::Arguments::try_parse_from(["xtask", "--help"]).unwrap_err().to_string();
    texts.push(("cargo xtask --help".into(), examples));
    for (path, text) in texts {
        for words in commands(&text).into_iter().filter(|words| !words.is_empty()) {
            checked += 1;
            let parsed =
                crate::Arguments::try_parse_from(std::iter::once("xtask".to_owned()).chain(words.iter().cloned()));
            if let Err(error) = parsed
                && error.use_stderr()
            {
                let reason = error.to_string();
                wrong.push(format!(
                    "{}: `cargo xtask {}`: {}",
                    path.display(),
                    words.join(" "),
                    reason.lines().next().unwrap_or_default()
                ));
            }
        }
    }
    assert!(checked > 40, "only {checked} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where paths begin that documents name in inline code.
const FOLDERS: [&str; 9] =
    ["bats/", "cloud-init/", "clusters/", "crates/", "docs/", "e2e/", "flake/", "images/", "xtask/"];

/// `a{b,c}d` as `abd` and `acd`.
fn alternatives(path: &str) -> Vec<String> {
    match (path.split_once('{'), path.split_once('}')) {
        (Some((before, _)), Some((inside, after))) => {
            let inside = inside.split_once('{').map_or("", |(_, inside)| inside);
            inside.split(',').map(|one| format!("{before}{one}{after}")).collect()
        }
        _ => vec![path.to_owned()],
    }
}

/// The paths within the repository that a text names in inline code.
fn paths(text: &str) -> Vec<String> {
    let spans = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
    spans
        .filter_map(|span| span.split_whitespace().next().map(|word| word.trim_end_matches([',', ':', ';']).to_owned()))
        // What stands for many: a placeholder or a pattern.
        .filter(|path| !path.contains(['<', '*', '…']) && !path.contains("NAME"))
        .filter(|path| FOLDERS.iter().any(|folder| path.starts_with(folder)))
        .flat_map(|path| alternatives(&path))
        .collect()
}

#[test]
fn every_path_that_documents_name_exists() {
    assert_eq!(
        paths("see `crates/a/{b,c}.rs`, `docs/x.md#y z` and `e2e/<name>`"),
        ["crates/a/b.rs", "crates/a/c.rs", "docs/x.md#y"]
    );
    let (mut gone, mut checked) = (Vec::new(), 0);
    for (path, text) in documents() {
        for named in paths(&text) {
            checked += 1;
            if !root().join(named.split('#').next().unwrap_or_default()).exists() {
                gone.push(format!("{}: there is no {named}", path.display()));
            }
        }
    }
    assert!(checked > 60, "only {checked} paths were found");
    assert!(gone.is_empty(), "{}", gone.join("\n"));
}
