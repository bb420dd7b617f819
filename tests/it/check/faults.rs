//! Each fault is found by the cases that are meant for it and by no other, and a right receiver is found right.

use std::time::Duration;

use postrider::endpoint::Scheme;

use super::partner::{Fault, start, start_answering};
use super::{Found, Place};
use crate::receivers::{Answer, Receiver, Step};

const ENSURO: &[Scheme] = &[Scheme::Hmac];
const TYPES: [&str; 8] = [
    "types/cancellation",
    "types/cancellation-failed",
    "types/creation",
    "types/creation-failed",
    "types/replacement",
    "types/replacement-failed",
    "types/resolution",
    "types/resolution-failed",
];

/// What is found in an Ensuro receiver that shares the secret.
fn ensuro(receiver: &Receiver) -> Found {
    Place::new().check(&format!("{} --secret-file hmac", receiver.url()))
}

fn octamile(receiver: &Receiver) -> Found {
    Place::new().check(&format!("{} --profile octamile", receiver.url()))
}

#[track_caller]
fn assert_ensuro(fault: Fault, failed: &[&str], warned: &[&str]) {
    ensuro(&start(ENSURO, fault)).assert(failed, warned);
}

#[test]
fn a_right_receiver_passes_whole_in_each_profile_and_scheme() {
    let cases: [(&[Scheme], &str, usize); 6] = [
        (&[Scheme::Hmac], "--secret-file hmac", 33),
        (&[Scheme::Eip191], "--key-file key", 34),
        (&[], "--profile octamile", 20),
        (&[Scheme::V1], "--profile standard --secret-file v1", 26),
        (&[Scheme::V1a], "--profile standard --key-file v1a", 26),
        (&[Scheme::V1, Scheme::V1a], "--profile standard --secret-file v1 --key-file v1a", 26),
    ];
    let place = Place::new();
    for (schemes, arguments, count) in cases {
        let receiver = start(schemes, Fault::None);
        let found = place.check(&format!("{} {arguments}", receiver.url()));
        found.assert(&[], &[]);
        assert_eq!(found.document["passed"], count, "{arguments}: {:#}", found.document);
        let post = |request: &crate::receivers::Received| request.method == "POST" && request.path == "/hook";
        assert!(receiver.requests().iter().all(post));
    }
}

#[test]
fn a_receiver_that_verifies_nothing_or_too_little_is_found() {
    let all = ["signature/empty", "signature/half", "signature/missing", "signature/other-body", "signature/other-key"];
    assert_ensuro(Fault::Credulous, &all, &[]);
    assert_ensuro(Fault::MissingIsFine, &["signature/missing"], &[]);
    assert_ensuro(Fault::Prefix, &["signature/empty", "signature/half"], &[]);
    assert_ensuro(Fault::ThrowsOnLength, &[], &["signature/empty", "signature/half"]);
}

#[test]
fn a_receiver_that_takes_any_ethereum_signature_is_found() {
    let receiver = start(&[Scheme::Eip191], Fault::AnySigner);
    let found = Place::new().check(&format!("{} --key-file key", receiver.url()));
    found.assert(&["signature/other-body", "signature/other-key", "signature/other-v"], &[]);
}

#[test]
fn a_receiver_that_verifies_other_bytes_than_came_is_found() {
    let found = ensuro(&start(ENSURO, Fault::Rewrites));
    found.assert(&["bytes/escapes", "bytes/numbers", "bytes/spacing"], &[]);
    let finding = found.finding("bytes/spacing");
    assert_eq!((&finding["seen"], &finding["answer"]["status"]), (&"answered 401".into(), &401.into()));
    assert!(finding["fix"].as_str().unwrap().contains("request.get_data()"), "{finding}");
    assert!(finding["source"].as_str().unwrap().contains("Notification signature"), "{finding}");
    assert_ensuro(Fault::Latin1, &["bytes/unicode"], &[]);
}

#[test]
fn a_standard_receiver_that_looks_at_too_little_is_found() {
    let place = Place::new();
    for (fault, failed) in [(Fault::Ageless, "signature/old-timestamp"), (Fault::FirstOnly, "signature/two")] {
        let receiver = start(&[Scheme::V1], fault);
        place.check(&format!("{} --profile standard --secret-file v1", receiver.url())).assert(&[failed], &[]);
    }
}

