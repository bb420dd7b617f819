//! kill -9 and a new start: what was answered is known, what was owed arrives, and nothing arrives twice that was accepted.

use std::collections::BTreeSet;

use serde_json::json;

use super::harness::{Desk, Partner, stderr, wanted};

#[test]
fn a_killed_sandbox_knows_what_it_answered() {
    let (desk, partner) = (Desk::new(), Partner::start(0));
    let notify = partner.receiver.url();
    let arguments = ["--notify", &notify, "--by-hand", "--delay", "1h"];
    let sandbox = desk.start(&arguments);
    let consumer = sandbox.register();
    sandbox.insure(&consumer, "order-17", &notify);
    let ids: Vec<String> = (0..3).map(|_| sandbox.buy(30)).collect();
    desk.controlled(&sandbox, &["clock", "+10m"]);
    let (key, before) = (sandbox.api_key.clone(), desk.controlled(&sandbox, &["list"]));
    sandbox.kill9();
    let sandbox = desk.start(&arguments);
    assert_eq!(sandbox.api_key, key, "a folder keeps its keys");
    let after = desk.controlled(&sandbox, &["list"]);
    for name in ["policies", "queued", "transactions"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    assert_eq!(after["clock"]["ahead_ms"], 600_000, "the clock is not set back");
    assert_eq!(sandbox.poll(&consumer, "order-17")["status"], "p");
    desk.controlled(&sandbox, &["clock", "+1h"]);
    let told = partner.notified(&sandbox, 3);
    // All three are due at once, and order between notifications is not promised.
    let told: BTreeSet<&str> = told.iter().map(|body| body["policy"]["ensuro_id"].as_str().unwrap()).collect();
    assert_eq!(told, ids.iter().map(String::as_str).collect(), "each of them, once");
}

/// Killed right after each answer: the notification goes out once, whichever life sends it.
#[test]
fn what_is_owed_arrives_once_although_it_is_killed_all_the_time() {
    let (desk, partner) = (Desk::new(), Partner::start(0));
    let notify = partner.receiver.url();
    let arguments = ["--notify", &notify, "--delay", "0s"];
    let mut ids = BTreeSet::new();
    for _ in 0..4 {
        let sandbox = desk.start(&arguments);
        ids.insert(sandbox.buy(30));
        sandbox.kill9();
    }
    let sandbox = desk.start(&arguments);
    // The last one is behind all that was owed before.
    ids.insert(sandbox.buy(30));
    let sent = || -> BTreeSet<String> {
        let received = partner.receiver.requests();
        let id =
            |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap()["policy"]["ensuro_id"].clone();
        received.iter().map(|request| id(&request.body).as_str().unwrap().to_owned()).collect()
    };
    crate::process::harness::wait_for("all that is owed", crate::process::harness::PATIENCE, || {
        Some(()).filter(|()| sent() == ids)
    });
    let listed = desk.program(&["list", "--json", "--server", &sandbox.api.url()]).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let events: Vec<&str> =
        listed["deliveries"].as_array().unwrap().iter().map(|row| row["event"].as_str().unwrap()).collect();
    let distinct: BTreeSet<&&str> = events.iter().collect();
    assert_eq!((events.len(), distinct.len()), (ids.len(), ids.len()), "one delivery for each: {listed}");
}

#[test]
fn one_folder_has_one_sandbox_and_one_port_too() {
    let desk = Desk::new();
    let sandbox = desk.start(&[]);
    let second = |arguments: &[&str]| desk.program(&["sandbox"]).args(arguments).output().unwrap();
    let same_folder = second(&["--folder", "kept", "--listen", "127.0.0.1:0"]);
    assert_eq!(same_folder.status.code(), Some(75));
    assert!(stderr(&same_folder).contains("a sandbox runs in") && stderr(&same_folder).contains("--folder"));
    let address = sandbox.api.url().replace("http://", "");
    let same_port = second(&["--listen", &address]);
    assert_eq!(same_port.status.code(), Some(78));
    assert!(stderr(&same_port).contains("is in use by another process") && stderr(&same_port).contains("--listen"));
}

#[test]
fn a_damaged_journal_is_told_and_a_torn_one_goes_on() {
    let desk = Desk::new();
    let sandbox = desk.start(&["--delay", "0s"]);
    sandbox.ensuro("/new-policy", &wanted("5", 10)).expect(200);
    sandbox.wait_for("owed", |_| true);
    assert_eq!(sandbox.terminate().code(), Some(0));
    let path = desk.path().join("kept/journal.ndjson");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, whole.clone() + "{\"accepted\":{\"at\":\"2026").unwrap();
    let sandbox = desk.start(&[]);
    sandbox.wait_for("trouble", |it| it["what"].as_str().unwrap().contains("half a line"));
    assert_eq!(desk.controlled(&sandbox, &["list"])["policies"].as_array().unwrap().len(), 1);
    sandbox.kill9();
    std::fs::write(&path, whole.replacen("5.000000", "five", 1)).unwrap();
    let output = desk.program(&["sandbox", "--folder", "kept", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{}", stderr(&output));
    assert!(stderr(&output).contains("is damaged at line 3"), "{}", stderr(&output));
    assert_eq!(json!(std::fs::read_to_string(&path).unwrap().contains("five")), json!(true), "it is left as it is");
}
