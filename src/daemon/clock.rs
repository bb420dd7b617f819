//! The clock of a running daemon: the wall's time when it began, moved on by the monotonic clock.
//! A wall clock that is set by hand or by NTP does not move it until the daemon has moved what waits in the store by
//! the same amount, so that no retry is early and none is lost for a year. A process that plays with time (the sandbox)
//! may set its own wall ahead of the machine's.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Span, Time};

/// How far this process's wall is ahead of the machine's, in milliseconds.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// What the wall clock shows: the machine's, and what this process was set ahead of it.
pub fn wall() -> Time {
    machine() + ahead()
}

/// How far the wall of this process is ahead of the machine's: nothing, unless it plays with time.
pub fn ahead() -> Span {
    Span::from_ms(AHEAD.load(Ordering::SeqCst))
}

/// Sets the wall of this whole process ahead, before a daemon starts in it; while one runs, `Handle::advance` does.
pub fn set_ahead(by: Span) {
    AHEAD.store(by.ms(), Ordering::SeqCst);
}

fn machine() -> Time {
    let now = SystemTime::now();
    let ms = match now.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_millis() as i64,
        Err(before) => -(before.duration().as_millis() as i64),
    };
    Time::from_ms(ms)
}

/// A difference between wall and clock below this is the noise of two readings.
const STEP: Span = Span::from_ms(250);

#[derive(Debug)]
pub struct Clock {
    began: Time,
    since: Instant,
}

impl Clock {
    pub fn new() -> Self {
        Clock { began: wall(), since: Instant::now() }
    }

    pub fn now(&self) -> Time {
        self.began + Span::from_ms(self.since.elapsed().as_millis() as i64)
    }

    /// By how much the wall clock has stepped away from this one, if it has.
    pub fn step(&self) -> Option<Span> {
        // Between two readings the process may be stopped for any time; three such stops in a row are not chance.
        let differences = [(); 3].map(|()| wall().since(self.now()));
        let agree = differences.iter().all(|d| (d.ms() - differences[0].ms()).abs() < STEP.ms() / 2);
        Some(differences[2]).filter(|by| agree && by.ms().abs() >= STEP.ms())
    }

    /// Sets the wall and this clock forward together, so that nothing looks like a step.
    pub fn advance(&mut self, by: Span) {
        AHEAD.fetch_add(by.ms(), Ordering::SeqCst);
        self.follow(by);
    }

    /// Takes the step over: from now on this clock shows the wall's time again.
    pub fn follow(&mut self, by: Span) {
        self.began = self.began + by;
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_seen_and_followed() {
        let mut clock = Clock::new();
        assert_eq!(clock.step(), None);
        clock.began = clock.began - Span::from_hours(1);
        let by = clock.step().expect("an hour is a step");
        assert!((by.ms() - 3_600_000).abs() < 1000, "{by}");
        clock.follow(by);
        assert_eq!(clock.step(), None);
    }
}
