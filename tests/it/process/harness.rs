//! What the process tests share: a folder with a configuration and a store, a daemon as a child process, and a receiver
//! that looks at the clock. A daemon ends with the test that started it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use postrider::config::{Config, Sources, load};
use postrider::daemon::clock::wall;
use postrider::delivery::{Attempt, Delivery, StateName};
use postrider::endpoint::{Endpoint, EndpointName, Key, Overrides, ProfileName, Scheme, Secret};
use postrider::event::{EventId, EventType};
use postrider::operations::{self, Accepted, Refused, Rules, Submission, Target};
use postrider::signature;
use postrider::store::sqlite::SqliteStore;
use postrider::store::{Command as StoreCommand, Counts, Filter, NewEndpoint, NewEvent, Page, Recipients, Store};
use postrider::time::Span;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::receivers::{Answer, Received, Receiver};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A time is kept in whole milliseconds, so a wait between two of them may be a fraction of one shorter.
pub const GRAIN: Duration = Duration::from_millis(1);
/// Plain HTTP to this machine.
pub const LENIENT: &str = "[safety]\nallow_http = true\nallow_addresses = [\"127.0.0.1\"]\n";
/// What `endpoint` signs with.
pub const SECRET: &[u8] = b"a secret that no log may ever show";

/// A folder with a configuration and a store.
pub struct Home {
    folder: TempDir,
    config: Config,
}

impl Home {
    pub fn new() -> Self {
        Self::with(LENIENT)
    }

    /// With this configuration, and a log that tells programs everything.
    pub fn with(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = write_config(folder.path(), config);
        Home { folder, config }
    }

