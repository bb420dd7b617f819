//! A store with a backlog, written straight into its tables: through the front door it would take minutes.

use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use crate::sender::Home;
use crate::wire::{TYPE, body};

/// Rows that go into one transaction.
const AT_ONCE: u64 = 250_000;

/// What stands in the store before the run.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    pub pending: u64,
    /// Of those, due now, and all to the endpoint `blocked`.
    pub due: u64,
}

/// What is due was not tried yet, and the rest was tried once and waits for its retry.
///
/// To a store that has the endpoints `blocked` and `later-0` to `later-9`.
pub fn fill(home: &Home, backlog: Backlog) {
    let connection = Connection::open(home.store()).expect("a store");
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144;").expect("a store");
    let endpoint = |name: &str| -> i64 {
        let sql = "SELECT id FROM endpoint WHERE name = ?1";
        connection.query_row(sql, [name], |row| row.get(0)).expect("the endpoint is there")
    };
    let blocked = endpoint("blocked");
    let later = endpoint("later-0");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis() as i64;
    let body = body(0);
    let digest: [u8; 32] = Sha256::digest(&body).into();
    let mut first = 1;
    while first <= backlog.pending {
        let last = (first + AT_ONCE - 1).min(backlog.pending);
        connection.execute_batch("BEGIN").expect("a store");
        let rows = format!("WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})");
        let events = format!(
            "{rows} INSERT INTO event (id, name, type, content_type, accepted_at, digest, fingerprint, body)
             SELECT i, printf('fill-%09d', i), '{TYPE}', NULL, ?1, ?2, substr(?2, 1, 16), ?3 FROM n"
        );
        connection.execute(&events, params![now - 3_600_000, digest, body]).expect("room");
        let deliveries = format!(
            "{rows} INSERT INTO delivery (id, event_id, endpoint_id, state, due_at, attempts)
             SELECT i, i, iif(i <= ?1, ?2, ?3 + i % 10), 'pending', iif(i <= ?1, ?4, ?4 + 86400000 + i), i > ?1 FROM n"
        );
        connection.execute(&deliveries, params![backlog.due as i64, blocked, later, now - 1000]).expect("room");
        connection.execute_batch("COMMIT").expect("room");
        first = last + 1;
    }
    let tally = "UPDATE tally SET events = ?1, pending = ?1, newest = ?1";
    connection.execute(tally, [backlog.pending as i64]).expect("room");
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a store");
    // Or the disk would still be busy with it while something is measured.
    std::fs::File::open(home.store()).and_then(|file| file.sync_all()).expect("a disk");
}

/// Makes `e1` and on, so that there are `count` like `e0`; dead ones lead to where nothing is accepted.
pub fn endpoints(home: &Home, count: usize, accepts: u16, fails: u16) {
    let connection = Connection::open(home.store()).expect("a store");
    connection.execute_batch("BEGIN").expect("a store");
    for number in 1..count {
        let port = if crate::scenarios::is_dead(number) { fails } else { accepts };
        let endpoint =
            "INSERT INTO endpoint (name, url, profile, subscriptions, overrides, state, state_since, created_at)
                        SELECT ?1, ?2, profile, subscriptions, overrides, state, state_since, created_at
                        FROM endpoint WHERE name = 'e0'";
        let url = format!("http://127.0.0.1:{port}/hook");
        connection.execute(endpoint, params![format!("e{number}"), url]).expect("room");
        let key = "INSERT INTO key (endpoint_id, position, scheme, secret)
                   SELECT ?1, position, scheme, secret FROM key WHERE endpoint_id = (SELECT id FROM endpoint WHERE name = 'e0')";
        connection.execute(key, [connection.last_insert_rowid()]).expect("room");
    }
    connection.execute_batch("COMMIT").expect("room");
}
