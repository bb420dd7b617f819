//! What is asked of a receiver that verifies: forgeries are refused, and what is rightly signed is taken, however its
//! JSON is written.

use super::{Ask, Case, ENSURO, EVERY, SIGNED, STANDARD, Section, Tampering, Writing};
use crate::endpoint::Scheme;

/// A forgery that was taken.
const FORGED: &str = "Anybody who knows the URL can make this receiver believe in policies that nobody bought.";
const COMPARE: &str = "Compute the signature over the raw body, compare it in constant time, and answer 401 before \
                       anything else if it differs or is not there.";

pub const SIGNATURE: &[Case] = &[
    Case {
        id: "signature/missing",
        title: "refuses a request without a signature",
        profiles: SIGNED,
        schemes: &[],
        ask: Ask::Refuse(Tampering::Missing),
        why: FORGED,
        section: Section::Signature,
        fix: "Treat a missing header as a wrong signature: answer 401 and do nothing.",
    },
    Case {
        id: "signature/empty",
        title: "refuses an empty signature",
        profiles: SIGNED,
        schemes: &[],
        ask: Ask::Refuse(Tampering::Empty),
        why: FORGED,
        section: Section::Signature,
        fix: "Treat an empty header as a wrong signature: answer 401 and do nothing.",
    },
    Case {
        id: "signature/other-key",
        title: "refuses a signature made with another key",
        profiles: SIGNED,
        schemes: &[],
        ask: Ask::Refuse(Tampering::OtherKey),
        why: FORGED,
        section: Section::Signature,
        fix: COMPARE,
    },
    Case {
        id: "signature/half",
        title: "refuses the first half of the right signature",
        profiles: SIGNED,
        schemes: &[],
        ask: Ask::Refuse(Tampering::Half),
        why: "A comparison that stops at the shorter text takes a signature of a few characters, which is soon guessed.",
        section: Section::Signature,
        fix: "Compare lengths first, then all bytes: hmac.compare_digest in Python; in Node crypto.timingSafeEqual \
              throws if the lengths differ, so check them before it.",
    },
    Case {
        id: "signature/other-body",
        title: "refuses the signature of another notification",
        profiles: SIGNED,
        schemes: &[],
        ask: Ask::Refuse(Tampering::OtherBody),
        why: "Whoever has seen one notification can sign any other with it.",
        section: Section::RawBody,
        fix: "The signature must be computed over the body of this very request: Flask request.get_data(), Express the \
              buffer that express.json's verify hook is given.",
    },
    Case {
        id: "signature/other-v",
        title: "refuses a signature that recovers to another signer",
        profiles: ENSURO,
        schemes: &[Scheme::Eip191],
        ask: Ask::Refuse(Tampering::OtherV),
        why: "Every 65 bytes recover to some address; only the address that the provider published is the provider.",
        section: Section::Signature,
        fix: "Compare the recovered address with the provider's (ethers.verifyMessage, Account.recover_message): that \
              one is recovered at all proves nothing.",
    },
    Case {
        id: "signature/old-timestamp",
        title: "refuses a notification that was signed an hour ago",
        profiles: STANDARD,
        schemes: &[],
        ask: Ask::Refuse(Tampering::OldTimestamp),
        why: "Whoever has recorded a notification can send it again for ever.",
        section: Section::Metadata,
        fix: "Refuse a webhook-timestamp that is more than five minutes from now; the official libraries do.",
    },
    Case {
        id: "signature/other-id",
        title: "refuses a webhook-id that was not signed",
        profiles: STANDARD,
        schemes: &[],
        ask: Ask::Refuse(Tampering::OtherId),
        why: "Whoever has recorded a notification can send it again as a new one.",
        section: Section::Signature,
        fix: "What is signed is id.timestamp.body, with the webhook-id of this very request.",
    },
    Case {
        id: "signature/no-id",
        title: "refuses a request without webhook-id",
        profiles: STANDARD,
        schemes: &[],
        ask: Ask::Refuse(Tampering::NoId),
        why: "What is signed begins with the id: without it nothing can be verified.",
        section: Section::Signature,
        fix: "Answer 400 or 401 unless all three webhook- headers are there.",
    },
    Case {
        id: "signature/no-timestamp",
        title: "refuses a request without webhook-timestamp",
        profiles: STANDARD,
        schemes: &[],
        ask: Ask::Refuse(Tampering::NoTimestamp),
        why: "Without the time that was signed, a recorded notification cannot be told from a new one.",
        section: Section::Signature,
        fix: "Answer 400 or 401 unless all three webhook- headers are there.",
    },
    Case {
        id: "signature/two",
        title: "takes two signatures of which one is right",
        profiles: STANDARD,
        schemes: &[],
        ask: Ask::TwoSignatures,
        why: "While keys rotate each notification has a signature by the new and one by the old key, with a space \
              between: who looks at the first alone loses notifications on that day.",
        section: Section::Signature,
        fix: "Split webhook-signature at spaces and take the notification if one of the parts is right.",
    },
];

const REWRITTEN: &str = "JSON may be written in more ways than one. A receiver that verifies not the bytes that came, \
                         but what it made of them, refuses notifications that are right.";
const RAW: &str = "Verify the raw body, not JSON that was parsed and written again: Flask request.get_data(); Express \
                   express.json({verify: (req, res, buf) => { req.rawBody = buf }}) or express.raw(); never \
                   JSON.stringify(req.body).";

pub const BYTES: &[Case] = &[
    Case {
        id: "bytes/spacing",
        title: "takes JSON with unusual spacing",
        profiles: EVERY,
        schemes: &[],
        ask: Ask::Written(Writing::Spaced),
        why: REWRITTEN,
        section: Section::RawBody,
        fix: RAW,
    },
    Case {
        id: "bytes/key-order",
        title: "takes JSON with its keys in another order",
        profiles: EVERY,
        schemes: &[],
        ask: Ask::Written(Writing::KeyOrder),
        why: REWRITTEN,
        section: Section::RawBody,
        fix: RAW,
    },
    Case {
        id: "bytes/unicode",
        title: "takes characters beyond ASCII as they are",
        profiles: EVERY,
        schemes: &[],
        ask: Ask::Written(Writing::Unicode),
        why: REWRITTEN,
        section: Section::RawBody,
        fix: RAW,
    },
    Case {
        id: "bytes/escapes",
        title: "takes characters and slashes written as escapes",
        profiles: EVERY,
        schemes: &[],
        ask: Ask::Written(Writing::Escapes),
        why: REWRITTEN,
        section: Section::RawBody,
        fix: RAW,
    },
    Case {
        id: "bytes/numbers",
        title: "takes numbers that change when they are written again",
        profiles: SIGNED,
        schemes: &[],
        ask: Ask::Written(Writing::Numbers),
        why: REWRITTEN,
        section: Section::RawBody,
        fix: RAW,
    },
];
