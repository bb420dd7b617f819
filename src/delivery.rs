//! A delivery: one event owed to one endpoint, and the attempts that were made of it.
//! These are facts and their names; what follows from them is decided in `judge` and `engine`.

use std::fmt;
use std::sync::Arc;

use crate::endpoint::EndpointId;
use crate::event::Event;
use crate::time::{Span, Time};

/// The store's number of a delivery, shown as `dlv_42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub i64);

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dlv_{}", self.0)
    }
}

impl DeliveryId {
    /// Reads `dlv_42`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("dlv_")?;
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|_| plain).map(DeliveryId)
    }
}

/// The unit of state, lease and schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub endpoint: EndpointId,
    pub state: DeliveryState,
    /// Attempts begun so far, the one in flight included.
    pub attempts: u32,
    /// How many of them were made before a person last asked to retry it: the schedule counts from there.
    pub earlier: u32,
}

impl Delivery {
    /// Attempts begun since the schedule began, or began anew.
    pub fn scheduled_attempts(&self) -> u32 {
        self.attempts - self.earlier
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Owed. `due_at` is when the next attempt may begin; while `leased_at` is set, one is in flight since then and
    /// `due_at` is when the lease ends.
    Pending {
        due_at: Time,
        leased_at: Option<Time>,
    },
    Delivered {
        at: Time,
    },
    Dead {
        at: Time,
        reason: DeadReason,
    },
    Cancelled {
        at: Time,
    },
}

impl DeliveryState {
    pub const fn name(&self) -> StateName {
        match self {
            DeliveryState::Pending { .. } => StateName::Pending,
            DeliveryState::Delivered { .. } => StateName::Delivered,
            DeliveryState::Dead { .. } => StateName::Dead,
            DeliveryState::Cancelled { .. } => StateName::Cancelled,
        }
    }
}

/// A delivery's state without its details, as filters and counts use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateName {
    Pending,
    Delivered,
    Dead,
    Cancelled,
}

impl StateName {
    pub const ALL: [StateName; 4] = [StateName::Pending, StateName::Delivered, StateName::Dead, StateName::Cancelled];

    pub const fn as_str(self) -> &'static str {
        match self {
            StateName::Pending => "pending",
            StateName::Delivered => "delivered",
            StateName::Dead => "dead",
            StateName::Cancelled => "cancelled",
        }
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or_else(|| format!("a state is pending, delivered, dead or cancelled; {text:?} is none of them"))
    }
}

/// Why a delivery ended undelivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadReason {
    /// Every attempt that the schedule allows was made.
    ScheduleUsedUp,
    /// The endpoint answered 410, or a person removed it.
    EndpointGone,
}

impl DeadReason {
    pub const ALL: [DeadReason; 2] = [DeadReason::ScheduleUsedUp, DeadReason::EndpointGone];

    pub const fn as_str(self) -> &'static str {
        match self {
            DeadReason::ScheduleUsedUp => "schedule used up",
            DeadReason::EndpointGone => "endpoint gone",
        }
    }
}

/// Proof of holding a lease. Drawn at random for each lease; an outcome counts only with the token of its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub i64);

/// The temporary right to make one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub delivery: DeliveryId,
    pub endpoint: EndpointId,
    pub token: Token,
    /// The number of the attempt that this lease pays for, from 1; already counted in the store.
    pub attempt: u32,
    /// As in `Delivery`: the schedule counts `attempt - earlier`.
    pub earlier: u32,
    pub event: Arc<Event>,
}

/// What a courier brought back from one try, before anybody judged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    pub started_at: Time,
    pub finished_at: Time,
    pub timings: Timings,
    /// The address that was dialled, as `ip:port`, once a connection stood.
    pub remote: Option<String>,
    /// A reused connection was reset before it answered, and the request went out again on a fresh one.
    pub resent: bool,
    pub reply: Reply,
}

