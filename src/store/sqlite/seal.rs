//! The master key: with it, what endpoints are signed with and what their extra headers hold is sealed in the file.
//!
//! XChaCha20-Poly1305 with a nonce drawn for each secret; the endpoint and what the secret is are part of what is authenticated,
//! so that one cannot be put in another's place. SQL seals and unseals by functions that each connection has, which without
//! a master key answer what they are given: so whoever reads or writes a secret does it the same way.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::{Connection, Error, OptionalExtension, TransactionBehavior};
use zeroize::{Zeroize, Zeroizing};

use crate::store::StoreError;

const NONCE: usize = 24;
/// More than a master key has, however it is written.
const MOST_BYTES: u64 = 256;
/// Sealed when the store is, to know the master key again.
const PROOF: &[u8] = b"postrider";

/// 32 bytes, told to nobody.
#[derive(Clone)]
pub struct MasterKey(Arc<XChaCha20Poly1305>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

impl MasterKey {
    /// From a file that nobody else may read: 64 hex digits, or the base64 of 32 bytes. Fails with a sentence.
    pub fn read(path: &Path) -> Result<Self, String> {
        let place = crate::plain::plain(&path.to_string_lossy());
        let unreadable = |error: std::io::Error| format!("the master key {place} cannot be read: {error}");
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let found = file.metadata().map_err(unreadable)?;
        if found.is_dir() {
            return Err(format!("the master key {place} cannot be read: it is a folder"));
        }
        let mode = found.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(format!(
                "the master key {place} is open to others (mode {mode:04o}); chmod 600 it, and make a new one"
            ));
        }
        let mut text = Zeroizing::new(Vec::new());
        file.take(MOST_BYTES).read_to_end(&mut text).map_err(unreadable)?;
        Self::parse(text.trim_ascii()).ok_or_else(|| {
            format!("{place} holds no master key, which is 32 bytes in hex or base64; `openssl rand -hex 32` makes one")
        })
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let bytes = match text.len() {
            64 => unhex(text)?,
            _ => BASE64.decode(text).ok()?,
        };
        let bytes = Zeroizing::new(bytes);
        XChaCha20Poly1305::new_from_slice(&bytes).ok().map(|cipher| MasterKey(Arc::new(cipher)))
    }

    fn seal(&self, plain: &[u8], about: &str) -> Result<Vec<u8>, Unsealed> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| Unsealed)?;
        let payload = Payload { msg: plain, aad: about.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| Unsealed)?;
        Ok([&nonce[..], &sealed].concat())
    }

    fn unseal(&self, sealed: &[u8], about: &str) -> Result<Vec<u8>, Unsealed> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(Unsealed)?;
        self.0.decrypt(&XNonce::from(*nonce), Payload { msg: rest, aad: about.as_bytes() }).map_err(|_| Unsealed)
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.chunks(2).map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

/// Says nothing of what was to be unsealed.
#[derive(Debug, thiserror::Error)]
#[error("a secret in it was changed, or is sealed with another master key")]
struct Unsealed;

/// Gives the connection its functions: `seal_key(secret, endpoint, scheme)`, `seal_headers(overrides, endpoint)`, and the
/// same with `unseal`.
pub(super) fn equip(connection: &Connection, key: Option<&MasterKey>) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    for (name, sealing) in [("seal_key", true), ("unseal_key", false)] {
        let key = key.cloned();
        connection.create_scalar_function(name, 3, flags, move |context: &Context| {
            let secret = context.get_raw(0).as_blob().map_err(|error| Error::UserFunctionError(Box::new(error)))?;
            let about = format!("key {} {}", context.get::<i64>(1)?, context.get::<String>(2)?);
            match &key {
                None => Ok(secret.to_vec()),
                Some(key) => turned(key, sealing, secret, &about),
            }
        })?;
    }
    for (name, sealing) in [("seal_headers", true), ("unseal_headers", false)] {
        let key = key.cloned();
        connection.create_scalar_function(name, 2, flags, move |context: &Context| {
            match (context.get::<Option<String>>(0)?, &key) {
                (Some(overrides), Some(key)) => headers(key, sealing, &overrides, context.get(1)?).map(Some),
                (overrides, _) => Ok(overrides),
            }
        })?;
    }
    Ok(())
}

fn turned(key: &MasterKey, sealing: bool, bytes: &[u8], about: &str) -> rusqlite::Result<Vec<u8>> {
    let turned = if sealing { key.seal(bytes, about) } else { key.unseal(bytes, about) };
    turned.map_err(|error| Error::UserFunctionError(Box::new(error)))
}

