//! The answers as they leave the process, the same from every entrance: what `--json` prints is what HTTP carries, and a
//! person's text is rendered from it. Times are RFC 3339 in UTC, spans `_ms` or `_us`, `null` for nothing; what one kind
//! of answer does not have at all is left out. URLs come without the values of their queries, keys not at all.
//! Foreign text stays as it is: whoever shows it makes it plain.

mod accepted;
mod attempt;
mod changed;
mod endpoint;
mod explained;
mod listing;
mod names;
mod problem;
mod shown;
mod status;
mod timetable;

pub use accepted::{AcceptedAnswer, AcceptedDelivery, BatchResult, BatchStatus};
pub use attempt::{AttemptAnswer, AttemptOutcome};
pub use changed::{Changed, ChangedDelivery, OutcomeLine, Replayed, TestAnswer};
pub use endpoint::{EndpointAnswer, EndpointsAnswer, KeyAnswer, RemovedAnswer, Revealed, header_of};
pub use explained::{ExplainedAnswer, WhyAnswer};
pub use listing::{Listing, Row, Standing};
pub use names::{EndpointStateWord, OutcomeWord, Profile, Reason, SchemeWord, StageWord, State};
pub use problem::{PointedProblem, Problem};
pub use shown::{ShownAnswer, ShownDelivery, ShownEvent};
pub use status::{DaemonAnswer, StatusAnswer, TroubleAnswer};
pub use timetable::{TimetableAnswer, TurnAnswer};

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::calendar::{parse_rfc3339, rfc3339};
use crate::time::{Span, Time};

/// A point in time: RFC 3339 in UTC with milliseconds, as `2026-11-01T00:00:00.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-01T00:00:00.000Z")]
pub struct Stamp(pub Time);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rfc3339(self.0))
    }
}

impl From<Time> for Stamp {
    fn from(time: Time) -> Self {
        Stamp(time)
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_rfc3339(&text).map(Stamp).map_err(D::Error::custom)
    }
}

/// Texts by name, in an order that means something: a JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes(pub Vec<(String, String)>);

impl Notes {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }
}

impl Serialize for Notes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, text)| map.serialize_entry(name, text))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Notes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Notes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Notes, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Notes(all))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Bytes as two fields of JSON of which at most one is there: text if they are UTF-8, else base64.
fn split(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

/// The bytes that `split` made two fields of; `None` if neither is there, or what is there is not base64.
fn joined(text: Option<&str>, base64: Option<&str>) -> Option<Vec<u8>> {
    match (text, base64) {
        (Some(text), _) => Some(text.as_bytes().to_vec()),
        (None, Some(base64)) => STANDARD.decode(base64).ok(),
        (None, None) => None,
    }
}

/// From microseconds, as attempts are measured in.
pub fn span_of_us(us: u64) -> Span {
    Span::from_ms(i64::try_from(us / 1000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
