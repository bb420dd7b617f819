//! Reads the store beside the daemon and tells every attempt once it is recorded.
//! It asks the store alone: what is shown is what is on disk.

use std::time::Duration;

use super::plan::{Row, outcome_words};
use crate::cli::Failure;
use crate::cli::output::{Tint, note, tinted};
use crate::delivery::{Attempt, Outcome};
use crate::provider;
use crate::store::{Filter, Page, Store};
use crate::time::{Span, Time};

/// How often the store is read.
pub const EVERY: Duration = Duration::from_millis(50);

pub struct Watch {
    began: Time,
    aloud: bool,
}

impl Watch {
    pub fn new(began: Time, aloud: bool) -> Self {
        Watch { began, aloud }
    }

    /// Brings the rows up to date.
    pub fn look(&mut self, store: &mut dyn Store, rows: &mut [Row]) -> Result<(), Failure> {
        // States before attempts: then a delivery that has ended has all its attempts.
        let page = Page { before: None, limit: rows.len() as u32 };
        let listed = store.deliveries(&Filter::default(), page)?;
        let mut lines: Vec<(Time, String)> = Vec::new();
        for row in rows.iter_mut().filter(|row| !row.has_ended()) {
            let its_own = listed.iter().find(|listed| listed.delivery.id == row.delivery);
            row.state = its_own.map(|listed| listed.delivery.state);
            let attempts = store.attempts(row.delivery)?;
            for attempt in &attempts[row.attempts.len()..] {
                lines.push((attempt.finished_at, self.line(row, attempt)));
            }
            row.attempts = attempts;
        }
        // Of the same millisecond, in the order in which they were accepted.
        lines.sort_by_key(|(at, _)| *at);
        if self.aloud {
            lines.iter().for_each(|(_, line)| note(line));
        }
        Ok(())
    }

    /// `  0.8 s  flaky     policy/creation  attempt  1 of 11  rejected 500, next try in 250 ms (real schedule: 30 s)`
    fn line(&self, row: &Row, attempt: &Attempt) -> String {
        let seconds = attempt.finished_at.since(self.began).ms().max(0) as f64 / 1000.0;
        let (receiver, event_type) = (row.role.as_str(), row.event_type.as_str());
        let (number, of) = (attempt.number, row.schedule.attempts());
        let outcome = outcome_words(&attempt.outcome);
        let what = match (&attempt.outcome, next(row, attempt)) {
            (Outcome::Accepted { .. }, _) => tinted(Tint::Good, &format!("{outcome}, delivered")),
            (_, Some(next)) => tinted(Tint::Waiting, &format!("{outcome}, {next}")),
            (_, None) => tinted(Tint::Bad, &format!("{outcome}, dead: its schedule is used up")),
        };
        format!("{seconds:5.1} s  {receiver:<8}  {event_type:<26}  attempt {number:>2} of {of}  {what}")
    }
}

/// When it is tried again; `None` if it is not.
fn next(row: &Row, attempt: &Attempt) -> Option<String> {
    let wait = |delays: &[Span]| delays.get(attempt.number as usize - 1).copied();
    let here = wait(row.schedule.delays())?;
    let real = wait(provider::profile(row.role.profile()).schedule.delays())?;
    Some(match here == real {
        true => format!("next try in {here}"),
        false => format!("next try in {here} (real schedule: {real})"),
    })
}
