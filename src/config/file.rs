//! Which configuration file holds, and its text.
//! Looks at the disk and at nothing else: the environment and the current folder are arguments.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{Problem, Sources};
use crate::plain::plain;

/// A configuration file that was read.
pub(super) struct ConfigFile {
    /// As it is shown: as it was named, or as it was found from the current folder.
    pub path: PathBuf,
    pub text: String,
}

/// The most bytes a configuration file may have.
const LARGEST: u64 = 1024 * 1024;

/// The file that was named, which must exist; else the first that exists of the usual places; else none.
pub(super) fn find(sources: &Sources) -> Result<Option<ConfigFile>, Problem> {
    if let Some(named) = &sources.file {
        return match read(&sources.folder, named)? {
            Some(file) => Ok(Some(file)),
            None => Err(problem(named, "does not exist; name another with --config, or none to use the defaults")),
        };
    }
    for place in places(sources) {
        if let Some(file) = read(&sources.folder, &place)? {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Where a file that nobody named may be, the first wins. A relative `$XDG_CONFIG_HOME` is no place: its standard (XDG
/// Base Directory Specification, "Environment variables") says to ignore it.
pub(super) fn places(sources: &Sources) -> Vec<PathBuf> {
    let folder = |name| sources.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let own = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
    let own = own.map(|folder| folder.join("postrider/config.toml"));
    [Some(PathBuf::from("config.toml")), own, Some(PathBuf::from("/etc/postrider/config.toml"))]
        .into_iter()
        .flatten()
        .collect()
}

impl Sources {
    fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }
}

/// `None` if there is no such file. One that is there and cannot be read is a problem, even if nobody named it: silently
/// running with the defaults would be worse.
fn read(folder: &Path, path: &Path) -> Result<Option<ConfigFile>, Problem> {
    let file = match File::open(folder.join(path)) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(problem(path, &format!("cannot be read: {error}"))),
    };
    let mut bytes = Vec::new();
    if let Err(error) = file.take(LARGEST + 1).read_to_end(&mut bytes) {
        return Err(problem(path, &format!("cannot be read: {error}")));
    }
    if bytes.len() as u64 > LARGEST {
        return Err(problem(path, "has more than 1 MiB; is it a configuration file?"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(ConfigFile { path: path.to_owned(), text })),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|b| **b == b'\n').count();
            Err(problem(path, &format!("is not UTF-8 on line {line}")))
        }
    }
}

fn problem(path: &Path, text: &str) -> Problem {
    Problem { place: plain(&path.to_string_lossy()), text: text.to_owned() }
}
