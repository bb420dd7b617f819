//! `postrider show`: an event, its deliveries, and every attempt of them.

use std::io::{ErrorKind, IsTerminal, Write};

use clap::Args;

use super::output::{self, Tint, terminal, tinted};
use super::{Context, Exit, Failure, list};
use crate::calendar::rfc3339;
use crate::delivery::{Attempt, DeliveryState, Outcome, Timings};
use crate::endpoint::EndpointState;
use crate::event::Event;
use crate::operations::look::show::{Owed, Shown};
use crate::operations::look::{self, json, redacted};
use crate::signature::hex;
use crate::time::{Span, Time};

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
    let mut store = context.existing_store()?;
    let subject = look::find(&mut store, &arguments.id)?;
    let shown = look::show::show(&mut store, &subject)?;
    if arguments.raw {
        return raw(&shown.event.body);
    }
    if context.json {
        output::json(&json::show(&shown, arguments.body))?;
        return Ok(Exit::Done);
    }
    for line in lines(&shown, arguments.body, context.now()) {
        output::line(&line)?;
    }
    Ok(Exit::Done)
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

fn lines(shown: &Shown, with_body: bool, now: Time) -> Vec<String> {
    let mut lines = event_lines(&shown.event, now);
    if with_body {
        lines.push(format!("  body          {}", body_text(&shown.event.body)));
    }
    if shown.deliveries.is_empty() {
        lines.push("  owed to nobody".to_owned());
    }
    for owed in &shown.deliveries {
        lines.push(String::new());
        lines.extend(owed_lines(owed, now));
    }
    if shown.more {
        lines.push(format!("\nonly the newest {} deliveries are shown", look::MOST_OF_AN_EVENT));
    }
    lines
}

fn event_lines(event: &Event, now: Time) -> Vec<String> {
    vec![
        format!("event {}", event.id),
        format!("  type          {}", event.event_type),
        format!("  accepted      {}", ago(now, event.accepted_at)),
        format!("  content type  {}", terminal(&event.content_type)),
        format!("  size          {} bytes", event.body.len()),
        format!("  sha256        {}", hex(&event.digest)),
    ]
}

/// What is not UTF-8 shows as replacement characters; `--raw` has the bytes.
fn body_text(body: &[u8]) -> String {
    terminal(&String::from_utf8_lossy(body))
}

fn owed_lines(owed: &Owed, now: Time) -> Vec<String> {
    let (delivery, endpoint) = (&owed.delivery, &owed.endpoint);
    let gone = match &endpoint.state {
        EndpointState::Active => String::new(),
        EndpointState::Paused { since } => format!(", paused since {}", rfc3339(*since)),
        EndpointState::Disabled { since, reason } => {
            format!(", disabled since {}: it {}", rfc3339(*since), terminal(reason))
        }
        EndpointState::Removed { since } => format!(", removed at {}", rfc3339(*since)),
    };
    let state = output::state(delivery.state.name());
    let about = match delivery.state {
        DeliveryState::Pending { due_at, leased_at: None } if due_at > now => {
            format!("{state}, due at {} (in {})", rfc3339(due_at), due_at.since(now))
        }
        DeliveryState::Pending { due_at, leased_at: None } => format!("{state}, due since {}", ago(now, due_at)),
        DeliveryState::Pending { leased_at: Some(since), .. } => {
            format!("{state}, in flight since {}", ago(now, since))
        }
        DeliveryState::Delivered { at } | DeliveryState::Cancelled { at } => format!("{state} at {}", ago(now, at)),
        DeliveryState::Dead { at, reason } => format!("{state} at {}: {}", ago(now, at), reason.as_str()),
    };
    let mut lines = vec![
        format!("delivery {}", delivery.id),
        format!("  state         {about}"),
        format!("  endpoint      {} ({}{gone})", endpoint.label(), endpoint.profile),
        format!("  url           {}", terminal(&redacted(&endpoint.url))),
        format!("  attempts      {} of {}", delivery.attempts, owed.of),
    ];
    for attempt in &owed.attempts {
        lines.extend(attempt_lines(attempt));
    }
    lines
}

fn attempt_lines(attempt: &Attempt) -> Vec<String> {
    let mut lines =
        vec![format!("  attempt {:<5} {}  {}", attempt.number, rfc3339(attempt.started_at), outcome(attempt))];
    let mut detail = |name: &str, text: String| lines.push(format!("    {name:<11} {text}"));
    match &attempt.outcome {
        Outcome::Accepted { late: true, .. } => {
            detail("late", "a breach of the receiver's side of the contract".to_owned())
        }
        Outcome::Unreachable { error, .. } => detail("error", terminal(error)),
        Outcome::Blocked { reason } => detail("reason", terminal(reason)),
        Outcome::Unknown => detail("", "cut off before its outcome was recorded".to_owned()),
        Outcome::Accepted { late: false, .. } | Outcome::Rejected { .. } | Outcome::TimedOut { .. } => {}
    }
    if let Some(timings) = timings(&attempt.timings) {
        detail("took", timings);
    }
    if let Some(remote) = &attempt.remote {
        detail("address", terminal(remote));
    }
    if attempt.resent {
        detail("resent", "an idle connection turned out to be dead, so it went out again on a new one".to_owned());
    }
    if let Some(location) = &attempt.location {
        detail("location", format!("{} (not followed)", terminal(&redacted(location))));
    }
    if !attempt.answer.is_empty() {
        detail("answer", answer(&attempt.answer));
    }
    lines
}

fn outcome(attempt: &Attempt) -> String {
    let name = attempt.outcome.name();
    match &attempt.outcome {
        Outcome::Accepted { .. } => tinted(Tint::Good, &format!("{name} {}", list::last(attempt))),
        Outcome::Rejected { status } => tinted(Tint::Bad, &format!("{name} {status}")),
        Outcome::TimedOut { stage } | Outcome::Unreachable { stage, .. } => {
            tinted(Tint::Bad, &format!("{name} ({})", stage.as_str()))
        }
        Outcome::Blocked { .. } => tinted(Tint::Bad, name),
        Outcome::Unknown => tinted(Tint::Waiting, name),
    }
}

/// `112 ms (dns 3 ms, connect 20 ms, tls 31 ms, first byte 57 ms)`; `None` if nothing was measured.
fn timings(timings: &Timings) -> Option<String> {
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
        _ => Span::from_ms(i64::try_from(us / 1000).unwrap_or(i64::MAX)).to_string(),
    }
}

/// The first characters of what the receiver said.
fn answer(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    let shown: String = text.chars().take(SHOWN).collect();
    match shown.len() < text.len() {
        true => format!("{}… ({} bytes; --json has all)", terminal(&shown), bytes.len()),
        false => terminal(&shown),
    }
}

/// `2026-11-01T00:00:00.000Z (3 min ago)`.
fn ago(now: Time, at: Time) -> String {
    format!("{} ({} ago)", rfc3339(at), now.since(at))
}
