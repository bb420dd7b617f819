//! A partner's receiver, right or with one planted fault. It verifies with the library's own rules, remembers what has
//! come, and answers as the providers' documents want it.

use std::collections::HashSet;
use std::sync::Mutex;

use postrider::endpoint::Scheme;
use postrider::provider::ensuro::TYPES;
use postrider::signature::{EIP191_HEADER, HMAC_HEADER, Signed, VerifyKey, eip191, read_key, verify, verify_key_of};
use serde_json::Value;

use super::{HMAC, KEY, V1, V1A};
use crate::receivers::{Answer, Received, Receiver};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Verifies nothing at all.
    Credulous,
    /// A missing signature is taken for a right one.
    MissingIsFine,
    /// Compares as many characters as were sent.
    Prefix,
    /// Throws if the signature has another length.
    ThrowsOnLength,
    /// Never answers a wrong signature.
    HangsOnForgery,
    /// Verifies what it parsed and wrote again.
    Rewrites,
    /// Reads the body as Latin-1.
    Latin1,
    /// Takes whatever recovers to anybody.
    AnySigner,
    /// Does not look at webhook-timestamp.
    Ageless,
    /// Looks at the first of several signatures.
    FirstOnly,
    Created,
    Moved,
    RefusesRepeats,
    Strict,
    WantsQuote,
    WantsCustomData,
    ClosedTypes,
    /// 404 for what was not created before.
    NeedsCreation,
    /// Reads `policy` where a failure has `data`.
    NoFailures,
    /// Reads `crtfct` of a decline.
    NoDeclines,
    /// Takes 100 kB, and says 413 as Express does.
    Express,
    /// As Express with a handler of errors that says 500.
    ExpressHidden,
    UnknownCrashes,
}

#[derive(Default)]
struct Memory {
    policies: HashSet<String>,
    bodies: HashSet<Vec<u8>>,
}

/// One that verifies nothing if `schemes` is empty, as Octamile's.
pub fn start(schemes: &'static [Scheme], fault: Fault) -> Receiver {
    start_answering(schemes, fault, |_, answer| answer)
}

/// As `start`, with each answer given in another way.
pub fn start_answering(
    schemes: &'static [Scheme],
    fault: Fault,
    change: impl Fn(&Received, Answer) -> Answer + Send + Sync + 'static,
) -> Receiver {
    let memory = Mutex::new(Memory::default());
    Receiver::start(move |request| {
        let answer = answer(schemes, fault, request, &mut memory.lock().unwrap());
        change(request, answer)
    })
}

fn answer(schemes: &[Scheme], fault: Fault, request: &Received, memory: &mut Memory) -> Answer {
    if fault == Fault::Moved {
        return Answer::redirect("https://partner.example/new?token=t0k3nInAnUrl");
    }
    if matches!(fault, Fault::Express | Fault::ExpressHidden) && request.body.len() > 100 * 1024 {
        let status = if fault == Fault::Express { 413 } else { 500 };
        return Answer::with(status, &[], b"PayloadTooLargeError: request entity too large");
    }
    if !schemes.is_empty() {
        match believes(schemes, fault, request) {
            Belief::Yes => {}
            Belief::No if fault == Fault::HangsOnForgery => return Answer::hang(),
            Belief::No => return Answer::status(401),
            Belief::Throws => {
                return Answer::with(500, &[], b"RangeError: Input buffers must have the same byte length");
            }
        }
    }
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return Answer::status(400) };
    let is_new = memory.bodies.insert(request.body.clone());
    match status(fault, &body, is_new, memory) {
        Ok(()) if fault == Fault::Created => Answer::status(201),
        Ok(()) => Answer::status(200),
        Err(status) => Answer::with(status, &[], b"no"),
    }
}

