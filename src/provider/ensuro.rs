//! Ensuro's side of the contract: what happened to a policy, signed over the body.
//! Source of every constant and rule below: Ensuro, "Callback notifications". The rules hold a body to what all the
//! document's samples share; further fields pass, for Ensuro adds to its policies over time.

mod amount;
pub mod notice;
pub mod policy;
mod quote;
pub mod sample;

use serde_json::{Map, Value};

use super::payload::{self, found, shown};
use super::{Checked, Profile};
use crate::endpoint::{ProfileName, Scheme, Success};
use crate::event::EventType;
use crate::schedule::Schedule;
use crate::time::Span;

/// Source: Ensuro, "Callback notifications", notification types.
pub const TYPES: &[&str] = &[
    "policy/creation",
    "policy/creation/failed",
    "policy/resolution",
    "policy/resolution/failed",
    "policy/cancellation",
    "policy/cancellation/failed",
    "policy/replacement",
    "policy/replacement/failed",
];

pub fn profile() -> Profile {
    Profile {
        name: ProfileName::Ensuro,
        timeout: Span::from_seconds(10),
        schedule: Schedule::doubling(Span::from_seconds(30), Span::from_minutes(10), 10),
        success: Success::Codes(vec![200]),
        late_after: None,
        obeys_retry_after: false,
        gone_disables: false,
        schemes: &[Scheme::Hmac, Scheme::Eip191],
        fixed_content_type: Some("application/json"),
        sources: &[
            ("timeout", "Ensuro, Callback notifications, retries: no answer within 10 seconds"),
            ("schedule", "Ensuro, Callback notifications, retries: 30 s, doubled up to 10 minutes, 10 retries"),
            ("success", "Ensuro, Callback notifications: status 200"),
            ("schemes", "Ensuro, Callback notifications: symmetric or asymmetric signature, one per endpoint"),
            ("fixed_content_type", "Ensuro, Callback notifications: a POST with a JSON body"),
        ],
    }
}

/// What a field may hold.
#[derive(Clone, Copy)]
enum Rule {
    /// A decimal number in a string: amounts never pass through binary floating point.
    Decimal,
    DecimalOrNull,
    /// An integer of up to 256 bits in a string.
    BigInteger,
    WholeNumber,
    Text,
    /// RFC 3339, or without an offset as in one of the document's samples.
    Timestamp,
    /// A URL, or the path of one.
    Url,
    UrlOrNull,
    TransactionHash,
    Object,
    ObjectOrNull,
    Events,
}

impl Rule {
    fn expected(self) -> &'static str {
        match self {
            Rule::Decimal => "a decimal in a string such as \"142.363804\"",
            Rule::DecimalOrNull => "a decimal in a string such as \"142.363804\", or null",
            Rule::BigInteger => "an integer in a string such as \"1234567890\", of at most 78 digits",
            Rule::WholeNumber => "a whole number",
            Rule::Text => "a string with something in it",
            Rule::Timestamp => "a time in a string such as \"2026-09-02T06:00:12Z\"",
            Rule::Url => "a URL or the path of one in a string, such as \"/api/policies/12/\"",
            Rule::UrlOrNull => "a URL or the path of one in a string, such as \"/api/policies/12/\", or null",
            Rule::TransactionHash => "a transaction's hash: 0x and 64 hex digits in a string",
            Rule::Object => "an object",
            Rule::ObjectOrNull => "an object or null",
            Rule::Events => "a list of events, with at least one",
        }
    }

    fn admits(self, value: &Value) -> bool {
        let text = |fits: fn(&str) -> bool| value.as_str().is_some_and(fits);
        match self {
            Rule::Decimal => text(is_decimal),
            Rule::DecimalOrNull => value.is_null() || text(is_decimal),
            Rule::BigInteger => text(|text| is_digits(text) && text.len() <= 78),
            Rule::WholeNumber => value.is_u64(),
            Rule::Text => text(|text| !text.trim().is_empty()),
            Rule::Timestamp => text(is_timestamp),
            Rule::Url => text(is_url),
            Rule::UrlOrNull => value.is_null() || text(is_url),
            Rule::TransactionHash => text(is_hash),
            Rule::Object => value.is_object(),
            Rule::ObjectOrNull => value.is_null() || value.is_object(),
            Rule::Events => value.as_array().is_some_and(|events| !events.is_empty()),
        }
    }
}

/// What every policy of the document's samples has.
const POLICY: &[(&str, Rule)] = &[
    ("id", Rule::WholeNumber),
    ("ensuro_id", Rule::BigInteger),
    ("url", Rule::Url),
    ("rm", Rule::Url),
    ("status", Rule::Text),
    ("payout", Rule::Decimal),
    ("actual_payout", Rule::DecimalOrNull),
    ("premium", Rule::Decimal),
    ("pure_premium", Rule::Decimal),
    ("ensuro_commission", Rule::Decimal),
    ("partner_commission", Rule::Decimal),
    ("jr_coc", Rule::Decimal),
    ("sr_coc", Rule::Decimal),
    ("jr_scr", Rule::Decimal),
    ("sr_scr", Rule::Decimal),
    ("loss_prob", Rule::Decimal),
    ("start", Rule::Timestamp),
    ("expiration", Rule::Timestamp),
    ("events", Rule::Events),
    ("quote", Rule::ObjectOrNull),
    ("custom_data", Rule::Object),
];

