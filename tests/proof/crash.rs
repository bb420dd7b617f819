//! kill -9 at random moments, while events come by HTTP, alone and in batches, and from the library in another process's place:
//! everything that was acknowledged arrives, nobody repairs anything, and a receiver that never accepts is asked as often as its
//! schedule says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use postrider::daemon::clock::wall;
use postrider::delivery::{Attempt, Outcome, StateName};
use postrider::operations::{self};
use postrider::store::sqlite::SqliteStore;
use postrider::store::{Filter, NewEndpoint, Page, Store};

use crate::campaign::{Campaign, Figures};
use crate::harness::{Daemon, Home, endpoint, overrides, submission, wait_for};
use crate::load::{Load, body, event_of};
use crate::receivers::{Answer, Receiver, Step};

const RECEIVERS: [&str; 3] = ["swift", "slow", "moody"];
/// A fourth, which accepts nothing, and its schedule.
const DOWN: &str = "down";
const RETRIES: usize = 3;
/// `delivery.concurrency_per_endpoint`, for each receiver.
const IN_FLIGHT: u64 = 8 * (RECEIVERS.len() as u64 + 1);
const LINES: usize = 25;
/// What counts as ready again, from the start of the process to its word.
const SOON: Duration = Duration::from_secs(2);

pub fn run(campaign: &Campaign) -> Figures {
    let kills = campaign.pick(20, 200);
    // More retries than kills can hit one delivery.
    let delays = [20; 100];
    let home = Home::new();
    let receivers = RECEIVERS.map(receiver);
    for (name, receiver) in RECEIVERS.iter().zip(&receivers) {
        home.add(NewEndpoint { overrides: overrides(&delays), ..endpoint(name, &receiver.url()) });
    }
    let down = Receiver::start(|_| Answer::status(503));
    home.add(NewEndpoint { overrides: overrides(&[20; RETRIES]), ..endpoint(DOWN, &down.url()) });
    let load = Load::start("http", 4, Duration::from_millis(8), 0);
    let batches = Load::batches("batch", 1, Duration::from_millis(120), LINES);
    let stopped = Arc::new(AtomicBool::new(false));
    let library = keep_enqueuing(&home, stopped.clone());
    let mut figures = Figures { worst_of: "from start to ready".to_owned(), ..Figures::default() };
    let daemon = killed_again_and_again(&home, campaign, &[&load, &batches], &mut figures, kills);
    stopped.store(true, Ordering::SeqCst);
    let mut acknowledged = library.join().unwrap();
    let (cut, cut_batches) = (load.cut(), batches.cut());
    acknowledged.extend(load.stop());
    acknowledged.extend(batches.stop());
    assert!(cut > 0 && cut_batches > 0, "no client was ever cut: the kills hit nothing");

    home.hurry();
    let patience = Duration::from_secs(120);
    wait_for("nothing pending", patience, || Some(home.counts()).filter(|counts| counts.pending == 0));
    daemon.stop();
    home.check_integrity();
    assert!(figures.worst.is_some_and(|worst| worst < SOON), "ready after {:?}", figures.worst);
    settle(&home, &receivers, &acknowledged, &mut figures);
    within_schedule(&home, &down, &mut figures);
    figures.note(format!("{cut} answers and {cut_batches} batches cut"));
    figures
}

/// From a thread with a store of its own, as the CLI has it; answers what was acknowledged.
fn keep_enqueuing(home: &Home, stop: Arc<AtomicBool>) -> JoinHandle<BTreeSet<String>> {
    let (path, rules) = (home.store_path(), home.rules());
    std::thread::spawn(move || {
        let mut store = SqliteStore::open(&path).unwrap();
        let mut acknowledged = BTreeSet::new();
        while !stop.load(Ordering::SeqCst) {
            let id = format!("library-{}", acknowledged.len());
            operations::enqueue(&mut store, &rules, wall(), submission(&id, body(&id, 0).as_bytes())).unwrap();
            acknowledged.insert(id);
            std::thread::sleep(Duration::from_millis(10));
        }
        acknowledged
    })
}

fn receiver(name: &str) -> Receiver {
    let pause = Duration::from_millis(if name == "slow" { 20 } else { 2 });
    let moody = name == "moody";
    Receiver::start(move |request| {
        let Answer(steps) = Answer::status(if moody && request.number % 5 == 0 { 500 } else { 200 });
        Answer([vec![Step::Pause(pause)], steps].concat())
    })
}

