//! `/metrics`: Prometheus' text format, names that stand, and numbers that move with what happens.

use std::collections::BTreeMap;
use std::time::Duration;

use postrider::store::NewEndpoint;

use super::client::Api;
use super::{Stand, envelope, nowhere, wait_for_state, well};
use crate::process::harness::{PATIENCE, endpoint, overrides, wait_for};
use crate::receivers::{Answer, Receiver};

/// Samples by name and labels, as `name{labels}`.
pub struct Scraped {
    samples: BTreeMap<String, f64>,
    /// Of each family.
    types: BTreeMap<String, String>,
}

impl Scraped {
    /// Of all samples with this name, and with this in their labels.
    pub fn with(&self, name: &str, labels: &[&str]) -> f64 {
        let fits = |key: &str| {
            let (sample, rest) = key.split_once('{').unwrap_or((key, ""));
            sample == name && labels.iter().all(|label| rest.contains(label))
        };
        self.samples.iter().filter(|(key, _)| fits(key)).map(|(_, value)| value).sum()
    }

    pub fn sum(&self, name: &str) -> f64 {
        assert!(self.samples.keys().any(|key| key.split('{').next() == Some(name)), "there is no sample {name}");
        self.with(name, &[])
    }
}

/// Asks for the metrics, and holds every line to the format.
#[track_caller]
pub fn scrape(api: &Api) -> Scraped {
    let reply = api.get("/metrics");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.header("content-type").is_some_and(|value| value.starts_with("text/plain; version=0.0.4")));
    let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
    for line in reply.text().lines().filter(|line| !line.is_empty() && *line != "# EOF") {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<&str> = comment.splitn(3, ' ').collect();
            match words[0] {
                "HELP" => assert!(words[2].len() > 5, "{line}"),
                "TYPE" => assert!(types.insert(words[1].to_owned(), words[2].to_owned()).is_none(), "twice: {line}"),
                other => panic!("{other} in {line}"),
            }
            continue;
        }
        let (key, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let value = value.parse::<f64>().unwrap_or_else(|error| panic!("{error}: {line}"));
        let name = key.split('{').next().unwrap();
        assert!(name.starts_with("postrider_") || name.starts_with("process_"), "{line}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{line}");
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(types.contains_key(name) || family.is_some_and(|family| types[family] == "histogram"), "{line}");
        assert!(samples.insert(key.to_owned(), value).is_none(), "twice: {line}");
    }
    Scraped { samples, types }
}

#[test]
fn the_names_that_an_operator_watches_are_there_from_the_beginning() {
    let stand = Stand::new();
    let scraped = scrape(&stand.api);
    let families = [
        ("build_info", "gauge"),
        ("events_accepted_total", "counter"),
        ("attempts_total", "counter"),
        ("attempt_duration_seconds", "histogram"),
        ("attempts_in_flight", "gauge"),
        ("answers_late_total", "counter"),
        ("deliveries_ended_total", "counter"),
        ("time_to_deliver_seconds", "histogram"),
        ("deliveries_pending", "gauge"),
        ("deliveries_due", "gauge"),
        ("oldest_due_age_seconds", "gauge"),
        ("lanes_in_trouble", "gauge"),
        ("store_commits_total", "counter"),
        ("store_commit_duration_seconds", "histogram"),
        ("store_batch_size", "histogram"),
        ("store_failures_total", "counter"),
        ("store_size_bytes", "gauge"),
        ("store_free_disk_bytes", "gauge"),
        ("http_connections", "gauge"),
        ("draining", "gauge"),
        ("endpoints", "gauge"),
    ];
    for (name, kind) in families {
        let found = scraped.types.get(&format!("postrider_{name}"));
        assert_eq!(found.map(String::as_str), Some(kind), "postrider_{name}");
    }
    assert_eq!(scraped.with("postrider_build_info", &[concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"")]), 1.0);
    assert!(scraped.types.keys().any(|name| name.starts_with("process_")), "what the process itself takes");
    stand.stop();
}

#[test]
fn the_numbers_move_with_what_happens() {
    let stand = Stand::new();
    let receiver = Receiver::start(|request| Answer::status(if request.body == b"1" { 200 } else { 500 }));
    stand.add("acme", &receiver, &[]);
    for number in 0..3 {
        stand.api.post("/v1/events", &envelope(&format!("well-{number}"), "acme", "1")).expect(201);
    }
    stand.api.post("/v1/events", &envelope("ill", "acme", "2")).expect(201);
    stand.api.post("/v1/events", "nonsense").problem(400, "malformed-json");
    stand.home.wait_until_settled();
    let of = |name: &str, labels: &[&str]| scrape(&stand.api).with(name, labels);
    let by = "profile=\"standard\"";
    assert_eq!(of("postrider_events_accepted_total", &[]), 4.0);
    assert_eq!(of("postrider_attempts_total", &["outcome=\"accepted\"", by]), 3.0);
    assert_eq!(of("postrider_attempts_total", &["outcome=\"rejected\"", by]), 1.0);
    assert_eq!(of("postrider_deliveries_ended_total", &["state=\"delivered\"", by]), 3.0);
    assert_eq!(of("postrider_deliveries_ended_total", &["state=\"dead\"", by]), 1.0);
    assert_eq!(of("postrider_attempt_duration_seconds_count", &[by]), 4.0);
    assert_eq!(of("postrider_time_to_deliver_seconds_count", &[by]), 3.0);
    assert_eq!(of("postrider_deliveries_pending", &[]), 0.0);
    let requests = |status: &str| of("postrider_http_requests_total", &["method=\"POST\"", "/v1/events", status]);
    assert_eq!((requests("status=\"201\""), requests("status=\"400\"")), (4.0, 1.0));
    assert!(of("postrider_http_connections", &[]) >= 1.0, "this one at least");
    assert!(of("postrider_store_size_bytes", &[]) > 4096.0);
    stand.stop();
}

