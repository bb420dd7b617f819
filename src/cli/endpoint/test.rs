//! `postrider endpoint test`.

use std::path::PathBuf;

use crate::cli::output::{self, terminal};
use crate::cli::source::Trial;
use crate::cli::{Context, Exit, Failure, read, show, shown};
use crate::endpoint::EndpointName;
use crate::event::EventType;
use crate::operations::answer::TestAnswer;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postrider endpoint test acme
  postrider endpoint test acme --type policy/creation/failed
  postrider endpoint test acme body.json

Sends once, now: signed and judged as every delivery, but neither kept nor tried again. The receiver
cannot tell it from a real one. Exit status 0: accepted, 1: not.")]
pub struct Arguments {
    #[arg(value_name = "NAME", value_parser = EndpointName::parse)]
    name: EndpointName,
    /// What happened; if nothing is said, what the body names, or the first of the profile's types
    #[arg(long = "type", value_name = "TYPE", value_parser = EventType::parse)]
    event_type: Option<EventType>,
    /// The file with the body, - for stdin; if nothing is said, a sample of the profile
    #[arg(value_name = "BODY")]
    body: Option<PathBuf>,
}

pub fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Failure> {
    let mut source = context.source()?;
    let most = source.max_body_bytes();
    let body = arguments.body.as_deref().map(|path| {
        read(path, most)?.ok_or_else(|| {
            let text = format!("{} has more bytes than store.max_body_bytes = {most} allows", shown(path));
            Failure::new(Exit::Data, text)
        })
    });
    let trial = Trial { event_type: arguments.event_type.clone(), body: body.transpose()? };
    let tested = source.test_endpoint(&arguments.name, trial)?;
    match context.json {
        true => output::json(&tested)?,
        false => print(&tested)?,
    }
    Ok(if tested.accepted { Exit::Done } else { Exit::No })
}

fn print(tested: &TestAnswer) -> Result<(), Failure> {
    let (event, event_type) = (terminal(&tested.event), terminal(&tested.event_type));
    output::line(&format!("{event} ({event_type}) to {}", terminal(&tested.endpoint)))?;
    output::line(&format!("  url           {}", terminal(&tested.url)))?;
    show::attempt_lines(&tested.attempt).iter().try_for_each(|line| output::line(line))
}
