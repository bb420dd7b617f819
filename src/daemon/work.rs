//! The daemon's loop: one place where clock, store, couriers and signals meet the engine.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

use super::clock::Clock;
use super::flights::{Flights, Landed};
use super::handle::{Advance, Arrival, Desk, Errand, Health, Phase, Request};
use super::keeper::{Answer, Job, Keeper, Look};
use super::witness::Witness;
use super::{Ended, Failed, LEASE_SLACK, exchange};
use crate::config::Config;
use crate::courier::Courier;
use crate::delivery::{LaneDue, Lease};
use crate::endpoint::{Endpoint, EndpointId, EndpointName};
use crate::engine::{Action, Engine, Input, Limits};
use crate::observe::{Notice, tell};
use crate::operations::{Rules, Target};
use crate::provider;
use crate::store::{Store, StoreError};
use crate::time::{Span, Time};

/// Endpoints and lanes are read anew this often even if nobody seems to have changed them.
const ROUND: Span = Span::from_seconds(30);
/// Old events are looked for this often, and again soon where there were many.
const PRUNE_EVERY: Span = Span::from_minutes(10);
const PRUNE_AGAIN: Span = Span::from_seconds(1);
const PRUNED_AT_ONCE: u32 = 500;
/// After a job of so many commands the next begins no sooner than this later, unless as many have gathered as are enough.
const CROWD: usize = 24;
const GATHERED_FOR: Duration = Duration::from_millis(2);
const FULL_JOB: usize = 512;
/// A store that failed is not looked at again before this.
const STORE_PATIENCE: Span = Span::from_ms(500);
/// That the store takes no events is told this often, and believed this long.
const REFUSAL_TOLD: Span = Span::from_seconds(5);
/// How long a drain may go on after the longest timeout, while the store refuses what is to be recorded.
const DRAIN_PATIENCE: Span = Span::from_seconds(45);

pub(super) struct Work {
    config: Config,
    clock: Clock,
    engine: Engine,
    keeper: Keeper,
    answers: UnboundedReceiver<Answer>,
    desk: Desk,
    /// What entrances asked for since the last job.
    arrivals: Vec<Arrival>,
    errands: Vec<Errand>,
    /// The store took no event at that time.
    refusing_since: Option<Time>,
    /// One job is with the store; what it is to do next gathers in `gathered`.
    asked: bool,
    /// When the last one was given to it, and how many commands it had.
    last_job: (Instant, usize),
    gathered: Vec<Action>,
    look: Look,
    /// The clock stepped by so much at that time, and the store has not moved what waits yet.
    shift: Option<(Time, Span)>,
    /// Asked to set the clock forward, in this order; the first of them is under way if `extend` says so.
    advances: VecDeque<Advance>,
    /// The clock was set forward at that time by so much, and the leases that ran then do not follow yet.
    extend: Option<(Time, Span)>,
    flights: Flights,
    endpoints: HashMap<EndpointId, Arc<Endpoint>>,
    /// Those that are registered.
    named: HashMap<EndpointName, EndpointId>,
    witness: Witness,
    poll_at: Time,
    round_at: Time,
    prune_at: Time,
    failing_since: Option<Time>,
    last_error: Option<StoreError>,
    draining_since: Option<Time>,
}

impl Work {
    pub(super) fn new(
        config: &Config,
        clock: Clock,
        courier: Courier,
        store: Box<dyn Store>,
        desk: Desk,
    ) -> Result<Self, Failed> {
        let limits = Limits {
            in_flight: config.delivery.in_flight,
            body_bytes: config.delivery.in_flight_body_bytes,
            largest_body: config.store.max_body_bytes as u64,
            lease_slack: LEASE_SLACK,
        };
        let seed = getrandom::u64()
            .map_err(|error| Failed::Machine(format!("the machine gives no random numbers: {error}")))?;
        let (keeper, answers) = Keeper::start(store, Rules::of(config)).map_err(unstarted)?;
        let now = clock.now();
        Ok(Work {
            config: config.clone(),
            engine: Engine::new(limits, seed),
            keeper,
            answers,
            witness: Witness::new(desk.metrics.clone(), desk.spans.clone()),
            desk,
            arrivals: Vec::new(),
            errands: Vec::new(),
            refusing_since: None,
            asked: false,
            last_job: (Instant::now(), 0),
            gathered: Vec::new(),
            look: Look::All,
            shift: None,
            advances: VecDeque::new(),
            extend: None,
            flights: Flights::new(courier).map_err(unstarted)?,
            endpoints: HashMap::new(),
            named: HashMap::new(),
            poll_at: now,
            round_at: now + ROUND,
            prune_at: now + Span::from_minutes(1),
            failing_since: None,
            last_error: None,
            draining_since: None,
            clock,
        })
    }

