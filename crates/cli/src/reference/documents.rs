//! What `--json` prints, as `docs/cli.md` has it. `tests/program/answers/documents.rs` holds each row against what the program prints.

use std::collections::BTreeSet;

use clap::CommandFactory as _;
use futuswarm_model::{FailureClass, PassphraseStep, Rotation};
use futuswarm_rpc::message::{ImportOutcome, LinkState};

use super::migration::code;
use crate::arguments::Arguments;

/// Commands that print what a program of the cluster, or of a shell, is given.
const WITHOUT: [&str; 4] = ["app:run", "app:shell", "completions", "db:psql"];

const CLASSES: &str = "image_missing image_platform pull disk_full release_hook exits out_of_memory unhealthy port no_node rejected interfered late";
const STATES: &str = "linked waiting asked gone ended";
const STEPS: &str = "switched twice done";
const ROTATIONS: &str = "in-steps at-once";
const OUTCOMES: &str = "added changed unchanged not_taken";

const SECTION: &str = r#"## What `--json` prints

Each command prints one document, `logs` and `node:json` one for each line. `run`, `shell`, `db:psql` and `completions` print none: what they
write is a program's own. A test runs every command and compares what it prints with this table
(`crates/cli/tests/program/answers/documents.rs`). Fields keep their names and their meaning; others may be added.

A name alone is a text, a number, `true`, `false` or `null`; `[…]` is a list, and `{KEY: …}` an object with names of yours. What is in
capitals has a row of its own at the end, or is a text. An object that there is none of is `null`. Times (`at`, `since`, `created_at`,
`expires_at`) are milliseconds since 1970, sizes are bytes, `…_millis` are thousandths. Nothing is printed when a command is refused, but for
those of the first row; the reason is on standard error in any case.

