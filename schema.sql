-- The schema of a postrider store, version 4. The binary embeds this file and runs it once, in one transaction, on an
-- empty database; the connection then keeps application_id 0x70737472 ('pstr') and user_version 4. `src/store/sqlite/migrate.rs`
-- brings older stores to the same tables.
--
-- Times are milliseconds since 1970-01-01T00:00:00Z, spans of a stage microseconds. Ids are integers inside and carry
-- time order; `event.name` is the id that callers see. Impossible states are refused by CHECK, not by care. Tables that
-- get a row for each event do without IN (…), for which SQLite makes a table of its own at each of them.

-- One receiver. `name` is NULL for the URL of a one-off event. Removed endpoints stay for the history.
CREATE TABLE endpoint (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT CHECK (length(name) BETWEEN 1 AND 64),
    url           TEXT NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
    profile       TEXT NOT NULL CHECK (profile IN ('ensuro', 'octamile', 'standard')),
    subscriptions TEXT NOT NULL CHECK (json_type(subscriptions) = 'array'),
    overrides     TEXT NOT NULL CHECK (json_type(overrides) = 'object'),
    state         TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'removed')),
    state_since   INTEGER NOT NULL,
    paused_at     INTEGER CHECK (paused_at IS NULL OR state = 'active'),
    state_reason  TEXT CHECK ((state_reason IS NOT NULL) = (state = 'disabled')),
    created_at    INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX endpoint_by_name ON endpoint (name) WHERE name IS NOT NULL AND state <> 'removed';
CREATE INDEX endpoint_one_off ON endpoint (url) WHERE name IS NULL;

