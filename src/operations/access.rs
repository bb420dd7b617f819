//! Access tokens of the HTTP API: several, named, each with a scope. The store keeps their SHA-256 only, so a token is shown
//! once, when it is made.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Refused, one};
use crate::access::{AccessToken, Scope};
use crate::signature::hex;
use crate::store::{Command, Refusal, Reply, Store};
use crate::time::Time;

/// What the store keeps of a token.
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Makes a token: `prt_` and 64 hex digits, 32 random bytes.
pub fn add(store: &mut dyn Store, now: Time, name: &str, scope: Scope) -> Result<Zeroizing<String>, Refused> {
    check_name(name).map_err(Refused::Invalid)?;
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)
        .map_err(|error| Refused::Invalid(format!("the machine gives no random numbers: {error}")))?;
    let token = Zeroizing::new(format!("prt_{}", hex(&*bytes)));
    let command = Command::AddToken { name: name.to_owned(), hash: hash(&token), scope };
    match one(store.apply(now, &[command])?) {
        Reply::Done(_) => Ok(token),
        Reply::Refused(Refusal::NameTaken) => Err(Refused::Conflict(format!(
            "there is a token {name} already; `postrider token remove {name}` removes it, or choose another name"
        ))),
        other => unreachable!("{other:?} does not answer an added token"),
    }
}

pub fn list(store: &mut dyn Store) -> Result<Vec<AccessToken>, Refused> {
    Ok(store.tokens()?)
}

/// Whoever holds it is refused from now on.
pub fn remove(store: &mut dyn Store, now: Time, name: &str) -> Result<(), Refused> {
    match one(store.apply(now, &[Command::RemoveToken { name: name.to_owned() }])?) {
        Reply::Done(_) => Ok(()),
        Reply::Refused(_) => {
            Err(Refused::Unknown(format!("there is no token {name}; `postrider token list` shows those there are")))
        }
        other => unreachable!("{other:?} does not answer a removed token"),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fits =
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match fits && !name.starts_with("prt_") {
        true => Ok(()),
        false => {
            Err("a token's name has 1 to 64 characters out of A-Z a-z 0-9 _ - and does not begin with prt_".to_owned())
        }
    }
}
