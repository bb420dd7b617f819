//! The stream of outcomes: live, resumed where it was left without gap or double, across restarts too.

use std::time::Duration;

use serde_json::Value;

use super::client::{Api, Wire};
use super::{Stand, envelope, well};
use crate::process::harness::{Home, PATIENCE, wait_for};
use crate::receivers::{Answer, Receiver};

/// One server-sent event.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    id: Option<i64>,
    event: String,
    data: Value,
}

/// An open stream; `query` and header as given.
fn follow(api: &Api, query: &str, last: Option<i64>) -> Wire {
    let last = last.map(|last| last.to_string());
    let headers: Vec<(&str, &str)> = last.as_deref().map(|last| ("last-event-id", last)).into_iter().collect();
    let mut wire = api.connect();
    wire.send(api.head("GET", &format!("/v1/events/stream{query}"), &headers, Some(0)));
    let reply = wire.begin().unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/event-stream")), "{reply:?}");
    wire
}

/// The next event; `None` at the stream's end.
#[track_caller]
fn next(wire: &mut Wire) -> Option<Told> {
    let mut told = Told { id: None, event: String::new(), data: Value::Null };
    loop {
        let line = wire.line().unwrap()?;
        match line.split_once(": ") {
            Some(("id", id)) => told.id = Some(id.parse().unwrap()),
            Some(("event", event)) => told.event = event.to_owned(),
            Some(("data", data)) => told.data = serde_json::from_str(data).unwrap(),
            _ if line.is_empty() && !told.event.is_empty() => return Some(told),
            // A comment, the wait before the next try, or the end of one of these.
            _ => assert!(line.is_empty() || line.starts_with(':') || line.starts_with("retry: "), "{line:?}"),
        }
    }
}

fn send(api: &Api, prefix: &str, count: usize) {
    for number in 0..count {
        api.post("/v1/events", &envelope(&format!("{prefix}-{number}"), "acme", "1")).expect(201);
    }
}

#[test]
fn outcomes_come_as_they_are_recorded() {
    let stand = Stand::new();
    let receiver = Receiver::start(|request| Answer::status(if request.number == 1 { 500 } else { 200 }));
    stand.add("acme", &receiver, &[20]);
    let mut stream = follow(&stand.api, "", None);
    // From now on, not what was: an event before the stream would be seen otherwise.
    send(&stand.api, "live", 1);
    let (first, second) = (next(&mut stream).unwrap(), next(&mut stream).unwrap());
    assert_eq!(
        (first.event.as_str(), &first.data["event"], &first.data["endpoint"]),
        ("outcome", &"live-0".into(), &"acme".into())
    );
    assert_eq!((&first.data["state"], &first.data["attempt"]["outcome"]), (&"pending".into(), &"rejected".into()));
    assert_eq!((&second.data["state"], &second.data["attempt"]["number"]), (&"delivered".into(), &2.into()));
    assert_eq!((first.id, second.id), (first.data["seq"].as_i64(), second.data["seq"].as_i64()));
    assert!(second.id > first.id);
    // What happens without an attempt is told too.
    stand.add_hopeless("never");
    stand.api.post("/v1/events", &envelope("off", "never", "1")).expect(201);
    let failed = next(&mut stream).unwrap();
    assert_eq!(failed.data["attempt"]["outcome"], "unreachable");
    stand.api.ask("POST", "/v1/events/off/cancel", &[], b"").expect(200);
    let cancelled = next(&mut stream).unwrap();
    assert_eq!((&cancelled.data["state"], &cancelled.data["attempt"]), (&"cancelled".into(), &Value::Null));
    stand.api.ask("POST", "/v1/events/off/retry", &[], b"").expect(200);
    assert_eq!(next(&mut stream).unwrap().data["state"], "pending");
    drop(stream);
    stand.stop();
}

