//! The HTTP API: what an application beside us leans on. A 2xx follows the commit; whatever is refused leaves nothing behind
//! and says in `application/problem+json` what is wrong and what to do.
//! Every handler asks `operations`, through the daemon's handle; none decides anything. The OpenAPI document is made from the
//! handlers, so it cannot say something else than they do.

mod batch;
pub mod body;
mod deliveries;
mod docs;
mod endpoints;
mod events;
mod follow;
pub mod guard;
mod health;
pub mod json;
pub mod line;
pub mod listen;
pub mod problem;
mod query;
pub mod server;
mod stream;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use listenfd::ListenFd;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use utoipa::OpenApi;
use utoipa::openapi::SecurityRequirement;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{AccessToken, Scope};
use crate::daemon::handle::Unserved;
use crate::daemon::{self, Failed, Handle, Served};
use crate::observe::metrics::Metrics;
use crate::observe::{Notice, tell};
use crate::operations::{self, Refused};
use crate::plain::plain_json;
use guard::{Behind, Fenced, Gate, needs};
use listen::Bound;
use problem::{Kind, Problem};
use server::Limits;

/// What every handler is given.
#[derive(Clone)]
pub(crate) struct Api {
    handle: Handle,
    last_look: Arc<health::LastLook>,
    tags: endpoints::Tags,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "postrider",
        description = "Sends webhooks: what is accepted here is on disk, and is delivered or provably cannot be.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "events", description = "What an application hands over, and what becomes of it"),
        (name = "deliveries", description = "An event owed to an endpoint: looked at, retried, cancelled, replayed"),
        (name = "endpoints", description = "The receivers"),
        (name = "operation", description = "For whoever runs it"),
    ),
    modifiers(&Bearer)
)]
struct Document;

/// The way in: `Authorization: Bearer`, once there is a token.
struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A token that `postrider token add` made. Not needed over the unix socket, nor while there is none.",
            ))
            .build();
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The routes, and the document that is made of them.
fn routes() -> (Router<Api>, utoipa::openapi::OpenApi) {
    let enqueue = OpenApiRouter::new().routes(routes!(events::accept)).routes(routes!(batch::accept_all));
    let read = OpenApiRouter::new()
        .routes(routes!(follow::follow))
        .routes(routes!(deliveries::show_event))
        .routes(routes!(deliveries::why_event))
        .routes(routes!(deliveries::list_deliveries))
        .routes(routes!(deliveries::show_delivery))
        .routes(routes!(deliveries::why_delivery))
        .routes(routes!(deliveries::show_status))
        .routes(routes!(deliveries::schedule))
        .routes(routes!(endpoints::list_endpoints))
        .routes(routes!(endpoints::show_endpoint))
        .routes(routes!(health::metrics));
    let admin = OpenApiRouter::new()
        .routes(routes!(deliveries::retry_event))
        .routes(routes!(deliveries::cancel_event))
        .routes(routes!(deliveries::retry_delivery))
        .routes(routes!(deliveries::cancel_delivery))
        .routes(routes!(deliveries::replay))
        .routes(routes!(endpoints::add_endpoint))
        .routes(routes!(endpoints::edit_endpoint, endpoints::remove_endpoint))
        .routes(routes!(endpoints::pause_endpoint))
        .routes(routes!(endpoints::resume_endpoint))
        .routes(routes!(endpoints::rotate_keys))
        .routes(routes!(endpoints::test_endpoint));
    let open = OpenApiRouter::new()
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::healthz));
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(scoped(enqueue, Scope::Enqueue))
        .merge(scoped(read, Scope::Read))
        .merge(scoped(admin, Scope::Admin))
        .merge(open)
        .split_for_parts()
}

/// Routes that need a token of this scope, once there is any token.
fn scoped(mut routes: OpenApiRouter<Api>, scope: Scope) -> OpenApiRouter<Api> {
    for item in routes.get_openapi_mut().paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let token = SecurityRequirement::new("token", [scope.as_str()]);
            operation.security = Some(vec![SecurityRequirement::default(), token]);
        }
    }
    routes.route_layer(needs(scope))
}

