//! `postrider check` of real receivers: it finds nothing wrong with those that are right, and each mistake by the case that is
//! meant for it, with no other but what follows from it.

use serde_json::Value;

use super::{APPS, App, Place, terms};

/// What `check` tells of one app.
struct Checked {
    app: String,
    exit: i32,
    report: Value,
}

impl Checked {
    /// The cases with this result, in order.
    fn with(&self, result: &str) -> Vec<&str> {
        let findings = self.report["findings"].as_array().unwrap().iter();
        findings.filter(|one| one["result"] == result).map(|one| one["case"].as_str().unwrap()).collect()
    }

    /// As `with`, without what says nothing of the app: Flask's own server speaks HTTP/1.0, and this machine may be busy.
    fn of_app(&self, result: &str) -> Vec<&str> {
        let mut cases = self.with(result);
        if result == "warn" {
            cases.retain(|case| *case != "answer/in-time");
            cases.retain(|case| *case != "connection/keep-alive" || !self.app.ends_with(".py"));
        }
        cases
    }
}

fn check(place: &Place, app: &App, more: &str) -> Checked {
    let output = place.run(&format!("check {} --profile {} --seed 11 --json{more}", app.url(), terms(&app.name)));
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}: {output:?}", app.name));
    Checked { app: app.name.clone(), exit: output.status.code().unwrap(), report }
}

#[test]
fn right_receivers_in_express_and_flask_pass() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for name in APPS {
            let place = &place;
            scope.spawn(move || {
                let app = App::start(name, place, &[]);
                let checked = check(place, &app, "");
                assert_eq!(checked.exit, 0, "{name}: {:#}", checked.report);
                assert_eq!(checked.with("fail"), [""; 0], "{name}");
                // The official package for Python raises what it does not document over half a signature.
                let warned: &[&str] = if name == "standard.py" { &["signature/half"] } else { &[] };
                assert_eq!(checked.of_app("warn"), warned, "{name}: {:#}", checked.report);
            });
        }
    });
}

/// A mistake in an app, and the cases that must tell of it: the one that is meant, and those that follow from it.
struct Mistake {
    app: &'static str,
    fault: &'static str,
    more: &'static str,
    result: &'static str,
    cases: &'static [&'static str],
}

/// It breaks the contract.
const fn mistake(app: &'static str, fault: &'static str, cases: &'static [&'static str]) -> Mistake {
    Mistake { app, fault, more: "", result: "fail", cases }
}

/// No document forbids it.
const fn doubtful(app: &'static str, fault: &'static str, cases: &'static [&'static str]) -> Mistake {
    Mistake { result: "warn", ..mistake(app, fault, cases) }
}

impl Mistake {
    /// With these flags. A receiver that is slow is asked only what is meant for it.
    const fn with(self, more: &'static str) -> Self {
        Mistake { more, ..self }
    }
}

/// What is not taken because nothing is. Later cases look at something else.
const EVERY_ENSURO: &[&str] = &[
    "basics/reached",
    "types/creation",
    "types/creation-failed",
    "types/resolution",
    "types/resolution-failed",
    "types/cancellation",
    "types/cancellation-failed",
    "types/replacement",
    "types/replacement-failed",
];
const EVERY_OCTAMILE: &[&str] =
    &["basics/reached", "types/approved-jpg", "types/approved-png", "types/approved-pdf", "types/declined"];

const IN_SIGNATURES: &[Mistake] = &[
    mistake(
        "ensuro.js",
        "unchecked",
        &["signature/missing", "signature/empty", "signature/other-key", "signature/half", "signature/other-body"],
    ),
    mistake(
        "ensuro.py",
        "never-refuses",
        &["signature/missing", "signature/empty", "signature/other-key", "signature/half", "signature/other-body"],
    ),
    mistake("ensuro.js", "optional", &["signature/missing"]),
    mistake("ensuro.js", "prefix", &["signature/empty", "signature/half"]),
    mistake("ensuro.py", "prefix", &["signature/half"]),
    mistake("ensuro.js", "stringify", &["bytes/spacing", "bytes/key-order", "bytes/escapes", "bytes/numbers"]),
    mistake("ensuro.py", "dumps", &["basics/reached"]),
    mistake("ensuro.py", "latin-1", &["bytes/unicode"]),
    mistake("eip191.js", "the-digest", &["basics/reached"]),
    mistake("eip191.py", "the-digest", &["basics/reached"]),
    mistake("eip191.js", "the-body", &["basics/reached"]),
    mistake("eip191.js", "any-signer", &["signature/other-key", "signature/other-body", "signature/other-v"]),
    mistake("eip191.py", "any-signer", &["signature/other-key", "signature/other-body", "signature/other-v"]),
];