#[test]
fn another_status_than_200_is_told_by_the_types_alone() {
    let found = ensuro(&start(ENSURO, Fault::Created));
    found.assert(&[&["basics/reached"], &TYPES[..]].concat(), &[]);
    let seen = found.finding("types/creation")["seen"].as_str().unwrap();
    assert_eq!(seen, "answered 201, and Ensuro counts only 200");
    let standard = start(&[Scheme::V1], Fault::Created);
    Place::new().check(&format!("{} --profile standard --secret-file v1", standard.url())).assert(&[], &[]);
}

#[test]
fn a_receiver_that_stumbles_over_what_may_come_is_found() {
    assert_ensuro(Fault::RefusesRepeats, &["repeats/five-at-once", "repeats/twice"], &[]);
    assert_ensuro(Fault::Strict, &["fields/new"], &[]);
    assert_ensuro(Fault::WantsQuote, &["fields/null-quote"], &[]);
    assert_ensuro(Fault::ClosedTypes, &[], &["fields/unknown-type"]);
    assert_ensuro(Fault::NeedsCreation, &[], &["fields/unknown-policy", "repeats/out-of-order"]);
    assert_ensuro(Fault::UnknownCrashes, &["fields/unknown-policy", "repeats/out-of-order"], &[]);
    let failures = TYPES.map(|id| id).into_iter().filter(|id| id.ends_with("-failed")).collect::<Vec<_>>();
    assert_ensuro(Fault::NoFailures, &failures, &[]);
}

#[test]
fn a_receiver_that_needs_custom_data_is_found_by_its_absence_alone() {
    assert_ensuro(Fault::WantsCustomData, &["fields/empty-custom-data"], &[]);
    // What is put there on wish is taken out again for that case.
    let receiver = start(ENSURO, Fault::WantsCustomData);
    let arguments = "--secret-file hmac --set policy.custom_data.internalId=7";
    let found = Place::new().check(&format!("{} {arguments}", receiver.url()));
    found.assert(&["fields/empty-custom-data"], &[]);
}

#[test]
fn the_limit_of_express_is_found_and_named() {
    for fault in [Fault::Express, Fault::ExpressHidden] {
        let found = octamile(&start(&[], fault));
        found.assert(&["size/certificate-200kb", "size/certificate-2mb"], &[]);
        let finding = found.finding("size/certificate-200kb");
        assert!(finding["seen"].as_str().unwrap().contains("too large for it"), "{finding}");
        let fix = finding["fix"].as_str().unwrap();
        assert!(fix.contains("Express refuses bodies over 100 kB") && fix.contains("express.json({limit: \"5mb\"})"));
    }
    assert_ensuro(Fault::Express, &[], &["size/large"]);
}

#[test]
fn a_receiver_that_reads_the_certificate_of_a_decline_is_found() {
    // What is written unusually can only stand in the note of a decline.
    octamile(&start(&[], Fault::NoDeclines)).assert(&["bytes/escapes", "bytes/unicode", "types/declined"], &[]);
}

#[test]
fn a_connection_that_is_not_kept_is_a_warning_and_one_that_breaks_a_failure() {
    let closes = start_answering(ENSURO, Fault::None, |_, answer| answer.then_close());
    ensuro(&closes).assert(&[], &["connection/keep-alive"]);
    // The second request on a connection meets its end, without a word.
    let breaks = start_answering(ENSURO, Fault::None, |request, answer| match request.on_connection {
        1 => answer,
        _ => Answer::close(),
    });
    ensuro(&breaks).assert(&["connection/keep-alive"], &[]);
}

#[test]
fn an_answer_without_end_is_a_warning() {
    let found = ensuro(&start_answering(ENSURO, Fault::None, |request, answer| match request.number {
        1 => Answer::endless(200),
        _ => answer,
    }));
    found.assert(&[], &["answer/size"]);
}

#[test]
fn a_slow_receiver_is_a_warning() {
    let slow = start_answering(ENSURO, Fault::None, |_, mut answer| {
        answer.0.insert(0, Step::Pause(Duration::from_millis(1_100)));
        answer
    });
    let arguments = "--secret-file hmac --timeout 2s --only basics,answer";
    Place::new().check(&format!("{} {arguments}", slow.url())).assert(&[], &["answer/in-time"]);
}

#[test]
fn a_receiver_that_serves_one_after_another_is_found() {
    let serial = start_answering(ENSURO, Fault::None, |_, answer| {
        // Nothing else is served meanwhile: the receiver has this one thread.
        std::thread::sleep(Duration::from_millis(100));
        answer
    });
    let arguments = "--secret-file hmac --timeout 1s --only connection/twenty-at-once,repeats/five-at-once";
    Place::new().check(&format!("{} {arguments}", serial.url())).assert(&["connection/twenty-at-once"], &[]);
}