    pub(super) async fn until(mut self, mut stops: UnboundedReceiver<()>) -> Result<Ended, Failed> {
        loop {
            // Not left to the timer alone: while answers keep coming, nothing would wait for it.
            if self.clock.now() >= self.poll_at {
                self.passed();
            }
            self.take_in();
            self.ask();
            if self.engine.is_drained() && !self.asked {
                // The entrances may answer what is under way; when they have, they drop their handles.
                self.desk.phase.send_if_modified(|phase| std::mem::replace(phase, Phase::Closing) != Phase::Closing);
                if self.desk.requests.is_closed() && self.desk.requests.is_empty() {
                    return self.drained();
                }
            }
            if self.drain_is_stuck() {
                return Err(self.stuck());
            }
            let wake = self.wake();
            tokio::select! {
                biased;
                Some(()) = stops.recv() => {
                    if self.draining_since.is_some() {
                        return Ok(Ended::AtOnce);
                    }
                    self.drain();
                }
                answer = self.answers.recv() => match answer {
                    Some(answer) => self.answered(answer)?,
                    None => return Err(Failed::Machine("the store's thread panicked; this is a fault of postrider".into())),
                },
                Some(landed) = self.flights.next(|| self.clock.now()) => self.carried(landed),
                request = self.desk.requests.recv(), if !self.desk.requests.is_closed() || !self.desk.requests.is_empty() => {
                    if let Some(request) = request {
                        self.requested(request);
                    }
                }
                () = sleep_until(wake) => self.step(Input::Tick),
            }
        }
    }

    /// Whatever the entrances asked for meanwhile goes into the next job together.
    fn take_in(&mut self) {
        while let Ok(request) = self.desk.requests.try_recv() {
            self.requested(request);
        }
    }

    fn requested(&mut self, request: Request) {
        match request {
            Request::Arrival(arrival) => self.arrivals.push(*arrival),
            Request::Errand(errand) => self.errands.push(errand),
            Request::Advance(advance) => self.advances.push_back(advance),
        }
    }

    /// Hands the store what gathered, unless it still works on the last job.
    fn ask(&mut self) {
        if self.asked || self.gathers_more() {
            return;
        }
        self.follow_the_wall();
        self.set_forward();
        let now = self.clock.now();
        self.expect(now);
        if self.errands.iter().any(|errand| errand.changes) {
            self.step(Input::Recall);
        }
        let mut job = Job { shift: self.shift, extend: self.extend, ..Job::default() };
        if now >= self.prune_at && self.draining_since.is_none() {
            self.prune_at = now + PRUNE_EVERY;
            let keep = self.config.store.keep_ended;
            job.prune = keep.map(|keep| (now - keep, PRUNED_AT_ONCE));
        }
        job.actions = std::mem::take(&mut self.gathered);
        exchange::order(&mut job.actions);
        job.look = std::mem::take(&mut self.look);
        job.arrivals = std::mem::take(&mut self.arrivals);
        job.errands = std::mem::take(&mut self.errands);
        let asked_for_nothing = job.arrivals.is_empty() && job.errands.is_empty() && job.look == Look::No;
        let on_time = job.shift.is_none() && job.extend.is_none();
        let idle = asked_for_nothing && job.actions.is_empty() && job.prune.is_none() && on_time;
        if !idle {
            job.now = Some(now);
            self.asked = true;
            self.last_job = (Instant::now(), job.arrivals.len() + job.actions.len());
            self.keeper.ask(job);
        }
    }

