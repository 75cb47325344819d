//! Numbers with units, as files have them. `None` for whatever is none.

use toml::Value;

/// A whole number.
pub(super) fn count(value: &Value) -> Option<u64> {
    u64::try_from(value.as_integer()?).ok()
}

/// Seconds: a number, or a text with `s`, `m` or `h`.
pub(super) fn seconds(value: &Value) -> Option<u64> {
    let Some(text) = value.as_str() else { return count(value) };
    let (number, unit) = split(text)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Bytes: a text with a unit, of which a thousandth more or less is meant.
pub(super) fn bytes(value: &Value) -> Option<u64> {
    let (number, unit) = split(value.as_str()?)?;
    let factor = match unit {
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Thousandths of a number.
pub(super) fn thousandths(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Float(number) => *number,
        Value::Integer(number) => f64::from(i32::try_from(*number).ok()?),
        _ => return None,
    };
    let thousandths = (number * 1000.0).round();
    // Beyond it lies no processor, and below nothing.
    (1.0..=1e9).contains(&thousandths).then_some(thousandths as u64)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}
