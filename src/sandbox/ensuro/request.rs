//! The bodies of requests to Ensuro, read field by field. Fails with one sentence that names the field, what was found and
//! what is expected. Fields that are not known are let pass, as each partner's pricing has its own.
//! Source of the fields: Ensuro, "Pricing API".

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::calendar::parse_rfc3339;
use crate::provider::ensuro::policy::Amount;
use crate::provider::payload::{self, found, shown};
use crate::sandbox::wire;
use crate::time::Time;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPolicy {
    #[serde(with = "wire::amount")]
    pub payout: Amount,
    #[serde(with = "wire::time")]
    pub expiration: Time,
    pub data: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    pub ensuro_id: String,
    #[serde(with = "wire::amount")]
    pub payout: Amount,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    pub ensuro_id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    pub old_ensuro_id: String,
    pub new: NewPolicy,
}

impl NewPolicy {
    pub fn read(body: &[u8]) -> Result<Self, String> {
        new_policy(&payload::object(body)?)
    }
}

impl Resolve {
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let fields = payload::object(body)?;
        Ok(Resolve { ensuro_id: ensuro_id(&fields, "ensuro_id")?, payout: amount(&fields)? })
    }
}

impl Cancel {
    pub fn read(body: &[u8]) -> Result<Self, String> {
        Ok(Cancel { ensuro_id: ensuro_id(&payload::object(body)?, "ensuro_id")? })
    }
}

impl Replace {
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let fields = payload::object(body)?;
        Ok(Replace { old_ensuro_id: ensuro_id(&fields, "old_ensuro_id")?, new: new_policy(&fields)? })
    }
}

fn new_policy(fields: &Map<String, Value>) -> Result<NewPolicy, String> {
    let payout = amount(fields)?;
    if payout == Amount::ZERO {
        return Err("payout must be above 0".to_owned());
    }
    let written = text(fields, "expiration", "a time in RFC 3339 such as \"2026-12-31T21:36:07Z\"")?;
    let expiration = parse_rfc3339(written).map_err(|what| format!("expiration: {what}"))?;
    let data = match fields.get("data") {
        None => Map::new(),
        Some(Value::Object(data)) => data.clone(),
        Some(other) => return Err(format!("data must be an object, not {}", found(other))),
    };
    match fields.get("currency") {
        None => {}
        Some(Value::String(currency)) if currency == "USD" => {}
        Some(Value::String(currency)) => {
            return Err(format!("currency: this sandbox prices in \"USD\" only, not {}", shown(currency)));
        }
        Some(other) => return Err(format!("currency must be \"USD\", not {}", found(other))),
    }
    Ok(NewPolicy { payout, expiration, data })
}

fn amount(fields: &Map<String, Value>) -> Result<Amount, String> {
    let written = text(fields, "payout", "a decimal in a string such as \"190.25\"")?;
    Amount::parse(written).map_err(|what| format!("payout: {what}"))
}

fn ensuro_id(fields: &Map<String, Value>, name: &str) -> Result<String, String> {
    let expected = "a policy's id as digits in a string, as new-policy answered it";
    let id = text(fields, name, expected)?;
    match (1..=78).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(id.to_owned()),
        false => Err(format!("{name} must be {expected}, not {}", shown(id))),
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str, expected: &str) -> Result<&'a str, String> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("{name} must be {expected}, not {}", found(other))),
        None => Err(match payload::nearest(name, fields.keys().map(String::as_str)) {
            Some(near) => format!("{name} is missing; is {} meant to be it?", shown(near)),
            None => format!("{name} is missing; it must be {expected}"),
        }),
    }
}
