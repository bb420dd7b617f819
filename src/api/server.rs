//! The server: takes connections up to a number, answers HTTP/1.1 on each, and ends in the daemon's phases.
//! A peer that is slow, silent or greedy costs one connection for a while and nothing else; a handler that panics
//! costs its own answer.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::CONNECTION;
use http::{HeaderValue, Request};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::guard::{Behind, Fenced, headed};
use super::listen::{Listeners, Stream};
use super::problem::Problem;
use super::stream::Impatient;
use crate::config::ApiSettings;
use crate::daemon::handle::Phase;
use crate::observe::metrics::Metrics;
use crate::observe::{Notice, tell};
use crate::time::Span;

/// How a request came: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
    /// By a unix socket: its file's mode has chosen who.
    Unix,
}

/// What a connection may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open at once.
    pub connections: usize,
    pub header_bytes: usize,
    /// For a whole head to arrive, and for a kept connection to be used again.
    pub head: Duration,
    /// For a peer to take any more of an answer.
    pub stalled: Duration,
    /// For what is open to end, once the daemon closes.
    pub closing: Duration,
}

impl Limits {
    pub fn of(settings: &ApiSettings) -> Self {
        Limits {
            connections: settings.max_connections,
            header_bytes: settings.max_header_bytes,
            head: duration(settings.request_timeout),
            stalled: Duration::from_secs(30),
            closing: Duration::from_secs(10),
        }
    }
}

/// As tokio wants it.
pub fn duration(span: Span) -> Duration {
    Duration::from_millis(u64::try_from(span.ms()).unwrap_or_default())
}

/// hyper's own least.
const LEAST_BUFFER: usize = 8192;
const MOST_HEADERS: usize = 100;
/// How long a closed connection may still send what nobody reads.
const LINGER: Duration = Duration::from_secs(2);
/// How long no connection is taken after the system refused one.
const PAUSE: Span = Span::from_ms(500);

/// Serves until the phase is `Closing` and what was open then has ended, or was cut off after `limits.closing`.
pub async fn serve(
    mut listeners: Listeners,
    site: Fenced<impl Behind>,
    limits: Limits,
    phases: watch::Receiver<Phase>,
    metrics: Metrics,
) {
    let mut open = JoinSet::new();
    let mut resume = Instant::now();
    let mut failing = false;
    let mut phase = phases.clone();
    loop {
        let next = async {
            sleep_until(resume).await;
            listeners.accept().await
        };
        tokio::select! {
            () = reached(&mut phase, Phase::Closing) => break,
            Some(_) = open.join_next() => {}
            taken = next, if open.len() < limits.connections => match taken {
                Ok((stream, peer)) => {
                    failing = false;
                    let (site, phases, counted) = (site.clone(), phases.clone(), metrics.connection());
                    open.spawn(async move {
                        match stream {
                            Stream::Tcp(stream) => connection(stream, peer, site, limits, phases).await,
                            Stream::Unix(stream) => connection(stream, peer, site, limits, phases).await,
                        }
                        drop(counted);
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !failing {
                        tell(&Notice::ConnectionsRefused { error: &error.to_string(), retry_in: PAUSE });
                    }
                    failing = true;
                    resume = Instant::now() + duration(PAUSE);
                }
            }
        }
    }
    drop(listeners);
    let ended = async { while open.join_next().await.is_some() {} };
    if timeout(limits.closing, ended).await.is_err() {
        open.shutdown().await;
    }
}

/// Whether only the connection that was to be taken failed, and the next may be well.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Returns once the phase has come so far, or nobody is left to tell.
pub async fn reached(phases: &mut watch::Receiver<Phase>, phase: Phase) {
    let _ = phases.wait_for(|now| *now >= phase).await;
}

async fn connection<S, B>(stream: S, peer: Peer, site: Fenced<B>, limits: Limits, phases: watch::Receiver<Phase>)
where
    B: Behind,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut phase = phases.clone();
    let service = service_fn(move |request| Box::pin(answer(site.clone(), request, peer, phases.clone())));
    let stream = TokioIo::new(Impatient::new(stream, limits.stalled));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(MOST_HEADERS)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(LEAST_BUFFER))
        .serve_connection(stream, service);
    let mut told = false;
    loop {
        tokio::select! {
            // A failure is the peer's, and it knows.
            _ = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break,
            () = reached(&mut phase, Phase::Closing), if !told => {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
    connection.into_parts().io.into_inner().linger(LINGER).await;
}

/// A request's body that tells whether all of it was read.
struct Watched {
    body: Incoming,
    ended: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.ended.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The site's answer, or a problem in place of a panic. While the daemon drains, each answer is its connection's last; so
/// is a refusal before the whole request was read, as nothing can follow on that connection, and its user is told so.
async fn answer(
    site: Fenced<impl Behind>,
    request: Request<Incoming>,
    peer: Peer,
    phases: watch::Receiver<Phase>,
) -> Result<Response, std::convert::Infallible> {
    let ended = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let mut request = request.map(|body| Body::new(Watched { body, ended: ended.clone() }));
    request.extensions_mut().insert(peer);
    // Nothing that a panic may leave half done is used afterwards: the site is a clone of this request's own.
    let answered = AssertUnwindSafe(site.answer(request)).catch_unwind().await;
    let mut response = match answered {
        Ok(answered) => answered,
        Err(_) => headed(Problem::internal().into_response()),
    };
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if *phases.borrow() > Phase::Serving || (refused && !ended.load(Ordering::Relaxed)) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