/// How long each stage took, in microseconds, each on its own; `None` for a stage that did not happen (a reused
/// connection has no DNS, connect or TLS) or did not end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    pub dns_us: Option<u64>,
    pub connect_us: Option<u64>,
    pub tls_us: Option<u64>,
    /// From the request's first byte to the complete head of the answer. If the request was resent, the time of its
    /// first sending is added, so that the stages still sum up to the time from the attempt's beginning to the head.
    pub first_byte_us: Option<u64>,
    /// The whole attempt, the answer's body included.
    pub total_us: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A complete status line and headers arrived.
    Head {
        status: u16,
        /// `Retry-After` as sent, if it is text.
        retry_after: Option<String>,
        /// `Location` as sent, if it is text: a redirect is never followed, but shown.
        location: Option<String>,
        /// At most 16 KiB of what followed.
        body: Vec<u8>,
    },
    /// Nothing complete within the timeout; the stage is where it hung.
    TimedOut { stage: Stage },
    /// No connection, or one that broke before a complete head.
    Unreachable { stage: Stage, error: String },
    /// Our own rules forbid the URL or the address; nothing was sent.
    Blocked { reason: String },
}

/// Where an attempt was when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    Dns,
    Connect,
    Tls,
    /// Connected, sending the request or waiting for the head of the answer.
    Answer,
}

impl Stage {
    pub const ALL: [Stage; 4] = [Stage::Dns, Stage::Connect, Stage::Tls, Stage::Answer];

    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Dns => "dns",
            Stage::Connect => "connect",
            Stage::Tls => "tls",
            Stage::Answer => "answer",
        }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A success status. `late`: after the time in which the receiver's side of the contract must answer.
    Accepted {
        status: u16,
        late: bool,
    },
    /// Any other status.
    Rejected {
        status: u16,
    },
    TimedOut {
        stage: Stage,
    },
    Unreachable {
        stage: Stage,
        error: String,
    },
    Blocked {
        reason: String,
    },
    /// The daemon died or lost its lease before the outcome could be recorded.
    Unknown,
}

impl Outcome {
    pub const fn name(&self) -> &'static str {
        match self {
            Outcome::Accepted { .. } => "accepted",
            Outcome::Rejected { .. } => "rejected",
            Outcome::TimedOut { .. } => "timed out",
            Outcome::Unreachable { .. } => "unreachable",
            Outcome::Blocked { .. } => "blocked",
            Outcome::Unknown => "unknown",
        }
    }

    pub const fn is_accepted(&self) -> bool {
        matches!(self, Outcome::Accepted { .. })
    }
}

/// What follows from an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    RetryAt(Time),
    Dead(DeadReason),
}

impl Verdict {
    /// The clock stepped by `by` since this was said.
    pub fn shift(&mut self, by: Span) {
        match self {
            Verdict::RetryAt(at) => *at = *at + by,
            Verdict::Delivered | Verdict::Dead(_) => {}
        }
    }
}

/// One HTTP try, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    pub started_at: Time,
    pub finished_at: Time,
    pub timings: Timings,
    pub remote: Option<String>,
    pub resent: bool,
    pub outcome: Outcome,
    /// The first bytes of the answer's body.
    pub answer: Vec<u8>,
    /// Where a redirect pointed.
    pub location: Option<String>,
}

/// Asks for the right to attempt what is due in one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    pub lane: EndpointId,
    /// At most so many deliveries ...
    pub limit: u32,
    /// ... whose bodies have at most so many bytes together; the first is leased however large it is.
    pub bytes: u64,
    /// When the leases end.
    pub until: Time,
    pub token: Token,
    /// A due delivery that already had so many attempts, since a person last asked to retry it, is ended as dead instead
    /// of leased.
    pub most_attempts: u32,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub delivery: DeliveryId,
    pub endpoint: EndpointId,
    pub token: Token,
    pub attempt: Attempt,
    pub verdict: Verdict,
}

/// A lane that owes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneDue {
    pub lane: EndpointId,
    pub due_at: Time,
}
