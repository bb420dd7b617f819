//! The walls of the shipped configuration, and who is believed to be who he says.

use std::time::Duration;

use postrider::delivery::{Outcome, Stage, StateName};
use postrider::store::NewEndpoint;

use super::harness::{Daemon, Home, LENIENT, PATIENCE, endpoint, overrides};
use crate::receivers::certificates::{Authority, Identity};
use crate::receivers::{Answer, Receiver};

/// HTTPS to this machine.
const LOCAL: &str = "[safety]\nallow_addresses = [\"127.0.0.1\"]\n";

/// What the first attempt over TLS to this receiver comes to.
fn outcome_over_tls(home: &Home, identity: &Identity) -> (Outcome, usize) {
    let receiver = Receiver::start_tls(identity, |_| Answer::status(200));
    home.add(endpoint("acme", &receiver.url()));
    let daemon = Daemon::start(home);
    home.enqueue("sealed", b"{}");
    let (_, mut attempts) = home.wait_for_attempts("sealed", 1);
    daemon.stop();
    (attempts.remove(0).outcome, receiver.requests().len())
}

fn trusting(authority: &Authority) -> Home {
    let home = Home::with(&format!("{LOCAL}extra_roots_file = \"roots.pem\"\n"));
    std::fs::write(home.path().join("roots.pem"), authority.pem()).unwrap();
    home
}

#[track_caller]
fn assert_distrusted((outcome, requests): (Outcome, usize), part: &str) {
    match outcome {
        Outcome::Unreachable { stage: Stage::Tls, error } if error.contains(part) => {}
        other => panic!("wanted unreachable at tls with {part:?}, got {other:?}"),
    }
    assert_eq!(requests, 0, "nothing may be sent to whom we do not trust");
}

#[test]
fn an_own_authority_is_trusted_once_it_is_named() {
    let authority = Authority::new();
    let identity = authority.identity(&["127.0.0.1"]);
    let (outcome, requests) = outcome_over_tls(&trusting(&authority), &identity);
    assert_eq!((outcome, requests), (Outcome::Accepted { status: 200, late: false }, 1));
    assert_distrusted(outcome_over_tls(&Home::with(LOCAL), &identity), "issuer is unknown");
}

#[test]
fn a_certificate_for_another_name_or_of_the_past_is_refused() {
    let authority = Authority::new();
    let other = authority.identity(&["other.example"]);
    assert_distrusted(outcome_over_tls(&trusting(&authority), &other), "for another name");
    let past = authority.expired(&["127.0.0.1"]);
    assert_distrusted(outcome_over_tls(&trusting(&authority), &past), "expired");
}

#[test]
fn roots_that_are_none_keep_the_daemon_from_starting() {
    let home = Home::with(&format!("{LOCAL}extra_roots_file = \"roots.pem\"\n"));
    for text in [None, Some(""), Some("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n")] {
        if let Some(text) = text {
            std::fs::write(home.path().join("roots.pem"), text).unwrap();
        }
        let mut daemon = Daemon::launch(&home);
        assert_eq!(daemon.wait().code(), Some(74), "{text:?}: {:#?}", daemon.lines());
        let words = daemon.lines().pop().unwrap();
        assert!(words.contains("extra_roots_file") && words.contains("roots.pem"), "{words}");
    }
}

#[test]
fn by_default_nothing_inside_can_be_added() {
    let home = Home::with("");
    let canary = Receiver::start(|_| Answer::status(200));
    let port = canary.port();
    for url in [
        format!("http://127.0.0.1:{port}/hook"),
        format!("https://127.0.0.1:{port}/hook"),
        format!("https://[::1]:{port}/hook"),
        format!("https://[::ffff:127.0.0.1]:{port}/hook"),
        format!("https://2130706433:{port}/hook"),
        "https://169.254.169.254/latest".to_owned(),
        "https://10.0.0.1/hook".to_owned(),
        "http://partner.example/hook".to_owned(),
    ] {
        assert!(home.try_add(endpoint("inside", &url)).is_err(), "{url}");
    }
    assert_eq!(canary.connections(), 0);
}

#[test]
fn what_was_allowed_once_is_blocked_when_it_is_no_longer() {
    let mut home = Home::with(LENIENT);
    let authority = Authority::new();
    let plain = Receiver::start(|_| Answer::status(200));
    let sealed = Receiver::start_tls(&authority.identity(&["127.0.0.1"]), |_| Answer::status(200));
    let by_name = format!("https://localhost:{}/hook", sealed.port());
    for (name, url) in [("plain", plain.url()), ("sealed", sealed.url()), ("by-name", by_name)] {
        home.add(NewEndpoint { overrides: overrides(&[20]), ..endpoint(name, &url) });
    }
    home.enqueue("inside", b"{}");
    home.reconfigure("");
    let daemon = Daemon::start(&home);
    let counts = home.wait_until_settled();
    assert_eq!((counts.dead, counts.delivered), (3, 0));
    for (delivery, attempts) in home.deliveries("inside") {
        assert_eq!((delivery.state.name(), attempts.len()), (StateName::Dead, 2));
        for attempt in attempts {
            assert!(matches!(&attempt.outcome, Outcome::Blocked { .. }), "{attempt:?}");
            assert_eq!(attempt.remote, None);
        }
    }
    daemon.stop();
    // Time for a connection that was begun to be accepted.
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!((plain.connections(), sealed.connections()), (0, 0));
    // The canary is no dead one.
    home.reconfigure(LENIENT);
    let daemon = Daemon::start(&home);
    home.enqueue("again", b"{}");
    plain.wait_for(1, PATIENCE);
    daemon.stop();
}
