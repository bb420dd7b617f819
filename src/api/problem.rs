//! Problems: the one shape in which the API refuses (RFC 9457), and the closed list of reasons.
//! Whatever a caller wrote passes through `plain` before it stands in one, and none ever holds a secret.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::operations::answer;
use crate::plain::{plain, plain_json};

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What `type` begins with; the name of the kind follows.
const URN: &str = "urn:postrider:problem:";

/// Why a request was refused or failed: the answer's body, as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:postrider:problem:` and the name of the problem: what programs compare.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "urn:postrider:problem:not-found")]
    pub kind: Kind,
    /// The problem in a few words, the same for every problem of this type.
    #[schema(example = "Not found")]
    pub title: String,
    /// The HTTP status, again.
    #[schema(example = 404)]
    pub status: u16,
    /// What is wrong with this request, and what to do about it.
    #[schema(example = "there is no event \"order-17\"; GET /v1/deliveries lists what there is")]
    pub detail: String,
    /// Each place in the request's JSON that is wrong, where that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// Seconds after which to ask again; the `Retry-After` header.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

/// One place in a request's JSON, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// A JSON pointer (RFC 6901) into the request's body; empty: the body itself.
    #[schema(example = "/deliver_to/0")]
    pub pointer: String,
    /// What is wrong there, and what is allowed.
    pub detail: String,
}

impl Problem {
    /// A problem of this kind. `detail` says what is wrong and what to do.
    pub fn new(kind: Kind, detail: impl AsRef<str>) -> Self {
        Problem {
            kind,
            title: kind.title().to_owned(),
            status: kind.status().as_u16(),
            detail: plain(detail.as_ref()),
            errors: Vec::new(),
            retry_after: kind.retry_after(),
        }
    }

    /// The same, with one more place.
    #[must_use]
    pub fn at(mut self, pointer: impl AsRef<str>, detail: impl AsRef<str>) -> Self {
        self.errors.push(Fault { pointer: plain(pointer.as_ref()), detail: plain(detail.as_ref()) });
        self
    }

    /// One member of the request's JSON is wrong.
    pub fn envelope(pointer: &str, detail: impl AsRef<str>) -> Self {
        Problem::new(Kind::InvalidEnvelope, detail.as_ref()).at(pointer, detail)
    }

    /// As a part of a larger answer.
    pub fn within(self) -> answer::Problem {
        answer::Problem {
            problem_type: self.kind.urn(),
            title: self.title,
            status: self.status,
            detail: self.detail,
            errors: self
                .errors
                .into_iter()
                .map(|fault| answer::PointedProblem { pointer: fault.pointer, detail: fault.detail })
                .collect(),
        }
    }

    /// A fault of ours. What it was is for the log, not for the caller.
    pub fn internal() -> Self {
        Problem::new(Kind::Internal, "postrider failed at this request; its log says why, and it may work if repeated")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = plain_json(&serde_json::to_string(&self).expect("a problem is texts and numbers"));
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.kind.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"postrider\""));
        }
        if self.kind == Kind::Draining {
            // Another daemon may stand behind the same address by then.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

macro_rules! kinds {
    ($($(#[doc = $meaning:literal])+ $kind:ident = $name:literal, $status:ident, $title:literal;)+) => {
        /// Every reason that there is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[doc = $meaning])+ $kind,)+
        }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$kind),+];

            /// The last part of `type`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)+
                }
            }

            pub const fn status(self) -> StatusCode {
                match self {
                    $(Kind::$kind => StatusCode::$status,)+
                }
            }

            pub const fn title(self) -> &'static str {
                match self {
                    $(Kind::$kind => $title,)+
                }
            }

            /// When it happens and what a caller does then: a sentence for the reference.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Kind::$kind => concat!($($meaning),+).trim_start(),)+
                }
            }
        }
    };
}

