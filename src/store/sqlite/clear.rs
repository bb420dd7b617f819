//! What frees, ends, moves and deletes deliveries without an attempt, inside the transaction of a batch.

use rusqlite::params;

use super::codec;
use super::write::Batch;
use crate::delivery::{DeliveryId, StateName};
use crate::endpoint::EndpointId;
use crate::schedule;
use crate::store::{BURIED, Reply};
use crate::time::{Span, Time};

impl Batch<'_> {
    pub(super) fn recover(&mut self) -> rusqlite::Result<Reply> {
        let open =
            self.all("SELECT id, attempts, leased_at FROM delivery WHERE token IS NOT NULL ORDER BY id", [], |row| {
                Ok((DeliveryId(row.get(0)?), row.get::<_, u32>(1)?, Time::from_ms(row.get(2)?)))
            })?;
        for (delivery, attempts, leased_at) in &open {
            self.close_unknown(*delivery, *attempts, *leased_at)?;
            let due_at = self.now.max(*leased_at + schedule::after_unknown(self.unknown_in_a_row(*delivery)?));
            self.run(
                "UPDATE delivery SET due_at = ?2, token = NULL, leased_at = NULL WHERE id = ?1",
                params![delivery.0, due_at.ms()],
            )?;
        }
        // Not tried since it was asked for, and due in the future, is what a clock leaves behind that was ahead.
        if self.tally.was_ahead(self.db, self.now)? {
            let early = self.run(
                "UPDATE delivery SET due_at = ?1
                 WHERE state = 'pending' AND token IS NULL AND attempts = earlier AND due_at > ?1",
                [self.now.ms()],
            )?;
            self.changed(early);
        }
        Ok(self.changed(open.len()))
    }

    fn unknown_in_a_row(&self, delivery: DeliveryId) -> rusqlite::Result<u32> {
        let known = self.one(
            "SELECT count(*) FROM attempt WHERE delivery_id = ?1 AND number > coalesce(
                 (SELECT max(number) FROM attempt WHERE delivery_id = ?1 AND outcome <> 'unknown'), 0)
             AND number > (SELECT earlier FROM delivery WHERE id = ?1)",
            [delivery.0],
            |row| row.get(0),
        )?;
        Ok(known.unwrap_or(0))
    }

    pub(super) fn bury(&mut self, lane: EndpointId, limit: u32) -> rusqlite::Result<Reply> {
        if self.is_owed(lane)? {
            return Ok(Reply::Done(0));
        }
        let owed = self.all(
            "SELECT id, attempts, leased_at, due_at FROM delivery
             WHERE state = 'pending' AND token IS NULL AND endpoint_id = ?1
             UNION ALL
             SELECT id, attempts, leased_at, due_at FROM delivery
             WHERE token IS NOT NULL AND endpoint_id = ?1 AND due_at <= ?2
             ORDER BY 4, 1 LIMIT ?3",
            params![lane.0, self.now.ms(), limit],
            |row| Ok((DeliveryId(row.get(0)?), row.get::<_, u32>(1)?, row.get::<_, Option<i64>>(2)?)),
        )?;
        for (delivery, attempts, leased_at) in &owed {
            if let Some(leased_at) = leased_at {
                self.close_unknown(*delivery, *attempts, Time::from_ms(*leased_at))?;
            }
            self.end(*delivery, StateName::Pending, StateName::Dead, Some(BURIED), self.now)?;
            self.log(*delivery, None, StateName::Dead)?;
        }
        Ok(self.changed(owed.len()))
    }

    pub(super) fn shift(&mut self, by: Span) -> rusqlite::Result<Reply> {
        let (before, after) = (self.now.ms(), (self.now + by).ms());
        self.tally.made_due(self.now + by);
        // First what is due already, which a step back would hide in the future; then what waits.
        let due = self.run(
            "UPDATE delivery SET due_at = ?2
             WHERE state = 'pending' AND due_at > ?2 AND (attempts = earlier OR due_at <= ?1)",
            params![before, after],
        )?;
        let waiting = self.run(
            "UPDATE delivery SET due_at = due_at + ?1 WHERE state = 'pending' AND due_at > ?2 AND attempts > earlier",
            params![by.ms(), before],
        )?;
        Ok(self.changed(due + waiting))
    }

    pub(super) fn extend_leases(&mut self, by: Span) -> rusqlite::Result<Reply> {
        let extended = self.run(
            "UPDATE delivery SET due_at = due_at + ?1 WHERE state = 'pending' AND due_at > ?2 AND token IS NOT NULL",
            params![by.ms(), self.now.ms()],
        )?;
        Ok(self.changed(extended))
    }

    pub(super) fn prune(&mut self, before: Time, limit: u32) -> rusqlite::Result<Reply> {
        let old = self.all(
            "SELECT id FROM event e INDEXED BY event_by_time WHERE accepted_at < ?1
             AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event_id = e.id AND d.state = 'pending')
             ORDER BY accepted_at, type, id LIMIT ?2",
            params![before.ms(), limit],
            |row| row.get::<_, i64>(0),
        )?;
        for event in &old {
            let served =
                self.all("DELETE FROM delivery WHERE event_id = ?1 RETURNING endpoint_id, state", [event], |row| {
                    Ok((row.get::<_, i64>(0)?, codec::state_name(row, "state")?))
                })?;
            self.tally.deleted(served.iter().map(|(_, state)| *state));
            self.run("DELETE FROM event WHERE id = ?1", [event])?;
            for (endpoint, _) in served {
                // A receiver that nobody registered goes with the last thing it was owed.
                self.run(
                    "DELETE FROM endpoint WHERE id = ?1 AND name IS NULL
                     AND NOT EXISTS (SELECT 1 FROM delivery WHERE endpoint_id = ?1)",
                    [endpoint],
                )?;
            }
        }
        Ok(self.changed(old.len()))
    }
}
