//! What a batch of commands does to the tables, inside the one transaction of the batch.
//! A command either does all of its work or is refused before it wrote anything.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::lease::Wanted;
use super::tally::Tally;
use super::{codec, read};
use crate::delivery::{Attempt, DeadReason, DeliveryId, Outcome, Record, StateName, Timings, Token, Verdict};
use crate::endpoint::{EndpointId, Key, ProfileName};
use crate::event::EventId;
use crate::store::{Command, Enqueued, NewEvent, OUTCOMES_KEPT, OUTCOMES_STEP, Recipients, Recorded, Refusal, Reply};
use crate::time::Time;
use crate::trace::TraceContext;

pub(super) struct Batch<'a> {
    pub(super) db: &'a Connection,
    pub(super) now: Time,
    /// Leases that this batch asks for, for lanes that owe nothing yet: what is enqueued to them is born with one.
    pub(super) wanted: Wanted<'a>,
    /// Whether endpoints are owed what comes, while nothing but events comes.
    owed: HashMap<EndpointId, bool>,
    pub(super) tally: Tally,
    /// A running daemon must look at endpoints and lanes again.
    revised: bool,
}

/// What an outcome is recorded against.
struct Standing {
    token: Option<i64>,
    state: StateName,
    endpoint: EndpointId,
}

impl<'a> Batch<'a> {
    pub(super) fn new(db: &'a Connection, now: Time) -> Self {
        let (wanted, owed, tally) = (Wanted::default(), HashMap::new(), Tally::default());
        Batch { db, now, wanted, owed, tally, revised: false }
    }

    pub(super) fn apply(&mut self, command: &Command) -> rusqlite::Result<Reply> {
        if !matches!(command, Command::Enqueue(_)) {
            self.owed.clear();
        }
        match command {
            Command::Enqueue(event) => self.enqueue(event),
            Command::Lease(request) => self.lease(request).map(Reply::Leased),
            Command::Record(record) => self.record(record).map(Reply::Recorded),
            Command::Release { delivery, token } => self.release(*delivery, *token),
            Command::Recover => self.recover(),
            Command::Bury { lane, limit } => self.bury(*lane, *limit),
            Command::Shift { by } => self.shift(*by),
            Command::ExtendLeases { by } => self.extend_leases(*by),
            Command::Prune { before, limit } => self.prune(*before, *limit),
            Command::AddEndpoint(endpoint) => self.add_endpoint(endpoint),
            Command::RemoveEndpoint(endpoint) => self.remove_endpoint(*endpoint),
            Command::EditEndpoint { endpoint, edit } => self.edit_endpoint(*endpoint, edit),
            Command::Pause(endpoint) => self.pause(*endpoint),
            Command::Resume(endpoint) => self.resume(*endpoint),
            Command::Retry { delivery, states, now_due } => self.retry(*delivery, states, *now_due),
            Command::Cancel { delivery } => self.cancel(*delivery),
            Command::AddToken { name, hash, scope } => self.add_token(name, hash, *scope),
            Command::RemoveToken { name } => self.remove_token(name),
        }
    }

    /// Ends the batch; true if the revision moved.
    pub(super) fn finish(self) -> rusqlite::Result<bool> {
        self.tally.keep(self.db)?;
        if self.revised {
            self.run("UPDATE revision SET number = number + 1", [])?;
        }
        Ok(self.revised)
    }

    pub(super) fn run(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<usize> {
        self.db.prepare_cached(sql)?.execute(values)
    }

    pub(super) fn one<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnOnce(&Row) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.db.prepare_cached(sql)?.query_row(values, read).optional()
    }

