//! What a scrape shows, read as Prometheus' own parser reads it: every sample below one head, names and units as the
//! conventions have them, nothing twice, and nothing that a stranger can make more of.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::delivery::{Attempt, DeadReason, DeliveryId, Stage, Timings};
use crate::endpoint::EndpointName;
use crate::event::{EventId, EventType};

const NOW: Time = Time::from_ms(1_793_491_200_000);

/// An attempt of `profile` that ended so, 52 ms after it began.
fn attempt(profile: ProfileName, outcome: Outcome, verdict: Verdict, count: impl FnOnce(&AttemptEnded<'_>)) {
    let attempt = Attempt {
        number: 1,
        started_at: NOW - Span::from_ms(52),
        finished_at: NOW,
        timings: Timings { total_us: 52_000, ..Timings::default() },
        remote: None,
        resent: false,
        outcome,
        answer: Vec::new(),
        location: None,
    };
    count(&AttemptEnded {
        event: &EventId::parse("evt_1").unwrap(),
        event_type: &EventType::parse("policy/creation").unwrap(),
        endpoint: "acme",
        profile,
        delivery: DeliveryId(7),
        attempt: &attempt,
        of: 11,
        verdict,
    });
}

/// A scrape: types by family, and samples by name and labels as they are written.
#[derive(Debug, Default)]
struct Scrape {
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    /// Holds every line to the format: HELP, TYPE and samples of a family together and in this order, nothing twice.
    fn of(metrics: &Metrics) -> Self {
        let text = metrics.text();
        assert!(text.ends_with('\n') && !text.contains("# EOF") && !text.contains("# UNIT"));
        let mut scrape = Scrape::default();
        let mut family = String::new();
        let mut helped = BTreeSet::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("a help");
                assert!(help.ends_with('.') && !help.ends_with(".."), "{line}");
                assert!(helped.insert(name.to_owned()), "{name} comes twice");
                family = name.to_owned();
            } else if let Some(head) = line.strip_prefix("# TYPE ") {
                let (name, kind) = head.split_once(' ').expect("a type");
                assert_eq!(name, family);
                scrape.types.insert(name.to_owned(), kind.to_owned());
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let name = series.split('{').next().unwrap();
                let kind = &scrape.types[&family];
                let of_family = match kind.as_str() {
                    "histogram" => ["_bucket", "_sum", "_count"].iter().any(|end| name == format!("{family}{end}")),
                    _ => name == family,
                };
                assert!(of_family, "{line} stands below {family}");
                let value = value.parse().expect("a number");
                assert!(scrape.samples.insert(series.to_owned(), value).is_none(), "{series} comes twice");
            }
        }
        scrape
    }

    /// The sample `name` with these labels, in any order.
    fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: BTreeSet<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let found = self.samples.iter().find(|(series, _)| {
            let (of, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap();
            let labels: BTreeSet<String> = labels.split(',').filter(|l| !l.is_empty()).map(str::to_owned).collect();
            of == name && labels == wanted
        });
        *found.unwrap_or_else(|| panic!("no {name} {labels:?}")).1
    }

    /// How many series begin so.
    fn count(&self, start: &str) -> usize {
        self.samples.keys().filter(|series| series.starts_with(start)).count()
    }
}

fn lane(name: Option<&str>, pending: u64, due_for: Option<i64>) -> Lane {
    Lane {
        endpoint: name.map(|name| EndpointName::parse(name).unwrap()),
        pending,
        oldest_due_age: due_for.map(Span::from_seconds),
    }
}

