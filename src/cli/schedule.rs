//! `postrider schedule`: when a delivery is tried, and which document says so.

use clap::Args;

use super::output::{self, Table, Tint, terminal, tinted};
use super::{Context, Exit, Failure};
use crate::operations::answer::TimetableAnswer;
use crate::time::Span;

const EXAMPLES: &str = "\
Examples:
  postrider schedule            all profiles
  postrider schedule ensuro     one profile
  postrider schedule acme       an endpoint, with what it overrides";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A profile (ensuro, octamile, standard) or an endpoint's name; all profiles if left out
    #[arg(value_name = "PROFILE|ENDPOINT")]
    of: Option<String>,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let tables = context.source()?.schedule(arguments.of.as_deref())?;
    if context.json {
        output::json(&tables)?;
        return Ok(Exit::Done);
    }
    for (number, table) in tables.iter().enumerate() {
        if number > 0 {
            output::line("")?;
        }
        print(table)?;
    }
    Ok(Exit::Done)
}

fn print(table: &TimetableAnswer) -> Result<(), Failure> {
    let profile = table.profile.name();
    output::line(&match &table.endpoint {
        Some(endpoint) => format!("endpoint {} (profile {profile})", terminal(endpoint)),
        None => format!("profile {profile}"),
    })?;
    let mut rows = Table::new(&["attempt", "wait before", "after the first", "if the first begins now"]);
    for turn in &table.attempts {
        rows.row(vec![
            turn.attempt.to_string(),
            turn.wait_ms.map_or(String::new(), exact),
            exact(turn.after_ms),
            turn.at.to_string(),
        ]);
    }
    rows.print()?;
    for (name, text) in notes(table) {
        output::line(&format!("{name:<12} {text}"))?;
    }
    Ok(())
}

/// Milliseconds to the last, in all its units: `1 h 5 min 30 s`.
fn exact(ms: i64) -> String {
    let units = [
        (ms / 86_400_000, "d"),
        (ms / 3_600_000 % 24, "h"),
        (ms / 60_000 % 60, "min"),
        (ms / 1000 % 60, "s"),
        (ms % 1000, "ms"),
    ];
    let parts: Vec<String> =
        units.iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number} {unit}")).collect();
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

fn notes(table: &TimetableAnswer) -> Vec<(&'static str, String)> {
    let source = |what: &str| match table.overrides.get(what).is_some() {
        true => tinted(Tint::Waiting, "  overridden by the endpoint"),
        false => {
            let source = table.sources.get(what);
            source.map_or(String::new(), |source| tinted(Tint::Faint, &format!("  {}", terminal(source))))
        }
    };
    let attempts = table.attempts.len();
    let total = format!(
        "{attempts} attempts in {} if each fails at once, in {} if each runs into its timeout{}",
        exact(table.shortest_ms),
        exact(table.longest_ms),
        if table.jitter_percent > 0 { " and is as late as jitter allows" } else { "" }
    );
    let jitter = match table.jitter_percent {
        0 => "none: a retry begins when it is due".to_owned(),
        percent => format!("each wait is up to {percent} % longer, never shorter"),
    };
    let mut notes = vec![
        ("total", total),
        ("schedule", format!("waits count from the end of the failed attempt{}", source("schedule"))),
        ("jitter", jitter),
        ("timeout", format!("{}{}", Span::from_ms(table.timeout_ms), source("timeout"))),
        ("success", format!("status {}{}", terminal(&table.success), source("success"))),
    ];
    if let Some(limit) = table.late_after_ms.map(Span::from_ms) {
        notes.push(("late", format!("an accepted answer after {limit} is marked{}", source("late_after"))));
    }
    if table.obeys_retry_after {
        let what = "on 429 and 503 moves the next attempt later, by a day at most";
        notes.push(("Retry-After", format!("{what}{}", source("obeys_retry_after"))));
    }
    if table.gone_disables {
        notes.push(("410", format!("disables the endpoint and ends what it is owed{}", source("gone_disables"))));
    }
    for (what, how) in &table.overrides.0 {
        notes.push(("override", format!("{}: {}", terminal(what), terminal(how))));
    }
    notes
}
