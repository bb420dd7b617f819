//! The command line: parses, asks `operations`, shows the answer. No rule is decided here.
//! Data goes to stdout, talk to stderr; every verb has `--json`; the exit status is `Exit`.

pub mod config;
pub mod demo;
pub mod endpoint;
pub mod enqueue;
pub mod list;
pub mod output;
pub mod schedule;
pub mod secret;
pub mod serve;
pub mod show;
pub mod sign;
pub mod status;
pub mod verify;
pub mod wait;
pub mod why;

use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind as Unparsed;
use clap::{Parser, Subcommand};

use crate::config::{Loaded, Sources, load};
use crate::operations::Refused;
use crate::plain::{plain, plain_json};
use crate::store::StoreError;
use crate::store::sqlite::SqliteStore;
use crate::time::{Span, Time};

/// Sends webhooks: keeps every notification in one SQLite file until it is delivered or provably cannot be.
#[derive(Debug, Parser)]
#[command(name = "postrider", version, max_term_width = 100, after_help = EXAMPLES)]
struct CommandLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  postrider endpoint add acme https://acme.example/hook --profile ensuro --secret-file acme.secret
  postrider serve
  postrider enqueue --type policy/creation --wait body.json

Every verb has examples: `postrider enqueue --help`.
Exit status: 0 done, 1 the answer is no, 2 usage, 65 data, 66 not found, 70 store,
74 reading or writing, 75 busy, 78 configuration.";

#[derive(Debug, clap::Args)]
struct Global {
    /// The configuration file [env: POSTRIDER_CONFIG] [default: the first of ./config.toml,
    /// ~/.config/postrider/config.toml, /etc/postrider/config.toml]
    #[arg(long, global = true, value_name = "FILE", display_order = 100)]
    config: Option<PathBuf>,
    /// The SQLite file, instead of the setting store.path
    #[arg(long, global = true, value_name = "FILE", display_order = 101)]
    store: Option<String>,
    /// Answer in JSON: data on stdout, an error on stderr
    #[arg(long, global = true, display_order = 102)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Deliver what is owed, until SIGTERM or SIGINT
    Serve(serve::Arguments),
    /// Register, list, show and remove the receivers
    Endpoint(endpoint::Arguments),
    /// Accept an event: it is on disk, with its deliveries, when this ends well
    Enqueue(enqueue::Arguments),
    /// List deliveries
    List(list::Arguments),
    /// Show an event or a delivery with its attempts
    Show(show::Arguments),
    /// Say why a delivery is where it is, and what happens next
    Why(why::Arguments),
    /// Say how much there is of everything, and whether the daemon runs
    Status(status::Arguments),
    /// Show when a profile or an endpoint is tried again
    Schedule(schedule::Arguments),
    /// Sign a body as it would be sent
    Sign(sign::Arguments),
    /// Check a signature as a receiver does
    Verify(verify::Arguments),
    /// Show the whole way of a notification on this machine
    Demo(demo::Arguments),
    /// Check and show the configuration
    Config(config::Arguments),
}

