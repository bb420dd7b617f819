//! What each command does to the state: all checks first, then all changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Kept, Row, State};
use crate::delivery::{DeadReason, Delivery, DeliveryId, DeliveryState, Lease, Outcome, StateName, Token, Verdict};
use crate::endpoint::{Endpoint, EndpointId, EndpointState, Overrides};
use crate::event::{Event, EventId, EventType};
use crate::schedule;
use crate::store::{
    BURIED, Command, Enqueued, LeaseRequest, Leased, NewEvent, Recipients, Record, Recorded, Refusal, Reply,
};
use crate::time::{Span, Time};

/// Why an endpoint is disabled that says it is gone for good.
const ANSWERED_GONE: &str = "answered 410";

impl State {
    pub(super) fn carry_out(&mut self, now: Time, command: &Command, handle: u64) -> Reply {
        match command {
            Command::Enqueue(new) => self.enqueue(now, new, handle).map_or_else(Reply::Refused, Reply::Enqueued),
            Command::Lease(request) => Reply::Leased(self.lease(now, request)),
            Command::Record(record) => Reply::Recorded(self.record(now, record)),
            Command::Release { delivery, token } => self.disturbed(|state| state.release(now, *delivery, *token)),
            Command::Recover => self.disturbed(|state| state.recover(now)),
            Command::Bury { lane, limit } => self.disturbed(|state| state.bury(now, *lane, *limit)),
            Command::Shift { by } => self.disturbed(|state| state.shift(now, *by)),
            Command::ExtendLeases { by } => self.disturbed(|state| state.extend_leases(now, *by)),
            Command::Prune { before, limit } => Reply::Done(self.prune(*before, *limit)),
            Command::AddEndpoint(new) => self.add_endpoint(now, new),
            Command::RemoveEndpoint(id) => self.remove_endpoint(now, *id),
            Command::EditEndpoint { endpoint, edit } => self.edit_endpoint(*endpoint, edit),
            Command::Pause(id) => self.pause(now, *id),
            Command::Resume(id) => self.resume(*id),
            Command::Retry { delivery, states, now_due } => self.retry(now, *delivery, states, *now_due),
            Command::Cancel { delivery } => self.cancel(now, *delivery),
            Command::AddToken { name, hash, scope } => self.add_token(now, name, *hash, *scope),
            Command::RemoveToken { name } => self.remove_token(name),
        }
    }

    /// Does something to deliveries that were already there; to how many, `change` says.
    fn disturbed(&mut self, change: impl FnOnce(&mut State) -> u64) -> Reply {
        let number = change(self);
        self.disturbances += u64::from(number > 0);
        Reply::Done(number)
    }

    fn enqueue(&mut self, now: Time, new: &NewEvent, handle: u64) -> Result<Enqueued, Refusal> {
        let came = new.idempotency_key.as_ref().and_then(|key| self.keyed(key));
        if let Some(kept) = came.filter(|kept| kept.event.id != new.id || kept.fingerprint != new.fingerprint) {
            return Err(Refusal::KeyTaken { event: kept.event.id.clone() });
        }
        if let Some(answer) = self.again(&new.id, &new.fingerprint, &new.digest) {
            return answer;
        }
        let fired = self.events.values().find(|kept| new.once.is_some() && kept.once == new.once);
        if let Some(kept) = fired {
            return Err(Refusal::FiredBefore { event: kept.event.id.clone() });
        }
        // The last check, for it makes a one-off endpoint where there is none.
        let endpoints = self.recipients(now, &new.recipients)?;
        let event = Arc::new(Event {
            id: new.id.clone(),
            event_type: new.event_type.clone(),
            content_type: new.content_type.clone(),
            body: Arc::clone(&new.body),
            digest: new.digest,
            accepted_at: now,
            trace: new.trace.clone(),
        });
        for endpoint in endpoints {
            self.last_delivery += 1;
            let id = DeliveryId(self.last_delivery);
            let state = DeliveryState::Pending { due_at: now, leased_at: None };
            let delivery = Delivery { id, endpoint, state, attempts: 0, earlier: 0 };
            self.deliveries.insert(id, Row { delivery, event: Arc::clone(&event), token: None, owner: handle });
        }
        self.last_event += 1;
        let number = self.last_event;
        let kept = Kept {
            event,
            number,
            fingerprint: new.fingerprint,
            once: new.once.clone(),
            idempotency_key: new.idempotency_key,
        };
        self.events.insert(new.id.clone(), kept);
        Ok(self.enqueued(&new.id, now, false))
    }

