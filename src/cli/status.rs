//! `postrider status`: the store, its daemon, and what is owed.

use clap::Args;
use serde_json::json;

use super::output::{self, Table, Tint, terminal, tinted};
use super::{Context, Exit, Failure, list, shown};
use crate::operations::answer::StatusAnswer;
use crate::time::{Span, Time};

const EXAMPLES: &str = "\
Examples:
  postrider status
  postrider status --json | jq .oldest_due_age_ms";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {}

pub fn run(_arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let mut source = context.source()?;
    match (source.status()?, context.json) {
        (Some(status), true) => output::json(&status)?,
        (Some(status), false) => print(&status, source.now())?,
        (None, true) => output::json(&json!({ "store": context.store_path().to_string_lossy(), "exists": false }))?,
        (None, false) => {
            let place = shown(context.store_path());
            output::line(&format!("there is no store {place} yet; `postrider endpoint add` makes it"))?;
        }
    }
    Ok(Exit::Done)
}

fn print(status: &StatusAnswer, now: Time) -> Result<(), Failure> {
    let daemon = match (status.daemon.running, status.daemon.pid) {
        (true, Some(pid)) => format!("{} (process {pid})", tinted(Tint::Good, "running")),
        (true, None) => tinted(Tint::Good, "running"),
        (false, _) => format!("{}: nothing is sent until `postrider serve` runs", tinted(Tint::Bad, "not running")),
    };
    let (path, schema) = (terminal(&status.store), status.schema);
    let wal =
        if status.wal_bytes > 0 { format!(" + {} not yet folded in", bytes(status.wal_bytes)) } else { String::new() };
    output::line(&format!("store      {path} ({}{wal}, schema {schema})", bytes(status.bytes)))?;
    output::line(&format!("daemon     {daemon}"))?;
    output::line(&format!("endpoints  {}", status.endpoints))?;
    output::line(&format!("events     {}", status.events))?;
    output::line(&format!("pending    {}{}", status.pending, pending(status, now)))?;
    output::line(&format!("delivered  {}", status.delivered))?;
    output::line(&format!(
        "dead       {}",
        if status.dead > 0 { tinted(Tint::Bad, &status.dead.to_string()) } else { "0".into() }
    ))?;
    output::line(&format!("cancelled  {}", status.cancelled))?;
    troubles(status, now)
}

/// ` (3 in flight, 2 due, the oldest for 5 s; next due at …)`.
fn pending(status: &StatusAnswer, now: Time) -> String {
    let mut parts = Vec::new();
    if status.in_flight > 0 {
        parts.push(format!("{} in flight", status.in_flight));
    }
    if let Some(age) = status.oldest_due_age_ms.map(Span::from_ms) {
        parts.push(format!("{} due now, the oldest for {age}", status.due));
    }
    if let Some(next) = status.next_due_at {
        parts.push(format!("next due at {next} (in {})", next.0.since(now)));
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!(" ({})", parts.join("; ")),
    }
}

fn troubles(status: &StatusAnswer, now: Time) -> Result<(), Failure> {
    const SHOWN: usize = 10;
    if !status.troubled.is_empty() {
        output::line("\nendpoints in trouble, as their last attempt failed:")?;
        let mut table = Table::new(&["endpoint", "pending", "last attempt", "outcome", "ask"]);
        for trouble in status.troubled.iter().take(SHOWN) {
            table.row(vec![
                terminal(&trouble.endpoint),
                trouble.pending.to_string(),
                format!("{} ago", now.since(trouble.last.finished_at.0)),
                list::last(&trouble.last),
                format!("postrider why {}", terminal(&trouble.delivery)),
            ]);
        }
        table.print()?;
    }
    if status.troubled.len() > SHOWN {
        output::note(&format!("{} more are in trouble; --json has all", status.troubled.len() - SHOWN));
    }
    if status.endpoints_not_looked_at > 0 {
        let unseen = status.endpoints_not_looked_at;
        output::note(&format!("{unseen} more endpoints are owed something and were not looked at"));
    }
    Ok(())
}

/// `512 bytes`, `14.2 MiB`.
fn bytes(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1024 => return format!("{bytes} bytes"),
        1024..1_048_576 => (1024, "KiB"),
        1_048_576..1_073_741_824 => (1_048_576, "MiB"),
        _ => (1_073_741_824, "GiB"),
    };
    format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit)
}
