//! Opening a store: the file, its pragmas, its schema, and the words for what can be wrong with it.
//! Nothing is repaired and nothing of another program's is touched.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::ffi::{self, ErrorCode};
use rusqlite::{Connection, Error, TransactionBehavior};

use super::{migrate, seal};
use crate::store::StoreError;

const SCHEMA: &str = include_str!("../../../schema.sql");
/// Marks the file as a postrider store: 'pstr'.
const APPLICATION_ID: i64 = 0x7073_7472;
/// The schema this program reads and writes.
pub const VERSION: i64 = 4;
/// Older ones can corrupt a WAL database when two connections write or checkpoint at once.
const OLDEST_SQLITE: i32 = 3_051_003;
/// How long a statement waits for another process's transaction before it fails as busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const BUSY_STEP: Duration = Duration::from_millis(1);

pub(super) fn file(path: &Path) -> Result<Connection, StoreError> {
    create(path)?;
    look_whole(path)?;
    let mut connection = Connection::open(path).map_err(|error| about(path, error))?;
    prepare(&mut connection).map_err(|error| match error {
        Trouble::Sqlite(error) => about(path, error),
        Trouble::Foreign => StoreError::Unusable(format!(
            "{} is a database of another program; set store.path to a file of postrider's own",
            path.display()
        )),
        Trouble::Newer(version) => StoreError::Unusable(format!(
            "{} was written by a newer postrider (schema {version}, this one knows {VERSION}); use that version",
            path.display()
        )),
        Trouble::OldSqlite(version) => StoreError::Unusable(format!(
            "this build has SQLite {version}, which can damage a database; it needs 3.51.3 or newer"
        )),
    })?;
    Ok(connection)
}

pub(super) fn memory() -> Result<Connection, StoreError> {
    let mut connection = Connection::open_in_memory().map_err(|error| sentence("memory", error))?;
    match prepare(&mut connection) {
        Ok(()) => Ok(connection),
        Err(Trouble::Sqlite(error)) => Err(sentence("memory", error)),
        Err(Trouble::Foreign | Trouble::Newer(_) | Trouble::OldSqlite(_)) => unreachable!("a fresh memory is empty"),
    }
}

/// Makes the file for this user alone, before SQLite would make it for everybody; its -wal and -shm inherit that.
///
/// One that is there is not touched: to close any handle of it would give up all locks that this process holds on it
/// (fcntl(2)), and so those of a store that was opened before.
fn create(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Unwritable(format!(
            "{} cannot be made: {error}; its folder must exist and be writable for this user",
            path.display()
        ))),
    }
}

/// SQLite takes a file of less than a page for a new database, and throws away what its log of writes holds: all that was
/// ever accepted would be gone without a word. A store that is only being made has neither a log nor part of a page.
fn look_whole(path: &Path) -> Result<(), StoreError> {
    let length = |path: &Path| std::fs::metadata(path).ok().filter(|found| found.is_file()).map(|found| found.len());
    let log = beside(path, "-wal");
    let why = match (length(path), length(&log)) {
        (Some(0), Some(1..)) => format!("is empty, but {} is not", log.display()),
        (Some(bytes @ 1..512), _) => format!("was cut: it has {bytes} bytes"),
        _ => return Ok(()),
    };
    Err(StoreError::Unusable(format!(
        "{} {why}; keep a copy of both, and restore a backup; to begin with an empty store, move both away",
        path.display()
    )))
}

/// The files of a store that is open, by their names and as the file system knows them.
///
/// Under another name, or none, a file goes on to take what is written to it, and who comes next finds nothing of that; without
/// the index that they share, two processes do not see each other's locks.
pub(super) struct Files(Vec<(PathBuf, Option<Identity>)>);

/// Device and number.
type Identity = (u64, u64);

