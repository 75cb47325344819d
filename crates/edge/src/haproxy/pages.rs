//! What the edge itself answers where no task does: a page for people, and the same as JSON for programs that ask for that.
//!
//! HAProxy has one text for each status, with variables in it, and each backend uses that: a text in each backend would make the
//! configuration of a thousand services several times as long.

use super::quoting::quoted;
use crate::rules::Maintenance;

/// Stands in all of them, with the reason in one word: whoever reads a 503 in a log sees whether it is the app's own. An app's own
/// header of this name is taken away.
const HEADER: &str = "Edge-Answer";
/// Seconds until somebody who found no task may try again: one that starts is asked every second whether it is healthy.
const SOON: u32 = 5;
/// Seconds in which the requests of an address are counted.
const WINDOW: u32 = 10;
/// Seconds until somebody who found an app in maintenance may try again.
const LATER: u32 = 60;
/// The host that was asked for, in a form that means nothing to HTML or JSON.
const HOST: &str = "%[var(txn.host),url_enc]";

/// One answer. Texts are those of HAProxy's log formats: `%` begins a variable.
struct Page {
    status: u16,
    /// In one word.
    reason: String,
    title: &'static str,
    message: String,
    /// Seconds until the same request may be answered otherwise; `None` where it will not be.
    retry_after: Option<u32>,
}

impl Page {
    fn new(status: u16, reason: impl Into<String>, title: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), title, message: message.into(), retry_after: None }
    }

    fn again_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Status, body and headers, as HAProxy reads them behind `http-error` and `http-request return`.
    fn words(&self) -> String {
        let Self { status, reason, title, message, retry_after } = self;
        let begins = format!(
            r#"<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><h1>{title}</h1><p>"#
        );
        let body = [
            either("json", &format!(r#"{{"status":{status},"message":""#), &begins),
            message.clone(),
            either("json", r#"","error":""#, &format!("</p><p>{status} ")),
            reason.clone(),
            either("json", r#""}"#, "</p></html>"),
            "\n".to_owned(),
        ];
        let retry = retry_after.map(|seconds| format!(" hdr Retry-After {seconds}")).unwrap_or_default();
        format!(
            "status {status} content-type \"text/html; charset=utf-8\" lf-string {} hdr {HEADER} {} hdr Cache-Control no-store{retry}",
            quoted(&body.concat()),
            quoted(reason),
        )
    }
}

/// One of two texts without an apostrophe, by whether a variable of the request is set.
fn either(variable: &str, yes: &str, no: &str) -> String {
    format!("%[var(txn.{variable},0),iif('{yes}','{no}')]")
}

/// About the host that was asked for.
fn asked(text: &str) -> String {
    format!("{HOST}: {text}")
}

/// What HAProxy itself answers for every backend, a line for each status.
pub(super) fn errors() -> Vec<String> {
    let pages = [
        Page::new(413, "too-large", "Too large", asked("the app takes no request as large as this one.")),
        Page::new(
            429,
            "rate",
            "Too many requests",
            asked("the app takes fewer requests from one address. Try again in ten seconds."),
        )
        .again_after(WINDOW),
        Page::new(502, "bad-answer", "No answer", asked("the app hung up, or its answer was no HTTP.")),
        Page::new(
            503,
            either("full", "full", "no-task"),
            "Not available at the moment",
            asked(&either(
                "full",
                "this app has as many requests at the same time as it may have. Try again in a few seconds.",
                "no task of this app takes requests. It may be starting: try again in a few seconds.",
            )),
        )
        .again_after(SOON),
        Page::new(504, "late", "No answer in time", asked("the app took too long to answer.")),
    ];
    pages.iter().map(|page| format!("http-error {}", page.words())).collect()
}

/// The answer to requests for a host and path that nobody has.
pub(super) fn nobody(complete: bool) -> String {
    let page = match complete {
        true => Page::new(
            404,
            "no-app",
            "No such app",
            format!(
                "No app is served here as {HOST}, or none has this path of it. A new app is there a few seconds after its deployment."
            ),
        ),
        // It may well be one of those that are missing yet.
        false => Page::new(
            503,
            "starting",
            "Not available at the moment",
            asked("this node has just started, and does not know every app yet. Try again in a few seconds."),
        )
        .again_after(SOON),
    };
    format!("http-request return {}", page.words())
}

/// The answer to a request that does not say how long it is, where that has to be known.
pub(super) fn no_length() -> String {
    let text = "the app takes no request above a size, so each has to say its own in Content-Length.";
    format!("http-request return {}", Page::new(411, "no-length", "Length needed", asked(text)).words())
}

/// The answer to every request for an app that is in maintenance.
pub(super) fn maintenance(maintenance: &Maintenance) -> String {
    let mut message = format!("{HOST} is in maintenance.");
    if let Some(text) = &maintenance.text {
        message.push(' ');
        message.push_str(&text.replace('%', "%%"));
    }
    let page = Page::new(503, "maintenance", "In maintenance", message).again_after(LATER);
    // Without a condition HAProxy warns of every rule behind it.
    format!("http-request return {} if TRUE", page.words())
}
