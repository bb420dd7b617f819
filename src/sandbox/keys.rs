//! Who may ask what of Ensuro's side: the API key, and signatures over the raw body by the shared secret or by an authorised
//! Ethereum account. What is refused is told with what to do, and never with what was expected.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use http::HeaderMap;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::octamile::request::Credentials;
use crate::endpoint::{Key, Secret};
use crate::plain::plain;
use crate::signature::eip191::{self, Address};
use crate::signature::{self, EIP191_HEADER, HMAC_HEADER, Mismatch, Signed};

/// Source: Ensuro, "Pricing API", security.
const API_KEY_HEADER: &str = "x-api-key";

/// What the partner is known by. `Debug` shows no secret.
#[derive(Debug)]
pub struct Keys {
    pub api_key: Secret,
    /// The shared secret: signs the partner's requests and, unless there is a key, our notifications.
    pub secret: Key,
    /// Whose EIP-191 signatures are taken.
    pub signers: Vec<Address>,
    /// Where the first two stand, to be told to whoever lacks them.
    pub api_key_file: PathBuf,
    pub secret_file: PathBuf,
    /// Octamile's `userInfo`, if it is checked.
    pub octamile: Option<OctamileAuth>,
}

/// What `userInfo` must say.
#[derive(Debug)]
pub struct OctamileAuth {
    pub id: String,
    pub authorization_id: String,
    pub key: Secret,
}

impl OctamileAuth {
    /// Reads `{"id", "athrzt": {"id", "key"}}`, as it stands in a request's `userInfo`. No message repeats it.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
        let text = |pointer: &str| value.pointer(pointer).and_then(serde_json::Value::as_str).map(str::to_owned);
        match (text("/id"), text("/athrzt/id"), text("/athrzt/key")) {
            (Some(id), Some(authorization_id), Some(key)) => {
                Ok(OctamileAuth { id, authorization_id, key: Secret::new(key.into_bytes()) })
            }
            _ => Err("it must hold what userInfo is to be: {\"id\": \"...\", \"athrzt\": {\"id\": \"...\", \"key\": \"...\"}}".to_owned()),
        }
    }
}

/// Why a request is not heard: the HTTP status, and one sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct Denied {
    pub status: u16,
    pub text: String,
}

impl Keys {
    /// Whether the request has the API key.
    pub fn admit(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let place = plain(&self.api_key_file.to_string_lossy());
        let Some(given) = one(headers, API_KEY_HEADER)? else {
            return Err(denied(401, format!("the header X-API-Key is missing; the key stands in {place}")));
        };
        match same(given, self.api_key.expose()) {
            true => Ok(()),
            false => Err(denied(401, format!("the X-API-Key is not the one of this sandbox, which stands in {place}"))),
        }
    }

    /// Whether the body is signed, by exactly one of the two schemes.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Denied> {
        match (one(headers, EIP191_HEADER)?, one(headers, HMAC_HEADER)?) {
            (Some(_), Some(_)) => {
                let text = "there are X-EIP191-Signature and X-Ensuro-Signature; send exactly one of them";
                Err(denied(400, text.to_owned()))
            }
            (None, None) => Err(denied(401, format!("the body is not signed; {}", self.how()))),
            (None, Some(given)) => self.verify_hmac(given, body),
            (Some(given), None) => self.verify_eip191(given, body),
        }
    }

    fn verify_hmac(&self, given: &[u8], body: &[u8]) -> Result<(), Denied> {
        let signed = Signed { event_id: "", timestamp: 0, body };
        let text = String::from_utf8_lossy(given);
        signature::verify(&signature::verify_key_of(&self.secret), &text, &signed).map_err(|mismatch| match mismatch {
            Mismatch::Unreadable(what) => denied(400, format!("X-Ensuro-Signature is malformed: {what}")),
            Mismatch::Different | Mismatch::OtherSigner { .. } => {
                denied(401, format!("X-Ensuro-Signature is not good: {mismatch}; {}", self.how()))
            }
        })
    }

    fn verify_eip191(&self, given: &[u8], body: &[u8]) -> Result<(), Denied> {
        let text = String::from_utf8_lossy(given);
        let signer = eip191::recover(text.trim(), body)
            .map_err(|mismatch| denied(400, format!("X-EIP191-Signature is malformed: {mismatch}")))?;
        match self.signers.contains(&signer) {
            true => Ok(()),
            false => Err(denied(
                401,
                format!(
                    "X-EIP191-Signature recovers to {signer}, which is no authorised signer: other bytes were signed, or \
                     the sandbox was started without --signer {signer}; sign the 64 hex digits of the raw body's SHA-256 \
                     as a text (personal_sign)"
                ),
            )),
        }
    }

    fn how(&self) -> String {
        format!(
            "X-Ensuro-Signature is the HMAC-SHA256 of exactly the bytes that are sent, with the secret in {}, as 64 \
             lower-case hex digits (`postrider sign --scheme hmac --secret-file FILE BODY` makes one)",
            plain(&self.secret_file.to_string_lossy())
        )
    }

    /// Whether Octamile knows who asks. Anybody, unless it was told whom.
    pub fn knows(&self, given: &Credentials) -> bool {
        let Some(wanted) = &self.octamile else { return true };
        let is = |given: &Option<String>, wanted: &[u8]| same(given.as_deref().unwrap_or_default().as_bytes(), wanted);
        // All three, so that the time tells nothing of which was wrong.
        let id = is(&given.id, wanted.id.as_bytes());
        let authorization = is(&given.authorization_id, wanted.authorization_id.as_bytes());
        id & authorization & is(&given.key, wanted.key.expose())
    }
}

fn denied(status: u16, text: String) -> Denied {
    Denied { status, text }
}

/// The header's value, if it is there; once is enough.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h [u8]>, Denied> {
    let mut given = headers.get_all(name).iter();
    match (given.next(), given.next()) {
        (Some(_), Some(_)) => Err(denied(400, format!("the header {name} stands more than once; send it once"))),
        (first, _) => Ok(first.map(|value| value.as_bytes().trim_ascii())),
    }
}

/// By their digests, so that the time tells nothing.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    signature::digest(given).ct_eq(&signature::digest(wanted)).into()
}

/// More than any key has.
const MOST_BYTES: u64 = 8192;

/// What stands in a file of keys, made with 32 random bytes in hex if it is not there; only this user can read it.
pub fn kept(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let failed = |error: io::Error| format!("{} cannot be used: {error}", plain(&path.to_string_lossy()));
    let fresh = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match fresh {
        Ok(mut file) => {
            let mut bytes = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *bytes).map_err(|error| format!("the machine gives no random numbers: {error}"))?;
            let text = Zeroizing::new(format!("{}\n", signature::hex(&*bytes)));
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
