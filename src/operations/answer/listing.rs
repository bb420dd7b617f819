//! Deliveries, newest first, a page at a time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Stamp;
use super::attempt::AttemptOutcome;
use super::names::{Profile, Reason, State};
use crate::delivery::{Delivery, DeliveryState};
use crate::operations::look::list;

/// A page of deliveries, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Listing {
    pub deliveries: Vec<Row>,
    /// The cursor of the next page; null after the last.
    #[schema(required, example = "dlv_42")]
    pub next: Option<String>,
}

/// A delivery, to whom, and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Row {
    /// The delivery's id.
    #[schema(example = "dlv_42")]
    pub delivery: String,
    /// The event's id.
    #[schema(example = "msg_01")]
    pub event: String,
    /// The event's type.
    #[serde(rename = "type")]
    #[schema(example = "policy/creation")]
    pub event_type: String,
    /// When the event was accepted.
    pub accepted_at: Stamp,
    /// Of the event's body, in bytes.
    pub size: u64,
    /// The endpoint's name, or `one-off-3` for a receiver that nobody registered.
    #[schema(example = "acme")]
    pub endpoint: String,
    pub profile: Profile,
    #[serde(flatten)]
    pub standing: Standing,
    /// The last attempt that ended; null if there is none.
    #[schema(required)]
    pub last: Option<AttemptOutcome>,
}

/// How a delivery stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    pub state: State,
    /// Attempts begun so far, the one in flight included.
    pub attempts_made: u32,
    /// How many attempts there may be.
    pub of: u32,
    /// When the next attempt may begin, or, while one is in flight, when its lease ends; null unless it is pending.
    #[schema(required)]
    pub due_at: Option<Stamp>,
    /// Since when an attempt is in flight; null if none is.
    #[schema(required)]
    pub in_flight_since: Option<Stamp>,
    /// When it was delivered, given up or cancelled; null while it is pending.
    #[schema(required)]
    pub ended_at: Option<Stamp>,
    /// Why it is dead; null unless it is.
    #[schema(required)]
    pub reason: Option<Reason>,
}

impl Standing {
    /// `of`: how many attempts there may be.
    pub fn new(delivery: &Delivery, of: u32) -> Self {
        let (due_at, leased_at, ended_at, reason) = match delivery.state {
            DeliveryState::Pending { due_at, leased_at } => (Some(due_at), leased_at, None, None),
            DeliveryState::Delivered { at } | DeliveryState::Cancelled { at } => (None, None, Some(at), None),
            DeliveryState::Dead { at, reason } => (None, None, Some(at), Some(reason)),
        };
        Standing {
            state: delivery.state.name().into(),
            attempts_made: delivery.attempts,
            of,
            due_at: due_at.map(Stamp),
            in_flight_since: leased_at.map(Stamp),
            ended_at: ended_at.map(Stamp),
            reason: reason.map(Reason::from),
        }
    }
}

impl From<list::List> for Listing {
    fn from(list: list::List) -> Self {
        Listing {
            deliveries: list.rows.into_iter().map(Row::from).collect(),
            next: list.next.map(|next| next.to_string()),
        }
    }
}

impl From<list::Row> for Row {
    fn from(row: list::Row) -> Self {
        Row {
            delivery: row.delivery.id.to_string(),
            event: row.event.to_string(),
            event_type: row.event_type.to_string(),
            accepted_at: Stamp(row.accepted_at),
            size: row.size,
            endpoint: row.endpoint,
            profile: row.profile.into(),
            standing: Standing::new(&row.delivery, row.of),
            last: row.last.as_ref().map(AttemptOutcome::from),
        }
    }
}
