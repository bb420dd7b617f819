//! Questions to the tables. Each is bounded by what it returns or by a partial index, not by the history.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::{Seen, codec, tally};
use crate::access::AccessToken;
use crate::delivery::{Attempt, Delivery, DeliveryId, LaneDue, StateName};
use crate::endpoint::{Endpoint, EndpointId, EndpointName};
use crate::event::{Event, EventId};
use crate::store::{
    Changes, Counts, Enqueued, Filter, LaneOwed, Listed, LoggedOutcome, Outcomes, Page, Refusal, Reply,
};
use crate::time::Time;

pub(super) fn seen(db: &Connection) -> rusqlite::Result<Seen> {
    Ok(Seen {
        data_version: data_version(db)?,
        revision: db.query_row("SELECT number FROM revision", [], |row| row.get(0))?,
        delivery: db.query_row("SELECT coalesce(max(id), 0) FROM delivery", [], |row| row.get(0))?,
    })
}

/// Moves when another connection commits.
fn data_version(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

pub(super) fn changes(db: &Connection, seen: &Seen) -> rusqlite::Result<(Changes, Seen)> {
    // Read before the rest: a commit in between is then seen again the next time, not missed.
    let data_version = data_version(db)?;
    if data_version == seen.data_version {
        return Ok((Changes::default(), Seen { ..*seen }));
    }
    let revision: i64 = db.prepare_cached("SELECT number FROM revision")?.query_row([], |row| row.get(0))?;
    let mut newest = seen.delivery;
    let mut statement =
        db.prepare_cached("SELECT endpoint_id, min(due_at), max(id) FROM delivery WHERE id > ?1 GROUP BY endpoint_id")?;
    let rows = statement.query_map([seen.delivery], |row| {
        Ok((EndpointId(row.get(0)?), row.get::<_, Option<i64>>(1)?, row.get::<_, i64>(2)?))
    })?;
    let mut lanes = Vec::new();
    for row in rows {
        let (lane, due_at, id) = row?;
        newest = newest.max(id);
        lanes.extend(due_at.map(|due_at| LaneDue { lane, due_at: Time::from_ms(due_at) }));
    }
    let all = revision != seen.revision;
    Ok((Changes { lanes, all }, Seen { data_version, revision, delivery: newest }))
}

/// The endpoints for which something waits, as `lane (id)` with a NULL at its end: a step by the index from each to the next,
/// so that it costs the number of lanes, not of deliveries.
const WAITING_LANES: &str = "WITH RECURSIVE lane (id) AS (
         SELECT min(endpoint_id) FROM delivery WHERE state = 'pending' AND token IS NULL
         UNION ALL
         SELECT (SELECT min(endpoint_id) FROM delivery
                 WHERE state = 'pending' AND token IS NULL AND endpoint_id > lane.id)
         FROM lane WHERE lane.id IS NOT NULL
     )";

pub(super) fn lanes(db: &Connection) -> rusqlite::Result<Vec<LaneDue>> {
    let mut statement = db.prepare_cached(&format!(
        "{WAITING_LANES}
         SELECT id, (SELECT min(due_at) FROM delivery
                     WHERE state = 'pending' AND token IS NULL AND endpoint_id = lane.id)
         FROM lane WHERE id IS NOT NULL
         UNION ALL
         SELECT endpoint_id, min(due_at) FROM delivery WHERE token IS NOT NULL GROUP BY endpoint_id"
    ))?;
    let rows = statement.query_map([], |row| Ok((EndpointId(row.get(0)?), Time::from_ms(row.get(1)?))))?;
    let mut lanes = BTreeMap::new();
    for row in rows {
        let (lane, due_at) = row?;
        lanes.entry(lane).and_modify(|known: &mut Time| *known = due_at.min(*known)).or_insert(due_at);
    }
    Ok(lanes.into_iter().map(|(lane, due_at)| LaneDue { lane, due_at }).collect())
}

pub(super) fn endpoints(db: &Connection) -> rusqlite::Result<Vec<Endpoint>> {
    // The registered ones, and by the index of what is owed those of the others that still are.
    let sql = format!(
        "{WAITING_LANES}
         SELECT {} FROM endpoint WHERE state <> 'removed' AND id IN (
             SELECT id FROM endpoint WHERE name IS NOT NULL AND state <> 'removed'
             UNION SELECT id FROM lane WHERE id IS NOT NULL
             UNION SELECT endpoint_id FROM delivery WHERE token IS NOT NULL
         ) ORDER BY id",
        codec::ENDPOINT_COLUMNS
    );
    db.prepare_cached(&sql)?.query_map([], |row| codec::endpoint(db, row))?.collect()
}

