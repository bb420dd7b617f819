//! `postrider list`: deliveries, newest first.

use clap::Args;

use super::output::{self, Table, terminal};
use super::{Context, Exit, Failure};
use crate::calendar::parse_since;
use crate::delivery::{DeliveryId, Outcome, StateName};
use crate::event::Subscription;
use crate::operations::answer::{AttemptOutcome, Listing, Row, Standing};
use crate::operations::look::list::{self, Asked, MOST_LIMIT};
use crate::time::{Span, Time};

const EXAMPLES: &str = "\
Examples:
  postrider list                              the newest 50
  postrider list --state pending              what is still owed
  postrider list --state dead --since 2days   what was given up lately
  postrider list --endpoint acme --type 'policy/*' --json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Only deliveries in this state: pending, delivered, dead or cancelled
    #[arg(long, value_name = "STATE", value_parser = StateName::parse)]
    state: Option<StateName>,
    /// Only deliveries to this endpoint: its name, or one-off-3
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Only events of this type (policy/creation) or family (policy/*)
    #[arg(long = "type", value_name = "TYPE", value_parser = Subscription::parse)]
    event_type: Option<Subscription>,
    /// Only events accepted since then: 30min, 2h, 7days, 2026-11-01 or RFC 3339; UTC
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// The most deliveries to list, up to 1000
    #[arg(long, value_name = "N", default_value_t = list::USUAL_LIMIT,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_LIMIT)))]
    limit: u32,
    /// Go on below this delivery: where the page before ended
    #[arg(long, value_name = "DELIVERY", value_parser = cursor)]
    cursor: Option<DeliveryId>,
}

fn cursor(text: &str) -> Result<DeliveryId, String> {
    DeliveryId::parse(text).ok_or_else(|| format!("a cursor is a delivery such as dlv_42; {text:?} is none"))
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let now = context.now();
    let since = arguments.since.as_deref().map(|text| parse_since(text, now)).transpose();
    let asked = Asked {
        event: None,
        state: arguments.state,
        endpoint: arguments.endpoint.clone(),
        event_type: arguments.event_type.clone(),
        since: since.map_err(|what| Failure::new(Exit::Usage, what))?,
        before: arguments.cursor,
        limit: Some(arguments.limit),
    };
    let mut source = context.source()?;
    let listing = source.list(&asked)?;
    match context.json {
        true => output::json(&listing)?,
        false => print(&listing, &arguments, source.now())?,
    }
    Ok(Exit::Done)
}

fn print(listing: &Listing, arguments: &Arguments, now: Time) -> Result<(), Failure> {
    if listing.deliveries.is_empty() {
        output::note(if arguments.cursor.is_some() { "no more deliveries" } else { "no such delivery" });
        return Ok(());
    }
    let mut table = Table::new(&["delivery", "event", "type", "endpoint", "state", "attempts", "when", "last"]);
    for row in &listing.deliveries {
        table.row(cells(row, now));
    }
    table.print()?;
    if let Some(next) = &listing.next {
        output::note(&format!("there are more: --cursor {}{}", terminal(next), same_filter(arguments)));
    }
    Ok(())
}

fn cells(row: &Row, now: Time) -> Vec<String> {
    let standing = &row.standing;
    vec![
        terminal(&row.delivery),
        terminal(&row.event),
        terminal(&row.event_type),
        terminal(&row.endpoint),
        output::state(standing.state.name()),
        format!("{}/{}", standing.attempts_made, standing.of),
        when(standing, now),
        row.last.as_ref().map_or(String::new(), last),
    ]
}

/// When it is due, or since when it is over.
fn when(standing: &Standing, now: Time) -> String {
    match (standing.in_flight_since, standing.due_at, standing.ended_at) {
        (Some(since), ..) => format!("in flight for {}", now.since(since.0)),
        (None, Some(due_at), _) if due_at.0 > now => format!("due in {}", due_at.0.since(now)),
        (None, Some(due_at), _) => format!("due for {}", now.since(due_at.0)),
        (None, None, Some(at)) => format!("{} ago", now.since(at.0).max(Span::ZERO)),
        (None, None, None) => String::new(),
    }
}

/// An outcome in a few words.
pub(super) fn last(attempt: &AttemptOutcome) -> String {
    const LONGEST: usize = 40;
    let short = |text: &str| match text.chars().count() {
        0..=LONGEST => terminal(text),
        _ => format!("{}…", terminal(&text.chars().take(LONGEST).collect::<String>())),
    };
    match attempt.outcome() {
        Outcome::Accepted { status, late: false } | Outcome::Rejected { status } => status.to_string(),
        Outcome::Accepted { status, late: true } => format!("{status}, late"),
        Outcome::TimedOut { stage } => format!("timed out ({})", stage.as_str()),
        Outcome::Unreachable { error, .. } => short(&error),
        Outcome::Blocked { reason } => format!("blocked: {}", short(&reason)),
        Outcome::Unknown => "unknown".to_owned(),
    }
}

/// The flags that the next page needs as well.
fn same_filter(arguments: &Arguments) -> String {
    let mut flags = String::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            flags.push_str(&format!(" --{name} {}", terminal(&value)));
        }
    };
    add("state", arguments.state.map(|state| state.as_str().to_owned()));
    add("endpoint", arguments.endpoint.clone());
    add("type", arguments.event_type.as_ref().map(|covered| format!("'{covered}'")));
    add("since", arguments.since.as_ref().map(|since| format!("'{since}'")));
    add("limit", Some(arguments.limit).filter(|limit| *limit != list::USUAL_LIMIT).map(|limit| limit.to_string()));
    flags
}
