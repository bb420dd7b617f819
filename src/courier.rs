//! Carries one request over HTTP and says what came back.
//! Never fails: whatever a receiver does, or does not do, is a `Reply`. One deadline covers everything up to the
//! complete head of the answer; the status then stands, whatever the body does. Redirects are not followed, the
//! environment's proxies are not used, and no address of a receiver is dialled that `guard` has not passed.

mod connect;
mod failure;
pub mod guard;
mod probe;
mod tls;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HeaderMap, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::time::timeout_at;
use url::Url;

use crate::delivery::{Carried, Reply, Timings};
use crate::request::Request;
use crate::time::{Span, Time};

use connect::{Resolver, Watch};
use probe::{Connection, Marks, Probe, micros};
pub use tls::client_config;

/// What may be reached, and within which bounds. The default is the safe one.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Carry `http://` too.
    pub allow_http: bool,
    /// Reach these as well, though they are not public.
    pub allow_addresses: Vec<IpNet>,
    /// Trusted besides the system's roots.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Send everything through this proxy, `http://proxy.internal:4750`. It resolves the names, and has to judge what they
    /// resolve to; its own address is the operator's choice and is not judged.
    pub egress_proxy: Option<String>,
    /// For the TCP connection of one attempt, all addresses of the receiver together.
    pub connect_timeout: Span,
    /// How long the answer's body may go on after its head.
    pub answer_body_wait: Span,
    /// How much of the answer's body is kept.
    pub answer_bytes: usize,
    /// Connections to one receiver that are kept for the next request.
    pub idle_connections: usize,
    /// How long they are kept.
    pub idle_timeout: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            allow_http: false,
            allow_addresses: Vec::new(),
            extra_roots: Vec::new(),
            egress_proxy: None,
            connect_timeout: Span::from_seconds(3),
            answer_body_wait: Span::from_seconds(1),
            answer_bytes: 16 * 1024,
            idle_connections: 8,
            idle_timeout: Span::from_seconds(30),
        }
    }
}

/// Carries requests. Clones share their connections.
#[derive(Clone)]
pub struct Courier {
    settings: Arc<Settings>,
    pooled: Arc<Mutex<reqwest::Client>>,
    /// Keeps no connection, so each request gets a new one.
    fresh: reqwest::Client,
    /// URLs that were judged, and passed: what one is judged by does not change while this lives.
    passed: Arc<Mutex<HashMap<String, Url>>>,
    /// What a client is made of.
    parts: Arc<(ClientConfig, Arc<Resolver>)>,
}

/// After the system had no file handle for a socket, it is asked again this much later.
const HANDLE_PATIENCE: Duration = Duration::from_millis(50);

/// URLs that are remembered as passed.
const MOST_PASSED: usize = 1024;

/// Headers that an answer may have. What bounds a head is its size, some 400 KiB, which the client holds it to.
const MOST_HEADERS: usize = 1000;

/// Lookups that run at once, each for a name of its own. The system's resolver takes one of the runtime's blocking
/// threads for each, so the runtime must have as many, or the places that are kept for proven names are not there.
pub const LOOKUPS_AT_ONCE: usize = 1024;

/// Finds all addresses of a host's name.
pub type Lookup = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> + Send + Sync>;

impl Courier {
    /// Reads the system's roots, which takes some ten milliseconds: one courier serves a whole process.
    /// Fails with a sentence if one of the extra roots is no certificate.
    pub fn new(settings: Settings) -> Result<Self, String> {
        Self::with_lookup(settings, connect::system_lookup())
    }

    /// As `new`, with names looked up by `lookup`. What it finds is judged like any other answer.
    pub fn with_lookup(settings: Settings, lookup: Lookup) -> Result<Self, String> {
        let settings = Arc::new(settings);
        let config = tls::client_config(&settings.extra_roots)?;
        let resolver = Arc::new(Resolver::new(settings.clone(), lookup));
        let pooled = client(&settings, &config, &resolver, settings.idle_connections)?;
        let fresh = client(&settings, &config, &resolver, 0)?;
        let (pooled, parts) = (Arc::new(Mutex::new(pooled)), Arc::new((config, resolver)));
        Ok(Courier { settings, pooled, fresh, passed: Arc::default(), parts })
    }

    /// Sends `request` once, or twice if an idle connection turned out to be dead, and waits for the answer.
    /// `started_at` is now; the rest of the times follow from the monotonic clock.
    pub async fn carry(&self, request: &Request, started_at: Time) -> Carried {
        self.observe(request, started_at).await.carried
    }