impl Files {
    /// Those that are there, of the store at `path`. For what was read from at least once: then it has all.
    pub(super) fn of(path: &Path) -> Self {
        let names = [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")];
        Files(names.into_iter().map(|name| (name.clone(), identity_of(&name))).collect())
    }

    /// None, of a store without files.
    pub(super) fn none() -> Self {
        Files(Vec::new())
    }

    pub(super) fn add(&mut self, lock: &Lock) {
        self.0.push((lock.path.clone(), identity_of(&lock.path)));
    }

    /// Fails with a sentence if one of them has gone, or is another by now.
    pub(super) fn are_the_same(&self) -> Result<(), StoreError> {
        match self.0.iter().find(|(path, known)| known.is_some() && identity_of(path) != *known) {
            None => Ok(()),
            Some((path, _)) => Err(StoreError::Unusable(format!(
                "{} was deleted or replaced while it was in use; look at what is there now, then start again",
                path.display()
            ))),
        }
    }
}

fn identity_of(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

enum Trouble {
    Sqlite(Error),
    Foreign,
    Newer(i64),
    OldSqlite(&'static str),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Sqlite(error)
    }
}

fn prepare(connection: &mut Connection) -> Result<(), Trouble> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(Trouble::OldSqlite(rusqlite::version()));
    }
    connection.busy_handler(Some(wait_in_line))?;
    let version = known_version(connection)?;
    connection.execute_batch(
        "PRAGMA page_size = 8192;
         PRAGMA mmap_size = 0;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -16384;",
    )?;
    write_ahead(connection)?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;")?;
    if version < VERSION {
        bring_up(connection)?;
    }
    // A plan is made once and not again for each value that is bound, which for statements that partial indexes could serve
    // would be most of what they cost.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Without a master key, until it is known whether there is one.
    seal::equip(connection, None)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// The schema of a store of ours, 0 for a file with nothing in it yet.
fn known_version(connection: &Connection) -> Result<i64, Trouble> {
    // In this order: what another process makes at this moment comes with its mark in one transaction.
    let is_empty = is_empty(connection)?;
    let (application_id, version) = identity(connection)?;
    if application_id != APPLICATION_ID && !is_empty {
        return Err(Trouble::Foreign);
    }
    match version > VERSION {
        true => Err(Trouble::Newer(version)),
        false => Ok(version),
    }
}

/// Another process's transaction lasts as long as its sync of the disk. SQLite's own waits grow to a tenth of a second,
/// in which a process that writes without a pause takes its turn again and again.
fn wait_in_line(tries: i32) -> bool {
    std::thread::sleep(BUSY_STEP);
    BUSY_STEP * u32::try_from(tries).unwrap_or(u32::MAX) < BUSY_TIMEOUT
}

fn identity(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    Ok((number("application_id")?, number("user_version")?))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

/// The switch to WAL needs the file for itself and does not wait for it by itself: two processes may create at once.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let mut tries = 0;
    loop {
        let switched = connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()));
        match switched {
            Err(Error::SqliteFailure(failure, _)) if failure.code == ErrorCode::DatabaseBusy && tries < 100 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            other => return other,
        }
    }
}

/// Makes the tables of an empty store, or brings an older one to them. In one exclusive transaction, in which it looks
/// again: another process may have been first.
fn bring_up(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Exclusive)?;
    let (_, version) = identity(&transaction)?;
    if version < VERSION {
        match version {
            0 => transaction.execute_batch(SCHEMA)?,
            older => migrate::from(older, &transaction)?,
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}

fn about(path: &Path, error: Error) -> StoreError {
    sentence(&path.display().to_string(), error)
}

/// What SQLite's error means for whoever runs this, and what to do about it.
pub(super) fn sentence(store: &str, error: Error) -> StoreError {
    let Error::SqliteFailure(failure, _) = &error else {
        return StoreError::Unusable(format!("{store} holds something that postrider never writes: {error}"));
    };
    match failure.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy(format!(
            "{store} is held by another process for longer than {} s; end that process's transaction, then try again",
            BUSY_TIMEOUT.as_secs()
        )),
        ErrorCode::OutOfMemory | ErrorCode::FileLockingProtocolFailed => {
            StoreError::Busy(format!("{store}: {error}; it is tried again"))
        }
        ErrorCode::DiskFull => {
            StoreError::Unwritable(format!("{store} cannot grow: the disk is full; free some space"))
        }
        ErrorCode::ReadOnly => {
            StoreError::Unwritable(format!("{store} is read-only; make the file and its folder writable for this user"))
        }
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => StoreError::Unwritable(format!(
            "{store} cannot be opened ({error}); its folder must exist and be writable for this user"
        )),
        ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_FSYNC => StoreError::Unusable(
            format!("the disk could not make {store} durable (fsync failed); check the disk, then start again"),
        ),
        ErrorCode::SystemIoFailure => StoreError::Unwritable(format!(
            "{store}: the disk failed: {error}; look for a limit on file sizes (ulimit -f) and at the system's log"
        )),
        ErrorCode::DatabaseCorrupt => StoreError::Unusable(format!(
            "{store} is damaged ({error}); stop postrider, keep a copy, and restore a backup or try sqlite3's .recover"
        )),
        ErrorCode::NotADatabase => StoreError::Unusable(format!(
            "{store} is not an SQLite database; set store.path to a file of postrider's own"
        )),
        _ => StoreError::Unusable(format!("{store}: {error}")),
    }
}

/// The right to run the daemon on a store, held as long as this lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    path: PathBuf,
}

#[derive(Debug)]
pub enum LockError {
    /// Another daemon holds it; its process id, if it could be read.
    Held {
        pid: Option<u32>,
    },
    Io {
        path: PathBuf,
        error: std::io::Error,
    },
}