/// What only some of them have.
const POLICY_OPTIONAL: &[(&str, Rule)] = &[
    ("replaces", Rule::UrlOrNull),
    ("replaced_by", Rule::UrlOrNull),
    ("refund_data", Rule::ObjectOrNull),
    ("updated_at", Rule::Timestamp),
    ("bucket_id_hash", Rule::Text),
];

/// What every element of a policy's `events` has.
const POLICY_EVENT: &[(&str, Rule)] = &[
    ("event_type", Rule::Text),
    ("tx_hash", Rule::TransactionHash),
    ("log_index", Rule::WholeNumber),
    ("timestamp", Rule::Timestamp),
];

/// Checks a notification. Fails with one sentence that names the field, what was found and what is expected.
pub fn check(event_type: &EventType, body: &[u8]) -> Result<Checked, String> {
    let name = event_type.as_str();
    if !TYPES.contains(&name) {
        return Err(match payload::nearest(name, TYPES.iter().copied()) {
            Some(near) => format!("{name:?} is no Ensuro event type; is {near} meant?"),
            None => format!("{name:?} is no Ensuro event type; they are {}", TYPES.join(", ")),
        });
    }
    let fields = payload::object(body)?;
    check_field("", "type", Rule::Text, &fields)?;
    let its_type = fields["type"].as_str().unwrap_or_default();
    if its_type != name {
        return Err(format!("type must be {name:?}, as the event's type is, not {}", shown(its_type)));
    }
    let what = name.trim_start_matches("policy/");
    match what.strip_suffix("/failed") {
        Some(what) => check_failure(what, &fields),
        None => check_success(what, &fields),
    }
}

/// `type`, as the body has it.
pub fn type_of_body(body: &[u8]) -> Option<EventType> {
    EventType::parse(payload::object(body).ok()?.get("type")?.as_str()?).ok()
}

/// `{"type", "policy"}`, where `what` is what happened to the policy.
fn check_success(what: &str, fields: &Map<String, Value>) -> Result<Checked, String> {
    let policy = inner("", "policy", fields)?;
    for (name, rule) in POLICY {
        check_field("policy.", name, *rule, policy)?;
    }
    for (name, rule) in POLICY_OPTIONAL.iter().filter(|(name, _)| policy.contains_key(*name)) {
        check_field("policy.", name, *rule, policy)?;
    }
    let events = policy["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (index, event) in events.iter().enumerate() {
        let path = format!("policy.events[{index}]");
        let Value::Object(event) = event else {
            return Err(format!("{path} must be an object, not {}", found(event)));
        };
        for (name, rule) in POLICY_EVENT {
            check_field(&format!("{path}."), name, *rule, event)?;
        }
    }
    let mut checked = warn_of_others(&["type", "policy"], fields);
    if !events.iter().any(|event| event["event_type"] == what) {
        checked.warnings.push(format!("policy.events has no event of type {what:?}, though that is what happened"));
    }
    Ok(checked)
}

/// `{"type", "data", "error_detail"}`: `data` is what was asked of Ensuro, as far as each kind's sample shows it.
fn check_failure(what: &str, fields: &Map<String, Value>) -> Result<Checked, String> {
    let data = inner("", "data", fields)?;
    let required: &[(&str, Rule)] = match what {
        "creation" => &[("quote", Rule::Object)],
        "resolution" | "cancellation" => &[("ensuro_id", Rule::BigInteger)],
        "replacement" => &[("old_ensuro_id", Rule::BigInteger), ("new_policy", Rule::Object)],
        other => unreachable!("{other} is in no Ensuro type"),
    };
    for (name, rule) in required {
        check_field("data.", name, *rule, data)?;
    }
    check_field("", "error_detail", Rule::Text, fields)?;
    Ok(warn_of_others(&["type", "data", "error_detail"], fields))
}

fn warn_of_others(known: &[&str], fields: &Map<String, Value>) -> Checked {
    let others = fields.keys().filter(|name| !known.contains(&name.as_str()));
    let warnings = others.map(|name| format!("the document knows no field {} here", shown(name))).collect();
    Checked { once: None, warnings }
}

fn inner<'a>(path: &str, name: &str, fields: &'a Map<String, Value>) -> Result<&'a Map<String, Value>, String> {
    check_field(path, name, Rule::Object, fields)?;
    Ok(fields[name].as_object().expect("check_field admits only an object"))
}

fn check_field(path: &str, name: &str, rule: Rule, fields: &Map<String, Value>) -> Result<(), String> {
    match fields.get(name) {
        Some(value) if rule.admits(value) => Ok(()),
        Some(value) => Err(format!("{path}{name} must be {}, not {}", rule.expected(), found(value))),
        None => Err(format!("{path}{name} is missing; it must be {}", rule.expected())),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_decimal(text: &str) -> bool {
    match text.split_once('.') {
        Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
        None => is_digits(text),
    }
}

fn is_timestamp(text: &str) -> bool {
    let has_time = text.as_bytes().get(10) == Some(&b'T');
    has_time && (text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::DateTime>().is_ok())
}

fn is_url(text: &str) -> bool {
    let begins = ["/", "https://", "http://"].into_iter().any(|beginning| text.starts_with(beginning));
    begins && !text.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control())
}

fn is_hash(text: &str) -> bool {
    text.strip_prefix("0x").is_some_and(|digits| digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests;
