//! One attempt: what came of it, and for whoever wants to know, how long each part of it took.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::{OutcomeWord, StageWord};
use super::{Stamp, joined, span_of_us, split};
use crate::delivery::{Attempt, Outcome};
use crate::operations::look::redacted;
use crate::time::Span;

/// What came of an attempt, without its timings and answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttemptOutcome {
    /// From 1.
    pub number: u32,
    pub started_at: Stamp,
    pub finished_at: Stamp,
    pub outcome: OutcomeWord,
    /// The HTTP status of the answer; null if there was none.
    #[schema(required)]
    pub status: Option<u16>,
    /// It was accepted, but after the time in which the receiver's side of the contract must answer.
    pub late: bool,
    /// Where it was when it ended; null if it was answered, blocked or unknown.
    #[schema(required)]
    pub stage: Option<StageWord>,
    /// What went wrong, in words; null if it was answered, timed out or unknown.
    #[schema(required)]
    pub error: Option<String>,
}

impl AttemptOutcome {
    /// As the program's own word. What contradicts itself, as only a stranger's answer can, is unknown.
    pub fn outcome(&self) -> Outcome {
        let stage = self.stage.map(StageWord::stage);
        match (self.outcome, self.status, stage, self.error.clone()) {
            (OutcomeWord::Accepted, Some(status), ..) => Outcome::Accepted { status, late: self.late },
            (OutcomeWord::Rejected, Some(status), ..) => Outcome::Rejected { status },
            (OutcomeWord::TimedOut, _, Some(stage), _) => Outcome::TimedOut { stage },
            (OutcomeWord::Unreachable, _, Some(stage), Some(error)) => Outcome::Unreachable { stage, error },
            (OutcomeWord::Blocked, _, _, Some(reason)) => Outcome::Blocked { reason },
            (
                OutcomeWord::Accepted
                | OutcomeWord::Rejected
                | OutcomeWord::TimedOut
                | OutcomeWord::Unreachable
                | OutcomeWord::Blocked
                | OutcomeWord::Unknown,
                ..,
            ) => Outcome::Unknown,
        }
    }
}

impl From<&Attempt> for AttemptOutcome {
    fn from(attempt: &Attempt) -> Self {
        let (status, stage, error) = match &attempt.outcome {
            Outcome::Accepted { status, .. } | Outcome::Rejected { status } => (Some(*status), None, None),
            Outcome::TimedOut { stage } => (None, Some(*stage), None),
            Outcome::Unreachable { stage, error } => (None, Some(*stage), Some(error.clone())),
            Outcome::Blocked { reason } => (None, None, Some(reason.clone())),
            Outcome::Unknown => (None, None, None),
        };
        AttemptOutcome {
            number: attempt.number,
            started_at: Stamp(attempt.started_at),
            finished_at: Stamp(attempt.finished_at),
            outcome: (&attempt.outcome).into(),
            status,
            late: matches!(attempt.outcome, Outcome::Accepted { late: true, .. }),
            stage: stage.map(StageWord::from),
            error,
        }
    }
}

/// An attempt with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttemptAnswer {
    #[serde(flatten)]
    pub came: AttemptOutcome,
    /// The whole attempt, the answer's body included, in microseconds.
    pub total_us: u64,
    /// The lookup of the name, in microseconds; null if it did not happen or did not end, as is so for all the stages.
    #[schema(required)]
    pub dns_us: Option<u64>,
    /// In microseconds; null on a connection that stood already.
    #[schema(required)]
    pub connect_us: Option<u64>,
    /// In microseconds; null on a connection that stood already.
    #[schema(required)]
    pub tls_us: Option<u64>,
    /// From the request's first byte to the complete head of the answer, in microseconds.
    #[schema(required)]
    pub first_byte_us: Option<u64>,
    /// The address that was dialled, as `ip:port`; null if no connection stood.
    #[schema(required)]
    pub remote: Option<String>,
    /// An idle connection turned out to be dead, and the request went out again on a new one.
    pub resent: bool,
    /// Where a redirect pointed, without the values of its query; it is never followed.
    #[schema(required)]
    pub location: Option<String>,
    /// The first bytes of the answer's body (16 KiB at most), if they are UTF-8; else `answer_base64` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The first bytes of the answer's body, if they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_base64: Option<String>,
}

impl AttemptAnswer {
    /// The first bytes of the answer's body.
    pub fn answer(&self) -> Vec<u8> {
        joined(self.answer.as_deref(), self.answer_base64.as_deref()).unwrap_or_default()
    }

    /// The whole attempt, to the millisecond.
    pub fn total(&self) -> Span {
        span_of_us(self.total_us)
    }
}

impl From<&Attempt> for AttemptAnswer {
    fn from(attempt: &Attempt) -> Self {
        let timings = &attempt.timings;
        let (answer, answer_base64) = split(&attempt.answer);
        AttemptAnswer {
            came: attempt.into(),
            total_us: timings.total_us,
            dns_us: timings.dns_us,
            connect_us: timings.connect_us,
            tls_us: timings.tls_us,
            first_byte_us: timings.first_byte_us,
            remote: attempt.remote.clone(),
            resent: attempt.resent,
            location: attempt.location.as_deref().map(redacted),
            answer,
            answer_base64,
        }
    }
}
