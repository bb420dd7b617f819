//! A store that others hold or take away: locked by another process for seconds, read by one that does not end, claimed by
//! many daemons at once, deleted, replaced or bereft of a file under the daemon that uses it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use postrider::endpoint::Overrides;
use postrider::event::EventId;
use postrider::store::{NewEndpoint, Store};
use postrider::time::Span;

use crate::campaign::{Campaign, Figures};
use crate::harness::{Daemon, Home, PATIENCE, endpoint, overrides, program, wait_for};
use crate::load::{Load, event_of};
use crate::receivers::{Answer, Receiver};

/// A daemon that has nothing to do looks at its store this often or more; busy ones do at each commit.
const NOTICED: Duration = Duration::from_secs(5);
const CLIENTS: usize = 3;

pub fn run(campaign: &Campaign) -> Figures {
    let worst_of = "from the lock's end to the next acknowledgement".to_owned();
    let mut figures = Figures { worst_of, events: Some(0), lost: Some(0), ..Figures::default() };
    // The longest outlasts every lease, which is a timeout and 15 s.
    for seconds in campaign.pick(vec![1, 6, 20], vec![1, 5, 20, 30]) {
        std::thread::scope(|scope| {
            let both = ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"]
                .map(|begin| scope.spawn(move || locked(begin, Duration::from_secs(seconds))));
            for one in both {
                let one = one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                one.worst.into_iter().for_each(|worst| figures.worse(worst));
                figures.cycles += 1;
                *figures.events.as_mut().unwrap() += one.events.unwrap_or_default();
            }
        });
    }
    read_for_long(campaign.pick(2, 20), &mut figures);
    claimed(campaign.pick(2, 20), &mut figures);
    for file in ["postrider.db", "postrider.db-wal", "postrider.db-shm", "postrider.db-lock"] {
        for replaced in [false, true] {
            taken_away(file, replaced, &mut figures);
        }
    }
    figures
}

/// A daemon under load.
struct Stand {
    home: Home,
    receiver: Receiver,
    daemon: Daemon,
    load: Load,
}

impl Stand {
    fn new(prefix: &str) -> Self {
        let home = Home::new();
        let receiver = Receiver::start(|_| Answer::status(200));
        let brief = Overrides { timeout: Some(Span::from_seconds(2)), ..overrides(&[20; 50]) };
        home.add(NewEndpoint { overrides: brief, ..endpoint("acme", &receiver.url()) });
        let daemon = Daemon::start(&home);
        let load = Load::start(prefix, CLIENTS, Duration::from_millis(2), 100);
        load.aim(&daemon);
        let stand = Stand { home, receiver, daemon, load };
        stand.wait_for_more("the first", 30);
        stand
    }

    fn wait_for_more(&self, what: &str, more: usize) {
        let before = self.load.count();
        let wanted = format!("{more} events acknowledged: {what}");
        wait_for(&wanted, PATIENCE, || (self.load.count() >= before + more).then_some(()));
    }

    /// Everything acknowledged arrives, from the same daemon, and none of it twice.
    fn settle(self, figures: &mut Figures) -> Vec<String> {
        let acknowledged = self.load.stop();
        self.home.wait_until_settled();
        let lines = self.daemon.stop();
        self.home.check_integrity();
        let arrived: Vec<String> = self.receiver.requests().iter().map(|request| event_of(request, 100)).collect();
        let different: BTreeSet<&String> = arrived.iter().collect();
        assert_eq!(different.len(), arrived.len(), "something came twice");
        let lost: Vec<&String> = acknowledged.iter().filter(|id| !different.contains(id)).collect();
        assert!(lost.is_empty(), "{lost:?}");
        *figures.events.as_mut().unwrap() += acknowledged.len() as u64;
        lines
    }
}

fn locked(begin: &str, held_for: Duration) -> Figures {
    let mut figures = Figures { events: Some(0), ..Figures::default() };
    let stand = Stand::new("locked");
    let other = rusqlite::Connection::open(stand.home.store_path()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch(begin).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let before = stand.load.count();
    std::thread::sleep(held_for);
    assert_eq!(stand.load.count(), before, "acknowledged while another process held the store");
    other.execute_batch("ROLLBACK").unwrap();
    let freed = Instant::now();
    wait_for("an acknowledgement", PATIENCE, || (stand.load.count() > before).then_some(()));
    figures.worse(freed.elapsed());
    stand.wait_for_more("after the lock", 30);
    let lines = stand.settle(&mut figures);
    let telling = lines.iter().filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\"")).count();
    assert!(telling < 40, "{telling} lines about one lock");
    figures
}

