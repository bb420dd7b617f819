//! What a person looks at and does about deliveries: list, show, why, status, schedule; retry, cancel, replay.

use serde_json::{Value, json};

use super::client::Api;
use super::{Stand, envelope, shown, wait_for_state, well};
use crate::process::harness::{PATIENCE, wait_for};
use crate::receivers::{Answer, Receiver, Step};

/// Answers 500 as long as `ill` says so, by the number of the request.
fn ill_until(number: usize) -> Receiver {
    Receiver::start(move |request| Answer::status(if request.number < number { 500 } else { 200 }))
}

fn act(api: &Api, path: &str) -> Value {
    api.ask("POST", path, &[], b"").expect(200)
}

#[test]
fn a_dead_delivery_begins_its_schedule_anew() {
    let stand = Stand::new();
    let receiver = ill_until(6);
    stand.add("acme", &receiver, &[20, 20]);
    stand.api.post("/v1/events", &envelope("dies", "acme", "1")).expect(201);
    let dead = wait_for_state(&stand.api, "dies", "dead");
    assert_eq!((&dead["attempts_made"], &dead["reason"]), (&json!(3), &json!("schedule used up")), "{dead}");
    let why = stand.api.get("/v1/events/dies/why").expect(200);
    let advice = why["deliveries"][0]["advice"].as_str().expect("advice").to_owned();
    assert!(advice.contains("retry"), "{advice}");
    let changed = act(&stand.api, "/v1/events/dies/retry");
    let only = &changed["deliveries"][0];
    assert_eq!(
        (&only["changed"], &only["state"], &only["endpoint"]),
        (&json!(true), &json!("pending"), &json!("acme"))
    );
    // Attempts 4 to 6, of which the last is accepted: it had three of its own again.
    let delivered = wait_for_state(&stand.api, "dies", "delivered");
    assert_eq!(delivered["attempts"].as_array().unwrap().len(), 6, "what was tried before stays in the record");
    assert_eq!(receiver.requests().len(), 6);
    stand.stop();
}

#[test]
fn a_pending_delivery_only_stops_waiting() {
    let stand = Stand::new();
    let receiver = ill_until(2);
    stand.add("acme", &receiver, &[3_600_000, 3_600_000]);
    stand.api.post("/v1/events", &envelope("waits", "acme", "1")).expect(201);
    wait_for("an attempt", PATIENCE, || {
        let shown = shown(&stand.api, "waits");
        (shown[0]["attempts"].as_array()?.len() == 1).then_some(())
    });
    let id = shown(&stand.api, "waits")[0]["delivery"].as_str().unwrap().to_owned();
    act(&stand.api, &format!("/v1/deliveries/{id}/retry"));
    let delivered = wait_for_state(&stand.api, "waits", "delivered");
    assert_eq!((&delivered["attempts_made"], &delivered["of"]), (&json!(2), &json!(3)));
    stand.stop();
}

#[test]
fn a_delivered_one_is_sent_again_only_if_that_is_said() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[20]);
    stand.api.post("/v1/events", &envelope("done", "acme", "{\"a\": 1}")).expect(201);
    wait_for_state(&stand.api, "done", "delivered");
    let refused = stand.api.ask("POST", "/v1/events/done/retry", &[], b"").problem(409, "conflict");
    assert!(refused["detail"].as_str().unwrap().contains("delivered"), "{refused}");
    act(&stand.api, "/v1/events/done/retry?delivered=true");
    let requests = receiver.wait_for(2, PATIENCE);
    assert_eq!((&requests[1].body, requests[1].header("webhook-id")), (&b"{\"a\": 1}".to_vec(), Some("done")));
    wait_for_state(&stand.api, "done", "delivered");
    stand.api.ask("POST", "/v1/events/done/cancel", &[], b"").problem(409, "conflict");
    stand.api.ask("POST", "/v1/events/done/retry?delivered=perhaps", &[], b"").problem(400, "invalid-parameter");
    stand.stop();
}

