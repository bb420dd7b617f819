//! The secrets and keys that a verb is given: by the name of a file, of a variable or by stdin, never as an argument,
//! which the shell's history and everybody's `ps` would show. No message repeats what was read.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Exit, Failure, is_stdin, output, read, shown};
use crate::endpoint::{Key, ProfileName, Scheme};
use crate::operations;
use crate::provider;
use crate::signature;

/// More than any secret has, a newline included.
const MOST_BYTES: usize = 8192;

#[derive(Debug, clap::Args)]
// Within another verb's arguments, whose group has this name too.
#[group(skip)]
pub struct Arguments {
    /// A file with the shared secret, - for stdin: any text (ensuro), whsec_… (standard)
    #[arg(long, value_name = "FILE", conflicts_with = "secret_env")]
    secret_file: Option<PathBuf>,
    /// The name of an environment variable with the shared secret
    #[arg(long, value_name = "VARIABLE")]
    secret_env: Option<String>,
    /// A file with the private key, - for stdin: 64 hex digits (ensuro), whsk_… (standard)
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Arguments {
    pub fn is_empty(&self) -> bool {
        self.secret_file.is_none() && self.secret_env.is_none() && self.key_file.is_none()
    }

    /// Whether one of them is to be read from stdin.
    pub fn take_stdin(&self) -> bool {
        [&self.secret_file, &self.key_file].into_iter().flatten().any(|path| is_stdin(path))
    }

    /// What they name, read; nothing of it is judged yet. Of a profile that is known, only what it has use for.
    pub fn texts(&self, profile: Option<ProfileName>) -> Result<Texts, Failure> {
        if [&self.secret_file, &self.key_file].into_iter().flatten().filter(|path| is_stdin(path)).count() > 1 {
            return Err(Failure::new(Exit::Usage, "stdin can be the secret or the key, not both"));
        }
        // The scheme first: a secret that no use can be made of is not read.
        let is_used = |asymmetric| match profile {
            Some(profile) => scheme(profile, asymmetric).map(|_| ()),
            None => Ok(()),
        };
        let mut texts = Texts::default();
        if let Some(path) = &self.secret_file {
            is_used(false)?;
            texts.secret = Some(secret_file(path)?);
        }
        if let Some(name) = &self.secret_env {
            is_used(false)?;
            texts.secret = Some(variable(name)?);
        }
        if let Some(path) = &self.key_file {
            is_used(true)?;
            texts.key = Some(secret_file(path)?);
        }
        Ok(texts)
    }

    /// As `texts`; one at least, where the profile signs.
    pub fn needed_texts(&self, profile: ProfileName) -> Result<Texts, Failure> {
        if self.is_empty() && !provider::profile(profile).schemes.is_empty() {
            return Err(Failure::new(Exit::Data, missing(profile)));
        }
        self.texts(Some(profile))
    }

    /// The keys of an endpoint of this profile.
    pub fn keys(&self, profile: ProfileName) -> Result<Vec<Key>, Failure> {
        self.needed_texts(profile)?.keys(profile)
    }
}

/// A secret and a key as they were written, of which each may be missing.
#[derive(Default)]
pub struct Texts {
    secret: Option<Zeroizing<Vec<u8>>>,
    key: Option<Zeroizing<Vec<u8>>>,
}

impl Texts {
    pub fn is_empty(&self) -> bool {
        self.secret.is_none() && self.key.is_none()
    }

    /// The keys that they are for this profile.
    pub fn keys(&self, profile: ProfileName) -> Result<Vec<Key>, Failure> {
        let given = [(false, &self.secret), (true, &self.key)];
        let given = given.into_iter().filter_map(|(asymmetric, text)| Some((asymmetric, text.as_ref()?)));
        given.map(|(asymmetric, text)| key(scheme(profile, asymmetric)?, text)).collect()
    }

    /// The shared secret, for whoever sends it on.
    pub fn secret(&self) -> Result<Option<&str>, Failure> {
        self.secret.as_deref().map(|bytes| text(bytes)).transpose()
    }

    /// The private key, for whoever sends it on.
    pub fn key(&self) -> Result<Option<&str>, Failure> {
        self.key.as_deref().map(|bytes| text(bytes)).transpose()
    }
}

fn text(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(|_| {
        Failure::new(Exit::Data, "a secret that is not UTF-8 cannot be handed to a daemon; use the store itself")
    })
}

fn scheme(profile: ProfileName, asymmetric: bool) -> Result<Scheme, Failure> {
    operations::scheme_of(profile, asymmetric).map_err(|message| Failure::new(Exit::Data, message))
}

fn missing(profile: ProfileName) -> String {
    let which = match profile {
        ProfileName::Ensuro => {
            "the shared secret by --secret-file (hmac), or an Ethereum private key by --key-file (eip191)"
        }
        ProfileName::Standard => {
            "the shared secret whsec_… by --secret-file (v1), the private key whsk_… by --key-file (v1a), or both"
        }
        ProfileName::Octamile => "nothing",
    };
    format!("{profile} notifications are signed: give {which}")
}

fn key(scheme: Scheme, text: &[u8]) -> Result<Key, Failure> {
    signature::read_key(scheme, text).map_err(|message| Failure::new(Exit::Data, message))
}

/// What stands in a file of secrets. One that others can read is taken, and they are told of.
pub fn secret_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if is_secret(path.as_os_str().as_bytes()) {
        return Err(Failure::new(
            Exit::Usage,
            "a file's name is expected where something like the secret itself was given; it now stands in your \
             shell's history, so make a new one and keep it in a file",
        ));
    }
    let bytes = match read(path, MOST_BYTES)? {
        Some(bytes) => Zeroizing::new(bytes),
        None => {
            let text = format!("{} has more than {MOST_BYTES} bytes; that is no secret and no key", shown(path));
            return Err(Failure::new(Exit::Data, text));
        }
    };
    if let (false, Ok(metadata)) = (is_stdin(path), path.metadata()) {
        let mode = metadata.mode() & 0o777;
        if metadata.is_file() && mode & 0o077 != 0 {
            let place = shown(path);
            output::note(&format!(
                "warning: {place} is open to others (mode {mode:04o}); `chmod 600 {place}` keeps it to you"
            ));
        }
    }
    Ok(bytes)
}

/// What an environment variable holds.
pub fn variable(name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) {
        return Ok(Zeroizing::new(value.as_bytes().to_vec()));
    }
    // What is not like a variable's name may be the secret itself, which must not be repeated.
    let named = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let which = if named { name } else { "that --secret-env names" };
    Err(Failure::new(Exit::NotFound, format!("the environment variable {which} is not set, or empty")))
}

fn is_secret(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    let is_hex = digits.len() >= 32 && digits.iter().all(u8::is_ascii_hexdigit);
    [b"whsec_".as_slice(), b"whsk_", b"prt_"].iter().any(|prefix| text.starts_with(prefix)) || is_hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_the_place_of_a_file_is_known() {
        let hex = "0123456789abcdef".repeat(4);
        for secret in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsk_x", "prt_x", &hex, &format!("0x{hex}")] {
            assert!(is_secret(secret.as_bytes()), "{secret}");
        }
        for file in ["-", "acme.secret", "/run/secrets/whsec", "deadbeef", "0x"] {
            assert!(!is_secret(file.as_bytes()), "{file}");
        }
    }
}
