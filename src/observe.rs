//! What the daemon tells: each notice becomes one log line with structured fields, and an attempt is one wide line.
//! Never told: bodies, header values, queries of URLs, keys. Writing a line never fails anything: a full disk or a
//! closed pipe loses the line and nothing else.

mod lines;
pub mod metrics;
pub mod spans;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::Path;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use crate::calendar::rfc3339;
use crate::delivery::{Attempt, DeliveryId, Outcome, Stage, Verdict};
use crate::endpoint::ProfileName;
use crate::event::{EventId, EventType};
use crate::log::{Format, Level};
use crate::time::{Span, Time};
use lines::Lines;

/// Begins to write log lines to standard error: `level` and graver of our own, warnings and errors of the libraries.
///
/// The libraries are never more talkative than that, as what they tell below includes headers, and so signatures.
/// To be called once; a second call changes nothing.
pub fn start(format: Format, level: Level) {
    let colour = wants_colour(
        std::io::stderr().is_terminal(),
        std::env::var_os("NO_COLOR").as_deref(),
        std::env::var_os("TERM").as_deref(),
    );
    let layer = layer(Lines { format, colour, clock: now }, level, std::io::stderr);
    // Fails only if there is a subscriber already, and that one serves.
    let _ = tracing::subscriber::set_global_default(Registry::default().with(layer));
}

