//! What must hold when an outcome was recorded, and when all is over.

use std::collections::{BTreeMap, BTreeSet};

use postrider::delivery::{DeadReason, DeliveryId, DeliveryState, Outcome, Record, Verdict};
use postrider::endpoint::EndpointId;
use postrider::engine::Action;
use postrider::store::{Filter, Page, Recorded, Reply, Store};
use postrider::time::Span;

use super::World;
use super::making::Manner;

/// The longest that a batch takes to the store.
const UNDER_WAY: Span = Span::from_ms(20);

/// What the world knows of a delivery, told by nobody but itself.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) tries: u32,
    /// The attempts that were made before somebody last had it retried ...
    pub(super) earlier: u32,
    /// ... and the tries of later ones.
    pub(super) tries_since: u32,
    pub(super) accepted: u32,
    /// The last that a person did to it was to cancel it.
    pub(super) cancelled: bool,
    /// No try may begin before this (true time): a failure was recorded, and the schedule says when.
    pub(super) not_before: i64,
    /// Tries in flight, by token.
    pub(super) flying: BTreeMap<i64, Flying>,
    /// The token of the lease that was granted last.
    pub(super) holder: i64,
    /// The outcomes that were heard, by attempt.
    pub(super) heard: BTreeMap<u32, Heard>,
}

/// An outcome reached an engine.
pub(super) struct Heard {
    /// Engine and life.
    pub(super) by: (usize, u64),
    /// When the attempt ended for it (true time).
    pub(super) at: i64,
}

#[derive(Clone, Copy)]
pub(super) struct Flying {
    pub(super) engine: usize,
    pub(super) life: u64,
    pub(super) lane: EndpointId,
    /// When its lease ends (true time).
    pub(super) ends: i64,
}

impl Watched {
    /// A person took it out of the hands of whoever has it in flight.
    pub(super) fn loses_its_lease(&mut self, now: i64) {
        self.holder = 0;
        self.flying.values_mut().for_each(|flight| flight.ends = now);
    }
}

impl World {
    pub(super) fn watch(&mut self, action: &Action, reply: Option<&Reply>) {
        match (action, reply) {
            (Action::Record(record), Some(Reply::Recorded(recorded))) => {
                let said = format!(
                    "{} {:?} is recorded: {:?} {recorded:?}",
                    record.delivery, record.attempt.outcome, record.verdict
                );
                self.note(said);
                let watched = self.watched.get_mut(&record.delivery).expect("known");
                if *recorded == Recorded::Counted && watched.holder != record.token.0 {
                    self.broken(format!("{} was decided by a lease that had been lost", record.delivery));
                }
                match (recorded, record.verdict) {
                    (Recorded::Counted, Verdict::RetryAt(_)) => {
                        let receiver = &self.receivers[&record.endpoint];
                        let delay = receiver.delays[(record.attempt.number - watched.earlier) as usize - 1];
                        watched.not_before = watched.heard[&record.attempt.number].at + delay.ms();
                    }
                    (Recorded::LateAccepted, _) => self.report.late_accepted += 1,
                    (Recorded::Counted, Verdict::Dead(DeadReason::EndpointGone)) => {
                        self.receivers.get_mut(&record.endpoint).expect("known").paused = false;
                    }
                    (Recorded::Counted, Verdict::Delivered | Verdict::Dead(DeadReason::ScheduleUsedUp)) => {}
                    (Recorded::Lost, _) => self.check_lost(record),
                }
            }
            (Action::Bury { lane, .. }, Some(Reply::Done(ended))) => {
                if *ended > 0 && self.receivers[lane].paused {
                    self.broken(format!("{lane:?} is paused, and {ended} of it are buried"));
                }
                self.report.buried += *ended as u32;
            }
            (Action::Lease(request), Some(Reply::Leased(leased))) => {
                let said = format!("{:?} leases {}", request.lane, leased.leases.len());
                self.note(said);
                if self.receivers[&request.lane].paused && *leased != Default::default() {
                    self.broken(format!("{:?} is paused: {leased:?}", request.lane));
                }
                for lease in &leased.leases {
                    self.watched.get_mut(&lease.delivery).expect("known").holder = lease.token.0;
                }
            }
            _ => {}
        }
    }

