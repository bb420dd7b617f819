//! Receivers made of what partners use: the Express and Flask apps of tests/receivers, with ethers, eth-account and the
//! official packages of Standard Webhooks. Each runs as a process of its own on a port of its own, tells in JSON what it
//! verified, and ends with its test. Nothing of postrider computes or checks a signature on their side.

mod checked;
mod delivered;
mod mocked;
mod newcomer;
mod refused;

use std::fs;
use std::io::{BufRead, BufReader, Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use postrider::daemon::clock::wall;
use postrider::endpoint::ProfileName;
use postrider::event::EventType;
use postrider::provider::dice::Dice;
use postrider::provider::{self, ensuro, octamile};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::api::client::Api;
use crate::process::harness::{PATIENCE, wait_for};

/// The shared secret of Ensuro's scheme.
const SECRET: &str = "between-the-two-of-us";
/// The private key 2, and its address.
const KEY: &str = "0000000000000000000000000000000000000000000000000000000000000002";
const SIGNER: &str = "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF";
/// Of Standard Webhooks: the secret now and the one after it; a private key, and its public half.
const V1: &str = "whsec_bm90aGluZyBidXQgYSB0ZXN0IHNlY3JldCwgb25l";
const NEXT_V1: &str = "whsec_bm90aGluZyBidXQgYSB0ZXN0IHNlY3JldCwgdHdv";

const V1A: &str = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const PUBLIC: &str = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";

/// All of tests/receivers.
const APPS: [&str; 9] = [
    "ensuro.js",
    "ensuro.py",
    "eip191.js",
    "eip191.py",
    "octamile.js",
    "octamile.py",
    "standard.js",
    "standard.py",
    "ed25519.js",
];

/// A profile and the flags for the key that an app knows.
fn terms(app: &str) -> &'static str {
    match app.split('.').next().unwrap() {
        "ensuro" => "ensuro --secret-file secret",
        "eip191" => "ensuro --key-file key",
        "octamile" => "octamile",
        "standard" => "standard --secret-file v1",
        "ed25519" => "standard --key-file v1a",
        other => panic!("there is no app {other}"),
    }
}

/// One app of tests/receivers that runs.
struct App {
    name: String,
    port: u64,
    child: Child,
    told: Arc<Told>,
    complaints: fs::File,
}

/// What an app has said so far.
#[derive(Default)]
struct Told {
    lines: Mutex<Vec<Value>>,
    more: Condvar,
}

impl App {
    /// `ensuro.js` and the like, or a path; returns once it listens. `place` is where the secrets are.
    fn start(name: &str, place: &Place, environment: &[(&str, &str)]) -> Self {
        let file = root().join("tests/receivers").join(name);
        let mut command = interpreter(&file);
        command.arg(&file).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("NODE_PATH", root().join("target/tools/node/node_modules")).env("PYTHONDONTWRITEBYTECODE", "1");
        let secret = if name.starts_with("standard") { "v1" } else { "secret" };
        fs::create_dir_all(place.saved(name)).unwrap();
        command.env("SECRET_FILE", place.path(secret)).env("SAVE", place.saved(name));
        command.env("SIGNER", SIGNER).env("PUBLIC", PUBLIC);
        command.envs(environment.iter().copied()).current_dir(place.0.path());
        let complaints = tempfile::tempfile().unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(complaints.try_clone().unwrap());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (told, stdout) = (Arc::<Told>::default(), BufReader::new(child.stdout.take().unwrap()));
        let kept = told.clone();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lines.lock().unwrap().push(line);
                kept.more.notify_all();
            }
        });
        let mut app = App { name: name.to_owned(), port: 0, child, told, complaints };
        app.port = app.wait_until(|lines| lines.first().map(|first| first["port"].as_u64().unwrap()));
        app
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// Its own word on each request, in the order in which it answered, once there are so many: it comes beside the answer.
    fn wait_for(&self, count: usize) -> Vec<Value> {
        self.wait_until(|lines| {
            let requests = lines.iter().filter(|line| line.get("status").is_some());
            let requests: Vec<Value> = requests.cloned().collect();
            (requests.len() >= count).then_some(requests)
        })
    }

    /// Sends this straight to it: its status.
    fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> u16 {
        Api::at(&format!("127.0.0.1:{}", self.port)).ask("POST", "/hook", headers, body).status
    }

    fn wait_until<T>(&self, seen: impl Fn(&[Value]) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut lines = self.told.lines.lock().unwrap();
        loop {
            if let Some(seen) = seen(&lines) {
                return seen;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} said {lines:#?} and complained:\n{}", self.name, self.complaints());
            lines = self.told.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    fn complaints(&self) -> String {
        let mut text = String::new();
        let mut file = &self.complaints;
        file.rewind().and_then(|()| file.read_to_string(&mut text)).unwrap();
        text
    }

    /// SIGTERM, which each of them obeys.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = wait_for("an app's end", PATIENCE, || self.child.try_wait().unwrap());
        assert!(status.success(), "{} ended with {status}: {}", self.name, self.complaints());
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What runs a file of this kind, with its packages; fails if ./tests/run has not installed them.
fn interpreter(file: &Path) -> Command {
    let (program, package) = match file.extension().unwrap().to_str().unwrap() {
        "js" => (PathBuf::from("node"), "target/tools/node/node_modules/express"),
        _ => (root().join("target/tools/bin/python"), "target/tools/bin/flask"),
    };
    assert!(root().join(package).exists(), "there is no {package}: ./tests/run installs it");
    Command::new(program)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder with a configuration that allows this machine, the secrets, and whatever postrider and the apps leave there.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        place.write("config.toml", "[safety]\nallow_http = true\nallow_addresses = [\"127.0.0.0/8\"]\n");
        for (name, text) in [("secret", SECRET), ("key", KEY), ("v1", V1), ("next-v1", NEXT_V1), ("v1a", V1A)] {
            place.write(name, text);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Where an app saves certificates.
    fn saved(&self, app: &str) -> PathBuf {
        self.path("saved").join(app)
    }

    /// Makes a file that only its owner may read.
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The real program, with the words split at spaces.
    fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
        command.args(words.split(' ')).env_clear().env("HOME", self.0.path()).current_dir(self.0.path());
        command.stdin(Stdio::null());
        command
    }

    /// A run that must end well: its stdout.
    #[track_caller]
    fn done(&self, words: &str) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words}: {output:#?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.done(&format!("{words} --json"))).unwrap()
    }
}

/// Every type of a notification that has one, with a sample of it.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let mut dice = Dice::new(7);
    let mut of = |profile, types: &[&'static str]| {
        let mut one = |name| provider::sample(profile, &EventType::parse(name).unwrap(), &mut dice, wall()).unwrap();
        types.iter().map(|name| (*name, one(name))).collect::<Vec<_>>()
    };
    [of(ProfileName::Ensuro, ensuro::TYPES), of(ProfileName::Octamile, octamile::TYPES)].concat()
}