fn layer<W>(lines: Lines, level: Level, writer: W) -> impl Layer<Registry>
where
    W: for<'w> tracing_subscriber::fmt::MakeWriter<'w> + 'static,
{
    let of_libraries = Level::Warn.min(level);
    let filter = Targets::new().with_target("postrider", filter(level)).with_default(filter(of_libraries));
    tracing_subscriber::fmt::layer()
        .event_format(lines)
        .with_writer(writer)
        // They would go to standard error by a macro that panics if it is closed.
        .log_internal_errors(false)
        .with_filter(filter)
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

/// Colours are for terminals that can show them and people who have not refused them (no-color.org: set and not empty).
fn wants_colour(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

fn now() -> Time {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time::from_ms(since_epoch.map_or(0, |length| i64::try_from(length.as_millis()).unwrap_or(i64::MAX)))
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Notice<'a> {
    /// The daemon holds its store and begins.
    Started {
        store: &'a Path,
        version: &'a str,
        pid: u32,
        /// Registered endpoints.
        endpoints: u64,
        /// Pending deliveries.
        pending: u64,
        /// Attempts that a dead predecessor left open.
        recovered: u64,
    },
    /// The HTTP API can be reached at `address`.
    Listening {
        address: &'a str,
    },
    /// The system gives no connection, as when all file handles are in use; those that wait are taken later.
    ConnectionsRefused {
        error: &'a str,
        retry_in: Span,
    },
    AttemptEnded(AttemptEnded<'a>),
    /// The system grants so few file handles that less is open at once than was configured.
    FewHandles {
        granted: u64,
        max_connections: u64,
        in_flight: u64,
    },
    /// A due delivery was found to have had all its attempts, and was ended as dead.
    DeliveryUsedUp {
        delivery: DeliveryId,
        endpoint: &'a str,
    },
    /// Deliveries to an endpoint that is gone were ended as dead.
    DeliveriesBuried {
        endpoint: &'a str,
        deliveries: u64,
    },
    /// Nothing more is owed to the endpoint.
    EndpointDisabled {
        endpoint: &'a str,
        reason: &'a str,
    },
    /// The store refused to work; nothing is lost, and it is tried again.
    StoreFailing {
        error: &'a str,
        retry_in: Span,
    },
    /// The store took no events; whoever sent them was told, and deliveries go on.
    StoreRefusing {
        error: &'a str,
    },
    /// The store works again.
    StoreWell {
        after: Span,
    },
    /// The wall clock jumped, and the schedule with it.
    ClockStepped {
        by: Span,
        shifted: u64,
    },
    /// The clock was set forward, and what waits is due that much sooner.
    ClockSet {
        by: Span,
    },
    /// Old events that owed nothing more were deleted.
    Pruned {
        events: u64,
    },
    /// Something is allowed but hardly meant, as a warning of the configuration.
    Warning {
        text: &'a str,
    },
    /// No new attempts; those in flight may end.
    Draining {
        in_flight: u64,
    },
    Stopped {
        pending: u64,
    },
}

/// An attempt and what followed.
#[derive(Clone, Debug)]
pub struct AttemptEnded<'a> {
    pub event: &'a EventId,
    pub event_type: &'a EventType,
    /// `Endpoint::label`.
    pub endpoint: &'a str,
    pub profile: ProfileName,
    pub delivery: DeliveryId,
    pub attempt: &'a Attempt,
    /// The most attempts that the schedule allows.
    pub of: u32,
    pub verdict: Verdict,
}

/// Writes `notice` as exactly one line, if its level is wanted.
pub fn tell(notice: &Notice<'_>) {
    match notice {
        Notice::Started { store, version, pid, endpoints, pending, recovered } => {
            let store = store.to_string_lossy();
            tracing::info!(version, pid, store = &*store, endpoints, pending, recovered, "started");
        }
        Notice::Listening { address } => tracing::info!(address, "listening"),
        Notice::ConnectionsRefused { error, retry_in } => {
            tracing::error!(error, %retry_in, "no connections can be taken");
        }
        Notice::FewHandles { granted, max_connections, in_flight } => {
            tracing::warn!(granted, max_connections, in_flight, "few file handles: raise the limit (ulimit -n)");
        }
        Notice::AttemptEnded(ended) => tell_attempt(ended),
        Notice::DeliveryUsedUp { delivery, endpoint } => {
            tracing::error!(%delivery, endpoint, "delivery dead: schedule used up");
        }
        Notice::DeliveriesBuried { endpoint, deliveries } => {
            tracing::error!(endpoint, deliveries, "deliveries dead: endpoint gone");
        }
        Notice::EndpointDisabled { endpoint, reason } => tracing::error!(endpoint, reason, "endpoint disabled"),
        Notice::StoreFailing { error, retry_in } => {
            tracing::error!(error, %retry_in, "store failing");
        }
        Notice::StoreRefusing { error } => tracing::error!(error, "store takes no events"),
        Notice::StoreWell { after } => tracing::info!(%after, "store well again"),
        Notice::ClockSet { by } => tracing::info!(%by, "clock set forward"),
        Notice::ClockStepped { by, shifted } => tracing::warn!(%by, shifted, "clock stepped"),
        Notice::Pruned { events } => tracing::info!(events, "pruned"),
        Notice::Warning { text } => tracing::warn!("{text}"),
        Notice::Draining { in_flight } => tracing::info!(in_flight, "draining"),
        Notice::Stopped { pending } => tracing::info!(pending, "stopped"),
    }
}

/// The wide line: everything that is known of one attempt. A field that has no value is left out.
fn tell_attempt(ended: &AttemptEnded<'_>) {
    // A macro, as the level of a line must be known where it is written.
    macro_rules! line {
        ($write:ident) => {{
            let (attempt, timings) = (ended.attempt, &ended.attempt.timings);
            let told = told(&attempt.outcome);
            let followed = followed(ended);
            tracing::$write!(
                event = %ended.event,
                "type" = %ended.event_type,
                endpoint = ended.endpoint,
                profile = %ended.profile,
                delivery = %ended.delivery,
                attempt = attempt.number,
                of = ended.of,
                outcome = attempt.outcome.name(),
                status = told.status,
                stage = told.stage,
                error = told.error,
                late = told.late,
                verdict = followed.verdict,
                reason = followed.reason,
                next_at = followed.next_at,
                next_in = followed.next_in,
                duration_ms = timings.total_us / 1000,
                dns_us = timings.dns_us,
                connect_us = timings.connect_us,
                tls_us = timings.tls_us,
                first_byte_us = timings.first_byte_us,
                remote = attempt.remote,
                resent = attempt.resent.then_some(true),
                "attempt ended"
            );
        }};
    }
    match ended.verdict {
        // Thousands a second when all is well, and the store has each.
        Verdict::Delivered => line!(debug),
        Verdict::RetryAt(_) => line!(warn),
        Verdict::Dead(_) => line!(error),
    }
}

/// An outcome's details as fields.
#[derive(Default)]
struct Told<'a> {
    status: Option<u16>,
    stage: Option<&'static str>,
    error: Option<&'a str>,
    late: Option<bool>,
}

fn told(outcome: &Outcome) -> Told<'_> {
    let stage = |stage: &Stage| Some(stage.as_str());
    match outcome {
        Outcome::Accepted { status, late } => {
            Told { status: Some(*status), late: late.then_some(true), ..Told::default() }
        }
        Outcome::Rejected { status } => Told { status: Some(*status), ..Told::default() },
        Outcome::TimedOut { stage: at } => Told { stage: stage(at), ..Told::default() },
        Outcome::Unreachable { stage: at, error } => Told { stage: stage(at), error: Some(error), ..Told::default() },
        Outcome::Blocked { reason } => Told { error: Some(reason), ..Told::default() },
        Outcome::Unknown => Told::default(),
    }
}

/// A verdict as fields.
struct Followed {
    verdict: &'static str,
    reason: Option<&'static str>,
    next_at: Option<String>,
    next_in: Option<String>,
}

fn followed(ended: &AttemptEnded<'_>) -> Followed {
    let nothing_more = |verdict, reason| Followed { verdict, reason, next_at: None, next_in: None };
    match ended.verdict {
        Verdict::Delivered => nothing_more("delivered", None),
        Verdict::Dead(reason) => nothing_more("dead", Some(reason.as_str())),
        Verdict::RetryAt(at) => Followed {
            verdict: "retry",
            reason: None,
            next_at: Some(rfc3339(at)),
            next_in: Some(at.since(ended.attempt.finished_at).to_string()),
        },
    }
}