    /// The answer to an event whose id is there already.
    pub(super) fn again(
        &self,
        id: &EventId,
        fingerprint: &[u8; 32],
        digest: &[u8; 32],
    ) -> Option<Result<Enqueued, Refusal>> {
        let kept = self.events.get(id)?;
        let accepted_at = kept.event.accepted_at;
        Some(match kept.fingerprint == *fingerprint {
            true => Ok(self.enqueued(id, accepted_at, true)),
            false => Err(Refusal::IdTaken { accepted_at, same_body: kept.event.digest == *digest }),
        })
    }

    fn enqueued(&self, event: &EventId, accepted_at: Time, again: bool) -> Enqueued {
        let of_event = self.deliveries.values().filter(|row| row.event.id == *event);
        let deliveries = of_event.map(|row| (row.delivery.id, row.delivery.endpoint)).collect();
        Enqueued { event: event.clone(), accepted_at, deliveries, again }
    }

    /// Each endpoint once, in the order given.
    fn recipients(&mut self, now: Time, recipients: &Recipients) -> Result<Vec<EndpointId>, Refusal> {
        match recipients {
            Recipients::Endpoints(ids) => {
                if let Some(gone) = ids.iter().find(|id| !self.is_owed(**id)) {
                    return Err(Refusal::EndpointGone { endpoint: *gone });
                }
                let mut seen = BTreeSet::new();
                Ok(ids.iter().copied().filter(|id| seen.insert(*id)).collect())
            }
            Recipients::OneOff { profile, url, keys } => {
                let same = |endpoint: &Endpoint| {
                    let serves = endpoint.name.is_none() && endpoint.state.is_owed();
                    serves && endpoint.profile == *profile && endpoint.url == *url && endpoint.keys == *keys
                };
                if let Some(found) = self.endpoints.values().find(|endpoint| same(endpoint)) {
                    return Ok(vec![found.id]);
                }
                Ok(vec![self.insert_endpoint(|id| Endpoint {
                    id,
                    name: None,
                    url: url.clone(),
                    profile: *profile,
                    subscriptions: Vec::new(),
                    overrides: Overrides::default(),
                    keys: keys.clone(),
                    state: EndpointState::Active,
                    created_at: now,
                })])
            }
        }
    }

    /// Walks what is due in order, up to the first delivery that it may not take: what comes after that one waits for
    /// the next call, so that no call costs more than it was allowed.
    fn lease(&mut self, now: Time, request: &LeaseRequest) -> Leased {
        let mut leased = Leased::default();
        if !self.is_active(request.lane) {
            return leased;
        }
        let limit = request.limit as usize;
        let mut bytes = 0u64;
        for id in self.due(request.lane, now) {
            let row = &self.deliveries[&id];
            let used_up = row.delivery.scheduled_attempts() >= request.most_attempts;
            let with_this = bytes.saturating_add(row.event.body.len() as u64);
            let taken = if used_up { leased.used_up.len() } else { leased.leases.len() };
            if taken == limit || (!used_up && taken > 0 && with_this > request.bytes) {
                break;
            }
            if used_up {
                self.end(now, id, DeliveryState::Dead { at: now, reason: DeadReason::ScheduleUsedUp });
                leased.used_up.push(id);
                continue;
            }
            self.close_lease(now, id);
            let row = self.deliveries.get_mut(&id).expect("what is due is there");
            bytes = with_this;
            row.delivery.attempts += 1;
            row.delivery.state = DeliveryState::Pending { due_at: request.until, leased_at: Some(now) };
            row.token = Some(request.token);
            leased.leases.push(Lease {
                delivery: id,
                endpoint: request.lane,
                token: request.token,
                attempt: row.delivery.attempts,
                earlier: row.delivery.earlier,
                event: Arc::clone(&row.event),
            });
        }
        let in_lane = self.deliveries.values().filter(|row| row.delivery.endpoint == request.lane);
        leased.next_due = in_lane.filter_map(Row::due_at).min();
        leased
    }

