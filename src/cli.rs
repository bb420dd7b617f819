//! The command line: parses, asks `operations`, shows the answer. No rule is decided here.
//! Data goes to stdout, talk to stderr; every verb has `--json`; the exit status is `Exit`.

pub mod backup;
pub mod batch;
pub mod change;
pub mod check;
pub mod config;
pub mod demo;
pub mod endpoint;
pub mod enqueue;
pub mod list;
pub mod listen;
pub mod local;
pub mod mock;
pub mod output;
pub mod pretty;
pub mod progress;
pub mod remote;
pub mod replay;
pub mod sandbox;
pub mod schedule;
pub mod seal;
pub mod secret;
pub mod serve;
pub mod show;
pub mod sign;
pub mod source;
pub mod status;
pub mod token;
mod unparsed;
pub mod verify;
pub mod wait;
pub mod why;
pub mod wire;
pub mod workbench;

use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use zeroize::Zeroizing;

use self::local::Local;
use self::remote::{Remote, Server};
use self::source::Source;
use crate::config::{Loaded, Sources, load};
use crate::daemon;
use crate::operations::{Refused, open_store};
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
    /// Ask a daemon instead of the store: http://127.0.0.1:8787, https://hooks.example or
    /// unix:/run/postrider.sock [env: POSTRIDER_SERVER]
    #[arg(long, global = true, value_name = "URL", value_parser = Server::parse, display_order = 102)]
    server: Option<Server>,
    /// A file with the token that the daemon wants, - for stdin [env: POSTRIDER_TOKEN, the token itself]
    #[arg(long, global = true, value_name = "FILE", display_order = 103)]
    token_file: Option<PathBuf>,
    /// Answer in JSON: data on stdout, an error on stderr
    #[arg(long, global = true, display_order = 104)]
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
    /// Make deliveries due now, also those that were given up
    Retry(change::Retry),
    /// End deliveries that are still pending
    Cancel(change::Cancel),
    /// Send many ended deliveries again; counts them first
    Replay(replay::Arguments),
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
    /// Copy the store while the daemon runs
    Backup(backup::Arguments),
    /// Seal the secrets in the store with the master key, or change that key
    Seal(seal::Arguments),
    /// Make, list and remove the tokens of the HTTP API
    Token(token::Arguments),
    /// Sign a body as it would be sent
    Sign(sign::Arguments),
    /// Check a signature as a receiver does
    Verify(verify::Arguments),
    /// Receive webhooks on this machine, show them, and answer as told
    Listen(listen::Arguments),
    /// Send a made-up notification to an endpoint, as its provider would
    Mock(mock::Arguments),
    /// Test whether a receiver keeps its contract, and say what to change
    Check(check::Arguments),
    /// Be Ensuro's and Octamile's side of their APIs, on this machine
    Sandbox(sandbox::Arguments),
    /// Show the whole way of a notification on this machine
    Demo(demo::Arguments),
    /// Check and show the configuration
    Config(config::Arguments),
}

