//! What would be sent, written instead: its headers and body, or the curl command that sends the same.
//! Nothing here opens a connection.

use std::io::{ErrorKind, IsTerminal, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::cli::output::{self, terminal};
use crate::cli::{Context, Exit, Failure};
use crate::endpoint::{Endpoint, Scheme};
use crate::event::Event;
use crate::plain::plain;
use crate::request::{self, Request};

/// The headers, an empty line and the body; the body's very bytes, and nothing behind them, unless a terminal would have
/// to show them. An empty line parts it from the one before, if it is not the first.
pub fn print(
    url: Option<&str>,
    endpoint: &Endpoint,
    event: &Event,
    first: bool,
    context: &Context,
) -> Result<(), Failure> {
    let request = render(endpoint, event, context)?;
    if context.json {
        return output::json(&described(url, &request));
    }
    let terminal_shows = std::io::stdout().is_terminal();
    if !first {
        output::line(if terminal_shows { "" } else { "\n" })?;
    }
    if let Some(url) = url {
        output::line(&format!("POST {}", terminal(url)))?;
    }
    request.headers.iter().try_for_each(|(name, value)| output::line(&format!("{name}: {value}")))?;
    output::line("")?;
    if terminal_shows {
        return output::line(&terminal(&String::from_utf8_lossy(&request.body)));
    }
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(&request.body).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(Exit::Io, format!("standard output cannot be written: {error}"))),
    }
}

fn described(url: Option<&str>, request: &Request) -> Value {
    let headers: Map<String, Value> =
        request.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let (name, body) = match std::str::from_utf8(&request.body) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_base64", STANDARD.encode(&request.body)),
    };
    json!({"url": url, "headers": headers, name: body})
}

/// A command for any POSIX shell. Whoever runs it sends the same bytes.
pub fn curl(endpoint: &Endpoint, event: &Event, context: &Context) -> Result<Exit, Failure> {
    if context.json {
        return Err(Failure::new(
            Exit::Usage,
            "--curl writes a command, not JSON; --print --json has the same in JSON",
        ));
    }
    output::line(&command(&render(endpoint, event, context)?))?;
    if endpoint.keys.iter().any(|key| matches!(key.scheme, Scheme::V1 | Scheme::V1a)) {
        output::note("mock: the time is signed too, so receivers refuse this command after some five minutes");
    }
    Ok(Exit::Done)
}

fn render(endpoint: &Endpoint, event: &Event, context: &Context) -> Result<Request, Failure> {
    request::render(endpoint, event, context.now()).map_err(|what| Failure::new(Exit::Data, what))
}

fn command(request: &Request) -> String {
    /// Below what systems allow for one argument.
    const LONGEST_ARGUMENT: usize = 100_000;
    let seconds = request.timeout.ms() as f64 / 1000.0;
    let mut lines = vec![format!("curl --silent --show-error --include --globoff --max-time {seconds}")];
    lines.extend(
        request.headers.iter().map(|(name, value)| format!("--header {}", quoted(&format!("{name}: {value}")))),
    );
    // curl would wait for permission to send what is large, and real senders do not.
    lines.push("--header 'expect:'".to_owned());
    // The beginning that curl takes for a file's name, and characters that a terminal or a copy could change.
    let text = std::str::from_utf8(&request.body).ok().filter(|text| {
        text.len() <= LONGEST_ARGUMENT && !text.is_empty() && !text.starts_with('@') && plain(text) == *text
    });
    let (before, data) = match text {
        Some(text) => (String::new(), quoted(text)),
        None => (format!("base64 -d <<'END' |\n{}END\n", wrapped(&request.body)), "@-".to_owned()),
    };
    lines.push(format!("--data-binary {data}"));
    lines.push(quoted(&request.url));
    match before.is_empty() {
        true => lines.join(" \\\n  "),
        // What is piped must begin below the pipe.
        false => format!("{before}{}", lines.join(" \\\n  ")),
    }
}

/// One word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Base64 in lines that every tool takes.
fn wrapped(bytes: &[u8]) -> String {
    let encoded = STANDARD.encode(bytes);
    let lines = encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).expect("base64 is ASCII"));
    lines.flat_map(|line| [line, "\n"]).collect()
}
