//! `postrider sandbox`: the providers' side on this machine, and the verbs that steer one that runs.

mod control;
mod start;

use super::{Context, Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  postrider sandbox --notify http://127.0.0.1:3000/notify
  postrider sandbox --folder sandbox --delay 5s --max-payout 1000
  postrider sandbox --by-hand --certificate certificate.pdf
  postrider sandbox list
  postrider sandbox approve order-17
  postrider sandbox decline order-18 --note 'The chassis number is unknown'
  postrider sandbox clock +10m

Ensuro: POST /quote, /new-policy, /resolve-policy, /cancel-policy and /replace-policy, also under
/api/v0/PRODUCT, with X-API-Key and a signed body; GET /policies. What comes of a request is sent to
--notify, signed as Ensuro signs.
Octamile: POST / with the commands of its quickstart (premium, register, insure, status), for any
consumer. The webhook goes to cmmnd.seed.addtnlFact.webHook when the status changes, and never
otherwise.
Notifications are stored, signed and retried by a real daemon: with the address that is shown at the
start, `postrider list --server`, `why` and `show` tell what became of them.
http and addresses of this machine are allowed here.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<control::Verb>,
    #[command(flatten)]
    start: start::Arguments,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    match arguments.verb {
        Some(verb) => control::run(verb, context),
        None => start::run(arguments.start, context),
    }
}
