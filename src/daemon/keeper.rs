//! The store's thread: it takes one job at a time, and whatever gathers meanwhile goes into the next.
//! That is the group commit: the longer a sync of the disk takes, the more it carries.

use std::collections::HashMap;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::exchange;
use crate::delivery::LaneDue;
use crate::endpoint::{Endpoint, EndpointId};
use crate::engine::Action;
use crate::operations;
use crate::store::{Changes, Command, Reply, Store, StoreError};
use crate::time::{Span, Time};

/// What the store is to do, in this order. All of `actions` and `prune` go into one commit.
#[derive(Debug, Default)]
pub(super) struct Job {
    /// The clock stepped: move what waits, as a commit of its own at the time before the step.
    pub shift: Option<(Time, Span)>,
    pub now: Option<Time>,
    pub actions: Vec<Action>,
    /// Delete up to so many events that were accepted before this.
    pub prune: Option<(Time, u32)>,
    pub look: Look,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    #[default]
    No,
    /// Did somebody else change the store?
    Changes,
    /// Endpoints and lanes anew, whatever changed.
    All,
}

#[derive(Debug, Default)]
pub(super) struct Answer {
    /// How many deliveries were moved; `None` if the clock did not step, or the store failed.
    pub shifted: Option<u64>,
    /// Each action with its reply; `None` for all of them if the commit failed.
    pub replies: Vec<(Action, Option<Reply>)>,
    /// What the endpoints are called whose deliveries were buried: `all` may not have them any more.
    pub buried: HashMap<EndpointId, String>,
    pub pruned: Option<u64>,
    /// Lanes that got new deliveries.
    pub due: Vec<LaneDue>,
    /// All endpoints and all lanes.
    pub all: Option<(Vec<Endpoint>, Vec<LaneDue>)>,
    /// The first thing that failed.
    pub error: Option<StoreError>,
}

pub(super) struct Keeper {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<Box<dyn Store>>,
}

impl Keeper {
    /// Moves the store to a thread of its own. The answers arrive in the order of the jobs.
    pub(super) fn start(
        mut store: Box<dyn Store>,
    ) -> std::io::Result<(Keeper, tokio::sync::mpsc::UnboundedReceiver<Answer>)> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (outbox, answers) = unbounded_channel();
        let work = move || {
            keep(&mut *store, &inbox, &outbox);
            store
        };
        let thread = std::thread::Builder::new().name("store".into()).spawn(work)?;
        Ok((Keeper { jobs, thread }, answers))
    }

    pub(super) fn ask(&self, job: Job) {
        self.jobs.send(job).expect("the store's thread lives as long as its keeper");
    }

    /// Lets the last job end and gives the store back; `None` if its thread panicked, which was told then.
    pub(super) fn stop(self) -> Option<Box<dyn Store>> {
        drop(self.jobs);
        self.thread.join().ok()
    }
}

fn keep(store: &mut dyn Store, inbox: &mpsc::Receiver<Job>, outbox: &UnboundedSender<Answer>) {
    while let Ok(job) = inbox.recv() {
        if outbox.send(perform(store, job)).is_err() {
            return;
        }
    }
}

fn perform(store: &mut dyn Store, job: Job) -> Answer {
    let mut answer = Answer::default();
    if let Some((before, by)) = job.shift {
        match store.apply(before, &[Command::Shift { by }]) {
            Ok(replies) => answer.shifted = Some(done(replies.first())),
            // Nothing else may happen by a clock that what waits does not follow yet.
            Err(error) => {
                answer.replies = job.actions.into_iter().map(|action| (action, None)).collect();
                answer.error = Some(error);
                return answer;
            }
        }
    }
    apply(store, job.now, job.actions, job.prune, &mut answer);
    if answer.error.is_none() {
        answer.error = look(store, job.look, &mut answer).err();
    }
    answer
}

fn apply(
    store: &mut dyn Store,
    now: Option<Time>,
    actions: Vec<Action>,
    prune: Option<(Time, u32)>,
    answer: &mut Answer,
) {
    let mut commands: Vec<Command> = actions.iter().filter_map(exchange::command).collect();
    assert_eq!(commands.len(), actions.len(), "the courier's actions are no work for the store");
    commands.extend(prune.map(|(before, limit)| Command::Prune { before, limit }));
    let Some(now) = now.filter(|_| !commands.is_empty()) else { return };
    match store.apply(now, &commands) {
        Ok(mut replies) => {
            answer.pruned = prune.map(|_| done(replies.pop().as_ref()));
            answer.replies = actions.into_iter().zip(replies.into_iter().map(Some)).collect();
            answer.buried = buried(store, &answer.replies);
        }
        Err(error) => {
            answer.replies = actions.into_iter().map(|action| (action, None)).collect();
            answer.error = Some(error);
        }
    }
}

fn buried(store: &mut dyn Store, replies: &[(Action, Option<Reply>)]) -> HashMap<EndpointId, String> {
    let lane_of = |(action, reply): &(Action, Option<Reply>)| match (action, reply) {
        (Action::Bury { lane, .. }, Some(Reply::Done(1..))) => Some(*lane),
        (
            Action::Bury { .. } | Action::Lease(_) | Action::Record(_) | Action::Release { .. } | Action::Carry(_),
            Some(_) | None,
        ) => None,
    };
    // The burial is done: a name that cannot be read now is missing in a log line and nowhere else.
    replies.iter().filter_map(lane_of).filter_map(|lane| Some((lane, operations::label(store, lane).ok()?))).collect()
}

fn done(reply: Option<&Reply>) -> u64 {
    match reply {
        Some(Reply::Done(count)) => *count,
        other => unreachable!("{other:?} is no count"),
    }
}

fn look(store: &mut dyn Store, look: Look, answer: &mut Answer) -> Result<(), StoreError> {
    if look == Look::No {
        return Ok(());
    }
    let Changes { lanes, all } = store.changes()?;
    if all || look == Look::All {
        // Endpoints first: a lane of an endpoint that was added in between is then reported again by the next look.
        answer.all = Some((store.endpoints()?, store.lanes()?));
    } else {
        answer.due = lanes;
    }
    Ok(())
}
