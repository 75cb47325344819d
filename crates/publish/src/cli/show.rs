//! What is printed: a bar on a terminal, plain lines elsewhere, tables.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futuswarm_image_format::BLOCK_SIZE;
use futuswarm_output::eprintln;
use futuswarm_publish::progress::Event;
use futuswarm_publish::publish::Published;
use futuswarm_publish::retire::Listed;
use futuswarm_publish::validate::Check;
use indicatif::{ProgressBar, ProgressStyle};

/// Where there is no terminal, a line is written at each of so many parts of an upload.
const LINES: usize = 4;

/// Shows what happens.
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    /// Parts of the upload that were written as lines.
    written: Mutex<usize>,
}

impl Progress {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, started: Instant::now(), written: Mutex::new(0) }
    }

    /// Shows an event.
    pub fn tell(&self, event: Event) {
        match event {
            Event::Step(text) => {
                self.bar.set_style(ProgressStyle::default_spinner());
                self.bar.set_message(text.clone());
                if self.bar.is_hidden() {
                    self.line(&text);
                }
            }
            Event::Note(text) => self.bar.suspend(|| self.line(&text)),
            Event::Blocks { total, sent } => self.blocks(total, sent),
        }
    }

    fn blocks(&self, total: usize, sent: usize) {
        if !self.bar.is_hidden() {
            if sent == 0 {
                let style = ProgressStyle::with_template("sending {bar:30} {pos}/{len} blocks, {eta} left");
                self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                self.bar.set_length(total as u64);
            }
            self.bar.set_position(sent as u64);
            return;
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if sent == 0 {
            *written = 0;
        }
        let part = (sent * LINES).checked_div(total).unwrap_or(LINES);
        if sent == 0 || part > *written {
            *written = part;
            self.line(&format!("sent {sent} of {total} blocks ({} MiB)", (total * BLOCK_SIZE) >> 20));
        }
    }

    fn line(&self, text: &str) {
        eprintln!("  {:>5.1} s  {text}", self.started.elapsed().as_secs_f64());
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// One line on a published image.
pub fn published(done: &Published) -> String {
    let how = match (&done.copied_from, done.reused) {
        (_, true) => "was there already".to_owned(),
        (Some(from), false) => format!("copied from {from}"),
        (None, false) => {
            let on_top =
                done.parent_snapshot_id.as_ref().map(|parent| format!(" on top of {parent}")).unwrap_or_default();
            let share = 100.0 * done.blocks_sent as f64 / done.blocks.max(1) as f64;
            format!(
                "{} of {} blocks sent ({share:.1} %){on_top} in {:.1} s",
                done.blocks_sent, done.blocks, done.upload_seconds
            )
        }
    };
    format!("{}  {}  {}: {how}, {} fields as baked", done.region, done.image_id, done.name, done.checks.len())
}

/// A table of images.
pub fn listed(images: &[Listed]) -> String {
    let mut text =
        format!("{:<12} {:<22} {:<30} {:<10} {:<25} IN USE BY\n", "REGION", "IMAGE", "NAME", "STATE", "CREATED");
    for image in images {
        let references = if image.in_use.is_empty() { "-".to_owned() } else { image.in_use.join(", ") };
        let _infallible = writeln!(
            text,
            "{:<12} {:<22} {:<30} {:<10} {:<25} {references}",
            image.region, image.image_id, image.name, image.state, image.created
        );
    }
    text
}

/// A table of compared fields.
pub fn checks(checks: &[Check]) -> String {
    let mut text = format!("{:<4} {:<32} {:<40} OBSERVED\n", "", "FIELD", "DESIRED");
    for check in checks {
        let mark = if check.good { "ok" } else { "BAD" };
        let observed = if check.good { "same" } else { &check.observed };
        let _infallible = writeln!(text, "{mark:<4} {:<32} {:<40} {observed}", check.field, check.desired);
    }
    text
}
