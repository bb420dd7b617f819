//! What is asked of a receiver as the partner of its provider: each kind of notification, each more than once, with
//! whatever may stand in it.

use super::{Ask, Case, Content, ENSURO, EVERY, OCTAMILE, STANDARD, Section};
use crate::provider::octamile::certificate::Kind;

const ENSURO_200: &str = "Ensuro counts status 200 alone: after any other answer the notification is sent again, ten \
                          times within 65 minutes, and then never.";
const OCTAMILE_200: &str = "Octamile wants status 200; a certificate that is not taken is a policy without proof.";
const EVERY_TYPE: &str = "Answer 200 to every type, also to those that you have no use for.";
const EVERY_KIND: &str =
    "Decode crtfct from base64 and keep it with the ending that crtfctType names: jpg, png or pdf.";

/// A notification of an Ensuro type.
const fn ensuro(id: &'static str, title: &'static str, event_type: &'static str) -> Case {
    Case {
        id,
        title,
        profiles: ENSURO,
        schemes: &[],
        ask: Ask::Type(event_type),
        why: ENSURO_200,
        section: Section::Success,
        fix: EVERY_TYPE,
    }
}

/// An approval by Octamile.
const fn approved(id: &'static str, title: &'static str, kind: Kind) -> Case {
    Case {
        id,
        title,
        profiles: OCTAMILE,
        schemes: &[],
        ask: Ask::Approved(kind, 0),
        why: OCTAMILE_200,
        section: Section::Success,
        fix: EVERY_KIND,
    }
}

pub const TYPES: &[Case] = &[
    ensuro("types/creation", "answers 200 to policy/creation", "policy/creation"),
    ensuro("types/creation-failed", "answers 200 to policy/creation/failed", "policy/creation/failed"),
    ensuro("types/resolution", "answers 200 to policy/resolution", "policy/resolution"),
    ensuro("types/resolution-failed", "answers 200 to policy/resolution/failed", "policy/resolution/failed"),
    ensuro("types/cancellation", "answers 200 to policy/cancellation", "policy/cancellation"),
    ensuro("types/cancellation-failed", "answers 200 to policy/cancellation/failed", "policy/cancellation/failed"),
    ensuro("types/replacement", "answers 200 to policy/replacement", "policy/replacement"),
    ensuro("types/replacement-failed", "answers 200 to policy/replacement/failed", "policy/replacement/failed"),
    approved("types/approved-jpg", "answers 200 to an approval with a JPG certificate", Kind::Jpg),
    approved("types/approved-png", "answers 200 to an approval with a PNG certificate", Kind::Png),
    approved("types/approved-pdf", "answers 200 to an approval with a PDF certificate", Kind::Pdf),
    Case {
        id: "types/declined",
        title: "answers 200 to a decline, which has no crtfct",
        profiles: OCTAMILE,
        schemes: &[],
        ask: Ask::Type("policy/declined"),
        why: OCTAMILE_200,
        section: Section::Payload,
        fix: "Look at status first: crtfct and crtfctType are there only if it is \"a\".",
    },
    Case {
        id: "types/any",
        title: "answers 2xx to an event",
        profiles: STANDARD,
        schemes: &[],
        ask: Ask::Type("invoice.paid"),
        why: "What is not answered 2xx is sent again, and in the end given up.",
        section: Section::Success,
        fix: EVERY_TYPE,
    },
];

const AGAIN: &str = "An answer can be lost on its way, so the same notification may come twice. A refusal has it sent \
                     again ten times more; a second entry in the books is worse.";
const ANSWER_AGAIN: &str = "Remember what has come (Ensuro: policy id and event; Octamile: trnsctnId and status; \
                            Standard Webhooks: webhook-id), do nothing the second time, and answer as the first time.";

pub const REPEATS: &[Case] = &[
    Case {
        id: "repeats/twice",
        title: "takes the same notification again",
        profiles: EVERY,
        schemes: &[],
        ask: Ask::Twice,
        why: AGAIN,
        section: Section::Repeats,
        fix: ANSWER_AGAIN,
    },
    Case {
        id: "repeats/five-at-once",
        title: "takes the same notification five times at once",
        profiles: EVERY,
        schemes: &[],
        ask: Ask::Same(5),
        why: AGAIN,
        section: Section::Repeats,
        fix: "Let the database decide who was first (a unique key and INSERT ... ON CONFLICT DO NOTHING); a look before \
              the insert is not enough.",
    },
    Case {
        id: "repeats/out-of-order",
        title: "takes a resolution that comes before its creation",
        profiles: ENSURO,
        schemes: &[],
        ask: Ask::OutOfOrder,
        why: "After a failure the next notification overtakes the one that is tried again.",
        section: Section::Order,
        fix: "Keep what comes and let the policy's status, events and updated_at decide, not the order of arrival.",
    },
];

