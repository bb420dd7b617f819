//! Handing in an event: what is taken, what is refused, and waiting for the end.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use postrider::delivery::{
    Attempt, DeadReason, DeliveryId, LeaseRequest, Outcome, Record, Stage, Timings, Token, Verdict,
};
use postrider::endpoint::ProfileName;
use postrider::store::sqlite::{SqliteStore, lock};
use postrider::store::{Command, Reply, Store};
use postrider::time::{Span, Time};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Answer, Place, SECRET, closed, full, sample};

#[test]
fn an_event_is_acknowledged_with_its_deliveries() {
    let place = Place::new().with_acme();
    let out = place.done("enqueue --type policy/creation --id a-1 body.json");
    assert_eq!(out, "a-1 accepted: 1 delivery\ndlv_1 -> acme\n");
    let again = place.done("enqueue --type policy/creation --id a-1 body.json");
    assert!(again.starts_with("a-1 known already, accepted at 20"), "{again}");
    assert!(again.ends_with(": 1 delivery\ndlv_1 -> acme\n"), "{again}");
    let body = sample(ProfileName::Ensuro, "policy/creation");
    let by_stdin = place.run_with(&["enqueue", "--type", "policy/creation", "--id", "a-2", "-"], &body);
    assert_eq!((by_stdin.exit, by_stdin.out.as_str()), (0, "a-2 accepted: 1 delivery\ndlv_2 -> acme\n"));

    let json = place.json("enqueue --endpoint acme --type policy/creation --id a-3 body.json");
    assert_eq!(json["deliveries"], json!([{"id": "dlv_3", "endpoint": "acme"}]));
    assert_eq!((&json["event"], &json["type"]), (&Value::from("a-3"), &Value::from("policy/creation")));
    assert_eq!((&json["again"], &json["warnings"]), (&Value::from(false), &json!([])));
    assert!(json["accepted_at"].as_str().unwrap().ends_with('Z'));
    let made = place.json("enqueue --type policy/creation body.json");
    assert!(made["event"].as_str().unwrap().starts_with("msg_"), "{made}");
    assert_eq!(place.json("endpoint show acme")["pending"], 4);
    assert!(place.done("endpoint remove acme --yes").contains("4 pending deliveries ended as dead"));
}

#[test]
fn a_receiver_need_not_be_registered() {
    let place = Place::new();
    let to = "enqueue --to http://127.0.0.1:9/certificate --profile octamile";
    let json = place.json(&format!("{to} declined.json"));
    assert_eq!(json["type"], "policy/declined");
    assert_eq!(json["deliveries"][0]["endpoint"], "one-off-1");
    place.refused(65, &format!("{to} --id other declined.json"), &["fires on a status change only"]);
    place.refused(65, "enqueue --to http://127.0.0.1:9/ --profile ensuro body.json", &["--secret-file (hmac)"]);
    place.refused(2, "enqueue --to http://127.0.0.1:9/ body.json", &["--profile"]);
    place.refused(2, "enqueue --profile ensuro body.json", &["--to"]);
    place.refused(2, "enqueue --to http://127.0.0.1:9/ --profile octamile --endpoint a body.json", &["--endpoint"]);
    place.refused(2, "enqueue --type policy/creation --secret-file secret body.json", &["goes with --to"]);
    let twice = "enqueue --to http://127.0.0.1:9/ --profile ensuro --secret-file - -";
    place.refused(2, twice, &["stdin can be the body or the secret, not both"]);
    place.refused(65, "enqueue --to http://10.0.0.1/ --profile octamile declined.json", &["private"]);
    place.done(
        "enqueue --to http://127.0.0.1:9/ --profile ensuro --secret-file secret --type policy/creation body.json",
    );
}

