//! What the daemon counts and measures, as Prometheus reads it: text format 0.0.4, base units, everything of ours begins
//! with `postrider_`. Counting never waits for a scrape and never fails. No label holds an id, a URL or anything else
//! that a stranger can make more of: endpoints are named for the worst lanes only, and unknown methods and routes
//! are `other`.

mod families;
mod gauges;
mod process;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

use crate::delivery::{Outcome, StateName, Verdict};
use crate::endpoint::ProfileName;
use crate::observe::AttemptEnded;
use crate::time::{Span, Time};

pub(in crate::observe) use families::Lost;
use families::{Ended, Families, Request, RouteTime, Served, Tried};
pub use gauges::{Endpoints, Gauges, Lane, MOST_LANES};

/// Counts and measures. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    families: Families,
    gauges: Arc<Mutex<Gauges>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The media type of `text`.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// All counters begin at zero, and are shown from the first scrape on.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::Process));
        let own = registry.sub_registry_with_prefix("postrider");
        let families = Families::register(own);
        let gauges = Arc::new(Mutex::new(Gauges::default()));
        own.register_collector(Box::new(gauges::Shown(gauges.clone())));
        Metrics(Arc::new(Inner { registry, families, gauges }))
    }

    /// So many new events are on disk; not the same ones again.
    pub fn events_accepted(&self, events: u64) {
        self.0.families.events_accepted.inc_by(events);
    }

    /// An attempt ended and its verdict holds. `accepted_at` is when its event was accepted.
    pub fn attempt_ended(&self, ended: &AttemptEnded<'_>, accepted_at: Time) {
        self.attempted(ended);
        match ended.verdict {
            Verdict::Delivered => {
                let took = ended.attempt.finished_at.since(accepted_at);
                self.0.families.time_to_deliver.get_or_create(&Served::by(ended.profile)).observe(seconds(took));
                self.deliveries_ended(ended.profile, StateName::Delivered, 1);
            }
            Verdict::Dead(_) => self.deliveries_ended(ended.profile, StateName::Dead, 1),
            Verdict::RetryAt(_) => {}
        }
    }

    /// An attempt ended whose lease had been lost, so that its verdict decides nothing.
    pub fn attempt_lost(&self, ended: &AttemptEnded<'_>) {
        self.attempted(ended);
    }

    fn attempted(&self, ended: &AttemptEnded<'_>) {
        let families = &self.0.families;
        let by = Served::by(ended.profile);
        let outcome = &ended.attempt.outcome;
        families.attempts.get_or_create(&Tried::of(outcome, ended.profile)).inc();
        families.attempt_duration.get_or_create(&by).observe(ended.attempt.timings.total_us as f64 / 1e6);
        if matches!(outcome, Outcome::Accepted { late: true, .. }) {
            families.answers_late.get_or_create(&by).inc();
        }
    }

    /// So many deliveries ended without an attempt: used up, buried, cancelled.
    pub fn deliveries_ended(&self, profile: ProfileName, state: StateName, deliveries: u64) {
        if let Some(ended) = Ended::of(state, profile) {
            self.0.families.deliveries_ended.get_or_create(&ended).inc_by(deliveries);
        }
    }

    /// The store made so many commands durable in one commit.
    pub fn committed(&self, took: Duration, commands: usize) {
        let families = &self.0.families;
        families.store_commits.inc();
        families.store_commit_duration.observe(took.as_secs_f64());
        families.store_batch_size.observe(commands as f64);
    }

    /// The store refused to work.
    pub fn store_failed(&self) {
        self.0.families.store_failures.inc();
    }

    /// A request to our own API was answered. `route` is the template that matched (`/v1/events/{id}`), never the path
    /// that was asked for; what matched none is given as `""`.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        let families = &self.0.families;
        let route = families.routes.known(route);
        families.http_request_duration.get_or_create(&RouteTime::on(&route)).observe(took.as_secs_f64());
        families.http_requests.get_or_create(&Request::of(method, route, status)).inc();
    }

    /// A connection to our own API, counted until what this returns is dropped.
    pub fn connection(&self) -> Connection {
        self.0.families.http_connections.inc();
        Connection(self.clone())
    }

    /// So many attempts are under way now.
    pub fn in_flight(&self, attempts: usize) {
        self.0.families.attempts_in_flight.set(i64::try_from(attempts).unwrap_or(i64::MAX));
    }

    /// No new attempts are begun from now on.
    pub fn draining(&self) {
        self.0.families.draining.set(1);
    }

    /// So many spans were not exported.
    pub(super) fn spans_dropped(&self, why: Lost, spans: usize) {
        self.0.families.spans_dropped.get_or_create(&why).inc_by(spans as u64);
    }

    /// What the next `text` tells of the store and its lanes. To be asked for before each scrape; while the store does
    /// not answer, the last values stay.
    pub fn set(&self, gauges: Gauges) {
        *self.0.gauges.lock().unwrap_or_else(PoisonError::into_inner) = gauges.bounded();
    }

    /// Everything, as `CONTENT_TYPE` says.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(32 * 1024);
        // Fails only if a `String` cannot be written to.
        let _ = encode_registry(&mut text, &self.0.registry);
        text
    }
}

/// Proof that a connection is open.
#[derive(Debug)]
pub struct Connection(Metrics);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.0.families.http_connections.dec();
    }
}

/// A span in seconds; a clock that was set back makes none negative.
fn seconds(span: Span) -> f64 {
    span.ms().max(0) as f64 / 1000.0
}
