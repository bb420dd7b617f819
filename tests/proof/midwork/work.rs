//! The long works, each on a store that is made for it.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use postrider::daemon::clock::wall;
use postrider::operations;
use postrider::store::NewEndpoint;
use postrider::store::sqlite::SqliteStore;
use rusqlite::Connection;

use super::{Progress, Work};
use crate::harness::{Home, LENIENT, endpoint, overrides, program, submission};

/// The oldest schema, as it was shipped.
const SCHEMA_1: &str = include_str!("../../it/migrating/schema-1.sql");
const ROWS: usize = 20_000;

/// What one SELECT answers: all of one moment, though the work may go on.
fn numbers<const N: usize>(home: &Home, select: [&str; N]) -> [u64; N] {
    let connection = Connection::open(home.store_path()).unwrap();
    connection.busy_timeout(crate::harness::PATIENCE).unwrap();
    let columns: Vec<String> = select.iter().map(|part| format!("({part})")).collect();
    let select = format!("SELECT {}", columns.join(", "));
    let answered = connection.query_row(&select, [], |row| {
        let numbers: rusqlite::Result<Vec<u64>> = (0..N).map(|column| row.get(column)).collect();
        numbers
    });
    answered.unwrap_or_else(|error| panic!("{select}: {error}")).try_into().expect("as many as were asked for")
}

/// A home whose store holds `ROWS` deliveries to an endpoint at which nobody listens.
fn filled(config: &str) -> Home {
    let home = Home::with(&format!("{LENIENT}{config}"));
    let nobody = NewEndpoint { overrides: overrides(&[3_600_000; 3]), ..endpoint("acme", "http://127.0.0.1:9/nobody") };
    let acme = home.add(nobody);
    home.enqueue_many("owed", ROWS, &acme);
    home
}

fn verb(home: &Home, words: &str) -> Command {
    let mut command = program(home);
    command.args(words.split(' '));
    command
}

/// From the oldest schema to today's, by whichever verb opens the store first.
pub struct Migration(Home);

impl Migration {
    pub fn make() -> Option<Box<dyn Work>> {
        let home = Home::new();
        let connection = Connection::open(home.store_path()).unwrap();
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
        let rows = format!(
            "INSERT INTO endpoint VALUES (1, 'acme', 'http://127.0.0.1:9/', 'octamile', '[]', '{{}}', 'active', 5, NULL, 5);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
             INSERT INTO event SELECT i, 'e' || i, 'a.b', 'text/plain', i, zeroblob(32), zeroblob(32), NULL, x'7b7d' FROM n;
             INSERT INTO delivery SELECT id, id, 1, 'delivered', 1, NULL, NULL, NULL, 11, NULL FROM event;"
        );
        connection.execute_batch(&format!("BEGIN; {SCHEMA_1} {rows} COMMIT;")).unwrap();
        connection.pragma_update(None, "application_id", 0x7073_7472).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        Some(Box::new(Migration(home)))
    }
}

impl Work for Migration {
    fn name(&self) -> &'static str {
        "migration"
    }

    fn home(&self) -> &Home {
        &self.0
    }

    fn begin(&self) -> Command {
        verb(&self.0, "endpoint list")
    }

    fn has_parts(&self) -> bool {
        false
    }

    fn progress(&self) -> Progress {
        let [version, columns, tables, delivered] = numbers(
            &self.0,
            [
                "SELECT user_version FROM pragma_user_version",
                "SELECT count(*) FROM pragma_table_info('delivery') WHERE name = 'earlier'",
                "SELECT count(*) FROM sqlite_schema WHERE name = 'outcome'",
                "SELECT count(*) FROM delivery WHERE state = 'delivered'",
            ],
        );
        let known = [(1, 0, 0), (postrider::store::sqlite::SCHEMA_VERSION as u64, 1, 1)];
        assert!(known.contains(&(version, columns, tables)), "half a migration: {version}, {columns}, {tables}");
        assert_eq!(delivered, ROWS as u64);
        if version == 1 { Progress::Nothing } else { Progress::Done }
    }
}

