//! What people see: tables on standard output, progress on standard error.

use std::io::{IsTerminal as _, Write as _};

use futuswarm_output::{println, to_stdout};
use serde::Serialize;

use crate::failure::{Failure, Result};
pub use crate::text::{coloured, plain, uncoloured};

mod progress;

pub use progress::Progress;

/// Prints a document of the interface: one JSON value, indented, as the cluster gave it.
pub fn json(document: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::failed(format!("cannot write the answer as JSON: {error}")))?;
    println!("{text}");
    Ok(())
}

/// Prints a document in one line, for what goes on for long.
pub fn json_line(document: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(document)
        .map_err(|error| Failure::failed(format!("cannot write the answer as JSON: {error}")))?;
    println!("{text}");
    Ok(())
}

/// Writes data as they are.
pub fn bytes(data: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(data).and_then(|()| out.flush());
    futuswarm_output::end_if_reader_gone(written)
        .map_err(|error| Failure::failed(format!("cannot write to standard output: {error}")))
}

/// Prints columns, as wide as they must be. Without rows it prints nothing but, on a terminal, what there is none of.
pub fn table(heads: &[&str], rows: &[Vec<String>], none: &str) {
    if rows.is_empty() {
        if std::io::stdout().is_terminal() {
            println!("{none}");
        }
        return;
    }
    to_stdout(format_args!("{}", columns(heads, rows)));
}

fn columns(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&heads).chain(&rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut text = String::new();
    for row in std::iter::once(&heads).chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Prints names and values below each other.
pub fn list(pairs: &[(&str, String)]) {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in pairs {
        println!("{}", format!("{name:width$}  {}", plain(value)).trim_end());
    }
}

/// Whether somebody has asked for none of anybody's colours (<https://no-color.org>).
pub fn no_colours() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Milliseconds since 1970 as a date and a time in UTC.
pub fn moment(millis: u64) -> String {
    let time = i64::try_from(millis / 1000).ok().and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok());
    let Some(time) = time else { return "?".to_owned() };
    let (date, (hour, minute, second)) = (time.date(), time.to_hms());
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Bytes in a unit that people read.
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < units.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", units[unit]),
    }
}

/// A cell for what may not be there.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell_and_end_without_space() {
        let rows = [vec!["hello".to_owned(), "1".to_owned()], vec!["ä".to_owned(), "\u{1b}[2J".to_owned()]];
        assert_eq!(columns(&["APP", "N"], &rows), "APP    N\nhello  1\nä      \u{fffd}[2J\n");
    }

    #[test]
    fn moments_and_sizes_are_for_people() {
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(1_709_210_096_999), "2024-02-29T12:34:56Z");
        assert_eq!(moment(u64::MAX), "?");
        assert_eq!([size(0), size(999), size(1000), size(2_147_483_648)], ["0 B", "999 B", "1.0 kB", "2.1 GB"]);
    }
}
