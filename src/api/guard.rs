//! Who may ask: the fence that every request passes before any handler sees it.
//! Web pages are kept out by `Host`, `Origin` and `Sec-Fetch-Site`, other people by tokens and scopes, and while the
//! daemon drains nothing new is taken. A route that says nothing of itself needs a token, so a slip leaves it closed.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, DATE, HOST, HeaderName, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method};
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use tower::{Layer, Service};

use super::listen::Bound;
use super::problem::{Kind, Problem};
use super::server::Peer;
use crate::access::{AccessToken, Scope};
use crate::daemon::clock::wall;
use crate::daemon::handle::Phase;
use crate::signature;
use crate::time::Time;

/// What needs no token and no name of ours: probes ask by whatever address they have.
const HEALTH: [&str; 3] = ["/livez", "/readyz", "/healthz"];
/// What needs no token: it is in every postrider, and tells nothing of this one.
const REFERENCE: [&str; 2] = ["/openapi.json", "/docs"];

/// What the fence knows. Cloned freely.
#[derive(Clone)]
pub struct Gate {
    /// In lower case, without ports.
    hosts: Arc<[String]>,
    /// Other machines can reach a socket: without a token nobody is let in by TCP.
    exposed: bool,
    tokens: watch::Receiver<Arc<[AccessToken]>>,
    phases: watch::Receiver<Phase>,
}

impl Gate {
    /// `allow_hosts` as `ApiSettings` has them, `bound` as `Listeners` has it; whoever holds the other end of `tokens`
    /// keeps it as the store has it.
    pub fn new(
        allow_hosts: &[String],
        bound: &[Bound],
        tokens: watch::Receiver<Arc<[AccessToken]>>,
        phases: watch::Receiver<Phase>,
    ) -> Self {
        let addresses = || {
            bound.iter().filter_map(|bound| match bound {
                Bound::Tcp(address) => Some(address.ip().to_canonical()),
                Bound::Unix(_) => None,
            })
        };
        let hosts = allow_hosts.iter().cloned().chain(addresses().map(|address| address.to_string()));
        Gate { hosts: hosts.collect(), exposed: addresses().any(|address| !address.is_loopback()), tokens, phases }
    }
}

/// Who asks: an extension of every request that a handler sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// By the unix socket, or by TCP of this machine while there is no token: may do everything.
    Trusted,
    /// With a token of this name.
    Token { name: String, scope: Scope },
    /// Nobody knows; sees only what needs no token.
    Anonymous,
}

/// What answers requests of callers who were let in: each has its `Caller` as an extension.
pub trait Behind: Clone + Send + Unpin + 'static {
    fn answer(self, request: Request) -> impl Future<Output = Response> + Send;
}

impl Behind for Router {
    async fn answer(mut self, request: Request) -> Response {
        let Ok(response) = self.call(request).await;
        response
    }
}

/// What is asked, behind the fence. Every answer has the headers that all have.
#[derive(Clone)]
pub struct Fenced<B> {
    pub gate: Gate,
    pub behind: B,
}

impl<B: Behind> Fenced<B> {
    pub async fn answer(self, mut request: Request) -> Response {
        let response = match admit(&self.gate, &request) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                self.behind.answer(request).await
            }
            Err(problem) => problem.into_response(),
        };
        headed(response)
    }
}

/// Adds the problems for URLs and methods that there are not. To be called once, with all routes.
pub fn with_problems(routes: Router) -> Router {
    routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed)
}

async fn not_found(request: Request) -> Problem {
    Problem::new(Kind::NotFound, format!("there is nothing at {}; /docs lists what there is", request.uri().path()))
}

async fn method_not_allowed(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::new(Kind::MethodNotAllowed, format!("{path} does not take {method}; the Allow header lists what it takes"))
}