/// What `daemon::run` lets in: the listeners are open before anything is delivered, or the daemon does not start.
pub fn entrance() -> daemon::Entrance {
    Box::new(|handle| Box::pin(open(handle, None)))
}

/// The same with a guest beside it.
pub fn entrance_with(guest: Guest) -> daemon::Entrance {
    Box::new(|handle| Box::pin(open(handle, Some(guest))))
}

/// Makes what is served beside the API, once it is known where.
pub type Guest =
    Box<dyn FnOnce(Handle, Vec<Bound>) -> Pin<Box<dyn Future<Output = Result<Beside, Failed>> + Send>> + Send>;

/// Routes behind the same fence as the API's, and what runs beside them: as the API does, it ends soon after
/// `Phase::Closing`.
pub struct Beside {
    pub routes: Router,
    pub work: Served,
}

async fn open(handle: Handle, guest: Option<Guest>) -> Result<Served, Failed> {
    let unread = |error: Unserved| match error {
        Unserved::Refused(Refused::Store(error)) => Failed::Store(error),
        other => Failed::Machine(format!("the access tokens cannot be read: {other:?}")),
    };
    let tokens = known_tokens(&handle).await.map_err(unread)?;
    let settings = &handle.config().api;
    let mut passed = ListenFd::from_env();
    let listeners =
        listen::open(settings, &mut passed, !tokens.is_empty()).await.map_err(|error| Failed::Unheard(error.0))?;
    if listeners.is_empty() {
        return Ok(Box::pin(std::future::ready(())));
    }
    let bound = listeners.bound();
    for bound in &bound {
        tell(&Notice::Listening { address: &bound.to_string() });
    }
    let (tell_tokens, tokens) = watch::channel(tokens);
    let gate = Gate::new(&settings.allow_hosts, &bound, tokens, handle.phases());
    let limits = Limits::of(settings);
    let (phases, metrics) = (handle.phases(), handle.metrics().clone());
    let beside = match guest {
        Some(guest) => guest(handle.clone(), bound).await?,
        None => Beside { routes: Router::new(), work: Box::pin(std::future::ready(())) },
    };
    let api = Api { handle: handle.clone(), last_look: Arc::default(), tags: endpoints::Tags::new()? };
    let site = Fenced { gate, behind: Site { api: api.clone(), routes: router(api, beside.routes) } };
    Ok(Box::pin(async move {
        let serving = async {
            tokio::select! {
                () = server::serve(listeners, site, limits, phases, metrics) => {}
                () = follow_tokens(handle, tell_tokens) => {}
            }
        };
        tokio::join!(serving, beside.work);
    }))
}

/// All that is served: the routes, and for what is asked once for each event a way that is shorter than theirs and does the same.
#[derive(Clone)]
struct Site {
    api: Api,
    routes: Router,
}

impl Behind for Site {
    async fn answer(self, request: Request) -> Response {
        if *request.method() != Method::POST || request.uri().path() != events::PATH {
            return self.routes.answer(request).await;
        }
        let began = Instant::now();
        let metrics = self.api.handle.metrics().clone();
        let response = match guard::permit(&request, Scope::Enqueue) {
            Ok(()) => events::accept(State(self.api), request).await.into_response(),
            Err(problem) => problem.into_response(),
        };
        metrics.request("POST", events::PATH, response.status().as_u16(), began.elapsed());
        response
    }
}

fn router(api: Api, beside: Router) -> Router {
    let (routes, document) = routes();
    let metrics = api.handle.metrics().clone();
    let routes = routes.merge(reference(document)).with_state(api).merge(beside);
    guard::with_problems(routes.layer(from_fn_with_state(metrics, measured)))
}

