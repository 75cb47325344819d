//! The lines of a backend that keep from its tasks what is more, or larger, than its service wants.

use super::pages;
use crate::rules::Limits;

/// Half of what an edge takes from everybody (`maxconn`): one service that hangs leaves the rest to the others.
const CONNECTIONS: u32 = 2000;

/// HAProxy counts nothing of a body on its way, so its length has to be said before. HTTP/2 has no header that says that it is not.
const UNKNOWN_LENGTH: &str = "{ req.hdr(transfer-encoding) -m found } or { req.ver 2.0 } !{ req.hdr(content-length) -m found } !{ method GET HEAD OPTIONS DELETE }";

/// A request that is one too many is refused at once, and does not wait for a place: whoever waits holds one of the edge's own.
pub(super) fn lines(limits: &Limits) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(most) = limits.request_rate {
        lines.extend([
            "stick-table type ipv6 size 10k expire 10s store http_req_rate(10s)".to_owned(),
            // Somebody with IPv6 has a whole network of addresses. The second line is for what the first one finds no address in.
            "http-request track-sc0 req.hdr_ip(x-forwarded-for,-1),ipmask(32,64)".to_owned(),
            "http-request track-sc0 src,ipmask(32,64)".to_owned(),
            format!("http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {most} }}"),
        ]);
    }
    let most = limits.connections.unwrap_or(CONNECTIONS);
    // The variable tells the page of a 503 why it is one.
    lines.push(format!("http-request set-var(txn.full) bool(true) if {{ be_conn gt {most} }}"));
    lines.push("http-request deny deny_status 503 if { var(txn.full) -m bool }".to_owned());
    if let Some(most) = limits.body_size {
        lines.push(format!("{} if {UNKNOWN_LENGTH}", pages::no_length()));
        lines.push(format!("http-request deny deny_status 413 if {{ req.body_size gt {most} }}"));
    }
    lines
}
