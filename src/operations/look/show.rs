//! An event, its deliveries and all their attempts.

use std::rc::Rc;

use super::{Endpoints, MOST_OF_AN_EVENT, Subject, attempts_allowed, of_subject, one};
use crate::delivery::{Attempt, Delivery, DeliveryId};
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::operations::Refused;
use crate::store::{Listed, Store};

#[derive(Clone, Debug)]
pub struct Shown {
    pub event: Event,
    /// All of the event's, oldest first, or the one that was asked for.
    pub deliveries: Vec<Owed>,
    /// The event has more deliveries than these.
    pub more: bool,
}

/// One delivery and what was tried.
#[derive(Clone, Debug)]
pub struct Owed {
    pub delivery: Delivery,
    pub endpoint: Rc<Endpoint>,
    /// How many attempts the endpoint's schedule allows.
    pub of: u32,
    /// Those that have ended, by number.
    pub attempts: Vec<Attempt>,
}

pub fn show(store: &mut dyn Store, subject: &Subject) -> Result<Shown, Refused> {
    let gone = || Refused::Unknown("it was deleted at this moment, as it ended long ago".to_owned());
    let id = match subject {
        Subject::Event(id) => id.clone(),
        Subject::Delivery(id) => one(store, *id)?.ok_or_else(gone)?.event,
    };
    let event = store.event(&id)?.ok_or_else(gone)?;
    let mut endpoints = Endpoints::default();
    let mut deliveries = Vec::new();
    for listed in of_subject(store, subject)? {
        deliveries.push(owed(store, &mut endpoints, listed)?);
    }
    let more = deliveries.len() == MOST_OF_AN_EVENT as usize;
    Ok(Shown { event, deliveries, more })
}

/// One delivery without its event; `None` if there is none. Cheap enough to be asked again and again.
pub fn delivery(store: &mut dyn Store, id: DeliveryId) -> Result<Option<Owed>, Refused> {
    match one(store, id)? {
        Some(listed) => owed(store, &mut Endpoints::default(), listed).map(Some),
        None => Ok(None),
    }
}

fn owed(store: &mut dyn Store, endpoints: &mut Endpoints, listed: Listed) -> Result<Owed, Refused> {
    let endpoint = endpoints.get(store, listed.delivery.endpoint)?;
    let of = attempts_allowed(&listed.delivery, &endpoint);
    let attempts = store.attempts(listed.delivery.id)?;
    Ok(Owed { delivery: listed.delivery, endpoint, of, attempts })
}
