//! TLS: certificates of every fault, old protocols, weak keys, and handshakes that break at each point. Nothing is sent to a
//! receiver that has not shown who it is, and the attempt's error says what was wrong.

mod cases;
mod wire;

use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use postrider::delivery::{Outcome, Stage, StateName};
use postrider::endpoint::Overrides;
use postrider::store::NewEndpoint;
use postrider::time::Span;

use crate::campaign::{Campaign, Figures};
use crate::harness::{Daemon, Home, endpoint, overrides, program, wait_for};
use crate::healthy::never;
use crate::mounts;
use crate::receivers::Receiver;
use crate::receivers::certificates::Authority;
use wire::Wire;

const TIMEOUT: Duration = Duration::from_secs(3);
/// An attempt may take as much longer.
const SLACK: Duration = Duration::from_millis(500);

/// What an attempt comes to.
pub enum Expected {
    Delivered,
    /// Past the handshake; what is answered is no HTTP.
    Answered,
    /// Not delivered; the attempt says one of these.
    Refused(&'static [&'static str]),
}

/// One receiver that shows itself in some way.
pub struct Case {
    pub name: &'static str,
    /// As it is asked for: a name or an address.
    pub host: &'static str,
    pub expected: Expected,
    pub server: Server,
    /// What leads to it, and listens.
    pub wire: Option<Wire>,
}

impl Case {
    pub fn new(name: &'static str, host: &'static str, expected: Expected, server: Server) -> Self {
        let wire = Some(Wire::to(server.port(), None));
        Case { name, host, expected, server, wire }
    }

    fn port(&self) -> u16 {
        self.wire.as_ref().map_or_else(|| self.server.port(), Wire::port)
    }
}

/// Ends with the value.
pub enum Server {
    Receiver(Receiver),
    /// Another program's, on this port.
    Process(Child, u16),
    /// A thread's, on this port.
    Raw(u16),
}