    /// Has the lanes that arrivals are for ask at once: what they bring is then leased by the commit that stores it, unless other
    /// things are due in the lane before it.
    fn expect(&mut self, now: Time) {
        let (mut lanes, mut types) = (BTreeSet::new(), HashSet::new());
        for asked in self.arrivals.iter().filter_map(|arrival| arrival.asked.as_ref()) {
            match &asked.target {
                Target::Endpoints(names) => lanes.extend(names.iter().filter_map(|name| self.named.get(name)).copied()),
                Target::Subscribers => types.extend(asked.event_type.as_ref()),
                // Who is not registered is looked for by the store, and served from then on.
                Target::OneOff { .. } => {}
            }
        }
        for event_type in types {
            let subscribe = |id: &&EndpointId| provider::is_owed(&self.endpoints[*id], event_type);
            lanes.extend(self.named.values().filter(subscribe));
        }
        if !lanes.is_empty() {
            self.step(Input::Due(lanes.into_iter().map(|lane| LaneDue { lane, due_at: now }).collect()));
        }
    }

    /// Whether more is to come before the store is asked again: under load a commit that waits for a moment carries many times as
    /// much, and costs hardly more.
    fn gathers_more(&self) -> bool {
        let (asked_at, commands) = self.last_job;
        let gathered = self.arrivals.len() + self.gathered.len();
        let is_busy = commands >= CROWD && (1..FULL_JOB).contains(&gathered) && self.errands.is_empty();
        is_busy && self.draining_since.is_none() && asked_at.elapsed() < GATHERED_FOR
    }

    /// Takes over a step of the wall clock, and has what waits moved with it before anything else happens.
    fn follow_the_wall(&mut self) {
        let Some(by) = self.clock.step() else { return };
        let before = self.clock.now();
        self.clock.follow(by);
        let (before, earlier) = self.shift.unwrap_or((before, Span::ZERO));
        self.shift = Some((before, earlier + by));
        // What was decided by the old clock and is not recorded yet moves with what is.
        self.gathered.iter_mut().for_each(|action| exchange::shift(action, by));
        self.step(Input::Stepped { by });
        let now = self.clock.now();
        self.poll_at = now;
        self.round_at = now + ROUND;
        self.prune_at = now + PRUNE_EVERY;
        self.look = Look::All;
    }

    /// Sets the clock forward as it was asked to: what waits stays where it is, what is in flight must not seem to have
    /// lasted that long.
    fn set_forward(&mut self) {
        let Some(Advance { by, .. }) = self.advances.front() else { return };
        if self.extend.is_some() || self.shift.is_some() {
            return;
        }
        let by = *by;
        self.extend = Some((self.clock.now(), by));
        self.clock.advance(by);
        self.gathered.iter_mut().for_each(|action| exchange::extend(action, by));
        self.look = Look::All;
        self.step(Input::Tick);
    }

    /// When there is something to do even if nothing happens.
    fn wake(&self) -> Instant {
        let now = self.clock.now();
        let engine = self.engine.wakes_at().unwrap_or(self.poll_at);
        let wait = self.poll_at.min(engine).since(now).ms().clamp(0, 1000);
        let wake = Instant::now() + Duration::from_millis(wait as u64);
        if !self.asked && self.gathers_more() { wake.min(self.last_job.0 + GATHERED_FOR) } else { wake }
    }

    /// It is time to look what others did to the store.
    fn passed(&mut self) {
        let now = self.clock.now();
        self.poll_at = now + self.config.delivery.poll;
        self.look = self.look.max(Look::Changes);
        if now >= self.round_at {
            self.round_at = now + ROUND;
            self.look = Look::All;
        }
    }

    fn step(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.engine.step(self.clock.now(), input, &mut actions);
        for action in actions {
            match action {
                Action::Carry(lease) => self.carry(lease),
                Action::Lease(_) | Action::Record(_) | Action::Release { .. } | Action::Bury { .. } => {
                    self.gathered.push(action);
                }
            }
        }
    }

