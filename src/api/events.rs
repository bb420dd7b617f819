//! Accepting one event: as a JSON envelope whose `body` is carried byte for byte, or raw, where the request's body is the
//! event's. 201 follows the commit that holds the event and all its deliveries.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Api;
use super::body::{self, Limits};
use super::guard::Caller;
use super::json::read_object;
use super::line::of_event;
use super::problem::{Kind, Problem};
use super::query::read_query;
use super::server::duration;
use crate::daemon::clock::wall;
use crate::daemon::handle::{ENVELOPE, Room, Unserved};
use crate::endpoint::{EndpointName, Key, ProfileName};
use crate::event::{EventId, EventType};
use crate::operations::answer::AcceptedAnswer;
use crate::operations::{self, Submission, Target};
use crate::signature;
use crate::trace::TraceContext;

/// Where events are taken.
pub(super) const PATH: &str = "/v1/events";

/// An event as JSON. Unknown members are refused.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope {
    /// The caller's own id, so that the event can be sent again without a second delivery: 1 to 64 of A-Z a-z 0-9 _ -.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "policy-812-created")]
    id: Option<String>,
    /// What happened. May be left out where the body names it and one profile is asked for.
    #[serde(default, rename = "type")]
    #[schema(max_length = 128, example = "policy/creation")]
    event_type: Option<String>,
    /// A registered endpoint, or several. Without `endpoint` and `to`: all that subscribe to the type.
    #[serde(default)]
    endpoint: Option<Names>,
    /// A URL that is not registered; needs `profile`.
    #[serde(default)]
    to: Option<String>,
    /// Whose promises `to` is served by.
    #[serde(default)]
    #[schema(value_type = Option<crate::operations::answer::Profile>)]
    profile: Option<String>,
    /// The shared secret that `to` is signed with.
    #[serde(default)]
    secret: Option<String>,
    /// The private key that `to` is signed with.
    #[serde(default)]
    key: Option<String>,
    /// What the body is, where the profile leaves it open. `application/json` if there is none.
    #[serde(default)]
    content_type: Option<String>,
    /// Any JSON. It is sent as it stands here, byte for byte: spacing, order and numbers included.
    #[schema(value_type = serde_json::Value)]
    body: Box<RawValue>,
}

/// One name or a list of names.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "a name, or a list of names")]
pub(super) enum Names {
    One(String),
    Several(Vec<String>),
}

/// What the query says of a raw event.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawForm {
    id: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    #[serde(default)]
    endpoint: Vec<String>,
    to: Option<String>,
    profile: Option<String>,
}

