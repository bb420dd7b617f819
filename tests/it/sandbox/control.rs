//! The clock, the listings and the end: what the control verbs do, and that the daemon's own verbs work on a sandbox.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use super::harness::{Desk, Partner, stderr, stdout, wanted};
use crate::process::harness::{PATIENCE, wait_for};
use crate::receivers::{Answer, Received, Receiver, Step};

#[test]
fn the_clock_brings_a_retry_forward() {
    let (desk, partner) = (Desk::new(), Partner::start(1));
    let sandbox = desk.start(&["--notify", &partner.receiver.url(), "--delay", "0s"]);
    sandbox.buy(30);
    let refused = sandbox.wait_for("outcome", |it| it["outcome"]["attempt"]["status"] == 500);
    let event = refused["outcome"]["event"].as_str().unwrap();
    let server = sandbox.api.url();
    let ask = |arguments: &[&str]| desk.program(arguments).args(["--server", &server]).output().unwrap();
    let why = stdout(&ask(&["why", event]));
    assert!(why.contains("is pending. Attempt 1 of 11") && why.contains("The wait after attempt 1 is 30 s"), "{why}");
    let before = desk.controlled(&sandbox, &["clock"]);
    assert_eq!(before["ahead_ms"], 0);
    let after = desk.controlled(&sandbox, &["clock", "+31s"]);
    assert_eq!(after["ahead_ms"], 31_000);
    let bodies = partner.notified(&sandbox, 2);
    assert_eq!(bodies[0], bodies[1]);
    sandbox.wait_for("outcome", |it| it["outcome"]["state"] == "delivered");
    let why = stdout(&ask(&["why", event]));
    assert!(why.contains("is delivered. Attempt 2 of 11"), "{why}");
    let shown: serde_json::Value = serde_json::from_slice(&ask(&["show", event, "--json"]).stdout).unwrap();
    let attempts = shown["deliveries"][0]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{shown}");
    let listed = stdout(&ask(&["list"]));
    assert!(listed.contains("2/11") && listed.contains("policy/creation"), "{listed}");
}

/// An attempt that is in flight when the clock is set forward has not lasted that long: it is neither given up nor doubled.
#[test]
fn the_clock_leaves_alone_what_is_in_flight() {
    let desk = Desk::new();
    let answer = |_: &Received| Answer([vec![Step::Pause(Duration::from_secs(2))], Answer::status(200).0].concat());
    let partner = Partner { receiver: Receiver::start(answer) };
    let sandbox = desk.start(&["--notify", &partner.receiver.url(), "--delay", "0s"]);
    sandbox.buy(30);
    partner.received(1);
    assert_eq!(desk.controlled(&sandbox, &["clock", "+10m"])["ahead_ms"], 600_000);
    let outcome = sandbox.wait_for("outcome", |_| true);
    assert_eq!(
        (&outcome["outcome"]["state"], &outcome["outcome"]["attempt"]["number"]),
        (&json!("delivered"), &json!(1))
    );
    desk.controlled(&sandbox, &["clock", "+10m"]);
    assert_eq!(partner.receiver.requests().len(), 1);
}

/// Whoever asks may hang up at any moment: what is journaled and what the clock shows stay the same.
#[test]
fn the_clock_goes_as_far_as_is_journaled_although_nobody_waits() {
    let desk = Desk::new();
    let sandbox = desk.start(&[]);
    let body = json!({"by_ms": 3_600_000}).to_string();
    let request = format!(
        "POST /sandbox/clock HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n{body}",
        sandbox.api.host(),
        body.len()
    );
    for asked in 0..150 {
        let mut hasty = TcpStream::connect(sandbox.api.host()).unwrap();
        hasty.write_all(request.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(asked % 30 * 200));
    }
    // A clock that does not follow is hours behind.
    wait_for("a clock that shows what is journaled", PATIENCE, || {
        let hands = sandbox.api.get("/sandbox/clock").expect(200);
        let now: jiff::Timestamp = hands["now"].as_str().unwrap().parse().unwrap();
        let ahead = now.as_millisecond() - jiff::Timestamp::now().as_millisecond();
        let journaled = hands["ahead_ms"].as_i64().unwrap();
        assert!(journaled > 0, "{hands}");
        ((ahead - journaled).abs() < 60_000).then_some(())
    });
}