#[test]
fn a_stream_goes_on_where_it_was_across_a_restart_without_gap_or_double() {
    let receiver = well();
    let mut stand = Stand::new();
    stand.add("acme", &receiver, &[50; 20]);
    let mut stream = follow(&stand.api, "?after=0", None);
    let mut all: Vec<Told> = Vec::new();
    for round in 0..3 {
        send(&stand.api, &format!("round-{round}"), 30);
        // Left in the middle of what is told, and of what happens.
        let wanted = all.len() + 15;
        while all.len() < wanted {
            all.push(next(&mut stream).unwrap());
        }
        drop(stream);
        let home: Home = if round == 1 { stand.killed() } else { stand.stop() };
        stand = Stand::of(home);
        stream = follow(&stand.api, "", Some(all.last().unwrap().id.unwrap()));
    }
    stand.home.hurry();
    wait_for("all delivered", PATIENCE, || (stand.home.counts().delivered == 90).then_some(()));
    let ended = |all: &[Told]| all.iter().filter(|told| told.data["state"] == "delivered").count();
    while ended(&all) < 90 {
        all.push(next(&mut stream).unwrap());
    }
    let mut events: Vec<&str> = Vec::new();
    for told in &all {
        assert_eq!(told.event, "outcome", "{told:?}");
        if told.data["state"] == "delivered" {
            events.push(told.data["event"].as_str().unwrap());
        }
    }
    events.sort_unstable();
    events.dedup();
    assert_eq!(events.len(), 90, "each once");
    assert!(all.windows(2).all(|two| two[0].id < two[1].id));
    // The whole again, from the beginning: exactly the same.
    let mut again = follow(&stand.api, "?after=0", None);
    for told in &all {
        assert_eq!(next(&mut again).as_ref(), Some(told));
    }
    drop((stream, again));
    stand.stop();
}

#[test]
fn who_was_away_too_long_is_told_that_something_is_missing() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[]);
    send(&stand.api, "old", 10);
    stand.home.wait_until_settled();
    let mut stream = follow(&stand.api, "", Some(0));
    let seqs: Vec<i64> = (0..10).map(|_| next(&mut stream).unwrap().id.unwrap()).collect();
    drop(stream);
    let home = stand.stop();
    // As if a hundred thousand more had come since.
    let connection = rusqlite::Connection::open(home.store_path()).unwrap();
    connection.execute("DELETE FROM outcome WHERE seq <= ?1", [seqs[4]]).unwrap();
    drop(connection);
    let stand = Stand::of(home);
    let mut stream = follow(&stand.api, "", Some(seqs[1]));
    let reset = next(&mut stream).unwrap();
    assert_eq!(reset.event, "reset", "{reset:?}");
    assert_eq!(next(&mut stream).unwrap().id, Some(seqs[5]), "and then all that is kept");
    // Right at the edge nothing is missing.
    let mut stream = follow(&stand.api, "", Some(seqs[4]));
    let told = next(&mut stream).unwrap();
    assert_eq!((told.event.as_str(), told.id), ("outcome", Some(seqs[5])));
    // A number that was never given: another store than then.
    let mut stream = follow(&stand.api, "", Some(seqs[9] + 1000));
    assert_eq!(next(&mut stream).unwrap().event, "reset");
    drop(stream);
    stand.stop();
}

#[test]
fn many_followers_see_the_same_and_one_that_does_not_read_harms_nobody() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[]);
    let asleep: Vec<Wire> = (0..4).map(|_| follow(&stand.api, "", None)).collect();
    let mut awake: Vec<Wire> = (0..8).map(|_| follow(&stand.api, "", None)).collect();
    send(&stand.api, "told", 50);
    let told: Vec<Vec<Told>> =
        awake.iter_mut().map(|stream| (0..50).map(|_| next(stream).unwrap()).collect()).collect();
    assert!(told.iter().all(|one| *one == told[0]));
    drop((asleep, awake));
    stand.stop();
}

#[test]
fn a_stream_ends_when_the_daemon_is_asked_to_stop() {
    let stand = Stand::new();
    let mut stream = follow(&stand.api, "", None);
    let begun = std::time::Instant::now();
    let Stand { home: _home, daemon, api: _ } = stand;
    let stopping = std::thread::spawn(move || daemon.stop());
    assert_eq!(next(&mut stream), None, "a clean end of the stream, not a cut");
    stopping.join().unwrap();
    println!("a daemon with an open stream ended after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

/// A reader so slow that what comes next for it is deleted: it is told, while it reads on.
#[test]
fn a_gap_that_opens_while_somebody_follows_is_told() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[20]);
    let mut stream = follow(&stand.api, "", None);
    send(&stand.api, "before", 1);
    let before = next(&mut stream).unwrap().id.unwrap();
    let other = rusqlite::Connection::open(stand.home.store_path()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    // As if ten more had been written meanwhile, and all but the last of them deleted.
    other
        .execute_batch(
            "BEGIN IMMEDIATE;
             UPDATE outcome SET seq = seq + 10;
             UPDATE revision SET number = number + 1;
             COMMIT;",
        )
        .unwrap();
    let told = next(&mut stream).unwrap();
    assert_eq!((told.event.as_str(), told.id), ("reset", None));
    assert_eq!((&told.data["after"], &told.data["from"]), (&before.into(), &(before + 10).into()));
    assert_eq!(next(&mut stream).unwrap().id, Some(before + 10));
    stand.stop();
}
