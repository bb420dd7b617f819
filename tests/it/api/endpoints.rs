//! Receivers over HTTP: registered, listed, edited without undoing another's edit, paused, given new keys, tried, removed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use postrider::endpoint::EndpointName;
use postrider::store::Store;
use serde_json::{Value, json};
use sha2::Sha256;

use super::client::Reply;
use super::{Stand, envelope, shown, wait_for_state, well};
use crate::process::harness::{PATIENCE, wait_for};
use crate::receivers::{Answer, Received, Receiver};

fn add(stand: &Stand, body: &Value) -> Reply {
    stand.api.post("/v1/endpoints", &body.to_string())
}

fn patch(stand: &Stand, name: &str, tag: Option<&str>, body: &Value) -> Reply {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(tag.map(|tag| ("if-match", tag)));
    stand.api.ask("PATCH", &format!("/v1/endpoints/{name}"), &headers, body.to_string().as_bytes())
}

/// Whether one of the signatures of a Standard Webhooks request is that of this secret, and how many there are.
fn signed_by(request: &Received, secret: &str) -> (bool, usize) {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let header = |name: &str| request.header(name).unwrap().to_owned();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(&request.body);
    let right = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let all = header("webhook-signature");
    (all.split(' ').any(|one| one == right), all.split(' ').count())
}