/// What the routes are, for programs and for people.
fn reference(document: utoipa::openapi::OpenApi) -> Router<Api> {
    let page = Arc::new(docs::Reference::new(&document));
    let text = Arc::<str>::from(document.to_json().expect("a document is plain data"));
    let document = move || async move { ([(header::CONTENT_TYPE, "application/json")], text.to_string()) };
    Router::new().route("/openapi.json", get(document)).route("/docs", get(move || async move { page.response() }))
}

/// Counts a request by the template of its route, which are few, and never by its path.
async fn measured(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or_else(String::new, |path| path.as_str().to_owned());
    let response = next.run(request).await;
    metrics.request(method.as_str(), &route, response.status().as_u16(), began.elapsed());
    response
}

/// How old the list of tokens may be: who was removed is refused after this.
const TOKENS_AGE: Duration = Duration::from_millis(500);

/// Keeps the gate's list of tokens as the store has it. Ends with the daemon only; while the store does not answer, the last
/// list holds.
async fn follow_tokens(handle: Handle, tokens: watch::Sender<Arc<[AccessToken]>>) {
    loop {
        tokio::time::sleep(TOKENS_AGE).await;
        if let Ok(known) = known_tokens(&handle).await {
            tokens.send_if_modified(|last| {
                let other = **last != *known;
                if other {
                    *last = known;
                }
                other
            });
        }
    }
}

async fn known_tokens(handle: &Handle) -> Result<Arc<[AccessToken]>, Unserved> {
    let known = handle.look(|store, _| operations::access::list(store)).await??;
    Ok(known.into())
}

/// The JSON that a request holds, within the limits of bytes and time.
async fn envelope<T: DeserializeOwned>(api: &Api, request: Request) -> Result<T, Problem> {
    json::read_object(&read(api, request).await?)
}

/// The same where everything may be left out: no body at all is as good as an empty object.
async fn envelope_if_any<T: DeserializeOwned + Default>(api: &Api, request: Request) -> Result<T, Problem> {
    let bytes = read(api, request).await?;
    if bytes.is_empty() { Ok(T::default()) } else { json::read_object(&bytes) }
}

async fn read(api: &Api, request: Request) -> Result<Bytes, Problem> {
    let time = server::duration(api.handle.config().api.request_timeout);
    let bytes = LARGEST_REQUEST.max(api.handle.rules().max_body_bytes);
    let mut room = api.handle.room(0)?;
    body::read(request.into_body(), body::Limits { bytes, time, are_settings: true }, |bytes| Ok(room.grow(bytes)?))
        .await
}

/// What a request other than an event may have, at least.
const LARGEST_REQUEST: usize = 64 * 1024;

impl From<Unserved> for Problem {
    fn from(unserved: Unserved) -> Self {
        match unserved {
            Unserved::Refused(refused) => refused.into(),
            Unserved::Busy => Problem::new(
                Kind::Busy,
                "more is under way than api.in_flight_enqueues and api.in_flight_body_bytes allow; nothing was stored, ask \
                 again in a moment",
            ),
            Unserved::InProgress => Problem::new(
                Kind::InProgress,
                "a request with the same id or idempotency key is under way; ask again in a moment for its answer",
            ),
            Unserved::Closed => Problem::internal(),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid(text) => Problem::new(Kind::InvalidEvent, text),
            Refused::TooLarge(text) => Problem::new(Kind::TooLarge, text),
            Refused::Conflict(text) => Problem::new(Kind::Conflict, text),
            Refused::Taken(text) => Problem::new(Kind::IdTaken, text),
            Refused::KeyTaken(text) => Problem::new(Kind::KeyTaken, text),
            Refused::Unknown(text) => Problem::new(Kind::NotFound, text),
            Refused::Store(error) => Problem::new(Kind::StoreUnavailable, error.to_string()),
        }
    }
}

/// An answer that has a schema, as JSON.
pub(crate) struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        json(&self.0)
    }
}

fn json<T: Serialize>(answer: &T) -> Response {
    // Also for whoever looks at it with curl on a terminal.
    let text = plain_json(&serde_json::to_string(answer).expect("plain data"));
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
