//! The answers as JSON, the same from every entrance: times in RFC 3339, spans as `_ms` or `_us`, `null` for nothing.
//! URLs come without the values of their queries, keys not at all.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::list::{List, Row};
use super::redacted;
use super::show::{Owed, Shown};
use super::status::{Status, Trouble};
use super::timetable::Timetable;
use super::why::{Explained, Why};
use crate::calendar::rfc3339;
use crate::delivery::{Attempt, Delivery, DeliveryState, Outcome, Stage};
use crate::endpoint::EndpointState;
use crate::signature::hex;
use crate::time::{Span, Time};

/// `{"deliveries": [...], "next": "dlv_3" or null}`.
pub fn list(list: &List) -> Value {
    let rows: Vec<Value> = list.rows.iter().map(row).collect();
    json!({ "deliveries": rows, "next": list.next.map(|next| next.to_string()) })
}

fn row(row: &Row) -> Value {
    let mut fields = Map::new();
    let delivery = &row.delivery;
    fields.insert("delivery".into(), delivery.id.to_string().into());
    fields.insert("event".into(), row.event.as_str().into());
    fields.insert("type".into(), row.event_type.as_str().into());
    fields.insert("accepted_at".into(), rfc3339(row.accepted_at).into());
    fields.insert("size".into(), row.size.into());
    fields.insert("endpoint".into(), row.endpoint.as_str().into());
    fields.insert("profile".into(), row.profile.as_str().into());
    add_state(&mut fields, delivery, row.of);
    fields.insert("last".into(), row.last.as_ref().map(outcome).into());
    fields.into()
}

fn add_state(fields: &mut Map<String, Value>, delivery: &Delivery, of: u32) {
    let time = |time: Option<Time>| Value::from(time.map(rfc3339));
    let (due_at, leased_at, ended_at, reason) = match delivery.state {
        DeliveryState::Pending { due_at, leased_at } => (Some(due_at), leased_at, None, None),
        DeliveryState::Delivered { at } | DeliveryState::Cancelled { at } => (None, None, Some(at), None),
        DeliveryState::Dead { at, reason } => (None, None, Some(at), Some(reason.as_str())),
    };
    fields.insert("state".into(), delivery.state.name().as_str().into());
    fields.insert("attempts_made".into(), delivery.attempts.into());
    fields.insert("of".into(), of.into());
    fields.insert("due_at".into(), time(due_at));
    fields.insert("in_flight_since".into(), time(leased_at));
    fields.insert("ended_at".into(), time(ended_at));
    fields.insert("reason".into(), reason.into());
}

/// What came of an attempt, without its timings and answer.
fn outcome(attempt: &Attempt) -> Value {
    let stage = |stage: &Stage| Some(stage.as_str());
    let (status, stage, error) = match &attempt.outcome {
        Outcome::Accepted { status, .. } | Outcome::Rejected { status } => (Some(*status), None, None),
        Outcome::TimedOut { stage: at } => (None, stage(at), None),
        Outcome::Unreachable { stage: at, error } => (None, stage(at), Some(error.as_str())),
        Outcome::Blocked { reason } => (None, None, Some(reason.as_str())),
        Outcome::Unknown => (None, None, None),
    };
    json!({
        "number": attempt.number,
        "started_at": rfc3339(attempt.started_at),
        "finished_at": rfc3339(attempt.finished_at),
        "outcome": attempt.outcome.name(),
        "status": status,
        "late": matches!(attempt.outcome, Outcome::Accepted { late: true, .. }),
        "stage": stage,
        "error": error,
    })
}

fn attempt(attempt: &Attempt) -> Value {
    let timings = &attempt.timings;
    let mut value = outcome(attempt);
    let fields = value.as_object_mut().expect("an outcome is an object");
    fields.insert("total_us".into(), timings.total_us.into());
    fields.insert("dns_us".into(), timings.dns_us.into());
    fields.insert("connect_us".into(), timings.connect_us.into());
    fields.insert("tls_us".into(), timings.tls_us.into());
    fields.insert("first_byte_us".into(), timings.first_byte_us.into());
    fields.insert("remote".into(), attempt.remote.clone().into());
    fields.insert("resent".into(), attempt.resent.into());
    fields.insert("location".into(), attempt.location.as_deref().map(redacted).into());
    add_bytes(fields, "answer", &attempt.answer);
    value
}

/// As text under `name` if it is UTF-8, else as base64 under `name_base64`.
fn add_bytes(fields: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => fields.insert(name.to_owned(), text.into()),
        Err(_) => fields.insert(format!("{name}_base64"), STANDARD.encode(bytes).into()),
    };
}

