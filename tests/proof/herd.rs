//! An endpoint that was down comes back to a large backlog: it gets as much at once as it may and not more, begins with half of that,
//! and nothing is sent again before its time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postrider::delivery::Attempt;
use postrider::endpoint::Overrides;
use postrider::store::{Filter, NewEndpoint, Page, Store};

use crate::campaign::{Campaign, Figures};
use crate::harness::{Daemon, Home, endpoint, overrides, wait_for};
use crate::load::most_at_once;
use crate::receivers::{Answer, Receiver, Step};

const OWED: usize = 10_000;
const CONCURRENCY: u32 = 8;
/// What the receiver takes for an answer; a request is under way at least so long.
const BUSY: Duration = Duration::from_millis(4);
/// The wait before each retry.
const RETRY_MS: i64 = 1_000;

pub fn run(campaign: &Campaign) -> Figures {
    let mut figures = Figures { worst_of: "until all had arrived".to_owned(), ..Figures::default() };
    for _ in 0..campaign.pick(1, 5) {
        round(&mut figures);
    }
    figures
}

fn round(figures: &mut Figures) {
    let arrivals: Arc<Mutex<Vec<(String, Instant)>>> = Arc::default();
    let kept = arrivals.clone();
    let mut receiver = Receiver::start(move |request| {
        kept.lock().unwrap().push((request.header("webhook-id").unwrap().to_owned(), Instant::now()));
        let Answer(steps) = Answer::status(200);
        Answer([vec![Step::Pause(BUSY)], steps].concat())
    });
    receiver.stop();
    let home = Home::new();
    let bounded = Overrides { concurrency: Some(CONCURRENCY), ..overrides(&[RETRY_MS; 100]) };
    let acme = home.add(NewEndpoint { overrides: bounded, ..endpoint("acme", &receiver.url()) });
    home.enqueue_many("owed", OWED, &acme);
    let daemon = Daemon::start(&home);
    wait_for("attempts in vain", Duration::from_secs(20), || {
        (home.store().outcomes(0, 1000).unwrap().last > 20).then_some(())
    });
    receiver.restart();
    let back = Instant::now();
    let patience = Duration::from_secs(120);
    wait_for("all delivered", patience, || (home.counts().delivered == OWED as u64).then_some(()));
    figures.worse(back.elapsed());
    daemon.stop();

    let arrivals = arrivals.lock().unwrap();
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    arrivals.iter().for_each(|(id, _)| *times.entry(id).or_default() += 1);
    let duplicated = arrivals.len() - times.len();
    assert_eq!((times.len(), duplicated), (OWED, 0));
    let instants: Vec<Instant> = arrivals.iter().map(|(_, at)| *at).collect();
    let most = most_at_once(instants.clone(), BUSY - Duration::from_millis(1));
    assert!(most <= CONCURRENCY as usize && most > 1, "{most} at once");
    // A window that failures closed stands open halfway where others do not need the room, and opens with success.
    let half = CONCURRENCY as usize / 2;
    let begin = most_at_once(instants[..=half].to_vec(), BUSY - Duration::from_millis(1));
    assert!(begin <= half, "{begin} at once before one was answered");
    let retries = retries(&home);
    assert!(retries > 0, "nothing was tried again");
    figures.cycles += 1;
    *figures.events.get_or_insert(0) += OWED as u64;
    figures.lost = Some(0);
    figures.duplicated = Some(0);
    if figures.cycles == 1 {
        figures.note(format!(
            "at most {most} at once of {CONCURRENCY}, {begin} before the first answer; {retries} retries, none early"
        ));
    }
}

/// How many attempts were retries; fails if one came before its time.
fn retries(home: &Home) -> usize {
    let mut store = home.store();
    let listed = store.deliveries(&Filter::default(), Page { before: None, limit: u32::MAX }).unwrap();
    let mut retries = 0;
    for listed in listed.iter().filter(|listed| listed.delivery.attempts > 1) {
        let attempts: Vec<Attempt> = store.attempts(listed.delivery.id).unwrap();
        for pair in attempts.windows(2) {
            let waited = pair[1].started_at.since(pair[0].finished_at).ms();
            assert!(waited >= RETRY_MS, "{listed:?}: {waited} ms");
            retries += 1;
        }
    }
    retries
}
