//! Ensuro's asymmetric scheme: EIP-191 personal_sign, by an Ethereum key, of the body's SHA-256 as a text.
//! Deterministic (RFC 6979) and in the one form that every verifier takes: low s, v 27 or 28.

use std::fmt;

use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use sha3::{Digest, Keccak256};
use zeroize::Zeroizing;

use super::{Mismatch, digest, hex, unhex};
use crate::endpoint::Secret;

/// `0x`, r, s and v in hex: 132 characters. Panics if `secret` does not come from `read_secret`.
/// Source: Ensuro, "Callback notifications", asymmetric signature.
pub fn sign(secret: &[u8], body: &[u8]) -> String {
    let (signature, recovery) = signing_key(secret).sign_prehash_recoverable(&message_hash(body));
    let mut bytes = [0; 65];
    bytes[..64].copy_from_slice(&signature.to_bytes());
    bytes[64] = 27 + u8::from(recovery.is_y_odd());
    format!("0x{}", hex(&bytes))
}

/// Whether `text` is a signature of `body` by the owner of `address`.
pub fn verify(address: &Address, text: &str, body: &[u8]) -> Result<(), Mismatch> {
    let recovered = recover(text, body)?;
    match recovered == *address {
        true => Ok(()),
        false => Err(Mismatch::OtherSigner { expected: *address, recovered }),
    }
}

/// Who signed `body`, if `text` is a signature of it. Fails if `text` is no signature in Ensuro's form.
pub fn recover(text: &str, body: &[u8]) -> Result<Address, Mismatch> {
    let unreadable = |why: &str| Mismatch::Unreadable(why.to_owned());
    let bytes = text.strip_prefix("0x").and_then(|digits| unhex(digits.as_bytes()));
    let Some((v, rs)) = bytes.as_deref().filter(|bytes| bytes.len() == 65).and_then(<[u8]>::split_last) else {
        return Err(unreadable("an eip191 signature is 0x and 130 hex digits"));
    };
    let recovery = match v {
        27 => RecoveryId::new(false, false),
        28 => RecoveryId::new(true, false),
        _ => return Err(unreadable("the last byte of an eip191 signature is 1b or 1c (v 27 or 28)")),
    };
    let signature = Signature::from_slice(rs).map_err(|_| unreadable("r or s is out of range"))?;
    if signature.normalize_s() != signature {
        return Err(unreadable("s is in the upper half of its range; on-chain verifiers refuse that (EIP-2)"));
    }
    VerifyingKey::recover_from_prehash(&message_hash(body), &signature, recovery)
        .map(|key| Address::of(&key))
        .map_err(|_| unreadable("no key can have made this signature"))
}

/// The Ethereum address of a private key. Panics if `secret` does not come from `read_secret`.
pub fn address(secret: &[u8]) -> Address {
    Address::of(signing_key(secret).verifying_key())
}

/// A private key: 64 hex digits, with or without `0x`.
pub fn read_secret(text: &[u8]) -> Result<Secret, String> {
    const EXPECTED: &str = "an eip191 key is an Ethereum private key of 64 hex digits, with or without 0x";
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    if digits.len() != 64 {
        return Err(format!("{EXPECTED}; this one has {} characters", digits.len()));
    }
    let Some(secret) = unhex(digits).map(Secret::new) else {
        return Err(format!("{EXPECTED}; this one has other characters"));
    };
    match SigningKey::from_slice(secret.expose()) {
        Ok(_) => Ok(secret),
        Err(_) => Err(format!("{EXPECTED}; this number is zero or beyond the curve's order")),
    }
}

/// An address, or a private key, whose address it then is. A mixed-case address must have the right checksum.
pub fn read_address(text: &[u8]) -> Result<Address, String> {
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    if digits.len() == 64 {
        return read_secret(text).map(|secret| address(secret.expose()));
    }
    let bytes = unhex(digits).and_then(|bytes| <[u8; 20]>::try_from(bytes).ok());
    let Some(address) = bytes.map(Address) else {
        return Err("an Ethereum address is 0x and 40 hex digits".to_owned());
    };
    let mixed = digits.iter().any(u8::is_ascii_lowercase) && digits.iter().any(u8::is_ascii_uppercase);
    match mixed && address.to_string().as_bytes()[2..] != *digits {
        true => Err("the checksum of this Ethereum address is wrong (EIP-55): a digit was mistyped".to_owned()),
        false => Ok(address),
    }
}

/// An Ethereum address. `Display` shows it with its EIP-55 checksum.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address([u8; 20]);

impl Address {
    /// Of nobody in particular.
    pub const fn new(bytes: [u8; 20]) -> Self {
        Address(bytes)
    }

    pub const fn bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The last 20 bytes of the Keccak-256 of the uncompressed public key.
    fn of(key: &VerifyingKey) -> Self {
        let point = key.to_sec1_point(false);
        let hash = Keccak256::digest(&point.as_bytes()[1..]);
        let mut address = [0; 20];
        address.copy_from_slice(&hash[12..]);
        Address(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = hex(&self.0);
        let hash = hex(&Keccak256::digest(digits.as_bytes()));
        let checksummed = digits.chars().zip(hash.bytes()).map(|(digit, check)| match check >= b'8' {
            true => digit.to_ascii_uppercase(),
            false => digit,
        });
        write!(f, "0x{}", checksummed.collect::<String>())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Keccak-256, Ethereum's hash.
pub fn keccak(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}

/// What is signed: personal_sign of the 64 lower-case hex digits of the body's SHA-256, a text and not 32 bytes.
fn message_hash(body: &[u8]) -> [u8; 32] {
    let mut hash = Keccak256::new();
    hash.update(b"\x19Ethereum Signed Message:\n64");
    hash.update(hex(&digest(body)));
    hash.finalize().into()
}

fn signing_key(secret: &[u8]) -> SigningKey {
    let scalar = Zeroizing::new(<[u8; 32]>::try_from(secret).expect("an Ethereum private key has 32 bytes"));
    SigningKey::from_slice(&*scalar).expect("read_secret refuses what is no private key")
}
