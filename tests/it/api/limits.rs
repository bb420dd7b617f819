//! Limits: what is too much is told to come again, or waits; nothing queues without an end.

use std::time::Duration;

use super::{Stand, envelope};
use crate::process::harness::{Home, LENIENT, PATIENCE, wait_for};

#[test]
fn events_that_the_store_cannot_take_now_are_told_to_come_again() {
    let stand = Stand::with("[api]\nin_flight_enqueues = 1\n");
    stand.add_hopeless("acme");
    let other = rusqlite::Connection::open(stand.home.store_path()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let api = &stand.api;
    let answers = std::thread::scope(|scope| {
        let ask = |id: String| api.post("/v1/events", &envelope(&id, "acme", "1"));
        let first = scope.spawn(move || ask("first".to_owned()));
        std::thread::sleep(Duration::from_millis(300));
        let others: Vec<_> = (0..10).map(|number| scope.spawn(move || ask(format!("other-{number}")))).collect();
        let others: Vec<_> = others.into_iter().map(|other| other.join().unwrap()).collect();
        other.execute_batch("ROLLBACK").unwrap();
        (first.join().unwrap(), others)
    });
    let (first, others) = answers;
    for reply in &others {
        reply.problem(503, "busy");
        let after = reply.header("retry-after").expect("Retry-After");
        assert!(after.parse::<u32>().is_ok_and(|seconds| seconds >= 1), "{after}");
    }
    // It waited for the store, or was told that the store does not work now.
    println!("the one that was taken was answered {}", first.status);
    match first.status {
        201 => {}
        _ => drop(first.problem(503, "store-unavailable")),
    }
    let ask = || Some(api.post("/v1/events", &envelope("after", "acme", "1"))).filter(|reply| reply.status == 201);
    wait_for("its being taken", PATIENCE, ask);
    let known = stand.home.counts().events;
    assert_eq!(known, 1 + u64::from(first.status == 201), "nothing of what was refused was stored");
    stand.stop();
}

/// Whoever asks for a change and goes away makes no room for the next one before the store has done it.
#[test]
fn changes_whose_askers_went_away_still_count() {
    let stand = Stand::with("[api]\nin_flight_enqueues = 4\n");
    stand.add_hopeless("acme");
    let other = rusqlite::Connection::open(stand.home.store_path()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for number in 0..60 {
        let body = format!(r#"{{"name":"other-{number}","url":"https://a.example/","profile":"standard"}}"#);
        let mut wire = stand.api.connect();
        let headers = &[("content-type", "application/json")];
        wire.send(stand.api.head("POST", "/v1/endpoints", headers, Some(body.len())) + &body);
        std::thread::sleep(Duration::from_millis(5));
    }
    // All of them were read, and none was done.
    std::thread::sleep(Duration::from_millis(300));
    other.execute_batch("ROLLBACK").unwrap();
    let listed = || stand.api.get("/v1/endpoints").json()["endpoints"].as_array().unwrap().len();
    wait_for("the first of them", PATIENCE, || (listed() > 1).then_some(()));
    std::thread::sleep(Duration::from_millis(500));
    let stored = listed() - 1;
    assert!((1..=4).contains(&stored), "{stored} waited for the store at once");
    stand.stop();
}

#[test]
fn connections_beyond_the_limit_wait_for_their_turn() {
    let stand = Stand::with("[api]\nmax_connections = 4\n");
    stand.add_hopeless("acme");
    let idle: Vec<_> = (0..4).map(|_| stand.api.connect()).collect();
    let mut fifth = stand.api.connect();
    fifth.send(stand.api.head("GET", "/livez", &[], Some(0)));
    fifth.wait_at_most(Duration::from_millis(500));
    assert!(fifth.reply().is_err(), "it waits");
    drop(idle);
    fifth.wait_at_most(PATIENCE);
    assert_eq!(fifth.reply().unwrap().status, 200);
    drop(fifth);
    let api = &stand.api;
    std::thread::scope(|scope| {
        for number in 0..40 {
            scope
                .spawn(move || api.post("/v1/events", &envelope(&format!("queued-{number}"), "acme", "1")).expect(201));
        }
    });
    assert_eq!(stand.stored(), (40, 40));
    stand.stop();
}

#[test]
fn idle_connections_do_not_keep_others_out_for_ever() {
    let stand = Stand::with("[api]\nmax_connections = 4\nrequest_timeout_ms = 500\n");
    let idle: Vec<_> = (0..4).map(|_| stand.api.connect()).collect();
    let mut wire = stand.api.connect();
    wire.send(stand.api.head("GET", "/livez", &[], Some(0)));
    assert_eq!(wire.reply().unwrap().status, 200);
    drop((idle, wire));
    stand.stop();
}

#[test]
fn bodies_in_memory_are_bounded() {
    // Eight uploads of 4 MiB each announce more than 16 MiB: not all of them find room.
    let stand = Stand::with("[store]\nmax_body_bytes = 4194304\n[api]\nin_flight_body_bytes = 16777216\n");
    stand.add_hopeless("acme");
    let body = vec![b'x'; 4 << 20];
    let api = &stand.api;
    let ask = |number: usize| {
        let target = format!("/v1/events?type=thing.happened&endpoint=acme&id=big-{number}");
        let reply = api.ask("POST", &target, &[("content-type", "text/plain")], &body);
        if reply.status != 201 {
            reply.problem(503, "busy");
        }
        reply.status
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = &ask;
        let asked: Vec<_> = (0..8).map(|number| scope.spawn(move || ask(number))).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let taken = statuses.iter().filter(|status| **status == 201).count();
    println!("{taken} of 8 large bodies were taken at once");
    assert!(taken >= 1);
    assert_eq!(stand.home.counts().events, taken as u64);
    let reply = stand.api.ask("POST", "/v1/events?type=thing.happened&endpoint=acme&id=alone", &[], &body);
    reply.expect(201);
    stand.stop();
}

#[test]
fn settings_that_make_no_sense_are_refused_before_anything_starts() {
    let home = Home::new();
    for wrong in [
        "listen = \"8787\"",
        "listen = \"localhost:8787\"",
        "max_connections = 0",
        "max_header_bytes = 1",
        "request_timeout_ms = 0",
        "in_flight_enqueues = 0",
        "allow_hosts = [\"http://x\"]",
        "lisen = \"127.0.0.1:1\"",
    ] {
        let other = if wrong.contains("listen =") { "" } else { "listen = \"127.0.0.1:0\"\n" };
        std::fs::write(home.path().join("config.toml"), format!("{LENIENT}[api]\n{other}{wrong}\n")).unwrap();
        let output = crate::process::harness::program(&home).args(["config", "check"]).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{wrong}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(wrong.split(' ').next().unwrap()), "{wrong}: {said}");
    }
}
