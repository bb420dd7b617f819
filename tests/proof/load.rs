//! Applications under load: clients that hand over one event after the other by HTTP and note each that was acknowledged. A
//! client whose answer was cut or refused for now asks again with the same id, as the README tells callers to.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Api, Wire};
use crate::harness::{Daemon, PATIENCE, wait_for};
use crate::receivers::Received;

/// Where a daemon listens.
pub fn address(daemon: &Daemon) -> String {
    wait_for("an address in the log", PATIENCE, || {
        daemon.told("listening").into_iter().find_map(|line| Some(line["address"].as_str()?.to_owned()))
    })
}

/// What event `id` of a `Load` has as its body: `padding` makes it larger.
pub fn body(id: &str, padding: usize) -> String {
    format!("{{\"of\":\"{id}\",  \"padding\":\"{}\"}}", "x".repeat(padding))
}

/// Whose event a request brings; fails if its body is another's, or was changed on the way.
pub fn event_of(request: &Received, padding: usize) -> String {
    let id = request.header("webhook-id").expect("an id").to_owned();
    assert!(request.body == body(&id, padding).as_bytes(), "another body for {id}");
    id
}

/// How many requests there were at once, if each was under way for `lasting` from its arrival.
pub fn most_at_once(mut arrivals: Vec<Instant>, lasting: Duration) -> usize {
    arrivals.sort();
    let (mut most, mut first) = (0, 0);
    for (last, arrival) in arrivals.iter().enumerate() {
        while arrivals[first] + lasting <= *arrival {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    prefix: String,
    padding: usize,
    pause: Duration,
    address: Mutex<Option<String>>,
    stopped: AtomicBool,
    acknowledged: Mutex<BTreeSet<String>>,
    refused: AtomicU64,
    cut: AtomicU64,
}

impl Load {
    /// So many clients, each of which waits for `pause` after an acknowledgement. They ask nobody before `aim`.
    pub fn start(prefix: &str, clients: usize, pause: Duration, padding: usize) -> Self {
        let shared = Arc::new(Shared {
            prefix: prefix.to_owned(),
            padding,
            pause,
            address: Mutex::default(),
            stopped: AtomicBool::new(false),
            acknowledged: Mutex::default(),
            refused: AtomicU64::new(0),
            cut: AtomicU64::new(0),
        });
        let run = |client| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.run(client))
        };
        Load { clients: (0..clients).map(run).collect(), shared }
    }

    /// From now on this daemon is asked.
    pub fn aim(&self, daemon: &Daemon) {
        *self.shared.address.lock().unwrap() = Some(address(daemon));
    }

    pub fn acknowledged(&self) -> BTreeSet<String> {
        self.shared.acknowledged.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.acknowledged.lock().unwrap().len()
    }

    /// Requests that were answered by 503 or 507.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// Requests whose answer was cut.
    pub fn cut(&self) -> u64 {
        self.shared.cut.load(Ordering::SeqCst)
    }

    /// Waits for the clients; answers what was acknowledged.
    pub fn stop(mut self) -> BTreeSet<String> {
        self.shared.stopped.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            client.join().expect("a client goes on until it is told to stop");
        }
        self.acknowledged()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn run(&self, client: usize) {
        let mut connection = None;
        for number in 0.. {
            let id = format!("{}-{client}-{number}", self.prefix);
            while !self.hand_over(&id, &mut connection) {
                std::thread::sleep(Duration::from_millis(10));
                if self.stopped.load(Ordering::SeqCst) {
                    return;
                }
            }
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            std::thread::sleep(self.pause);
        }
    }

    /// Whether it was acknowledged.
    fn hand_over(&self, id: &str, connection: &mut Option<(Api, Wire)>) -> bool {
        let Some(address) = self.address.lock().unwrap().clone() else { return false };
        let envelope = format!("{{\"id\":\"{id}\",\"type\":\"thing.happened\",\"body\":{}}}", body(id, self.padding));
        let asked = |connection: &mut Option<(Api, Wire)>| {
            if connection.is_none() {
                let api = Api::at(&address);
                let wire = api.try_connect()?;
                *connection = Some((api, wire));
            }
            let (api, wire) = connection.as_mut().expect("connected");
            let headers = [("content-type", "application/json")];
            wire.try_send(api.head("POST", "/v1/events", &headers, Some(envelope.len())) + &envelope)?;
            wire.reply()
        };
        match asked(connection) {
            Ok(reply) if reply.status == 201 => {
                self.acknowledged.lock().unwrap().insert(id.to_owned());
                true
            }
            Ok(reply) if [409, 503, 507].contains(&reply.status) => {
                self.refused.fetch_add(1, Ordering::SeqCst);
                false
            }
            Ok(reply) => panic!("{id} was refused: {} {}", reply.status, String::from_utf8_lossy(&reply.body)),
            Err(_) => {
                *connection = None;
                self.cut.fetch_add(1, Ordering::SeqCst);
                false
            }
        }
    }
}
