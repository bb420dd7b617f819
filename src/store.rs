//! The store: remembers events, endpoints, deliveries and attempts, and nothing else decides what is true.
//! One trait, several implementations that one conformance suite holds to the same behaviour. It is blocking and
//! object-safe: the daemon runs it on a thread of its own, the simulation inline. No clock: `now` is an argument.

pub mod memory;
pub mod sqlite;

use std::sync::Arc;

use crate::access::{AccessToken, Scope};
use crate::delivery::{Attempt, DeadReason, Delivery, DeliveryId, DeliveryState, Lease, StateName, Token};
pub use crate::delivery::{LaneDue, LeaseRequest, Record};
use crate::endpoint::{Endpoint, EndpointId, EndpointName, Key, Overrides, ProfileName};
use crate::event::{Event, EventId, EventType, Subscription};
use crate::time::{Span, Time};
use crate::trace::TraceContext;

pub trait Store: Send {
    /// Applies all commands, in order, in one durable transaction, and answers each. An `Err` means that none of them
    /// happened. A command that is refused (`Reply::Refused`) leaves nothing behind and does not disturb the others.
    fn apply(&mut self, now: Time, commands: &[Command]) -> Result<Vec<Reply>, StoreError>;

    /// Every lane that owes something, with the earliest `due_at` in it.
    fn lanes(&mut self) -> Result<Vec<LaneDue>, StoreError>;

    /// What others did to the store since this was last asked; never less, though it may tell of own work too.
    fn changes(&mut self) -> Result<Changes, StoreError>;

    /// Every registered endpoint that is not removed, and every other that is still owed something, by id.
    fn endpoints(&mut self) -> Result<Vec<Endpoint>, StoreError>;

    /// One endpoint, removed or not.
    fn endpoint(&mut self, id: EndpointId) -> Result<Option<Endpoint>, StoreError>;

    /// One registered endpoint that is not removed.
    fn endpoint_named(&mut self, name: &EndpointName) -> Result<Option<Endpoint>, StoreError>;

    /// The answer to an event whose id is there already: what `Enqueue` would answer, without storing anything.
    fn again(&mut self, id: &EventId, fingerprint: &[u8; 32], digest: &[u8; 32]) -> Result<Option<Reply>, StoreError>;

    fn event(&mut self, id: &EventId) -> Result<Option<Event>, StoreError>;

    /// Deliveries newest first, at most `page.limit` of them, beginning below `page.before`.
    fn deliveries(&mut self, filter: &Filter, page: Page) -> Result<Vec<Listed>, StoreError>;

    /// The attempts of one delivery that have ended, by number.
    fn attempts(&mut self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError>;

    /// What one lane owes. A store that can answer without reading all of it does so.
    fn owed(&mut self, lane: EndpointId) -> Result<LaneOwed, StoreError> {
        let filter = Filter { state: Some(StateName::Pending), endpoint: Some(lane), ..Filter::default() };
        let listed = self.deliveries(&filter, Page { before: None, limit: u32::MAX })?;
        Ok(LaneOwed::of(listed.into_iter().map(|listed| listed.delivery).collect()))
    }

    /// The end of that alone, `LaneOwed::tail`, which costs nothing however much is owed.
    fn tail(&mut self, lane: EndpointId) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.owed(lane)?.tail)
    }

    /// Every access token, by name.
    fn tokens(&mut self) -> Result<Vec<AccessToken>, StoreError>;

    /// Which event came with this idempotency key.
    fn by_key(&mut self, key: &[u8; 32]) -> Result<Option<EventId>, StoreError>;

    /// The outcome log after number `after`, oldest first, at most `limit` of it.
    fn outcomes(&mut self, after: i64, limit: u32) -> Result<Outcomes, StoreError>;

    /// Calls `questions` once; all that it asks is answered from one snapshot, whatever others commit meanwhile. It must
    /// not change anything.
    fn at_one_moment(&mut self, questions: &mut dyn FnMut(&mut dyn Store)) -> Result<(), StoreError>;

    /// How much of everything there is.
    fn counts(&mut self, now: Time) -> Result<Counts, StoreError>;
}

