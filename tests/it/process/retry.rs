//! Receivers that fail: when they are tried again by their own clock, and how it ends.

use std::time::{Duration, Instant};

use postrider::delivery::{DeadReason, DeliveryState, Outcome, Stage, StateName};
use postrider::endpoint::{EndpointState, Overrides};
use postrider::store::{NewEndpoint, Store};
use postrider::time::Span;

use super::harness::{Daemon, GRAIN, Home, PATIENCE, Timed, endpoint, overrides};
use crate::receivers::{Answer, Receiver};

#[test]
fn a_rejected_delivery_is_tried_again_on_schedule_and_never_early() {
    let home = Home::new();
    let timed = Timed::start(|request| match request.number {
        1 => Answer::status(500),
        2 => Answer::status(404),
        _ => Answer::status(200),
    });
    let delays = overrides(&[300, 600, 60_000]);
    home.add(NewEndpoint { overrides: delays, ..endpoint("acme", &timed.receiver.url()) });
    let daemon = Daemon::start(&home);
    home.enqueue("thrice", b"{}");
    let (delivery, attempts) = home.wait_for_state("thrice", StateName::Delivered);
    let outcomes: Vec<Outcome> = attempts.iter().map(|attempt| attempt.outcome.clone()).collect();
    let accepted = Outcome::Accepted { status: 200, late: false };
    assert_eq!(outcomes, [Outcome::Rejected { status: 500 }, Outcome::Rejected { status: 404 }, accepted]);
    assert_eq!(delivery.attempts, 3);
    let gaps = timed.gaps();
    println!("delays of 300 and 600 ms became {gaps:?}");
    assert!(gaps[0] + GRAIN >= Duration::from_millis(300), "{gaps:?}");
    assert!(gaps[1] + GRAIN >= Duration::from_millis(600), "{gaps:?}");
    assert!(gaps.iter().sum::<Duration>() < Duration::from_secs(8), "{gaps:?}");
    let requests = timed.receiver.requests();
    assert!(requests.iter().all(|request| request.body == b"{}" && request.header("webhook-id") == Some("thrice")));
    daemon.stop();
}

#[test]
fn a_used_up_schedule_ends_in_death_after_exactly_its_attempts() {
    let home = Home::new();
    let receiver = Receiver::start(|_| Answer::status(503));
    home.add(NewEndpoint { overrides: overrides(&[10, 20, 30]), ..endpoint("acme", &receiver.url()) });
    let daemon = Daemon::start(&home);
    home.enqueue("doomed", b"{}");
    let (delivery, attempts) = home.wait_for_state("doomed", StateName::Dead);
    assert!(matches!(delivery.state, DeliveryState::Dead { reason: DeadReason::ScheduleUsedUp, .. }), "{delivery:?}");
    assert_eq!((delivery.attempts, attempts.len()), (4, 4));
    daemon.stop();
    assert_eq!(receiver.requests().len(), 4);
}

#[test]
fn a_redirect_is_a_rejection_and_not_followed() {
    let home = Home::new();
    let canary = Receiver::start(|_| Answer::status(200));
    let elsewhere = canary.url();
    let receiver = Receiver::start(move |_| Answer::redirect(&elsewhere));
    home.add(endpoint("acme", &receiver.url()));
    let daemon = Daemon::start(&home);
    home.enqueue("moved", b"{}");
    let (_, attempts) = home.wait_for_state("moved", StateName::Dead);
    assert_eq!(attempts[0].outcome, Outcome::Rejected { status: 302 });
    assert_eq!(attempts[0].location, Some(canary.url()));
    daemon.stop();
    assert_eq!((receiver.requests().len(), canary.connections()), (1, 0));
}

#[test]
fn gone_disables_a_standard_endpoint_and_buries_what_it_was_owed() {
    let home = Home::new();
    let receiver = Receiver::start(|_| Answer::status(410));
    let narrow = Overrides { concurrency: Some(1), ..overrides(&[10]) };
    let acme = home.add(NewEndpoint { overrides: narrow, ..endpoint("acme", &receiver.url()) });
    home.enqueue_many("owed", 700, &acme);
    let daemon = Daemon::start(&home);
    let counts = home.wait_until_settled();
    assert_eq!((counts.dead, counts.delivered), (700, 0));
    let acme = home.store().endpoint(acme.id).unwrap().unwrap();
    assert!(matches!(acme.state, EndpointState::Disabled { .. }), "{acme:?}");
    let later = home.enqueue("later", b"{}");
    assert!(later.deliveries.is_empty() && !later.warnings.is_empty());
    daemon.wait_for_line("endpoint disabled");
    daemon.stop();
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn retry_after_is_obeyed_where_it_asks_for_more_time() {
    let home = Home::new();
    let timed = Timed::start(|request| match request.number {
        1 => Answer::with(429, &[("retry-after", "2")], b"slowly"),
        _ => Answer::status(200),
    });
    home.add(NewEndpoint { overrides: overrides(&[10]), ..endpoint("acme", &timed.receiver.url()) });
    let daemon = Daemon::start(&home);
    home.enqueue("patient", b"{}");
    let (_, attempts) = home.wait_for_state("patient", StateName::Delivered);
    assert_eq!(attempts[0].answer, b"slowly");
    let gaps = timed.gaps();
    assert!(gaps[0] + GRAIN >= Duration::from_secs(2), "{gaps:?}");
    daemon.stop();
}

#[test]
fn a_receiver_that_hangs_is_timed_out() {
    let home = Home::new();
    let receiver = Receiver::start(|request| match request.number {
        1 => Answer::hang(),
        2 => Answer::hang_in_head(),
        _ => Answer::status(200),
    });
    let short = Overrides { timeout: Some(Span::from_ms(300)), ..overrides(&[50, 50]) };
    home.add(NewEndpoint { overrides: short, ..endpoint("acme", &receiver.url()) });
    let daemon = Daemon::start(&home);
    home.enqueue("slow", b"{}");
    let (_, attempts) = home.wait_for_state("slow", StateName::Delivered);
    for attempt in &attempts[..2] {
        assert_eq!(attempt.outcome, Outcome::TimedOut { stage: Stage::Answer });
        assert!(attempt.timings.total_us >= 299_000, "{attempt:?}");
    }
    daemon.stop();
}

#[test]
fn a_receiver_that_is_down_is_reached_when_it_comes_back() {
    let home = Home::new();
    let mut receiver = Receiver::start(|_| Answer::status(200));
    let url = receiver.url();
    receiver.stop();
    home.add(NewEndpoint { overrides: overrides(&[100; 100]), ..endpoint("acme", &url) });
    let daemon = Daemon::start(&home);
    home.enqueue("early", b"{}");
    let (_, attempts) = home.wait_for_attempts("early", 2);
    let Outcome::Unreachable { stage: Stage::Connect, error } = &attempts[0].outcome else { panic!("{attempts:?}") };
    assert_eq!(error, "connection refused");
    receiver.restart();
    let back = Instant::now();
    receiver.wait_for(1, PATIENCE);
    println!("reached {:?} after it came back", back.elapsed());
    home.wait_for_state("early", StateName::Delivered);
    daemon.stop();
}
