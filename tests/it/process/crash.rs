//! kill -9: nothing acknowledged is lost, nothing is early, and nobody repairs anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use postrider::daemon::clock::wall;
use postrider::delivery::{Outcome, StateName};
use postrider::endpoint::Overrides;
use postrider::operations::{self, Rules};
use postrider::store::sqlite::SqliteStore;
use postrider::store::{Filter, NewEndpoint, Page, Store};
use postrider::time::Span;

use super::harness::{Daemon, GRAIN, Home, PATIENCE, Timed, endpoint, overrides, submission};
use crate::receivers::{Answer, Receiver, Step};

const KILLS: u64 = 10;
const RECEIVERS: [&str; 3] = ["swift", "slow", "moody"];
/// One more than there are kills: even a delivery that each of them hits has an attempt left.
const DELAYS: [i64; 30] = [20; 30];
/// `delivery.concurrency_per_endpoint`, for each receiver.
const IN_FLIGHT: u64 = 8 * RECEIVERS.len() as u64;

/// Enqueues one event after the other, until it is told to stop; answers the ids that were acknowledged.
fn keep_enqueuing(home: &Home, stop: Arc<AtomicBool>) -> JoinHandle<Vec<String>> {
    let (path, rules): (_, Rules) = (home.store_path(), home.rules());
    std::thread::spawn(move || {
        let mut store = SqliteStore::open(&path).unwrap();
        let mut acknowledged = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            let id = format!("event-{}", acknowledged.len());
            let asked = submission(&id, format!("{{\"id\":\"{id}\"}}").as_bytes());
            let accepted = operations::enqueue(&mut store, &rules, wall(), asked).unwrap();
            assert_eq!(accepted.deliveries.len(), RECEIVERS.len());
            acknowledged.push(id);
            // Enough to keep all receivers busy, and not more than the slow one can take.
            std::thread::sleep(Duration::from_millis(2));
        }
        acknowledged
    })
}

fn receiver(name: &str) -> Receiver {
    let pause = match name {
        "slow" => 20,
        _ => 2,
    };
    let moody = name == "moody";
    Receiver::start(move |request| {
        let Answer(steps) = Answer::status(if moody && request.number % 5 == 0 { 500 } else { 200 });
        Answer([vec![Step::Pause(Duration::from_millis(pause))], steps].concat())
    })
}

/// A daemon that was killed `KILLS` times and runs again, and the longest time that one needed to be ready.
fn killed_again_and_again(home: &Home) -> (Daemon, Duration) {
    let mut daemon = Daemon::start(home);
    let mut longest = daemon.ready_after;
    let mut draw = u64::from(std::process::id());
    for kill in 1..=KILLS {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(50 + (draw >> 33) % 300));
        daemon.kill9();
        // Every third one dies young: while it opens the store, recovers, or begins.
        if kill % 3 == 0 {
            let young = Daemon::launch(home);
            std::thread::sleep(Duration::from_millis((draw >> 40) % 40));
            young.kill9();
        }
        daemon = Daemon::start(home);
        longest = longest.max(daemon.ready_after);
    }
    (daemon, longest)
}

#[test]
fn nothing_acknowledged_is_lost_under_kill_9() {
    let home = Home::new();
    let receivers = RECEIVERS.map(receiver);
    for (name, receiver) in RECEIVERS.iter().zip(&receivers) {
        home.add(NewEndpoint { overrides: overrides(&DELAYS), ..endpoint(name, &receiver.url()) });
    }
    let stop = Arc::new(AtomicBool::new(false));
    let enqueuing = keep_enqueuing(&home, stop.clone());
    let (daemon, longest) = killed_again_and_again(&home);
    stop.store(true, Ordering::SeqCst);
    let acknowledged: BTreeSet<String> = enqueuing.join().unwrap().into_iter().collect();
    home.hurry();
    let counts = home.wait_until_settled();
    daemon.stop();

    let owed = (acknowledged.len() * RECEIVERS.len()) as u64;
    assert_eq!((counts.delivered, counts.dead, counts.cancelled), (owed, 0, 0));
    let (mut sent, mut rejected) = (0, 0);
    for (name, receiver) in RECEIVERS.iter().zip(&receivers) {
        let mut arrived: BTreeMap<String, u64> = BTreeMap::new();
        for request in receiver.requests() {
            let id = request.header("webhook-id").unwrap().to_owned();
            assert_eq!(request.body, format!("{{\"id\":\"{id}\"}}").as_bytes());
            *arrived.entry(id).or_default() += 1;
            rejected += u64::from(*name == "moody" && request.number % 5 == 0);
        }
        sent += arrived.values().sum::<u64>();
        assert!(arrived.keys().eq(acknowledged.iter()), "{name} got {} of {}", arrived.len(), acknowledged.len());
    }
    let unknown = count_attempts(&home);
    let duplicates = sent.saturating_sub(owed + rejected);
    println!(
        "{KILLS} kills under load: {} events to {} receivers, {unknown} attempts unknown, {duplicates} duplicates, \
         ready again after {longest:?} at most",
        acknowledged.len(),
        RECEIVERS.len()
    );
    // What a moody receiver rejected while the daemon died counts on both sides: never more than what is unknown.
    assert!(duplicates <= unknown && unknown <= (KILLS + KILLS / 3) * IN_FLIGHT, "{duplicates}, {unknown}");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    home.check_integrity();
}