/// Something to do in a batch.
#[derive(Clone, Debug)]
pub enum Command {
    /// -> `Enqueued`, or `Refused`.
    Enqueue(NewEvent),
    /// -> `Leased`.
    Lease(LeaseRequest),
    /// -> `Recorded`.
    Record(Record),
    /// Gives back a lease that was not used: the attempt is not counted, the delivery is due at once. -> `Done`.
    Release { delivery: DeliveryId, token: Token },
    /// Frees the leases of a daemon that is known to be dead: each attempt in flight is closed as unknown, its
    /// delivery is due `schedule::after_unknown` its beginning, which is at once unless it was unknown before. What was
    /// never tried is due now at the latest. Only for whoever holds the store alone. -> `Done` with their number.
    Recover,
    /// Ends up to `limit` pending deliveries of an endpoint that is gone. -> `Done` with their number.
    Bury { lane: EndpointId, limit: u32 },
    /// The clock stepped by `by`: every `due_at` after `now` moves with it, and what is due already stays due, as does
    /// what was never attempted (it is due since it was accepted, by whichever clock). -> `Done` with their number.
    Shift { by: Span },
    /// The clock was set forward by `by`, so that what waits is due that much sooner: only leases that have not ended end
    /// later by as much, for what is in flight goes on. -> `Done` with their number.
    ExtendLeases { by: Span },
    /// Deletes up to `limit` events that were accepted before `before` and owe nothing more, oldest first. -> `Done` with
    /// their number.
    Prune { before: Time, limit: u32 },
    /// -> `EndpointAdded`, or `Refused` if the name is taken.
    AddEndpoint(NewEndpoint),
    /// Replaces what the edit names, whole. -> `Done(1)`, or `Refused` if there is no such endpoint or it is removed.
    EditEndpoint { endpoint: EndpointId, edit: EndpointEdit },
    /// Nothing of an active endpoint is leased or ended until `Resume`, and it is still owed what comes. -> `Done(1)`;
    /// `Done(0)` if it is paused or disabled already, `Refused` if there is no such endpoint or it is removed.
    Pause(EndpointId),
    /// Makes a paused or disabled endpoint active. -> `Done(1)`; `Done(0)` if it is active already, `Refused` if there is
    /// no such endpoint or it is removed.
    Resume(EndpointId),
    /// Asked for by hand. A delivery in one of `states` is pending and due at `now_due`; one that had ended has its
    /// schedule begin anew (`earlier` is then all its attempts), one that was pending keeps it. -> `Done(1)`; `Done(0)` if
    /// it is in another state, or in flight; `Refused` if there is no such delivery, or it would be owed to an endpoint
    /// that is disabled or removed.
    Retry { delivery: DeliveryId, states: Vec<StateName>, now_due: Time },
    /// Asked for by hand. Ends a pending delivery as cancelled, in flight or not: that lease is lost, and should the
    /// receiver have accepted after all, the delivery is delivered. -> `Done(1)`; `Done(0)` if it is not pending,
    /// `Refused` if there is no such delivery.
    Cancel { delivery: DeliveryId },
    /// -> `Done(1)`, or `Refused` if the name is taken.
    AddToken { name: String, hash: [u8; 32], scope: Scope },
    /// -> `Done(1)`, or `Refused` if there is none.
    RemoveToken { name: String },
    /// Marks it removed; its pending deliveries are ended by `Bury`. -> `Done(1)`, or `Refused` if there is none.
    RemoveEndpoint(EndpointId),
}

/// An event and to whom it is owed.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its `accepted_at` is the time of the batch.
    pub id: EventId,
    pub event_type: EventType,
    pub content_type: String,
    pub body: Arc<[u8]>,
    /// SHA-256 of `body`.
    pub digest: [u8; 32],
    pub recipients: Recipients,
    /// SHA-256 over everything that the caller asked for (type, content type, target, body): the same id with the same
    /// fingerprint is the same request.
    pub fingerprint: [u8; 32],
    /// Where the provider fires once: a second event with the same text is refused.
    pub once: Option<String>,
    /// SHA-256 of what the caller called this request: no other event comes with the same.
    pub idempotency_key: Option<[u8; 32]>,
    pub trace: Option<TraceContext>,
}

#[derive(Clone, Debug)]
pub enum Recipients {
    /// Each must be active or paused at the time of the commit, or the event is refused. May be empty.
    Endpoints(Vec<EndpointId>),
    /// A receiver that nobody registered; found again by profile, URL and keys, or made.
    OneOff { profile: ProfileName, url: String, keys: Vec<Key> },
}

#[derive(Clone, Debug)]
pub struct NewEndpoint {
    pub name: EndpointName,
    pub url: String,
    pub profile: ProfileName,
    pub subscriptions: Vec<Subscription>,
    pub overrides: Overrides,
    pub keys: Vec<Key>,
}

/// What is to be replaced of an endpoint; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointEdit {
    pub url: Option<String>,
    pub subscriptions: Option<Vec<Subscription>>,
    pub overrides: Option<Overrides>,
    pub keys: Option<Vec<Key>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Enqueued(Enqueued),
    Leased(Leased),
    Recorded(Recorded),
    EndpointAdded(EndpointId),
    Done(u64),
    Refused(Refusal),
}

/// The answer to `Enqueue`; the same for the same request again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueued {
    pub event: EventId,
    pub accepted_at: Time,
    pub deliveries: Vec<(DeliveryId, EndpointId)>,
    /// The id was known: nothing new was stored.
    pub again: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leased {
    pub leases: Vec<Lease>,
    /// Due deliveries that had used up their attempts and were ended as dead.
    pub used_up: Vec<DeliveryId>,
    /// The earliest `due_at` that the lane has now, the leases' own ends included.
    pub next_due: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The token matched: the verdict holds.
    Counted,
    /// The lease had been lost, but the receiver accepted, and so a pending or cancelled delivery is now delivered.
    LateAccepted,
    /// The lease had been lost and somebody else decides; the attempt is kept for the record.
    Lost,
}

