//! Events that are taken: carried byte for byte, answered after the commit, and taken once however often they come.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use postrider::access::Scope;
use postrider::event::EventId;
use postrider::store::Store;
use sha2::Sha256;

use super::{Stand, envelope, well};
use crate::process::harness::{PATIENCE, SECRET};
use crate::receivers::Received;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// HMAC-SHA256 of `id.timestamp.body`, as Standard Webhooks has it, without a line of our own code.
#[track_caller]
fn assert_signed(request: &Received) {
    let header = |name: &str| request.header(name).unwrap().to_owned();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(&request.body);
    assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
}

#[track_caller]
fn arrived(requests: &[Received], id: &str) -> Received {
    let request = requests.iter().find(|request| request.header("webhook-id") == Some(id));
    request.unwrap_or_else(|| panic!("{id} did not arrive")).clone()
}

#[test]
fn the_body_of_an_envelope_is_carried_byte_for_byte() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[]);
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let long = format!("\"{}\"", "long ".repeat(100_000));
    let bodies = [
        "1.10",
        "1e400",
        "-0.0",
        "123456789012345678901234567890.000",
        "null",
        "\"\"",
        "[ 1 ,\n\t2\r\n]",
        r#"{ "a" : 1.10,"b":1E+2 , "a":2 }"#,
        r#""\u0041\/\u00e9\ud83d\ude00\n""#,
        r#"{"z":1,"body":{"body":2},"a":"é😀\u2028"}"#,
        &deep,
        &long,
    ];
    for (number, body) in bodies.iter().enumerate() {
        let text = format!(
            " {{ \"id\":\"odd-{number}\",\r\n \"body\" : {body} ,\"endpoint\":[\"acme\"],\"type\":\"thing.happened\"}}\n"
        );
        stand.api.post("/v1/events", &text).expect(201);
    }
    let requests = receiver.wait_for(bodies.len(), PATIENCE);
    for (number, body) in bodies.iter().enumerate() {
        let request = arrived(&requests, &format!("odd-{number}"));
        assert!(request.body == body.as_bytes(), "{body:.60} became {:.60}", String::from_utf8_lossy(&request.body));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_signed(&request);
    }
    let shown = stand.api.get("/v1/events/odd-7?body=true").expect(200);
    assert_eq!(shown["event"]["body"], bodies[7]);
    stand.stop();
}

#[test]
fn a_raw_body_of_any_content_type_is_carried_byte_for_byte() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[]);
    let all: Vec<u8> = (0..=255).collect();
    let cases: [(&str, Option<&str>, &[u8]); 6] = [
        ("text", Some("text/plain; charset=utf-8"), "grüße\r\n".as_bytes()),
        ("bytes", Some("application/octet-stream"), &all),
        ("json", Some("application/json"), b"{ \"not\" : json"),
        ("xml", Some("application/xml"), b"<a/>"),
        ("form", Some("application/x-www-form-urlencoded"), b"a=1&b=2"),
        ("untold", None, b"\x00\xff"),
    ];
    for (id, content_type, body) in cases {
        let target = format!("/v1/events?type=thing.happened&endpoint=acme&id={id}");
        let headers: Vec<(&str, &str)> = content_type.map(|value| ("content-type", value)).into_iter().collect();
        stand.api.ask("POST", &target, &headers, body).expect(201);
    }
    let requests = receiver.wait_for(cases.len(), PATIENCE);
    for (id, content_type, body) in cases {
        let request = arrived(&requests, id);
        assert_eq!(request.body, body);
        assert_eq!(request.header("content-type"), content_type.or(Some("application/octet-stream")));
        assert_signed(&request);
    }
    stand.stop();
}

#[test]
fn a_chunked_body_is_as_good_as_one_with_a_length() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[]);
    let mut wire = stand.api.connect();
    // Twice on one connection.
    for id in ["first", "second"] {
        wire.send(stand.api.head("POST", "/v1/events", JSON, None));
        for piece in envelope(id, "acme", "{\"in\":  \"pieces\"}").as_bytes().chunks(7) {
            wire.chunk(piece);
        }
        wire.end();
        assert_eq!(wire.reply().unwrap().expect(201)["event"], id);
    }
    assert!(receiver.wait_for(2, PATIENCE).iter().all(|request| request.body == b"{\"in\":  \"pieces\"}"));
    stand.stop();
}

