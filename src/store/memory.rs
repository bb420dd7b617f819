//! The store in memory: the reference that says, as plainly as possible, what every store does.
//! All of it is maps, and every question a scan, so it is for tests and small simulations; nothing outlives the last
//! handle. A command checks everything before it changes anything, so a refusal has nothing to undo, and since nothing
//! here can fail halfway a batch is whole without copies.

mod by_hand;
mod commands;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{
    Changes, Command, Counts, Filter, LaneDue, Listed, LoggedOutcome, OUTCOMES_KEPT, OUTCOMES_STEP, Outcomes, Page,
    Reply, Store, StoreError,
};
use crate::access::AccessToken;
use crate::delivery::{Attempt, Delivery, DeliveryId, DeliveryState, Outcome, StateName, Timings, Token};
use crate::endpoint::{Endpoint, EndpointId, EndpointName, EndpointState};
use crate::event::{Event, EventId};
use crate::time::Time;

/// One handle on a store in memory. Each tracks its own `changes`, as another process would.
pub struct MemoryStore {
    shared: Arc<Mutex<State>>,
    /// Tells this handle's deliveries from those of others.
    handle: u64,
    /// What this handle knows of; `None` until it has asked for the first time.
    known: Option<Known>,
}

/// How far one handle has read.
#[derive(Clone, Copy)]
struct Known {
    delivery: i64,
    disturbances: u64,
}

impl MemoryStore {
    /// A handle on a new, empty store.
    pub fn new() -> Self {
        MemoryStore { shared: Arc::default(), handle: 0, known: None }
    }

    /// Another handle on the same store.
    pub fn another(&self) -> Self {
        let mut state = self.state();
        state.last_handle += 1;
        MemoryStore { shared: Arc::clone(&self.shared), handle: state.last_handle, known: None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().expect("no handle panicked halfway through a batch")
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new()
    }
}

impl Store for MemoryStore {
    fn apply(&mut self, now: Time, commands: &[Command]) -> Result<Vec<Reply>, StoreError> {
        let mut state = self.state();
        let before = state.disturbances;
        let replies = commands.iter().map(|command| state.carry_out(now, command, self.handle)).collect();
        let own = state.disturbances - before;
        drop(state);
        if let Some(known) = &mut self.known {
            known.disturbances += own;
        }
        Ok(replies)
    }

    fn lanes(&mut self) -> Result<Vec<LaneDue>, StoreError> {
        Ok(earliest_by_lane(self.state().deliveries.values()))
    }

    fn changes(&mut self) -> Result<Changes, StoreError> {
        let state = self.state();
        let is = Known { delivery: state.last_delivery, disturbances: state.disturbances };
        let was = self.known.unwrap_or(is);
        let new = state.deliveries.values().filter(|row| row.delivery.id.0 > was.delivery && row.owner != self.handle);
        let changes = Changes { lanes: earliest_by_lane(new), all: is.disturbances != was.disturbances };
        drop(state);
        self.known = Some(is);
        Ok(changes)
    }

    fn endpoints(&mut self) -> Result<Vec<Endpoint>, StoreError> {
        let state = self.state();
        let owed =
            |id: EndpointId| state.deliveries.values().any(|row| row.delivery.endpoint == id && row.due_at().is_some());
        let shown = |endpoint: &&Endpoint| !is_removed(endpoint) && (endpoint.name.is_some() || owed(endpoint.id));
        Ok(state.endpoints.values().filter(shown).cloned().collect())
    }

    fn endpoint(&mut self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.state().endpoints.get(&id).cloned())
    }

