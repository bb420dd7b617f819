//! The strings in whatever a caller of the HTTP API may write, and what comes of them in answers, logs, metrics and the
//! stream of outcomes.

use std::process::Stdio;
use std::time::Duration;

use super::command::filled;
use super::strings::{FORGED, Shown, strings};
use super::tally::Tally;
use crate::campaign::Campaign;
use crate::harness::{Daemon, Home, LENIENT, PATIENCE, endpoint, overrides, program};
use crate::raw::{Back, address, exchange, in_json, percent, request};
use crate::receivers::{Answer, Receiver};
use postrider::store::NewEndpoint;

/// How a string gets into a request.
#[derive(Clone, Copy)]
enum Written {
    /// Byte for byte.
    Raw,
    /// In a path or a query.
    Percent,
    /// Within a string of JSON.
    Json,
    /// As `\u` escapes of JSON, half a pair of surrogates besides.
    Escaped,
}

/// Head and body; `{}` is the string.
struct Place {
    head: &'static str,
    body: &'static str,
    written: Written,
}

const fn at(head: &'static str, written: Written) -> Place {
    Place { head, body: "", written }
}

const fn in_body(head: &'static str, body: &'static str, written: Written) -> Place {
    Place { head, body, written }
}

const JSON: &str = "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
const BATCH: &str = "POST /v1/events/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson";
const ADD: &str = "POST /v1/endpoints HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
const EDIT: &str = "PATCH /v1/endpoints/shop HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
const REPLAY: &str = "POST /v1/replays HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";

use Written::{Escaped, Json, Percent, Raw};

