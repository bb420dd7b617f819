//! The long works, each on a store that is made for it.

use std::path::PathBuf;
use std::process::Command;

use postrider::store::NewEndpoint;
use rusqlite::Connection;

use super::Work;
use crate::harness::{Home, LENIENT, endpoint, overrides, program};

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
    pub fn make() -> Box<dyn Work> {
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
        Box::new(Migration(home))
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

    fn is_done(&self) -> bool {
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
        version != 1
    }
}

/// Events that are older than they are kept go, if nothing more is owed of them.
pub struct Prune {
    home: Home,
    library: Option<PathBuf>,
}

impl Prune {
    const OWED: u64 = 1_000;

    pub fn make() -> Box<dyn Work> {
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
        Box::new(Prune { home, library: crate::clock::faketime() })
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
        if let Some(library) = &self.library {
            command.env("LD_PRELOAD", library).env("FAKETIME", "+0 x200");
        }
        command
    }

    fn is_done(&self) -> bool {
        let [left, orphans, bare] = numbers(
            &self.home,
            [
                "SELECT count(*) FROM event",
                "SELECT count(*) FROM delivery WHERE event_id NOT IN (SELECT id FROM event)",
                "SELECT count(*) FROM event WHERE id NOT IN (SELECT event_id FROM delivery)",
            ],
        );
        assert!(left >= Self::OWED && (orphans, bare) == (0, 0), "{left} are left, {orphans} and {bare} of them half");
        // Without a way to make the minute short there is nothing to wait for.
        left == Self::OWED || self.library.is_none()
    }
}

/// Everything that was given up, again.
pub struct Replay(Home);

impl Replay {
    pub fn make() -> Box<dyn Work> {
        let home = filled("");
        let connection = Connection::open(home.store_path()).unwrap();
        let dead = "UPDATE delivery SET state = 'dead', attempts = 1, due_at = NULL, ended_at = 1, reason = 'schedule used up'";
        connection.execute_batch(dead).unwrap();
        Box::new(Replay(home))
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

    fn is_done(&self) -> bool {
        let [dead, pending] = numbers(
            &self.0,
            [
                "SELECT count(*) FROM delivery WHERE state = 'dead'",
                "SELECT count(*) FROM delivery WHERE state = 'pending' AND earlier = 1",
            ],
        );
        assert_eq!(dead + pending, ROWS as u64);
        dead == 0
    }
}

/// An endpoint goes, and the daemon ends what it is owed.
pub struct Removal(Home);

impl Removal {
    pub fn make() -> Box<dyn Work> {
        let home = filled("");
        assert_eq!(home.remove("acme"), ROWS as u64);
        Box::new(Removal(home))
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
        verb(&self.0, "serve")
    }

    fn is_done(&self) -> bool {
        let [pending, gone] = numbers(
            &self.0,
            [
                "SELECT count(*) FROM delivery WHERE state = 'pending'",
                "SELECT count(*) FROM delivery WHERE state = 'dead' AND reason = 'endpoint gone' AND attempts = 0",
            ],
        );
        assert_eq!(pending + gone, ROWS as u64);
        pending == 0
    }
}

/// A copy, over and over: whole, or not there.
pub struct Backup(Home);

impl Backup {
    pub fn make() -> Box<dyn Work> {
        Box::new(Backup(filled("")))
    }
}

impl Work for Backup {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn home(&self) -> &Home {
        &self.0
    }

    fn begin(&self) -> Command {
        verb(&self.0, "backup copy.db")
    }

    fn is_done(&self) -> bool {
        let copy = self.0.path().join("copy.db");
        if !copy.exists() {
            return false;
        }
        let connection = Connection::open(&copy).unwrap();
        let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        let events: u64 = connection.query_row("SELECT count(*) FROM event", [], |row| row.get(0)).unwrap();
        assert_eq!((found.as_str(), events), ("ok", ROWS as u64), "half a copy");
        true
    }
}

/// A file of events, handed over.
pub struct Batch(Home);

impl Batch {
    const LINES: usize = 5_000;

    pub fn make() -> Box<dyn Work> {
        let home = Home::new();
        home.add(NewEndpoint { overrides: overrides(&[]), ..endpoint("acme", "http://127.0.0.1:9/nobody") });
        let line =
            |number: usize| format!("{{\"type\": \"thing.happened\", \"endpoint\": \"acme\", \"body\": {number}}}\n");
        std::fs::write(home.path().join("events.ndjson"), (0..Self::LINES).map(line).collect::<String>()).unwrap();
        Box::new(Batch(home))
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

    fn is_done(&self) -> bool {
        let [events, different, deliveries] = numbers(
            &self.0,
            [
                "SELECT count(*) FROM event",
                "SELECT count(DISTINCT CAST(body AS TEXT)) FROM event",
                "SELECT count(*) FROM delivery",
            ],
        );
        assert_eq!((events, deliveries), (different, events), "an event came twice, or without its delivery");
        events == Self::LINES as u64
    }
}
