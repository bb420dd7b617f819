//! The n-th write fails, for every n: of all calls that change or sync a file of the store, from the daemon's start to its
//! end. With an error once, in the middle of a write, and from there on until the disk is well again.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use postrider::store::NewEndpoint;

use crate::campaign::{Campaign, Figures};
use crate::harness::{Daemon, Home, PATIENCE, endpoint, overrides, program, wait_for};
use crate::load::{Load, event_of};
use crate::preload::{FAILING, compile};
use crate::receivers::{Answer, Receiver};

/// What a run is given the time to have acknowledged, and long enough for it.
const EVENTS: usize = 24;
const LONG_ENOUGH: Duration = Duration::from_millis(1500);
/// Of each body, so that a run writes enough pages.
const PADDING: usize = 9_000;
const CLIENTS: usize = 3;
/// The kind of `preload/failing.c` that is a sync.
const SYNC: u64 = 3;
/// ENOSPC and EIO.
const ERRORS: [i32; 2] = [28, 5];
/// How many calls of all kinds, and of each, fail in the quick run.
const QUICK: [u64; 6] = [24, 6, 4, 16, 3, 3];
const HOW: [&str; 3] = ["once", "from", "half"];

/// Which call fails, and how.
#[derive(Clone, Copy)]
struct Case {
    /// Only calls of this kind are numbered; 0: all.
    kind: u64,
    /// From 1; 0: none.
    at: u64,
    how: &'static str,
    error: i32,
}

pub fn run(campaign: &Campaign) -> Figures {
    let folder = tempfile::tempdir().unwrap();
    let shim = compile(FAILING, folder.path(), "failing");
    let whole = Run::new(&shim, Case { kind: 0, at: 0, how: HOW[0], error: 0 }).go();
    assert!(whole.calls.iter().all(|calls| *calls > 0) && whole.failed == 0, "{:?} calls are no run", whole.calls);
    let cases = cases(campaign, &whole.calls);
    let (next, all) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst) as usize) {
                    let ended = Run::new(&shim, *case).go();
                    all.lock().unwrap().push(ended);
                    campaign.progress(next.load(Ordering::SeqCst), cases.len() as u64, "case");
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    let hit = all.iter().filter(|ended| ended.failed > 0).count();
    let syncs = all.iter().filter(|ended| ended.kind == SYNC).count();
    assert!(hit * 2 > all.len() && syncs > 1, "{hit} of {} failed, {syncs} of them syncs", all.len());
    let gave_up = all.iter().filter(|ended| ended.status != 0).count();
    let worst_of = "from the disk's return to the next acknowledgement".to_owned();
    let mut figures = Figures { worst_of, cycles: all.len() as u64, ..Figures::default() };
    all.iter().filter_map(|ended| ended.resumed).for_each(|time| figures.worse(time));
    figures.events = Some(all.iter().map(|ended| ended.acknowledged).sum());
    figures.lost = Some(0);
    figures.duplicated = Some(all.iter().map(|ended| ended.duplicated).sum());
    figures.note(format!(
        "{} calls a run; {hit} hit, {syncs} of them syncs; {gave_up} daemons ended with words, the others went on",
        whole.calls[0]
    ));
    figures
}

/// Calls of all kinds, and of each kind apart: else the writes, which are many, would hide the rest. A run's calls are not
/// always as many; beyond the last one nothing fails.
fn cases(campaign: &Campaign, calls: &[u64]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, calls) in calls.iter().enumerate() {
        let last = calls + calls / 8;
        let wanted = campaign.pick(QUICK[kind], last);
        for at in (1..=last).step_by(last.div_ceil(wanted) as usize) {
            let number = cases.len();
            cases.push(Case { kind: kind as u64, at, how: HOW[number % 3], error: ERRORS[number / 3 % 2] });
        }
    }
    cases
}

/// A daemon, from start to end, of whose calls one fails.
struct Run {
    home: Home,
    receiver: Receiver,
    shim: PathBuf,
    state: State,
    what: String,
    variables: Vec<(&'static str, String)>,
    comes_back: bool,
}

struct Ended {
    /// All, and of each kind.
    calls: Vec<u64>,
    failed: u64,
    kind: u64,
    status: i32,
    acknowledged: u64,
    duplicated: u64,
    /// From the disk's return to the next acknowledgement, where both happened.
    resumed: Option<Duration>,
}

impl Run {
    fn new(shim: &Path, case: Case) -> Self {
        let Case { kind, at, how, error } = case;
        let home = Home::new();
        let receiver = Receiver::start(|request| Answer::status(if request.number % 4 == 0 { 500 } else { 200 }));
        home.add(NewEndpoint { overrides: overrides(&[20; 60]), ..endpoint("acme", &receiver.url()) });
        let state = State::new(&home.path().join("state"));
        let variables = vec![
            ("FAILING_STATE", home.path().join("state").display().to_string()),
            ("FAILING_KIND", kind.to_string()),
            ("FAILING_AT", at.to_string()),
            ("FAILING_HOW", how.to_owned()),
            ("FAILING_ERROR", error.to_string()),
        ];
        let what = format!("call {at} of kind {kind} fails ({how}, errno {error})");
        Run { home, receiver, shim: shim.to_owned(), state, what, variables, comes_back: how == "from" }
    }

