//! Little of everything: 64 file handles for 200 clients and 100 endpoints, a limit on memory, and a million deliveries that
//! are owed when the daemon starts.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postrider::store::NewEndpoint;

use crate::campaign::{Campaign, Figures};
use crate::harness::{Daemon, Home, endpoint, overrides, program, wait_for};
use crate::healthy::{memory, never};
use crate::load::{Load, event_of};
use crate::receivers::{Answer, Receiver};

const HANDLES: u32 = 64;
const CLIENTS: usize = 200;
const ENDPOINTS: usize = 100;
/// Bytes of address space under the limit on memory.
const ADDRESS_SPACE: u64 = 600 << 20;
const READY: Duration = Duration::from_secs(5);
const FIRST: Duration = Duration::from_secs(1);
const MOST_MEMORY: u64 = 300 << 20;
/// Lines of log above debug that a lack of handles may make.
const CALM: usize = 100;

pub fn run(campaign: &Campaign) -> Figures {
    let mut figures = Figures { worst_of: "until ready, with all that is owed".to_owned(), ..Figures::default() };
    few_handles(Duration::from_secs(campaign.pick(4, 30)), &mut figures);
    little_memory(Duration::from_secs(campaign.pick(3, 30)), &mut figures);
    much_owed(campaign.pick(100_000, 1_000_000), campaign.pick(1_000, 10_000), &mut figures);
    figures
}

/// The daemon, under limits that a shell sets.
fn limited(home: &Home, limits: &str) -> Daemon {
    let inner = program(home);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limits}; exec \"$@\""), "sh"]);
    shell.arg(inner.get_program()).args(inner.get_args()).arg("serve").current_dir(home.path());
    shell.env_clear().env("HOME", home.path()).env("PATH", "/usr/bin:/bin");
    let daemon = Daemon::spawn(shell);
    daemon.wait_for_line("started");
    daemon
}

fn few_handles(lasting: Duration, figures: &mut Figures) {
    let home = Home::new();
    let receiver = Receiver::start(|_| Answer::status(200));
    let mut each = Vec::new();
    for number in 0..ENDPOINTS {
        let all =
            NewEndpoint { overrides: overrides(&[500; 20]), ..endpoint(&format!("at-{number}"), &receiver.url()) };
        let some = if number < 3 { vec![] } else { vec![never()] };
        each.push(home.add(NewEndpoint { subscriptions: some, ..all }));
    }
    let daemon = limited(&home, &format!("ulimit -n {HANDLES}"));
    let load = Load::start("load", CLIENTS, Duration::from_millis(50), 100);
    load.aim(&daemon);
    let owed = 20;
    for (number, endpoint) in each.iter().enumerate() {
        home.enqueue_many(&format!("own-{number}"), owed, endpoint);
    }
    std::thread::sleep(lasting);
    let (cut, acknowledged) = (load.cut(), load.stop());
    assert!(acknowledged.len() > CLIENTS, "{} acknowledged", acknowledged.len());
    let patience = Duration::from_secs(120);
    let counts = wait_for("nothing pending", patience, || Some(home.counts()).filter(|counts| counts.pending == 0));
    let lines = daemon.stop();
    home.check_integrity();
    assert_eq!((counts.dead, counts.cancelled), (0, 0));
    assert!(!lines.iter().any(|line| line.contains("panicked")));
    let telling = lines.iter().filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\"")).count();
    assert!(telling < CALM, "{telling} lines: {:#?}", &lines[lines.len() - 20..]);
    let requests = receiver.requests();
    let of_load = requests.iter().filter(|request| request.header("webhook-id").unwrap().starts_with("load-"));
    let arrived: BTreeSet<String> = of_load.map(|request| event_of(request, 100)).collect();
    let lost = acknowledged.difference(&arrived).count();
    assert_eq!(lost, 0, "of {} acknowledged", acknowledged.len());
    // Each event of the load goes to three, and each endpoint has its own.
    assert_eq!(requests.len() as u64, counts.delivered, "some came twice");
    figures.cycles += 1;
    *figures.events.get_or_insert(0) += acknowledged.len() as u64;
    figures.lost = Some(0);
    figures.duplicated = Some(0);
    let connection = rusqlite::Connection::open(home.store_path()).unwrap();
    let in_vain: u64 =
        connection.query_row("SELECT count(*) FROM attempt WHERE status IS NULL", [], |row| row.get(0)).unwrap();
    assert!(in_vain * 100 <= counts.delivered, "{in_vain} attempts spent for want of a handle");
    figures.note(format!(
        "{HANDLES} handles, {CLIENTS} clients, {ENDPOINTS} endpoints: {} deliveries, {in_vain} attempts in vain, {cut} requests cut",
        counts.delivered
    ));
}

