//! Where a report goes: stdout, or a file that is there whole or not at all.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::cli::{Exit, Failure, is_stdin, shown};

pub enum Destination {
    Stdout,
    /// Written beside its place, and put there when it is complete.
    File(PathBuf),
    /// What is no regular file takes what is written: a pipe, /dev/null.
    Device(PathBuf),
}

impl Destination {
    /// Fails if there will be no writing there, before there is anything to write.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        if is_stdin(path) {
            return Ok(Destination::Stdout);
        }
        match path.metadata() {
            Ok(known) if known.is_dir() => {
                Err(Failure::new(Exit::Usage, format!("{} is a folder; name a file", shown(path))))
            }
            Ok(known) if !known.is_file() => Ok(Destination::Device(path.to_owned())),
            Ok(_) | Err(_) => {
                // Only tried: a file that waited for the report would stay behind if the check is interrupted.
                beside(path).map_err(|error| refused(path, &error))?;
                Ok(Destination::File(path.to_owned()))
            }
        }
    }

    pub fn write(self, text: &str) -> Result<(), Failure> {
        match self {
            Destination::Stdout => {
                let mut stdout = std::io::stdout().lock();
                match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
                    Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                        Err(Failure::new(Exit::Io, format!("standard output cannot be written: {error}")))
                    }
                    // Whoever read it wants no more of it.
                    Ok(()) | Err(_) => Ok(()),
                }
            }
            Destination::File(path) => {
                let write = || {
                    let mut file = beside(&path)?;
                    file.write_all(text.as_bytes())?;
                    file.as_file().sync_all()?;
                    file.persist(&path).map_err(|error| error.error)
                };
                write().map(|_| ()).map_err(|error| refused(&path, &error))
            }
            Destination::Device(path) => std::fs::write(&path, text).map_err(|error| refused(&path, &error)),
        }
    }
}

/// A file in the same folder, for only within one can a file take another's place at once.
fn beside(path: &Path) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    NamedTempFile::new_in(folder)
}

fn refused(path: &Path, error: &std::io::Error) -> Failure {
    let exit = if error.kind() == ErrorKind::NotFound { Exit::NotFound } else { Exit::Io };
    Failure::new(exit, format!("{} cannot be written: {error}", shown(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.xml");
        std::fs::write(&path, "the old one").unwrap();
        drop(Destination::open(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "the old one");
        Destination::open(&path).unwrap().write("the new one").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "the new one");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_cannot_be_written_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let failure = |path: &Path| Destination::open(path).err().expect("it cannot be written");
        assert!(failure(folder.path()).message.ends_with("is a folder; name a file"));
        let nowhere = folder.path().join("not/there.xml");
        assert_eq!(failure(&nowhere).exit, Exit::NotFound);
    }
}
