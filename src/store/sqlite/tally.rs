//! How many there are of what grows with the history. A batch adds up what it does and keeps it in one row with its commit, so
//! that no question counts millions, and no id of a delivery is given twice.

use rusqlite::{Connection, params};

use crate::delivery::{DeliveryId, StateName};
use crate::store::Counts;
use crate::time::Time;

/// What a batch adds to the row.
#[derive(Default, PartialEq)]
pub(super) struct Tally {
    events: i64,
    pending: i64,
    delivered: i64,
    dead: i64,
    cancelled: i64,
    /// The highest id that a delivery has had, once it was asked for.
    newest: Option<i64>,
    latest: Option<Time>,
}

impl Tally {
    /// One more event.
    pub(super) fn accepted(&mut self) {
        self.events += 1;
    }

    /// One more delivery, pending and due at `now` or leased; its id.
    pub(super) fn owed(&mut self, db: &Connection, now: Time) -> rusqlite::Result<DeliveryId> {
        let newest = match self.newest {
            Some(newest) => newest,
            None => db
                .prepare_cached("SELECT max(newest, (SELECT coalesce(max(id), 0) FROM delivery)) FROM tally")?
                .query_row([], |row| row.get(0))?,
        };
        self.newest = Some(newest + 1);
        *self.of(StateName::Pending) += 1;
        self.made_due(now);
        Ok(DeliveryId(newest + 1))
    }

    /// A delivery is in another state.
    pub(super) fn moved(&mut self, before: StateName, after: StateName) {
        *self.of(before) -= 1;
        *self.of(after) += 1;
    }

    /// An event is gone, and with it the deliveries that were in these states.
    pub(super) fn deleted(&mut self, deliveries: impl Iterator<Item = StateName>) {
        self.events -= 1;
        deliveries.for_each(|state| *self.of(state) -= 1);
    }

    /// Something that was not tried since it was asked for is due at this time.
    pub(super) fn made_due(&mut self, at: Time) {
        self.latest = self.latest.max(Some(at));
    }

    /// Whether anything may be due after `now` that was not tried since it was asked for. Afterwards nothing is.
    pub(super) fn was_ahead(&self, db: &Connection, now: Time) -> rusqlite::Result<bool> {
        let ahead = db.prepare_cached("SELECT latest > ?1 FROM tally")?.query_row([now.ms()], |row| row.get(0))?;
        if ahead {
            db.prepare_cached("UPDATE tally SET latest = ?1")?.execute([now.ms()])?;
        }
        Ok(ahead)
    }

    fn of(&mut self, state: StateName) -> &mut i64 {
        match state {
            StateName::Pending => &mut self.pending,
            StateName::Delivered => &mut self.delivered,
            StateName::Dead => &mut self.dead,
            StateName::Cancelled => &mut self.cancelled,
        }
    }

    /// Adds it all to the row.
    pub(super) fn keep(&self, db: &Connection) -> rusqlite::Result<()> {
        if *self == Tally::default() {
            return Ok(());
        }
        db.prepare_cached(
            "UPDATE tally SET events = events + ?1, pending = pending + ?2, delivered = delivered + ?3,
                 dead = dead + ?4, cancelled = cancelled + ?5, newest = max(newest, ?6), latest = max(latest, ?7)",
        )?
        .execute(params![
            self.events,
            self.pending,
            self.delivered,
            self.dead,
            self.cancelled,
            self.newest.unwrap_or(0),
            self.latest.map_or(0, Time::ms),
        ])?;
        Ok(())
    }
}

/// The row, as far as it has what is asked.
pub(super) fn read(db: &Connection) -> rusqlite::Result<Counts> {
    // A damaged row has a wrong number, which is no reason to have none.
    let sql = "SELECT max(events, 0), max(pending, 0), max(delivered, 0), max(dead, 0), max(cancelled, 0) FROM tally";
    db.prepare_cached(sql)?.query_row([], |row| {
        Ok(Counts {
            events: row.get(0)?,
            pending: row.get(1)?,
            delivered: row.get(2)?,
            dead: row.get(3)?,
            cancelled: row.get(4)?,
            ..Counts::default()
        })
    })
}

/// The numbers of a store that has none yet.
pub(super) const COUNT: &str = "
INSERT INTO tally
SELECT 1, (SELECT count(*) FROM event), ifnull(sum(state = 'pending'), 0), ifnull(sum(state = 'delivered'), 0),
    ifnull(sum(state = 'dead'), 0), ifnull(sum(state = 'cancelled'), 0),
    max(ifnull(max(id), 0), ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'delivery'), 0)), 9223372036854775807
FROM delivery;
";
