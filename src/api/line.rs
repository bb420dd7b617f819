//! What a line of a batch is taken for, and how it is refused, for whoever reads batches without HTTP: the same in both.

use super::events::enveloped;
use super::problem::{Kind, Problem};
use crate::operations::answer;
use crate::operations::{Refused, Submission};

/// The event that an envelope holds.
pub fn submission(line: &[u8]) -> Result<Submission, answer::Problem> {
    enveloped(line).map_err(Problem::within)
}

/// Why an event is not taken.
pub fn refusal(refused: Refused) -> answer::Problem {
    of_event(refused).within()
}

/// A line with more than `most` bytes.
pub fn too_large(most: usize) -> answer::Problem {
    let text = format!("the line has more bytes than {most}, which its event may have");
    Problem::new(Kind::TooLarge, text).within()
}

/// The endpoint that is unknown is one that the event names, not one that a URL does.
pub(super) fn of_event(refused: Refused) -> Problem {
    match refused {
        Refused::Unknown(text) => Problem::new(Kind::UnknownEndpoint, text),
        refused @ (Refused::Invalid(_)
        | Refused::TooLarge(_)
        | Refused::Conflict(_)
        | Refused::Taken(_)
        | Refused::KeyTaken(_)
        | Refused::Store(_)) => refused.into(),
    }
}
