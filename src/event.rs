//! An event: what an application asks us to carry, and never changes afterwards.
//! The body is a run of bytes; nothing here parses or re-serialises it.

use std::fmt;
use std::sync::Arc;

use crate::time::Time;
use crate::trace::TraceContext;

/// An immutable notification. `Debug` tells the body's size only: it is our callers' business.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    pub id: EventId,
    pub event_type: EventType,
    /// As the sender of the event gave it. The provider profiles send `application/json` whatever stands here.
    pub content_type: String,
    pub body: Arc<[u8]>,
    /// SHA-256 of `body`, taken when it was accepted and checked before every send.
    pub digest: [u8; 32],
    pub accepted_at: Time,
    /// The caller's trace, if it told of one.
    pub trace: Option<TraceContext>,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("event_type", &self.event_type)
            .field("content_type", &self.content_type)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .field("digest", &self.digest)
            .field("accepted_at", &self.accepted_at)
            .field("trace", &self.trace)
            .finish()
    }
}

/// The caller's idempotent id, or one made here: `[A-Za-z0-9_-]{1,64}`.
///
/// Standard Webhooks signs `id.timestamp.body`, so an id must not contain a dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(String);

impl EventId {
    /// Fails with a sentence that says what an id may be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fits =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        match fits {
            true => Ok(EventId(text.to_owned())),
            false => Err(format!("an event id has 1 to 64 characters out of A-Z a-z 0-9 _ -; {text:?} does not fit")),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What happened, as `policy/creation` or `invoice.paid`: 1 to 128 characters out of `A-Z a-z 0-9 _ . / -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(String);

impl EventType {
    /// Fails with a sentence that says what a type may be.
    pub fn parse(text: &str) -> Result<Self, String> {
        match fits_a_type(text) {
            true => Ok(EventType(text.to_owned())),
            false => Err(format!(
                "an event type has 1 to 128 characters out of A-Z a-z 0-9 _ . / - and no empty part; {text:?} does not fit"
            )),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn fits_a_type(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.split('/').all(|part| !part.is_empty())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'/' | b'-'))
}

/// Which event types an endpoint wants: one exactly (`policy/creation`), a family (`policy/*`), or all (`*`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subscription(String);

impl Subscription {
    /// Fails with a sentence that says what a subscription may be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let stem = match text {
            "*" => return Ok(Subscription(text.to_owned())),
            _ => text.strip_suffix("/*").unwrap_or(text),
        };
        match fits_a_type(stem) {
            true => Ok(Subscription(text.to_owned())),
            false => Err(format!(
                "a subscription is an event type (policy/creation), a family (policy/*) or *; {text:?} is none of them"
            )),
        }
    }

    /// `policy/*` covers `policy/creation` and `policy/creation/failed`, not `policy`.
    pub fn covers(&self, event_type: &EventType) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => event_type.0.starts_with(prefix),
            None => self.0 == event_type.0,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_a_header_or_a_signature_could_not_carry() {
        for good in ["a", "msg_01", "A-Z_09", &"x".repeat(64)] {
            assert!(EventId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a b", "é", "a\n", "a/b", &"x".repeat(65)] {
            assert!(EventId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_family_covers_all_below_it_and_nothing_beside_it() {
        let covers = |s: &str, t: &str| Subscription::parse(s).unwrap().covers(&EventType::parse(t).unwrap());
        assert!(covers("policy/*", "policy/creation"));
        assert!(covers("policy/*", "policy/creation/failed"));
        assert!(covers("*", "anything.at.all"));
        assert!(covers("policy/creation", "policy/creation"));
        assert!(!covers("policy/creation", "policy/creation/failed"));
        assert!(!covers("policy/*", "policyholder/new"));
        assert!(!covers("policy/*", "policy"));
        for bad in ["", "/*", "pol*", "a/*/b", "**", "a//b"] {
            assert!(Subscription::parse(bad).is_err(), "{bad:?}");
        }
    }
}