#[test]
fn the_answer_names_the_event_and_all_that_it_is_owed_to() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[]);
    stand.add("bolt", &receiver, &[]);
    let reply = stand.api.post("/v1/events", r#"{"type":"thing.happened","body":{}}"#);
    let accepted = reply.expect(201);
    let event = accepted["event"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), Some(format!("/v1/events/{event}").as_str()));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("idempotency-replayed"), None);
    assert_eq!(accepted["type"], "thing.happened");
    let mut endpoints: Vec<&str> =
        accepted["deliveries"].as_array().unwrap().iter().map(|owed| owed["endpoint"].as_str().unwrap()).collect();
    endpoints.sort_unstable();
    assert_eq!(endpoints, ["acme", "bolt"], "all that subscribe");
    let shown = stand.api.get(reply.header("location").unwrap()).expect(200);
    assert_eq!(shown["event"]["id"], event.as_str());
    assert_eq!(shown["event"]["body"], serde_json::Value::Null, "only if it is asked for");
    // It answered, so it is in the file.
    assert!(stand.home.store().event(&EventId::parse(&event).unwrap()).unwrap().is_some());

    let one = stand.api.post("/v1/events", &envelope("one", "bolt", "1")).expect(201);
    assert_eq!(one["deliveries"].as_array().unwrap().len(), 1);
    assert_eq!(one["deliveries"][0]["endpoint"], "bolt");
    let to = format!(
        r#"{{"id":"off","type":"thing.happened","to":"{}","profile":"standard","secret":"whsec_{}","body":1}}"#,
        receiver.url(),
        STANDARD.encode(SECRET)
    );
    let off = stand.api.post("/v1/events", &to).expect(201);
    assert!(off["deliveries"][0]["endpoint"].as_str().unwrap().starts_with("one-off-"), "{off}");
    for request in receiver.wait_for(4, PATIENCE) {
        assert_signed(&request);
    }
    stand.stop();
}

#[test]
fn the_same_id_again_gets_the_same_answer_and_no_second_delivery() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[]);
    let first = stand.api.post("/v1/events", &envelope("once", "acme", "{\"a\":1}"));
    let again = stand.api.post("/v1/events", &envelope("once", "acme", "{\"a\":1}"));
    assert_eq!((first.expect(201), first.header("idempotency-replayed")), (again.expect(201), None));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("location"), Some("/v1/events/once"));
    for other in [envelope("once", "acme", "{\"a\": 1}"), envelope("once", "acme", "{\"a\":2}")] {
        stand.api.post("/v1/events", &other).problem(422, "id-taken");
    }
    let other_type = envelope("once", "acme", "{\"a\":1}").replace("thing.happened", "thing.else");
    stand.api.post("/v1/events", &other_type).problem(422, "id-taken");
    assert_eq!(stand.stored(), (1, 1));
    stand.home.wait_until_settled();
    assert_eq!(receiver.requests().len(), 1);
    stand.stop();
}

#[test]
fn an_idempotency_key_makes_one_event_quoted_or_bare() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[]);
    let with_key = |key: &str, body: &str| {
        stand.api.ask("POST", "/v1/events", &[JSON[0], ("idempotency-key", key)], body.as_bytes())
    };
    let body = r#"{"type":"thing.happened","endpoint":"acme","body":{"a":1}}"#;
    let first = with_key("\"8e03978e-40d5\"", body);
    for key in ["\"8e03978e-40d5\"", "8e03978e-40d5"] {
        let again = with_key(key, body);
        assert_eq!(again.expect(201), first.expect(201));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    with_key("8e03978e-40d5", &body.replace('1', "2")).problem(422, "key-taken");
    with_key("8e03978e-40d5", &body.replace("{\"type\"", "{\"id\":\"mine\",\"type\"")).problem(422, "key-taken");
    let event = first.expect(201)["event"].as_str().unwrap().to_owned();
    let named = body.replace("{\"type\"", &format!("{{\"id\":\"{event}\",\"type\""));
    assert_eq!(
        with_key("8e03978e-40d5", &named).expect(201)["event"],
        event.as_str(),
        "key and id name the same event"
    );
    assert_ne!(with_key("another", body).expect(201)["event"], event.as_str());
    assert_eq!(stand.stored(), (2, 2));
    let raw = |body: &[u8]| {
        let target = "/v1/events?type=thing.happened&endpoint=acme";
        stand.api.ask("POST", target, &[("idempotency-key", "raw"), ("content-type", "text/plain")], body)
    };
    assert_eq!(raw(b"x").expect(201)["event"], raw(b"x").expect(201)["event"]);
    raw(b"y").problem(422, "key-taken");
    stand.stop();
}

