//! Renders one attempt: the exact bytes that go out, and nothing left for the courier to decide.
//! The body is the event's own, never parsed and never copied; it goes out only if it still has the digest that it was
//! accepted with. The same endpoint, event and time always give the same request.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::endpoint::{Endpoint, Key, Overrides};
use crate::event::Event;
use crate::provider;
use crate::signature::{self, Signed};
use crate::time::{Span, Time};

/// How postrider names itself to receivers.
pub const USER_AGENT: &str = concat!("postrider/", env!("CARGO_PKG_VERSION"));

/// The longest value of an extra header, in bytes: the common servers refuse 8 KiB for all headers together.
pub const LONGEST_HEADER_VALUE: usize = 4096;

/// One POST, ready to be carried. `Debug` leaves out header values and the URL's query: they may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// As `url::Url` serialises it.
    pub url: String,
    /// In sending order; names in lower case. Host and Content-Length are the transport's.
    pub headers: Vec<(String, String)>,
    pub body: Arc<[u8]>,
    /// For DNS, connect, TLS, write and the head of the answer together.
    pub timeout: Span,
}

/// The request of an attempt that begins at `now`, signed with those of the endpoint's keys that sign then.
///
/// Headers in this order: content-type, user-agent, signatures, the endpoint's extra ones. Fails only if the stored
/// body does not have the digest that it was accepted with.
pub fn render(endpoint: &Endpoint, event: &Event, now: Time) -> Result<Request, String> {
    if signature::digest(&event.body) != event.digest {
        return Err("the stored body does not match its digest".to_owned());
    }
    let overrides = &endpoint.overrides;
    let content_type = provider::profile(endpoint.profile).fixed_content_type.unwrap_or(&event.content_type);
    let mut headers =
        vec![("content-type".to_owned(), content_type.to_owned()), ("user-agent".to_owned(), USER_AGENT.to_owned())];
    let signed = Signed { event_id: event.id.as_str(), timestamp: now.unix_seconds(), body: &event.body };
    let keys: Vec<&Key> = endpoint.keys.iter().filter(|key| key.signs_at(now)).collect();
    headers.extend(signature::headers(keys, &signed, overrides.signature_header.as_deref()));
    headers.extend(overrides.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
    Ok(Request {
        url: endpoint.url.clone(),
        headers,
        body: event.body.clone(),
        timeout: provider::terms(endpoint.profile, overrides).timeout,
    })
}

/// Whether the headers that an endpoint wants besides or otherwise may be sent, together too. Fails with a sentence
/// that names the header and never repeats its value.
pub fn check_headers(overrides: &Overrides) -> Result<(), String> {
    let mut seen: Vec<String> = Vec::new();
    if let Some(name) = &overrides.signature_header {
        check_signature_header(name)?;
        seen.push(name.to_ascii_lowercase());
    }
    for (name, value) in &overrides.headers {
        check_header(name, value)?;
        let name = name.to_ascii_lowercase();
        if seen.contains(&name) {
            return Err(format!("the header {name} is set twice"));
        }
        seen.push(name);
    }
    Ok(())
}

/// Whether an extra header may be sent. Fails like `check_headers`.
pub fn check_header(name: &str, value: &str) -> Result<(), String> {
    let name = parsed_name(name)?;
    match owner(name.as_str()) {
        Owner::Nobody => {}
        Owner::Signature => return Err(format!("the header {name} is for signatures: it cannot be set by hand")),
        Owner::Transport => return Err(format!("the header {name} is the transport's: it cannot be set by hand")),
        Owner::Postrider => return Err(format!("the header {name} is postrider's own: it cannot be set by hand")),
    }
    check_value(value).map_err(|why| format!("the header {name} {why}"))
}

/// Whether Ensuro's signature may go out under this name.
pub fn check_signature_header(name: &str) -> Result<(), String> {
    let name = parsed_name(name)?;
    match owner(name.as_str()) {
        // Receivers take `webhook-*` for Standard Webhooks, whose values have another form.
        Owner::Signature if name.as_str().starts_with("webhook-") => {}
        Owner::Nobody | Owner::Signature => return Ok(()),
        Owner::Transport | Owner::Postrider => {}
    }
    Err(format!("a signature cannot be sent as {name}: that header has a meaning of its own"))
}

/// Whether an event's content type can be sent: `type/subtype`, perhaps with parameters.
pub fn check_content_type(text: &str) -> Result<(), String> {
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is_token = |part: &str| !part.is_empty() && HeaderName::from_bytes(part.as_bytes()).is_ok();
    let in_form = essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    match in_form && check_value(text).is_ok() {
        true => Ok(()),
        false => Err(format!("a content type is written like application/json; {text:?} is not")),
    }
}

/// Who alone may set a header.
enum Owner {
    Nobody,
    Postrider,
    Signature,
    Transport,
}

/// Of a name in lower case.
fn owner(name: &str) -> Owner {
    const TRANSPORT: [&str; 9] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "keep-alive",
    ];
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if TRANSPORT.contains(&name) || begins(&["proxy-"]) {
        Owner::Transport
    } else if begins(&["webhook-", "x-ensuro-", "x-eip191-"]) {
        Owner::Signature
    } else if ["content-type", "user-agent"].contains(&name) {
        Owner::Postrider
    } else {
        Owner::Nobody
    }
}

fn parsed_name(name: &str) -> Result<HeaderName, String> {
    let unfit = |_| format!("{:?} cannot be the name of a header", name.chars().take(64).collect::<String>());
    HeaderName::from_bytes(name.as_bytes()).map_err(unfit)
}

/// Visible ASCII, with spaces inside. The error is the end of a sentence that begins with the header.
fn check_value(value: &str) -> Result<(), String> {
    let visible = value.bytes().all(|b| (b' '..=b'~').contains(&b)) && HeaderValue::from_str(value).is_ok();
    if !visible {
        return Err("must have a value of visible ASCII characters and spaces".to_owned());
    }
    if value.trim() != value || value.is_empty() {
        return Err("must have a value, without a space at its beginning or end".to_owned());
    }
    match value.len() <= LONGEST_HEADER_VALUE {
        true => Ok(()),
        false => Err(format!("has a value of {} bytes; {LONGEST_HEADER_VALUE} is the most", value.len())),
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) = self.url.split_once('?').map_or((self.url.as_str(), ""), |(path, _)| (path, "?***"));
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("url", &format_args!("{path}{query}"))
            .field("headers", &names)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .field("timeout", &format_args!("{}", self.timeout))
            .finish()
    }
}

#[cfg(test)]
mod tests;
