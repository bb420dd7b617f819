//! The log of a whole day: one wide line for each attempt, readable by programs, and no secret in any.

use std::collections::BTreeMap;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use postrider::endpoint::Overrides;
use postrider::store::{Filter, NewEndpoint, Page, Store};
use postrider::time::Span;

use super::harness::{Daemon, Home, PATIENCE, SECRET, endpoint, overrides, program};
use crate::receivers::{Answer, Receiver};

/// In a header that the operator set, and in the query of the URL.
const TOKEN: &str = "token-in-a-header-58c1";
const QUERY: &str = "key-in-a-query-77a0";
const BODY: &[u8] = b"{\"what\":\"nobody but the receiver may read this\"}";

/// Endpoints of every kind of outcome.
fn add_all_kinds(home: &Home, receiver: &Receiver) {
    let url = |path: &str| format!("{}?key={QUERY}", receiver.url().replace("hook", path));
    let headers = vec![("authorization".to_owned(), format!("Bearer {TOKEN}"))];
    let common = Overrides { headers, timeout: Some(Span::from_ms(300)), ..overrides(&[20, 20]) };
    for name in ["accepted", "rejected", "hangs", "gone", "resets"] {
        home.add(NewEndpoint { overrides: common.clone(), ..endpoint(name, &url(name)) });
    }
    let unreachable = format!("http://127.0.0.1:1/hook?key={QUERY}");
    home.add(NewEndpoint { overrides: common.clone(), ..endpoint("unreachable", &unreachable) });
    let foreign = format!("https://127.0.0.1:{}/hook?key={QUERY}", receiver.port());
    home.add(NewEndpoint { overrides: common, ..endpoint("no-tls", &foreign) });
}

fn all_kinds() -> Receiver {
    Receiver::start(|request| match request.path.split('?').next().unwrap() {
        "/accepted" => Answer::status(200),
        "/hangs" => Answer::hang(),
        "/gone" => Answer::status(410),
        "/resets" => Answer::reset(),
        _ => Answer::with(500, &[("retry-after", "\x1b[2Jsoon")], b"\x1b[31mred"),
    })
}

#[test]
fn each_attempt_is_one_line_and_no_line_holds_a_secret() {
    let home = Home::new();
    let receiver = all_kinds();
    add_all_kinds(&home, &receiver);
    for number in 0..5 {
        home.enqueue(&format!("event-{number}"), BODY);
    }
    // Delivered ones are told at this level only.
    let mut command = program(&home);
    command.arg("serve").env("POSTRIDER_LOG_LEVEL", "debug");
    let mut daemon = Daemon::spawn(command);
    home.wait_until_settled();
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    let lines = daemon.lines();
    for line in &lines {
        let told: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(["timestamp", "level", "message"].iter().all(|key| told[key].is_string()), "{line}");
        assert!(line.bytes().all(|byte| byte >= b' '), "{line:?}");
    }
    assert_eq!(told_attempts(&daemon), kept_attempts(&home));
    assert_secret_free(&lines.join("\n"), &receiver);
}

/// Delivery, number and outcome of each attempt, as often as it was told.
fn told_attempts(daemon: &Daemon) -> BTreeMap<(String, u64, String), u32> {
    let mut told = BTreeMap::new();
    for line in daemon.told("attempt ended") {
        let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("{key} of {line}")).to_owned();
        assert!(line["of"].is_u64() && line["duration_ms"].is_u64(), "{line}");
        for key in ["event", "type", "endpoint", "profile", "verdict"] {
            text(key);
        }
        let attempt = (text("delivery"), line["attempt"].as_u64().unwrap(), text("outcome"));
        *told.entry(attempt).or_default() += 1;
    }
    told
}

/// The same from the store, once each.
fn kept_attempts(home: &Home) -> BTreeMap<(String, u64, String), u32> {
    let mut store = home.store();
    let mut kept = BTreeMap::new();
    for listed in store.deliveries(&Filter::default(), Page { before: None, limit: 1000 }).unwrap() {
        let delivery = listed.delivery.id;
        for attempt in store.attempts(delivery).unwrap() {
            kept.insert((delivery.to_string(), attempt.number.into(), attempt.outcome.name().to_owned()), 1);
        }
    }
    assert!(kept.len() > 50, "{kept:?}");
    kept
}

fn assert_secret_free(log: &str, receiver: &Receiver) {
    let secret = String::from_utf8(SECRET.to_vec()).unwrap();
    let hex: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = STANDARD_NO_PAD.encode(SECRET);
    let body = String::from_utf8(BODY.to_vec()).unwrap();
    let body_base64 = STANDARD.encode(BODY);
    let listed = format!("{:?}", &SECRET[..8]);
    let listed = listed.trim_matches(['[', ']']);
    let mut secrets =
        vec![&secret, &hex, &base64, &body, &body_base64].into_iter().map(String::as_str).collect::<Vec<_>>();
    secrets.extend([listed, TOKEN, QUERY, "nobody but the receiver"]);
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    for request in receiver.requests() {
        let signature = request.header("webhook-signature").unwrap();
        assert!(!log.contains(signature.trim_start_matches("v1,")), "{signature} is in the log");
        assert_eq!(request.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    }
}

#[test]
fn a_log_that_nobody_reads_any_more_stops_nothing() {
    let home = Home::new();
    let receiver = Receiver::start(|_| Answer::status(200));
    let acme = home.add(endpoint("acme", &receiver.url()));
    let mut command = program(&home);
    let mut child =
        command.arg("serve").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Its reading end is closed here.
    drop(child.stderr.take());
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        home.enqueue_many("unlogged", 20, &acme);
        receiver.wait_for(20, PATIENCE);
        assert_eq!(home.wait_until_settled().delivered, 20);
        child.try_wait().unwrap()
    }));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ended.unwrap(), None);
}