#[test]
fn a_secret_is_made_and_shown_once() {
    let stand = Stand::new();
    let receiver = well();
    let reply = add(&stand, &json!({"name": "acme", "url": receiver.url(), "profile": "standard"}));
    let made = reply.expect(201);
    assert_eq!(reply.header("location"), Some("/v1/endpoints/acme"));
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    let reply = stand.api.get("/v1/endpoints/acme");
    assert!(!reply.text().contains(&secret[6..]) && reply.expect(200)["secret"].is_null(), "{}", reply.text());
    assert!(!stand.api.get("/v1/endpoints").text().contains(&secret[6..]));
    stand.api.post("/v1/events", &envelope("signed", "acme", "1")).expect(201);
    assert_eq!(signed_by(&receiver.wait_for(1, PATIENCE)[0], &secret), (true, 1));

    let given = json!({"name": "own", "url": receiver.url(), "profile": "ensuro", "secret": "T0pS3cretOfNobody"});
    let reply = add(&stand, &given);
    assert!(reply.expect(201)["secret"].is_null() && !reply.text().contains("T0pS3cret"), "{}", reply.text());
    let ensuro = add(&stand, &json!({"name": "made", "url": receiver.url(), "profile": "ensuro"})).expect(201);
    assert_eq!(ensuro["secret"].as_str().map(str::len), Some(64));
    let unsigned = add(&stand, &json!({"name": "octa", "url": receiver.url(), "profile": "octamile"})).expect(201);
    assert!(unsigned["secret"].is_null(), "octamile signs nothing: {unsigned}");
    add(&stand, &given).problem(409, "conflict");
    let listed = stand.api.get("/v1/endpoints").expect(200);
    let names: Vec<&str> =
        listed["endpoints"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let Stand { home: _home, daemon, api: _ } = stand;
    let log = daemon.stop().join("\n");
    assert!(!log.contains(&secret[6..]) && !log.contains("T0pS3cret"), "a secret is in the log");
}

#[test]
fn an_edit_replaces_what_it_names_and_null_is_as_the_profile_says() {
    let stand = Stand::new();
    let receiver = well();
    let new = json!({"name": "acme", "url": receiver.url(), "profile": "standard", "timeout_ms": 2000,
        "schedule_ms": [10, 20], "success": "200,202", "headers": {"x-team": "red"}, "concurrency": 3,
        "rate_per_second": 100, "subscriptions": ["thing.happened"]});
    let added = add(&stand, &new).expect(201);
    assert_eq!((&added["timeout_ms"], &added["schedule_ms"]), (&json!(2000), &json!([10, 20])));
    assert_eq!((&added["success"], &added["headers"]), (&json!("200,202"), &json!(["x-team"])));
    assert_eq!((&added["concurrency"], &added["rate_per_second"]), (&json!(3), &json!(100)));

    let other = well();
    let edited = patch(&stand, "acme", None, &json!({"timeout_ms": 3000, "url": other.url()})).expect(200);
    assert_eq!((&edited["timeout_ms"], &edited["schedule_ms"]), (&json!(3000), &json!([10, 20])));
    assert_eq!(edited["url"], other.url());
    let reset = json!({"timeout_ms": null, "schedule_ms": null, "success": null, "concurrency": null,
        "rate_per_second": null, "headers": {}, "subscriptions": []});
    let reset = patch(&stand, "acme", None, &reset).expect(200);
    assert_eq!((&reset["timeout_ms"], &reset["success"]), (&json!(10_000), &json!("2xx")));
    assert_eq!(reset["schedule_ms"].as_array().unwrap().len(), 10);
    assert_eq!((&reset["overrides"], &reset["rate_per_second"]), (&json!([]), &Value::Null));
    let same = patch(&stand, "acme", None, &json!({})).expect(200);
    assert_eq!(same, reset);
    stand.api.post("/v1/events", &envelope("moved", "acme", "1")).expect(201);
    other.wait_for(1, PATIENCE);
    assert!(receiver.requests().is_empty());

    for bad in [
        json!({"timeout_ms": 1}),
        json!({"url": "http://10.0.0.1/"}),
        json!({"nmae": "x"}),
        json!({"name": "x"}),
        json!([]),
    ] {
        let reply = patch(&stand, "acme", None, &bad);
        assert_eq!(reply.status, 422, "{bad}: {}", reply.text());
    }
    let now = stand.api.get("/v1/endpoints/acme").expect(200);
    assert!(reset.as_object().unwrap().iter().all(|(name, value)| now[name] == *value), "{now} and {reset}");
    patch(&stand, "nobody", None, &json!({})).problem(404, "not-found");
    stand.stop();
}

#[test]
fn if_match_keeps_two_people_from_undoing_each_other() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    let tag = |reply: &Reply| reply.header("etag").expect("an ETag").to_owned();
    let seen = tag(&stand.api.get("/v1/endpoints/acme"));
    assert_eq!(tag(&stand.api.get("/v1/endpoints/acme")), seen);
    let edited = patch(&stand, "acme", Some(&seen), &json!({"timeout_ms": 2000}));
    edited.expect(200);
    assert_ne!(tag(&edited), seen);
    patch(&stand, "acme", Some(&seen), &json!({"timeout_ms": 3000})).problem(412, "precondition-failed");
    assert_eq!(stand.api.get("/v1/endpoints/acme").expect(200)["timeout_ms"], 2000);
    patch(&stand, "acme", Some(&tag(&edited)), &json!({"timeout_ms": 4000})).expect(200);
    patch(&stand, "acme", Some("*"), &json!({"timeout_ms": 5000})).expect(200);
    // The URL's query may be a secret that is not shown, and an edit of it moves the tag all the same.
    let before = tag(&patch(&stand, "acme", None, &json!({"url": "http://127.0.0.1:1/?token=one"})));
    let after = tag(&patch(&stand, "acme", None, &json!({"url": "http://127.0.0.1:1/?token=two"})));
    assert_ne!(before, after);
    patch(&stand, "acme", Some(&before), &json!({"timeout_ms": 6000})).problem(412, "precondition-failed");
    assert!(!stand.api.get("/v1/endpoints/acme").text().contains("two"));
    stand.stop();
}

