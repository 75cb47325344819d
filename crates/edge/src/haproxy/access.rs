//! The access log: what one line of it says of a request.

/// Names in the log, and what HAProxy knows under its own. Texts that others choose are cut, so that a line is below 4096 bytes also when
/// each of their characters is written as two. No query is among them: it may have tokens in it.
const FIELDS: [(&str, &str); 19] = [
    // Of the end of the request: lines are in the order of their times, and a malformed request has no other.
    ("time", "[date(0,ms),ms_utime('%Y-%m-%dT%H:%M:%S.%3NZ')]"),
    ("request_id", "ID"),
    ("app", "[var(txn.app)]"),
    ("host", "[var(txn.host),bytes(0,255)]"),
    ("method", "[capture.req.method,bytes(0,32)]"),
    ("path", "[var(txn.path),bytes(0,1024)]"),
    ("user", "[var(txn.user)]"),
    ("client", "[var(txn.client)]"),
    ("peer", "ci"),
    ("status", "ST"),
    ("state", "ts"),
    ("task", "si"),
    ("retries", "rc"),
    ("bytes_in", "U"),
    ("bytes_out", "B"),
    ("queue_ms", "Tw"),
    ("connect_ms", "Tc"),
    ("response_ms", "Tr"),
    ("total_ms", "Ta"),
];

/// What stands behind `log-format`, without quotes.
pub(super) fn format() -> String {
    let fields = FIELDS.map(|(name, value)| format!("%({name}){value}"));
    format!("%{{+json}}o {}", fields.join(" "))
}