/// How long `lock` waits for those who only look whether it is held.
const PEEK: Duration = Duration::from_millis(500);
const BREATH: Duration = Duration::from_millis(5);

/// Takes the lock of the store at `path` for this process, or says who holds it. The lock is the kernel's: it ends
/// with the process, however that ends.
pub fn lock(path: &Path) -> Result<Lock, LockError> {
    let lock_path = lock_path(path);
    let at = |error| LockError::Io { path: lock_path.clone(), error };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(at)?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if waited < PEEK => {
                std::thread::sleep(BREATH);
                waited += BREATH;
            }
            Err(TryLockError::WouldBlock) => return Err(LockError::Held { pid: pid(&mut file) }),
            Err(TryLockError::Error(error)) => return Err(at(error)),
        }
    }
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(at)?;
    Ok(Lock { _file: file, path: lock_path })
}

/// The process that holds the lock of the store at `path`, if one does. Looks without taking: the lock is touched
/// for no longer than `lock` waits.
pub fn holder(path: &Path) -> Option<u32> {
    let mut file = File::open(lock_path(path)).ok()?;
    let mut waited = Duration::ZERO;
    while let Err(TryLockError::WouldBlock) = file.try_lock_shared() {
        let holder = pid(&mut file);
        // Between taking the lock and writing its id, a holder has none.
        if holder.is_some() || waited >= PEEK {
            return holder;
        }
        std::thread::sleep(BREATH);
        waited += BREATH;
    }
    // Closing the file gives the lock back.
    None
}

/// The file must be there already.
fn lock_path(path: &Path) -> PathBuf {
    beside(path, "-lock")
}

/// A file that belongs to a store: beside the store's file itself, whatever name it is reached by.
pub fn beside(store: &Path, suffix: &str) -> PathBuf {
    let mut name = store.canonicalize().unwrap_or_else(|_| store.to_owned()).into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

fn pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.take(32).read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_known_and_looking_does_not_take_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postrider.db");
        File::create(&path).unwrap();
        assert_eq!(holder(&path), None);
        let held = lock(&path).unwrap();
        let other_name = folder.path().join("link.db");
        std::os::unix::fs::symlink(&path, &other_name).unwrap();
        assert!(matches!(lock(&other_name), Err(LockError::Held { .. })), "one store, one daemon, by whatever name");
        assert_eq!(holder(&path), Some(std::process::id()));
        assert!(matches!(lock(&path), Err(LockError::Held { pid: Some(pid) }) if pid == std::process::id()));
        drop(held);
        assert_eq!(holder(&path), None);
        lock(&path).unwrap();
    }

    /// With less than FULL (2), the log is synced at checkpoints only: a power cut would take what was told to be on disk.
    #[test]
    fn what_is_committed_is_synced_before_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let connection = file(&folder.path().join("postrider.db")).unwrap();
        let level: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!((level, journal.as_str()), (2, "wal"));
    }

    #[test]
    fn a_store_that_was_cut_to_nothing_is_not_taken_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, log) = (folder.path().join("postrider.db"), folder.path().join("postrider.db-wal"));
        for (bytes, logged, words) in [(1, false, "was cut"), (511, true, "was cut"), (0, true, "is empty, but")] {
            std::fs::write(&path, vec![b'S'; bytes]).unwrap();
            std::fs::write(&log, vec![1; if logged { 32 } else { 0 }]).unwrap();
            let refused = file(&path).unwrap_err();
            assert!(matches!(&refused, StoreError::Unusable(why) if why.contains(words)), "{refused:?}");
            assert_eq!(std::fs::read(&path).unwrap().len(), bytes, "nothing was touched");
            assert_eq!(log.metadata().unwrap().len() > 0, logged);
        }
        std::fs::write(&path, "").unwrap();
        std::fs::remove_file(&log).unwrap();
        drop(file(&path).unwrap());
    }

    /// A daemon and a verb often begin together, in a folder that has no store yet.
    #[test]
    fn a_store_that_another_process_makes_at_this_moment_is_no_strangers() {
        for round in 0..40 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("postrider.db");
            create(&path).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| file(&path).map(drop).unwrap());
                let mut watching = Connection::open(&path).unwrap();
                watching.busy_handler(Some(wait_in_line)).unwrap();
                loop {
                    match known_version(&watching) {
                        Ok(VERSION) => break,
                        Ok(_) | Err(Trouble::Sqlite(_)) => {}
                        Err(Trouble::Foreign) => panic!("round {round}: it is taken for another program's"),
                        Err(Trouble::Newer(_) | Trouble::OldSqlite(_)) => panic!("round {round}"),
                    }
                }
            });
        }
    }
}