const IN_ANSWERS: &[Mistake] = &[
    mistake("ensuro.js", "created", EVERY_ENSURO),
    mistake("ensuro.py", "no-content", EVERY_ENSURO),
    mistake("octamile.py", "accepted", EVERY_OCTAMILE),
    mistake("ensuro.js", "redirect", &["basics/reached"]),
    mistake("ensuro.js", "slow", &["basics/reached"]),
    mistake("octamile.js", "slow", &["answer/in-time"]).with(" --only basics,answer"),
    mistake("ensuro.js", "serial", &["connection/twenty-at-once"]).with(" --only basics,connection"),
    mistake("ensuro.js", "hangs-up", &["connection/keep-alive"]),
];

const IN_CONTENTS: &[Mistake] = &[
    doubtful("ensuro.js", "default-limit", &["size/large"]),
    mistake("octamile.js", "default-limit", &["size/certificate-200kb", "size/certificate-2mb"]),
    mistake("octamile.js", "declined", &["types/declined", "bytes/unicode", "bytes/escapes"]),
    mistake("octamile.js", "unknown-transaction", &["fields/unknown-transaction"]).with(" --set trnsctnId=TX1"),
    mistake("ensuro.js", "strict", &["fields/new"]),
    mistake("ensuro.js", "null-quote", &["fields/null-quote"]),
    mistake("ensuro.py", "null-quote", &["fields/null-quote"]),
    mistake("ensuro.js", "custom-data", &["fields/empty-custom-data"]).with(" --set policy.custom_data.booking=RN-1"),
    doubtful("ensuro.js", "unknown-type", &["fields/unknown-type"]),
];

const IN_WHAT_WAS_BEFORE: &[Mistake] = &[
    mistake("ensuro.js", "refuses-duplicates", &["repeats/twice", "repeats/five-at-once"]),
    mistake("ensuro.js", "crashes-on-duplicates", &["repeats/twice", "repeats/five-at-once"]),
    mistake("octamile.py", "once", &["repeats/twice", "repeats/five-at-once"]),
    mistake("ensuro.py", "race", &["repeats/five-at-once"]).with(" --only basics,types,repeats"),
    mistake("ensuro.js", "order", &["repeats/out-of-order", "fields/unknown-policy"]),
    doubtful("ensuro.py", "unknown-policy", &["repeats/out-of-order", "fields/unknown-type", "fields/unknown-policy"]),
];

/// All at once: most of their time is waiting.
fn are_found(mistakes: &[Mistake]) {
    let place = Place::new();
    std::thread::scope(|scope| {
        for mistake in mistakes {
            let place = &place;
            scope.spawn(move || {
                let app = App::start(mistake.app, place, &[("FAULT", mistake.fault), ("KNOWN", "TX1")]);
                let checked = check(place, &app, mistake.more);
                let name = format!("{} with {}", mistake.app, mistake.fault);
                let told = checked.of_app(mistake.result);
                assert_eq!(told, mistake.cases, "{name}: {:#}", checked.report);
                let fails = mistake.result == "fail";
                assert_eq!((checked.exit, !checked.with("fail").is_empty()), (i32::from(fails), fails), "{name}");
                let findings = checked.report["findings"].as_array().unwrap().iter();
                for one in findings.filter(|one| one["result"] == mistake.result) {
                    assert!(one["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{name}: {one:#}");
                }
            });
        }
    });
}

#[test]
fn mistakes_with_signatures_are_found() {
    are_found(IN_SIGNATURES);
}

#[test]
fn mistakes_in_the_way_it_answers_are_found() {
    are_found(IN_ANSWERS);
}

#[test]
fn mistakes_with_what_a_notification_holds_are_found() {
    are_found(IN_CONTENTS);
}

#[test]
fn mistakes_with_what_was_before_are_found() {
    are_found(IN_WHAT_WAS_BEFORE);
}

/// It refuses, but by accident.
#[test]
fn a_crash_over_a_bad_signature_is_a_warning() {
    let place = Place::new();
    let app = App::start("eip191.js", &place, &[("FAULT", "uncaught")]);
    let checked = check(&place, &app, " --only signature");
    assert_eq!((checked.exit, checked.with("fail").len()), (0, 0), "{:#}", checked.report);
    assert_eq!(
        checked.with("warn"),
        ["signature/missing", "signature/empty", "signature/half"],
        "{:#}",
        checked.report
    );
}