kinds! {
    /// The body is not JSON; `detail` tells the line and column.
    MalformedJson = "malformed-json", BAD_REQUEST, "Malformed JSON";
    /// The body is JSON by its type, but not UTF-8.
    BadUtf8 = "bad-utf-8", BAD_REQUEST, "Not UTF-8";
    /// The JSON nests deeper than 128 levels.
    TooDeep = "too-deep", BAD_REQUEST, "Nested too deeply";
    /// A parameter of the URL or a header is unknown, repeated or cannot be read.
    InvalidParameter = "invalid-parameter", BAD_REQUEST, "Invalid parameter";
    /// The JSON does not have the members that the route wants; `errors` points at each.
    InvalidEnvelope = "invalid-envelope", UNPROCESSABLE_ENTITY, "Invalid members";
    /// What was asked for breaks a rule: of the event's type, its profile, a URL, a key.
    InvalidEvent = "invalid-event", UNPROCESSABLE_ENTITY, "Against a rule";
    /// The body names an endpoint that there is not.
    UnknownEndpoint = "unknown-endpoint", UNPROCESSABLE_ENTITY, "Unknown endpoint";
    /// The URL names nothing that there is.
    NotFound = "not-found", NOT_FOUND, "Not found";
    /// The event's id was used before, for something else.
    IdTaken = "id-taken", UNPROCESSABLE_ENTITY, "The id is taken";
    /// The idempotency key was used before, for something else.
    KeyTaken = "key-taken", UNPROCESSABLE_ENTITY, "The idempotency key is taken";
    /// A request with the same idempotency key is under way; ask again when it has its answer.
    InProgress = "in-progress", CONFLICT, "In progress";
    /// It contradicts what is stored: a name that is taken, an endpoint that is gone.
    Conflict = "conflict", CONFLICT, "Conflict";
    /// The body has more bytes than `store.max_body_bytes` allows.
    TooLarge = "too-large", PAYLOAD_TOO_LARGE, "Too large";
    /// The route does not take bodies of this content type.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type";
    /// The body did not arrive within `api.request_timeout_ms`.
    SlowRequest = "slow-request", REQUEST_TIMEOUT, "Too slow";
    /// A token is needed and there was none, or one that is not known.
    Unauthorized = "unauthorized", UNAUTHORIZED, "A token is needed";
    /// The token is known, but its scope does not reach so far.
    Forbidden = "forbidden", FORBIDDEN, "Beyond the token's scope";
    /// A web page of another origin asked; browsers may not do that.
    ForeignOrigin = "foreign-origin", FORBIDDEN, "Foreign origin";
    /// The `Host` header names a host that is not this one; `api.allow_hosts` lists further names.
    WrongHost = "wrong-host", MISDIRECTED_REQUEST, "Wrong host";
    /// The URL is right and the method is not; `Allow` lists those that are.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// `If-Match` names a version that has been replaced since; read it again.
    PreconditionFailed = "precondition-failed", PRECONDITION_FAILED, "Precondition failed";
    /// More is under way than the limits allow; nothing was stored, ask again after `Retry-After` seconds.
    Busy = "busy", SERVICE_UNAVAILABLE, "Busy";
    /// The daemon was asked to stop and takes nothing new; ask again after `Retry-After` seconds.
    Draining = "draining", SERVICE_UNAVAILABLE, "Draining";
    /// The store does not work now; nothing was stored, ask again after `Retry-After` seconds.
    StoreUnavailable = "store-unavailable", SERVICE_UNAVAILABLE, "Store unavailable";
    /// A fault of postrider's own; its log says more.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal error";
}

impl Kind {
    /// Seconds.
    const fn retry_after(self) -> Option<u32> {
        if matches!(self, Kind::Busy) {
            return Some(1);
        }
        if matches!(self, Kind::Draining | Kind::StoreUnavailable) { Some(5) } else { None }
    }

    /// The whole `type`.
    pub fn urn(self) -> String {
        format!("{URN}{}", self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.urn())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let urn = String::deserialize(deserializer)?;
        let known = Kind::ALL.iter().find(|kind| urn.strip_prefix(URN) == Some(kind.name()));
        known.copied().ok_or_else(|| serde::de::Error::custom(format!("{urn:?} is no problem of postrider")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_reads_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::ALL.iter().filter(|other| other.name() == kind.name()).count(), 1);
            assert!(kind.name().bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'-' | b'8')), "{}", kind.name());
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
            assert!(kind.meaning().ends_with('.') && !kind.meaning().contains("  "), "{}", kind.meaning());
            let problem = Problem::new(*kind, "detail").at("/a", "b");
            let json = serde_json::to_string(&problem).unwrap();
            let read: Problem = serde_json::from_str(&json).unwrap();
            assert_eq!(read, Problem { retry_after: None, ..problem });
        }
        assert_eq!(Kind::ALL.len(), 25);
    }

    #[test]
    fn the_shape_is_that_of_rfc_9457_with_plain_texts() {
        let problem = Problem::new(Kind::InvalidEnvelope, "a \u{1b}[31m b").at("/x\u{202e}", "odd\n");
        assert_eq!(
            serde_json::to_string(&problem).unwrap(),
            r#"{"type":"urn:postrider:problem:invalid-envelope","title":"Invalid members","status":422,"#.to_owned()
                + r#""detail":"a \\u{1b}[31m b","errors":[{"pointer":"/x\\u{202e}","detail":"odd\\u{a}"}]}"#
        );
        assert!(!serde_json::to_string(&Problem::internal()).unwrap().contains("errors"));
    }

    #[test]
    fn the_headers_say_what_to_do() {
        let header = |kind, name| {
            let response = Problem::new(kind, "").into_response();
            assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
            assert_eq!(response.status(), kind.status());
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header(Kind::Unauthorized, WWW_AUTHENTICATE).as_deref(), Some("Bearer realm=\"postrider\""));
        assert_eq!(header(Kind::Forbidden, WWW_AUTHENTICATE), None);
        assert_eq!(header(Kind::Busy, RETRY_AFTER).as_deref(), Some("1"));
        assert_eq!(header(Kind::StoreUnavailable, RETRY_AFTER).as_deref(), Some("5"));
        assert_eq!(header(Kind::Draining, RETRY_AFTER).as_deref(), Some("5"));
        assert_eq!(header(Kind::Draining, CONNECTION).as_deref(), Some("close"));
        assert_eq!(header(Kind::Internal, RETRY_AFTER), None);
    }
}
