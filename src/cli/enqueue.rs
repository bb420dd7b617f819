//! `postrider enqueue`: one event into the store, and on wish the way of its deliveries to their end; or a batch of them.

use std::path::{Path, PathBuf};

use super::output::terminal;
use super::{Context, Exit, Failure, batch, is_stdin, output, read, secret, shown, span, wait};
use crate::endpoint::{EndpointName, ProfileName};
use crate::event::{EventId, EventType};
use crate::operations::answer::{AcceptedAnswer, AcceptedDelivery};
use crate::operations::{Submission, Target};
use crate::time::Span;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postrider enqueue --type policy/creation body.json
  postrider enqueue --endpoint acme --id policy-812-created --wait body.json
  jq -c . draft.json | postrider enqueue --type order.paid -
  postrider enqueue --to https://broker.example/certificates --profile octamile body.json
  postrider enqueue --batch events.ndjson
  postrider enqueue --batch - --json < events.ndjson > results.ndjson

The body is sent as it is, byte for byte. The same --id again with the same body gives the same
answer and no second delivery. With --wait, status 0 means that every delivery was delivered, and
1 that one was not, whether anybody reads what is told or not.

A batch has an event a line: {\"id\": …, \"type\": …, \"endpoint\": …, \"body\": …}, as POST /v1/events
takes it. A line of a file without an id gets one that follows from its number and the whole file's
bytes: the same file again stores nothing twice, also after it was cut off. From stdin there is no
whole to know it by, and with --no-derived-ids it is not wanted: then a line without an id is a new
event each time.
Status 0: every line was accepted. 65: one was refused; the others are accepted all the same.")]
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
    /// A file with an event a line, - for stdin, instead of BODY
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "event_type", "endpoint", "to", "profile", "secret_file", "secret_env", "key_file", "id", "content_type", "wait", "body",
    ])]
    batch: Option<PathBuf>,
    /// Make a new event of every line that has no id, though the file was given before
    #[arg(long, conflicts_with = "body")]
    no_derived_ids: bool,
    /// The file with the body, - for stdin
    #[arg(value_name = "BODY", required_unless_present = "batch")]
    body: Option<PathBuf>,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    if let Some(file) = &arguments.batch {
        return batch::run(file, !arguments.no_derived_ids, context);
    }
    let body = arguments.body.as_deref().expect("clap wants a body unless there is a batch");
    let mut source = context.source()?;
    let (submission, texts) = submission(&arguments, body, source.max_body_bytes())?;
    let accepted = source.enqueue(submission, &texts)?;
    let printed = match context.json {
        true => output::json(&accepted),
        false => print(&accepted),
    };
    printed.map_err(|failure| unprinted(&accepted, failure))?;
    match arguments.wait {
        true => wait::for_the_end(&mut *source, context, &accepted, arguments.wait_timeout),
        false => Ok(Exit::Done),
    }
}

/// The event is stored whether that can be said on stdout or not, and nobody shall think otherwise.
pub(super) fn unprinted(accepted: &AcceptedAnswer, failure: Failure) -> Failure {
    let text = format!("event {} is stored; the answer could not be printed: {}", accepted.event, failure.message);
    Failure::new(failure.exit, text)
}

/// The event, and what the receiver is signed with if it is not registered.
fn submission(arguments: &Arguments, body: &Path, most: usize) -> Result<(Submission, secret::Texts), Failure> {
    let data = |message: String| Failure::new(Exit::Data, message);
    let usage = |message: &str| Failure::new(Exit::Usage, message);
    if arguments.to.is_none() && !arguments.keys.is_empty() {
        return Err(usage("a secret or key goes with --to; a registered endpoint has its own"));
    }
    if is_stdin(body) && arguments.keys.take_stdin() {
        return Err(usage("stdin can be the body or the secret, not both"));
    }
    let id = arguments.id.as_deref().map(EventId::parse).transpose().map_err(data)?;
    let event_type = arguments.event_type.as_deref().map(EventType::parse).transpose().map_err(data)?;
    let mut texts = secret::Texts::default();
    let target = match arguments.to.as_ref().zip(arguments.profile) {
        Some((url, profile)) => {
            texts = arguments.keys.needed_texts(profile)?;
            Target::OneOff { url: url.clone(), profile, keys: vec![] }
        }
        None if arguments.endpoint.is_empty() => Target::Subscribers,
        None => Target::Endpoints(arguments.endpoint.clone()),
    };
    let body = read(body, most)?.ok_or_else(|| {
        let place = shown(body);
        data(format!("{place} has more bytes than store.max_body_bytes = {most} allows"))
    })?;
    let content_type = Some(arguments.content_type.clone());
    let submission =
        Submission { id, idempotency_key: None, event_type, content_type, body: body.into(), target, trace: None };
    Ok((submission, texts))
}

fn print(accepted: &AcceptedAnswer) -> Result<(), Failure> {
    for warning in &accepted.warnings {
        output::note(&format!("warning: {}", terminal(warning)));
    }
    let deliveries = match accepted.deliveries.len() {
        1 => "1 delivery".to_owned(),
        count => format!("{count} deliveries"),
    };
    let event = terminal(&accepted.event);
    output::line(&match accepted.again {
        false => format!("{event} accepted: {deliveries}"),
        true => format!("{event} known already, accepted at {}: {deliveries}", accepted.accepted_at),
    })?;
    let owed =
        |owed: &AcceptedDelivery| output::line(&format!("{} -> {}", terminal(&owed.id), terminal(&owed.endpoint)));
    accepted.deliveries.iter().try_for_each(owed)
}
