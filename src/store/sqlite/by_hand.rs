//! What persons ask of endpoints, deliveries and tokens, inside the transaction of a batch.

use rusqlite::params;

use super::codec;
use super::write::Batch;
use crate::access::Scope;
use crate::delivery::{DeliveryId, StateName};
use crate::endpoint::EndpointId;
use crate::store::{EndpointEdit, NewEndpoint, Refusal, Reply};
use crate::time::Time;

impl Batch<'_> {
    pub(super) fn add_endpoint(&mut self, endpoint: &NewEndpoint) -> rusqlite::Result<Reply> {
        let taken = self.one(
            "SELECT 1 FROM endpoint WHERE name = ?1 AND name IS NOT NULL AND state <> 'removed'",
            [endpoint.name.as_str()],
            |_| Ok(()),
        )?;
        if taken.is_some() {
            return Ok(Reply::Refused(Refusal::NameTaken));
        }
        let id = self.insert_endpoint(
            Some(endpoint.name.as_str()),
            &endpoint.url,
            endpoint.profile,
            &codec::subscriptions_text(&endpoint.subscriptions),
            &codec::overrides_text(&endpoint.overrides),
            &endpoint.keys,
        )?;
        Ok(Reply::EndpointAdded(id))
    }

    pub(super) fn remove_endpoint(&mut self, endpoint: EndpointId) -> rusqlite::Result<Reply> {
        let rows = self.run(
            "UPDATE endpoint SET state = 'removed', state_since = ?2, state_reason = NULL, paused_at = NULL
             WHERE id = ?1 AND state <> 'removed'",
            params![endpoint.0, self.now.ms()],
        )?;
        match rows {
            0 => Ok(Reply::Refused(Refusal::NoSuchEndpoint)),
            // The keys of a removed endpoint serve nothing any more.
            _ => {
                self.run("DELETE FROM key WHERE endpoint_id = ?1", [endpoint.0])?;
                Ok(self.changed(rows))
            }
        }
    }

    pub(super) fn edit_endpoint(&mut self, endpoint: EndpointId, edit: &EndpointEdit) -> rusqlite::Result<Reply> {
        let rows = self.run(
            "UPDATE endpoint SET url = coalesce(?2, url), subscriptions = coalesce(?3, subscriptions),
                 overrides = coalesce(seal_headers(?4, id), overrides)
             WHERE id = ?1 AND state <> 'removed'",
            params![
                endpoint.0,
                edit.url,
                edit.subscriptions.as_deref().map(codec::subscriptions_text),
                edit.overrides.as_ref().map(codec::overrides_text),
            ],
        )?;
        if rows == 0 {
            return Ok(Reply::Refused(Refusal::NoSuchEndpoint));
        }
        if let Some(keys) = &edit.keys {
            self.run("DELETE FROM key WHERE endpoint_id = ?1", [endpoint.0])?;
            self.insert_keys(endpoint, keys)?;
        }
        Ok(self.changed(rows))
    }

    pub(super) fn pause(&mut self, endpoint: EndpointId) -> rusqlite::Result<Reply> {
        let rows = self.run(
            "UPDATE endpoint SET paused_at = ?2 WHERE id = ?1 AND state = 'active' AND paused_at IS NULL",
            params![endpoint.0, self.now.ms()],
        )?;
        self.done_if_there(endpoint, rows)
    }

    pub(super) fn resume(&mut self, endpoint: EndpointId) -> rusqlite::Result<Reply> {
        let rows = self.run(
            "UPDATE endpoint SET state = 'active', state_since = ?2, state_reason = NULL, paused_at = NULL
             WHERE id = ?1 AND (state = 'disabled' OR paused_at IS NOT NULL)",
            params![endpoint.0, self.now.ms()],
        )?;
        self.done_if_there(endpoint, rows)
    }

    /// Nothing changes in an endpoint that is as it was asked to be; one that is not there is refused.
    fn done_if_there(&mut self, endpoint: EndpointId, rows: usize) -> rusqlite::Result<Reply> {
        let there =
            self.one("SELECT 1 FROM endpoint WHERE id = ?1 AND state <> 'removed'", [endpoint.0], |_| Ok(()))?;
        Ok(match there {
            Some(()) => self.changed(rows),
            None => Reply::Refused(Refusal::NoSuchEndpoint),
        })
    }

    pub(super) fn retry(
        &mut self,
        delivery: DeliveryId,
        states: &[StateName],
        now_due: Time,
    ) -> rusqlite::Result<Reply> {
        let found = self.one(
            "SELECT state, token IS NOT NULL, endpoint_id FROM delivery WHERE id = ?1",
            [delivery.0],
            |row| Ok((codec::state_name(row, "state")?, row.get::<_, bool>(1)?, EndpointId(row.get(2)?))),
        )?;
        let Some((state, leased, endpoint)) = found else { return Ok(Reply::Refused(Refusal::NoSuchDelivery)) };
        if leased || !states.contains(&state) {
            return Ok(Reply::Done(0));
        }
        if !self.is_owed(endpoint)? {
            return Ok(Reply::Refused(Refusal::EndpointGone { endpoint }));
        }
        self.tally.made_due(now_due);
        let rows = match state {
            StateName::Pending => {
                self.run("UPDATE delivery SET due_at = ?2 WHERE id = ?1", params![delivery.0, now_due.ms()])?
            }
            StateName::Delivered | StateName::Dead | StateName::Cancelled => {
                self.log(delivery, None, StateName::Pending)?;
                self.tally.moved(state, StateName::Pending);
                self.run(
                    "UPDATE delivery SET state = 'pending', due_at = ?2, earlier = attempts, ended_at = NULL, reason = NULL
                     WHERE id = ?1",
                    params![delivery.0, now_due.ms()],
                )?
            }
        };
        Ok(self.changed(rows))
    }

    pub(super) fn cancel(&mut self, delivery: DeliveryId) -> rusqlite::Result<Reply> {
        let found =
            self.one("SELECT state FROM delivery WHERE id = ?1", [delivery.0], |row| codec::state_name(row, "state"))?;
        match found {
            Some(StateName::Pending) => {
                self.close_lease(delivery)?;
                self.end(delivery, StateName::Pending, StateName::Cancelled, None, self.now)?;
                self.log(delivery, None, StateName::Cancelled)?;
                Ok(self.changed(1))
            }
            Some(StateName::Delivered | StateName::Dead | StateName::Cancelled) => Ok(Reply::Done(0)),
            None => Ok(Reply::Refused(Refusal::NoSuchDelivery)),
        }
    }

    pub(super) fn add_token(&mut self, name: &str, hash: &[u8; 32], scope: Scope) -> rusqlite::Result<Reply> {
        let taken = self.one("SELECT 1 FROM token WHERE name = ?1 OR hash = ?2", params![name, hash], |_| Ok(()))?;
        if taken.is_some() {
            return Ok(Reply::Refused(Refusal::NameTaken));
        }
        let rows = self.run(
            "INSERT INTO token (name, hash, scope, created_at) VALUES (?1, ?2, ?3, ?4)",
            params![name, hash, scope.as_str(), self.now.ms()],
        )?;
        Ok(self.changed(rows))
    }

    pub(super) fn remove_token(&mut self, name: &str) -> rusqlite::Result<Reply> {
        Ok(match self.run("DELETE FROM token WHERE name = ?1", [name])? {
            0 => Reply::Refused(Refusal::NoSuchToken),
            rows => self.changed(rows),
        })
    }
}