| command | document | to know |
|---|---|---|
| `app:deploy`, `app:rollback`, `app:scale`, `app:restart`, `app:watch` | `{"app","release","image","url","outcome","seconds","reason"}` | `outcome` is one of `deployed unchanged rolled_back failed timed_out cancelled superseded refused locked`, and `pending` with `--detach`; `reason` says why it failed, or of one that is `deployed` which edges were not waited for any longer, and is `null` otherwise |
| `app:deploy --plan` | `{"app","new","changes":[{"name","before","after"}]}` | names as in `app.toml`; an empty text is nothing |
| `app:list`, `acl:user:services` | `[{"app","url","release","image","role","running","replicas","deploying","open"}]` | `open` is whether the world may use it; `app:list -a` prints what `app:ps` prints |
| `app:inspect` | `{"app","url","release","image","role","running","replicas","deploying","open","visitors":[VISITOR],"login","digest","settings":SETTINGS,"config","secrets","created_by","created_at","tasks":[TASK]}` | `config` and `secrets` are versions; `visitors` and `login` as for `app:access:list` |
| `app:ps`, `swarm:node:location` | `[TASK]` | of `swarm:node:location` only those that run |
| `app:logs` | `{"at","task","slot","node","stderr","line"}` | for each line |
| `app:releases` | `[{"release","image","digest","config","secrets","of","by","created_at","outcome","current","reason"}]` | the newest first; `outcome` is `null` while it is on its way, `of` the release that it repeats |
| `app:why` | `{"app","release","outcome","class","evidence":{"reason","log":[LINE]},"remedy"}` | all but `app` are `null` when no release has failed; `class` is one of `image_missing image_platform pull disk_full release_hook exits out_of_memory unhealthy port no_node rejected interfered late` |
| `app:browse` | `{"app","url"}` | |
| `app:link`, `app:unlink` | `{"app","other","state","attached","owners":[OWNER],"deployment":RELEASE}` | `state` is one of `linked waiting asked gone ended`; `owners` are those who may agree |
| `app:links` | `[{"other","state","attached","by","at"}]` | |
| `app:access:list`, `app:access:add`, `app:access:rm`, `app:open`, `app:private` | `{"app","open","visitors":[VISITOR],"login","changed"}` | each of `visitors` is `user:NAME` or `group:NAME`, and `null` as a whole means everybody who can log in; while `login` is `false` the cluster has none, and the world may use every app |
| `config`, `config:get`, `secret`, `secret:get` | `{"app","kind","version","values":{KEY: VALUE}}` | each value is `null` without `--show` |
| `config:set`, `config:unset`, `config:edit`, `config:import`, `secret:set`, `secret:unset`, `db:create`, `db:rotate` | `{"app","kind","version","keys":{KEY: CHANGE},"deployment":RELEASE}` | `CHANGE` is `added`, `changed` or `removed`; no keys when nothing has changed |
| `config:import --bucket` | `{"app","bucket","plan","objects":[{"object","kind","key","outcome","reason"}],"config","secrets","deployment":RELEASE}` | `outcome` is one of `added changed unchanged not_taken` |
| `config:history`, `secret:history` | `[{"number","version","by","at"}]` | the newest first |
| `config:diff` | `{KEY: CHANGE}` | |
| `db:list` | `{"app","database","server","bytes","login","logins":[LOGIN],"created_by","created_at","backups":[{"backup","at","bytes"}]}` | backups with the newest first |
| `db:backup` | `{"backup","at","bytes"}` | |
| `image:push` | `{"app","digest","layers","sent_bytes","skipped_bytes"}` | |
| `image:list` | `{TAG: DIGEST}` | |
| `image:gc` | `{"plan","keep","repositories":[{"repository","tags":[TAG],"images":[DIGEST],"layers","uploads"}],"blobs","bytes","kept_blobs","kept_bytes","broken":[IMAGE]}` | |
| `acl:user:list`, `acl:user:add`, `acl:user:rm` | `[{"principal","role"}]` | groups begin with `@` |
| `tokens`, `tokens:revoke` | `[{"name","key","by","expires_at"}]` | `key` is a fingerprint |
| `tokens:create` | `{"app","name","key","expires_at"}` | `key` is the private key |
| `users`, `admin:list` | `[USER]` | |
| `admin:user:add`, `admin:user:set`, `admin:user:key:set` | `USER` | |
| `admin:login`, `admin:login:rotate` | `{"domain","issuer","discovered_at","client_secret","passphrase":{"step","since","asked","free_at"},"locked"}` | `issuer` is `null` when the cluster has no login; `discovered_at` is since when its provider says what edges go by; `step` is one of `switched twice done`, and `asked` one of `in-steps at-once`; `free_at` is when another change may begin; `locked` is a number |
| `admin:login:locked`, `admin:login:lock`, `admin:login:unlock` | `{"visitors":[VISITOR],"login","changed"}` | as for `app:access:list` |
| `admin:swarm:usage` | `[{"at","who","verb","app","outcome","milliseconds","from"}]` | the newest first |
| `app:cancel`, `app:remove`, `db:restore`, `db:drop`, `admin:user:rm`, `admin:swarm:restart` | `{"done"}` | a line for people |
| `swarm:nodes`, `swarm:node:label:add`, `swarm:node:label:rm` | `[NODE]` | |
| `node:json` | `NODE` | for each node a line |
| `swarm:stats` | `[{"name","role","state","availability","tasks","cpu_millis","cpu_limit_millis","memory","memory_reserved","memory_limit","unlimited","measured":{"at","load_millis","memory_available","disk","disk_free"}}]` | |
| `swarm:network:health` | `[{"network","app","subnet","tasks","containers","addresses","free","nodes":[HOST],"peers","problems":[PROBLEM]}]` | |
| `cli:version-check` | `{"version","sha256","protocol":{"oldest","newest"},"cluster_version","fits","offered":{"version","sha256","bytes","url"},"is_offered"}` | |
| `login`, `whoami` | `{"name","token_of","admin","groups":[GROUP],"cluster","domain","node","version","host_ca","command_line":{"version","sha256","bytes","url"}}` | |
| `clusters` | `[{"name","user","host","port","current"}]` | |
| `clusters:use` | `{"name","user","host","port","current"}` | |
| `doctor` | `[{"check","result","evidence"}]` | `result` is `ok`, `warn` or `fail` |
| `RELEASE` | `{"app","release","image","url","outcome","seconds","failure":{"class","reason","remedy","log":[LINE]},"previous"}` | `outcome` is `null` while it is on its way; `null` as a whole when none was made |
| `TASK` | `{"id","slot","release","node","state","desired","since","error"}` | |
| `SETTINGS` | `{"command":[WORD],"port","replicas","memory","cpu_millis","health":HEALTH,"release_hook":{"command":[WORD],"timeout"},"env":{NAME: TEXT},"placement":{LABEL: TEXT},"stop_grace","update_order","open","edge_labels":{LABEL: TEXT},"read_only"}` | as in `app.toml`; times in seconds; `open` is that of the app |
| `HEALTH` | `{"http":{"path","timing":{"interval","timeout","retries","start"}}}`, `{"port":{"timing":{"interval","timeout","retries","start"},"or_image"}}`, `{"runs":{"seconds"}}` | or the text `image`; with `or_image` nothing was said of it, and the HEALTHCHECK of an image that has one counts |
| `VALUE` | `{"base64"}` | where it is no text; a text otherwise |
| `USER` | `{"name","admin","groups":[GROUP],"keys":[FINGERPRINT]}` | |
| `NODE` | `{"name","role","state","availability","leader","address","labels":{LABEL: TEXT},"engine","tasks"}` | |
"#;

/// The part of the document.
pub(super) fn section() -> &'static str {
    SECTION
}

#[test]
fn every_command_has_its_document_or_is_known_to_have_none() {
    let rows = SECTION.lines().filter(|line| line.starts_with("| `"));
    let first: Vec<&str> = rows.flat_map(|row| code(row.split('|').nth(1).unwrap_or_default())).collect();
    let once: BTreeSet<&str> = first.iter().copied().collect();
    assert_eq!(first.len(), once.len(), "a command or a name has two rows: {first:?}");
    // Capitals name parts of documents; an option behind a command, another document of the same command.
    let commands = once.iter().filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    let mut named: BTreeSet<&str> = commands.filter_map(|name| name.split(' ').next()).collect();
    for name in WITHOUT {
        assert!(named.insert(name), "{name} has a row, and is known to have none");
    }
    let command = Arguments::command();
    let all: BTreeSet<&str> = command.get_subcommands().map(|command| command.get_name()).collect();
    assert_eq!(named, all);
}

/// Whether a text is in the section as one piece of code, and each of its words is one of the protocol's.
fn known<T: serde::de::DeserializeOwned>(words: &str) {
    assert!(SECTION.contains(&format!("`{words}`")), "{words} is not in the section");
    for word in words.split(' ') {
        let read = serde_json::from_value::<T>(word.into());
        assert!(read.is_ok(), "{word} is no word of the protocol");
    }
}

#[test]
fn words_that_fields_may_have_are_those_of_the_protocol() {
    known::<FailureClass>(CLASSES);
    known::<LinkState>(STATES);
    known::<ImportOutcome>(OUTCOMES);
    known::<PassphraseStep>(STEPS);
    known::<Rotation>(ROTATIONS);
}
