//! The real daemon under clocks that are not the real one: Ensuro's whole schedule a hundred times as fast, and a wall
//! clock that is set while a retry waits. Needs libfaketime, which `./tests/run` installs; left out where it is missing.

use std::path::PathBuf;
use std::time::Duration;

use postrider::delivery::{DeadReason, DeliveryState, StateName};
use postrider::endpoint::{Key, Overrides, ProfileName, Scheme, Secret};
use postrider::event::EventType;
use postrider::provider::{self, dice::Dice};
use postrider::store::NewEndpoint;
use postrider::time::Time;

use super::harness::{Daemon, Home, SECRET, Timed, endpoint, overrides, program, wait_for};
use crate::receivers::Answer;

/// The library that lies to a process about the time.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let mut places = folders.flatten().map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = places.find(|path| path.exists());
    if found.is_none() {
        eprintln!("left out: there is no libfaketime");
    }
    found
}

fn start_under(home: &Home, library: PathBuf, variables: &[(&str, &str)]) -> Daemon {
    let mut command = program(home);
    command.arg("serve").env("LD_PRELOAD", library).envs(variables.iter().copied());
    let daemon = Daemon::spawn(command);
    daemon.wait_for_line("started");
    daemon
}

/// Takes 40 s of real time for the 3,930 s of the schedule; the deadline is 100 s.
#[test]
fn ensuros_whole_schedule_is_kept_to_the_second() {
    let Some(library) = faketime() else { return };
    let home = Home::new();
    let timed = Timed::start(|_| Answer::status(503));
    home.add(NewEndpoint {
        profile: ProfileName::Ensuro,
        overrides: Overrides::default(),
        keys: vec![Key { scheme: Scheme::Hmac, secret: Secret::new(SECRET.to_vec()), until: None }],
        ..endpoint("acme", &timed.receiver.url())
    });
    let body = provider::sample(
        ProfileName::Ensuro,
        &EventType::parse("policy/creation").unwrap(),
        &mut Dice::new(1),
        Time::from_ms(1_793_491_200_000),
    )
    .unwrap();
    home.enqueue_typed("whole", "policy/creation", &body);
    let daemon = start_under(&home, library, &[("FAKETIME", "+0 x100")]);
    let (delivery, attempts) = wait_for("the end of the schedule", Duration::from_secs(100), || {
        Some(home.delivery("whole")).filter(|(delivery, _)| delivery.state.name() == StateName::Dead)
    });
    assert!(matches!(delivery.state, DeliveryState::Dead { reason: DeadReason::ScheduleUsedUp, .. }), "{delivery:?}");
    assert_eq!((delivery.attempts, timed.receiver.requests().len()), (11, 11));
    let waits: Vec<i64> =
        attempts.windows(2).map(|pair| pair[1].started_at.since(pair[0].finished_at).ms() / 1000).collect();
    println!("waits in s, by the daemon's clock: {waits:?}");
    for (wait, wanted) in waits.iter().zip([30, 60, 120, 240, 480, 600, 600, 600, 600, 600]) {
        // A tenth of a second here is ten there.
        assert!((wanted..wanted + 60).contains(wait), "{waits:?}");
    }
    daemon.stop();
}

fn a_retry_waits_its_time_though_the_clock_is_set(step: &str) {
    let Some(library) = faketime() else { return };
    let home = Home::new();
    let timed = Timed::start(|request| Answer::status(if request.number == 1 { 500 } else { 200 }));
    home.add(NewEndpoint { overrides: overrides(&[3_000, 3_000]), ..endpoint("acme", &timed.receiver.url()) });
    let clock = home.path().join("clock");
    std::fs::write(&clock, "+0").unwrap();
    let variables = [
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let daemon = start_under(&home, library, &variables);
    home.enqueue("patient", b"{}");
    home.wait_for_attempts("patient", 1);
    // By another name and moved, so that nobody reads half of it.
    std::fs::write(home.path().join("next"), step).unwrap();
    std::fs::rename(home.path().join("next"), &clock).unwrap();
    let told = daemon.wait_for_line("clock stepped");
    println!("{told}");
    home.wait_for_state("patient", StateName::Delivered);
    let gap = timed.gaps()[0];
    println!("with {step} the retry came after {gap:?}");
    assert!(gap >= Duration::from_millis(2_950) && gap < Duration::from_secs(8), "{gap:?}");
    daemon.stop();
}

#[test]
fn a_clock_set_a_day_ahead_makes_no_retry_early() {
    a_retry_waits_its_time_though_the_clock_is_set("+1d");
}

#[test]
fn a_clock_set_an_hour_back_makes_no_retry_late() {
    a_retry_waits_its_time_though_the_clock_is_set("-1h");
}
