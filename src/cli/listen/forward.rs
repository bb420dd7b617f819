//! Hands a request on to another server, its body byte for byte, and brings back what that one answers.
//! The answer is read up to a limit and for a limited time. What fails is said in words.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::cli::wire::Request;
use crate::cli::{Exit, Failure};
use crate::courier;

const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(60);
/// The most bytes of an answer's body.
const MOST: usize = 64 * 1024 * 1024;

/// Of one connection only, so of neither the request nor the answer that is handed on. Source: RFC 9110, 7.6.1.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    // What was asked of us was answered by us.
    "expect",
];

/// Where requests are handed on to.
pub struct Target {
    pub url: Url,
    tls: Option<TlsConnector>,
}

/// What came back.
pub struct Forwarded {
    pub status: StatusCode,
    /// Without those of the connection and without a length.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Why it is not that server's own answer.
    pub failure: Option<String>,
}

impl Target {
    pub fn parse(text: &str) -> Result<Url, String> {
        let fits = |url: &Url| {
            let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
            matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare
        };
        Url::parse(text).ok().filter(fits).ok_or_else(|| {
            "a server to forward to is written http://127.0.0.1:8000 or http://localhost:8000/hook".to_owned()
        })
    }

    pub fn new(url: Url) -> Result<Self, Failure> {
        let tls = match url.scheme() {
            "https" => {
                let config = courier::client_config(&[]).map_err(|what| Failure::new(Exit::Io, what))?;
                Some(TlsConnector::from(Arc::new(config)))
            }
            _ => None,
        };
        Ok(Target { url, tls })
    }

    /// Whether it is this very receiver, which would hand on to itself without end.
    pub fn is(&self, address: std::net::SocketAddr) -> bool {
        let is_here = match self.url.host() {
            // What is unspecified leads to this machine too.
            Some(url::Host::Ipv4(host)) => host.is_loopback() || host.is_unspecified() || address.ip() == host,
            Some(url::Host::Ipv6(host)) => host.is_loopback() || host.is_unspecified() || address.ip() == host,
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        };
        is_here && self.url.port_or_known_default() == Some(address.port())
    }

    pub async fn forward(&self, request: &Request) -> Forwarded {
        match timeout(WHOLE, self.exchange(request)).await {
            Ok(Ok(forwarded)) => forwarded,
            Ok(Err(why)) => Forwarded::failed(StatusCode::BAD_GATEWAY, why),
            Err(_) => {
                let why = format!("{} did not answer within {} s", self.url, WHOLE.as_secs());
                Forwarded::failed(StatusCode::GATEWAY_TIMEOUT, why)
            }
        }
    }

