//! SIGTERM while requests are open: not ready first, what is open ends, nothing new is taken, what was acknowledged is kept.

use std::time::{Duration, Instant};

use super::{Stand, envelope};
use crate::process::harness::{PATIENCE, wait_for};
use crate::receivers::{Answer, Receiver, Step};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// A receiver that keeps a draining daemon waiting for a while.
fn thoughtful(pause: Duration) -> Receiver {
    Receiver::start(move |_| {
        let Answer(steps) = Answer::status(200);
        Answer([vec![Step::Pause(pause)], steps].concat())
    })
}

#[test]
fn an_open_upload_ends_well_and_new_requests_are_sent_away() {
    let stand = Stand::new();
    let receiver = thoughtful(Duration::from_millis(2500));
    stand.add("acme", &receiver, &[50]);
    stand.api.post("/v1/events", &envelope("in-flight", "acme", "1")).expect(201);
    receiver.wait_for(1, PATIENCE);
    // A request that had begun, a connection that waits for one, and a stream.
    let body = envelope("uploaded", "acme", "{\"slow\": true}");
    let mut upload = stand.api.connect();
    upload.send(stand.api.head("POST", "/v1/events", JSON, Some(body.len())) + &body[..30]);
    let mut kept = stand.api.connect();
    kept.send(stand.api.head("GET", "/readyz", &[], Some(0)));
    assert_eq!(kept.reply().unwrap().status, 200);
    let mut stream = stand.api.connect();
    stream.send(stand.api.head("GET", "/v1/events/stream", &[], Some(0)));
    stream.begin().unwrap();
    std::thread::sleep(Duration::from_millis(200));

    let Stand { home, mut daemon, api } = stand;
    let asked = Instant::now();
    daemon.terminate();
    daemon.wait_for_line("draining");
    let unready = wait_for("not ready", PATIENCE, || {
        api.try_ask("GET", "/readyz", &[], b"").ok().filter(|reply| reply.status == 503)
    });
    assert_ne!(unready.json()["checks"]["draining"], "ok");
    assert_eq!(api.get("/livez").status, 200);
    let refused = api.post("/v1/events", &envelope("new", "acme", "1"));
    refused.problem(503, "draining");
    assert!(refused.header("retry-after").is_some_and(|text| text.parse::<u32>().is_ok()), "{refused:?}");
    upload.send(&body[30..]);
    let ended = upload.reply().unwrap();
    // It came before the end was asked for, so it is taken; or it is told to come again. Either is the truth.
    println!("an upload that was open was answered {}", ended.status);
    assert!(ended.status == 201 || ended.status == 503, "{}", ended.text());
    assert_eq!(daemon.wait().code(), Some(0));
    println!("drained {:?} after it was asked to", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    while stream.line().unwrap().is_some() {}
    let counts = home.counts();
    let taken = u64::from(ended.status == 201);
    assert_eq!((counts.events, counts.delivered, counts.leased), (1 + taken, 1, 0));
    let stand = Stand::of(home);
    assert_eq!(stand.api.get("/v1/events/uploaded").status, if taken == 1 { 200 } else { 404 });
    assert_eq!(stand.api.get("/v1/events/new").status, 404);
    stand.stop();
}

#[test]
fn an_upload_that_never_ends_keeps_no_daemon_from_leaving() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    let mut wires = Vec::new();
    for target in ["/v1/events", "/v1/events?type=thing.happened", "/v1/endpoints"] {
        let mut upload = stand.api.connect();
        upload.send(stand.api.head("POST", target, JSON, Some(1000)) + "{");
        wires.push(upload);
    }
    // Half a head, nothing at all, and a batch that waits.
    let mut half = stand.api.connect();
    half.send("POST /v1/ev");
    let silent = stand.api.connect();
    let mut batch = stand.api.connect();
    batch.send(stand.api.head("POST", "/v1/events/batch", &[("content-type", "application/x-ndjson")], None));
    batch.chunk(envelope("batched", "acme", "1") + "\n");
    batch.begin().unwrap();
    assert!(batch.line().unwrap().unwrap().contains("accepted"));
    let asked = Instant::now();
    let home = stand.stop();
    println!("drained {:?} after it was asked to", asked.elapsed());
    // Ten seconds is what an upload may take by default.
    assert!(asked.elapsed() < Duration::from_secs(16), "{:?}", asked.elapsed());
    assert_eq!(home.counts().events, 1);
    drop((wires, half, silent, batch));
}

#[test]
fn what_is_acknowledged_while_it_drains_is_on_disk() {
    for round in 0..4 {
        let stand = Stand::new();
        stand.add_hopeless("acme");
        let api = &stand.api;
        let answered = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8)
                .map(|client| {
                    scope.spawn(move || {
                        let mut answered = Vec::new();
                        for number in 0..100_000 {
                            let id = format!("{client}-{number}");
                            match api.try_ask("POST", "/v1/events", JSON, envelope(&id, "acme", "1").as_bytes()) {
                                Ok(reply) if reply.status == 201 => answered.push(id),
                                Ok(reply) => {
                                    reply.problem(503, "draining");
                                }
                                Err(_) => break,
                            }
                        }
                        answered
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(150 + 50 * round));
            stand.daemon.terminate();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<String>>()
        });
        let Stand { home, mut daemon, api: _ } = stand;
        assert_eq!(daemon.wait().code(), Some(0));
        println!("round {round}: {} were answered before the end", answered.len());
        assert_eq!(home.counts().events, answered.len() as u64, "what was answered, and nothing else");
        assert!(!answered.is_empty());
    }
}
