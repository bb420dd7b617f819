//! What is told of a run: every attempt with its verdict in words, or of many the sum.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use crate::cli::output::{Tint, line, terminal, tinted};
use crate::cli::{Failure, show, workbench};
use crate::daemon::trial::Tried;
use crate::delivery::{DeadReason, Outcome, Verdict};
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::operations::answer::{AttemptAnswer, span_of_us};
use crate::operations::look::redacted;
use crate::provider::{self, Terms};
use crate::signature;
use crate::time::Span;

/// One notification, and where it goes.
pub struct Told<'a> {
    endpoint: &'a Endpoint,
    event: &'a Event,
    seed: Option<u64>,
    terms: Terms,
    /// The last that was told, so that ten attempts do not repeat it.
    hinted: RefCell<Option<String>>,
}

/// An attempt in JSON.
#[derive(Serialize)]
pub struct TriedAnswer {
    event: String,
    #[serde(rename = "type")]
    event_type: String,
    profile: &'static str,
    url: String,
    /// Of the body, in bytes.
    size: usize,
    /// Empty: unsigned.
    schemes: Vec<&'static str>,
    /// The addresses and public keys of those that have one.
    signers: Vec<String>,
    /// Null for a body of one's own.
    seed: Option<u64>,
    accepted: bool,
    /// delivered, retry or dead.
    verdict: &'static str,
    /// By the schedule; null if nothing follows.
    retry_in_ms: Option<i64>,
    /// The verdict in words.
    words: String,
    hint: Option<String>,
    attempt: AttemptAnswer,
}

impl<'a> Told<'a> {
    pub fn new(endpoint: &'a Endpoint, event: &'a Event, seed: Option<u64>) -> Self {
        Told {
            endpoint,
            event,
            seed,
            terms: provider::terms(endpoint.profile, &endpoint.overrides),
            hinted: RefCell::default(),
        }
    }

    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    pub fn json(&self, tried: &Tried) -> TriedAnswer {
        let (verdict, retry_in) = match tried.verdict {
            Verdict::Delivered => ("delivered", None),
            Verdict::RetryAt(at) => ("retry", Some(at.since(tried.attempt.finished_at).ms())),
            Verdict::Dead(_) => ("dead", None),
        };
        TriedAnswer {
            event: self.event.id.to_string(),
            event_type: self.event.event_type.to_string(),
            profile: self.endpoint.profile.as_str(),
            url: redacted(&self.endpoint.url),
            size: self.event.body.len(),
            schemes: self.endpoint.keys.iter().map(|key| key.scheme.as_str()).collect(),
            signers: self.endpoint.keys.iter().filter_map(signature::public_of).collect(),
            seed: self.seed,
            accepted: tried.attempt.outcome.is_accepted(),
            verdict,
            retry_in_ms: retry_in,
            words: workbench::verdict(tried, &self.terms),
            hint: self.hint(tried),
            attempt: (&tried.attempt).into(),
        }
    }

    fn hint(&self, tried: &Tried) -> Option<String> {
        workbench::hint(&tried.attempt.outcome, self.endpoint, &self.terms, self.event.body.len())
    }

    /// What is sent, where.
    pub fn head(&self) -> Result<(), Failure> {
        let Event { id, event_type, body, .. } = self.event;
        line(&format!("{event_type} to {}", terminal(&redacted(&self.endpoint.url))))?;
        line(&format!("  id            {id}"))?;
        if let Some(seed) = self.seed {
            line(&format!("  seed          {seed}"))?;
        }
        line(&format!("  size          {} bytes", body.len()))?;
        let keys = self.endpoint.keys.iter().map(|key| match signature::public_of(key) {
            Some(public) => format!("{} ({public})", key.scheme),
            None => key.scheme.to_string(),
        });
        let keys = keys.collect::<Vec<String>>().join(" and ");
        line(&format!("  signed        {}", if keys.is_empty() { "no".to_owned() } else { format!("by {keys}") }))
    }