    fn carry(&mut self, lease: Lease) {
        let endpoint = self.endpoints.get(&lease.endpoint).cloned();
        self.witness.began(&lease, endpoint.clone());
        self.flights.begin(lease, endpoint, self.clock.now());
    }

    fn carried(&mut self, (delivery, token, mut carried): Landed) {
        let now = self.clock.now();
        // The end is now by this clock, whatever the wall's did meanwhile.
        carried.finished_at = now;
        carried.started_at = now - Span::from_ms(carried.timings.total_us as i64 / 1000);
        self.step(Input::Carried { delivery, token, carried });
    }

    fn answered(&mut self, answer: Answer) -> Result<(), Failed> {
        self.asked = false;
        let now = self.clock.now();
        if let Some(shifted) = answer.shifted {
            let (_, by) = self.shift.take().expect("the store moves what it was asked to");
            tell(&Notice::ClockStepped { by, shifted });
        }
        if answer.extended.is_some() {
            let (_, by) = self.extend.take().expect("the store moves what it was asked to");
            tell(&Notice::ClockSet { by });
            // Whoever asked may have gone.
            self.advances.pop_front().map(|advance| advance.answer.send(()));
        }
        match answer.pruned {
            Some(events) if events > 0 => {
                tell(&Notice::Pruned { events });
                if events == u64::from(PRUNED_AT_ONCE) {
                    self.prune_at = now + PRUNE_AGAIN;
                }
            }
            Some(_) | None => {}
        }
        if let Some((took, commands)) = answer.committed {
            self.desk.metrics.committed(took, commands);
        }
        self.desk.metrics.events_accepted(answer.accepted);
        self.desk.metrics.in_flight(self.engine.in_flight());
        if !answer.replies.is_empty() || !answer.due.is_empty() || answer.all.is_some() {
            self.desk.outcomes.send_modify(|moved| *moved += 1);
        }
        self.refusing(now, answer.refused_all);
        let all = answer.all.map(|(endpoints, lanes)| (endpoints.into_iter().map(Arc::new).collect::<Vec<_>>(), lanes));
        // What begins now follows the endpoints as they are now; those that went are kept for what was leased before.
        for endpoint in all.iter().flat_map(|(endpoints, _)| endpoints) {
            self.endpoints.insert(endpoint.id, endpoint.clone());
        }
        let failed = answer.replies.iter().any(|(_, reply)| reply.is_none());
        for (action, reply) in answer.replies {
            let closed = self.witness.tell_of(&action, reply.as_ref(), &answer.buried, &self.endpoints);
            self.look = if closed { Look::All } else { self.look };
            if let Some(input) = exchange::input(action, reply) {
                self.step(input);
            }
        }
        if failed {
            self.ask_for_no_more();
        }
        if let Some((endpoints, lanes)) = all {
            let concurrency = self.config.delivery.concurrency_per_endpoint;
            let plans = endpoints.iter().map(|endpoint| exchange::plan(endpoint, concurrency)).collect();
            self.named = endpoints.iter().filter_map(|it| Some((it.name.clone()?, it.id))).collect();
            self.endpoints = endpoints.into_iter().map(|endpoint| (endpoint.id, endpoint)).collect();
            self.step(Input::Endpoints(plans));
            self.step(Input::Due(lanes));
        }
        // An endpoint that came with an event: nothing can be sent to it before it is read.
        let (known, new): (Vec<LaneDue>, Vec<LaneDue>) =
            answer.due.into_iter().partition(|due| self.endpoints.contains_key(&due.lane));
        self.look = if new.is_empty() { self.look } else { Look::All };
        if !known.is_empty() {
            self.step(Input::Due(known));
        }
        match answer.error {
            Some(error) => self.failing(now, error),
            None => {
                self.well(now);
                Ok(())
            }
        }
    }

