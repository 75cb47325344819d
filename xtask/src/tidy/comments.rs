//! A test of the comments: none only repeats the name of what it stands above.

use std::collections::BTreeSet;

use super::{root, sources};

/// Words that say nothing of their own.
const EMPTY: [&str; 24] = [
    "a", "an", "and", "are", "by", "for", "from", "in", "is", "it", "its", "of", "on", "one", "that", "the", "their",
    "them", "this", "to", "under", "what", "which", "with",
];
/// Whole comments that say nothing, whatever they stand above: they would be true of every other item of the kind.
const HOLLOW: [&str; 7] = [
    "A failure.",
    "Its name.",
    "Runs the verb.",
    "The bucket.",
    "The document.",
    "The failures.",
    "Whether nothing is changed.",
];
/// What may stand between a comment and the name of an item.
const BEFORE_A_NAME: [&str; 12] =
    ["pub", "pub(crate)", "pub(super)", "async", "const", "enum", "fn", "mod", "static", "struct", "trait", "type"];

/// The words of a text or a name: `ManagerRecord`, `manager_record` and "managers' records" are the same two.
fn words(text: &str) -> BTreeSet<String> {
    let (mut words, mut word) = (BTreeSet::new(), String::new());
    let mut was_small = false;
    for c in text.chars().chain([' ']) {
        if !c.is_alphanumeric() || (c.is_uppercase() && was_small) {
            let one = std::mem::take(&mut word).to_lowercase();
            let stem = one.trim_end_matches('s');
            if !stem.is_empty() {
                words.insert(stem.to_owned());
            }
        }
        if c.is_alphanumeric() {
            word.push(c);
        }
        was_small = c.is_lowercase() || c.is_ascii_digit();
    }
    words
}

/// Whether a comment says nothing that the name below it does not say.
fn repeats(comment: &str, name: &str) -> bool {
    let empty: BTreeSet<String> = EMPTY.iter().flat_map(|word| words(word)).collect();
    let name = words(name);
    words(comment).difference(&empty).all(|word| name.contains(word))
}

/// Whether a comment is one of those that say nothing anywhere, also without its full stop.
fn hollow(comment: &str) -> bool {
    let comment = comment.trim().trim_end_matches('.');
    HOLLOW.iter().any(|one| one.trim_end_matches('.').eq_ignore_ascii_case(comment))
}

/// The name of the item that a line of code begins.
fn name(code: &str) -> Option<&str> {
    let mut rest = code.trim_start();
    loop {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let end = if rest[..end] == *"pub" && rest[end..].starts_with('(') { rest.find(')')? + 1 } else { end };
        let word = &rest[..end];
        if !BEFORE_A_NAME.contains(&word) {
            return Some(word).filter(|word| !word.is_empty());
        }
        rest = rest[end..].trim_start();
    }
}

#[test]
fn names_and_words_are_found() {
    for (code, expected) in [
        ("    pub(crate) async fn remove_tap(&self)", "remove_tap"),
        ("pub struct S3Bucket {", "S3Bucket"),
        ("    Ec2,", "Ec2"),
        ("    pub port: u16,", "port"),
        ("const DNS: Ipv4Addr", "DNS"),
    ] {
        assert_eq!(name(code), Some(expected));
    }
    for (comment, name) in
        [("Its port.", "port"), ("The manager's records.", "ManagerRecord"), ("An S3 bucket.", "S3Bucket")]
    {
        assert!(repeats(comment, name), "{comment} {name}");
    }
    for (comment, name) in [("TCP port.", "port"), ("Seconds.", "timeout"), ("Objects of one bucket.", "S3Bucket")] {
        assert!(!repeats(comment, name), "{comment} {name}");
    }
}

#[test]
fn a_comment_is_hollow_as_a_whole_only() {
    for comment in ["Its name.", "its name", "The bucket. ", "Runs the verb."] {
        assert!(hollow(comment), "{comment}");
    }
    for comment in ["Its name, as Swarm has it.", "The bucket of the cluster.", "Name.", ""] {
        assert!(!hollow(comment), "{comment}");
    }
}

#[test]
fn no_comment_only_repeats_a_name() {
    let mut files = Vec::new();
    for folder in ["crates", "xtask", "e2e"] {
        sources(&root().join(folder), &mut files);
    }
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        for (at, line) in lines.iter().enumerate() {
            let is_comment = |line: Option<&&str>| line.is_some_and(|line| line.starts_with("///"));
            let before = at.checked_sub(1).and_then(|at| lines.get(at));
            let Some(comment) = line.strip_prefix("/// ") else { continue };
            if is_comment(before) || is_comment(lines.get(at + 1)) {
                continue;
            }
            if hollow(comment) {
                wrong.push(format!("{}:{}: {comment:?} would be true of anything", file.display(), at + 1));
                continue;
            }
            let item = lines[at + 1..].iter().find(|line| !line.starts_with("#["));
            let Some(name) = item.and_then(|item| name(item)) else { continue };
            checked += 1;
            if repeats(comment, name) {
                wrong.push(format!("{}:{}: {comment:?} says nothing that `{name}` does not", file.display(), at + 1));
            }
        }
    }
    assert!(checked > 1000, "only {checked} comments were found");
    assert!(wrong.is_empty(), "say a unit, a source or an invariant, or leave the comment away:\n{}", wrong.join("\n"));
}
