//! Isolation, in simulated time: endpoints that hang, fail or have a backlog do not slow the others.
//! The engine and the SQLite store are the real ones; only the receivers and the clock are not.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use postrider::daemon::exchange;
use postrider::delivery::{Carried, DeliveryId, Lease, Reply as Answer, Stage, Timings};
use postrider::endpoint::{EndpointId, EndpointName, Key, Overrides, ProfileName, Scheme, Secret};
use postrider::engine::{Action, Engine, Input, Limits};
use postrider::event::{EventId, EventType};
use postrider::signature;
use postrider::store::sqlite::SqliteStore;
use postrider::store::{Command, NewEndpoint, NewEvent, Recipients, Reply, Store};
use postrider::time::{Span, Time};

struct Bench {
    store: SqliteStore,
    engine: Engine,
    now: i64,
    /// When each attempt in flight ends.
    ends: BinaryHeap<Reverse<(i64, i64)>>,
    flying: BTreeMap<i64, Lease>,
    hangs: Vec<EndpointId>,
    /// How long each delivery to an endpoint that answers waited for its first attempt, in ms.
    waited: HashMap<DeliveryId, i64>,
    most_in_flight: HashMap<EndpointId, usize>,
    most_bytes: usize,
    serial: i64,
}

impl Bench {
    fn new() -> Self {
        Self::within(1 << 26, 5 << 20)
    }

    fn within(body_bytes: u64, largest_body: u64) -> Self {
        let limits = Limits { in_flight: 256, body_bytes, largest_body, lease_slack: Span::from_seconds(15) };
        Bench {
            store: SqliteStore::in_memory().unwrap(),
            engine: Engine::new(limits, 1),
            now: 1_790_000_000_000,
            ends: BinaryHeap::new(),
            flying: BTreeMap::new(),
            hangs: vec![],
            waited: HashMap::new(),
            most_in_flight: HashMap::new(),
            most_bytes: 0,
            serial: 0,
        }
    }

    fn time(&self) -> Time {
        Time::from_ms(self.now)
    }

    fn endpoint(&mut self, name: &str, hangs: bool) -> EndpointId {
        let endpoint = NewEndpoint {
            name: EndpointName::parse(name).unwrap(),
            url: "https://receiver.example/".into(),
            profile: ProfileName::Ensuro,
            subscriptions: vec![],
            overrides: Overrides::default(),
            keys: vec![Key { scheme: Scheme::Hmac, secret: Secret::new(vec![7; 8]), until: None }],
        };
        let replies = self.store.apply(self.time(), &[Command::AddEndpoint(endpoint)]).unwrap();
        let Reply::EndpointAdded(id) = replies[0] else { panic!("{replies:?}") };
        if hangs {
            self.hangs.push(id);
        }
        id
    }

    fn owe(&mut self, lane: EndpointId, count: usize) {
        self.owe_bodies(lane, count, b"{}");
    }

    fn owe_bodies(&mut self, lane: EndpointId, count: usize, body: &[u8]) {
        let digest = signature::digest(body);
        let events: Vec<Command> = (0..count)
            .map(|_| {
                self.serial += 1;
                Command::Enqueue(NewEvent {
                    id: EventId::parse(&format!("e{}", self.serial)).unwrap(),
                    event_type: EventType::parse("policy/creation").unwrap(),
                    content_type: "application/json".into(),
                    body: body.into(),
                    digest,
                    recipients: Recipients::Endpoints(vec![lane]),
                    fingerprint: digest,
                    once: None,
                    idempotency_key: None,
                    trace: None,
                })
            })
            .collect();
        self.store.apply(self.time(), &events).unwrap();
    }

    fn look(&mut self) {
        let plans = self.store.endpoints().unwrap().iter().map(|endpoint| exchange::plan(endpoint, 8)).collect();
        self.step(Input::Endpoints(plans));
        let lanes = self.store.lanes().unwrap();
        self.step(Input::Due(lanes));
    }

    fn step(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.engine.step(self.time(), input, &mut actions);
        for action in actions {
            if let Action::Carry(lease) = action {
                self.begin(lease);
                continue;
            }
            let command = exchange::command(&action).expect("for the store");
            let reply = self.store.apply(self.time(), &[command]).unwrap().remove(0);
            if let Some(input) = exchange::input(action, Some(reply)) {
                self.step(input);
            }
        }
    }

    fn begin(&mut self, lease: Lease) {
        self.serial += 1;
        let hangs = self.hangs.contains(&lease.endpoint);
        if !hangs {
            let waited = self.now - lease.event.accepted_at.ms();
            self.waited.entry(lease.delivery).or_insert(waited);
        }
        self.ends.push(Reverse((self.now + if hangs { 10_000 } else { 5 }, self.serial)));
        let lane = lease.endpoint;
        self.flying.insert(self.serial, lease);
        let in_flight = self.flying.values().filter(|flying| flying.endpoint == lane).count();
        let bytes = self.flying.values().map(|flying| flying.event.body.len()).sum();
        self.most_bytes = self.most_bytes.max(bytes);
        let most = self.most_in_flight.entry(lane).or_default();
        *most = in_flight.max(*most);
    }

    /// Lets everything happen that happens until `until`.
    fn run_until(&mut self, until: i64) {
        loop {
            let wakes_at = self.engine.wakes_at().map_or(i64::MAX, |at| at.ms().max(self.now + 1));
            let ends_at = self.ends.peek().map_or(i64::MAX, |Reverse((at, _))| *at);
            let next = wakes_at.min(ends_at);
            if next > until {
                self.now = until;
                return;
            }
            self.now = next;
            if ends_at == next {
                let Some(Reverse((_, serial))) = self.ends.pop() else { unreachable!("peeked just now") };
                self.end(serial);
            } else {
                self.step(Input::Tick);
            }
        }
    }

