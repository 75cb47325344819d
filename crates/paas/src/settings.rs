//! `app.toml`: what an app is, as a file beside its source. All problems are told at once, each with its line.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use futuswarm_model::{Health, Hook, Settings, Timing, UpdateOrder, app_name};
use serde::Deserialize;
use toml::Spanned;

use crate::config;

mod difference;
#[cfg(test)]
mod tests;
mod units;

pub use difference::{Difference, differences};

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppFile {
    /// Which app it describes; another file or a flag may say it instead.
    pub app: Option<String>,
    /// The image to deploy, when no other is given.
    pub image: Option<String>,
    /// The settings, with a default for each that the file does not name.
    pub settings: Settings,
}

/// Something in the file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for Problem {}

const MEMORY: RangeInclusive<u64> = 16 << 20..=256 << 30;
/// Thousandths of a processor.
const CPU: RangeInclusive<u64> = 10..=64_000;
/// Tasks of an app.
pub const REPLICAS: RangeInclusive<u64> = 0..=200;
const SECONDS: RangeInclusive<u64> = 1..=3600;
/// Seconds until a task has to accept connections: what other platforms give a program to find its port.
const PORT_START: u32 = 60;
/// Seconds between two questions. For each the engine starts a process in the task, by way of two others of runc; on an emulated processor
/// that takes four seconds and more.
const INTERVAL: u32 = 10;
/// Seconds until a task has to answer at its path.
const PATH_START: u32 = 30;
/// The longest file in bytes. What it says becomes a part of the service's specification, which Swarm's managers send each other in one
/// message of at most 4 MiB.
pub const LONGEST_FILE: usize = 1 << 20;
/// What labels begin with that the edge reads: those of Docker Flow Proxy, and others for what it has none for.
pub const EDGE_LABELS: [&str; 2] = ["com.df.", "com.futuswarm."];
/// So many problems are told at once.
pub const MOST_PROBLEMS: usize = 100;
/// Why a key that Docker would know is refused: mounts and namespaces of the host are root on it.
const NO_OPTIONS: &str = "an app has no other options of Docker: no mounts, no host network, no capabilities";

/// How the error about `open` begins, which was a key once; not that about one in a table.
const OPEN: &str = "unknown field `open`, expected one of `app`";
const NO_OPEN: &str = "`open` is no key of the file: `futuswarm app:open APP` shows an app to the world, `futuswarm app:private APP` puts it behind the login, and no deployment changes that";