#[test]
fn what_cannot_be_sent_is_not_taken() {
    let place = Place::new().with_acme();
    place.write("config.toml", format!("{}[store]\nmax_body_bytes = 2000\n", super::LENIENT));
    place.write("text", "hello");
    place.write("empty", "");
    place.write("exact", vec![b'x'; 2000]);
    place.write("large", vec![b'x'; 2001]);
    let enqueue = |exit, words: &str, parts: &[&str]| place.refused(exit, &format!("enqueue {words}"), parts);
    enqueue(65, "body.json", &["the event has no type"]);
    enqueue(65, "--type policy//creation body.json", &["an event type has 1 to 128 characters"]);
    enqueue(65, "--endpoint acme --type policy/birth body.json", &["policy/birth"]);
    enqueue(65, "--type policy/creation --id a.b body.json", &["an event id has 1 to 64 characters"]);
    enqueue(65, "--type policy/creation text", &["ensuro: ", "JSON"]);
    enqueue(65, "--type policy/creation empty", &["ensuro: "]);
    enqueue(65, "--type policy/creation large", &["large has more bytes than store.max_body_bytes = 2000 allows"]);
    enqueue(65, "--type policy/creation exact", &["ensuro: "]);
    enqueue(65, "--type policy/creation --content-type json body.json", &["a content type is written like"]);
    enqueue(66, "--type policy/creation missing.json", &["missing.json cannot be read"]);
    enqueue(74, "--type policy/creation .", &[". cannot be read"]);
    enqueue(2, "--type policy/creation", &["<BODY>"]);
    enqueue(2, "--wait --wait-timeout long body.json", &["a length of time"]);
    assert_eq!(place.json("endpoint show acme")["pending"], 0);
}

#[test]
fn an_id_belongs_to_one_request() {
    let place = Place::new().with_acme();
    place.done("enqueue --type policy/creation --id a-1 body.json");
    place.write("other.json", sample(ProfileName::Ensuro, "policy/creation") + "\n");
    let other_body = "enqueue --type policy/creation --id a-1 other.json";
    place.refused(65, other_body, &["the id a-1 was used at", "for another body"]);
    let other_target = "enqueue --type policy/creation --id a-1 --endpoint acme body.json";
    place.refused(65, other_target, &["the same body with another type or target"]);
}

#[test]
fn what_a_receiver_may_stumble_over_is_a_warning() {
    let place = Place::new();
    place.done("endpoint add shop http://127.0.0.1:9/ --profile standard --secret-file v1");
    place.write("wide", "x".repeat(103_000));
    let answer = place.run("enqueue --type order.paid wide");
    assert_eq!(answer.exit, 0);
    assert!(answer.err.contains("warning: the body has 103000 bytes: a receiver on Express"), "{}", answer.err);
    let json = place.json("enqueue --type order.paid wide");
    assert_eq!(json["warnings"].as_array().unwrap().len(), 2, "{json}");
    let nobody = Place::new().with_acme().run("enqueue --type order.paid body.json");
    assert!(nobody.err.contains("warning: no endpoint subscribes to order.paid"), "{}", nobody.err);
    assert!(nobody.out.ends_with("accepted: 0 deliveries\n"), "{}", nobody.out);
}

/// Does by hand what a daemon does: takes the next attempt of the only lane, and records what came of it.
fn attempt(store: &mut SqliteStore, number: u32, outcome: Outcome, verdict: Verdict) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let now = Time::from_ms(4_000_000_000_000 + i64::from(number) * 1000);
    let leased = loop {
        let lane = store.lanes().unwrap().first().map(|due| due.lane);
        if let Some(lane) = lane {
            let (until, token) = (now + Span::from_minutes(1), Token(7));
            let request = LeaseRequest { lane, limit: 1, bytes: 1 << 20, until, token, most_attempts: 11 };
            let replies = store.apply(now, &[Command::Lease(request)]).unwrap();
            let Reply::Leased(leased) = replies.into_iter().next().unwrap() else { panic!("no lease") };
            break leased;
        }
        assert!(Instant::now() < deadline, "nothing was enqueued");
        sleep(Duration::from_millis(10));
    };
    let lease = &leased.leases[0];
    assert_eq!((lease.attempt, lease.delivery), (number, DeliveryId(1)));
    let timings = Timings { total_us: 12_345, ..Timings::default() };
    let attempt = Attempt {
        number,
        started_at: now,
        finished_at: now,
        timings,
        remote: None,
        resent: false,
        outcome,
        answer: SECRET.into(),
        location: None,
    };
    let (delivery, endpoint, token) = (lease.delivery, lease.endpoint, lease.token);
    store.apply(now, &[Command::Record(Record { delivery, endpoint, token, attempt, verdict })]).unwrap();
    // Longer than the program's pace, so that it sees each attempt by itself.
    sleep(Duration::from_millis(300));
}

