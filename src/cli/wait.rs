//! Waiting for the end of an event's deliveries, and telling each attempt as the daemon records it.
//! It only reads the store, so it may be ended at any time without any effect on what it watches.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::output::{self, Tint, terminal, tinted};
use super::{Context, Exit, Failure, enqueue};
use crate::calendar::rfc3339;
use crate::delivery::{Attempt, DeliveryState, Outcome, StateName};
use crate::operations::{Accepted, Owed};
use crate::store::sqlite::holder;
use crate::store::{Filter, Page, Store};
use crate::time::{Span, Time};

/// How often the store is read.
const PACE: Duration = Duration::from_millis(50);
/// A daemon that is just starting is given so long before its absence is told.
const GRACE: Duration = Duration::from_secs(1);

/// What has been told of one delivery.
struct Watched<'a> {
    owed: &'a Owed,
    /// The number of the last attempt that was told.
    told: u32,
    /// How it ended.
    end: Option<DeliveryState>,
}

/// `Done` only if every delivery of the event was delivered.
pub fn for_the_end(
    store: &mut dyn Store,
    context: &Context,
    accepted: &Accepted,
    longest: Span,
) -> Result<Exit, Failure> {
    let began = Instant::now();
    let mut daemon_sought = false;
    let watched = |owed| Watched { owed, told: 0, end: None };
    let mut all: Vec<Watched> = accepted.deliveries.iter().map(watched).collect();
    loop {
        for one in all.iter_mut().filter(|one| one.end.is_none()) {
            look(store, context, accepted, one)?;
        }
        if all.iter().all(|one| one.end.is_some()) {
            let delivered = |one: &Watched| matches!(one.end, Some(DeliveryState::Delivered { .. }));
            return Ok(if all.iter().all(delivered) { Exit::Done } else { Exit::No });
        }
        if began.elapsed() >= longest.to_std() {
            let left = all.iter().filter(|one| one.end.is_none()).count();
            let text = format!("{left} of {} deliveries still pending after {longest}; they go on", all.len());
            return Err(Failure::new(Exit::No, text));
        }
        if !daemon_sought && began.elapsed() >= GRACE {
            daemon_sought = true;
            if holder(context.store_path()).is_none() {
                output::note("no daemon serves this store: nothing is delivered until `postrider serve` runs");
            }
        }
        std::thread::sleep(PACE);
    }
}

/// Tells what happened to one delivery since the last time.
fn look(store: &mut dyn Store, context: &Context, accepted: &Accepted, watched: &mut Watched) -> Result<(), Failure> {
    let unprinted = |failure| enqueue::unprinted(accepted, failure);
    let filter = Filter { delivery: Some(watched.owed.delivery), ..Filter::default() };
    let listed = store.deliveries(&filter, Page { before: None, limit: 1 })?;
    let Some(delivery) = listed.into_iter().next().map(|listed| listed.delivery) else {
        return Err(Failure::new(Exit::NotFound, format!("{} was deleted meanwhile", watched.owed.delivery)));
    };
    let ended = delivery.state.name() != StateName::Pending;
    let mut told = false;
    if delivery.attempts > watched.told {
        let attempts = store.attempts(delivery.id)?;
        let last = attempts.last().map(|attempt| attempt.number);
        for attempt in attempts.iter().filter(|attempt| attempt.number > watched.told) {
            // What follows is known of the last attempt only; the others were followed by the next one.
            let state = (Some(attempt.number) == last).then_some(&delivery.state);
            tell(context, watched.owed, attempt, state).map_err(unprinted)?;
            told = true;
        }
        watched.told = last.unwrap_or(watched.told);
    }
    if ended {
        watched.end = Some(delivery.state);
        if !told {
            tell_end(context, watched.owed, &delivery.state).map_err(unprinted)?;
        }
    }
    Ok(())
}

