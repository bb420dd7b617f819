//! The store in one SQLite file: WAL, `synchronous=FULL`, one writer at a time, many readers.
//! A batch of commands is one `BEGIN IMMEDIATE` transaction, so what `apply` answers is on disk. `schema.sql` is the
//! schema; no statement asks SQLite for the time.

mod backup;
mod by_hand;
mod clear;
mod codec;
mod lease;
mod migrate;
mod open;
mod read;
mod seal;
mod tally;
mod write;

use std::path::Path;

use rusqlite::ffi::ErrorCode;
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use backup::Copied;
pub use open::{Lock, LockError, beside, holder, lock};
pub use seal::{MasterKey, reseal};

use super::{Changes, Command, Counts, Filter, Listed, Outcomes, Page, Reply, Store, StoreError};
use crate::access::AccessToken;
use crate::delivery::{Attempt, Delivery, DeliveryId, LaneDue};
use crate::endpoint::{Endpoint, EndpointId, EndpointName};
use crate::event::{Event, EventId};
use crate::time::Time;

/// The schema that this program reads and writes.
pub const SCHEMA_VERSION: i64 = open::VERSION;

/// One connection to one store.
pub struct SqliteStore {
    connection: Connection,
    /// What it is called when something is wrong with it: its path.
    name: String,
    /// What this connection saw last, for `changes`.
    seen: Seen,
    files: open::Files,
}

struct Seen {
    data_version: i64,
    revision: i64,
    delivery: i64,
}

impl SqliteStore {
    /// Opens the file, or creates it (mode 0600). Fails with a sentence that says what is wrong with it, or that it is sealed.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, None)
    }

    /// As `open`, with the master key that its secrets are sealed with. A new store becomes sealed; one that is sealed
    /// otherwise, or not yet, is refused.
    pub fn open_with(path: &Path, key: Option<&MasterKey>) -> Result<Self, StoreError> {
        let connection = open::file(path)?;
        let name = path.display().to_string();
        seal::agree(&connection, &name, key)?;
        seal::equip(&connection, key).map_err(|error| open::sentence(&name, error))?;
        let mut store = Self::over(connection, name)?;
        store.files = open::Files::of(path);
        Ok(store)
    }

    /// A store in memory, for the simulation: the same SQL without a disk.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::over(open::memory()?, "the store in memory".to_owned())
    }

    fn over(connection: Connection, name: String) -> Result<Self, StoreError> {
        let seen = read::seen(&connection).map_err(|error| open::sentence(&name, error))?;
        Ok(SqliteStore { connection, name, seen, files: open::Files::none() })
    }

    /// From now on the store is as unusable without the lock's file as without one of its own: another daemon could begin.
    pub fn depend_on(&mut self, lock: &Lock) {
        self.files.add(lock);
    }

    /// The replies, and whether the revision moved.
    fn transact(&self, now: Time, commands: &[Command]) -> rusqlite::Result<(Vec<Reply>, bool)> {
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let mut batch = write::Batch::new(&transaction, now);
        batch.look_ahead(commands)?;
        let replies: rusqlite::Result<Vec<Reply>> = commands.iter().map(|command| batch.apply(command)).collect();
        let replies = replies?;
        let revised = batch.finish()?;
        transaction.commit()?;
        Ok((replies, revised))
    }

    /// On a full disk the log of writes cannot grow, but once all of it is in the database it begins anew in its place:
    /// so what is owed can still be delivered.
    fn made_room(&self) -> bool {
        let checkpoint = self
            .connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
        checkpoint.is_ok_and(|(pages, moved)| pages == moved)
    }

    fn read<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        question(&self.connection).map_err(|error| open::sentence(&self.name, error))
    }
}