    fn go(self) -> Ended {
        let mut command = program(&self.home);
        command
            .arg("serve")
            .env("LD_PRELOAD", &self.shim)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut daemon = Daemon::spawn(command);
        let load = Load::start("load", CLIENTS, Duration::from_millis(1), PADDING);
        let resumed = self.work(&mut daemon, &load);
        if daemon.runs() {
            daemon.terminate();
        }
        let status = daemon.wait();
        let (lines, what) = (daemon.lines(), &self.what);
        assert!(!lines.iter().any(|line| line.contains("panicked")), "{what}: {lines:#?}");
        let code = status.code().unwrap_or_else(|| panic!("{what}: {status}: {lines:#?}"));
        let last = lines.last().cloned().unwrap_or_default();
        assert!(code == 0 || ([70, 74].contains(&code) && last.starts_with("postrider: ")), "{what}: {code}: {last}");
        self.settle(load, code, resumed)
    }

    /// Until enough was acknowledged, or nothing more can be.
    fn work(&self, daemon: &mut Daemon, load: &Load) -> Option<Duration> {
        let (begun, mut aimed, mut returned, mut resumed) = (Instant::now(), false, None, None);
        let mut at_failure = None;
        while daemon.runs()
            && begun.elapsed() < LONG_ENOUGH
            && (load.count() < EVENTS || resumed.is_none() && returned.is_some())
        {
            if !aimed && !daemon.told("listening").is_empty() {
                load.aim(daemon);
                aimed = true;
            }
            if self.comes_back && returned.is_none() && self.state.failed() > 2 {
                std::thread::sleep(Duration::from_millis(50));
                self.state.mend();
                returned = Some((Instant::now(), load.count()));
            }
            if let Some((at, before)) = returned
                && resumed.is_none()
                && load.count() > before
            {
                resumed = Some(at.elapsed());
            }
            if self.state.failed() > 0 && at_failure.is_none() {
                at_failure = Some(load.count());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // What a failed sync leaves on disk nobody knows: nothing may be acknowledged after it.
        if let (SYNC, Some(before)) = (self.state.kind(), at_failure) {
            let after = load.count() - before;
            assert!(after <= CLIENTS, "{}: {after} events acknowledged after a failed sync", self.what);
        }
        self.state.mend();
        resumed
    }

    /// The next daemon, on a disk that is well, completes everything.
    fn settle(self, load: Load, status: i32, resumed: Option<Duration>) -> Ended {
        let (failed, kind, calls) = (self.state.failed(), self.state.kind(), self.state.calls());
        let acknowledged = load.stop();
        let daemon = Daemon::start(&self.home);
        self.home.hurry();
        let counts =
            wait_for("nothing pending", PATIENCE, || Some(self.home.counts()).filter(|counts| counts.pending == 0));
        daemon.stop();
        self.home.check_integrity();
        assert_eq!((counts.delivered, counts.dead), (counts.events, 0), "{}: {counts:?}", self.what);
        let mut arrived: BTreeMap<String, u64> = BTreeMap::new();
        for request in self.receiver.requests() {
            let accepted = u64::from(request.number % 4 != 0);
            *arrived.entry(event_of(&request, PADDING)).or_default() += accepted;
        }
        for id in &acknowledged {
            assert!(arrived.get(id).is_some_and(|times| *times > 0), "{}: {id} is lost", self.what);
        }
        let duplicated = arrived.values().map(|times| times.saturating_sub(1)).sum();
        Ended { calls, failed, kind, status, acknowledged: acknowledged.len() as u64, duplicated, resumed }
    }
}

/// The numbers shared with `preload/failing.c`.
struct State(std::fs::File);

impl State {
    fn new(path: &Path) -> Self {
        std::fs::write(path, [0; 72]).unwrap();
        State(std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap())
    }

    fn number(&self, index: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, 8 * index).unwrap();
        u64::from_ne_bytes(bytes)
    }

    fn calls(&self) -> Vec<u64> {
        [0, 4, 5, 6, 7, 8].map(|index| self.number(index)).to_vec()
    }

    fn mend(&self) {
        self.0.write_all_at(&1_u64.to_ne_bytes(), 8).unwrap();
    }

    fn kind(&self) -> u64 {
        self.number(2)
    }

    fn failed(&self) -> u64 {
        self.number(3)
    }
}