/// What came of an attempt, and what follows from it at the time when it ended.
type Act = (Outcome, fn(Time) -> Verdict);

/// What waiting says while `acts` happen to the delivery.
fn waited(place: &Place, flags: &[&str], acts: Vec<Act>) -> Answer {
    waited_on(place, flags, Stdio::piped(), acts)
}

/// As `waited`, for whoever reads it from `stdout`.
fn waited_on(place: &Place, flags: &[&str], stdout: Stdio, acts: Vec<Act>) -> Answer {
    let mut store = SqliteStore::open(&place.path("postrider.db")).unwrap();
    let _lock = lock(&place.path("postrider.db")).unwrap();
    let mut arguments = vec!["enqueue", "--type", "policy/creation", "--id", "a-1", "--wait", "body.json"];
    arguments.extend(flags);
    let child = place.command(&arguments).stdout(stdout).spawn().unwrap();
    for (number, (outcome, verdict)) in (1..).zip(acts) {
        let now = Time::from_ms(4_000_000_000_000 + i64::from(number) * 1000);
        attempt(&mut store, number, outcome, verdict(now));
    }
    Answer::of(child.wait_with_output().unwrap())
}

#[test]
fn waiting_tells_each_attempt_and_ends_with_the_last_delivery() {
    let place = Place::new().with_acme();
    let refused = Outcome::Unreachable { stage: Stage::Connect, error: "\u{1b}[2Jrefused".to_owned() };
    let answer = waited(
        &place,
        &[],
        vec![
            (Outcome::Rejected { status: 500 }, |now| Verdict::RetryAt(now + Span::from_ms(500))),
            (refused, |now| Verdict::RetryAt(now + Span::from_ms(1000))),
            (Outcome::Accepted { status: 200, late: true }, |_| Verdict::Delivered),
        ],
    );
    let lines: Vec<&str> = answer.out.lines().collect();
    assert_eq!(
        lines,
        [
            "a-1 accepted: 1 delivery",
            "dlv_1 -> acme",
            "dlv_1 acme attempt 1: rejected 500 in 12 ms, next try in 500 ms (at 2096-10-02T07:06:41.500Z)",
            "dlv_1 acme attempt 2: unreachable at connect (\\u{1b}[2Jrefused) in 12 ms, next try in 1 s (at \
             2096-10-02T07:06:43.000Z)",
            "dlv_1 acme attempt 3: accepted 200, late in 12 ms",
        ]
    );
    assert_eq!((answer.exit, answer.err.as_str()), (0, ""));
    let again = place.run("enqueue --type policy/creation --id a-1 --wait body.json");
    assert_eq!((again.exit, again.out.lines().count()), (0, 5), "what has ended is told, and ends the wait at once");
}

#[test]
fn waiting_for_a_dead_delivery_answers_no_in_json_too() {
    let place = Place::new().with_acme();
    let acts: Vec<Act> = vec![(Outcome::Rejected { status: 404 }, |_| Verdict::Dead(DeadReason::ScheduleUsedUp))];
    let answer = waited(&place, &["--json"], acts);
    assert_eq!((answer.exit, answer.err.as_str()), (1, ""));
    let lines: Vec<Value> = answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[1]["attempt"], &lines[1]["status"]), (&Value::from(1), &Value::from(404)));
    assert_eq!((&lines[1]["state"], &lines[1]["outcome"]), (&Value::from("dead"), &Value::from("rejected")));
    let again = place.run("enqueue --type policy/creation --id a-1 --wait body.json");
    assert!(again.out.ends_with("attempt 1: rejected 404 in 12 ms: dead, schedule used up\n"), "{}", again.out);
}

