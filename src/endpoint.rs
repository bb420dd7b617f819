//! An endpoint: one receiver, what it may be sent, and what it is signed with.
//! Knows the words only; what a profile promises stands in `provider`, how a scheme signs in `signature`.

use std::fmt;

use crate::event::Subscription;
use crate::time::{Span, Time};

/// The store's number of an endpoint. Its deliveries are the lane of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub i64);

/// One receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub id: EndpointId,
    /// `None`: nobody registered it, it came as the URL of a one-off event.
    pub name: Option<EndpointName>,
    /// As `url::Url` serialises it.
    pub url: String,
    pub profile: ProfileName,
    /// Empty: all types that the profile knows.
    pub subscriptions: Vec<Subscription>,
    pub overrides: Overrides,
    /// Newest first. While keys rotate, all of them sign where the scheme allows several signatures.
    pub keys: Vec<Key>,
    pub state: EndpointState,
    pub created_at: Time,
}

impl Endpoint {
    /// The name, or `one-off-ID` for a receiver that nobody registered.
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => name.to_string(),
            None => format!("one-off-{}", self.id.0),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointState {
    Active,
    /// A person paused it: it is still owed new events, but nothing is sent until it is resumed, and nothing is ended.
    Paused {
        since: Time,
    },
    /// It answered 410: nothing more is owed to it.
    Disabled {
        since: Time,
        reason: String,
    },
    /// A person removed it; its row stays for the history of its deliveries.
    Removed {
        since: Time,
    },
}

impl EndpointState {
    /// New events are owed to it, and what it is owed is kept.
    pub const fn is_owed(&self) -> bool {
        match self {
            EndpointState::Active | EndpointState::Paused { .. } => true,
            EndpointState::Disabled { .. } | EndpointState::Removed { .. } => false,
        }
    }
}

/// `[A-Za-z0-9_-]{1,64}`, beginning with a letter or digit, and not `one-off-…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointName(String);

impl EndpointName {
    /// Fails with a sentence that says what a name may be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fits = (1..=64).contains(&text.len())
            && text.as_bytes()[0].is_ascii_alphanumeric()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            && !text.starts_with("one-off-");
        match fits {
            true => Ok(EndpointName(text.to_owned())),
            false => Err(format!(
                "an endpoint's name has 1 to 64 characters out of A-Z a-z 0-9 _ -, begins with a letter or digit and \
                 not with one-off-; {text:?} does not fit"
            )),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose promises an endpoint is served by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileName {
    Ensuro,
    Octamile,
    Standard,
}

impl ProfileName {
    pub const ALL: [ProfileName; 3] = [ProfileName::Ensuro, ProfileName::Octamile, ProfileName::Standard];

    pub fn parse(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or_else(|| format!("a profile is ensuro, octamile or standard; {text:?} is none of them"))
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            ProfileName::Ensuro => "ensuro",
            ProfileName::Octamile => "octamile",
            ProfileName::Standard => "standard",
        }
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one endpoint wants otherwise than its profile. `None` and empty mean: as the profile says. `Debug` leaves out the
/// values of headers: they may hold secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    pub timeout: Option<Span>,
    /// The wait before each retry, in order; their number is the number of retries.
    pub schedule: Option<Vec<Span>>,
    pub success: Option<Success>,
    /// The name of the header that carries Ensuro's signature.
    pub signature_header: Option<String>,
    /// Sent besides the profile's own, in this order.
    pub headers: Vec<(String, String)>,
    /// Attempts in flight at once.
    pub concurrency: Option<u32>,
    /// Attempts begun per second.
    pub rate: Option<u32>,
}

impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<(&str, Secret)> =
            self.headers.iter().map(|(name, _)| (name.as_str(), Secret(Vec::new()))).collect();
        f.debug_struct("Overrides")
            .field("timeout", &self.timeout)
            .field("schedule", &self.schedule)
            .field("success", &self.success)
            .field("signature_header", &self.signature_header)
            .field("headers", &headers)
            .field("concurrency", &self.concurrency)
            .field("rate", &self.rate)
            .finish()
    }
}

/// Which status codes mean that the receiver has the notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Success {
    /// 200 to 299.
    Any2xx,
    /// Just these, each within 200 to 299.
    Codes(Vec<u16>),
}