    /// Takes back what was to be leased next: an outcome that could not be recorded waits with the engine, and its lease may have
    /// ended meanwhile. What is leased before that is recorded would be sent once more.
    fn ask_for_no_more(&mut self) {
        let (leases, rest) =
            std::mem::take(&mut self.gathered).into_iter().partition(|action| matches!(action, Action::Lease(_)));
        self.gathered = rest;
        let leases: Vec<Action> = leases;
        for input in leases.into_iter().filter_map(|lease| exchange::input(lease, None)) {
            self.step(input);
        }
    }

    /// Whether the store takes events, for whoever asks if this daemon is ready. One that took none is not called well
    /// before a while has passed: nobody may dare to send another event meanwhile.
    fn refusing(&mut self, now: Time, error: Option<StoreError>) {
        match (error, self.refusing_since) {
            (Some(error), since) => {
                if since.is_none_or(|since| now.since(since) > REFUSAL_TOLD) {
                    tell(&Notice::StoreRefusing { error: &error.to_string() });
                    self.refusing_since = Some(now);
                }
                self.desk.metrics.store_failed();
                self.desk.health.send_replace(Health { failing: Some(error.to_string()), failing_since: Some(now) });
            }
            (None, Some(since)) if now.since(since) > REFUSAL_TOLD && self.failing_since.is_none() => {
                self.refusing_since = None;
                self.desk.health.send_replace(Health::default());
            }
            (None, Some(_) | None) => {}
        }
    }

    /// A store that answers questions is not well before it has written again what it refused to.
    fn well(&mut self, now: Time) {
        if !self.engine.store_is_well() {
            return;
        }
        if let Some(since) = self.failing_since.take() {
            self.last_error = None;
            if self.refusing_since.is_none() {
                self.desk.health.send_replace(Health::default());
            }
            tell(&Notice::StoreWell { after: now.since(since) });
        }
    }

    /// The store failed: what can pass by itself is waited for, what cannot ends the daemon.
    fn failing(&mut self, now: Time, error: StoreError) -> Result<(), Failed> {
        if let StoreError::Unusable(_) | StoreError::Sealed(_) = error {
            return Err(Failed::Store(error));
        }
        let retry_at = match self.engine.store_is_well() {
            true => now + STORE_PATIENCE,
            false => self.engine.wakes_at().unwrap_or(now),
        };
        tell(&Notice::StoreFailing { error: &error.to_string(), retry_in: retry_at.since(now).max(Span::ZERO) });
        let since = *self.failing_since.get_or_insert(now);
        self.desk.metrics.store_failed();
        self.desk.health.send_replace(Health { failing: Some(error.to_string()), failing_since: Some(since) });
        self.last_error = Some(error);
        // What was to be looked at still is, but not at once.
        self.poll_at = now + STORE_PATIENCE;
        self.round_at = now;
        Ok(())
    }

    fn drain(&mut self) {
        self.draining_since = Some(self.clock.now());
        self.desk.phase.send_replace(Phase::Draining);
        self.desk.metrics.draining();
        tell(&Notice::Draining { in_flight: self.engine.in_flight() as u64 });
        self.step(Input::Drain);
    }

    fn drain_is_stuck(&self) -> bool {
        let too_long = |since: Time| self.clock.now().since(since) > DRAIN_PATIENCE;
        self.last_error.is_some() && self.draining_since.is_some_and(too_long)
    }

    fn stuck(self) -> Failed {
        let why = self.last_error.map_or_else(String::new, |error| error.to_string());
        Failed::Machine(format!(
            "stopped with outcomes that could not be recorded ({why}); the next start tries those deliveries again"
        ))
    }

    fn drained(self) -> Result<Ended, Failed> {
        let now = self.clock.now();
        // The last to close the store leaves it in order. No handle is left, so they end at once.
        self.desk.readers.into_iter().for_each(|reader| drop(reader.join()));
        let pending =
            self.keeper.stop().and_then(|mut store| store.counts(now).ok()).map_or(0, |counts| counts.pending);
        tell(&Notice::Stopped { pending });
        Ok(Ended::Drained)
    }
}

fn unstarted(error: std::io::Error) -> Failed {
    Failed::Machine(format!("a thread cannot start: {error}"))
}
