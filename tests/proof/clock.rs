//! Clocks that are wrong, and processes that are stopped: the wall clock set under the daemon, back and ahead by up to ten
//! years, and SIGSTOP for longer than attempts and leases last. Retries keep their time as a receiver measures it, nothing is
//! lost, and what fell due meanwhile does not come in a burst.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postrider::endpoint::Overrides;
use postrider::store::NewEndpoint;
use postrider::time::Span;
use rustix::process::{Signal, kill_process};

use crate::campaign::{Campaign, Figures};
use crate::harness::{Daemon, GRAIN, Home, PATIENCE, endpoint, overrides, program, wait_for};
use crate::load::{Load, event_of, most_at_once};
use crate::receivers::{Answer, Receiver, Step};

/// As the schedule of the endpoint has it.
const RETRY: Duration = Duration::from_millis(1500);
/// Attempts at once that the endpoint is to get at most.
const CONCURRENCY: u32 = 4;
/// What the receiver takes for an answer.
const BUSY: Duration = Duration::from_millis(15);
const PADDING: usize = 50;

pub fn run(campaign: &Campaign) -> Figures {
    let worst_of = "later than its time, the latest retry with the clock set".to_owned();
    let mut figures = Figures { worst_of, events: Some(0), lost: Some(0), duplicated: Some(0), ..Figures::default() };
    let library = faketime();
    if library.is_none() {
        figures.skip("clocks cannot be set under a process: there is no libfaketime (package faketime)");
    }
    let back = format!("-{}d", days_since_1970());
    let pause = Duration::from_secs(campaign.pick(6, 20));
    let figures = Mutex::new(figures);
    for _ in 0..campaign.pick(1, 3) {
        std::thread::scope(|scope| {
            let (library, figures) = (library.as_deref(), &figures);
            scope.spawn(move || stop(pause, None, figures));
            for step in ["-1h", "-1d", &back, "+1d", "+3650d"].map(str::to_owned) {
                library.map(|library| scope.spawn(move || set(library, &step, figures)));
            }
            for step in ["+1d", "-1d"] {
                library.map(|library| scope.spawn(move || stop(pause, Some((library, step)), figures)));
            }
        });
    }
    stop(Duration::from_secs(campaign.pick(1, 60)), None, &figures);
    figures.into_inner().unwrap()
}

fn set(library: &Path, step: &str, figures: &Mutex<Figures>) {
    let stand = Stand::new(Some(library));
    stand.wait_for_retries();
    stand.set_clock(step);
    stand.daemon.wait_for_line("clock stepped");
    let (latest, mut figures) = (stand.settle(step, 0, figures), figures.lock().unwrap());
    figures.worse(latest);
}

fn days_since_1970() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 86_400
}

/// SIGSTOP for longer than leases last, perhaps with the clock set meanwhile, as when a machine sleeps.
fn stop(seconds: Duration, set: Option<(&Path, &str)>, figures: &Mutex<Figures>) {
    let stand = Stand::new(set.map(|(library, _)| library));
    stand.wait_for_retries();
    kill_process(stand.daemon.handle(), Signal::STOP).unwrap();
    let in_flight = stand.receiver.requests().len();
    if let Some((_, step)) = set {
        stand.set_clock(step);
    }
    std::thread::sleep(seconds);
    let before = stand.receiver.requests().len();
    assert!(before <= in_flight + CONCURRENCY as usize, "a stopped daemon sent");
    kill_process(stand.daemon.handle(), Signal::CONT).unwrap();
    let what = format!("stopped for {seconds:?}, the clock set by {:?}", set.map(|(_, step)| step));
    // What was in flight may have been given up as its lease ended.
    stand.settle(&what, CONCURRENCY as usize, figures);
}

/// A daemon under load with a receiver that rejects each event once.
struct Stand {
    home: Home,
    receiver: Receiver,
    seen: Arc<Seen>,
    daemon: Daemon,
    load: Load,
}

/// When each event came, by its id.
type Seen = Mutex<BTreeMap<String, Vec<Instant>>>;

