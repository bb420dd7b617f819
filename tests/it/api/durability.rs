//! Accepted means on disk: what was answered is there after kill -9, for as many clients as there are, and clients that
//! ask at the same time share the disk's syncs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use super::metrics::scrape;
use super::{Stand, envelope, well};
use crate::process::harness::{Daemon, PATIENCE, wait_for};

/// How many clients ask at once: POSTRIDER_CLIENTS, or fewer than the thousand that a real machine has.
fn clients() -> usize {
    std::env::var("POSTRIDER_CLIENTS").map_or(200, |text| text.parse().expect("POSTRIDER_CLIENTS is a number"))
}

#[test]
fn what_parallel_clients_were_answered_survives_kill_9_right_after_it() {
    let clients = clients();
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[20; 30]);
    let (api, at_once) = (stand.api.clone(), Barrier::new(clients));
    let answered: Mutex<BTreeSet<String>> = Mutex::default();
    let home = std::thread::scope(|scope| {
        for client in 0..clients {
            let (api, at_once, answered) = (&api, &at_once, &answered);
            let ask = move || {
                at_once.wait();
                // One event after the other, until the daemon is gone.
                for number in 0.. {
                    let id = format!("client-{client}-{number}");
                    let body = envelope(&id, "acme", &format!("{{\"of\":\"{id}\"}}"));
                    let headers = [("content-type", "application/json"), ("idempotency-key", id.as_str())];
                    match api.try_ask("POST", "/v1/events", &headers, body.as_bytes()) {
                        Ok(reply) if reply.status == 201 => drop(answered.lock().unwrap().insert(id)),
                        Ok(reply) => drop(reply.problem(503, "busy")),
                        Err(_) => return,
                    }
                }
            };
            std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, ask).unwrap();
        }
        // Each client has at least one answer, and all are in the middle of more.
        wait_for("an answer for each client", PATIENCE * 4, || {
            let answered = answered.lock().unwrap();
            let first = |client| answered.contains(&format!("client-{client}-0"));
            (0..clients).all(first).then_some(())
        });
        stand.killed()
    });
    let answered = answered.into_inner().unwrap();
    println!("{} events of {clients} clients were answered before kill -9", answered.len());
    assert!(answered.len() >= clients);
    home.check_integrity();
    let known = home.counts().events;
    assert!(known >= answered.len() as u64, "{known} are stored, {} were answered", answered.len());
    let daemon = Daemon::start(&home);
    home.hurry();
    let counts = wait_for("nothing pending", PATIENCE * 4, || Some(home.counts()).filter(|counts| counts.pending == 0));
    assert_eq!((counts.delivered, counts.dead), (counts.events, 0));
    let arrived: BTreeMap<String, Vec<u8>> = receiver
        .requests()
        .into_iter()
        .map(|request| (request.header("webhook-id").unwrap().to_owned(), request.body))
        .collect();
    for id in &answered {
        let body = arrived.get(id).unwrap_or_else(|| panic!("{id} was answered, and did not arrive"));
        assert_eq!(*body, format!("{{\"of\":\"{id}\"}}").as_bytes());
    }
    daemon.stop();
}

#[test]
fn a_retry_after_a_cut_answer_gets_the_same_event() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    let body = r#"{"type":"thing.happened","endpoint":"acme","body":1}"#;
    let mut events = BTreeSet::new();
    for round in 0..20 {
        let key = format!("round-{round}");
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let head = stand.api.head("POST", "/v1/events", &headers, Some(body.len()));
        let mut wire = stand.api.connect();
        wire.send(format!("{head}{body}"));
        // Gone at once, or while it is synced, or with the answer under way.
        std::thread::sleep(Duration::from_micros(300 * round));
        drop(wire);
        let reply = wait_for("an answer", PATIENCE, || {
            let reply = stand.api.ask("POST", "/v1/events", &headers, body.as_bytes());
            Some(reply).filter(|reply| reply.status != 409)
        });
        events.insert(reply.expect(201)["event"].as_str().unwrap().to_owned());
    }
    assert_eq!((events.len(), stand.stored()), (20, (20, 20)));
    stand.stop();
}

