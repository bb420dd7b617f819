//! An endpoint as a person sees it: the terms that hold for it, and beside those that it overrides what its profile says.

use crate::cli::Failure;
use crate::cli::output::{self, Tint, terminal, tinted};
use crate::operations::answer::{EndpointAnswer, EndpointStateWord, KeyAnswer, header_of};
use crate::provider::{self, Profile};
use crate::schedule::Schedule;
use crate::time::Span;

pub fn state(endpoint: &EndpointAnswer) -> String {
    let since = endpoint.since.map_or(String::new(), |since| format!(" since {since}"));
    match endpoint.state {
        EndpointStateWord::Active => tinted(Tint::Good, "active"),
        EndpointStateWord::Paused => format!("{}{since}", tinted(Tint::Waiting, "paused")),
        EndpointStateWord::Disabled => {
            let reason = terminal(endpoint.reason.as_deref().unwrap_or_default());
            format!("{}{since}: it {reason}", tinted(Tint::Bad, "disabled"))
        }
        EndpointStateWord::Removed => format!("{}{since}", tinted(Tint::Faint, "removed")),
    }
}

/// `hmac`, `v1, v1a`, or `nothing`; without what signs for a while only.
pub fn schemes(endpoint: &EndpointAnswer) -> String {
    let lasting = endpoint.keys.iter().filter(|key| key.until.is_none());
    let schemes: Vec<&str> = lasting.map(|key| key.scheme.scheme().as_str()).collect();
    if schemes.is_empty() { "nothing".to_owned() } else { schemes.join(", ") }
}

pub fn subscriptions(endpoint: &EndpointAnswer) -> String {
    match endpoint.subscriptions.is_empty() {
        true => "all".to_owned(),
        false => terminal(&endpoint.subscriptions.join(", ")),
    }
}

/// `3 pending deliveries`; `None` where they were not counted.
pub fn owed(endpoint: &EndpointAnswer) -> Option<String> {
    Some(match (endpoint.pending?, endpoint.pending_or_more) {
        (1, _) => "1 pending delivery".to_owned(),
        (count, Some(true)) => format!("{count} pending deliveries or more"),
        (count, Some(false) | None) => format!("{count} pending deliveries"),
    })
}

/// `11 attempts: at once, then after 30 s, 1 min, 10 min x 5`.
fn schedule(delays: impl Iterator<Item = Span>, jitter_percent: u8) -> String {
    let mut attempts = 1;
    let mut waits: Vec<(String, u32)> = Vec::new();
    for delay in delays.map(|delay| delay.to_string()) {
        attempts += 1;
        match waits.last_mut() {
            Some((last, times)) if *last == delay => *times += 1,
            Some(_) | None => waits.push((delay, 1)),
        }
    }
    let waits: Vec<String> =
        waits.into_iter().map(|(delay, times)| if times == 1 { delay } else { format!("{delay} x {times}") }).collect();
    let late = match jitter_percent {
        0 => String::new(),
        percent => format!(", each up to {percent} % later"),
    };
    match waits.is_empty() {
        true => "1 attempt".to_owned(),
        false => format!("{attempts} attempts; waits {}{late}", waits.join(", ")),
    }
}

fn theirs(theirs: &Schedule) -> String {
    schedule(theirs.delays().iter().copied(), theirs.jitter_percent())
}

fn keys(endpoint: &EndpointAnswer) -> Vec<String> {
    let until = |key: &KeyAnswer| key.until.map_or(String::new(), |until| format!(", until {until}"));
    let shown = |key: &KeyAnswer| match &key.public {
        Some(public) => format!("{} by {}{}", key.scheme.scheme(), terminal(public), until(key)),
        None => format!("{} with a shared secret{}", key.scheme.scheme(), until(key)),
    };
    match endpoint.keys.is_empty() {
        true => vec!["nothing: this profile is unsigned".to_owned()],
        false => endpoint.keys.iter().map(shown).collect(),
    }
}

/// A value, and beside it what the profile says if the endpoint overrides it.
fn beside(own: String, overridden: bool, profile: &Profile, theirs: &str) -> String {
    match overridden {
        true => format!("{own} ({}: {theirs})", profile.name),
        false => own,
    }
}

/// What it is, and what it is owed if that was counted.
pub fn print(endpoint: &EndpointAnswer) -> Result<(), Failure> {
    for (label, value) in rows(endpoint) {
        output::line(&format!("{label:<13}  {value}"))?;
    }
    Ok(())
}

fn rows(endpoint: &EndpointAnswer) -> Vec<(&'static str, String)> {
    let profile = &provider::profile(endpoint.profile.name());
    let terms = |field: &str, own: String, theirs: String| beside(own, endpoint.overrides(field), profile, &theirs);
    let mut rows = vec![
        ("name", terminal(&endpoint.name)),
        ("state", state(endpoint)),
        ("url", terminal(&endpoint.url)),
        ("profile", profile.name.to_string()),
        ("subscriptions", subscriptions(endpoint)),
    ];
    rows.extend(keys(endpoint).into_iter().map(|key| ("signed with", key)));
    if let Some(name) = &endpoint.signature_header {
        let theirs = endpoint.keys.iter().find_map(|key| header_of(key.scheme.scheme())).unwrap_or_default();
        rows.push(("in header", terms("signature_header", terminal(name), theirs.to_owned())));
    }
    let timeout = Span::from_ms(endpoint.timeout_ms).to_string();
    rows.push(("timeout", terms("timeout_ms", timeout, profile.timeout.to_string())));
    let delays = endpoint.schedule_ms.iter().copied().map(Span::from_ms);
    let own = schedule(delays, endpoint.jitter_percent);
    rows.push(("schedule", terms("schedule_ms", own, theirs(&profile.schedule))));
    rows.push(("success", terms("success", terminal(&endpoint.success), profile.success.to_string())));
    rows.extend(endpoint.headers.iter().map(|name| ("header", format!("{}: ***", terminal(name)))));
    rows.push(match endpoint.concurrency_configured {
        Some(configured) => ("concurrency", format!("{} (configuration: {configured})", endpoint.concurrency)),
        None => ("concurrency", endpoint.concurrency.to_string()),
    });
    let rate = endpoint.rate_per_second.map_or("no limit".to_owned(), |rate| format!("{rate} per second"));
    rows.push(("rate", rate));
    rows.push(("added", endpoint.created_at.to_string()));
    rows.extend(owed(endpoint).map(|owed| ("owed", owed)));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_reads_as_a_sentence() {
        let doubling = Schedule::doubling(Span::from_seconds(30), Span::from_minutes(10), 10);
        assert_eq!(theirs(&doubling), "11 attempts; waits 30 s, 1 min, 2 min, 4 min, 8 min, 10 min x 5");
        let late = Schedule::listed(vec![Span::from_seconds(5)]).unwrap().with_jitter(10);
        assert_eq!(theirs(&late), "2 attempts; waits 5 s, each up to 10 % later");
        assert_eq!(theirs(&Schedule::listed(vec![]).unwrap()), "1 attempt");
    }
}
