//! A copy of a store in a file of its own, as it is at one moment, while others go on writing.

use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{SqliteStore, open};
use crate::store::StoreError;

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    pub bytes: u64,
    pub events: u64,
    /// Deliveries that it owes.
    pub pending: u64,
}

impl SqliteStore {
    /// Writes all that is committed now into `file`, which must be empty; then reads it to its end and has it on disk.
    ///
    /// `VACUUM INTO` and not SQLite's backup API: that begins anew whenever another process writes, and under load never
    /// ends. This one reads one snapshot and holds up no writer; meanwhile the store's log cannot begin anew, and grows.
    pub fn copy_into(&self, file: &Path) -> Result<Copied, StoreError> {
        let name = file.to_string_lossy().into_owned();
        let copied = self.connection.execute("VACUUM INTO ?1", [&name]).and_then(|_| looked_through(file));
        let (whole, events, pending) = copied.map_err(|error| open::sentence(&name, error))?;
        if whole != "ok" {
            return Err(StoreError::Unusable(format!(
                "{} is damaged, and so is a copy of it ({whole}); stop postrider, keep the file, and restore an older backup",
                self.name
            )));
        }
        let synced = File::open(file).and_then(|file| file.sync_all().and_then(|()| file.metadata()));
        let bytes =
            synced.map_err(|error| StoreError::Unwritable(format!("{name} cannot be made durable: {error}")))?.len();
        Ok(Copied { bytes, events, pending })
    }

    /// Of the store's own file, which a copy is hardly larger than.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        self.read(|connection| {
            connection.query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |row| {
                row.get(0)
            })
        })
    }
}

fn looked_through(file: &Path) -> rusqlite::Result<(String, u64, u64)> {
    let copy = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let whole = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    let count = |what: &str| copy.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0));
    Ok((whole, count("event")?, count("delivery WHERE state = 'pending'")?))
}
