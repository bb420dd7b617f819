//! An event, its deliveries and all their attempts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attempt::AttemptAnswer;
use super::listing::Standing;
use super::names::{EndpointStateWord, Profile, since_and_reason};
use super::{Stamp, joined, split};
use crate::operations::look::{redacted, show};
use crate::signature::hex;

/// An event and its deliveries, with every attempt that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShownAnswer {
    pub event: ShownEvent,
    /// All of the event's, oldest first, or the one that was asked for.
    pub deliveries: Vec<ShownDelivery>,
    /// The event has more deliveries than these.
    pub more: bool,
}

impl ShownAnswer {
    /// The body only if it is asked for.
    pub fn new(shown: &show::Shown, with_body: bool) -> Self {
        let event = &shown.event;
        let (body, body_base64) = if with_body { split(&event.body) } else { (None, None) };
        ShownAnswer {
            event: ShownEvent {
                id: event.id.to_string(),
                event_type: event.event_type.to_string(),
                content_type: event.content_type.clone(),
                accepted_at: Stamp(event.accepted_at),
                size: event.body.len() as u64,
                sha256: hex(&event.digest),
                body,
                body_base64,
            },
            deliveries: shown.deliveries.iter().map(ShownDelivery::from).collect(),
            more: shown.more,
        }
    }
}

/// What was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShownEvent {
    #[schema(example = "msg_01")]
    pub id: String,
    #[serde(rename = "type")]
    #[schema(example = "policy/creation")]
    pub event_type: String,
    /// As it was given with the event; some profiles send `application/json` whatever stands here.
    #[schema(example = "application/json")]
    pub content_type: String,
    pub accepted_at: Stamp,
    /// Of the body, in bytes.
    pub size: u64,
    /// Of the body, as 64 lower-case hex digits.
    pub sha256: String,
    /// The body, if it was asked for and is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The body, if it was asked for and is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

impl ShownEvent {
    /// The body's bytes as they were accepted; `None` if they were not asked for.
    pub fn body(&self) -> Option<Vec<u8>> {
        joined(self.body.as_deref(), self.body_base64.as_deref())
    }
}

/// One delivery and what was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShownDelivery {
    /// The delivery's id.
    #[schema(example = "dlv_42")]
    pub delivery: String,
    /// The endpoint's name, or `one-off-3` for a receiver that nobody registered.
    #[schema(example = "acme")]
    pub endpoint: String,
    pub endpoint_state: EndpointStateWord,
    /// Since when the endpoint is in this state; left out while it is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_since: Option<Stamp>,
    /// Why the endpoint is disabled; left out unless it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_reason: Option<String>,
    pub profile: Profile,
    /// The endpoint's, without the values of its query.
    pub url: String,
    #[serde(flatten)]
    pub standing: Standing,
    /// Those that have ended, by number.
    pub attempts: Vec<AttemptAnswer>,
}

impl From<&show::Owed> for ShownDelivery {
    fn from(owed: &show::Owed) -> Self {
        let endpoint = &owed.endpoint;
        let (endpoint_since, endpoint_reason) = since_and_reason(&endpoint.state);
        ShownDelivery {
            delivery: owed.delivery.id.to_string(),
            endpoint: endpoint.label(),
            endpoint_state: (&endpoint.state).into(),
            endpoint_since,
            endpoint_reason,
            profile: endpoint.profile.into(),
            url: redacted(&endpoint.url),
            standing: Standing::new(&owed.delivery, owed.of),
            attempts: owed.attempts.iter().map(AttemptAnswer::from).collect(),
        }
    }
}