    /// One attempt, and what follows.
    pub fn whole(&self, tried: &Tried) -> Result<(), Failure> {
        self.head()?;
        self.attempt(tried)?;
        line(&format!("  verdict       {}", self.verdict(tried)))
    }

    fn attempt(&self, tried: &Tried) -> Result<(), Failure> {
        show::attempt_lines(&AttemptAnswer::from(&tried.attempt)).iter().try_for_each(|text| line(text))?;
        let hint = self.hint(tried);
        let told = self.hinted.replace(hint.clone());
        match hint {
            Some(hint) if told.as_ref() != Some(&hint) => line(&format!("    hint        {}", terminal(&hint))),
            Some(_) | None => Ok(()),
        }
    }

    fn verdict(&self, tried: &Tried) -> String {
        let tint = match (tried.verdict, &tried.attempt.outcome) {
            (Verdict::Delivered, Outcome::Accepted { late: true, .. }) => Tint::Waiting,
            (Verdict::Delivered, _) => Tint::Good,
            (Verdict::RetryAt(_) | Verdict::Dead(_), _) => Tint::Bad,
        };
        tinted(tint, &workbench::verdict(tried, &self.terms))
    }

    /// How long the whole schedule is.
    pub fn timetable(&self, speed: u32) -> Result<(), Failure> {
        let attempts = self.terms.schedule.attempts();
        let whole = self.after_first(attempts);
        let here =
            if speed > 1 { format!(", {} here with --speed {speed}", divided(whole, speed)) } else { String::new() };
        line(&format!("  schedule      {attempts} attempts, the waits between them {whole} together{here}"))
    }

    /// The waits before the attempt of this number, together.
    fn after_first(&self, number: u32) -> Span {
        let before = self.terms.schedule.delays().iter().take(number.saturating_sub(1) as usize);
        before.fold(Span::ZERO, |sum, delay| sum + *delay)
    }

    /// One attempt of a schedule that is followed.
    pub fn step(&self, tried: &Tried, speed: u32) -> Result<(), Failure> {
        self.attempt(tried)?;
        let Verdict::RetryAt(at) = tried.verdict else {
            let after = match tried.attempt.number {
                1 => ", after 1 attempt".to_owned(),
                // It has told how many there were.
                _ if tried.verdict == Verdict::Dead(DeadReason::ScheduleUsedUp) => String::new(),
                number => format!(", after {number} attempts"),
            };
            return line(&format!("  verdict       {}{after}", self.verdict(tried)));
        };
        let wait = at.since(tried.attempt.finished_at);
        let here = if speed > 1 { format!("; {} here", divided(wait, speed)) } else { String::new() };
        let sum = self.after_first(tried.attempt.number + 1);
        line(&tinted(Tint::Faint, &format!("    next        in {wait} by the schedule, waits of {sum} in all{here}")))
    }

    /// One attempt of many.
    pub fn short(&self, tried: &Tried) -> Result<(), Failure> {
        let attempt = &tried.attempt;
        let accepted = attempt.outcome.is_accepted();
        let tint = if accepted { Tint::Good } else { Tint::Bad };
        let (came, took) = (outcome(&attempt.outcome), span_of_us(attempt.timings.total_us).to_string());
        line(&format!("{} {took:>8}  {}", tinted(tint, &format!("{came:<20}")), self.event.event_type))?;
        let said: String = String::from_utf8_lossy(&attempt.answer).chars().take(100).collect();
        match accepted || said.is_empty() {
            true => Ok(()),
            false => line(&format!("    answer      {}", terminal(&said))),
        }
    }
}

fn divided(span: Span, by: u32) -> Span {
    Span::from_ms(span.ms() / i64::from(by.max(1)))
}

/// `accepted 200`, `accepted 200 late`, `rejected 500`, `timed out`.
fn outcome(outcome: &Outcome) -> String {
    let name = outcome.name();
    match outcome {
        Outcome::Accepted { status, late: true } => format!("{name} {status} late"),
        Outcome::Accepted { status, late: false } | Outcome::Rejected { status } => format!("{name} {status}"),
        Outcome::TimedOut { .. } | Outcome::Unreachable { .. } | Outcome::Blocked { .. } | Outcome::Unknown => {
            name.to_owned()
        }
    }
}