/// A daemon that was killed so often and runs again.
fn killed_again_and_again(
    home: &Home,
    campaign: &Campaign,
    loads: &[&Load],
    figures: &mut Figures,
    kills: u64,
) -> Daemon {
    let mut dice = campaign.dice(1);
    let start = |figures: &mut Figures| {
        let daemon = Daemon::start(home);
        loads.iter().for_each(|load| load.aim(&daemon));
        figures.worse(daemon.ready_after);
        daemon
    };
    let mut daemon = start(figures);
    for kill in 1..=kills {
        std::thread::sleep(Duration::from_millis(50 + dice.below(300)));
        daemon.kill9();
        figures.cycles += 1;
        // Every third one dies young: while it opens the store, recovers, or begins.
        if kill % 3 == 0 {
            let young = Daemon::launch(home);
            std::thread::sleep(Duration::from_millis(dice.below(40)));
            young.kill9();
            figures.cycles += 1;
        }
        daemon = start(figures);
        campaign.progress(kill, kills, "kill");
    }
    daemon
}

/// Everything acknowledged has arrived everywhere, and is known as delivered; no more was sent than the interrupted ask for.
fn settle(home: &Home, receivers: &[Receiver], acknowledged: &BTreeSet<String>, figures: &mut Figures) {
    let counts = home.counts();
    // Also events whose answer was cut are there, and are delivered like the others.
    assert!(counts.events >= acknowledged.len() as u64);
    let owed = counts.events * RECEIVERS.len() as u64;
    assert_eq!((counts.delivered, counts.dead, counts.cancelled), (owed, counts.events, 0), "{counts:?}");
    let (mut sent, mut rejected, mut lost) = (0, 0, 0);
    for (name, receiver) in RECEIVERS.iter().zip(receivers) {
        let mut arrived: BTreeMap<String, u64> = BTreeMap::new();
        for request in receiver.requests() {
            *arrived.entry(event_of(&request, 0)).or_default() += 1;
            rejected += u64::from(*name == "moody" && request.number % 5 == 0);
        }
        sent += arrived.values().sum::<u64>();
        lost += acknowledged.iter().filter(|id| !arrived.contains_key(*id)).count() as u64;
    }
    let unknown = count_unknown(home);
    let duplicated = sent.saturating_sub(owed + rejected);
    // What a moody receiver rejected while the daemon died counts on both sides: never more than what is unknown.
    assert!(duplicated <= unknown, "{duplicated} doubled, {unknown} were in flight");
    assert!(unknown <= figures.cycles * IN_FLIGHT, "{unknown} unknown");
    assert!(unknown > 0, "no kill hit an attempt");
    assert_eq!(lost, 0);
    figures.events = Some(acknowledged.len() as u64);
    figures.lost = Some(lost);
    figures.duplicated = Some(duplicated);
    figures.note(format!("{} deliveries to {} receivers, {unknown} in flight at a kill", owed, RECEIVERS.len()));
}

/// Who accepts nothing is asked once and `RETRIES` times for each event, whatever was killed meanwhile; what was unknown counts.
fn within_schedule(home: &Home, down: &Receiver, figures: &mut Figures) {
    const ATTEMPTS: u64 = RETRIES as u64 + 1;
    let mut asked: BTreeMap<String, u64> = BTreeMap::new();
    for request in down.requests() {
        *asked.entry(event_of(&request, 0)).or_default() += 1;
    }
    let most = asked.values().copied().max().unwrap_or(0);
    assert!(most <= ATTEMPTS, "asked {most} times by a schedule of {ATTEMPTS}");
    let filter = Filter { state: Some(StateName::Dead), ..Filter::default() };
    let dead = home.store().deliveries(&filter, Page { before: None, limit: u32::MAX }).unwrap();
    assert_eq!(dead.len() as u64, home.counts().events);
    for listed in dead {
        assert_eq!(u64::from(listed.delivery.attempts), ATTEMPTS, "{listed:?}");
    }
    figures.note(format!("who never accepts is asked at most {most} times by a schedule of {ATTEMPTS}"));
}

/// How many attempts ended unknown; fails if a delivery has gaps in its attempts, or more than its schedule allows.
fn count_unknown(home: &Home) -> u64 {
    let mut store = home.store();
    let page = Page { before: None, limit: u32::MAX };
    let mut unknown = 0;
    for listed in store.deliveries(&Filter::default(), page).unwrap() {
        let attempts: Vec<Attempt> = store.attempts(listed.delivery.id).unwrap();
        assert!(attempts.iter().map(|attempt| attempt.number).eq(1..=listed.delivery.attempts), "{listed:?}");
        unknown += attempts.iter().filter(|attempt| attempt.outcome == Outcome::Unknown).count() as u64;
    }
    unknown
}
