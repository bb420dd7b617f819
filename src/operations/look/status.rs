//! How the whole store is doing, and which endpoints are in trouble.

use super::Endpoints;
use crate::delivery::{Attempt, DeliveryId, LaneDue};
use crate::operations::Refused;
use crate::store::{Counts, LaneOwed, Store};
use crate::time::Time;

#[derive(Clone, Debug)]
pub struct Status {
    pub counts: Counts,
    /// Registered endpoints.
    pub endpoints: u64,
    /// Endpoints that are owed something and whose last attempt failed, the longest due first.
    pub troubled: Vec<Trouble>,
    /// Endpoints that are owed something and were not looked at, as there are so many.
    pub unseen: u64,
}

#[derive(Clone, Debug)]
pub struct Trouble {
    /// The endpoint's name, or `one-off-ID`.
    pub endpoint: String,
    pub pending: u64,
    pub in_flight: u64,
    /// The earliest `due_at` of what it is owed.
    pub due_at: Time,
    /// What was tried last, and how that ended.
    pub delivery: DeliveryId,
    pub last: Attempt,
}

/// How many endpoints that are owed something are looked at.
const MOST_LANES: usize = 500;
/// How many deliveries of each are asked for their last attempt.
const MOST_OF_A_LANE: usize = 5;

pub fn status(store: &mut dyn Store, now: Time) -> Result<Status, Refused> {
    let counts = store.counts(now)?;
    let endpoints = store.endpoints()?.iter().filter(|endpoint| endpoint.name.is_some()).count() as u64;
    let mut lanes = store.lanes()?;
    lanes.sort_by_key(|lane| lane.due_at);
    let unseen = lanes.len().saturating_sub(MOST_LANES) as u64;
    lanes.truncate(MOST_LANES);
    let mut known = Endpoints::default();
    let mut troubled = Vec::new();
    for lane in lanes {
        troubled.extend(trouble(store, &mut known, lane)?);
    }
    Ok(Status { counts, endpoints, troubled, unseen })
}

fn trouble(store: &mut dyn Store, known: &mut Endpoints, lane: LaneDue) -> Result<Option<Trouble>, Refused> {
    let tail = store.tail(lane.lane)?;
    let mut last: Option<(DeliveryId, Attempt)> = None;
    for delivery in tail.iter().filter(|delivery| delivery.attempts > 0).take(MOST_OF_A_LANE) {
        let Some(attempt) = store.attempts(delivery.id)?.pop() else { continue };
        if last.as_ref().is_none_or(|(_, latest)| latest.finished_at < attempt.finished_at) {
            last = Some((delivery.id, attempt));
        }
    }
    // It answered: what is owed is sent again by hand, or has come since.
    let Some((delivery, last)) = last.filter(|(_, last)| !last.outcome.is_accepted()) else { return Ok(None) };
    let endpoint = known.get(store, lane.lane)?.label();
    let LaneOwed { pending, in_flight, .. } = store.owed(lane.lane)?;
    Ok(Some(Trouble { endpoint, pending, in_flight, due_at: lane.due_at, delivery, last }))
}
