//! Between engine and store, which do not know each other: actions as commands, replies as inputs.
//! Pure, so that the simulation translates exactly as the daemon does.

use crate::delivery::Verdict;
use crate::endpoint::{Endpoint, EndpointState};
use crate::engine::{Action, Input, LanePlan, Service};
use crate::provider;
use crate::store::{Command, Recorded, Reply};
use crate::time::Span;

/// What the store is to do for an action; `None` for what the courier does.
pub fn command(action: &Action) -> Option<Command> {
    match action {
        Action::Lease(request) => Some(Command::Lease(request.clone())),
        Action::Record(record) => Some(Command::Record(record.clone())),
        Action::Release { delivery, token } => Some(Command::Release { delivery: *delivery, token: *token }),
        Action::Bury { lane, limit } => Some(Command::Bury { lane: *lane, limit: *limit }),
        Action::Carry(_) => None,
    }
}

/// Readies the actions of one commit. Outcomes go first: a lease in the same commit must not take what they end.
pub fn order(actions: &mut [Action]) {
    actions.sort_by_key(|action| match action {
        Action::Record(_) => 0,
        Action::Release { .. } => 1,
        Action::Bury { .. } => 2,
        Action::Lease(_) => 3,
        Action::Carry(_) => 4,
    });
}

/// The clock stepped by `by` since the action was decided.
pub fn shift(action: &mut Action, by: Span) {
    match action {
        Action::Record(record) => record.verdict.shift(by),
        Action::Lease(request) => request.until = request.until + by,
        Action::Release { .. } | Action::Bury { .. } | Action::Carry(_) => {}
    }
}

/// The clock was set forward by `by` since the action was decided: when something is due stays, how long a lease lasts too.
pub fn extend(action: &mut Action, by: Span) {
    match action {
        Action::Lease(request) => request.until = request.until + by,
        Action::Record(_) | Action::Release { .. } | Action::Bury { .. } | Action::Carry(_) => {}
    }
}

/// What the engine is told about an action that the store was asked to perform; `None` for `reply` means that it
/// failed, and nothing of it happened.
pub fn input(action: Action, reply: Option<Reply>) -> Option<Input> {
    match (action, reply) {
        (Action::Lease(request), Some(Reply::Leased(leased))) => {
            Some(Input::Leased { lane: request.lane, leases: leased.leases, next_due: leased.next_due })
        }
        (Action::Lease(request), None) => Some(Input::LeaseFailed { lane: request.lane }),
        (Action::Record(record), Some(Reply::Recorded(recorded))) => Some(Input::Recorded {
            lane: record.endpoint,
            verdict: settled(record.verdict, recorded),
            counted: recorded == Recorded::Counted,
        }),
        (Action::Record(record), None) => Some(Input::RecordFailed { record }),
        (Action::Bury { lane, .. }, Some(Reply::Done(ended))) => Some(Input::Buried { lane, ended: Some(ended) }),
        (Action::Bury { lane, .. }, None) => Some(Input::Buried { lane, ended: None }),
        // A lease that could not be given back ends by itself.
        (Action::Release { .. }, _) | (Action::Carry(_), _) => None,
        (action, Some(reply)) => unreachable!("{reply:?} does not answer {action:?}"),
    }
}

fn settled(verdict: Verdict, recorded: Recorded) -> Verdict {
    match recorded {
        Recorded::Counted | Recorded::Lost => verdict,
        Recorded::LateAccepted => Verdict::Delivered,
    }
}

/// How the engine is to serve an endpoint.
pub fn plan(endpoint: &Endpoint, default_concurrency: u32) -> LanePlan {
    LanePlan {
        lane: endpoint.id,
        terms: provider::terms(endpoint.profile, &endpoint.overrides),
        concurrency: endpoint.overrides.concurrency.unwrap_or(default_concurrency).max(1),
        rate: endpoint.overrides.rate,
        service: match endpoint.state {
            EndpointState::Active => Service::Active,
            EndpointState::Paused { .. } => Service::Paused,
            EndpointState::Disabled { .. } | EndpointState::Removed { .. } => Service::Gone,
        },
    }
}