#[test]
fn a_cancelled_delivery_is_sent_no_more_and_can_be_revived() {
    let stand = Stand::new();
    let receiver = ill_until(2);
    stand.add("acme", &receiver, &[300, 300]);
    stand.api.post("/v1/events", &envelope("off", "acme", "1")).expect(201);
    receiver.wait_for(1, PATIENCE);
    let cancelled = act(&stand.api, "/v1/events/off/cancel");
    assert_eq!(cancelled["deliveries"][0]["state"], "cancelled");
    assert_eq!(shown(&stand.api, "off")[0]["state"], "cancelled");
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(receiver.requests().len(), 1);
    stand.api.ask("POST", "/v1/events/off/cancel", &[], b"").problem(409, "conflict");
    act(&stand.api, "/v1/events/off/retry");
    wait_for_state(&stand.api, "off", "delivered");
    stand.stop();
}

#[test]
fn what_is_accepted_after_it_was_cancelled_is_delivered_all_the_same() {
    let stand = Stand::new();
    let receiver = Receiver::start(|_| {
        let Answer(steps) = Answer::status(200);
        Answer([vec![Step::Pause(std::time::Duration::from_millis(600))], steps].concat())
    });
    stand.add("acme", &receiver, &[20]);
    stand.api.post("/v1/events", &envelope("late", "acme", "1")).expect(201);
    receiver.wait_for(1, PATIENCE);
    act(&stand.api, "/v1/events/late/cancel");
    assert_eq!(shown(&stand.api, "late")[0]["state"], "cancelled");
    let delivered = wait_for_state(&stand.api, "late", "delivered");
    assert_eq!(delivered["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(receiver.requests().len(), 1);
    stand.stop();
}

#[test]
fn a_replay_counts_first_and_then_sends_what_it_counted() {
    let stand = Stand::new();
    let receiver = Receiver::start(|request| Answer::status(if request.number <= 12 { 500 } else { 200 }));
    stand.add("acme", &receiver, &[]);
    let other = Receiver::start(|_| Answer::status(500));
    stand.add("other", &other, &[]);
    for number in 0..12 {
        stand.api.post("/v1/events", &envelope(&format!("dead-{number}"), "acme", "1")).expect(201);
    }
    stand.api.post("/v1/events", &envelope("elsewhere", "other", "1")).expect(201);
    stand.home.wait_until_settled();
    let replay = |filter: Value| stand.api.post("/v1/replays", &filter.to_string());
    let counted = replay(json!({"endpoint": "acme", "dry_run": true})).expect(200);
    assert_eq!(counted, json!({"matched": 12, "replayed": 0, "dry_run": true}));
    assert_eq!(replay(json!({"dry_run": true})).expect(200)["matched"], 13);
    for (filter, matched) in [
        (json!({"type": "thing.happened", "dry_run": true}), 13),
        (json!({"type": "other/*", "dry_run": true}), 0),
        (json!({"since": "1h", "dry_run": true}), 13),
        (json!({"until": "2020-01-01", "dry_run": true}), 0),
        (json!({"state": "delivered", "dry_run": true}), 0),
    ] {
        assert_eq!(replay(filter.clone()).expect(200)["matched"], matched, "{filter}");
    }
    assert_eq!((stand.home.counts().dead, receiver.requests().len()), (13, 12));
    let done = replay(json!({"endpoint": "acme"})).expect(200);
    assert_eq!(done, json!({"matched": 12, "replayed": 12, "dry_run": false}));
    assert_eq!(stand.home.wait_until_settled().delivered, 12);
    assert_eq!((receiver.requests().len(), other.requests().len()), (24, 1));
    for (filter, pointer) in [
        (json!({"state": "pending"}), "/state"),
        (json!({"state": "nothing"}), "/state"),
        (json!({"endpoint": "nobody"}), "/endpoint"),
        (json!({"since": "yesterdayish"}), "/since"),
        (json!({"dryrun": true}), "/dryrun"),
    ] {
        let problem = replay(filter.clone()).problem(422, "invalid-envelope");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{filter}: {problem}");
    }
    stand.stop();
}

#[test]
fn lists_are_filtered_and_paged_without_gap_or_double() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[]);
    stand.add_hopeless("dull");
    for number in 0..25 {
        let name = if number % 5 == 0 { "dull" } else { "acme" };
        stand.api.post("/v1/events", &envelope(&format!("event-{number}"), name, "1")).expect(201);
    }
    wait_for("the ends of what ends", PATIENCE, || (stand.home.counts().delivered == 20).then_some(()));
    let list = |query: &str| stand.api.get(&format!("/v1/deliveries?{query}")).expect(200);
    let count = |query: &str| list(query)["deliveries"].as_array().unwrap().len();
    assert_eq!((count(""), count("state=delivered"), count("state=pending"), count("state=dead")), (25, 20, 5, 0));
    assert_eq!((count("endpoint=dull"), count("endpoint=dull&state=delivered")), (5, 0));
    assert_eq!(
        (count("event=event-7"), count("type=thing.happened"), count("type=other/*"), count("since=1h")),
        (1, 25, 0, 25)
    );
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for _ in 0..10 {
        let page = list(&format!("limit=4{cursor}"));
        seen.extend(page["deliveries"].as_array().unwrap().iter().map(|row| row["event"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let wanted: Vec<String> = (0..25).rev().map(|number| format!("event-{number}")).collect();
    assert_eq!(seen, wanted, "newest first");
    stand.stop();
}

#[test]
fn an_event_is_shown_with_all_that_was_tried_and_why_says_what_comes() {
    let stand = Stand::new();
    let receiver = Receiver::start(|_| Answer::with(503, &[], b"closed for lunch"));
    stand.add("acme", &receiver, &[3_600_000]);
    stand.api.post("/v1/events", &envelope("waits", "acme", "{ \"a\": 1 }")).expect(201);
    let waiting = wait_for("an attempt", PATIENCE, || {
        shown(&stand.api, "waits").pop().filter(|only| only["attempts"].as_array().is_some_and(|all| all.len() == 1))
    });
    let attempt = &waiting["attempts"][0];
    assert_eq!((&attempt["outcome"], &attempt["status"]), (&json!("rejected"), &json!(503)));
    assert_eq!(attempt["answer"], "closed for lunch");
    assert_eq!(
        (&waiting["state"], &waiting["attempts_made"], &waiting["of"]),
        (&json!("pending"), &json!(1), &json!(2))
    );
    let id = waiting["delivery"].as_str().unwrap().to_owned();
    let by_delivery = stand.api.get(&format!("/v1/deliveries/{id}?body=true")).expect(200);
    assert_eq!(by_delivery["deliveries"][0], waiting);
    assert_eq!(by_delivery["event"]["body"], "{ \"a\": 1 }");
    for path in ["/v1/events/waits/why".to_owned(), format!("/v1/deliveries/{id}/why")] {
        let why = stand.api.get(&path).expect(200);
        let said = why["deliveries"][0]["why"].as_str().unwrap();
        assert!(said.contains("503") && said.contains("Attempt 2"), "{said}");
        assert!(why["deliveries"][0]["next_at"].as_str().is_some());
    }
    // Bytes that are no text come as base64.
    let raw = "/v1/events?type=thing.happened&endpoint=acme&id=raw";
    stand.api.ask("POST", raw, &[("content-type", "application/octet-stream")], b"\xff\x00").expect(201);
    assert_eq!(stand.api.get("/v1/events/raw?body=true").expect(200)["event"]["body_base64"], "/wA=");
    let status = stand.api.get("/v1/status").expect(200);
    assert_eq!((&status["events"], &status["pending"], &status["endpoints"]), (&json!(2), &json!(2), &json!(1)));
    assert_eq!((&status["daemon"]["running"], &status["daemon"]["pid"]), (&json!(true), &json!(stand.daemon.pid())));
    assert_eq!(status["troubled"][0]["endpoint"], "acme", "{status}");
    let all = stand.api.get("/v1/schedule").expect(200);
    assert_eq!(all.as_array().unwrap().len(), 3, "every profile");
    let own = stand.api.get("/v1/schedule?of=acme").expect(200);
    assert_eq!(own.as_array().unwrap().len(), 1);
    stand.stop();
}
