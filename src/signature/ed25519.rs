//! Standard Webhooks' asymmetric scheme: `v1a`, ed25519 over `id.timestamp.body`.
//! A secret here is the 32-byte seed; its public half is derived, never stored. Deterministic, as RFC 8032 states.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::ed25519::signature::MultipartSigner;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::Signed;
use crate::endpoint::Secret;

/// `v1a,` and base64 of the signature. Panics if `seed` does not come from `read_secret`.
/// Source: Standard Webhooks 1.0.0, "Signature scheme", asymmetric signatures.
pub fn sign(seed: &[u8], signed: &Signed) -> String {
    let signature: Signature = signing_key(seed).multipart_sign(&[signed.prefix().as_bytes(), signed.body]);
    format!("v1a,{}", STANDARD.encode(signature.to_bytes()))
}

/// Of one decoded signature. Strict: refuses weak keys and the malleable forms that some libraries accept.
pub fn verify(public: &[u8; 32], signature: &[u8], signed: &Signed) -> bool {
    let Ok(signature) = Signature::from_slice(signature) else { return false };
    let message = [signed.prefix().as_bytes(), signed.body].concat();
    VerifyingKey::from_bytes(public).is_ok_and(|key| key.verify_strict(&message, &signature).is_ok())
}

/// The public half of a seed. Panics if `seed` does not come from `read_secret`.
pub fn public(seed: &[u8]) -> [u8; 32] {
    signing_key(seed).verifying_key().to_bytes()
}

/// `whpk_` and base64 of the public key.
pub fn public_text(public: &[u8; 32]) -> String {
    format!("whpk_{}", STANDARD.encode(public))
}

/// `whsk_` and base64 of seed and public key (64 bytes, as Svix writes it), or of the seed alone.
/// Source: Standard Webhooks 1.0.0, "Signature scheme", secret serialization.
pub fn read_secret(text: &[u8]) -> Result<Secret, String> {
    const EXPECTED: &str = "a v1a secret is whsk_ and standard base64 of 64 bytes (seed and public key) or 32 (seed)";
    let Some(encoded) = text.strip_prefix(b"whsk_") else {
        return Err(format!("{EXPECTED}; this one does not begin with whsk_"));
    };
    let Ok(decoded) = STANDARD.decode(encoded).map(Zeroizing::new) else {
        return Err(format!("{EXPECTED}; what follows whsk_ is not base64"));
    };
    match decoded.len() {
        32 => Ok(Secret::new(decoded.to_vec())),
        64 if public(&decoded[..32]) == decoded[32..] => Ok(Secret::new(decoded[..32].to_vec())),
        64 => Err(format!("{EXPECTED}; in this one the public key is not that of the seed")),
        length => Err(format!("{EXPECTED}; this one has {length} bytes")),
    }
}

/// `whpk_` and base64 of 32 bytes, or a secret, whose public half it then is.
pub fn read_public(text: &[u8]) -> Result<[u8; 32], String> {
    const EXPECTED: &str = "a v1a public key is whpk_ and standard base64 of 32 bytes";
    if text.starts_with(b"whsk_") {
        return read_secret(text).map(|secret| public(secret.expose()));
    }
    let Some(encoded) = text.strip_prefix(b"whpk_") else {
        return Err(format!("{EXPECTED}; this one does not begin with whpk_"));
    };
    let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    match decoded {
        Some(bytes) if VerifyingKey::from_bytes(&bytes).is_ok_and(|key| !key.is_weak()) => Ok(bytes),
        Some(_) => Err(format!("{EXPECTED}; these are no ed25519 key")),
        None => Err(format!("{EXPECTED}; what follows whpk_ is not that")),
    }
}

fn signing_key(seed: &[u8]) -> SigningKey {
    let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).expect("an ed25519 seed has 32 bytes"));
    SigningKey::from_bytes(&seed)
}
