//! Accepting events: every rule is asked before anything is stored, and the acknowledgement follows the commit.
//! Many events can go into one commit: each is checked by `Intake`, becomes one command, and is answered by the reply to
//! it. The same id, or the same idempotency key, gets the same answer and no second delivery.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Refused, Rules, one};
use crate::calendar::rfc3339;
use crate::config::nearest;
use crate::courier::guard;
use crate::delivery::DeliveryId;
use crate::endpoint::{Endpoint, EndpointId, EndpointName, EndpointState, Key, ProfileName};
use crate::event::{EventId, EventType};
use crate::provider;
use crate::request;
use crate::signature;
use crate::store::{Command, NewEvent, Recipients, Refusal, Reply, Store};
use crate::time::Time;
use crate::trace::TraceContext;

/// An event that somebody hands us.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The caller's idempotent id; made here if there is none.
    pub id: Option<EventId>,
    /// What else tells this request from others, so that it can be made again: see `idempotency_key`.
    pub idempotency_key: Option<[u8; 32]>,
    /// May be left out where the body names it and one profile is asked for.
    pub event_type: Option<EventType>,
    /// `application/json` if there is none.
    pub content_type: Option<String>,
    pub body: Arc<[u8]>,
    pub target: Target,
    /// The trace that the caller's request belongs to.
    pub trace: Option<TraceContext>,
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
    pub lane: EndpointId,
    /// The endpoint's name, or `one-off-ID`; `endpoint-ID` if the store did not tell it any more.
    pub endpoint: String,
}

/// What the store keeps of an idempotency key: two callers (`scope`, the name of an access token) may use the same text.
pub fn idempotency_key(scope: &str, text: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((scope.len() as u64).to_be_bytes());
    hash.update(scope);
    hash.update(text);
    hash.finalize().into()
}

/// Checks an event against every rule, then stores it with its deliveries in one durable commit.
///
/// An id that is there already is answered before any rule is asked: what was accepted once stays accepted, whatever became
/// of its endpoint or of the rules since.
pub fn enqueue(store: &mut dyn Store, rules: &Rules, now: Time, asked: Submission) -> Result<Accepted, Refused> {
    let mut intake = Intake::new(rules);
    match intake.check(store, asked)? {
        Checked::Known(accepted) => Ok(accepted),
        Checked::New(new) => {
            let reply = one(store.apply(now, new.command.as_slice())?);
            intake.accepted(store, &new, reply)
        }
    }
}

/// The checks of the events that go into one commit. What it looked up once it does not ask the store again, so it must
/// not outlive the commit.
pub struct Intake<'a> {
    rules: &'a Rules,
    all: Option<Rc<[Rc<Endpoint>]>>,
    named: HashMap<EndpointName, Rc<Endpoint>>,
    labels: HashMap<EndpointId, String>,
}

/// An event that no rule forbids.
pub enum Checked {
    /// It is on disk already: this is its answer.
    Known(Accepted),
    New(Box<New>),
}

/// An event that is to be stored.
pub struct New {
    /// To be applied; its reply goes to `Intake::accepted`. Whoever applies it may take it away.
    pub command: Option<Command>,
    id: EventId,
    event_type: EventType,
    by_key: bool,
    warnings: Vec<String>,
}

impl<'a> Intake<'a> {
    pub fn new(rules: &'a Rules) -> Self {
        Intake { rules, all: None, named: HashMap::new(), labels: HashMap::new() }
    }

    /// Asks every rule; stores nothing.
    pub fn check(&mut self, store: &mut dyn Store, mut asked: Submission) -> Result<Checked, Refused> {
        let by_key = self.find_by_key(store, &mut asked)?;
        if let Some(accepted) = self.known(store, &asked, by_key)? {
            return Ok(Checked::Known(accepted));
        }
        let most = self.rules.max_body_bytes;
        if asked.body.len() > most {
            let text =
                format!("the body has {} bytes, more than store.max_body_bytes = {most} allows", asked.body.len());
            return Err(Refused::TooLarge(text));
        }
        let content_type = asked.content_type.clone().unwrap_or_else(|| "application/json".to_owned());
        request::check_content_type(&content_type).map_err(Refused::Invalid)?;
        let candidates = self.candidates(store, &asked.target)?;
        let event_type = event_type(&asked, &candidates)?;
        let (recipients, checked) = recipients(self.rules, &asked, &event_type, &candidates)?;
        let (digest, fingerprint) = (signature::digest(&asked.body), fingerprint(&asked));
        let id = asked.id.clone().unwrap_or_else(fresh_id);
        let command = Command::Enqueue(NewEvent {
            id: id.clone(),
            event_type: event_type.clone(),
            content_type,
            digest,
            recipients,
            fingerprint,
            once: checked.once,
            idempotency_key: asked.idempotency_key,
            trace: asked.trace,
            body: asked.body,
        });
        let new = New { command: Some(command), id, event_type, by_key, warnings: checked.warnings };
        Ok(Checked::New(Box::new(new)))
    }

    /// The acknowledgement of an event whose command got this reply.
    pub fn accepted(&mut self, store: &mut dyn Store, new: &New, reply: Reply) -> Result<Accepted, Refused> {
        self.answer(store, &new.id, new.event_type.clone(), reply, new.warnings.clone(), new.by_key)
    }

    /// An idempotency key that is known names the event that it made. Tells whether one was given.
    fn find_by_key(&mut self, store: &mut dyn Store, asked: &mut Submission) -> Result<bool, Refused> {
        let Some(key) = &asked.idempotency_key else { return Ok(false) };
        match (store.by_key(key)?, &asked.id) {
            (Some(event), Some(id)) if event != *id => return Err(key_taken(&event)),
            (Some(event), _) => asked.id = Some(event),
            (None, _) => {}
        }
        Ok(true)
    }

