//! Watches one request on its way through the HTTP client: where it is, how long each stage took, whom it reached.
//! The client tells nobody what it does, so a probe travels beside the request as a task-local value, and the three
//! places that the client calls back into (resolver, connector layer, TLS session store) mark it.
//!
//! The client may hand a request somebody else's idle connection and finish the begun one on a task of its own. Such a
//! task has no probe, so whatever happens there is marked nowhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use url::{Host, Url};

use crate::delivery::{Stage, Timings};

tokio::task_local! {
    static PROBE: Probe;
}

/// A handle on the marks of one request.
#[derive(Clone)]
pub(super) struct Probe(Arc<watch::Sender<Marks>>);

/// What is known about one request so far.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    pub stage: Stage,
    /// When `stage` began.
    since: Instant,
    /// Without `first_byte_us` and `total_us`, which only the courier can know.
    pub timings: Timings,
    pub remote: Option<SocketAddr>,
    pub connection: Connection,
    /// The rule that forbids an address of the host.
    pub blocked: Option<String>,
    /// The TCP connection was given up for taking longer than one may.
    pub overdue: bool,
    /// The address that is being dialled, if there is only one to dial.
    only_candidate: Option<IpAddr>,
    port: u16,
}

/// Which connection the request goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// One that stood idle in the pool: no connector was asked, or it was too slow.
    Reused,
    Connecting,
    Fresh,
}

impl Probe {
    pub fn new(url: &Url) -> Self {
        let only_candidate = match url.host() {
            Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
            Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
            Some(Host::Domain(_)) | None => None,
        };
        let marks = Marks {
            stage: Stage::Answer,
            since: Instant::now(),
            timings: Timings::default(),
            remote: None,
            connection: Connection::Reused,
            blocked: None,
            overdue: false,
            only_candidate,
            port: url.port_or_known_default().unwrap_or(0),
        };
        Probe(Arc::new(watch::Sender::new(marks)))
    }

    /// Runs `work` with this probe beside it.
    pub async fn beside<W: Future>(self, work: W) -> W::Output {
        PROBE.scope(self, work).await
    }

    /// The probe of the request that the running task works for, if it works for one.
    pub fn current() -> Option<Probe> {
        PROBE.try_with(Probe::clone).ok()
    }

    pub fn is_current(&self) -> bool {
        PROBE.try_with(|current| Arc::ptr_eq(&current.0, &self.0)).unwrap_or(false)
    }

    pub fn marks(&self) -> Marks {
        self.0.borrow().clone()
    }

    /// A connector was asked for a new connection; unless a name is to be resolved, it dials at once.
    pub fn connecting(&self) {
        self.0.send_modify(|marks| {
            marks.connection = Connection::Connecting;
            marks.enter(Stage::Connect);
        });
    }

    pub fn resolving(&self) {
        self.0.send_modify(|marks| {
            marks.enter(Stage::Dns);
        });
    }

    pub fn resolved(&self, vetted: &[IpAddr]) {
        self.0.send_modify(|marks| {
            marks.timings.dns_us = Some(marks.enter(Stage::Connect));
            marks.only_candidate = match vetted {
                [only] => Some(*only),
                _ => None,
            };
        });
    }

    pub fn block(&self, reason: String) {
        self.0.send_modify(|marks| marks.blocked = Some(reason));
    }

    /// The first message of the TLS handshake is being made, so TCP stands.
    pub fn handshaking(&self) {
        self.0.send_modify(|marks| {
            if marks.stage == Stage::Connect {
                marks.timings.connect_us = Some(marks.enter(Stage::Tls));
                marks.remote = marks.only_candidate.map(|address| SocketAddr::new(address, marks.port));
            }
        });
    }

    /// The connection stands, TLS included; the request goes out on it.
    pub fn connected(&self, remote: Option<SocketAddr>) {
        self.0.send_modify(|marks| {
            let stage = marks.stage;
            let took = marks.enter(Stage::Answer);
            match stage {
                Stage::Connect => marks.timings.connect_us = Some(took),
                Stage::Tls => marks.timings.tls_us = Some(took),
                Stage::Dns | Stage::Answer => {}
            }
            marks.connection = Connection::Fresh;
            marks.remote = remote.or(marks.remote);
        });
    }

    /// The request went out, so a connection that does not stand yet is not the one it uses.
    pub fn sent(&self) {
        if self.0.borrow().connection == Connection::Connecting {
            self.overtaken();
        }
    }

    /// The request went out on an idle connection before the new one stood.
    pub fn overtaken(&self) {
        self.0.send_modify(|marks| {
            marks.connection = Connection::Reused;
            marks.timings = Timings::default();
            marks.remote = None;
            marks.enter(Stage::Answer);
        });
    }

    /// Returns, and marks it, when a TCP connection has taken longer than `limit`.
    pub async fn overdue(&self, limit: Duration) {
        let mut marks = self.0.subscribe();
        loop {
            // The sender lives in self, so neither wait can fail for want of it.
            let _ = marks.wait_for(|marks| marks.stage == Stage::Connect).await;
            if tokio::time::timeout(limit, marks.wait_for(|marks| marks.stage != Stage::Connect)).await.is_err() {
                break;
            }
        }
        self.0.send_modify(|marks| marks.overdue = true);
    }
}

impl Marks {
    /// Microseconds since the present stage began.
    pub fn stage_us(&self) -> u64 {
        micros(self.since.elapsed())
    }

    fn enter(&mut self, stage: Stage) -> u64 {
        let took = self.stage_us();
        self.stage = stage;
        self.since = Instant::now();
        took
    }
}

pub(super) fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}
