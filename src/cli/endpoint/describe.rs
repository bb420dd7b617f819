//! An endpoint as it is shown: the terms that hold for it, which of them it overrides, and the public half of its keys.
//! Left out because they may be secrets: keys, values of headers, and values in the URL's query.

use serde_json::{Value, json as object};
use url::Url;

use crate::calendar::rfc3339;
use crate::cli::output::{self, Tint, terminal, tinted};
use crate::cli::{Context, Failure};
use crate::endpoint::{Endpoint, EndpointState, Scheme};
use crate::provider::{self, Profile, Terms};
use crate::schedule::Schedule;
use crate::signature::{self, EIP191_HEADER, HMAC_HEADER};

pub fn state(state: &EndpointState) -> String {
    match state {
        EndpointState::Active => tinted(Tint::Good, "active"),
        EndpointState::Paused { since } => format!("{} since {}", tinted(Tint::Waiting, "paused"), rfc3339(*since)),
        EndpointState::Disabled { since, reason } => {
            format!("{} since {}: it {}", tinted(Tint::Bad, "disabled"), rfc3339(*since), terminal(reason))
        }
        EndpointState::Removed { since } => format!("{} since {}", tinted(Tint::Faint, "removed"), rfc3339(*since)),
    }
}

/// `hmac`, `v1, v1a`, or `nothing`.
pub fn schemes(endpoint: &Endpoint) -> String {
    let schemes: Vec<&str> = endpoint.keys.iter().map(|key| key.scheme.as_str()).collect();
    if schemes.is_empty() { "nothing".to_owned() } else { schemes.join(", ") }
}

pub fn subscriptions(endpoint: &Endpoint) -> String {
    let types: Vec<&str> = endpoint.subscriptions.iter().map(|wanted| wanted.as_str()).collect();
    if types.is_empty() { "all".to_owned() } else { types.join(", ") }
}

/// The URL without the values in its query: receivers keep tokens there.
pub fn url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return "***".to_owned() };
    let Some(query) = url.query() else { return text.to_owned() };
    let hidden = |pair: &str| match pair.split_once('=') {
        Some((name, _)) => format!("{name}=***"),
        None => "***".to_owned(),
    };
    let query: Vec<String> = query.split('&').map(hidden).collect();
    url.set_query(Some(&query.join("&")));
    url.into()
}

/// `11 attempts: at once, then after 30 s, 1 min, 10 min x 5`.
fn schedule(schedule: &Schedule) -> String {
    let mut waits: Vec<(String, u32)> = Vec::new();
    for delay in schedule.delays().iter().map(ToString::to_string) {
        match waits.last_mut() {
            Some((last, times)) if *last == delay => *times += 1,
            Some(_) | None => waits.push((delay, 1)),
        }
    }
    let waits: Vec<String> =
        waits.into_iter().map(|(delay, times)| if times == 1 { delay } else { format!("{delay} x {times}") }).collect();
    let late = match schedule.jitter_percent() {
        0 => String::new(),
        percent => format!(", each up to {percent} % later"),
    };
    match waits.is_empty() {
        true => "1 attempt".to_owned(),
        false => format!("{} attempts; waits {}{late}", schedule.attempts(), waits.join(", ")),
    }
}

