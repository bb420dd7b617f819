//! HMAC-SHA256, as Ensuro sends it (hex, over the body) and as Standard Webhooks does (`v1`, base64, over
//! `id.timestamp.body`). The body is fed to the mac where it lies; it is never copied.

use ::hmac::{Hmac, KeyInit, Mac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::Sha256;

use super::{Mismatch, Signed, hex, unhex};
use crate::endpoint::Secret;

/// The longest secret that is taken for one: a larger file is a mistake.
const LONGEST_SECRET: usize = 4096;

/// Ensuro: lower-case hex of HMAC-SHA256 over the raw body, without `0x`.
/// Source: Ensuro, "Callback notifications", symmetric signature.
pub fn sign(secret: &[u8], body: &[u8]) -> String {
    hex(&mac(secret, &[body]).finalize().into_bytes())
}

/// Standard Webhooks: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`.
/// Source: Standard Webhooks 1.0.0, "Signature scheme", symmetric signatures.
pub fn sign_v1(secret: &[u8], signed: &Signed) -> String {
    format!("v1,{}", STANDARD.encode(mac(secret, &[signed.prefix().as_bytes(), signed.body]).finalize().into_bytes()))
}

/// In constant time. Ensuro's form exactly: receivers compare texts.
pub fn verify(secret: &[u8], text: &str, body: &[u8]) -> Result<(), Mismatch> {
    let in_form = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let Some(signature) = unhex(text.as_bytes()).filter(|_| in_form) else {
        return Err(Mismatch::Unreadable("an hmac signature is 64 lower-case hex digits without 0x".to_owned()));
    };
    mac(secret, &[body]).verify_slice(&signature).map_err(|_| Mismatch::Different)
}

/// In constant time, of one decoded signature.
pub fn verify_v1(secret: &[u8], signature: &[u8], signed: &Signed) -> bool {
    mac(secret, &[signed.prefix().as_bytes(), signed.body]).verify_slice(signature).is_ok()
}

/// Any 1 to 4096 bytes.
pub fn read_secret(text: &[u8]) -> Result<Secret, String> {
    match (1..=LONGEST_SECRET).contains(&text.len()) {
        true => Ok(Secret::new(text.to_vec())),
        false => Err(format!("an hmac secret has 1 to {LONGEST_SECRET} bytes; this one has {} bytes", text.len())),
    }
}

/// `whsec_` and base64 of 24 to 64 bytes.
/// Source: Standard Webhooks 1.0.0, "Signature scheme", secret serialization.
pub fn read_v1_secret(text: &[u8]) -> Result<Secret, String> {
    const EXPECTED: &str = "a v1 secret is whsec_ and standard base64 of 24 to 64 bytes";
    let Some(encoded) = text.strip_prefix(b"whsec_") else {
        return Err(format!("{EXPECTED}; this one does not begin with whsec_"));
    };
    if encoded.iter().any(|b| matches!(b, b'-' | b'_')) {
        // npm's library refuses such a secret and PyPI's silently drops the characters.
        return Err(format!("{EXPECTED}; this one is in the URL-safe alphabet (- and _ instead of + and /)"));
    }
    match STANDARD.decode(encoded).map(Secret::new) {
        Ok(secret) if (24..=64).contains(&secret.expose().len()) => Ok(secret),
        Ok(secret) => Err(format!("{EXPECTED}; this one has {} bytes", secret.expose().len())),
        Err(_) => Err(format!("{EXPECTED}; what follows whsec_ is not base64")),
    }
}

fn mac(secret: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}
