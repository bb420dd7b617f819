//! Whether the process lives, whether it should be sent anything, and what it measures.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::problem::Problem;
use crate::daemon::handle::Phase;
use crate::observe::metrics::{Gauges, Metrics};
use crate::operations::look;

/// Alive or ready, and why not.
#[derive(Serialize, ToSchema)]
pub(super) struct HealthAnswer {
    /// `ok` or `unavailable`.
    #[schema(example = "ok")]
    status: &'static str,
    checks: Checks,
}

/// Each is `ok`, or says what is wrong.
#[derive(Serialize, ToSchema)]
struct Checks {
    /// Whether the store takes what it is given.
    store: String,
    /// Whether its disk has more free than `api.min_free_disk_bytes`.
    disk: String,
    /// Whether the daemon was asked to stop.
    draining: String,
}

/// A store that answers later than this is not ready for more.
const PROMPT: Duration = Duration::from_secs(1);
const OK: &str = "ok";

/// Is the process alive? It depends on nothing.
#[utoipa::path(get, path = "/livez", tag = "operation", security(()), responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Should it be sent anything?
///
/// The store takes what it is given, its disk is above its mark, and the daemon was not asked to stop.
#[utoipa::path(
    get, path = "/readyz", tag = "operation", security(()),
    responses((status = 200, body = HealthAnswer), (status = 503, body = HealthAnswer))
)]
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    readiness(&api).await
}

/// The same as /readyz.
#[utoipa::path(
    get, path = "/healthz", tag = "operation", security(()),
    responses((status = 200, body = HealthAnswer), (status = 503, body = HealthAnswer))
)]
pub(super) async fn healthz(State(api): State<Api>) -> Response {
    readiness(&api).await
}

async fn readiness(api: &Api) -> Response {
    let checks = Checks { store: store(api).await, disk: disk(api), draining: draining(api.handle.phase()) };
    let ready = [&checks.store, &checks.disk, &checks.draining].into_iter().all(|check| check == OK);
    let (code, status) = if ready { (StatusCode::OK, OK) } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
    (code, super::json(&HealthAnswer { status, checks })).into_response()
}

async fn store(api: &Api) -> String {
    if let Some(error) = api.handle.health().failing {
        return error;
    }
    // What is written waits in the same line.
    match tokio::time::timeout(PROMPT, api.handle.ping()).await {
        Ok(Ok(())) => OK.to_owned(),
        Ok(Err(_)) => "too much is under way".to_owned(),
        Err(_) => format!("it did not answer within {} s", PROMPT.as_secs()),
    }
}

fn disk(api: &Api) -> String {
    let config = api.handle.config();
    let least = config.api.min_free_disk_bytes;
    match free_bytes(&config.store.path) {
        Some(free) if free < least => {
            format!("{free} bytes are free on the store's disk, less than api.min_free_disk_bytes = {least}")
        }
        Some(_) => OK.to_owned(),
        None => "the free space of the store's disk cannot be read".to_owned(),
    }
}

fn draining(phase: Phase) -> String {
    match phase {
        Phase::Serving => OK.to_owned(),
        Phase::Draining | Phase::Closing => "the daemon was asked to stop".to_owned(),
    }
}

fn free_bytes(store: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(store).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn store_bytes(store: &Path) -> Option<u64> {
    let size = |path: PathBuf| std::fs::metadata(path).map(|found| found.len());
    let wal = {
        let mut name = store.as_os_str().to_owned();
        name.push("-wal");
        PathBuf::from(name)
    };
    Some(size(store.to_owned()).ok()? + size(wal).unwrap_or(0))
}

/// When the store was asked last how much of everything there is, and how long that took.
#[derive(Default)]
pub(super) struct LastLook(Mutex<Option<(Instant, Duration)>>);

/// Looking takes at most this part of the time: with millions of deliveries it is work.
const SHARE: u32 = 20;

impl LastLook {
    /// Whether to look again; whoever is told so does.
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().expect("nobody panics with it");
        let due = last.is_none_or(|(at, took)| at.elapsed() > took * SHARE);
        if due {
            *last = Some((Instant::now(), PROMPT));
        }
        due
    }

    fn took(&self, took: Duration) {
        *self.0.lock().expect("nobody panics with it") = Some((Instant::now(), took));
    }
}

/// Measurements in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses((status = 200, body = String, content_type = "text/plain"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let metrics = api.handle.metrics();
    if api.last_look.is_due() {
        let began = Instant::now();
        // If the store does not answer, the last values stay.
        if let Ok(Ok(gauges)) = api.handle.look(look::gauges::gauges).await {
            let path = &api.handle.config().store.path;
            metrics.set(Gauges {
                store_size_bytes: store_bytes(path),
                store_free_disk_bytes: free_bytes(path),
                ..gauges
            });
        }
        api.last_look.took(began.elapsed());
    }
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], metrics.text()).into_response()
}
