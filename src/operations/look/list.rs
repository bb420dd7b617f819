//! Deliveries, newest first, a page at a time.

use super::{Endpoints, attempts_allowed};
use crate::delivery::{Attempt, Delivery, DeliveryId, StateName};
use crate::endpoint::ProfileName;
use crate::event::{EventId, EventType, Subscription};
use crate::operations::Refused;
use crate::store::{Filter, Listed, Page, Store};
use crate::time::Time;

/// How many deliveries a page has, unless somebody wants more or fewer, and at most.
pub const USUAL_LIMIT: u32 = 50;
pub const MOST_LIMIT: u32 = 1000;

/// Which deliveries are asked for. Everything that is left out does not matter.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub state: Option<StateName>,
    /// A name, or `one-off-3`.
    pub endpoint: Option<String>,
    pub event: Option<EventId>,
    /// Exact, or a family.
    pub event_type: Option<Subscription>,
    /// Accepted at this time or later.
    pub since: Option<Time>,
    /// Older than this one: where the page before ended.
    pub before: Option<DeliveryId>,
    /// From 1 to `MOST_LIMIT`; `None` for `USUAL_LIMIT`.
    pub limit: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct List {
    pub rows: Vec<Row>,
    /// What `Asked::before` must be for the next page; `None` after the last.
    pub next: Option<DeliveryId>,
}

/// A delivery, to whom, and how it stands.
#[derive(Clone, Debug)]
pub struct Row {
    pub delivery: Delivery,
    pub event: EventId,
    pub event_type: EventType,
    pub accepted_at: Time,
    /// Size of the body in bytes.
    pub size: u64,
    /// The endpoint's name, or `one-off-ID`.
    pub endpoint: String,
    pub profile: ProfileName,
    /// How many attempts the endpoint's schedule allows.
    pub of: u32,
    /// The last attempt that ended.
    pub last: Option<Attempt>,
}

pub fn list(store: &mut dyn Store, asked: &Asked) -> Result<List, Refused> {
    let limit = asked.limit.unwrap_or(USUAL_LIMIT);
    if !(1..=MOST_LIMIT).contains(&limit) {
        return Err(Refused::Invalid(format!("a page has from 1 to {MOST_LIMIT} deliveries, not {limit}")));
    }
    let endpoint = match &asked.endpoint {
        Some(text) => Some(super::endpoint(store, text)?.id),
        None => None,
    };
    let filter = Filter {
        state: asked.state,
        endpoint,
        event: asked.event.clone(),
        event_type: asked.event_type.clone(),
        since: asked.since,
        ..Filter::default()
    };
    // One more than the page has: it tells whether there is another page.
    let mut listed = store.deliveries(&filter, Page { before: asked.before, limit: limit + 1 })?;
    let more = listed.len() > limit as usize;
    listed.truncate(limit as usize);
    let next = listed.last().map(|last| last.delivery.id).filter(|_| more);
    let mut endpoints = Endpoints::default();
    let mut rows = Vec::with_capacity(listed.len());
    for listed in listed {
        rows.push(row(store, &mut endpoints, listed)?);
    }
    Ok(List { rows, next })
}

fn row(store: &mut dyn Store, endpoints: &mut Endpoints, listed: Listed) -> Result<Row, Refused> {
    let endpoint = endpoints.get(store, listed.delivery.endpoint)?;
    let last = match listed.delivery.attempts {
        0 => None,
        _ => store.attempts(listed.delivery.id)?.pop(),
    };
    Ok(Row {
        of: attempts_allowed(&listed.delivery, &endpoint),
        delivery: listed.delivery,
        event: listed.event,
        event_type: listed.event_type,
        accepted_at: listed.accepted_at,
        size: listed.size,
        endpoint: endpoint.label(),
        profile: endpoint.profile,
        last,
    })
}
