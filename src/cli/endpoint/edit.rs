//! `postrider endpoint edit`.

use clap::ValueEnum;

use super::terms::Terms;
use crate::cli::{Context, Exit, Failure};
use crate::endpoint::EndpointName;
use crate::event::Subscription;
use crate::operations::Edit;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postrider endpoint edit acme --url https://new.acme.example/hook
  postrider endpoint edit acme --timeout 20s --rate 50
  postrider endpoint edit acme --unset timeout,rate           as the profile says again
  postrider endpoint edit shop --subscribe 'order/*' --header 'X-Team: a'

What is not named stays. --subscribe and --header replace all that there were. Attempts that begin
later follow it, also those of what is owed already. Its keys change by `endpoint rotate`.")]
pub struct Arguments {
    #[arg(value_name = "NAME", value_parser = EndpointName::parse)]
    name: EndpointName,
    /// Where to POST to
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// An event type (policy/creation) or a family (policy/*) that it wants; may be repeated
    #[arg(long, value_name = "TYPE", value_parser = Subscription::parse)]
    subscribe: Vec<Subscription>,
    /// What is to be as the profile says again, with commas between
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    unset: Vec<Term>,
    #[command(flatten)]
    terms: Terms,
}

/// What an endpoint can have otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Term {
    Timeout,
    Schedule,
    Success,
    SignatureHeader,
    Headers,
    Concurrency,
    Rate,
    Subscriptions,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let subscriptions = Some(arguments.subscribe).filter(|subscriptions| !subscriptions.is_empty());
    let mut edit = Edit { url: arguments.url, subscriptions, overrides: arguments.terms.edit()? };
    for term in arguments.unset {
        unset(&mut edit, term)?;
    }
    if edit == Edit::default() {
        return Err(Failure::new(
            Exit::Usage,
            "nothing to change is named; `postrider endpoint edit --help` shows what can be",
        ));
    }
    let endpoint = context.source()?.edit_endpoint(&arguments.name, &edit)?;
    super::changed(&endpoint, "changed", context)
}

fn unset(edit: &mut Edit, term: Term) -> Result<(), Failure> {
    fn clear<T>(place: &mut Option<T>, value: T) -> bool {
        place.replace(value).is_none()
    }
    let overrides = &mut edit.overrides;
    let fits = match term {
        Term::Timeout => clear(&mut overrides.timeout, None),
        Term::Schedule => clear(&mut overrides.schedule, None),
        Term::Success => clear(&mut overrides.success, None),
        Term::SignatureHeader => clear(&mut overrides.signature_header, None),
        Term::Headers => clear(&mut overrides.headers, vec![]),
        Term::Concurrency => clear(&mut overrides.concurrency, None),
        Term::Rate => clear(&mut overrides.rate, None),
        Term::Subscriptions => clear(&mut edit.subscriptions, vec![]),
    };
    match fits {
        true => Ok(()),
        false => {
            let value = term.to_possible_value().expect("each has a name");
            let text = format!("{} is both given and unset, or unset twice", value.get_name());
            Err(Failure::new(Exit::Usage, text))
        }
    }
}
