//! Addresses that must not be reached, however they are spelt and whoever names them: in a network namespace where they are
//! all there, and a canary listens on each. The daemon has its default settings, an unfriendly name server, and proxies in its
//! environment. Then the same behind a proxy that the operator configured.

mod names;
mod network;
mod spellings;

use std::collections::BTreeSet;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use postrider::delivery::{Outcome, StateName};
use postrider::endpoint::Overrides;
use postrider::store::NewEndpoint;
use postrider::time::Span;

use crate::campaign::{Campaign, Figures};
use crate::client::Api;
use crate::harness::{Daemon, Home, PATIENCE, endpoint, overrides, program, wait_for};
use crate::healthy::never;
use crate::load::address;
use crate::mounts;
use crate::receivers::certificates::Authority;
use crate::receivers::proxy::{Manner, Proxy};
use crate::receivers::{Answer, Receiver};
use names::{Expected, NAMES};
use network::Network;
use spellings::spellings;

/// The word with which this program is told that it runs in the namespace.
pub const INSIDE: &str = "--inside-addresses";
const TIMEOUT: Duration = Duration::from_secs(4);
/// Events to each name.
const EACH: usize = 6;
const SLACK: Duration = Duration::from_millis(500);

pub fn run(campaign: &Campaign) -> Figures {
    let mut figures = Figures::default();
    let namespace = match mounts::unshare(true) {
        Ok(namespace) => namespace,
        Err(why) => {
            figures.skip(why);
            return figures;
        }
    };
    for _ in 0..campaign.pick(1, 5) {
        let mut command = Command::new(namespace[0]);
        command.args(&namespace[1..]).arg(std::env::current_exe().unwrap()).arg(INSIDE);
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let round: Figures = serde_json::from_slice(&output.stdout).expect("figures");
        figures.cycles += round.cycles;
        figures.worst_of = round.worst_of;
        round.worst.into_iter().for_each(|worst| figures.worse(worst));
        figures.notes = round.notes;
    }
    figures
}

/// In the namespace; its figures go to stdout.
pub fn inside() -> ExitCode {
    let root = Authority::new();
    let receiver = Receiver::start_tls(&root.identity(&names::served()), |request| {
        match request.path.strip_prefix("/moved-").and_then(|number| number.parse::<usize>().ok()) {
            Some(number) => Answer::redirect(&format!("https://{}/", spellings()[number])),
            // So that the name is looked up again for the next.
            None if request.header("host") == Some("rebind.example") => Answer::status(200).then_close(),
            None => Answer::status(200),
        }
    });
    let network = Network::new(receiver.port());
    let mut figures = Figures { worst_of: "beyond its timeout, of any attempt".to_owned(), ..Figures::default() };
    direct(&root, &receiver, &network, &mut figures);
    proxied(&root, &receiver, &network, &mut figures);
    println!("{}", serde_json::to_string(&figures).unwrap());
    ExitCode::SUCCESS
}

/// A home with the default settings, but that the receiver's authority is known.
fn home(root: &Authority, more: &str) -> Home {
    let home = Home::with(&format!("[safety]\nextra_roots_file = \"roots.pem\"\n{more}"));
    std::fs::write(home.path().join("roots.pem"), root.pem()).unwrap();
    home
}

fn start(home: &Home) -> Daemon {
    let mut command = program(home);
    command.arg("serve");
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(variable, "http://10.0.0.1:80");
    }
    let daemon = Daemon::spawn(command);
    daemon.wait_for_line("started");
    daemon
}

fn tried(home: &Home, name: &str, url: &str) -> postrider::endpoint::Endpoint {
    let once = Overrides { timeout: Some(Span::from_ms(TIMEOUT.as_millis() as i64)), ..overrides(&[]) };
    let added = NewEndpoint { overrides: once, ..endpoint(name, url) };
    home.add(NewEndpoint { subscriptions: vec![never()], ..added })
}

