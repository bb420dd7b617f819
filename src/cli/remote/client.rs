//! Asking a daemon over HTTP: one request, one answer, within a time and a size. What it refuses becomes a `Failure` with the
//! exit status that the same refusal has on this machine. No proxy is used and no redirect is followed.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use url::Url;
use zeroize::Zeroizing;

use crate::cli::{Context, Exit, Failure, output, shown};
use crate::courier;
use crate::daemon;
use crate::daemon::clock::wall;
use crate::operations::answer::Problem;
use crate::plain::plain;
use crate::time::{Span, Time};

/// To reach it at all.
const CONNECT: Duration = Duration::from_secs(5);
/// For an answer, unless a longer one is expected: more than the daemon itself takes for anything but `PATIENT`.
const USUAL: Duration = Duration::from_secs(60);
/// For an answer that has to look at everything.
pub const PATIENT: Duration = Duration::from_secs(3600);
/// The most bytes of an answer: the largest body as base64, or all attempts of an event with many deliveries.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    Url(Url),
    Socket(PathBuf),
}

impl Server {
    /// `http://127.0.0.1:8787`, `https://hooks.example` or `unix:/run/postrider.sock`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = "a server is written http://127.0.0.1:8787, https://hooks.example or unix:/path/to.sock";
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            return if path.as_os_str().is_empty() { Err(refused.to_owned()) } else { Ok(Server::Socket(path)) };
        }
        let url = Url::parse(text).map_err(|_| refused.to_owned())?;
        let is_bare = url.query().is_none() && url.fragment().is_none() && matches!(url.path(), "" | "/");
        let fits = matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare;
        match fits && url.username().is_empty() && url.password().is_none() {
            true => Ok(Server::Url(url)),
            false if !url.username().is_empty() || url.password().is_some() => {
                Err("a server's URL holds no name and no password; a token is given by --token-file".to_owned())
            }
            false => Err(refused.to_owned()),
        }
    }

    fn base(&self) -> Url {
        match self {
            Server::Url(url) => url.clone(),
            Server::Socket(_) => Url::parse("http://localhost").expect("a URL"),
        }
    }

    /// Whether what is sent can be read on the way.
    fn is_open(&self) -> bool {
        let Server::Url(url) = self else { return false };
        let is_here = match url.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        url.scheme() == "http" && !is_here
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Server::Url(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Server::Socket(path) => write!(f, "unix:{}", shown(path)),
        }
    }
}

/// A daemon somewhere, and the right to ask it.
pub struct Client {
    server: Server,
    http: reqwest::Client,
    pub runtime: Runtime,
    has_token: bool,
    /// The command that should be listening there.
    listener: &'static str,
    /// How far the daemon's clock is ahead of this machine's, as its last answer said.
    ahead: Cell<Span>,
}