const ROOM: &str = "New fields may be added, and optional ones be empty: who insists on the shape of today refuses the \
                    notifications of tomorrow.";
const FORGETFUL: &str = "It cannot be put right by sending it again, and a refusal has it sent again ten times.";

pub const FIELDS: &[Case] = &[
    Case {
        id: "fields/new",
        title: "takes fields that it does not know",
        profiles: EVERY,
        schemes: &[],
        ask: Ask::Unusual(Content::NewFields),
        why: ROOM,
        section: Section::NewFields,
        fix: "Ignore unknown fields: no additionalProperties: false, no extra=\"forbid\", no DisallowUnknownFields.",
    },
    Case {
        id: "fields/null-quote",
        title: "takes a policy whose quote is null",
        profiles: ENSURO,
        schemes: &[],
        ask: Ask::Unusual(Content::NullQuote),
        why: ROOM,
        section: Section::Payload,
        fix: "Look whether policy.quote is there before reading from it (policy.quote?.quote_id).",
    },
    Case {
        id: "fields/empty-custom-data",
        title: "takes a policy whose custom_data is empty",
        profiles: ENSURO,
        schemes: &[],
        ask: Ask::Unusual(Content::EmptyCustomData),
        why: ROOM,
        section: Section::Payload,
        fix: "Demand nothing of policy.custom_data; find your policy by ensuro_id.",
    },
    Case {
        id: "fields/custom-data",
        title: "takes a policy with custom_data of any shape",
        profiles: ENSURO,
        schemes: &[],
        ask: Ask::Unusual(Content::CustomData),
        why: ROOM,
        section: Section::Payload,
        fix: "Read from policy.custom_data only what you have put there, and let the rest be.",
    },
    Case {
        id: "fields/unknown-type",
        title: "answers 200 to a type that it does not know",
        profiles: &[super::ProfileName::Ensuro, super::ProfileName::Standard],
        schemes: &[],
        ask: Ask::Unusual(Content::UnknownType),
        why: "When the provider adds a type, each notification of it that is refused is sent again ten times.",
        section: Section::NewFields,
        fix: "End the handler's switch with: note it in the log, and answer 200.",
    },
    Case {
        id: "fields/unknown-policy",
        title: "answers 200 for a policy that it never heard of",
        profiles: ENSURO,
        schemes: &[],
        ask: Ask::Unusual(Content::UnknownPolicy),
        why: FORGETFUL,
        section: Section::Repeats,
        fix: "Keep it aside, tell somebody, and answer 200.",
    },
    Case {
        id: "fields/unknown-transaction",
        title: "answers 200 for a transaction that it never heard of",
        profiles: OCTAMILE,
        schemes: &[],
        ask: Ask::Unusual(Content::UnknownTransaction),
        why: FORGETFUL,
        section: Section::Payload,
        fix: "Keep it aside, tell somebody, and answer 200.",
    },
];

const PROOF: &str = "Certificates are scans and PDFs, and base64 makes them a third larger. One that is too large for \
                     the receiver is lost after the last attempt.";
const LIMIT: &str = "Raise the limits of bodies: express.json({limit: \"5mb\"}), nginx client_max_body_size 5m, Flask \
                     MAX_CONTENT_LENGTH, and the column that keeps the certificate.";

pub const SIZE: &[Case] = &[
    Case {
        id: "size/certificate-1kb",
        title: "takes a certificate of 1 kB",
        profiles: OCTAMILE,
        schemes: &[],
        ask: Ask::Approved(Kind::Pdf, 1_000),
        why: PROOF,
        section: Section::Size,
        fix: LIMIT,
    },
    Case {
        id: "size/certificate-200kb",
        title: "takes a certificate of 200 kB",
        profiles: OCTAMILE,
        schemes: &[],
        ask: Ask::Approved(Kind::Jpg, 200_000),
        why: PROOF,
        section: Section::Size,
        fix: LIMIT,
    },
    Case {
        id: "size/certificate-2mb",
        title: "takes a certificate of 2 MB",
        profiles: OCTAMILE,
        schemes: &[],
        ask: Ask::Approved(Kind::Pdf, 2_000_000),
        why: PROOF,
        section: Section::Size,
        fix: LIMIT,
    },
    Case {
        id: "size/large",
        title: "takes a notification of 200 kB",
        profiles: &[super::ProfileName::Ensuro, super::ProfileName::Standard],
        schemes: &[],
        ask: Ask::Large(200_000),
        why: "custom_data and events have no stated limit; Express takes 100 kB unless it is told otherwise.",
        section: Section::Size,
        fix: LIMIT,
    },
];