#[test]
fn waiting_goes_on_when_nobody_reads_what_it_tells() {
    let retried: Act = (Outcome::Rejected { status: 500 }, |now| Verdict::RetryAt(now + Span::from_ms(500)));
    let delivered: Act = (Outcome::Accepted { status: 200, late: false }, |_| Verdict::Delivered);
    let dead: Act = (Outcome::Rejected { status: 404 }, |_| Verdict::Dead(DeadReason::ScheduleUsedUp));
    for flags in [&[][..], &["--json"]] {
        for (last, exit) in [(delivered.clone(), 0), (dead.clone(), 1)] {
            let place = Place::new().with_acme();
            let answer = waited_on(&place, flags, closed(), vec![retried.clone(), last]);
            assert_eq!((answer.exit, answer.err.as_str()), (exit, ""));
        }
    }
    let place = Place::new().with_acme();
    let arguments = ["enqueue", "--type", "policy/creation", "--wait", "--wait-timeout", "1500ms", "body.json"];
    let answer = Answer::of(place.command(&arguments).stdout(closed()).output().unwrap());
    assert_eq!(answer.exit, 1, "nothing was delivered");
    assert!(answer.err.contains("1 of 1 deliveries still pending after 1.5 s"), "{}", answer.err);
}

#[test]
fn an_answer_that_cannot_be_printed_says_that_the_event_is_stored() {
    let place = Place::new().with_acme();
    for (number, flags) in [&[][..], &["--json"], &["--wait"]].into_iter().enumerate() {
        let id = format!("a-{number}");
        let mut arguments = vec!["enqueue", "--type", "policy/creation", "--id", &id, "body.json"];
        arguments.extend(flags);
        let answer = Answer::of(place.command(&arguments).stdout(full()).output().unwrap());
        assert_eq!(answer.exit, 74);
        let told = format!("event {id} is stored; the answer could not be printed: standard output cannot be written");
        assert!(answer.err.contains(&told), "{}", answer.err);
        let again = place.json(&format!("enqueue --type policy/creation --id {id} body.json"));
        assert_eq!(again["again"], true);
    }
    let silent = place.command(&["enqueue", "--type", "policy/creation", "body.json"]).stdout(closed()).output();
    let silent = Answer::of(silent.unwrap());
    assert_eq!((silent.exit, silent.err.as_str()), (0, ""), "it is stored, as was asked");
}

#[test]
fn an_event_that_is_stored_is_accepted_even_if_its_endpoints_name_cannot_be_read() {
    let place = Place::new().with_acme();
    let damage = "CREATE TRIGGER damage AFTER INSERT ON delivery BEGIN UPDATE endpoint SET name = 'two words'; END";
    Connection::open(place.path("postrider.db")).unwrap().execute_batch(damage).unwrap();
    let out = place.done("enqueue --type policy/creation --id a-1 body.json");
    assert_eq!(out, "a-1 accepted: 1 delivery\ndlv_1 -> acme\n");
    let again = place.done("enqueue --type policy/creation --id a-1 body.json");
    assert!(again.ends_with("1 delivery\ndlv_1 -> endpoint-1\n"), "{again}");
}

#[test]
fn waiting_without_a_daemon_says_so_and_ends() {
    let place = Place::new().with_acme();
    let answer = place.run("enqueue --type policy/creation --id a-1 --wait --wait-timeout 1200ms body.json");
    assert_eq!(answer.exit, 1);
    let lines: Vec<&str> = answer.err.lines().collect();
    assert_eq!(
        lines,
        [
            "no daemon serves this store: nothing is delivered until `postrider serve` runs",
            "postrider: 1 of 1 deliveries still pending after 1.2 s; they go on",
        ]
    );
    // Ends the delivery without an attempt.
    place.done("endpoint remove acme --yes");
    let ended = place.run("enqueue --type policy/creation --id a-1 --wait body.json");
    assert_eq!(ended.exit, 1);
    assert!(ended.out.ends_with("dlv_1 -> acme\ndlv_1 acme: dead, endpoint gone\n"), "{}", ended.out);
}
