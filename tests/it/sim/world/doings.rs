//! What others do to the store and to the daemons.

use postrider::daemon::exchange;
use postrider::endpoint::EndpointId;
use postrider::engine::{Action, Input};
use postrider::event::{EventId, EventType};
use postrider::signature;
use postrider::store::{Command, LaneDue, NewEvent, Recipients, Reply, Store};
use postrider::time::Span;

use super::checks::Watched;
use super::{Happening, World};

impl World {
    pub(super) fn enqueue(&mut self) {
        let number = self.acknowledged;
        let body: Vec<u8> = (0..self.dice.within(1, 3000)).map(|i| (i + i64::from(number)) as u8).collect();
        let mut endpoints: Vec<EndpointId> =
            self.receivers.iter().filter(|(_, r)| !r.removed).map(|(id, _)| *id).collect();
        let keep = self.dice.within(1, 4) as usize;
        endpoints.truncate(keep);
        let (of, actions) = self.expecting(&endpoints);
        let digest = signature::digest(&body);
        let event = NewEvent {
            id: EventId::parse(&format!("evt_{number}")).unwrap(),
            event_type: EventType::parse("policy/creation").unwrap(),
            content_type: "application/json".into(),
            body: body.into(),
            digest,
            recipients: Recipients::Endpoints(endpoints),
            fingerprint: digest,
            once: None,
            idempotency_key: None,
            trace: None,
        };
        let commands: Vec<Command> =
            [Command::Enqueue(event)].into_iter().chain(actions.iter().filter_map(exchange::command)).collect();
        let mut replies = self.apply(&commands);
        let life = self.engines[of].life;
        match replies.as_mut().map(|replies| replies.remove(0)) {
            Some(reply) => match &reply {
                Reply::Enqueued(enqueued) => {
                    self.acknowledged += 1;
                    for (delivery, _) in &enqueued.deliveries {
                        self.watched.insert(*delivery, Watched::default());
                    }
                    self.note(format!("{} is acknowledged", enqueued.event));
                }
                Reply::Refused(_) => {}
                other => self.broken(format!("enqueue was answered {other:?}")),
            },
            // The application tries again until it is acknowledged.
            None => self.at(500, Happening::Enqueue),
        }
        self.answered(of, life, actions, replies);
        for of in 0..self.engines.len() {
            let life = self.engines[of].life;
            let delay = self.dice.within(0, 50);
            self.at(delay, Happening::Poll { of, life });
        }
    }

    /// Half of the events come through a daemon, whose engine asks at once for the lanes that they are for: the same commit
    /// stores and leases them. What it asks, and which one.
    fn expecting(&mut self, endpoints: &[EndpointId]) -> (usize, Vec<Action>) {
        let of = self.dice.within(0, self.engines.len() as i64 - 1) as usize;
        let is_well = self.engines[of].up && !self.engines[of].draining && self.engines[of].stalled_until <= self.now;
        if !is_well || self.dice.percent(50) {
            return (of, Vec::new());
        }
        let (now, life) = (self.wall(), self.engines[of].life);
        let due = endpoints.iter().map(|lane| LaneDue { lane: *lane, due_at: now }).collect();
        let mut actions = Vec::new();
        self.engines[of].engine.step(now, Input::Due(due), &mut actions);
        let (carried, mut asked): (Vec<Action>, Vec<Action>) =
            actions.into_iter().partition(|action| matches!(action, Action::Carry(_)));
        for action in carried {
            if let Action::Carry(lease) = action {
                self.carry(of, life, lease);
            }
        }
        exchange::order(&mut asked);
        (of, asked)
    }

    pub(super) fn remove(&mut self, endpoint: EndpointId) {
        if self.apply(&[Command::RemoveEndpoint(endpoint)]).is_none() {
            return self.at(500, Happening::Remove { endpoint });
        }
        self.note(format!("{endpoint:?} is removed"));
        let receiver = self.receivers.get_mut(&endpoint).expect("known");
        (receiver.removed, receiver.paused) = (true, false);
        for of in 0..self.engines.len() {
            let life = self.engines[of].life;
            self.at(20, Happening::Poll { of, life });
        }
    }

    /// The daemon notices the step before it does anything else, and moves what waits.
    pub(super) fn clock_steps(&mut self, by: i64) {
        if !self.engines[0].up || self.engines[0].stalled_until > self.now {
            return;
        }
        self.report.clock_steps += 1;
        self.note(format!("the clock steps by {by} ms"));
        let before = self.wall();
        self.store.apply(before, &[Command::Shift { by: Span::from_ms(by) }]).expect("no fault while shifting");
        self.offset += by;
        for happening in self.happenings.values_mut() {
            match happening {
                Happening::Batch { actions, .. } => {
                    actions.iter_mut().for_each(|action| exchange::shift(action, Span::from_ms(by)));
                }
                Happening::Told { input: Input::RecordFailed { record }, .. } => {
                    record.verdict.shift(Span::from_ms(by))
                }
                _ => {}
            }
        }
        self.step(0, Input::Stepped { by: Span::from_ms(by) });
        self.poll(0);
    }

    pub(super) fn start(&mut self, of: usize) {
        if self.engines[of].up {
            return;
        }
        let engine = self.fresh_engine();
        let running = &mut self.engines[of];
        running.engine = engine;
        running.life += 1;
        running.up = true;
        running.draining = false;
        running.tick_at = None;
        self.note(format!("engine {of} starts"));
        if self.alone {
            let wall = self.wall();
            self.store.apply(wall, &[Command::Recover]).expect("no fault while starting");
        }
        let life = self.engines[of].life;
        self.at(0, Happening::Round { of, life });
    }

    pub(super) fn crash(&mut self, of: usize) {
        if !self.engines[of].up {
            return;
        }
        self.report.crashes += 1;
        self.note(format!("engine {of} crashes"));
        self.engines[of].up = false;
        self.crashed.insert((of, self.engines[of].life));
        let delay = self.dice.within(0, 60_000);
        self.at(delay, Happening::Start { of });
    }

    /// What the daemon does when others changed the store, and now and then besides.
    pub(super) fn poll(&mut self, of: usize) {
        let endpoints = self.store.endpoints().unwrap();
        let plans = endpoints.iter().map(|endpoint| exchange::plan(endpoint, 8)).collect();
        self.step(of, Input::Endpoints(plans));
        let lanes = self.store.lanes().unwrap();
        self.step(of, Input::Due(lanes));
    }
}
