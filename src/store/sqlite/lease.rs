//! Leases: what is due in a lane is taken by whoever asks, and what is enqueued to a lane that owes nothing else is born with the
//! lease that the same batch asks for. Either way the store is the same afterwards; the second writes each row once.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::params;

use super::codec;
use super::write::Batch;
use crate::delivery::{DeadReason, DeliveryId, Lease, LeaseRequest, StateName, Verdict};
use crate::endpoint::EndpointId;
use crate::event::Event;
use crate::store::{Command, Leased, NewEvent};
use crate::time::Time;

/// A delivery whose time has come.
struct Due {
    delivery: DeliveryId,
    attempts: u32,
    earlier: u32,
    leased_at: Option<Time>,
    /// The number of its event's row.
    event: i64,
    /// Of the body, in bytes.
    size: u64,
}

/// The requests of a batch that what it enqueues may fill.
#[derive(Default)]
pub(super) struct Wanted<'a>(HashMap<EndpointId, Born<'a>>);

/// One request, and the leases that were granted at birth.
pub(super) struct Born<'a> {
    request: &'a LeaseRequest,
    leases: Vec<Lease>,
    bytes: u64,
    /// One was born without a lease: all that follow it wait behind it.
    full: bool,
}

impl<'a> Born<'a> {
    /// Whether one more delivery, whose body has `size` bytes, is born with a lease.
    fn takes(&mut self, size: u64) -> bool {
        let request = self.request;
        self.bytes += size;
        let too_many = self.leases.len() == request.limit as usize;
        self.full |= too_many || (self.bytes > request.bytes && !self.leases.is_empty());
        !self.full
    }
}

impl<'a> Batch<'a> {
    /// Looks which of the batch's requests can only be filled by what it enqueues itself: those of active lanes in which
    /// nothing is due. Whatever else in the batch makes something due leaves all of them to be filled in their turn.
    pub(super) fn look_ahead(&mut self, commands: &'a [Command]) -> rusqlite::Result<()> {
        let now = self.now;
        if !matches!(commands.first(), Some(Command::Enqueue(_))) || !commands.iter().all(|it| leaves_due(it, now)) {
            return Ok(());
        }
        for command in commands {
            let Command::Lease(request) = command else { continue };
            let nothing_due = self.next_due(request.lane)?.is_none_or(|at| at > now);
            if nothing_due && request.most_attempts > 0 && self.is_active(request.lane)? {
                let born = Born { request, leases: Vec::new(), bytes: 0, full: false };
                self.wanted.0.entry(request.lane).or_insert(born);
            }
        }
        Ok(())
    }

    /// Inserts the delivery of the event in this row, with a lease if one is wanted.
    pub(super) fn owe(
        &mut self,
        row: i64,
        endpoint: EndpointId,
        event: &NewEvent,
        shared: &mut Option<Arc<Event>>,
    ) -> rusqlite::Result<DeliveryId> {
        let now = self.now;
        let delivery = self.tally.owed(self.db, now)?;
        let born = self.wanted.0.get_mut(&endpoint).filter(|born| !born.full);
        let Some(born) = born.and_then(|born| born.takes(event.body.len() as u64).then_some(born)) else {
            self.run(
                "INSERT INTO delivery (id, event_id, endpoint_id, state, due_at) VALUES (?1, ?2, ?3, 'pending', ?4)",
                params![delivery.0, row, endpoint.0, now.ms()],
            )?;
            return Ok(delivery);
        };
        let (until, token) = (born.request.until, born.request.token);
        self.db
            .prepare_cached(
                "INSERT INTO delivery (id, event_id, endpoint_id, state, attempts, due_at, leased_at, token)
                 VALUES (?1, ?2, ?3, 'pending', 1, ?4, ?5, ?6)",
            )?
            .execute(params![delivery.0, row, endpoint.0, until.ms(), now.ms(), token.0])?;
        let event = shared.get_or_insert_with(|| Arc::new(as_kept(event, now))).clone();
        born.leases.push(Lease { delivery, endpoint, token, attempt: 1, earlier: 0, event });
        Ok(delivery)
    }

    pub(super) fn lease(&mut self, request: &LeaseRequest) -> rusqlite::Result<Leased> {
        let mut leased = Leased::default();
        match self.wanted.0.remove(&request.lane) {
            // All that is due was born in this batch, and the request took what it could.
            Some(born) => leased.leases = born.leases,
            None if self.is_active(request.lane)? => self.lease_due(request, &mut leased)?,
            None => return Ok(leased),
        }
        leased.next_due = self.next_due(request.lane)?;
        Ok(leased)
    }