/// The column `overrides` with the value of each extra header sealed (then base64) or unsealed.
fn headers(key: &MasterKey, sealing: bool, overrides: &str, endpoint: i64) -> rusqlite::Result<String> {
    let damaged = || Error::UserFunctionError(Box::new(Unsealed));
    let mut column: serde_json::Value = serde_json::from_str(overrides).map_err(|_| damaged())?;
    for header in column["headers"].as_array_mut().into_iter().flatten() {
        let name = header[0].as_str().ok_or_else(damaged)?.to_owned();
        let mut value = header[1].as_str().ok_or_else(damaged)?.to_owned();
        let about = format!("header {endpoint} {name}");
        let turned = match sealing {
            true => BASE64.encode(turned(key, true, value.as_bytes(), &about)?),
            false => {
                let sealed = BASE64.decode(&value).map_err(|_| damaged())?;
                String::from_utf8(turned(key, false, &sealed, &about)?).map_err(|_| damaged())?
            }
        };
        value.zeroize();
        header[1] = turned.into();
    }
    // Nothing was indexed that was not there.
    if column["headers"].is_null() {
        return Ok(overrides.to_owned());
    }
    Ok(column.to_string())
}

/// Whether the store is sealed as it is asked for; a store without endpoints becomes so.
pub(super) fn agree(connection: &Connection, store: &str, key: Option<&MasterKey>) -> Result<(), StoreError> {
    let trouble = |error| super::open::sentence(store, error);
    let Some(key) = key else {
        return match proof(connection).map_err(trouble)? {
            None => Ok(()),
            Some(_) => Err(StoreError::Sealed(format!(
                "{store} is sealed: store.master_key_file must name its master key; without that key its secrets are lost"
            ))),
        };
    };
    if proof(connection).map_err(trouble)?.is_none() {
        seal_an_empty_one(connection, key).map_err(trouble)?;
    }
    match proof(connection).map_err(trouble)? {
        Some(proof) if key.unseal(&proof, "proof").is_ok_and(|known| known == PROOF) => Ok(()),
        Some(_) => Err(another_key(store)),
        None => Err(StoreError::Sealed(format!(
            "{store} is not sealed yet, though there is a store.master_key_file; stop the daemon and run `postrider seal` once"
        ))),
    }
}

fn another_key(store: &str) -> StoreError {
    StoreError::Sealed(format!(
        "{store} is sealed with another master key than that of store.master_key_file; `postrider seal --was FILE` changes it"
    ))
}

fn proof(connection: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.query_row("SELECT proof FROM seal", [], |row| row.get(0)).optional()
}

fn seal_an_empty_one(connection: &Connection, key: &MasterKey) -> rusqlite::Result<()> {
    let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let sealed = key.seal(PROOF, "proof").map_err(|error| Error::UserFunctionError(Box::new(error)))?;
    transaction.execute(
        "INSERT INTO seal (id, proof) SELECT 1, ?1 WHERE NOT EXISTS (SELECT 1 FROM endpoint) ON CONFLICT DO NOTHING",
        [sealed],
    )?;
    transaction.commit()
}

/// How many secrets were sealed anew, `None` if they were sealed so before. Afterwards no byte of the file or its log holds them
/// otherwise: the file is written anew as a whole. The caller must hold the store's lock.
pub fn reseal(path: &Path, from: Option<&MasterKey>, to: Option<&MasterKey>) -> Result<Option<u64>, StoreError> {
    let store = path.to_string_lossy().into_owned();
    let trouble = |error| super::open::sentence(&store, error);
    let connection = super::open::file(path)?;
    let sealed_as_wanted = agree(&connection, &store, to).is_ok();
    let changed = match sealed_as_wanted {
        true => None,
        false if from.is_none() && proof(&connection).map_err(trouble)?.is_some() => return Err(another_key(&store)),
        false => {
            agree(&connection, &store, from)?;
            Some(change(&connection, from, to).map_err(trouble)?)
        }
    };
    connection.execute_batch("VACUUM").map_err(trouble)?;
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(trouble)?;
    match busy {
        false => Ok(changed),
        true => Err(StoreError::Busy(format!(
            "{store} is sealed, but another process reads it, and its log holds the secrets still; end that one, and run this again"
        ))),
    }
}

type Keys = Vec<(i64, i64, Zeroizing<Vec<u8>>)>;
type Headers = Vec<(i64, Zeroizing<String>)>;

