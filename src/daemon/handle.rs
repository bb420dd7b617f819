//! What an entrance may ask of a running daemon: to accept an event, to answer a question, to change something.
//! Everything asked waits in a bounded place: when the store falls behind, the answer is `Busy`, never a queue without end.
//! Events go into the store's next commit together; questions are answered on threads of their own and delay no commit.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::Failed;
use super::clock::wall;
use crate::config::Config;
use crate::courier::Courier;
use crate::event::EventId;
use crate::observe::metrics::Metrics;
use crate::observe::spans::Spans;
use crate::operations::{Accepted, Refused, Rules, Submission, open_store};
use crate::store::Store;
use crate::store::sqlite::SqliteStore;
use crate::time::{Span, Time};

/// How far a daemon is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// Asked to stop: what is under way ends, nothing new begins.
    Draining,
    /// All is recorded: the last answers go out, then the process ends.
    Closing,
}

/// Why something was not done, or not yet.
#[derive(Debug)]
pub enum Unserved {
    Refused(Refused),
    /// Too much is under way: nothing of it was done, and it can be asked again in a moment.
    Busy,
    /// The same id or idempotency key is on its way to the disk: asked again in a moment, it gets its answer.
    InProgress,
    /// The daemon ended meanwhile: whether it was done, only the store knows.
    Closed,
}

impl From<Refused> for Unserved {
    fn from(refused: Refused) -> Self {
        Unserved::Refused(refused)
    }
}

/// Whether the store does what it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// What it failed with last, if it has not worked again since.
    pub failing: Option<String>,
    pub failing_since: Option<Time>,
}

/// An event on its way to the store's thread.
pub(super) struct Arrival {
    /// `None` once it was checked.
    pub asked: Option<Submission>,
    pub answer: oneshot::Sender<Result<Accepted, Refused>>,
    /// What it takes up until it is answered, whether anybody waits for that or not.
    pub held: Held,
}

pub(super) struct Held {
    _permit: OwnedSemaphorePermit,
    _room: Room,
    _names: Names,
}

/// What is being accepted at this moment: ids and idempotency keys.
type UnderWay = Arc<Mutex<HashSet<Name>>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Id(EventId),
    Key([u8; 32]),
}

/// Names that are under way until this is dropped.
struct Names {
    all: UnderWay,
    own: Vec<Name>,
}

impl Names {
    /// `None` if one of them is under way already.
    fn take(all: &UnderWay, asked: &Submission) -> Option<Names> {
        let id = asked.id.clone().map(Name::Id);
        let own: Vec<Name> = id.into_iter().chain(asked.idempotency_key.map(Name::Key)).collect();
        if !own.is_empty() {
            let mut taken = all.lock().expect("nobody panics with it");
            if own.iter().any(|name| taken.contains(name)) {
                return None;
            }
            taken.extend(own.iter().cloned());
        }
        Some(Names { all: all.clone(), own })
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        if !self.own.is_empty() {
            let mut taken = self.all.lock().expect("nobody panics with it");
            self.own.iter().for_each(|name| {
                taken.remove(name);
            });
        }
    }
}

type Work = Box<dyn FnOnce(&mut dyn Store, Time) + Send>;

/// What is to be done on the store's thread.
pub(super) struct Errand {
    pub work: Work,
    /// Whether the daemon must look at the store again.
    pub changes: bool,
}

/// What reaches the daemon's loop from the entrances.
pub(super) enum Request {
    Arrival(Box<Arrival>),
    Errand(Errand),
    Advance(Advance),
}

/// The clock is to be set forward.
pub(super) struct Advance {
    pub by: Span,
    pub answer: oneshot::Sender<()>,
}

type Question = Box<dyn FnOnce(Result<&mut dyn Store, Refused>) + Send>;

/// Cheap to clone. The daemon does not end before the last of them is dropped.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::UnboundedSender<Request>,
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    rules: Rules,
    courier: Courier,
    metrics: Metrics,
    spans: Spans,
    questions: SyncSender<Question>,
    /// One permit for each event, and each change, that is under way.
    arrivals: Arc<Semaphore>,
    /// One permit for each KiB of a body that is under way.
    bytes: Arc<Semaphore>,
    /// One permit for each `ping` that is under way.
    pings: Arc<Semaphore>,
    under_way: UnderWay,
    phase: watch::Receiver<Phase>,
    health: watch::Receiver<Health>,
    outcomes: watch::Receiver<u64>,
}

