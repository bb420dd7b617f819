//! Octamile's side of the contract: one POST when a policy's status becomes approved or declined.
//! Source of every constant and rule below: Octamile, "Webhook Reference". What that page leaves open (retries, names
//! of event types) is postrider's own and says so.

pub mod certificate;
pub mod notice;
pub mod sample;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::payload::{self, found, shown};
use super::{Checked, Profile};
use crate::endpoint::{ProfileName, Success};
use crate::event::EventType;
use crate::schedule::Schedule;
use crate::time::Span;
use certificate::Kind;

/// Our names for status "a" and status "d": the document gives its notifications none.
pub const TYPES: &[&str] = &[APPROVED, DECLINED];
pub const APPROVED: &str = "policy/approved";
pub const DECLINED: &str = "policy/declined";

/// The fields of a notification. Source: Octamile, "Webhook Reference", payload.
const FIELDS: [&str; 7] = ["product", "consumerId", "trnsctnId", "status", "statusNote", "crtfct", "crtfctType"];

pub fn profile() -> Profile {
    Profile {
        name: ProfileName::Octamile,
        timeout: Span::from_seconds(10),
        schedule: Schedule::doubling(Span::from_seconds(30), Span::from_minutes(10), 10),
        success: Success::Codes(vec![200]),
        // The receiver must answer within 5 s. A later 200 is still a delivery: sending it again would help nobody.
        late_after: Some(Span::from_seconds(5)),
        obeys_retry_after: false,
        gone_disables: false,
        schemes: &[],
        fixed_content_type: Some("application/json"),
        sources: &[
            ("timeout", "postrider: 10 s (the document states the receiver's 5 s, see late_after)"),
            ("schedule", "postrider: as Ensuro's; Octamile's Webhook Reference states no retries"),
            ("success", "Octamile, Webhook Reference: the receiver answers 200"),
            ("late_after", "Octamile, Webhook Reference: within 5 seconds"),
            ("schemes", "Octamile, Webhook Reference: unsigned"),
            ("fixed_content_type", "Octamile, Webhook Reference: JSON"),
        ],
    }
}

/// Checks a notification. Fails with one sentence that names the field, what was found and what is expected.
pub fn check(event_type: &EventType, body: &[u8]) -> Result<Checked, String> {
    let approved = match event_type.as_str() {
        APPROVED => true,
        DECLINED => false,
        other => return Err(format!("{other:?} is no Octamile event type; they are {APPROVED} and {DECLINED}")),
    };
    let fields = payload::object(body)?;
    check_product(text(&fields, "product")?)?;
    let consumer = text(&fields, "consumerId")?;
    check_consumer(consumer)?;
    let transaction = text(&fields, "trnsctnId")?;
    check_transaction("trnsctnId", transaction)?;
    let status = text(&fields, "status")?;
    let expected = if approved { "a" } else { "d" };
    if status != expected {
        return Err(format!("status must be {expected:?} in a {event_type} event, not {}", shown(status)));
    }
    check_note(approved, text(&fields, "statusNote")?)?;
    check_certificate(approved, &fields)?;
    let unknown = fields.keys().filter(|name| !FIELDS.contains(&name.as_str()));
    Ok(Checked {
        // It fires when the status changes, so the same transaction has each status once.
        once: Some(format!("octamile:{consumer}:{transaction}:{status}")),
        warnings: unknown.map(|name| format!("the document knows no field {}", shown(name))).collect(),
    })
}

/// By `status`: the body names no type.
pub fn type_of_body(body: &[u8]) -> Option<EventType> {
    match payload::object(body).ok()?.get("status")?.as_str()? {
        "a" => EventType::parse(APPROVED).ok(),
        "d" => EventType::parse(DECLINED).ok(),
        _ => None,
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("{name} must be a string, not {}", found(other))),
        None => Err(match payload::nearest(name, fields.keys().map(String::as_str)) {
            Some(near) if !FIELDS.contains(&near) => format!("{name} is missing; is {} meant to be it?", shown(near)),
            Some(_) | None => format!("{name} is missing"),
        }),
    }
}

fn check_product(product: &str) -> Result<(), String> {
    match product.trim().is_empty() {
        true => Err("product must name the product, such as \"vhcl-tprt-2040\", and is empty".to_owned()),
        false => Ok(()),
    }
}

fn check_consumer(consumer: &str) -> Result<(), String> {
    match consumer.len() == 32 && consumer.bytes().all(|b| b.is_ascii_alphanumeric()) {
        true => Ok(()),
        false => Err(format!("consumerId must have 32 letters and digits; {} does not", shown(consumer))),
    }
}

/// Whether a partner's reference, which stands in the field `name`, may go out. Fails with a sentence.
///
/// The document's own example of a receiver writes the certificate to a file of this name, so a name that leads out of a
/// folder never goes out.
pub fn check_transaction(name: &str, transaction: &str) -> Result<(), String> {
    let fits = (1..=128).contains(&transaction.len())
        && transaction.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !transaction.starts_with('.')
        && !transaction.contains("..");
    match fits {
        true => Ok(()),
        false => Err(format!(
            "{name} must be safe as a file's name: 1 to 128 characters out of A-Z a-z 0-9 . _ -, no dot at its \
             beginning and no two together; {} is not",
            shown(transaction)
        )),
    }
}

fn check_note(approved: bool, note: &str) -> Result<(), String> {
    match (approved, note.trim().is_empty()) {
        (true, _) if !note.is_empty() => Err(format!("statusNote must be empty on approval, not {}", shown(note))),
        (false, true) => Err("statusNote must give the reason of the decline, and is empty".to_owned()),
        (true, _) | (false, false) => Ok(()),
    }
}

/// An approval carries a certificate that is what it says it is, a decline carries none.
fn check_certificate(approved: bool, fields: &Map<String, Value>) -> Result<(), String> {
    if !approved {
        let left_over = ["crtfct", "crtfctType"].into_iter().find(|name| fields.contains_key(*name));
        return match left_over {
            Some(name) => Err(format!("{name} must be left out on decline: only an approval has a certificate")),
            None => Ok(()),
        };
    }
    let (certificate, kind) = (text(fields, "crtfct")?, text(fields, "crtfctType")?);
    let Ok(kind) = Kind::parse(kind) else {
        return Err(format!("crtfctType must be \"jpg\", \"png\" or \"pdf\", not {}", shown(kind)));
    };
    let Ok(decoded) = STANDARD.decode(certificate) else {
        return Err(format!(
            "crtfct must be base64 (standard alphabet, padded, one line); {} is not",
            shown(certificate)
        ));
    };
    if decoded.is_empty() {
        return Err("crtfct must hold the certificate, and is empty".to_owned());
    }
    match decoded.starts_with(kind.beginning()) {
        true => Ok(()),
        false => {
            let kind = kind.as_str();
            Err(format!("crtfctType says {kind}, but crtfct does not begin as a {kind} file does"))
        }
    }
}

#[cfg(test)]
mod tests;
