//! Bad input: each kind is its own problem, says what to do and where, and nothing of it is stored.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Api, Reply};
use super::{Stand, envelope};
use crate::process::harness::PATIENCE;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// What is sent, and what is to come of it.
struct Case {
    body: Vec<u8>,
    status: u16,
    name: &'static str,
    /// The JSON pointer of the first error, where there is to be one.
    pointer: Option<&'static str>,
    /// What the detail, or that of an error, is to say.
    says: &'static str,
}

fn case(body: impl Into<Vec<u8>>, status: u16, name: &'static str, pointer: Option<&'static str>) -> Case {
    Case { body: body.into(), status, name, pointer, says: "" }
}

impl Case {
    fn saying(self, says: &'static str) -> Self {
        Case { says, ..self }
    }

    #[track_caller]
    fn check(&self, reply: &Reply) {
        let shown = String::from_utf8_lossy(&self.body[..self.body.len().min(200)]).into_owned();
        assert_eq!(reply.status, self.status, "{shown} was answered {}", reply.text());
        let problem = reply.problem(self.status, self.name);
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        if let Some(pointer) = self.pointer {
            assert!(
                errors.iter().any(|error| error["pointer"] == pointer),
                "{shown}: no error at {pointer} in {problem}"
            );
        }
        for error in &errors {
            assert!(error["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        }
        let all = problem.to_string();
        assert!(all.contains(self.says), "{shown}: nothing of {:?} in {all}", self.says);
    }
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

fn envelopes() -> Vec<Case> {
    let at = |pointer| Some(pointer);
    vec![
        case("", 400, "malformed-json", None),
        case("{", 400, "malformed-json", None),
        case("{\"type\":\"a\",}", 400, "malformed-json", None),
        case("{\"type\":\"a\",\"body\":1} {}", 400, "malformed-json", None),
        case("{\"type\":\"a\",\"body\":01}", 400, "malformed-json", None),
        case("{\"type\":\"a\",\"body\":nul}", 400, "malformed-json", None),
        case("{'type':'a'}", 400, "malformed-json", None),
        case(b"\xef\xbb\xbf{\"type\":\"a\",\"body\":1}", 400, "malformed-json", None),
        case(b"{\"type\":\"thing\",\"body\":\"\xff\"}", 400, "bad-utf-8", None),
        case(b"\xff\xfe{\x00}\x00", 400, "bad-utf-8", None),
        case(format!("{{\"type\":\"thing\",\"body\":{}}}", nested(100_000)), 400, "too-deep", None),
        case(nested(100_000), 400, "too-deep", None),
        case("[]", 422, "invalid-envelope", at("")),
        case("\"text\"", 422, "invalid-envelope", at("")),
        case("7", 422, "invalid-envelope", at("")),
        case("{}", 422, "invalid-envelope", None).saying("body"),
        case(r#"{"type":"thing"}"#, 422, "invalid-envelope", None).saying("body"),
        case(r#"{"type":7,"body":1}"#, 422, "invalid-envelope", at("/type")),
        case(r#"{"type":"","body":1}"#, 422, "invalid-envelope", at("/type")),
        case(r#"{"type":"with space","body":1}"#, 422, "invalid-envelope", at("/type")),
        case(format!(r#"{{"type":"{}","body":1}}"#, "x".repeat(500)), 422, "invalid-envelope", at("/type")),
        case(r#"{"id":7,"type":"thing","body":1}"#, 422, "invalid-envelope", at("/id")),
        case(r#"{"id":"","type":"thing","body":1}"#, 422, "invalid-envelope", at("/id")),
        case(r#"{"id":"a/b","type":"thing","body":1}"#, 422, "invalid-envelope", at("/id")),
        case(format!(r#"{{"id":"{}","type":"thing","body":1}}"#, "i".repeat(65)), 422, "invalid-envelope", at("/id")),
        case(r#"{"type":"thing","endpoint":7,"body":1}"#, 422, "invalid-envelope", at("/endpoint")),
        case(r#"{"type":"thing","endpoint":[],"body":1}"#, 422, "invalid-envelope", at("/endpoint")),
        case(r#"{"type":"thing","endpoint":["acme",7],"body":1}"#, 422, "invalid-envelope", None),
        case(r#"{"type":"thing","endpoint":"no such!","body":1}"#, 422, "invalid-envelope", at("/endpoint")),
    ]
}

/// Each is well formed, and asks for what cannot be.
fn wishes() -> Vec<Case> {
    let at = |pointer| Some(pointer);
    vec![
        case(r#"{"type":"thing","endpoint":"acmee","body":1}"#, 422, "unknown-endpoint", None).saying("acme"),
        case(r#"{"type":"thing","endpoint":["acme","zzz"],"body":1}"#, 422, "unknown-endpoint", None).saying("zzz"),
        case(
            r#"{"type":"thing","endpoint":"acme","to":"http://127.0.0.1:1/","profile":"standard","body":1}"#,
            422,
            "invalid-envelope",
            at("/to"),
        ),
        case(r#"{"type":"thing","to":"http://127.0.0.1:1/","body":1}"#, 422, "invalid-envelope", at("/profile")),
        case(
            r#"{"type":"thing","to":"http://127.0.0.1:1/","profile":"standart","body":1}"#,
            422,
            "invalid-envelope",
            at("/profile"),
        ),
        case(r#"{"type":"thing","profile":"standard","body":1}"#, 422, "invalid-envelope", at("/profile")),
        case(
            r#"{"type":"thing","endpoint":"acme","secret":"whsec_AAAA","body":1}"#,
            422,
            "invalid-envelope",
            at("/secret"),
        ),
        case(r#"{"type":"thing","to":"http://10.0.0.1/","profile":"octamile","body":1}"#, 422, "invalid-event", None),
        case(r#"{"type":"thing","to":"ftp://127.0.0.1/","profile":"octamile","body":1}"#, 422, "invalid-event", None),
        case(
            r#"{"type":"thing","to":"http://127.0.0.1:1/","profile":"standard","body":1}"#,
            422,
            "invalid-event",
            None,
        ),
        case(r#"{"type":"thing","boddy":1,"body":2}"#, 422, "invalid-envelope", at("/boddy")).saying("boddy"),
        case(r#"{"tpye":"thing","body":2}"#, 422, "invalid-envelope", at("/tpye")).saying("type"),
        case(r#"{"type":"thing","type":"thing","body":1}"#, 422, "invalid-envelope", at("/type")),
        case(r#"{"type":"thing","body":1,"body":1}"#, 422, "invalid-envelope", at("/body")),
        case(r#"{"endpoint":"acme","body":{"no":"type"}}"#, 422, "invalid-event", None).saying("type"),
        case(r#"{"type":"thing","content_type":"a\nb","endpoint":"acme","body":1}"#, 422, "invalid-event", None),
        case(r#"{"type":"policy/nothing","endpoint":"ensuro","body":{"a":1}}"#, 422, "invalid-event", None),
    ]
}

#[test]
fn a_bad_envelope_is_its_own_problem_and_nothing_is_stored() {
    let stand = with_ensuro();
    let mut wire = stand.api.connect();
    for case in envelopes().into_iter().chain(wishes()) {
        case.check(&stand.api.ask("POST", "/v1/events", JSON, &case.body));
        // And again on a connection that is kept: a refusal does not spoil it.
        wire.send(stand.api.head("POST", "/v1/events", JSON, Some(case.body.len())));
        let _ = wire.try_send(&case.body);
        case.check(&wire.reply().unwrap());
    }
    assert_eq!(stand.stored(), (0, 0));
    stand.api.post("/v1/events", &envelope("well", "acme", &nested(100))).expect(201);
    stand.stop();
}

fn with_ensuro() -> Stand {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    let ensuro = r#"{"name":"ensuro","url":"http://127.0.0.1:1/","profile":"ensuro","secret":"T0pS3cretOfNobody"}"#;
    stand.api.post("/v1/endpoints", ensuro).expect(201);
    stand
}

#[test]
fn bad_parameters_of_a_raw_event_are_told_and_nothing_is_stored() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    let ask =
        |query: &str, headers: &[(&str, &str)]| stand.api.ask("POST", &format!("/v1/events?{query}"), headers, b"body");
    let cases = [
        ("tpye=thing&endpoint=acme", 400, "invalid-parameter"),
        ("type=thing&type=thing", 400, "invalid-parameter"),
        ("type=with%20space&endpoint=acme", 400, "invalid-parameter"),
        ("type=thing&id=a/b", 400, "invalid-parameter"),
        ("type=thing&endpoint=no%20such", 400, "invalid-parameter"),
        ("type=thing&endpoint=acme&to=http://127.0.0.1:1/&profile=standard", 400, "invalid-parameter"),
        ("type=thing&to=http://127.0.0.1:1/", 400, "invalid-parameter"),
        ("type=thing&to=http://127.0.0.1:1/&profile=nothing", 400, "invalid-parameter"),
        ("type=thing&endpoint=%ff", 400, "invalid-parameter"),
        ("endpoint=acme", 422, "invalid-event"),
    ];
    for (query, status, name) in cases {
        let reply = ask(query, &[("content-type", "text/plain")]);
        assert_eq!(reply.status, status, "{query} was answered {}", reply.text());
        reply.problem(status, name);
    }
    let empty = stand.api.ask("POST", "/v1/events?type=thing&endpoint=acme", &[], b"");
    empty.problem(422, "invalid-event");
    let unknown = ask("type=thing&endpoint=acmee", &[]);
    assert!([400, 422].contains(&unknown.status), "{}", unknown.text());
    assert!(unknown.text().contains("acme"), "{}", unknown.text());
    let long = "k".repeat(256);
    for key in ["", "\"\"", "grüße", long.as_str(), "a\tb"] {
        ask("type=thing&endpoint=acme", &[("idempotency-key", key)]).problem(400, "invalid-parameter");
    }
    ask("type=thing&endpoint=acme", &[("idempotency-key", "a"), ("idempotency-key", "b")])
        .problem(400, "invalid-parameter");
    assert_eq!(stand.stored(), (0, 0));
    stand.stop();
}

#[test]
fn what_is_no_route_of_ours_is_told_apart() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    let api = &stand.api;
    for path in ["/", "/v1", "/v1/", "/v1/events/", "/v2/events", "/v1/events/a/b/c", "/v1/Events", "/..%2fv1/events"] {
        api.get(path).problem(404, "not-found");
    }
    for (method, path, allowed) in [
        ("DELETE", "/v1/events", "POST"),
        ("GET", "/v1/events/batch", "POST"),
        ("PUT", "/v1/endpoints/acme", "PATCH"),
        ("POST", "/v1/status", "GET"),
        ("BREW", "/v1/deliveries", "GET"),
    ] {
        let reply = api.ask(method, path, &[], b"");
        // `batch` is an id too.
        if reply.status != 404 {
            reply.problem(405, "method-not-allowed");
            assert!(reply.header("allow").is_some_and(|allow| allow.contains(allowed)), "{method} {path}: {reply:?}");
        }
    }
    for path in [
        "/v1/events/nothing",
        "/v1/events/nothing/why",
        "/v1/deliveries/dlv_9",
        "/v1/deliveries/nine",
        "/v1/deliveries/dlv_99999999999999999999",
        "/v1/endpoints/nobody",
        "/v1/deliveries/dlv_9/why",
    ] {
        api.get(path).problem(404, "not-found");
    }
    for path in [
        "/v1/events/nothing/retry",
        "/v1/deliveries/dlv_9/cancel",
        "/v1/endpoints/nobody/pause",
        "/v1/endpoints/nobody/resume",
    ] {
        api.ask("POST", path, &[], b"").problem(404, "not-found");
    }
    assert!(api.get("/v1/endpoints/acmee").problem(404, "not-found")["detail"].as_str().unwrap().contains("acme"));
    for query in [
        "state=nothing",
        "limit=0",
        "limit=1001",
        "limit=x",
        "cursor=x",
        "since=yesterdayish",
        "surprise=1",
        "endpoint=nobody",
        "event=a/b",
        "limit=1&limit=2",
        "type=with%20space",
    ] {
        let reply = api.get(&format!("/v1/deliveries?{query}"));
        assert_eq!(reply.status, 400, "{query} was answered {}", reply.text());
        reply.problem(400, "invalid-parameter");
    }
    api.get("/v1/schedule?of=nobody").problem(400, "invalid-parameter");
    api.get("/v1/events/stream?after=x").problem(400, "invalid-parameter");
    api.ask("GET", "/v1/events/stream", &[("last-event-id", "x")], b"").problem(400, "invalid-parameter");
    api.ask("POST", "/v1/events", &[("content-type", "text/plain")], b"{}").problem(415, "unsupported-media-type");
    api.ask("POST", "/v1/events", &[], b"{}").problem(415, "unsupported-media-type");
    assert_eq!(stand.stored(), (0, 0));
    stand.stop();
}

#[test]
fn bad_endpoints_are_told_and_not_stored() {
    let stand = Stand::new();
    let new = |members: &str| {
        let reply = stand.api.post("/v1/endpoints", &format!("{{{members}}}"));
        assert_eq!(reply.status, 422, "{members} was answered {}", reply.text());
        let problem = reply.json();
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        problem
    };
    let url = r#""url":"http://127.0.0.1:1/""#;
    let pointed = [
        (format!(r#""name":"a b",{url},"profile":"standard""#), "/name"),
        (format!(r#""name":"a",{url},"profile":"nothing""#), "/profile"),
        (format!(r#""name":"a",{url},"profile":"standard","secret":"short""#), "/secret"),
        (format!(r#""name":"a",{url},"profile":"standard","subscriptions":["*x"]"#), "/subscriptions"),
        (format!(r#""name":"a",{url},"profile":"standard","success":"fine""#), "/success"),
        (format!(r#""name":"a",{url},"profile":"standard","timeout_ms":"soon""#), "/timeout_ms"),
        (format!(r#""name":"a",{url},"profile":"standard","concurrency":-1"#), "/concurrency"),
        (format!(r#""name":"a",{url},"profile":"standard","concurency":1"#), "/concurency"),
    ];
    for (members, pointer) in pointed {
        let problem = new(&members);
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        assert!(errors.iter().any(|error| error["pointer"] == pointer), "{members}: {problem}");
    }
    for members in [
        r#""name":"a","url":"not a url","profile":"standard""#.to_owned(),
        r#""name":"a","url":"http://10.1.2.3/","profile":"standard""#.to_owned(),
        format!(r#""name":"a",{url},"profile":"standard","timeout_ms":1"#),
        format!(r#""name":"a",{url},"profile":"standard","timeout_ms":9223372036854775807"#),
        format!(r#""name":"a",{url},"profile":"standard","schedule_ms":[-1]"#),
        format!(r#""name":"a",{url},"profile":"standard","schedule_ms":[9223372036854775807,9223372036854775807]"#),
        format!(r#""name":"a",{url},"profile":"standard","concurrency":0"#),
        format!(r#""name":"a",{url},"profile":"standard","rate_per_second":0"#),
        format!(r#""name":"a",{url},"profile":"standard","headers":{{"Host":"x"}}"#),
        format!(r#""name":"a",{url},"profile":"standard","headers":{{"x":"a\nb"}}"#),
    ] {
        new(&members);
    }
    assert_eq!(stand.api.get("/v1/endpoints").expect(200)["endpoints"], Value::Array(vec![]));
    stand.stop();
}

/// Sends a head, and pieces until it is answered; tells the answer and how much had been sent by then.
fn pour(api: &Api, head: &str, piece: &[u8], most: usize) -> (Reply, usize) {
    let mut wire = api.connect();
    wire.send(head);
    let mut writer = wire.other_half();
    let (sent, sending) = (&AtomicUsize::new(0), &AtomicBool::new(true));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while sending.load(Ordering::SeqCst)
                && sent.fetch_add(piece.len(), Ordering::SeqCst) < most
                && writer.try_send(piece).is_ok()
            {}
        });
        let reply = wire.reply().unwrap();
        let sent = sent.load(Ordering::SeqCst);
        sending.store(false, Ordering::SeqCst);
        (reply, sent)
    })
}

#[test]
fn a_huge_body_is_refused_without_being_read_to_its_end() {
    let stand = Stand::with("[store]\nmax_body_bytes = 100000\n");
    stand.add_hopeless("acme");
    let api = &stand.api;
    // By its length, before any of it is sent.
    let mut wire = api.connect();
    wire.send(api.head("POST", "/v1/events", JSON, Some(1 << 40)));
    let begun = Instant::now();
    wire.reply().unwrap().problem(413, "too-large");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // Chunked, so that only reading tells.
    let piece = [b"10000\r\n".as_slice(), &[b'x'; 1 << 16], b"\r\n"].concat();
    for target in ["/v1/events", "/v1/events?type=thing&endpoint=acme", "/v1/endpoints", "/v1/replays"] {
        let (reply, sent) = pour(api, &api.head("POST", target, JSON, None), &piece, 1 << 30);
        reply.problem(413, "too-large");
        assert!(sent < 1 << 26, "{target}: {sent} bytes were taken");
    }
    let just = format!("\"{}\"", "x".repeat(100_000 - 2));
    api.post("/v1/events", &envelope("just", "acme", &just)).expect(201);
    api.post("/v1/events", &envelope("over", "acme", &format!(" {just}").replacen('x', "xx", 1)))
        .problem(413, "too-large");
    let raw = |bytes: usize| api.ask("POST", "/v1/events?type=thing&endpoint=acme", &[], &vec![0; bytes]);
    raw(100_000).expect(201);
    raw(100_001).problem(413, "too-large");
    assert_eq!(stand.stored(), (2, 2));
    stand.stop();
}

#[test]
fn a_slow_upload_and_a_slow_head_end() {
    let stand = Stand::with("[api]\nrequest_timeout_ms = 500\n");
    stand.add_hopeless("acme");
    let api = &stand.api;
    let body = envelope("slow", "acme", "1");
    // Half a body and nothing more; and a byte now and then, for ever.
    for drip in [false, true] {
        let begun = Instant::now();
        let mut wire = api.connect();
        wire.send(api.head("POST", "/v1/events", JSON, Some(body.len())) + &body[..20]);
        let mut writer = wire.other_half();
        let dripping = std::thread::spawn(move || {
            for _ in 0..if drip { 100 } else { 0 } {
                std::thread::sleep(Duration::from_millis(100));
                if writer.try_send(" ").is_err() {
                    return;
                }
            }
        });
        wire.reply().unwrap().problem(408, "slow-request");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        drop(wire);
        dripping.join().unwrap();
    }
    // A head that does not end: no request, so whether it is told or cut off is the same.
    let mut wire = api.connect();
    wire.send("POST /v1/events HTTP/1.1\r\nhost: localh");
    let begun = Instant::now();
    if let Ok(reply) = wire.reply() {
        assert_eq!(reply.status, 408, "{reply:?}");
    }
    assert!(begun.elapsed() < PATIENCE / 3, "{:?}", begun.elapsed());
    assert_eq!(stand.stored(), (0, 0));
    api.post("/v1/events", &body).expect(201);
    stand.stop();
}

#[test]
fn heads_that_are_huge_or_nonsense_are_refused() {
    let stand = Stand::new();
    let api = &stand.api;
    let cases = [
        ("a header", format!("GET /v1/status HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(1 << 20)), 431),
        ("headers", format!("GET /v1/status HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(1000)), 431),
        ("a target", format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(1 << 20)), 414),
        ("words", "what is this\r\n\r\n".to_owned(), 400),
        ("TLS", "\x16\x03\x01\x02\x00\x01\x00".to_owned(), 400),
        (
            "two lengths",
            "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"
                .to_owned(),
            400,
        ),
    ];
    for (what, text, status) in cases {
        let mut wire = api.connect();
        let _ = wire.try_send(&text);
        wire.shut();
        match wire.reply() {
            Ok(reply) => {
                assert!(reply.status == status || (what == "a target" && reply.status == 431), "{what}: {reply:?}")
            }
            // Cut off: the server had more to read than it wanted.
            Err(error) => assert!(text.len() > 1000 || what == "TLS", "{what}: {error}"),
        }
    }
    // A length and chunks at once is how requests are smuggled past a proxy: one of the two must not win silently.
    let mut wire = api.connect();
    wire.send(
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\
         transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    assert!((400..500).contains(&wire.reply().unwrap().status));
    api.get("/v1/status").expect(200);
    assert_eq!(stand.stored(), (0, 0));
    stand.stop();
}

/// A connection on which nothing can follow says so, or the next request of its user would fail for no reason it can see.
#[test]
fn a_refusal_before_the_body_was_read_closes_the_connection_and_says_so() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    let mut wire = stand.api.connect();
    wire.send(stand.api.head("POST", "/v1/events", &[("content-type", "text/plain")], Some(2)));
    let reply = wire.reply().unwrap();
    reply.problem(415, "unsupported-media-type");
    assert_eq!(reply.header("connection"), Some("close"));
    // Where all of it was read, the connection is kept.
    let mut wire = stand.api.connect();
    for _ in 0..2 {
        let head = stand.api.head("POST", "/v1/events", &[("content-type", "application/json")], Some(2));
        wire.send(head + "[]");
        let reply = wire.reply().unwrap();
        reply.problem(422, "invalid-envelope");
        assert_eq!(reply.header("connection"), None);
    }
    stand.stop();
}
