//! Why something was not done, as RFC 9457 has it (`application/problem+json`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why something was not done. Nothing of it was stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Which problem it is; what a program decides by.
    #[serde(rename = "type")]
    #[schema(example = "urn:postrider:problem:unknown-endpoint")]
    pub problem_type: String,
    /// The same for every problem of this type.
    pub title: String,
    /// The HTTP status that goes with it.
    pub status: u16,
    /// What is wrong this time, and what to do about it.
    pub detail: String,
    /// The single mistakes in a JSON document; left out where it is not about one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<PointedProblem>,
}

/// One mistake in a JSON document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PointedProblem {
    /// Where it is, as a JSON pointer (RFC 6901).
    #[schema(example = "/target/endpoints/0")]
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}
