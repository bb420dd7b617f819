//! What persons ask of endpoints, deliveries and tokens: all checks first, then all changes.

use super::{State, is_removed};
use crate::access::{AccessToken, Scope};
use crate::delivery::{DeliveryId, DeliveryState, StateName};
use crate::endpoint::{Endpoint, EndpointId, EndpointState};
use crate::store::{EndpointEdit, NewEndpoint, Refusal, Reply};
use crate::time::Time;

impl State {
    pub(super) fn add_endpoint(&mut self, now: Time, new: &NewEndpoint) -> Reply {
        if self.endpoint_named(&new.name).is_some() {
            return Reply::Refused(Refusal::NameTaken);
        }
        Reply::EndpointAdded(self.insert_endpoint(|id| Endpoint {
            id,
            name: Some(new.name.clone()),
            url: new.url.clone(),
            profile: new.profile,
            subscriptions: new.subscriptions.clone(),
            overrides: new.overrides.clone(),
            keys: new.keys.clone(),
            state: EndpointState::Active,
            created_at: now,
        }))
    }

    pub(super) fn remove_endpoint(&mut self, now: Time, id: EndpointId) -> Reply {
        if self.endpoints.get(&id).is_none_or(is_removed) {
            return Reply::Refused(Refusal::NoSuchEndpoint);
        }
        self.set_endpoint_state(id, EndpointState::Removed { since: now });
        self.endpoints.get_mut(&id).expect("looked up just now").keys.clear();
        Reply::Done(1)
    }

    pub(super) fn edit_endpoint(&mut self, id: EndpointId, edit: &EndpointEdit) -> Reply {
        let Some(endpoint) = self.endpoints.get_mut(&id).filter(|endpoint| !is_removed(endpoint)) else {
            return Reply::Refused(Refusal::NoSuchEndpoint);
        };
        let edit = edit.clone();
        endpoint.url = edit.url.unwrap_or_else(|| endpoint.url.clone());
        endpoint.subscriptions = edit.subscriptions.unwrap_or_else(|| endpoint.subscriptions.clone());
        endpoint.overrides = edit.overrides.unwrap_or_else(|| endpoint.overrides.clone());
        endpoint.keys = edit.keys.unwrap_or_else(|| endpoint.keys.clone());
        self.disturbances += 1;
        Reply::Done(1)
    }

    pub(super) fn pause(&mut self, now: Time, id: EndpointId) -> Reply {
        self.turn(id, |state| match state {
            EndpointState::Active => Some(EndpointState::Paused { since: now }),
            EndpointState::Paused { .. } | EndpointState::Disabled { .. } | EndpointState::Removed { .. } => None,
        })
    }

    pub(super) fn resume(&mut self, id: EndpointId) -> Reply {
        self.turn(id, |state| match state {
            EndpointState::Paused { .. } | EndpointState::Disabled { .. } => Some(EndpointState::Active),
            EndpointState::Active | EndpointState::Removed { .. } => None,
        })
    }

    /// Nothing changes in an endpoint that is as it was asked to be; one that is not there is refused.
    fn turn(&mut self, id: EndpointId, to: impl FnOnce(&EndpointState) -> Option<EndpointState>) -> Reply {
        let Some(endpoint) = self.endpoints.get(&id).filter(|endpoint| !is_removed(endpoint)) else {
            return Reply::Refused(Refusal::NoSuchEndpoint);
        };
        let Some(state) = to(&endpoint.state) else { return Reply::Done(0) };
        self.set_endpoint_state(id, state);
        Reply::Done(1)
    }

    pub(super) fn retry(&mut self, now: Time, id: DeliveryId, states: &[StateName], now_due: Time) -> Reply {
        let Some(row) = self.deliveries.get(&id) else { return Reply::Refused(Refusal::NoSuchDelivery) };
        let (state, endpoint) = (row.delivery.state.name(), row.delivery.endpoint);
        if row.leased_at().is_some() || !states.contains(&state) {
            return Reply::Done(0);
        }
        if !self.is_owed(endpoint) {
            return Reply::Refused(Refusal::EndpointGone { endpoint });
        }
        let row = self.deliveries.get_mut(&id).expect("looked up just now");
        row.delivery.state = DeliveryState::Pending { due_at: now_due, leased_at: None };
        if state != StateName::Pending {
            row.delivery.earlier = row.delivery.attempts;
            self.log(now, id, None, StateName::Pending);
        }
        self.disturbances += 1;
        Reply::Done(1)
    }

    pub(super) fn cancel(&mut self, now: Time, id: DeliveryId) -> Reply {
        let Some(row) = self.deliveries.get(&id) else { return Reply::Refused(Refusal::NoSuchDelivery) };
        if row.due_at().is_none() {
            return Reply::Done(0);
        }
        self.end(now, id, DeliveryState::Cancelled { at: now });
        self.disturbances += 1;
        Reply::Done(1)
    }

    pub(super) fn add_token(&mut self, now: Time, name: &str, hash: [u8; 32], scope: Scope) -> Reply {
        if self.tokens.values().any(|token| token.name == name || token.hash == hash) {
            return Reply::Refused(Refusal::NameTaken);
        }
        let token = AccessToken { name: name.to_owned(), hash, scope, created_at: now };
        self.tokens.insert(name.to_owned(), token);
        self.disturbances += 1;
        Reply::Done(1)
    }

    pub(super) fn remove_token(&mut self, name: &str) -> Reply {
        if self.tokens.remove(name).is_none() {
            return Reply::Refused(Refusal::NoSuchToken);
        }
        self.disturbances += 1;
        Reply::Done(1)
    }
}
