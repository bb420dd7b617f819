//! Receivers that attack or ail: every way that is known to make an HTTP client wait, swell, loop, mistake one answer for
//! another or go where it is told to. All at once, beside endpoints that are well.

mod answers;

use std::time::{Duration, Instant};

use postrider::delivery::{Outcome, StateName};
use postrider::endpoint::Overrides;
use postrider::store::NewEndpoint;
use postrider::time::Span;

use crate::campaign::{Campaign, Figures};
use crate::harness::{Daemon, Home, LENIENT, endpoint, overrides, wait_for};
use crate::healthy::{Healthy, Took, forget_peak, memory, never, processor};
use crate::receivers::{Answer, Door, Receiver};
use answers::{Expected, answers};

/// An attempt may take as much longer than its timeout.
const SLACK: Duration = Duration::from_millis(500);
const MOST_GROWTH: u64 = 32 << 20;
/// Below this a 99th percentile tells of the machine, which runs all the receivers too, and not of postrider.
const FLOOR: Duration = Duration::from_millis(50);
const HEALTHY: usize = 5;
const A_SECOND: u32 = 50;

pub fn run(campaign: &Campaign) -> Figures {
    let mut figures = Figures { worst_of: "beyond its timeout, of any attempt".to_owned(), ..Figures::default() };
    // Seconds of timeout, and events to each of them.
    let rounds = campaign.pick(vec![(2, 2)], vec![(2, 20), (10, 4)]);
    for (timeout, events) in rounds {
        round(Duration::from_secs(timeout), events, &mut figures);
    }
    figures
}

struct Attacker {
    name: String,
    expected: Expected,
    receiver: Receiver,
}

fn round(timeout: Duration, events: usize, figures: &mut Figures) {
    let home = Home::with(&format!("{LENIENT}[delivery]\nin_flight = 512\n"));
    let canary = Receiver::start(|_| Answer::status(200));
    let attackers = attackers(&canary);
    for Attacker { name, receiver, .. } in &attackers {
        let once = Overrides { timeout: Some(Span::from_ms(timeout.as_millis() as i64)), ..overrides(&[]) };
        let attacked = NewEndpoint { overrides: once, ..endpoint(name, &receiver.url()) };
        home.add(NewEndpoint { subscriptions: vec![never()], ..attacked });
    }
    let mut healthy = Healthy::new(&home, HEALTHY);
    let daemon = Daemon::start(&home);
    let lasting = timeout * 2;
    let before = healthy.trickle(&daemon, A_SECOND, lasting);

    forget_peak(daemon.pid());
    let (memory_before, _) = memory(daemon.pid());
    let (used_before, begun) = (processor(daemon.pid()), Instant::now());
    attack(&home, &attackers, events);
    let during = healthy.trickle(&daemon, A_SECOND, lasting);
    let patience = timeout * (2 + events as u32) + Duration::from_secs(20);
    wait_for("an end of every attack", patience, || Some(home.counts()).filter(|counts| counts.pending == 0));
    let (elapsed, used) = (begun.elapsed(), processor(daemon.pid()) - used_before);
    let (_, peak) = memory(daemon.pid());
    let growth = peak.saturating_sub(memory_before);
    judge(&home, &attackers, timeout, events, figures);
    assert_eq!(canary.requests().len(), 0, "a redirect was followed");
    let lines = daemon.stop();
    assert!(!lines.iter().any(|line| line.contains("panicked")));
    home.check_integrity();

    assert!(growth < MOST_GROWTH, "memory grew by {} MB", growth >> 20);
    compare(&before, &during);
    figures.cycles += attackers.len() as u64;
    *figures.events.get_or_insert(0) += (attackers.len() * events) as u64;
    figures.note(format!(
        "timeout {} s: memory grew by {:.1} MB; healthy p99 {:.1} ms, {:.1} ms without; {:.0} % of a processor",
        timeout.as_secs(),
        growth as f64 / f64::from(1 << 20),
        milliseconds(during.percentile(99)),
        milliseconds(before.percentile(99)),
        100.0 * used.as_secs_f64() / elapsed.as_secs_f64()
    ));
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn compare(before: &Took, during: &Took) {
    let (before, during) = (before.percentile(99), during.percentile(99));
    assert!(during <= (before * 2).max(FLOOR), "healthy p99 {during:?} under attack, {before:?} without");
}

fn attackers(canary: &Receiver) -> Vec<Attacker> {
    let mut all: Vec<Attacker> = answers(&canary.url())
        .into_iter()
        .map(|(name, expected, answer)| {
            let receiver = Receiver::start(move |_| answer.clone());
            Attacker { name: name.to_owned(), expected, receiver }
        })
        .collect();
    for (name, door, tls) in [
        ("never-reads", Door::Hang, false),
        ("resets-before-it-reads", Door::Reset, false),
        ("hangs-in-handshake", Door::Hang, true),
        ("resets-in-handshake", Door::Reset, true),
        ("speaks-http-where-tls-is-due", Door::Greet, true),
    ] {
        let receiver = Receiver::behind(door, tls);
        all.push(Attacker { name: name.to_owned(), expected: Expected::Refused, receiver });
    }
    all
}

/// Events for each, every second one with a large body.
fn attack(home: &Home, attackers: &[Attacker], events: usize) {
    let large = format!("[\"{}\"]", "x".repeat(60_000));
    let mut store = home.store();
    for number in 0..events {
        for Attacker { name, .. } in attackers {
            let body = if number % 2 == 1 { large.as_bytes() } else { b"{}" };
            let mut asked = crate::harness::submission(&format!("{name}-{number}"), body);
            let names = vec![postrider::endpoint::EndpointName::parse(name).unwrap()];
            asked.target = postrider::operations::Target::Endpoints(names);
            let now = postrider::daemon::clock::wall();
            postrider::operations::enqueue(&mut store, &home.rules(), now, asked).unwrap();
        }
    }
}

/// Each attempt ended in its time, and as it should.
fn judge(home: &Home, attackers: &[Attacker], timeout: Duration, events: usize, figures: &mut Figures) {
    for Attacker { name, expected, .. } in attackers {
        for number in 0..events {
            let (delivery, attempts) = home.delivery(&format!("{name}-{number}"));
            let shown = format!("{name}: {:?}", attempts);
            assert_eq!(attempts.len(), 1, "{shown}");
            let took = Duration::from_millis(attempts[0].finished_at.since(attempts[0].started_at).ms() as u64);
            assert!(took <= timeout + SLACK, "{shown} took {took:?}");
            figures.worse(took.saturating_sub(timeout));
            let delivered = delivery.state.name() == StateName::Delivered;
            match expected {
                Expected::Delivered => assert!(delivered, "{shown}"),
                Expected::Refused => assert!(!delivered, "{shown}"),
                Expected::Rejected(status) => {
                    assert_eq!(attempts[0].outcome, Outcome::Rejected { status: *status }, "{shown}");
                }
                Expected::Either => {}
            }
        }
    }
}
