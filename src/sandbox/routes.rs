//! The providers' routes, as a partner's client calls them: Ensuro's under `/` and `/api/v0/{product}`, Octamile's one
//! endpoint at `/` and `/octamile`. They read and check what came, ask the desk, and tell in one line what was answered.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, options, post};
use serde_json::{Value, json};

use super::desk::{Desk, Undone, seed};
use super::ensuro::request::{Cancel, NewPolicy, Replace, Resolve};
use super::keys::{Denied, Keys};
use super::octamile::request::{self as asked, Asked};
use super::tell::{Happening, Tell};
use super::world::Command;
use super::{ensuro, octamile};
use crate::api::Json;
use crate::api::body;
use crate::api::server::duration;
use crate::courier::guard::check_url;
use crate::daemon::Handle;
use crate::daemon::clock::wall;
use crate::provider::dice::Dice;

/// What every handler is given.
pub struct Counter {
    pub desk: Desk,
    pub keys: Keys,
    pub handle: Handle,
    pub tell: Tell,
}

pub type Shared = State<Arc<Counter>>;

/// No request of a partner's has more.
const MOST_BYTES: usize = 256 * 1024;

pub fn routes() -> Router<Arc<Counter>> {
    let read = |bytes: &[u8]| NewPolicy::read(bytes).map(ensuro::Command::NewPolicy);
    let resolve = |bytes: &[u8]| Resolve::read(bytes).map(ensuro::Command::Resolve);
    let cancel = |bytes: &[u8]| Cancel::read(bytes).map(ensuro::Command::Cancel);
    let replace = |bytes: &[u8]| Replace::read(bytes).map(ensuro::Command::Replace);
    let ensuro = Router::new()
        .route("/quote", post(quote))
        .route("/new-policy", post(move |state: Shared, request: Request| ensuro(state, request, read)))
        .route("/resolve-policy", post(move |state: Shared, request: Request| ensuro(state, request, resolve)))
        .route("/cancel-policy", post(move |state: Shared, request: Request| ensuro(state, request, cancel)))
        .route("/replace-policy", post(move |state: Shared, request: Request| ensuro(state, request, replace)));
    Router::new()
        .route("/", post(octamile).options(instance).get(about))
        .route("/octamile", post(octamile))
        .merge(ensuro.clone())
        .nest("/api/v0/{product}", ensuro.route("/", options(instance).post(quote)))
        .route("/policies", get(policies))
        .route("/api/policies/", get(policies))
        .route("/api/policies/{id}", get(policy))
        .route("/api/policies/{id}/", get(policy))
}

/// A request that changes something: who asks, whether they signed it, what it says, and then the desk.
async fn ensuro(
    State(counter): Shared,
    request: Request,
    read: impl Fn(&[u8]) -> Result<ensuro::Command, String>,
) -> Response {
    let path = request.uri().path().to_owned();
    let answered = async {
        let headers = request.headers().clone();
        counter.keys.admit(&headers)?;
        let body = counter.body(request).await?;
        counter.keys.verify(&headers, &body)?;
        let command = read(&body).map_err(|text| Denied { status: 400, text })?;
        Ok(counter.desk.perform(Command::Ensuro(command)).await?.answer)
    };
    counter.answer(path, answered.await)
}

/// Prices a policy, and changes nothing. `?unsigned` leaves the signature out.
async fn quote(State(counter): Shared, RawQuery(query): RawQuery, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let wishes = query.unwrap_or_default();
    let signed = !wishes.split('&').any(|wish| wish.split('=').next() == Some("unsigned") && !wish.ends_with("=false"));
    let answered = async {
        counter.keys.admit(request.headers())?;
        let body = counter.body(request).await?;
        let asked = NewPolicy::read(&body).map_err(|text| Denied { status: 400, text })?;
        let mut dice = Dice::new(seed().map_err(Undone::Unkept)?);
        let quoted = move |world: &super::world::World, now| {
            let settings = world.settings().expect("the sandbox began with its settings");
            ensuro::quoted(&ensuro::quote(&asked, now, &mut dice, settings), signed)
        };
        Ok(counter.desk.look(quoted).await?)
    };
    counter.answer(path, answered.await)
}

/// What this instance is. Open, as Ensuro's is.
async fn instance(State(counter): Shared) -> Response {
    let found = counter.desk.look(|world, _| {
        let settings = world.settings().expect("the sandbox began with its settings");
        json!({
            "risk_module": settings.risk_module.to_string(),
            "signer": settings.quote_signer.to_string(),
            "decimals": 6,
            "topic": "sandbox",
        })
    });
    found.await.map_or_else(|undone| refused(&undone.into()), |answer| Json(answer).into_response())
}

async fn policies(State(counter): Shared) -> Response {
    let found = counter.desk.look(|world, _| {
        let all: Vec<Value> = world.ensuro.policies().map(|policy| policy.json()).collect();
        json!({"policies": all})
    });
    found.await.map_or_else(|undone| refused(&undone.into()), |answer| Json(answer).into_response())
}

async fn policy(State(counter): Shared, Path(id): Path<String>) -> Response {
    let wanted = id.clone();
    match counter.desk.look(move |world, _| world.ensuro.policy(&wanted).map(|policy| policy.json())).await {
        Ok(Some(policy)) => Json(policy).into_response(),
        Ok(None) => refused(&Denied {
            status: 404,
            text: format!("there is no policy {id:?}; GET /policies lists those there are"),
        }),
        Err(undone) => refused(&undone.into()),
    }
}