fn direct(root: &Authority, receiver: &Receiver, network: &Network, figures: &mut Figures) {
    let home = home(root, "");
    let spelt = put_into_the_store(&home);
    for (name, _) in NAMES {
        let named = tried(&home, name, &format!("https://{name}.example/hook"));
        // Names that change their mind get several.
        home.enqueue_many(name, EACH, &named);
    }
    let moved = moved(&home);
    let daemon = start(&home);
    wait_for("deliveries beside a name server that is silent", TIMEOUT / 2, || {
        (home.delivery("good-5").0.state.name() == StateName::Delivered).then_some(())
    });
    let refused = refused_at_the_doors(&home, &Api::at(&address(&daemon)));
    ended(&home, daemon);
    judge_spelt(&home, &spelt);
    judge_moved(&home, &moved);
    let delivered = judge_names(&home, figures);
    assert_eq!(receiver.requests().len(), delivered + moved.len());
    assert_eq!(network.canary(), BTreeSet::new(), "reached what must not be reached");
    network.shows_that_it_hears();
    let slowest = (0..EACH).map(|number| home.delivery(&format!("good-{number}")).1[0].clone());
    let slowest = slowest.map(|attempt| attempt.finished_at.since(attempt.started_at).ms()).max();
    figures.cycles += (spelt.len() + moved.len() + NAMES.len()) as u64;
    figures.note(format!(
        "{} spellings put straight into the store, {refused} refusals at command line and API, {} redirects; {} kinds of \
         names, a good one reached in {} ms beside them; the canary on {} addresses heard nothing",
        spelt.len(),
        moved.len(),
        NAMES.len(),
        slowest.unwrap_or_default(),
        network::CANARIES.len()
    ));
}

fn ended(home: &Home, daemon: Daemon) {
    wait_for("an end of every attempt", PATIENCE * 2, || (home.counts().pending == 0).then_some(()));
    let lines = daemon.stop();
    assert!(!lines.iter().any(|line| line.contains("panicked")));
}

/// Endpoints at a good name that send everybody on to an inner address; their names.
fn moved(home: &Home) -> Vec<String> {
    let moved: Vec<String> = (0..spellings().len()).step_by(4).map(|number| format!("moved-{number}")).collect();
    for name in &moved {
        let moved = tried(home, name, &format!("https://good.example/{name}"));
        home.enqueue_many(name, 1, &moved);
    }
    moved
}

fn judge_spelt(home: &Home, spelt: &[String]) {
    for name in spelt {
        let (delivery, attempts) = home.delivery(&format!("{name}-0"));
        assert_ne!(delivery.state.name(), StateName::Delivered, "{attempts:?}");
        assert!(matches!(attempts[0].outcome, Outcome::Blocked { .. }), "{name}: {attempts:?}");
    }
}

fn judge_moved(home: &Home, moved: &[String]) {
    for name in moved {
        let (_, attempts) = home.delivery(&format!("{name}-0"));
        assert_eq!(attempts[0].outcome, Outcome::Rejected { status: 302 }, "{name}");
    }
}

/// Endpoints with every spelling, as if somebody had written them into the file; their names.
fn put_into_the_store(home: &Home) -> Vec<String> {
    let connection = rusqlite::Connection::open(home.store_path());
    let mut names = Vec::new();
    for (number, host) in spellings().iter().enumerate() {
        let name = format!("spelt-{number}");
        let added = tried(home, &name, "https://good.example/");
        home.enqueue_many(&name, 1, &added);
        let url = format!("https://{host}/hook");
        let changed = "UPDATE endpoint SET url = ?1 WHERE name = ?2";
        connection.as_ref().unwrap().execute(changed, [url.as_str(), name.as_str()]).unwrap();
        names.push(name);
    }
    names
}

