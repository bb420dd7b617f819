//! Receivers over HTTP: registered, listed, edited, paused, given new keys, tried, removed.
//! A secret that is made here is in one answer, that of the request that made it, and in none after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::problem::{Kind, Problem};
use super::{Api, Json, envelope, envelope_if_any};
use crate::daemon::{Failed, trial};
use crate::endpoint::{Endpoint, EndpointName, Key, Overrides, ProfileName, Success};
use crate::event::{EventType, Subscription};
use crate::operations::answer::{EndpointAnswer, EndpointsAnswer, RemovedAnswer, Revealed, TestAnswer};
use crate::operations::{self, Edit, OverridesEdit, Refused, look, trial as sample};
use crate::signature;
use crate::store::{NewEndpoint, Store};
use crate::time::{Span, Time};

/// A receiver. What is left out is as its profile says.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEndpointRequest {
    /// 1 to 64 characters out of A-Z a-z 0-9 _ -.
    #[schema(example = "acme")]
    name: String,
    /// Where to POST to: public HTTPS, unless the configuration allows more.
    #[schema(example = "https://acme.example/hook")]
    url: String,
    #[schema(value_type = crate::operations::answer::Profile)]
    profile: String,
    /// The shared secret: any text (ensuro), whsec_… (standard). If a secret is needed and neither `secret` nor `key` is given,
    /// one is made, and is in the answer.
    #[serde(default)]
    secret: Option<String>,
    /// The private key: 64 hex digits (ensuro), whsk_… (standard).
    #[serde(default)]
    key: Option<String>,
    /// Types (`policy/creation`) and families (`policy/*`); all that the profile knows, if there are none.
    #[serde(default)]
    subscriptions: Vec<String>,
    /// From 100 to 30000.
    #[serde(default)]
    timeout_ms: Option<i64>,
    /// The wait before each retry.
    #[serde(default)]
    schedule_ms: Option<Vec<i64>>,
    /// `2xx`, or codes as `200,202`.
    #[serde(default)]
    success: Option<String>,
    /// The name of the header that carries Ensuro's signature.
    #[serde(default)]
    signature_header: Option<String>,
    /// Sent besides the profile's own. Values are never shown again.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Attempts in flight at once, from 1 to 256.
    #[serde(default)]
    concurrency: Option<u32>,
    /// Attempts begun per second, from 1 to 100000.
    #[serde(default)]
    rate_per_second: Option<u32>,
}

/// What is to be different. What is left out stays; `null` is as the profile says again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointPatch {
    #[serde(default)]
    url: Option<String>,
    /// All of them, instead of all that there were.
    #[serde(default)]
    subscriptions: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    timeout_ms: Option<Option<i64>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<i64>>)]
    schedule_ms: Option<Option<Vec<i64>>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    success: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    signature_header: Option<Option<String>>,
    /// All of them, instead of all that there were.
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    concurrency: Option<Option<u32>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    rate_per_second: Option<Option<u32>>,
}

/// Tells `null`, which is a wish, from nothing.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// New keys. Without `secret` and `key`, a shared secret is made, and is in the answer.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateRequest {
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    key: Option<String>,
    /// How long the old key goes on signing beside the new one, where the scheme allows several signatures (standard); a day,
    /// if nothing is said.
    #[serde(default)]
    overlap_ms: Option<i64>,
}

/// What to send. Without a body, a sample of the profile.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestRequest {
    #[serde(default, rename = "type")]
    event_type: Option<String>,
    /// Sent byte for byte.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    body: Option<Box<RawValue>>,
}

const A_DAY: Span = Span::from_hours(24);

fn name(text: &str) -> Result<EndpointName, Problem> {
    EndpointName::parse(text).map_err(|detail| Problem::new(Kind::NotFound, detail))
}

fn at(pointer: &'static str) -> impl Fn(String) -> Problem {
    move |detail| Problem::envelope(pointer, detail)
}

