//! What persons do while the daemons run: pause, resume, cancel, retry; and what must hold then.

use postrider::delivery::{DeliveryId, DeliveryState, StateName};
use postrider::endpoint::EndpointId;
use postrider::store::{Command, Filter, Page, Refusal, Reply, Store};

use super::{Happening, World};

#[derive(Clone, Copy, Debug)]
pub enum Person {
    /// And somebody resumes it so much later.
    Pauses {
        endpoint: EndpointId,
        for_ms: i64,
    },
    Resumes {
        endpoint: EndpointId,
    },
    /// Any delivery that there is then.
    Cancels,
    Retries,
}

impl World {
    pub(super) fn plan_persons(&mut self) {
        if !self.dice.percent(50) {
            return;
        }
        let endpoints: Vec<EndpointId> = self.receivers.keys().copied().collect();
        for _ in 0..self.dice.within(5, 30) {
            let endpoint = endpoints[self.dice.below(endpoints.len() as u64) as usize];
            let person = match self.dice.below(8) {
                0 | 1 => Person::Pauses { endpoint, for_ms: self.dice.within(10, 100_000) },
                2 => Person::Resumes { endpoint },
                3 | 4 => Person::Cancels,
                _ => Person::Retries,
            };
            let delay = self.dice.within(0, 280_000);
            self.at(delay, Happening::Asked(person));
        }
    }

    pub(super) fn asked(&mut self, person: Person) {
        let done = match person {
            Person::Pauses { endpoint, for_ms } => self.pause(endpoint, for_ms),
            Person::Resumes { endpoint } => self.resume(endpoint),
            Person::Cancels => self.some_delivery().is_none_or(|delivery| self.cancel(delivery)),
            Person::Retries => self.some_delivery().is_none_or(|delivery| self.retry(delivery)),
        };
        if !done {
            return self.at(500, Happening::Asked(person));
        }
        for of in 0..self.engines.len() {
            let life = self.engines[of].life;
            let delay = self.dice.within(0, 100);
            self.at(delay, Happening::Poll { of, life });
        }
    }

    /// Often one that is in flight: there are few of them.
    fn some_delivery(&mut self) -> Option<DeliveryId> {
        let flying = self.watched.iter().filter(|(_, watched)| !watched.flying.is_empty());
        let mut known: Vec<DeliveryId> = flying.map(|(id, _)| *id).collect();
        if known.is_empty() || self.dice.percent(50) {
            known = self.watched.keys().copied().collect();
        }
        (!known.is_empty()).then(|| known[self.dice.below(known.len() as u64) as usize])
    }

    /// False: the store failed, and the person tries again.
    fn pause(&mut self, endpoint: EndpointId, for_ms: i64) -> bool {
        let Some(reply) = self.ask(Command::Pause(endpoint)) else { return false };
        if reply == Reply::Done(1) {
            self.receivers.get_mut(&endpoint).expect("known").paused = true;
            self.report.paused += 1;
            self.at(for_ms, Happening::Asked(Person::Resumes { endpoint }));
        }
        true
    }

    fn resume(&mut self, endpoint: EndpointId) -> bool {
        let Some(reply) = self.ask(Command::Resume(endpoint)) else { return false };
        let receiver = self.receivers.get_mut(&endpoint).expect("known");
        receiver.paused = false;
        if (reply == Reply::Refused(Refusal::NoSuchEndpoint)) != receiver.removed {
            self.broken(format!("{endpoint:?} is resumed: {reply:?}"));
        }
        true
    }

    fn cancel(&mut self, delivery: DeliveryId) -> bool {
        let before = self.state_of(delivery).0;
        let Some(reply) = self.ask(Command::Cancel { delivery }) else { return false };
        let pending = matches!(before, DeliveryState::Pending { .. });
        if reply != Reply::Done(u64::from(pending)) {
            self.broken(format!("{delivery} was {before:?} and is cancelled: {reply:?}"));
        }
        if pending {
            self.report.cancelled += 1;
            let now = self.now;
            let watched = self.watched.get_mut(&delivery).expect("known");
            watched.cancelled = true;
            watched.loses_its_lease(now);
        }
        true
    }

    fn retry(&mut self, delivery: DeliveryId) -> bool {
        let states: Vec<StateName> = StateName::ALL.into_iter().filter(|_| self.dice.percent(75)).collect();
        let before = self.state_of(delivery).0.name();
        let command = Command::Retry { delivery, states: states.clone(), now_due: self.wall() };
        let Some(reply) = self.ask(command) else { return false };
        if reply != Reply::Done(1) {
            return true;
        }
        if !states.contains(&before) {
            self.broken(format!("{delivery} was {before:?} and is retried though {states:?} are asked for"));
        }
        let attempts = self.state_of(delivery).1;
        let now = self.now;
        let watched = self.watched.get_mut(&delivery).expect("known");
        watched.not_before = now;
        if before != StateName::Pending {
            self.report.retried += 1;
            watched.cancelled = false;
            watched.earlier = attempts;
            watched.tries_since = 0;
            watched.loses_its_lease(now);
        }
        true
    }

    fn ask(&mut self, command: Command) -> Option<Reply> {
        let replies = self.apply(std::slice::from_ref(&command))?;
        self.note(format!("somebody asks {command:?}: {:?}", replies[0]));
        replies.into_iter().next()
    }

    /// The state, and the attempts made.
    fn state_of(&mut self, delivery: DeliveryId) -> (DeliveryState, u32) {
        let filter = Filter { delivery: Some(delivery), ..Filter::default() };
        let listed = self.store.deliveries(&filter, Page { before: None, limit: 1 }).unwrap();
        (listed[0].delivery.state, listed[0].delivery.attempts)
    }
}
