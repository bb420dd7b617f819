//! The engine decides which delivery is attempted when, and what follows from each answer.
//! A pure state machine: `step` takes the time and one `Input`, and appends `Action`s. It keeps only what is in flight
//! and one line per lane; what is owed stands in the store alone. It never sees a clock, a file or a socket.

mod chance;
mod lane;
mod room;
mod stock;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::delivery::{
    Attempt, Carried, DeadReason, DeliveryId, LaneDue, Lease, LeaseRequest, Outcome, Record, Reply, Token, Verdict,
};
use crate::endpoint::EndpointId;
use crate::judge;
use crate::provider::Terms;
use crate::time::{Span, Time};
use chance::Chance;
use lane::{Asked, Lane};
use room::Room;

/// What all lanes share.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Attempts in flight at once, over all lanes.
    pub in_flight: u32,
    /// Bytes of the bodies in flight, at least `largest_body`.
    pub body_bytes: u64,
    /// What one body may have, and a lane is reckoned with before its first.
    pub largest_body: u64,
    /// How much longer than its timeout an attempt's lease lasts.
    pub lease_slack: Span,
}

/// How one lane is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanePlan {
    pub lane: EndpointId,
    pub terms: Terms,
    /// Attempts in flight at once, at least 1.
    pub concurrency: u32,
    /// Attempts begun per second.
    pub rate: Option<u32>,
    pub service: Service,
}

/// Whether a lane is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Active,
    /// Nothing is asked of the store until it is active again; what is in flight goes on.
    Paused,
    /// What it is still owed will be ended as dead.
    Gone,
}

#[derive(Clone, Debug)]
pub enum Input {
    /// All endpoints that are not removed. Whoever sends this sends `Due` with all lanes next.
    Endpoints(Vec<LanePlan>),
    /// Lanes that owe something at a time; says nothing about others.
    Due(Vec<LaneDue>),
    /// The answer to `Action::Lease`.
    Leased {
        lane: EndpointId,
        leases: Vec<Lease>,
        next_due: Option<Time>,
    },
    LeaseFailed {
        lane: EndpointId,
    },
    /// The answer to `Action::Carry`.
    Carried {
        delivery: DeliveryId,
        token: Token,
        carried: Carried,
    },
    /// The answer to `Action::Record`; `counted` if the lease still stood.
    Recorded {
        lane: EndpointId,
        verdict: Verdict,
        counted: bool,
    },
    RecordFailed {
        record: Record,
    },
    /// The answer to `Action::Bury`; `None` if the store failed.
    Buried {
        lane: EndpointId,
        ended: Option<u64>,
    },
    /// Somebody is about to change what is served: nothing begins any more that was leased before.
    Recall,
    /// The clock stepped by so much, and the store has moved or will move what waits before it does anything else.
    Stepped {
        by: Span,
    },
    /// Time has passed.
    Tick,
    /// Begin nothing new; end what is in flight.
    Drain,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Lease(LeaseRequest),
    /// Make the attempt that this lease pays for.
    Carry(Lease),
    Record(Record),
    /// Give back a lease without using it.
    Release {
        delivery: DeliveryId,
        token: Token,
    },
    /// End what an endpoint that is gone is still owed, up to `limit` deliveries.
    Bury {
        lane: EndpointId,
        limit: u32,
    },
}

/// How many deliveries of a lane that is gone are ended in one go: other lanes' work fits in between.
const BURIED_AT_ONCE: u32 = 500;
/// The wait after a failure of the store, doubled up to the longest while it goes on failing.
const FIRST_STORE_WAIT: Span = Span::from_ms(100);
const LONGEST_STORE_WAIT: Span = Span::from_seconds(5);

#[derive(Debug)]
pub struct Engine {
    room: Room,
    lanes: BTreeMap<EndpointId, Lane>,
    /// When each lane that has something to do can do it; a lane stands here at most once (`Lane::listed`).
    agenda: BTreeSet<(Time, EndpointId)>,
    /// Lanes whose time has come, in turn; they wait for room under `limits.in_flight`.
    proven: VecDeque<EndpointId>,
    /// The same for lanes whose last attempt failed, or that were not tried yet: together they may take half of all.
    unproven: VecDeque<EndpointId>,
    flights: HashMap<(DeliveryId, Token), Flight>,
    /// Outcomes that the store did not take yet, oldest first.
    unrecorded: Vec<Record>,
    store_wait: Option<StoreWait>,
    /// Records that the store has not answered yet.
    recording: u32,
    chance: Chance,
    draining: bool,
}

