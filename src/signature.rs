//! Signatures: how each scheme turns a body and a key into header values, and checks one it is shown.
//! All cryptography of the project is here and below; nothing here reads a file or knows an endpoint. No secret, and
//! nothing computed for a comparison, ever stands in an error.

pub mod ed25519;
pub mod eip191;
pub mod hmac;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::endpoint::{Key, Scheme, Secret};
use eip191::Address;

/// Source: Ensuro, "Callback notifications", symmetric signature. Names go out in lower case.
pub const HMAC_HEADER: &str = "x-ensuro-signature";
/// Source: Ensuro, "Callback notifications", asymmetric signature. Names go out in lower case.
pub const EIP191_HEADER: &str = "x-eip191-signature";

/// What a signature covers. Ensuro's schemes cover the body alone.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub event_id: &'a str,
    /// Of this attempt, not of the event: seconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    pub body: &'a [u8],
}

impl Signed<'_> {
    /// What stands before the body in Standard Webhooks' signed content: `id.timestamp.`
    fn prefix(&self) -> String {
        format!("{}.{}.", self.event_id, self.timestamp)
    }
}

/// The signature headers of one request, in sending order; none without keys. `keys` come newest first.
///
/// Ensuro's header holds one signature, so only the newest of such keys signs. `webhook-signature` holds one for each
/// key: `v1` before `v1a`, newest first, one space between (the official libraries stumble over two).
pub fn headers<'a>(
    keys: impl IntoIterator<Item = &'a Key>,
    signed: &Signed,
    ensuro_header_override: Option<&str>,
) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let mut standard: [Vec<String>; 2] = [vec![], vec![]];
    let mut ensuro_done = false;
    for key in keys {
        let secret = key.secret.expose();
        match key.scheme {
            Scheme::Hmac | Scheme::Eip191 if ensuro_done => {}
            Scheme::Hmac => {
                headers.push((header_name(HMAC_HEADER, ensuro_header_override), hmac::sign(secret, signed.body)));
                ensuro_done = true;
            }
            Scheme::Eip191 => {
                headers.push((header_name(EIP191_HEADER, ensuro_header_override), eip191::sign(secret, signed.body)));
                ensuro_done = true;
            }
            Scheme::V1 => standard[0].push(hmac::sign_v1(secret, signed)),
            Scheme::V1a => standard[1].push(ed25519::sign(secret, signed)),
        }
    }
    let signatures = standard.concat();
    if !signatures.is_empty() {
        headers.push(("webhook-id".to_owned(), signed.event_id.to_owned()));
        headers.push(("webhook-timestamp".to_owned(), signed.timestamp.to_string()));
        headers.push(("webhook-signature".to_owned(), signatures.join(" ")));
    }
    headers
}

fn header_name(documented: &str, wished: Option<&str>) -> String {
    wished.unwrap_or(documented).to_ascii_lowercase()
}

/// Whether an endpoint of a profile with these schemes may have these keys. Fails with a sentence.
///
/// A profile without schemes is unsigned and takes no key; every other needs one. HMAC and EIP-191 exclude each other
/// (Ensuro, "Callback notifications": one of the two per endpoint); v1 and v1a go together.
pub fn check_keys(profile_schemes: &[Scheme], keys: &[Key]) -> Result<(), String> {
    let names: Vec<&str> = profile_schemes.iter().map(|scheme| scheme.as_str()).collect();
    let names = names.join(" or ");
    if profile_schemes.is_empty() {
        return match keys {
            [] => Ok(()),
            _ => Err("this profile's notifications are unsigned: it takes no key".to_owned()),
        };
    }
    if keys.is_empty() {
        return Err(format!("this profile's notifications are signed: a key of scheme {names} is needed"));
    }
    if let Some(key) = keys.iter().find(|key| !profile_schemes.contains(&key.scheme)) {
        return Err(format!("this profile signs with {names}, not with {}", key.scheme));
    }
    let has = |scheme| keys.iter().any(|key| key.scheme == scheme);
    match has(Scheme::Hmac) && has(Scheme::Eip191) {
        true => Err("an endpoint is signed with hmac or with eip191, not with both".to_owned()),
        false => Ok(()),
    }
}

/// Reads what a person keeps in a secret or key file; one newline at its end does not count.
/// Fails with a sentence that says what is expected and never repeats what was read.
pub fn read_key(scheme: Scheme, text: &[u8]) -> Result<Key, String> {
    let text = without_newline(text);
    let secret = match scheme {
        Scheme::Hmac => hmac::read_secret(text),
        Scheme::Eip191 => eip191::read_secret(text),
        Scheme::V1 => hmac::read_v1_secret(text),
        Scheme::V1a => ed25519::read_secret(text),
    }?;
    Ok(Key { scheme, secret, until: None })
}

