//! `postrider why`: the answer to "why has this not been delivered?".

use clap::Args;

use super::output::{self, terminal};
use super::{Context, Exit, Failure};
use crate::operations::answer::ExplainedAnswer;

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
    let explained = context.source()?.why(&arguments.id)?;
    match context.json {
        true => output::json(&explained)?,
        false => print(&explained)?,
    }
    Ok(Exit::Done)
}

fn print(explained: &ExplainedAnswer) -> Result<(), Failure> {
    if let Some(nobody) = &explained.why {
        output::line(&terminal(nobody))?;
    }
    for (number, why) in explained.deliveries.iter().enumerate() {
        if number > 0 {
            output::line("")?;
        }
        let paragraph = match &why.advice {
            Some(advice) => format!("{} {advice}", why.why),
            None => why.why.clone(),
        };
        output::line(&terminal(&paragraph))?;
    }
    Ok(())
}