fn tell(context: &Context, owed: &Owed, attempt: &Attempt, state: Option<&DeliveryState>) -> Result<(), Failure> {
    if context.json {
        return output::json(&json!({
            "delivery": owed.delivery.to_string(),
            "endpoint": owed.endpoint,
            "attempt": attempt.number,
            "outcome": attempt.outcome.name(),
            "status": status(&attempt.outcome),
            "detail": detail(&attempt.outcome),
            "duration_ms": attempt.timings.total_us / 1000,
            "finished_at": rfc3339(attempt.finished_at),
            "state": state.map(|state| state.name().as_str()),
            "next_at": state.and_then(next).map(rfc3339),
        }));
    }
    let then = match state {
        Some(DeliveryState::Pending { due_at, leased_at: None }) => {
            let wait = due_at.since(attempt.finished_at);
            format!(", next try in {wait} (at {})", rfc3339(*due_at))
        }
        Some(DeliveryState::Dead { reason, .. }) => format!(": {}, {}", tinted(Tint::Bad, "dead"), reason.as_str()),
        Some(DeliveryState::Cancelled { .. }) => format!(": {}", tinted(Tint::Faint, "cancelled")),
        Some(DeliveryState::Delivered { .. } | DeliveryState::Pending { leased_at: Some(_), .. }) | None => {
            String::new()
        }
    };
    output::line(&format!(
        "{} {} attempt {}: {} in {}{then}",
        owed.delivery,
        owed.endpoint,
        attempt.number,
        came_back(&attempt.outcome),
        Span::from_ms(i64::try_from(attempt.timings.total_us / 1000).unwrap_or(i64::MAX)),
    ))
}

fn tell_end(context: &Context, owed: &Owed, state: &DeliveryState) -> Result<(), Failure> {
    let reason = match state {
        DeliveryState::Dead { reason, .. } => Some(reason.as_str()),
        DeliveryState::Pending { .. } | DeliveryState::Delivered { .. } | DeliveryState::Cancelled { .. } => None,
    };
    if context.json {
        let (delivery, state) = (owed.delivery.to_string(), state.name().as_str());
        return output::json(&json!({
            "delivery": delivery, "endpoint": owed.endpoint, "state": state, "reason": reason,
        }));
    }
    let why = reason.map(|reason| format!(", {reason}")).unwrap_or_default();
    output::line(&format!("{} {}: {}{why}", owed.delivery, owed.endpoint, output::state(state.name())))
}

fn next(state: &DeliveryState) -> Option<Time> {
    match state {
        DeliveryState::Pending { due_at, leased_at: None } => Some(*due_at),
        DeliveryState::Pending { leased_at: Some(_), .. }
        | DeliveryState::Delivered { .. }
        | DeliveryState::Dead { .. }
        | DeliveryState::Cancelled { .. } => None,
    }
}

/// `accepted 200`, `rejected 500`, `timed out at answer`, `unreachable at connect (connection refused)`.
fn came_back(outcome: &Outcome) -> String {
    let name = match outcome.is_accepted() {
        true => tinted(Tint::Good, outcome.name()),
        false => tinted(Tint::Waiting, outcome.name()),
    };
    match outcome {
        Outcome::Accepted { status, late: true } => format!("{name} {status}, late"),
        Outcome::Accepted { status, late: false } | Outcome::Rejected { status } => format!("{name} {status}"),
        Outcome::TimedOut { stage } => format!("{name} at {}", stage.as_str()),
        Outcome::Unreachable { stage, error } => format!("{name} at {} ({})", stage.as_str(), terminal(error)),
        Outcome::Blocked { reason } => format!("{name} ({})", terminal(reason)),
        Outcome::Unknown => name,
    }
}

fn status(outcome: &Outcome) -> Option<u16> {
    match outcome {
        Outcome::Accepted { status, .. } | Outcome::Rejected { status } => Some(*status),
        Outcome::TimedOut { .. } | Outcome::Unreachable { .. } | Outcome::Blocked { .. } | Outcome::Unknown => None,
    }
}

fn detail(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Accepted { late, .. } => json!({"late": late}),
        Outcome::TimedOut { stage } => json!({"stage": stage.as_str()}),
        Outcome::Unreachable { stage, error } => json!({"stage": stage.as_str(), "error": error}),
        Outcome::Blocked { reason } => json!({"error": reason}),
        Outcome::Rejected { .. } | Outcome::Unknown => Value::Null,
    }
}
