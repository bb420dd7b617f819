//! The event that an endpoint is tried with: given, or a sample of what its profile sends. It is never stored.

use super::Refused;
use super::enqueue::fresh_id;
use crate::endpoint::{Endpoint, ProfileName};
use crate::event::{Event, EventType};
use crate::provider;
use crate::signature;
use crate::time::Time;

/// What a standard endpoint is sent when nothing else is said.
const STANDARD_TYPE: &str = "postrider.test";
const STANDARD_SAMPLE: &str = r#"{"type":"postrider.test","data":{"message":"a test of this endpoint"}}"#;

/// Checked by the payload rules of the endpoint's profile, as every event.
pub fn event(
    endpoint: &Endpoint,
    event_type: Option<EventType>,
    body: Option<Vec<u8>>,
    now: Time,
) -> Result<Event, Refused> {
    let named = body.as_deref().and_then(|body| provider::type_of_body(endpoint.profile, body));
    let event_type = event_type.or(named).unwrap_or_else(|| usual_type(endpoint.profile));
    let body = match body {
        Some(body) => body,
        None => sample(endpoint.profile, &event_type)?.as_bytes().to_vec(),
    };
    provider::check(endpoint.profile, &event_type, &body)
        .map_err(|what| Refused::Invalid(format!("{}: {what}", endpoint.profile)))?;
    Ok(Event {
        id: fresh_id(),
        event_type,
        content_type: "application/json".to_owned(),
        digest: signature::digest(&body),
        body: body.into(),
        accepted_at: now,
        trace: None,
    })
}

fn usual_type(profile: ProfileName) -> EventType {
    let text = match profile {
        ProfileName::Ensuro => provider::ensuro::TYPES[0],
        ProfileName::Octamile => provider::octamile::TYPES[0],
        ProfileName::Standard => STANDARD_TYPE,
    };
    EventType::parse(text).expect("a profile's types are types")
}

fn sample(profile: ProfileName, event_type: &EventType) -> Result<&'static str, Refused> {
    let (sample, types) = match profile {
        ProfileName::Ensuro => (provider::ensuro::sample(event_type.as_str()), provider::ensuro::TYPES.join(", ")),
        ProfileName::Octamile => {
            (provider::octamile::sample(event_type.as_str()), provider::octamile::TYPES.join(", "))
        }
        ProfileName::Standard => (Some(STANDARD_SAMPLE), String::new()),
    };
    sample.ok_or_else(|| Refused::Invalid(format!("there is no sample of {event_type}; {profile} has {types}")))
}
