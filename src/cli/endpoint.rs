//! `postrider endpoint`: the receivers that are registered. A secret goes in and never comes out again.

mod add;
mod describe;

use std::io::{BufRead, IsTerminal, Read};

use serde_json::{Value, json};

use super::output::{self, Table, terminal};
use super::{Context, Exit, Failure};
use crate::delivery::StateName;
use crate::endpoint::{Endpoint, EndpointName};
use crate::operations;
use crate::store::{Filter, Page, Store};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postrider endpoint add acme https://acme.example/hook --profile ensuro --secret-file acme.secret
  postrider endpoint list
  postrider endpoint show acme
  postrider endpoint remove acme")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Register a receiver
    Add(Box<add::Arguments>),
    /// List the registered receivers
    #[command(after_help = "Example:\n  postrider endpoint list --json")]
    List,
    /// Show on which terms a receiver is served, and what it is owed
    Show(Show),
    /// Remove a receiver, and end what it is owed
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  postrider endpoint show acme")]
struct Show {
    #[arg(value_name = "NAME", value_parser = EndpointName::parse)]
    name: EndpointName,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  postrider endpoint remove acme --yes

Its pending deliveries end as dead; what was delivered stays in the history. The name is free again.")]
struct Remove {
    #[arg(value_name = "NAME", value_parser = EndpointName::parse)]
    name: EndpointName,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    match arguments.verb {
        Verb::Add(arguments) => add::run(*arguments, context),
        Verb::List => list(context),
        Verb::Show(arguments) => show(&arguments.name, context),
        Verb::Remove(arguments) => remove(&arguments, context),
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let endpoints: Vec<Endpoint> = context.existing_store()?.endpoints()?;
    let mut registered = endpoints.iter().filter(|endpoint| endpoint.name.is_some());
    if context.json {
        let all: Vec<Value> = registered.map(|endpoint| describe::json(endpoint, context)).collect();
        output::json(&json!({"endpoints": all}))?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["name", "state", "profile", "signed with", "subscriptions", "url"]);
    for endpoint in registered.by_ref() {
        table.row(vec![
            endpoint.label(),
            describe::state(&endpoint.state),
            endpoint.profile.to_string(),
            describe::schemes(endpoint),
            describe::subscriptions(endpoint),
            terminal(&describe::url(&endpoint.url)),
        ]);
    }
    if table.is_empty() {
        output::note("no endpoint is registered; `postrider endpoint add --help` shows how");
        return Ok(Exit::Done);
    }
    table.print()?;
    Ok(Exit::Done)
}

fn show(name: &EndpointName, context: &Context) -> Result<Exit, Failure> {
    let mut store = context.existing_store()?;
    let endpoint = operations::endpoint(&mut store, name)?;
    let pending = pending(&mut store, &endpoint)?;
    if context.json {
        let mut shown = describe::json(&endpoint, context);
        shown["pending"] = json!(pending.0);
        shown["pending_or_more"] = json!(pending.is_cut());
        output::json(&shown)?;
    } else {
        describe::print(&endpoint, context)?;
        output::line(&format!("owed           {}", pending.text()))?;
    }
    Ok(Exit::Done)
}

/// Above this many, what is pending is not counted to its end.
const MOST_COUNTED: u32 = 10_000;

/// How many deliveries are pending; `MOST_COUNTED` stands for more, too.
struct Pending(usize);

impl Pending {
    fn is_cut(&self) -> bool {
        self.0 >= MOST_COUNTED as usize
    }

    fn text(&self) -> String {
        match self.0 {
            1 => "1 pending delivery".to_owned(),
            count if self.is_cut() => format!("{count} pending deliveries or more"),
            count => format!("{count} pending deliveries"),
        }
    }
}

fn pending(store: &mut dyn Store, endpoint: &Endpoint) -> Result<Pending, Failure> {
    let filter = Filter { endpoint: Some(endpoint.id), state: Some(StateName::Pending), ..Filter::default() };
    Ok(Pending(store.deliveries(&filter, Page { before: None, limit: MOST_COUNTED })?.len()))
}

fn remove(arguments: &Remove, context: &Context) -> Result<Exit, Failure> {
    let name = &arguments.name;
    let mut store = context.existing_store()?;
    let endpoint = operations::endpoint(&mut store, name)?;
    if !arguments.yes {
        let pending = pending(&mut store, &endpoint)?;
        let question = format!("remove {name} and end {} as dead", pending.text());
        if !is_agreed(&question)? {
            output::note("nothing was done");
            return Ok(Exit::No);
        }
    }
    let ended = operations::remove_endpoint(&mut store, context.now(), name)?;
    match context.json {
        true => output::json(&json!({"removed": name.as_str(), "ended": ended}))?,
        false if ended == 1 => output::line(&format!("{name} removed: 1 pending delivery ended as dead"))?,
        false => output::line(&format!("{name} removed: {ended} pending deliveries ended as dead"))?,
    }
    Ok(Exit::Done)
}

/// Asks the person at the terminal; without one nobody can agree.
fn is_agreed(question: &str) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::new(Exit::Usage, format!("this would {question}; say --yes to do it")));
    }
    output::note(&format!("{question}? [y/N]"));
    let mut answer = String::new();
    let read = stdin.lock().take(64).read_line(&mut answer);
    read.map_err(|error| Failure::new(Exit::Io, format!("the answer cannot be read: {error}")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
