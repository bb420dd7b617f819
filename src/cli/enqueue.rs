//! `postrider enqueue`: one event into the store, and on wish the way of its deliveries to their end.

use std::path::PathBuf;

use serde_json::json;

use super::{Context, Exit, Failure, is_stdin, output, read, secret, shown, span, wait};
use crate::calendar::rfc3339;
use crate::endpoint::{EndpointName, ProfileName};
use crate::event::{EventId, EventType};
use crate::operations::{self, Accepted, Rules, Submission, Target};
use crate::time::Span;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postrider enqueue --type policy/creation body.json
  postrider enqueue --endpoint acme --id policy-812-created --wait body.json
  jq -c . draft.json | postrider enqueue --type order.paid -
  postrider enqueue --to https://broker.example/certificates --profile octamile body.json

The body is sent as it is, byte for byte. The same --id again with the same body gives the same
answer and no second delivery. With --wait, status 0 means that every delivery was delivered, and
1 that one was not, whether anybody reads what is told or not.")]
pub struct Arguments {
    /// What happened, as policy/creation; may be left out where the body names it and one profile is asked for
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// A registered receiver; may be repeated. Without --endpoint and --to: all that subscribe to the type
    #[arg(long, value_name = "NAME", value_parser = EndpointName::parse, conflicts_with = "to")]
    endpoint: Vec<EndpointName>,
    /// A receiver that is not registered
    #[arg(long, value_name = "URL", requires = "profile")]
    to: Option<String>,
    /// Whose promises --to is served by: ensuro, octamile or standard
    #[arg(long, value_name = "PROFILE", value_parser = ProfileName::parse, requires = "to")]
    profile: Option<ProfileName>,
    #[command(flatten)]
    keys: secret::Arguments,
    /// Your own id of this event, so that it can be given again without a second delivery; made, if none is given
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The body's type, where the profile leaves it open
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    content_type: String,
    /// Tell each attempt as it ends, and wait for the end of every delivery
    #[arg(long)]
    wait: bool,
    /// The longest time to wait
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "1h", requires = "wait")]
    wait_timeout: Span,
    /// The file with the body, - for stdin
    #[arg(value_name = "BODY")]
    body: PathBuf,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let rules = Rules::of(&context.loaded.config);
    let submission = submission(&arguments, &rules)?;
    let mut store = context.store()?;
    let accepted = operations::enqueue(&mut store, &rules, context.now(), submission)?;
    let printed = match context.json {
        true => print_json(&accepted),
        false => print(&accepted),
    };
    printed.map_err(|failure| unprinted(&accepted, failure))?;
    match arguments.wait {
        true => wait::for_the_end(&mut store, context, &accepted, arguments.wait_timeout),
        false => Ok(Exit::Done),
    }
}

/// The event is stored whether that can be said on stdout or not, and nobody shall think otherwise.
pub(super) fn unprinted(accepted: &Accepted, failure: Failure) -> Failure {
    let text = format!("event {} is stored; the answer could not be printed: {}", accepted.event, failure.message);
    Failure::new(failure.exit, text)
}

fn submission(arguments: &Arguments, rules: &Rules) -> Result<Submission, Failure> {
    let data = |message: String| Failure::new(Exit::Data, message);
    let usage = |message: &str| Failure::new(Exit::Usage, message);
    if arguments.to.is_none() && !arguments.keys.is_empty() {
        return Err(usage("a secret or key goes with --to; a registered endpoint has its own"));
    }
    if is_stdin(&arguments.body) && arguments.keys.take_stdin() {
        return Err(usage("stdin can be the body or the secret, not both"));
    }
    let id = arguments.id.as_deref().map(EventId::parse).transpose().map_err(data)?;
    let event_type = arguments.event_type.as_deref().map(EventType::parse).transpose().map_err(data)?;
    let target = match arguments.to.as_ref().zip(arguments.profile) {
        Some((url, profile)) => Target::OneOff { url: url.clone(), profile, keys: arguments.keys.keys(profile)? },
        None if arguments.endpoint.is_empty() => Target::Subscribers,
        None => Target::Endpoints(arguments.endpoint.clone()),
    };
    let body = read(&arguments.body, rules.max_body_bytes)?.ok_or_else(|| {
        let (place, most) = (shown(&arguments.body), rules.max_body_bytes);
        data(format!("{place} has more bytes than store.max_body_bytes = {most} allows"))
    })?;
    let content_type = Some(arguments.content_type.clone());
    Ok(Submission { id, event_type, content_type, body: body.into(), target })
}

fn print(accepted: &Accepted) -> Result<(), Failure> {
    for warning in &accepted.warnings {
        output::note(&format!("warning: {}", output::terminal(warning)));
    }
    let deliveries = match accepted.deliveries.len() {
        1 => "1 delivery".to_owned(),
        count => format!("{count} deliveries"),
    };
    let event = &accepted.event;
    output::line(&match accepted.again {
        false => format!("{event} accepted: {deliveries}"),
        true => format!("{event} known already, accepted at {}: {deliveries}", rfc3339(accepted.accepted_at)),
    })?;
    accepted.deliveries.iter().try_for_each(|owed| output::line(&format!("{} -> {}", owed.delivery, owed.endpoint)))
}

fn print_json(accepted: &Accepted) -> Result<(), Failure> {
    let deliveries: Vec<_> = accepted
        .deliveries
        .iter()
        .map(|owed| json!({"id": owed.delivery.to_string(), "endpoint": owed.endpoint}))
        .collect();
    output::json(&json!({
        "event": accepted.event.as_str(),
        "type": accepted.event_type.as_str(),
        "accepted_at": rfc3339(accepted.accepted_at),
        "again": accepted.again,
        "deliveries": deliveries,
        "warnings": accepted.warnings,
    }))
}
