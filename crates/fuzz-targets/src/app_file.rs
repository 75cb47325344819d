//! `app.toml`, which the control service reads as it was sent.

use std::collections::BTreeMap;

use futuswarm_model::{Health, Hook, Timing, UpdateOrder, app_name};
use futuswarm_paas::config::{LONGEST_ENTRY, check_key};
use futuswarm_paas::settings::{AppFile, EDGE_LABELS, LONGEST_FILE, REPLICAS, differences, parse};
use toml::{Table, Value};

pub(crate) const WORDS: &[&[u8]] = &[
    b"app = \"hello\"\n",
    b"image = \"hello:1\"\n",
    b"command = [\"a\", \"\"]\n",
    b"port = 65536\n",
    b"replicas = -1\n",
    b"memory = \"16 MiB\"\n",
    b"memory = \"17 MB\"\n",
    b"cpu = 0.0105\n",
    b"cpu = nan\n",
    b"cpu = 1e308\n",
    b"stop_grace = \"1h\"\n",
    b"update_order = \"stop-first\"\n",
    b"read_only = true\n",
    b"[health]\n",
    b"runs = \"5s\"\n",
    b"path = \"/x\"\n",
    b"port = true\n",
    b"[release]\n",
    b"[env]\n",
    b"[placement]\n",
    b"[edge]\n\"com.df.servicePath\" = \"/\"\n",
    b"\"\"\"",
    b"'''",
    b"\\u0000",
    b"\\U0001F980",
    b"[[",
    b"{",
    b"99999999999999999999",
];

/// The text of a file.
pub fn app_file(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let file = match parse(text) {
        Ok(file) => file,
        Err(problems) => {
            let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
            assert!(!problems.is_empty(), "a refusal without a reason");
            for problem in &problems {
                assert!((1..=lines).contains(&problem.line), "{problem} of {lines}");
                assert!(!problem.message.is_empty(), "{problem:?}");
            }
            assert!(problems.is_sorted_by_key(|problem| problem.line), "{problems:?}");
            return false;
        }
    };
    assert!(text.len() <= LONGEST_FILE, "{}", text.len());
    limits(&file);
    let written = render(&file);
    match parse(&written) {
        Ok(again) => assert!(again == file, "it comes back otherwise: {written}"),
        Err(problems) => panic!("what was written cannot be read: {problems:?}: {written}"),
    }
    assert!(differences(&file.settings, &file.settings).is_empty());
    true
}

fn limits(file: &AppFile) {
    let settings = &file.settings;
    assert!(settings.port > 0 && REPLICAS.contains(&u64::from(settings.replicas)), "{settings:?}");
    assert!((16 << 20..=256 << 30).contains(&settings.memory), "{}", settings.memory);
    assert!((10..=64_000).contains(&settings.cpu_millis), "{}", settings.cpu_millis);
    let seconds = |seconds: u32| (1..=3600).contains(&seconds);
    assert!(seconds(settings.stop_grace), "{}", settings.stop_grace);
    let holds = |Timing { interval, timeout, retries, start }: &Timing| {
        seconds(*interval) && seconds(*timeout) && seconds(*start) && (1..=100).contains(retries)
    };
    match &settings.health {
        Health::Http { path, timing } => {
            assert!(path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()), "{path:?}");
            assert!(holds(timing), "{timing:?}");
        }
        Health::Port { timing, .. } => assert!(holds(timing), "{timing:?}"),
        Health::Runs { seconds: runs } => assert!(seconds(*runs)),
        Health::Image => {}
    }
    if let Some(Hook { command, timeout }) = &settings.release_hook {
        assert!(!command.is_empty() && seconds(*timeout));
    }
    let words = settings.command.iter().chain(settings.release_hook.iter().flat_map(|hook| &hook.command));
    assert!(words.chain(settings.env.values()).all(|word| !word.contains('\0')));
    for (key, value) in &settings.env {
        assert!(check_key(key).is_ok() && key.len() + 1 + value.len() < LONGEST_ENTRY, "{key:?}");
    }
    let is_read = |label: &String| EDGE_LABELS.iter().any(|prefix| label.starts_with(prefix));
    assert!(settings.edge_labels.keys().all(is_read), "{:?}", settings.edge_labels);
    assert!(file.app.as_ref().is_none_or(|app| app_name(app).is_ok()));
    assert!(file.image.as_ref().is_none_or(|image| (1..=255).contains(&image.len())));
}

/// A file that says everything, the defaults included.
fn render(file: &AppFile) -> String {
    let settings = &file.settings;
    let words = |words: &[String]| Value::Array(words.iter().cloned().map(Value::String).collect());
    let map = |map: &BTreeMap<String, String>| {
        Value::Table(map.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect())
    };
    let mut table = Table::new();
    let mut say = |key: &str, value: Value| drop(table.insert(key.to_owned(), value));
    for (key, text) in [("app", &file.app), ("image", &file.image)] {
        if let Some(text) = text {
            say(key, Value::String(text.clone()));
        }
    }
    say("command", words(&settings.command));
    say("port", Value::Integer(settings.port.into()));
    say("replicas", Value::Integer(settings.replicas.into()));
    // It was one of both.
    let memory = match settings.memory % (1 << 20) {
        0 => format!("{} MiB", settings.memory >> 20),
        _ => format!("{} MB", settings.memory / 1_000_000),
    };
    say("memory", Value::String(memory));
    say("cpu", Value::Float(f64::from(settings.cpu_millis) / 1000.0));
    say("stop_grace", Value::Integer(settings.stop_grace.into()));
    let order = match settings.update_order {
        UpdateOrder::StartFirst => "start-first",
        UpdateOrder::StopFirst => "stop-first",
    };
    say("update_order", Value::String(order.to_owned()));
    say("read_only", Value::Boolean(settings.read_only));
    if let Some(health) = health(&settings.health) {
        say("health", Value::Table(health));
    }
    if let Some(Hook { command, timeout }) = &settings.release_hook {
        let timeout = ("timeout".to_owned(), Value::Integer((*timeout).into()));
        say("release", Value::Table([("command".to_owned(), words(command)), timeout].into_iter().collect()));
    }
    say("env", map(&settings.env));
    say("placement", map(&settings.placement));
    say("edge", map(&settings.edge_labels));
    match toml::to_string(&table) {
        Ok(text) => text,
        Err(error) => panic!("settings cannot be written: {error}"),
    }
}

/// `None` for what counts when a file says nothing.
fn health(health: &Health) -> Option<Table> {
    let number = |key: &str, number: u32| (key.to_owned(), Value::Integer(number.into()));
    let asked = |key: &str, value: Value, timing: &Timing| -> Table {
        let Timing { interval, timeout, retries, start } = *timing;
        let numbers = [("interval", interval), ("timeout", timeout), ("retries", retries), ("start", start)];
        let numbers = numbers.into_iter().map(|(key, value)| number(key, value));
        [(key.to_owned(), value)].into_iter().chain(numbers).collect()
    };
    Some(match health {
        Health::Http { path, timing } => asked("path", Value::String(path.clone()), timing),
        Health::Port { or_image: true, .. } => return None,
        Health::Port { timing, or_image: false } => asked("port", Value::Boolean(true), timing),
        Health::Image => [("image".to_owned(), Value::Boolean(true))].into_iter().collect(),
        Health::Runs { seconds } => [number("runs", *seconds)].into_iter().collect(),
    })
}
