//! `postrider retry` and `postrider cancel`: what a person decides about a delivery, or all of an event's.

use clap::Args;

use super::output::{self, Tint, terminal, tinted};
use super::{Context, Exit, Failure};
use crate::operations::answer::{Changed, ChangedDelivery};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postrider retry dlv_42                what is dead or cancelled begins its schedule anew, now
  postrider retry msg_01                every delivery of an event
  postrider retry dlv_42 --delivered    even if it was delivered: the receiver gets it twice

What is pending only stops waiting for its next attempt. The attempts that were made stay in the
record. Exit status 1: nothing could be done, and why.")]
pub struct Retry {
    /// An event's id, or a delivery such as dlv_42
    #[arg(value_name = "ID")]
    id: String,
    /// Also what was delivered
    #[arg(long)]
    delivered: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postrider cancel dlv_42
  postrider cancel msg_01 --json      every delivery of an event

Only what is pending is cancelled. An attempt in flight is not called back: if the receiver accepts
it, the delivery is delivered all the same. `postrider retry` takes it up again.
Exit status 1: nothing could be done, and why.")]
pub struct Cancel {
    /// An event's id, or a delivery such as dlv_42
    #[arg(value_name = "ID")]
    id: String,
}

pub fn retry(arguments: &Retry, context: &Context) -> Result<Exit, Failure> {
    let changed = context.source()?.retry(&arguments.id, arguments.delivered)?;
    print(&changed, "due now", context)
}

pub fn cancel(arguments: &Cancel, context: &Context) -> Result<Exit, Failure> {
    let changed = context.source()?.cancel(&arguments.id)?;
    print(&changed, "cancelled", context)
}

fn print(changed: &Changed, done: &str, context: &Context) -> Result<Exit, Failure> {
    match context.json {
        true => output::json(changed)?,
        false => changed.deliveries.iter().try_for_each(|delivery| output::line(&line(delivery, done)))?,
    }
    let any = changed.deliveries.iter().any(|delivery| delivery.changed);
    Ok(if any { Exit::Done } else { Exit::No })
}

fn line(delivery: &ChangedDelivery, done: &str) -> String {
    let (id, endpoint) = (terminal(&delivery.delivery), terminal(&delivery.endpoint));
    match (delivery.changed, &delivery.detail) {
        (true, _) => format!("{id} -> {endpoint}: {}", tinted(Tint::Good, done)),
        (false, Some(why)) => format!("{id} -> {endpoint}: {}: {}", tinted(Tint::Waiting, "unchanged"), terminal(why)),
        (false, None) => format!("{id} -> {endpoint}: {}", tinted(Tint::Waiting, "unchanged")),
    }
}
