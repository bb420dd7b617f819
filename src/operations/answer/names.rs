//! The closed sets of words that answers use, one type each: what the words stand for is told in the words' own room.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Stamp;
use crate::delivery::{DeadReason, Outcome, Stage, StateName};
use crate::endpoint::{EndpointState, ProfileName, Scheme};

/// Where a delivery stands: `pending` (owed, and tried when it is due), `delivered`, `dead` (given up), `cancelled` (by a
/// person).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Pending,
    Delivered,
    Dead,
    Cancelled,
}

impl State {
    pub const fn name(self) -> StateName {
        match self {
            State::Pending => StateName::Pending,
            State::Delivered => StateName::Delivered,
            State::Dead => StateName::Dead,
            State::Cancelled => StateName::Cancelled,
        }
    }
}

impl From<StateName> for State {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Pending => State::Pending,
            StateName::Delivered => State::Delivered,
            StateName::Dead => State::Dead,
            StateName::Cancelled => State::Cancelled,
        }
    }
}

/// Why a delivery is dead: every attempt of its schedule was made, or its endpoint answered 410 or was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Reason {
    #[serde(rename = "schedule used up")]
    ScheduleUsedUp,
    #[serde(rename = "endpoint gone")]
    EndpointGone,
}

impl Reason {
    pub const fn reason(self) -> DeadReason {
        match self {
            Reason::ScheduleUsedUp => DeadReason::ScheduleUsedUp,
            Reason::EndpointGone => DeadReason::EndpointGone,
        }
    }
}

impl From<DeadReason> for Reason {
    fn from(reason: DeadReason) -> Self {
        match reason {
            DeadReason::ScheduleUsedUp => Reason::ScheduleUsedUp,
            DeadReason::EndpointGone => Reason::EndpointGone,
        }
    }
}

/// What came back of an attempt: `accepted` (a success status), `rejected` (any other), `timed out`, `unreachable` (no
/// connection, or one that broke), `blocked` (our own rules forbid the URL or the address; nothing was sent), `unknown`
/// (cut off before its outcome was recorded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeWord {
    Accepted,
    Rejected,
    #[serde(rename = "timed out")]
    TimedOut,
    Unreachable,
    Blocked,
    Unknown,
}

impl From<&Outcome> for OutcomeWord {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Accepted { .. } => OutcomeWord::Accepted,
            Outcome::Rejected { .. } => OutcomeWord::Rejected,
            Outcome::TimedOut { .. } => OutcomeWord::TimedOut,
            Outcome::Unreachable { .. } => OutcomeWord::Unreachable,
            Outcome::Blocked { .. } => OutcomeWord::Blocked,
            Outcome::Unknown => OutcomeWord::Unknown,
        }
    }
}

/// Where an attempt was when it ended: looking up the name, connecting, greeting over TLS, or waiting for the head of the
/// answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StageWord {
    Dns,
    Connect,
    Tls,
    Answer,
}

impl StageWord {
    pub const fn stage(self) -> Stage {
        match self {
            StageWord::Dns => Stage::Dns,
            StageWord::Connect => Stage::Connect,
            StageWord::Tls => Stage::Tls,
            StageWord::Answer => Stage::Answer,
        }
    }
}

impl From<Stage> for StageWord {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Dns => StageWord::Dns,
            Stage::Connect => StageWord::Connect,
            Stage::Tls => StageWord::Tls,
            Stage::Answer => StageWord::Answer,
        }
    }
}

/// Whose promises an endpoint is served by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    Ensuro,
    Octamile,
    Standard,
}

impl Profile {
    pub const fn name(self) -> ProfileName {
        match self {
            Profile::Ensuro => ProfileName::Ensuro,
            Profile::Octamile => ProfileName::Octamile,
            Profile::Standard => ProfileName::Standard,
        }
    }
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Ensuro => Profile::Ensuro,
            ProfileName::Octamile => Profile::Octamile,
            ProfileName::Standard => Profile::Standard,
        }
    }
}

/// A signature algorithm: `hmac` and `eip191` are Ensuro's, `v1` (HMAC-SHA256) and `v1a` (ed25519) those of Standard
/// Webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SchemeWord {
    Hmac,
    Eip191,
    V1,
    V1a,
}

impl SchemeWord {
    pub const fn scheme(self) -> Scheme {
        match self {
            SchemeWord::Hmac => Scheme::Hmac,
            SchemeWord::Eip191 => Scheme::Eip191,
            SchemeWord::V1 => Scheme::V1,
            SchemeWord::V1a => Scheme::V1a,
        }
    }
}

impl From<Scheme> for SchemeWord {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Hmac => SchemeWord::Hmac,
            Scheme::Eip191 => SchemeWord::Eip191,
            Scheme::V1 => SchemeWord::V1,
            Scheme::V1a => SchemeWord::V1a,
        }
    }
}

/// Whether an endpoint is served: `active`, `disabled` (it answered 410) or `removed` (by a person).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndpointStateWord {
    Active,
    /// Nothing is sent to it until a person lets it go on; what it is owed waits.
    Paused,
    Disabled,
    Removed,
}

impl From<&EndpointState> for EndpointStateWord {
    fn from(state: &EndpointState) -> Self {
        match state {
            EndpointState::Active => EndpointStateWord::Active,
            EndpointState::Paused { .. } => EndpointStateWord::Paused,
            EndpointState::Disabled { .. } => EndpointStateWord::Disabled,
            EndpointState::Removed { .. } => EndpointStateWord::Removed,
        }
    }
}

/// Since when an endpoint is in a state that it was not made in, and why.
pub(super) fn since_and_reason(state: &EndpointState) -> (Option<Stamp>, Option<String>) {
    match state {
        EndpointState::Active => (None, None),
        EndpointState::Disabled { since, reason } => (Some(Stamp(*since)), Some(reason.clone())),
        EndpointState::Paused { since } | EndpointState::Removed { since } => (Some(Stamp(*since)), None),
    }
}
