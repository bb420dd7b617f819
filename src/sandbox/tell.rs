//! What happens in a sandbox, as lines for people and documents for programs: a request and its answer, a notification that
//! is owed, an attempt and what came of it. Never told: keys, signatures and bodies.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::listen::Bound;
use crate::calendar::rfc3339;
use crate::delivery::{Outcome, StateName};
use crate::operations::answer::OutcomeLine;
use crate::plain::plain;
use crate::time::{Span, Time};

/// Something that happened.
#[derive(Debug)]
pub enum Happening {
    /// The sandbox can be reached.
    Listening {
        at: Bound,
    },
    /// A request of the partner's, and its answer.
    Asked {
        method: &'static str,
        path: String,
        status: u16,
        what: String,
    },
    /// Something came about by itself: time did it, or somebody decided.
    CameAbout {
        what: String,
    },
    /// The daemon has a notification and owes it to these, each a delivery and an endpoint.
    Owed {
        event: String,
        event_type: &'static str,
        deliveries: Vec<(String, String)>,
    },
    /// A notification that the daemon refused for good.
    NotSent {
        event: String,
        event_type: &'static str,
        why: String,
    },
    /// An attempt, or another change of a delivery.
    Outcome(OutcomeLine),
    Clock {
        ahead: Span,
    },
    /// Something went wrong, and is tried again.
    Trouble {
        what: String,
    },
}

/// How well something went, for whoever shows it in colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Plain,
    Good,
    Waiting,
    Bad,
}

/// Hears of everything. Called from several threads.
pub type Tell = Arc<dyn Fn(Time, &Happening) + Send + Sync>;

impl Happening {
    /// As one line, in which everything foreign is plain.
    pub fn line(&self) -> (Mood, String) {
        match self {
            Happening::Listening { at } => (Mood::Plain, format!("listening on {at}")),
            Happening::Asked { method, path, status, what } => {
                let mood = if *status < 400 { Mood::Plain } else { Mood::Bad };
                (mood, format!("{method} {} -> {status} {}", plain(path), plain(what)))
            }
            Happening::CameAbout { what } => (Mood::Plain, plain(what)),
            Happening::Owed { event, event_type, deliveries } if deliveries.is_empty() => {
                let advice = "nobody is registered for it (--notify URL)";
                (Mood::Waiting, format!("{event_type} {event} is owed to nobody: {advice}"))
            }
            Happening::Owed { event, event_type, deliveries } => {
                let owed: Vec<String> = deliveries.iter().map(|(id, to)| format!("{} ({id})", plain(to))).collect();
                (Mood::Plain, format!("{event_type} {event} to {}", owed.join(", ")))
            }
            Happening::NotSent { event, event_type, why } => {
                (Mood::Bad, format!("{event_type} {event} is not sent: {}", plain(why)))
            }
            Happening::Outcome(line) => outcome(line),
            Happening::Clock { ahead } => (Mood::Plain, format!("the clock is {ahead} ahead of the machine's")),
            Happening::Trouble { what } => (Mood::Bad, plain(what)),
        }
    }

    /// As a document.
    pub fn json(&self, at: Time) -> Value {
        let mut document = match self {
            Happening::Listening { at } => json!({"happened": "listening", "url": at.to_string()}),
            Happening::Asked { method, path, status, what } => {
                json!({"happened": "asked", "method": method, "path": path, "status": status, "what": what})
            }
            Happening::CameAbout { what } => json!({"happened": "came-about", "what": what}),
            Happening::Owed { event, event_type, deliveries } => {
                let owed = |(id, to): &(String, String)| json!({"id": id, "endpoint": to});
                let deliveries: Vec<Value> = deliveries.iter().map(owed).collect();
                json!({"happened": "owed", "event": event, "type": event_type, "deliveries": deliveries})
            }
            Happening::NotSent { event, event_type, why } => {
                json!({"happened": "not-sent", "event": event, "type": event_type, "why": why})
            }
            Happening::Outcome(line) => json!({"happened": "outcome", "outcome": line}),
            Happening::Clock { ahead } => json!({"happened": "clock", "ahead_ms": ahead.ms()}),
            Happening::Trouble { what } => json!({"happened": "trouble", "what": what}),
        };
        document["at"] = rfc3339(at).into();
        document
    }
}

/// `dlv_3 policy/creation to ensuro: attempt 1: rejected 500, pending`
fn outcome(line: &OutcomeLine) -> (Mood, String) {
    let (state, said) = (line.state.name(), line.attempt.as_ref());
    let mood = match state {
        StateName::Delivered => Mood::Good,
        StateName::Pending => Mood::Waiting,
        StateName::Dead => Mood::Bad,
        StateName::Cancelled => Mood::Plain,
    };
    let state = state.as_str();
    let head = format!("{} {} to {}", line.delivery, plain(&line.event_type), plain(&line.endpoint));
    let text = match said {
        None => format!("{head}: {state}"),
        Some(attempt) => {
            format!("{head}: attempt {}: {}, {state}", attempt.number, words(&attempt.outcome()))
        }
    };
    (mood, text)
}

fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { status, late: false } => format!("accepted {status}"),
        Outcome::Accepted { status, late: true } => format!("accepted {status}, but late"),
        Outcome::Rejected { status } => format!("rejected {status}"),
        Outcome::TimedOut { stage } => format!("timed out ({})", stage.as_str()),
        Outcome::Unreachable { error, .. } => format!("unreachable: {}", plain(error)),
        Outcome::Blocked { reason } => format!("blocked: {}", plain(reason)),
        Outcome::Unknown => "no outcome is known".to_owned(),
    }
}
