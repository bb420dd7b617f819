//! Bringing a store of an older postrider to the tables of `schema.sql`, step by step and each step whole or not at all.
//! No row is rewritten: columns, tables and indexes come and go, and what is there keeps its meaning.

use rusqlite::Connection;

use super::tally;

/// From version 1: pausing, keys that end, idempotency keys, traces, retries by hand, the outcome log and tokens.
const FROM_1: &str = "
ALTER TABLE endpoint ADD COLUMN paused_at INTEGER CHECK (paused_at IS NULL OR state = 'active');
ALTER TABLE key ADD COLUMN until INTEGER;
ALTER TABLE event ADD COLUMN idempotency_key BLOB CHECK (length(idempotency_key) = 32);
ALTER TABLE event ADD COLUMN trace TEXT;
CREATE UNIQUE INDEX event_by_key ON event (idempotency_key) WHERE idempotency_key IS NOT NULL;
ALTER TABLE delivery ADD COLUMN earlier INTEGER NOT NULL DEFAULT 0 CHECK (earlier BETWEEN 0 AND attempts);
CREATE TABLE outcome (
    seq         INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL,
    attempt     INTEGER CHECK (attempt > 0),
    state       TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead', 'cancelled'))
) STRICT;
CREATE TABLE token (
    name       TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    scope      TEXT NOT NULL CHECK (scope IN ('enqueue', 'read', 'admin')),
    created_at INTEGER NOT NULL
) STRICT;
";

/// From version 2: the master key.
const FROM_2: &str = "
CREATE TABLE seal (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    proof BLOB NOT NULL
) STRICT;
";

/// From version 3: what stands for JSON and for a fingerprint is shorter, ids are given by the tally, and what is in flight has
/// an index of its own. What a table's columns may hold is looser than before, which SQLite lets one write into its schema
/// (https://sqlite.org/lang_altertable.html, section 7).
const FROM_3: &str = "
DROP INDEX delivery_due;
DROP INDEX delivery_leased;
CREATE INDEX delivery_due ON delivery (endpoint_id, due_at) WHERE state = 'pending' AND token IS NULL;
CREATE INDEX delivery_leased ON delivery (endpoint_id, due_at) WHERE token IS NOT NULL;
CREATE TABLE tally (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    events    INTEGER NOT NULL,
    pending   INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    dead      INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    newest    INTEGER NOT NULL,
    latest    INTEGER NOT NULL
) STRICT;
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'PRIMARY KEY AUTOINCREMENT', 'PRIMARY KEY')
WHERE type = 'table' AND name = 'delivery';
UPDATE sqlite_schema SET sql = replace(replace(sql, 'content_type TEXT NOT NULL', 'content_type TEXT'),
    'CHECK (length(fingerprint) = 32)', 'CHECK (length(fingerprint) BETWEEN 16 AND 32)')
WHERE type = 'table' AND name = 'event';
PRAGMA writable_schema = RESET;
";

/// From an older version to today's, within the caller's transaction, which also keeps the new version.
pub(super) fn from(version: i64, db: &Connection) -> rusqlite::Result<()> {
    if version < 2 {
        db.execute_batch(FROM_1)?;
    }
    if version < 3 {
        db.execute_batch(FROM_2)?;
    }
    db.execute_batch(FROM_3)?;
    db.execute_batch(tally::COUNT)
}
