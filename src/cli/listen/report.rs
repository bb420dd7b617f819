//! What is told of one request: a few lines for a person, or one line of JSON for a program.
//! Everything foreign is made plain. It decides nothing.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::keys::{Finding, Signatures};
use super::memory::Earlier;
use super::subject::Subject;
use crate::calendar;
use crate::cli::output::{Tint, terminal, tinted};
use crate::cli::wire::Request;
use crate::cli::{pretty, shown};
use crate::provider::octamile::certificate::Kind;
use crate::signature;
use crate::time::{Span, Time};

/// Lines of a body that are shown to a person.
const MOST_LINES: usize = 500;
/// Characters of such a line, where the body is no JSON.
const LONGEST_LINE: usize = 500;

pub struct Report<'a> {
    pub number: u64,
    pub at: Time,
    pub remote: String,
    pub request: &'a Request,
    pub digest: [u8; 32],
    pub subject: &'a Subject,
    pub signatures: &'a Signatures,
    pub earlier: Option<Earlier>,
    /// Where the certificate was saved, or why it was not; `None` if there is none, or if it is not asked for.
    pub saved: Option<Result<PathBuf, String>>,
    /// A status, or what the script does instead.
    pub answer: String,
    pub by: By,
}

/// Whose answer it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    Script,
    /// Of what has no good signature, and why it has none.
    Refusal(String),
    /// The server that it was handed on to.
    Server,
    /// Ours, and why there is none of that server.
    Failure(String),
}

impl Report<'_> {
    pub fn json(&self) -> Value {
        let mut headers = Map::new();
        for (name, value) in &self.request.headers {
            let name = name.to_ascii_lowercase();
            // As HTTP lets several of one name be written as one.
            let joined = match headers.get(&name).and_then(Value::as_str) {
                Some(before) => format!("{before}, {value}"),
                None => value.clone(),
            };
            headers.insert(name, joined.into());
        }
        let text = std::str::from_utf8(&self.request.body).ok();
        let base64 = text.is_none().then(|| STANDARD.encode(&self.request.body));
        json!({
            "n": self.number,
            "at": calendar::rfc3339(self.at),
            "remote": self.remote,
            "method": self.request.method,
            "path": self.request.path,
            "headers": headers,
            "bytes": self.request.body.len(),
            "sha256": signature::hex(&self.digest),
            "body": text,
            "body_base64": base64,
            "event": {
                "profile": self.subject.profile.map(|profile| profile.as_str()),
                "type": self.subject.event_type,
                "id": self.subject.id,
                "problem": self.subject.problem,
                "warnings": self.subject.warnings,
            },
            "signatures": self.signatures.checked.iter().map(|one| {
                let (result, why) = match &one.finding {
                    Finding::Good => ("good", None),
                    Finding::Bad(why) => ("bad", Some(why)),
                    Finding::Unchecked => ("unchecked", None),
                };
                json!({"scheme": one.scheme.as_str(), "result": result, "why": why, "signer": one.signer})
            }).collect::<Vec<_>>(),
            "signature_warning": self.signatures.warning,
            "signature_fault": self.signatures.fault,
            "attempt": self.earlier.as_ref().map_or(1, |earlier| earlier.attempt),
            "earlier": self.earlier.as_ref().map(|earlier| json!({
                "n": earlier.number,
                "ms": earlier.ago.ms(),
                "same_body": earlier.same_body,
                "answer": earlier.answer,
            })),
            "certificate": self.subject.certificate.as_ref().map(|certificate| json!({
                "kind": certificate.kind.map(Kind::as_str),
                "bytes": certificate.bytes.len(),
                "saved": self.saved.as_ref().and_then(|saved| saved.as_ref().ok()).map(|path| path.to_string_lossy()),
                "unsaved": self.saved.as_ref().and_then(|saved| saved.as_ref().err()),
            })),
            "answer": self.answer,
            "forward_failure": match &self.by {
                By::Failure(why) => Some(why),
                By::Script | By::Refusal(_) | By::Server => None,
            },
        })
    }

    /// Lines of which each is one.
    pub fn page(&self, with_headers: bool) -> Vec<String> {
        let request = self.request;
        let time = calendar::rfc3339(self.at);
        let (method, path) = (terminal(&request.method), terminal(&request.path));
        let mut lines = vec![format!("#{}  {method} {path}  {}", self.number, tinted(Tint::Faint, &time))];
        let mut tell = |what: &str, text: String| lines.push(format!("  {what:<11}  {text}"));
        tell("event", self.event());
        for signature in self.signature_lines() {
            tell("signature", signature);
        }
        if let Some(earlier) = &self.earlier {
            tell("again", again(earlier));
        }
        let warnings = self.signatures.warning.iter().chain(&self.subject.warnings);
        for warning in warnings {
            tell("warning", tinted(Tint::Waiting, &terminal(warning)));
        }
        if let Some(problem) = &self.subject.problem {
            tell("payload", tinted(Tint::Bad, &terminal(problem)));
        }
        if let Some(certificate) = &self.subject.certificate {
            let saved = match &self.saved {
                None => String::new(),
                Some(Ok(path)) => format!(", saved as {}", shown(path)),
                Some(Err(why)) => tinted(Tint::Bad, &format!(", not saved: {}", terminal(why))),
            };
            let kind = certificate.kind.map_or("neither jpg nor png nor pdf", Kind::as_str);
            let bytes = certificate.bytes.len();
            tell("certificate", format!("{kind}, {bytes} bytes{saved}"));
        }
        tell("answer", self.answer_text());
        if with_headers {
            for (name, value) in &request.headers {
                tell("header", format!("{}: {}", tinted(Tint::Field, &terminal(name)), terminal(value)));
            }
        }
        let size = format!("{} bytes", request.body.len());
        match self.earlier.as_ref().filter(|earlier| earlier.same_body) {
            Some(earlier) => tell("body", format!("{size}, the same as in #{}", earlier.number)),
            None => {
                tell("body", size);
                lines.extend(body(&request.body).into_iter().map(|line| format!("    {line}")));
            }
        }
        lines.push(String::new());
        lines
    }

    fn event(&self) -> String {
        let subject = self.subject;
        let event_type = subject.event_type.as_deref().map(terminal);
        let of = subject.profile.map(|profile| format!("{profile} notification"));
        let words = [event_type, of, subject.id.as_deref().map(|id| format!("id {}", terminal(id)))];
        let words: Vec<String> = words.into_iter().flatten().collect();
        if words.is_empty() { tinted(Tint::Faint, "of no known kind") } else { words.join(", ") }
    }

    fn signature_lines(&self) -> Vec<String> {
        let by = |signer: &Option<String>| signer.as_ref().map_or(String::new(), |signer| format!(", by {signer}"));
        let mut lines: Vec<String> = Vec::new();
        for one in &self.signatures.checked {
            let finding = match &one.finding {
                Finding::Good => tinted(Tint::Good, "good"),
                Finding::Bad(why) => tinted(Tint::Bad, &format!("BAD: {}", terminal(why))),
                Finding::Unchecked => tinted(Tint::Faint, "not checked: no key was given for it"),
            };
            lines.push(format!("{} {finding}{}", one.scheme, by(&one.signer)));
        }
        if lines.is_empty() {
            lines.push(match &self.signatures.fault {
                Some(_) => tinted(Tint::Bad, "none"),
                None => tinted(Tint::Faint, "none"),
            });
        }
        lines
    }

    fn answer_text(&self) -> String {
        let answer = terminal(&self.answer);
        match &self.by {
            By::Script => answer,
            By::Server => format!("{answer}, from the server that it was handed on to"),
            // What is wrong with a signature stands beside it.
            By::Refusal(_) if self.signatures.checked.iter().any(|one| one.is_bad()) => tinted(Tint::Bad, &answer),
            By::Refusal(why) | By::Failure(why) => tinted(Tint::Bad, &format!("{answer}: {}", terminal(why))),
        }
    }
}

