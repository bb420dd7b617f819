//! Applications under load: clients that hand over one event after the other by HTTP, or one batch after the other, and note
//! each event that was acknowledged. A client whose answer was cut or refused for now asks again with the same ids, as the README
//! tells callers to.

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
    /// More than one make a batch.
    lines: usize,
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
        Self::launch(prefix, clients, pause, padding, 1)
    }

    /// The same, with so many events in each request.
    pub fn batches(prefix: &str, clients: usize, pause: Duration, lines: usize) -> Self {
        Self::launch(prefix, clients, pause, 0, lines)
    }

    fn launch(prefix: &str, clients: usize, pause: Duration, padding: usize, lines: usize) -> Self {
        let shared = Arc::new(Shared {
            prefix: prefix.to_owned(),
            padding,
            lines,
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

    /// Whether all of it was acknowledged.
    fn hand_over(&self, id: &str, connection: &mut Option<(Api, Wire)>) -> bool {
        let Some(address) = self.address.lock().unwrap().clone() else { return false };
        let asked = |connection: &mut Option<(Api, Wire)>| {
            if connection.is_none() {
                let api = Api::at(&address);
                let wire = api.try_connect()?;
                *connection = Some((api, wire));
            }
            let (api, wire) = connection.as_mut().expect("connected");
            if self.lines == 1 { self.single(id, api, wire) } else { self.batch(id, api, wire) }
        };
        asked(connection).unwrap_or_else(|_| {
            *connection = None;
            self.cut.fetch_add(1, Ordering::SeqCst);
            false
        })
    }

    fn single(&self, id: &str, api: &Api, wire: &mut Wire) -> std::io::Result<bool> {
        let envelope = self.envelope(id);
        let headers = [("content-type", "application/json")];
        wire.try_send(api.head("POST", "/v1/events", &headers, Some(envelope.len())) + &envelope)?;
        let reply = wire.reply()?;
        Ok(self.is_acknowledged(id, reply.status, &String::from_utf8_lossy(&reply.body)))
    }

    fn batch(&self, id: &str, api: &Api, wire: &mut Wire) -> std::io::Result<bool> {
        let ids: Vec<String> = (0..self.lines).map(|line| format!("{id}-{line}")).collect();
        let body: String = ids.iter().map(|id| self.envelope(id) + "\n").collect();
        let headers = [("content-type", "application/x-ndjson")];
        wire.try_send(api.head("POST", "/v1/events/batch", &headers, Some(body.len())) + &body)?;
        let reply = wire.begin()?;
        if reply.status != 200 {
            while wire.piece()?.is_some() {}
            return Ok(self.is_acknowledged(id, reply.status, "a batch"));
        }
        let mut all = true;
        for id in &ids {
            let line = wire.line()?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
            let told: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
            let status = if told["status"] == "accepted" { Some(201) } else { told["problem"]["status"].as_u64() };
            all &= self.is_acknowledged(id, status.expect("a status") as u16, &line);
        }
        assert_eq!(wire.line()?, None, "more answers than lines");
        Ok(all)
    }

    fn envelope(&self, id: &str) -> String {
        format!("{{\"id\":\"{id}\",\"type\":\"thing.happened\",\"body\":{}}}", body(id, self.padding))
    }

    fn is_acknowledged(&self, id: &str, status: u16, shown: &str) -> bool {
        match status {
            201 => drop(self.acknowledged.lock().unwrap().insert(id.to_owned())),
            409 | 503 | 507 => drop(self.refused.fetch_add(1, Ordering::SeqCst)),
            other => panic!("{id} was refused: {other} {shown}"),
        }
        status == 201
    }
}
