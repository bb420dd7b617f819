//! What must hold when an outcome was recorded, and when all is over.

use std::collections::BTreeSet;

use postrider::delivery::{DeadReason, DeliveryId, DeliveryState, Outcome, Record, Verdict};
use postrider::engine::Action;
use postrider::store::{Filter, Page, Recorded, Reply, Store};

use super::World;
use super::making::Manner;

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
                        let delay = receiver.delays[record.attempt.number as usize - 1];
                        watched.not_before = watched.heard[&record.attempt.number].at + delay.ms();
                    }
                    (Recorded::LateAccepted, _) => self.report.late_accepted += 1,
                    (Recorded::Counted, Verdict::Delivered | Verdict::Dead(_)) => {}
                    (Recorded::Lost, _) => self.check_lost(record),
                }
            }
            (Action::Bury { .. }, Some(Reply::Done(ended))) => self.report.buried += *ended as u32,
            (Action::Lease(request), Some(Reply::Leased(leased))) => {
                let said = format!("{:?} leases {}", request.lane, leased.leases.len());
                self.note(said);
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
        let pending = matches!(listed[0].delivery.state, DeliveryState::Pending { .. });
        if pending && record.attempt.outcome.is_accepted() {
            self.broken(format!("{} was accepted, and is owed still", record.delivery));
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
                    if delivery.attempts < receiver.most_attempts {
                        self.broken(format!("{} died after {} attempts", delivery.id, delivery.attempts));
                    }
                    // What was heard only after the end, from an engine that had lost its lease, ends nothing any more.
                    if attempts.iter().any(|attempt| attempt.outcome.is_accepted() && attempt.finished_at < at) {
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
                DeliveryState::Cancelled { .. } => self.broken(format!("nobody cancelled {}", delivery.id)),
            }
        }
    }
}