-- What an endpoint is signed with, newest first by position.
CREATE TABLE key (
    endpoint_id INTEGER NOT NULL REFERENCES endpoint (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL CHECK (position >= 0),
    scheme      TEXT NOT NULL CHECK (scheme IN ('hmac', 'eip191', 'v1', 'v1a')),
    secret      BLOB NOT NULL CHECK (length(secret) > 0),
    until       INTEGER,                                          -- signs nothing from then on
    PRIMARY KEY (endpoint_id, position)
) STRICT, WITHOUT ROWID;

-- With a master key, `key.secret` and the values of extra headers are sealed, and this is a known text sealed with it.
CREATE TABLE seal (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    proof BLOB NOT NULL
) STRICT;

-- What an application handed us; never changed.
CREATE TABLE event (
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    type         TEXT NOT NULL CHECK (length(type) BETWEEN 1 AND 128),
    content_type TEXT,                                            -- NULL: application/json
    accepted_at  INTEGER NOT NULL,
    digest       BLOB NOT NULL CHECK (length(digest) = 32),       -- SHA-256 of body
    -- The beginning of the SHA-256 of all that the caller asked for; stores of version 3 and older kept all of it.
    fingerprint  BLOB NOT NULL CHECK (length(fingerprint) BETWEEN 16 AND 32),
    once         TEXT,                                            -- what the provider fires only once
    idempotency_key BLOB CHECK (length(idempotency_key) = 32),    -- SHA-256 of what the caller called the request
    trace        TEXT,                                            -- traceparent, and after a space tracestate
    body         BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX event_once ON event (once) WHERE once IS NOT NULL;
CREATE UNIQUE INDEX event_by_key ON event (idempotency_key) WHERE idempotency_key IS NOT NULL;
-- When and what, without the bodies, for whoever looks for the events since a time or of a rare type. It grows at its
-- end, so an event costs it some 40 bytes and no further page.
CREATE INDEX event_by_time ON event (accepted_at, type);

-- One event owed to one endpoint. `due_at` is the only scheduling truth: while a lease stands (token), it is the
-- lease's end. A leased delivery is a pending row, not a state of its own. `tally.newest` keeps that no id is used twice.
CREATE TABLE delivery (
    id          INTEGER PRIMARY KEY,
    event_id    INTEGER NOT NULL REFERENCES event (id),
    endpoint_id INTEGER NOT NULL REFERENCES endpoint (id),
    state       TEXT NOT NULL
                CHECK (state = 'pending' OR state = 'delivered' OR state = 'dead' OR state = 'cancelled'),
    attempts    INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    earlier     INTEGER NOT NULL DEFAULT 0 CHECK (earlier BETWEEN 0 AND attempts), -- before the last retry by hand
    due_at      INTEGER CHECK ((due_at IS NOT NULL) = (state = 'pending')),
    token       INTEGER CHECK (token IS NULL OR state = 'pending'),
    leased_at   INTEGER CHECK ((leased_at IS NOT NULL) = (token IS NOT NULL)),
    ended_at    INTEGER CHECK ((ended_at IS NOT NULL) = (state <> 'pending')),
    reason      TEXT CHECK ((reason IS NOT NULL) = (state = 'dead')),
    UNIQUE (event_id, endpoint_id),
    CHECK (token IS NULL OR attempts > 0)
) STRICT;

-- Whether an endpoint was ever owed anything, and all that it was.
CREATE INDEX delivery_by_endpoint ON delivery (endpoint_id);
-- What waits in one lane, without a look at other lanes, at what is in flight or at what has ended.
CREATE INDEX delivery_due ON delivery (endpoint_id, due_at) WHERE state = 'pending' AND token IS NULL;
-- What is in flight: few, and asked for by every start. What is born with a lease stands here only, until it has ended.
CREATE INDEX delivery_leased ON delivery (endpoint_id, due_at) WHERE token IS NOT NULL;
-- The rare states, for whoever looks for them among millions of delivered ones.
CREATE INDEX delivery_dead ON delivery (id) WHERE state = 'dead';
CREATE INDEX delivery_cancelled ON delivery (id) WHERE state = 'cancelled';

-- One HTTP try that has ended.
CREATE TABLE attempt (
    delivery_id   INTEGER NOT NULL REFERENCES delivery (id) ON DELETE CASCADE,
    number        INTEGER NOT NULL CHECK (number > 0),
    started_at    INTEGER NOT NULL,
    finished_at   INTEGER NOT NULL,
    outcome       TEXT NOT NULL
                  CHECK (outcome = 'accepted' OR outcome = 'rejected' OR outcome = 'timed out'
                         OR outcome = 'unreachable' OR outcome = 'blocked' OR outcome = 'unknown'),
    status        INTEGER CHECK ((status IS NOT NULL) = (outcome IN ('accepted', 'rejected'))),
    late          INTEGER NOT NULL CHECK (late IN (0, 1) AND (late = 0 OR outcome = 'accepted')),
    stage         TEXT CHECK ((stage IS NULL OR stage = 'dns' OR stage = 'connect' OR stage = 'tls' OR stage = 'answer')
                              AND (stage IS NOT NULL) = (outcome IN ('timed out', 'unreachable'))),
    detail        TEXT CHECK ((detail IS NOT NULL) = (outcome IN ('unreachable', 'blocked'))),
    dns_us        INTEGER,
    connect_us    INTEGER,
    tls_us        INTEGER,
    first_byte_us INTEGER,
    total_us      INTEGER NOT NULL,
    remote        TEXT,
    resent        INTEGER NOT NULL CHECK (resent IN (0, 1)),
    location      TEXT,
    answer        BLOB NOT NULL CHECK (length(answer) <= 16384),
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

-- What became of deliveries, in the order of its becoming, for whoever follows along: an attempt that was recorded or
-- closed, or an end or revival without one. Numbers grow by one; the oldest rows are deleted, never the newest, so none
-- is used twice. Rows may outlive their delivery.
CREATE TABLE outcome (
    seq         INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL,
    attempt     INTEGER CHECK (attempt > 0),
    state       TEXT NOT NULL
                CHECK (state = 'pending' OR state = 'delivered' OR state = 'dead' OR state = 'cancelled')
) STRICT;

-- Who may use the HTTP API. The token itself is not kept.
CREATE TABLE token (
    name       TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    scope      TEXT NOT NULL CHECK (scope IN ('enqueue', 'read', 'admin')),
    created_at INTEGER NOT NULL
) STRICT;

-- Counts what a running daemon must look at again: endpoints, and deliveries that were changed by hand.
CREATE TABLE revision (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL
) STRICT;

INSERT INTO revision (id, number) VALUES (1, 0);

-- How many there are of what grows with the history, so that nobody need count it. Kept by every batch, in its transaction.
CREATE TABLE tally (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    events    INTEGER NOT NULL,
    pending   INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    dead      INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    newest    INTEGER NOT NULL, -- the highest id that a delivery ever had
    latest    INTEGER NOT NULL  -- the latest time that anything was ever made due at without having been tried
) STRICT;

INSERT INTO tally VALUES (1, 0, 0, 0, 0, 0, 0, 0);