/// Events that are older than they are kept go, if nothing more is owed of them.
pub struct Prune {
    home: Home,
    library: PathBuf,
}

impl Prune {
    const OWED: u64 = 1_000;

    pub fn make() -> Option<Box<dyn Work>> {
        let library = crate::clock::faketime()?;
        let home = filled("[store]\nkeep_ended_days = 1\n");
        let connection = Connection::open(home.store_path()).unwrap();
        let old = format!(
            "BEGIN IMMEDIATE;
             UPDATE event SET accepted_at = accepted_at - 864000000;
             UPDATE delivery SET state = 'delivered', attempts = 1, due_at = NULL, ended_at = 1 WHERE id > {};
             COMMIT;",
            Self::OWED
        );
        connection.execute_batch(&old).unwrap();
        Some(Box::new(Prune { home, library }))
    }
}

impl Work for Prune {
    fn name(&self) -> &'static str {
        "deleting old events"
    }

    fn home(&self) -> &Home {
        &self.home
    }

    /// The first look comes after a minute: it is made one of a third of a second.
    fn begin(&self) -> Command {
        let mut command = verb(&self.home, "serve");
        command.env("LD_PRELOAD", &self.library).env("FAKETIME", "+0 x200");
        command
    }

    fn has_parts(&self) -> bool {
        true
    }

    fn progress(&self) -> Progress {
        let [left, orphans, bare] = numbers(
            &self.home,
            [
                "SELECT count(*) FROM event",
                "SELECT count(*) FROM delivery WHERE event_id NOT IN (SELECT id FROM event)",
                "SELECT count(*) FROM event WHERE id NOT IN (SELECT event_id FROM delivery)",
            ],
        );
        assert!(left >= Self::OWED && (orphans, bare) == (0, 0), "{left} are left, {orphans} and {bare} of them half");
        Progress::of(left - Self::OWED, ROWS as u64 - Self::OWED)
    }
}

/// Everything that was given up, again.
pub struct Replay(Home);

impl Replay {
    pub fn make() -> Option<Box<dyn Work>> {
        let home = filled("");
        let connection = Connection::open(home.store_path()).unwrap();
        let dead = "UPDATE delivery SET state = 'dead', attempts = 1, due_at = NULL, ended_at = 1, reason = 'schedule used up'";
        connection.execute_batch(dead).unwrap();
        Some(Box::new(Replay(home)))
    }
}

impl Work for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn home(&self) -> &Home {
        &self.0
    }

    fn begin(&self) -> Command {
        verb(&self.0, "replay --yes")
    }

    fn has_parts(&self) -> bool {
        true
    }

    fn progress(&self) -> Progress {
        let [dead, pending] = numbers(
            &self.0,
            [
                "SELECT count(*) FROM delivery WHERE state = 'dead'",
                "SELECT count(*) FROM delivery WHERE state = 'pending' AND earlier = 1",
            ],
        );
        assert_eq!(dead + pending, ROWS as u64);
        Progress::of(dead, ROWS as u64)
    }
}

/// An endpoint goes by a verb; once it is gone, the daemon ends what it is still owed.
pub struct Removal(Home);

impl Removal {
    pub fn make() -> Option<Box<dyn Work>> {
        Some(Box::new(Removal(filled(""))))
    }
}

impl Work for Removal {
    fn name(&self) -> &'static str {
        "removing an endpoint"
    }

    fn home(&self) -> &Home {
        &self.0
    }

    fn begin(&self) -> Command {
        let [there] = numbers(&self.0, ["SELECT count(*) FROM endpoint WHERE name = 'acme' AND state <> 'removed'"]);
        verb(&self.0, if there == 1 { "endpoint remove acme --yes" } else { "serve" })
    }

    fn has_parts(&self) -> bool {
        true
    }

    fn progress(&self) -> Progress {
        let [pending, gone] = numbers(
            &self.0,
            [
                "SELECT count(*) FROM delivery WHERE state = 'pending'",
                "SELECT count(*) FROM delivery WHERE state = 'dead' AND reason = 'endpoint gone' AND attempts = 0",
            ],
        );
        assert_eq!(pending + gone, ROWS as u64);
        Progress::of(pending, ROWS as u64)
    }
}