#[test]
fn a_paused_endpoint_s_and_a_dead_one_s_backlog_shows_with_its_age() {
    let stand = Stand::new();
    stand.add_hopeless("dead");
    let narrow = NewEndpoint { overrides: overrides(&[50; 100]), ..endpoint("ill", &nowhere()) };
    stand.home.add(narrow);
    stand.api.post("/v1/events", &envelope("first", "ill", "1")).expect(201);
    let attempts = || shown_attempts(&stand.api, "first");
    wait_for("a failed attempt", PATIENCE, || (attempts() >= 1).then_some(()));
    stand.api.post("/v1/endpoints/ill/pause", "").expect(200);
    let age = || scrape(&stand.api).sum("postrider_oldest_due_age_seconds");
    let first = wait_for("something overdue", PATIENCE, || Some(age()).filter(|age| *age > 0.1));
    let later = wait_for("an older age", Duration::from_secs(10), || Some(age()).filter(|age| *age > first + 0.5));
    println!("the oldest due delivery was {first} s old, and then {later} s");
    let scraped = scrape(&stand.api);
    assert_eq!(scraped.sum("postrider_deliveries_due"), 1.0);
    assert_eq!(scraped.with("postrider_lane_pending", &["endpoint=\"ill\""]), 1.0);
    assert!(scraped.with("postrider_lane_oldest_due_age_seconds", &["endpoint=\"ill\""]) >= first);
    assert_eq!(scraped.with("postrider_endpoints", &["state=\"paused\""]), 1.0);
    assert_eq!(scraped.with("postrider_endpoints", &["state=\"active\""]), 1.0);
    stand.api.post("/v1/endpoints/ill/resume", "").expect(200);
    stand.stop();
}

fn shown_attempts(api: &Api, event: &str) -> u64 {
    super::shown(api, event)[0]["attempts"].as_array().map_or(0, |attempts| attempts.len() as u64)
}

#[test]
fn however_many_endpoints_are_in_trouble_a_bounded_number_is_shown() {
    const ENDPOINTS: usize = 60;
    let stand = Stand::new();
    for number in 0..ENDPOINTS {
        stand.add_hopeless(&format!("lane-{number}"));
    }
    let fine = well();
    stand.add("fine", &fine, &[]);
    stand.api.post("/v1/events", r#"{"id":"all","type":"thing.happened","body":1}"#).expect(201);
    let in_trouble = || Some(scrape(&stand.api).sum("postrider_lanes_in_trouble"));
    wait_for("all in trouble", PATIENCE, || in_trouble().filter(|lanes| *lanes >= 20.0));
    // The store is not asked anew at every scrape.
    let scraped = wait_for("what is pending", PATIENCE, || {
        Some(scrape(&stand.api)).filter(|scraped| scraped.sum("postrider_deliveries_pending") == ENDPOINTS as f64)
    });
    let lanes = scraped.samples.keys().filter(|key| key.starts_with("postrider_lane_pending{")).count();
    assert!((1..=21).contains(&lanes), "{lanes} lanes are shown");
    // Made-up paths are no labels either.
    for number in 0..200 {
        stand.api.get(&format!("/v1/nothing/{number}")).problem(404, "not-found");
    }
    let routes = scrape(&stand.api);
    let routes = routes.samples.keys().filter(|key| key.starts_with("postrider_http_requests_total{")).count();
    assert!(routes < 40, "{routes} routes are shown");
    assert_eq!(wait_for_state_of(&stand.api, "fine"), "delivered");
    stand.stop();
}

/// Of the delivery of event `all` to this endpoint, waited for until it ended.
fn wait_for_state_of(api: &Api, name: &str) -> String {
    wait_for("its end", PATIENCE, || {
        let all = api.get(&format!("/v1/deliveries?event=all&endpoint={name}")).expect(200);
        let state = all["deliveries"][0]["state"].as_str()?.to_owned();
        (state != "pending").then_some(state)
    })
}

#[test]
fn an_attempt_in_flight_and_a_cancelled_delivery_are_counted() {
    let stand = Stand::new();
    let receiver = Receiver::start(|_| Answer::hang());
    stand.add("slow", &receiver, &[3_600_000]);
    stand.api.post("/v1/events", &envelope("hangs", "slow", "1")).expect(201);
    receiver.wait_for(1, PATIENCE);
    wait_for("one in flight", PATIENCE, || {
        (scrape(&stand.api).sum("postrider_attempts_in_flight") == 1.0).then_some(())
    });
    stand.api.post("/v1/events/hangs/cancel", "").expect(200);
    wait_for_state(&stand.api, "hangs", "cancelled");
    assert_eq!(scrape(&stand.api).with("postrider_deliveries_ended_total", &["state=\"cancelled\""]), 1.0);
    stand.killed();
}