/// The half of a key that may be shown: the checksummed Ethereum address, `whpk_…`, or nothing for a shared secret.
pub fn public_of(key: &Key) -> Option<String> {
    match key.scheme {
        Scheme::Hmac | Scheme::V1 => None,
        Scheme::Eip191 => Some(eip191::address(key.secret.expose()).to_string()),
        Scheme::V1a => Some(ed25519::public_text(&ed25519::public(key.secret.expose()))),
    }
}

/// What a receiver needs to check a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyKey {
    Hmac(Secret),
    Eip191(Address),
    V1(Secret),
    /// The public key.
    V1a([u8; 32]),
}

/// Reads a receiver's key: the secret for hmac and v1, an address (or the private key) for eip191, `whpk_…`
/// (or `whsk_…`) for v1a. Fails like `read_key`.
pub fn read_verify_key(scheme: Scheme, text: &[u8]) -> Result<VerifyKey, String> {
    let text = without_newline(text);
    match scheme {
        Scheme::Hmac => hmac::read_secret(text).map(VerifyKey::Hmac),
        Scheme::Eip191 => eip191::read_address(text).map(VerifyKey::Eip191),
        Scheme::V1 => hmac::read_v1_secret(text).map(VerifyKey::V1),
        Scheme::V1a => ed25519::read_public(text).map(VerifyKey::V1a),
    }
}

/// The key with which a receiver checks what `key` signs.
pub fn verify_key_of(key: &Key) -> VerifyKey {
    match key.scheme {
        Scheme::Hmac => VerifyKey::Hmac(key.secret.clone()),
        Scheme::Eip191 => VerifyKey::Eip191(eip191::address(key.secret.expose())),
        Scheme::V1 => VerifyKey::V1(key.secret.clone()),
        Scheme::V1a => VerifyKey::V1a(ed25519::public(key.secret.expose())),
    }
}

/// Checks the value of a signature header, as strictly as the provider's document states its form. Of several
/// signatures in a `webhook-signature` one that matches is enough. Shared secrets are compared in constant time.
pub fn verify(key: &VerifyKey, signature_text: &str, signed: &Signed) -> Result<(), Mismatch> {
    let text = signature_text.trim();
    match key {
        VerifyKey::Hmac(secret) => hmac::verify(secret.expose(), text, signed.body),
        VerifyKey::Eip191(address) => eip191::verify(address, text, signed.body),
        VerifyKey::V1(secret) => {
            any_of_version("v1", text, |signature| hmac::verify_v1(secret.expose(), signature, signed))
        }
        VerifyKey::V1a(public) => any_of_version("v1a", text, |signature| ed25519::verify(public, signature, signed)),
    }
}

/// Whether one of the signatures of `version` in a `webhook-signature` header is good.
fn any_of_version(version: &str, text: &str, is_good: impl Fn(&[u8]) -> bool) -> Result<(), Mismatch> {
    let mut found = false;
    for part in text.split(' ') {
        let Some((its_version, encoded)) = part.split_once(',') else {
            let expected = "is VERSION,BASE64, and several of them have exactly one space between";
            return Err(Mismatch::Unreadable(format!("a webhook-signature {expected}")));
        };
        if its_version != version {
            continue;
        }
        found = true;
        if STANDARD.decode(encoded).is_ok_and(|signature| is_good(&signature)) {
            return Ok(());
        }
    }
    match found {
        true => Err(Mismatch::Different),
        false => Err(Mismatch::Unreadable(format!("the header has no {version} signature"))),
    }
}

/// Why a signature is not accepted. `Display` is a clause that can follow "the signature is not good: ".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Not in the form of its scheme.
    Unreadable(String),
    /// In the right form, made with another key or over other bytes.
    Different,
    /// A good signature of these or other bytes by somebody: whom it recovers to.
    OtherSigner { expected: Address, recovered: Address },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Unreadable(why) => f.write_str(why),
            Mismatch::Different => f.write_str("it was made with another key, or the bytes it covers were others"),
            Mismatch::OtherSigner { expected, recovered } => {
                write!(f, "it recovers to {recovered}, not to {expected}: another key, or other bytes were signed")
            }
        }
    }
}

/// SHA-256.
pub fn digest(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

/// Reads hex of either case; `None` if it is none, or of odd length.
pub fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.chunks(2).map(pair).collect()
}

fn without_newline(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\r\n").or_else(|| text.strip_suffix(b"\n")).unwrap_or(text)
}

#[cfg(test)]
mod tests;
