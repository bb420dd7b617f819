//! Endpoints that are well, and how long an event takes to reach them: what must not change while others ail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postrider::store::NewEndpoint;

use crate::client::Api;
use crate::harness::{Daemon, Home, PATIENCE, endpoint, overrides, wait_for};
use crate::load::address;
use crate::receivers::{Answer, Receiver};

/// When each event arrived first, by its id.
type Arrivals = Arc<Mutex<BTreeMap<String, Instant>>>;

pub struct Healthy {
    names: Vec<String>,
    arrivals: Arrivals,
    /// One serves many endpoints.
    _receivers: Vec<Receiver>,
    rounds: usize,
}

/// How long events took from their hour to their arrival.
pub struct Took {
    sorted: Vec<Duration>,
    /// Events a second, from the first hour to the last arrival.
    pub rate: f64,
}

impl Took {
    /// Of 100 that many took no longer.
    pub fn percentile(&self, of_hundred: usize) -> Duration {
        self.sorted[(self.sorted.len() * of_hundred / 100).min(self.sorted.len() - 1)]
    }
}

impl Healthy {
    /// So many endpoints, `healthy-0` and on, which get only what is meant for them.
    pub fn new(home: &Home, count: usize) -> Self {
        let arrivals: Arrivals = Arc::default();
        let receive = |_| {
            let kept = arrivals.clone();
            Receiver::start(move |request| {
                let id = request.header("webhook-id").unwrap_or_default().to_owned();
                kept.lock().unwrap().entry(id).or_insert_with(Instant::now);
                Answer::status(200)
            })
        };
        let receivers: Vec<Receiver> = (0..2).map(receive).collect();
        let names: Vec<String> = (0..count).map(|number| format!("healthy-{number}")).collect();
        for (number, name) in names.iter().enumerate() {
            let only = NewEndpoint { overrides: overrides(&[1000; 5]), ..endpoint(name, &receivers[number % 2].url()) };
            home.add(NewEndpoint { subscriptions: vec![never()], ..only });
        }
        Healthy { names, arrivals, _receivers: receivers, rounds: 0 }
    }

    /// Of three `trickle`s the one in the middle, by its 99th percentile: one stall of the machine's disk is not the rule.
    pub fn middle(&mut self, daemon: &Daemon, a_second: u32, lasting: Duration) -> Took {
        let mut three: Vec<Took> = (0..3).map(|_| self.trickle(daemon, a_second, lasting)).collect();
        three.sort_by_key(|took| took.percentile(99));
        three.remove(1)
    }

    /// So many events a second, in turn to all, at their hour or as soon as the one before is acknowledged; and how long
    /// they took from that hour until they arrived.
    pub fn trickle(&mut self, daemon: &Daemon, a_second: u32, lasting: Duration) -> Took {
        let api = Api::at(&address(daemon));
        let mut wire = api.connect();
        self.rounds += 1;
        let (begun, count) = (Instant::now(), (lasting.as_secs_f64() * f64::from(a_second)) as u32);
        let mut hours = BTreeMap::new();
        for number in 0..count {
            let hour = begun + Duration::from_secs(1) / a_second * number;
            std::thread::sleep(hour.saturating_duration_since(Instant::now()));
            let id = format!("healthy-{}-{number}", self.rounds);
            let name = &self.names[number as usize % self.names.len()];
            let body = format!("{{\"id\":\"{id}\",\"type\":\"thing.happened\",\"endpoint\":\"{name}\",\"body\":{{}}}}");
            let headers = [("content-type", "application/json")];
            wire.send(api.head("POST", "/v1/events", &headers, Some(body.len())) + &body);
            wire.reply().unwrap().expect(201);
            hours.insert(id, hour);
        }
        let arrived = wait_for("all healthy arrivals", PATIENCE, || {
            let arrivals = self.arrivals.lock().unwrap();
            hours.keys().all(|id| arrivals.contains_key(id)).then(|| arrivals.clone())
        });
        let last = hours.keys().map(|id| arrived[id]).max().unwrap();
        let mut sorted: Vec<Duration> = hours.iter().map(|(id, hour)| arrived[id].duration_since(*hour)).collect();
        sorted.sort();
        Took { sorted, rate: f64::from(count) / (last - begun).as_secs_f64() }
    }
}

/// A subscription to what never comes, so that nothing but what names the endpoint is for it.
pub fn never() -> postrider::event::Subscription {
    postrider::event::Subscription::parse("thing.that.never.happens").unwrap()
}

/// Memory of a process in bytes: what it has, and the most that it had since `forget_peak`.
pub fn memory(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Only for root, as the daemon shuts out others: for them the peak stays that since its start.
pub fn forget_peak(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// What a process has used of the processor.
pub fn processor(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ticks: u64 =
        stat.rsplit(") ").next().unwrap().split(' ').skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(1000 * ticks / rustix::param::clock_ticks_per_second())
}
