//! What tasks have written.

use std::io::IsTerminal as _;

use futuswarm_output::{eprintln, println};
use futuswarm_rpc::message::{Event, LogLine, Logs as LogsRequest, Request};

use super::{Context, app_name, content, show};
use crate::arguments::Logs;
use crate::connection::{Incoming, PATIENCE};
use crate::failure::{Failure, Result};
use crate::output::{self, Progress, moment};

/// `app:logs`.
pub fn logs(context: &Context, options: &Logs) -> Result<u8> {
    let now = futuswarm_model::unix_millis();
    let since = options.since.as_deref().map(|text| since(text, now)).transpose()?;
    let app = app_name::app(&options.app)?;
    let request = Request::Logs(LogsRequest {
        app: app.clone(),
        follow: options.follow,
        since,
        tail: options.tail,
        task: options.task.clone(),
        previous: options.previous,
        grep: options.grep.clone(),
    });
    let (terminal, no_colours) = (std::io::stdout().is_terminal(), output::no_colours());
    let mut progress = Progress::new(context.quiet);
    let patience = if options.follow { None } else { Some(PATIENCE) };
    let answer = context.connect()?.ask(&request, patience, |incoming, _| {
        let Incoming::Event(event) = incoming else { return Ok(()) };
        let Event::Log(line) = &*event else {
            show(&event, &mut progress);
            return Ok(());
        };
        progress.clear();
        if context.json {
            return output::json_line(line);
        }
        let text = if no_colours { output::uncoloured(&line.line) } else { line.line.clone() };
        let text = if terminal { output::coloured(&text) } else { text };
        match options.plain {
            true => println!("{text}"),
            false => println!("{} {text}", label(&app, line)),
        }
        Ok(())
    });
    let end = content!(answer.map_err(|failure| context.with_suggestion(&request, failure))?, Logs);
    for node in &end.silent {
        eprintln!("note: {} did not answer: lines of tasks there are missing", output::plain(node));
    }
    if end.lines == 0 && !context.json && !context.quiet {
        eprintln!("no lines{}", if options.previous { "" } else { "; --previous shows those of tasks that are gone" });
    }
    Ok(0)
}

fn label(app: &str, line: &LogLine) -> String {
    format!("{} {app}.{}", moment(line.at), line.slot)
}

/// A time: so long ago, or a moment as RFC 3339 has it. In milliseconds since 1970.
fn since(text: &str, now: u64) -> Result<u64> {
    let failure = || Failure::usage(format!("{text:?} is no time: 90s, 15m, 2h, 3d, or one like 2026-11-30T12:00:00Z"));
    let units = [('s', 1000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
    if let Some((number, unit)) = units.iter().find_map(|(unit, millis)| Some((text.strip_suffix(*unit)?, *millis)))
        && let Ok(number) = number.parse::<u64>()
    {
        return Ok(now.saturating_sub(number.saturating_mul(unit)));
    }
    let whole = match text.len() {
        // A day alone begins at its midnight.
        10 => format!("{text}T00:00:00Z"),
        _ => text.to_owned(),
    };
    let parsed = time::OffsetDateTime::parse(&whole, &time::format_description::well_known::Rfc3339);
    let seconds = parsed.map_err(|_| failure())?.unix_timestamp();
    u64::try_from(seconds).map(|seconds| seconds * 1000).map_err(|_| failure())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_so_long_ago_or_moments() {
        let now = 1_000_000_000_000;
        for (text, expected) in [
            ("90s", now - 90_000),
            ("2h", now - 7_200_000),
            ("3d", now - 259_200_000),
            ("99999999999d", 0),
            ("2001-09-09T01:46:40Z", now),
            ("2001-09-09T03:46:40+02:00", now),
            ("1970-01-02", 86_400_000),
        ] {
            assert_eq!(since(text, now).unwrap(), expected, "{text}");
        }
        for text in ["", "h", "2 h", "-1h", "yesterday", "2026-13-01", "1960-01-01", "🦀🦀🦀"] {
            assert!(since(text, now).is_err(), "{text:?}");
        }
    }
}