    /// The next daemon and all that is asked from now on follow this configuration.
    pub fn reconfigure(&mut self, config: &str) {
        self.config = write_config(self.folder.path(), config);
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn store_path(&self) -> PathBuf {
        self.folder.path().join(&self.config.store.path)
    }

    pub fn store(&self) -> SqliteStore {
        operations::open_store(&self.config.store).unwrap()
    }

    pub fn rules(&self) -> Rules {
        Rules::of(&self.config)
    }

    pub fn try_add(&self, endpoint: NewEndpoint) -> Result<Endpoint, Refused> {
        operations::add_endpoint(&mut self.store(), &self.rules(), wall(), endpoint)
    }

    pub fn add(&self, endpoint: NewEndpoint) -> Endpoint {
        self.try_add(endpoint).unwrap()
    }

    pub fn remove(&self, name: &str) -> u64 {
        operations::remove_endpoint(&mut self.store(), wall(), &EndpointName::parse(name).unwrap()).unwrap()
    }

    /// To every endpoint.
    pub fn enqueue(&self, id: &str, body: &[u8]) -> Accepted {
        operations::enqueue(&mut self.store(), &self.rules(), wall(), submission(id, body)).unwrap()
    }

    /// Of a type that its profile knows.
    pub fn enqueue_typed(&self, id: &str, event_type: &str, body: &[u8]) -> Accepted {
        let submission = Submission { event_type: Some(EventType::parse(event_type).unwrap()), ..submission(id, body) };
        operations::enqueue(&mut self.store(), &self.rules(), wall(), submission).unwrap()
    }

    /// `count` events for one endpoint, `PREFIX-0` and on, in one commit.
    pub fn enqueue_many(&self, prefix: &str, count: usize, endpoint: &Endpoint) {
        let event = |number| {
            let body = format!("{{\"number\":{number}}}").into_bytes();
            let digest = signature::digest(&body);
            StoreCommand::Enqueue(NewEvent {
                id: EventId::parse(&format!("{prefix}-{number}")).unwrap(),
                event_type: EventType::parse(EVENT_TYPE).unwrap(),
                content_type: "application/json".to_owned(),
                body: body.into(),
                digest,
                recipients: Recipients::Endpoints(vec![endpoint.id]),
                fingerprint: digest,
                once: None,
                idempotency_key: None,
                trace: None,
            })
        };
        let commands: Vec<StoreCommand> = (0..count).map(event).collect();
        self.store().apply(wall(), &commands).unwrap();
    }

    pub fn counts(&self) -> Counts {
        self.store().counts(wall()).unwrap()
    }

    /// What one event is owed to, with the attempts that have ended; the endpoint added last comes first.
    pub fn deliveries(&self, event: &str) -> Vec<(Delivery, Vec<Attempt>)> {
        let mut store = self.store();
        let filter = Filter { event: Some(EventId::parse(event).unwrap()), ..Filter::default() };
        let listed = store.deliveries(&filter, Page { before: None, limit: 100 }).unwrap();
        let with_attempts = |delivery: Delivery| {
            let attempts = store.attempts(delivery.id).unwrap();
            (delivery, attempts)
        };
        listed.into_iter().map(|listed| listed.delivery).map(with_attempts).collect()
    }

    /// The only delivery of an event.
    pub fn delivery(&self, event: &str) -> (Delivery, Vec<Attempt>) {
        let mut deliveries = self.deliveries(event);
        assert_eq!(deliveries.len(), 1, "{deliveries:?}");
        deliveries.remove(0)
    }

    /// Waits until the only delivery of an event has this state.
    pub fn wait_for_state(&self, event: &str, state: StateName) -> (Delivery, Vec<Attempt>) {
        wait_for(&format!("{event} {}", state.as_str()), PATIENCE, || {
            Some(self.delivery(event)).filter(|(delivery, _)| delivery.state.name() == state)
        })
    }

    /// Waits until so many attempts of the only delivery of an event are recorded.
    pub fn wait_for_attempts(&self, event: &str, count: usize) -> (Delivery, Vec<Attempt>) {
        wait_for(&format!("{count} attempts of {event}"), PATIENCE, || {
            Some(self.delivery(event)).filter(|(_, attempts)| attempts.len() >= count)
        })
    }

    /// Waits until nothing is owed.
    pub fn wait_until_settled(&self) -> Counts {
        wait_for("nothing pending", PATIENCE, || Some(self.counts()).filter(|counts| counts.pending == 0))
    }

    /// As if the waits had passed that a delivery has after its daemon died twice in a row.
    pub fn hurry(&self) {
        let connection = rusqlite::Connection::open(self.store_path()).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        connection
            .execute_batch(
                "BEGIN IMMEDIATE;
                 UPDATE delivery SET due_at = 0 WHERE state = 'pending' AND token IS NULL;
                 UPDATE revision SET number = number + 1;
                 COMMIT;",
            )
            .unwrap();
    }

    /// Fails unless SQLite finds its own file in order.
    pub fn check_integrity(&self) {
        let connection = rusqlite::Connection::open(self.store_path()).unwrap();
        let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(found, "ok");
    }
}

fn write_config(folder: &Path, config: &str) -> Config {
    let path = folder.join("config.toml");
    let config = with_any_port(config);
    std::fs::write(&path, format!("[log]\nformat = \"json\"\nlevel = \"trace\"\n{config}")).unwrap();
    load(&Sources { file: Some(path), folder: folder.to_owned(), ..Sources::default() }).unwrap().config
}

/// The API listens on a port of its own, for many daemons run here at once.
fn with_any_port(config: &str) -> String {
    const ANY: &str = "[api]\nlisten = \"127.0.0.1:0\"\n";
    match config.split_once("[api]\n") {
        None => format!("{config}\n{ANY}"),
        Some((_, table)) if table.split("\n[").next().unwrap_or_default().contains("listen =") => config.to_owned(),
        Some((before, table)) => format!("{before}{ANY}{table}"),
    }
}

const EVENT_TYPE: &str = "thing.happened";

pub fn submission(id: &str, body: &[u8]) -> Submission {
    Submission {
        idempotency_key: None,
        trace: None,
        id: Some(EventId::parse(id).unwrap()),
        event_type: Some(EventType::parse(EVENT_TYPE).unwrap()),
        content_type: None,
        body: body.into(),
        target: Target::Subscribers,
    }
}

/// Standard, signed with `SECRET`, and never tried again.
pub fn endpoint(name: &str, url: &str) -> NewEndpoint {
    NewEndpoint {
        name: EndpointName::parse(name).unwrap(),
        url: url.to_owned(),
        profile: ProfileName::Standard,
        subscriptions: vec![],
        overrides: overrides(&[]),
        keys: vec![Key { scheme: Scheme::V1, secret: Secret::new(SECRET.to_vec()), until: None }],
    }
}

/// Tried again after these waits.
pub fn overrides(delays_ms: &[i64]) -> Overrides {
    let delays = delays_ms.iter().map(|delay| Span::from_ms(*delay)).collect();
    Overrides { schedule: Some(delays), ..Overrides::default() }
}

/// Asks until there is an answer. Panics with what was wanted after `patience`.
pub fn wait_for<T>(wanted: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "wanted {wanted} within {patience:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `postrider serve`, as a child process.
pub struct Daemon {
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
    /// From its start as a process to its word that it has begun; zero if nobody waited for it.
    pub ready_after: Duration,
}

/// What a child wrote to stderr so far, line by line.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Daemon {
    /// Returns once it has said that it started.
    pub fn start(home: &Home) -> Self {
        let mut daemon = Self::launch(home);
        daemon.ready_after = daemon.wait_until_ready();
        daemon
    }

    /// Does not wait for anything.
    pub fn launch(home: &Home) -> Self {
        let mut command = program(home);
        command.arg("serve");
        Self::spawn(command)
    }

    /// Of a command that becomes the daemon.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Log::default());
        let kept = log.clone();
        let reader = std::thread::spawn(move || {
            for line in stderr.split(b'\n').map_while(Result::ok) {
                kept.lines.lock().unwrap().push(String::from_utf8(line).expect("a log is UTF-8"));
                kept.more.notify_all();
            }
        });
        Daemon { child, log, reader: Some(reader), ready_after: Duration::ZERO }
    }

