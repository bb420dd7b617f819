//! What all lanes share: attempts in flight, and the bytes of their bodies.
//! Endpoints that hang can never take it all: lanes not known to answer share half of it.

use super::Limits;

#[derive(Debug)]
pub(super) struct Room {
    pub(super) limits: Limits,
    /// In flight or asked for, over all lanes.
    all: Taken,
    /// The part of it that lanes have which are not proven.
    unproven: Taken,
}

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    attempts: u32,
    bytes: u64,
}

impl Room {
    pub(super) fn new(limits: Limits) -> Self {
        assert!(limits.in_flight > 0, "an engine without room does nothing");
        Room { limits, all: Taken::default(), unproven: Taken::default() }
    }

    /// The attempts and bytes that one more request of a lane may have, whose bodies have up to `largest` bytes; `None`
    /// if it must wait. A body goes alone if it must, so that none waits for ever.
    pub(super) fn left(&self, proven: bool, largest: u64) -> Option<(u32, u64)> {
        let limits = &self.limits;
        let mut attempts = limits.in_flight - self.all.attempts;
        let whole = limits.body_bytes.saturating_sub(self.all.bytes);
        let mut bytes = whole;
        let mut alone = self.all.attempts == 0;
        if !proven {
            attempts = attempts.min(self.share().saturating_sub(self.unproven.attempts));
            bytes = bytes.min((limits.body_bytes / 2).saturating_sub(self.unproven.bytes));
            alone |= self.unproven.attempts == 0 && whole >= largest;
        }
        (attempts > 0 && (bytes >= largest || alone)).then_some((attempts, bytes))
    }

    /// Less than half of what lanes that are not proven may have is taken.
    pub(super) fn is_roomy(&self) -> bool {
        self.unproven.attempts < self.share() / 2
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.attempts == 0
    }

    fn share(&self) -> u32 {
        self.limits.in_flight.div_ceil(2)
    }

    pub(super) fn take(&mut self, attempts: u32, bytes: u64, proven: bool) {
        for taken in [Some(&mut self.all), (!proven).then_some(&mut self.unproven)].into_iter().flatten() {
            taken.attempts += attempts;
            taken.bytes += bytes;
        }
    }

    pub(super) fn give_back(&mut self, attempts: u32, bytes: u64, proven: bool) {
        for taken in [Some(&mut self.all), (!proven).then_some(&mut self.unproven)].into_iter().flatten() {
            taken.attempts -= attempts;
            taken.bytes -= bytes;
        }
    }

    /// A lane that has so much has become proven, or is it no longer.
    pub(super) fn turn(&mut self, attempts: u32, bytes: u64, proven: bool) {
        self.give_back(attempts, bytes, !proven);
        self.take(attempts, bytes, proven);
    }
}
