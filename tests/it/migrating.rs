//! A store of an older postrider is brought to today's tables when it is opened, and everything in it is found again.
//! The older schemas are kept beside this file as they were shipped.

use std::collections::BTreeMap;
use std::path::Path;

use postrider::delivery::{DeliveryId, DeliveryState, Outcome, StateName, Verdict};
use postrider::endpoint::{Endpoint, EndpointId, EndpointState, Key, Scheme, Secret};
use postrider::event::EventId;
use postrider::store::sqlite::{SCHEMA_VERSION, SqliteStore};
use postrider::store::{Command, Filter, Page, Recorded, Reply, Store, StoreError};
use postrider::time::{Span, Time};
use rusqlite::Connection;

use crate::conformance::fixture;

const SCHEMA_1: &str = include_str!("migrating/schema-1.sql");
const NOW: Time = Time::from_ms(1_700_000_000_000);

/// A store as version 1 left it: three endpoints, and a delivery in each state, one of them in flight.
const CONTENTS_1: &str = "
INSERT INTO endpoint VALUES
    (1, 'acme', 'https://acme.example/', 'ensuro', '[\"policy/*\"]', '{\"concurrency\":3}', 'active', 5, NULL, 5),
    (2, 'bolt', 'https://bolt.example/', 'standard', '[]', '{}', 'disabled', 7, 'answered 410', 6),
    (3, NULL, 'https://once.example/', 'octamile', '[]', '{}', 'active', 8, NULL, 8);
INSERT INTO key VALUES (1, 0, 'hmac', x'6e6577'), (1, 1, 'hmac', x'6f6c64'), (2, 0, 'v1', x'01');
INSERT INTO event VALUES
    (1, 'e1', 'policy/creation', 'application/json', 10, zeroblob(32), zeroblob(32), NULL, zeroblob(100000)),
    (2, 'e2', 'policy/creation', 'application/json', 20, zeroblob(32), zeroblob(32), 't1 a', x'7b7d');
INSERT INTO delivery VALUES
    (1, 1, 1, 'delivered', 1, NULL, NULL, NULL, 11, NULL),
    (2, 1, 2, 'dead', 2, NULL, NULL, NULL, 12, 'endpoint gone'),
    (3, 1, 3, 'cancelled', 0, NULL, NULL, NULL, 13, NULL),
    (4, 2, 1, 'pending', 1, 1700000030000, 77, 1700000000000, NULL, NULL),
    (5, 2, 3, 'pending', 0, 20, NULL, NULL, NULL, NULL);
INSERT INTO attempt VALUES
    (1, 1, 10, 11, 'accepted', 200, 0, NULL, NULL, 1, 2, 3, 4, 10, '192.0.2.1:443', 0, NULL, x'6f6b'),
    (2, 1, 10, 11, 'timed out', NULL, 0, 'answer', NULL, NULL, NULL, NULL, NULL, 9, NULL, 0, NULL, x''),
    (2, 2, 11, 12, 'rejected', 410, 0, NULL, NULL, NULL, NULL, NULL, NULL, 9, NULL, 0, NULL, x'');
";

fn version_1(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
    connection.execute_batch(&format!("BEGIN; {SCHEMA_1} {CONTENTS_1} COMMIT;")).unwrap();
    connection.pragma_update(None, "application_id", 0x7073_7472).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection
}

fn check_contents(store: &mut SqliteStore) {
    let acme = store.endpoint(EndpointId(1)).unwrap().unwrap();
    let key = |text: &str| Key { scheme: Scheme::Hmac, secret: Secret::new(text.into()), until: None };
    assert_eq!((&acme.keys, &acme.state), (&vec![key("new"), key("old")], &EndpointState::Active));
    assert_eq!((acme.overrides.concurrency, acme.subscriptions[0].as_str()), (Some(3), "policy/*"));
    let bolt: Endpoint = store.endpoint(EndpointId(2)).unwrap().unwrap();
    assert!(matches!(bolt.state, EndpointState::Disabled { since, .. } if since == Time::from_ms(7)), "{bolt:?}");
    let event = store.event(&EventId::parse("e1").unwrap()).unwrap().unwrap();
    assert_eq!((event.body.len(), event.trace), (100_000, None));
    let listed = store.deliveries(&Filter::default(), Page { before: None, limit: 100 }).unwrap();
    let states: Vec<(i64, StateName, u32, u32)> = listed
        .iter()
        .rev()
        .map(|row| (row.delivery.id.0, row.delivery.state.name(), row.delivery.attempts, row.delivery.earlier))
        .collect();
    let expected = [
        (1, StateName::Delivered, 1, 0),
        (2, StateName::Dead, 2, 0),
        (3, StateName::Cancelled, 0, 0),
        (4, StateName::Pending, 1, 0),
        (5, StateName::Pending, 0, 0),
    ];
    assert_eq!(states, expected);
    let outcomes = |store: &mut SqliteStore, delivery| -> Vec<Outcome> {
        store.attempts(DeliveryId(delivery)).unwrap().into_iter().map(|attempt| attempt.outcome).collect()
    };
    assert_eq!(outcomes(store, 1), [Outcome::Accepted { status: 200, late: false }]);
    assert_eq!(outcomes(store, 2)[1], Outcome::Rejected { status: 410 });
}