    pub(super) fn all<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&Row) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.db.prepare_cached(sql)?.query_map(values, read)?.collect()
    }

    pub(super) fn changed(&mut self, rows: usize) -> Reply {
        self.revised |= rows > 0;
        Reply::Done(rows as u64)
    }

    fn enqueue(&mut self, event: &NewEvent) -> rusqlite::Result<Reply> {
        let recipients = match &event.recipients {
            Recipients::Endpoints(ids) => {
                let mut met = HashSet::new();
                let ids: Vec<EndpointId> = ids.iter().copied().filter(|id| met.insert(*id)).collect();
                for id in &ids {
                    if !self.is_owed_now(*id)? {
                        let gone = Reply::Refused(Refusal::EndpointGone { endpoint: *id });
                        return Ok(self.known(event)?.unwrap_or(gone));
                    }
                }
                ids
            }
            Recipients::OneOff { profile, url, keys } => match self.known(event)? {
                Some(reply) => return Ok(reply),
                None => vec![self.one_off(*profile, url, keys)?],
            },
        };
        if !self.insert_event(event)? {
            return Ok(self.known(event)?.expect("what it conflicts with is there"));
        }
        self.tally.accepted();
        let row = self.db.last_insert_rowid();
        let mut deliveries = Vec::with_capacity(recipients.len());
        let mut shared = None;
        for endpoint in recipients {
            deliveries.push((self.owe(row, endpoint, event, &mut shared)?, endpoint));
        }
        Ok(Reply::Enqueued(Enqueued { event: event.id.clone(), accepted_at: self.now, deliveries, again: false }))
    }

    /// False if its id, its idempotency key or its once-only text is there already.
    fn insert_event(&self, event: &NewEvent) -> rusqlite::Result<bool> {
        let rows = self.run(
            "INSERT INTO event
                 (name, type, content_type, accepted_at, digest, fingerprint, once, idempotency_key, trace, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
            params![
                event.id.as_str(),
                event.event_type.as_str(),
                codec::content_type_column(&event.content_type),
                self.now.ms(),
                event.digest,
                codec::fingerprint_column(&event.fingerprint),
                event.once,
                event.idempotency_key,
                event.trace.as_ref().map(TraceContext::to_string),
                &event.body[..],
            ],
        )?;
        Ok(rows > 0)
    }

    /// As `is_owed`, asked once for all events that follow each other in this batch.
    fn is_owed_now(&mut self, endpoint: EndpointId) -> rusqlite::Result<bool> {
        if let Some(owed) = self.owed.get(&endpoint) {
            return Ok(*owed);
        }
        let owed = self.is_owed(endpoint)?;
        self.owed.insert(endpoint, owed);
        Ok(owed)
    }

    /// The answer to an event whose idempotency key, id or once-only text is already there.
    fn known(&self, event: &NewEvent) -> rusqlite::Result<Option<Reply>> {
        if let Some(key) = &event.idempotency_key {
            let came = self.one(
                "SELECT name, substr(fingerprint, 1, 16) = ?2 FROM event WHERE idempotency_key = ?1",
                params![key, codec::fingerprint_column(&event.fingerprint)],
                |row| Ok((codec::event_id(row, "name")?, row.get::<_, bool>(1)?)),
            )?;
            if let Some((came, same_request)) = came
                && (came != event.id || !same_request)
            {
                return Ok(Some(Reply::Refused(Refusal::KeyTaken { event: came })));
            }
        }
        if let Some(reply) = read::again(self.db, &event.id, &event.fingerprint, &event.digest)? {
            return Ok(Some(reply));
        }
        let Some(once) = &event.once else { return Ok(None) };
        let fired = self.one("SELECT name FROM event WHERE once = ?1", [once], |row| codec::event_id(row, "name"))?;
        Ok(fired.map(|event: EventId| Reply::Refused(Refusal::FiredBefore { event })))
    }

    /// Active, or paused.
    pub(super) fn is_owed(&self, endpoint: EndpointId) -> rusqlite::Result<bool> {
        let owed = self.one("SELECT state = 'active' FROM endpoint WHERE id = ?1", [endpoint.0], |row| row.get(0))?;
        Ok(owed.unwrap_or(false))
    }

    pub(super) fn is_active(&self, endpoint: EndpointId) -> rusqlite::Result<bool> {
        let sql = "SELECT state = 'active' AND paused_at IS NULL FROM endpoint WHERE id = ?1";
        Ok(self.one(sql, [endpoint.0], |row| row.get(0))?.unwrap_or(false))
    }

    fn one_off(&mut self, profile: ProfileName, url: &str, keys: &[Key]) -> rusqlite::Result<EndpointId> {
        let sql = format!(
            "SELECT {} FROM endpoint WHERE url = ?1 AND name IS NULL AND profile = ?2 AND state = 'active' ORDER BY id",
            codec::ENDPOINT_COLUMNS
        );
        let found = self.all(&sql, params![url, profile.as_str()], |row| codec::endpoint(self.db, row))?;
        if let Some(endpoint) = found.iter().find(|endpoint| endpoint.keys == keys) {
            return Ok(endpoint.id);
        }
        self.insert_endpoint(None, url, profile, "[]", "{}", keys)
    }

    pub(super) fn insert_endpoint(
        &mut self,
        name: Option<&str>,
        url: &str,
        profile: ProfileName,
        subscriptions: &str,
        overrides: &str,
        keys: &[Key],
    ) -> rusqlite::Result<EndpointId> {
        self.run(
            "INSERT INTO endpoint (name, url, profile, subscriptions, overrides, state, state_since, created_at)
             VALUES (?1, ?2, ?3, ?4, '{}', 'active', ?5, ?5)",
            params![name, url, profile.as_str(), subscriptions, self.now.ms()],
        )?;
        let id = EndpointId(self.db.last_insert_rowid());
        // What is sealed is sealed for this endpoint, which has its number only now.
        self.run("UPDATE endpoint SET overrides = seal_headers(?2, id) WHERE id = ?1", params![id.0, overrides])?;
        self.insert_keys(id, keys)?;
        self.revised = true;
        Ok(id)
    }

    pub(super) fn insert_keys(&self, endpoint: EndpointId, keys: &[Key]) -> rusqlite::Result<()> {
        for (position, key) in keys.iter().enumerate() {
            self.run(
                "INSERT INTO key (endpoint_id, position, scheme, secret, until) VALUES (?1, ?2, ?3, seal_key(?4, ?1, ?3), ?5)",
                params![endpoint.0, position as i64, key.scheme.as_str(), key.secret.expose(), key.until.map(Time::ms)],
            )?;
        }
        Ok(())
    }

    /// The attempt in flight ended with its holder: nobody can say any more what came of it.
    pub(super) fn close_unknown(&self, delivery: DeliveryId, number: u32, started_at: Time) -> rusqlite::Result<()> {
        let attempt = Attempt {
            number,
            started_at,
            finished_at: self.now,
            timings: Timings::default(),
            remote: None,
            resent: false,
            outcome: Outcome::Unknown,
            answer: Vec::new(),
            location: None,
        };
        if self.keep(delivery, &attempt)? {
            self.log(delivery, Some(number), StateName::Pending)?;
        }
        Ok(())
    }

    /// The same, if there is one in flight.
    pub(super) fn close_lease(&self, delivery: DeliveryId) -> rusqlite::Result<()> {
        let open = self.one(
            "SELECT attempts, leased_at FROM delivery WHERE id = ?1 AND token IS NOT NULL",
            [delivery.0],
            |row| Ok((row.get(0)?, Time::from_ms(row.get(1)?))),
        )?;
        match open {
            Some((number, leased_at)) => self.close_unknown(delivery, number, leased_at),
            None => Ok(()),
        }
    }

    /// One more entry of the outcome log.
    pub(super) fn log(&self, delivery: DeliveryId, attempt: Option<u32>, state: StateName) -> rusqlite::Result<()> {
        self.run(
            "INSERT INTO outcome (at, delivery_id, attempt, state) VALUES (?1, ?2, ?3, ?4)",
            params![self.now.ms(), delivery.0, attempt, state.as_str()],
        )?;
        let seq = self.db.last_insert_rowid();
        if seq % OUTCOMES_STEP == 0 {
            self.run("DELETE FROM outcome WHERE seq <= ?1", [seq - OUTCOMES_KEPT])?;
        }
        Ok(())
    }

    /// Stores an attempt. What is known of it is never overwritten by not knowing; false if so it was not stored.
    fn keep(&self, delivery: DeliveryId, attempt: &Attempt) -> rusqlite::Result<bool> {
        let (status, late, stage, detail) = codec::outcome_columns(&attempt.outcome);
        let timings = &attempt.timings;
        let rows = self.run(
            "INSERT INTO attempt (delivery_id, number, started_at, finished_at, outcome, status, late, stage, detail,
                 dns_us, connect_us, tls_us, first_byte_us, total_us, remote, resent, location, answer)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
             ON CONFLICT (delivery_id, number) DO UPDATE SET
                 started_at = excluded.started_at, finished_at = excluded.finished_at, outcome = excluded.outcome,
                 status = excluded.status, late = excluded.late, stage = excluded.stage, detail = excluded.detail,
                 dns_us = excluded.dns_us, connect_us = excluded.connect_us, tls_us = excluded.tls_us,
                 first_byte_us = excluded.first_byte_us, total_us = excluded.total_us, remote = excluded.remote,
                 resent = excluded.resent, location = excluded.location, answer = excluded.answer
             WHERE excluded.outcome <> 'unknown'",
            params![
                delivery.0,
                attempt.number,
                attempt.started_at.ms(),
                attempt.finished_at.ms(),
                attempt.outcome.name(),
                status,
                late,
                stage,
                detail,
                timings.dns_us,
                timings.connect_us,
                timings.tls_us,
                timings.first_byte_us,
                timings.total_us,
                attempt.remote,
                attempt.resent,
                attempt.location,
                attempt.answer,
            ],
        )?;
        Ok(rows > 0)
    }

    pub(super) fn end(
        &mut self,
        delivery: DeliveryId,
        before: StateName,
        state: StateName,
        reason: Option<DeadReason>,
        at: Time,
    ) -> rusqlite::Result<()> {
        self.run(
            "UPDATE delivery SET state = ?2, reason = ?3, ended_at = ?4, due_at = NULL, token = NULL, leased_at = NULL
             WHERE id = ?1",
            params![delivery.0, state.as_str(), reason.map(DeadReason::as_str), at.ms()],
        )?;
        self.tally.moved(before, state);
        Ok(())
    }

    fn record(&mut self, record: &Record) -> rusqlite::Result<Recorded> {
        if self.deliver(record)? {
            return Ok(Recorded::Counted);
        }
        let standing =
            self.one("SELECT token, state, endpoint_id FROM delivery WHERE id = ?1", [record.delivery.0], |row| {
                let state = codec::state_name(row, "state")?;
                Ok(Standing { token: row.get(0)?, state, endpoint: EndpointId(row.get(2)?) })
            })?;
        let Some(standing) = standing else { return Ok(Recorded::Lost) };
        self.keep(record.delivery, &record.attempt)?;
        let (recorded, state) = self.decide(record, &standing)?;
        self.log(record.delivery, Some(record.attempt.number), state)?;
        Ok(recorded)
    }

    /// What `record` comes to most of the time, in one look: the receiver accepted, and the lease stands. False, with nothing
    /// done, if it is not so.
    fn deliver(&mut self, record: &Record) -> rusqlite::Result<bool> {
        if record.verdict != Verdict::Delivered {
            return Ok(false);
        }
        let rows = self.run(
            "UPDATE delivery SET state = 'delivered', ended_at = ?3, due_at = NULL, token = NULL, leased_at = NULL
             WHERE id = ?1 AND token = ?2",
            params![record.delivery.0, record.token.0, record.attempt.finished_at.ms()],
        )?;
        if rows > 0 {
            self.tally.moved(StateName::Pending, StateName::Delivered);
            self.keep(record.delivery, &record.attempt)?;
            self.log(record.delivery, Some(record.attempt.number), StateName::Delivered)?;
        }
        Ok(rows > 0)
    }

    /// What the attempt means for its delivery, and the state that it has then.
    fn decide(&mut self, record: &Record, standing: &Standing) -> rusqlite::Result<(Recorded, StateName)> {
        let at = record.attempt.finished_at;
        if standing.token == Some(record.token.0) {
            let state = match record.verdict {
                Verdict::Delivered => unreachable!("`deliver` did it"),
                Verdict::RetryAt(due_at) => {
                    self.run(
                        "UPDATE delivery SET due_at = ?2, token = NULL, leased_at = NULL WHERE id = ?1",
                        params![record.delivery.0, due_at.ms()],
                    )?;
                    StateName::Pending
                }
                Verdict::Dead(reason) => {
                    self.end(record.delivery, StateName::Pending, StateName::Dead, Some(reason), at)?;
                    if reason == DeadReason::EndpointGone {
                        self.disable(standing.endpoint)?;
                    }
                    StateName::Dead
                }
            };
            return Ok((Recorded::Counted, state));
        }
        let open = matches!(standing.state, StateName::Pending | StateName::Cancelled);
        if open && record.attempt.outcome.is_accepted() {
            // Somebody else's attempt loses its lease by this: whatever becomes of it, it has an end on record.
            self.close_lease(record.delivery)?;
            self.end(record.delivery, standing.state, StateName::Delivered, None, at)?;
            return Ok((Recorded::LateAccepted, StateName::Delivered));
        }
        Ok((Recorded::Lost, standing.state))
    }

    fn disable(&mut self, endpoint: EndpointId) -> rusqlite::Result<()> {
        let rows = self.run(
            "UPDATE endpoint SET state = 'disabled', state_since = ?2, state_reason = 'answered 410', paused_at = NULL
             WHERE id = ?1 AND state = 'active'",
            params![endpoint.0, self.now.ms()],
        )?;
        self.revised |= rows > 0;
        Ok(())
    }

    fn release(&mut self, delivery: DeliveryId, token: Token) -> rusqlite::Result<Reply> {
        let rows = self.run(
            "UPDATE delivery SET attempts = attempts - 1, due_at = ?3, token = NULL, leased_at = NULL
             WHERE id = ?1 AND token = ?2",
            params![delivery.0, token.0, self.now.ms()],
        )?;
        if rows > 0 {
            self.tally.made_due(self.now);
        }
        Ok(self.changed(rows))
    }
}
