//! Profiles: a provider's promises as data, each value with the document that states it.
//! What one endpoint overrides is laid over its profile here, once, into `Terms`; nothing else decides by provider.

pub mod dice;
pub mod ensuro;
pub mod octamile;
pub mod payload;
pub mod standard;

use crate::endpoint::{Endpoint, Overrides, ProfileName, Scheme, Success};
use crate::event::EventType;
use crate::schedule::Schedule;
use crate::time::{Span, Time};
use dice::Dice;
use octamile::certificate::Kind;

/// A provider's side of the contract.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: ProfileName,
    /// From the start of an attempt to the complete head of its answer.
    pub timeout: Span,
    pub schedule: Schedule,
    pub success: Success,
    /// An accepted answer that took longer breaks the receiver's side of the contract.
    pub late_after: Option<Span>,
    /// Whether Retry-After on 429 and 503 moves the next attempt.
    pub obeys_retry_after: bool,
    /// Whether 410 disables the endpoint.
    pub gone_disables: bool,
    /// The schemes that an endpoint's keys may have. Empty: unsigned.
    pub schemes: &'static [Scheme],
    /// Whether the content type is the provider's (`application/json`) or the event's own.
    pub fixed_content_type: Option<&'static str>,
    /// Which document says which of the above: (what, where).
    pub sources: &'static [(&'static str, &'static str)],
}

pub fn profile(name: ProfileName) -> Profile {
    match name {
        ProfileName::Ensuro => ensuro::profile(),
        ProfileName::Octamile => octamile::profile(),
        ProfileName::Standard => standard::profile(),
    }
}

/// What one endpoint is served by: its profile with its overrides laid over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub timeout: Span,
    pub schedule: Schedule,
    pub success: Success,
    pub late_after: Option<Span>,
    pub obeys_retry_after: bool,
    pub gone_disables: bool,
}

pub fn terms(name: ProfileName, overrides: &Overrides) -> Terms {
    let profile = profile(name);
    let listed = |delays: &Vec<Span>| Schedule::listed(delays.clone()).ok();
    Terms {
        timeout: overrides.timeout.unwrap_or(profile.timeout),
        schedule: overrides.schedule.as_ref().and_then(listed).unwrap_or(profile.schedule),
        success: overrides.success.clone().unwrap_or(profile.success),
        late_after: profile.late_after,
        obeys_retry_after: profile.obeys_retry_after,
        gone_disables: profile.gone_disables,
    }
}

/// Whether `endpoint` is owed events of this type: its subscriptions cover it and its profile has such a type.
pub fn is_owed(endpoint: &Endpoint, event_type: &EventType) -> bool {
    let subscribed = endpoint.subscriptions.is_empty() || endpoint.subscriptions.iter().any(|s| s.covers(event_type));
    subscribed && knows(endpoint.profile, event_type)
}

/// Whether the profile has this event type at all.
pub fn knows(name: ProfileName, event_type: &EventType) -> bool {
    match name {
        ProfileName::Ensuro => ensuro::TYPES.contains(&event_type.as_str()),
        ProfileName::Octamile => octamile::TYPES.contains(&event_type.as_str()),
        ProfileName::Standard => true,
    }
}

/// What the payload rules make of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Set where the provider fires once: a second event with the same text is refused.
    pub once: Option<String>,
    /// Things the sender should know, though the event is accepted.
    pub warnings: Vec<String>,
}

/// Checks a body against the provider's payload rules. Fails with one sentence that names the field and what is wrong.
pub fn check(name: ProfileName, event_type: &EventType, body: &[u8]) -> Result<Checked, String> {
    let mut checked = match name {
        ProfileName::Ensuro => ensuro::check(event_type, body),
        ProfileName::Octamile => octamile::check(event_type, body),
        ProfileName::Standard => standard::check(body),
    }?;
    if body.len() > EXPRESS_BODY_LIMIT {
        checked.warnings.push(format!(
            "the body has {} bytes: a receiver on Express answers 413 above its default limit of 100 kB \
             (express.json({{limit: ...}}) raises it)",
            body.len()
        ));
    }
    Ok(checked)
}

/// The event type that the body itself names, where the profile's bodies do.
pub fn type_of_body(name: ProfileName, body: &[u8]) -> Option<EventType> {
    match name {
        ProfileName::Ensuro => ensuro::type_of_body(body),
        ProfileName::Octamile => octamile::type_of_body(body),
        ProfileName::Standard => None,
    }
}

/// The types of a profile; none where every type will do.
pub fn types(name: ProfileName) -> &'static [&'static str] {
    match name {
        ProfileName::Ensuro => ensuro::TYPES,
        ProfileName::Octamile => octamile::TYPES,
        ProfileName::Standard => &[],
    }
}

/// A made-up notification of this type: compact JSON that passes `check`. The same draws and the same time give the
/// same bytes. Fails with a sentence that lists the types, if the profile has no such one.
pub fn sample(name: ProfileName, event_type: &EventType, dice: &mut Dice, now: Time) -> Result<Vec<u8>, String> {
    let made = match name {
        ProfileName::Ensuro => ensuro::sample::notification(event_type.as_str(), dice, now),
        ProfileName::Octamile => octamile::sample::notification(event_type.as_str(), dice, Kind::Png, None),
        ProfileName::Standard => Some(standard::sample(event_type, dice, now)),
    };
    match made {
        Some(made) => Ok(made.to_string().into_bytes()),
        None => Err(unknown_type(name, event_type.as_str())),
    }
}

/// The sentence for a type that the profile does not have.
pub fn unknown_type(name: ProfileName, event_type: &str) -> String {
    let types = types(name);
    match payload::nearest(event_type, types.iter().copied()) {
        Some(near) => format!("{name} has no type {event_type:?}; is {near} meant? It has {}", types.join(", ")),
        None => format!("{name} has no type {event_type:?}; it has {}", types.join(", ")),
    }
}

/// `express.json()` and `body-parser` refuse bodies above "100kb", which the `bytes` package reads as 100 x 1024.
/// Source: Express 4 and 5 API reference, express.json, option `limit`.
pub const EXPRESS_BODY_LIMIT: usize = 100 * 1024;