/// A copy, over and over, while events come in: whole, of one moment, or not there.
pub struct Backup {
    /// Ends before its store does.
    writer: Writer,
    home: Home,
    /// What stood in the store when the first copy was begun.
    before: OnceCell<u64>,
}

impl Backup {
    pub fn make() -> Option<Box<dyn Work>> {
        let home = filled("");
        let writer = Writer::start(&home);
        Some(Box::new(Backup { home, writer, before: OnceCell::new() }))
    }
}

impl Work for Backup {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn home(&self) -> &Home {
        &self.home
    }

    fn begin(&self) -> Command {
        self.before.get_or_init(|| self.writer.count());
        verb(&self.home, "backup copy.db")
    }

    fn has_parts(&self) -> bool {
        false
    }

    fn progress(&self) -> Progress {
        let copy = self.home.path().join("copy.db");
        if !copy.exists() {
            return Progress::Nothing;
        }
        let connection = Connection::open(&copy).unwrap();
        let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        let numbers =
            |sql: &str| -> (i64, i64) { connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap() };
        let (events, deliveries) = numbers("SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM delivery)");
        // Ids that count on, so the last of them tells how many there must be.
        let (during, last) = numbers(
            "SELECT count(*), coalesce(max(CAST(substr(name, 8) AS INTEGER)), -1) FROM event WHERE name LIKE 'during-%'",
        );
        assert_eq!((found.as_str(), events, deliveries), ("ok", ROWS as i64 + during, events), "half a copy");
        assert_eq!(during, last + 1, "a copy of several moments");
        let before = *self.before.get().expect("begun") as i64;
        assert!(during >= before, "{before} events stood there when it was begun, the copy has {during}");
        Progress::Done
    }
}

/// One event after the other, from a store of its own, until it is dropped.
struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(home: &Home) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (stop.clone(), written.clone());
        let (path, rules) = (home.store_path(), home.rules());
        let run = move || {
            let mut store = SqliteStore::open(&path).unwrap();
            while !stopped.load(Ordering::SeqCst) {
                let event = submission(&format!("during-{}", count.load(Ordering::SeqCst)), b"{}");
                operations::enqueue(&mut store, &rules, wall(), event).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        Writer { stop, written, thread: Some(std::thread::spawn(run)) }
    }

    fn count(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the writer failed");
    }
}

/// A file of events, handed over.
pub struct Batch(Home);

impl Batch {
    const LINES: usize = 5_000;

    pub fn make() -> Option<Box<dyn Work>> {
        let home = Home::new();
        home.add(NewEndpoint { overrides: overrides(&[]), ..endpoint("acme", "http://127.0.0.1:9/nobody") });
        let line =
            |number: usize| format!("{{\"type\": \"thing.happened\", \"endpoint\": \"acme\", \"body\": {number}}}\n");
        std::fs::write(home.path().join("events.ndjson"), (0..Self::LINES).map(line).collect::<String>()).unwrap();
        Some(Box::new(Batch(home)))
    }
}

impl Work for Batch {
    fn name(&self) -> &'static str {
        "a batch"
    }

    fn home(&self) -> &Home {
        &self.0
    }

    fn begin(&self) -> Command {
        verb(&self.0, "enqueue --batch events.ndjson")
    }

    fn has_parts(&self) -> bool {
        true
    }

    fn progress(&self) -> Progress {
        let [events, different, deliveries] = numbers(
            &self.0,
            [
                "SELECT count(*) FROM event",
                "SELECT count(DISTINCT CAST(body AS TEXT)) FROM event",
                "SELECT count(*) FROM delivery",
            ],
        );
        assert_eq!((events, deliveries), (different, events), "an event came twice, or without its delivery");
        Progress::of(Self::LINES as u64 - events, Self::LINES as u64)
    }
}
