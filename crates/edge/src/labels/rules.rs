//! What a destination asks for besides where it is served: one function for each kind of label.

use super::headers;
use super::own;
use super::rewrites::rewrites;
use super::values::{LabelError, Labels};
use crate::rules::{Balance, Compression, Plain, Rules};

/// Methods that one label names.
const MOST_METHODS: usize = 20;
/// Media types that one label names: a line of HAProxy's configuration has 64 words at most.
const MOST_TYPES: usize = 40;
/// What is worth compressing; pictures, films and archives are so already.
const TEXT: [&str; 9] = [
    "text/html",
    "text/css",
    "text/plain",
    "text/xml",
    "text/javascript",
    "application/javascript",
    "application/json",
    "application/xml",
    "image/svg+xml",
];

/// Reads all of them.
pub(super) fn rules(labels: &Labels) -> Result<Rules, LabelError> {
    check_modes(labels)?;
    let (request_headers, response_headers) = headers::changes(labels)?;
    let seconds = |name: &str, most: u32| {
        let value = labels.get(name);
        value.map(|value| value.number(1..=most, &format!("it is a number of seconds, 1 to {most}"))).transpose()
    };
    Ok(Rules {
        plain: plain(labels)?,
        allowed_methods: methods(labels, "allowedMethods")?,
        denied_methods: methods(labels, "deniedMethods")?,
        request_headers,
        response_headers,
        rewrites: rewrites(labels)?,
        maintenance: own::maintenance(labels)?,
        limits: own::limits(labels)?,
        timeout_connect: own::timeout_connect(labels)?,
        timeout_server: seconds("timeoutServer", 3600)?,
        timeout_tunnel: seconds("timeoutTunnel", 86400)?,
        sticky: labels.get("sessionType").is_some(),
        balance: balance(labels)?,
        compression: compression(labels)?,
    })
}

/// Labels of which one value is what there is anyway.
fn check_modes(labels: &Labels) -> Result<(), LabelError> {
    const MODE: (&[&str], &str) = (
        &["http"],
        "only `http` is served: the edge has one port, and whoever asks it is told apart by a host name; publish a port of the service in host mode",
    );
    const PATH: (&[&str], &str) = (&["path_beg"], "only beginnings of paths are served: `path_beg`");
    const CONNECTIONS: (&[&str], &str) = (
        &["http-keep-alive", "http-server-close", "httpclose", "forceclose"],
        "it is http-keep-alive, http-server-close, httpclose or forceclose; with http-tunnel only the first request of a connection would be looked at",
    );
    const SESSION: (&[&str], &str) =
        (&["sticky-server"], "it is sticky-server; remove it where nobody has to stay with a task");
    for (name, (known, reason)) in
        [("reqMode", MODE), ("pathType", PATH), ("connectionMode", CONNECTIONS), ("sessionType", SESSION)]
    {
        if let Some(value) = labels.get(name)
            && !known.contains(&value.text)
        {
            return Err(value.wrong(reason));
        }
    }
    labels.switch("checkTcp")?;
    Ok(())
}

fn plain(labels: &Labels) -> Result<Plain, LabelError> {
    let code = labels.get("httpsRedirectCode");
    let code = code.map(|value| match value.text {
        "301" => Ok(301),
        "302" => Ok(302),
        "303" => Ok(303),
        "307" => Ok(307),
        "308" => Ok(308),
        _ => Err(value.wrong("it is 301, 302, 303, 307 or 308")),
    });
    let code = code.transpose()?.unwrap_or(302);
    let entry =
        labels.get("srcPort").map(|value| match value.text {
            "80" => Ok(Plain::Served),
            "443" => Ok(Plain::Denied),
            _ => Err(value
                .wrong("the ports of the load balancer are 80 and 443; remove it, and the service is served at both")),
        });
    let entry = entry.transpose()?.unwrap_or_default();
    let (redirected, denied) =
        (labels.switch("httpsOnly")? | labels.switch("redirectWhenHttpProto")?, labels.switch("denyHttp")?);
    Ok(match (redirected, denied) {
        (true, _) => Plain::Redirected(code),
        (false, true) => Plain::Denied,
        (false, false) => entry,
    })
}

/// In capital letters, as they are asked with.
fn methods(labels: &Labels, name: &str) -> Result<Vec<String>, LabelError> {
    let Some(value) = labels.get(name) else { return Ok(Vec::new()) };
    let mut methods: Vec<String> = value.list().map(str::to_ascii_uppercase).collect();
    let is_method = |method: &String| {
        // What begins with `-` is an option of HAProxy's.
        (1..=20).contains(&method.len())
            && !method.starts_with('-')
            && method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
    };
    if methods.len() > MOST_METHODS || !methods.iter().all(is_method) {
        return Err(
            value.wrong(format!("a comma-separated list of at most {MOST_METHODS} methods is needed, as in GET,HEAD"))
        );
    }
    methods.sort();
    methods.dedup();
    Ok(methods)
}

fn balance(labels: &Labels) -> Result<Balance, LabelError> {
    let Some(value) = labels.get("balanceGroup") else { return Ok(Balance::default()) };
    match value.text {
        "leastconn" => Ok(Balance::LeastConnections),
        "roundrobin" => Ok(Balance::RoundRobin),
        "random" => Ok(Balance::Random),
        _ => Err(value.wrong(
            "it is leastconn, roundrobin or random; `com.df.sessionType` with `sticky-server` keeps a browser with a task",
        )),
    }
}

fn compression(labels: &Labels) -> Result<Option<Compression>, LabelError> {
    let parted = |text: &str| -> Vec<String> {
        text.split([' ', ',']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let mut types: Vec<String> = TEXT.map(str::to_owned).into();
    if let Some(value) = labels.get("compressionType") {
        types = parted(value.text);
        let is_token = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!&^_.+-".contains(&byte))
        };
        let is_type = |media: &String| {
            media.len() <= 100 && media.split_once('/').is_some_and(|(kind, rest)| is_token(kind) && is_token(rest))
        };
        if types.len() > MOST_TYPES || !types.iter().all(is_type) {
            return Err(value.wrong(format!(
                "a list of at most {MOST_TYPES} media types is needed, as in text/html application/json"
            )));
        }
    }
    let Some(value) = labels.get("compressionAlgo") else { return Ok(None) };
    let mut algorithms = parted(value.text);
    if !algorithms.iter().all(|one| ["gzip", "deflate", "raw-deflate", "identity"].contains(&one.as_str())) {
        return Err(value.wrong("it is gzip, deflate, raw-deflate or identity"));
    }
    let mut known = std::collections::BTreeSet::new();
    algorithms.retain(|one| one != "identity" && known.insert(one.clone()));
    Ok((!algorithms.is_empty() && !types.is_empty()).then_some(Compression { algorithms, types }))
}
