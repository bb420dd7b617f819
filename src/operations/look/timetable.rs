//! When a delivery is tried, as a table: what a profile promises, or what one endpoint has instead.

use crate::endpoint::{Endpoint, Overrides, ProfileName, Success};
use crate::operations::Refused;
use crate::provider;
use crate::store::Store;
use crate::time::Span;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timetable {
    /// The endpoint's label; `None` for a profile as such.
    pub endpoint: Option<String>,
    pub profile: ProfileName,
    pub turns: Vec<Turn>,
    /// From the first attempt to the last if every attempt fails at once and no jitter is drawn.
    pub shortest: Span,
    /// From the first attempt to the end of the last if every attempt runs into its timeout and jitter is at its most.
    pub longest: Span,
    pub jitter_percent: u8,
    pub timeout: Span,
    pub success: Success,
    pub late_after: Option<Span>,
    pub obeys_retry_after: bool,
    pub gone_disables: bool,
    /// Which document says which of the above: (what, where). What the endpoint overrides has none.
    pub sources: Vec<(&'static str, &'static str)>,
    /// What the endpoint wants otherwise than its profile: (what, how).
    pub overrides: Vec<(&'static str, String)>,
}

/// One attempt of the timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// From 1.
    pub number: u32,
    /// The wait after the failure before it; `None` before the first.
    pub wait: Option<Span>,
    /// The sum of the waits so far.
    pub after: Span,
}

/// All profiles, or the one that is named, or that of an endpoint. A profile's name is never taken for an endpoint's.
///
/// Without a store there are profiles only.
pub fn timetables(store: Option<&mut dyn Store>, asked: Option<&str>) -> Result<Vec<Timetable>, Refused> {
    let Some(text) = asked else {
        return Ok(ProfileName::ALL.into_iter().map(of_profile).collect());
    };
    if let Ok(name) = ProfileName::parse(text) {
        return Ok(vec![of_profile(name)]);
    }
    match store {
        Some(store) => Ok(vec![of_endpoint(&super::endpoint(store, text)?)]),
        None => Err(Refused::Unknown(format!(
            "there is no profile {text} (they are ensuro, octamile and standard), and no store yet that could hold an \
             endpoint of this name"
        ))),
    }
}

pub fn of_profile(name: ProfileName) -> Timetable {
    timetable(None, name, &Overrides::default())
}

pub fn of_endpoint(endpoint: &Endpoint) -> Timetable {
    timetable(Some(endpoint.label()), endpoint.profile, &endpoint.overrides)
}

fn timetable(endpoint: Option<String>, name: ProfileName, overrides: &Overrides) -> Timetable {
    let terms = provider::terms(name, overrides);
    let mut turns = vec![Turn { number: 1, wait: None, after: Span::ZERO }];
    for (number, wait) in (2..).zip(terms.schedule.delays()) {
        let after = turns[turns.len() - 1].after + *wait;
        turns.push(Turn { number, wait: Some(*wait), after });
    }
    let shortest = turns[turns.len() - 1].after;
    let jitter_percent = terms.schedule.jitter_percent();
    let jitter = terms.schedule.delays().iter().map(|delay| delay.ms() * i64::from(jitter_percent) / 100).sum();
    let timeouts = Span::from_ms(terms.timeout.ms() * i64::from(terms.schedule.attempts()));
    let overridden = overridden(overrides);
    let is_overridden = |what: &str| overridden.iter().any(|(overridden, _)| *overridden == what);
    Timetable {
        endpoint,
        profile: name,
        turns,
        shortest,
        longest: shortest + Span::from_ms(jitter) + timeouts,
        jitter_percent,
        timeout: terms.timeout,
        success: terms.success,
        late_after: terms.late_after,
        obeys_retry_after: terms.obeys_retry_after,
        gone_disables: terms.gone_disables,
        sources: provider::profile(name).sources.iter().copied().filter(|(what, _)| !is_overridden(what)).collect(),
        overrides: overridden,
    }
}

/// What an endpoint has instead of its profile's: what concerns time and success only, as headers may be secret.
fn overridden(overrides: &Overrides) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if let Some(timeout) = overrides.timeout {
        all.push(("timeout", timeout.to_string()));
    }
    if let Some(delays) = &overrides.schedule {
        all.push(("schedule", spans(delays)));
    }
    if let Some(success) = &overrides.success {
        all.push(("success", success.to_string()));
    }
    if let Some(concurrency) = overrides.concurrency {
        all.push(("concurrency", format!("{concurrency} at once")));
    }
    if let Some(rate) = overrides.rate {
        all.push(("rate", format!("{rate} per second")));
    }
    all
}

/// `30 s, 1 min, 10 min (4 times)`, or `no retries`.
pub fn spans(delays: &[Span]) -> String {
    let mut runs: Vec<(Span, u32)> = Vec::new();
    for delay in delays {
        match runs.last_mut() {
            Some((span, times)) if span == delay => *times += 1,
            Some(_) | None => runs.push((*delay, 1)),
        }
    }
    let run = |(span, times): &(Span, u32)| match times {
        1 => span.to_string(),
        _ => format!("{span} ({times} times)"),
    };
    match runs.is_empty() {
        true => "no retries".to_owned(),
        false => runs.iter().map(run).collect::<Vec<_>>().join(", "),
    }
}
