//! `postrider demo`: the way of every notification on this machine, with nothing set up.
//! The daemon and the store are the real ones; the receivers are on loopback and check what they get as a partner's
//! would. Everything lives in a temporary folder: the configured store is never opened.

mod plan;
mod receiver;
mod report;
mod watch;

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::output::{note, terminal};
use super::{Context, Exit, Failure};
use crate::config::Config;
use crate::daemon::{self, Ended, Failed};
use crate::observe;
use crate::store::sqlite::SqliteStore;
use plan::Row;
use receiver::Receivers;
use watch::Watch;

pub const EXAMPLES: &str = "\
Examples:
  postrider demo
  postrider demo --json | jq .ok
  postrider demo --keep

It takes about 40 seconds, never more than a minute, and needs no network, no configuration and
no store. What happens is told on stderr as it happens; the summary is on stdout.
Exit status: 0 if every delivery ended as it should, verified and byte for byte; 1 if one did not.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Keep the temporary store and say where it is, to look at it with the other verbs
    #[arg(long)]
    keep: bool,
    /// Write the daemon's log to stderr too
    #[arg(long)]
    log: bool,
}

/// When whatever has not ended by itself is given up.
const LONGEST: Duration = Duration::from_secs(58);

/// How the watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Every delivery ended.
    Complete,
    OutOfTime,
    /// By a signal.
    Interrupted,
    /// The daemon ended before it was asked to.
    DaemonEnded,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let deadline = Instant::now() + LONGEST;
    if arguments.log {
        observe::start(context.loaded.config.log.format, context.loaded.config.log.level);
    }
    let folder = folder()?;
    let store = folder.path().join("postrider.db");
    let played = play(&store, deadline, context);
    // Gone before the summary says so.
    match arguments.keep {
        true => {
            _ = folder.keep();
            if played.is_err() {
                note(&format!("demo: the store is kept as {}", terminal(&store.to_string_lossy())));
            }
        }
        false => remove(folder),
    }
    let (rows, ending) = played?;
    report::show(&rows, ending, arguments.keep.then_some(&*store), context.json)
}

fn folder() -> Result<TempDir, Failure> {
    tempfile::Builder::new().prefix("postrider-demo-").tempdir().map_err(|error| {
        let place = std::env::temp_dir();
        Failure::new(Exit::Io, format!("no folder can be made in {} (see TMPDIR): {error}", place.display()))
    })
}

fn remove(folder: TempDir) {
    let path = terminal(&folder.path().to_string_lossy());
    if let Err(error) = folder.close() {
        note(&format!("demo: the temporary folder {path} could not be removed: {error}"));
    }
}

/// Everything but the summary. Nothing of it runs any more when this returns.
fn play(store: &Path, deadline: Instant, context: &Context) -> Result<(Vec<Row>, Ending), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("receivers")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Io, format!("the receivers' thread cannot start: {error}")))?;
    let signals = listen(&runtime)?;
    let receivers = Receivers::start(&runtime)?;
    let config = config(store);
    let mut connection = SqliteStore::open(store)?;
    let daemon = Daemon::start(config.clone())?;
    let watched = watch(&mut connection, &config, &receivers, &daemon, &signals, deadline, context);
    let at_once = !matches!(watched, Ok((_, Ending::Complete)));
    let stopped = daemon.stop(at_once);
    runtime.shutdown_background();
    let watched = watched?;
    stopped?;
    Ok(watched)
}

/// The shipped settings, but that the receivers on this machine may be reached: a rule of this process alone.
fn config(store: &Path) -> Config {
    let mut config = Config::default();
    config.store.path = store.to_path_buf();
    config.safety.allow_http = true;
    config.safety.allow_addresses = vec![plan::LOOPBACK.parse().expect("it is a network")];
    config
}

/// Submits everything, then shows what becomes of it until all of it has ended, or something else ends the demo.
fn watch(
    store: &mut SqliteStore,
    config: &Config,
    receivers: &Receivers,
    daemon: &Daemon,
    signals: &Receiver<()>,
    deadline: Instant,
    context: &Context,
) -> Result<(Vec<Row>, Ending), Failure> {
    if !context.json {
        plan::introduce(receivers);
    }
    let mut rows = plan::submit(store, config, receivers, context.now())?;
    let mut watch = Watch::new(context.now(), !context.json);
    let ending = loop {
        watch.look(store, &mut rows)?;
        if rows.iter().all(Row::has_ended) {
            break Ending::Complete;
        }
        if Instant::now() >= deadline {
            break Ending::OutOfTime;
        }
        if daemon.has_ended() {
            break Ending::DaemonEnded;
        }
        if signals.recv_timeout(watch::EVERY).is_ok() {
            break Ending::Interrupted;
        }
    };
    for row in &mut rows {
        row.score = receivers.score(row.role, &row.digest);
    }
    Ok((rows, ending))
}

/// Answers on the channel when the process is asked to end.
fn listen(runtime: &Runtime) -> Result<Receiver<()>, Failure> {
    let (heard, signals) = channel();
    let _entered = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signal =
            signal(kind).map_err(|error| Failure::new(Exit::Io, format!("signals cannot be handled: {error}")))?;
        let heard: Sender<()> = heard.clone();
        runtime.spawn(async move { while signal.recv().await.is_some() && heard.send(()).is_ok() {} });
    }
    Ok(signals)
}

/// The daemon, on a thread of its own.
struct Daemon {
    stop: UnboundedSender<()>,
    thread: JoinHandle<Result<Ended, Failed>>,
}

impl Daemon {
    fn start(config: Config) -> Result<Self, Failure> {
        let (stop, stops) = unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("daemon".into())
            .spawn(move || daemon::run_until(&config, stops))
            .map_err(|error| Failure::new(Exit::Io, format!("the daemon's thread cannot start: {error}")))?;
        Ok(Daemon { stop, thread })
    }

    fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    fn stop(self, at_once: bool) -> Result<(), Failure> {
        // It does not listen any more if it failed, which its thread tells.
        let _ = self.stop.send(());
        if at_once {
            let _ = self.stop.send(());
        }
        match self.thread.join() {
            Ok(Ok(Ended::Drained | Ended::AtOnce)) => Ok(()),
            Ok(Err(failed)) => Err(failed.into()),
            Err(_) => Err(Failure::new(Exit::Store, "the daemon panicked; this is a fault of postrider")),
        }
    }
}