/// Large bodies under a limit on memory: some may be refused, and nothing is lost.
fn little_memory(lasting: Duration, figures: &mut Figures) {
    let home = Home::new();
    let padding = 400_000;
    let receiver = Receiver::start(|_| Answer::status(200));
    home.add(NewEndpoint { overrides: overrides(&[500; 20]), ..endpoint("acme", &receiver.url()) });
    let daemon = limited(&home, &format!("ulimit -v {}", ADDRESS_SPACE >> 10));
    let load = Load::start("load", 30, Duration::from_millis(100), padding);
    load.aim(&daemon);
    std::thread::sleep(lasting);
    let (_, peak) = memory(daemon.pid());
    let acknowledged = load.stop();
    assert!(acknowledged.len() > 30, "{} acknowledged", acknowledged.len());
    home.wait_until_settled();
    daemon.stop();
    home.check_integrity();
    let arrived: BTreeSet<String> = receiver.requests().iter().map(|request| event_of(request, padding)).collect();
    let lost = acknowledged.difference(&arrived).count();
    assert_eq!(lost, 0, "of {} acknowledged", acknowledged.len());
    figures.cycles += 1;
    *figures.events.get_or_insert(0) += acknowledged.len() as u64;
    figures.note(format!(
        "{} bodies of {} kB within {} MB of address space: {} MB of memory at most",
        acknowledged.len(),
        padding / 1000,
        ADDRESS_SPACE >> 20,
        peak >> 20
    ));
}

/// So much is owed to so many endpoints when the daemon starts.
fn much_owed(owed: usize, endpoints: usize, figures: &mut Figures) {
    let home = Home::new();
    let first: Arc<Mutex<Option<Instant>>> = Arc::default();
    let kept = first.clone();
    let receiver = Receiver::start(move |_| {
        kept.lock().unwrap().get_or_insert_with(Instant::now);
        Answer::status(200)
    });
    let mut added = Vec::new();
    for number in 0..endpoints {
        added.push(home.add(endpoint(&format!("at-{number}"), &receiver.url())));
    }
    // A tenth of the endpoints is owed everything.
    let some = endpoints / 10;
    for (number, endpoint) in added.iter().take(some).enumerate() {
        home.enqueue_many(&format!("owed-{number}"), owed / some, endpoint);
    }
    let begun = Instant::now();
    let daemon = Daemon::start(&home);
    let ready = begun.elapsed();
    let delivered = wait_for("a delivery", Duration::from_secs(30), || *first.lock().unwrap());
    let first = delivered.saturating_duration_since(begun + ready);
    std::thread::sleep(Duration::from_secs(1));
    let (_, peak) = memory(daemon.pid());
    daemon.kill9();
    assert!(ready < READY, "ready after {ready:?}");
    assert!(first < FIRST, "the first delivery came {first:?} later");
    assert!(peak < MOST_MEMORY, "{} MB of memory", peak >> 20);
    figures.worse(ready);
    figures.cycles += 1;
    figures.note(format!(
        "{owed} owed to {some} of {endpoints} endpoints: ready after {ready:.0?}, the first delivery {first:.0?} later, {} MB",
        peak >> 20
    ));
}
