//! An endpoint as it is shown: the terms that hold for it, which of them it overrides, and the public half of its keys.
//! Left out because they may be secrets: keys, values of headers, and values in the URL's query.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Stamp;
use super::names::{EndpointStateWord, Profile, SchemeWord, since_and_reason};
use crate::endpoint::{Endpoint, Key, Scheme};
use crate::operations::look::{Pending, redacted};
use crate::provider::{self, Terms};
use crate::signature::{self, EIP191_HEADER, HMAC_HEADER};

/// The registered endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointsAnswer {
    pub endpoints: Vec<EndpointAnswer>,
}

impl EndpointsAnswer {
    /// Of those that somebody registered; `concurrency` is the configuration's.
    pub fn new(endpoints: &[Endpoint], concurrency: u32) -> Self {
        let registered = endpoints.iter().filter(|endpoint| endpoint.name.is_some());
        EndpointsAnswer { endpoints: registered.map(|endpoint| EndpointAnswer::new(endpoint, concurrency)).collect() }
    }
}

/// One receiver, and on which terms it is served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointAnswer {
    #[schema(example = "acme")]
    pub name: String,
    pub state: EndpointStateWord,
    /// Since when it is in this state; null while it is active.
    #[schema(required)]
    pub since: Option<Stamp>,
    /// Why it is disabled; null unless it is.
    #[schema(required)]
    pub reason: Option<String>,
    /// Without the values of its query.
    #[schema(example = "https://acme.example/hook?token=***")]
    pub url: String,
    pub profile: Profile,
    /// The event types (`policy/creation`) and families (`policy/*`) that it wants; empty for all of the profile's.
    pub subscriptions: Vec<String>,
    /// What it is signed with, newest first; empty for an unsigned profile.
    pub keys: Vec<KeyAnswer>,
    /// The name of the header that carries Ensuro's signature, in lower case; null for other profiles.
    #[schema(required)]
    pub signature_header: Option<String>,
    /// Of a whole attempt, in milliseconds.
    pub timeout_ms: i64,
    /// The wait before each retry, in milliseconds.
    pub schedule_ms: Vec<i64>,
    /// How much longer a wait may be, in percent of it; never shorter.
    pub jitter_percent: u8,
    /// How many attempts the schedule allows.
    pub attempts: u32,
    /// Which statuses mean that the receiver has the notification: `2xx`, or some with commas between.
    #[schema(example = "2xx")]
    pub success: String,
    /// The names of its further headers. Their values are never shown.
    pub headers: Vec<String>,
    /// Attempts in flight at once, at most.
    pub concurrency: u32,
    /// What the configuration allows instead; left out unless the endpoint has its own `concurrency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_configured: Option<u32>,
    /// Attempts begun per second, at most; null for no limit.
    #[schema(required)]
    pub rate_per_second: Option<u32>,
    /// Which of the fields above it wants otherwise than its profile and the configuration.
    pub overrides: Vec<String>,
    /// When it was added.
    pub created_at: Stamp,
    /// How many deliveries it is owed; left out where that is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u64>,
    /// `pending` was not counted to its end; left out where nothing is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_or_more: Option<bool>,
    /// The secret that was made for it, this once; left out at all other times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub secret: Option<Revealed>,
}

/// A secret or key, without what must stay secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KeyAnswer {
    pub scheme: SchemeWord,
    /// The public half: an Ethereum address or a `whpk_` key; null for a shared secret.
    #[schema(required)]
    pub public: Option<String>,
    /// When it signs no more, as a newer one took its place; left out if it signs for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Stamp, required = false)]
    pub until: Option<Stamp>,
}

/// A secret on its way to the one who asked for it: `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revealed(pub String);

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What became of a removed endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RemovedAnswer {
    /// The endpoint's name, which is free again.
    #[schema(example = "acme")]
    pub removed: String,
    /// How many pending deliveries ended as dead.
    pub ended: u64,
}

impl EndpointAnswer {
    /// `concurrency` is the configuration's, which holds unless the endpoint has its own.
    pub fn new(endpoint: &Endpoint, concurrency: u32) -> Self {
        let overrides = &endpoint.overrides;
        let Terms { timeout, schedule, success, .. } = provider::terms(endpoint.profile, overrides);
        let (since, reason) = since_and_reason(&endpoint.state);
        EndpointAnswer {
            name: endpoint.label(),
            state: (&endpoint.state).into(),
            since,
            reason,
            url: redacted(&endpoint.url),
            profile: endpoint.profile.into(),
            subscriptions: endpoint.subscriptions.iter().map(ToString::to_string).collect(),
            keys: endpoint.keys.iter().map(KeyAnswer::from).collect(),
            signature_header: signature_header(endpoint),
            timeout_ms: timeout.ms(),
            schedule_ms: schedule.delays().iter().map(|delay| delay.ms()).collect(),
            jitter_percent: schedule.jitter_percent(),
            attempts: schedule.attempts(),
            success: success.to_string(),
            headers: overrides.headers.iter().map(|(name, _)| name.clone()).collect(),
            concurrency: overrides.concurrency.unwrap_or(concurrency),
            concurrency_configured: overrides.concurrency.map(|_| concurrency),
            rate_per_second: overrides.rate,
            overrides: overridden(endpoint),
            created_at: Stamp(endpoint.created_at),
            pending: None,
            pending_or_more: None,
            secret: None,
        }
    }

    pub fn with_pending(self, pending: Pending) -> Self {
        EndpointAnswer { pending: Some(pending.count), pending_or_more: Some(pending.or_more), ..self }
    }

    /// Whether it wants the field of this name otherwise.
    pub fn overrides(&self, field: &str) -> bool {
        self.overrides.iter().any(|name| name == field)
    }
}

impl From<&Key> for KeyAnswer {
    fn from(key: &Key) -> Self {
        KeyAnswer { scheme: key.scheme.into(), public: signature::public_of(key), until: key.until.map(Stamp) }
    }
}

/// The name of the header with Ensuro's signature.
fn signature_header(endpoint: &Endpoint) -> Option<String> {
    let theirs = endpoint.keys.iter().find_map(|key| header_of(key.scheme))?;
    Some(endpoint.overrides.signature_header.as_deref().unwrap_or(theirs).to_ascii_lowercase())
}

/// In which header a scheme's signature goes, where that may be overridden.
pub fn header_of(scheme: Scheme) -> Option<&'static str> {
    match scheme {
        Scheme::Hmac => Some(HMAC_HEADER),
        Scheme::Eip191 => Some(EIP191_HEADER),
        Scheme::V1 | Scheme::V1a => None,
    }
}

/// What the endpoint wants otherwise, by the names above.
fn overridden(endpoint: &Endpoint) -> Vec<String> {
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
    all.into_iter().filter(|(_, is)| *is).map(|(name, _)| name.to_owned()).collect()
}