fn keys(endpoint: &Endpoint) -> Vec<String> {
    let shown = |key| match signature::public_of(key) {
        Some(public) => format!("{} by {public}", key.scheme),
        None => format!("{} with a shared secret", key.scheme),
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

/// All but what changes while it is served.
pub fn print(endpoint: &Endpoint, context: &Context) -> Result<(), Failure> {
    for (label, value) in rows(endpoint, context) {
        output::line(&format!("{label:<13}  {value}"))?;
    }
    Ok(())
}

fn rows(endpoint: &Endpoint, context: &Context) -> Vec<(&'static str, String)> {
    let overrides = &endpoint.overrides;
    let profile = &provider::profile(endpoint.profile);
    let terms = provider::terms(endpoint.profile, overrides);
    let concurrency = context.loaded.config.delivery.concurrency_per_endpoint;
    let mut rows = vec![
        ("name", endpoint.label()),
        ("state", state(&endpoint.state)),
        ("url", terminal(&url(&endpoint.url))),
        ("profile", endpoint.profile.to_string()),
        ("subscriptions", subscriptions(endpoint)),
    ];
    rows.extend(keys(endpoint).into_iter().map(|key| ("signed with", key)));
    if let Some(name) = signature_header(endpoint) {
        let theirs = theirs(endpoint).unwrap_or_default();
        rows.push(("in header", beside(name, overrides.signature_header.is_some(), profile, theirs)));
    }
    let timeout = beside(terms.timeout.to_string(), overrides.timeout.is_some(), profile, &profile.timeout.to_string());
    rows.push(("timeout", timeout));
    rows.push((
        "schedule",
        beside(schedule(&terms.schedule), overrides.schedule.is_some(), profile, &schedule(&profile.schedule)),
    ));
    let success = beside(terms.success.to_string(), overrides.success.is_some(), profile, &profile.success.to_string());
    rows.push(("success", success));
    rows.extend(overrides.headers.iter().map(|(name, _)| ("header", format!("{}: ***", terminal(name)))));
    rows.push(match overrides.concurrency {
        Some(own) => ("concurrency", format!("{own} (configuration: {concurrency})")),
        None => ("concurrency", concurrency.to_string()),
    });
    rows.push(("rate", overrides.rate.map_or_else(|| "no limit".to_owned(), |rate| format!("{rate} per second"))));
    rows.push(("added", rfc3339(endpoint.created_at)));
    rows
}

/// The name of the header with Ensuro's signature.
fn signature_header(endpoint: &Endpoint) -> Option<String> {
    let theirs = theirs(endpoint)?;
    Some(endpoint.overrides.signature_header.clone().unwrap_or_else(|| theirs.to_owned()).to_ascii_lowercase())
}

fn theirs(endpoint: &Endpoint) -> Option<&'static str> {
    endpoint.keys.iter().find_map(|key| match key.scheme {
        Scheme::Hmac => Some(HMAC_HEADER),
        Scheme::Eip191 => Some(EIP191_HEADER),
        Scheme::V1 | Scheme::V1a => None,
    })
}

pub fn json(endpoint: &Endpoint, context: &Context) -> Value {
    let overrides = &endpoint.overrides;
    let Terms { timeout, schedule, success, .. } = provider::terms(endpoint.profile, overrides);
    let (state, since, reason) = match &endpoint.state {
        EndpointState::Active => ("active", None, None),
        EndpointState::Paused { since } => ("paused", Some(rfc3339(*since)), None),
        EndpointState::Disabled { since, reason } => ("disabled", Some(rfc3339(*since)), Some(reason)),
        EndpointState::Removed { since } => ("removed", Some(rfc3339(*since)), None),
    };
    let keys: Vec<Value> = endpoint
        .keys
        .iter()
        .map(|key| object!({"scheme": key.scheme.as_str(), "public": signature::public_of(key)}))
        .collect();
    let delays: Vec<i64> = schedule.delays().iter().map(|delay| delay.ms()).collect();
    let headers: Vec<&str> = overrides.headers.iter().map(|(name, _)| name.as_str()).collect();
    let types: Vec<&str> = endpoint.subscriptions.iter().map(|wanted| wanted.as_str()).collect();
    object!({
        "name": endpoint.label(),
        "state": state,
        "since": since,
        "reason": reason,
        "url": url(&endpoint.url),
        "profile": endpoint.profile.as_str(),
        "subscriptions": types,
        "keys": keys,
        "signature_header": signature_header(endpoint),
        "timeout_ms": timeout.ms(),
        "schedule_ms": delays,
        "jitter_percent": schedule.jitter_percent(),
        "attempts": schedule.attempts(),
        "success": success.to_string(),
        "headers": headers,
        "concurrency": overrides.concurrency.unwrap_or(context.loaded.config.delivery.concurrency_per_endpoint),
        "rate_per_second": overrides.rate,
        "overrides": overridden(endpoint),
        "created_at": rfc3339(endpoint.created_at),
    })
}

/// What the endpoint wants otherwise, by the names above.
fn overridden(endpoint: &Endpoint) -> Vec<&'static str> {
    let overrides = &endpoint.overrides;
    let all = [
        ("signature_header", overrides.signature_header.is_some()),
        ("timeout_ms", overrides.timeout.is_some()),
        ("schedule_ms", overrides.schedule.is_some()),
        ("success", overrides.success.is_some()),
        ("headers", !overrides.headers.is_empty()),
        ("concurrency", overrides.concurrency.is_some()),
        ("rate_per_second", overrides.rate.is_some()),
    ];
    all.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    #[test]
    fn a_url_keeps_its_tokens_to_itself() {
        assert_eq!(url("https://a.example/hook"), "https://a.example/hook");
        assert_eq!(url("https://a.example/hook?token=t0p&x=1"), "https://a.example/hook?token=***&x=***");
        assert_eq!(url("https://a.example/hook?t0p"), "https://a.example/hook?***");
    }

    #[test]
    fn a_schedule_reads_as_a_sentence() {
        let doubling = Schedule::doubling(Span::from_seconds(30), Span::from_minutes(10), 10);
        assert_eq!(schedule(&doubling), "11 attempts; waits 30 s, 1 min, 2 min, 4 min, 8 min, 10 min x 5");
        let late = Schedule::listed(vec![Span::from_seconds(5)]).unwrap().with_jitter(10);
        assert_eq!(schedule(&late), "2 attempts; waits 5 s, each up to 10 % later");
        assert_eq!(schedule(&Schedule::listed(vec![]).unwrap()), "1 attempt");
    }
}
