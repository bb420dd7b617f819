//! `postrider enqueue --batch`: an event a line, many in one commit, and what became of each.
//! It may be cut off at any time: what was told to be accepted is on disk, and the same command again names the same events.

pub mod lines;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use self::lines::{Lines, Reading};
use super::output::{self, terminal};
use super::progress::Progress;
use super::{Context, Exit, Failure};
use crate::operations::answer::{BatchResult, BatchStatus};

/// What an envelope may have beside its body, in bytes.
const ENVELOPE: usize = 16 * 1024;
/// Refused lines that are told one by one: a whole file of the wrong type is one mistake.
const MOST_REFUSED: u64 = 100;
/// Warnings that are told one by one.
const MOST_WARNINGS: u64 = 10;

/// `named`: a line of a file without an id gets one. What comes from stdin or a pipe cannot be told from other such input, so
/// there it is a new event each time.
pub fn run(path: &Path, named: bool, context: &Context) -> Result<Exit, Failure> {
    let named = named && path.is_file();
    let mut source = context.source()?;
    let (stop, read) = (interruption(), Arc::new(AtomicU64::new(0)));
    let most = source.max_body_bytes().saturating_add(ENVELOPE);
    let reading = Reading { most, named, stop: stop.clone(), read: read.clone() };
    let (lines, size) = Lines::open(path, reading)?;
    let progress = Progress::of(size);
    let mut tally = Tally::default();
    let ended = source.enqueue_all(lines, &mut |result| {
        tally.count(&result);
        let (all, rate) = (tally.lines(), progress.rate(tally.lines()));
        progress.is_at(read.load(Ordering::Relaxed), format!("{all} lines, {rate}/s"));
        match context.json {
            true => progress.aside(|| output::json(&result)),
            false => {
                tell(&result, &tally, &progress);
                Ok(())
            }
        }
    });
    drop(progress);
    if stop.load(Ordering::Relaxed) {
        let text = ended.err().map_or("interrupted".to_owned(), |failure| failure.message);
        return Err(Failure::new(Exit::No, format!("{text}; {}", tally.so_far(named))));
    }
    ended.map_err(|failure| Failure::new(failure.exit, format!("{}; {}", failure.message, tally.so_far(named))))?;
    let summary = tally.summary();
    match context.json {
        true => output::note(&summary),
        false => output::line(&summary)?,
    }
    Ok(if tally.refused > 0 { Exit::Data } else { Exit::Done })
}

/// Set by SIGINT and SIGTERM; a second one ends the process as it would have.
fn interruption() -> Arc<AtomicBool> {
    let stop: Arc<AtomicBool> = Arc::default();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Without them it is ended at once, which loses nothing either.
        let _ = signal_hook::flag::register_conditional_default(signal, stop.clone());
        let _ = signal_hook::flag::register(signal, stop.clone());
    }
    stop
}

/// What became of the lines so far.
#[derive(Default)]
struct Tally {
    accepted: u64,
    again: u64,
    refused: u64,
    deliveries: u64,
    warned: u64,
}

impl Tally {
    fn count(&mut self, result: &BatchResult) {
        match result.status {
            BatchStatus::Accepted if result.again => self.again += 1,
            BatchStatus::Accepted => {
                self.accepted += 1;
                self.deliveries += result.deliveries.len() as u64;
            }
            BatchStatus::Refused => self.refused += 1,
        }
        self.warned += u64::from(!result.warnings.is_empty());
    }

    fn lines(&self) -> u64 {
        self.accepted + self.again + self.refused
    }

    fn summary(&self) -> String {
        let deliveries = counted(self.deliveries, "delivery", "deliveries");
        format!(
            "{}: {} accepted ({deliveries}), {} known already, {} refused",
            counted(self.lines(), "line", "lines"),
            self.accepted,
            self.again,
            self.refused
        )
    }

    /// What is to be said when it ended before its end.
    fn so_far(&self, named: bool) -> String {
        let stored = counted(self.accepted + self.again, "line is", "lines are");
        match named {
            true => format!("{stored} on disk; the same command goes on and stores none twice"),
            false => {
                format!("{stored} on disk; given again, those with an id are known, and those without are new events")
            }
        }
    }
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// What a person must know of a line: that it was refused, or what its receivers may stumble over.
fn tell(result: &BatchResult, tally: &Tally, progress: &Progress) {
    let line = result.line;
    if result.problem.is_some() && tally.refused == MOST_REFUSED + 1 {
        progress.aside(|| output::note("more lines are refused; --json tells each"));
    }
    if let Some(problem) = result.problem.as_ref().filter(|_| tally.refused <= MOST_REFUSED) {
        let mut text = format!("line {line}: {}", terminal(&problem.detail));
        for error in problem.errors.iter().filter(|error| !problem.detail.contains(&error.detail)) {
            text.push_str(&format!("; {}: {}", terminal(&error.pointer), terminal(&error.detail)));
        }
        progress.aside(|| output::note(&text));
    }
    for warning in result.warnings.iter().filter(|_| tally.warned <= MOST_WARNINGS) {
        progress.aside(|| output::note(&format!("warning: line {line}: {}", terminal(warning))));
    }
    if tally.warned == MOST_WARNINGS + 1 && !result.warnings.is_empty() {
        progress.aside(|| output::note("warning: more lines have warnings; --json has all"));
    }
}