    /// What is pending in a lane and due, by `due_at` and number; what is leased is due when its lease has ended.
    fn due(&self, lane: EndpointId, now: Time) -> Vec<DeliveryId> {
        let in_lane = self.deliveries.values().filter(|row| row.delivery.endpoint == lane);
        let pending = in_lane.filter_map(|row| Some((row.due_at()?, row.delivery.id)));
        let due: BTreeSet<(Time, DeliveryId)> = pending.filter(|(due_at, _)| *due_at <= now).collect();
        due.into_iter().map(|(_, id)| id).collect()
    }

    fn record(&mut self, now: Time, record: &Record) -> Recorded {
        if !self.deliveries.contains_key(&record.delivery) {
            return Recorded::Lost;
        }
        let attempt = &record.attempt;
        let place = (record.delivery, attempt.number);
        if attempt.outcome != Outcome::Unknown || !self.attempts.contains_key(&place) {
            self.attempts.insert(place, attempt.clone());
        }
        let recorded = self.decide(now, record);
        let state = self.deliveries[&record.delivery].delivery.state.name();
        self.log(now, record.delivery, Some(attempt.number), state);
        recorded
    }

    /// What an attempt that is kept means for its delivery.
    fn decide(&mut self, now: Time, record: &Record) -> Recorded {
        let id = record.delivery;
        let row = self.deliveries.get_mut(&id).expect("looked up just now");
        let attempt = &record.attempt;
        let delivered = DeliveryState::Delivered { at: attempt.finished_at };
        if row.token != Some(record.token) {
            let open = matches!(row.delivery.state.name(), StateName::Pending | StateName::Cancelled);
            let late = attempt.outcome.is_accepted() && open;
            if late {
                // Somebody else's attempt loses its lease by this: whatever becomes of it, it has an end on record.
                self.close_lease(now, id);
                self.deliveries.get_mut(&id).expect("looked up just now").settle(delivered);
            }
            return if late { Recorded::LateAccepted } else { Recorded::Lost };
        }
        row.settle(match record.verdict {
            Verdict::Delivered => delivered,
            Verdict::RetryAt(due_at) => DeliveryState::Pending { due_at, leased_at: None },
            Verdict::Dead(reason) => DeliveryState::Dead { at: attempt.finished_at, reason },
        });
        let endpoint = row.delivery.endpoint;
        if record.verdict == Verdict::Dead(DeadReason::EndpointGone) && self.is_owed(endpoint) {
            let gone = EndpointState::Disabled { since: now, reason: ANSWERED_GONE.to_owned() };
            self.set_endpoint_state(endpoint, gone);
        }
        Recorded::Counted
    }

    fn release(&mut self, now: Time, delivery: DeliveryId, token: Token) -> u64 {
        let Some(row) = self.deliveries.get_mut(&delivery).filter(|row| row.token == Some(token)) else {
            return 0;
        };
        row.delivery.attempts -= 1;
        row.settle(DeliveryState::Pending { due_at: now, leased_at: None });
        1
    }

    fn recover(&mut self, now: Time) -> u64 {
        let mut freed = 0;
        let ids: Vec<DeliveryId> = self.deliveries.keys().copied().collect();
        for id in ids {
            self.close_lease(now, id);
            let row = self.deliveries.get_mut(&id).expect("listed just now");
            if let Some(leased_at) = row.leased_at() {
                let of_it = self.attempts.range((id, row.delivery.earlier + 1)..=(id, u32::MAX));
                let unknown = of_it.rev().take_while(|(_, attempt)| attempt.outcome == Outcome::Unknown).count();
                let due_at = now.max(leased_at + schedule::after_unknown(unknown as u32));
                row.settle(DeliveryState::Pending { due_at, leased_at: None });
                freed += 1;
            } else if row.delivery.scheduled_attempts() == 0 && row.due_at().is_some_and(|due_at| due_at > now) {
                row.settle(DeliveryState::Pending { due_at: now, leased_at: None });
            }
        }
        freed
    }

