//! The daemon: performs the engine's actions and feeds back what came of them.
//! It owns the clock, the signals, the store's thread and the couriers' tasks; it decides nothing.

pub mod clock;
pub mod exchange;
mod flights;
pub mod handle;
mod handles;
mod keeper;
mod signing;
pub mod trial;
mod witness;
mod work;

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::courier::{self, Courier, LOOKUPS_AT_ONCE};
use crate::observe::metrics::Metrics;
use crate::observe::spans::Spans;
use crate::observe::{Notice, tell};
use crate::operations::{Rules, open_store};
use crate::plain::plain;
use crate::store::sqlite::{self, LockError};
use crate::store::{Command, Reply, Store, StoreError};
use crate::time::Span;
pub use handle::Handle;

/// Why a daemon did not start, or stopped before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Another daemon holds the store.
    #[error("{0}")]
    Held(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entrance cannot be opened as it is configured.
    #[error("{0}")]
    Unheard(String),
    /// The machine refused something that is needed: a lock file, a thread, certificates.
    #[error("{0}")]
    Machine(String),
}

/// How a daemon that ran came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Asked to stop, it let everything in flight end and recorded it.
    Drained,
    /// Asked a second time, it stopped at once; what was in flight is tried again by the next start.
    AtOnce,
}

/// How much longer than its timeout an attempt's lease lasts: the answer's body, and a store that is slow to record.
const LEASE_SLACK: Span = Span::from_seconds(15);

/// Lets others in: made once the store is held, given a handle. What it answers runs beside the daemon, and has to end
/// soon after `Phase::Closing`; the daemon waits for it.
pub type Entrance = Box<dyn FnOnce(Handle) -> Pin<Box<dyn Future<Output = Result<Served, Failed>> + Send>> + Send>;
pub type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long spans that were not sent yet may keep a daemon from leaving.
const SPANS_PATIENCE: Duration = Duration::from_secs(3);

/// Runs until SIGTERM or SIGINT, then drains; a second signal ends it at once.
pub fn run(config: &Config, entrance: Entrance) -> Result<Ended, Failed> {
    handles::raise();
    let (stop, stops) = mpsc::unbounded_channel();
    let metrics = Metrics::new();
    let spans = Spans::start(config.telemetry.otlp_endpoint.as_deref().unwrap_or_default(), &metrics)
        .map_err(Failed::Machine)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        listen(&stop)?;
        serve(config, stops, Some(entrance), spans.clone(), metrics).await
    });
    // A name that the system still looks up keeps nobody from leaving.
    runtime.shutdown_background();
    spans.stop(SPANS_PATIENCE);
    ended
}

/// Runs until something is sent on `stops`, then drains; a second sending ends it at once. Blocks its thread. Nobody but
/// other processes can ask anything of it.
pub fn run_until(config: &Config, stops: mpsc::UnboundedReceiver<()>) -> Result<Ended, Failed> {
    runtime()?.block_on(serve(config, stops, None, Spans::off(), Metrics::new()))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    // One thread: couriers wait much and compute little, and the store has a thread of its own.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // Made when they are needed, and gone ten seconds later: they wait for names that do not resolve.
    let runtime = builder.enable_all().max_blocking_threads(LOOKUPS_AT_ONCE).build();
    runtime.map_err(|error| Failed::Machine(format!("the runtime cannot start: {error}")))
}

async fn serve(
    config: &Config,
    stops: mpsc::UnboundedReceiver<()>,
    entrance: Option<Entrance>,
    spans: Spans,
    metrics: Metrics,
) -> Result<Ended, Failed> {
    let config = &handles::share_out(config);
    let path = &config.store.path;
    // The file first: its lock stands beside it, wherever links lead.
    let mut store = open_store(&config.store)?;
    let lock = sqlite::lock(path).map_err(|error| locked(path, error))?;
    store.depend_on(&lock);
    let courier = courier(config)?;
    let clock = clock::Clock::new();
    let replies = store.apply(clock.now(), &[Command::Recover])?;
    let [Reply::Done(recovered)] = replies[..] else { unreachable!("{replies:?} does not answer a recovery") };
    let counts = store.counts(clock.now())?;
    tell(&Notice::Started {
        store: path,
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        endpoints: store.endpoints()?.iter().filter(|endpoint| endpoint.name.is_some()).count() as u64,
        pending: counts.pending,
        recovered,
    });
    let (handle, desk) = handle::open(config, &courier, metrics, spans)?;
    match entrance {
        Some(entrance) => drop(tokio::spawn(entrance(handle).await?)),
        None => drop(handle),
    }
    work::Work::new(config, clock, courier, Box::new(store), desk)?.until(stops).await
}

/// Why the lock of the store at `path` cannot be had.
pub fn locked(path: &Path, error: LockError) -> Failed {
    match error {
        LockError::Held { pid } => {
            let holder = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            Failed::Held(format!(
                "{} is served by {holder} already; stop that one first, or give this one a store.path of its own",
                path.display()
            ))
        }
        LockError::Io { path, error } => Failed::Machine(format!(
            "the lock file {} cannot be used: {error}; its folder must exist and be writable for this user",
            path.display()
        )),
    }
}

/// What deliveries are carried by.
pub fn courier(config: &Config) -> Result<Courier, Failed> {
    let settings = courier::Settings { extra_roots: extra_roots(config)?, ..Rules::of(config).safety };
    Courier::new(settings).map_err(Failed::Machine)
}

/// The certificates of `safety.extra_roots_file`.
pub fn extra_roots(config: &Config) -> Result<Vec<CertificateDer<'static>>, Failed> {
    let Some(path) = &config.safety.extra_roots_file else { return Ok(vec![]) };
    certificates(path).map_err(|what| Failed::Machine(format!("safety.extra_roots_file {what}")))
}

/// At least one. Fails with a sentence that begins with the file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error: &dyn std::fmt::Display| {
        format!("{} is no PEM file of certificates: {error}", plain(&path.to_string_lossy()))
    };
    let found: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect());
    let found = found.map_err(|error| unreadable(&error))?;
    match found.is_empty() {
        true => Err(unreadable(&"it holds none")),
        false => Ok(found),
    }
}

/// Sends on `stop` for each SIGTERM and SIGINT from now on.
fn listen(stop: &mpsc::UnboundedSender<()>) -> Result<(), Failed> {
    use tokio::signal::unix::{SignalKind, signal};
    let unheard = |error| Failed::Machine(format!("signals cannot be handled: {error}"));
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).map_err(unheard)?;
        let stop = stop.clone();
        tokio::spawn(async move { while signals.recv().await.is_some() && stop.send(()).is_ok() {} });
    }
    Ok(())
}

/// No memory with secrets in a core file, nor in what the system pipes such a file to, and no reading of it by the user's other
/// processes. Each is worth having and none is needed.
pub fn shield() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
