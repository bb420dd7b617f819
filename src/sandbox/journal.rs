//! The journal: what the sandbox accepted, in one file of a line each, so that it knows after a crash what it knew before.
//! A command is on disk before it is answered. A last line that was cut off is dropped; every other damage is refused, for
//! what follows it would mean something else.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::world::{Entry, World};
use crate::plain::plain;

/// The most bytes of a journal: what a sandbox does in months.
const MOST_BYTES: u64 = 1 << 30;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// The first line, with the version of all that follow.
    SandboxJournal(u32),
    Accepted(Entry),
    /// The daemon has this notification, or refused it for good.
    Handed(String),
}

const VERSION: u32 = 1;

#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Up to here it is whole.
    length: u64,
    /// It could not be brought back to a whole line: nothing more is written.
    broken: Option<String>,
}

/// What stood in a journal.
pub struct Opened {
    pub journal: Journal,
    pub world: World,
    /// How many bytes at its end were no whole line, and were dropped.
    pub dropped: u64,
}

impl Journal {
    /// Opens the file, or makes it, and replays what it holds. Fails with a sentence that says what is wrong with it.
    pub fn open(path: &Path) -> Result<Opened, String> {
        let failed = |error: io::Error| format!("the journal {} cannot be used: {error}", shown(path));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > MOST_BYTES {
            return Err(format!("the journal {} has more than {MOST_BYTES} bytes; begin a new folder", shown(path)));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let world = replayed(&bytes[..whole])
            .map_err(|what| format!("the journal {} {what}; give another --folder, or remove it", shown(path)))?;
        let dropped = (bytes.len() - whole) as u64;
        let mut journal = Journal { path: path.to_owned(), file, length: whole as u64, broken: None };
        if dropped > 0 {
            journal.file.set_len(whole as u64).and_then(|()| journal.file.sync_all()).map_err(failed)?;
        }
        if whole == 0 {
            journal.write(&Line::SandboxJournal(VERSION), true).map_err(|what| format!("{what}; nothing was begun"))?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(Opened { journal, world, dropped })
    }

    /// Keeps an entry: `Ok` follows its way to the disk.
    pub fn accept(&mut self, entry: &Entry) -> Result<(), String> {
        self.write(&Line::Accepted(entry.clone()), true)
    }

    /// Keeps that a notification needs no handing over any more. Lost, it is handed over again, which changes nothing.
    pub fn handed(&mut self, id: &str) -> Result<(), String> {
        self.write(&Line::Handed(id.to_owned()), false)
    }

    fn write(&mut self, line: &Line, durably: bool) -> Result<(), String> {
        let failed = |path: &Path, error: &dyn std::fmt::Display| {
            format!("the journal {} cannot be written: {error}", shown(path))
        };
        if let Some(why) = &self.broken {
            return Err(format!(
                "the journal {} is not written any more since {why}; start the sandbox again",
                shown(&self.path)
            ));
        }
        let mut bytes = serde_json::to_vec(line).expect("plain data");
        bytes.push(b'\n');
        let written = self.file.seek(SeekFrom::Start(self.length)).and_then(|_| self.file.write_all(&bytes));
        if let Err(error) = written {
            // Half a line must not stand before the next one.
            if let Err(worse) = self.file.set_len(self.length) {
                self.broken = Some(worse.to_string());
            }
            return Err(failed(&self.path, &in_words(&error)));
        }
        if durably && let Err(error) = self.file.sync_data() {
            // What of it is on disk, nobody knows; a second try would say yes without knowing either.
            self.broken = Some(error.to_string());
            return Err(failed(&self.path, &in_words(&error)));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull => format!("{error}; make room on the disk"),
        _ => error.to_string(),
    }
}

/// The world that these lines make, each of which is whole.
fn replayed(bytes: &[u8]) -> Result<World, String> {
    let mut world = World::default();
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    for (number, line) in lines.enumerate().map(|(index, line)| (index + 1, line)) {
        let damaged =
            |what: &dyn std::fmt::Display| format!("is damaged at line {number}: {}", plain(&what.to_string()));
        let line: Line = serde_json::from_slice(line).map_err(|error| match number {
            1 => "is no journal of a sandbox".to_owned(),
            _ => damaged(&error),
        })?;
        match (number, line) {
            (1, Line::SandboxJournal(VERSION)) => {}
            (1, Line::SandboxJournal(other)) => {
                return Err(format!("is of version {other}, and this postrider reads version {VERSION}"));
            }
            (1, _) => return Err("is no journal of a sandbox".to_owned()),
            (_, Line::SandboxJournal(_)) => return Err(damaged(&"a journal begins once")),
            (_, Line::Accepted(entry)) => {
                world.apply(&entry).map_err(|refusal| damaged(&refusal.text()))?;
            }
            (_, Line::Handed(id)) => world.handed(&id),
        }
    }
    Ok(world)
}

fn shown(path: &Path) -> String {
    plain(&path.to_string_lossy())
}

#[cfg(test)]
mod tests;
