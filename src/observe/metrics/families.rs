//! The families of counters and histograms, with their names, labels and buckets.

use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use crate::delivery::{Outcome, StateName};
use crate::endpoint::ProfileName;

/// In seconds; both receivers' contracts, 5 s and 10 s, are bounds.
const ATTEMPT: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// In seconds: what is delivered at once, and what is delivered by the retries of a schedule of an hour and five minutes.
const DELIVERY: [f64; 16] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 7200.0];
/// In seconds.
const COMMIT: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// In commands.
const BATCH: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
/// In seconds.
const REQUEST: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

#[derive(Debug)]
pub(super) struct Families {
    pub events_accepted: Total,
    pub attempts: Family<Tried, Total>,
    pub attempt_duration: Timed<Served>,
    pub attempts_in_flight: Gauge,
    pub answers_late: Family<Served, Total>,
    pub deliveries_ended: Family<Ended, Total>,
    pub time_to_deliver: Timed<Served>,
    pub store_commits: Total,
    pub store_commit_duration: Histogram,
    pub store_batch_size: Histogram,
    pub store_failures: Total,
    pub http_requests: Family<Request, Total>,
    pub http_request_duration: Timed<RouteTime>,
    pub http_connections: Gauge,
    pub draining: Gauge,
    pub spans_dropped: Family<Lost, Total>,
    pub routes: Routes,
}

type Timed<S> = Family<S, Histogram, fn() -> Histogram>;

impl Families {
    /// The bounded ones are there from the beginning, at zero: what has not happened yet can then be told from what
    /// is not counted.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Families {
            events_accepted: Total::default(),
            attempts: Family::default(),
            attempt_duration: Family::new_with_constructor(|| Histogram::new(ATTEMPT)),
            attempts_in_flight: Gauge::default(),
            answers_late: Family::default(),
            deliveries_ended: Family::default(),
            time_to_deliver: Family::new_with_constructor(|| Histogram::new(DELIVERY)),
            store_commits: Total::default(),
            store_commit_duration: Histogram::new(COMMIT),
            store_batch_size: Histogram::new(BATCH),
            store_failures: Total::default(),
            http_requests: Family::default(),
            http_request_duration: Family::new_with_constructor(|| Histogram::new(REQUEST)),
            http_connections: Gauge::default(),
            draining: Gauge::default(),
            spans_dropped: Family::default(),
            routes: Routes::default(),
        };
        families.prepare();
        families.name(registry);
        families
    }

    fn prepare(&self) {
        for profile in ProfileName::ALL {
            let by = Served::by(profile);
            self.attempt_duration.get_or_create_owned(&by);
            self.time_to_deliver.get_or_create_owned(&by);
            self.answers_late.get_or_create_owned(&by);
            for outcome in OUTCOMES {
                self.attempts.get_or_create_owned(&Tried { outcome, profile: profile.as_str() });
            }
            for ended in StateName::ALL.into_iter().filter_map(|state| Ended::of(state, profile)) {
                self.deliveries_ended.get_or_create_owned(&ended);
            }
        }
        for why in [Lost::QUEUE_FULL, Lost::EXPORT_FAILED] {
            self.spans_dropped.get_or_create_owned(&why);
        }
    }

    fn name(&self, registry: &mut Registry) {
        let build = Family::<Build, Gauge>::default();
        build.get_or_create_owned(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "Which postrider this is; always 1", build);
        let add = &mut *registry;
        add.register("events_accepted_total", "New events made durable", self.events_accepted.clone());
        add.register("attempts_total", "Attempts that ended, by what came back", self.attempts.clone());
        add.register("attempt_duration_seconds", "How long attempts took, in seconds", self.attempt_duration.clone());
        add.register("attempts_in_flight", "Attempts under way", self.attempts_in_flight.clone());
        add.register(
            "answers_late_total",
            "Accepting answers that came later than the receiver's contract allows",
            self.answers_late.clone(),
        );
        add.register("deliveries_ended_total", "Deliveries that ended, by how", self.deliveries_ended.clone());
        add.register(
            "time_to_deliver_seconds",
            "From an event's acceptance to its delivery, in seconds",
            self.time_to_deliver.clone(),
        );
        add.register("store_commits_total", "Durable commits", self.store_commits.clone());
        add.register(
            "store_commit_duration_seconds",
            "How long durable commits took, in seconds",
            self.store_commit_duration.clone(),
        );
        add.register("store_batch_size", "Commands that shared one commit", self.store_batch_size.clone());
        add.register("store_failures_total", "Times the store refused to work", self.store_failures.clone());
        add.register("http_requests_total", "Requests to the API that were answered", self.http_requests.clone());
        add.register(
            "http_request_duration_seconds",
            "How long requests to the API took, in seconds",
            self.http_request_duration.clone(),
        );
        add.register("http_connections", "Open connections to the API", self.http_connections.clone());
        add.register("draining", "1 once no new attempts are begun", self.draining.clone());
        add.register("spans_dropped_total", "Spans that were not exported, by why", self.spans_dropped.clone());
    }
}

