//! What may be asked of postrider, whoever asks: the CLI today, the HTTP API beside it.
//! Everything is checked before anything is stored; a refusal is one sentence that says what is wrong and what to do.

pub mod look;

use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::calendar::rfc3339;
use crate::config::{Config, nearest};
use crate::courier::{self, guard};
use crate::delivery::DeliveryId;
use crate::endpoint::{Endpoint, EndpointId, EndpointName, EndpointState, Key, Overrides, ProfileName, Scheme};
use crate::event::{EventId, EventType, Subscription};
use crate::provider;
use crate::request;
use crate::schedule::Schedule;
use crate::signature;
use crate::store::{Command, NewEndpoint, NewEvent, Recipients, Refusal, Reply, Store, StoreError};
use crate::time::{Span, Time};

/// The limits that requests are held to.
#[derive(Clone, Debug)]
pub struct Rules {
    pub max_body_bytes: usize,
    /// Which URLs a delivery may go to.
    pub safety: courier::Settings,
}

impl Rules {
    pub fn of(config: &Config) -> Self {
        let safety = courier::Settings {
            allow_http: config.safety.allow_http,
            allow_addresses: config.safety.allow_addresses.clone(),
            connect_timeout: config.delivery.connect_timeout,
            ..courier::Settings::default()
        };
        Rules { max_body_bytes: config.store.max_body_bytes, safety }
    }
}

/// Why something was not done. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// What was asked for cannot be: a bad URL, key, type, body or id.
    #[error("{0}")]
    Invalid(String),
    /// It contradicts what is stored: an id, a name or a status that was used before.
    #[error("{0}")]
    Conflict(String),
    /// There is no such endpoint, event or delivery.
    #[error("{0}")]
    Unknown(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An event that somebody hands us.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The caller's idempotent id; made here if there is none.
    pub id: Option<EventId>,
    /// May be left out where the body names it and one profile is asked for.
    pub event_type: Option<EventType>,
    /// `application/json` if there is none.
    pub content_type: Option<String>,
    pub body: Arc<[u8]>,
    pub target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every active endpoint that is owed events of this type.
    Subscribers,
    Endpoints(Vec<EndpointName>),
    /// A URL that comes with the event.
    OneOff {
        url: String,
        profile: ProfileName,
        keys: Vec<Key>,
    },
}

/// The acknowledgement: the event and all its deliveries are on disk.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub event: EventId,
    pub event_type: EventType,
    pub accepted_at: Time,
    /// The id was known: this is the answer that it got the first time.
    pub again: bool,
    pub deliveries: Vec<Owed>,
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Owed {
    pub delivery: DeliveryId,
    /// The endpoint's name, or `one-off-ID`; `endpoint-ID` if the store did not tell it any more.
    pub endpoint: String,
}

/// Checks an event against every rule, then stores it with its deliveries in one durable commit.
///
/// An id that is there already is answered before any rule is asked: what was accepted once stays accepted, whatever became
/// of its endpoint or of the rules since.
pub fn enqueue(store: &mut dyn Store, rules: &Rules, now: Time, asked: Submission) -> Result<Accepted, Refused> {
    if let Some(accepted) = known(store, &asked)? {
        return Ok(accepted);
    }
    if asked.body.len() > rules.max_body_bytes {
        return Err(Refused::Invalid(format!(
            "the body has {} bytes, more than store.max_body_bytes = {} allows",
            asked.body.len(),
            rules.max_body_bytes
        )));
    }
    let content_type = asked.content_type.clone().unwrap_or_else(|| "application/json".to_owned());
    request::check_content_type(&content_type).map_err(Refused::Invalid)?;
    let known = match &asked.target {
        Target::Subscribers => store.endpoints()?,
        Target::Endpoints(names) => named(store, names)?,
        Target::OneOff { .. } => vec![],
    };
    let event_type = event_type(&asked, &known)?;
    let (recipients, checked) = recipients(rules, &asked, &event_type, &known)?;
    let (digest, fingerprint) = (signature::digest(&asked.body), fingerprint(&asked));
    let event = NewEvent {
        id: asked.id.clone().unwrap_or_else(fresh_id),
        event_type: event_type.clone(),
        content_type,
        digest,
        recipients,
        fingerprint,
        once: checked.once,
        idempotency_key: None,
        trace: None,
        body: asked.body,
    };
    let id = event.id.clone();
    let reply = one(store.apply(now, &[Command::Enqueue(event)])?);
    accepted(store, &id, event_type, reply, checked.warnings)
}

