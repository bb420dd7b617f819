//! What is told of what is on disk: a log line, a measurement and, where they are collected, a span. Nothing is told before
//! its commit, and what cannot be told any more is lost and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use crate::delivery::{DeadReason, DeliveryId, Lease, Record, StateName, Token, Verdict};
use crate::endpoint::{Endpoint, EndpointId};
use crate::engine::Action;
use crate::event::Event;
use crate::observe::metrics::Metrics;
use crate::observe::spans::Spans;
use crate::observe::{AttemptEnded, Notice, tell};
use crate::provider;
use crate::store::{Recorded, Reply};

pub(super) struct Witness {
    metrics: Metrics,
    spans: Spans,
    /// What the attempts carry that are in flight or not recorded yet.
    cargo: HashMap<(DeliveryId, Token), Cargo>,
}

/// The endpoint as it was when the attempt began: it may be removed meanwhile.
struct Cargo {
    event: Arc<Event>,
    endpoint: Option<Arc<Endpoint>>,
    /// Attempts of earlier rounds, which the schedule does not count.
    earlier: u32,
}

type Endpoints = HashMap<EndpointId, Arc<Endpoint>>;

impl Witness {
    pub(super) fn new(metrics: Metrics, spans: Spans) -> Self {
        Witness { metrics, spans, cargo: HashMap::new() }
    }

    pub(super) fn began(&mut self, lease: &Lease, endpoint: Option<Arc<Endpoint>>) {
        let cargo = Cargo { event: lease.event.clone(), endpoint, earlier: lease.earlier };
        self.cargo.insert((lease.delivery, lease.token), cargo);
    }

    /// Tells what the store did. True if an endpoint closed itself, so that all of them are to be read anew.
    pub(super) fn tell_of(
        &mut self,
        action: &Action,
        reply: Option<&Reply>,
        buried: &HashMap<EndpointId, String>,
        endpoints: &Endpoints,
    ) -> bool {
        match (action, reply) {
            (Action::Record(record), Some(Reply::Recorded(recorded))) => {
                return self.tell_of_attempt(record, *recorded, endpoints);
            }
            (Action::Lease(request), Some(Reply::Leased(leased))) if !leased.used_up.is_empty() => {
                let endpoint = label(request.lane, endpoints);
                for delivery in &leased.used_up {
                    tell(&Notice::DeliveryUsedUp { delivery: *delivery, endpoint: &endpoint });
                }
                self.dead(request.lane, leased.used_up.len() as u64, endpoints);
            }
            (Action::Bury { lane, .. }, Some(Reply::Done(deliveries))) if *deliveries > 0 => {
                let endpoint = buried.get(lane).cloned().unwrap_or_else(|| label(*lane, endpoints));
                tell(&Notice::DeliveriesBuried { endpoint: &endpoint, deliveries: *deliveries });
                self.dead(*lane, *deliveries, endpoints);
            }
            (Action::Release { delivery, token }, _) => {
                self.cargo.remove(&(*delivery, *token));
            }
            (Action::Lease(_) | Action::Record(_) | Action::Bury { .. } | Action::Carry(_), _) => {}
        }
        false
    }

    /// Deliveries of a lane ended dead without an attempt. Of an endpoint that is gone nobody knows the profile any more.
    fn dead(&self, lane: EndpointId, deliveries: u64, endpoints: &Endpoints) {
        if let Some(endpoint) = endpoints.get(&lane) {
            self.metrics.deliveries_ended(endpoint.profile, StateName::Dead, deliveries);
        }
    }

    fn tell_of_attempt(&mut self, record: &Record, recorded: Recorded, endpoints: &Endpoints) -> bool {
        let Some(Cargo { event, endpoint, earlier }) = self.cargo.remove(&(record.delivery, record.token)) else {
            return false;
        };
        let label = endpoint.as_ref().map_or_else(|| label(record.endpoint, endpoints), |endpoint| endpoint.label());
        if let Some(endpoint) = endpoint {
            let ended = AttemptEnded {
                event: &event.id,
                event_type: &event.event_type,
                endpoint: &label,
                profile: endpoint.profile,
                delivery: record.delivery,
                attempt: &record.attempt,
                of: earlier + provider::terms(endpoint.profile, &endpoint.overrides).schedule.attempts(),
                verdict: record.verdict,
            };
            match recorded {
                Recorded::Counted | Recorded::LateAccepted => self.metrics.attempt_ended(&ended, event.accepted_at),
                Recorded::Lost => self.metrics.attempt_lost(&ended),
            }
            self.spans.attempt_ended(&ended, &endpoint.url, event.trace.as_ref());
            tell(&Notice::AttemptEnded(ended));
        }
        let closed = record.verdict == Verdict::Dead(DeadReason::EndpointGone) && recorded == Recorded::Counted;
        if closed {
            tell(&Notice::EndpointDisabled { endpoint: &label, reason: "answered 410" });
        }
        closed
    }
}

fn label(endpoint: EndpointId, endpoints: &Endpoints) -> String {
    endpoints.get(&endpoint).map_or_else(|| format!("one-off-{}", endpoint.0), |endpoint| endpoint.label())
}
