//! `postrider token`: who may ask a daemon what over HTTP. A token is printed once, when it is made; the store keeps its
//! hash.

use serde_json::json;

use super::output::{self, Table, terminal};
use super::{Context, Exit, Failure};
use crate::access::{AccessToken, Scope};
use crate::calendar::rfc3339;
use crate::operations::access;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  (umask 077; postrider token add shop --scope enqueue > shop.token)
  postrider token list
  postrider token remove shop

Without any token, whoever reaches the daemon's TCP address may do everything, which is why it is a
loopback address then. With one, every request over TCP needs a token; the unix socket needs none.")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a token, and print it this once
    #[command(after_help = "\
Example:
  (umask 077; postrider token add shop --scope enqueue > shop.token)

enqueue: hand in events. read: list, show, why, status, metrics. admin: everything.")]
    Add {
        /// What to call it: 1 to 64 characters out of A-Z a-z 0-9 _ -
        #[arg(value_name = "NAME")]
        name: String,
        /// What it is good for: enqueue, read or admin
        #[arg(long, value_name = "SCOPE", value_parser = Scope::parse)]
        scope: Scope,
    },
    /// List the tokens, without what must stay secret
    #[command(after_help = "Example:\n  postrider token list --json")]
    List,
    /// Remove a token: whoever holds it is refused from now on
    #[command(after_help = "Example:\n  postrider token remove shop")]
    Remove {
        #[arg(value_name = "NAME")]
        name: String,
    },
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let now = context.now();
    match arguments.verb {
        Verb::Add { name, scope } => {
            let token = access::add(&mut context.store()?, now, &name, scope)?;
            match context.json {
                true => output::json(&json!({"name": name, "scope": scope.as_str(), "token": token.as_str()}))?,
                false => {
                    output::note(&format!("added the token {name} ({scope}); it is shown this once"));
                    output::line(&token)?;
                }
            }
        }
        Verb::List => list(&access::list(&mut context.existing_store()?)?, context)?,
        Verb::Remove { name } => {
            access::remove(&mut context.existing_store()?, now, &name)?;
            match context.json {
                true => output::json(&json!({ "removed": name }))?,
                false => output::line(&format!("{} removed", terminal(&name)))?,
            }
        }
    }
    Ok(Exit::Done)
}

fn list(tokens: &[AccessToken], context: &Context) -> Result<(), Failure> {
    if context.json {
        let token = |token: &AccessToken| json!({"name": token.name, "scope": token.scope.as_str(), "created_at": rfc3339(token.created_at)});
        let tokens: Vec<_> = tokens.iter().map(token).collect();
        return output::json(&json!({ "tokens": tokens }));
    }
    if tokens.is_empty() {
        output::note("there is no token: whoever reaches the daemon's TCP address may do everything");
        return Ok(());
    }
    let mut table = Table::new(&["name", "scope", "added"]);
    for token in tokens {
        table.row(vec![terminal(&token.name), token.scope.to_string(), rfc3339(token.created_at)]);
    }
    table.print()
}
