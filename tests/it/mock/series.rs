//! Many notifications, and one by the schedule.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};

use postrider::provider::octamile::DECLINED;
use serde_json::{Value, json};

use super::{PATIENCE, Place, verifying};
use crate::receivers::{Answer, Receiver};

/// A run that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As Ctrl-C does.
fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn the_schedule_is_followed_with_its_real_waits_until_one_is_accepted() {
    let place = Place::new();
    let receiver = Receiver::start(|request| Answer::status(if request.number < 4 { 503 } else { 200 }));
    let words = format!("ensuro creation --to {} --secret-file secret --retries --speed 1000", receiver.url());
    let (told, exit) = place.json(&words);
    assert_eq!(exit, 0);
    let facts: Vec<(Value, Value)> =
        told.iter().map(|told| (told["attempt"]["number"].clone(), told["retry_in_ms"].clone())).collect();
    let expected = [(1, json!(30_000)), (2, json!(60_000)), (3, json!(120_000)), (4, json!(null))];
    assert_eq!(facts, expected.map(|(number, wait)| (json!(number), wait)));
    let requests = receiver.requests();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| request.body == requests[0].body), "an event never changes");
}

#[test]
fn a_schedule_that_is_used_up_ends_after_eleven_attempts() {
    let (place, receiver) = (Place::new(), Receiver::start(|_| Answer::status(500)));
    let ended = place.run(&format!("octamile declined --to {} --retries --speed 10000", receiver.url()));
    assert_eq!((ended.exit, receiver.requests().len()), (1, 11), "{}", ended.out);
    let parts = [
        "11 attempts, the waits between them 1 h 5 min together",
        "in 1 min by the schedule, waits of 1 min 30 s in all; 6 ms here",
        "in 10 min by the schedule, waits of 1 h 5 min in all; 60 ms here",
        "given up: that was the last of 11 attempts\n",
    ];
    for part in parts {
        assert!(ended.out.contains(part), "{part}: {}", ended.out);
    }
    assert_eq!(ended.out.matches("hint").count(), 1, "it is said once: {}", ended.out);
}

#[test]
fn a_standard_receiver_that_is_gone_ends_the_series_and_retry_after_moves_it() {
    let place = Place::new();
    let receiver = Receiver::start(|request| match request.number {
        1 => Answer::with(429, &[("retry-after", "90")], b""),
        _ => Answer::status(410),
    });
    let words = format!("standard order.paid --to {} --secret-file v1 --retries --speed 5000", receiver.url());
    let (told, exit) = place.json(&words);
    assert_eq!((told.len(), exit), (2, 1));
    assert_eq!((&told[0]["retry_in_ms"], &told[1]["verdict"]), (&json!(90_000), &json!("dead")));
}

#[test]
fn an_interrupted_series_says_how_far_it_came() {
    let (place, receiver) = (Place::new(), Receiver::start(|_| Answer::status(500)));
    let words = ["octamile", "declined", "--to", &receiver.url(), "--retries"];
    let mut running = Running(place.command(&words).spawn().unwrap());
    // By then the signal is waited for, and the next attempt is 30 s away.
    let told = BufReader::new(running.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(told.into_iter().any(|line| line.contains("in 30 s by the schedule")));
    interrupt(&running.0);
    assert_eq!(running.0.wait().unwrap().code(), Some(1));
    let said = std::io::read_to_string(running.0.stderr.take().unwrap()).unwrap();
    assert!(said.contains("interrupted: 1 of 11 attempts were made, and none was accepted"), "{said}");
}

#[test]
fn many_are_all_different_and_summed_up() {
    let place = Place::new();
    let receiver = Receiver::start(|request| Answer::status(if request.number % 10 == 0 { 500 } else { 200 }));
    let (told, exit) = place.json(&format!("octamile declined --to {} --count 60 --rate 2000", receiver.url()));
    assert_eq!((told.len(), exit), (61, 1));
    let mut transactions: Vec<String> = receiver
        .requests()
        .iter()
        .map(|request| serde_json::from_slice::<Value>(&request.body).unwrap()["trnsctnId"].to_string())
        .collect();
    transactions.sort();
    transactions.dedup();
    assert_eq!(transactions.len(), 60);
    let summary = &told[60]["summary"];
    assert_eq!(summary["outcomes"], json!({"accepted 200": 54, "rejected 500": 6}));
    assert_eq!((&summary["total"], &summary["answered"], &summary["accepted"]), (&json!(60), &json!(60), &json!(54)));
    let us = |name: &str| summary[name].as_u64().unwrap();
    assert!(0 < us("p50_us") && us("p50_us") <= us("p99_us") && us("p99_us") <= us("max_us"));
    assert!(told[..60].iter().all(|told| told["type"] == DECLINED));
}

#[test]
fn with_a_rate_nobody_waits_for_an_answer_and_without_one_everybody_does() {
    let place = Place::new();
    let hangs = Receiver::start(|_| Answer::hang());
    let words = format!("octamile declined --to {} --timeout 3s --count 30 --rate 1000", hangs.url());
    let arguments: Vec<&str> = words.split_whitespace().collect();
    let running = Running(place.command(&arguments).spawn().unwrap());
    // One after another they would take 90 s.
    assert_eq!(hangs.wait_for(30, PATIENCE).len(), 30);
    drop(running);
    let receiver = Receiver::start(|_| Answer::status(200));
    let ended = place.run(&format!("octamile declined --to {} --count 25", receiver.url()));
    assert_eq!(ended.exit, 0);
    assert!(ended.out.contains("25 accepted 200") && ended.out.contains("p50 "), "{}", ended.out);
    assert_eq!(receiver.connections(), 1, "one after another they share a connection");
}

#[test]
fn a_summary_shows_the_first_that_was_not_accepted() {
    let (place, receiver) = (Place::new(), verifying());
    place.write("wrong", "another secret");
    let ended = place.run(&format!("ensuro --all --to {} --secret-file wrong", receiver.url()));
    assert_eq!(ended.exit, 1);
    for part in ["8 rejected 403", "the first that was not accepted", "bad \\u{1b}[31msignature", "raw bytes"] {
        assert!(ended.out.contains(part), "{part}: {}", ended.out);
    }
}
