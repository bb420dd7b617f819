//! Attempts one after another by the schedule, and many side by side. Whoever asks hears of each as it ends, and ends the
//! series by failing.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Tried, tried};
use crate::courier::Courier;
use crate::delivery::Verdict;
use crate::endpoint::Endpoint;
use crate::event::Event;

/// Attempts of one event until it is accepted, or until the schedule allows no more. Every wait is divided by `speed`;
/// an attempt takes as long as it takes.
pub async fn to_the_end<E>(
    courier: &Courier,
    endpoint: &Endpoint,
    event: &Event,
    speed: u32,
    mut tell: impl FnMut(&Tried) -> Result<(), E>,
) -> Result<Verdict, E> {
    let mut number = 1;
    loop {
        let tried = tried(courier, endpoint, event, number).await;
        tell(&tried)?;
        match tried.verdict {
            Verdict::Delivered | Verdict::Dead(_) => return Ok(tried.verdict),
            Verdict::RetryAt(at) => sleep(at.since(tried.attempt.finished_at).to_std() / speed.max(1)).await,
        }
        number += 1;
    }
}

/// How fast many events go out.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// In flight at once, at most.
    pub at_once: usize,
    /// Begun in a second, evenly; as soon as there is room, if nothing is said.
    pub per_second: Option<f64>,
}

/// One attempt of each event. They are told in the order in which they end.
pub async fn side_by_side<E>(
    courier: &Courier,
    endpoint: &Endpoint,
    mut events: impl Iterator<Item = Result<Event, E>>,
    pace: Pace,
    mut tell: impl FnMut(&Event, &Tried) -> Result<(), E>,
) -> Result<(), E> {
    let mut in_flight = FuturesUnordered::new();
    let (began, mut begun, mut all_begun) = (Instant::now(), 0.0, false);
    loop {
        let due = began + pace.per_second.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(begun / rate));
        tokio::select! {
            biased;
            Some((event, tried)) = in_flight.next(), if !in_flight.is_empty() => tell(&event, &tried)?,
            () = sleep_until(due), if !all_begun && in_flight.len() < pace.at_once.max(1) => match events.next() {
                Some(event) => {
                    let event = event?;
                    begun += 1.0;
                    in_flight.push(async move {
                        let tried = tried(courier, endpoint, &event, 1).await;
                        (event, tried)
                    });
                }
                None => all_begun = true,
            },
            else => return Ok(()),
        }
    }
}
