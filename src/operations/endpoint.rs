//! Receivers: registered, edited, paused, given new keys, removed.
//! Whatever changes here, what is owed already stays owed; only removal ends it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Refused, Rules, endpoint, one};
use crate::courier::guard;
use crate::endpoint::{
    Endpoint, EndpointId, EndpointName, EndpointState, Key, Overrides, ProfileName, Scheme, Success,
};
use crate::event::{EventType, Subscription};
use crate::provider;
use crate::request;
use crate::schedule::Schedule;
use crate::signature;
use crate::store::{Command, EndpointEdit, NewEndpoint, Reply, Store};
use crate::time::{Span, Time};

/// Checks an endpoint against every rule, then stores it.
pub fn add_endpoint(
    store: &mut dyn Store,
    rules: &Rules,
    now: Time,
    endpoint: NewEndpoint,
) -> Result<Endpoint, Refused> {
    let url = check_endpoint(rules, &endpoint)?;
    let name = endpoint.name.clone();
    let endpoint = NewEndpoint { url, ..endpoint };
    match one(store.apply(now, &[Command::AddEndpoint(endpoint)])?) {
        Reply::EndpointAdded(id) => Ok(store.endpoint(id)?.expect("it was added just now")),
        Reply::Refused(_) => Err(Refused::Conflict(format!(
            "there is an endpoint {name} already; `postrider endpoint remove {name}` removes it, or choose another name"
        ))),
        other => unreachable!("{other:?} does not answer an added endpoint"),
    }
}

/// Checks an endpoint against every rule that needs no store; answers its URL as it will be kept.
pub fn check_endpoint(rules: &Rules, endpoint: &NewEndpoint) -> Result<String, Refused> {
    let url = guard::check_url(&endpoint.url, &rules.safety).map_err(Refused::Invalid)?;
    let profile = provider::profile(endpoint.profile);
    signature::check_keys(profile.schemes, &endpoint.keys).map_err(Refused::Invalid)?;
    check_overrides(&endpoint.overrides).map_err(Refused::Invalid)?;
    check_subscriptions(endpoint.profile, &endpoint.subscriptions).map_err(Refused::Invalid)?;
    Ok(url.to_string())
}

pub(super) fn check_overrides(overrides: &Overrides) -> Result<(), String> {
    request::check_headers(overrides)?;
    let within = |what: &str, value: Option<i64>, low: i64, high: i64, unit: &str| match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(format!("{what} must be from {low} to {high}{unit}, not {value}"))
        }
        _ => Ok(()),
    };
    within("the timeout", overrides.timeout.map(Span::ms), 100, 30_000, " ms")?;
    within("the concurrency", overrides.concurrency.map(i64::from), 1, 256, "")?;
    within("the rate", overrides.rate.map(i64::from), 1, 100_000, " per second")?;
    match &overrides.schedule {
        Some(delays) => Schedule::listed(delays.clone()).map(|_| ()),
        None => Ok(()),
    }
}

/// A subscription that can never match is a mistake, not a wish.
fn check_subscriptions(profile: ProfileName, subscriptions: &[Subscription]) -> Result<(), String> {
    let types = match profile {
        ProfileName::Ensuro => provider::ensuro::TYPES,
        ProfileName::Octamile => provider::octamile::TYPES,
        ProfileName::Standard => return Ok(()),
    };
    let matches = |subscription: &Subscription| {
        types.iter().any(|text| EventType::parse(text).is_ok_and(|event_type| subscription.covers(&event_type)))
    };
    match subscriptions.iter().find(|subscription| !matches(subscription)) {
        Some(subscription) => {
            Err(format!("{profile} has no event type that {subscription} covers; it has {}", types.join(", ")))
        }
        None => Ok(()),
    }
}

/// Removes an endpoint and ends what it was owed; answers how many deliveries that were.
///
/// Deliveries in flight at that moment are ended by the daemon when their attempt has ended.
pub fn remove_endpoint(store: &mut dyn Store, now: Time, name: &EndpointName) -> Result<u64, Refused> {
    let lane = close_endpoint(store, now, name)?;
    let mut ended = 0;
    loop {
        match bury(store, now, lane)? {
            0 => return Ok(ended),
            count => ended += count,
        }
    }
}

