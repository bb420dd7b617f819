//! The cases: what a receiver is put to, why it matters, which document says so, and how to put it right.
//! Data only: nothing here sends or judges. An id is `group/name`; it stands in reports and on command lines, and never
//! changes its meaning.

mod delivery;
mod receiver;
mod signature;

use crate::endpoint::{ProfileName, Scheme};
use crate::provider::octamile::certificate::Kind;

/// One thing that a receiver must do.
#[derive(Debug)]
pub struct Case {
    /// `signature/missing`.
    pub id: &'static str,
    /// What a good receiver does: `refuses a request without a signature`.
    pub title: &'static str,
    /// Whose receivers are put to it.
    pub profiles: &'static [ProfileName],
    /// The schemes with which it makes sense; empty: signed or not.
    pub schemes: &'static [Scheme],
    pub ask: Ask,
    /// What goes wrong in a receiver that does not do it.
    pub why: &'static str,
    pub section: Section,
    /// What to change, unless the answer tells something more certain.
    pub fix: &'static str,
}

/// What is sent, and what is looked for in the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The first notification of all. Unless it is taken, nothing else can be told.
    Reach,
    /// The URL is looked at.
    Https,
    /// The answers to all notifications that were sent alone are looked at.
    InTime,
    /// The answer to the first notification is looked at.
    AnswerSize,
    /// A notification of this type, after whatever comes before it in a policy's life.
    Type(&'static str),
    /// Octamile's approval with a certificate of this kind and of so many bytes or a little more.
    Approved(Kind, usize),
    /// A notification that was tampered with: must be refused.
    Refuse(Tampering),
    /// A right signature beside one by another key.
    TwoSignatures,
    /// A notification whose JSON is written in an unusual way, rightly signed.
    Written(Writing),
    /// The same notification again, once it was answered.
    Twice,
    /// The same notification so many times at once.
    Same(usize),
    /// What happened to a policy before its creation, then its creation, and then the first once more.
    OutOfOrder,
    Unusual(Content),
    /// A notification with so many bytes of data.
    Large(usize),
    /// So many notifications at once, each another one.
    Many(usize),
    /// One after another on a connection that is kept.
    KeepAlive,
}

/// What is done to a request after it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampering {
    /// No signature header at all.
    Missing,
    Empty,
    /// Signed by a key that the receiver does not know.
    OtherKey,
    /// The first half of the right signature.
    Half,
    /// The right signature of another notification.
    OtherBody,
    /// EIP-191: v changed from 27 to 28 or back, which makes it somebody else's.
    OtherV,
    /// Standard Webhooks: rightly signed, an hour ago.
    OldTimestamp,
    /// Standard Webhooks: another `webhook-id` than was signed.
    OtherId,
    /// Standard Webhooks: no `webhook-id`.
    NoId,
    /// Standard Webhooks: no `webhook-timestamp`.
    NoTimestamp,
}

/// How the JSON of a body is written. All of them mean the same to a JSON parser as compact JSON does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    Compact,
    /// Spaces, tabs and newlines around everything.
    Spaced,
    /// Keys backwards, and keys that are numbers.
    KeyOrder,
    /// Characters beyond ASCII as they are.
    Unicode,
    /// Characters beyond ASCII, and slashes, as escapes.
    Escapes,
    /// Numbers that no parser writes as it read them.
    Numbers,
    /// As Python's `json.dumps` writes it: a space after every comma and colon between values, and ASCII only.
    Python,
}

/// What is unusual about a notification that keeps the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Fields that the documents do not know.
    NewFields,
    NullQuote,
    EmptyCustomData,
    CustomData,
    /// A type that is not in the documents.
    UnknownType,
    /// A policy that the receiver never heard of.
    UnknownPolicy,
    /// A transaction that the receiver never heard of.
    UnknownTransaction,
}

/// What a document says about a matter; which document that is depends on the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Success,
    InTime,
    Types,
    Signature,
    RawBody,
    Metadata,
    Repeats,
    Order,
    NewFields,
    Payload,
    Size,
    Https,
    /// Of HTTP itself.
    KeepAlive,
    /// No document speaks of it.
    Practice,
}

impl Case {
    /// `signature` of `signature/missing`.
    pub fn group(&self) -> &'static str {
        self.id.split_once('/').map_or(self.id, |(group, _)| group)
    }

    /// The document and section that its `why` rests on.
    pub fn source(&self, profile: ProfileName) -> &'static str {
        self.section.of(profile)
    }

    /// Whether receivers of this profile, whose notifications are signed with these schemes, are put to it.
    pub fn fits(&self, profile: ProfileName, schemes: &[Scheme]) -> bool {
        let signed = self.schemes.is_empty() || self.schemes.iter().any(|scheme| schemes.contains(scheme));
        self.profiles.contains(&profile) && signed
    }
}

