//! `postrider show`: an event, its deliveries, and every attempt of them.

use std::io::{ErrorKind, IsTerminal, Write};

use clap::Args;

use super::output::{self, Tint, terminal, tinted};
use super::{Context, Exit, Failure, list};
use crate::delivery::Outcome;
use crate::operations::answer::{
    AttemptAnswer, AttemptOutcome, EndpointStateWord, ShownAnswer, ShownDelivery, ShownEvent, Stamp, span_of_us,
};
use crate::time::Time;

const EXAMPLES: &str = "\
Examples:
  postrider show msg_01                  the event and all its deliveries
  postrider show dlv_42                  one delivery
  postrider show msg_01 --body           with the body, made safe for a terminal
  postrider show msg_01 --raw > body     the body's bytes as they were accepted";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// An event's id, or a delivery such as dlv_42
    #[arg(value_name = "ID")]
    id: String,
    /// Show the body too
    #[arg(long)]
    body: bool,
    /// Write only the body, byte for byte
    #[arg(long, conflicts_with = "body")]
    raw: bool,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    if arguments.raw && context.json {
        return Err(Failure::new(Exit::Usage, "--raw writes bytes and --json writes JSON; choose one"));
    }
    let with_body = arguments.body || arguments.raw;
    let mut source = context.source()?;
    let shown = source.show(&arguments.id, with_body)?;
    if arguments.raw {
        return raw(&body(&shown.event)?);
    }
    if context.json {
        output::json(&shown)?;
        return Ok(Exit::Done);
    }
    for line in lines(&shown, with_body, source.now())? {
        output::line(&line)?;
    }
    Ok(Exit::Done)
}

/// The bytes that were asked for.
fn body(event: &ShownEvent) -> Result<Vec<u8>, Failure> {
    event.body().ok_or_else(|| Failure::new(Exit::Io, format!("the answer about {} holds no body", event.id)))
}

fn raw(body: &[u8]) -> Result<Exit, Failure> {
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "--raw writes the body's bytes as they are, which could steer this terminal; send them to a file or \
             another program, or use --body",
        ));
    }
    match stdout.write_all(body).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Exit::Done),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(error) => Err(Failure::new(Exit::Io, format!("standard output cannot be written: {error}"))),
    }
}

fn lines(shown: &ShownAnswer, with_body: bool, now: Time) -> Result<Vec<String>, Failure> {
    let mut lines = event_lines(&shown.event, now);
    if with_body {
        lines.push(format!("  body          {}", body_text(&body(&shown.event)?)));
    }
    if shown.deliveries.is_empty() {
        lines.push("  owed to nobody".to_owned());
    }
    for delivery in &shown.deliveries {
        lines.push(String::new());
        lines.extend(delivery_lines(delivery, now));
    }
    if shown.more {
        lines.push(format!("\nonly the newest {} deliveries are shown", shown.deliveries.len()));
    }
    Ok(lines)
}

fn event_lines(event: &ShownEvent, now: Time) -> Vec<String> {
    vec![
        format!("event {}", terminal(&event.id)),
        format!("  type          {}", terminal(&event.event_type)),
        format!("  accepted      {}", ago(now, event.accepted_at)),
        format!("  content type  {}", terminal(&event.content_type)),
        format!("  size          {} bytes", event.size),
        format!("  sha256        {}", terminal(&event.sha256)),
    ]
}

/// What is not UTF-8 shows as replacement characters; `--raw` has the bytes.
fn body_text(body: &[u8]) -> String {
    terminal(&String::from_utf8_lossy(body))
}

fn delivery_lines(delivery: &ShownDelivery, now: Time) -> Vec<String> {
    let standing = &delivery.standing;
    let state = output::state(standing.state.name());
    let about = match (standing.in_flight_since, standing.due_at, standing.ended_at) {
        (Some(since), ..) => format!("{state}, in flight since {}", ago(now, since)),
        (None, Some(due_at), _) if due_at.0 > now => format!("{state}, due at {due_at} (in {})", due_at.0.since(now)),
        (None, Some(due_at), _) => format!("{state}, due since {}", ago(now, due_at)),
        (None, None, Some(at)) => {
            let why = standing.reason.map_or(String::new(), |reason| format!(": {}", reason.reason().as_str()));
            format!("{state} at {}{why}", ago(now, at))
        }
        (None, None, None) => state,
    };
    let (endpoint, profile) = (terminal(&delivery.endpoint), delivery.profile.name());
    let mut lines = vec![
        format!("delivery {}", terminal(&delivery.delivery)),
        format!("  state         {about}"),
        format!("  endpoint      {endpoint} ({profile}{})", gone(delivery)),
        format!("  url           {}", terminal(&delivery.url)),
        format!("  attempts      {} of {}", standing.attempts_made, standing.of),
    ];
    for attempt in &delivery.attempts {
        lines.extend(attempt_lines(attempt));
    }
    lines
}

/// What is to be said of an endpoint that is not served.
fn gone(delivery: &ShownDelivery) -> String {
    let since = delivery.endpoint_since.map_or(String::new(), |since| since.to_string());
    match delivery.endpoint_state {
        EndpointStateWord::Active => String::new(),
        EndpointStateWord::Disabled => {
            let reason = terminal(delivery.endpoint_reason.as_deref().unwrap_or_default());
            format!(", disabled since {since}: it {reason}")
        }
        EndpointStateWord::Paused => {
            format!(
                ", paused since {since}: `postrider endpoint resume {}` lets it go on",
                terminal(&delivery.endpoint)
            )
        }
        EndpointStateWord::Removed => format!(", removed at {since}"),
    }
}