/// The first part of a removal: nothing more is owed or sent to it. What it was owed is ended by `bury`, or by the daemon.
pub fn close_endpoint(store: &mut dyn Store, now: Time, name: &EndpointName) -> Result<EndpointId, Refused> {
    let endpoint = endpoint(store, name)?;
    match one(store.apply(now, &[Command::RemoveEndpoint(endpoint.id)])?) {
        Reply::Done(_) => Ok(endpoint.id),
        Reply::Refused(_) => Err(Refused::Unknown(format!("{name} was removed at this moment by another"))),
        other => unreachable!("{other:?} does not answer a removed endpoint"),
    }
}

/// Ends some of what a removed endpoint was owed, in one commit; answers how many, 0 after the last.
pub fn bury(store: &mut dyn Store, now: Time, lane: EndpointId) -> Result<u64, Refused> {
    const AT_ONCE: u32 = 500;
    match one(store.apply(now, &[Command::Bury { lane, limit: AT_ONCE }])?) {
        Reply::Done(count) => Ok(count),
        other => unreachable!("{other:?} does not answer a burial"),
    }
}

/// The scheme that a key file of this profile has, where the profile leaves a choice to the flag that names it.
pub fn scheme_of(profile: ProfileName, asymmetric: bool) -> Result<Scheme, String> {
    match (profile, asymmetric) {
        (ProfileName::Ensuro, false) => Ok(Scheme::Hmac),
        (ProfileName::Ensuro, true) => Ok(Scheme::Eip191),
        (ProfileName::Standard, false) => Ok(Scheme::V1),
        (ProfileName::Standard, true) => Ok(Scheme::V1a),
        (ProfileName::Octamile, _) => {
            Err("octamile notifications are not signed; leave out the secret and the key".to_owned())
        }
    }
}

/// What is to be different about an endpoint. `None` leaves a thing as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    pub url: Option<String>,
    pub subscriptions: Option<Vec<Subscription>>,
    pub overrides: OverridesEdit,
}

/// `Some(None)`: as the profile says again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverridesEdit {
    pub timeout: Option<Option<Span>>,
    pub schedule: Option<Option<Vec<Span>>>,
    pub success: Option<Option<Success>>,
    pub signature_header: Option<Option<String>>,
    /// All of them, instead of all that there were.
    pub headers: Option<Vec<(String, String)>>,
    pub concurrency: Option<Option<u32>>,
    pub rate: Option<Option<u32>>,
}

impl OverridesEdit {
    fn over(&self, old: &Overrides) -> Overrides {
        Overrides {
            timeout: self.timeout.unwrap_or(old.timeout),
            schedule: self.schedule.clone().unwrap_or_else(|| old.schedule.clone()),
            success: self.success.clone().unwrap_or_else(|| old.success.clone()),
            signature_header: self.signature_header.clone().unwrap_or_else(|| old.signature_header.clone()),
            headers: self.headers.clone().unwrap_or_else(|| old.headers.clone()),
            concurrency: self.concurrency.unwrap_or(old.concurrency),
            rate: self.rate.unwrap_or(old.rate),
        }
    }
}

/// Checks the endpoint as it will be against every rule, then stores it. Attempts that begin later follow it, also those
/// of what is owed already.
pub fn edit_endpoint(
    store: &mut dyn Store,
    rules: &Rules,
    now: Time,
    name: &EndpointName,
    edit: &Edit,
) -> Result<Endpoint, Refused> {
    let old = endpoint(store, name)?;
    let wished = NewEndpoint {
        name: name.clone(),
        url: edit.url.clone().unwrap_or_else(|| old.url.clone()),
        profile: old.profile,
        subscriptions: edit.subscriptions.clone().unwrap_or_else(|| old.subscriptions.clone()),
        overrides: edit.overrides.over(&old.overrides),
        keys: lasting(&old.keys),
    };
    let url = check_endpoint(rules, &wished)?;
    let edit = EndpointEdit {
        url: Some(url),
        subscriptions: Some(wished.subscriptions),
        overrides: Some(wished.overrides),
        keys: None,
    };
    change(store, now, &old, Command::EditEndpoint { endpoint: old.id, edit })
}

/// Nothing is sent to it from now on, and what it is owed waits. Attempts in flight end as they would.
pub fn pause_endpoint(store: &mut dyn Store, now: Time, name: &EndpointName) -> Result<Endpoint, Refused> {
    let known = endpoint(store, name)?;
    if let EndpointState::Disabled { reason, .. } = &known.state {
        return Err(Refused::Conflict(format!("endpoint {name} is disabled, as it {reason}: nothing is sent to it")));
    }
    change(store, now, &known, Command::Pause(known.id))
}