impl Section {
    const fn of(self, profile: ProfileName) -> &'static str {
        match (self, profile) {
            (Section::Success | Section::InTime, ProfileName::Ensuro) => "Ensuro, Callback notifications: Retry policy",
            (Section::Types | Section::Payload, ProfileName::Ensuro) => "Ensuro, Callback notifications: Notifications",
            (Section::Signature | Section::RawBody, ProfileName::Ensuro) => {
                "Ensuro, Callback notifications: Notification signature"
            }
            (Section::Repeats | Section::Order | Section::NewFields, ProfileName::Ensuro) => {
                "Ensuro, Callback notifications: Robustness principle and idempotency"
            }
            (Section::Success | Section::InTime | Section::Https, ProfileName::Octamile) => {
                "Octamile, Webhook Reference: requirements for your endpoint"
            }
            (Section::Types | Section::Payload | Section::Size, ProfileName::Octamile) => {
                "Octamile, Webhook Reference: payload"
            }
            (Section::Success | Section::InTime, ProfileName::Standard) => {
                "Standard Webhooks 1.0.0: Delivery success and failure"
            }
            (Section::Signature | Section::RawBody, ProfileName::Standard) => {
                "Standard Webhooks 1.0.0: Signature scheme"
            }
            (Section::Metadata | Section::Repeats, ProfileName::Standard) => {
                "Standard Webhooks 1.0.0: Webhook metadata"
            }
            (Section::Types | Section::Payload | Section::NewFields, ProfileName::Standard) => {
                "Standard Webhooks 1.0.0: Payload structure"
            }
            (Section::Size, ProfileName::Standard) => "Standard Webhooks 1.0.0: Payload size",
            (Section::Https, ProfileName::Ensuro) => "Ensuro, Callback notifications",
            (Section::KeepAlive, _) => "RFC 9112, section 9.3: Persistence",
            (Section::Metadata | Section::Size | Section::Practice, ProfileName::Ensuro)
            | (
                Section::Signature
                | Section::RawBody
                | Section::Metadata
                | Section::Repeats
                | Section::Order
                | Section::NewFields
                | Section::Practice,
                ProfileName::Octamile,
            )
            | (Section::Order | Section::Https | Section::Practice, ProfileName::Standard) => {
                "good practice; the provider's document does not speak of it"
            }
        }
    }
}

const EVERY: &[ProfileName] = &ProfileName::ALL;
const ENSURO: &[ProfileName] = &[ProfileName::Ensuro];
const OCTAMILE: &[ProfileName] = &[ProfileName::Octamile];
const STANDARD: &[ProfileName] = &[ProfileName::Standard];
const SIGNED: &[ProfileName] = &[ProfileName::Ensuro, ProfileName::Standard];

/// The group of the cases that say whether a kind of notification is taken at all.
pub const TYPES: &str = "types";

/// All cases, in the order in which they are run.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        receiver::BASICS,
        delivery::TYPES,
        signature::SIGNATURE,
        signature::BYTES,
        delivery::REPEATS,
        delivery::FIELDS,
        delivery::SIZE,
        receiver::CONNECTION,
        receiver::ANSWER,
    ]
    .into_iter()
    .flatten()
}

/// The groups of all cases, each once.
pub fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&'static str> = all().map(Case::group).collect();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider;

    #[test]
    fn every_id_is_group_and_name_and_stands_once() {
        let mut ids: Vec<&str> = all().map(|case| case.id).collect();
        for id in &ids {
            let fits = |part: &str| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b"-0123456789".contains(&b))
            };
            let (group, name) = id.split_once('/').expect("a group");
            assert!(fits(group) && fits(name), "{id}");
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        let mut groups = groups();
        let count = groups.len();
        groups.sort_unstable();
        groups.dedup();
        assert_eq!(groups.len(), count, "a group stands together");
    }

    #[test]
    fn every_type_of_a_profile_has_a_case() {
        let asked: Vec<&str> = all()
            .filter_map(|case| match case.ask {
                Ask::Type(event_type) => Some(event_type),
                _ => None,
            })
            .collect();
        for event_type in
            provider::ensuro::TYPES.iter().chain(provider::octamile::TYPES).filter(|t| **t != "policy/approved")
        {
            assert!(asked.contains(event_type), "{event_type}");
        }
        for kind in Kind::ALL {
            assert!(all().any(|case| matches!(case.ask, Ask::Approved(asked, _) if asked == kind)), "{kind:?}");
        }
    }

    #[test]
    fn every_case_says_all_that_a_person_needs() {
        for case in all() {
            for text in [case.title, case.why, case.fix] {
                assert!(!text.is_empty() && !text.contains("  ") && text.trim() == text, "{}: {text:?}", case.id);
            }
            assert!(case.why.ends_with('.') && case.fix.ends_with('.'), "{}", case.id);
            assert!(!case.title.ends_with('.') && case.title.len() <= 62, "{}: {}", case.id, case.title.len());
            for profile in case.profiles {
                let schemes = provider::profile(*profile).schemes;
                assert!(case.schemes.is_empty() || case.fits(*profile, schemes), "{}", case.id);
                assert!(!case.source(*profile).is_empty());
            }
        }
    }
}
