//! `postrider backup`: a copy of the store, while the daemon runs, that is whole or not there.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use super::progress::Progress;
use super::{Context, Exit, Failure, output, shown};
use crate::store::StoreError;
use crate::store::sqlite::{Copied, SqliteStore, beside};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postrider backup /var/backups/postrider.db
  postrider backup --force nightly.db               replaces the last one, once the new one is whole
  17 3 * * *  postrider --config /etc/postrider/config.toml backup --force /var/backups/postrider.db

The daemon goes on meanwhile. The copy holds all that was accepted before this began, and the keys:
it is made for its user alone, and belongs where secrets may be.
To restore: stop the daemon, move the store and its -wal and -shm away, put the copy in the store's
place, start the daemon. What was delivered since the backup is then sent again, with the same ids.")]
pub struct Arguments {
    /// Where the copy goes; its folder must be there
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace FILE if it is there
    #[arg(long)]
    force: bool,
}

/// How often it is looked how far the copy is.
const GLANCE: Duration = Duration::from_millis(200);

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let Arguments { file, force } = arguments;
    let store = context.existing_store()?;
    let part = part_of(&file)?;
    refuse_own(&file, context.store_path())?;
    refuse_own(&part, context.store_path())?;
    if !force && file.symlink_metadata().is_ok() {
        let text = format!("{} is there already; --force replaces it once the new copy is whole", shown(&file));
        return Err(Failure::new(Exit::Data, text));
    }
    let begun = Instant::now();
    let part = Part::begin(part, &file)?;
    let copied = watched(&store, &part)?;
    part.end(&file)?;
    let seconds = begun.elapsed().as_secs_f64();
    let Copied { bytes, events, pending } = copied;
    match context.json {
        true => output::json(&json!({
            "path": file.to_string_lossy(), "bytes": bytes, "events": events, "pending": pending, "seconds": seconds
        }))?,
        false => output::line(&format!(
            "{}: {events} events, {pending} deliveries pending, {bytes} bytes, {seconds:.1} s",
            shown(&file)
        ))?,
    }
    Ok(Exit::Done)
}

/// A backup over the store itself would be its end, and what stands where its journal would is deleted when it is opened.
fn refuse_own(file: &Path, store: &Path) -> Result<(), Failure> {
    let identity = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    let place = place(file);
    let own = ["", "-wal", "-shm", "-lock", "-journal"].iter().any(|suffix| {
        let own = beside(store, suffix);
        place == own || identity(&own).is_some_and(|own| Some(own) == identity(file))
    });
    match own {
        true => {
            Err(Failure::new(Exit::Data, format!("{} belongs to the store itself; name another file", shown(file))))
        }
        false => Ok(()),
    }
}

/// Where a file is or would be, whatever its folder is called here; a link in its own place is not followed.
fn place(file: &Path) -> PathBuf {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let folder = absolute.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        (None, _) | (_, None) => absolute,
    }
}

/// What a copy is called as long as it is not whole.
fn part_of(file: &Path) -> Result<PathBuf, Failure> {
    let name = file.file_name().ok_or_else(|| Failure::new(Exit::Data, format!("{} names no file", shown(file))))?;
    let mut name = name.to_owned();
    name.push(".part");
    Ok(file.with_file_name(name))
}

/// Copies, and shows how far it is.
fn watched(store: &SqliteStore, part: &Part) -> Result<Copied, StoreError> {
    let total = store.bytes()?;
    let progress = Progress::of(Some(total));
    let (done, ended) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let progress = &progress;
        scope.spawn(move || {
            while ended.recv_timeout(GLANCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let length = part.path.metadata().map_or(0, |found| found.len());
                progress.is_at(length.min(total), format!("{} MB", length >> 20));
            }
        });
        let copied = store.copy_into(&part.path);
        drop(done);
        copied
    })
}

/// A copy that is not whole yet, under a name of its own beside the one it is to have. One that was left by a backup that was
/// killed is taken over by the next.
struct Part {
    path: PathBuf,
    /// Locked, so that two backups to one name do not write over each other.
    _file: File,
    has_its_name: bool,
}

impl Part {
    fn begin(path: PathBuf, file: &Path) -> Result<Self, Failure> {
        let at = |error: &std::io::Error| {
            let text = format!("{} cannot be written: {error}; its folder must exist and be writable", shown(&path));
            Failure::new(if error.kind() == ErrorKind::NotFound { Exit::NotFound } else { Exit::Io }, text)
        };
        loop {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600).custom_flags(NO_FOLLOW);
            let opened = options.open(&path).map_err(|error| at(&error))?;
            match opened.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let text = format!("another backup to {} runs already; wait for its end", shown(file));
                    return Err(Failure::new(Exit::Busy, text));
                }
                Err(TryLockError::Error(error)) => return Err(at(&error)),
            }
            // Between the two steps another backup may have ended: then this file is its copy, by its name now, or is gone.
            if is_still(&opened, &path) {
                opened.set_len(0).map_err(|error| at(&error))?;
                return Ok(Part { path, _file: opened, has_its_name: false });
            }
        }
    }

    /// Gives it its name, in one step, and has that on disk.
    fn end(mut self, file: &Path) -> Result<(), Failure> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let renamed = std::fs::rename(&self.path, file);
        self.has_its_name = renamed.is_ok();
        let named = renamed.and_then(|()| File::open(folder)).and_then(|it| it.sync_all());
        named.map_err(|error| Failure::new(Exit::Io, format!("{} cannot be put in place: {error}", shown(file))))
    }
}

/// Whether this name leads to this file.
fn is_still(file: &File, path: &Path) -> bool {
    let identity = |found: std::io::Result<std::fs::Metadata>| found.ok().map(|found| (found.dev(), found.ino()));
    let own = identity(file.metadata());
    own.is_some() && own == identity(path.symlink_metadata())
}

/// The name may not lead elsewhere: whoever can write to the folder could have the keys written to a file of theirs.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

impl Drop for Part {
    fn drop(&mut self) {
        if self.has_its_name {
            return;
        }
        let _ = std::fs::remove_file(&self.path);
        // SQLite's own, which stays when the copy fails.
        let _ = std::fs::remove_file(beside(&self.path, "-journal"));
    }
}