/// Answers are for the one who asked, now, and are never a page that runs anything.
pub(super) fn headed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut add = |name: HeaderName, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    add(CACHE_CONTROL, "no-store");
    add(X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    // By the daemon's own wall: a sandbox's may be ahead of the machine's, and whoever shows its times must know.
    if let Some(now) = date(wall()) {
        headers.entry(DATE).or_insert(now);
    }
    response
}

fn date(now: Time) -> Option<HeaderValue> {
    let since = Duration::from_secs(u64::try_from(now.unix_seconds()).ok()?);
    HeaderValue::from_str(&httpdate::fmt_http_date(UNIX_EPOCH + since)).ok()
}

/// Who asks, if they may ask this at all; what scope it needs is the route's to say.
fn admit(gate: &Gate, request: &Request) -> Result<Caller, Problem> {
    let (path, headers) = (request.uri().path(), request.headers());
    let health = HEALTH.contains(&path);
    let peer = request.extensions().get::<Peer>();
    let caller = identify(gate, peer, headers);
    let by_token = matches!(caller, Ok(Caller::Token { .. }));
    if !health && !by_token && peer != Some(&Peer::Unix) {
        check_host(gate, request)?;
    }
    check_origin(request)?;
    let caller = match caller {
        Err(_) if health || REFERENCE.contains(&path) => Caller::Anonymous,
        caller => caller?,
    };
    if percent_encoding_is_odd(path) {
        let detail = "the path of the URL has a % escape that is not UTF-8; escape the UTF-8 bytes of what is meant";
        return Err(Problem::new(Kind::InvalidParameter, detail));
    }
    if !request.method().is_safe() && *gate.phases.borrow() > Phase::Serving {
        let detail = "postrider was asked to stop and takes nothing new; nothing was stored, ask again in a moment";
        return Err(Problem::new(Kind::Draining, detail));
    }
    Ok(caller)
}

/// The problem is that of a request that needs a token.
fn identify(gate: &Gate, peer: Option<&Peer>, headers: &HeaderMap) -> Result<Caller, Problem> {
    let tokens = gate.tokens.borrow().clone();
    match peer {
        Some(Peer::Unix) => return Ok(Caller::Trusted),
        Some(Peer::Tcp(_)) if tokens.is_empty() && !gate.exposed => return Ok(Caller::Trusted),
        Some(Peer::Tcp(_)) | None => {}
    }
    let needed = |detail: &str| Err(Problem::new(Kind::Unauthorized, detail));
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let text = match (given.next(), given.next()) {
        (None, _) => return needed("this needs a token; send the header Authorization: Bearer TOKEN"),
        (Some(_), Some(_)) => return needed("there is more than one Authorization header; send one"),
        (Some(value), None) => value.as_bytes(),
    };
    let bearer = text.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    let Some((_, text)) = bearer else {
        return needed("the Authorization header is not of the form Bearer TOKEN; send it so");
    };
    match holder(&tokens, text.trim_ascii()) {
        Some(token) => Ok(Caller::Token { name: token.name.clone(), scope: token.scope }),
        None => needed("the token is not known here, or was removed; `postrider token add` makes one"),
    }
}

/// The token with this text. Takes as long whichever it is, and whether it is one.
fn holder<'t>(tokens: &'t [AccessToken], text: &[u8]) -> Option<&'t AccessToken> {
    let hash = signature::digest(text);
    let mut found = None;
    for token in tokens {
        if bool::from(token.hash.ct_eq(&hash)) {
            found = Some(token);
        }
    }
    found
}

/// A page may give any name of its own this machine's address, and then ask here as if it were ours; the browser
/// still sends that name as `Host`.
fn check_host(gate: &Gate, request: &Request) -> Result<(), Problem> {
    let wrong = |what: &str| {
        let detail = format!(
            "{what}; call it as localhost or by the address that it listens on, or add the name to api.allow_hosts"
        );
        Err(Problem::new(Kind::WrongHost, detail))
    };
    let mut given = request.headers().get_all(HOST).iter().map(|value| value.to_str().unwrap_or_default());
    let (Some(host), None) = (given.next(), given.next()) else {
        return wrong("the request needs one Host header");
    };
    let of_uri = request.uri().authority().map(http::uri::Authority::as_str);
    match of_uri.into_iter().chain([host]).find(|authority| !is_ours(gate, authority)) {
        None => Ok(()),
        Some(authority) => wrong(&format!("the Host {authority:?} is none of this daemon")),
    }
}

