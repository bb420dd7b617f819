//! One lane: what one endpoint may be sent now. Knows nothing of other lanes.

use std::collections::VecDeque;

use super::stock::{MOST_AHEAD, Stocked};
use super::{LanePlan, Service};
use crate::provider::Terms;
use crate::time::{Span, Time};

#[derive(Debug)]
pub(super) struct Lane {
    /// `None`: the store owes it something, but it is no endpoint (any more).
    pub(super) plan: Option<LanePlan>,
    /// What the attempts still in flight are judged by after the endpoint went.
    pub(super) last_terms: Option<Terms>,
    /// Nothing is due before this; something may be due then. `None`: nothing is owed.
    pub(super) next_due: Option<Time>,
    pub(super) in_flight: u32,
    /// Leased, and not begun: the oldest first.
    pub(super) stock: VecDeque<Stocked>,
    /// Bytes of the bodies in flight and in stock.
    bytes: u64,
    /// The largest body that it carried so far; `None` before the first.
    pub(super) largest_body: Option<u64>,
    asked: Option<Asked>,
    pub(super) burying: bool,
    /// Where it stands on the agenda.
    pub(super) listed: Option<Time>,
    /// Its time has come and it waits for room.
    pub(super) queued: bool,
    /// The last attempt was accepted.
    pub(super) proven: bool,
    /// Attempts that may be in flight at once now: 1 at first, doubled by success up to the plan's concurrency, halved
    /// by failure. An endpoint that comes back is not met by all that waited for it.
    window: u32,
    /// Attempts that may be in flight at once until the next request: the window, or half of what is allowed at best.
    pub(super) opened: u32,
    /// Attempts that end while the store answers a request, about.
    pace: u32,
    /// Its window is full and others need the room: it waits for the end of an attempt of its own.
    held: bool,
    bucket: Bucket,
}

/// The next body may be larger than any before, but hardly than this if all were small.
const SMALL_BODY: u64 = 64 * 1024;

/// A request to the store that is not answered yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) limit: u32,
    pub(super) bytes: u64,
    /// The last moment at which an attempt may begin and still end within its lease.
    pub(super) usable_until: Time,
    /// Attempts that ended meanwhile.
    pub(super) ended: u32,
}

impl Lane {
    pub(super) fn unknown() -> Self {
        Lane {
            plan: None,
            last_terms: None,
            next_due: None,
            in_flight: 0,
            stock: VecDeque::new(),
            bytes: 0,
            largest_body: None,
            asked: None,
            burying: false,
            listed: None,
            queued: false,
            proven: false,
            window: 1,
            opened: 1,
            pace: 0,
            held: false,
            bucket: Bucket::new(None),
        }
    }

    pub(super) fn follow(&mut self, plan: LanePlan) {
        if self.plan.as_ref().map(|plan| plan.rate) != Some(plan.rate) {
            self.bucket = Bucket::new(plan.rate);
        }
        self.window = self.window.min(plan.concurrency.max(1));
        self.opened = self.opened.min(plan.concurrency.max(1));
        self.plan = Some(plan);
    }

    pub(super) fn forget(&mut self) {
        if let Some(plan) = self.plan.take() {
            self.last_terms = Some(plan.terms);
        }
    }

    pub(super) fn close(&mut self) {
        if let Some(plan) = &mut self.plan {
            plan.service = Service::Gone;
        }
    }

    pub(super) fn service(&self) -> Service {
        self.plan.as_ref().map_or(Service::Gone, |plan| plan.service)
    }

    /// No endpoint, and nothing under way.
    pub(super) fn is_over(&self) -> bool {
        let busy = self.leased() > 0 || self.asked.is_some() || self.burying || self.queued;
        self.plan.is_none() && !busy && self.next_due.is_none()
    }

    pub(super) fn owes_at(&mut self, at: Time) {
        self.next_due = Some(self.next_due.map_or(at, |due| due.min(at)));
    }

    /// When this lane has something to ask of the store; `None` while it has nothing to ask, or waits for an answer.
    pub(super) fn ready_at(&self) -> Option<Time> {
        let next_due = self.next_due?;
        if self.asked.is_some() || self.burying || self.queued {
            return None;
        }
        match self.service() {
            Service::Active if self.held || self.leased() >= self.window.max(self.half()) + self.ahead() => None,
            Service::Active => Some(next_due.max(self.bucket.ready_at())),
            Service::Paused => None,
            // What is owed to nobody need not wait until it is due.
            Service::Gone => Some(Time::from_ms(i64::MIN)),
        }
    }

    fn half(&self) -> u32 {
        self.plan.as_ref().map_or(1, |plan| plan.concurrency / 2).max(1)
    }

    /// In flight or in stock.
    fn leased(&self) -> u32 {
        self.in_flight + self.stock.len() as u32
    }

    /// How many may be in stock. A rate says itself when the next may begin.
    fn ahead(&self) -> u32 {
        let is_paced = self.plan.as_ref().is_some_and(|plan| plan.rate.is_some());
        if self.proven && !is_paced { (self.pace * 2).min(MOST_AHEAD) } else { 0 }
    }