    /// As `carry`, with what only somebody who examines the receiver wants to know.
    pub async fn observe(&self, request: &Request, started_at: Time) -> Observed {
        let begun = Instant::now();
        let trip = self.travel(request, begun).await;
        let elapsed = begun.elapsed();
        let carried = Carried {
            started_at,
            finished_at: started_at + Span::from_ms(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)),
            timings: Timings { total_us: micros(elapsed), ..trip.timings },
            remote: trip.remote,
            resent: trip.resent,
            reply: trip.reply,
        };
        Observed { carried, reused: trip.reused, body_end: trip.body_end }
    }

    async fn travel(&self, request: &Request, begun: Instant) -> Trip {
        let url = match self.judged(&request.url) {
            Ok(url) => url,
            Err(reason) => return Trip::blocked(reason),
        };
        let headers = match header_map(&request.headers) {
            Ok(headers) => headers,
            Err(reason) => return Trip::blocked(reason),
        };
        // Instants end somewhere; no attempt lasts a day.
        let deadline = begun + request.timeout.to_std().min(Duration::from_secs(86_400));
        let post = Post { url, headers, body: Bytes::from_owner(request.body.clone()), deadline };
        loop {
            let pooled = self.pooled.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match self.once(&pooled, &post).await {
                (trip, Next::Done) => return trip,
                (_, Next::Resend) => {
                    let lost = micros(begun.elapsed());
                    let (mut trip, _) = self.once(&self.fresh, &post).await;
                    // The receiver had the request all that time, so its answer is judged by the whole of it.
                    trip.timings.first_byte_us = trip.timings.first_byte_us.map(|took| took.saturating_add(lost));
                    return Trip { resent: true, ..trip };
                }
                (trip, Next::Wait) if Instant::now() + HANDLE_PATIENCE >= deadline => return trip,
                (_, Next::Wait) => {
                    self.shed();
                    tokio::time::sleep(HANDLE_PATIENCE).await;
                }
            }
        }
    }

    /// As `guard::check_url`.
    fn judged(&self, text: &str) -> Result<Url, String> {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(url) = passed.get(text) {
            return Ok(url.clone());
        }
        let url = guard::check_url(text, &self.settings)?;
        if passed.len() >= MOST_PASSED {
            passed.clear();
        }
        passed.insert(text.to_owned(), url.clone());
        Ok(url)
    }

    /// Closes all connections that are kept for later: what is under way needs the handles more.
    fn shed(&self) {
        let (config, resolver) = &*self.parts;
        if let Ok(client) = client(&self.settings, config, resolver, self.settings.idle_connections) {
            *self.pooled.lock().unwrap_or_else(PoisonError::into_inner) = client;
        }
    }

    /// One sending, and whether it is the last.
    async fn once(&self, client: &reqwest::Client, post: &Post) -> (Trip, Next) {
        let probe = Probe::new(&post.url);
        let sending = async { client.execute(post.outgoing()).await };
        let sent = timeout_at(post.deadline.into(), probe.clone().beside(sending)).await;
        if matches!(&sent, Ok(ended) if !ended.as_ref().is_err_and(reqwest::Error::is_connect)) {
            probe.sent();
        }
        let marks = probe.marks();
        let mut trip = Trip::on(&marks);
        let mut next = Next::Done;
        trip.reply = match sent {
            _ if marks.blocked.is_some() => Reply::Blocked { reason: marks.blocked.unwrap_or_default() },
            Err(_) => Reply::TimedOut { stage: marks.stage },
            Ok(Err(_)) if marks.overdue => Reply::TimedOut { stage: marks.stage },
            Ok(Err(error)) => {
                if marks.connection == Connection::Reused && failure::is_silent_end(&error) {
                    next = Next::Resend;
                } else if failure::is_lack_of_handles(&error) {
                    next = Next::Wait;
                }
                Reply::Unreachable { stage: marks.stage, error: self.in_words(&error, &post.url) }
            }
            Ok(Ok(answer)) => {
                trip.timings.first_byte_us = Some(marks.stage_us());
                trip.remote = answer.remote_addr().map(|remote| remote.to_string()).or(trip.remote);
                let (reply, body_end) = self.read(answer, post.deadline).await;
                trip.body_end = Some(body_end);
                reply
            }
        };
        (trip, next)
    }

    fn in_words(&self, error: &reqwest::Error, url: &Url) -> String {
        match self.settings.egress_proxy {
            Some(_) => failure::describe_proxied(error, error.is_connect(), url.scheme() == "https"),
            None => failure::describe(error),
        }
    }

    /// The head, and as much of the body as comes in time. A body that was not read to its end takes its connection
    /// with it.
    async fn read(&self, mut answer: reqwest::Response, deadline: Instant) -> (Reply, BodyEnd) {
        let until = deadline.min(Instant::now() + self.settings.answer_body_wait.to_std());
        let limit = self.settings.answer_bytes;
        let mut body = Vec::new();
        // However it ends: the status stands.
        let end = loop {
            if body.len() >= limit {
                break BodyEnd::Cut;
            }
            match timeout_at(until.into(), answer.chunk()).await {
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]),
                Ok(Ok(None)) => break BodyEnd::Whole,
                Ok(Err(_)) => break BodyEnd::Broken,
                Err(_) => break BodyEnd::Unfinished,
            }
        };
        let reply = Reply::Head {
            status: answer.status().as_u16(),
            retry_after: text_of(answer.headers().get(RETRY_AFTER)),
            location: text_of(answer.headers().get(LOCATION)),
            body,
        };
        (reply, end)
    }
}

