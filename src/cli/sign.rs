//! `postrider sign`: the signature headers that a body would be sent with. Keys come from files or variables, never
//! from the command line, and are never shown.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::{Context, Exit, Failure, is_stdin, output, read, secret, shown};
use crate::endpoint::{Key, ProfileName, Scheme};
use crate::event::EventId;
use crate::signature::{self, Signed};

const EXAMPLES: &str = "\
Examples:
  postrider sign --scheme hmac --secret-file acme.secret body.json
  postrider sign --scheme eip191 --key-file signer.key body.json
  postrider sign --scheme v1 --secret-env WEBHOOK_SECRET --id msg_01 - < body.json

hmac and v1 sign with a shared secret, eip191 and v1a with a private key. The body is taken byte for
byte: a newline at its end counts.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The signature scheme: hmac, eip191, v1 or v1a
    #[arg(long, value_name = "SCHEME", value_parser = Scheme::parse)]
    scheme: Scheme,
    #[command(flatten)]
    keys: secret::Arguments,
    /// The event's id, which v1 and v1a sign with the body
    #[arg(long, value_name = "ID", value_parser = EventId::parse)]
    id: Option<EventId>,
    /// The attempt's time, which v1 and v1a sign with the body: seconds since 1970; now if left out
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    timestamp: Option<i64>,
    /// The file with the body, - for stdin
    #[arg(value_name = "BODY")]
    body: PathBuf,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let scheme = arguments.scheme;
    let id = match (&arguments.id, scheme) {
        (Some(id), _) => id.as_str(),
        (None, Scheme::Hmac | Scheme::Eip191) => "",
        (None, Scheme::V1 | Scheme::V1a) => {
            return Err(Failure::new(Exit::Usage, format!("{scheme} signs the event's id with the body: give --id")));
        }
    };
    let key = key(scheme, &arguments.keys, &arguments.body)?;
    let body = body(&arguments.body)?;
    let timestamp = arguments.timestamp.unwrap_or_else(|| context.now().unix_seconds());
    let headers = signature::headers(&[key], &Signed { event_id: id, timestamp, body: &body }, None);
    if context.json {
        let headers: Map<String, Value> = headers.into_iter().map(|(name, value)| (name, value.into())).collect();
        output::json(&json!({ "headers": headers }))?;
        return Ok(Exit::Done);
    }
    headers.iter().try_for_each(|(name, value)| output::line(&format!("{name}: {value}")))?;
    Ok(Exit::Done)
}

/// The one key of this scheme.
pub(super) fn key(scheme: Scheme, given: &secret::Arguments, body: &Path) -> Result<Key, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let (profile, needed) = match scheme {
        Scheme::Hmac => (ProfileName::Ensuro, "a shared secret: give one of --secret-file and --secret-env"),
        Scheme::V1 => (ProfileName::Standard, "a shared secret: give one of --secret-file and --secret-env"),
        Scheme::Eip191 => (ProfileName::Ensuro, "a private key: give --key-file"),
        Scheme::V1a => (ProfileName::Standard, "a private key: give --key-file"),
    };
    if given.is_empty() {
        return Err(usage(format!("{scheme} needs {needed}")));
    }
    if given.take_stdin() && is_stdin(body) {
        return Err(usage("stdin can be the body or the secret, not both".to_owned()));
    }
    let mut keys = given.keys(profile)?;
    match keys.pop() {
        Some(key) if key.scheme == scheme && keys.is_empty() => Ok(key),
        Some(_) | None => Err(usage(format!("{scheme} needs {needed} and nothing else"))),
    }
}

/// The bytes of a body, exactly as they are.
pub(super) fn body(path: &Path) -> Result<Vec<u8>, Failure> {
    /// The most that store.max_body_bytes can allow.
    const MOST: usize = 64 * 1024 * 1024;
    read(path, MOST)?.ok_or_else(|| Failure::new(Exit::Data, format!("{} has more than {MOST} bytes", shown(path))))
}