/// A cut between the acknowledgement on disk and its answer: the daemon itself dies, and the same key asks its successor.
#[test]
fn a_retry_after_the_daemon_died_gets_the_same_event() {
    let mut home = {
        let stand = Stand::new();
        stand.add_hopeless("acme");
        stand.stop()
    };
    let body = r#"{"type":"thing.happened","endpoint":"acme","body":1}"#;
    for round in 0..6 {
        let stand = Stand::of(home);
        let key = format!("round-{round}");
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let mut wire = stand.api.connect();
        wire.send(stand.api.head("POST", "/v1/events", &headers, Some(body.len())) + body);
        std::thread::sleep(Duration::from_millis(round));
        let again = Stand::of(stand.killed());
        let first = again.api.ask("POST", "/v1/events", &headers, body.as_bytes()).expect(201);
        let second = again.api.ask("POST", "/v1/events", &headers, body.as_bytes()).expect(201);
        assert_eq!(first, second);
        assert_eq!(again.stored().0, round + 1);
        home = again.stop();
    }
}

#[test]
fn clients_that_ask_at_once_share_commits_and_a_lonely_one_does_not_wait() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    stand.api.post("/v1/endpoints/acme/pause", "").expect(200);
    let mut times = Vec::new();
    for number in 0..20 {
        let begun = Instant::now();
        stand.api.post("/v1/events", &envelope(&format!("lonely-{number}"), "acme", "1")).expect(201);
        times.push(begun.elapsed());
    }
    times.sort();
    println!("a lonely client waits {:?} (median), {:?} (longest)", times[10], times[19]);
    assert!(times[10] < Duration::from_millis(500), "{times:?}");

    const CLIENTS: usize = 64;
    const EACH: usize = 25;
    // An acceptance is counted right after it was answered.
    let counted = |events: usize| {
        wait_for("acceptances to be counted", PATIENCE, || {
            Some(scrape(&stand.api)).filter(|told| told.sum("postrider_events_accepted_total") == events as f64)
        })
    };
    let before = counted(times.len());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let api = &stand.api;
            scope.spawn(move || {
                let mut wire = api.connect();
                for number in 0..EACH {
                    let body = envelope(&format!("many-{client}-{number}"), "acme", "1");
                    let headers = [("content-type", "application/json")];
                    wire.send(api.head("POST", "/v1/events", &headers, Some(body.len())) + &body);
                    wire.reply().unwrap().expect(201);
                }
            });
        }
    });
    let took = begun.elapsed();
    let after = counted(times.len() + CLIENTS * EACH);
    let moved = |name: &str| after.sum(name) - before.sum(name);
    let (events, commits) = (moved("postrider_events_accepted_total"), moved("postrider_store_commits_total"));
    println!("{events} events of {CLIENTS} clients in {took:?} took {commits} commits");
    assert!(commits * 4.0 < events, "{commits} commits for {events} events");
    stand.stop();
}

/// One sync of the disk stands between the request and the receiver: what is accepted is leased by the commit that stores it.
#[test]
fn an_event_goes_out_after_the_commit_that_stored_it() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[20; 3]);
    let commits = || scrape(&stand.api).sum("postrider_store_commits_total") as u64;
    // The daemon has met the endpoint once it has sent it something.
    stand.api.post("/v1/events", &envelope("first", "acme", "1")).expect(201);
    wait_until_delivered(&stand, "first");
    for (number, target) in ["\"endpoint\":\"acme\",", ""].into_iter().enumerate() {
        let before = commits();
        let event = format!("{{\"id\":\"event-{number}\",\"type\":\"thing.happened\",{target}\"body\":1}}");
        stand.api.post("/v1/events", &event).expect(201);
        wait_until_delivered(&stand, &format!("event-{number}"));
        assert_eq!(commits() - before, 2, "stored and leased, then recorded: {event}");
    }
}

fn wait_until_delivered(stand: &Stand, event: &str) {
    wait_for(event, PATIENCE, || {
        (stand.home.delivery(event).0.state.name() == postrider::delivery::StateName::Delivered).then_some(())
    });
}