/// All that is or will be sealed, with where it belongs.
fn unsealed(connection: &Connection) -> rusqlite::Result<(Keys, Headers)> {
    let mut keys =
        connection.prepare("SELECT endpoint_id, position, unseal_key(secret, endpoint_id, scheme) FROM key")?;
    let keys = keys.query_map([], |row| Ok((row.get(0)?, row.get(1)?, Zeroizing::new(row.get(2)?))))?;
    let keys: Keys = keys.collect::<rusqlite::Result<_>>()?;
    let with_headers = "SELECT id, unseal_headers(overrides, id) FROM endpoint WHERE overrides LIKE '%headers%'";
    let mut headers = connection.prepare(with_headers)?;
    let headers = headers.query_map([], |row| Ok((row.get(0)?, Zeroizing::new(row.get(1)?))))?;
    Ok((keys, headers.collect::<rusqlite::Result<_>>()?))
}

fn change(connection: &Connection, from: Option<&MasterKey>, to: Option<&MasterKey>) -> rusqlite::Result<u64> {
    let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    equip(&transaction, from)?;
    let (keys, overrides) = unsealed(&transaction)?;
    equip(&transaction, to)?;
    for (endpoint, position, secret) in &keys {
        transaction.execute(
            "UPDATE key SET secret = seal_key(?3, endpoint_id, scheme) WHERE endpoint_id = ?1 AND position = ?2",
            rusqlite::params![endpoint, position, secret.as_slice()],
        )?;
    }
    for (endpoint, text) in &overrides {
        transaction.execute(
            "UPDATE endpoint SET overrides = seal_headers(?2, id) WHERE id = ?1",
            rusqlite::params![endpoint, text.as_str()],
        )?;
    }
    transaction.execute("DELETE FROM seal", [])?;
    if let Some(key) = to {
        let sealed = key.seal(PROOF, "proof").map_err(|error| Error::UserFunctionError(Box::new(error)))?;
        transaction.execute("INSERT INTO seal (id, proof) VALUES (1, ?1)", [sealed])?;
    }
    transaction.execute("UPDATE revision SET number = number + 1", [])?;
    transaction.commit()?;
    Ok((keys.len() + overrides.len()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> MasterKey {
        MasterKey::parse(format!("{byte:02x}").repeat(32).as_bytes()).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_with_the_same_key_in_the_same_place_and_not_otherwise() {
        let sealed = key(1).seal(b"the secret", "key 7 hmac").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(key(1).unseal(&sealed, "key 7 hmac").unwrap(), b"the secret");
        assert!(key(2).unseal(&sealed, "key 7 hmac").is_err());
        assert!(key(1).unseal(&sealed, "key 8 hmac").is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key(1).unseal(&changed, "key 7 hmac").is_err(), "byte {at}");
        }
        assert!(key(1).unseal(&sealed[..20], "key 7 hmac").is_err());
        assert_ne!(sealed, key(1).seal(b"the secret", "key 7 hmac").unwrap(), "a nonce of its own");
    }

    #[test]
    fn a_master_key_is_32_bytes_in_hex_or_base64() {
        let base64 = BASE64.encode([7; 32]);
        let sealed = key(7).seal(b"x", "").unwrap();
        assert!(MasterKey::parse(base64.as_bytes()).unwrap().unseal(&sealed, "").is_ok());
        for wrong in ["", "07", &"07".repeat(31), &"0g".repeat(32), &BASE64.encode([7; 31]), &BASE64.encode([7; 33])] {
            assert!(MasterKey::parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert_eq!(format!("{:?}", key(7)), "MasterKey(***)");
    }

    #[test]
    fn only_header_values_are_sealed() {
        let plain = r#"{"timeout_ms":5,"headers":[["x-a","the secret"],["x-b",""]]}"#;
        let sealed = headers(&key(1), true, plain, 3).unwrap();
        assert!(sealed.contains("x-a") && sealed.contains("timeout_ms") && !sealed.contains("the secret"), "{sealed}");
        let opened: serde_json::Value = serde_json::from_str(&headers(&key(1), false, &sealed, 3).unwrap()).unwrap();
        assert_eq!(opened, serde_json::from_str::<serde_json::Value>(plain).unwrap());
        assert!(headers(&key(1), false, &sealed, 4).is_err());
        assert_eq!(headers(&key(1), true, "{}", 3).unwrap(), "{}");
    }
}