/// The answer to an id that is there already.
fn known(store: &mut dyn Store, asked: &Submission) -> Result<Option<Accepted>, Refused> {
    let Some(id) = &asked.id else { return Ok(None) };
    let digest = signature::digest(&asked.body);
    let Some(reply) = store.again(id, &fingerprint(asked), &digest)? else { return Ok(None) };
    let Some(event) = store.event(id)? else { return Ok(None) };
    accepted(store, id, event.event_type, reply, Vec::new()).map(Some)
}

fn accepted(
    store: &mut dyn Store,
    id: &EventId,
    event_type: EventType,
    reply: Reply,
    warnings: Vec<String>,
) -> Result<Accepted, Refused> {
    let enqueued = match reply {
        Reply::Enqueued(enqueued) => enqueued,
        Reply::Refused(refusal) => return Err(refused(id, refusal)),
        other => unreachable!("{other:?} does not answer an enqueue"),
    };
    // The event is on disk: a name that cannot be read now must not make it look refused.
    let mut owed = |(delivery, endpoint): (DeliveryId, EndpointId)| {
        let known = store.endpoint(endpoint).ok().flatten();
        Owed { delivery, endpoint: known.map_or_else(|| format!("endpoint-{}", endpoint.0), |known| known.label()) }
    };
    let deliveries = enqueued.deliveries.into_iter().map(&mut owed).collect();
    let (accepted_at, again) = (enqueued.accepted_at, enqueued.again);
    Ok(Accepted { event: id.clone(), event_type, accepted_at, again, deliveries, warnings })
}

/// A time-sorted id, so that the index of ids grows at its end.
fn fresh_id() -> EventId {
    EventId::parse(&format!("msg_{}", Uuid::now_v7().simple())).expect("hex digits fit an id")
}

fn named(store: &mut dyn Store, names: &[EndpointName]) -> Result<Vec<Endpoint>, Refused> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let endpoint = endpoint(store, name)?;
        if let EndpointState::Disabled { since, reason } = &endpoint.state {
            return Err(Refused::Conflict(format!(
                "endpoint {name} is disabled since {}: it {reason}; remove it and add it again to owe it more",
                rfc3339(*since)
            )));
        }
        found.push(endpoint);
    }
    Ok(found)
}

/// The registered endpoint of that name; if there is none, the refusal names the one that may have been meant.
pub fn endpoint(store: &mut dyn Store, name: &EndpointName) -> Result<Endpoint, Refused> {
    if let Some(endpoint) = store.endpoint_named(name)? {
        return Ok(endpoint);
    }
    let known = store.endpoints()?.into_iter().filter_map(|endpoint| Some(endpoint.name?.to_string()));
    Err(Refused::Unknown(match nearest(name.as_str(), known) {
        Some(near) => format!("there is no endpoint {name}; did you mean {near}?"),
        None => format!("there is no endpoint {name}; `postrider endpoint list` shows those there are"),
    }))
}

fn event_type(asked: &Submission, known: &[Endpoint]) -> Result<EventType, Refused> {
    if let Some(event_type) = &asked.event_type {
        return Ok(event_type.clone());
    }
    let profile = match &asked.target {
        Target::OneOff { profile, .. } => Some(*profile),
        Target::Endpoints(_) => known.first().map(|endpoint| endpoint.profile),
        Target::Subscribers => None,
    };
    profile.and_then(|profile| provider::type_of_body(profile, &asked.body)).ok_or_else(|| {
        Refused::Invalid(
            "the event has no type, and its body names none that is known; give one (policy/creation)".into(),
        )
    })
}