    fn end(&mut self, serial: i64) {
        let lease = self.flying.remove(&serial).expect("in flight");
        let reply = match self.hangs.contains(&lease.endpoint) {
            true => Answer::TimedOut { stage: Stage::Answer },
            false => Answer::Head { status: 200, retry_after: None, location: None, body: vec![] },
        };
        let at = self.time();
        let timings = Timings::default();
        let carried = Carried { started_at: at, finished_at: at, timings, remote: None, resent: false, reply };
        self.step(Input::Carried { delivery: lease.delivery, token: lease.token, carried });
    }
}

#[test]
fn a_hundred_endpoints_that_hang_with_a_backlog_do_not_slow_one_that_answers() {
    let mut bench = Bench::new();
    for number in 0..100 {
        let lane = bench.endpoint(&format!("dead-{number}"), true);
        bench.owe(lane, 100);
    }
    let healthy = bench.endpoint("healthy", false);
    bench.look();
    // The dead ones have shown what they are; now the healthy one gets work, a little at a time.
    let mut until = bench.now + 60_000;
    bench.run_until(until);
    for _ in 0..200 {
        bench.owe(healthy, 5);
        bench.look();
        until += 100;
        bench.run_until(until);
    }
    assert_eq!(bench.waited.len(), 1000, "every delivery to the healthy endpoint was attempted");
    let most = bench.waited.values().max().unwrap();
    assert!(*most <= 100, "a healthy delivery waited {most} ms");
}

#[test]
fn more_dead_endpoints_than_there_is_room_for_leave_half_of_it() {
    let mut bench = Bench::new();
    let healthy = bench.endpoint("healthy", false);
    bench.owe(healthy, 1);
    bench.look();
    bench.run_until(bench.now + 1_000);
    for number in 0..400 {
        let lane = bench.endpoint(&format!("dead-{number}"), true);
        bench.owe(lane, 10);
    }
    bench.look();
    let mut until = bench.now + 30_000;
    bench.run_until(until);
    for _ in 0..200 {
        bench.owe(healthy, 5);
        bench.look();
        until += 100;
        bench.run_until(until);
    }
    assert_eq!(bench.waited.len(), 1001);
    let most = bench.waited.values().max().unwrap();
    assert!(*most <= 100, "a healthy delivery waited {most} ms");
}

#[test]
fn an_endpoint_that_fails_keeps_to_its_schedule_while_there_is_room() {
    let mut bench = Bench::new();
    let dead = bench.endpoint("dead", true);
    bench.owe(dead, 8);
    bench.look();
    bench.run_until(bench.now + 31_000);
    let counts = bench.store.counts(bench.time()).unwrap();
    assert_eq!(counts.pending, 8);
    assert_eq!(bench.most_in_flight[&dead], 4, "half of its concurrency");
}

#[test]
fn an_endpoint_that_comes_back_is_not_met_by_all_that_waited() {
    let mut bench = Bench::new();
    let lane = bench.endpoint("sleeper", true);
    bench.owe(lane, 2000);
    bench.look();
    bench.run_until(bench.now + 120_000);
    bench.hangs.clear();
    bench.run_until(bench.now + 900_000);
    assert_eq!(bench.store.counts(bench.time()).unwrap().pending, 0);
    assert!(bench.most_in_flight[&lane] <= 8, "{} at once", bench.most_in_flight[&lane]);
}

#[test]
fn bodies_in_flight_have_a_limit_and_those_that_hang_leave_half_of_it() {
    let (limit, largest) = (1 << 20, 100 << 10);
    let mut bench = Bench::within(limit, largest);
    let healthy = bench.endpoint("healthy", false);
    bench.owe(healthy, 1);
    bench.look();
    bench.run_until(bench.now + 1_000);
    for number in 0..40 {
        let lane = bench.endpoint(&format!("dead-{number}"), true);
        bench.owe_bodies(lane, 3, &vec![7; largest as usize]);
    }
    bench.owe_bodies(healthy, 100, &vec![8; largest as usize]);
    bench.look();
    bench.run_until(bench.now + 30_000);
    assert!(bench.most_bytes <= limit as usize, "{} bytes of bodies at once", bench.most_bytes);
    assert_eq!(bench.waited.len(), 101, "the healthy endpoint had all of its own");
    bench.hangs.clear();
    bench.run_until(bench.now + 5_000_000);
    assert_eq!(bench.store.counts(bench.time()).unwrap().pending, 0);
    assert!(bench.most_bytes <= limit as usize, "{} bytes of bodies at once", bench.most_bytes);
}

#[test]
fn a_lease_that_came_too_late_is_given_back_and_asked_for_again_at_once() {
    let mut bench = Bench::new();
    let lane = bench.endpoint("acme", false);
    bench.owe(lane, 1);
    let plans = bench.store.endpoints().unwrap().iter().map(|endpoint| exchange::plan(endpoint, 8)).collect();
    let mut actions = Vec::new();
    let asked_at = bench.time();
    bench.engine.step(asked_at, Input::Endpoints(plans), &mut actions);
    let due = bench.store.lanes().unwrap();
    bench.engine.step(asked_at, Input::Due(due), &mut actions);
    let command = exchange::command(&actions[0]).expect("a lease");
    let reply = bench.store.apply(asked_at, &[command]).unwrap().remove(0);
    let input = exchange::input(actions.remove(0), Some(reply)).unwrap();
    // The process was stopped for longer than the lease leaves.
    bench.now += 20_000;
    bench.engine.step(bench.time(), input, &mut actions);
    assert!(matches!(actions[..], [Action::Release { .. }, Action::Lease(_)]), "{actions:?}");
}
