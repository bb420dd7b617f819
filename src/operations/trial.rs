//! The event that an endpoint is tried with: given, or made up as what its profile sends; and the endpoint, where nobody
//! registered it. Neither is ever stored.

use super::endpoint::check_overrides;
use super::enqueue::fresh_id;
use super::{Refused, Rules};
use crate::courier::guard;
use crate::endpoint::{Endpoint, EndpointId, EndpointState, Key, Overrides, ProfileName};
use crate::event::{Event, EventType};
use crate::provider;
use crate::provider::dice::Dice;
use crate::signature;
use crate::time::Time;

/// What a standard endpoint is sent when nothing else is said.
const STANDARD_TYPE: &str = "postrider.test";

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
        None => provider::sample(endpoint.profile, &event_type, &mut fresh_dice()?, now).map_err(Refused::Invalid)?,
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

/// A receiver that nobody registered. Without keys it is sent unsigned what its profile would sign: whoever asks for that
/// must mean it.
pub fn endpoint(
    rules: &Rules,
    url: &str,
    profile: ProfileName,
    overrides: Overrides,
    keys: Vec<Key>,
    now: Time,
) -> Result<Endpoint, Refused> {
    let url = guard::check_url(url, &rules.safety).map_err(Refused::Invalid)?;
    if !keys.is_empty() {
        signature::check_keys(provider::profile(profile).schemes, &keys).map_err(Refused::Invalid)?;
    }
    check_overrides(&overrides).map_err(Refused::Invalid)?;
    Ok(Endpoint {
        id: EndpointId(0),
        name: None,
        url: url.to_string(),
        profile,
        subscriptions: vec![],
        overrides,
        keys,
        state: EndpointState::Active,
        created_at: now,
    })
}

/// Dice that nobody has thrown yet.
pub fn fresh_dice() -> Result<Dice, Refused> {
    getrandom::u64()
        .map(Dice::new)
        .map_err(|error| Refused::Invalid(format!("the machine gives no random numbers: {error}")))
}

/// What a profile sends when nothing else is said.
pub fn usual_type(profile: ProfileName) -> EventType {
    let text = provider::types(profile).first().copied().unwrap_or(STANDARD_TYPE);
    EventType::parse(text).expect("a profile's types are types")
}
