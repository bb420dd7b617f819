//! Requests to Octamile's one endpoint, read: the command string, and of the seed what the command needs.
//! Fails with one sentence, which becomes `elbrtn`. Source: Octamile, "Quickstart" and "Error Reference".

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Insure;
use crate::provider::octamile::check_transaction;
use crate::provider::payload::{self, found, shown};
use crate::time::Time;

/// Who asks, as the request says it. The real API refuses what it does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    pub id: Option<String>,
    pub authorization_id: Option<String>,
    pub key: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub credentials: Credentials,
    pub asked: Asked,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// Step 1: what a product costs.
    Premium { product: String },
    /// Step 2.
    Register,
    /// Step 3.
    Insure(Insure),
    /// Step 4.
    Status(Transaction),
}

/// What a poll names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub consumer: String,
    pub product: String,
    pub id: String,
}

impl Transaction {
    pub fn is(&self, consumer: &str, product: &str) -> bool {
        self.consumer == consumer && self.product == product
    }
}

/// Reads a whole body.
pub fn read(body: &[u8]) -> Result<Request, String> {
    let fields = payload::object(body)?;
    let credentials = credentials(fields.get("userInfo"));
    let outer = object(&fields, "", "cmmnd")?;
    let command = text(outer, "cmmnd.", "cmmnd")?.trim();
    let empty = Map::new();
    let seed = match outer.get("seed") {
        None => &empty,
        Some(Value::Object(seed)) => seed,
        Some(other) => return Err(format!("cmmnd.seed must be an object, not {}", found(other))),
    };
    Ok(Request { credentials, asked: asked(command, seed)? })
}

fn credentials(user: Option<&Value>) -> Credentials {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let within = |name: &str| user.and_then(|user| user.get("athrzt")).and_then(|inner| inner.get(name));
    Credentials {
        id: text(user.and_then(|user| user.get("id"))),
        authorization_id: text(within("id")),
        key: text(within("key")),
    }
}

fn asked(command: &str, seed: &Map<String, Value>) -> Result<Asked, String> {
    if command == "prfl entity" {
        return Ok(Asked::Register);
    }
    if let Some(rest) = command.strip_prefix("entt_")
        && let Some((consumer, verb)) = rest.split_once(':')
        && verb.trim() == "insure"
    {
        return insure(&consumer_id(consumer)?, seed).map(Asked::Insure);
    }
    if let Some(rest) = command.strip_prefix("dump ") {
        let rest = rest.trim();
        if let Some(product) = rest.strip_prefix("ipck_").and_then(|rest| rest.strip_suffix("*PRMM")) {
            check_product(product)?;
            return Ok(Asked::Premium { product: product.to_owned() });
        }
        if let Some(rest) = rest.strip_prefix("entt_").and_then(|rest| rest.strip_suffix("*STATUS"))
            && let Some((consumer, rest)) = rest.split_once("|insr_")
        {
            return status(consumer, rest).map(Asked::Status);
        }
    }
    Err(format!(
        "unsupported request: cmmnd.cmmnd {} is none of \"dump ipck_PRODUCT*PRMM\", \"prfl entity\", \"entt_CONSUMER: \
         insure\" and \"dump entt_CONSUMER|insr_PRODUCT-ID*STATUS\"",
        shown(command)
    ))
}

/// The three parts of a product, and the partner's reference, which may hold hyphens itself.
fn status(consumer: &str, rest: &str) -> Result<Transaction, String> {
    let mut parts = rest.splitn(4, '-');
    let (Some(category), Some(kind), Some(package), Some(id)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(format!("insr_{rest} must be insr_CTGRY-TYPE-PCKG-ID"));
    };
    let product = format!("{category}-{kind}-{package}");
    Ok(Transaction { consumer: consumer_id(consumer)?, product, id: id.to_owned() })
}

fn insure(consumer: &str, seed: &Map<String, Value>) -> Result<Insure, String> {
    let part = |name| text(seed, "cmmnd.seed.", name);
    let product = format!("{}-{}-{}", part("ctgry")?, part("type")?, part("pckg")?);
    check_product(&product)?;
    let id = part("id")?;
    check_transaction("cmmnd.seed.id", id)?;
    let facts = object(seed, "cmmnd.seed.", "addtnlFact")?;
    let mistyped = || facts.keys().find(|name| name.to_ascii_lowercase().starts_with("webh"));
    let web_hook = match facts.get("webHook") {
        None if mistyped().is_some() => return Err(missing(facts, "cmmnd.seed.addtnlFact.", "webHook")),
        // Then the partner polls.
        None => None,
        Some(Value::String(url)) if !url.trim().is_empty() => Some(url.clone()),
        Some(other) => {
            let expected = "a URL such as \"https://partner.example/webhooks/octamile\"";
            return Err(format!("cmmnd.seed.addtnlFact.webHook must be {expected}, not {}", found(other)));
        }
    };
    Ok(Insure { consumer: consumer.to_owned(), product, id: id.to_owned(), web_hook })
}

/// 32 letters and digits, or the same as a UUID.
fn consumer_id(text: &str) -> Result<String, String> {
    let id: String = text.trim().chars().filter(|c| *c != '-').collect();
    match id.len() == 32 && id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        true => Ok(id),
        false => {
            Err(format!("entt_ must be followed by a consumer's id of 32 letters and digits; {} is none", shown(text)))
        }
    }
}

/// `vhcl-tprt-1111`
fn check_product(product: &str) -> Result<(), String> {
    let parts: Vec<&str> = product.split('-').collect();
    let fits = |part: &&str| (1..=16).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    match parts.len() == 3 && parts.iter().all(fits) {
        true => Ok(()),
        false => Err(format!("a product is CTGRY-TYPE-PCKG, such as vhcl-tprt-1111; {} is none", shown(product))),
    }
}

fn object<'a>(fields: &'a Map<String, Value>, path: &str, name: &str) -> Result<&'a Map<String, Value>, String> {
    match fields.get(name) {
        Some(Value::Object(inner)) => Ok(inner),
        Some(other) => Err(format!("{path}{name} must be an object, not {}", found(other))),
        None => Err(missing(fields, path, name)),
    }
}

fn text<'a>(fields: &'a Map<String, Value>, path: &str, name: &str) -> Result<&'a str, String> {
    match fields.get(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text),
        Some(other) => Err(format!("{path}{name} must be a string with something in it, not {}", found(other))),
        None => Err(missing(fields, path, name)),
    }
}

fn missing(fields: &Map<String, Value>, path: &str, name: &str) -> String {
    match payload::nearest(name, fields.keys().map(String::as_str)) {
        Some(near) => format!("{path}{name} is missing; is {} meant to be it?", shown(near)),
        None => format!("{path}{name} is missing"),
    }
}

/// What a product costs here, in whole Naira: made up, and the same every time.
pub fn premium(product: &str) -> Value {
    let sum: u64 = product.bytes().map(u64::from).sum();
    json!({"exctnFdbck": {"id": "75"}, "prmm": (5_000 + sum % 40 * 250).to_string()})
}

/// The answer to what cannot be done.
pub fn refused(why: &str) -> Value {
    json!({"exctnFdbck": {"id": "55", "elbrtn": why}})
}

/// `2026-11-01 10:30:00`, UTC.
pub fn stamp(at: Time) -> String {
    let at = Timestamp::from_second(at.unix_seconds()).unwrap_or(Timestamp::MAX);
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