/// A counter whose name is shown as it is registered. The library's own would be named as OpenMetrics has it, whose
/// families lack the `_total` that Prometheus' text format wants in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Total(Counter);

impl Total {
    pub fn inc(&self) {
        self.0.inc();
    }

    pub fn inc_by(&self, more: u64) {
        self.0.inc_by(more);
    }
}

impl TypedMetric for Total {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for Total {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        encoder.encode_gauge(&self.0.get())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// By whose promises.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Served {
    profile: &'static str,
}

impl Served {
    pub fn by(profile: ProfileName) -> Self {
        Served { profile: profile.as_str() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Tried {
    outcome: &'static str,
    profile: &'static str,
}

const OUTCOMES: [&str; 6] = ["accepted", "rejected", "timed_out", "unreachable", "blocked", "unknown"];

impl Tried {
    pub fn of(outcome: &Outcome, profile: ProfileName) -> Self {
        let [accepted, rejected, timed_out, unreachable, blocked, unknown] = OUTCOMES;
        let outcome = match outcome {
            Outcome::Accepted { .. } => accepted,
            Outcome::Rejected { .. } => rejected,
            Outcome::TimedOut { .. } => timed_out,
            Outcome::Unreachable { .. } => unreachable,
            Outcome::Blocked { .. } => blocked,
            Outcome::Unknown => unknown,
        };
        Tried { outcome, profile: profile.as_str() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Ended {
    state: &'static str,
    profile: &'static str,
}

impl Ended {
    /// `None` for a state that is no end.
    pub fn of(state: StateName, profile: ProfileName) -> Option<Self> {
        match state {
            StateName::Pending => None,
            StateName::Delivered | StateName::Dead | StateName::Cancelled => {
                Some(Ended { state: state.as_str(), profile: profile.as_str() })
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Request {
    method: &'static str,
    route: Arc<str>,
    status: u16,
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

impl Request {
    pub fn of(method: &str, route: Arc<str>, status: u16) -> Self {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or(OTHER);
        Request { method, route, status }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteTime {
    route: Arc<str>,
}

impl RouteTime {
    pub fn on(route: &Arc<str>) -> Self {
        RouteTime { route: route.clone() }
    }
}

/// Why a span was not exported.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(in crate::observe) struct Lost {
    reason: &'static str,
}

impl Lost {
    pub const QUEUE_FULL: Lost = Lost { reason: "queue_full" };
    pub const EXPORT_FAILED: Lost = Lost { reason: "export_failed" };
}

const OTHER: &str = "other";

/// The routes seen so far. Whoever reports templates never meets the limit; it is there for whoever reports paths.
#[derive(Debug, Default)]
pub(super) struct Routes(RwLock<Vec<Arc<str>>>);

impl Routes {
    const MOST: usize = 64;
    const LONGEST: usize = 64;

    /// `route`, or `other`.
    pub fn known(&self, route: &str) -> Arc<str> {
        let find = |routes: &Vec<Arc<str>>| routes.iter().find(|known| &***known == route).cloned();
        if let Some(known) = find(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = find(&routes) {
            return known;
        }
        let fits = !route.is_empty() && route.len() <= Self::LONGEST && routes.len() < Self::MOST;
        let known: Arc<str> = Arc::from(if fits { route } else { OTHER });
        if fits {
            routes.push(known.clone());
        }
        known
    }
}
