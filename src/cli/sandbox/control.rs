//! Steering a sandbox that runs: what Octamile's people and the passing of time do in the real world.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::cli::output::{self, Table, Tint, terminal, tinted};
use crate::cli::remote::{Client, Server};
use crate::cli::{Context, Exit, Failure, span};
use crate::provider::octamile::check_transaction;
use crate::time::Span;

/// For what a sandbox does at once.
const PROMPT: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Approve an Octamile request: its webhook fires, with a certificate
    #[command(after_help = "\
Example:
  postrider sandbox approve order-17

The status changes once: what is approved or declined stays so. Exit status 1: nothing was done.")]
    Approve {
        /// The partner's reference, cmmnd.seed.id
        #[arg(value_name = "ID", value_parser = reference)]
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Decline an Octamile request: its webhook fires, with the note
    #[command(after_help = "\
Example:
  postrider sandbox decline order-18 --note 'The chassis number is unknown'

The status changes once: what is approved or declined stays so. Exit status 1: nothing was done.")]
    Decline {
        /// The partner's reference, cmmnd.seed.id
        #[arg(value_name = "ID", value_parser = reference)]
        id: String,
        /// The reason, which goes out as statusNote
        #[arg(long, value_name = "TEXT")]
        note: String,
        #[command(flatten)]
        place: Place,
    },
    /// List policies and requests with their states
    #[command(after_help = "\
Examples:
  postrider sandbox list
  postrider sandbox list --json | jq '.transactions[] | select(.status == \"pending\") | .id'")]
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Show the sandbox's clock, or move it forward
    #[command(after_help = "\
Examples:
  postrider sandbox clock
  postrider sandbox clock +10m
  postrider sandbox clock '+3days 2h'

What waits for that long becomes due: retries, approvals, the end of policies. The clock never goes
back.")]
    Clock {
        /// How far to move it: +30s, +10m, +2h, +1day
        #[arg(value_name = "BY", value_parser = forward)]
        by: Option<Span>,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, clap::Args)]
pub struct Place {
    /// Where the sandbox listens
    #[arg(
        long,
        value_name = "URL",
        env = "POSTRIDER_SANDBOX",
        default_value = "http://127.0.0.1:8790",
        value_parser = Server::parse
    )]
    at: Server,
}

fn reference(text: &str) -> Result<String, String> {
    check_transaction("a reference", text).map(|()| text.to_owned())
}

fn forward(text: &str) -> Result<Span, String> {
    span(text.strip_prefix('+').unwrap_or(text))
        .map_err(|_| "the clock is moved by a length of time, such as +30s, +10m or +2h".to_owned())
}

pub fn run(verb: Verb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        Verb::Approve { id, place } => decide(&place, context, &id, "approve", None),
        Verb::Decline { id, note, place } => decide(&place, context, &id, "decline", Some(json!({ "note": note }))),
        Verb::List { place } => list(&ask(&place, context, Method::GET, &["sandbox"], None)?, context),
        Verb::Clock { by, place } => clock(by, &place, context),
    }
}

fn ask(
    place: &Place,
    context: &Context,
    method: Method,
    parts: &[&str],
    document: Option<Value>,
) -> Result<Value, Failure> {
    let client = Client::new(context, &place.at, None)?.of("postrider sandbox");
    let mut request = client.request_outside(method, parts, &[]);
    if let Some(document) = document {
        request = request.header("content-type", "application/json").body(document.to_string());
    }
    client.ask(request, PROMPT)
}

fn decide(place: &Place, context: &Context, id: &str, verb: &str, document: Option<Value>) -> Result<Exit, Failure> {
    let decided = ask(place, context, Method::POST, &["sandbox", "transactions", id, verb], document);
    // It is in another state: the answer is no.
    let decided = decided.map_err(|failure| match failure.exit {
        Exit::Data => Failure { exit: Exit::No, ..failure },
        Exit::Done | Exit::No | Exit::Usage | Exit::NotFound | Exit::Store | Exit::Io | Exit::Busy | Exit::Config => {
            failure
        }
    })?;
    if context.json {
        output::json(&decided)?;
        return Ok(Exit::Done);
    }
    let what = match decided["event"].as_str() {
        Some(event) => format!("{event} goes to {}", terminal(decided["web_hook"].as_str().unwrap_or_default())),
        None => "no webHook was given, so nothing is sent".to_owned(),
    };
    let status = terminal(decided["status"].as_str().unwrap_or_default());
    output::line(&format!("{} is {status}; {what}", terminal(id)))?;
    Ok(Exit::Done)
}

fn list(state: &Value, context: &Context) -> Result<Exit, Failure> {
    if context.json {
        output::json(state)?;
        return Ok(Exit::Done);
    }
    let rows = |name: &str| state[name].as_array().cloned().unwrap_or_default();
    let (policies, queued, transactions) = (rows("policies"), rows("queued"), rows("transactions"));
    if policies.is_empty() && queued.is_empty() && transactions.is_empty() {
        output::note("the sandbox has no policies and no requests yet");
        return Ok(Exit::Done);
    }
    if !policies.is_empty() || !queued.is_empty() {
        let mut table = Table::new(&["policy", "state", "payout", "paid", "expiration", "ensuro_id"]);
        for policy in &policies {
            let cells = ["id", "status", "payout", "actual_payout", "expiration", "ensuro_id"];
            table.row(cells.map(|name| cell(&policy[name])).to_vec());
        }
        for waiting in &queued {
            let what = tinted(Tint::Waiting, &format!("{} queued", cell(&waiting["what"])));
            let (due, id) = (format!("due {}", cell(&waiting["due_at"])), cell(&waiting["ensuro_id"]));
            table.row(vec!["-".to_owned(), what, String::new(), String::new(), due, id]);
        }
        table.print()?;
    }
    if !transactions.is_empty() {
        let mut table = Table::new(&["request", "state", "product", "when", "note", "webHook"]);
        for known in &transactions {
            let when = match known["by_itself"].as_object() {
                Some(own) => format!("{} at {}", cell(&own["status"]), cell(&own["at"])),
                None => cell(&known["decided_at"]),
            };
            let [id, product, note, hook] = ["id", "product", "note", "web_hook"].map(|name| cell(&known[name]));
            table.row(vec![id, status(&cell(&known["status"])), product, when, note, hook]);
        }
        table.print()?;
    }
    Ok(Exit::Done)
}

fn status(word: &str) -> String {
    let tint = match word {
        "approved" => Tint::Good,
        "declined" => Tint::Bad,
        _ => Tint::Waiting,
    };
    tinted(tint, word)
}

/// A text, a number, or nothing, as it stands in a table.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => terminal(text),
        other => terminal(&other.to_string()),
    }
}

fn clock(by: Option<Span>, place: &Place, context: &Context) -> Result<Exit, Failure> {
    let (method, document) = match by {
        None => (Method::GET, None),
        Some(by) => (Method::POST, Some(json!({ "by_ms": by.ms() }))),
    };
    let hands = ask(place, context, method, &["sandbox", "clock"], document)?;
    if context.json {
        output::json(&hands)?;
        return Ok(Exit::Done);
    }
    let ahead = match hands["ahead_ms"].as_i64() {
        None | Some(0) => "as this machine's".to_owned(),
        Some(ms) => format!("{} ahead of this machine's", Span::from_ms(ms)),
    };
    let next = match hands["next_at"].as_str() {
        Some(at) => format!("; the next thing by itself is at {}", terminal(at)),
        None => String::new(),
    };
    output::line(&format!("{} ({ahead}){next}", cell(&hands["now"])))?;
    Ok(Exit::Done)
}