const PLACES: &[Place] = &[
    at("GET /{} HTTP/1.1\r\nhost: localhost", Raw),
    at("GET /{} HTTP/1.1\r\nhost: localhost", Percent),
    at("{} /v1/status HTTP/1.1\r\nhost: localhost", Raw),
    at("GET /v1/events/{} HTTP/1.1\r\nhost: localhost", Percent),
    at("GET /v1/events/{}/why HTTP/1.1\r\nhost: localhost", Percent),
    at("GET /v1/deliveries/{} HTTP/1.1\r\nhost: localhost", Percent),
    at("GET /v1/deliveries?state={} HTTP/1.1\r\nhost: localhost", Percent),
    at("GET /v1/deliveries?endpoint={} HTTP/1.1\r\nhost: localhost", Percent),
    at("GET /v1/deliveries?event={} HTTP/1.1\r\nhost: localhost", Percent),
    at("GET /v1/deliveries?type={}&since={} HTTP/1.1\r\nhost: localhost", Percent),
    at("GET /v1/deliveries?limit={}&cursor={} HTTP/1.1\r\nhost: localhost", Percent),
    at("GET /v1/deliveries?{}=1 HTTP/1.1\r\nhost: localhost", Percent),
    at("GET /v1/schedule?profile={} HTTP/1.1\r\nhost: localhost", Percent),
    at("GET /v1/endpoints/{} HTTP/1.1\r\nhost: localhost", Percent),
    at("DELETE /v1/endpoints/{} HTTP/1.1\r\nhost: localhost", Percent),
    at("POST /v1/endpoints/{}/pause HTTP/1.1\r\nhost: localhost", Percent),
    at("POST /v1/events/{}/retry HTTP/1.1\r\nhost: localhost", Percent),
    at("GET /v1/status HTTP/1.1\r\nhost: {}", Raw),
    at("GET /v1/status HTTP/1.1\r\nhost: localhost\r\norigin: {}", Raw),
    at("GET /v1/status HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: {}", Raw),
    at("GET /v1/status HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}", Raw),
    at("GET /v1/status HTTP/1.1\r\nhost: localhost\r\n{}: 1", Raw),
    at("GET /v1/events/stream HTTP/1.1\r\nhost: localhost\r\nlast-event-id: {}", Raw),
    at("GET /v1/events/stream?after={} HTTP/1.1\r\nhost: localhost", Percent),
    in_body("POST /v1/events?id={} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain", "x", Percent),
    in_body("POST /v1/events?type={} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain", "x", Percent),
    in_body("POST /v1/events?endpoint={} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain", "x", Percent),
    in_body("POST /v1/events?type=a.b HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain; a={}", "x", Raw),
    in_body("POST /v1/events?type=a.b HTTP/1.1\r\nhost: localhost\r\ncontent-type: {}", "x", Raw),
    in_body("POST /v1/events?type=a.b HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain", "{}", Raw),
    in_body(
        "POST /v1/events?type=a.b HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\nidempotency-key: {}",
        "x",
        Raw,
    ),
    in_body(
        "POST /v1/events?type=a.b HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ntraceparent: {}\r\ntracestate: {}",
        "x",
        Raw,
    ),
    in_body("PATCH /v1/endpoints/shop HTTP/1.1\r\nhost: localhost\r\nif-match: {}", "{}", Raw),
    in_body(JSON, "{}", Raw),
    in_body(JSON, r#"{"id": "{}", "type": "a.b", "body": 1}"#, Json),
    in_body(JSON, r#"{"id": "{}", "type": "a.b", "body": 1}"#, Raw),
    in_body(JSON, r#"{"id": "{}", "type": "a.b", "body": 1}"#, Escaped),
    in_body(JSON, r#"{"type": "{}", "body": 1}"#, Json),
    in_body(JSON, r#"{"type": "a.b", "endpoint": "{}", "body": 1}"#, Json),
    in_body(JSON, r#"{"type": "a.b", "endpoint": ["shop", "{}"], "body": 1}"#, Json),
    in_body(JSON, r#"{"type": "a.b", "endpoint": "shop", "content_type": "text/{}", "body": 1}"#, Json),
    in_body(JSON, r#"{"type": "a.b", "to": "{}", "profile": "octamile", "body": 1}"#, Json),
    in_body(JSON, r#"{"type": "a.b", "to": "http://127.0.0.1:1/{}", "profile": "{}", "body": 1}"#, Json),
    in_body(
        JSON,
        r#"{"type": "a.b", "to": "http://127.0.0.1:1/", "profile": "standard", "secret": "{}", "body": 1}"#,
        Json,
    ),
    in_body(JSON, r#"{"{}": 1, "type": "a.b", "body": 1}"#, Json),
    in_body(JSON, r#"{"{}": 1, "type": "a.b", "body": 1}"#, Escaped),
    in_body(
        JSON,
        r#"{"type": "policy/creation", "endpoint": "acme", "body": {"type": "{}", "policy": {"{}": "{}"}}}"#,
        Json,
    ),
    in_body(
        JSON,
        r#"{"endpoint": "oct", "body": {"status": "d", "statusNote": "{}", "trnsctnId": "{}", "product": "{}"}}"#,
        Json,
    ),
    in_body(JSON, r#"{"type": "a.b", "endpoint": "shop", "body": "{}"}"#, Json),
    in_body(JSON, r#"{"type": "a.b", "endpoint": "shop", "body": "{}"}"#, Escaped),
    in_body(BATCH, "{}\n", Raw),
    in_body(BATCH, "{\"id\": \"{}\", \"type\": \"a.b\", \"body\": 1}\n{\"{}\": 1}\n", Json),
    in_body(BATCH, "{\"id\": \"a\", \"type\": \"{}\", \"body\": 1}\n", Escaped),
    in_body(ADD, r#"{"name": "{}", "url": "http://127.0.0.1:1/", "profile": "octamile"}"#, Json),
    in_body(ADD, r#"{"name": "n", "url": "{}", "profile": "octamile"}"#, Json),
    in_body(ADD, r#"{"name": "n", "url": "http://{}.example/", "profile": "octamile"}"#, Json),
    in_body(ADD, r#"{"name": "n", "url": "http://127.0.0.1:1/{}?{}", "profile": "octamile"}"#, Json),
    in_body(ADD, r#"{"name": "n", "url": "http://127.0.0.1:1/", "profile": "{}"}"#, Json),
    in_body(
        ADD,
        r#"{"name": "n", "url": "http://127.0.0.1:1/", "profile": "octamile", "subscriptions": ["{}"]}"#,
        Json,
    ),
    in_body(
        ADD,
        r#"{"name": "n", "url": "http://127.0.0.1:1/", "profile": "octamile", "headers": {"x-a": "{}"}}"#,
        Json,
    ),
    in_body(ADD, r#"{"name": "n", "url": "http://127.0.0.1:1/", "profile": "octamile", "headers": {"{}": "a"}}"#, Json),
    in_body(ADD, r#"{"name": "n", "url": "http://127.0.0.1:1/", "profile": "standard", "secret": "whsec_{}"}"#, Json),
    in_body(ADD, r#"{"name": "n", "url": "http://127.0.0.1:1/", "profile": "ensuro", "key": "{}"}"#, Json),
    in_body(EDIT, r#"{"success": "{}"}"#, Json),
    in_body(EDIT, r#"{"signature_header": "{}"}"#, Json),
    in_body(EDIT, r#"{"headers": {"x-{}": "b"}}"#, Json),
    in_body(EDIT, r#"{"headers": {"x-b": "{}"}}"#, Escaped),
    in_body(REPLAY, r#"{"state": "{}", "endpoint": "{}"}"#, Json),
    in_body(REPLAY, r#"{"type": "{}", "since": "{}"}"#, Json),
];

pub fn run(campaign: &Campaign, tally: &Tally) {
    let receiver = Receiver::start(|_| Answer::status(200));
    let home = Home::with(&format!("{LENIENT}[api]\n"));
    for (name, path) in [("shop", "/shop"), ("other", "/other")] {
        home.add(NewEndpoint { overrides: overrides(&[]), ..endpoint(name, &receiver.url().replace("/hook", path)) });
    }
    let daemon = Daemon::start(&home);
    let place = address(&daemon);
    let mut dice = campaign.dice(200);
    let strings = strings();
    for where_to in PLACES {
        let chosen: Vec<&Vec<u8>> = match campaign.pick(true, false) {
            true => (0..8).map(|_| dice.pick(&strings)).collect(),
            false => strings.iter().collect(),
        };
        for string in chosen {
            ask(&place, where_to, string, tally);
        }
    }
    home.wait_until_settled();
    look_at_metrics(&place, tally);
    look_at_stream(&place, tally);
    assert_eq!(daemon.told("panicked").len(), 0);
    look_at_log(&daemon.stop(), tally);
    look_at_requests(&receiver, tally);
    as_text(&home, campaign, tally);
}

fn ask(address: &str, place: &Place, string: &[u8], tally: &Tally) {
    let name = format!("{} {}", place.head.replace("\r\nhost: localhost", ""), place.body);
    let string = match place.written {
        Written::Raw => string.to_vec(),
        Written::Percent => percent(string).into_bytes(),
        Written::Json => in_json(string),
        Written::Escaped => escaped(string),
    };
    tally.tried(&name);
    let in_body = place.body.contains("{}");
    let head = if in_body { place.head.as_bytes().to_vec() } else { filled(place.head, &string) };
    let bytes = request(&head, &filled(place.body, &string));
    let patience = if place.head.contains("/stream") { Duration::from_millis(60) } else { PATIENCE };
    let back = match exchange(address, &bytes, patience) {
        Ok(back) => back,
        Err(error) => return tally.wrong(&name, format_args!("it does not answer: {error}")),
    };
    look_at(&name, &back, tally);
    if back.status() >= 500 {
        tally.wrong(&name, String::from_utf8_lossy(&back.body));
    }
}

fn look_at(name: &str, back: &Back, tally: &Tally) {
    tally.look(&format!("{name} (head)"), &back.head, Shown::Head);
    tally.look(&format!("{name} (body)"), &back.body, Shown::Plain);
}

/// Every character as JSON escapes it, and an unpaired surrogate at the end.
fn escaped(string: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(string);
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("{units}\\ud800").into_bytes()
}

fn look_at_metrics(address: &str, tally: &Tally) {
    let back = exchange(address, &request(b"GET /metrics HTTP/1.1\r\nhost: localhost", b""), PATIENCE).unwrap();
    look_at("/metrics", &back, tally);
    let text = String::from_utf8_lossy(&back.body).into_owned();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if !(line.starts_with("postrider_") || line.starts_with("process_")) || line.contains(FORGED) {
            tally.wrong("/metrics", format_args!("the line {line:?}"));
        }
    }
    assert!(text.contains("postrider_deliveries_ended_total"), "{text}");
}

/// Nothing stands in it but what its format knows, and each outcome is one JSON value on one line.
fn look_at_stream(address: &str, tally: &Tally) {
    let head = b"GET /v1/events/stream?after=0 HTTP/1.1\r\nhost: localhost";
    let back = exchange(address, &request(head, b""), Duration::from_secs(1)).unwrap();
    look_at("the stream", &back, tally);
    let text = String::from_utf8_lossy(&back.body).into_owned();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.lines().filter(|line| !line.is_empty()) {
        let data = line.strip_prefix("data: ").map(serde_json::from_str::<serde_json::Value>);
        let known = ["id: ", "event: ", "retry: ", ":"].iter().any(|prefix| line.starts_with(prefix));
        if !known && !matches!(data, Some(Ok(_))) {
            tally.wrong("the stream", format_args!("the line {line:?}"));
        }
    }
    assert!(text.contains("data: {"), "nothing was told by the stream: {text}");
}

/// Each line is a JSON object by itself.
fn look_at_log(lines: &[String], tally: &Tally) {
    for line in lines {
        tally.look("the log in JSON", line.as_bytes(), Shown::Plain);
        let told = serde_json::from_str::<serde_json::Value>(line);
        if !told.is_ok_and(|told| told["message"].is_string() && told["FORGED"].is_null()) {
            tally.wrong("the log in JSON", format_args!("the line {line:?}"));
        }
    }
}

/// No header but those that are meant, and each in one line.
pub fn look_at_requests(receiver: &Receiver, tally: &Tally) {
    const MEANT: [&str; 10] = [
        "content-type",
        "user-agent",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "accept",
        "host",
        "content-length",
        "x-b",
        "x-a",
    ];
    for request in receiver.requests() {
        let head = request.head.strip_suffix(b"\r\n\r\n").unwrap_or(&request.head);
        tally.look("what is sent", head, Shown::Head);
        for (name, _) in &request.headers {
            if !MEANT.contains(&name.to_ascii_lowercase().as_str()) && !name.starts_with("x-m4rk") {
                tally.wrong("what is sent", format_args!("the header {name:?}"));
            }
        }
    }
    assert!(!receiver.requests().is_empty(), "nothing was sent");
}

/// The same requests, some of them, to a daemon whose log is for people.
fn as_text(home: &Home, campaign: &Campaign, tally: &Tally) {
    let mut command = program(home);
    command.args(["serve", "--log-format", "text", "--log-level", "trace"]).stdin(Stdio::null());
    let daemon = Daemon::spawn(command);
    let told = |daemon: &Daemon| {
        let line = daemon.lines().into_iter().find(|line| line.contains("listening address=http://"))?;
        line.split("address=http://").nth(1).map(|rest| rest.split_whitespace().next().unwrap_or("").to_owned())
    };
    let address = crate::harness::wait_for("an address", PATIENCE, || told(&daemon));
    let mut dice = campaign.dice(201);
    let strings = strings();
    for place in PLACES {
        for _ in 0..campaign.pick(2, 10) {
            let string: &Vec<u8> = dice.pick(&strings);
            ask(&address, place, string, tally);
        }
    }
    for line in daemon.stop() {
        tally.look("the log for people", line.as_bytes(), Shown::Plain);
        if !line.starts_with("20") {
            tally.wrong("the log for people", format_args!("the line {line:?}"));
        }
    }
}