/// The keys that a request gives for a profile, or one that is made because it gives none; then with its text.
fn keys(
    profile: ProfileName,
    secret: Option<String>,
    key: Option<String>,
) -> Result<(Vec<Key>, Option<Zeroizing<String>>), Problem> {
    let given = [(false, secret.map(Zeroizing::new), "/secret"), (true, key.map(Zeroizing::new), "/key")];
    let mut keys = Vec::new();
    for (asymmetric, text, pointer) in given {
        let Some(text) = text else { continue };
        let scheme = operations::scheme_of(profile, asymmetric).map_err(at(pointer))?;
        keys.push(signature::read_key(scheme, text.as_bytes()).map_err(at(pointer))?);
    }
    if keys.is_empty() && !crate::provider::profile(profile).schemes.is_empty() {
        let (key, text) = operations::generate(profile)?;
        return Ok((vec![key], Some(text)));
    }
    Ok((keys, None))
}

fn subscriptions(texts: &[String]) -> Result<Vec<Subscription>, Problem> {
    texts.iter().map(|text| Subscription::parse(text)).collect::<Result<_, _>>().map_err(at("/subscriptions"))
}

fn spans(list: Vec<i64>) -> Vec<Span> {
    list.into_iter().map(Span::from_ms).collect()
}

/// List the registered endpoints.
#[utoipa::path(
    get, path = "/v1/endpoints", tag = "endpoints",
    responses((status = 200, body = EndpointsAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list_endpoints(State(api): State<Api>) -> Result<Json<EndpointsAnswer>, Problem> {
    let concurrency = api.handle.config().delivery.concurrency_per_endpoint;
    let found = api.handle.look(move |store, _| {
        let endpoints = store.endpoints()?;
        let named: Vec<Endpoint> = endpoints.into_iter().filter(|endpoint| endpoint.name.is_some()).collect();
        Ok::<_, Refused>(EndpointsAnswer::new(&named, concurrency))
    });
    Ok(Json(found.await??))
}

/// Register an endpoint.
#[utoipa::path(
    post, path = "/v1/endpoints", tag = "endpoints", request_body = NewEndpointRequest,
    responses((status = 201, body = EndpointAnswer, headers(("location" = String), ("etag" = String))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn add_endpoint(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let asked: NewEndpointRequest = envelope(&api, request).await?;
    let profile = ProfileName::parse(&asked.profile).map_err(at("/profile"))?;
    let (keys, made) = keys(profile, asked.secret, asked.key)?;
    let endpoint = NewEndpoint {
        name: EndpointName::parse(&asked.name).map_err(at("/name"))?,
        url: asked.url,
        profile,
        subscriptions: subscriptions(&asked.subscriptions)?,
        overrides: Overrides {
            timeout: asked.timeout_ms.map(Span::from_ms),
            schedule: asked.schedule_ms.map(spans),
            success: asked.success.as_deref().map(Success::parse).transpose().map_err(at("/success"))?,
            signature_header: asked.signature_header,
            headers: asked.headers.into_iter().collect(),
            concurrency: asked.concurrency,
            rate: asked.rate_per_second,
        },
        keys,
    };
    let rules = api.handle.rules().clone();
    let added = api.handle.change(move |store, now| operations::add_endpoint(store, &rules, now, endpoint)).await??;
    let location = format!("/v1/endpoints/{}", added.label());
    let mut response = shown(&api, &added, made);
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_str(&location).expect("a name fits a header"));
    Ok(response)
}

/// An endpoint with the tag of its present form, and with the secret that was made for it just now.
fn shown(api: &Api, endpoint: &Endpoint, made: Option<Zeroizing<String>>) -> Response {
    let secret = made.map(|text| Revealed(text.to_string()));
    finished(api, endpoint, |answer| EndpointAnswer { secret, ..answer })
}

/// An endpoint with the tag of its present form. What `finish` adds is no part of that.
fn finished(api: &Api, endpoint: &Endpoint, finish: impl FnOnce(EndpointAnswer) -> EndpointAnswer) -> Response {
    let answer = EndpointAnswer::new(endpoint, api.handle.config().delivery.concurrency_per_endpoint);
    let etag = api.tags.of(endpoint, &answer);
    let mut response = super::json(&finish(answer)).into_response();
    response.headers_mut().insert(header::ETAG, HeaderValue::from_str(&etag).expect("hex digits"));
    response
}

/// Makes ETags. They cover what is not shown too: the whole URL, values of headers, keys. So that nobody can guess those by
/// them, each process of the daemon mixes in random bytes of its own: a tag of one that ended fits nothing any more.
#[derive(Clone)]
pub(super) struct Tags(Arc<[u8; 32]>);

impl Tags {
    pub fn new() -> Result<Self, Failed> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt)
            .map_err(|error| Failed::Machine(format!("the machine gives no random numbers: {error}")))?;
        Ok(Tags(Arc::new(salt)))
    }

    fn of(&self, endpoint: &Endpoint, answer: &EndpointAnswer) -> String {
        let mut text = Zeroizing::new(self.0.to_vec());
        let mut add = |part: &[u8]| {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        };
        add(&serde_json::to_vec(answer).expect("plain data"));
        add(endpoint.url.as_bytes());
        endpoint.overrides.headers.iter().for_each(|(_, value)| add(value.as_bytes()));
        endpoint.keys.iter().for_each(|key| add(key.secret.expose()));
        format!("\"{}\"", &signature::hex(&signature::digest(&text))[..32])
    }
}

/// Show an endpoint.
#[utoipa::path(
    get, path = "/v1/endpoints/{name}", tag = "endpoints", params(("name" = String, Path, description = "its name")),
    responses((status = 200, body = EndpointAnswer, headers(("etag" = String))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn show_endpoint(State(api): State<Api>, Path(text): Path<String>) -> Result<Response, Problem> {
    let name = name(&text)?;
    let found = api.handle.look(move |store, _| {
        let endpoint = operations::endpoint(store, &name)?;
        let pending = look::pending(store, endpoint.id)?;
        Ok::<_, Refused>((endpoint, pending))
    });
    let (endpoint, pending) = found.await??;
    Ok(finished(&api, &endpoint, |answer| answer.with_pending(pending)))
}

/// Edit an endpoint.
///
/// A merge patch. `If-Match` with the ETag that was seen last keeps two people from undoing each other's edits (412).
#[utoipa::path(
    patch, path = "/v1/endpoints/{name}", tag = "endpoints", request_body = EndpointPatch,
    params(("name" = String, Path, description = "its name"), ("If-Match" = Option<String>, Header, description = "an ETag")),
    responses((status = 200, body = EndpointAnswer, headers(("etag" = String))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn edit_endpoint(
    State(api): State<Api>,
    Path(text): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let name = name(&text)?;
    let patch: EndpointPatch = envelope(&api, request).await?;
    let success = patch.success.map(|text| text.as_deref().map(Success::parse).transpose());
    let edit = Edit {
        url: patch.url,
        subscriptions: patch.subscriptions.as_deref().map(subscriptions).transpose()?,
        overrides: OverridesEdit {
            timeout: patch.timeout_ms.map(|ms| ms.map(Span::from_ms)),
            schedule: patch.schedule_ms.map(|list| list.map(spans)),
            success: success.transpose().map_err(at("/success"))?,
            signature_header: patch.signature_header,
            headers: patch.headers.map(|headers| headers.into_iter().collect()),
            concurrency: patch.concurrency,
            rate: patch.rate_per_second,
        },
    };
    let expected = headers.get(header::IF_MATCH).map(|value| value.to_str().unwrap_or_default().trim().to_owned());
    let (rules, concurrency) = (api.handle.rules().clone(), api.handle.config().delivery.concurrency_per_endpoint);
    let tags = api.tags.clone();
    let edited = api.handle.change(move |store, now| {
        if let Some(expected) = expected.filter(|expected| expected != "*") {
            let known = operations::endpoint(store, &name)?;
            if tags.of(&known, &EndpointAnswer::new(&known, concurrency)) != expected {
                return Ok(None);
            }
        }
        operations::edit_endpoint(store, &rules, now, &name, &edit).map(Some)
    });
    let edited: Result<Option<Endpoint>, Refused> = edited.await?;
    match edited? {
        Some(endpoint) => Ok(shown(&api, &endpoint, None)),
        None => Err(Problem::new(
            Kind::PreconditionFailed,
            "the endpoint was changed since its ETag was read; read it again, and decide again",
        )),
    }
}

/// Remove an endpoint, and end what it is owed as dead.
#[utoipa::path(
    delete, path = "/v1/endpoints/{name}", tag = "endpoints", params(("name" = String, Path, description = "its name")),
    responses((status = 200, body = RemovedAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn remove_endpoint(
    State(api): State<Api>,
    Path(text): Path<String>,
) -> Result<Json<RemovedAnswer>, Problem> {
    let name = name(&text)?;
    let named = name.clone();
    let owed = api.handle.look(move |store, _| {
        let endpoint = operations::endpoint(store, &named)?;
        Ok::<_, Refused>(store.owed(endpoint.id)?)
    });
    let owed = owed.await??;
    let lane = api.handle.change(move |store, now| operations::close_endpoint(store, now, &name)).await??;
    // In parts, so that other endpoints' work fits in between. It is removed: if this fails, the daemon ends the rest.
    while let Ok(Ok(1..)) = api.handle.change(move |store, now| operations::bury(store, now, lane)).await {}
    Ok(Json(RemovedAnswer { removed: text, ended: owed.pending - owed.in_flight }))
}

/// Send nothing to an endpoint for now. What it is owed waits.
#[utoipa::path(
    post, path = "/v1/endpoints/{name}/pause", tag = "endpoints", params(("name" = String, Path, description = "its name")),
    responses((status = 200, body = EndpointAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn pause_endpoint(State(api): State<Api>, Path(text): Path<String>) -> Result<Response, Problem> {
    change(api, &text, operations::pause_endpoint).await
}

/// Go on sending to an endpoint that was paused, or that disabled itself by answering 410.
#[utoipa::path(
    post, path = "/v1/endpoints/{name}/resume", tag = "endpoints", params(("name" = String, Path, description = "its name")),
    responses((status = 200, body = EndpointAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn resume_endpoint(State(api): State<Api>, Path(text): Path<String>) -> Result<Response, Problem> {
    change(api, &text, operations::resume_endpoint).await
}

type EndpointChange = fn(&mut dyn Store, Time, &EndpointName) -> Result<Endpoint, Refused>;

async fn change(api: Api, text: &str, change: EndpointChange) -> Result<Response, Problem> {
    let name = name(text)?;
    let changed = api.handle.change(move |store, now| change(store, now, &name)).await??;
    Ok(shown(&api, &changed, None))
}

/// Give an endpoint a new key.
///
/// It signs from now on, also what is owed already. Standard Webhooks: the old key signs beside it for `overlap_ms`. Ensuro: the
/// header holds one signature, so the old key ends at once; have the receiver accept both before.
#[utoipa::path(
    post, path = "/v1/endpoints/{name}/rotate", tag = "endpoints", request_body = RotateRequest,
    params(("name" = String, Path, description = "its name")),
    responses((status = 200, body = EndpointAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn rotate_keys(
    State(api): State<Api>,
    Path(text): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let name = name(&text)?;
    let asked: RotateRequest = envelope_if_any(&api, request).await?;
    let known = {
        let name = name.clone();
        api.handle.look(move |store, _| operations::endpoint(store, &name)).await??
    };
    let (keys, made) = keys(known.profile, asked.secret, asked.key)?;
    let overlap = asked.overlap_ms.map_or(A_DAY, Span::from_ms);
    let rotated = api.handle.change(move |store, now| operations::rotate_keys(store, now, &name, keys, overlap));
    Ok(shown(&api, &rotated.await??, made))
}

/// Try an endpoint now.
///
/// One attempt with a sample, or with what is given: rendered, signed, carried and judged as every other, but not stored and not
/// retried. The receiver cannot tell it from a real notification.
#[utoipa::path(
    post, path = "/v1/endpoints/{name}/test", tag = "endpoints", request_body = TestRequest,
    params(("name" = String, Path, description = "its name")),
    responses((status = 200, body = TestAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn test_endpoint(
    State(api): State<Api>,
    Path(text): Path<String>,
    request: Request,
) -> Result<Json<TestAnswer>, Problem> {
    let name = name(&text)?;
    let asked: TestRequest = envelope_if_any(&api, request).await?;
    let event_type = asked.event_type.as_deref().map(EventType::parse).transpose().map_err(at("/type"))?;
    let body = asked.body.map(|body| body.get().as_bytes().to_vec());
    let endpoint = api.handle.look(move |store, _| operations::endpoint(store, &name)).await??;
    let event = sample::event(&endpoint, event_type, body, crate::daemon::clock::wall())?;
    let attempt = trial::attempt(api.handle.courier(), &endpoint, &event).await;
    Ok(Json(TestAnswer {
        endpoint: endpoint.label(),
        url: look::redacted(&endpoint.url),
        event: event.id.to_string(),
        event_type: event.event_type.to_string(),
        accepted: attempt.outcome.is_accepted(),
        attempt: (&attempt).into(),
    }))
}