/// Octamile's endpoint: always 200, and the outcome in `exctnFdbck`.
async fn octamile(State(counter): Shared, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let mut what = "an unreadable request".to_owned();
    let answered = async {
        let body = counter.body(request).await?;
        let asked::Request { credentials, asked } = asked::read(&body).map_err(|text| Denied { status: 400, text })?;
        what = in_words(&asked);
        if credentials.key.is_none() || credentials.id.is_none() {
            what.push_str(" (without userInfo, which the real API refuses)");
        }
        if !counter.keys.knows(&credentials) {
            let text = "your authorization is not genuine: userInfo is not what --octamile-auth-file says".to_owned();
            return Err(Denied { status: 401, text });
        }
        counter.octamile(asked).await
    };
    let answered = answered.await;
    let (outcome, answer) = match answered {
        Ok(answer) => ("75".to_owned(), answer),
        Err(denied) => (format!("55: {}", denied.text), asked::refused(&denied.text)),
    };
    counter.asked(path, 200, format!("{what}: {outcome}"));
    Json(answer).into_response()
}

fn in_words(asked: &Asked) -> String {
    match asked {
        Asked::Premium { product } => format!("premium of {product}"),
        Asked::Register => "register a consumer".to_owned(),
        Asked::Insure(insure) if insure.web_hook.is_none() => {
            format!("insure {} ({}), without a webHook: nothing will be sent", insure.id, insure.product)
        }
        Asked::Insure(insure) => format!("insure {} ({})", insure.id, insure.product),
        Asked::Status(named) => format!("status of {}", named.id),
    }
}

impl Counter {
    async fn octamile(&self, asked: Asked) -> Result<Value, Denied> {
        let perform = |command| async { Ok(self.desk.perform(Command::Octamile(command)).await?.answer) };
        match asked {
            Asked::Premium { product } => Ok(asked::premium(&product)),
            Asked::Register => perform(octamile::Command::Register {}).await,
            Asked::Insure(insure) => {
                if let Some(url) = &insure.web_hook {
                    self.check_web_hook(url)?;
                }
                perform(octamile::Command::Insure(insure)).await
            }
            Asked::Status(named) => {
                let found = self.desk.look(move |world, _| world.octamile.status(&named)).await?;
                found.map_err(|refusal| Undone::Refused(refusal).into())
            }
        }
    }

    /// HTTPS, or plain HTTP on this machine; and nothing that the daemon would not carry.
    fn check_web_hook(&self, url: &str) -> Result<(), Denied> {
        let wrong = |what: &str| Denied { status: 400, text: format!("cmmnd.seed.addtnlFact.webHook: {what}") };
        let url = check_url(url, &self.handle.rules().safety).map_err(|what| wrong(&what))?;
        match url.scheme() == "https" || is_here(&url) {
            true => Ok(()),
            false => {
                Err(wrong("a URL must begin with https://; http:// is for this machine only (127.0.0.1, localhost)"))
            }
        }
    }

    /// The whole body, within the limits of bytes and time.
    async fn body(&self, request: Request) -> Result<bytes::Bytes, Denied> {
        let read = body::read(request.into_body(), self.limits(MOST_BYTES), |_| Ok(())).await;
        read.map_err(|problem| Denied { status: problem.status, text: problem.detail })
    }

    /// A sandbox has the shipped settings, and nobody raises them.
    pub fn limits(&self, bytes: usize) -> body::Limits {
        body::Limits { bytes, time: duration(self.handle.config().api.request_timeout), are_settings: false }
    }

    fn answer(&self, path: String, answered: Result<Value, Denied>) -> Response {
        match answered {
            Ok(answer) => {
                self.asked(path, 200, summary(&answer));
                Json(answer).into_response()
            }
            Err(denied) => {
                self.asked(path, denied.status, denied.text.clone());
                refused(&denied)
            }
        }
    }

    fn asked(&self, path: String, status: u16, what: String) {
        (self.tell)(wall(), &Happening::Asked { method: "POST", path, status, what });
    }
}

/// Whether a URL names this machine.
fn is_here(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// What an answer of Ensuro's says, in a line.
fn summary(answer: &Value) -> String {
    let text = |name: &str| answer[name].as_str().unwrap_or_default();
    match (text("status"), text("ensuro_id")) {
        ("", id) => format!("ensuro_id {id}"),
        (status, "") => status.to_owned(),
        (status, id) => format!("{status}, ensuro_id {id}"),
    }
}

fn refused(denied: &Denied) -> Response {
    let status = StatusCode::from_u16(denied.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(json!({"detail": denied.text}))).into_response()
}

impl From<Undone> for Denied {
    fn from(undone: Undone) -> Self {
        use super::world::Refusal;
        let (status, text) = match undone {
            Undone::Refused(Refusal::Unknown(text)) => (404, text),
            Undone::Refused(Refusal::Conflict(text)) => (409, text),
            Undone::Unkept(text) => (503, format!("{text}; nothing was done, ask again in a moment")),
            Undone::Closed => (503, "the sandbox ends; ask again when it runs".to_owned()),
        };
        Denied { status, text }
    }
}

async fn about() -> &'static str {
    "A sandbox of postrider: the provider side of Ensuro's and Octamile's APIs.\n\
     Ensuro:   POST /quote, /new-policy, /resolve-policy, /cancel-policy, /replace-policy (and under /api/v0/{product}); GET /policies\n\
     Octamile: POST / or /octamile\n\
     Control:  `postrider sandbox list`, approve, decline, clock\n\
     Deliveries: `postrider list|why|show --server` with this address; /docs\n"
}