impl Client {
    pub fn new(context: &Context, server: &Server, token: Option<&Zeroizing<String>>) -> Result<Self, Failure> {
        let failed = |what: &dyn std::fmt::Display| Failure::new(Exit::Io, format!("no client can be set up: {what}"));
        if token.is_some() && server.is_open() {
            output::note(&format!("warning: {server} is plain HTTP: whoever is on the way can read the token"));
        }
        let roots = daemon::extra_roots(&context.loaded.config)?;
        let tls = courier::client_config(&roots).map_err(|error| failed(&error))?;
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let value = Zeroizing::new(format!("Bearer {}", token.as_str()));
            let mut value = HeaderValue::from_str(&value).map_err(|_| unfit())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .user_agent(concat!("postrider/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers);
        if let Server::Socket(path) = server {
            builder = builder.unix_socket(path.clone());
        }
        let http = builder.build().map_err(|error| failed(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(&error))?;
        Ok(Client {
            server: server.clone(),
            http,
            runtime,
            has_token: token.is_some(),
            listener: "postrider serve",
            ahead: Cell::default(),
        })
    }

    /// The same where another command should be listening.
    pub fn of(self, listener: &'static str) -> Self {
        Client { listener, ..self }
    }

    /// A request for the path that `parts` make, each part a piece of it.
    pub fn request(&self, method: Method, parts: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        self.request_outside(method, &[&["v1"], parts].concat(), query)
    }

    /// The same for a path that is none of the API's own.
    pub fn request_outside(&self, method: Method, parts: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let mut url = self.server.base();
        url.path_segments_mut().expect("an http URL has a path").clear().extend(parts);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http.request(method, url)
    }

    pub fn get<T: DeserializeOwned>(&self, parts: &[&str], query: &[(&str, String)]) -> Result<T, Failure> {
        self.ask(self.request(Method::GET, parts, query), USUAL)
    }

    pub fn post<T: DeserializeOwned>(&self, parts: &[&str], query: &[(&str, String)]) -> Result<T, Failure> {
        self.ask(self.request(Method::POST, parts, query), USUAL)
    }

    /// With `document` as JSON.
    pub fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        parts: &[&str],
        document: &impl Serialize,
        longest: Duration,
    ) -> Result<T, Failure> {
        let text = serde_json::to_vec(document).expect("plain data");
        let request = self.request(method, parts, &[]).header(CONTENT_TYPE, "application/json").body(text);
        self.ask(request, longest)
    }

    /// The answer to a request, which is JSON.
    pub fn ask<T: DeserializeOwned>(&self, request: RequestBuilder, longest: Duration) -> Result<T, Failure> {
        self.answer(request, longest).map(|(answer, _)| answer)
    }

    /// The answer to a request with its headers.
    pub fn answer<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        longest: Duration,
    ) -> Result<(T, HeaderMap), Failure> {
        self.runtime.block_on(async {
            let asked = async {
                let response = request.send().await.map_err(|error| self.unreached(&error))?;
                let response = self.granted(response).await?;
                let headers = response.headers().clone();
                self.ahead.set(ahead(&headers).unwrap_or_default());
                let body = self.body(response).await?;
                let answer = serde_json::from_slice(&body).map_err(|error| self.stranger(&error.to_string()))?;
                Ok((answer, headers))
            };
            tokio::time::timeout(longest, asked).await.unwrap_or_else(|_| {
                let text = format!("{} did not answer within {} s", self.server, longest.as_secs());
                Err(Failure::new(Exit::Busy, text))
            })
        })
    }

    /// The time that the daemon's answers are told in.
    pub fn now(&self) -> Time {
        wall() + self.ahead.get()
    }

    /// The answer unless it is a refusal.
    pub async fn granted(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(response).await?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(self.refused(status, &problem)),
            Err(_) => Err(self.stranger(&format!("status {status}"))),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.broken_off(&error))? {
            if body.len() + piece.len() > MOST_BYTES {
                return Err(self.stranger(&format!("an answer with more than {MOST_BYTES} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn refused(&self, status: StatusCode, problem: &Problem) -> Failure {
        let mut text = problem.detail.clone();
        for error in problem.errors.iter().filter(|error| !problem.detail.contains(&error.detail)) {
            text.push_str(&format!("; {}: {}", error.pointer, error.detail));
        }
        // Somebody else's, if it is no daemon that answers.
        let text = plain(&text);
        let server = &self.server;
        let is = |name: &str| problem.problem_type.ends_with(name);
        match status.as_u16() {
            401 | 403 if !self.has_token => {
                let how = "--token-file or POSTRIDER_TOKEN gives a token that `postrider token add` made";
                Failure::new(Exit::Config, format!("{server} wants a token: {text} ({how})"))
            }
            401 => Failure::new(Exit::Config, format!("{server} does not know this token: {text} (see --token-file)")),
            403 => Failure::new(Exit::Config, format!("{text} (see --token-file)")),
            421 => Failure::new(Exit::Config, text),
            404 if is(":not-found") => Failure::new(Exit::NotFound, text),
            422 if is(":unknown-endpoint") => Failure::new(Exit::NotFound, text),
            400 | 404 | 409 | 412 | 413 | 415 | 422 => Failure::new(Exit::Data, text),
            408 | 429 | 503 => Failure::new(Exit::Busy, text),
            _ => Failure::new(Exit::Io, format!("{server} failed: {text}")),
        }
    }

    /// No connection, or one that broke before an answer.
    pub fn unreached(&self, error: &reqwest::Error) -> Failure {
        let server = &self.server;
        let why = cause(error);
        match error.is_connect() {
            true => {
                let text = format!("{server} cannot be reached: {why}; does `{}` listen there?", self.listener);
                Failure::new(Exit::Busy, text)
            }
            false => self.broken_off(error),
        }
    }

    pub fn broken_off(&self, error: &reqwest::Error) -> Failure {
        let text = format!("the connection to {} broke off: {}", self.server, cause(error));
        Failure::new(Exit::Busy, text)
    }

    /// Something answers, but no postrider of this version.
    pub fn stranger(&self, what: &str) -> Failure {
        let text = format!("what answers at {} is no postrider that this one understands: {what}", self.server);
        Failure::new(Exit::Io, text)
    }
}

/// By `Date`, which has whole seconds: less than two are none.
fn ahead(headers: &HeaderMap) -> Option<Span> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let seconds = i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    let ahead = seconds - wall().unix_seconds();
    Some(Span::from_seconds(ahead)).filter(|_| ahead.abs() >= 2)
}

pub fn unfit() -> Failure {
    Failure::new(Exit::Data, "the token is not one that `postrider token add` made: it holds something else than ASCII")
}

/// The innermost reason, which is the one in plain words.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_url_or_a_socket() {
        for good in ["http://127.0.0.1:8787", "https://hooks.example", "unix:/run/a.sock"] {
            assert_eq!(Server::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "unix:", "127.0.0.1:8787", "ftp://a.example", "http://a.example/x", "http://a.example?x"] {
            assert!(Server::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Server::parse("http://a:b@c.example").unwrap_err().contains("--token-file"));
        assert!(Server::parse("http://10.0.0.1").unwrap().is_open());
        for closed in ["http://localhost:1", "http://[::1]:1", "https://a.example", "unix:/a"] {
            assert!(!Server::parse(closed).unwrap().is_open(), "{closed}");
        }
    }
}
