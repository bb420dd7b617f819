//! One notification of each kind: what arrives, and what is said of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postrider::endpoint::{ProfileName, Scheme};
use postrider::event::EventType;
use postrider::provider;
use postrider::signature::{self, Signed};
use serde_json::{Value, json};

use super::{ADDRESS, PATIENCE, Place, V1, hmac_of, verifying};
use crate::receivers::certificates::{Authority, Identity};
use crate::receivers::{Answer, Door, Receiver, Step};

#[test]
fn a_notification_is_signed_sent_and_judged() {
    let (place, receiver) = (Place::new(), verifying());
    let ended = place.run(&format!("ensuro policy/creation --to {} --secret-file secret", receiver.url()));
    assert_eq!(ended.exit, 0, "{}", ended.err);
    let parts = ["policy/creation to http://127.0.0.1", "by hmac", "accepted 200", "thanks", "verdict       delivered"];
    for part in parts {
        assert!(ended.out.contains(part), "{part}: {}", ended.out);
    }
    assert_eq!(ended.err.matches("are allowed here").count(), 1, "{}", ended.err);
    let requests = receiver.wait_for(1, PATIENCE);
    let request = &requests[0];
    assert_eq!((requests.len(), request.method.as_str()), (1, "POST"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(ended.out.contains(&format!("{} bytes", request.body.len())), "{}", ended.out);
    let event_type = EventType::parse("policy/creation").unwrap();
    provider::check(ProfileName::Ensuro, &event_type, &request.body).unwrap();
}

#[test]
fn a_refusal_is_told_with_what_would_follow_and_its_answer_harmless() {
    let (place, receiver) = (Place::new(), verifying());
    let ended = place.run(&format!("ensuro creation --to {} --unsigned", receiver.url()));
    assert_eq!(ended.exit, 1, "{}", ended.err);
    let waits = "not delivered; by the schedule the next attempt is in 30 s (2 of 11)";
    for part in ["signed        no", "rejected 403", "bad \\u{1b}[31msignature", waits] {
        assert!(ended.out.contains(part), "{part}: {}", ended.out);
    }
    let (told, exit) = place.json(&format!("ensuro creation --to {} --unsigned", receiver.url()));
    assert_eq!((told.len(), exit), (1, 1));
    assert_eq!(told[0]["verdict"], "retry");
    assert_eq!((&told[0]["retry_in_ms"], &told[0]["accepted"]), (&json!(30_000), &json!(false)));
    assert_eq!((&told[0]["attempt"]["status"], &told[0]["schemes"]), (&json!(403), &json!([])));
}

#[test]
fn every_type_of_each_provider_passes_its_rules() {
    let (place, receiver) = (Place::new(), verifying());
    let (told, exit) = place.json(&format!("ensuro --all --to {} --secret-file secret", receiver.url()));
    assert_eq!((told.len(), exit), (9, 0), "{told:#?}");
    let types: Vec<&str> = told[..8].iter().map(|told| told["type"].as_str().unwrap()).collect();
    assert_eq!(types, provider::ensuro::TYPES);
    assert_eq!(told[8]["summary"]["outcomes"], json!({"accepted 200": 8}));
    for (request, name) in receiver.requests().iter().zip(types) {
        provider::check(ProfileName::Ensuro, &EventType::parse(name).unwrap(), &request.body).unwrap();
    }
    let octamile = Receiver::start(|_| Answer::status(200));
    let ended = place.run(&format!("octamile --all --to {}", octamile.url()));
    assert!(ended.exit == 0 && ended.out.contains("2 accepted 200"), "{}", ended.out);
    for (request, name) in octamile.requests().iter().zip(["policy/approved", "policy/declined"]) {
        assert!(request.header("x-ensuro-signature").is_none());
        provider::check(ProfileName::Octamile, &EventType::parse(name).unwrap(), &request.body).unwrap();
    }
}

#[test]
fn other_schemes_sign_as_their_receivers_verify() {
    let (place, receiver) = (Place::new(), Receiver::start(|_| Answer::status(200)));
    let to = receiver.url();
    let ended = place.run(&format!("ensuro creation --to {to} --key-file key"));
    assert!(ended.exit == 0 && ended.out.contains(&format!("by eip191 ({ADDRESS})")), "{}", ended.out);
    let more = "--header X-Shop:7 --header Authorization:Bearer";
    assert_eq!(place.run(&format!("standard order.paid --to {to} --secret-file v1 {more}")).exit, 0);
    let requests = receiver.requests();
    let address = signature::read_verify_key(Scheme::Eip191, ADDRESS.as_bytes()).unwrap();
    let signed = Signed { event_id: "", timestamp: 0, body: &requests[0].body };
    signature::verify(&address, requests[0].header("x-eip191-signature").unwrap(), &signed).unwrap();
    let (id, timestamp) = ("webhook-id", "webhook-timestamp");
    let header = |name: &str| requests[1].header(name).unwrap();
    let signed =
        Signed { event_id: header(id), timestamp: header(timestamp).parse().unwrap(), body: &requests[1].body };
    let key = signature::read_verify_key(Scheme::V1, V1.as_bytes()).unwrap();
    signature::verify(&key, header("webhook-signature"), &signed).unwrap();
    assert_eq!((header("x-shop"), header("authorization")), ("7", "Bearer"));
    let body: Value = serde_json::from_slice(&requests[1].body).unwrap();
    assert_eq!(body["type"], "order.paid");
}

#[test]
fn certificates_are_of_the_kind_that_is_asked_for_or_ones_own() {
    let (place, receiver) = (Place::new(), Receiver::start(|_| Answer::status(200)));
    let to = receiver.url();
    for (kind, beginning) in [("jpg", &b"\xff\xd8\xff"[..]), ("png", b"\x89PNG"), ("pdf", b"%PDF-1.")] {
        let ended = place.run(&format!("octamile policy/approved --to {to} --certificate-kind {kind}"));
        assert_eq!(ended.exit, 0, "{}", ended.err);
        let body: Value = serde_json::from_slice(&receiver.requests().last().unwrap().body).unwrap();
        let certificate = STANDARD.decode(body["crtfct"].as_str().unwrap()).unwrap();
        assert!(body["crtfctType"] == kind && certificate.starts_with(beginning));
    }
    let own = [&b"%PDF-1.7 mine"[..], &[0xff; 300_000]].concat();
    place.write("own.pdf", &own);
    let ended = place.run(&format!("octamile approved --to {to} --certificate own.pdf"));
    assert!(ended.exit == 0 && ended.err.contains("Express"), "{}", ended.err);
    let body: Value = serde_json::from_slice(&receiver.requests().last().unwrap().body).unwrap();
    assert!(body["crtfctType"] == "pdf" && STANDARD.decode(body["crtfct"].as_str().unwrap()).unwrap() == own);
}

#[test]
fn a_body_of_ones_own_goes_out_byte_for_byte_and_is_warned_of() {
    let (place, receiver) = (Place::new(), verifying());
    let own = b"{ \"type\" : \"policy/creation\",\r\n\t\"policy\": 1e400, \"\\u00e9\": \"\xc3\xa9\" } ";
    place.write("own", own);
    let ended = place.run(&format!("ensuro --file own --to {} --secret-file secret", receiver.url()));
    assert_eq!(ended.exit, 0, "{}", ended.err);
    assert!(ended.err.contains("warning: ensuro would not send this: "), "{}", ended.err);
    assert!(!ended.out.contains("seed"), "{}", ended.out);
    let requests = receiver.requests();
    assert_eq!(requests[0].body, own);
    assert_eq!(requests[0].header("x-ensuro-signature"), Some(hmac_of(own).as_str()));
}

#[test]
fn an_authority_of_ones_own_is_trusted_when_it_is_named() {
    let (place, authority) = (Place::new(), Authority::new());
    let receiver = Receiver::start_tls(&authority.identity(&["127.0.0.1"]), |_| Answer::status(200));
    let to = receiver.url();
    let refused = place.run(&format!("octamile declined --to {to}"));
    assert_eq!(refused.exit, 1, "{}", refused.out);
    assert!(refused.out.contains("the certificate's issuer is unknown") && refused.out.contains("--ca FILE"));
    place.write("ca.pem", authority.pem());
    let accepted = place.run(&format!("octamile declined --to {to} --ca ca.pem"));
    assert_eq!(accepted.exit, 0, "{}", accepted.out);
    let old = Receiver::start_tls(&authority.expired(&["127.0.0.1"]), |_| Answer::status(200));
    let expired = place.run(&format!("octamile declined --to {} --ca ca.pem", old.url()));
    assert!(expired.exit == 1 && expired.out.contains("the certificate has expired"), "{}", expired.out);
    let alone = Receiver::start_tls(&Identity::self_signed(&["127.0.0.1"]), |_| Answer::status(200));
    assert_eq!(place.run(&format!("octamile declined --to {}", alone.url())).exit, 1);
}

#[test]
fn an_endpoint_that_is_none_is_told_of_in_one_sentence() {
    let place = Place::new();
    let free = format!("127.0.0.1:{}", crate::receivers::free_port());
    let told = |url: &str| {
        let (told, exit) = place.json(&format!("octamile declined --to {url}"));
        assert_eq!(exit, 1);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&told[0]["attempt"]["error"]), text(&told[0]["hint"]))
    };
    let (error, hint) = told(&format!("http://{free}/"));
    assert!(error == "connection refused" && hint.contains("running"), "{error}: {hint}");
    let plain = Receiver::start(|_| Answer::status(200));
    let (_, hint) = told(&format!("{} --timeout 500ms", plain.url().replace("http://", "https://")));
    assert!(hint.contains("http://"), "a plain receiver waits for more of what it takes for a request: {hint}");
    let greeting = Receiver::behind(Door::Greet, false);
    let (error, hint) = told(&greeting.url().replace("http://", "https://"));
    assert!(error.contains("does not speak TLS") && hint.contains("http://"), "{error}: {hint}");
    let other = Receiver::start(|_| Answer(vec![Step::Send(b"220 mail.example\r\n\r\n".to_vec())]));
    let (error, hint) = told(&other.url());
    assert!(error.contains("cannot be read") && hint.contains("does not speak HTTP"), "{error}: {hint}");
}

#[test]
fn a_receiver_that_is_slow_is_told_what_the_contract_is() {
    let place = Place::new();
    let hangs = Receiver::start(|_| Answer::hang());
    let ended = place.run(&format!("octamile declined --to {} --timeout 200ms", hangs.url()));
    assert_eq!(ended.exit, 1);
    for part in ["timed out (answer)", "did not answer within 200 ms", "answer first"] {
        assert!(ended.out.contains(part), "{part}: {}", ended.out);
    }
}