/// `{"event": {...}, "deliveries": [{..., "attempts": [...]}], "more": false}`; the body only if it is asked for.
pub fn show(shown: &Shown, with_body: bool) -> Value {
    let event = &shown.event;
    let mut fields = Map::new();
    fields.insert("id".into(), event.id.as_str().into());
    fields.insert("type".into(), event.event_type.as_str().into());
    fields.insert("content_type".into(), event.content_type.as_str().into());
    fields.insert("accepted_at".into(), rfc3339(event.accepted_at).into());
    fields.insert("size".into(), event.body.len().into());
    fields.insert("sha256".into(), hex(&event.digest).into());
    if with_body {
        add_bytes(&mut fields, "body", &event.body);
    }
    let deliveries: Vec<Value> = shown.deliveries.iter().map(owed).collect();
    json!({ "event": fields, "deliveries": deliveries, "more": shown.more })
}

fn owed(owed: &Owed) -> Value {
    let endpoint = &owed.endpoint;
    let state = match endpoint.state {
        EndpointState::Active => "active",
        EndpointState::Paused { .. } => "paused",
        EndpointState::Disabled { .. } => "disabled",
        EndpointState::Removed { .. } => "removed",
    };
    let mut fields = Map::new();
    fields.insert("delivery".into(), owed.delivery.id.to_string().into());
    fields.insert("endpoint".into(), endpoint.label().into());
    fields.insert("endpoint_state".into(), state.into());
    fields.insert("profile".into(), endpoint.profile.as_str().into());
    fields.insert("url".into(), redacted(&endpoint.url).into());
    add_state(&mut fields, &owed.delivery, owed.of);
    fields.insert("attempts".into(), owed.attempts.iter().map(attempt).collect());
    fields.into()
}

/// `{"event": "...", "deliveries": [{"delivery": "dlv_3", "why": "...", "advice": "..." or null, ...}], ...}`.
pub fn why(explained: &Explained) -> Value {
    let deliveries: Vec<Value> = explained.deliveries.iter().map(one_why).collect();
    json!({
        "event": explained.event.as_str(),
        "type": explained.event_type.as_str(),
        "accepted_at": rfc3339(explained.accepted_at),
        "why": explained.nobody,
        "deliveries": deliveries,
    })
}

fn one_why(why: &Why) -> Value {
    json!({
        "delivery": why.delivery.to_string(),
        "endpoint": why.endpoint,
        "state": why.state.as_str(),
        "attempts_made": why.attempts,
        "of": why.of,
        "next_at": why.next_at.map(rfc3339),
        "why": why.text,
        "advice": why.advice,
    })
}

/// The part of a status that stands in the store.
pub fn status(status: &Status, now: Time) -> Value {
    let counts = &status.counts;
    let age = |at: Option<Time>| at.map(|at| now.since(at).ms());
    let troubled: Vec<Value> = status.troubled.iter().map(trouble).collect();
    json!({
        "endpoints": status.endpoints,
        "events": counts.events,
        "pending": counts.pending,
        "delivered": counts.delivered,
        "dead": counts.dead,
        "cancelled": counts.cancelled,
        "in_flight": counts.leased,
        "due": counts.due,
        "oldest_due_at": counts.oldest_due.map(rfc3339),
        "oldest_due_age_ms": age(counts.oldest_due),
        "next_due_at": counts.next_due.map(rfc3339),
        "troubled": troubled,
        "endpoints_not_looked_at": status.unseen,
    })
}

fn trouble(trouble: &Trouble) -> Value {
    json!({
        "endpoint": trouble.endpoint,
        "pending": trouble.pending,
        "in_flight": trouble.in_flight,
        "due_at": rfc3339(trouble.due_at),
        "delivery": trouble.delivery.to_string(),
        "last": outcome(&trouble.last),
    })
}

/// With the times at which the attempts would begin if the first one began at `now`.
pub fn timetables(tables: &[Timetable], now: Time) -> Value {
    tables.iter().map(|table| timetable(table, now)).collect()
}

fn timetable(table: &Timetable, now: Time) -> Value {
    let turn = |turn: &super::timetable::Turn| {
        json!({
            "attempt": turn.number,
            "wait_ms": turn.wait.map(Span::ms),
            "after_ms": turn.after.ms(),
            "at": rfc3339(now + turn.after),
        })
    };
    let turns: Vec<Value> = table.turns.iter().map(turn).collect();
    let sources: Map<String, Value> =
        table.sources.iter().map(|(what, said)| ((*what).into(), (*said).into())).collect();
    let overrides: Map<String, Value> =
        table.overrides.iter().map(|(what, how)| ((*what).into(), how.as_str().into())).collect();
    json!({
        "endpoint": table.endpoint,
        "profile": table.profile.as_str(),
        "attempts": turns,
        "shortest_ms": table.shortest.ms(),
        "longest_ms": table.longest.ms(),
        "jitter_percent": table.jitter_percent,
        "timeout_ms": table.timeout.ms(),
        "success": table.success.to_string(),
        "late_after_ms": table.late_after.map(Span::ms),
        "obeys_retry_after": table.obeys_retry_after,
        "gone_disables": table.gone_disables,
        "sources": sources,
        "overrides": overrides,
    })
}