#[derive(Debug)]
struct Flight {
    lane: EndpointId,
    attempt: u32,
    /// Attempts that the schedule does not count.
    earlier: u32,
    bytes: u64,
}

/// The store failed, and did not succeed since.
#[derive(Clone, Copy, Debug)]
struct StoreWait {
    /// Nothing is asked of it until then; `None` once it is being tried again.
    until: Option<Time>,
    wait: Span,
}

impl Engine {
    /// `seed` decides tokens and jitter.
    pub fn new(limits: Limits, seed: u64) -> Self {
        Engine {
            room: Room::new(limits),
            lanes: BTreeMap::new(),
            agenda: BTreeSet::new(),
            proven: VecDeque::new(),
            unproven: VecDeque::new(),
            flights: HashMap::new(),
            unrecorded: Vec::new(),
            store_wait: None,
            recording: 0,
            chance: Chance::new(seed),
            draining: false,
        }
    }

    /// Takes in one fact and appends what is to be done, in order.
    pub fn step(&mut self, now: Time, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Endpoints(plans) => self.replan(now, plans, actions),
            Input::Due(lanes) => {
                for due in lanes {
                    self.lanes.entry(due.lane).or_insert_with(Lane::unknown).owes_at(due.due_at);
                    self.arrange(due.lane);
                }
            }
            Input::Leased { lane, leases, next_due } => self.leased(now, lane, leases, next_due, actions),
            Input::LeaseFailed { lane } => {
                self.answered(lane, 0, now);
                self.store_failed(now);
            }
            Input::Carried { delivery, token, carried } => self.carried(now, delivery, token, carried, actions),
            Input::Recorded { lane, verdict, counted } => self.recorded(now, lane, verdict, counted),
            Input::Recall => self.let_all_go(now, actions),
            Input::RecordFailed { record } => {
                self.recording -= 1;
                self.unrecorded.push(record);
                self.store_failed(now);
            }
            Input::Buried { lane, ended } => self.buried(now, lane, ended),
            Input::Stepped { by } => {
                self.unrecorded.iter_mut().for_each(|record| record.verdict.shift(by));
                self.lanes.values_mut().for_each(|lane| lane.shift(by));
            }
            Input::Tick => {}
            Input::Drain => {
                self.draining = true;
                self.let_all_go(now, actions);
            }
        }
        self.plan(now, actions);
    }

    /// When `Tick` is worth sending next, if nothing else comes before.
    pub fn wakes_at(&self) -> Option<Time> {
        let agenda = self.agenda.first().map(|(at, _)| *at).filter(|_| !self.draining);
        match self.store_wait.and_then(|wait| wait.until) {
            Some(until) if self.unrecorded.is_empty() && self.proven.is_empty() && self.unproven.is_empty() => {
                agenda.map(|at| at.max(until))
            }
            Some(until) => Some(until),
            None => agenda,
        }
    }

    /// Draining, and nothing is left in flight or unrecorded.
    pub fn is_drained(&self) -> bool {
        self.draining && self.room.is_empty() && self.recording == 0 && self.unrecorded.is_empty()
    }

    /// The store did what it was asked last.
    pub fn store_is_well(&self) -> bool {
        self.store_wait.is_none()
    }

    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    fn replan(&mut self, now: Time, plans: Vec<LanePlan>, actions: &mut Vec<Action>) {
        let named: BTreeSet<EndpointId> = plans.iter().map(|plan| plan.lane).collect();
        for (id, lane) in &mut self.lanes {
            if !named.contains(id) {
                lane.forget();
            }
        }
        for plan in plans {
            let id = plan.lane;
            self.lanes.entry(id).or_insert_with(Lane::unknown).follow(plan);
        }
        let idle = |lane: &Lane| lane.service() != Service::Active && !lane.stock.is_empty();
        let stopped: Vec<EndpointId> = self.lanes.iter().filter(|(_, lane)| idle(lane)).map(|(id, _)| *id).collect();
        stopped.into_iter().for_each(|id| self.let_go(now, id, actions));
        // Lanes that are gone and idle are nothing to remember.
        self.lanes.retain(|_, lane| !lane.is_over());
        self.agenda.retain(|(_, id)| self.lanes.contains_key(id));
        let ids: Vec<EndpointId> = self.lanes.keys().copied().collect();
        for id in ids {
            self.arrange(id);
        }
    }

    /// Puts the lane on the agenda where it belongs now.
    fn arrange(&mut self, id: EndpointId) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let ready_at = lane.ready_at();
        if lane.listed == ready_at {
            return;
        }
        if let Some(listed) = lane.listed {
            self.agenda.remove(&(listed, id));
        }
        if let Some(at) = ready_at {
            self.agenda.insert((at, id));
        }
        lane.listed = ready_at;
    }

    /// Asks the store for as much as fits, lane after lane.
    fn plan(&mut self, now: Time, actions: &mut Vec<Action>) {
        // A clock that went back must not leave us waiting for a time that is far away again.
        if let Some(wait) = &mut self.store_wait {
            if wait.until.is_some_and(|until| until > now && until.since(now) <= LONGEST_STORE_WAIT) {
                return;
            }
            wait.until = None;
        }
        self.recording += self.unrecorded.len() as u32;
        actions.extend(self.unrecorded.drain(..).map(Action::Record));
        if self.draining {
            return;
        }
        while let Some(&(at, id)) = self.agenda.first() {
            if at > now {
                break;
            }
            self.agenda.pop_first();
            let lane = self.lanes.get_mut(&id).expect("the agenda lists known lanes");
            lane.listed = None;
            lane.queued = true;
            match lane.proven {
                true => self.proven.push_back(id),
                false => self.unproven.push_back(id),
            }
        }
        self.serve(now, actions);
    }

    fn serve(&mut self, now: Time, actions: &mut Vec<Action>) {
        for _ in 0..self.proven.len() {
            let Some(id) = self.proven.pop_front() else { break };
            if self.lanes.get(&id).is_some_and(|lane| !lane.proven) {
                self.unproven.push_back(id);
            } else if !self.ask(now, id, actions) {
                self.proven.push_front(id);
                return;
            }
        }
        for _ in 0..self.unproven.len() {
            let Some(id) = self.unproven.pop_front() else { break };
            if !self.ask(now, id, actions) {
                self.unproven.push_front(id);
                return;
            }
        }
    }

    /// Asks the store for what is due in a lane; false if there is no room for it now.
    fn ask(&mut self, now: Time, id: EndpointId, actions: &mut Vec<Action>) -> bool {
        let Some(lane) = self.lanes.get(&id) else { return true };
        let one = lane.largest_body.unwrap_or(self.room.limits.largest_body);
        let left = self.room.left(lane.proven, one);
        let roomy = self.room.is_roomy();
        let slack = self.room.limits.lease_slack;
        let lane = self.lanes.get_mut(&id).expect("looked up just now");
        lane.queued = false;
        if lane.ready_at().is_none_or(|at| at > now) {
            self.arrange(id);
            return true;
        }
        let Some(plan) = lane.plan.as_ref().filter(|plan| plan.service != Service::Gone) else {
            lane.burying = true;
            actions.push(Action::Bury { lane: id, limit: BURIED_AT_ONCE });
            return true;
        };
        let Some((attempts, free_bytes)) = left else {
            lane.queued = true;
            return false;
        };
        let until = now + plan.terms.timeout + slack;
        let most_attempts = plan.terms.schedule.attempts();
        // While others that are unproven leave room, one that fails may still use half of what it is allowed at best:
        // its backlog then keeps closer to the schedule.
        let limit = lane.room(now, roomy).min(attempts);
        if limit == 0 {
            self.arrange(id);
            return true;
        }
        let bytes = one.saturating_mul(u64::from(limit)).min(free_bytes / 4).max(one);
        lane.ask(now, Asked { limit, bytes, usable_until: now + slack, ended: 0 });
        self.room.take(limit, bytes, lane.proven);
        let token = Token((self.chance.next() >> 1) as i64);
        actions.push(Action::Lease(LeaseRequest { lane: id, limit, bytes, until, token, most_attempts }));
        true
    }

    /// The store answered a lane's request with `leases` leases: what was set aside for it is free again.
    fn answered(&mut self, id: EndpointId, leases: u32, now: Time) -> Asked {
        let lane = self.lanes.get_mut(&id).expect("only known lanes ask");
        let asked = lane.answered(leases, now);
        self.room.give_back(asked.limit - leases, asked.bytes, lane.proven);
        self.arrange(id);
        asked
    }

    /// An attempt of this lane is over.
    fn landed(&mut self, id: EndpointId, bytes: u64) {
        let lane = self.lanes.get_mut(&id).expect("only known lanes fly");
        lane.landed(bytes);
        self.room.give_back(1, bytes, lane.proven);
        self.arrange(id);
    }

    fn carried(&mut self, now: Time, delivery: DeliveryId, token: Token, carried: Carried, actions: &mut Vec<Action>) {
        let flight = self.flights.remove(&(delivery, token)).expect("an answer belongs to a flight");
        self.landed(flight.lane, flight.bytes);
        let draw = self.chance.draw();
        let lane = self.lanes.get_mut(&flight.lane).expect("only known lanes fly");
        let Some(terms) = lane.plan.as_ref().map(|plan| &plan.terms).or(lane.last_terms.as_ref()) else {
            unreachable!("a lane that flew had a plan");
        };
        let outcome = judge::outcome(&carried, terms);
        let counted = flight.attempt - flight.earlier;
        let verdict = judge::verdict(&outcome, Some(&carried.reply), terms, counted, carried.finished_at, draw);
        let was_proven = lane.proven;
        lane.learn(outcome.is_accepted());
        let (open, bytes) = lane.open();
        if lane.proven != was_proven {
            self.room.turn(open, bytes, lane.proven);
        }
        if let Verdict::RetryAt(at) = verdict {
            lane.owes_at(at);
        }
        match outcome.is_accepted() && !self.draining {
            true => self.launch(now, flight.lane, actions),
            // What else it was to get waits until it has shown that it is well.
            false => self.let_go(now, flight.lane, actions),
        }
        self.arrange(flight.lane);
        let attempt = attempt(flight.attempt, outcome, carried);
        self.recording += 1;
        actions.push(Action::Record(Record { delivery, endpoint: flight.lane, token, attempt, verdict }));
    }

    fn recorded(&mut self, now: Time, id: EndpointId, verdict: Verdict, counted: bool) {
        self.recording -= 1;
        self.store_wait = None;
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        match verdict {
            // What else it was owed is looked for at once, not when it would have been due.
            Verdict::Dead(DeadReason::EndpointGone) if counted => {
                lane.close();
                lane.owes_at(now);
            }
            Verdict::RetryAt(_) if lane.service() == Service::Gone => lane.owes_at(now),
            // The lease was lost: whoever has it now decides, and the store says when there is something to do.
            Verdict::RetryAt(at) => lane.owes_at(at),
            Verdict::Delivered | Verdict::Dead(_) => {}
        }
        self.arrange(id);
    }

    fn buried(&mut self, now: Time, id: EndpointId, ended: Option<u64>) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.burying = false;
        if ended.is_some_and(|ended| ended < u64::from(BURIED_AT_ONCE)) {
            lane.next_due = None;
        }
        match ended {
            None => self.store_failed(now),
            Some(_) => self.store_wait = None,
        }
        self.arrange(id);
    }

    fn store_failed(&mut self, now: Time) {
        let wait = match self.store_wait {
            // Several commands of one batch fail together: that is one failure.
            Some(StoreWait { until: Some(_), .. }) => return,
            Some(StoreWait { until: None, wait }) => (wait + wait).min(LONGEST_STORE_WAIT),
            None => FIRST_STORE_WAIT,
        };
        self.store_wait = Some(StoreWait { until: Some(now + wait), wait });
    }
}

/// The attempt as it is kept.
pub fn attempt(number: u32, outcome: Outcome, carried: Carried) -> Attempt {
    let (answer, location) = match carried.reply {
        Reply::Head { body, location, .. } => (body, location),
        Reply::TimedOut { .. } | Reply::Unreachable { .. } | Reply::Blocked { .. } => (Vec::new(), None),
    };
    Attempt {
        number,
        started_at: carried.started_at,
        finished_at: carried.finished_at,
        timings: carried.timings,
        remote: carried.remote,
        resent: carried.resent,
        outcome,
        answer,
        location,
    }
}
