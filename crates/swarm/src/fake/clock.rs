//! Times as engines write them. A world begins with the year 2026.

use tokio::time::Instant;

/// 2026-01-01T00:00:00Z, in seconds since 1970.
const BEGINNING: u64 = 1_767_225_600;

/// Seconds since 1970 at an instant of a world that began at another.
pub(super) fn unix(began: Instant, at: Instant) -> u64 {
    BEGINNING + at.saturating_duration_since(began).as_secs()
}

/// RFC 3339 in UTC with nanoseconds.
pub(super) fn text(began: Instant, at: Instant) -> String {
    let seconds = unix(began, at);
    let nanos = at.saturating_duration_since(began).subsec_nanos();
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let (year, month, day) = date(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// Howard Hinnant's way from days since 1970 to a date: years that begin in March have their odd day at their end.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_world_begins_with_the_year_and_has_a_leap_day_in_2028() {
        let began = Instant::now();
        assert_eq!(text(began, began), "2026-01-01T00:00:00.000000000Z");
        let day = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(text(began, began + day(31 + 27) + Duration::from_nanos(5)), "2026-02-28T00:00:00.000000005Z");
        assert_eq!(text(began, began + day(365 + 365 + 31 + 28)), "2028-02-29T00:00:00.000000000Z");
        assert_eq!(text(began, began + day(365 + 365 + 366)), "2029-01-01T00:00:00.000000000Z");
    }
}
