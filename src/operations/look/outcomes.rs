//! What was recorded, in the order in which it was: the log that the store keeps of the last outcomes.

use super::Endpoints;
use crate::operations::Refused;
use crate::operations::answer::OutcomeLine;
use crate::store::Store;

/// A part of the log.
pub struct Part {
    pub lines: Vec<OutcomeLine>,
    /// Where to go on.
    pub next: i64,
    /// The oldest that is kept, or the one that will be written next.
    pub first_kept: i64,
}

/// The outcomes after `after`, at most `limit` of them.
pub fn outcomes(store: &mut dyn Store, after: i64, limit: u32) -> Result<Part, Refused> {
    let found = store.outcomes(after, limit)?;
    let whole = found.list.len() == limit as usize;
    let next = found.list.last().filter(|_| whole).map_or(found.last, |last| last.seq);
    let mut endpoints = Endpoints::default();
    let mut lines = Vec::with_capacity(found.list.len());
    for logged in &found.list {
        let endpoint = endpoints.get(store, logged.endpoint)?.label();
        lines.push(OutcomeLine::new(logged, endpoint));
    }
    Ok(Part { lines, next: next.max(after), first_kept: found.first_kept })
}
