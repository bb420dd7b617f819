//! `postrider schedule`: when a delivery is tried, and which document says so.

use clap::Args;

use super::output::{self, Table, Tint, terminal, tinted};
use super::{Context, Exit, Failure};
use crate::calendar::rfc3339;
use crate::operations::look::json;
use crate::operations::look::timetable::{Timetable, timetables};
use crate::store::Store;
use crate::store::sqlite::SqliteStore;
use crate::time::{Span, Time};

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
    let mut store = SqliteStore::open_existing(context.store_path())?;
    let store = store.as_mut().map(|store| store as &mut dyn Store);
    let tables = timetables(store, arguments.of.as_deref())?;
    let now = context.now();
    if context.json {
        output::json(&json::timetables(&tables, now))?;
        return Ok(Exit::Done);
    }
    for (number, table) in tables.iter().enumerate() {
        if number > 0 {
            output::line("")?;
        }
        print(table, now)?;
    }
    Ok(Exit::Done)
}

fn print(table: &Timetable, now: Time) -> Result<(), Failure> {
    output::line(&match &table.endpoint {
        Some(endpoint) => format!("endpoint {endpoint} (profile {})", table.profile),
        None => format!("profile {}", table.profile),
    })?;
    let mut rows = Table::new(&["attempt", "wait before", "after the first", "if the first begins now"]);
    for turn in &table.turns {
        rows.row(vec![
            turn.number.to_string(),
            turn.wait.map_or(String::new(), exact),
            exact(turn.after),
            rfc3339(now + turn.after),
        ]);
    }
    rows.print()?;
    for (name, text) in notes(table) {
        output::line(&format!("{name:<12} {text}"))?;
    }
    Ok(())
}

/// A span to the millisecond, in all its units: `1 h 5 min 30 s`.
fn exact(span: Span) -> String {
    let ms = span.ms();
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

fn notes(table: &Timetable) -> Vec<(&'static str, String)> {
    let source = |what: &str| match table.overrides.iter().any(|(overridden, _)| *overridden == what) {
        true => tinted(Tint::Waiting, "  overridden by the endpoint"),
        false => {
            let source = table.sources.iter().find(|(known, _)| *known == what);
            source.map_or(String::new(), |(_, source)| tinted(Tint::Faint, &format!("  {source}")))
        }
    };
    let attempts = table.turns.len();
    let total = format!(
        "{attempts} attempts in {} if each fails at once, in {} if each runs into its timeout{}",
        exact(table.shortest),
        exact(table.longest),
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
        ("timeout", format!("{}{}", table.timeout, source("timeout"))),
        ("success", format!("status {}{}", table.success, source("success"))),
    ];
    if let Some(limit) = table.late_after {
        notes.push(("late", format!("an accepted answer after {limit} is marked{}", source("late_after"))));
    }
    if table.obeys_retry_after {
        let what = "on 429 and 503 moves the next attempt later, by a day at most";
        notes.push(("Retry-After", format!("{what}{}", source("obeys_retry_after"))));
    }
    if table.gone_disables {
        notes.push(("410", format!("disables the endpoint and ends what it is owed{}", source("gone_disables"))));
    }
    for (what, how) in &table.overrides {
        notes.push(("override", format!("{what}: {}", terminal(how))));
    }
    notes
}