fn again(earlier: &Earlier) -> String {
    let (number, ago) = (earlier.number, later(earlier.ago));
    let body = if earlier.same_body { "same body" } else { "same id but ANOTHER BODY" };
    let answer = match earlier.answer.is_empty() {
        true => String::new(),
        false => format!(", which was answered {}", terminal(&earlier.answer)),
    };
    format!("attempt {}: {body} as #{number}, {ago} later{answer}", earlier.attempt)
}

/// To a tenth of a second, where schedules are compared.
fn later(span: Span) -> String {
    match span.ms() {
        1000..=99_999 => format!("{:.1} s", span.ms() as f64 / 1000.0),
        _ => span.to_string(),
    }
}

fn body(body: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(body) else {
        let beginning = signature::hex(&body[..body.len().min(32)]);
        return vec![tinted(Tint::Faint, &format!("not UTF-8; begins with {beginning}"))];
    };
    let plain_lines = || {
        text.lines().take(MOST_LINES + 1).map(|line| match line.char_indices().nth(LONGEST_LINE) {
            None => terminal(line),
            Some((end, _)) => format!("{}{}", terminal(&line[..end]), tinted(Tint::Faint, "…")),
        })
    };
    let mut lines = pretty::json(text).unwrap_or_else(|| plain_lines().collect());
    if lines.len() > MOST_LINES {
        lines.truncate(MOST_LINES);
        lines.push(tinted(Tint::Faint, "… and more, which --json shows"));
    }
    lines
}
