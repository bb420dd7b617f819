//! When a delivery is tried again: attempt number -> next time, or none.
//! Pure: the time is an argument, and so is the draw that decides the jitter.

use crate::time::{Span, Time};

/// The waits between attempts. A schedule of n delays allows 1 + n attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    delays: Vec<Span>,
    /// How much later than the delay a retry may fall, in percent of the delay. Never earlier.
    jitter_percent: u8,
}

/// One draw of chance, uniform over all values of `u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw(pub u32);

/// How long after the beginning of an attempt the next one may begin, if `times` attempts in a row ended with their
/// daemon: at once after the first, then 30 s doubled up to 10 minutes. A process that dies again and again must not use
/// up in a minute what the schedule spreads over an hour.
pub fn after_unknown(times: u32) -> Span {
    let schedule = Schedule::doubling(Span::from_seconds(30), Span::from_minutes(10), 6);
    match times.checked_sub(2) {
        Some(index) => schedule.delays[(index as usize).min(schedule.delays.len() - 1)],
        None => Span::ZERO,
    }
}

impl Schedule {
    /// The retries' longest list: the store counts attempts in memory-sized numbers, and a person must be able to read it.
    pub const MOST_RETRIES: usize = 100;
    /// The longest wait between two attempts.
    pub const LONGEST_DELAY: Span = Span::from_hours(24 * 30);

    /// `first`, then twice as long after each failure up to `cap`, for `retries` retries.
    pub fn doubling(first: Span, cap: Span, retries: u32) -> Self {
        let doubled = |delay: &Span| Some(Span::from_ms(delay.ms().saturating_mul(2)).min(cap));
        let delays = std::iter::successors(Some(first.min(cap)), doubled).take(retries as usize).collect();
        Schedule { delays, jitter_percent: 0 }
    }

    /// Fails with a sentence if a delay is shorter than a millisecond, longer than 30 days, or there are over 100.
    pub fn listed(delays: Vec<Span>) -> Result<Self, String> {
        let fits = |delay: &Span| (Span::from_ms(1)..=Self::LONGEST_DELAY).contains(delay);
        match delays.len() <= Self::MOST_RETRIES && delays.iter().all(fits) {
            true => Ok(Schedule { delays, jitter_percent: 0 }),
            false => Err(format!(
                "a schedule has at most {} delays, each from 1 ms to {}",
                Self::MOST_RETRIES,
                Self::LONGEST_DELAY
            )),
        }
    }

    pub fn with_jitter(self, jitter_percent: u8) -> Self {
        Schedule { jitter_percent, ..self }
    }

    pub fn jitter_percent(&self) -> u8 {
        self.jitter_percent
    }

    /// The wait before each retry, in order.
    pub fn delays(&self) -> &[Span] {
        &self.delays
    }

    /// How many attempts a delivery may have in all, the first included.
    pub fn attempts(&self) -> u32 {
        self.delays.len() as u32 + 1
    }

    /// When the attempt after number `attempt` may begin, if that one failed at `failed_at`; `None` when it was the
    /// last. Never before `failed_at` + delay, and at most the jitter's share of the delay after it.
    pub fn next(&self, attempt: u32, failed_at: Time, draw: Draw) -> Option<Time> {
        let delay = *self.delays.get(attempt.checked_sub(1)? as usize)?;
        let most_jitter = delay.ms().saturating_mul(i64::from(self.jitter_percent)) / 100;
        let jitter = (i128::from(most_jitter) * i128::from(draw.0)) >> 32;
        Some(failed_at + delay + Span::from_ms(jitter as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubling_reaches_its_cap_and_stays() {
        let schedule = Schedule::doubling(Span::from_seconds(30), Span::from_minutes(10), 10);
        let seconds: Vec<i64> = schedule.delays().iter().map(|delay| delay.ms() / 1000).collect();
        assert_eq!(seconds, [30, 60, 120, 240, 480, 600, 600, 600, 600, 600]);
        assert_eq!(schedule.attempts(), 11);
    }

    #[test]
    fn the_last_attempt_has_no_next() {
        let schedule = Schedule::doubling(Span::from_seconds(30), Span::from_minutes(10), 10);
        let failed_at = Time::from_ms(1_000_000);
        assert_eq!(schedule.next(1, failed_at, Draw(u32::MAX)), Some(failed_at + Span::from_seconds(30)));
        assert_eq!(schedule.next(10, failed_at, Draw(0)), Some(failed_at + Span::from_seconds(600)));
        assert_eq!(schedule.next(11, failed_at, Draw(0)), None);
        assert_eq!(schedule.next(0, failed_at, Draw(0)), None);
        assert_eq!(schedule.next(u32::MAX, failed_at, Draw(0)), None);
    }

    #[test]
    fn jitter_is_late_only_and_bounded() {
        let schedule = Schedule::listed(vec![Span::from_seconds(100)]).unwrap().with_jitter(10);
        let failed_at = Time::from_ms(0);
        assert_eq!(schedule.next(1, failed_at, Draw(0)), Some(Time::from_ms(100_000)));
        let latest = schedule.next(1, failed_at, Draw(u32::MAX)).unwrap();
        assert!(latest > Time::from_ms(109_990) && latest <= Time::from_ms(110_000), "{latest:?}");
    }

    #[test]
    fn a_listed_schedule_is_bounded() {
        assert!(Schedule::listed(vec![]).is_ok());
        assert!(Schedule::listed(vec![Span::ZERO]).is_err());
        assert!(Schedule::listed(vec![Span::from_hours(24 * 31)]).is_err());
        assert!(Schedule::listed(vec![Span::from_seconds(1); 101]).is_err());
    }
}
