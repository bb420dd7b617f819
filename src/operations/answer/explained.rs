//! Why deliveries are where they are, in sentences.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Stamp;
use super::names::State;
use crate::operations::look::why::{Explained, Why};

/// Why the deliveries of an event are where they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedAnswer {
    /// The event's id.
    #[schema(example = "msg_01")]
    pub event: String,
    /// The event's type.
    #[serde(rename = "type")]
    #[schema(example = "policy/creation")]
    pub event_type: String,
    /// When the event was accepted.
    pub accepted_at: Stamp,
    /// Why there is no delivery; null if there is one.
    #[schema(required)]
    pub why: Option<String>,
    /// All of the event's, oldest first, or the one that was asked about.
    pub deliveries: Vec<WhyAnswer>,
}

/// Why one delivery is where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyAnswer {
    /// The delivery's id.
    #[schema(example = "dlv_42")]
    pub delivery: String,
    /// The endpoint's name, or `one-off-3` for a receiver that nobody registered.
    #[schema(example = "acme")]
    pub endpoint: String,
    pub state: State,
    /// Attempts begun so far, the one in flight included.
    pub attempts_made: u32,
    /// How many attempts there may be.
    pub of: u32,
    /// When the next attempt is due; null while one is in flight, and after the end.
    #[schema(required)]
    pub next_at: Option<Stamp>,
    /// What happened and what comes, as a paragraph in English.
    pub why: String,
    /// What the operator can do about it; null if nothing is to be done.
    #[schema(required)]
    pub advice: Option<String>,
}

impl From<Explained> for ExplainedAnswer {
    fn from(explained: Explained) -> Self {
        ExplainedAnswer {
            event: explained.event.to_string(),
            event_type: explained.event_type.to_string(),
            accepted_at: Stamp(explained.accepted_at),
            why: explained.nobody,
            deliveries: explained.deliveries.into_iter().map(WhyAnswer::from).collect(),
        }
    }
}

impl From<Why> for WhyAnswer {
    fn from(why: Why) -> Self {
        WhyAnswer {
            delivery: why.delivery.to_string(),
            endpoint: why.endpoint,
            state: why.state.into(),
            attempts_made: why.attempts,
            of: why.of,
            next_at: why.next_at.map(Stamp),
            why: why.text,
            advice: why.advice,
        }
    }
}
