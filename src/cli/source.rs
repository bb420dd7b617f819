//! Where the answers come from. A verb asks a `Source` and renders what it is given, so that it prints the same whether the
//! store lies on this machine (`local`) or a daemon answers (`remote`).

use std::time::Duration;

use super::Failure;
use super::batch::lines::Lines;
use super::secret::Texts;
use crate::endpoint::EndpointName;
use crate::event::EventType;
use crate::operations::answer::{
    AcceptedAnswer, BatchResult, Changed, EndpointAnswer, EndpointsAnswer, ExplainedAnswer, Listing, RemovedAnswer,
    Replayed, ShownAnswer, ShownDelivery, StatusAnswer, TestAnswer, TimetableAnswer,
};
use crate::operations::look::list::Asked;
use crate::operations::resend::Wanted;
use crate::operations::{Edit, Submission};
use crate::store::NewEndpoint;
use crate::time::{Span, Time};

/// Hears what became of a line of a batch; what it fails with ends the batch.
pub type Tell<'a> = dyn FnMut(BatchResult) -> Result<(), Failure> + 'a;

/// What to try an endpoint with: by default a sample of its profile.
pub struct Trial {
    pub event_type: Option<EventType>,
    pub body: Option<Vec<u8>>,
}

/// One method for each question and each wish that a verb has.
pub trait Source {
    /// A page of deliveries, newest first.
    fn list(&mut self, asked: &Asked) -> Result<Listing, Failure>;

    /// The event or the delivery (`dlv_42`) of this id; the event's body only if it is asked for.
    fn show(&mut self, id: &str, with_body: bool) -> Result<ShownAnswer, Failure>;

    /// Why the deliveries of the event, or the delivery (`dlv_42`), of this id are where they are.
    fn why(&mut self, id: &str) -> Result<ExplainedAnswer, Failure>;

    /// How everything is doing; `None` if there is no store yet.
    fn status(&mut self) -> Result<Option<StatusAnswer>, Failure>;

    /// When a delivery is tried: by all profiles, or by the one, or for the endpoint, that is named.
    fn schedule(&mut self, of: Option<&str>) -> Result<Vec<TimetableAnswer>, Failure>;

    /// Those that are registered.
    fn endpoints(&mut self) -> Result<EndpointsAnswer, Failure>;

    /// The registered one of this name, with how much it is owed.
    fn endpoint(&mut self, name: &EndpointName) -> Result<EndpointAnswer, Failure>;

    /// `endpoint` comes without keys: they are made of `texts`. If there are none and the profile signs, a secret is made,
    /// and is in the answer.
    fn add_endpoint(&mut self, endpoint: NewEndpoint, texts: &Texts) -> Result<EndpointAnswer, Failure>;

    fn edit_endpoint(&mut self, name: &EndpointName, edit: &Edit) -> Result<EndpointAnswer, Failure>;

    /// Nothing is sent to it until it is resumed, and what it is owed waits.
    fn pause_endpoint(&mut self, name: &EndpointName) -> Result<EndpointAnswer, Failure>;

    fn resume_endpoint(&mut self, name: &EndpointName) -> Result<EndpointAnswer, Failure>;

    /// Gives it the keys that `texts` are; if there are none, a secret is made, and is in the answer.
    fn rotate_keys(&mut self, name: &EndpointName, texts: &Texts, overlap: Span) -> Result<EndpointAnswer, Failure>;

    /// Sends to it once, now; nothing of that is stored.
    fn test_endpoint(&mut self, name: &EndpointName, trial: Trial) -> Result<TestAnswer, Failure>;

    /// Ends what it is owed, too.
    fn remove_endpoint(&mut self, name: &EndpointName) -> Result<RemovedAnswer, Failure>;

    /// Answers when the event and its deliveries are on disk. A receiver that is not registered comes without keys: they
    /// are made of `texts`.
    fn enqueue(&mut self, submission: Submission, texts: &Texts) -> Result<AcceptedAnswer, Failure>;

    /// Hands in an event a line. Tells of every line that is not empty, in their order, once its event is on disk, or
    /// why it is not. Ends with the lines, or when they are interrupted.
    fn enqueue_all(&mut self, lines: Lines, tell: &mut Tell<'_>) -> Result<(), Failure>;

    /// Makes the event's deliveries, or the one (`dlv_42`), of this id due now; with `delivered` also those that were
    /// delivered. The answer is no if nothing of it can be.
    fn retry(&mut self, id: &str, delivered: bool) -> Result<Changed, Failure>;

    /// Ends the event's deliveries, or the one (`dlv_42`), of this id where they are pending. The answer is no if none is.
    fn cancel(&mut self, id: &str) -> Result<Changed, Failure>;

    /// Sends many deliveries again, or with `dry_run` only counts them. `progress` hears how many were looked at so far,
    /// if that can be known.
    fn replay(&mut self, wanted: &Wanted, dry_run: bool, progress: &mut dyn FnMut(u64)) -> Result<Replayed, Failure>;

    /// One delivery with its attempts; `None` if it is deleted. For those who ask again and again.
    fn delivery(&mut self, id: &str) -> Result<Option<ShownDelivery>, Failure>;

    /// The time that its answers are told in: a daemon's clock may differ from this machine's.
    fn now(&self) -> Time;

    /// How long to wait before asking for a delivery again.
    fn pace(&self) -> Duration;

    /// Whether somebody delivers what is owed.
    fn is_served(&mut self) -> bool;

    /// A body with more bytes is not worth reading, as it would be refused.
    fn max_body_bytes(&self) -> usize;
}
