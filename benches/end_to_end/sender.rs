//! The program under test as a process of its own, and what it is started with. The bare loop is started the same way.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::machine::Process;

const PROGRAM: &str = env!("CARGO_BIN_EXE_postrider");
/// A private key of the bench, drawn for it.
pub const KEY: &str = "0x6b1f03c7d94a58e2b70c3dd1fa9e46820f5137bc8e9d2a640b73c5f81ee49d27";
/// The word with which this program is told to be the bare loop.
pub const BARE: &str = "--bare-loop";

/// A folder with a configuration; the store is made in it.
pub struct Home {
    folder: TempDir,
}

impl Home {
    /// `more` is appended to the settings, which let it send to this machine by plain HTTP.
    pub fn new(more: &str) -> Home {
        let folder = tempfile::Builder::new().prefix("postrider-bench-").tempdir_in(place()).expect("a folder");
        let settings =
            "[safety]\nallow_http = true\nallow_addresses = [\"127.0.0.1\"]\n[api]\nlisten = \"127.0.0.1:0\"\n";
        std::fs::write(folder.path().join("config.toml"), format!("{settings}{more}")).expect("a file");
        for (name, text) in [("secret", "a secret of the bench, known to nobody else"), ("key", KEY)] {
            std::fs::write(folder.path().join(name), text).expect("a file");
            restrict(&folder.path().join(name));
        }
        Home { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn store(&self) -> PathBuf {
        self.path().join("postrider.db")
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(words).current_dir(self.path()).env_clear().env("HOME", self.path()).stdin(Stdio::null());
        command
    }

    /// Runs a verb that must end well; its output.
    pub fn verb(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("the program runs");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    pub fn add_endpoint(&self, name: &str, port: u16) {
        self.add_endpoint_with(name, port, "--secret-file");
    }

    /// Signed as `option` says: `--secret-file` or `--key-file`.
    pub fn add_endpoint_with(&self, name: &str, port: u16, option: &str) {
        let url = format!("http://127.0.0.1:{port}/hook");
        let file = option.trim_start_matches('-').trim_end_matches("-file");
        self.verb(&["endpoint", "add", name, &url, "--profile", "ensuro", option, file]);
    }

    /// Starts the daemon, and waits until it can be asked.
    pub fn serve(&self) -> Sender {
        let mut command = self.command(&["serve"]);
        Sender::started(command.env("POSTRIDER_LOG_FORMAT", "json"))
    }

    /// Starts the bare loop, which sends to this port.
    pub fn bare(&self, receiver: u16) -> Sender {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([BARE, &receiver.to_string()]).current_dir(self.path()).stdin(Stdio::null());
        Sender::started(&mut command)
    }
}

/// On the disk, not in memory: the build's own folder.
fn place() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned();
    std::fs::create_dir_all(&place).expect("a folder");
    place
}

fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("a file of ours");
}

/// A sender that runs. It ends with the value.
pub struct Sender {
    child: Child,
    pub port: u16,
    pub ready_after: Duration,
}

impl Sender {
    fn started(command: &mut Command) -> Sender {
        let begun = Instant::now();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut told = Vec::new();
        let port = loop {
            let line = log.next().unwrap_or_else(|| panic!("it ended: {told:#?}")).expect("text");
            if let Some(rest) = line.split("http://127.0.0.1:").nth(1).filter(|_| line.contains("listening")) {
                break rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a port");
            }
            told.push(line);
        };
        let ready_after = begun.elapsed();
        std::thread::spawn(move || log.for_each(drop));
        Sender { child, port, ready_after }
    }

    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Lets it end by itself.
    pub fn stop(mut self) {
        self.end(rustix::process::Signal::TERM);
    }

    fn end(&mut self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, signal);
        let _ = self.child.wait();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end(rustix::process::Signal::KILL);
        }
    }
}