#[test]
fn a_paused_endpoint_is_owed_and_sent_nothing_until_it_goes_on() {
    let stand = Stand::new();
    let receiver = well();
    stand.add("acme", &receiver, &[50, 50]);
    let paused = stand.api.ask("POST", "/v1/endpoints/acme/pause", &[], b"").expect(200);
    assert_eq!(paused["state"], "paused");
    assert!(paused["since"].as_str().is_some());
    assert_eq!(stand.api.ask("POST", "/v1/endpoints/acme/pause", &[], b"").expect(200)["since"], paused["since"]);
    let accepted = stand.api.post("/v1/events", r#"{"id":"owed","type":"thing.happened","body":1}"#).expect(201);
    assert_eq!(accepted["deliveries"][0]["endpoint"], "acme", "it subscribes still");
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert!(receiver.requests().is_empty());
    let why = stand.api.get("/v1/events/owed/why").expect(200);
    let said = why["deliveries"][0].to_string();
    assert!(said.contains("paused") && said.contains("resume"), "{said}");
    // Also after a restart.
    let stand = Stand::of(stand.stop());
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(receiver.requests().is_empty());
    assert_eq!(stand.api.get("/v1/endpoints/acme").expect(200)["state"], "paused");
    let resumed = stand.api.ask("POST", "/v1/endpoints/acme/resume", &[], b"").expect(200);
    assert_eq!((&resumed["state"], &resumed["since"]), (&json!("active"), &Value::Null));
    wait_for_state(&stand.api, "owed", "delivered");
    assert_eq!(receiver.requests().len(), 1);
    stand.stop();
}

#[test]
fn an_endpoint_that_disabled_itself_goes_on_when_asked_to() {
    let stand = Stand::new();
    let receiver = Receiver::start(|request| Answer::status(if request.number == 1 { 410 } else { 200 }));
    stand.add("acme", &receiver, &[50; 5]);
    stand.api.post("/v1/events", &envelope("gone", "acme", "1")).expect(201);
    wait_for_state(&stand.api, "gone", "dead");
    let shown = stand.api.get("/v1/endpoints/acme").expect(200);
    assert!(shown["state"] == "disabled" && shown["reason"].as_str().is_some_and(|why| why.contains("410")), "{shown}");
    stand.api.post("/v1/events", &envelope("next", "acme", "1")).problem(409, "conflict");
    stand.api.ask("POST", "/v1/events/gone/retry", &[], b"").problem(409, "conflict");
    assert_eq!(stand.api.ask("POST", "/v1/endpoints/acme/resume", &[], b"").expect(200)["state"], "active");
    stand.api.ask("POST", "/v1/events/gone/retry", &[], b"").expect(200);
    wait_for_state(&stand.api, "gone", "delivered");
    stand.stop();
}

#[test]
fn a_rotation_signs_with_both_keys_for_a_while_where_a_scheme_allows_two() {
    let stand = Stand::new();
    let receiver = well();
    let new = json!({"name": "acme", "url": receiver.url(), "profile": "standard"});
    let old = add(&stand, &new).expect(201)["secret"].as_str().unwrap().to_owned();
    let send = |id: &str, number: usize| {
        stand.api.post("/v1/events", &envelope(id, "acme", "1")).expect(201);
        receiver.wait_for(number, PATIENCE).remove(number - 1)
    };
    let rotated = stand.api.post("/v1/endpoints/acme/rotate", r#"{"overlap_ms":2000}"#).expect(200);
    let new = rotated["secret"].as_str().expect("the new secret").to_owned();
    assert_eq!(rotated["keys"].as_array().unwrap().len(), 2, "{rotated}");
    let both = send("both", 1);
    assert_eq!((signed_by(&both, &old), signed_by(&both, &new)), ((true, 2), (true, 2)));
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let alone = send("alone", 2);
    assert_eq!((signed_by(&alone, &old), signed_by(&alone, &new)), ((false, 1), (true, 1)));
    // At once, without overlap, and with a secret that the caller gives.
    let own = format!("whsec_{}", STANDARD.encode([7; 32]));
    let body = json!({"secret": own, "overlap_ms": 0}).to_string();
    let reply = stand.api.post("/v1/endpoints/acme/rotate", &body);
    assert!(reply.expect(200)["secret"].is_null() && !reply.text().contains(&own[6..]));
    let last = send("last", 3);
    assert_eq!((signed_by(&last, &new), signed_by(&last, &own)), ((false, 1), (true, 1)));
    let reply = stand.api.post("/v1/endpoints/acme/rotate", r#"{"overlap_ms":-1}"#);
    assert_eq!(reply.status, 422, "{}", reply.text());
    stand.stop();
}

#[test]
fn a_rotation_of_ensuro_s_key_takes_effect_at_once() {
    let stand = Stand::new();
    let receiver = well();
    let new = json!({"name": "ensuro", "url": receiver.url(), "profile": "ensuro", "secret": "T0pS3cretOfNobody"});
    add(&stand, &new).expect(201);
    let rotated = stand.api.ask("POST", "/v1/endpoints/ensuro/rotate", &[], b"").expect(200);
    let secret = rotated["secret"].as_str().expect("the new secret").to_owned();
    assert_eq!(rotated["keys"].as_array().unwrap().len(), 1);
    stand.api.post("/v1/endpoints/ensuro/test", "{}").expect(200);
    let request = receiver.wait_for(1, PATIENCE).remove(0);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(&request.body);
    let right: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(request.header("x-ensuro-signature"), Some(right.as_str()));
    stand.api.post("/v1/endpoints/nobody/rotate", "{}").problem(404, "not-found");
    stand.stop();
}

#[test]
fn a_test_is_one_attempt_that_is_not_stored() {
    let stand = Stand::new();
    let receiver = Receiver::start(|request| match request.number {
        1 => Answer::with(200, &[], b"thanks"),
        _ => Answer::with(500, &[], b"no"),
    });
    stand.add("acme", &receiver, &[10; 5]);
    let well = stand.api.ask("POST", "/v1/endpoints/acme/test", &[], b"").expect(200);
    assert_eq!((&well["accepted"], &well["endpoint"]), (&json!(true), &json!("acme")));
    assert_eq!((&well["attempt"]["status"], &well["attempt"]["answer"]), (&json!(200), &json!("thanks")));
    let ill = stand.api.post("/v1/endpoints/acme/test", r#"{"type":"my.type","body":{ "a" :1.10}}"#).expect(200);
    assert_eq!(
        (&ill["accepted"], &ill["type"], &ill["attempt"]["status"]),
        (&json!(false), &json!("my.type"), &json!(500))
    );
    let requests = receiver.wait_for(2, PATIENCE);
    assert_eq!(requests[1].body, b"{ \"a\" :1.10}");
    assert!(requests[0].header("webhook-signature").is_some());
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!((receiver.requests().len(), stand.stored()), (2, (0, 0)));
    stand.add_hopeless("nobody");
    let lost = stand.api.ask("POST", "/v1/endpoints/nobody/test", &[], b"").expect(200);
    assert_eq!((&lost["accepted"], &lost["attempt"]["outcome"]), (&json!(false), &json!("unreachable")));
    stand.api.ask("POST", "/v1/endpoints/none/test", &[], b"").problem(404, "not-found");
    stand.stop();
}

#[test]
fn a_removed_endpoint_ends_what_it_is_owed_and_frees_its_name() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    for number in 0..3 {
        stand.api.post("/v1/events", &envelope(&format!("owed-{number}"), "acme", "1")).expect(201);
    }
    // An attempt in flight ends by itself.
    wait_for("three attempts that ended", PATIENCE, || {
        let failed = |number: usize| shown(&stand.api, &format!("owed-{number}"))[0]["attempts"] != json!([]);
        (0..3).all(failed).then_some(())
    });
    let removed = stand.api.ask("DELETE", "/v1/endpoints/acme", &[], b"").expect(200);
    assert_eq!(removed["ended"], 3);
    stand.api.ask("DELETE", "/v1/endpoints/acme", &[], b"").problem(404, "not-found");
    stand.api.get("/v1/endpoints/acme").problem(404, "not-found");
    let dead = wait_for_state(&stand.api, "owed-0", "dead");
    assert!(dead["reason"].as_str().is_some(), "{dead}");
    stand.api.post("/v1/events", &envelope("next", "acme", "1")).problem(422, "unknown-endpoint");
    stand.add_hopeless("acme");
    stand.stop();
}

/// It is ended in parts, and all of it before the answer.
#[test]
fn a_long_backlog_goes_with_its_endpoint() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    stand.api.post("/v1/endpoints/acme/pause", "").expect(200);
    let endpoint = stand.home.store().endpoint_named(&EndpointName::parse("acme").unwrap()).unwrap().unwrap();
    stand.home.enqueue_many("owed", 2600, &endpoint);
    let removed = stand.api.ask("DELETE", "/v1/endpoints/acme", &[], b"").expect(200);
    assert_eq!(removed["ended"], 2600);
    let counts = stand.home.counts();
    assert_eq!((counts.pending, counts.dead), (0, 2600));
    stand.stop();
}