#[test]
fn two_tokens_may_use_the_same_idempotency_key() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    let apis = [stand.token("one", Scope::Enqueue), stand.token("two", Scope::Enqueue)];
    let body = r#"{"type":"thing.happened","endpoint":"acme","body":1}"#;
    let ask = |api: &super::Api| {
        api.ask("POST", "/v1/events", &[JSON[0], ("idempotency-key", "k")], body.as_bytes()).expect(201)["event"]
            .clone()
    };
    assert_ne!(ask(&apis[0]), ask(&apis[1]));
    assert_eq!(ask(&apis[0]), ask(&apis[0]));
    assert_eq!(stand.stored(), (2, 2));
    stand.stop();
}

#[test]
fn the_same_request_many_times_at_once_makes_one_event() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[]);
    let by_key = r#"{"type":"thing.happened","endpoint":"acme","body":1}"#.to_owned();
    for (round, body) in [envelope("at-once", "acme", "1"), by_key].into_iter().enumerate() {
        let key = format!("key-{round}");
        let headers: &[(&str, &str)] = if round == 0 { JSON } else { &[JSON[0], ("idempotency-key", key.as_str())] };
        let replies: Vec<_> = std::thread::scope(|scope| {
            let ask = || stand.api.ask("POST", "/v1/events", headers, body.as_bytes());
            let asked: Vec<_> = (0..24).map(|_| scope.spawn(ask)).collect();
            asked.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (done, others): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 201);
        assert!(!done.is_empty());
        assert!(done.iter().all(|reply| reply.json() == done[0].json()));
        assert_eq!(done.iter().filter(|reply| reply.header("idempotency-replayed").is_none()).count(), 1);
        others.iter().for_each(|reply| drop(reply.problem(409, "in-progress")));
        println!("round {round}: {} of 24 were answered, {} told to ask again", done.len(), others.len());
        assert_eq!(stand.stored(), (round as u64 + 1, round as u64 + 1));
    }
    stand.home.wait_until_settled();
    assert_eq!(receiver.requests().len(), 2);
    stand.stop();
}

#[test]
fn the_trace_of_the_request_is_kept_with_the_event() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let ask = |id: &str, parent: &str| {
        let headers = [JSON[0], ("traceparent", parent), ("tracestate", "vendor=1")];
        stand.api.ask("POST", "/v1/events", &headers, envelope(id, "acme", "1").as_bytes()).expect(201);
        stand.home.store().event(&EventId::parse(id).unwrap()).unwrap().unwrap().trace
    };
    let kept = ask("traced", parent).expect("a trace");
    assert!(kept.traceparent().contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{kept:?}");
    assert_eq!(kept.tracestate(), Some("vendor=1"));
    // What is no trace context is no reason to lose an event.
    assert_eq!(ask("untraced", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"), None);
    stand.stop();
}

#[test]
fn an_event_to_a_url_that_nobody_registered_goes_out_at_once() {
    let stand = Stand::new();
    let receiver = well();
    for number in 1..=3 {
        let event = format!(
            r#"{{"type":"thing.happened","to":"{}?{number}","profile":"standard","secret":"whsec_{}","body":1}}"#,
            receiver.url(),
            STANDARD.encode(SECRET)
        );
        stand.api.post("/v1/events", &event).expect(201);
        // Endpoints are read anew every 30 s whatever happens: that would be too late.
        receiver.wait_for(number, Duration::from_secs(10));
    }
    stand.stop();
}
