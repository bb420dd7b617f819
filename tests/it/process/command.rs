//! The command line beside a running daemon: what a person types, and what a script reads.

use std::process::{Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::harness::{Daemon, Home, SECRET, program};
use crate::receivers::{Answer, Receiver};

/// Runs one verb to its end; the arguments are words without spaces.
fn run(home: &Home, arguments: &str) -> Output {
    let mut command = program(home);
    let secret = format!("whsec_{}", STANDARD.encode(SECRET));
    command.args(arguments.split(' ')).env("ACME_SECRET", secret).stdin(Stdio::null());
    command.output().unwrap()
}

/// What it says on stdout, if it ends with this status.
#[track_caller]
fn said(home: &Home, status: i32, arguments: &str) -> String {
    let output = run(home, arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments}: {output:#?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_person_adds_enqueues_waits_and_looks_while_the_daemon_runs() {
    let home = Home::new();
    let receiver = Receiver::start(|request| Answer::status(if request.number == 1 { 500 } else { 200 }));
    let daemon = Daemon::start(&home);
    std::fs::write(home.path().join("body.json"), b"{ \"a\": 1 }\n").unwrap();
    let keys = "--profile standard --secret-env ACME_SECRET --schedule 100ms";
    said(&home, 0, &format!("endpoint add acme {} {keys}", receiver.url()));
    let waited = said(&home, 0, "enqueue --type thing.happened --id by-hand --wait --wait-timeout 30s body.json");
    assert!(waited.contains("by-hand"), "{waited}");
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.body == b"{ \"a\": 1 }\n"));
    let listed: Value = serde_json::from_str(&said(&home, 0, "list --json")).unwrap();
    assert_eq!(listed["deliveries"][0]["state"], "delivered", "{listed}");
    assert_eq!(listed["deliveries"][0]["last"]["number"], 2, "{listed}");
    let status: Value = serde_json::from_str(&said(&home, 0, "status --json")).unwrap();
    assert_eq!(status["daemon"]["pid"], daemon.pid(), "{status}");
    said(&home, 0, "endpoint remove acme --yes");
    daemon.stop();
    let status: Value = serde_json::from_str(&said(&home, 0, "status --json")).unwrap();
    assert_eq!(status["daemon"]["running"], false, "{status}");
}

#[test]
fn waiting_for_a_delivery_that_dies_answers_no() {
    let home = Home::new();
    let receiver = Receiver::start(|_| Answer::status(500));
    let daemon = Daemon::start(&home);
    std::fs::write(home.path().join("body.json"), b"{}").unwrap();
    let keys = "--profile standard --secret-env ACME_SECRET --schedule none";
    said(&home, 0, &format!("endpoint add acme {} {keys}", receiver.url()));
    said(&home, 1, "enqueue --type thing.happened --wait --wait-timeout 30s body.json");
    daemon.stop();
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn whoever_asks_for_the_status_does_not_keep_a_daemon_from_starting() {
    let home = Home::new();
    drop(home.store());
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| (0..60).for_each(|_| drop(said(&home, 0, "status"))));
        while !asking.is_finished() {
            let mut daemon = Daemon::launch(&home);
            std::thread::sleep(std::time::Duration::from_millis(40));
            if daemon.runs() {
                daemon.kill9();
            } else {
                panic!("{:#?}", daemon.lines());
            }
        }
    });
}