    fn endpoint_named(&mut self, name: &EndpointName) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.state().endpoint_named(name).cloned())
    }

    fn again(&mut self, id: &EventId, fingerprint: &[u8; 32], digest: &[u8; 32]) -> Result<Option<Reply>, StoreError> {
        Ok(self.state().again(id, fingerprint, digest).map(|answer| match answer {
            Ok(enqueued) => Reply::Enqueued(enqueued),
            Err(refusal) => Reply::Refused(refusal),
        }))
    }

    fn event(&mut self, id: &EventId) -> Result<Option<Event>, StoreError> {
        Ok(self.state().events.get(id).map(|kept| Event::clone(&kept.event)))
    }

    /// Another handle may change it in between: the reference is for those who take turns.
    fn at_one_moment(&mut self, questions: &mut dyn FnMut(&mut dyn Store)) -> Result<(), StoreError> {
        questions(self);
        Ok(())
    }

    fn deliveries(&mut self, filter: &Filter, page: Page) -> Result<Vec<Listed>, StoreError> {
        let state = self.state();
        let newest_first = state.deliveries.values().rev();
        let below = newest_first.filter(|row| page.before.is_none_or(|before| row.delivery.id < before));
        Ok(below.filter(|row| row.passes(filter)).take(page.limit as usize).map(Row::listed).collect())
    }

    fn attempts(&mut self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        Ok(self.state().attempts.range((delivery, 0)..=(delivery, u32::MAX)).map(|(_, kept)| kept.clone()).collect())
    }

    fn tokens(&mut self) -> Result<Vec<AccessToken>, StoreError> {
        Ok(self.state().tokens.values().cloned().collect())
    }

    fn by_key(&mut self, key: &[u8; 32]) -> Result<Option<EventId>, StoreError> {
        Ok(self.state().keyed(key).map(|kept| kept.event.id.clone()))
    }

    fn outcomes(&mut self, after: i64, limit: u32) -> Result<Outcomes, StoreError> {
        let state = self.state();
        let last = state.last_outcome;
        let first_kept = state.log.keys().next().copied().unwrap_or(last + 1);
        let newer = state.log.iter().filter(|(seq, _)| **seq > after);
        let list = newer.filter_map(|(seq, entry)| state.logged(*seq, entry)).take(limit as usize).collect();
        Ok(Outcomes { first_kept, last, list })
    }

    fn counts(&mut self, now: Time) -> Result<Counts, StoreError> {
        let state = self.state();
        let mut counts = Counts { events: state.events.len() as u64, ..Counts::default() };
        for row in state.deliveries.values() {
            match row.delivery.state {
                DeliveryState::Pending { due_at, leased_at } => {
                    counts.pending += 1;
                    if leased_at.is_some() {
                        counts.leased += 1;
                    } else if due_at <= now {
                        counts.due += 1;
                        counts.oldest_due = earlier(counts.oldest_due, due_at);
                    } else {
                        counts.next_due = earlier(counts.next_due, due_at);
                    }
                }
                DeliveryState::Delivered { .. } => counts.delivered += 1,
                DeliveryState::Dead { .. } => counts.dead += 1,
                DeliveryState::Cancelled { .. } => counts.cancelled += 1,
            }
        }
        Ok(counts)
    }
}

/// What all handles share. The numbers only ever grow: a late outcome must never meet another delivery under its
/// number.
#[derive(Default)]
struct State {
    endpoints: BTreeMap<EndpointId, Endpoint>,
    events: BTreeMap<EventId, Kept>,
    deliveries: BTreeMap<DeliveryId, Row>,
    attempts: BTreeMap<(DeliveryId, u32), Attempt>,
    tokens: BTreeMap<String, AccessToken>,
    /// The outcome log by its numbers.
    log: BTreeMap<i64, Entry>,
    last_outcome: i64,
    last_endpoint: i64,
    last_event: i64,
    last_delivery: i64,
    last_handle: u64,
    /// How often endpoints, or deliveries that were already there, changed under those who look on.
    disturbances: u64,
}

/// An event and what its id stands for.
struct Kept {
    event: Arc<Event>,
    /// Counts up in the order of acceptance.
    number: i64,
    fingerprint: [u8; 32],
    once: Option<String>,
    idempotency_key: Option<[u8; 32]>,
}

/// One entry of the outcome log.
struct Entry {
    at: Time,
    delivery: DeliveryId,
    attempt: Option<u32>,
    state: StateName,
}

/// A delivery and what only the store knows of it.
struct Row {
    delivery: Delivery,
    event: Arc<Event>,
    /// Set exactly while the delivery is leased.
    token: Option<Token>,
    /// The handle that enqueued it.
    owner: u64,
}

impl State {
    fn endpoint_named(&self, name: &EndpointName) -> Option<&Endpoint> {
        self.endpoints.values().find(|endpoint| endpoint.name.as_ref() == Some(name) && !is_removed(endpoint))
    }

    fn is_active(&self, id: EndpointId) -> bool {
        self.endpoints.get(&id).is_some_and(|endpoint| endpoint.state == EndpointState::Active)
    }

    /// Active, or paused.
    fn is_owed(&self, id: EndpointId) -> bool {
        self.endpoints.get(&id).is_some_and(|endpoint| endpoint.state.is_owed())
    }

    fn keyed(&self, key: &[u8; 32]) -> Option<&Kept> {
        self.events.values().find(|kept| kept.idempotency_key.as_ref() == Some(key))
    }

