//! SIGTERM: nothing new begins, what is in flight ends and is recorded. A second one ends it at once.

use std::time::{Duration, Instant};

use postrider::delivery::{Outcome, Stage, StateName};
use postrider::endpoint::Overrides;
use postrider::store::NewEndpoint;
use postrider::time::Span;
use rustix::process::{Signal, kill_process};

use super::harness::{Daemon, Home, PATIENCE, endpoint, overrides};
use crate::receivers::{Answer, Receiver, Step};

/// Answers 200 after a while.
fn thoughtful(pause: Duration) -> Receiver {
    Receiver::start(move |_| {
        let Answer(steps) = Answer::status(200);
        Answer([vec![Step::Pause(pause)], steps].concat())
    })
}

#[test]
fn an_attempt_in_flight_ends_and_is_recorded_and_none_begins() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = Home::new();
        let receiver = thoughtful(Duration::from_millis(700));
        let narrow = Overrides { concurrency: Some(1), ..overrides(&[10]) };
        let acme = home.add(NewEndpoint { overrides: narrow, ..endpoint("acme", &receiver.url()) });
        home.enqueue_many("owed", 5, &acme);
        let mut daemon = Daemon::start(&home);
        receiver.wait_for(1, PATIENCE);
        kill_process(daemon.handle(), signal).unwrap();
        daemon.wait_for_line("draining");
        home.enqueue("late", b"{}");
        assert_eq!(daemon.wait().code(), Some(0));
        assert_eq!(receiver.requests().len(), 1);
        let counts = home.counts();
        assert_eq!((counts.delivered, counts.pending, counts.leased), (1, 5, 0));
        assert_eq!(daemon.told("draining")[0]["in_flight"], 1);
        assert_eq!(daemon.told("stopped")[0]["pending"], 5);
        let daemon = Daemon::start(&home);
        assert_eq!(home.wait_until_settled().delivered, 6);
        daemon.stop();
        assert_eq!(receiver.requests().len(), 6, "delivered once each");
    }
}

#[test]
fn a_receiver_that_hangs_delays_the_end_by_its_timeout_at_most() {
    let home = Home::new();
    let receiver = Receiver::start(|_| Answer::hang());
    let short = Overrides { timeout: Some(Span::from_ms(1000)), ..overrides(&[3_600_000]) };
    home.add(NewEndpoint { overrides: short, ..endpoint("acme", &receiver.url()) });
    home.enqueue("hangs", b"{}");
    let mut daemon = Daemon::start(&home);
    receiver.wait_for(1, PATIENCE);
    let asked = Instant::now();
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    println!("drained {:?} after it was asked to, with a timeout of 1 s in flight", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    let (delivery, attempts) = home.delivery("hangs");
    assert_eq!(attempts[0].outcome, Outcome::TimedOut { stage: Stage::Answer });
    assert_eq!((delivery.state.name(), delivery.attempts), (StateName::Pending, 1));
}

#[test]
fn a_second_signal_ends_it_at_once_and_nothing_is_lost() {
    let home = Home::new();
    let receiver = Receiver::start(|request| if request.number == 1 { Answer::hang() } else { Answer::status(200) });
    let patient = Overrides { timeout: Some(Span::from_seconds(30)), ..overrides(&[3_600_000]) };
    home.add(NewEndpoint { overrides: patient, ..endpoint("acme", &receiver.url()) });
    home.enqueue("cut", b"{}");
    let mut daemon = Daemon::start(&home);
    receiver.wait_for(1, PATIENCE);
    daemon.terminate();
    daemon.wait_for_line("draining");
    assert!(daemon.runs());
    let asked = Instant::now();
    daemon.terminate();
    let status = daemon.wait();
    println!("ended {:?} after a second SIGTERM, with {status}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(status.code().is_some(), "it ends by itself, not by the signal: {status}");
    let daemon = Daemon::start(&home);
    assert_eq!(daemon.wait_for_line("started")["recovered"], 1);
    let (_, attempts) = home.wait_for_state("cut", StateName::Delivered);
    assert_eq!(attempts.len(), 2);
    daemon.stop();
}

#[test]
fn a_daemon_with_nothing_to_do_ends_at_once() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let asked = Instant::now();
    daemon.stop();
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

#[test]
fn a_daemon_that_was_paused_goes_on() {
    let home = Home::new();
    let receiver = thoughtful(Duration::from_millis(200));
    let acme = home.add(endpoint("acme", &receiver.url()));
    home.enqueue_many("owed", 40, &acme);
    let daemon = Daemon::start(&home);
    receiver.wait_for(1, PATIENCE);
    kill_process(daemon.handle(), Signal::STOP).unwrap();
    // As long as a laptop's lid is closed; answers come meanwhile.
    std::thread::sleep(Duration::from_millis(700));
    kill_process(daemon.handle(), Signal::CONT).unwrap();
    assert_eq!(home.wait_until_settled().delivered, 40);
    daemon.stop();
    assert_eq!(receiver.requests().len(), 40);
}