impl Server {
    fn port(&self) -> u16 {
        match self {
            Server::Receiver(receiver) => receiver.port(),
            Server::Process(_, port) | Server::Raw(port) => *port,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Server::Process(child, _) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn run(campaign: &Campaign) -> Figures {
    let mut figures = Figures { worst_of: "beyond its timeout, of any attempt".to_owned(), ..Figures::default() };
    let namespace = match mounts::unshare(false) {
        Ok(namespace) => namespace,
        Err(why) => {
            figures.skip(why);
            return figures;
        }
    };
    for _ in 0..campaign.pick(1, 5) {
        round(&namespace, &mut figures);
    }
    figures
}

fn round(namespace: &[&str], figures: &mut Figures) {
    let root = Authority::new();
    let canary = Receiver::start(|_| crate::receivers::Answer::status(200));
    let config = "[safety]\nallow_addresses = [\"127.0.0.1\"]\nextra_roots_file = \"roots.pem\"\n";
    let folder = tempfile::tempdir().unwrap();
    let cases = cases::all(&root, &canary, folder.path());
    let home = prepared(config, &root, folder.path());
    for case @ Case { name, host, .. } in &cases {
        let once = Overrides { timeout: Some(Span::from_ms(TIMEOUT.as_millis() as i64)), ..overrides(&[]) };
        let url = format!("https://{host}:{}/hook", case.port());
        let tried = NewEndpoint { overrides: once, ..endpoint(name, &url) };
        let tried = home.add(NewEndpoint { subscriptions: vec![never()], ..tried });
        home.enqueue_many(name, 1, &tried);
    }
    let daemon = Daemon::spawn(with_names(&home, folder.path(), namespace));
    daemon.wait_for_line("started");
    wait_for("an end of every attempt", Duration::from_secs(40), || (home.counts().pending == 0).then_some(()));
    let lines = daemon.stop();
    assert!(!lines.iter().any(|line| line.contains("panicked")));
    let mut accepted = 0;
    for case in &cases {
        accepted += u64::from(judge(&home, case, figures));
    }
    assert_eq!(canary.connections(), 0, "somebody followed a URL of a certificate");
    assert!(accepted > 5 && cases.len() as u64 > 2 * accepted, "{accepted} of {} accepted", cases.len());
    figures.cycles += cases.len() as u64;
    if figures.notes.is_empty() {
        figures.note(format!("{accepted} valid ones accepted; to the others no byte of a request"));
    }
}

fn prepared(config: &str, root: &Authority, folder: &Path) -> Home {
    let home = Home::with(config);
    let old = std::fs::read_to_string(folder.join(cases::OLD_ROOT)).unwrap();
    std::fs::write(home.path().join("roots.pem"), root.pem() + &old).unwrap();
    home
}

/// The daemon, where the names of the cases are this machine's: in a mount namespace with a hosts file of its own.
fn with_names(home: &Home, folder: &Path, namespace: &[&str]) -> Command {
    let hosts = folder.join("hosts");
    std::fs::write(&hosts, format!("127.0.0.1 localhost {}\n", cases::NAMES.join(" "))).unwrap();
    let inner = program(home);
    let mut unshared = Command::new(namespace[0]);
    unshared.args(&namespace[1..]).args(["sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]).arg(&hosts);
    unshared.arg(inner.get_program()).args(inner.get_args()).arg("serve").current_dir(home.path());
    unshared.env_clear().env("HOME", home.path()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    unshared
}

/// Whether it was accepted; fails if that is not as it must be.
fn judge(home: &Home, case: &Case, figures: &mut Figures) -> bool {
    let (delivery, attempts) = home.delivery(&format!("{}-0", case.name));
    let shown = format!("{}: {attempts:?}", case.name);
    assert_eq!(attempts.len(), 1, "{shown}");
    let took = Duration::from_millis(attempts[0].finished_at.since(attempts[0].started_at).ms() as u64);
    assert!(took <= TIMEOUT + SLACK, "{shown}");
    figures.worse(took.saturating_sub(TIMEOUT));
    let delivered = delivery.state.name() == StateName::Delivered;
    let arrived = match &case.server {
        Server::Receiver(receiver) => receiver.requests().len(),
        Server::Process(..) | Server::Raw(_) => 0,
    };
    match case.expected {
        Expected::Delivered => assert!(delivered && arrived == 1, "{shown}"),
        Expected::Answered => {
            let past = matches!(attempts[0].outcome, Outcome::Unreachable { stage: Stage::Answer, .. });
            assert!(past, "{shown}");
        }
        Expected::Refused(words) => {
            assert!(!delivered && arrived == 0, "{shown}");
            let told = match &attempts[0].outcome {
                Outcome::Unreachable { stage, error } => format!("{stage:?}: {error}"),
                Outcome::TimedOut { stage } => format!("timed out: {stage:?}"),
                other => panic!("{shown}: {other:?}"),
            };
            assert!(words.iter().any(|word| told.contains(word)), "{}: {told:?} says none of {words:?}", case.name);
        }
    }
    heard(case, delivered);
    delivered
}

/// Each hello asks for the name of the URL and for no other, none for an address; and nobody who was refused has heard more than
/// hellos and alerts.
fn heard(case: &Case, delivered: bool) {
    let Some(wire) = &case.wire else { return };
    let said = wire.said();
    let names: &[&str] = if case.host.parse::<IpAddr>().is_ok() { &[] } else { &[case.host] };
    assert!(!said.is_empty(), "{}: nobody called", case.name);
    for said in said {
        assert!(said.names.iter().all(|asked| asked == names) && !said.names.is_empty(), "{}: {said:?}", case.name);
        let refused = matches!(case.expected, Expected::Refused(_));
        assert!(!refused && !said.more.is_empty() || refused && said.more.is_empty(), "{}: {said:?}", case.name);
    }
    assert_eq!(delivered, matches!(case.expected, Expected::Delivered));
}
