//! Requests as a forger would make them, and as a provider does while its keys rotate: a rightly signed one is rendered,
//! and then only what the case is about is changed. Pure: time and draws are arguments.

use super::case::Tampering;
use crate::endpoint::{Endpoint, Key, Scheme, Secret};
use crate::event::Event;
use crate::provider::dice::Dice;
use crate::request::{self, Request};
use crate::signature::{EIP191_HEADER, HMAC_HEADER};
use crate::time::{Span, Time};

/// How old a recorded notification is. The official libraries of Standard Webhooks take five minutes.
const OLD: Span = Span::from_hours(1);
const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// What `event` becomes. `other` is another notification of the same id.
pub(super) fn request(
    tampering: Tampering,
    endpoint: &Endpoint,
    event: &Event,
    other: &Event,
    dice: &mut Dice,
    now: Time,
) -> Result<Request, String> {
    let mut right = request::render(endpoint, event, now)?;
    match tampering {
        Tampering::Missing => right.headers.retain(|(name, _)| !is_signature(name, endpoint)),
        Tampering::Empty => change(&mut right, endpoint, |_| String::new()),
        Tampering::Half => change(&mut right, endpoint, |value| each(value, half)),
        Tampering::OtherV => change(&mut right, endpoint, other_v),
        Tampering::OtherKey => return request::render(&strangers(endpoint, dice), event, now),
        Tampering::OldTimestamp => return request::render(endpoint, event, now - OLD),
        Tampering::OtherBody => {
            let others = request::render(endpoint, other, now)?;
            right.headers.retain(|(name, _)| !is_signature(name, endpoint));
            right.headers.extend(others.headers.into_iter().filter(|(name, _)| is_signature(name, endpoint)));
        }
        Tampering::OtherId => {
            let id = format!("msg_{}", dice.hex(16));
            right.headers.iter_mut().filter(|(name, _)| name == ID).for_each(|(_, value)| value.clone_from(&id));
        }
        Tampering::NoId => right.headers.retain(|(name, _)| name != ID),
        Tampering::NoTimestamp => right.headers.retain(|(name, _)| name != TIMESTAMP),
    }
    Ok(right)
}

/// With a signature by another key before the right ones, as while keys rotate.
pub(super) fn with_two(endpoint: &Endpoint, event: &Event, dice: &mut Dice, now: Time) -> Result<Request, String> {
    let mut right = request::render(endpoint, event, now)?;
    let stranger = request::render(&strangers(endpoint, dice), event, now)?;
    let first = stranger.headers.iter().find(|(name, _)| name == SIGNATURE).map(|(_, value)| value.clone());
    change(&mut right, endpoint, |value| format!("{} {value}", first.clone().unwrap_or_default()));
    Ok(right)
}

/// What was done, in words that follow what was sent.
pub(super) const fn in_words(tampering: Tampering) -> &'static str {
    match tampering {
        Tampering::Missing => "without a signature",
        Tampering::Empty => "with an empty signature",
        Tampering::OtherKey => "signed with another key",
        Tampering::Half => "with the first half of its signature",
        Tampering::OtherBody => "with the signature of another body",
        Tampering::OtherV => "with v of its signature changed",
        Tampering::OldTimestamp => "rightly signed, an hour ago",
        Tampering::OtherId => "with another webhook-id than was signed",
        Tampering::NoId => "without webhook-id",
        Tampering::NoTimestamp => "without webhook-timestamp",
    }
}

fn is_signature(name: &str, endpoint: &Endpoint) -> bool {
    let own = endpoint.overrides.signature_header.as_deref();
    [HMAC_HEADER, EIP191_HEADER, SIGNATURE].contains(&name) || own.is_some_and(|own| name.eq_ignore_ascii_case(own))
}

fn change(request: &mut Request, endpoint: &Endpoint, change: impl Fn(&str) -> String) {
    for (_, value) in request.headers.iter_mut().filter(|(name, _)| is_signature(name, endpoint)) {
        *value = change(value);
    }
}

/// Each of the signatures that a header may hold.
fn each(value: &str, change: fn(&str) -> String) -> String {
    value.split(' ').map(change).collect::<Vec<_>>().join(" ")
}

/// Of the signature, not of the version before it.
fn half(signature: &str) -> String {
    match signature.split_once(',') {
        Some((version, rest)) => format!("{version},{}", &rest[..rest.len() / 2]),
        None => signature[..signature.len() / 2].to_owned(),
    }
}

fn other_v(signature: &str) -> String {
    match signature.strip_suffix("1b") {
        Some(rest) => format!("{rest}1c"),
        None => format!("{}1b", signature.strip_suffix("1c").unwrap_or(signature)),
    }
}

/// The same endpoint with keys that nobody has told its receiver of.
fn strangers(endpoint: &Endpoint, dice: &mut Dice) -> Endpoint {
    let stranger = |key: &Key| {
        let mut bytes = dice.bytes::<32>();
        if key.scheme == Scheme::Eip191 {
            // Within the curve's order, and not zero.
            bytes[0] = 1;
        }
        Key { scheme: key.scheme, secret: Secret::new(bytes.to_vec()), until: None }
    };
    Endpoint { keys: endpoint.keys.iter().map(stranger).collect(), ..endpoint.clone() }
}

#[cfg(test)]
mod tests;
