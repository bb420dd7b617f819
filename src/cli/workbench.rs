//! What the verbs for a developer's own machine share: what may be reached, and words for what an endpoint did.
//! They are about the endpoint as its developer sees it, who can change it; `operations::look::advice` is for operators.

use url::{Host, Url};

use super::output::note;
use super::{Exit, Failure};
use crate::daemon::trial::Tried;
use crate::delivery::{DeadReason, Outcome, Stage, Verdict};
use crate::endpoint::{Endpoint, ProfileName};
use crate::operations::Refused;
use crate::provider::{self, EXPRESS_BODY_LIMIT, Terms};

/// Says what is allowed here and not elsewhere, if the endpoint at `url` needs it.
pub fn say_what_is_allowed(verb: &str, url: &str) {
    let Ok(url) = Url::parse(url) else { return };
    let own = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "http" || own {
        note(&format!(
            "{verb}: http and addresses of this machine are allowed here; `postrider serve` refuses both by default"
        ));
    }
}

/// A URL of http or https. Fails with a sentence that does not repeat what was given.
pub fn check_is_url(flag: &str, text: &str) -> Result<(), Failure> {
    match text.starts_with("http://") || text.starts_with("https://") {
        true => Ok(()),
        false => Err(Failure::new(Exit::Data, format!("{flag} is a URL, such as http://localhost:3000/hook"))),
    }
}

/// The refusal of a URL, with what may be done about an address that is not allowed.
pub fn with_allowed_addresses(refused: Refused) -> Failure {
    let failure = Failure::from(refused);
    match failure.message.contains(" is in ") {
        true => Failure::new(failure.exit, format!("{}; {MORE_ADDRESSES}", failure.message)),
        false => failure,
    }
}

const PLAIN: &str = "is it http:// and not https://?";
const MORE_ADDRESSES: &str = "safety.allow_addresses in config.toml allows more networks than this machine";

/// What follows from an attempt: `delivered`, `not delivered: the next attempt would be in 30 s (2 of 11)`.
pub fn verdict(tried: &Tried, terms: &Terms) -> String {
    let attempt = &tried.attempt;
    match (tried.verdict, &attempt.outcome) {
        (Verdict::Delivered, Outcome::Accepted { late: true, .. }) => {
            let limit = terms.late_after.map_or_else(String::new, |limit| format!(" within {limit}"));
            format!("delivered, but late: the answer must come{limit}")
        }
        (Verdict::Delivered, _) => "delivered".to_owned(),
        (Verdict::RetryAt(at), _) => {
            let (wait, next, all) = (at.since(attempt.finished_at), attempt.number + 1, terms.schedule.attempts());
            format!("not delivered; by the schedule the next attempt is in {wait} ({next} of {all})")
        }
        (Verdict::Dead(DeadReason::ScheduleUsedUp), _) => {
            format!("not delivered, and given up: that was the last of {} attempts", terms.schedule.attempts())
        }
        (Verdict::Dead(DeadReason::EndpointGone), _) => {
            "not delivered, and given up: 410 means that the endpoint is gone and wants nothing more".to_owned()
        }
    }
}

/// What the endpoint's developer can do about an attempt that was not accepted, or not in time. `size` is that of the
/// body in bytes.
pub fn hint(outcome: &Outcome, endpoint: &Endpoint, terms: &Terms, size: usize) -> Option<String> {
    let at_once = "answer first, and do the work afterwards";
    match outcome {
        Outcome::Accepted { late: true, .. } => Some(at_once.to_owned()),
        Outcome::Accepted { late: false, .. } => None,
        Outcome::Rejected { status } => rejected(*status, endpoint, terms, size),
        Outcome::TimedOut { stage: Stage::Answer } => {
            Some(format!("it took the request, and did not answer within {}: {at_once}", terms.timeout))
        }
        Outcome::TimedOut { stage: Stage::Tls } => Some(PLAIN.to_owned()),
        Outcome::TimedOut { stage: Stage::Dns | Stage::Connect } => {
            Some("is the host right, and does anything stand between that drops it?".to_owned())
        }
        Outcome::Unreachable { stage, error } => unreachable(*stage, error, endpoint),
        Outcome::Blocked { .. } => Some(MORE_ADDRESSES.to_owned()),
        Outcome::Unknown => None,
    }
}

fn rejected(status: u16, endpoint: &Endpoint, terms: &Terms, size: usize) -> Option<String> {
    let signed = !endpoint.keys.is_empty();
    let text = match status {
        200..=299 => format!("it must answer {}, nothing else counts", terms.success),
        300..=399 => "redirects are not followed: name the URL that it leads to".to_owned(),
        400 | 401 | 403 | 422 if signed => match endpoint.profile {
            ProfileName::Ensuro | ProfileName::Octamile => {
                "if it refuses the signature: is its secret or address the same, and is the body's raw bytes what it \
                 checks, not JSON that was parsed and written again?"
            }
            ProfileName::Standard => {
                "if it refuses the signature: is its secret the same, and is id.timestamp.body over the raw bytes what \
                 it checks?"
            }
        }
        .to_owned(),
        401 | 403 if provider::profile(endpoint.profile).schemes.is_empty() => {
            format!("{} notifications are not signed, and carry no other credentials", endpoint.profile)
        }
        401 | 403 => "nothing was signed here".to_owned(),
        404 => "is the URL's path right?".to_owned(),
        405 => "the endpoint must take POST".to_owned(),
        413 if size > EXPRESS_BODY_LIMIT => {
            format!("the body has {size} bytes; on Express, express.json({{limit: '10mb'}}) takes more than 100 kB")
        }
        413 => "the endpoint's limit for bodies is too low".to_owned(),
        415 => "the endpoint must take application/json".to_owned(),
        500..=599 => "its own log says why it failed".to_owned(),
        _ => return None,
    };
    Some(text)
}

fn unreachable(stage: Stage, error: &str, endpoint: &Endpoint) -> Option<String> {
    let text = match stage {
        Stage::Dns => "is the host's name right?",
        Stage::Connect => "is the receiver running, and is this its port?",
        Stage::Tls if error.contains("does not speak TLS") => PLAIN,
        Stage::Tls if error.contains("issuer") => "--ca FILE trusts a certificate authority of your own",
        Stage::Tls => "real deliveries go over verified TLS only, so its certificate must be in order",
        Stage::Answer if error.contains("cannot be read") => match endpoint.url.starts_with("http://") {
            true => "what stands there does not speak HTTP, or speaks it over TLS (https://)",
            false => "what stands there does not speak HTTP",
        },
        Stage::Answer => "did the receiver crash, or does it close connections?",
    };
    Some(text.to_owned())
}
