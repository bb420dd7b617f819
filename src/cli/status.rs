//! `postrider status`: the store, its daemon, and what is owed.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::output::{self, Table, Tint, tinted};
use super::{Context, Exit, Failure, list, shown};
use crate::calendar::rfc3339;
use crate::operations::look::status::{Status, status};
use crate::operations::look::{self, Daemon};
use crate::store::Counts;
use crate::store::sqlite::{SCHEMA_VERSION, SqliteStore, holder};
use crate::time::Time;

const EXAMPLES: &str = "\
Examples:
  postrider status
  postrider status --json | jq .oldest_due_age_ms";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {}

/// What the files say, beside the store in them.
struct Files {
    path: PathBuf,
    bytes: u64,
    wal_bytes: u64,
    daemon: Daemon,
}

pub fn run(_arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let path = context.store_path();
    let now = context.now();
    let Some(mut store) = SqliteStore::open_existing(path)? else {
        match context.json {
            true => output::json(&json!({ "store": path.to_string_lossy(), "exists": false }))?,
            false => {
                output::line(&format!("there is no store {} yet; `postrider endpoint add` makes it", shown(path)))?
            }
        }
        return Ok(Exit::Done);
    };
    let status = status(&mut store, now)?;
    let files = Files {
        path: path.to_owned(),
        bytes: size(path),
        wal_bytes: size(&beside(path, "-wal")),
        daemon: Daemon::of(holder(path)),
    };
    match context.json {
        true => output::json(&as_json(&files, &status, now))?,
        false => print(&files, &status, now)?,
    }
    Ok(Exit::Done)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// In bytes; 0 if there is no such file.
fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

fn as_json(files: &Files, status: &Status, now: Time) -> Value {
    let (running, pid) = match files.daemon {
        Daemon::Runs { pid } => (true, pid),
        Daemon::Absent => (false, None),
    };
    let mut value = json!({
        "store": files.path.to_string_lossy(),
        "exists": true,
        "schema": SCHEMA_VERSION,
        "bytes": files.bytes,
        "wal_bytes": files.wal_bytes,
        "daemon": { "running": running, "pid": pid },
    });
    if let (Some(fields), Value::Object(more)) = (value.as_object_mut(), look::json::status(status, now)) {
        fields.extend(more);
    }
    value
}

fn print(files: &Files, status: &Status, now: Time) -> Result<(), Failure> {
    let counts = &status.counts;
    let daemon = match files.daemon {
        Daemon::Runs { pid: Some(pid) } => format!("{} (process {pid})", tinted(Tint::Good, "running")),
        Daemon::Runs { pid: None } => tinted(Tint::Good, "running"),
        Daemon::Absent => format!("{}: nothing is sent until `postrider serve` runs", tinted(Tint::Bad, "not running")),
    };
    let path = shown(&files.path);
    let wal =
        if files.wal_bytes > 0 { format!(" + {} not yet folded in", bytes(files.wal_bytes)) } else { String::new() };
    output::line(&format!("store      {path} ({}{wal}, schema {SCHEMA_VERSION})", bytes(files.bytes)))?;
    output::line(&format!("daemon     {daemon}"))?;
    output::line(&format!("endpoints  {}", status.endpoints))?;
    output::line(&format!("events     {}", counts.events))?;
    output::line(&format!("pending    {}{}", counts.pending, pending(counts, now)))?;
    output::line(&format!("delivered  {}", counts.delivered))?;
    output::line(&format!(
        "dead       {}",
        if counts.dead > 0 { tinted(Tint::Bad, &counts.dead.to_string()) } else { "0".into() }
    ))?;
    output::line(&format!("cancelled  {}", counts.cancelled))?;
    troubles(status, now)
}

/// ` (3 in flight, 2 due, the oldest for 5 s; next due at …)`.
fn pending(counts: &Counts, now: Time) -> String {
    let mut parts = Vec::new();
    if counts.leased > 0 {
        parts.push(format!("{} in flight", counts.leased));
    }
    if let Some(oldest) = counts.oldest_due {
        parts.push(format!("{} due now, the oldest for {}", counts.due, now.since(oldest)));
    }
    if let Some(next) = counts.next_due {
        parts.push(format!("next due at {} (in {})", rfc3339(next), next.since(now)));
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!(" ({})", parts.join("; ")),
    }
}

fn troubles(status: &Status, now: Time) -> Result<(), Failure> {
    const SHOWN: usize = 10;
    if !status.troubled.is_empty() {
        output::line("\nendpoints in trouble, as their last attempt failed:")?;
        let mut table = Table::new(&["endpoint", "pending", "last attempt", "outcome", "ask"]);
        for trouble in status.troubled.iter().take(SHOWN) {
            table.row(vec![
                trouble.endpoint.clone(),
                trouble.pending.to_string(),
                format!("{} ago", now.since(trouble.last.finished_at)),
                list::last(&trouble.last),
                format!("postrider why {}", trouble.delivery),
            ]);
        }
        table.print()?;
    }
    if status.troubled.len() > SHOWN {
        output::note(&format!("{} more are in trouble; --json has all", status.troubled.len() - SHOWN));
    }
    if status.unseen > 0 {
        output::note(&format!("{} more endpoints are owed something and were not looked at", status.unseen));
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