/// What counts when the file does not say otherwise.
#[must_use]
pub fn defaults() -> Settings {
    Settings {
        command: Vec::new(),
        port: 8000,
        replicas: 1,
        memory: 512 << 20,
        cpu_millis: 1000,
        health: Health::Port {
            timing: Timing { interval: INTERVAL, timeout: 3, retries: 3, start: PORT_START },
            or_image: true,
        },
        release_hook: None,
        env: BTreeMap::new(),
        placement: BTreeMap::new(),
        stop_grace: 10,
        update_order: UpdateOrder::StartFirst,
        open: false,
        edge_labels: BTreeMap::new(),
        read_only: false,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    app: Option<Spanned<String>>,
    image: Option<Spanned<String>>,
    command: Option<Spanned<Vec<String>>>,
    port: Option<Spanned<toml::Value>>,
    replicas: Option<Spanned<toml::Value>>,
    memory: Option<Spanned<toml::Value>>,
    cpu: Option<Spanned<toml::Value>>,
    stop_grace: Option<Spanned<toml::Value>>,
    update_order: Option<Spanned<String>>,
    read_only: Option<bool>,
    health: Option<Spanned<RawHealth>>,
    release: Option<Spanned<RawHook>>,
    #[serde(default)]
    env: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    placement: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    edge: BTreeMap<Spanned<String>, Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHealth {
    path: Option<Spanned<String>>,
    port: Option<bool>,
    image: Option<bool>,
    runs: Option<Spanned<toml::Value>>,
    interval: Option<Spanned<toml::Value>>,
    timeout: Option<Spanned<toml::Value>>,
    retries: Option<Spanned<toml::Value>>,
    start: Option<Spanned<toml::Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHook {
    command: Spanned<Vec<String>>,
    timeout: Option<Spanned<toml::Value>>,
}

/// Reads a file.
///
/// # Errors
/// Everything in it that cannot be used; one problem only where it is no TOML or has a key or a type that is none of an app's.
pub fn parse(text: &str) -> Result<AppFile, Vec<Problem>> {
    if text.len() > LONGEST_FILE {
        let message = format!("the file is {} bytes long, and at most {LONGEST_FILE} are read", text.len());
        return Err(vec![Problem { line: 1, message }]);
    }
    let raw: Raw = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        let mut message = error.message().to_owned();
        if message.starts_with(OPEN) {
            message = NO_OPEN.to_owned();
        } else if message.starts_with("unknown field") {
            message = format!("{message}; {NO_OPTIONS}");
        }
        vec![Problem { line, message }]
    })?;
    let mut reader = Reader { text, problems: Vec::new() };
    let settings = reader.settings(&raw);
    let app = raw.app.as_ref().and_then(|app| reader.checked(app, |name| app_name(name).map(str::to_owned)));
    let image = raw.image.as_ref().and_then(|image| reader.checked(image, |image| image_reference(image)));
    match reader.problems.is_empty() {
        true => Ok(AppFile { app, image, settings }),
        false => {
            reader.problems.sort_by_key(|problem| problem.line);
            Err(reader.problems)
        }
    }
}

/// The line of a byte, from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

fn image_reference(image: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    match !image.is_empty() && image.len() <= 255 && image.chars().all(plain) {
        true => Ok(image.to_owned()),
        false => Err("no image is named so: NAME, NAME:TAG or NAME@sha256:DIGEST".to_owned()),
    }
}

struct Reader<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, at: usize, message: String) {
        // Nobody reads more, and each costs a look through the text for its line.
        if self.problems.len() == MOST_PROBLEMS {
            return;
        }
        self.problems.push(Problem { line: line_of(self.text, at), message });
    }

    fn checked<T, U, E: fmt::Display>(
        &mut self,
        value: &Spanned<T>,
        check: impl FnOnce(&T) -> Result<U, E>,
    ) -> Option<U> {
        match check(value.get_ref()) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.problem(value.span().start, reason.to_string());
                None
            }
        }
    }

    /// A number in a range, in whatever way `read` reads it; `default` when it is not given or wrong, which is noted.
    fn number<N: TryFrom<u64>>(
        &mut self,
        name: &str,
        value: Option<&Spanned<toml::Value>>,
        read: fn(&toml::Value) -> Option<u64>,
        (range, shape): (RangeInclusive<u64>, &str),
        default: N,
    ) -> N {
        let Some(value) = value else { return default };
        let number =
            read(value.get_ref()).filter(|number| range.contains(number)).and_then(|number| N::try_from(number).ok());
        match number {
            Some(number) => number,
            None => {
                self.problem(value.span().start, format!("{name} is {shape}; it is {}", value.get_ref()));
                default
            }
        }
    }

    fn settings(&mut self, raw: &Raw) -> Settings {
        let mut settings = defaults();
        if let Some(command) = &raw.command {
            settings.command = self.checked(command, |words| argv(words)).unwrap_or_default();
        }
        let seconds = (SECONDS, "seconds as a number, or as in \"30s\", \"5m\" or \"1h\", from 1 s to 1 h");
        settings.port = self.number(
            "port",
            raw.port.as_ref(),
            units::count,
            (1..=65_535, "a number from 1 to 65535"),
            settings.port,
        );
        settings.replicas = self.number(
            "replicas",
            raw.replicas.as_ref(),
            units::count,
            (REPLICAS, "a number from 0 to 200"),
            settings.replicas,
        );
        let shape = "bytes as in \"512 MiB\" or \"1 GiB\", from 16 MiB to 256 GiB";
        settings.memory = self.number("memory", raw.memory.as_ref(), units::bytes, (MEMORY, shape), settings.memory);
        let shape = "processors as in 0.5 or 2, from 0.01 to 64";
        settings.cpu_millis =
            self.number("cpu", raw.cpu.as_ref(), units::thousandths, (CPU, shape), settings.cpu_millis);
        settings.stop_grace =
            self.number("stop_grace", raw.stop_grace.as_ref(), units::seconds, seconds.clone(), settings.stop_grace);
        if let Some(order) = &raw.update_order {
            let read = |order: &String| match order.as_str() {
                "start-first" => Ok(UpdateOrder::StartFirst),
                "stop-first" => Ok(UpdateOrder::StopFirst),
                _ => Err("update_order is \"start-first\" or \"stop-first\""),
            };
            settings.update_order = self.checked(order, read).unwrap_or(settings.update_order);
        }
        settings.read_only = raw.read_only.unwrap_or_default();
        if let Some(health) = &raw.health {
            settings.health = self.health(health, &seconds);
        }
        if let Some(hook) = &raw.release {
            let timeout = self.number("timeout", hook.get_ref().timeout.as_ref(), units::seconds, seconds.clone(), 600);
            let command = self.checked(&hook.get_ref().command, |words| match words.is_empty() {
                true => Err("a release hook has a command".to_owned()),
                false => argv(words),
            });
            settings.release_hook = command.map(|command| Hook { command, timeout });
        }
        for (key, value) in &raw.env {
            self.checked(key, |key| config::check_key(key));
            self.checked(value, |value| no_nul(value));
            self.checked(value, |value| config::check_length(key.get_ref(), value));
        }
        for (key, value) in raw.placement.iter().chain(&raw.edge) {
            self.checked(value, |value| no_nul(value));
            self.checked(key, |key| label_name(key));
        }
        let is_read = |key: &str| EDGE_LABELS.iter().any(|prefix| key.starts_with(prefix));
        for key in raw.edge.keys().filter(|key| !is_read(key.get_ref())) {
            let [theirs, ours] = EDGE_LABELS;
            self.problem(
                key.span().start,
                format!("{:?}: the edge reads labels that begin with {theirs} or {ours}", key.get_ref()),
            );
        }
        settings.env = plain(&raw.env);
        settings.placement = plain(&raw.placement);
        settings.edge_labels = plain(&raw.edge);
        settings
    }

    fn health(&mut self, health: &Spanned<RawHealth>, seconds: &(RangeInclusive<u64>, &str)) -> Health {
        let raw = health.get_ref();
        let number = |reader: &mut Self, name, value: &Option<Spanned<toml::Value>>, default| {
            reader.number(name, value.as_ref(), units::seconds, seconds.clone(), default)
        };
        let start = if raw.path.is_some() { PATH_START } else { PORT_START };
        let timing = Timing {
            interval: number(self, "interval", &raw.interval, INTERVAL),
            timeout: number(self, "timeout", &raw.timeout, 3),
            retries: self.number("retries", raw.retries.as_ref(), units::count, (1..=100, "a number from 1 to 100"), 3),
            start: number(self, "start", &raw.start, start),
        };
        let runs = raw.runs.as_ref().map(|_| number(self, "runs", &raw.runs, 5));
        let path = raw.path.as_ref().map(|path| {
            let fits = |c: char| c.is_ascii_graphic() && !"\"'\\".contains(c);
            self.checked(path, |path| match path.starts_with('/') && path.chars().all(fits) {
                true => Ok(path.clone()),
                false => Err("path begins with a slash and has no space or quote"),
            })
            .unwrap_or_default()
        });
        match (path, raw.port.unwrap_or_default(), raw.image.unwrap_or_default(), runs) {
            (Some(path), false, false, None) => Health::Http { path, timing },
            (None, true, false, None) => Health::Port { timing, or_image: false },
            (None, false, true, None) => Health::Image,
            (None, false, false, Some(seconds)) => Health::Runs { seconds },
            _ => {
                let message = "health has one of: path = \"/…\", port = true, image = true, runs = \"5s\"";
                self.problem(health.span().start, message.to_owned());
                defaults().health
            }
        }
    }
}

fn argv(words: &[String]) -> Result<Vec<String>, String> {
    if words.first().is_some_and(String::is_empty) {
        return Err("the first word of a command is a program".to_owned());
    }
    words.iter().map(|word| no_nul(word).map(|()| word.clone())).collect()
}

fn no_nul(value: &str) -> Result<(), String> {
    match value.contains('\0') {
        true => Err("it has a byte 0".to_owned()),
        false => Ok(()),
    }
}

fn label_name(name: &str) -> Result<(), String> {
    let inside = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match !name.is_empty() && name.chars().all(inside) {
        true => Ok(()),
        false => Err(format!("{name:?} is no name of a label: letters, digits, '.', '_' and '-'")),
    }
}

fn plain(map: &BTreeMap<Spanned<String>, Spanned<String>>) -> BTreeMap<String, String> {
    map.iter().map(|(key, value)| (key.get_ref().clone(), value.get_ref().clone())).collect()
}