    /// Fails with a sentence.
    async fn exchange(&self, request: &Request) -> Result<Forwarded, String> {
        let unreached = |why: String| format!("{} cannot be reached: {why}", self.url);
        let outgoing = self.outgoing(request)?;
        let host = self.url.host_str().unwrap_or_default();
        let address = (host.trim_matches(['[', ']']), self.url.port_or_known_default().unwrap_or(80));
        let stream = match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(connected) => connected.map_err(|error| unreached(error.to_string()))?,
            Err(_) => return Err(unreached(format!("no connection within {} s", CONNECT.as_secs()))),
        };
        // Only makes small requests slower where it fails.
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => self.converse(stream, outgoing).await,
            Some(tls) => {
                let name = ServerName::try_from(address.0.to_owned()).map_err(|error| unreached(error.to_string()))?;
                let stream = tls.connect(name, stream).await.map_err(|error| unreached(error.to_string()))?;
                self.converse(stream, outgoing).await
            }
        }
    }

    async fn converse<S>(&self, stream: S, outgoing: http::Request<Full<Bytes>>) -> Result<Forwarded, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broken = |error: &dyn std::error::Error| format!("{} gave no answer: {}", self.url, innermost(error));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        // Its failure is told by the request that it carries.
        let carried = tokio::spawn(connection);
        let answer = sender.send_request(outgoing).await.map_err(|error| broken(&error))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, MOST).collect().await;
        carried.abort();
        let body = body.map_err(|error| format!("the answer of {} broke off: {error}", self.url))?;
        let listed = parts.headers.get_all(http::header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
        let listed: Vec<String> = listed.flat_map(|value| value.split(',')).map(|n| n.trim().to_lowercase()).collect();
        let kept = |name: &str| !is_of_the_connection(name, &listed) && name != "content-length";
        let headers =
            parts.headers.iter().filter(|(name, _)| kept(name.as_str())).map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            });
        let body = body.to_bytes().to_vec();
        Ok(Forwarded { status: parts.status, headers: headers.collect(), body, failure: None })
    }

    fn outgoing(&self, request: &Request) -> Result<http::Request<Full<Bytes>>, String> {
        let unfit = |what: &str| format!("the request cannot be handed on: its {what} cannot be sent");
        let mut outgoing = http::Request::new(Full::new(Bytes::copy_from_slice(&request.body)));
        *outgoing.method_mut() = http::Method::from_bytes(request.method.as_bytes()).map_err(|_| unfit("method"))?;
        *outgoing.uri_mut() = self.path(&request.path).parse::<Uri>().map_err(|_| unfit("path"))?;
        let listed = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
        let listed: Vec<String> =
            listed.flat_map(|(_, value)| value.split(',')).map(|name| name.trim().to_lowercase()).collect();
        for (name, value) in &request.headers {
            let lower = name.to_ascii_lowercase();
            if is_of_the_connection(&lower, &listed) || ["host", "content-length"].contains(&&*lower) {
                continue;
            }
            let name = HeaderName::from_bytes(lower.as_bytes()).map_err(|_| unfit("head"))?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| unfit("head"))?;
            outgoing.headers_mut().append(name, value);
        }
        let authority = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
        let host = HeaderValue::from_str(authority).map_err(|_| unfit("host"))?;
        outgoing.headers_mut().insert(HOST, host);
        Ok(outgoing)
    }

    /// The target's own path if it has one, else the request's; and the request's query, unless the target has one.
    fn path(&self, asked: &str) -> String {
        let asked = match asked.find("://").map(|at| &asked[at + 3..]) {
            Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => asked,
        };
        let (path, query) = match asked.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (asked, None),
        };
        let path = if matches!(self.url.path(), "" | "/") { path } else { self.url.path() };
        match self.url.query().or(query) {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }
}

impl Forwarded {
    fn failed(status: StatusCode, why: String) -> Self {
        let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        Forwarded { status, headers, body: format!("{why}\n").into_bytes(), failure: Some(why) }
    }
}

fn is_of_the_connection(name: &str, listed: &[String]) -> bool {
    HOP_BY_HOP.contains(&name) || listed.iter().any(|its| its == name)
}

/// The reason in plain words.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target { url: Target::parse(url).unwrap(), tls: None }
    }

    #[test]
    fn a_target_without_a_path_leaves_each_request_its_own() {
        assert_eq!(target("http://a.example").path("/hook?x=%20y"), "/hook?x=%20y");
        assert_eq!(target("http://a.example/in").path("/hook?x=1"), "/in?x=1");
        assert_eq!(target("http://a.example/in?k=v").path("/hook?x=1"), "/in?k=v");
        assert_eq!(target("http://a.example/").path("http://b.example:1/hook?x"), "/hook?x");
        assert_eq!(target("http://a.example/").path("http://b.example"), "/");
    }

    #[test]
    fn it_is_not_this_receiver_itself() {
        let here = "127.0.0.1:3000".parse().unwrap();
        for same in ["http://127.0.0.1:3000", "http://localhost:3000/x", "http://[::1]:3000", "http://0.0.0.0:3000"] {
            assert!(target(same).is(here), "{same}");
        }
        for other in ["http://127.0.0.1:3001", "http://a.example:3000"] {
            assert!(!target(other).is(here), "{other}");
        }
    }

    #[test]
    fn only_a_server_is_forwarded_to() {
        for bad in ["", "localhost:8000", "ftp://a.example", "http://a:b@c.example", "http://a.example/#x", "/hook"] {
            assert!(Target::parse(bad).is_err(), "{bad:?}");
        }
    }
}