    /// How many may be leased now; with `roomy`, even a window that failures closed opens halfway.
    pub(super) fn room(&mut self, now: Time, roomy: bool) -> u32 {
        self.opened = if roomy { self.window.max(self.half()) } else { self.window };
        let most = self.opened + self.ahead();
        self.held = self.leased() >= most;
        most.saturating_sub(self.leased()).min(self.bucket.tokens(now))
    }

    /// An attempt is over.
    pub(super) fn landed(&mut self, bytes: u64) {
        self.in_flight -= 1;
        self.drops(bytes);
        if let Some(asked) = &mut self.asked {
            asked.ended += 1;
        }
    }

    /// A lease is over.
    pub(super) fn drops(&mut self, bytes: u64) {
        self.bytes -= bytes;
        self.held = false;
    }

    /// The clock stepped.
    pub(super) fn shift(&mut self, by: Span) {
        self.stock.iter_mut().for_each(|stocked| stocked.usable_until = stocked.usable_until + by);
    }

    /// Attempts and bytes that are leased or asked for.
    pub(super) fn open(&self) -> (u32, u64) {
        self.asked.map_or((self.leased(), self.bytes), |asked| (self.leased() + asked.limit, self.bytes + asked.bytes))
    }

    /// One more body is in flight. Small ones are reckoned with as if they had some kilobytes.
    pub(super) fn carries(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.largest_body = Some(self.largest_body.unwrap_or(SMALL_BODY).max(bytes));
    }

    pub(super) fn ask(&mut self, now: Time, asked: Asked) {
        self.bucket.take(now, asked.limit);
        self.asked = Some(asked);
    }

    pub(super) fn answered(&mut self, leases: u32, now: Time) -> Asked {
        let asked = self.asked.take().expect("an answer belongs to a request");
        self.bucket.give_back(now, asked.limit - leases);
        self.pace = asked.ended.max(self.pace / 2);
        asked
    }

    pub(super) fn learn(&mut self, accepted: bool) {
        let most = self.plan.as_ref().map_or(1, |plan| plan.concurrency.max(1));
        self.proven = accepted;
        self.window = match accepted {
            true => (self.window * 2).min(most),
            false => (self.window / 2).max(1),
        };
        if accepted {
            self.opened = self.opened.max(self.window);
        }
    }
}

/// Lets `rate` attempts begin per second, evenly: after a pause at most a tenth of a second's worth goes at once.
#[derive(Debug)]
struct Bucket {
    rate: Option<u32>,
    /// Thousandths of an attempt: `rate` of them come per millisecond.
    level: i64,
    at: Option<Time>,
}

impl Bucket {
    fn new(rate: Option<u32>) -> Self {
        let mut bucket = Bucket { rate, level: 0, at: None };
        bucket.level = bucket.most();
        bucket
    }

    fn most(&self) -> i64 {
        self.rate.map_or(0, |rate| i64::from(rate) * 100).max(1000)
    }

    fn refill(&mut self, now: Time) {
        let Some(rate) = self.rate else { return };
        let passed = self.at.map_or(Span::ZERO, |at| now.since(at)).ms().max(0);
        self.level = self.level.saturating_add(passed.saturating_mul(i64::from(rate))).min(self.most());
        self.at = Some(now);
    }

    fn tokens(&mut self, now: Time) -> u32 {
        self.refill(now);
        self.rate.map_or(u32::MAX, |_| u32::try_from(self.level.max(0) / 1000).unwrap_or(u32::MAX))
    }

    fn take(&mut self, now: Time, attempts: u32) {
        self.refill(now);
        self.level -= self.rate.map_or(0, |_| i64::from(attempts) * 1000);
    }

    fn give_back(&mut self, now: Time, attempts: u32) {
        self.refill(now);
        self.level = (self.level + i64::from(attempts) * 1000).min(self.most());
    }

    /// When there will be one whole attempt in it.
    fn ready_at(&self) -> Time {
        match (self.rate, self.at) {
            (Some(rate), Some(at)) if self.level < 1000 => {
                let missing = (1000 - self.level) as u64;
                at + Span::from_ms(missing.div_ceil(u64::from(rate.max(1))) as i64)
            }
            (Some(_), Some(_)) | (Some(_), None) | (None, _) => Time::from_ms(i64::MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_spreads_attempts_and_never_exceeds_itself_by_more_than_a_tenth() {
        for rate in [1, 3, 7, 50, 1000] {
            let mut bucket = Bucket::new(Some(rate));
            let mut begun = Vec::new();
            for ms in 0..5000 {
                let now = Time::from_ms(ms);
                let tokens = bucket.tokens(now);
                bucket.take(now, tokens);
                begun.push(tokens);
            }
            for second in begun.windows(1000) {
                let sum: u32 = second.iter().sum();
                assert!(sum <= rate + rate / 10 + 1, "{sum} in a second at {rate}");
            }
            let all: u32 = begun.iter().sum();
            assert!(all >= rate * 5 - 1, "{all} in five seconds at {rate}");
        }
    }

    #[test]
    fn a_clock_that_steps_back_only_pauses_a_bucket() {
        let mut bucket = Bucket::new(Some(10));
        bucket.take(Time::from_ms(1_000_000), 1);
        assert_eq!(bucket.tokens(Time::from_ms(0)), 0);
        assert_eq!(bucket.tokens(Time::from_ms(100)), 1);
    }
}