#[test]
fn the_clock_ends_policies() {
    let desk = Desk::new();
    let sandbox = desk.start(&["--delay", "0s"]);
    sandbox.buy(3);
    sandbox.wait_for("owed", |it| it["type"] == "policy/creation");
    let state = || desk.controlled(&sandbox, &["list"])["policies"][0]["status"].clone();
    assert_eq!(state(), "active");
    desk.controlled(&sandbox, &["clock", "+3days 1s"]);
    sandbox.wait_for("came-about", |it| it["what"].as_str().unwrap().contains("is expired"));
    assert_eq!(state(), "expired");
}

#[test]
fn people_are_shown_tables_and_the_api_is_there() {
    let (desk, partner) = (Desk::new(), Partner::start(0));
    let sandbox = desk.start(&["--by-hand"]);
    let empty = desk.control(&sandbox, &["list"]);
    assert!(empty.status.success() && stderr(&empty).contains("no policies and no requests yet"));
    let consumer = sandbox.register();
    sandbox.insure(&consumer, "order-17", &partner.receiver.url());
    sandbox.buy(30);
    sandbox.wait_for("owed", |it| it["deliveries"] == json!([]));
    let listed = stdout(&desk.control(&sandbox, &["list"]));
    assert!(listed.contains("order-17  pending") && listed.contains("1       active"), "{listed}");
    let approved = stdout(&desk.control(&sandbox, &["approve", "order-17"]));
    assert!(approved.starts_with("order-17 is approved; sbx_"), "{approved}");
    let clock = stdout(&desk.control(&sandbox, &["clock"]));
    assert!(clock.contains("(as this machine's); the next thing by itself is at"), "{clock}");
    for path in ["/docs", "/livez", "/metrics", "/v1/deliveries", "/"] {
        assert_eq!(sandbox.api.get(path).status, 200, "{path}");
    }
    let instance = sandbox.api.ask("OPTIONS", "/api/v0/rain", &[], b"").expect(200);
    assert_eq!((&instance["decimals"], instance["signer"].as_str().unwrap().len()), (&json!(6), 42));
    // A receiver more, by the daemon's own verb.
    let server = sandbox.api.url();
    let add = ["endpoint", "add", "mine", &partner.receiver.url(), "--profile", "ensuro", "--generate-secret"];
    let added = desk.program(&add).args(["--server", &server]).output().unwrap();
    assert!(added.status.success(), "{}", stderr(&added));
    sandbox.ensuro("/new-policy", &wanted("5", 10)).expect(200);
    sandbox.wait_for("owed", |it| it["deliveries"][0]["endpoint"] == "mine");
}

#[test]
fn it_drains_on_sigterm_and_leaves_nothing_of_a_temporary_folder() {
    let desk = Desk::new();
    let sandbox = desk.start_with(&[]);
    let folder = sandbox.happened()[0]["folder"].as_str().unwrap().to_owned();
    assert!(std::path::Path::new(&folder).join("journal.ndjson").exists());
    assert_eq!(sandbox.terminate().code(), Some(0));
    assert!(!std::path::Path::new(&folder).exists());
}

/// What is shown at the start is what a newcomer pastes.
#[test]
fn the_example_that_is_shown_works_when_it_is_pasted() {
    let desk = Desk::new();
    let mut child = desk
        .program(&["sandbox", "--listen", "127.0.0.1:0", "--folder", "a folder"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut example = String::new();
    for line in std::io::BufRead::lines(stderr).map_while(Result::ok) {
        if line.starts_with("body=") || !example.is_empty() {
            example.push_str(&(line.clone() + "\n"));
        }
        if line.contains("--data-binary") {
            break;
        }
    }
    let path = std::env::var("PATH").unwrap();
    let pasted = std::process::Command::new("bash").args(["-c", &example]).env_clear().env("PATH", path).output();
    child.kill().unwrap();
    child.wait().unwrap();
    let pasted = pasted.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&pasted.stdout)
        .unwrap_or_else(|error| panic!("{error}: {example}\n{}", String::from_utf8_lossy(&pasted.stderr)));
    assert!(answer["ensuro_id"].is_string(), "{answer}");
}
