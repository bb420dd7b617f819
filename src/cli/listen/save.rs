//! Keeps certificates as files. Their names are made of what a sender wrote, and lead nowhere: no folder, no hidden
//! file, nothing that was there before is touched.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::subject::Certificate;
use crate::cli::{Exit, Failure, shown};
use crate::provider::octamile::certificate::Kind;

/// Files of one name, numbered. More of them are a mistake.
const MOST: u32 = 10_000;

/// Makes the folder if it is not there, for its user alone.
pub fn folder(path: &Path) -> Result<(), Failure> {
    let refused = |why: String| Failure::new(Exit::Io, format!("--save {}: {why}", shown(path)));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| refused(error.to_string()))?;
    match path.is_dir() {
        true => Ok(()),
        false => Err(refused("it is no folder".to_owned())),
    }
}

/// Writes a certificate to a file of its own, for its user alone. Fails with a sentence.
pub fn save(folder: &Path, certificate: &Certificate) -> Result<PathBuf, String> {
    let (stem, end) = (stem(&certificate.transaction), certificate.kind.map_or("bin", Kind::as_str));
    for number in 1..=MOST {
        let name = match number {
            1 => format!("{stem}.{end}"),
            _ => format!("{stem}-{number}.{end}"),
        };
        let path = folder.join(name);
        let failed = |error: std::io::Error| format!("{} cannot be written: {error}", shown(&path));
        // Fails too where there is a symbolic link, wherever it leads.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                return match file.write_all(&certificate.bytes) {
                    Ok(()) => Ok(path),
                    Err(error) => {
                        // Half a certificate helps nobody; that it could not be written is what is told.
                        let _ = std::fs::remove_file(&path);
                        Err(failed(error))
                    }
                };
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(format!("{} has {MOST} files named {stem} already", shown(folder)))
}

/// At most 80 characters out of A-Z a-z 0-9 _ - and the dot, which never comes first.
fn stem(transaction: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' };
    let safe: String = transaction.chars().map(safe).collect();
    let stem: String = safe.trim_start_matches(['.', '-']).chars().take(80).collect();
    if stem.is_empty() { "certificate".to_owned() } else { stem }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn certificate(transaction: &str) -> Certificate {
        Certificate { kind: Some(Kind::Pdf), bytes: b"%PDF-1".to_vec(), transaction: transaction.to_owned() }
    }

    #[test]
    fn names_lead_nowhere() {
        for (transaction, expected) in [
            ("z9y8", "z9y8"),
            ("../../x", "_.._x"),
            ("/etc/passwd", "_etc_passwd"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("..", "certificate"),
            ("", "certificate"),
            ("a\0b\nc\\d:é", "a_b_c_d__"),
        ] {
            assert_eq!(stem(transaction), expected);
        }
        assert_eq!(stem(&"x".repeat(5000)).len(), 80);
    }

    #[test]
    fn nothing_is_overwritten_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.pdf"), "old").unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("a-2.pdf")).unwrap();
        let path = save(folder.path(), &certificate("a")).unwrap();
        assert_eq!(path.file_name().unwrap(), "a-3.pdf");
        assert_eq!(std::fs::read(&path).unwrap(), b"%PDF-1");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(folder.path().join("a.pdf")).unwrap(), b"old");
        assert!(!elsewhere.exists());
    }
}