/// What it is owed is sent again, whether a person paused it or it disabled itself. What was ended because it disabled itself
/// stays ended; a replay begins it anew.
pub fn resume_endpoint(store: &mut dyn Store, now: Time, name: &EndpointName) -> Result<Endpoint, Refused> {
    let known = endpoint(store, name)?;
    change(store, now, &known, Command::Resume(known.id))
}

/// The new keys sign from now on, also what is owed already. Of the old ones those with the scheme of a new one go on
/// signing beside it for `overlap`, where the scheme allows several signatures (Standard Webhooks); Ensuro's header holds one,
/// so there an old key ends at once.
pub fn rotate_keys(
    store: &mut dyn Store,
    now: Time,
    name: &EndpointName,
    new: Vec<Key>,
    overlap: Span,
) -> Result<Endpoint, Refused> {
    let known = endpoint(store, name)?;
    if new.is_empty() {
        return Err(Refused::Invalid("a rotation needs a new secret or key".to_owned()));
    }
    if overlap < Span::ZERO || overlap > LONGEST_OVERLAP {
        return Err(Refused::Invalid(format!("the overlap must be from 0 to {LONGEST_OVERLAP}, not {overlap}")));
    }
    let mut keys = new;
    if known.profile == ProfileName::Standard {
        let schemes: Vec<Scheme> = keys.iter().map(|key| key.scheme).collect();
        let (replaced, kept): (Vec<Key>, Vec<Key>) =
            known.keys.iter().cloned().partition(|key| schemes.contains(&key.scheme));
        if let Some(double) = keys.iter().find(|key| replaced.iter().any(|old| old.secret == key.secret)) {
            return Err(Refused::Conflict(format!("{name} has this {} key already; make a new one", double.scheme)));
        }
        let until = now + overlap;
        let retired =
            replaced.into_iter().map(|key| Key { until: Some(key.until.map_or(until, |at| at.min(until))), ..key });
        keys.extend(retired.filter(|key| key.until.is_some_and(|at| at > now)));
        keys.extend(kept.into_iter().filter(|key| key.until.is_none_or(|at| at > now)));
    }
    signature::check_keys(provider::profile(known.profile).schemes, &lasting(&keys)).map_err(Refused::Invalid)?;
    let edit = EndpointEdit { keys: Some(keys), ..EndpointEdit::default() };
    change(store, now, &known, Command::EditEndpoint { endpoint: known.id, edit })
}

/// The longest time for which an old key goes on signing beside a new one.
const LONGEST_OVERLAP: Span = Span::from_hours(24 * 30);

/// The keys that are not on their way out.
fn lasting(keys: &[Key]) -> Vec<Key> {
    keys.iter().filter(|key| key.until.is_none()).cloned().collect()
}

/// A new shared secret for an endpoint of this profile, and the text that the receiver is given of it. 32 random bytes:
/// 64 hex digits for Ensuro, `whsec_` and base64 for Standard Webhooks.
pub fn generate(profile: ProfileName) -> Result<(Key, Zeroizing<String>), Refused> {
    let scheme = scheme_of(profile, false).map_err(Refused::Invalid)?;
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)
        .map_err(|error| Refused::Invalid(format!("the machine gives no random numbers: {error}")))?;
    let text = Zeroizing::new(match scheme {
        Scheme::V1 => format!("whsec_{}", STANDARD.encode(*bytes)),
        Scheme::Hmac | Scheme::Eip191 | Scheme::V1a => signature::hex(&*bytes),
    });
    let key = signature::read_key(scheme, text.as_bytes()).map_err(Refused::Invalid)?;
    Ok((key, text))
}

fn change(store: &mut dyn Store, now: Time, known: &Endpoint, command: Command) -> Result<Endpoint, Refused> {
    let gone = || Refused::Unknown(format!("{} was removed at this moment by another", known.label()));
    match one(store.apply(now, &[command])?) {
        Reply::Done(_) => store.endpoint(known.id)?.ok_or_else(gone),
        Reply::Refused(_) => Err(gone()),
        other => unreachable!("{other:?} does not answer a changed endpoint"),
    }
}
