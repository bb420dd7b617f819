//! The summary: every delivery with what became of it, and whether it ended as it should.
//! It judges nothing itself: what is right is decided in `plan`.

use std::path::Path;

use serde_json::{Value, json};

use super::Ending;
use super::plan::Row;
use crate::cli::output::{self, Table, Tint, line, note, terminal, tinted};
use crate::cli::{Exit, Failure};
use crate::delivery::StateName;

/// `kept`: the store, if it is still there.
pub fn show(rows: &[Row], ending: Ending, kept: Option<&Path>, as_json: bool) -> Result<Exit, Failure> {
    let good = rows.iter().filter(|row| row.problems().is_empty()).count();
    let ok = ending == Ending::Complete && good == rows.len();
    match as_json {
        true => output::json(&document(rows, ok, kept))?,
        false => page(rows, good, ending, kept)?,
    }
    Ok(if ok { Exit::Done } else { Exit::No })
}

fn document(rows: &[Row], ok: bool, kept: Option<&Path>) -> Value {
    let deliveries: Vec<Value> = rows
        .iter()
        .map(|row| {
            let schemes: Vec<&str> = row.role.schemes().iter().map(|scheme| scheme.as_str()).collect();
            let outcomes: Vec<&str> = row.attempts.iter().map(|attempt| attempt.outcome.name()).collect();
            let problems = row.problems();
            json!({
                "delivery": row.delivery.to_string(),
                "event": row.event.as_str(),
                "type": row.event_type.as_str(),
                "endpoint": row.endpoint,
                "receiver": row.role.as_str(),
                "profile": row.role.profile().as_str(),
                "schemes": schemes,
                "state": row.state_name(),
                "attempts": row.attempts.len(),
                "outcomes": outcomes,
                // Null where nobody looked: a signature that is not sent, a receiver that hangs.
                "verified": row.is_verified().filter(|_| !schemes.is_empty()),
                "byte_exact": row.is_exact(),
                "as_expected": problems.is_empty(),
                "problems": problems,
            })
        })
        .collect();
    json!({"deliveries": deliveries, "ok": ok, "store": kept.map(|path| path.to_string_lossy())})
}

fn page(rows: &[Row], good: usize, ending: Ending, kept: Option<&Path>) -> Result<(), Failure> {
    note("");
    table(rows).print()?;
    line("")?;
    match ending {
        Ending::Complete => {}
        Ending::OutOfTime => line("demo: time is up, and not every delivery has ended")?,
        Ending::Interrupted => line("demo: interrupted before every delivery had ended")?,
        Ending::DaemonEnded => line("demo: the daemon ended before every delivery had")?,
    }
    for row in rows {
        let (delivery, event_type, receiver) = (row.delivery, &row.event_type, row.role.as_str());
        for problem in row.problems() {
            line(&tinted(Tint::Bad, &format!("demo: {delivery}, {event_type} to {receiver}: {problem}")))?;
        }
    }
    line(&format!("demo: {}", verdict(rows, good)))?;
    match kept {
        Some(path) => {
            let path = terminal(&path.to_string_lossy());
            line(&format!("demo: look at the store that is kept: `postrider list --store {path}`"))?;
        }
        None => line("demo: the temporary store is removed")?,
    }
    line("demo: next, a receiver of your own: `postrider endpoint add --help`, `postrider serve`, README.md")
}

fn verdict(rows: &[Row], good: usize) -> String {
    let in_state = |name| rows.iter().filter(|row| row.state.is_some_and(|state| state.name() == name)).count();
    let (all, delivered, dead) = (rows.len(), in_state(StateName::Delivered), in_state(StateName::Dead));
    let counted = format!("{good} of {all} deliveries ended as they should");
    match good == all {
        true => format!(
            "{}: {delivered} delivered, and {dead} dead, whose receiver never answers",
            tinted(Tint::Good, &counted)
        ),
        false => format!("{}: {delivered} delivered, {dead} dead", tinted(Tint::Bad, &counted)),
    }
}

/// No wider than 80 columns.
fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["type", "receiver", "verified", "bytes", "result", "attempt", "ok"]);
    for row in rows {
        let is_good = row.problems().is_empty();
        table.row(vec![
            terminal(row.event_type.as_str()),
            row.role.as_str().to_owned(),
            verified(row),
            match row.is_exact() {
                Some(true) => tinted(Tint::Good, "exact"),
                Some(false) => tinted(Tint::Bad, "no"),
                None => tinted(Tint::Faint, "-"),
            },
            row.state.map_or_else(|| row.state_name().to_owned(), |state| output::state(state.name())),
            row.attempts.len().to_string(),
            if is_good { tinted(Tint::Good, "yes") } else { tinted(Tint::Bad, "no") },
        ]);
    }
    table
}

/// The schemes by which the receiver verified it.
fn verified(row: &Row) -> String {
    let schemes: Vec<&str> = row.role.schemes().iter().map(|scheme| scheme.as_str()).collect();
    match row.is_verified() {
        None => tinted(Tint::Faint, "-"),
        Some(false) => tinted(Tint::Bad, "no"),
        Some(true) if schemes.is_empty() => tinted(Tint::Faint, "unsigned"),
        Some(true) => tinted(Tint::Good, &schemes.join("+")),
    }
}
