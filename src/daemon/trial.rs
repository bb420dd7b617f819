//! Attempts now, to see how an endpoint answers: rendered, signed, carried and judged as every other, but nothing of them
//! is stored, and nobody goes on with them later.

pub mod series;

use std::path::Path;

use tokio::sync::mpsc;

use super::clock::wall;
use super::{Failed, certificates, extra_roots, listen, runtime};
use crate::config::Config;
use crate::courier::{self, Courier};
use crate::delivery::{Attempt, Verdict};
use crate::endpoint::Endpoint;
use crate::engine;
use crate::event::Event;
use crate::judge;
use crate::operations::Rules;
use crate::provider;
use crate::request;
use crate::schedule::Draw;

/// An attempt, and what follows from it by the schedule, without jitter.
#[derive(Clone, Debug)]
pub struct Tried {
    pub attempt: Attempt,
    pub verdict: Verdict,
}

/// Sends `event` to `endpoint` once and judges the answer.
pub async fn attempt(courier: &Courier, endpoint: &Endpoint, event: &Event) -> Attempt {
    tried(courier, endpoint, event, 1).await.attempt
}

/// The attempt of this number, as the schedule counts.
pub async fn tried(courier: &Courier, endpoint: &Endpoint, event: &Event, number: u32) -> Tried {
    let started_at = wall();
    let carried = match request::render(endpoint, event, started_at) {
        Ok(request) => courier.carry(&request, started_at).await,
        Err(reason) => super::flights::unsent(started_at, reason),
    };
    let terms = provider::terms(endpoint.profile, &endpoint.overrides);
    let outcome = judge::outcome(&carried, &terms);
    let verdict = judge::verdict(&outcome, Some(&carried.reply), &terms, number, carried.finished_at, Draw(0));
    Tried { attempt: engine::attempt(number, outcome, carried), verdict }
}

/// One attempt for whoever has no runtime.
pub fn attempt_here(config: &Config, endpoint: &Endpoint, event: &Event) -> Result<Attempt, Failed> {
    let courier = super::courier(config)?;
    Ok(runtime()?.block_on(attempt(&courier, endpoint, event)))
}

/// A courier that trusts the certificates of the file `ca`, too.
pub fn courier(config: &Config, ca: Option<&Path>) -> Result<Courier, Failed> {
    Courier::new(settings(config, ca)?).map_err(Failed::Machine)
}

/// The settings of such a courier.
pub fn settings(config: &Config, ca: Option<&Path>) -> Result<courier::Settings, Failed> {
    let mut roots = extra_roots(config)?;
    if let Some(path) = ca {
        roots.extend(certificates(path).map_err(Failed::Machine)?);
    }
    Ok(courier::Settings { extra_roots: roots, ..Rules::of(config).safety })
}

/// Runs `work` to its end; `None` if SIGINT or SIGTERM came first. Blocks its thread.
pub fn run<T>(work: impl Future<Output = T>) -> Result<Option<T>, Failed> {
    let (stop, mut stops) = mpsc::unbounded_channel();
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        listen(&stop)?;
        tokio::select! {
            biased;
            _ = stops.recv() => Ok(None),
            ended = work => Ok(Some(ended)),
        }
    });
    // A name that the system still looks up keeps nobody from leaving.
    runtime.shutdown_background();
    ended
}
