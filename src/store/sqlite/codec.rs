//! Words to columns and back. A column that does not read back as a word is damage, and said so.

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, Error, Row};
use serde::{Deserialize, Serialize};

use crate::access::{AccessToken, Scope};
use crate::delivery::{Attempt, DeadReason, Delivery, DeliveryId, DeliveryState, Outcome, Stage, StateName, Timings};
use crate::endpoint::{
    Endpoint, EndpointId, EndpointName, EndpointState, Key, Overrides, ProfileName, Scheme, Secret, Success,
};
use crate::event::{Event, EventId, EventType, Subscription};
use crate::time::{Span, Time};
use crate::trace::TraceContext;

/// Column `name` holds what postrider never writes.
fn damaged(name: &str, what: String) -> Error {
    Error::FromSqlConversionFailure(0, Type::Text, format!("column {name}: {what}").into())
}

pub(super) fn time(row: &Row, name: &str) -> rusqlite::Result<Time> {
    row.get(name).map(Time::from_ms)
}

fn parsed<T>(row: &Row, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> rusqlite::Result<T> {
    let text = row.get_ref(name)?.as_str().map_err(|error| damaged(name, error.to_string()))?;
    parse(text).map_err(|what| damaged(name, what))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OverridesColumn {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    timeout_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    schedule_ms: Option<Vec<i64>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    success: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    signature_header: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    headers: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    rate: Option<u32>,
}

pub(super) fn overrides_text(overrides: &Overrides) -> String {
    let column = OverridesColumn {
        timeout_ms: overrides.timeout.map(Span::ms),
        schedule_ms: overrides.schedule.as_ref().map(|delays| delays.iter().map(|delay| delay.ms()).collect()),
        success: overrides.success.as_ref().map(Success::to_string),
        signature_header: overrides.signature_header.clone(),
        headers: overrides.headers.clone(),
        concurrency: overrides.concurrency,
        rate: overrides.rate,
    };
    serde_json::to_string(&column).expect("plain data")
}

fn overrides(text: &str) -> Result<Overrides, String> {
    let column: OverridesColumn = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(Overrides {
        timeout: column.timeout_ms.map(Span::from_ms),
        schedule: column.schedule_ms.map(|delays| delays.into_iter().map(Span::from_ms).collect()),
        success: column.success.as_deref().map(Success::parse).transpose()?,
        signature_header: column.signature_header,
        headers: column.headers,
        concurrency: column.concurrency,
        rate: column.rate,
    })
}

pub(super) fn subscriptions_text(subscriptions: &[Subscription]) -> String {
    let texts: Vec<&str> = subscriptions.iter().map(Subscription::as_str).collect();
    serde_json::to_string(&texts).expect("plain data")
}

fn subscriptions(text: &str) -> Result<Vec<Subscription>, String> {
    let texts: Vec<String> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    texts.iter().map(|text| Subscription::parse(text)).collect()
}

pub(super) const ENDPOINT_COLUMNS: &str = "id, name, url, profile, subscriptions, unseal_headers(overrides, id) AS overrides, state, state_since, paused_at, state_reason, created_at";

/// Reads the columns of `ENDPOINT_COLUMNS`, and the keys with a statement of their own.
pub(super) fn endpoint(connection: &Connection, row: &Row) -> rusqlite::Result<Endpoint> {
    let id = EndpointId(row.get("id")?);
    let since = time(row, "state_since")?;
    let reason: Option<String> = row.get("state_reason")?;
    let paused_at: Option<i64> = row.get("paused_at")?;
    let state = parsed(row, "state", |text| match text {
        "active" => {
            Ok(paused_at.map(Time::from_ms).map_or(EndpointState::Active, |since| EndpointState::Paused { since }))
        }
        "disabled" => Ok(EndpointState::Disabled { since, reason: reason.unwrap_or_default() }),
        "removed" => Ok(EndpointState::Removed { since }),
        other => Err(format!("{other:?} is no state of an endpoint")),
    })?;
    let name: Option<String> = row.get("name")?;
    Ok(Endpoint {
        id,
        name: name.map(|name| EndpointName::parse(&name)).transpose().map_err(|what| damaged("name", what))?,
        url: row.get("url")?,
        profile: parsed(row, "profile", ProfileName::parse)?,
        subscriptions: parsed(row, "subscriptions", subscriptions)?,
        overrides: parsed(row, "overrides", overrides)?,
        keys: keys(connection, id)?,
        state,
        created_at: time(row, "created_at")?,
    })
}

fn keys(connection: &Connection, endpoint: EndpointId) -> rusqlite::Result<Vec<Key>> {
    let mut statement = connection.prepare_cached(
        "SELECT scheme, unseal_key(secret, endpoint_id, scheme) AS secret, until FROM key
         WHERE endpoint_id = ?1 ORDER BY position",
    )?;
    let rows = statement.query_map([endpoint.0], |row| {
        let until: Option<i64> = row.get("until")?;
        Ok(Key {
            scheme: parsed(row, "scheme", Scheme::parse)?,
            secret: Secret::new(row.get("secret")?),
            until: until.map(Time::from_ms),
        })
    })?;
    rows.collect()
}

pub(super) const EVENT_COLUMNS: &str = "name, type, content_type, accepted_at, digest, trace, body";
pub(super) const EVENT_OF_ROW: &str =
    "SELECT name, type, content_type, accepted_at, digest, trace, body FROM event WHERE id = ?1";

/// What most events are, and what costs no bytes in their rows.
const JSON: &str = "application/json";

pub(super) fn content_type_column(content_type: &str) -> Option<&str> {
    Some(content_type).filter(|content_type| *content_type != JSON)
}

/// 128 bits of a fingerprint are as good as all of it: nobody finds two requests that share them.
pub(super) fn fingerprint_column(fingerprint: &[u8; 32]) -> &[u8] {
    &fingerprint[..16]
}

pub(super) fn event(row: &Row) -> rusqlite::Result<Event> {
    Ok(Event {
        id: parsed(row, "name", EventId::parse)?,
        event_type: parsed(row, "type", EventType::parse)?,
        content_type: row.get::<_, Option<String>>("content_type")?.unwrap_or_else(|| JSON.to_owned()),
        body: row.get_ref("body")?.as_blob().map_err(|error| damaged("body", error.to_string()))?.into(),
        digest: row.get("digest")?,
        accepted_at: time(row, "accepted_at")?,
        trace: match row.get_ref("trace")? {
            ValueRef::Null => None,
            _ => Some(parsed(row, "trace", TraceContext::from_text)?),
        },
    })
}

pub(super) fn event_id(row: &Row, name: &str) -> rusqlite::Result<EventId> {
    parsed(row, name, EventId::parse)
}

pub(super) fn event_type(row: &Row, name: &str) -> rusqlite::Result<EventType> {
    parsed(row, name, EventType::parse)
}

pub(super) fn dead_reason(text: &str) -> Result<DeadReason, String> {
    let known = DeadReason::ALL.into_iter().find(|reason| reason.as_str() == text);
    known.ok_or_else(|| format!("{text:?} is no reason to be dead"))
}

pub(super) const DELIVERY_COLUMNS: &str =
    "d.id, d.endpoint_id, d.state, d.attempts, d.earlier, d.due_at, d.leased_at, d.ended_at, d.reason";

pub(super) fn delivery(row: &Row) -> rusqlite::Result<Delivery> {
    let due_at: Option<i64> = row.get("due_at")?;
    let leased_at: Option<i64> = row.get("leased_at")?;
    let ended_at: Option<i64> = row.get("ended_at")?;
    let reason: Option<String> = row.get("reason")?;
    let at = |ms: Option<i64>| ms.map(Time::from_ms).ok_or_else(|| "has no time".to_owned());
    let state = parsed(row, "state", |text| match text {
        "pending" => Ok(DeliveryState::Pending { due_at: at(due_at)?, leased_at: leased_at.map(Time::from_ms) }),
        "delivered" => Ok(DeliveryState::Delivered { at: at(ended_at)? }),
        "dead" => Ok(DeliveryState::Dead { at: at(ended_at)?, reason: dead_reason(&reason.unwrap_or_default())? }),
        "cancelled" => Ok(DeliveryState::Cancelled { at: at(ended_at)? }),
        other => Err(format!("{other:?} is no state of a delivery")),
    })?;
    Ok(Delivery {
        id: DeliveryId(row.get("id")?),
        endpoint: EndpointId(row.get("endpoint_id")?),
        state,
        attempts: row.get("attempts")?,
        earlier: row.get("earlier")?,
    })
}

pub(super) fn state_name(row: &Row, name: &str) -> rusqlite::Result<StateName> {
    parsed(row, name, StateName::parse)
}

/// The columns that an outcome is kept in: status, late, stage, detail.
pub(super) fn outcome_columns(outcome: &Outcome) -> (Option<u16>, bool, Option<&'static str>, Option<&str>) {
    match outcome {
        Outcome::Accepted { status, late } => (Some(*status), *late, None, None),
        Outcome::Rejected { status } => (Some(*status), false, None, None),
        Outcome::TimedOut { stage } => (None, false, Some(stage.as_str()), None),
        Outcome::Unreachable { stage, error } => (None, false, Some(stage.as_str()), Some(error)),
        Outcome::Blocked { reason } => (None, false, None, Some(reason)),
        Outcome::Unknown => (None, false, None, None),
    }
}

fn outcome(row: &Row) -> rusqlite::Result<Outcome> {
    let status: Option<u16> = row.get("status")?;
    let late: bool = row.get("late")?;
    let detail: Option<String> = row.get("detail")?;
    let stage: Option<String> = row.get("stage")?;
    let status = || status.ok_or_else(|| "has no status".to_owned());
    let stage = || {
        let known = Stage::ALL.into_iter().find(|known| stage.as_deref() == Some(known.as_str()));
        known.ok_or_else(|| "has no stage".to_owned())
    };
    let detail = detail.unwrap_or_default();
    parsed(row, "outcome", |text| match text {
        "accepted" => Ok(Outcome::Accepted { status: status()?, late }),
        "rejected" => Ok(Outcome::Rejected { status: status()? }),
        "timed out" => Ok(Outcome::TimedOut { stage: stage()? }),
        "unreachable" => Ok(Outcome::Unreachable { stage: stage()?, error: detail }),
        "blocked" => Ok(Outcome::Blocked { reason: detail }),
        "unknown" => Ok(Outcome::Unknown),
        other => Err(format!("{other:?} is no outcome")),
    })
}

pub(super) fn attempt(row: &Row) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        number: row.get("number")?,
        started_at: time(row, "started_at")?,
        finished_at: time(row, "finished_at")?,
        timings: Timings {
            dns_us: row.get("dns_us")?,
            connect_us: row.get("connect_us")?,
            tls_us: row.get("tls_us")?,
            first_byte_us: row.get("first_byte_us")?,
            total_us: row.get("total_us")?,
        },
        remote: row.get("remote")?,
        resent: row.get("resent")?,
        outcome: outcome(row)?,
        answer: row.get("answer")?,
        location: row.get("location")?,
    })
}

pub(super) fn token(row: &Row) -> rusqlite::Result<AccessToken> {
    Ok(AccessToken {
        name: row.get("name")?,
        hash: row.get("hash")?,
        scope: parsed(row, "scope", Scope::parse)?,
        created_at: time(row, "created_at")?,
    })
}
