//! One attempt now, to see whether an endpoint answers: rendered, signed, carried and judged as every other, but nothing of
//! it is stored and nothing follows from it.

use super::clock::wall;
use super::{Failed, courier, runtime};
use crate::config::Config;
use crate::courier::Courier;
use crate::delivery::Attempt;
use crate::endpoint::Endpoint;
use crate::engine;
use crate::event::Event;
use crate::judge;
use crate::provider;
use crate::request;

/// Sends `event` to `endpoint` once and judges the answer.
pub async fn attempt(courier: &Courier, endpoint: &Endpoint, event: &Event) -> Attempt {
    let started_at = wall();
    let carried = match request::render(endpoint, event, started_at) {
        Ok(request) => courier.carry(&request, started_at).await,
        Err(reason) => super::work::unsent(started_at, reason),
    };
    let terms = provider::terms(endpoint.profile, &endpoint.overrides);
    let outcome = judge::outcome(&carried, &terms);
    engine::attempt(1, outcome, carried)
}

/// The same for whoever has no runtime.
pub fn attempt_here(config: &Config, endpoint: &Endpoint, event: &Event) -> Result<Attempt, Failed> {
    let courier = courier(config)?;
    Ok(runtime()?.block_on(attempt(&courier, endpoint, event)))
}