/// Accept an event.
///
/// As an envelope (`content-type: application/json` and no query), or raw: `POST /v1/events?type=order.paid&endpoint=acme`,
/// where the request's body, whatever its content type, is the event's. The answer follows the durable commit of the event
/// and all its deliveries. The same `id` or `Idempotency-Key` again gets the same answer (with `idempotency-replayed: true`)
/// and no second delivery; with another request it is refused (422), and while the first is under way too (409).
#[utoipa::path(
    post, path = "/v1/events", tag = "events", request_body(content(
        (Envelope = "application/json"), (String = "application/octet-stream"))),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters, quoted or bare; \
         kept as long as the event, for each access token apart"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context; kept with the event"),
        ("type" = Option<String>, Query, description = "Raw form: what happened"),
        ("endpoint" = Option<Vec<String>>, Query, description = "Raw form: a registered endpoint; may be repeated"),
        ("to" = Option<String>, Query, description = "Raw form: a URL that is not registered"),
        ("profile" = Option<crate::operations::answer::Profile>, Query, description = "Raw form: whose promises `to` is served by"),
        ("id" = Option<String>, Query, description = "Raw form: the caller's own id"),
    ),
    responses(
        (status = 201, body = AcceptedAnswer, headers(("location" = String), ("idempotency-replayed" = Option<String>))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn accept(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let began = wall();
    let (Parts { uri, headers, extensions, .. }, body) = request.into_parts();
    let caller = extensions.get::<Caller>().ok_or_else(Problem::internal)?;
    let form =
        uri.query().filter(|query| !query.is_empty()).map(|query| read_query::<RawForm>(Some(query))).transpose()?;
    let json = content_type(&headers)?;
    if form.is_none() && !json.as_deref().is_some_and(is_json) {
        return Err(Problem::new(
            Kind::UnsupportedMediaType,
            "an envelope is sent as content-type: application/json; for any other body, say in the query what it is \
             (POST /v1/events?type=order.paid&endpoint=acme)",
        ));
    }
    let (bytes, room) = read(&api, &headers, body).await?;
    let mut submission = match form {
        Some(form) => form.submission(bytes.as_ref().into(), json)?,
        None => enveloped(&bytes)?,
    };
    submission.idempotency_key = idempotency_key(&headers, caller)?;
    submission.trace = trace(&headers);
    let accepted = accept_one(&api, submission, room, began).await?;
    Ok(created(accepted))
}

/// Accepts what was read, with a span of its own if spans are wanted.
pub(super) async fn accept_one(
    api: &Api,
    mut submission: Submission,
    room: Room,
    began: crate::time::Time,
) -> Result<AcceptedAnswer, Problem> {
    let span = api.handle.spans().accepting(submission.trace.as_ref(), began);
    submission.trace = span.context();
    let accepted = api.handle.enqueue(submission, room).await.map_err(|unserved| match unserved {
        Unserved::Refused(refused) => of_event(refused),
        other => other.into(),
    })?;
    span.accepted(wall(), accepted.event.as_str(), accepted.event_type.as_str());
    Ok(AcceptedAnswer::from(accepted))
}

fn created(mut accepted: AcceptedAnswer) -> Response {
    let location = format!("/v1/events/{}", accepted.event);
    let again = std::mem::take(&mut accepted.again);
    let mut response = (StatusCode::CREATED, super::json(&accepted)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(&location).expect("an id fits a header"));
    if again {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}

/// The whole body, and the room that it takes until its event is on disk.
async fn read(api: &Api, headers: &HeaderMap, body: Body) -> Result<(bytes::Bytes, Room), Problem> {
    let most = api.handle.rules().max_body_bytes.saturating_add(ENVELOPE);
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|text| text.to_str().ok()?.parse::<usize>().ok());
    let mut room = api.handle.room(announced.unwrap_or(0).min(most))?;
    let limits = Limits { bytes: most, time: duration(api.handle.config().api.request_timeout), are_settings: true };
    let bytes = body::read(body, limits, |bytes| Ok(room.grow(bytes)?)).await?;
    Ok((bytes, room))
}

/// The event that an envelope holds.
pub(super) fn enveloped(bytes: &[u8]) -> Result<Submission, Problem> {
    let envelope: Envelope = read_object(bytes)?;
    let at = |pointer: &'static str| move |detail: String| Problem::envelope(pointer, detail);
    let id = envelope.id.as_deref().map(EventId::parse).transpose().map_err(at("/id"))?;
    let event_type = envelope.event_type.as_deref().map(EventType::parse).transpose().map_err(at("/type"))?;
    let names = match envelope.endpoint {
        None => vec![],
        Some(Names::One(name)) => vec![name],
        Some(Names::Several(names)) if names.is_empty() => {
            return Err(at("/endpoint")("an empty list of endpoints; leave it out for all that subscribe".to_owned()));
        }
        Some(Names::Several(names)) => names,
    };
    let profile = envelope.profile.as_deref().map(ProfileName::parse).transpose().map_err(at("/profile"))?;
    let keys = [(false, &envelope.secret, "/secret"), (true, &envelope.key, "/key")];
    let keys: Vec<Key> = keys
        .into_iter()
        .filter_map(|(asymmetric, text, pointer)| Some((asymmetric, text.as_ref()?, pointer)))
        .map(|(asymmetric, text, pointer)| {
            let profile =
                profile.ok_or_else(|| at(pointer)("a secret or key goes with `to` and `profile`".to_owned()))?;
            let scheme = operations::scheme_of(profile, asymmetric).map_err(at(pointer))?;
            signature::read_key(scheme, text.as_bytes()).map_err(at(pointer))
        })
        .collect::<Result<_, _>>()?;
    let names =
        names.iter().map(|name| EndpointName::parse(name)).collect::<Result<_, _>>().map_err(at("/endpoint"))?;
    Ok(Submission {
        id,
        idempotency_key: None,
        event_type,
        content_type: Some(envelope.content_type.unwrap_or_else(|| "application/json".to_owned())),
        body: Arc::from(envelope.body.get().as_bytes()),
        target: target(names, envelope.to, profile, keys).map_err(|(pointer, detail)| at(pointer)(detail))?,
        trace: None,
    })
}

fn target(
    names: Vec<EndpointName>,
    to: Option<String>,
    profile: Option<ProfileName>,
    keys: Vec<Key>,
) -> Result<Target, (&'static str, String)> {
    match (names.is_empty(), to, profile) {
        (false, Some(_), _) => Err(("/to", "give `endpoint` or `to`, not both".to_owned())),
        (_, Some(_), None) => Err(("/profile", "`to` needs a profile: ensuro, octamile or standard".to_owned())),
        (true, Some(url), Some(profile)) => Ok(Target::OneOff { url, profile, keys }),
        (_, None, Some(_)) => {
            Err(("/profile", "a profile goes with `to`; a registered endpoint has its own".to_owned()))
        }
        (true, None, None) => Ok(Target::Subscribers),
        (false, None, None) => Ok(Target::Endpoints(names)),
    }
}

impl RawForm {
    fn submission(self, body: Arc<[u8]>, content_type: Option<String>) -> Result<Submission, Problem> {
        let wrong = |detail: String| Problem::new(Kind::InvalidParameter, detail);
        let id = self.id.as_deref().map(EventId::parse).transpose().map_err(wrong)?;
        let event_type = self.event_type.as_deref().map(EventType::parse).transpose().map_err(wrong)?;
        let profile = self.profile.as_deref().map(ProfileName::parse).transpose().map_err(wrong)?;
        let names =
            self.endpoint.iter().map(|name| EndpointName::parse(name)).collect::<Result<_, _>>().map_err(wrong)?;
        Ok(Submission {
            id,
            idempotency_key: None,
            event_type,
            content_type: Some(content_type.unwrap_or_else(|| "application/octet-stream".to_owned())),
            body,
            target: target(names, self.to, profile, vec![]).map_err(|(_, detail)| wrong(detail))?,
            trace: None,
        })
    }
}

fn content_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let text = value.to_str().map_err(|_| {
        Problem::new(Kind::UnsupportedMediaType, "the content type holds something else than printable ASCII")
    })?;
    Ok(Some(text.to_owned()))
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// `Idempotency-Key: "8e03978e-40d5"`, or without the quotes (the draft of the HTTPAPI working group wants them, most clients
/// leave them out).
fn idempotency_key(headers: &HeaderMap, caller: &Caller) -> Result<Option<[u8; 32]>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let fits = (1..=255).contains(&bare.len()) && bare.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if !fits || values.next().is_some() {
        let text = "Idempotency-Key is one text of 1 to 255 printable ASCII characters, in quotes or bare";
        return Err(Problem::new(Kind::InvalidParameter, text));
    }
    Ok(Some(operations::idempotency_key(scope(caller), bare)))
}

/// Whose keys these are: two holders of tokens may use the same.
fn scope(caller: &Caller) -> &str {
    match caller {
        Caller::Token { name, .. } => name,
        Caller::Trusted | Caller::Anonymous => "",
    }
}

/// The trace of the caller's request. One that is no trace context is no reason to lose an event: it is left out, as W3C says.
fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    let parent = headers.get("traceparent")?.to_str().ok()?;
    let state = headers.get("tracestate").and_then(|value| value.to_str().ok());
    TraceContext::parse(parent, state).or_else(|_| TraceContext::parse(parent, None)).ok()
}