/// What came of many.
pub struct Summary {
    total: u64,
    began: Instant,
    /// Until the last answer.
    took: Span,
    accepted: u64,
    by_outcome: BTreeMap<String, u64>,
    /// Microseconds.
    latencies: Vec<u64>,
    /// The first that was not accepted, and the bytes of its body.
    first_failure: Option<(Tried, usize)>,
}

/// In JSON, below `summary`.
#[derive(Serialize)]
pub struct SummaryAnswer {
    summary: Counts,
}

#[derive(Serialize)]
struct Counts {
    total: u64,
    answered: u64,
    accepted: u64,
    outcomes: BTreeMap<String, u64>,
    took_ms: i64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
}

impl Summary {
    pub fn new(total: u64) -> Self {
        Summary {
            total,
            began: Instant::now(),
            took: Span::ZERO,
            accepted: 0,
            by_outcome: BTreeMap::new(),
            latencies: Vec::new(),
            first_failure: None,
        }
    }

    pub fn add(&mut self, event: &Event, tried: &Tried) {
        self.took = Span::from_ms(i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX));
        *self.by_outcome.entry(outcome(&tried.attempt.outcome)).or_default() += 1;
        self.latencies.push(tried.attempt.timings.total_us);
        match tried.attempt.outcome.is_accepted() {
            true => self.accepted += 1,
            false => {
                self.first_failure.get_or_insert_with(|| (tried.clone(), event.body.len()));
            }
        }
    }

    /// How many came to an end, well or not.
    pub fn answered(&self) -> u64 {
        self.latencies.len() as u64
    }

    pub fn missing(&self) -> u64 {
        self.total - self.answered()
    }

    pub fn all_accepted(&self) -> bool {
        self.accepted == self.total
    }

    /// `97 accepted, 3 not`
    pub fn progress(&self) -> String {
        match self.answered() - self.accepted {
            0 => format!("{} accepted", self.accepted),
            not => format!("{} accepted, {not} not", self.accepted),
        }
    }

    pub fn print(&self, endpoint: &Endpoint) -> Result<(), Failure> {
        let outcomes: Vec<String> = self.by_outcome.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let tint = if self.all_accepted() { Tint::Good } else { Tint::Bad };
        let outcomes = if outcomes.is_empty() { "nothing was answered".to_owned() } else { outcomes.join(", ") };
        let rate = self.answered() as f64 * 1000.0 / self.took.ms().max(1) as f64;
        line(&format!("{} in {} ({rate:.1} in a second): {}", self.answered(), self.took, tinted(tint, &outcomes)))?;
        if self.answered() > 0 {
            let at = |percent| span_of_us(self.percentile(percent));
            line(&format!("  latency       p50 {}, p99 {}, max {}", at(50), at(99), at(100)))?;
        }
        let Some((failure, size)) = &self.first_failure else { return Ok(()) };
        line("  the first that was not accepted:")?;
        show::attempt_lines(&AttemptAnswer::from(&failure.attempt)).iter().try_for_each(|text| line(text))?;
        let terms = provider::terms(endpoint.profile, &endpoint.overrides);
        match workbench::hint(&failure.attempt.outcome, endpoint, &terms, *size) {
            Some(hint) => line(&format!("    hint        {}", terminal(&hint))),
            None => Ok(()),
        }
    }

    pub fn json(&self) -> SummaryAnswer {
        SummaryAnswer {
            summary: Counts {
                total: self.total,
                answered: self.answered(),
                accepted: self.accepted,
                outcomes: self.by_outcome.clone(),
                took_ms: self.took.ms(),
                p50_us: self.percentile(50),
                p99_us: self.percentile(99),
                max_us: self.percentile(100),
            },
        }
    }

    /// The latency that so many percent do not exceed, in microseconds; 0 if there is none.
    fn percentile(&self, percent: usize) -> u64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(0)
    }
}
