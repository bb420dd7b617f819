//! Questions about what happened, what is owed and why; the answers are plain data, for whoever shows them.
//! Nothing here changes the store, and every question stays cheap however long the history is. The time, and whether
//! a daemon runs, are arguments. Foreign text stays as it is, except in sentences, where it is made plain.

pub mod advice;
pub mod gauges;
pub mod list;
pub mod outcomes;
pub mod show;
pub mod status;
pub mod timetable;
pub mod why;

use std::collections::HashMap;
use std::rc::Rc;

use super::Refused;
use crate::delivery::{Delivery, DeliveryId, StateName};
use crate::endpoint::{Endpoint, EndpointId, EndpointName};
use crate::event::EventId;
use crate::provider;
use crate::store::{Filter, Listed, Page, Store, StoreError};

/// What an id means that somebody asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Event(EventId),
    Delivery(DeliveryId),
}

/// Whether somebody works on the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Daemon {
    Runs {
        /// `None`: it holds the store, but it could not be read who it is.
        pid: Option<u32>,
    },
    Absent,
}

impl Daemon {
    /// From the process that holds the store, where 0 means that it could not be read which one it is.
    pub fn of(holder: Option<u32>) -> Self {
        match holder {
            Some(pid) => Daemon::Runs { pid: Some(pid).filter(|pid| *pid > 0) },
            None => Daemon::Absent,
        }
    }
}

/// `dlv_42` is a delivery; everything else, and a `dlv_42` that is none, is the id of an event.
pub fn find(store: &mut dyn Store, text: &str) -> Result<Subject, Refused> {
    let number = DeliveryId::parse(text);
    if let Some(id) = number
        && one(store, id)?.is_some()
    {
        return Ok(Subject::Delivery(id));
    }
    let event =
        EventId::parse(text).map_err(|what| Refused::Invalid(format!("{what}; a delivery is dlv_ and a number")))?;
    if known(store, &event)? {
        return Ok(Subject::Event(event));
    }
    Err(missing(store, text, number.is_some())?)
}

/// Asks several questions of one snapshot, so that their answers fit together whatever is recorded meanwhile.
pub fn at_one_moment<T>(store: &mut dyn Store, ask: impl FnOnce(&mut dyn Store) -> T) -> Result<T, StoreError> {
    let (mut ask, mut answer) = (Some(ask), None);
    store.at_one_moment(&mut |store| answer = ask.take().map(|ask| ask(store)))?;
    Ok(answer.expect("a store asks once"))
}

/// What is asked about if it is there; else the same refusal as `find` has.
pub fn there(store: &mut dyn Store, subject: Subject) -> Result<Subject, Refused> {
    let (found, text, is_delivery) = match &subject {
        Subject::Event(id) => (known(store, id)?, id.to_string(), false),
        Subject::Delivery(id) => (one(store, *id)?.is_some(), id.to_string(), true),
    };
    match found {
        true => Ok(subject),
        false => Err(missing(store, &text, is_delivery)?),
    }
}

fn missing(store: &mut dyn Store, text: &str, is_delivery: bool) -> Result<Refused, Refused> {
    let bare = DeliveryId::parse(&format!("dlv_{text}"));
    let meant = match bare {
        Some(id) if one(store, id)?.is_some() => format!("did you mean {id}?"),
        Some(_) | None => {
            "`postrider list` shows what there is; what ended long ago is deleted after store.keep_ended_days"
                .to_owned()
        }
    };
    let kind = if is_delivery { "delivery" } else { "event" };
    Ok(Refused::Unknown(format!("there is no {kind} {text}; {meant}")))
}

/// Whether there is such an event, without reading its body where it is owed to anybody.
fn known(store: &mut dyn Store, event: &EventId) -> Result<bool, StoreError> {
    let filter = Filter { event: Some(event.clone()), ..Filter::default() };
    let owed = store.deliveries(&filter, Page { before: None, limit: 1 })?;
    Ok(!owed.is_empty() || store.event(event)?.is_some())
}

fn one(store: &mut dyn Store, id: DeliveryId) -> Result<Option<Listed>, StoreError> {
    let filter = Filter { delivery: Some(id), ..Filter::default() };
    Ok(store.deliveries(&filter, Page { before: None, limit: 1 })?.pop())
}

