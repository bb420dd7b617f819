//! What a daemon is sent as JSON: wishes as the API's routes take them. What is left out is as the profile says; `null` is
//! as the profile says again.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::calendar::rfc3339;
use crate::cli::secret::Texts;
use crate::cli::source::Trial;
use crate::cli::{Exit, Failure};
use crate::operations::Edit;
use crate::operations::look::list::Asked;
use crate::operations::resend::Wanted;
use crate::store::NewEndpoint;
use crate::time::Span;

fn ms(spans: &[Span]) -> Vec<i64> {
    spans.iter().map(|span| span.ms()).collect()
}

fn texts_of<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn headers(headers: &[(String, String)]) -> Result<Value, Failure> {
    let mut all = Map::new();
    for (name, value) in headers {
        if all.insert(name.clone(), value.clone().into()).is_some() {
            return Err(Failure::new(Exit::Data, format!("the header {name} is given twice")));
        }
    }
    Ok(all.into())
}

/// Adds the secret and the key, if there are any.
fn with(mut document: Map<String, Value>, texts: &Texts) -> Result<Value, Failure> {
    let given = [("secret", texts.secret()?), ("key", texts.key()?)];
    document.extend(given.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
    Ok(document.into())
}

/// Only what was given.
fn present<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

pub fn endpoint(endpoint: &NewEndpoint, texts: &Texts) -> Result<Value, Failure> {
    let terms = &endpoint.overrides;
    let document = present([
        ("name", Some(endpoint.name.as_str().into())),
        ("url", Some(endpoint.url.as_str().into())),
        ("profile", Some(endpoint.profile.as_str().into())),
        ("subscriptions", Some(texts_of(&endpoint.subscriptions).into())),
        ("timeout_ms", terms.timeout.map(|timeout| timeout.ms().into())),
        ("schedule_ms", terms.schedule.as_deref().map(|delays| ms(delays).into())),
        ("success", terms.success.as_ref().map(|success| success.to_string().into())),
        ("signature_header", terms.signature_header.clone().map(Value::from)),
        ("headers", Some(headers(&terms.headers)?)),
        ("concurrency", terms.concurrency.map(Value::from)),
        ("rate_per_second", terms.rate.map(Value::from)),
    ]);
    with(document, texts)
}

pub fn edit(edit: &Edit) -> Result<Value, Failure> {
    let terms = &edit.overrides;
    let document = present([
        ("url", edit.url.clone().map(Value::from)),
        ("subscriptions", edit.subscriptions.as_deref().map(|all| texts_of(all).into())),
        ("timeout_ms", terms.timeout.map(|timeout| timeout.map(Span::ms).into())),
        ("schedule_ms", terms.schedule.as_ref().map(|delays| delays.as_deref().map(ms).into())),
        ("success", terms.success.as_ref().map(|success| success.as_ref().map(ToString::to_string).into())),
        ("signature_header", terms.signature_header.clone().map(Value::from)),
        ("headers", terms.headers.as_deref().map(headers).transpose()?),
        ("concurrency", terms.concurrency.map(Value::from)),
        ("rate_per_second", terms.rate.map(Value::from)),
    ]);
    Ok(document.into())
}

pub fn rotation(texts: &Texts, overlap: Span) -> Result<Value, Failure> {
    with(present([("overlap_ms", Some(overlap.ms().into()))]), texts)
}

/// A trial, whose body goes byte for byte.
#[derive(serde::Serialize)]
pub struct TrialForm {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
}

impl TrialForm {
    pub fn new(trial: Trial) -> Result<Self, Failure> {
        let event_type = trial.event_type.map(|event_type| event_type.to_string());
        Ok(TrialForm { event_type, body: trial.body.map(raw).transpose()? })
    }
}

/// A body within a JSON document, which can be JSON only, and has no space around it there.
pub fn raw(body: Vec<u8>) -> Result<Box<RawValue>, Failure> {
    let raw = String::from_utf8(body).ok().and_then(|text| {
        let is_bare = text.trim().len() == text.len();
        RawValue::from_string(text).ok().filter(|_| is_bare)
    });
    raw.ok_or_else(|| {
        let text = "this body cannot be sent byte for byte within JSON: it must be JSON with no space and no newline around \
                    it (`jq -cj .` writes it so)";
        Failure::new(Exit::Data, text)
    })
}

pub fn replay(wanted: &Wanted, dry_run: bool) -> Value {
    let document = present([
        ("state", Some(wanted.state.as_str().into())),
        ("endpoint", wanted.endpoint.clone().map(Value::from)),
        ("type", wanted.event_type.as_ref().map(|covered| covered.to_string().into())),
        ("since", wanted.since.map(|since| rfc3339(since).into())),
        ("until", wanted.until.map(|until| rfc3339(until).into())),
        ("dry_run", Some(dry_run.into())),
    ]);
    document.into()
}

/// The query that asks for a page of deliveries.
pub fn asked(asked: &Asked) -> Vec<(&'static str, String)> {
    let all = [
        ("state", asked.state.map(|state| state.as_str().to_owned())),
        ("endpoint", asked.endpoint.clone()),
        ("event", asked.event.as_ref().map(ToString::to_string)),
        ("type", asked.event_type.as_ref().map(ToString::to_string)),
        ("since", asked.since.map(rfc3339)),
        ("cursor", asked.before.map(|before| before.to_string())),
        ("limit", asked.limit.map(|limit| limit.to_string())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// What an event's envelope has beside its body, in the form for a receiver with a secret of its own.
pub fn envelope(members: &[(&'static str, String)], texts: &Texts, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let body = raw(body)?;
    let given = members.iter().map(|(name, text)| ((*name).to_owned(), json!(text)));
    let document = with(given.collect(), texts)?;
    let mut text = serde_json::to_vec(&document).expect("plain data");
    // The body as it stands, which `Value` would not keep.
    text.pop();
    text.extend_from_slice(b",\"body\":");
    text.extend_from_slice(body.get().as_bytes());
    text.push(b'}');
    Ok(text)
}
