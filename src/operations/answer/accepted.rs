//! The acknowledgement of events, one by one and by the batch.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Stamp;
use super::problem::Problem;
use crate::operations::Accepted;

/// The acknowledgement: the event and all its deliveries are on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AcceptedAnswer {
    /// The event's id, given or made.
    #[schema(example = "msg_01")]
    pub event: String,
    /// The event's type, given or read from its body.
    #[serde(rename = "type")]
    #[schema(example = "policy/creation")]
    pub event_type: String,
    /// When it was accepted, the first time if it was `again`.
    pub accepted_at: Stamp,
    /// The id was known: this is the answer that it got the first time, and nothing new was stored.
    pub again: bool,
    /// To whom it is owed; empty if nobody wanted it.
    pub deliveries: Vec<AcceptedDelivery>,
    /// What the sender should know, though the event is accepted.
    pub warnings: Vec<String>,
}

/// One receiver that the event is owed to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AcceptedDelivery {
    /// The delivery's id.
    #[schema(example = "dlv_42")]
    pub id: String,
    /// The endpoint's name, or `one-off-3` for a receiver that nobody registered.
    #[schema(example = "acme")]
    pub endpoint: String,
}

impl From<Accepted> for AcceptedAnswer {
    fn from(accepted: Accepted) -> Self {
        let delivery =
            |owed: crate::operations::Owed| AcceptedDelivery { id: owed.delivery.to_string(), endpoint: owed.endpoint };
        AcceptedAnswer {
            event: accepted.event.to_string(),
            event_type: accepted.event_type.to_string(),
            accepted_at: Stamp(accepted.accepted_at),
            again: accepted.again,
            deliveries: accepted.deliveries.into_iter().map(delivery).collect(),
            warnings: accepted.warnings,
        }
    }
}

/// What became of one line of a batch. An accepted one has the fields of `AcceptedAnswer`, a refused one a `problem`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchResult {
    /// The line's number in the batch, from 1.
    pub line: u64,
    pub status: BatchStatus,
    /// The event's id, given or made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "msg_01")]
    pub event: Option<String>,
    /// The event's type, given or read from its body.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "policy/creation")]
    pub event_type: Option<String>,
    /// When it was accepted, the first time if it was `again`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Stamp, required = false)]
    pub accepted_at: Option<Stamp>,
    /// The id was known, and nothing new was stored; left out if it was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// To whom it is owed; left out if nobody wanted it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<AcceptedDelivery>,
    /// What the sender should know, though the event is accepted; left out if there is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Problem, required = false)]
    pub problem: Option<Problem>,
}

/// Whether a line of a batch is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BatchStatus {
    Accepted,
    Refused,
}

impl BatchResult {
    pub fn accepted(line: u64, accepted: AcceptedAnswer) -> Self {
        BatchResult {
            line,
            status: BatchStatus::Accepted,
            event: Some(accepted.event),
            event_type: Some(accepted.event_type),
            accepted_at: Some(accepted.accepted_at),
            again: accepted.again,
            deliveries: accepted.deliveries,
            warnings: accepted.warnings,
            problem: None,
        }
    }

    pub fn refused(line: u64, problem: Problem) -> Self {
        BatchResult {
            line,
            status: BatchStatus::Refused,
            event: None,
            event_type: None,
            accepted_at: None,
            again: false,
            deliveries: Vec::new(),
            warnings: Vec::new(),
            problem: Some(problem),
        }
    }
}
