//! `postrider endpoint add`.

use super::describe;
use crate::cli::{Context, Exit, Failure, output, secret, span};
use crate::endpoint::{EndpointName, Overrides, ProfileName, Success};
use crate::event::Subscription;
use crate::operations::{self, Rules};
use crate::store::NewEndpoint;
use crate::time::Span;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  openssl rand -hex 32 > acme.secret && chmod 600 acme.secret
  postrider endpoint add acme https://acme.example/hook --profile ensuro --secret-file acme.secret
  postrider endpoint add chain https://acme.example/hook --profile ensuro --key-file ethereum.key
  postrider endpoint add broker https://broker.example/certificates --profile octamile
  pass show hooks/shop | postrider endpoint add shop https://shop.example/hook --profile standard \\
      --secret-file - --subscribe 'order/*' --timeout 20s --schedule 5s,5min,30min,2h --success 2xx")]
pub struct Arguments {
    /// What to call it: 1 to 64 characters out of A-Z a-z 0-9 _ -
    #[arg(value_name = "NAME", value_parser = EndpointName::parse)]
    name: EndpointName,
    /// Where to POST to
    #[arg(value_name = "URL")]
    url: String,
    /// Whose promises it is served by: ensuro, octamile or standard
    #[arg(long, value_name = "PROFILE", value_parser = ProfileName::parse)]
    profile: ProfileName,
    #[command(flatten)]
    keys: secret::Arguments,
    /// An event type (policy/creation) or a family (policy/*) that it wants; all of the profile's, if none is given
    #[arg(long, value_name = "TYPE", value_parser = Subscription::parse)]
    subscribe: Vec<Subscription>,
    #[command(flatten)]
    terms: Terms,
}

/// What the endpoint wants otherwise than its profile.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Instead of what the profile says")]
struct Terms {
    /// The time for a whole attempt, from 100ms to 30s
    #[arg(long, value_name = "TIME", value_parser = span)]
    timeout: Option<Span>,
    /// The wait before each retry (30s,1min,2min), or none for a single attempt
    #[arg(long, value_name = "TIMES", value_parser = schedule)]
    // The full path, as clap takes a bare `Vec` for an option that is repeated.
    schedule: Option<std::vec::Vec<Span>>,
    /// The status codes that mean success: 2xx, or some of 200 to 299 (200,202)
    #[arg(long, value_name = "CODES", value_parser = Success::parse)]
    success: Option<Success>,
    /// A further header, as 'Name: value'; may be repeated
    // Not parsed by clap, whose errors repeat what was given, and a value may be a token.
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// The name of the header that carries Ensuro's signature
    #[arg(long, value_name = "NAME")]
    signature_header: Option<String>,
    /// Attempts in flight at once, from 1 to 256
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<u32>,
    /// Attempts begun per second, from 1 to 100000
    #[arg(long, value_name = "NUMBER")]
    rate: Option<u32>,
}

fn schedule(text: &str) -> Result<Vec<Span>, String> {
    match text {
        "none" => Ok(vec![]),
        _ => text.split(',').map(span).collect::<Result<_, _>>().map_err(|_| {
            "a schedule is none, or the waits before each retry with commas between (30s,1min,2min)".to_owned()
        }),
    }
}

/// `Name: value`. Never repeats the value.
fn header(text: &str) -> Result<(String, String), Failure> {
    match text.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => Err(Failure::new(Exit::Data, "a header is written 'Name: value'; one of them has no colon")),
    }
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let terms = arguments.terms;
    let overrides = Overrides {
        timeout: terms.timeout,
        schedule: terms.schedule,
        success: terms.success,
        signature_header: terms.signature_header,
        headers: terms.header.iter().map(|text| header(text)).collect::<Result<_, _>>()?,
        concurrency: terms.concurrency,
        rate: terms.rate,
    };
    let endpoint = NewEndpoint {
        name: arguments.name,
        url: arguments.url,
        profile: arguments.profile,
        subscriptions: arguments.subscribe,
        overrides,
        keys: arguments.keys.keys(arguments.profile)?,
    };
    let rules = Rules::of(&context.loaded.config);
    operations::check_endpoint(&rules, &endpoint)?;
    let endpoint = operations::add_endpoint(&mut context.store()?, &rules, context.now(), endpoint)?;
    match context.json {
        true => output::json(&describe::json(&endpoint, context))?,
        false => {
            output::note(&format!("added {}", endpoint.label()));
            describe::print(&endpoint, context)?;
        }
    }
    Ok(Exit::Done)
}