pub(super) fn endpoint(db: &Connection, id: EndpointId) -> rusqlite::Result<Option<Endpoint>> {
    let sql = format!("SELECT {} FROM endpoint WHERE id = ?1", codec::ENDPOINT_COLUMNS);
    db.prepare_cached(&sql)?.query_row([id.0], |row| codec::endpoint(db, row)).optional()
}

pub(super) fn endpoint_named(db: &Connection, name: &EndpointName) -> rusqlite::Result<Option<Endpoint>> {
    let sql = format!(
        "SELECT {} FROM endpoint WHERE name = ?1 AND name IS NOT NULL AND state <> 'removed'",
        codec::ENDPOINT_COLUMNS
    );
    db.prepare_cached(&sql)?.query_row([name.as_str()], |row| codec::endpoint(db, row)).optional()
}

/// The answer to an event whose id is there already.
pub(super) fn again(
    db: &Connection,
    id: &EventId,
    fingerprint: &[u8; 32],
    digest: &[u8; 32],
) -> rusqlite::Result<Option<Reply>> {
    let by_id = db
        .prepare_cached(
            "SELECT id, accepted_at, substr(fingerprint, 1, 16) = ?2, digest = ?3 FROM event WHERE name = ?1",
        )?
        .query_row(params![id.as_str(), codec::fingerprint_column(fingerprint), digest], |row| {
            Ok((row.get::<_, i64>(0)?, Time::from_ms(row.get(1)?), row.get::<_, bool>(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((row, accepted_at, same_request, same_body)) = by_id else { return Ok(None) };
    if !same_request {
        return Ok(Some(Reply::Refused(Refusal::IdTaken { accepted_at, same_body })));
    }
    let mut statement = db.prepare_cached("SELECT id, endpoint_id FROM delivery WHERE event_id = ?1 ORDER BY id")?;
    let deliveries = statement.query_map([row], |row| Ok((DeliveryId(row.get(0)?), EndpointId(row.get(1)?))))?;
    let deliveries = deliveries.collect::<rusqlite::Result<_>>()?;
    Ok(Some(Reply::Enqueued(Enqueued { event: id.clone(), accepted_at, deliveries, again: true })))
}

pub(super) fn event(db: &Connection, id: &EventId) -> rusqlite::Result<Option<Event>> {
    let sql = format!("SELECT {} FROM event WHERE name = ?1", codec::EVENT_COLUMNS);
    db.prepare_cached(&sql)?.query_row([id.as_str()], codec::event).optional()
}

/// While this lives, the connection sees the store as it is at its first question. May stand within another.
pub(super) struct Snapshot<'a>(&'a Connection);

impl<'a> Snapshot<'a> {
    pub(super) fn of(db: &'a Connection) -> rusqlite::Result<Self> {
        db.execute_batch("SAVEPOINT snapshot")?;
        Ok(Snapshot(db))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // Nothing was written: there is nothing that could fail to be kept.
        let _ = self.0.execute_batch("RELEASE snapshot");
    }
}

/// Walks down the ids, or down an index where that is shorter: no filter reads the events' bodies, or more than once
/// through the narrow rows of the deliveries.
pub(super) fn deliveries(db: &Connection, filter: &Filter, page: Page) -> rusqlite::Result<Vec<Listed>> {
    // One snapshot for all the questions that make one answer.
    let _snapshot = Snapshot::of(db)?;
    let lowest = match filter.since {
        Some(since) => match first_since(db, since)? {
            Some(lowest) => Some(lowest),
            None => return Ok(vec![]),
        },
        None => None,
    };
    let narrowed = filter.delivery.is_some() || filter.event.is_some();
    if filter.event_type.is_none() || narrowed {
        return select(db, filter, page, lowest, Types::OfEach);
    }
    // A common type fills its page from the newest; only a rare one is worth the way over the index.
    let top = match page.before {
        Some(before) => before.0,
        None => db.query_row("SELECT coalesce(max(id), 0) + 1 FROM delivery", [], |row| row.get(0))?,
    };
    let near = top.saturating_sub(i64::from(page.limit).saturating_mul(20)).max(lowest.unwrap_or(0));
    let listed = select(db, filter, page, Some(near), Types::OfEach)?;
    match listed.len() >= page.limit as usize {
        true => Ok(listed),
        false => select(db, filter, page, lowest, Types::ByIndex),
    }
}

/// The oldest delivery of the events that were accepted at `since` or later; `None` if there are none. Ids grow with
/// time, but a clock that was set makes exceptions: no delivery below this one belongs to such an event.
fn first_since(db: &Connection, since: Time) -> rusqlite::Result<Option<i64>> {
    let event: Option<i64> = db
        .prepare_cached("SELECT min(id) FROM event INDEXED BY event_by_time WHERE accepted_at >= ?1")?
        .query_row([since.ms()], |row| row.get(0))?;
    db.prepare_cached(
        "SELECT min(id) FROM delivery
         WHERE event_id = (SELECT event_id FROM delivery WHERE event_id >= ?1 ORDER BY event_id LIMIT 1)",
    )?
    .query_row([event], |row| row.get(0))
}

/// How the type of an event is looked at.
#[derive(Clone, Copy)]
enum Types {
    /// In the row of each delivery's event: for a few of them.
    OfEach,
    /// All at first, in the index.
    ByIndex,
}

fn select(
    db: &Connection,
    filter: &Filter,
    page: Page,
    lowest: Option<i64>,
    types: Types,
) -> rusqlite::Result<Vec<Listed>> {
    let (from, conditions, values) = conditions(db, filter, page, lowest, types)?;
    let sql = format!(
        "SELECT {}, e.name, e.type, e.accepted_at, length(e.body) AS size
         FROM {from} CROSS JOIN event e ON e.id = d.event_id{conditions} ORDER BY d.id DESC LIMIT {}",
        codec::DELIVERY_COLUMNS,
        page.limit
    );
    let values: Vec<&dyn ToSql> = values.iter().map(|value| value.as_ref()).collect();
    let mut statement = db.prepare(&sql)?;
    let rows = statement.query_map(&values[..], |row| {
        Ok(Listed {
            delivery: codec::delivery(row)?,
            event: codec::event_id(row, "name")?,
            event_type: codec::event_type(row, "type")?,
            accepted_at: codec::time(row, "accepted_at")?,
            size: row.get("size")?,
        })
    })?;
    rows.collect()
}

type Bound = Vec<Box<dyn ToSql>>;

/// The filter as a FROM and a WHERE clause of fixed texts, and the values bound to it.
fn conditions(
    db: &Connection,
    filter: &Filter,
    page: Page,
    lowest: Option<i64>,
    types: Types,
) -> rusqlite::Result<(&'static str, String, Bound)> {
    let mut texts: Vec<String> = Vec::new();
    let mut values: Bound = Vec::new();
    let mut bind = |text: &str, value: Box<dyn ToSql>| {
        values.push(value);
        texts.push(text.replace('?', &format!("?{}", values.len())));
    };
    if let Some(before) = page.before {
        bind("d.id < ?", Box::new(before.0));
    }
    if let Some(lowest) = lowest {
        bind("d.id >= ?", Box::new(lowest));
    }
    if let Some(id) = filter.delivery {
        bind("d.id = ?", Box::new(id.0));
    }
    if let Some(endpoint) = filter.endpoint {
        bind("d.endpoint_id = ?", Box::new(endpoint.0));
    }
    if let Some(event) = &filter.event {
        bind("d.event_id = (SELECT id FROM event WHERE name = ?)", Box::new(event.as_str().to_owned()));
    }
    if let Some(since) = filter.since {
        bind("e.accepted_at >= ?", Box::new(since.ms()));
    }
    if let Some(covered) = &filter.event_type {
        let (prefix, text) = match covered.as_str().strip_suffix('*') {
            Some(prefix) => (true, prefix),
            None => (false, covered.as_str()),
        };
        let condition = match (types, prefix) {
            (Types::OfEach, true) => "substr(e.type, 1, length(?)) = ?",
            (Types::OfEach, false) => "e.type = ?",
            (Types::ByIndex, true) => {
                "+d.event_id IN (SELECT id FROM event INDEXED BY event_by_time WHERE substr(type, 1, length(?)) = ?)"
            }
            (Types::ByIndex, false) => "+d.event_id IN (SELECT id FROM event INDEXED BY event_by_time WHERE type = ?)",
        };
        bind(condition, Box::new(text.to_owned()));
    }
    let (from, state) = way(db, filter)?;
    texts.extend(state);
    let conditions = if texts.is_empty() { String::new() } else { format!(" WHERE {}", texts.join(" AND ")) };
    Ok((from, conditions, values))
}

/// By which index the deliveries are reached, and the condition of their state: down the ids, unless an index leads to
/// fewer. States are literals, so that the planner may use the partial index of one.
fn way(db: &Connection, filter: &Filter) -> rusqlite::Result<(&'static str, Option<String>)> {
    const BY_ID: &str = "delivery d NOT INDEXED";
    const BY_INDEX: &str = "delivery d";
    let narrowed = filter.delivery.is_some() || filter.event.is_some();
    let condition = filter.state.map(|state| format!("d.state = '{}'", state.as_str()));
    Ok(match filter.state {
        _ if narrowed => (BY_INDEX, condition),
        Some(StateName::Dead | StateName::Cancelled) => (BY_INDEX, condition),
        Some(StateName::Pending) if few_pending(db, filter.endpoint)? => {
            let lane = filter.endpoint.map_or(String::new(), |EndpointId(id)| format!(" AND endpoint_id = {id}"));
            let waiting = "SELECT id FROM delivery INDEXED BY delivery_due WHERE state = 'pending' AND token IS NULL";
            let leased = "SELECT id FROM delivery INDEXED BY delivery_leased WHERE token IS NOT NULL";
            (BY_INDEX, Some(format!("d.id IN ({waiting}{lane} UNION ALL {leased}{lane})")))
        }
        Some(StateName::Pending | StateName::Delivered) | None => (BY_ID, condition),
    })
}

/// Whether so little waits, beside the few that are in flight, that all of it is sooner looked through than the ids walked down.
fn few_pending(db: &Connection, endpoint: Option<EndpointId>) -> rusqlite::Result<bool> {
    const FEW: i64 = 20_000;
    let all = "SELECT count(*) FROM (SELECT 1 FROM delivery WHERE state = 'pending' AND token IS NULL LIMIT ?1)";
    let lane = "SELECT count(*) FROM (
                    SELECT 1 FROM delivery WHERE state = 'pending' AND token IS NULL AND endpoint_id = ?2 LIMIT ?1)";
    let count: i64 = match endpoint {
        Some(endpoint) => db.prepare_cached(lane)?.query_row([FEW, endpoint.0], |row| row.get(0))?,
        None => db.prepare_cached(all)?.query_row([FEW], |row| row.get(0))?,
    };
    Ok(count < FEW)
}

pub(super) fn attempts(db: &Connection, delivery: DeliveryId) -> rusqlite::Result<Vec<Attempt>> {
    let mut statement = db.prepare_cached("SELECT * FROM attempt WHERE delivery_id = ?1 ORDER BY number")?;
    statement.query_map([delivery.0], codec::attempt)?.collect()
}

const LANE_WAITS: &str = "FROM delivery d WHERE d.state = 'pending' AND d.token IS NULL AND d.endpoint_id = ?1";
const LANE_LEASED: &str = "FROM delivery d WHERE d.token IS NOT NULL AND d.endpoint_id = ?1";

/// Counts entries of the lane's indexes, and reads the rows of its end only.
pub(super) fn owed(db: &Connection, lane: EndpointId) -> rusqlite::Result<LaneOwed> {
    let _snapshot = Snapshot::of(db)?;
    let count = |those: &str| {
        let sql = format!("SELECT count(*) {those}");
        db.prepare_cached(&sql)?.query_row([lane.0], |row| row.get::<_, u64>(0))
    };
    let in_flight = count(LANE_LEASED)?;
    Ok(LaneOwed { pending: count(LANE_WAITS)? + in_flight, in_flight, tail: tail(db, lane)? })
}

pub(super) fn tail(db: &Connection, lane: EndpointId) -> rusqlite::Result<Vec<Delivery>> {
    let sql = format!(
        "SELECT {0} {LANE_WAITS} UNION ALL SELECT {0} {LANE_LEASED} ORDER BY d.due_at DESC, d.id DESC LIMIT {1}",
        codec::DELIVERY_COLUMNS,
        LaneOwed::TAIL
    );
    db.prepare_cached(&sql)?.query_map([lane.0], codec::delivery)?.collect()
}

pub(super) fn tokens(db: &Connection) -> rusqlite::Result<Vec<AccessToken>> {
    db.prepare_cached("SELECT name, hash, scope, created_at FROM token ORDER BY name")?
        .query_map([], codec::token)?
        .collect()
}

pub(super) fn by_key(db: &Connection, key: &[u8; 32]) -> rusqlite::Result<Option<EventId>> {
    db.prepare_cached("SELECT name FROM event WHERE idempotency_key = ?1")?
        .query_row([key], |row| codec::event_id(row, "name"))
        .optional()
}

pub(super) fn outcomes(db: &Connection, after: i64, limit: u32) -> rusqlite::Result<Outcomes> {
    // One snapshot: the list then reaches `last`, or its limit.
    let _snapshot = Snapshot::of(db)?;
    let end = |sql: &str| db.prepare_cached(sql)?.query_row([], |row| row.get::<_, Option<i64>>(0));
    let last = end("SELECT max(seq) FROM outcome")?.unwrap_or(0);
    let first_kept = end("SELECT min(seq) FROM outcome")?.unwrap_or(last + 1);
    let mut statement = db.prepare_cached(
        "SELECT o.seq, o.at, o.delivery_id, o.state, d.endpoint_id, e.name, e.type, a.number, a.started_at,
             a.finished_at, a.outcome, a.status, a.late, a.stage, a.detail, a.dns_us, a.connect_us, a.tls_us,
             a.first_byte_us, a.total_us, a.remote, a.resent, a.location, x'' AS answer
         FROM outcome o
         CROSS JOIN delivery d ON d.id = o.delivery_id
         CROSS JOIN event e ON e.id = d.event_id
         LEFT JOIN attempt a ON a.delivery_id = o.delivery_id AND a.number = o.attempt
         WHERE o.seq > ?1 ORDER BY o.seq LIMIT ?2",
    )?;
    let rows = statement.query_map(params![after, limit], |row| {
        Ok(LoggedOutcome {
            seq: row.get("seq")?,
            at: codec::time(row, "at")?,
            delivery: DeliveryId(row.get("delivery_id")?),
            event: codec::event_id(row, "name")?,
            event_type: codec::event_type(row, "type")?,
            endpoint: EndpointId(row.get("endpoint_id")?),
            attempt: row.get::<_, Option<u32>>("number")?.map(|_| codec::attempt(row)).transpose()?,
            state: codec::state_name(row, "state")?,
        })
    })?;
    let list = rows.collect::<rusqlite::Result<_>>()?;
    Ok(Outcomes { first_kept, last, list })
}

/// What grows with the history was counted as it grew; what is due is counted in the lanes' index.
pub(super) fn counts(db: &Connection, now: Time) -> rusqlite::Result<Counts> {
    let _snapshot = Snapshot::of(db)?;
    let mut counts = tally::read(db)?;
    let leased = "SELECT count(*) FROM delivery WHERE token IS NOT NULL";
    counts.leased = db.prepare_cached(leased)?.query_row([], |row| row.get(0))?;
    let of_lane = "FROM delivery WHERE state = 'pending' AND token IS NULL AND endpoint_id = lane.id";
    let mut statement = db.prepare_cached(&format!(
        "{WAITING_LANES}
         SELECT sum((SELECT count(*) {of_lane} AND due_at <= ?1)), min((SELECT min(due_at) {of_lane} AND due_at <= ?1)),
             min((SELECT min(due_at) {of_lane} AND due_at > ?1))
         FROM lane WHERE id IS NOT NULL"
    ))?;
    let time = |row: &Row, column| row.get::<_, Option<i64>>(column).map(|ms| ms.map(Time::from_ms));
    (counts.due, counts.oldest_due, counts.next_due) = statement
        .query_row([now.ms()], |row| Ok((row.get::<_, Option<u64>>(0)?.unwrap_or(0), time(row, 1)?, time(row, 2)?)))?;
    Ok(counts)
}
