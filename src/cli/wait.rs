//! Waiting for the end of an event's deliveries, and telling each attempt as the daemon records it.
//! It only asks, so it may be ended at any time without any effect on what it watches.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::output::{self, Tint, terminal, tinted};
use super::source::Source;
use super::{Context, Exit, Failure, enqueue};
use crate::delivery::Outcome;
use crate::operations::answer::{
    AcceptedAnswer, AcceptedDelivery, AttemptAnswer, AttemptOutcome, Reason, ShownDelivery, Stamp, Standing, State,
};
use crate::time::Span;

/// A daemon that is just starting is given so long before its absence is told.
const GRACE: Duration = Duration::from_secs(1);

/// What has been told of one delivery.
struct Watched<'a> {
    owed: &'a AcceptedDelivery,
    /// The number of the last attempt that was told.
    told: u32,
    /// How it ended.
    end: Option<State>,
}

/// `Done` only if every delivery of the event was delivered.
pub fn for_the_end(
    source: &mut dyn Source,
    context: &Context,
    accepted: &AcceptedAnswer,
    longest: Span,
) -> Result<Exit, Failure> {
    let began = Instant::now();
    let mut daemon_sought = false;
    let watched = |owed| Watched { owed, told: 0, end: None };
    let mut all: Vec<Watched> = accepted.deliveries.iter().map(watched).collect();
    loop {
        for one in all.iter_mut().filter(|one| one.end.is_none()) {
            let Some(delivery) = source.delivery(&one.owed.id)? else {
                return Err(Failure::new(Exit::NotFound, format!("{} was deleted meanwhile", one.owed.id)));
            };
            look(context, one, &delivery).map_err(|failure| enqueue::unprinted(accepted, failure))?;
        }
        if all.iter().all(|one| one.end.is_some()) {
            let delivered = all.iter().all(|one| one.end == Some(State::Delivered));
            return Ok(if delivered { Exit::Done } else { Exit::No });
        }
        if began.elapsed() >= longest.to_std() {
            let left = all.iter().filter(|one| one.end.is_none()).count();
            let text = format!("{left} of {} deliveries still pending after {longest}; they go on", all.len());
            return Err(Failure::new(Exit::No, text));
        }
        if !daemon_sought && began.elapsed() >= GRACE {
            daemon_sought = true;
            if !source.is_served() {
                output::note("no daemon serves this store: nothing is delivered until `postrider serve` runs");
            }
        }
        std::thread::sleep(source.pace());
    }
}

/// Tells what happened to one delivery since the last time.
fn look(context: &Context, watched: &mut Watched, delivery: &ShownDelivery) -> Result<(), Failure> {
    let standing = &delivery.standing;
    // An attempt that was begun after the standing was read is told the next time, with what followed from it.
    let known = |attempt: &&AttemptAnswer| (watched.told + 1..=standing.attempts_made).contains(&attempt.came.number);
    let new: Vec<&AttemptAnswer> = delivery.attempts.iter().filter(known).collect();
    for (place, attempt) in (1..).zip(&new) {
        // What follows is known of the last attempt only; the others were followed by the next one.
        let then = (place == new.len()).then_some(standing);
        tell(context, watched.owed, attempt, then)?;
        watched.told = attempt.came.number;
    }
    match standing.state {
        State::Pending => {}
        State::Delivered | State::Dead | State::Cancelled => {
            watched.end = Some(standing.state);
            if new.is_empty() {
                tell_end(context, watched.owed, standing)?;
            }
        }
    }
    Ok(())
}

fn tell(
    context: &Context,
    owed: &AcceptedDelivery,
    attempt: &AttemptAnswer,
    then: Option<&Standing>,
) -> Result<(), Failure> {
    let came = &attempt.came;
    let next_at = then.and_then(next);
    if context.json {
        return output::json(&json!({
            "delivery": owed.id,
            "endpoint": owed.endpoint,
            "attempt": came.number,
            "outcome": came.outcome,
            "status": came.status,
            "detail": detail(came),
            "duration_ms": attempt.total_us / 1000,
            "finished_at": came.finished_at,
            "state": then.map(|then| then.state),
            "next_at": next_at,
        }));
    }
    let then = match (then.map(|then| then.state), next_at) {
        (Some(State::Pending), Some(next)) => {
            format!(", next try in {} (at {next})", next.0.since(came.finished_at.0))
        }
        (Some(State::Dead), _) => {
            format!(": {}{}", tinted(Tint::Bad, "dead"), reason(then.and_then(|then| then.reason)))
        }
        (Some(State::Cancelled), _) => format!(": {}", tinted(Tint::Faint, "cancelled")),
        (Some(State::Delivered | State::Pending) | None, _) => String::new(),
    };
    let (delivery, endpoint) = (terminal(&owed.id), terminal(&owed.endpoint));
    let (number, took) = (came.number, attempt.total());
    output::line(&format!("{delivery} {endpoint} attempt {number}: {} in {took}{then}", came_back(&came.outcome())))
}

fn tell_end(context: &Context, owed: &AcceptedDelivery, end: &Standing) -> Result<(), Failure> {
    if context.json {
        return output::json(&json!({
            "delivery": owed.id, "endpoint": owed.endpoint, "state": end.state, "reason": end.reason,
        }));
    }
    let (delivery, endpoint) = (terminal(&owed.id), terminal(&owed.endpoint));
    output::line(&format!("{delivery} {endpoint}: {}{}", output::state(end.state.name()), reason(end.reason)))
}

/// `, schedule used up`, or nothing.
fn reason(reason: Option<Reason>) -> String {
    reason.map_or(String::new(), |reason| format!(", {}", reason.reason().as_str()))
}

/// When the next attempt may begin, unless one is in flight.
fn next(standing: &Standing) -> Option<Stamp> {
    standing.due_at.filter(|_| standing.in_flight_since.is_none())
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

fn detail(came: &AttemptOutcome) -> Value {
    match came.outcome() {
        Outcome::Accepted { late, .. } => json!({"late": late}),
        Outcome::TimedOut { stage } => json!({"stage": stage.as_str()}),
        Outcome::Unreachable { stage, error } => json!({"stage": stage.as_str(), "error": error}),
        Outcome::Blocked { reason } => json!({"error": reason}),
        Outcome::Rejected { .. } | Outcome::Unknown => Value::Null,
    }
}
