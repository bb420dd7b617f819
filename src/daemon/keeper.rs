//! The store's thread: it takes one job at a time, and whatever gathers meanwhile goes into the next.
//! That is the group commit: the longer a sync of the disk takes, the more it carries.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::exchange;
use super::handle::{Arrival, Errand};
use crate::delivery::LaneDue;
use crate::endpoint::{Endpoint, EndpointId};
use crate::engine::Action;
use crate::operations::{self, Accepted, Checked, Intake, New, Refused, Rules};
use crate::store::{Changes, Command, Reply, Store, StoreError};
use crate::time::{Span, Time};

/// What the store is to do, in this order. All of `arrivals`, `actions` and `prune` go into one commit.
#[derive(Default)]
pub(super) struct Job {
    /// The clock stepped: move what waits, as a commit of its own at the time before the step.
    pub shift: Option<(Time, Span)>,
    /// The clock was set forward: let leases last as long as before, as a commit of its own at the time before that.
    pub extend: Option<(Time, Span)>,
    pub now: Option<Time>,
    /// Changes that commit by themselves. First, so that no attempt begins against what they answered already.
    pub errands: Vec<Errand>,
    /// Events to accept. Each is answered by itself, right after the commit.
    pub arrivals: Vec<Arrival>,
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
    /// The same for leases, when the clock was set forward.
    pub extended: Option<u64>,
    /// Each action with its reply; `None` for all of them if the commit failed.
    pub replies: Vec<(Action, Option<Reply>)>,
    /// What the endpoints are called whose deliveries were buried: `all` may not have them any more.
    pub buried: HashMap<EndpointId, String>,
    pub pruned: Option<u64>,
    /// Events that were accepted and had not been before.
    pub accepted: u64,
    /// Why none of the arrivals could be stored.
    pub refused_all: Option<StoreError>,
    /// How long the commit took and of how many commands it was, if there was one and it was well.
    pub committed: Option<(Duration, usize)>,
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
        rules: Rules,
    ) -> std::io::Result<(Keeper, tokio::sync::mpsc::UnboundedReceiver<Answer>)> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (outbox, answers) = unbounded_channel();
        let work = move || {
            keep(&mut *store, &rules, &inbox, &outbox);
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

fn keep(store: &mut dyn Store, rules: &Rules, inbox: &mpsc::Receiver<Job>, outbox: &UnboundedSender<Answer>) {
    while let Ok(job) = inbox.recv() {
        if outbox.send(perform(store, rules, job)).is_err() {
            return;
        }
    }
}

fn perform(store: &mut dyn Store, rules: &Rules, job: Job) -> Answer {
    let mut answer = Answer::default();
    // Nothing else may happen by a clock that what waits does not follow yet.
    if let Err(error) = follow_the_clock(store, &job, &mut answer) {
        job.arrivals.into_iter().for_each(|arrival| arrival.refuse(&error));
        answer.replies = job.actions.into_iter().map(|action| (action, None)).collect();
        answer.error = Some(error);
        return answer;
    }
    let (changed, now) = (job.errands.iter().any(|errand| errand.changes), job.now);
    if let Some(now) = now {
        job.errands.into_iter().for_each(|errand| (errand.work)(store, now));
    }
    apply(store, rules, now, job.arrivals, job.actions, job.prune, &mut answer);
    if answer.error.is_none() {
        answer.error = look(store, if changed { Look::All } else { job.look }, &mut answer).err();
    }
    answer
}

fn follow_the_clock(store: &mut dyn Store, job: &Job, answer: &mut Answer) -> Result<(), StoreError> {
    if let Some((before, by)) = job.shift {
        answer.shifted = Some(done(store.apply(before, &[Command::Shift { by }])?.first()));
    }
    if let Some((before, by)) = job.extend {
        answer.extended = Some(done(store.apply(before, &[Command::ExtendLeases { by }])?.first()));
    }
    Ok(())
}

fn apply(
    store: &mut dyn Store,
    rules: &Rules,
    now: Option<Time>,
    arrivals: Vec<Arrival>,
    actions: Vec<Action>,
    prune: Option<(Time, u32)>,
    answer: &mut Answer,
) {
    let Some(now) = now else { return };
    let mut intake = Intake::new(rules);
    let mut new: Vec<(Arrival, Box<New>)> =
        arrivals.into_iter().filter_map(|arrival| checked(store, &mut intake, arrival)).collect();
    let mut commands: Vec<Command> = new.iter_mut().filter_map(|(_, new)| new.command.take()).collect();
    commands.extend(actions.iter().filter_map(exchange::command));
    assert_eq!(commands.len(), new.len() + actions.len(), "the courier's actions are no work for the store");
    commands.extend(prune.map(|(before, limit)| Command::Prune { before, limit }));
    if commands.is_empty() {
        return;
    }
    let began = Instant::now();
    let mut applied = store.apply(now, &commands);
    let arrived = new.len();
    match &mut applied {
        Ok(replies) => {
            answer.committed = Some((began.elapsed(), commands.len()));
            let rest = replies.split_off(arrived);
            acknowledge(store, &mut intake, new, std::mem::replace(replies, rest), answer);
        }
        // What arrives must not keep what is owed from being recorded: a full disk still takes the smaller part.
        Err(error @ (StoreError::Busy(_) | StoreError::Unwritable(_))) if arrived > 0 => {
            new.into_iter().for_each(|(arrival, _)| arrival.refuse(error));
            answer.refused_all = Some(error.clone());
            commands.drain(..arrived);
            if commands.is_empty() {
                return;
            }
            applied = store.apply(now, &commands);
        }
        Err(error) => new.into_iter().for_each(|(arrival, _)| arrival.refuse(error)),
    }
    match applied {
        Ok(mut replies) => {
            answer.pruned = prune.map(|_| done(replies.pop().as_ref()));
            answer.replies = actions.into_iter().zip(replies.into_iter().map(Some)).collect();
            // A lane that leased after the arrivals were stored was told what it owes by that.
            let leased: HashSet<EndpointId> = answer.replies.iter().filter_map(|(action, _)| leased(action)).collect();
            answer.due.retain(|due| !leased.contains(&due.lane));
            answer.buried = buried(store, &answer.replies);
        }
        Err(error) => {
            answer.replies = actions.into_iter().map(|action| (action, None)).collect();
            answer.error = Some(error);
        }
    }
}

/// Answers what is refused or known; the rest is to be stored.
fn checked(store: &mut dyn Store, intake: &mut Intake<'_>, mut arrival: Arrival) -> Option<(Arrival, Box<New>)> {
    let asked = arrival.asked.take().expect("an arrival is checked once");
    match intake.check(store, asked) {
        Ok(Checked::New(new)) => return Some((arrival, new)),
        Ok(Checked::Known(accepted)) => arrival.answer(Ok(accepted)),
        Err(refused) => arrival.answer(Err(refused)),
    }
    None
}

/// The events are on disk: whoever waits for that is told at once.
fn acknowledge(
    store: &mut dyn Store,
    intake: &mut Intake<'_>,
    new: Vec<(Arrival, Box<New>)>,
    replies: Vec<Reply>,
    answer: &mut Answer,
) {
    for ((arrival, new), reply) in new.into_iter().zip(replies) {
        let accepted = intake.accepted(store, &new, reply);
        if let Ok(Accepted { again: false, deliveries, accepted_at, .. }) = &accepted {
            answer.accepted += 1;
            answer.due.extend(deliveries.iter().map(|owed| LaneDue { lane: owed.lane, due_at: *accepted_at }));
        }
        arrival.answer(accepted);
    }
}

impl Arrival {
    fn answer(self, answer: Result<Accepted, Refused>) {
        // Who has the answer may ask again at once, and must not be told that this is still under way.
        drop(self.held);
        // Nobody waits for it any more: what is stored is stored.
        let _ = self.answer.send(answer);
    }

    fn refuse(self, error: &StoreError) {
        self.answer(Err(Refused::Store(error.clone())));
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

/// The lane that an action leases from.
fn leased(action: &Action) -> Option<EndpointId> {
    match action {
        Action::Lease(request) => Some(request.lane),
        Action::Record(_) | Action::Release { .. } | Action::Bury { .. } | Action::Carry(_) => None,
    }
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
        answer.due.extend(lanes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::delivery::{LeaseRequest, Token};
    use crate::endpoint::{EndpointName, Overrides, ProfileName};
    use crate::store::sqlite::SqliteStore;
    use crate::store::{NewEndpoint, NewEvent, Recipients};

    const NOW: Time = Time::from_ms(1_793_491_200_000);

    /// Whoever was told that an endpoint is paused must not see an attempt begin afterwards: the leases of the same job
    /// are carried only after all of it.
    #[test]
    fn a_change_holds_for_the_leases_of_its_own_job() {
        let mut store = SqliteStore::in_memory().unwrap();
        let acme = NewEndpoint {
            name: EndpointName::parse("acme").unwrap(),
            url: "https://a.example/".to_owned(),
            profile: ProfileName::Octamile,
            subscriptions: vec![],
            overrides: Overrides::default(),
            keys: vec![],
        };
        let Ok([Reply::EndpointAdded(lane)]) =
            <[Reply; 1]>::try_from(store.apply(NOW, &[Command::AddEndpoint(acme)]).unwrap())
        else {
            panic!("it is added")
        };
        let event = NewEvent {
            id: crate::event::EventId::parse("one").unwrap(),
            event_type: crate::event::EventType::parse("a.b").unwrap(),
            content_type: "application/json".to_owned(),
            digest: [0; 32],
            recipients: Recipients::Endpoints(vec![lane]),
            fingerprint: [0; 32],
            once: None,
            idempotency_key: None,
            trace: None,
            body: b"1".as_slice().into(),
        };
        store.apply(NOW, &[Command::Enqueue(event)]).unwrap();
        let request = LeaseRequest {
            lane,
            limit: 8,
            bytes: 1 << 20,
            until: NOW + Span::from_seconds(25),
            token: Token(1),
            most_attempts: 11,
        };
        let pause = move |store: &mut dyn Store, now| {
            let name = EndpointName::parse("acme").unwrap();
            operations::pause_endpoint(store, now, &name).unwrap();
        };
        let job = Job {
            now: Some(NOW),
            actions: vec![Action::Lease(request)],
            errands: vec![Errand { work: Box::new(pause), changes: true }],
            ..Job::default()
        };
        let answer = perform(&mut store, &Rules::of(&Config::default()), job);
        let [(_, Some(Reply::Leased(leased)))] = &answer.replies[..] else { panic!("{:?}", answer.replies) };
        assert!(leased.leases.is_empty(), "an attempt would begin after the answer that nothing is sent");
    }
}
