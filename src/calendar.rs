//! Points in time as people and other programs write them: RFC 3339, dates, and "2h" for two hours ago.
//! Always UTC, so that two machines never disagree about a line. No clock here: `now` is an argument.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::time::{Span, Time};

/// `2026-11-01T00:00:00.000Z`: RFC 3339 in UTC with milliseconds, which sorts as text.
///
/// A time beyond the calendar (years -9999 to 9999) shows as its end.
pub fn rfc3339(time: Time) -> String {
    let end = if time.ms() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    format!("{:.3}", Timestamp::from_millisecond(time.ms()).unwrap_or(end))
}

/// Reads a time in RFC 3339, any offset, to the millisecond. Fails with a sentence that says what it may be.
pub fn parse_rfc3339(text: &str) -> Result<Time, String> {
    match text.parse::<Timestamp>() {
        Ok(at) => Ok(Time::from_ms(at.as_millisecond())),
        Err(_) => Err(format!("a time is written in RFC 3339 (2026-11-01T10:30:00Z); {text:?} is not")),
    }
}

/// Reads what a person gives to `--since`: a length of time before `now` (`90s`, `2h`, `1day 12h`), a time
/// (`2026-11-01T10:30:00Z`, any offset), or a date or time without an offset, which is UTC (`2026-11-01`).
/// Fails with a sentence that says what it may be.
pub fn parse_since(text: &str, now: Time) -> Result<Time, String> {
    let trimmed = text.trim();
    if let Ok(length) = humantime::parse_duration(trimmed) {
        return Ok(now - Span::from_ms(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)));
    }
    let without_offset = || trimmed.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    match trimmed.parse::<Timestamp>().ok().or_else(without_offset) {
        Some(at) => Ok(Time::from_ms(at.as_millisecond())),
        None => Err(format!(
            "a time is a length of time ago (30min, 2h, 7days), a date (2026-11-01) or RFC 3339 \
             (2026-11-01T10:30:00Z); {text:?} is none of them"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-01T00:00:00Z.
    const NOW: Time = Time::from_ms(1_793_491_200_000);

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        assert_eq!(rfc3339(NOW), "2026-11-01T00:00:00.000Z");
        assert_eq!(rfc3339(NOW + Span::from_ms(7)), "2026-11-01T00:00:00.007Z");
        assert_eq!(rfc3339(Time::from_ms(-1)), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(Time::from_ms(i64::MAX)), "9999-12-30T22:00:00.999Z");
        assert!(rfc3339(Time::from_ms(i64::MIN)).starts_with("-009999-"));
    }

    #[test]
    fn since_reads_lengths_times_and_dates() {
        let since = |text| parse_since(text, NOW).map(|at| NOW.since(at));
        assert_eq!(since("2h"), Ok(Span::from_hours(2)));
        assert_eq!(since(" 1day 12h "), Ok(Span::from_hours(36)));
        assert_eq!(since("90s"), Ok(Span::from_seconds(90)));
        assert_eq!(since("2026-10-31"), Ok(Span::from_hours(24)));
        assert_eq!(since("2026-10-31T23:00"), Ok(Span::from_hours(1)));
        assert_eq!(since("2026-10-31T23:00:00Z"), Ok(Span::from_hours(1)));
        assert_eq!(since("2026-11-01T00:00:00.000+02:00"), Ok(Span::from_hours(2)));
        assert_eq!(parse_since(&rfc3339(NOW), NOW), Ok(NOW));
    }

    #[test]
    fn anything_else_says_what_it_may_be() {
        for bad in ["", "2", "yesterday", "-2h", "2026-13-01", "2026-11-01T25:00:00Z", "1999"] {
            assert!(parse_since(bad, NOW).is_err(), "{bad:?}");
        }
        assert_eq!(
            parse_since("soon", NOW).unwrap_err(),
            "a time is a length of time ago (30min, 2h, 7days), a date (2026-11-01) or RFC 3339 \
             (2026-11-01T10:30:00Z); \"soon\" is none of them"
        );
    }
}