impl Success {
    pub fn contains(&self, status: u16) -> bool {
        match self {
            Success::Any2xx => (200..300).contains(&status),
            Success::Codes(codes) => codes.contains(&status),
        }
    }

    /// `2xx`, or codes between 200 and 299 with commas: `200,202`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "2xx" {
            return Ok(Success::Any2xx);
        }
        let code = |part: &str| part.trim().parse::<u16>().ok().filter(|code| (200..300).contains(code));
        let codes: Option<Vec<u16>> = text.split(',').map(code).collect();
        codes.map(Success::Codes).ok_or_else(|| {
            format!(
                "success codes are 2xx, or codes from 200 to 299 with commas between (200,202); {text:?} is neither"
            )
        })
    }
}

impl fmt::Display for Success {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Success::Any2xx => f.write_str("2xx"),
            Success::Codes(codes) => {
                let codes: Vec<String> = codes.iter().map(u16::to_string).collect();
                f.write_str(&codes.join(","))
            }
        }
    }
}

/// A signature algorithm, by what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Ensuro, symmetric: hex HMAC-SHA256 of the body in `X-Ensuro-Signature`.
    Hmac,
    /// Ensuro, asymmetric: EIP-191 personal_sign of the body's hex SHA-256 in `X-EIP191-Signature`.
    Eip191,
    /// Standard Webhooks, symmetric: `v1,` + base64 HMAC-SHA256 of `id.timestamp.body`.
    V1,
    /// Standard Webhooks, asymmetric: `v1a,` + base64 ed25519 of `id.timestamp.body`.
    V1a,
}

impl Scheme {
    pub const ALL: [Scheme; 4] = [Scheme::Hmac, Scheme::Eip191, Scheme::V1, Scheme::V1a];

    pub fn parse(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.as_str() == text)
            .ok_or_else(|| format!("a scheme is hmac, eip191, v1 or v1a; {text:?} is none of them"))
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Hmac => "hmac",
            Scheme::Eip191 => "eip191",
            Scheme::V1 => "v1",
            Scheme::V1a => "v1a",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A secret and what it signs with. The bytes are what the scheme computes with, not the text they were read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub scheme: Scheme,
    pub secret: Secret,
    /// It signs nothing from then on; `None`: it signs for good.
    pub until: Option<Time>,
}

impl Key {
    pub fn signs_at(&self, now: Time) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Bytes that nobody may see: `Debug` prints `***`, and they are overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Secret(bytes)
    }

    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the compiler from leaving out a write that nobody reads.
        std::hint::black_box(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_in_debug() {
        let key = Key { scheme: Scheme::Hmac, secret: Secret::new(b"topsecret".to_vec()), until: None };
        assert_eq!(format!("{key:?}"), "Key { scheme: Hmac, secret: ***, until: None }");
        let headers = vec![("authorization".to_owned(), "Bearer topsecret".to_owned())];
        let overrides = format!("{:?}", Overrides { headers, ..Overrides::default() });
        assert!(overrides.contains("(\"authorization\", ***)") && !overrides.contains("topsecret"), "{overrides}");
    }

    #[test]
    fn success_codes_never_include_a_redirect_or_an_error() {
        assert!(Success::parse("2xx").unwrap().contains(204));
        let two = Success::parse("200, 202").unwrap();
        assert!(two.contains(202) && !two.contains(201));
        assert_eq!(two.to_string(), "200,202");
        for bad in ["", "302", "200-299", "200,,201", "200,404", "ok"] {
            assert!(Success::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_leave_the_one_off_space_alone() {
        assert!(EndpointName::parse("acme-2").is_ok());
        for bad in ["", "-a", "a b", "one-off-3", "a.b", "ä"] {
            assert!(EndpointName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
