//! `postrider listen` from the side of a sender: raw sockets, TLS, and the real `postrider` with each scheme.
//! Every listener is a process of its own on a free port of 127.0.0.1, and does not outlive its test.

mod answers;
mod bad;
mod forward;
mod seen;
mod senders;
mod tls;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::harness::{PATIENCE, wait_for};

const SECRET: &str = "T0pS3cretOfNobody";
const V1: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const V1A: &str = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// The private key 1, and its address.
const KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";
const SIGNER: &str = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";

/// A folder with secrets and a configuration that lets a sender come here.
fn place() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = "[safety]\nallow_http = true\nallow_addresses = [\"127.0.0.0/8\"]\n[api]\nlisten = \"\"\n";
    for (name, text) in [("secret", SECRET), ("v1", V1), ("v1a", V1A), ("key", KEY), ("config.toml", config)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The binary in a folder, with nothing of this process's environment. `words` are split at spaces.
fn postrider(folder: &TempDir, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(words.split_whitespace()).current_dir(folder.path());
    command.env_clear().env("HOME", folder.path()).env("TMPDIR", folder.path()).stdin(Stdio::null());
    command
}

/// A running `postrider listen --json`.
struct Listener {
    child: Child,
    lines: Receiver<String>,
    notes: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    address: SocketAddr,
}

impl Listener {
    fn start(folder: &TempDir, words: &str) -> Self {
        Self::spawn(postrider(folder, &format!("listen --port 0 --json {words}")))
    }

    /// Returns once it listens.
    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (told, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let notes: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = notes.clone();
        let reader = std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line));
        });
        let address = wait_for("an address", PATIENCE, || {
            let notes = notes.lock().unwrap();
            let address = notes.iter().find_map(|note| note.split("://").nth(1)?.split(';').next()?.parse().ok());
            assert!(address.is_some() || child.try_wait().unwrap().is_none(), "it ended: {notes:#?}");
            address
        });
        Listener { child, lines, notes, reader: Some(reader), address }
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends what is given and reads until the other side ends the connection.
    fn exchange(&self, sent: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(sent).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// POSTs a body on a connection of its own; the whole answer.
    fn post(&self, headers: &str, body: &[u8]) -> String {
        self.exchange(&post("/hook", &format!("connection: close\r\n{headers}"), body))
    }

    /// The status of the answer to a body.
    #[track_caller]
    fn status(&self, headers: &str, body: &str) -> u16 {
        let answer = self.post(headers, body.as_bytes());
        status_of(&answer)
    }

    /// The next line of JSON.
    fn next(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line: {:#?}", self.notes()));
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}: {:#?}", self.notes()))
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    fn wait_for_note(&self, part: &str) -> String {
        wait_for(&format!("a note with {part:?}"), PATIENCE, || {
            self.notes().into_iter().find(|note| note.contains(part))
        })
    }

    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Waits for its end: the exit status, the rest of stdout, and all of stderr.
    fn wait(&mut self) -> (i32, String, String) {
        let status = wait_for("its end", PATIENCE, || self.child.try_wait().unwrap());
        let rest: String = self.lines.iter().map(|line| line + "\n").collect();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (status.code().unwrap_or(-1), rest, self.notes().join("\n"))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bytes of a POST.
fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[track_caller]
fn status_of(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    status.unwrap_or_else(|| panic!("no status in {answer:?}"))
}

/// The first answer on a connection that stays open, with its body.
fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut byte = [0];
    let complete = |answer: &[u8]| {
        let text = String::from_utf8_lossy(answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.split("content-length: ").nth(1).map_or("0", |rest| rest.split("\r\n").next().unwrap());
        (body.len() >= length.parse().unwrap()).then_some(text)
    };
    loop {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "it ended after {:?}", String::from_utf8_lossy(&answer));
        answer.push(byte[0]);
        if let Some(text) = complete(&answer) {
            return text;
        }
    }
}

/// Longer than any answer that is at once, and shorter than any that is late.
const SOON: Duration = Duration::from_millis(300);
