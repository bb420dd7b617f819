//! `postrider endpoint`: the receivers that are registered. A secret goes in and never comes out again.

mod add;
mod describe;
mod edit;
mod rotate;
pub(super) mod terms;
mod test;

use std::io::{BufRead, IsTerminal, Read};

use super::output::{self, Table, terminal};
use super::{Context, Exit, Failure};
use crate::endpoint::EndpointName;
use crate::operations::answer::{EndpointAnswer, EndpointsAnswer};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postrider endpoint add acme https://acme.example/hook --profile ensuro --secret-file acme.secret
  postrider endpoint list
  postrider endpoint show acme
  postrider endpoint edit acme --timeout 20s --unset schedule
  postrider endpoint pause acme
  postrider endpoint resume acme
  postrider endpoint rotate acme --secret-file new.secret
  postrider endpoint test acme
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
    #[command(after_help = "Example:\n  postrider endpoint show acme")]
    Show(Named),
    /// Change where and on which terms a receiver is served
    Edit(Box<edit::Arguments>),
    /// Send nothing to a receiver for now; what it is owed waits
    #[command(after_help = "\
Example:
  postrider endpoint pause acme

New events are still owed to it. Attempts in flight end as they would.")]
    Pause(Named),
    /// Go on sending to a receiver that was paused, or that disabled itself
    #[command(after_help = "\
Example:
  postrider endpoint resume acme

A receiver disables itself by answering 410 (standard). What ended then is sent again by
`postrider replay --endpoint acme`.")]
    Resume(Named),
    /// Give a receiver a new key
    Rotate(rotate::Arguments),
    /// Send to a receiver once, now, and show what it answers
    Test(test::Arguments),
    /// Remove a receiver, and end what it is owed
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
struct Named {
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
        Verb::Edit(arguments) => edit::run(*arguments, context),
        Verb::Pause(arguments) => changed(&context.source()?.pause_endpoint(&arguments.name)?, "paused", context),
        Verb::Resume(arguments) => changed(&context.source()?.resume_endpoint(&arguments.name)?, "resumed", context),
        Verb::Rotate(arguments) => rotate::run(&arguments, context),
        Verb::Test(arguments) => test::run(&arguments, context),
        Verb::Remove(arguments) => remove(&arguments, context),
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let all = context.source()?.endpoints()?;
    match context.json {
        true => output::json(&all)?,
        false => print(&all)?,
    }
    Ok(Exit::Done)
}

fn print(all: &EndpointsAnswer) -> Result<(), Failure> {
    if all.endpoints.is_empty() {
        output::note("no endpoint is registered; `postrider endpoint add --help` shows how");
        return Ok(());
    }
    let mut table = Table::new(&["name", "state", "profile", "signed with", "subscriptions", "url"]);
    for endpoint in &all.endpoints {
        table.row(vec![
            terminal(&endpoint.name),
            describe::state(endpoint),
            endpoint.profile.name().to_string(),
            describe::schemes(endpoint),
            describe::subscriptions(endpoint),
            terminal(&endpoint.url),
        ]);
    }
    table.print()
}

fn show(name: &EndpointName, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.source()?.endpoint(name)?;
    match context.json {
        true => output::json(&endpoint)?,
        false => describe::print(&endpoint)?,
    }
    Ok(Exit::Done)
}

/// Shows an endpoint after it was `what`. A secret that was made for it comes alone on stdout, so that it can go to a file.
fn changed(endpoint: &EndpointAnswer, what: &str, context: &Context) -> Result<Exit, Failure> {
    if context.json {
        output::json(endpoint)?;
        return Ok(Exit::Done);
    }
    output::note(&format!("{what} {}", terminal(&endpoint.name)));
    match &endpoint.secret {
        Some(secret) => {
            output::note(
                "its new secret follows, this once; hand it to the receiver, which must check signatures by it",
            );
            output::line(&terminal(&secret.0))?;
        }
        None => describe::print(endpoint)?,
    }
    Ok(Exit::Done)
}

fn remove(arguments: &Remove, context: &Context) -> Result<Exit, Failure> {
    let name = &arguments.name;
    let mut source = context.source()?;
    if !arguments.yes {
        let owed = describe::owed(&source.endpoint(name)?).unwrap_or_else(|| "what it is owed".to_owned());
        let question = format!("remove {name} and end {owed} as dead");
        if !is_agreed(&question)? {
            output::note("nothing was done");
            return Ok(Exit::No);
        }
    }
    let removed = source.remove_endpoint(name)?;
    match (context.json, removed.ended) {
        (true, _) => output::json(&removed)?,
        (false, 1) => output::line(&format!("{name} removed: 1 pending delivery ended as dead"))?,
        (false, ended) => output::line(&format!("{name} removed: {ended} pending deliveries ended as dead"))?,
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
