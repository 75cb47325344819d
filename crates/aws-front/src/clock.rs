//! Moments as AWS writes them.

use std::time::SystemTime;

use time::format_description::well_known::Rfc3339;

/// A moment in RFC 3339: whole seconds, UTC.
pub fn rfc3339(moment: SystemTime) -> String {
    let moment = time::OffsetDateTime::from(moment);
    moment.replace_nanosecond(0).unwrap_or(moment).format(&Rfc3339).unwrap_or_default()
}

/// This moment in RFC 3339.
pub fn now() -> String {
    rfc3339(SystemTime::now())
}
