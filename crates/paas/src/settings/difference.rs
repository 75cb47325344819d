//! What a deployment changes of an app, field by field, for people to read before it does.

use std::collections::{BTreeMap, BTreeSet};

use futuswarm_model::{Health, Settings, Timing, UpdateOrder};

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The setting, in the words of `app.toml`.
    pub name: String,
    /// What counts now; empty for nothing.
    pub before: String,
    /// What will count; empty for nothing.
    pub after: String,
}

/// The settings that differ, in the order of the documentation. Values of `env` are shown: what is secret does not belong there.
#[must_use]
pub fn differences(before: &Settings, after: &Settings) -> Vec<Difference> {
    let (before, after) = (fields(before), fields(after));
    // By their places and not by looking for each: a file may have a hundred thousand variables.
    let all: BTreeSet<&Place> = before.keys().chain(after.keys()).collect();
    let value = |fields: &BTreeMap<Place, String>, place: &Place| fields.get(place).cloned().unwrap_or_default();
    all.into_iter()
        .map(|place| Difference { name: place.1.clone(), before: value(&before, place), after: value(&after, place) })
        .filter(|difference| difference.before != difference.after)
        .collect()
}

/// Where a setting stands in the documentation, and its name.
type Place = (usize, String);

/// Every setting as text. A new field of [`Settings`] does not compile until it is named here.
fn fields(settings: &Settings) -> BTreeMap<Place, String> {
    let Settings {
        command,
        port,
        replicas,
        memory,
        cpu_millis,
        health,
        release_hook,
        env,
        placement,
        stop_grace,
        update_order,
        // No deployment changes it.
        open: _,
        edge_labels,
        read_only,
    } = settings;
    let argv = |words: &[String]| match words.is_empty() {
        true => String::new(),
        false => format!("{words:?}"),
    };
    let mut fields = vec![
        ("command", argv(command)),
        ("port", port.to_string()),
        ("replicas", replicas.to_string()),
        ("memory", bytes(*memory)),
        ("cpu", format!("{}.{:03}", cpu_millis / 1000, cpu_millis % 1000)),
        ("health", health_text(health)),
        (
            "release",
            release_hook
                .as_ref()
                .map(|hook| format!("{} within {} s", argv(&hook.command), hook.timeout))
                .unwrap_or_default(),
        ),
        ("stop_grace", format!("{stop_grace} s")),
        (
            "update_order",
            match update_order {
                UpdateOrder::StartFirst => "start-first".to_owned(),
                UpdateOrder::StopFirst => "stop-first".to_owned(),
            },
        ),
        ("read_only", read_only.to_string()),
    ]
    .into_iter()
    .enumerate()
    .map(|(place, (name, value))| ((place, name.to_owned()), value))
    .collect::<BTreeMap<Place, String>>();
    let count = fields.len();
    for (at, (section, map)) in [("env", env), ("placement", placement), ("edge", edge_labels)].into_iter().enumerate()
    {
        let place = |key: &String| (count + at, format!("{section}.{key}"));
        fields.extend(map.iter().map(|(key, value)| (place(key), format!("{value:?}"))));
    }
    fields
}

fn bytes(bytes: u64) -> String {
    match bytes % (1 << 20) {
        0 => format!("{} MiB", bytes >> 20),
        _ => format!("{bytes} bytes"),
    }
}

fn health_text(health: &Health) -> String {
    let asked = |timing: &Timing| {
        format!(
            "every {} s, {} s for an answer, {} bad ones in a row, not in the first {} s",
            timing.interval, timing.timeout, timing.retries, timing.start
        )
    };
    match health {
        Health::Http { path, timing } => format!("GET {path} {}", asked(timing)),
        Health::Port { timing, or_image: false } => format!("it accepts connections at its port, {}", asked(timing)),
        Health::Port { timing, or_image: true } => format!(
            "the image's own HEALTHCHECK, or without one: it accepts connections at its port, {}",
            asked(timing)
        ),
        Health::Image => "the image's own HEALTHCHECK".to_owned(),
        Health::Runs { seconds } => format!("it has run for {seconds} s"),
    }
}
