//! Arguments that clap does not take, or takes for a wish for help.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Exit, Failure, tell};
use crate::plain::plain;

/// Answers them.
pub fn answer(mut error: clap::Error) -> Exit {
    // What clap quotes of the arguments, it quotes as it is.
    let quoted: Vec<(ContextKind, ContextValue)> = error.context().map(|(kind, value)| (kind, quoted(value))).collect();
    for (kind, value) in quoted {
        error.insert(kind, value);
    }
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let json = std::env::args_os().any(|argument| argument == "--json");
    if !asked_for && json {
        let message = error.render().to_string();
        let message = message.trim().trim_start_matches("error: ");
        tell(&Failure::new(Exit::Usage, message), true);
        return Exit::Usage;
    }
    // A stream that is closed: there is nobody to tell.
    let _ = error.print();
    if asked_for { Exit::Done } else { Exit::Usage }
}

/// What an error of clap's quotes, made plain.
fn quoted(value: &ContextValue) -> ContextValue {
    match value {
        ContextValue::String(text) => ContextValue::String(plain(text)),
        ContextValue::Strings(texts) => ContextValue::Strings(texts.iter().map(|text| plain(text)).collect()),
        other => other.clone(),
    }
}