/// What the daemon keeps of its handles.
pub(super) struct Desk {
    /// They end when the last handle is gone, and close their connections to the store.
    pub readers: Vec<JoinHandle<()>>,
    pub requests: mpsc::UnboundedReceiver<Request>,
    pub phase: watch::Sender<Phase>,
    pub health: watch::Sender<Health>,
    pub outcomes: watch::Sender<u64>,
    pub metrics: Metrics,
    pub spans: Spans,
}

/// Room for a body, taken before it is read.
pub struct Room {
    permit: OwnedSemaphorePermit,
    semaphore: Arc<Semaphore>,
    bytes: usize,
}

impl Room {
    /// Takes more, so that there is room for `bytes` in all.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Unserved> {
        let more = permits(bytes).saturating_sub(permits(self.bytes));
        if more > 0 {
            let permit = self.semaphore.clone().try_acquire_many_owned(more).map_err(|_| Unserved::Busy)?;
            self.permit.merge(permit);
        }
        self.bytes = self.bytes.max(bytes);
        Ok(())
    }
}

/// What an envelope may have beside its body, in bytes.
pub const ENVELOPE: usize = 16 * KIB;

const KIB: usize = 1024;

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(KIB).max(1)).unwrap_or(u32::MAX)
}

/// Threads that answer questions, and how many questions may wait for them.
const READERS: usize = 2;
const WAITING_QUESTIONS: usize = 256;
/// How many may wait at once to hear that the store's thread gets on.
const PINGS: usize = 256;

/// Makes a handle for the entrances, and the other end of it.
pub(super) fn open(
    config: &Config,
    courier: &Courier,
    metrics: Metrics,
    spans: Spans,
) -> Result<(Handle, Desk), Failed> {
    let (requests, inbox) = mpsc::unbounded_channel();
    let (phase, phases) = watch::channel(Phase::Serving);
    let (health, healths) = watch::channel(Health::default());
    let (outcomes, moved) = watch::channel(0);
    let (questions, readers) = readers(config)?;
    let shared = Shared {
        config: config.clone(),
        rules: Rules::of(config),
        courier: courier.clone(),
        metrics: metrics.clone(),
        spans: spans.clone(),
        questions,
        arrivals: Arc::new(Semaphore::new(config.api.in_flight_enqueues)),
        bytes: Arc::new(Semaphore::new(permits(all_bytes(config)) as usize)),
        pings: Arc::new(Semaphore::new(PINGS)),
        under_way: UnderWay::default(),
        phase: phases,
        health: healths,
        outcomes: moved,
    };
    let desk = Desk { readers, requests: inbox, phase, health, outcomes, metrics, spans };
    Ok((Handle { requests, shared: Arc::new(shared) }, desk))
}

/// There is always room for the largest request: one that no room is large enough for would wait for ever.
fn all_bytes(config: &Config) -> usize {
    config.api.in_flight_body_bytes.max(config.store.max_body_bytes.saturating_add(ENVELOPE))
}

/// The threads end when the last handle is gone.
fn readers(config: &Config) -> Result<(SyncSender<Question>, Vec<JoinHandle<()>>), Failed> {
    let (questions, inbox) = sync_channel::<Question>(WAITING_QUESTIONS);
    let inbox = Arc::new(Mutex::new(inbox));
    let reader = |_| {
        let (inbox, settings) = (inbox.clone(), config.store.clone());
        let work = move || answer(&inbox, || open_store(&settings));
        std::thread::Builder::new()
            .name("reader".into())
            .spawn(work)
            .map_err(|error| Failed::Machine(format!("a thread cannot start: {error}")))
    };
    Ok((questions, (0..READERS).map(reader).collect::<Result<_, _>>()?))
}

fn answer(inbox: &Mutex<Receiver<Question>>, open: impl Fn() -> Result<SqliteStore, crate::store::StoreError>) {
    let mut store: Option<SqliteStore> = None;
    loop {
        let next = inbox.lock().expect("no reader panics while it waits").recv();
        let Ok(question) = next else { return };
        if store.is_none() {
            match open() {
                Ok(opened) => store = Some(opened),
                Err(error) => {
                    question(Err(error.into()));
                    continue;
                }
            }
        }
        let known = store.as_mut().expect("opened just now");
        let mut question = Some(question);
        let asked = std::panic::AssertUnwindSafe(|| {
            known.at_one_moment(&mut |store| {
                if let Some(question) = question.take() {
                    question(Ok(store));
                }
            })
        });
        // Whoever asked is told that the answer will not come; the others keep their thread.
        let answered = std::panic::catch_unwind(asked);
        if let (Ok(Err(error)), Some(question)) = (&answered, question) {
            question(Err(error.clone().into()));
        }
        if !matches!(answered, Ok(Ok(()))) {
            store = None;
        }
    }
}