/// Does what the process's arguments say.
pub fn main() -> ExitCode {
    // Past a file-size limit a write would kill the process; with a handler it fails, and that is told in words.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    let asked = match CommandLine::try_parse() {
        Ok(asked) => asked,
        Err(error) => return ExitCode::from(unparsed(&error) as u8),
    };
    let json = asked.global.json;
    let exit = run(asked).unwrap_or_else(|failure| {
        tell(&failure, json);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn run(asked: CommandLine) -> Result<Exit, Failure> {
    let loaded = load(&sources(&asked)?).map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    let context = &Context { loaded, json: asked.global.json };
    match asked.verb {
        Verb::Serve(arguments) => serve::run(arguments, context),
        Verb::Endpoint(arguments) => endpoint::run(arguments, context),
        Verb::Enqueue(arguments) => enqueue::run(arguments, context),
        Verb::List(arguments) => list::run(arguments, context),
        Verb::Show(arguments) => show::run(arguments, context),
        Verb::Why(arguments) => why::run(arguments, context),
        Verb::Status(arguments) => status::run(arguments, context),
        Verb::Schedule(arguments) => schedule::run(arguments, context),
        Verb::Sign(arguments) => sign::run(arguments, context),
        Verb::Verify(arguments) => verify::run(arguments, context),
        Verb::Demo(arguments) => demo::run(arguments, context),
        Verb::Config(arguments) => config::run(arguments, context),
    }
}

fn sources(asked: &CommandLine) -> Result<Sources, Failure> {
    let folder = std::env::current_dir()
        .map_err(|error| Failure::new(Exit::Io, format!("the current folder cannot be found: {error}")))?;
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let named = environment.iter().find(|(name, value)| name == "POSTRIDER_CONFIG" && !value.is_empty());
    let file = asked.global.config.clone().or_else(|| named.map(|(_, value)| PathBuf::from(value)));
    let mut flags: Vec<(String, String)> = Vec::new();
    flags.extend(asked.global.store.clone().map(|path| ("store.path".to_owned(), path)));
    if let Verb::Serve(arguments) = &asked.verb {
        flags.extend(arguments.flags());
    }
    Ok(Sources { file, environment, flags, folder })
}

/// Answers arguments that clap does not take, or takes for a wish for help.
fn unparsed(error: &clap::Error) -> Exit {
    let asked_for = matches!(error.kind(), Unparsed::DisplayHelp | Unparsed::DisplayVersion);
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

/// The one place where a failure is told.
fn tell(failure: &Failure, json: bool) {
    if json {
        let error = serde_json::json!({"error": {"exit": failure.exit as u8, "message": failure.message}});
        output::note(&plain_json(&error.to_string()));
    } else {
        // Only messages of ours have several lines: the problems of a configuration.
        let lines: Vec<String> = failure.message.lines().map(plain).collect();
        output::note(&format!("postrider: {}", lines.join("\n")));
    }
}

/// How a run ended, as the process's exit status. 64 and above are those of sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// The answer is no: not delivered, signature does not match.
    No = 1,
    /// The command line makes no sense (clap's own status).
    Usage = 2,
    /// A body, id, type, URL, secret or key is not what it must be, or contradicts what is stored.
    Data = 65,
    /// A file, endpoint, event or delivery that was named is not there.
    NotFound = 66,
    /// The store is damaged, newer than this program, or not a store.
    Store = 70,
    /// Reading or writing failed: full disk, read-only, no permission.
    Io = 74,
    /// Another process holds what is needed; try again later.
    Busy = 75,
    /// The configuration is wrong.
    Config = 78,
}

/// Why a verb could not do what was asked: one sentence for stderr, and the exit status.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { exit, message: message.into() }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid(message) | Refused::Conflict(message) => Failure::new(Exit::Data, message),
            Refused::Unknown(message) => Failure::new(Exit::NotFound, message),
            Refused::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::Busy(_) => Exit::Busy,
            StoreError::Unwritable(_) => Exit::Io,
            StoreError::Unusable(_) => Exit::Store,
        };
        Failure::new(exit, error.to_string())
    }
}

/// What every verb is given.
pub struct Context {
    pub loaded: Loaded,
    /// `--json`: stdout gets JSON only.
    pub json: bool,
}

impl Context {
    /// The wall clock, read at the edge and passed down from here.
    pub fn now(&self) -> Time {
        crate::daemon::clock::wall()
    }

    /// The store, made if it is not there.
    pub fn store(&self) -> Result<SqliteStore, Failure> {
        let path = self.store_path();
        let made = !path.exists();
        let store = SqliteStore::open(path)?;
        if made {
            output::note(&format!("made the store {}", shown(path)));
        }
        Ok(store)
    }

    /// The store, for verbs that have nothing to do without one: a slip in its name must not make a file.
    pub fn existing_store(&self) -> Result<SqliteStore, Failure> {
        let path = self.store_path();
        SqliteStore::open_existing(path)?.ok_or_else(|| {
            let place = shown(path);
            let text =
                format!("there is no store {place} yet; `postrider endpoint add` makes it, --store names another");
            Failure::new(Exit::NotFound, text)
        })
    }

    pub fn store_path(&self) -> &Path {
        &self.loaded.config.store.path
    }
}

/// A path as a person sees it.
pub fn shown(path: &Path) -> String {
    plain(&path.to_string_lossy())
}

/// All of a file, or of stdin for `-`; `None` if it has more than `most` bytes, which are not read then.
pub fn read(path: &Path, most: usize) -> Result<Option<Vec<u8>>, Failure> {
    let refused = |error: std::io::Error| {
        let exit = match error.kind() {
            ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Io,
        };
        Failure::new(exit, format!("{} cannot be read: {error}", shown(path)))
    };
    let reader: Box<dyn Read> = match is_stdin(path) {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(std::fs::File::open(path).map_err(refused)?),
    };
    let mut bytes = Vec::new();
    reader.take(most as u64 + 1).read_to_end(&mut bytes).map_err(refused)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() <= most))
}

/// Whether a file's name stands for stdin.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads a length of time on the command line: `10s`, `1min 30s`, `2h`.
pub fn span(text: &str) -> Result<Span, String> {
    let length = humantime::parse_duration(text.trim()).ok();
    let ms = length.and_then(|length| i64::try_from(length.as_millis()).ok());
    ms.map(Span::from_ms).ok_or_else(|| "a length of time is written like 500ms, 10s, 1min30s or 2h".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_verb_contradicts_itself() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn lengths_of_time_are_read_with_their_unit() {
        assert_eq!(span("1min30s"), Ok(Span::from_seconds(90)));
        assert_eq!(span("500ms"), Ok(Span::from_ms(500)));
        for bad in ["", "10", "-1s", "10 parsecs", "99999999999999999999y"] {
            assert!(span(bad).is_err(), "{bad:?}");
        }
    }
}
