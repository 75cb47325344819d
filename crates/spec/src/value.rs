//! What a value of a spec is, and in which words it is spoken of.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use toml_edit::{Item, Value};

/// Whether a table's name can be a part of names in AWS.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=24).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

/// An IPv4 network, or why a text is none, with the nearest that would be one.
pub(crate) fn as_network(text: &str) -> Result<Ipv4Net, String> {
    let example = "a CIDR block such as \"10.42.0.0/16\" is needed";
    if let Ok(network) = text.parse::<Ipv4Net>() {
        let first = network.trunc();
        return match network == first {
            true => Ok(network),
            false => Err(format!(
                "{text:?} is an address within a network: write {:?} for the network, or {:?} for that one address",
                first.to_string(),
                format!("{}/32", network.addr())
            )),
        };
    }
    if text.parse::<Ipv6Net>().is_ok() || text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("{text:?} is IPv6, which is not used here: {example}"));
    }
    if text.parse::<Ipv4Addr>().is_ok() {
        return Err(format!("{text:?} has no prefix length: write {:?} for that one address", format!("{text}/32")));
    }
    Err(format!("{text:?} is not a CIDR block; {example}"))
}

/// A value in a message.
pub(crate) fn describe(item: &Item) -> String {
    match item {
        Item::Value(Value::String(text)) => format!("the string {:?}", text.value()),
        Item::Value(Value::Integer(number)) => format!("the number {}", number.value()),
        Item::Value(Value::Float(number)) => format!("the number {}", number.value()),
        Item::Value(Value::Boolean(flag)) => format!("{}", flag.value()),
        Item::Value(Value::Datetime(_)) => "a date".to_owned(),
        Item::Value(Value::Array(_)) => "a list".to_owned(),
        _ => "a table".to_owned(),
    }
}

/// How a number or flag would be written where a string is needed; nothing for what cannot be meant as one.
pub(crate) fn in_quotes(item: &Item) -> String {
    let text = match item {
        Item::Value(Value::Integer(number)) => number.value().to_string(),
        Item::Value(Value::Float(number)) => number.value().to_string(),
        Item::Value(Value::Boolean(flag)) => flag.value().to_string(),
        _ => return String::new(),
    };
    format!(": write \"{text}\"")
}