impl Handle {
    /// Room for a body of `bytes` bytes, to be taken before it is read.
    pub fn room(&self, bytes: usize) -> Result<Room, Unserved> {
        let semaphore = self.shared.bytes.clone();
        let permit = semaphore.clone().try_acquire_many_owned(permits(bytes)).map_err(|_| Unserved::Busy)?;
        Ok(Room { permit, semaphore, bytes })
    }

    /// Accepts an event: `Ok` follows the commit that holds it. Concurrent ones share commits.
    pub async fn enqueue(&self, asked: Submission, room: Room) -> Result<Accepted, Unserved> {
        let permit = self.shared.arrivals.clone().try_acquire_owned().map_err(|_| Unserved::Busy)?;
        let names = Names::take(&self.shared.under_way, &asked).ok_or(Unserved::InProgress)?;
        let held = Held { _permit: permit, _room: room, _names: names };
        let (answer, answered) = oneshot::channel();
        self.requests
            .send(Request::Arrival(Box::new(Arrival { asked: Some(asked), answer, held })))
            .map_err(|_| Unserved::Closed)?;
        Ok(answered.await.map_err(|_| Unserved::Closed)??)
    }

    /// Answers a question from a snapshot of the store, on a thread of its own.
    pub async fn look<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Store, Time) -> T + Send + 'static,
    ) -> Result<T, Unserved> {
        let (answer, answered) = oneshot::channel();
        let asked: Question = Box::new(move |store| {
            let found = store.map(|store| question(store, wall()));
            // Nobody waits any more: then nobody misses it.
            let _ = answer.send(found);
        });
        self.shared.questions.try_send(asked).map_err(|error| match error {
            TrySendError::Full(_) => Unserved::Busy,
            TrySendError::Disconnected(_) => Unserved::Closed,
        })?;
        Ok(answered.await.map_err(|_| Unserved::Closed)??)
    }

    /// Changes something, on the store's thread and between its commits; the daemon follows what changed at once.
    pub async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut dyn Store, Time) -> T + Send + 'static,
    ) -> Result<T, Unserved> {
        let permit = self.shared.arrivals.clone().try_acquire_owned().map_err(|_| Unserved::Busy)?;
        self.errand(true, permit, change).await
    }

    /// Returns when the store's thread has done what it was asked before.
    pub async fn ping(&self) -> Result<(), Unserved> {
        let permit = self.shared.pings.clone().try_acquire_owned().map_err(|_| Unserved::Busy)?;
        self.errand(false, permit, |_, _| ()).await
    }

    /// Sets the wall of this process and the daemon's clock forward: whatever waits is due that much sooner, and what is in
    /// flight goes on. For a process that plays with time. Returns when the store follows.
    ///
    /// # Panics
    ///
    /// If `by` is negative: time that has passed stays passed.
    pub async fn advance(&self, by: Span) -> Result<(), Unserved> {
        assert!(by >= Span::ZERO, "a clock is only set forward");
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Advance(Advance { by, answer })).map_err(|_| Unserved::Closed)?;
        answered.await.map_err(|_| Unserved::Closed)
    }

    async fn errand<T: Send + 'static>(
        &self,
        changes: bool,
        permit: OwnedSemaphorePermit,
        work: impl FnOnce(&mut dyn Store, Time) -> T + Send + 'static,
    ) -> Result<T, Unserved> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move |store: &mut dyn Store, now| {
            let done = work(store, now);
            // Held until it is done, whether anybody waits for that or not: who goes away makes no room for more.
            drop(permit);
            let _ = answer.send(done);
        });
        self.requests.send(Request::Errand(Errand { work, changes })).map_err(|_| Unserved::Closed)?;
        answered.await.map_err(|_| Unserved::Closed)
    }

    pub fn phase(&self) -> Phase {
        *self.shared.phase.borrow()
    }

    pub fn phases(&self) -> watch::Receiver<Phase> {
        self.shared.phase.clone()
    }

    pub fn health(&self) -> Health {
        self.shared.health.borrow().clone()
    }

    /// Moves whenever something was recorded: then `Store::outcomes` may have more.
    pub fn outcomes(&self) -> watch::Receiver<u64> {
        self.shared.outcomes.clone()
    }

    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    pub fn rules(&self) -> &Rules {
        &self.shared.rules
    }

    /// What the daemon itself sends with.
    pub fn courier(&self) -> &Courier {
        &self.shared.courier
    }

    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub fn spans(&self) -> &Spans {
        &self.shared.spans
    }
}
