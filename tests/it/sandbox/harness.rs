//! A sandbox as a child process, the partner's side of both APIs, and the control verbs.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use postrider::endpoint::{Scheme, Secret};
use postrider::signature::{self, Signed, VerifyKey};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::client::{Api, Reply};
use crate::process::harness::{PATIENCE, wait_for};
use crate::receivers::{Answer, Received, Receiver};

/// The partner's folder: the sandbox's is in it, and its temporary files.
pub struct Desk {
    folder: TempDir,
}

impl Desk {
    pub fn new() -> Self {
        Desk { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The binary here, with nothing of this process's environment.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
        command.args(arguments).current_dir(self.path()).env_clear();
        command.env("HOME", self.path()).env("TMPDIR", self.path());
        command
    }

    /// With a folder that is kept.
    pub fn start(&self, arguments: &[&str]) -> Sandbox {
        self.start_with(&[&["--folder", "kept"], arguments].concat())
    }

    pub fn start_with(&self, arguments: &[&str]) -> Sandbox {
        let mut command = self.program(&["sandbox", "--json", "--listen", "127.0.0.1:0"]);
        let mut child =
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let log: Arc<Log> = Arc::default();
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let happened = serde_json::from_str(&line).expect("stdout is JSON");
                kept.happened.lock().unwrap().push(happened);
                kept.more.notify_all();
            }
        });
        let stderr = child.stderr.take().unwrap();
        let told: Arc<Mutex<String>> = Arc::default();
        let heard = told.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                heard.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let mut sandbox =
            Sandbox { child, log, told, api: Api::at("127.0.0.1:1"), api_key: String::new(), secret: vec![] };
        let began = sandbox.wait_for("listening", |_| true);
        let read = |name: &str| std::fs::read(began[name].as_str().unwrap()).unwrap().trim_ascii().to_vec();
        sandbox.api = Api::at(began["url"].as_str().unwrap());
        sandbox.api_key = String::from_utf8(read("api_key_file")).unwrap();
        sandbox.secret = read("secret_file");
        sandbox
    }

    /// `postrider sandbox ARGUMENTS --at` this one.
    pub fn control(&self, sandbox: &Sandbox, arguments: &[&str]) -> Output {
        self.program(&["sandbox"]).args(arguments).args(["--at", &sandbox.api.url()]).output().unwrap()
    }

    /// The same, done well and told in JSON.
    #[track_caller]
    pub fn controlled(&self, sandbox: &Sandbox, arguments: &[&str]) -> Value {
        let output = self.control(sandbox, &[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[derive(Default)]
struct Log {
    happened: Mutex<Vec<Value>>,
    more: Condvar,
}

/// Ends with the test that started it.
pub struct Sandbox {
    child: Child,
    log: Arc<Log>,
    told: Arc<Mutex<String>>,
    pub api: Api,
    pub api_key: String,
    secret: Vec<u8>,
}

impl Sandbox {
    pub fn happened(&self) -> Vec<Value> {
        self.log.happened.lock().unwrap().clone()
    }

    /// What it wrote to stderr.
    pub fn told(&self) -> String {
        self.told.lock().unwrap().clone()
    }

    /// The first that happened so, waited for if need be.
    #[track_caller]
    pub fn wait_for(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        let mut happened = self.log.happened.lock().unwrap();
        loop {
            if let Some(found) = happened.iter().find(|it| it["happened"] == what && fits(it)) {
                return found.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what:?} within {PATIENCE:?} in {happened:#?}; {}", self.told());
            happened = self.log.more.wait_timeout(happened, left.min(Duration::from_millis(100))).unwrap().0;
        }
    }

    /// Signed by the shared secret.
    pub fn sign(&self, body: &[u8]) -> String {
        signature::hmac::sign(&self.secret, body)
    }

    /// A request to Ensuro's side, as it should be.
    pub fn ensuro(&self, path: &str, body: &Value) -> Reply {
        let body = body.to_string();
        let (key, signature) = (self.api_key.as_str(), self.sign(body.as_bytes()));
        let headers = [("x-api-key", key), ("x-ensuro-signature", &signature), ("content-type", "application/json")];
        self.api.ask("POST", path, &headers, body.as_bytes())
    }

    /// A policy of 100 for so many days; its id.
    #[track_caller]
    pub fn buy(&self, days: i64) -> String {
        let answer = self.ensuro("/new-policy", &wanted("100", days)).expect(200);
        answer["ensuro_id"].as_str().unwrap().to_owned()
    }

    /// A request to Octamile's side: always 200, and JSON.
    #[track_caller]
    pub fn octamile(&self, command: &str, seed: Value) -> Value {
        let body = json!({
            "userInfo": {"id": "partner", "athrzt": {"id": "authorization", "key": "key"}},
            "cmmnd": {"cmmnd": command, "seed": seed},
        });
        self.api.post("/", &body.to_string()).expect(200)
    }

    /// A consumer's id.
    #[track_caller]
    pub fn register(&self) -> String {
        let answer = self.octamile("prfl entity", json!({"name": {"first": "Ada", "last": "Obi"}}));
        assert_eq!(answer["exctnFdbck"]["id"], "75", "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    pub fn insure(&self, consumer: &str, id: &str, web_hook: &str) -> Value {
        let facts = json!({"brand": "Toyota", "webHook": web_hook});
        let seed = json!({"ctgry": "vhcl", "type": "tprt", "pckg": "1111", "id": id, "addtnlFact": facts});
        self.octamile(&format!("entt_{consumer}: insure"), seed)
    }

    pub fn poll(&self, consumer: &str, id: &str) -> Value {
        self.octamile(&format!("dump entt_{consumer}|insr_vhcl-tprt-1111-{id}*STATUS"), json!({}))
    }

    /// SIGKILL.
    pub fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its end.
    pub fn terminate(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        wait_for("the sandbox's end", PATIENCE, || self.child.try_wait().unwrap())
    }

    pub fn verify_key(&self) -> VerifyKey {
        VerifyKey::Hmac(Secret::new(self.secret.clone()))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of a request for a policy of so much, for so many days from now.
pub fn wanted(payout: &str, days: i64) -> Value {
    let now = postrider::daemon::clock::wall();
    let expiration = now + postrider::time::Span::from_hours(24 * days);
    json!({"payout": payout, "expiration": postrider::calendar::rfc3339(expiration), "data": {"pricing": "general"}})
}

/// The partner's receiver: keeps what it got, and refuses the first so many requests.
pub struct Partner {
    pub receiver: Receiver,
}

impl Partner {
    pub fn start(refused: usize) -> Self {
        Partner {
            receiver: Receiver::start(move |request| Answer::status(if request.number <= refused { 500 } else { 200 })),
        }
    }

    /// The requests, once there are so many.
    #[track_caller]
    pub fn received(&self, count: usize) -> Vec<Received> {
        wait_for(&format!("{count} requests"), PATIENCE, || {
            Some(self.receiver.requests()).filter(|requests| requests.len() >= count)
        })
    }

    /// What stood in them, each verified with the sandbox's secret.
    #[track_caller]
    pub fn notified(&self, sandbox: &Sandbox, count: usize) -> Vec<Value> {
        let read = |request: &Received| {
            let given = request.header(signature::HMAC_HEADER).expect("it is signed");
            let signed = Signed { event_id: "", timestamp: 0, body: &request.body };
            signature::verify(&sandbox.verify_key(), given, &signed).expect("a good signature");
            serde_json::from_slice(&request.body).unwrap()
        };
        self.received(count).iter().map(read).collect()
    }
}

/// A private key of an account, and its address.
pub fn account() -> (Secret, String) {
    let key =
        signature::read_key(Scheme::Eip191, b"0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
            .unwrap();
    let address = signature::public_of(&key).unwrap();
    (key.secret, address)
}