impl Store for SqliteStore {
    fn apply(&mut self, now: Time, commands: &[Command]) -> Result<Vec<Reply>, StoreError> {
        let applied = match self.transact(now, commands) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) && self.made_room() => {
                self.transact(now, commands)
            }
            applied => applied,
        };
        let (replies, revised) = applied.map_err(|error| open::sentence(&self.name, error))?;
        // Nobody may be told that something is kept in a file that the next one who asks does not find.
        self.files.are_the_same()?;
        self.seen.revision += i64::from(revised);
        Ok(replies)
    }

    fn lanes(&mut self) -> Result<Vec<LaneDue>, StoreError> {
        self.read(read::lanes)
    }

    fn changes(&mut self) -> Result<Changes, StoreError> {
        self.files.are_the_same()?;
        let (changes, seen) = self.read(|connection| read::changes(connection, &self.seen))?;
        self.seen = seen;
        Ok(changes)
    }

    fn endpoints(&mut self) -> Result<Vec<Endpoint>, StoreError> {
        self.read(read::endpoints)
    }

    fn endpoint(&mut self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        self.read(|connection| read::endpoint(connection, id))
    }

    fn endpoint_named(&mut self, name: &EndpointName) -> Result<Option<Endpoint>, StoreError> {
        self.read(|connection| read::endpoint_named(connection, name))
    }

    fn again(&mut self, id: &EventId, fingerprint: &[u8; 32], digest: &[u8; 32]) -> Result<Option<Reply>, StoreError> {
        self.read(|connection| read::again(connection, id, fingerprint, digest))
    }

    fn event(&mut self, id: &EventId) -> Result<Option<Event>, StoreError> {
        self.read(|connection| read::event(connection, id))
    }

    fn deliveries(&mut self, filter: &Filter, page: Page) -> Result<Vec<Listed>, StoreError> {
        self.read(|connection| read::deliveries(connection, filter, page))
    }

    fn attempts(&mut self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        self.read(|connection| read::attempts(connection, delivery))
    }

    fn owed(&mut self, lane: EndpointId) -> Result<super::LaneOwed, StoreError> {
        self.read(|connection| read::owed(connection, lane))
    }

    fn tail(&mut self, lane: EndpointId) -> Result<Vec<Delivery>, StoreError> {
        self.read(|connection| read::tail(connection, lane))
    }

    fn tokens(&mut self) -> Result<Vec<AccessToken>, StoreError> {
        self.read(read::tokens)
    }

    fn by_key(&mut self, key: &[u8; 32]) -> Result<Option<EventId>, StoreError> {
        self.read(|connection| read::by_key(connection, key))
    }

    fn outcomes(&mut self, after: i64, limit: u32) -> Result<Outcomes, StoreError> {
        self.read(|connection| read::outcomes(connection, after, limit))
    }

    fn at_one_moment(&mut self, questions: &mut dyn FnMut(&mut dyn Store)) -> Result<(), StoreError> {
        self.read(|connection| connection.execute_batch("SAVEPOINT moment"))?;
        questions(self);
        self.read(|connection| connection.execute_batch("RELEASE moment"))
    }

    fn counts(&mut self, now: Time) -> Result<Counts, StoreError> {
        self.read(|connection| read::counts(connection, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;

    #[test]
    fn what_is_asked_at_one_moment_does_not_see_what_others_commit_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postrider.db");
        let (mut store, mut other) = (SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap());
        let now = Time::from_ms(1_793_491_200_000);
        let mut seen = Vec::new();
        store
            .at_one_moment(&mut |store| {
                seen.push(store.tokens().unwrap().len());
                let token = Command::AddToken { name: "shop".to_owned(), hash: [7; 32], scope: Scope::Read };
                other.apply(now, &[token]).unwrap();
                // Questions that take a snapshot of their own may stand within.
                store.counts(now).unwrap();
                seen.push(store.tokens().unwrap().len());
            })
            .unwrap();
        assert_eq!((seen, store.tokens().unwrap().len()), (vec![0, 0], 1));
        store.apply(now, &[Command::RemoveToken { name: "shop".to_owned() }]).unwrap();
    }
}
