//! When a delivery is tried, and which document says so.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::Profile;
use super::{Notes, Stamp};
use crate::operations::look::timetable::{Timetable, Turn};
use crate::time::{Span, Time};

/// When a delivery is tried: what a profile promises, or what one endpoint has instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimetableAnswer {
    /// The endpoint's name; null for a profile as such.
    #[schema(required)]
    pub endpoint: Option<String>,
    pub profile: Profile,
    pub attempts: Vec<TurnAnswer>,
    /// From the first attempt to the last if every attempt fails at once and no jitter is drawn, in milliseconds.
    pub shortest_ms: i64,
    /// From the first attempt to the end of the last if every attempt runs into its timeout and jitter is at its most, in
    /// milliseconds.
    pub longest_ms: i64,
    /// How much longer a wait may be, in percent of it; never shorter.
    pub jitter_percent: u8,
    /// Of a whole attempt, in milliseconds.
    pub timeout_ms: i64,
    /// Which statuses mean that the receiver has the notification: `2xx`, or some with commas between.
    #[schema(example = "200,202")]
    pub success: String,
    /// After how many milliseconds an accepted answer is marked as late; null if it never is.
    #[schema(required)]
    pub late_after_ms: Option<i64>,
    /// Whether Retry-After on 429 and 503 moves the next attempt.
    pub obeys_retry_after: bool,
    /// Whether 410 disables the endpoint.
    pub gone_disables: bool,
    /// Which document says which of the above. What the endpoint overrides has none.
    #[schema(value_type = BTreeMap<String, String>)]
    pub sources: Notes,
    /// What the endpoint wants otherwise than its profile, and how.
    #[schema(value_type = BTreeMap<String, String>)]
    pub overrides: Notes,
}

/// One attempt of the timetable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TurnAnswer {
    /// The attempt's number, from 1.
    pub attempt: u32,
    /// The wait after the failure before it, in milliseconds; null before the first.
    #[schema(required)]
    pub wait_ms: Option<i64>,
    /// The sum of the waits so far, in milliseconds.
    pub after_ms: i64,
    /// When it would begin if the first one began now.
    pub at: Stamp,
}

impl TimetableAnswer {
    /// With the times at which the attempts would begin if the first one began at `now`.
    pub fn new(table: &Timetable, now: Time) -> Self {
        let notes = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        TimetableAnswer {
            endpoint: table.endpoint.clone(),
            profile: table.profile.into(),
            attempts: table.turns.iter().map(|turn| TurnAnswer::new(turn, now)).collect(),
            shortest_ms: table.shortest.ms(),
            longest_ms: table.longest.ms(),
            jitter_percent: table.jitter_percent,
            timeout_ms: table.timeout.ms(),
            success: table.success.to_string(),
            late_after_ms: table.late_after.map(Span::ms),
            obeys_retry_after: table.obeys_retry_after,
            gone_disables: table.gone_disables,
            sources: Notes(table.sources.iter().map(|(what, said)| notes(what, said)).collect()),
            overrides: Notes(table.overrides.iter().map(|(what, how)| notes(what, how)).collect()),
        }
    }

    /// Of each, in their order.
    pub fn all(tables: &[Timetable], now: Time) -> Vec<Self> {
        tables.iter().map(|table| TimetableAnswer::new(table, now)).collect()
    }
}

impl TurnAnswer {
    fn new(turn: &Turn, now: Time) -> Self {
        TurnAnswer {
            attempt: turn.number,
            wait_ms: turn.wait.map(Span::ms),
            after_ms: turn.after.ms(),
            at: Stamp(now + turn.after),
        }
    }
}