    /// The answer to an id that is there already.
    fn known(&mut self, store: &mut dyn Store, asked: &Submission, by_key: bool) -> Result<Option<Accepted>, Refused> {
        let Some(id) = &asked.id else { return Ok(None) };
        let digest = signature::digest(&asked.body);
        let Some(reply) = store.again(id, &fingerprint(asked), &digest)? else { return Ok(None) };
        let Some(event) = store.event(id)? else { return Ok(None) };
        self.answer(store, id, event.event_type, reply, Vec::new(), by_key).map(Some)
    }

    fn answer(
        &mut self,
        store: &mut dyn Store,
        id: &EventId,
        event_type: EventType,
        reply: Reply,
        warnings: Vec<String>,
        by_key: bool,
    ) -> Result<Accepted, Refused> {
        let enqueued = match reply {
            Reply::Enqueued(enqueued) => enqueued,
            Reply::Refused(refusal) => return Err(refused(id, refusal, by_key)),
            other => unreachable!("{other:?} does not answer an enqueue"),
        };
        let owed = |(delivery, lane)| Owed { delivery, lane, endpoint: self.label(store, lane) };
        let deliveries = enqueued.deliveries.into_iter().map(owed).collect();
        let (accepted_at, again) = (enqueued.accepted_at, enqueued.again);
        Ok(Accepted { event: enqueued.event, event_type, accepted_at, again, deliveries, warnings })
    }

    /// The event is on disk: a name that cannot be read now must not make it look refused.
    fn label(&mut self, store: &mut dyn Store, id: EndpointId) -> String {
        let read = || {
            let known = store.endpoint(id).ok().flatten();
            known.map_or_else(|| format!("endpoint-{}", id.0), |known| known.label())
        };
        self.labels.entry(id).or_insert_with(read).clone()
    }

    /// The registered endpoints that a target may mean.
    fn candidates(&mut self, store: &mut dyn Store, target: &Target) -> Result<Rc<[Rc<Endpoint>]>, Refused> {
        match target {
            Target::Subscribers => {
                if let Some(all) = &self.all {
                    return Ok(all.clone());
                }
                let all: Rc<[Rc<Endpoint>]> = store.endpoints()?.into_iter().map(Rc::new).collect();
                self.labels.extend(all.iter().map(|endpoint| (endpoint.id, endpoint.label())));
                self.all = Some(all.clone());
                Ok(all)
            }
            Target::Endpoints(names) => names.iter().map(|name| self.one_named(store, name)).collect(),
            Target::OneOff { .. } => Ok([].into()),
        }
    }

    fn one_named(&mut self, store: &mut dyn Store, name: &EndpointName) -> Result<Rc<Endpoint>, Refused> {
        let known = match self.named.get(name) {
            Some(known) => known.clone(),
            None => {
                let known = Rc::new(endpoint(store, name)?);
                self.labels.insert(known.id, known.label());
                self.named.insert(name.clone(), known.clone());
                known
            }
        };
        match &known.state {
            EndpointState::Disabled { since, reason } => Err(Refused::Conflict(format!(
                "endpoint {name} is disabled since {}: it {reason}; `postrider endpoint resume {name}` makes it active again",
                rfc3339(*since)
            ))),
            EndpointState::Active | EndpointState::Paused { .. } | EndpointState::Removed { .. } => Ok(known),
        }
    }
}

/// A time-sorted id, so that the index of ids grows at its end.
pub(super) fn fresh_id() -> EventId {
    EventId::parse(&format!("msg_{}", Uuid::now_v7().simple())).expect("hex digits fit an id")
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

fn event_type(asked: &Submission, known: &[Rc<Endpoint>]) -> Result<EventType, Refused> {
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
    known: &[Rc<Endpoint>],
) -> Result<(Recipients, provider::Checked), Refused> {
    if let Target::OneOff { url, profile, keys } = &asked.target {
        let url = guard::check_url(url, &rules.safety).map_err(Refused::Invalid)?;
        signature::check_keys(provider::profile(*profile).schemes, keys).map_err(Refused::Invalid)?;
        let checked = check(*profile, event_type, &asked.body)?;
        return Ok((Recipients::OneOff { profile: *profile, url: url.to_string(), keys: keys.clone() }, checked));
    }
    let asked_for_all = asked.target == Target::Subscribers;
    let is_owed = |endpoint: &&Rc<Endpoint>| {
        let serves = matches!(endpoint.state, EndpointState::Active | EndpointState::Paused { .. });
        let subscribed = serves && endpoint.name.is_some();
        !asked_for_all || (subscribed && provider::is_owed(endpoint, event_type))
    };
    let owed: Vec<&Rc<Endpoint>> = known.iter().filter(is_owed).collect();
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

fn refused(id: &EventId, refusal: Refusal, by_key: bool) -> Refused {
    match refusal {
        Refusal::IdTaken { .. } if by_key => key_taken(id),
        Refusal::KeyTaken { event } => key_taken(&event),
        Refusal::IdTaken { accepted_at, same_body } => {
            let other = if same_body { "the same body with another type or target" } else { "another body" };
            Refused::Taken(format!(
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
        Refusal::NameTaken | Refusal::NoSuchEndpoint | Refusal::NoSuchDelivery | Refusal::NoSuchToken => {
            unreachable!("an enqueue is not refused with {refusal:?}")
        }
    }
}

fn key_taken(event: &EventId) -> Refused {
    Refused::KeyTaken(format!(
        "the idempotency key was used for another request, which made {event}; that event stands, this one is not stored"
    ))
}