/// How many attempts ended unknown; fails if a delivery had more attempts than its schedule allows, or gaps in them.
fn count_attempts(home: &Home) -> u64 {
    let mut store = home.store();
    let page = Page { before: None, limit: u32::MAX };
    let mut unknown = 0;
    for listed in store.deliveries(&Filter::default(), page).unwrap() {
        let attempts = store.attempts(listed.delivery.id).unwrap();
        let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
        assert!(numbers.iter().copied().eq(1..=listed.delivery.attempts), "{numbers:?} of {listed:?}");
        assert!(attempts.len() <= DELAYS.len() + 1, "{listed:?}");
        unknown += attempts.iter().filter(|attempt| attempt.outcome == Outcome::Unknown).count() as u64;
    }
    unknown
}

#[test]
fn a_retry_that_waits_is_not_early_after_kill_9() {
    let home = Home::new();
    let timed = Timed::start(|request| Answer::status(if request.number == 1 { 500 } else { 200 }));
    home.add(NewEndpoint { overrides: overrides(&[2000]), ..endpoint("acme", &timed.receiver.url()) });
    let daemon = Daemon::start(&home);
    home.enqueue("waits", b"{}");
    home.wait_for_attempts("waits", 1);
    daemon.kill9();
    let daemon = Daemon::start(&home);
    assert_eq!(daemon.wait_for_line("started")["recovered"], 0);
    let (_, attempts) = home.wait_for_state("waits", StateName::Delivered);
    assert_eq!(attempts.len(), 2);
    let gaps = timed.gaps();
    println!("a retry after 2 s came after {gaps:?}, with a kill between");
    assert!(gaps[0] + GRAIN >= Duration::from_secs(2) && gaps[0] < Duration::from_secs(8), "{gaps:?}");
    daemon.stop();
}

#[test]
fn an_attempt_that_was_in_flight_at_kill_9_is_unknown_and_made_again_at_once() {
    let home = Home::new();
    let receiver = Receiver::start(|request| if request.number == 1 { Answer::hang() } else { Answer::status(200) });
    let patient = Overrides { timeout: Some(Span::from_seconds(30)), ..overrides(&[3_600_000]) };
    home.add(NewEndpoint { overrides: patient, ..endpoint("acme", &receiver.url()) });
    let daemon = Daemon::start(&home);
    home.enqueue("cut", b"{}");
    receiver.wait_for(1, PATIENCE);
    daemon.kill9();
    let killed = Instant::now();
    let daemon = Daemon::start(&home);
    assert_eq!(daemon.wait_for_line("started")["recovered"], 1);
    let (_, attempts) = home.wait_for_state("cut", StateName::Delivered);
    println!("delivered {:?} after the kill", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_secs(5));
    assert_eq!(attempts[0].outcome, Outcome::Unknown);
    assert_eq!(attempts[1].outcome, Outcome::Accepted { status: 200, late: false });
    daemon.stop();
}

#[test]
fn crashes_never_add_attempts_to_a_schedule() {
    let home = Home::new();
    let receiver = Receiver::start(|_| Answer::hang());
    let patient = Overrides { timeout: Some(Span::from_seconds(30)), ..overrides(&[10, 10]) };
    home.add(NewEndpoint { overrides: patient, ..endpoint("acme", &receiver.url()) });
    home.enqueue("poison", b"{}");
    for attempt in 1..=3 {
        let daemon = Daemon::start(&home);
        home.hurry();
        receiver.wait_for(attempt, PATIENCE);
        daemon.kill9();
    }
    let daemon = Daemon::start(&home);
    home.hurry();
    let (delivery, attempts) = home.wait_for_state("poison", StateName::Dead);
    assert_eq!((delivery.attempts, attempts.len()), (3, 3));
    daemon.wait_for_line("delivery dead: schedule used up");
    daemon.stop();
    assert_eq!(receiver.requests().len(), 3);
}