/// Who is owed the event, and what the payload rules of their profiles make of it.
fn recipients(
    rules: &Rules,
    asked: &Submission,
    event_type: &EventType,
    known: &[Endpoint],
) -> Result<(Recipients, provider::Checked), Refused> {
    if let Target::OneOff { url, profile, keys } = &asked.target {
        let url = guard::check_url(url, &rules.safety).map_err(Refused::Invalid)?;
        signature::check_keys(provider::profile(*profile).schemes, keys).map_err(Refused::Invalid)?;
        let checked = check(*profile, event_type, &asked.body)?;
        return Ok((Recipients::OneOff { profile: *profile, url: url.to_string(), keys: keys.clone() }, checked));
    }
    let asked_for_all = asked.target == Target::Subscribers;
    let is_owed = |endpoint: &&Endpoint| {
        let subscribed = endpoint.state.is_owed() && endpoint.name.is_some();
        !asked_for_all || (subscribed && provider::is_owed(endpoint, event_type))
    };
    let owed: Vec<&Endpoint> = known.iter().filter(is_owed).collect();
    let mut all = provider::Checked::default();
    for name in ProfileName::ALL {
        if owed.iter().any(|endpoint| endpoint.profile == name) {
            let checked = check(name, event_type, &asked.body)?;
            all.once = all.once.or(checked.once);
            all.warnings.extend(checked.warnings);
        }
    }
    all.warnings.sort();
    all.warnings.dedup();
    if owed.is_empty() {
        all.warnings.push(format!("no endpoint subscribes to {event_type}: the event is stored and owed to nobody"));
    }
    Ok((Recipients::Endpoints(owed.iter().map(|endpoint| endpoint.id).collect()), all))
}

fn check(profile: ProfileName, event_type: &EventType, body: &[u8]) -> Result<provider::Checked, Refused> {
    provider::check(profile, event_type, body).map_err(|what| Refused::Invalid(format!("{profile}: {what}")))
}

/// SHA-256 over all that the caller asked for. Each part is preceded by its length, so that no two requests collide.
fn fingerprint(asked: &Submission) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    add(asked.event_type.as_ref().map_or("", EventType::as_str).as_bytes());
    add(asked.content_type.as_deref().unwrap_or("").as_bytes());
    match &asked.target {
        Target::Subscribers => add(b"subscribers"),
        Target::Endpoints(names) => {
            add(b"endpoints");
            let mut names = names.clone();
            names.sort();
            names.dedup();
            names.iter().for_each(|name| add(name.as_str().as_bytes()));
        }
        Target::OneOff { url, profile, keys: _ } => {
            add(b"one-off");
            add(url.as_bytes());
            add(profile.as_str().as_bytes());
        }
    }
    add(&asked.body);
    hash.finalize().into()
}

fn refused(id: &EventId, refusal: Refusal) -> Refused {
    match refusal {
        Refusal::IdTaken { accepted_at, same_body } => {
            let other = if same_body { "the same body with another type or target" } else { "another body" };
            Refused::Conflict(format!(
                "the id {id} was used at {} for {other}; the event stored then stands, this one is not stored",
                rfc3339(accepted_at)
            ))
        }
        Refusal::FiredBefore { event } => Refused::Conflict(format!(
            "octamile fires on a status change only, and this consumer's transaction had this status in {event}; nothing \
             is stored (`postrider show {event}` tells what became of it)"
        )),
        Refusal::EndpointGone { .. } => {
            Refused::Conflict("an endpoint was removed or disabled at this moment; nothing is stored, try again".into())
        }
        Refusal::KeyTaken { event } => Refused::Conflict(format!(
            "the idempotency key was used for {event}, which was another request; nothing is stored"
        )),
        Refusal::NameTaken | Refusal::NoSuchEndpoint | Refusal::NoSuchDelivery | Refusal::NoSuchToken => {
            unreachable!("an enqueue names no new endpoint, no delivery and no token")
        }
    }
}

fn one(mut replies: Vec<Reply>) -> Reply {
    assert_eq!(replies.len(), 1, "one command has one reply");
    replies.remove(0)
}

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

fn check_overrides(overrides: &Overrides) -> Result<(), String> {
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
    const AT_ONCE: u32 = 1000;
    let endpoint = endpoint(store, name)?;
    match one(store.apply(now, &[Command::RemoveEndpoint(endpoint.id)])?) {
        Reply::Done(_) => {}
        Reply::Refused(_) => return Err(Refused::Unknown(format!("{name} was removed at this moment by another"))),
        other => unreachable!("{other:?} does not answer a removed endpoint"),
    }
    let mut ended = 0;
    loop {
        match one(store.apply(now, &[Command::Bury { lane: endpoint.id, limit: AT_ONCE }])?) {
            Reply::Done(0) => return Ok(ended),
            Reply::Done(count) => ended += count,
            other => unreachable!("{other:?} does not answer a burial"),
        }
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

/// What the daemon's lanes are called by in logs.
pub fn label(store: &mut dyn Store, id: EndpointId) -> Result<String, StoreError> {
    Ok(store.endpoint(id)?.map_or_else(|| format!("one-off-{}", id.0), |endpoint| endpoint.label()))
}