#[test]
fn all_that_a_version_1_store_held_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postrider.db");
    drop(version_1(&path));
    let mut store = SqliteStore::open(&path).unwrap();
    check_contents(&mut store);
    drop(store);
    let mut store = SqliteStore::open(&path).unwrap();
    check_contents(&mut store);
    let counts = store.counts(NOW).unwrap();
    assert_eq!((counts.events, counts.pending, counts.leased, counts.due), (2, 2, 1, 1));
    assert_eq!((counts.delivered, counts.dead, counts.cancelled), (1, 1, 1));
    // Rows of today's form go into its tables, and no number is used again.
    let fresh = fixture::new_event("fresh", &[EndpointId(1)]);
    assert_eq!(fixture::enqueue(&mut store, NOW, fresh.clone()).deliveries, [(DeliveryId(6), EndpointId(1))]);
    assert_eq!(store.event(&fresh.id).unwrap().unwrap().content_type, fresh.content_type);
    assert!(fixture::enqueue(&mut store, NOW, fresh).again, "and it is known again");
    assert_eq!(store.counts(NOW).unwrap().events, 3);
    // It goes on: what was in flight is decided by its lease, and what is new works.
    let outcome = fixture::attempt(1, NOW, NOW, fixture::accepted());
    let recorded = fixture::record(&mut store, NOW, DeliveryId(4), 77, outcome, Verdict::Delivered);
    assert_eq!(recorded, Recorded::Counted);
    let later = NOW + Span::from_seconds(1);
    let commands = [
        Command::Resume(EndpointId(2)),
        Command::Pause(EndpointId(1)),
        Command::Retry { delivery: DeliveryId(2), states: vec![StateName::Dead], now_due: later },
    ];
    assert_eq!(store.apply(later, &commands).unwrap(), [Reply::Done(1), Reply::Done(1), Reply::Done(1)]);
    let retried = fixture::delivery(&mut store, DeliveryId(2));
    assert_eq!((retried.state, retried.earlier), (fixture::waiting(later), 2));
    let log: Vec<StateName> = store.outcomes(0, 10).unwrap().list.iter().map(|entry| entry.state).collect();
    assert_eq!(log, [StateName::Delivered, StateName::Pending]);
    assert!(matches!(
        fixture::state(&mut store, DeliveryId(3)),
        DeliveryState::Cancelled { at } if at == Time::from_ms(13)
    ));
}

/// As `BEGIN EXCLUSIVE` promises: one of them migrates, the others find it done.
#[test]
fn many_may_open_an_older_store_at_once() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postrider.db");
        // It stays open, as an older daemon's would.
        let older = version_1(&path);
        let opened = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    opened.wait();
                    check_contents(&mut SqliteStore::open(&path).unwrap());
                });
            }
        });
        let version: i64 = older.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, SCHEMA_VERSION);
    }
}

#[test]
fn a_migrated_store_has_the_tables_of_a_fresh_one() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.db"), folder.path().join("new.db"));
    drop(version_1(&old));
    SqliteStore::open(&old).unwrap();
    SqliteStore::open(&new).unwrap();
    assert_eq!(shape(&old), shape(&new));
    let intact: String =
        Connection::open(&old).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(intact, "ok");
}

/// Every column with its declaration, and every index. Where a column stands in its table is nobody's business.
fn shape(path: &Path) -> BTreeMap<String, String> {
    let db = Connection::open(path).unwrap();
    let mut columns = db
        .prepare(
            "SELECT m.name || '.' || c.name, format('%s %d %s %d', c.type, c.\"notnull\", c.dflt_value, c.pk)
             FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'",
        )
        .unwrap();
    let pairs = |row: &rusqlite::Row| Ok((row.get(0)?, row.get(1)?));
    let mut shape: BTreeMap<String, String> = columns.query_map([], pairs).unwrap().map(Result::unwrap).collect();
    let mut indexes = db.prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema WHERE type = 'index'").unwrap();
    shape.extend(indexes.query_map([], pairs).unwrap().map(Result::unwrap));
    shape
}

#[test]
fn a_store_of_a_newer_postrider_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postrider.db");
    version_1(&path).pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
    match SqliteStore::open(&path).map(|_| ()) {
        Err(StoreError::Unusable(sentence)) => assert!(sentence.contains("newer postrider"), "{sentence}"),
        other => panic!("{other:?}"),
    }
}