#[test]
fn names_types_and_units_are_as_the_conventions_have_them() {
    let metrics = Metrics::new();
    metrics.request("GET", "/metrics", 200, Duration::from_millis(1));
    metrics.set(Gauges {
        lanes: vec![lane(Some("acme"), 1, None)],
        store_size_bytes: Some(1),
        store_free_disk_bytes: Some(2),
        ..Gauges::default()
    });
    let scrape = Scrape::of(&metrics);
    let expected = [
        ("postrider_answers_late_total", "counter"),
        ("postrider_attempt_duration_seconds", "histogram"),
        ("postrider_attempts_in_flight", "gauge"),
        ("postrider_attempts_total", "counter"),
        ("postrider_build_info", "gauge"),
        ("postrider_deliveries_due", "gauge"),
        ("postrider_deliveries_ended_total", "counter"),
        ("postrider_deliveries_pending", "gauge"),
        ("postrider_draining", "gauge"),
        ("postrider_endpoints", "gauge"),
        ("postrider_events_accepted_total", "counter"),
        ("postrider_http_connections", "gauge"),
        ("postrider_http_request_duration_seconds", "histogram"),
        ("postrider_http_requests_total", "counter"),
        ("postrider_lane_oldest_due_age_seconds", "gauge"),
        ("postrider_lane_pending", "gauge"),
        ("postrider_lanes_in_trouble", "gauge"),
        ("postrider_oldest_due_age_seconds", "gauge"),
        ("postrider_spans_dropped_total", "counter"),
        ("postrider_store_batch_size", "histogram"),
        ("postrider_store_commit_duration_seconds", "histogram"),
        ("postrider_store_commits_total", "counter"),
        ("postrider_store_failures_total", "counter"),
        ("postrider_store_free_disk_bytes", "gauge"),
        ("postrider_store_size_bytes", "gauge"),
        ("postrider_time_to_deliver_seconds", "histogram"),
        ("process_cpu_seconds_total", "counter"),
        ("process_max_fds", "gauge"),
        ("process_open_fds", "gauge"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_start_time_seconds", "gauge"),
        ("process_virtual_memory_bytes", "gauge"),
    ];
    let expected: BTreeMap<String, String> = expected.map(|(name, kind)| (name.to_owned(), kind.to_owned())).into();
    assert_eq!(scrape.types, expected);
    for (name, kind) in &scrape.types {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
    }
}

#[test]
fn what_did_not_happen_yet_is_zero_from_the_first_scrape_on() {
    let scrape = Scrape::of(&Metrics::new());
    assert_eq!(scrape.count("postrider_attempts_total"), 6 * 3);
    assert_eq!(scrape.count("postrider_deliveries_ended_total"), 3 * 3);
    assert_eq!(scrape.count("postrider_answers_late_total"), 3);
    assert_eq!(scrape.count("postrider_time_to_deliver_seconds_count"), 3);
    assert_eq!(scrape.count("postrider_http_requests_total"), 0);
    assert_eq!(scrape.get("postrider_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    for (name, value) in scrape.samples {
        let always_there = name.starts_with("process_") || name.starts_with("postrider_build_info");
        assert!(value == 0.0 || always_there, "{name} {value}");
    }
}

#[test]
fn attempts_count_by_what_came_back_and_deliveries_by_how_they_ended() {
    let metrics = Metrics::new();
    let accepted_at = NOW - Span::from_seconds(40);
    let count = |ended: &AttemptEnded<'_>| metrics.attempt_ended(ended, accepted_at);
    attempt(ProfileName::Octamile, Outcome::Accepted { status: 200, late: true }, Verdict::Delivered, count);
    attempt(ProfileName::Octamile, Outcome::Accepted { status: 200, late: false }, Verdict::Delivered, count);
    attempt(ProfileName::Ensuro, Outcome::Rejected { status: 500 }, Verdict::RetryAt(NOW), count);
    let dead = Verdict::Dead(DeadReason::ScheduleUsedUp);
    attempt(ProfileName::Ensuro, Outcome::TimedOut { stage: Stage::Answer }, dead, count);
    attempt(ProfileName::Ensuro, Outcome::Rejected { status: 500 }, dead, |ended| metrics.attempt_lost(ended));
    metrics.deliveries_ended(ProfileName::Standard, StateName::Cancelled, 3);
    metrics.deliveries_ended(ProfileName::Standard, StateName::Pending, 3);

    let scrape = Scrape::of(&metrics);
    let attempts =
        |outcome, profile| scrape.get("postrider_attempts_total", &[("outcome", outcome), ("profile", profile)]);
    assert_eq!(attempts("accepted", "octamile"), 2.0);
    assert_eq!(attempts("rejected", "ensuro"), 2.0);
    assert_eq!(attempts("timed_out", "ensuro"), 1.0);
    assert_eq!(attempts("accepted", "ensuro"), 0.0);
    let ended =
        |state, profile| scrape.get("postrider_deliveries_ended_total", &[("state", state), ("profile", profile)]);
    assert_eq!(ended("delivered", "octamile"), 2.0);
    assert_eq!(ended("dead", "ensuro"), 1.0);
    assert_eq!(ended("cancelled", "standard"), 3.0);
    assert_eq!(scrape.count("postrider_deliveries_ended_total"), 9);
    let octamile = ("profile", "octamile");
    assert_eq!(scrape.get("postrider_answers_late_total", &[octamile]), 1.0);
    let bucket = |name: &str, le| scrape.get(&format!("postrider_{name}_bucket"), &[octamile, ("le", le)]);
    assert_eq!((bucket("attempt_duration_seconds", "0.05"), bucket("attempt_duration_seconds", "0.1")), (0.0, 2.0));
    assert_eq!((bucket("time_to_deliver_seconds", "30.0"), bucket("time_to_deliver_seconds", "60.0")), (0.0, 2.0));
    assert_eq!(scrape.get("postrider_time_to_deliver_seconds_sum", &[octamile]), 80.0);
    assert_eq!(scrape.get("postrider_time_to_deliver_seconds_count", &[("profile", "ensuro")]), 0.0);
}

#[test]
fn a_clock_that_was_set_back_makes_no_time_negative() {
    let metrics = Metrics::new();
    let later = NOW + Span::from_hours(1);
    attempt(ProfileName::Ensuro, Outcome::Accepted { status: 200, late: false }, Verdict::Delivered, |ended| {
        metrics.attempt_ended(ended, later)
    });
    metrics.set(Gauges { oldest_due_age: Some(Span::from_seconds(-5)), ..Gauges::default() });
    let scrape = Scrape::of(&metrics);
    assert_eq!(scrape.get("postrider_time_to_deliver_seconds_sum", &[("profile", "ensuro")]), 0.0);
    assert_eq!(scrape.get("postrider_oldest_due_age_seconds", &[]), 0.0);
}

#[test]
fn the_store_and_the_daemon_are_measured() {
    let metrics = Metrics::new();
    metrics.events_accepted(1);
    metrics.committed(Duration::from_millis(4), 100);
    metrics.store_failed();
    metrics.in_flight(12);
    metrics.draining();
    metrics.spans_dropped(Lost::QUEUE_FULL, 5);
    let open = [metrics.connection(), metrics.connection()];
    let scrape = Scrape::of(&metrics);
    assert_eq!(scrape.get("postrider_http_connections", &[]), 2.0);
    drop(open);
    assert_eq!(Scrape::of(&metrics).get("postrider_http_connections", &[]), 0.0);
    assert_eq!(scrape.get("postrider_events_accepted_total", &[]), 1.0);
    assert_eq!(scrape.get("postrider_store_commits_total", &[]), 1.0);
    assert_eq!(scrape.get("postrider_store_commit_duration_seconds_bucket", &[("le", "0.005")]), 1.0);
    assert_eq!(scrape.get("postrider_store_batch_size_bucket", &[("le", "64.0")]), 0.0);
    assert_eq!(scrape.get("postrider_store_batch_size_bucket", &[("le", "+Inf")]), 1.0);
    assert_eq!(scrape.get("postrider_store_failures_total", &[]), 1.0);
    assert_eq!(scrape.get("postrider_attempts_in_flight", &[]), 12.0);
    assert_eq!(scrape.get("postrider_draining", &[]), 1.0);
    assert_eq!(scrape.get("postrider_spans_dropped_total", &[("reason", "queue_full")]), 5.0);
    assert!(scrape.get("process_resident_memory_bytes", &[]) > 1e6);
    assert!(scrape.get("process_start_time_seconds", &[]) > 1.7e9);
    assert!(scrape.get("process_open_fds", &[]) >= 3.0);
}

#[test]
fn strangers_make_no_series_and_no_lines() {
    let metrics = Metrics::new();
    let answered = |method: &str, route: &str| metrics.request(method, route, 404, Duration::ZERO);
    answered("BREW", "/v1/events");
    answered("get", "");
    answered("GET", &"/long".repeat(100));
    answered("GET", "/a\"} 1\npostrider_draining 7\n\\");
    for route in 0..1000 {
        answered("GET", &format!("/v1/events/{route}"));
    }
    let scrape = Scrape::of(&metrics);
    let requests = |method, route| {
        scrape.get("postrider_http_requests_total", &[("method", method), ("route", route), ("status", "404")])
    };
    assert_eq!((requests("other", "/v1/events"), requests("other", "other")), (1.0, 1.0));
    assert_eq!(requests("GET", "/a\\\"} 1\\npostrider_draining 7\\n\\\\"), 1.0);
    assert_eq!(scrape.get("postrider_draining", &[]), 0.0);
    // 62 of the last ones, and what was left over.
    assert_eq!(requests("GET", "other"), 1.0 + (1000.0 - 62.0));
    assert_eq!(scrape.count("postrider_http_requests_total"), 64 + 2);
}

#[test]
fn the_lanes_that_wait_longest_are_named_and_one_off_receivers_are_one() {
    let metrics = Metrics::new();
    let mut lanes: Vec<Lane> = (0..30).map(|n| lane(Some(&format!("e{n}")), 1, Some(n))).collect();
    lanes.push(lane(Some("waits"), 1_000_000, None));
    lanes.extend([lane(None, 2, Some(7)), lane(None, 3, None), lane(None, 4, Some(100))]);
    let endpoints = Endpoints { active: 30, paused: 1, disabled: 2 };
    metrics.set(Gauges { lanes, endpoints, deliveries_due: 5, ..Gauges::default() });
    let scrape = Scrape::of(&metrics);
    let pending = |endpoint| scrape.get("postrider_lane_pending", &[("endpoint", endpoint)]);
    let age = |endpoint| scrape.get("postrider_lane_oldest_due_age_seconds", &[("endpoint", endpoint)]);
    assert_eq!((pending("one-off"), age("one-off")), (9.0, 100.0));
    assert_eq!((pending("e29"), age("e29"), age("e11")), (1.0, 29.0, 11.0));
    assert_eq!(scrape.count("postrider_lane_pending"), MOST_LANES);
    assert_eq!(scrape.count("postrider_lane_oldest_due_age_seconds"), MOST_LANES);
    assert_eq!(scrape.get("postrider_endpoints", &[("state", "disabled")]), 2.0);
    assert_eq!(scrape.get("postrider_deliveries_due", &[]), 5.0);
    // A gauge is what was set last, not what was ever set.
    metrics.set(Gauges::default());
    assert_eq!(Scrape::of(&metrics).count("postrider_lane_pending"), 0);
}