    fn lease_due(&mut self, request: &LeaseRequest, leased: &mut Leased) -> rusqlite::Result<()> {
        // What waits, and leases that have run out.
        let due = self.all(
            "SELECT d.id, d.attempts, d.earlier, d.leased_at, d.event_id, length(e.body), d.due_at
             FROM delivery d CROSS JOIN event e ON e.id = d.event_id
             WHERE d.state = 'pending' AND d.token IS NULL AND d.endpoint_id = ?1 AND d.due_at <= ?2
             UNION ALL
             SELECT d.id, d.attempts, d.earlier, d.leased_at, d.event_id, length(e.body), d.due_at
             FROM delivery d CROSS JOIN event e ON e.id = d.event_id
             WHERE d.token IS NOT NULL AND d.endpoint_id = ?1 AND d.due_at <= ?2
             ORDER BY 7, 1 LIMIT ?3",
            params![request.lane.0, self.now.ms(), i64::from(request.limit) * 2],
            |row| {
                Ok(Due {
                    delivery: DeliveryId(row.get(0)?),
                    attempts: row.get(1)?,
                    earlier: row.get(2)?,
                    leased_at: row.get::<_, Option<i64>>(3)?.map(Time::from_ms),
                    event: row.get(4)?,
                    size: row.get::<_, i64>(5)? as u64,
                })
            },
        )?;
        let mut bytes = 0;
        for due in due {
            let used_up = due.attempts - due.earlier >= request.most_attempts;
            if used_up && leased.used_up.len() == request.limit as usize {
                break;
            }
            if !used_up {
                bytes += due.size;
                let full = leased.leases.len() == request.limit as usize;
                if full || (bytes > request.bytes && !leased.leases.is_empty()) {
                    break;
                }
            }
            if let Some(leased_at) = due.leased_at {
                self.close_unknown(due.delivery, due.attempts, leased_at)?;
            }
            match used_up {
                true => {
                    let reason = Some(DeadReason::ScheduleUsedUp);
                    self.end(due.delivery, StateName::Pending, StateName::Dead, reason, self.now)?;
                    self.log(due.delivery, None, StateName::Dead)?;
                    leased.used_up.push(due.delivery);
                }
                false => leased.leases.push(self.grant(request, &due)?),
            }
        }
        Ok(())
    }

    /// The earliest `due_at` of a lane, ends of leases included.
    fn next_due(&self, lane: EndpointId) -> rusqlite::Result<Option<Time>> {
        let sql = "SELECT
                 (SELECT min(due_at) FROM delivery WHERE state = 'pending' AND token IS NULL AND endpoint_id = ?1),
                 (SELECT min(due_at) FROM delivery WHERE token IS NOT NULL AND endpoint_id = ?1)";
        let earliest = self.one(sql, [lane.0], |row| {
            Ok([row.get::<_, Option<i64>>(0)?, row.get(1)?].into_iter().flatten().min().map(Time::from_ms))
        })?;
        Ok(earliest.flatten())
    }

    fn grant(&self, request: &LeaseRequest, due: &Due) -> rusqlite::Result<Lease> {
        let (delivery, attempt) = (due.delivery, due.attempts + 1);
        self.run(
            "UPDATE delivery SET attempts = ?2, due_at = ?3, leased_at = ?4, token = ?5 WHERE id = ?1",
            params![delivery.0, attempt, request.until.ms(), self.now.ms(), request.token.0],
        )?;
        let event = self.db.prepare_cached(codec::EVENT_OF_ROW)?.query_row([due.event], codec::event)?;
        let (endpoint, token) = (request.lane, request.token);
        Ok(Lease { delivery, endpoint, token, attempt, earlier: due.earlier, event: event.into() })
    }
}

/// Whether the command leaves what is due, and who is served, as they are, but for what it enqueues.
fn leaves_due(command: &Command, now: Time) -> bool {
    match command {
        Command::Enqueue(_) | Command::Lease(_) | Command::Prune { .. } => true,
        Command::Record(record) => match record.verdict {
            Verdict::Delivered => true,
            Verdict::RetryAt(at) => at > now,
            Verdict::Dead(reason) => reason != DeadReason::EndpointGone,
        },
        Command::Release { .. }
        | Command::Recover
        | Command::Bury { .. }
        | Command::Shift { .. }
        | Command::ExtendLeases { .. }
        | Command::AddEndpoint(_)
        | Command::EditEndpoint { .. }
        | Command::Pause(_)
        | Command::Resume(_)
        | Command::Retry { .. }
        | Command::Cancel { .. }
        | Command::AddToken { .. }
        | Command::RemoveToken { .. }
        | Command::RemoveEndpoint(_) => false,
    }
}

/// The event as the store will answer it.
fn as_kept(event: &NewEvent, accepted_at: Time) -> Event {
    Event {
        id: event.id.clone(),
        event_type: event.event_type.clone(),
        content_type: event.content_type.clone(),
        body: event.body.clone(),
        digest: event.digest,
        accepted_at,
        trace: event.trace.clone(),
    }
}
