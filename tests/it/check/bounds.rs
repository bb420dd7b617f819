//! A receiver with which nothing can be told is told of in one sentence, and none can hold the check.

use std::time::{Duration, Instant};

use postrider::endpoint::Scheme;
use serde_json::Value;

use super::partner::{Fault, start};
use super::{HMAC, Place};
use crate::receivers::certificates::{Authority, Identity};
use crate::receivers::{Answer, Door, Receiver};

/// Only the first case failed, in these words, and nothing else was tried.
#[track_caller]
fn assert_stopped(place: &Place, words: &str, stopped: &str, parts: [&str; 2]) {
    let found = place.check(words);
    assert_eq!(found.exit, 1);
    assert_eq!(found.with("fail").into_iter().collect::<Vec<_>>(), ["basics/reached"], "{:#}", found.document);
    assert!(found.with("pass").is_empty() && found.with("warn").is_empty(), "{:#}", found.document);
    let said = found.document["stopped"].as_str().unwrap();
    assert!(said.contains(stopped) && said.ends_with(": the rest was not tried"), "{said}");
    let finding = found.finding("basics/reached");
    let told = format!("{} {}", finding["seen"], finding["fix"]);
    for part in parts {
        assert!(told.contains(part), "{told} does not say {part}");
    }
}

#[test]
fn what_cannot_be_reached_or_is_no_receiver_is_told_in_one_sentence() {
    let place = Place::new();
    let check = |url: &str, stopped: &str, parts: [&str; 2]| {
        assert_stopped(&place, &format!("{url} --secret-file hmac --timeout 500ms"), stopped, parts);
    };
    let mut gone = start(&[Scheme::Hmac], Fault::None);
    gone.stop();
    check(&gone.url(), "it cannot be reached", ["connection refused", "Start the receiver"]);
    let hangs = Receiver::start(|_| Answer::hang());
    check(&hangs.url(), "no answer in time", ["gave no answer within 500 ms", "do the work afterwards"]);
    let moved = start(&[Scheme::Hmac], Fault::Moved);
    check(&moved.url(), "it redirects", ["https://partner.example/new?token=***", "Register the URL"]);
    let closes = Receiver::start(|_| Answer::close());
    check(&closes.url(), "no answer in HTTP", ["closed", "HTTP: check the port"]);
    let nothing = Receiver::start(|_| Answer::status(404));
    check(&nothing.url(), "nothing takes notifications at that URL", ["answered 404", "path"]);
    let tls = Receiver::behind(Door::Greet, true);
    check(&tls.url(), "no trusted TLS connection", ["TLS", "TLS 1.2 or newer"]);
    let expired = Receiver::start_tls(&Authority::new().expired(&["127.0.0.1"]), |_| Answer::status(200));
    check(&expired.url(), "no trusted TLS connection", ["certificate", "certificate"]);
    let own = Receiver::start_tls(&Identity::self_signed(&["127.0.0.1"]), |_| Answer::status(200));
    check(&own.url(), "no trusted TLS connection", ["certificate", "--ca"]);
}

#[test]
fn another_secret_is_told_once_and_not_in_every_case() {
    let place = Place::new();
    let receiver = start(&[Scheme::Hmac], Fault::None);
    std::fs::write(place.path("other"), "an0therSecret").unwrap();
    let words = format!("{} --secret-file other", receiver.url());
    assert_stopped(&place, &words, "does not believe even a notification", ["answered 401", "same secret"]);
    assert_eq!(receiver.requests().len(), 3, "and in the two ways in which others write JSON");
}

#[test]
fn a_receiver_of_a_private_authority_is_trusted_when_it_is_named() {
    let place = Place::new();
    let authority = Authority::new();
    std::fs::write(place.path("ca.pem"), authority.pem()).unwrap();
    let receiver = Receiver::start_tls(&authority.identity(&["127.0.0.1"]), |_| Answer::status(200));
    let found = place.check(&format!("{} --profile octamile --ca ca.pem", receiver.url()));
    found.assert(&[], &[]);
    assert_eq!(found.finding("basics/https")["result"], "pass");
    std::fs::write(place.path("no.pem"), "no certificate").unwrap();
    let output = place.run(&format!("check {} --profile octamile --ca no.pem", receiver.url()));
    assert_eq!(output.status.code(), Some(74));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no PEM file"));
}