impl Stand {
    fn new(library: Option<&Path>) -> Self {
        let home = Home::new();
        let seen: Arc<Seen> = Arc::default();
        let kept = seen.clone();
        let receiver = Receiver::start(move |request| {
            let id = event_of(request, PADDING);
            let mut seen = kept.lock().unwrap();
            let times = seen.entry(id).or_default();
            times.push(Instant::now());
            let Answer(steps) = Answer::status(if times.len() == 1 { 503 } else { 200 });
            Answer([vec![Step::Pause(BUSY)], steps].concat())
        });
        let bounded = Overrides {
            concurrency: Some(CONCURRENCY),
            timeout: Some(Span::from_seconds(3)),
            ..overrides(&[RETRY.as_millis() as i64; 20])
        };
        home.add(NewEndpoint { overrides: bounded, ..endpoint("acme", &receiver.url()) });
        let mut command = program(&home);
        command.arg("serve");
        if let Some(library) = library {
            std::fs::write(home.path().join("clock"), "+0").unwrap();
            command.env("LD_PRELOAD", library).envs([("FAKETIME_NO_CACHE", "1"), ("DONT_FAKE_MONOTONIC", "1")]);
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_TIMESTAMP_FILE", home.path().join("clock"));
        }
        let daemon = Daemon::spawn(command);
        daemon.wait_for_line("started");
        let load = Load::start("load", 2, Duration::from_millis(25), PADDING);
        load.aim(&daemon);
        Stand { home, receiver, seen, daemon, load }
    }

    /// Until many retries wait and some have come.
    fn wait_for_retries(&self) {
        wait_for("retries", PATIENCE, || {
            let times = self.seen.lock().unwrap();
            (times.values().filter(|times| times.len() > 1).count() > 10).then_some(())
        });
    }

    fn set_clock(&self, step: &str) {
        // By another name and moved, so that nobody reads half of it.
        std::fs::write(self.home.path().join("next"), step).unwrap();
        std::fs::rename(self.home.path().join("next"), self.home.path().join("clock")).unwrap();
    }

    /// Nothing is lost, early, or sent more at once than the endpoint is to get; at most `again` of it twice. Answers how much
    /// later than its time the latest retry was.
    fn settle(self, what: &str, again: usize, figures: &Mutex<Figures>) -> Duration {
        let before = self.load.count();
        wait_for("more acknowledged", PATIENCE, || (self.load.count() > before + 10).then_some(()));
        let acknowledged = self.load.stop();
        let patience = PATIENCE * 2;
        wait_for("nothing pending", patience, || Some(self.home.counts()).filter(|counts| counts.pending == 0));
        self.daemon.stop();
        self.home.check_integrity();
        let times = self.seen.lock().unwrap();
        let lost = acknowledged.iter().filter(|id| times.get(*id).is_none_or(|times| times.len() < 2)).count();
        assert_eq!(lost, 0, "{what}: of {} acknowledged", acknowledged.len());
        let mut latest = Duration::ZERO;
        for (id, times) in times.iter() {
            let gap = times[1] - times[0];
            assert!(gap + GRAIN * 2 >= RETRY, "{what}: the retry of {id} came after {gap:?}");
            latest = latest.max(gap.saturating_sub(RETRY));
        }
        let duplicated: usize = times.values().map(|times| times.len() - 2).sum();
        assert!(duplicated <= again, "{what}: {duplicated} came again");
        let most = most_at_once(times.values().flatten().copied().collect(), BUSY - GRAIN);
        assert!(most <= CONCURRENCY as usize, "{what}: {most} at once");
        let mut figures = figures.lock().unwrap();
        figures.cycles += 1;
        *figures.events.as_mut().unwrap() += acknowledged.len() as u64;
        *figures.duplicated.as_mut().unwrap() += duplicated as u64;
        latest
    }
}

/// The library that lies to a process about the time.
pub fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let mut places = folders.flatten().map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    places.find(|path| path.exists())
}
