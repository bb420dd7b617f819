//! What a person's request did to deliveries, and what the daemon did to them: one line for each.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Stamp;
use super::attempt::{AttemptAnswer, AttemptOutcome};
use super::names::State;
use crate::operations::resend::{Change, Replay};
use crate::store::LoggedOutcome;

/// What retrying or cancelling did, delivery by delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// All of the event's, oldest first, or the one that was asked for.
    pub deliveries: Vec<ChangedDelivery>,
}

/// What was asked for, done to one delivery or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangedDelivery {
    /// The delivery's id.
    #[schema(example = "dlv_42")]
    pub delivery: String,
    /// The endpoint's name, or `one-off-3` for a receiver that nobody registered.
    #[schema(example = "acme")]
    pub endpoint: String,
    /// The state that it has now.
    pub state: State,
    /// Whether anything was done to it.
    pub changed: bool,
    /// Why nothing was done to it; left out if something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub detail: Option<String>,
}

/// How many ended deliveries are tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Replayed {
    /// Deliveries that fit what was asked for.
    pub matched: u64,
    /// How many of them are pending again; 0 in a dry run.
    pub replayed: u64,
    /// Nothing was done: it was only asked what would be.
    pub dry_run: bool,
}

/// One attempt that was made at once to see whether an endpoint answers. It is not stored and not tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestAnswer {
    #[schema(example = "acme")]
    pub endpoint: String,
    /// The endpoint's, without the values of its query.
    pub url: String,
    /// The id that the event was sent under.
    pub event: String,
    /// The type that the event was sent as.
    #[serde(rename = "type")]
    #[schema(example = "policy/creation")]
    pub event_type: String,
    /// Whether a delivery that is answered so is delivered.
    pub accepted: bool,
    pub attempt: AttemptAnswer,
}

/// Something that happened to a delivery: an attempt ended, or it ended or began again without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutcomeLine {
    /// The place in the order of all outcomes; where to go on after a pause.
    pub seq: i64,
    /// When it was recorded.
    pub at: Stamp,
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
    /// The endpoint's name, or `one-off-3` for a receiver that nobody registered.
    #[schema(example = "acme")]
    pub endpoint: String,
    /// The state that the delivery had then.
    pub state: State,
    /// What came of the attempt; null if there was none: it was given up, cancelled, or is to be tried again.
    #[schema(required)]
    pub attempt: Option<AttemptOutcome>,
}

impl From<Vec<Change>> for Changed {
    fn from(changes: Vec<Change>) -> Self {
        let change = |change: Change| ChangedDelivery {
            delivery: change.delivery.to_string(),
            endpoint: change.endpoint,
            state: change.state.into(),
            changed: change.changed,
            detail: change.detail,
        };
        Changed { deliveries: changes.into_iter().map(change).collect() }
    }
}

impl From<&Replay> for Replayed {
    fn from(replay: &Replay) -> Self {
        Replayed { matched: replay.matched, replayed: replay.replayed, dry_run: replay.is_dry() }
    }
}

impl OutcomeLine {
    /// `endpoint` is what the outcome's endpoint is called.
    pub fn new(logged: &LoggedOutcome, endpoint: String) -> Self {
        OutcomeLine {
            seq: logged.seq,
            at: logged.at.into(),
            delivery: logged.delivery.to_string(),
            event: logged.event.to_string(),
            event_type: logged.event_type.to_string(),
            endpoint,
            state: logged.state.into(),
            attempt: logged.attempt.as_ref().map(AttemptOutcome::from),
        }
    }
}