/// Why a command was not carried out, though the store is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The id belongs to another request.
    IdTaken {
        accepted_at: Time,
        same_body: bool,
    },
    /// The provider fires once, and it has.
    FiredBefore {
        event: EventId,
    },
    /// Removed or disabled since it was looked up.
    EndpointGone {
        endpoint: EndpointId,
    },
    NameTaken,
    NoSuchEndpoint,
    NoSuchDelivery,
    NoSuchToken,
    /// The idempotency key came with this event, which has another id or was another request.
    KeyTaken {
        event: EventId,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Lanes that got new deliveries, with the earliest new `due_at`.
    pub lanes: Vec<LaneDue>,
    /// Endpoints, or deliveries that were already there, changed: look at `endpoints` and `lanes` again.
    pub all: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<StateName>,
    pub endpoint: Option<EndpointId>,
    pub event: Option<EventId>,
    pub delivery: Option<DeliveryId>,
    /// Exact, or a family.
    pub event_type: Option<Subscription>,
    /// Accepted at this time or later.
    pub since: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub before: Option<DeliveryId>,
    pub limit: u32,
}

/// A delivery with what one needs to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub delivery: Delivery,
    pub event: EventId,
    pub event_type: EventType,
    pub accepted_at: Time,
    /// Size of the body in bytes.
    pub size: u64,
}

/// A part of the outcome log: one entry for every attempt that was recorded or closed as unknown, and one for every end
/// or revival of a delivery without an attempt (used up, buried, cancelled, retried by hand).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// The oldest entry that is still kept: what came before it cannot be read any more. After `last` if there is none.
    pub first_kept: i64,
    /// The newest entry, 0 if there never was one. A list shorter than its limit reaches this far.
    pub last: i64,
    /// Without the entries of deliveries that were pruned.
    pub list: Vec<LoggedOutcome>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedOutcome {
    /// Grows by one with each entry, and is never used twice.
    pub seq: i64,
    pub at: Time,
    pub delivery: DeliveryId,
    pub event: EventId,
    pub event_type: EventType,
    pub endpoint: EndpointId,
    /// As it is known by now, without the bytes of its answer. `None`: no attempt made this entry.
    pub attempt: Option<Attempt>,
    /// The state that the delivery had then.
    pub state: StateName,
}

/// So many entries of the outcome log are kept ...
pub const OUTCOMES_KEPT: i64 = 100_000;
/// ... and older ones are deleted whenever so many more have come.
pub const OUTCOMES_STEP: i64 = 1_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub events: u64,
    pub pending: u64,
    pub delivered: u64,
    pub dead: u64,
    pub cancelled: u64,
    /// Pending and leased: an attempt is in flight.
    pub leased: u64,
    /// Pending, not leased and due now.
    pub due: u64,
    /// The earliest `due_at` among what is due and not leased.
    pub oldest_due: Option<Time>,
    /// The earliest `due_at` among what waits.
    pub next_due: Option<Time>,
}

/// What one lane owes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneOwed {
    pub pending: u64,
    /// Pending and leased.
    pub in_flight: u64,
    /// At most `TAIL` of its pending deliveries, the one that is due last first: what was tried and waits is due after
    /// what nobody tried yet, so it is among them however long the backlog.
    pub tail: Vec<Delivery>,
}

impl LaneOwed {
    pub const TAIL: usize = 20;

    /// From all pending deliveries of the lane.
    pub fn of(mut pending: Vec<Delivery>) -> Self {
        let due = |delivery: &Delivery| match delivery.state {
            DeliveryState::Pending { due_at, leased_at } => Some((due_at, leased_at.is_some())),
            DeliveryState::Delivered { .. } | DeliveryState::Dead { .. } | DeliveryState::Cancelled { .. } => None,
        };
        pending.sort_by_key(|delivery| std::cmp::Reverse((due(delivery).map(|(due_at, _)| due_at), delivery.id)));
        let in_flight = pending.iter().filter(|delivery| due(delivery).is_some_and(|(_, leased)| leased)).count();
        let all = pending.len() as u64;
        pending.truncate(Self::TAIL);
        LaneOwed { pending: all, in_flight: in_flight as u64, tail: pending }
    }
}

/// What is wrong with the store itself. One sentence each, with what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds it, or keeps it busy; trying again can help.
    #[error("{0}")]
    Busy(String),
    /// Full disk, read-only, no permission: somebody must change the machine; trying again can help then.
    #[error("{0}")]
    Unwritable(String),
    /// Damaged, newer than this program, or not ours: trying again cannot help.
    #[error("{0}")]
    Unusable(String),
    /// Its secrets are sealed with another master key than that of the configuration, or with none: that must change.
    #[error("{0}")]
    Sealed(String),
}

/// The reason under which a store ends what `Bury` and `RemoveEndpoint` end.
pub const BURIED: DeadReason = DeadReason::EndpointGone;