/// What a request met, seen more closely than a delivery needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub carried: Carried,
    /// The answer came over a connection that an earlier request had left.
    pub reused: bool,
    /// How the answer's body ended; `None` without an answer.
    pub body_end: Option<BodyEnd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    Whole,
    /// It has as much as is kept, and the rest was not looked at.
    Cut,
    /// It went on for longer than it is waited for.
    Unfinished,
    /// The connection ended before it did.
    Broken,
}

/// What follows a sending.
enum Next {
    Done,
    /// It went to a reused connection that ended without a word: once more, on a new one.
    Resend,
    /// It was not sent, for this process has no file handle left. That is no fault of the receiver, and its schedule must not
    /// pay for it.
    Wait,
}

/// What is sent, twice if need be.
struct Post {
    url: Url,
    headers: HeaderMap,
    /// Shares the event's bytes.
    body: Bytes,
    deadline: Instant,
}

impl Post {
    fn outgoing(&self) -> reqwest::Request {
        let mut outgoing = reqwest::Request::new(Method::POST, self.url.clone());
        *outgoing.headers_mut() = self.headers.clone();
        *outgoing.body_mut() = Some(self.body.clone().into());
        outgoing
    }
}

/// A `Carried` without its times.
struct Trip {
    timings: Timings,
    remote: Option<String>,
    resent: bool,
    reused: bool,
    body_end: Option<BodyEnd>,
    reply: Reply,
}

impl Trip {
    fn blocked(reason: String) -> Self {
        Trip {
            timings: Timings::default(),
            remote: None,
            resent: false,
            reused: false,
            body_end: None,
            reply: Reply::Blocked { reason },
        }
    }

    /// What the marks know; the reply is a placeholder.
    fn on(marks: &Marks) -> Self {
        Trip {
            timings: marks.timings,
            remote: marks.remote.map(|remote| remote.to_string()),
            resent: false,
            reused: marks.connection == Connection::Reused,
            body_end: None,
            reply: Reply::TimedOut { stage: marks.stage },
        }
    }
}

/// Reads answers as browsers do: the receiver that says 200 has the event, however untidy the headers below are, and
/// would get it again for each answer that is refused. Of the headers only two are looked at, and neither decides.
fn client(
    settings: &Arc<Settings>,
    config: &ClientConfig,
    resolver: &Arc<Resolver>,
    idle_connections: usize,
) -> Result<reqwest::Client, String> {
    let unfit = |error: reqwest::Error| format!("the HTTP client cannot be set up: {error}");
    let mut builder = reqwest::Client::builder();
    builder = builder.no_proxy();
    if let Some(proxy) = &settings.egress_proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(unfit)?);
    }
    builder
        .tls_backend_preconfigured(config.clone())
        .http1_only()
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_max_headers(MOST_HEADERS)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .dns_resolver(resolver.clone())
        .connector_layer(Watch { settings: settings.clone() })
        .pool_max_idle_per_host(idle_connections)
        .pool_idle_timeout(settings.idle_timeout.to_std())
        .build()
        .map_err(unfit)
}

fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        let (name, value) = parsed.ok_or_else(|| format!("the header {name:?} cannot be sent: its name or value"))?;
        map.append(name, value);
    }
    Ok(map)
}

/// A header's value if it is text, and of a length that anybody would write.
fn text_of(value: Option<&HeaderValue>) -> Option<String> {
    let text = std::str::from_utf8(value?.as_bytes()).ok()?;
    (text.len() <= guard::LONGEST_URL).then(|| text.to_owned())
}