    fn bury(&mut self, now: Time, lane: EndpointId, limit: u32) -> u64 {
        if self.is_owed(lane) {
            return 0;
        }
        let in_lane = self.deliveries.values().filter(|row| row.delivery.endpoint == lane);
        // An attempt in flight may still be accepted, so its delivery waits until the lease ends.
        let idle = in_lane.filter(|row| row.leased_at().is_none() || row.due_at().is_some_and(|end| end <= now));
        let order: BTreeSet<_> = idle.filter_map(|row| Some((row.due_at()?, row.delivery.id))).collect();
        let buried: Vec<DeliveryId> = order.into_iter().take(limit as usize).map(|(_, id)| id).collect();
        for id in &buried {
            self.end(now, *id, DeliveryState::Dead { at: now, reason: BURIED });
        }
        buried.len() as u64
    }

    fn shift(&mut self, now: Time, by: Span) -> u64 {
        let mut moved = 0;
        for row in self.deliveries.values_mut() {
            let never_tried = row.delivery.scheduled_attempts() == 0;
            let DeliveryState::Pending { due_at, .. } = &mut row.delivery.state else { continue };
            if never_tried || *due_at <= now {
                moved += u64::from(*due_at > now + by);
                *due_at = (*due_at).min(now + by);
            } else {
                *due_at = *due_at + by;
                moved += 1;
            }
        }
        moved
    }

    fn extend_leases(&mut self, now: Time, by: Span) -> u64 {
        let mut extended = 0;
        for row in self.deliveries.values_mut().filter(|row| row.token.is_some()) {
            let DeliveryState::Pending { due_at, .. } = &mut row.delivery.state else { continue };
            if *due_at > now {
                *due_at = *due_at + by;
                extended += 1;
            }
        }
        extended
    }

    fn prune(&mut self, before: Time, limit: u32) -> u64 {
        let owing = self.deliveries.values().filter(|row| row.due_at().is_some());
        let owing: BTreeSet<&EventId> = owing.map(|row| &row.event.id).collect();
        let settled = self.events.values().filter(|kept| !owing.contains(&kept.event.id));
        let old = settled.filter(|kept| kept.event.accepted_at < before);
        let order: BTreeMap<(Time, &EventType, i64), EventId> = old
            .map(|kept| ((kept.event.accepted_at, &kept.event.event_type, kept.number), kept.event.id.clone()))
            .collect();
        let doomed: BTreeSet<EventId> = order.into_values().take(limit as usize).collect();
        self.events.retain(|id, _| !doomed.contains(id));
        self.deliveries.retain(|_, row| !doomed.contains(&row.event.id));
        self.attempts.retain(|(delivery, _), _| self.deliveries.contains_key(delivery));

        let served: BTreeSet<EndpointId> = self.deliveries.values().map(|row| row.delivery.endpoint).collect();
        let endpoints = self.endpoints.len();
        self.endpoints.retain(|id, endpoint| endpoint.name.is_some() || served.contains(id));
        self.disturbances += u64::from(self.endpoints.len() < endpoints);
        doomed.len() as u64
    }

    pub(super) fn insert_endpoint(&mut self, make: impl FnOnce(EndpointId) -> Endpoint) -> EndpointId {
        self.last_endpoint += 1;
        self.disturbances += 1;
        let id = EndpointId(self.last_endpoint);
        self.endpoints.insert(id, make(id));
        id
    }

    pub(super) fn set_endpoint_state(&mut self, id: EndpointId, state: EndpointState) {
        self.endpoints.get_mut(&id).expect("looked up just now").state = state;
        self.disturbances += 1;
    }
}
