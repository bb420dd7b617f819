//! Bringing a store of an older postrider to the tables of `schema.sql`, step by step and each step whole or not at all.
//! Nothing is rewritten: columns and tables are added, and what is there keeps its meaning.

use rusqlite::Connection;

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

/// From an older version to today's, within the caller's transaction, which also keeps the new version.
pub(super) fn from(version: i64, db: &Connection) -> rusqlite::Result<()> {
    if version < 2 {
        db.execute_batch(FROM_1)?;
    }
    db.execute_batch(FROM_2)
}