/// What becomes of a notification that is believed.
fn status(fault: Fault, body: &Value, is_new: bool, memory: &mut Memory) -> Result<(), u16> {
    let event_type = body["type"].as_str().unwrap_or_default();
    let policy = body["policy"].as_object();
    let id = policy.and_then(|policy| policy["ensuro_id"].as_str()).unwrap_or_default().to_owned();
    let is_known = memory.policies.contains(&id) || !TYPES.contains(&event_type);
    if event_type == "policy/creation" {
        memory.policies.insert(id);
    }
    match fault {
        Fault::RefusesRepeats if !is_new => Err(409),
        Fault::Strict if body.get("added_later").is_some() => Err(422),
        Fault::WantsQuote if policy.is_some_and(|policy| policy["quote"].is_null()) => Err(500),
        Fault::WantsCustomData if policy.is_some_and(|policy| policy["custom_data"]["internalId"].is_null()) => {
            Err(500)
        }
        Fault::ClosedTypes if event_type == "policy/endorsement" => Err(400),
        Fault::NeedsCreation if policy.is_some() && !event_type.starts_with("policy/creation") && !is_known => Err(404),
        Fault::UnknownCrashes if policy.is_some() && event_type != "policy/creation" && !is_known => Err(500),
        Fault::NoFailures if event_type.ends_with("/failed") => Err(500),
        Fault::NoDeclines if body["status"] == "d" => Err(500),
        _ => Ok(()),
    }
}

enum Belief {
    Yes,
    No,
    Throws,
}

fn believes(schemes: &[Scheme], fault: Fault, request: &Received) -> Belief {
    if fault == Fault::Credulous {
        return Belief::Yes;
    }
    let verdicts: Vec<bool> = schemes.iter().map(|scheme| believes_one(*scheme, fault, request)).collect();
    let sent = request.header(HMAC_HEADER);
    if fault == Fault::ThrowsOnLength && sent.is_some_and(|sent| sent.len() != 64) {
        return Belief::Throws;
    }
    if verdicts.iter().all(|good| *good) { Belief::Yes } else { Belief::No }
}

fn believes_one(scheme: Scheme, fault: Fault, request: &Received) -> bool {
    let name = match scheme {
        Scheme::Hmac => HMAC_HEADER,
        Scheme::Eip191 => EIP191_HEADER,
        Scheme::V1 | Scheme::V1a => "webhook-signature",
    };
    let Some(text) = request.header(name) else { return fault == Fault::MissingIsFine };
    let body = match fault {
        Fault::Rewrites => serde_json::from_slice::<Value>(&request.body).unwrap().to_string().into_bytes(),
        Fault::Latin1 => request.body.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes(),
        _ => request.body.clone(),
    };
    let id = request.header("webhook-id").unwrap_or_default().to_owned();
    let timestamp = request.header("webhook-timestamp").and_then(|text| text.parse().ok());
    if matches!(scheme, Scheme::V1 | Scheme::V1a) {
        if id.is_empty() || timestamp.is_none() {
            return false;
        }
        let now = postrider::daemon::clock::wall().unix_seconds();
        if fault != Fault::Ageless && timestamp.is_none_or(|at: i64| (now - at).abs() > 300) {
            return false;
        }
    }
    if fault == Fault::AnySigner {
        return eip191::recover(text, &body).is_ok();
    }
    let key = key(scheme);
    if fault == Fault::Prefix {
        let VerifyKey::Hmac(secret) = &key else { panic!("that fault is of hmac") };
        return postrider::signature::hmac::sign(secret.expose(), &body).starts_with(text);
    }
    let text = if fault == Fault::FirstOnly { text.split(' ').next().unwrap_or_default() } else { text };
    let signed = Signed { event_id: &id, timestamp: timestamp.unwrap_or_default(), body: &body };
    verify(&key, text, &signed).is_ok()
}

fn key(scheme: Scheme) -> VerifyKey {
    let text = match scheme {
        Scheme::Hmac => HMAC,
        Scheme::Eip191 => KEY,
        Scheme::V1 => V1,
        Scheme::V1a => V1A,
    };
    verify_key_of(&read_key(scheme, text.as_bytes()).unwrap())
}
