//! `postrider why`: the answer to "why has this not been delivered?".

use clap::Args;

use super::output::{self, terminal};
use super::{Context, Exit, Failure};
use crate::operations::look::why::{Around, why};
use crate::operations::look::{self, Daemon, json};
use crate::store::sqlite::holder;

const EXAMPLES: &str = "\
Examples:
  postrider why msg_01      every delivery of an event
  postrider why dlv_42      one delivery
  postrider why dlv_42 --json | jq -r .deliveries[0].advice";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// An event's id, or a delivery such as dlv_42
    #[arg(value_name = "ID")]
    id: String,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let config = &context.loaded.config;
    let mut store = context.existing_store()?;
    let around = Around {
        daemon: Daemon::of(holder(context.store_path())),
        concurrency: config.delivery.concurrency_per_endpoint,
    };
    let subject = look::find(&mut store, &arguments.id)?;
    let explained = why(&mut store, context.now(), &around, &subject)?;
    if context.json {
        output::json(&json::why(&explained))?;
        return Ok(Exit::Done);
    }
    if let Some(nobody) = &explained.nobody {
        output::line(&terminal(nobody))?;
    }
    for (number, why) in explained.deliveries.iter().enumerate() {
        if number > 0 {
            output::line("")?;
        }
        let paragraph = match &why.advice {
            Some(advice) => format!("{} {advice}", why.text),
            None => why.text.clone(),
        };
        output::line(&terminal(&paragraph))?;
    }
    Ok(Exit::Done)
}