/// How many refusals: at the command line, at the API, and as places to be redirected to.
fn refused_at_the_doors(home: &Home, api: &Api) -> u64 {
    let mut refused = 0;
    for (number, host) in spellings().iter().enumerate() {
        for scheme in ["https", "http"] {
            let url = format!("{scheme}://{host}/");
            let body =
                serde_json::json!({"name": format!("by-api-{number}-{scheme}"), "url": url, "profile": "standard"});
            let reply = api.post("/v1/endpoints", &body.to_string());
            assert_eq!(reply.status, 422, "{url}: {}", reply.text());
            refused += 1;
        }
        // A process each: some of them.
        if number % 5 == 0 {
            let url = format!("https://{host}/");
            for words in [
                vec!["endpoint", "add", "by-hand", &url, "--profile", "octamile"],
                vec!["enqueue", "--to", &url, "--profile", "octamile", "--type", "policy/declined", "body.json"],
            ] {
                std::fs::write(home.path().join("body.json"), "{}").unwrap();
                let output = program(home).args(&words).stdin(Stdio::null()).output().unwrap();
                assert_eq!(output.status.code(), Some(65), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
                refused += 1;
            }
        }
    }
    refused
}

/// How many were delivered to names; fails if one ended otherwise than its name server wanted.
fn judge_names(home: &Home, figures: &mut Figures) -> usize {
    let mut sum = 0;
    for (name, expected) in NAMES {
        let mut delivered = 0;
        for number in 0..EACH {
            let (delivery, attempts) = home.delivery(&format!("{name}-{number}"));
            let took = Duration::from_millis(attempts[0].finished_at.since(attempts[0].started_at).ms() as u64);
            assert!(took <= TIMEOUT + SLACK, "{name}: {took:?}");
            figures.worse(took.saturating_sub(TIMEOUT));
            delivered += usize::from(delivery.state.name() == StateName::Delivered);
            let outcome = &attempts[0].outcome;
            let told = match outcome {
                Outcome::Blocked { reason } => reason.clone(),
                Outcome::Unreachable { error, .. } => error.clone(),
                Outcome::TimedOut { stage } => format!("timed out: {}", stage.as_str()),
                Outcome::Accepted { .. } | Outcome::Rejected { .. } | Outcome::Unknown => String::new(),
            };
            match expected {
                Expected::Delivered => assert!(outcome.is_accepted(), "{name}: {outcome:?}"),
                Expected::Refused(words) => {
                    assert!(words.iter().any(|word| told.contains(word)), "{name}: {outcome:?}")
                }
                Expected::Either => {
                    assert!(outcome.is_accepted() || told.contains("is refused"), "{name}: {outcome:?}")
                }
            }
        }
        if let Expected::Either = expected {
            assert!((1..EACH).contains(&delivered), "{name} did not change: {delivered} of {EACH} delivered");
        }
        sum += delivered;
    }
    sum
}

/// All of it once more, behind a proxy that would go anywhere, and one that goes nowhere.
fn proxied(root: &Authority, receiver: &Receiver, network: &Network, figures: &mut Figures) {
    let proxy = Proxy::start(Manner::Forward(([127, 0, 0, 1], receiver.port()).into()));
    let before = receiver.requests().len();
    let home = home(root, &format!("egress_proxy = \"{}\"\n", proxy.url()));
    let spelt = put_into_the_store(&home);
    let good = tried(&home, "good", "https://good.example/hook");
    home.enqueue_many("good", 3, &good);
    let moved = moved(&home);
    let daemon = start(&home);
    let refused = refused_at_the_doors(&home, &Api::at(&address(&daemon)));
    ended(&home, daemon);
    judge_spelt(&home, &spelt);
    judge_moved(&home, &moved);
    for number in 0..3 {
        let (_, attempts) = home.delivery(&format!("good-{number}"));
        assert!(attempts[0].outcome.is_accepted(), "{attempts:?}");
    }
    assert_eq!(receiver.requests().len() - before, 3 + moved.len());
    let asked: BTreeSet<String> = proxy.asked().into_iter().collect();
    assert_eq!(asked.iter().collect::<Vec<_>>(), ["CONNECT good.example:443 HTTP/1.1"]);
    assert_eq!(network.canary(), BTreeSet::new(), "reached what must not be reached");
    network.shows_that_it_hears();
    filtered(root, receiver, network);
    figures.cycles += (spelt.len() + moved.len()) as u64;
    figures.note(format!(
        "behind a configured proxy {} spellings, {refused} refusals, {} redirects: the proxy was asked for none of them",
        spelt.len(),
        moved.len()
    ));
}

/// A proxy that lets nothing through is not passed by.
fn filtered(root: &Authority, receiver: &Receiver, network: &Network) {
    let proxy = Proxy::start(Manner::Refuse(403));
    let before = receiver.connections();
    let home = home(root, &format!("egress_proxy = \"{}\"\n", proxy.url()));
    let good = tried(&home, "good", "https://good.example/hook");
    home.enqueue_many("good", 3, &good);
    ended(&home, start(&home));
    for number in 0..3 {
        let (_, attempts) = home.delivery(&format!("good-{number}"));
        let told = format!("{:?}", attempts[0].outcome);
        assert!(told.contains("egress proxy refused"), "{told}");
    }
    assert_eq!((receiver.connections(), proxy.asked().len()), (before, 3));
    assert_eq!(network.canary(), BTreeSet::new(), "reached what must not be reached");
}
