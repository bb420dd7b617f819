//! `postrider replay`: many ended deliveries again. It counts first, and does nothing before a person has seen how many.

use clap::Args;

use super::output;
use super::progress::Progress;
use super::{Context, Exit, Failure};
use crate::calendar::parse_since;
use crate::delivery::StateName;
use crate::event::Subscription;
use crate::operations::answer::Replayed;
use crate::operations::resend::Wanted;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postrider replay --endpoint acme --since 2days          how many dead deliveries that would be
  postrider replay --endpoint acme --since 2days --yes    sends them again
  postrider replay --state delivered --type 'policy/*' --since 2026-11-01 --until 2026-11-02 --yes

Each begins its schedule anew, the older events first, as the endpoint's limits allow. Deliveries to
an endpoint that is disabled or removed are left as they are.")]
pub struct Arguments {
    /// Which ended deliveries: dead, cancelled or delivered
    #[arg(long, value_name = "STATE", value_parser = ended, default_value = "dead")]
    state: StateName,
    /// Only to this endpoint: its name, or one-off-3
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Only of events of this type (policy/creation) or family (policy/*)
    #[arg(long = "type", value_name = "TYPE", value_parser = Subscription::parse)]
    event_type: Option<Subscription>,
    /// Only of events accepted since then: 30min, 2h, 7days, 2026-11-01 or RFC 3339; UTC
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only of events accepted before then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Do it, instead of counting only
    #[arg(long)]
    yes: bool,
}

fn ended(text: &str) -> Result<StateName, String> {
    match StateName::parse(text)? {
        StateName::Pending => {
            Err("what is pending is sent anyway; `postrider retry ID` makes one delivery due now".to_owned())
        }
        state @ (StateName::Delivered | StateName::Dead | StateName::Cancelled) => Ok(state),
    }
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let now = context.now();
    let time = |text: &Option<String>| {
        let time = text.as_deref().map(|text| parse_since(text, now)).transpose();
        time.map_err(|what| Failure::new(Exit::Usage, what))
    };
    let wanted = Wanted {
        state: arguments.state,
        endpoint: arguments.endpoint.clone(),
        event_type: arguments.event_type.clone(),
        since: time(&arguments.since)?,
        until: time(&arguments.until)?,
    };
    let mut source = context.source()?;
    let counting = Progress::of(None);
    let counted = source.replay(&wanted, true, &mut |count| counting.is_at(count, format!("{count} so far")))?;
    drop(counting);
    if !arguments.yes {
        return answer(&counted, arguments.state, context);
    }
    let doing = Progress::of(Some(counted.matched));
    let replayed = source.replay(&wanted, false, &mut |count| {
        doing.is_at(count, format!("{count} of {}, {}/s", counted.matched, doing.rate(count)));
    })?;
    drop(doing);
    answer(&replayed, arguments.state, context)
}

fn answer(replayed: &Replayed, state: StateName, context: &Context) -> Result<Exit, Failure> {
    if context.json {
        output::json(replayed)?;
        return Ok(Exit::Done);
    }
    let (matched, state) = (replayed.matched, state.as_str());
    let fit = match matched {
        1 => format!("1 {state} delivery fits"),
        _ => format!("{matched} {state} deliveries fit"),
    };
    match (replayed.dry_run, matched) {
        (_, 0) => output::line(&format!("{fit}: there is nothing to do"))?,
        (true, _) => {
            output::line(&format!("{fit}: nothing was done"))?;
            output::note("the same command with --yes sends them again");
        }
        (false, _) => {
            output::line(&format!("{fit}: {} pending again", replayed.replayed))?;
            if replayed.replayed < matched {
                let left = matched - replayed.replayed;
                output::note(&format!("{left} are left as they are: their endpoint is disabled or removed"));
            }
        }
    }
    Ok(Exit::Done)
}
