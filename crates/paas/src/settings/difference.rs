//! What a deployment changes of an app, field by field, for people to read before it does.

use futuswarm_model::{Health, Settings, UpdateOrder};

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
    let mut names: Vec<&String> = before.iter().map(|(name, _)| name).collect();
    for (at, (name, _)) in after.iter().enumerate() {
        if !names.contains(&name) {
            names.insert(at.min(names.len()), name);
        }
    }
    let value = |fields: &[(String, String)], name: &String| {
        fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    names
        .into_iter()
        .map(|name| Difference { name: name.clone(), before: value(&before, name), after: value(&after, name) })
        .filter(|difference| difference.before != difference.after)
        .collect()
}

/// Every setting as text. A new field of [`Settings`] does not compile until it is named here.
fn fields(settings: &Settings) -> Vec<(String, String)> {
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
        open,
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
        ("open", open.to_string()),
        ("read_only", read_only.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect::<Vec<_>>();
    for (section, map) in [("env", env), ("placement", placement), ("edge", edge_labels)] {
        fields.extend(map.iter().map(|(key, value)| (format!("{section}.{key}"), format!("{value:?}"))));
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
    match health {
        Health::Http { path, timing } => format!(
            "GET {path} every {} s, {} s for an answer, {} bad ones in a row, not in the first {} s",
            timing.interval, timing.timeout, timing.retries, timing.start
        ),
        Health::Image => "the image's own HEALTHCHECK".to_owned(),
        Health::Runs { seconds } => format!("it has run for {seconds} s"),
    }
}