    fn wait_until_ready(&self) -> Duration {
        let begun = Instant::now();
        self.wait_for_line("started");
        begun.elapsed()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn lines(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().clone()
    }

    /// The log lines with this message.
    pub fn told(&self, message: &str) -> Vec<serde_json::Value> {
        self.lines().iter().filter_map(|line| with_message(line, message)).collect()
    }

    /// The first log line with this message, waited for if need be.
    pub fn wait_for_line(&self, message: &str) -> serde_json::Value {
        let end = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            if let Some(told) = lines.iter().find_map(|line| with_message(line, message)) {
                return told;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {message:?} within {PATIENCE:?} in {lines:#?}");
            lines = self.log.more.wait_timeout(lines, left.min(Duration::from_millis(100))).unwrap().0;
        }
    }

    /// SIGKILL, whatever it is doing.
    pub fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; does not wait.
    pub fn terminate(&self) {
        kill_process(self.handle(), Signal::TERM).unwrap();
    }

    pub fn handle(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    /// Waits for its end, after which `lines` is complete.
    pub fn wait(&mut self) -> ExitStatus {
        let status = wait_for("the daemon's end", PATIENCE, || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGTERM and a clean end.
    pub fn stop(mut self) -> Vec<String> {
        self.terminate();
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{:#?}", self.lines());
        self.lines()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with_message(line: &str, message: &str) -> Option<serde_json::Value> {
    let told: serde_json::Value = serde_json::from_str(line).ok()?;
    (told["message"] == message).then_some(told)
}

/// The binary in a home, with nothing of this process's environment.
pub fn program(home: &Home) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.current_dir(home.path()).env_clear().env("HOME", home.path());
    command.arg("--config").arg(home.path().join("config.toml"));
    command
}

/// A receiver that keeps when each request had come, in the order of their numbers.
pub struct Timed {
    pub receiver: Receiver,
    times: Arc<Mutex<Vec<(usize, Instant)>>>,
}

impl Timed {
    pub fn start(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let times: Arc<Mutex<Vec<(usize, Instant)>>> = Arc::default();
        let kept = times.clone();
        let receiver = Receiver::start(move |request| {
            kept.lock().unwrap().push((request.number, Instant::now()));
            script(request)
        });
        Timed { receiver, times }
    }

    /// When the request of this number (from 1) had come.
    pub fn at(&self, number: usize) -> Instant {
        wait_for(&format!("request {number}"), PATIENCE, || {
            self.times.lock().unwrap().iter().find(|(known, _)| *known == number).map(|(_, at)| *at)
        })
    }

    /// The waits between the requests so far.
    pub fn gaps(&self) -> Vec<Duration> {
        let mut times = self.times.lock().unwrap().clone();
        times.sort();
        times.windows(2).map(|pair| pair[1].1.duration_since(pair[0].1)).collect()
    }
}
