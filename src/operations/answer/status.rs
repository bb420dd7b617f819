//! How the whole store is doing, what its files take, and whether a daemon works on it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Stamp;
use super::attempt::AttemptOutcome;
use crate::operations::look::Daemon;
use crate::operations::look::status::{Status, Trouble};
use crate::store::sqlite::SCHEMA_VERSION;
use crate::time::Time;

/// How the store is doing, and which endpoints are in trouble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusAnswer {
    /// The store's file.
    pub store: String,
    /// Whether that file is there.
    pub exists: bool,
    /// The version of its schema.
    pub schema: i64,
    /// The file's size.
    pub bytes: u64,
    /// The size of what was written last and is not yet folded into the file.
    pub wal_bytes: u64,
    pub daemon: DaemonAnswer,
    /// Registered endpoints.
    pub endpoints: u64,
    pub events: u64,
    /// Deliveries that are still owed.
    pub pending: u64,
    pub delivered: u64,
    pub dead: u64,
    pub cancelled: u64,
    /// Pending deliveries of which an attempt is in flight.
    pub in_flight: u64,
    /// Pending deliveries that are due now and not in flight.
    pub due: u64,
    /// Since when the oldest of those is due; null if none is.
    #[schema(required)]
    pub oldest_due_at: Option<Stamp>,
    /// For how long the oldest of those is due, in milliseconds; null if none is.
    #[schema(required)]
    pub oldest_due_age_ms: Option<i64>,
    /// When the next of the others is due; null if there is none.
    #[schema(required)]
    pub next_due_at: Option<Stamp>,
    /// Endpoints that are owed something and whose last attempt failed, the longest due first.
    pub troubled: Vec<TroubleAnswer>,
    /// Endpoints that are owed something and were not looked at, as there are so many.
    pub endpoints_not_looked_at: u64,
}

/// Whether a daemon works on the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DaemonAnswer {
    pub running: bool,
    /// Its process; null if none runs, or if it could not be read which one it is.
    #[schema(required)]
    pub pid: Option<u32>,
}

/// An endpoint in trouble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TroubleAnswer {
    /// The endpoint's name, or `one-off-3` for a receiver that nobody registered.
    #[schema(example = "acme")]
    pub endpoint: String,
    /// Deliveries that it is still owed.
    pub pending: u64,
    /// How many of them are in flight.
    pub in_flight: u64,
    /// When the earliest of them is due.
    pub due_at: Stamp,
    /// The delivery that was tried last.
    #[schema(example = "dlv_42")]
    pub delivery: String,
    /// How that ended.
    pub last: AttemptOutcome,
}

impl StatusAnswer {
    /// Of the store in the file `path`, which is there; reads its size.
    pub fn new(path: &Path, daemon: Daemon, status: &Status, now: Time) -> Self {
        let counts = &status.counts;
        StatusAnswer {
            store: path.to_string_lossy().into_owned(),
            exists: true,
            schema: SCHEMA_VERSION,
            bytes: size(path),
            wal_bytes: size(&beside(path, "-wal")),
            daemon: daemon.into(),
            endpoints: status.endpoints,
            events: counts.events,
            pending: counts.pending,
            delivered: counts.delivered,
            dead: counts.dead,
            cancelled: counts.cancelled,
            in_flight: counts.leased,
            due: counts.due,
            oldest_due_at: counts.oldest_due.map(Stamp),
            oldest_due_age_ms: counts.oldest_due.map(|at| now.since(at).ms()),
            next_due_at: counts.next_due.map(Stamp),
            troubled: status.troubled.iter().map(TroubleAnswer::from).collect(),
            endpoints_not_looked_at: status.unseen,
        }
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// In bytes; 0 if there is no such file.
fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

impl From<Daemon> for DaemonAnswer {
    fn from(daemon: Daemon) -> Self {
        match daemon {
            Daemon::Runs { pid } => DaemonAnswer { running: true, pid },
            Daemon::Absent => DaemonAnswer { running: false, pid: None },
        }
    }
}

impl From<&Trouble> for TroubleAnswer {
    fn from(trouble: &Trouble) -> Self {
        TroubleAnswer {
            endpoint: trouble.endpoint.clone(),
            pending: trouble.pending,
            in_flight: trouble.in_flight,
            due_at: Stamp(trouble.due_at),
            delivery: trouble.delivery.to_string(),
            last: (&trouble.last).into(),
        }
    }
}