/// The most deliveries of one event that an answer about it holds.
pub const MOST_OF_AN_EVENT: u32 = 1000;

/// The deliveries that are asked about, oldest first.
pub(super) fn of_subject(store: &mut dyn Store, subject: &Subject) -> Result<Vec<Listed>, StoreError> {
    let filter = match subject {
        Subject::Event(id) => Filter { event: Some(id.clone()), ..Filter::default() },
        Subject::Delivery(id) => Filter { delivery: Some(*id), ..Filter::default() },
    };
    let mut listed = store.deliveries(&filter, Page { before: None, limit: MOST_OF_AN_EVENT })?;
    listed.reverse();
    Ok(listed)
}

/// The endpoint that a name or `one-off-3` means. Fails with what there is instead.
pub fn endpoint(store: &mut dyn Store, text: &str) -> Result<Endpoint, Refused> {
    let one_off = text.strip_prefix("one-off-").and_then(|number| number.parse().ok());
    let found = match one_off {
        Some(number) => store.endpoint(EndpointId(number))?.filter(|endpoint| endpoint.name.is_none()),
        None => match EndpointName::parse(text) {
            Ok(name) => store.endpoint_named(&name)?,
            Err(what) => return Err(Refused::Invalid(what)),
        },
    };
    if let Some(endpoint) = found {
        return Ok(endpoint);
    }
    let labels: Vec<String> = store.endpoints()?.iter().map(Endpoint::label).collect();
    let near = labels
        .iter()
        .filter(|label| strsim::damerau_levenshtein(label, text) <= 2)
        .min_by_key(|label| strsim::damerau_levenshtein(label, text));
    let instead = match near {
        Some(label) => format!("did you mean {label}?"),
        None => "`postrider endpoint list` shows those there are".to_owned(),
    };
    Err(Refused::Unknown(format!("there is no endpoint {text}; {instead}")))
}

/// How many deliveries are pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub count: u64,
    /// They were not counted to the end.
    pub or_more: bool,
}

/// Above this many, what is pending is not counted to its end.
const MOST_COUNTED: u32 = 10_000;

/// How many deliveries an endpoint is owed.
pub fn pending(store: &mut dyn Store, endpoint: EndpointId) -> Result<Pending, StoreError> {
    let filter = Filter { endpoint: Some(endpoint), state: Some(StateName::Pending), ..Filter::default() };
    let count = store.deliveries(&filter, Page { before: None, limit: MOST_COUNTED })?.len();
    Ok(Pending { count: count as u64, or_more: count >= MOST_COUNTED as usize })
}

/// How many attempts there may be of a delivery: those before a person last asked to retry it, and a whole schedule.
fn attempts_allowed(delivery: &Delivery, endpoint: &Endpoint) -> u32 {
    delivery.earlier + provider::terms(endpoint.profile, &endpoint.overrides).schedule.attempts()
}

/// Endpoints that were looked up already.
#[derive(Default)]
pub(super) struct Endpoints(HashMap<EndpointId, Rc<Endpoint>>);

impl Endpoints {
    pub(super) fn get(&mut self, store: &mut dyn Store, id: EndpointId) -> Result<Rc<Endpoint>, StoreError> {
        if let Some(endpoint) = self.0.get(&id) {
            return Ok(endpoint.clone());
        }
        let endpoint = store.endpoint(id)?.map(Rc::new).ok_or_else(|| {
            StoreError::Unusable(format!("the store owes something to endpoint {}, which it does not hold", id.0))
        })?;
        self.0.insert(id, endpoint.clone());
        Ok(endpoint)
    }
}

/// A URL, or a part of one, without what its query may keep secret: `https://a.example/hook?token=***`.
pub fn redacted(url: &str) -> String {
    let (url, fragment) = url.split_once('#').map_or((url, ""), |(url, _)| (url, "#***"));
    let Some((path, query)) = url.split_once('?') else { return format!("{url}{fragment}") };
    let pair = |pair: &str| pair.split_once('=').map_or("***".to_owned(), |(name, _)| format!("{name}=***"));
    let pairs: Vec<String> = query.split('&').map(pair).collect();
    format!("{path}?{}{fragment}", pairs.join("&"))
}