    fn log(&mut self, at: Time, delivery: DeliveryId, attempt: Option<u32>, state: StateName) {
        self.last_outcome += 1;
        self.log.insert(self.last_outcome, Entry { at, delivery, attempt, state });
        if self.last_outcome % OUTCOMES_STEP == 0 {
            self.log = self.log.split_off(&(self.last_outcome - OUTCOMES_KEPT + 1));
        }
    }

    /// `None` if the delivery was pruned.
    fn logged(&self, seq: i64, entry: &Entry) -> Option<LoggedOutcome> {
        let row = self.deliveries.get(&entry.delivery)?;
        let attempt = entry.attempt.and_then(|number| self.attempts.get(&(entry.delivery, number)));
        Some(LoggedOutcome {
            seq,
            at: entry.at,
            delivery: entry.delivery,
            event: row.event.id.clone(),
            event_type: row.event.event_type.clone(),
            endpoint: row.delivery.endpoint,
            attempt: attempt.map(|attempt| Attempt { answer: Vec::new(), ..attempt.clone() }),
            state: entry.state,
        })
    }

    /// Nobody will tell any more how the attempt in flight went, unless it was recorded late.
    fn close_lease(&mut self, now: Time, id: DeliveryId) {
        let row = &self.deliveries[&id];
        let Some(started_at) = row.leased_at() else { return };
        let number = row.delivery.attempts;
        if self.attempts.contains_key(&(id, number)) {
            return;
        }
        let attempt = Attempt {
            number,
            started_at,
            finished_at: now,
            timings: Timings::default(),
            remote: None,
            resent: false,
            outcome: Outcome::Unknown,
            answer: Vec::new(),
            location: None,
        };
        self.attempts.insert((id, number), attempt);
        self.log(now, id, Some(number), StateName::Pending);
    }

    /// Ends a delivery without an attempt.
    fn end(&mut self, now: Time, id: DeliveryId, state: DeliveryState) {
        self.close_lease(now, id);
        self.deliveries.get_mut(&id).expect("looked up just now").settle(state);
        self.log(now, id, None, state.name());
    }
}

impl Row {
    /// `None` once it has ended.
    fn due_at(&self) -> Option<Time> {
        match self.delivery.state {
            DeliveryState::Pending { due_at, .. } => Some(due_at),
            DeliveryState::Delivered { .. } | DeliveryState::Dead { .. } | DeliveryState::Cancelled { .. } => None,
        }
    }

    fn leased_at(&self) -> Option<Time> {
        match self.delivery.state {
            DeliveryState::Pending { leased_at, .. } => leased_at,
            DeliveryState::Delivered { .. } | DeliveryState::Dead { .. } | DeliveryState::Cancelled { .. } => None,
        }
    }

    /// Ends the lease, if there is one, in the state that follows it.
    fn settle(&mut self, state: DeliveryState) {
        self.delivery.state = state;
        self.token = None;
    }

    fn passes(&self, filter: &Filter) -> bool {
        filter.state.is_none_or(|state| self.delivery.state.name() == state)
            && filter.endpoint.is_none_or(|endpoint| self.delivery.endpoint == endpoint)
            && filter.event.as_ref().is_none_or(|event| self.event.id == *event)
            && filter.delivery.is_none_or(|delivery| self.delivery.id == delivery)
            && filter.event_type.as_ref().is_none_or(|wanted| wanted.covers(&self.event.event_type))
            && filter.since.is_none_or(|since| self.event.accepted_at >= since)
    }

    fn listed(&self) -> Listed {
        Listed {
            delivery: self.delivery.clone(),
            event: self.event.id.clone(),
            event_type: self.event.event_type.clone(),
            accepted_at: self.event.accepted_at,
            size: self.event.body.len() as u64,
        }
    }
}

fn is_removed(endpoint: &Endpoint) -> bool {
    matches!(endpoint.state, EndpointState::Removed { .. })
}

fn earliest_by_lane<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<LaneDue> {
    let mut earliest: BTreeMap<EndpointId, Time> = BTreeMap::new();
    for row in rows {
        if let Some(due_at) = row.due_at() {
            earliest.entry(row.delivery.endpoint).and_modify(|least| *least = due_at.min(*least)).or_insert(due_at);
        }
    }
    earliest.into_iter().map(|(lane, due_at)| LaneDue { lane, due_at }).collect()
}

fn earlier(known: Option<Time>, other: Time) -> Option<Time> {
    Some(known.map_or(other, |known| known.min(other)))
}