pub(super) fn attempt_lines(attempt: &AttemptAnswer) -> Vec<String> {
    let came = &attempt.came;
    let mut lines = vec![format!("  attempt {:<5} {}  {}", came.number, came.started_at, outcome(came))];
    let mut detail = |name: &str, text: String| lines.push(format!("    {name:<11} {text}"));
    match came.outcome() {
        Outcome::Accepted { late: true, .. } => {
            detail("late", "a breach of the receiver's side of the contract".to_owned())
        }
        Outcome::Unreachable { error, .. } => detail("error", terminal(&error)),
        Outcome::Blocked { reason } => detail("reason", terminal(&reason)),
        Outcome::Unknown => detail("", "cut off before its outcome was recorded".to_owned()),
        Outcome::Accepted { late: false, .. } | Outcome::Rejected { .. } | Outcome::TimedOut { .. } => {}
    }
    if let Some(timings) = timings(attempt) {
        detail("took", timings);
    }
    if let Some(remote) = &attempt.remote {
        detail("address", terminal(remote));
    }
    if attempt.resent {
        detail("resent", "an idle connection turned out to be dead, so it went out again on a new one".to_owned());
    }
    if let Some(location) = &attempt.location {
        detail("location", format!("{} (not followed)", terminal(location)));
    }
    let said = attempt.answer();
    if !said.is_empty() {
        detail("answer", answer(&said));
    }
    lines
}

fn outcome(came: &AttemptOutcome) -> String {
    let outcome = came.outcome();
    let name = outcome.name();
    match outcome {
        Outcome::Accepted { .. } => tinted(Tint::Good, &format!("{name} {}", list::last(came))),
        Outcome::Rejected { status } => tinted(Tint::Bad, &format!("{name} {status}")),
        Outcome::TimedOut { stage } | Outcome::Unreachable { stage, .. } => {
            tinted(Tint::Bad, &format!("{name} ({})", stage.as_str()))
        }
        Outcome::Blocked { .. } => tinted(Tint::Bad, name),
        Outcome::Unknown => tinted(Tint::Waiting, name),
    }
}

/// `112 ms (dns 3 ms, connect 20 ms, tls 31 ms, first byte 57 ms)`; `None` if nothing was measured.
fn timings(timings: &AttemptAnswer) -> Option<String> {
    let stages = [
        ("dns", timings.dns_us),
        ("connect", timings.connect_us),
        ("tls", timings.tls_us),
        ("first byte", timings.first_byte_us),
    ];
    let stages: Vec<String> =
        stages.iter().filter_map(|(name, us)| us.map(|us| format!("{name} {}", took(us)))).collect();
    match (timings.total_us, stages.is_empty()) {
        (0, true) => None,
        (total, true) => Some(took(total)),
        (total, false) => Some(format!("{} ({})", took(total), stages.join(", "))),
    }
}

fn took(us: u64) -> String {
    match us {
        0..1000 => format!("{us} µs"),
        _ => span_of_us(us).to_string(),
    }
}

/// The first characters of what the receiver said, without the space that many end with.
fn answer(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(bytes.trim_ascii_end());
    let shown: String = text.chars().take(SHOWN).collect();
    match shown.len() < text.len() {
        true => format!("{}… ({} bytes; --json has all)", terminal(&shown), bytes.len()),
        false => terminal(&shown),
    }
}

/// `2026-11-01T00:00:00.000Z (3 min ago)`.
fn ago(now: Time, at: Stamp) -> String {
    format!("{at} ({} ago)", now.since(at.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_elsewhere_cannot_steer_the_terminal() {
        const FOREIGN: &str = "\u{1b}[2J\n\u{2060}";
        let answer = serde_json::json!({
            "event": {"id": FOREIGN, "type": FOREIGN, "content_type": FOREIGN, "accepted_at": "2026-11-01T00:00:00Z",
                "size": 1, "sha256": FOREIGN, "body": FOREIGN},
            "deliveries": [{"delivery": FOREIGN, "endpoint": FOREIGN, "endpoint_state": "disabled",
                "endpoint_reason": FOREIGN, "profile": "ensuro", "url": FOREIGN, "state": "pending",
                "attempts_made": 1, "of": 11, "attempts": [{"number": 1, "started_at": "2026-11-01T00:00:00Z",
                    "finished_at": "2026-11-01T00:00:00Z", "outcome": "unreachable", "late": false,
                    "stage": "connect", "error": FOREIGN, "total_us": 1, "remote": FOREIGN, "resent": false,
                    "location": FOREIGN, "answer": FOREIGN}]}],
            "more": false,
        });
        let shown: ShownAnswer = serde_json::from_value(answer).unwrap();
        let lines = lines(&shown, true, Time::from_ms(0)).unwrap();
        assert!(lines.iter().all(|line| !line.contains(['\u{1b}', '\n', '\u{2060}'])), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("error       \\u{1b}[2J\\u{a}\\u{2060}")), "{lines:?}");
    }
}
