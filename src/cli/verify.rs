//! `postrider verify`: whether a signature is good, and if not, what is wrong with it.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::sign::{self, body};
use super::{Context, Exit, Failure, output, secret, span};
use crate::endpoint::Scheme;
use crate::event::EventId;
use crate::signature::{self, Mismatch, Signed, VerifyKey};
use crate::time::{Span, Time};

const EXAMPLES: &str = "\
Examples:
  postrider verify --scheme hmac --secret-file acme.secret --signature 41deed... body.json
  postrider verify --scheme eip191 --address 0x52908400098527886E0F7030069857D2E4169EE7 \\
      --signature 0x... body.json
  postrider verify --scheme v1 --secret-env WEBHOOK_SECRET --id msg_01 --timestamp 1793491200 \\
      --signature 'v1,...' - < body.json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The signature scheme: hmac, eip191, v1 or v1a
    #[arg(long, value_name = "SCHEME", value_parser = Scheme::parse)]
    scheme: Scheme,
    #[command(flatten)]
    keys: secret::Arguments,
    /// The signer's Ethereum address, for eip191
    #[arg(long, value_name = "0x…", conflicts_with_all = ["secret_file", "secret_env", "key_file"])]
    address: Option<String>,
    /// The signer's public key, for v1a
    #[arg(long, value_name = "whpk_…", conflicts_with_all = ["secret_file", "secret_env", "key_file", "address"])]
    public_key: Option<String>,
    /// The value of the signature header
    #[arg(long, value_name = "TEXT")]
    signature: String,
    /// The value of webhook-id, which v1 and v1a sign with the body
    #[arg(long, value_name = "ID", value_parser = EventId::parse)]
    id: Option<EventId>,
    /// The value of webhook-timestamp, which v1 and v1a sign with the body
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    timestamp: Option<i64>,
    /// Warn if the timestamp is further from now than this
    #[arg(long, value_name = "TIME", default_value = "5min", value_parser = span)]
    tolerance: Span,
    /// The file with the body, - for stdin
    #[arg(value_name = "BODY")]
    body: PathBuf,
}

/// What the signature is checked with: the public half if it was given, or that of the key.
fn verify_key(arguments: &Arguments) -> Result<VerifyKey, Failure> {
    let scheme = arguments.scheme;
    let usage = |flag: &str, only: Scheme| Failure::new(Exit::Usage, format!("{flag} is for {only}, not for {scheme}"));
    let public = match (&arguments.address, &arguments.public_key) {
        (Some(_), _) if scheme != Scheme::Eip191 => return Err(usage("--address", Scheme::Eip191)),
        (_, Some(_)) if scheme != Scheme::V1a => return Err(usage("--public-key", Scheme::V1a)),
        (Some(text), _) if text.trim_start_matches("0x").len() == 64 => return Err(private("--address")),
        (_, Some(text)) if text.starts_with("whsk_") => return Err(private("--public-key")),
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => {
            let key = sign::key(scheme, &arguments.keys, &arguments.body)?;
            return Ok(signature::verify_key_of(&key));
        }
    };
    signature::read_verify_key(scheme, public.as_bytes()).map_err(|what| Failure::new(Exit::Data, what))
}

/// What stands on a command line is seen by others, so a private key there is refused.
pub(super) fn private(flag: &str) -> Failure {
    let what =
        "is for a public key, and this is a private one; it now stands in your shell's history, so make a new one";
    Failure::new(Exit::Usage, format!("{flag} {what} and keep it in a file"))
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let (id, timestamp) = match (&arguments.id, arguments.timestamp, arguments.scheme) {
        (Some(id), Some(timestamp), Scheme::V1 | Scheme::V1a) => (id.as_str(), timestamp),
        (_, _, Scheme::Hmac | Scheme::Eip191) => ("", 0),
        (_, _, scheme @ (Scheme::V1 | Scheme::V1a)) => {
            let what = "signs the event's id and the attempt's time with the body; give --id and --timestamp";
            return Err(Failure::new(Exit::Usage, format!("{scheme} {what}")));
        }
    };
    let key = verify_key(&arguments)?;
    let body = body(&arguments.body)?;
    let signed = Signed { event_id: id, timestamp, body: &body };
    let answer = signature::verify(&key, &arguments.signature, &signed);
    let why = answer.as_ref().err().map(|mismatch| explained(mismatch, &key, &arguments.signature, &signed));
    if let Some(warning) = stale(&arguments, timestamp, context.now()) {
        output::note(&warning);
    }
    match (context.json, &why) {
        (true, _) => output::json(&json!({ "valid": why.is_none(), "why": why }))?,
        (false, None) => output::line("valid")?,
        (false, Some(why)) => output::line(&format!("not valid: {}", output::terminal(why)))?,
    }
    Ok(if why.is_none() { Exit::Done } else { Exit::No })
}

/// What is wrong, and whether it is the commonest slip: a newline that an editor or `echo` put at the body's end.
pub(super) fn explained(mismatch: &Mismatch, key: &VerifyKey, text: &str, signed: &Signed) -> String {
    let good = |body: &[u8]| signature::verify(key, text, &Signed { body, ..*signed }).is_ok();
    let trimmed = signed.body.strip_suffix(b"\n").map(|body| body.strip_suffix(b"\r").unwrap_or(body));
    match mismatch {
        Mismatch::Unreadable(_) => mismatch.to_string(),
        Mismatch::Different | Mismatch::OtherSigner { .. } if trimmed.is_some_and(good) => {
            "it is a signature of this body without the newline at its end; sign and check the bytes as they were sent"
                .to_owned()
        }
        Mismatch::Different | Mismatch::OtherSigner { .. } if good(&[signed.body, b"\n"].concat()) => {
            "it is a signature of this body with a newline at its end; sign and check the bytes as they were sent"
                .to_owned()
        }
        Mismatch::Different | Mismatch::OtherSigner { .. } => mismatch.to_string(),
    }
}

/// A warning if receivers would refuse the timestamp.
fn stale(arguments: &Arguments, timestamp: i64, now: Time) -> Option<String> {
    match arguments.scheme {
        Scheme::Hmac | Scheme::Eip191 => return None,
        Scheme::V1 | Scheme::V1a => {}
    }
    let tolerance = arguments.tolerance;
    let age = now.since(Time::from_ms(timestamp.saturating_mul(1000)));
    let (distance, direction) =
        if age < Span::ZERO { (Span::from_ms(age.ms().saturating_neg()), "ahead") } else { (age, "old") };
    (distance > tolerance)
        .then(|| format!("warning: the timestamp is {distance} {direction}; receivers refuse more than {tolerance}"))
}
