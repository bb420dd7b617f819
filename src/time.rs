//! Points in time and lengths of time, as values that are handed around.
//! Nothing here reads a clock: the daemon asks the clock once and passes `Time` down, which is why every rule below
//! can be tested and simulated without waiting.

use std::fmt;
use std::ops::{Add, Sub};

/// A point in wall-clock time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// The time `ms` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_ms(ms: i64) -> Self {
        Time(ms)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long after `earlier` this is; negative if it is before.
    pub const fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// A length of time in milliseconds. Negative only as the size of a clock step backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

impl Span {
    pub const ZERO: Span = Span(0);

    pub const fn from_ms(ms: i64) -> Self {
        Span(ms)
    }

    pub const fn from_seconds(seconds: i64) -> Self {
        Span(seconds.saturating_mul(1000))
    }

    pub const fn from_minutes(minutes: i64) -> Self {
        Span::from_seconds(minutes.saturating_mul(60))
    }

    pub const fn from_hours(hours: i64) -> Self {
        Span::from_minutes(hours.saturating_mul(60))
    }

    pub const fn ms(self) -> i64 {
        self.0
    }

    /// For the waits of the layers that touch the world; a negative span is no wait.
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(if self.0 < 0 { 0 } else { self.0 as u64 })
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Time {
    type Output = Time;
    fn sub(self, span: Span) -> Time {
        Time(self.0.saturating_sub(span.0))
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

/// `850 ms`, `30 s`, `1 min 30 s`, `10 min`, `2 h 5 min`, `3 d 4 h`: at most two units, never more precise than useful.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let (seconds, rest) = (ms / 1000, ms % 1000);
        let two = |f: &mut fmt::Formatter<'_>, a: u64, a_unit: &str, b: u64, b_unit: &str| match b {
            0 => write!(f, "{a} {a_unit}"),
            _ => write!(f, "{a} {a_unit} {b} {b_unit}"),
        };
        match seconds {
            0 => write!(f, "{ms} ms"),
            1..=9 if rest >= 100 => write!(f, "{seconds}.{} s", rest / 100),
            1..=59 => write!(f, "{seconds} s"),
            60..=3599 => two(f, seconds / 60, "min", seconds % 60, "s"),
            3600..=86_399 => two(f, seconds / 3600, "h", seconds % 3600 / 60, "min"),
            _ => two(f, seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_a_person_would_say_them() {
        let said = |ms| Span::from_ms(ms).to_string();
        assert_eq!(said(0), "0 ms");
        assert_eq!(said(850), "850 ms");
        assert_eq!(said(1_500), "1.5 s");
        assert_eq!(said(30_000), "30 s");
        assert_eq!(said(90_000), "1 min 30 s");
        assert_eq!(said(600_000), "10 min");
        assert_eq!(said(7_500_000), "2 h 5 min");
        assert_eq!(said(3 * 86_400_000 + 4 * 3_600_000), "3 d 4 h");
        assert_eq!(said(-2_000), "-2 s");
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Time::from_ms(i64::MAX) + Span::from_hours(1), Time::from_ms(i64::MAX));
        assert_eq!(Time::from_ms(i64::MIN).since(Time::from_ms(1)), Span::from_ms(i64::MIN));
    }
}
