//! What is asked of the store before each scrape, and shown until the next.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::endpoint::EndpointName;
use crate::time::Span;

use super::seconds;

/// How many lanes are shown each for itself.
pub const MOST_LANES: usize = 20;

/// How much of everything there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauges {
    pub deliveries_pending: u64,
    /// Pending, not leased and due now.
    pub deliveries_due: u64,
    /// How long the longest due of these has been due; `None` if nothing is due.
    pub oldest_due_age: Option<Span>,
    /// Lanes that owe something and whose last attempt failed.
    pub lanes_in_trouble: u64,
    /// Lanes that owe something, as many as the caller knows, in any order.
    pub lanes: Vec<Lane>,
    pub endpoints: Endpoints,
    /// The store's files together; `None` if nobody knows.
    pub store_size_bytes: Option<u64>,
    /// What the file system of the store still takes; `None` if nobody knows.
    pub store_free_disk_bytes: Option<u64>,
}

/// What one endpoint is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// `None`: nobody registered it. All of these are shown as one.
    pub endpoint: Option<EndpointName>,
    pub pending: u64,
    /// How long what is due longest has been due; `None` if nothing is due.
    pub oldest_due_age: Option<Span>,
}

/// Registered endpoints by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    pub active: u64,
    pub paused: u64,
    pub disabled: u64,
}

impl Gauges {
    /// Keeps the lanes that wait longest, all receivers that nobody registered as one lane.
    pub(super) fn bounded(mut self) -> Self {
        let (mut lanes, unnamed): (Vec<Lane>, Vec<Lane>) =
            self.lanes.into_iter().partition(|lane| lane.endpoint.is_some());
        lanes.extend(unnamed.into_iter().reduce(|all, lane| Lane {
            endpoint: None,
            pending: all.pending.saturating_add(lane.pending),
            oldest_due_age: all.oldest_due_age.max(lane.oldest_due_age),
        }));
        lanes.sort_by_key(|lane| std::cmp::Reverse((lane.oldest_due_age, lane.pending)));
        lanes.truncate(MOST_LANES);
        self.lanes = lanes;
        self
    }
}

/// Shows the gauges that were set last.
#[derive(Debug)]
pub(super) struct Shown(pub Arc<Mutex<Gauges>>);

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let gauges = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let age = |age: Option<Span>| seconds(age.unwrap_or_default());
        let to = &mut encoder;
        one(to, "deliveries_pending", "Deliveries that are owed.", gauges.deliveries_pending)?;
        one(to, "deliveries_due", "Deliveries that are due and not under way.", gauges.deliveries_due)?;
        let oldest = age(gauges.oldest_due_age);
        one(to, "oldest_due_age_seconds", "How long the longest due delivery has been due, in seconds.", oldest)?;
        let help = "Endpoints that are owed something and whose last attempt failed.";
        one(to, "lanes_in_trouble", help, gauges.lanes_in_trouble)?;
        let name = |lane: &Lane| lane.endpoint.as_ref().map_or(ONE_OFF, EndpointName::as_str).to_owned();
        let pending = gauges.lanes.iter().map(|lane| (name(lane), lane.pending));
        let help = "Deliveries owed to an endpoint; of the 20 that wait longest only.";
        many(to, "lane_pending", help, "endpoint", pending)?;
        let ages = gauges.lanes.iter().map(|lane| (name(lane), age(lane.oldest_due_age)));
        let help = "How long an endpoint's longest due delivery has been due, in seconds; of the same 20 only.";
        many(to, "lane_oldest_due_age_seconds", help, "endpoint", ages)?;
        let Endpoints { active, paused, disabled } = gauges.endpoints;
        let states = [("active", active), ("paused", paused), ("disabled", disabled)];
        let states = states.map(|(state, endpoints)| (state.to_owned(), endpoints));
        many(to, "endpoints", "Registered endpoints.", "state", states)?;
        if let Some(bytes) = gauges.store_size_bytes {
            one(to, "store_size_bytes", "Size of the store's files, in bytes.", bytes)?;
        }
        if let Some(bytes) = gauges.store_free_disk_bytes {
            one(to, "store_free_disk_bytes", "Free space where the store lies, in bytes.", bytes)?;
        }
        Ok(())
    }
}

/// As no endpoint can be called.
const ONE_OFF: &str = "one-off";

/// A gauge without labels.
pub(super) fn one<V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: V,
) -> std::fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

/// A gauge with one label; without values it is left out.
fn many<V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &'static str,
    values: impl IntoIterator<Item = (String, V)>,
) -> std::fmt::Result {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labelled, value) in values {
        ConstGauge::new(value).encode(family.encode_family(&[(label, labelled)])?)?;
    }
    Ok(())
}