/// Whether `authority`, a host with or without a port, is one of our names.
fn is_ours(gate: &Gate, authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some(_) | None => authority,
    };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let name = bare.unwrap_or(host).to_ascii_lowercase();
    match name.parse::<IpAddr>() {
        Ok(address) => {
            let address = address.to_canonical();
            address.is_loopback() || gate.hosts.iter().any(|host| *host == address.to_string())
        }
        Err(_) => {
            let name = name.strip_suffix('.').unwrap_or(&name);
            name == "localhost" || gate.hosts.iter().any(|host| host == name)
        }
    }
}

/// Browsers say on whose behalf they ask. Programs say nothing, and are let through.
fn check_origin(request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let foreign = |what: String| {
        let detail = format!("{what}; the API answers programs, not the pages of other sites");
        Err(Problem::new(Kind::ForeignOrigin, detail))
    };
    if let Some(origin) = text(&ORIGIN) {
        let own = text(&HOST).unwrap_or_default();
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(own)) {
            return foreign(format!("the Origin {origin:?} is not this one"));
        }
    }
    let site = text(&HeaderName::from_static("sec-fetch-site"));
    // A link on another page that leads to the reference: it shows the same to everybody, and is no page's to read.
    let link = text(&HeaderName::from_static("sec-fetch-mode")) == Some("navigate")
        && request.method() == Method::GET
        && REFERENCE.contains(&request.uri().path());
    match site {
        Some("same-origin" | "none") | None => Ok(()),
        Some(_) if link => Ok(()),
        Some(site) => foreign(format!("the browser says that this is a {site:?} request")),
    }
}

/// Whether the path cannot be read as text.
fn percent_encoding_is_odd(path: &str) -> bool {
    super::query::unescaped(path, false).is_none()
}

/// Whether the caller of this request may do what needs a scope.
pub(super) fn permit(request: &Request, needed: Scope) -> Result<(), Problem> {
    match request.extensions().get::<Caller>() {
        Some(Caller::Trusted) => Ok(()),
        Some(Caller::Token { scope, .. }) if scope.covers(needed) => Ok(()),
        Some(Caller::Token { name, scope }) => {
            let detail =
                format!("the token {name:?} has the scope {scope}, and this needs {needed}; use one that has it");
            Err(Problem::new(Kind::Forbidden, detail))
        }
        // A route that needs a scope and is let through without a token by its name is a slip of ours.
        Some(Caller::Anonymous) | None => {
            let detail = format!("this needs a token of the scope {needed}; send Authorization: Bearer TOKEN");
            Err(Problem::new(Kind::Unauthorized, detail))
        }
    }
}

/// Says of routes that they need `scope`: `router.route_layer(needs(Scope::Read))`.
pub fn needs(scope: Scope) -> Needs {
    Needs { scope }
}

#[derive(Clone, Copy, Debug)]
pub struct Needs {
    scope: Scope,
}

impl<S> Layer<S> for Needs {
    type Service = Scoped<S>;

    fn layer(&self, inner: S) -> Scoped<S> {
        Scoped { inner, scope: self.scope }
    }
}

/// A route that needs a scope.
#[derive(Clone, Debug)]
pub struct Scoped<S> {
    inner: S,
    scope: Scope,
}

impl<S> Service<http::Request<Body>> for Scoped<S>
where
    S: Service<http::Request<Body>, Error = Infallible>,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if let Err(problem) = permit(&request, self.scope) {
            return Box::pin(std::future::ready(Ok(problem.into_response())));
        }
        let answered = self.inner.call(request);
        Box::pin(async move { answered.await.map(IntoResponse::into_response) })
    }
}