/// A reader that does not end keeps the log of writes from beginning anew: it grows, and is whole again later.
fn read_for_long(seconds: u64, figures: &mut Figures) {
    let stand = Stand::new("read");
    let log = stand.home.path().join("postrider.db-wal");
    let size = || std::fs::metadata(&log).unwrap().len();
    let other = rusqlite::Connection::open(stand.home.store_path()).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM event;").unwrap();
    let _snapshot: i64 = other.query_row("SELECT count(*) FROM event", [], |row| row.get(0)).unwrap();
    std::thread::sleep(Duration::from_secs(seconds));
    stand.wait_for_more("beside a reader", 30);
    let grown = size();
    other.execute_batch("COMMIT").unwrap();
    stand.wait_for_more("after the reader", 30);
    stand.settle(figures);
    figures.cycles += 1;
    figures.note(format!("a reader of {seconds} s let the log grow to {} MB", grown >> 20));
}

/// Many daemons begin at one moment, by two names of the same file: one serves.
fn claimed(rounds: u64, figures: &mut Figures) {
    for _ in 0..rounds {
        let home = Home::new();
        drop(home.store());
        std::os::unix::fs::symlink(home.store_path(), home.path().join("other.db")).unwrap();
        let mut daemons: Vec<Daemon> = Vec::new();
        for number in 0..10 {
            let path = if number % 2 == 0 { "postrider.db" } else { "other.db" };
            let mut command = program(&home);
            command.args(["serve", "--store", path]);
            daemons.push(Daemon::spawn(command));
        }
        wait_for("one that serves, and nine that do not", PATIENCE, || {
            let running = daemons.iter_mut().filter_map(|daemon| daemon.runs().then_some(())).count();
            (running == 1).then_some(())
        });
        let mut served = 0;
        for mut daemon in daemons {
            match daemon.runs() {
                true => {
                    daemon.wait_for_line("started");
                    served += 1;
                    daemon.stop();
                }
                false => {
                    let status = daemon.wait();
                    assert_eq!(status.code(), Some(75), "{:#?}", daemon.lines());
                    assert!(daemon.told("started").is_empty());
                }
            }
        }
        assert_eq!(served, 1);
        figures.cycles += 1;
    }
}

/// A file of the store goes, or is another. The daemon notices, says so, and acknowledges nothing that cannot be found.
fn taken_away(file: &str, replaced: bool, figures: &mut Figures) {
    let mut stand = Stand::new("taken");
    let path = stand.home.path().join(file);
    let kept = kept_aside(&stand.home);
    let moved = Instant::now();
    match replaced {
        // As a restored backup comes: by a rename over what was there.
        true => std::fs::copy(&path, stand.home.path().join("new"))
            .and_then(|_| std::fs::rename(stand.home.path().join("new"), &path))
            .unwrap(),
        false => std::fs::remove_file(&path).unwrap(),
    }
    wait_for(&format!("the daemon's end without {file}"), PATIENCE, || (!stand.daemon.runs()).then_some(()));
    assert!(moved.elapsed() < NOTICED, "noticed after {:?}", moved.elapsed());
    let status = stand.daemon.wait();
    let lines = stand.daemon.lines();
    let last = lines.last().unwrap();
    assert_eq!(status.code(), Some(70), "{lines:#?}");
    assert!(last.starts_with("postrider: ") && last.contains(file) && last.contains("deleted or replaced"), "{last}");
    let acknowledged = stand.load.stop();
    // All that was acknowledged is in the files that were there.
    for (name, link) in kept {
        std::fs::remove_file(&name).ok();
        std::fs::hard_link(&link, &name).unwrap();
    }
    stand.home.check_integrity();
    let mut store = stand.home.store();
    let lost = acknowledged.iter().filter(|id| store.event(&EventId::parse(id).unwrap()).unwrap().is_none()).count();
    assert_eq!(lost, 0, "of {} acknowledged, without {file}", acknowledged.len());
    drop(store);
    figures.cycles += 1;
    *figures.events.as_mut().unwrap() += acknowledged.len() as u64;
}

/// Second names for the store's files: what is deleted under its name stays there.
fn kept_aside(home: &Home) -> Vec<(std::path::PathBuf, std::path::PathBuf)> {
    let aside = home.path().join("aside");
    std::fs::create_dir(&aside).unwrap();
    let keep = |file: &str| {
        let (name, link): (std::path::PathBuf, _) = (home.path().join(file), Path::new(&aside).join(file));
        std::fs::hard_link(&name, &link).unwrap();
        (name, link)
    };
    ["postrider.db", "postrider.db-wal"].map(keep).to_vec()
}