    /// An acceptance that comes too late for its lease still ends what is owed.
    fn check_lost(&mut self, record: &Record) {
        let filter = Filter { delivery: Some(record.delivery), ..Filter::default() };
        let listed = self.store.deliveries(&filter, Page { before: None, limit: 1 }).unwrap();
        let open = matches!(listed[0].delivery.state, DeliveryState::Pending { .. } | DeliveryState::Cancelled { .. });
        if open && record.attempt.outcome.is_accepted() {
            self.broken(format!("{} was accepted, and is not delivered", record.delivery));
        }
    }

    /// Nothing acknowledged is lost, every delivery ended, and each end is true.
    pub(super) fn judge_the_end(&mut self) {
        let page = Page { before: None, limit: 10_000 };
        let listed = self.store.deliveries(&Filter::default(), page).unwrap();
        let kept: BTreeSet<DeliveryId> = listed.iter().map(|listed| listed.delivery.id).collect();
        for id in self.watched.keys() {
            if !kept.contains(id) {
                self.broken(format!("{id} was acknowledged and is lost"));
            }
        }
        for listed in listed {
            let delivery = listed.delivery;
            let watched = &self.watched[&delivery.id];
            let attempts = self.store.attempts(delivery.id).unwrap();
            let receiver = &self.receivers[&delivery.endpoint];
            self.report.unknown += attempts.iter().filter(|attempt| attempt.outcome == Outcome::Unknown).count() as u32;
            for attempt in attempts.iter().filter(|attempt| attempt.outcome == Outcome::Unknown) {
                if watched.heard.get(&attempt.number).is_some_and(|heard| !self.crashed.contains(&heard.by)) {
                    self.broken(format!("{} attempt {} was heard, and is unknown", delivery.id, attempt.number));
                }
            }
            let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
            if numbers != (1..=delivery.attempts).collect::<Vec<_>>() {
                self.broken(format!("{} had {} attempts, kept are {numbers:?}", delivery.id, delivery.attempts));
            }
            if watched.tries > delivery.attempts {
                self.broken(format!(
                    "{} was tried {} times, counted {}",
                    delivery.id, watched.tries, delivery.attempts
                ));
            }
            match delivery.state {
                DeliveryState::Pending { .. } => self.broken(format!("{} never ended", delivery.id)),
                DeliveryState::Delivered { .. } if watched.accepted == 0 => {
                    self.broken(format!("{} counts as delivered and never was", delivery.id))
                }
                DeliveryState::Delivered { .. } => self.report.delivered += 1,
                DeliveryState::Dead { reason: DeadReason::ScheduleUsedUp, at } => {
                    if delivery.scheduled_attempts() < receiver.most_attempts {
                        self.broken(format!("{} died after {} attempts", delivery.id, delivery.attempts));
                    }
                    // What reached the store only after the end, from an engine that had lost its lease, ends nothing any
                    // more.
                    let since = attempts.iter().filter(|attempt| attempt.number > delivery.earlier);
                    if since
                        .into_iter()
                        .any(|attempt| attempt.outcome.is_accepted() && attempt.finished_at + UNDER_WAY < at)
                    {
                        self.broken(format!("{} died though it was accepted", delivery.id));
                    }
                    self.report.dead += 1;
                }
                DeliveryState::Dead { reason: DeadReason::EndpointGone, .. } => {
                    if !receiver.removed && !matches!(receiver.manner, Manner::Gone) {
                        self.broken(format!("{} ended as gone, and its endpoint is there", delivery.id));
                    }
                    self.report.dead += 1;
                }
                DeliveryState::Cancelled { .. } if !watched.cancelled => {
                    self.broken(format!("nobody cancelled {}", delivery.id))
                }
                DeliveryState::Cancelled { .. } => {}
            }
        }
    }
}