/// Each of the five forgeries runs into the timeout of a second: one after another would take five.
#[test]
fn a_receiver_that_hangs_on_forgeries_does_not_hold_the_check() {
    let receiver = start(&[Scheme::Hmac], Fault::HangsOnForgery);
    let begun = Instant::now();
    let found = Place::new().check(&format!("{} --secret-file hmac --timeout 1s --only signature", receiver.url()));
    let took = begun.elapsed();
    found.assert(
        &["signature/empty", "signature/half", "signature/missing", "signature/other-body", "signature/other-key"],
        &[],
    );
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(found.finding("signature/missing")["fix"].as_str().unwrap().contains("Express 4"));
}

#[test]
fn a_receiver_that_takes_nothing_is_not_put_to_the_rest() {
    let receiver = Receiver::start(|_| Answer::status(500));
    let found = Place::new().check(&format!("{} --secret-file hmac", receiver.url()));
    assert_eq!(found.with("fail").len(), 9, "the first, and each type: {:#}", found.document);
    assert!(found.document["stopped"].as_str().unwrap().contains("it took no notification"));
    assert!(found.with("pass").is_empty() && found.with("warn").is_empty(), "{:#}", found.document);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    let receiver = start(&[Scheme::Hmac], Fault::None);
    let (place, url) = (Place::new(), receiver.url());
    for (words, exit, part) in [
        (format!("{url} --secret-file hmac --only signatur"), 2, "is signature meant?"),
        (format!("{url} --secret-file hmac --only signature --skip signature"), 2, "leaves nothing"),
        (format!("{url} --secret-file hmac --only types/declined"), 2, "no case or group"),
        (format!("{url} --secret-file hmac --junit - --html -"), 2, "stdout can have one"),
        (format!("{url} --secret-file hmac --junit not/there/x.xml"), 66, "cannot be written"),
        (format!("{url} --secret-file hmac --timeout 1h"), 65, "the timeout must be from"),
        (format!("{url} --profile octamile --secret-file hmac"), 65, "not signed"),
        (url.clone(), 65, "give the shared secret"),
        (format!("{url} --secret-file hmac --set polcy.payout=1"), 65, "there is no polcy in this notification"),
        ("ftp://127.0.0.1/x --secret-file hmac".to_owned(), 65, "https://"),
        ("http://10.0.0.7/x --secret-file hmac".to_owned(), 65, "10.0.0.0/8"),
        ("--secret-file hmac".to_owned(), 2, "<URL>"),
        (format!("{url} --profile svix --secret-file hmac"), 2, "ensuro, octamile or standard"),
    ] {
        let output = place.run(&format!("check {words}"));
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(exit), "{words}: {err}");
        assert!(err.contains(part) && !err.contains(HMAC) && output.stdout.is_empty(), "{words}: {err}");
    }
    assert!(receiver.requests().is_empty());
}

#[test]
fn a_field_that_the_receiver_knows_is_set_wherever_there_is_one() {
    let place = Place::new();
    let receiver = Receiver::start(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        Answer::status(if body["trnsctnId"] == "TX-1" { 200 } else { 404 })
    });
    let url = receiver.url();
    assert_stopped(&place, &format!("{url} --profile octamile"), "nothing takes notifications", ["404", "--set"]);
    let found = place.check(&format!("{url} --profile octamile --set trnsctnId=TX-1"));
    found.assert(&[], &["fields/unknown-transaction"]);
}

#[test]
fn the_cases_are_listed_without_a_receiver() {
    let place = Place::new();
    let output = place.run("check --list --profile octamile --json");
    let cases: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let ids: Vec<&str> = cases.iter().map(|case| case["case"].as_str().unwrap()).collect();
    assert!(ids.contains(&"size/certificate-200kb") && !ids.contains(&"signature/missing"), "{ids:?}");
    let told = String::from_utf8(place.run("check --list").stdout).unwrap();
    assert!(told.contains("signature/other-v") && told.contains("Retry policy"), "{told}");
}