/// Does what the process's arguments say.
pub fn main() -> ExitCode {
    daemon::shield();
    // Past a file-size limit a write would kill the process; with a handler it fails, and that is told in words.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    let asked = match CommandLine::try_parse() {
        Ok(asked) => asked,
        Err(error) => return ExitCode::from(unparsed::answer(error) as u8),
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
    let server = server(&asked)?;
    let context = &Context { loaded, json: asked.global.json, server };
    match asked.verb {
        Verb::Serve(arguments) => serve::run(arguments, context),
        Verb::Endpoint(arguments) => endpoint::run(arguments, context),
        Verb::Enqueue(arguments) => enqueue::run(arguments, context),
        Verb::Retry(arguments) => change::retry(&arguments, context),
        Verb::Cancel(arguments) => change::cancel(&arguments, context),
        Verb::Replay(arguments) => replay::run(arguments, context),
        Verb::List(arguments) => list::run(arguments, context),
        Verb::Show(arguments) => show::run(arguments, context),
        Verb::Why(arguments) => why::run(arguments, context),
        Verb::Status(arguments) => status::run(arguments, context),
        Verb::Schedule(arguments) => schedule::run(arguments, context),
        Verb::Backup(arguments) => backup::run(arguments, context),
        Verb::Seal(arguments) => seal::run(&arguments, context),
        Verb::Token(arguments) => token::run(arguments, context),
        Verb::Sign(arguments) => sign::run(arguments, context),
        Verb::Verify(arguments) => verify::run(arguments, context),
        Verb::Listen(arguments) => listen::run(arguments, context),
        Verb::Mock(arguments) => mock::run(arguments, context),
        Verb::Check(arguments) => check::run(arguments, context),
        Verb::Demo(arguments) => demo::run(arguments, context),
        Verb::Sandbox(arguments) => sandbox::run(arguments, context),
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

/// The name of a verb that works on this machine only.
fn stays_here(verb: &Verb) -> Option<&'static str> {
    match verb {
        Verb::Serve(_) => Some("serve"),
        Verb::Token(_) => Some("token"),
        Verb::Seal(_) => Some("seal"),
        Verb::Backup(_) => Some("backup"),
        Verb::Config(_) => Some("config"),
        Verb::Listen(_) => Some("listen"),
        Verb::Demo(_) => Some("demo"),
        Verb::Sandbox(_) => Some("sandbox"),
        Verb::Mock(_) => Some("mock"),
        Verb::Check(_) => Some("check"),
        Verb::Sign(_) => Some("sign"),
        Verb::Verify(_) => Some("verify"),
        Verb::Endpoint(_)
        | Verb::Enqueue(_)
        | Verb::Retry(_)
        | Verb::Cancel(_)
        | Verb::Replay(_)
        | Verb::List(_)
        | Verb::Show(_)
        | Verb::Why(_)
        | Verb::Status(_)
        | Verb::Schedule(_) => None,
    }
}

/// The daemon to ask, and the token for it; `None` for the store on this machine.
fn server(asked: &CommandLine) -> Result<Option<Asked>, Failure> {
    let usage = |text: String| Err(Failure::new(Exit::Usage, text));
    let global = &asked.global;
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(verb) = stays_here(&asked.verb) {
        // The variable is for the other verbs.
        return match global.server.is_some() || global.token_file.is_some() {
            true => {
                usage(format!("{verb} works on this machine and asks no daemon; leave out --server and --token-file"))
            }
            false => Ok(None),
        };
    }
    let server = match (&global.server, variable("POSTRIDER_SERVER")) {
        (Some(server), _) => Some(server.clone()),
        // A store that is named is meant.
        (None, Some(_)) if global.store.is_some() => None,
        (None, Some(text)) => Some(Server::parse(&text.to_string_lossy()).map_err(|what| {
            Failure::new(Exit::Usage, format!("POSTRIDER_SERVER is {:?}: {what}", text.to_string_lossy()))
        })?),
        (None, None) => None,
    };
    let Some(server) = server else {
        return match global.token_file.is_some() {
            true => usage("--token-file is for --server; the store itself wants no token".to_owned()),
            false => Ok(None),
        };
    };
    if global.store.is_some() {
        return usage("--server asks a daemon, which has a store of its own; leave out --store or --server".to_owned());
    }
    let token = match (&global.token_file, variable("POSTRIDER_TOKEN")) {
        (Some(path), _) => Some(secret::secret_file(path)?),
        (None, Some(value)) => Some(Zeroizing::new(value.into_encoded_bytes())),
        (None, None) => None,
    };
    let text = |bytes: Zeroizing<Vec<u8>>| {
        let text = std::str::from_utf8(&bytes).map_err(|_| remote::unfit())?;
        Ok::<_, Failure>(Zeroizing::new(text.trim().to_owned()))
    };
    Ok(Some(Asked { server, token: token.map(text).transpose()? }))
}

/// The one place where a failure is told.
fn tell(failure: &Failure, json: bool) {
    if json {
        let error = serde_json::json!({"error": {"exit": failure.exit as u8, "message": failure.message}});
        output::note(&plain_json(&error.to_string()));
    } else {
        let text = match failure.exit {
            // One problem a line. What is foreign in it was made plain where the line was written.
            Exit::Config => failure.message.lines().map(plain).collect::<Vec<String>>().join("\n"),
            _ => plain(&failure.message),
        };
        output::note(&format!("postrider: {text}"));
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
            Refused::Invalid(message)
            | Refused::TooLarge(message)
            | Refused::Conflict(message)
            | Refused::Taken(message)
            | Refused::KeyTaken(message) => Failure::new(Exit::Data, message),
            Refused::Unknown(message) => Failure::new(Exit::NotFound, message),
            Refused::Store(error) => error.into(),
        }
    }
}

impl From<daemon::Failed> for Failure {
    fn from(failed: daemon::Failed) -> Self {
        match failed {
            daemon::Failed::Held(message) => Failure::new(Exit::Busy, message),
            daemon::Failed::Store(error) => error.into(),
            daemon::Failed::Unheard(message) => Failure::new(Exit::Config, message),
            daemon::Failed::Machine(message) => Failure::new(Exit::Io, message),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::Busy(_) => Exit::Busy,
            StoreError::Unwritable(_) => Exit::Io,
            StoreError::Unusable(_) => Exit::Store,
            StoreError::Sealed(_) => Exit::Config,
        };
        Failure::new(exit, error.to_string())
    }
}

/// A daemon to ask.
pub struct Asked {
    server: Server,
    token: Option<Zeroizing<String>>,
}

/// What every verb is given.
pub struct Context {
    pub loaded: Loaded,
    /// `None`: the store on this machine.
    pub server: Option<Asked>,
    /// `--json`: stdout gets JSON only.
    pub json: bool,
}

impl Context {
    /// The wall clock, read at the edge and passed down from here.
    pub fn now(&self) -> Time {
        daemon::clock::wall()
    }

    /// Where this run's answers come from.
    pub fn source(&self) -> Result<Box<dyn Source + '_>, Failure> {
        Ok(match &self.server {
            None => Box::new(Local::new(self)),
            Some(Asked { server, token }) => Box::new(Remote::new(self, server, token.as_ref())?),
        })
    }

    /// The store, made if it is not there.
    pub fn store(&self) -> Result<SqliteStore, Failure> {
        let path = self.store_path();
        let made = !path.exists();
        let store = open_store(&self.loaded.config.store)?;
        if made {
            output::note(&format!("made the store {}", shown(path)));
        }
        Ok(store)
    }

    /// The store, for verbs that have nothing to do without one: a slip in its name must not make a file.
    pub fn existing_store(&self) -> Result<SqliteStore, Failure> {
        self.perhaps_store()?.ok_or_else(|| {
            let place = shown(self.store_path());
            let text =
                format!("there is no store {place} yet; `postrider endpoint add` makes it, --store names another");
            Failure::new(Exit::NotFound, text)
        })
    }

    /// The store, if it is there.
    pub fn perhaps_store(&self) -> Result<Option<SqliteStore>, Failure> {
        match self.store_path().exists() {
            true => Ok(Some(open_store(&self.loaded.config.store)?)),
            false => Ok(None),
        }
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
