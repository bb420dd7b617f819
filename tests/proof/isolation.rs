//! Dead endpoints with a large backlog beside healthy ones: what reaches the healthy does not come later, nor less of it.

use std::time::Duration;

use postrider::endpoint::Overrides;
use postrider::store::NewEndpoint;
use postrider::time::Span;

use crate::campaign::{Campaign, Figures};
use crate::harness::{Daemon, Home, LENIENT, endpoint, overrides, wait_for};
use crate::healthy::{Healthy, memory, never};
use crate::receivers::{Answer, Receiver};

const HEALTHY: usize = 90;
const DEAD: usize = 10;
const A_SECOND: u32 = 100;
/// Below this a 99th percentile tells of the machine and not of postrider.
const FLOOR: Duration = Duration::from_millis(100);
/// Of the rate without the dead ones, at least so much.
const LEAST_RATE: f64 = 0.9;

pub fn run(campaign: &Campaign) -> Figures {
    let owed: usize = campaign.pick(50_000, 1_000_000);
    let lasting = Duration::from_secs(campaign.pick(3, 20));
    let home = Home::with(LENIENT);
    let mut healthy = Healthy::new(&home, HEALTHY);
    let daemon = Daemon::start(&home);
    // What the first events make is made: threads, connections, the statements of the store.
    healthy.trickle(&daemon, A_SECOND, Duration::from_secs(1));
    let before = healthy.middle(&daemon, A_SECOND, lasting);
    daemon.stop();

    let hanging = Receiver::start(|_| Answer::hang());
    let failing = Receiver::start(|_| Answer::status(500));
    for number in 0..DEAD {
        let url = match number % 3 {
            0 => hanging.url(),
            1 => failing.url(),
            _ => "http://127.0.0.1:9/refuses".to_owned(),
        };
        let short = Overrides { timeout: Some(Span::from_seconds(2)), ..overrides(&[30_000; 10]) };
        let dead = NewEndpoint { overrides: short, ..endpoint(&format!("dead-{number}"), &url) };
        let dead = home.add(NewEndpoint { subscriptions: vec![never()], ..dead });
        for part in 0..10 {
            home.enqueue_many(&format!("dead-{number}-{part}"), owed / DEAD / 10, &dead);
        }
    }
    let daemon = Daemon::start(&home);
    wait_for("attempts of the dead", Duration::from_secs(20), || (failing.requests().len() > 3).then_some(()));
    wait_for("attempts that hang", Duration::from_secs(20), || (!hanging.requests().is_empty()).then_some(()));
    healthy.trickle(&daemon, A_SECOND, Duration::from_secs(1));
    let tried = failing.requests().len() + hanging.requests().len();
    let during = healthy.middle(&daemon, A_SECOND, lasting);
    let tried = failing.requests().len() + hanging.requests().len() - tried;
    assert!(tried > 3, "the dead were not tried meanwhile");
    assert!(home.counts().pending >= owed as u64 - 1000, "the dead have a backlog still");
    let (resident, _) = memory(daemon.pid());
    daemon.kill9();

    let (p99, without) = (during.percentile(99), before.percentile(99));
    assert!(p99 <= (without * 2).max(FLOOR), "healthy p99 {p99:?}, {without:?} without the dead");
    assert!(during.rate >= before.rate * LEAST_RATE, "{:.1} a second, {:.1} without", during.rate, before.rate);
    let mut figures = Figures { cycles: 1, worst_of: "healthy p99".to_owned(), ..Figures::default() };
    figures.worse(p99);
    figures.events = Some(owed as u64 + 6 * u64::from(A_SECOND) * lasting.as_secs());
    figures.note(format!(
        "healthy p50 {:?}, p99 {p99:?}, {:.1} a second; without the dead p50 {:?}, p99 {without:?}, {:.1} a second",
        during.percentile(50),
        during.rate,
        before.percentile(50),
        before.rate
    ));
    figures.note(format!("{tried} attempts of the dead meanwhile; {} MB of memory", resident >> 20));
    figures
}
