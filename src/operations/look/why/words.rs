//! Outcomes and rules in words that can stand in a sentence.

use crate::delivery::{Attempt, Outcome, Stage};
use crate::endpoint::{Endpoint, ProfileName};
use crate::operations::look::redacted;
use crate::operations::look::timetable::spans;
use crate::plain::plain;
use crate::provider::{self, Terms};
use crate::time::Span;

/// What came of an attempt, as the end of a sentence that begins with it.
pub fn outcome(attempt: &Attempt, endpoint: &Endpoint, terms: &Terms) -> String {
    let took = Span::from_ms(i64::try_from(attempt.timings.total_us / 1000).unwrap_or(i64::MAX));
    let remote = attempt.remote.as_deref().map_or(String::new(), |remote| format!(" by {}", plain(remote)));
    let address = attempt.remote.as_deref().map_or(String::new(), |remote| format!(" ({})", plain(remote)));
    match &attempt.outcome {
        Outcome::Accepted { status, late: false } => format!("was accepted with status {status} after {took}{remote}"),
        Outcome::Accepted { status, late: true } => format!(
            "was accepted with status {status} after {took}{remote}, late: the receiver's side of the contract is {}{}",
            terms.late_after.map_or("sooner".to_owned(), |limit| limit.to_string()),
            in_brackets(endpoint.profile, "late_after")
        ),
        Outcome::Rejected { status: status @ 300..=399 } => {
            let where_to = match attempt.location.as_deref() {
                Some(location) => format!("to {}", plain(&redacted(location))),
                None => "to nowhere".to_owned(),
            };
            format!(
                "was rejected with status {status}{remote}, a redirect {where_to}, and redirects are never followed"
            )
        }
        Outcome::Rejected { status: status @ 200..=299 } => format!(
            "was rejected with status {status}{remote}, as only {} is success by {}",
            terms.success,
            cited(endpoint, "success")
        ),
        Outcome::Rejected { status } => format!("was rejected with status {status}{remote}"),
        Outcome::TimedOut { stage } => {
            let doing = match stage {
                Stage::Dns => "looking up the receiver's name".to_owned(),
                Stage::Connect => format!("connecting to the receiver{address}"),
                Stage::Tls => format!("in the TLS handshake with the receiver{address}"),
                Stage::Answer => format!("waiting for the receiver's answer{address}"),
            };
            format!("timed out after {took} {doing}; the limit is {} by {}", terms.timeout, cited(endpoint, "timeout"))
        }
        Outcome::Unreachable { stage, error } => {
            let failed = match stage {
                Stage::Dns => "could not find the receiver's address".to_owned(),
                Stage::Connect => format!("could not connect to the receiver{address}"),
                Stage::Tls => format!("could not agree on TLS with the receiver{address}"),
                Stage::Answer => format!("got no answer from the receiver{address}"),
            };
            format!("{failed}: {}", plain(error))
        }
        Outcome::Blocked { reason } => format!("was blocked here before anything was sent: {}", plain(reason)),
        Outcome::Unknown => {
            "was cut off before its outcome was recorded, so the receiver may or may not have got it".to_owned()
        }
    }
}

/// Who says so: the endpoint's override, or the profile with its document.
pub fn cited(endpoint: &Endpoint, what: &str) -> String {
    let overrides = &endpoint.overrides;
    let own = match what {
        "schedule" => overrides.schedule.as_ref().map(|delays| spans(delays)),
        "timeout" => overrides.timeout.map(|timeout| timeout.to_string()),
        "success" => overrides.success.as_ref().map(|success| success.to_string()),
        _ => None,
    };
    match own {
        Some(own) => format!("the endpoint's own {what} ({own}), which overrides that of profile {}", endpoint.profile),
        None => format!("profile {}{}", endpoint.profile, in_brackets(endpoint.profile, what)),
    }
}

/// ` (Ensuro, Callback notifications: status 200)`, or nothing if no document says it.
pub fn in_brackets(profile: ProfileName, what: &str) -> String {
    let profile = provider::profile(profile);
    let source = profile.sources.iter().find(|(known, _)| *known == what);
    source.map_or(String::new(), |(_, source)| format!(" ({source})"))
}
