//! `postrider mock` against receivers on loopback: what they get is what the provider would send, and what is said of
//! their answers is true.

mod refused;
mod sent;
mod series;
mod written;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::receivers::{Answer, Received, Receiver};

const SECRET: &str = "T0pS3cretOfAMock";
/// The private key 1, and its address.
const KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";
const ADDRESS: &str = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";
const V1: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder with secrets and no configuration, in which postrider is run.
struct Place(tempfile::TempDir);

struct Ended {
    exit: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        place.write("secret", SECRET);
        place.write("key", KEY);
        place.write("v1", V1);
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
        command.arg("mock").args(arguments).env_clear().env("HOME", self.path()).current_dir(self.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run_with(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ended = Ended {
            exit: output.status.code().expect("no signal ended it"),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        for secret in [SECRET, KEY, V1] {
            assert!(!ended.out.contains(secret) && !ended.err.contains(secret), "a secret is told");
        }
        ended
    }

    /// `words` split at spaces.
    fn run(&self, words: &str) -> Ended {
        self.run_with(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// What is told in JSON, a document a line, and the exit status.
    fn json(&self, words: &str) -> (Vec<Value>, i32) {
        let ended = self.run(&format!("{words} --json"));
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line} is no JSON"));
        (ended.out.lines().map(parse).collect(), ended.exit)
    }

    /// The body that `--print` writes, as its bytes and parsed.
    fn body(&self, words: &str) -> (String, Value) {
        let (printed, exit) = self.json(&format!("{words} --print"));
        assert_eq!((printed.len(), exit), (1, 0), "{words}");
        let text = printed[0]["body"].as_str().unwrap().to_owned();
        let parsed = serde_json::from_str(&text).unwrap();
        (text, parsed)
    }
}

/// HMAC-SHA256 in hex, without a line of the program's own.
fn hmac_of(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Answers 200 to what is signed with the secret, and 403 with a reason to all else.
fn verifying() -> Receiver {
    Receiver::start(|request: &Received| match request.header("x-ensuro-signature") {
        Some(signature) if signature == hmac_of(&request.body) => Answer::with(200, &[], b"thanks"),
        Some(_) | None => Answer::with(403, &[], b"bad \x1b[31msignature"),
    })
}
