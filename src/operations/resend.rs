//! What a person does about deliveries: retry one, cancel one, replay many.
//! A retry by hand begins the schedule anew; the attempts that were made stay in the record. Nothing here sends anything:
//! what is due then is the daemon's.

use super::Refused;
use super::look::{self, Subject};
use crate::calendar::rfc3339;
use crate::delivery::{DeliveryId, DeliveryState, StateName};
use crate::endpoint::ProfileName;
use crate::event::Subscription;
use crate::store::{Command, Filter, Listed, Page, Refusal, Reply, Store};
use crate::time::Time;

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub delivery: DeliveryId,
    /// `Endpoint::label`.
    pub endpoint: String,
    pub profile: ProfileName,
    /// The state it is in now.
    pub state: StateName,
    pub changed: bool,
    /// Why it was not changed.
    pub detail: Option<String>,
}

/// Makes what is asked about due now. What had ended dead or cancelled (with `delivered`: delivered too) begins its schedule
/// anew; what waits for its next attempt only stops waiting. Refused if nothing of it can be.
pub fn retry(store: &mut dyn Store, now: Time, subject: &Subject, delivered: bool) -> Result<Vec<Change>, Refused> {
    let mut states = vec![StateName::Pending, StateName::Dead, StateName::Cancelled];
    states.extend(delivered.then_some(StateName::Delivered));
    let command = |delivery| Command::Retry { delivery, states: states.clone(), now_due: now };
    change(store, now, subject, StateName::Pending, &command, &|listed| match listed.delivery.state {
        DeliveryState::Pending { .. } => "an attempt is in flight; wait for its end".to_owned(),
        DeliveryState::Delivered { at } => format!(
            "it was delivered at {}; `postrider retry {} --delivered` sends it again all the same",
            rfc3339(at),
            listed.delivery.id
        ),
        DeliveryState::Dead { .. } | DeliveryState::Cancelled { .. } => {
            "it changed at this moment; try again".to_owned()
        }
    })
}

/// Ends what is asked about, where it is still pending. An attempt in flight is not called back: if the receiver accepts it,
/// it is delivered all the same.
pub fn cancel(store: &mut dyn Store, now: Time, subject: &Subject) -> Result<Vec<Change>, Refused> {
    let command = |delivery| Command::Cancel { delivery };
    change(store, now, subject, StateName::Cancelled, &command, &|listed| {
        format!("it is {} already", listed.delivery.state.name().as_str())
    })
}

fn change(
    store: &mut dyn Store,
    now: Time,
    subject: &Subject,
    becomes: StateName,
    command: &dyn Fn(DeliveryId) -> Command,
    unchanged: &dyn Fn(&Listed) -> String,
) -> Result<Vec<Change>, Refused> {
    let listed = look::of_subject(store, subject)?;
    let commands: Vec<Command> = listed.iter().map(|listed| command(listed.delivery.id)).collect();
    let replies = if commands.is_empty() { vec![] } else { store.apply(now, &commands)? };
    let mut known = look::Endpoints::default();
    let mut changes = Vec::with_capacity(listed.len());
    for (listed, reply) in listed.iter().zip(replies) {
        let known = known.get(store, listed.delivery.endpoint)?;
        let (endpoint, profile) = (known.label(), known.profile);
        let detail = match reply {
            Reply::Done(1..) => None,
            Reply::Done(0) => Some(unchanged(listed)),
            Reply::Refused(Refusal::EndpointGone { .. }) => Some(format!(
                "endpoint {endpoint} is disabled or removed: nothing can be sent to it (`postrider endpoint resume {endpoint}` \
                 helps if it is disabled)"
            )),
            Reply::Refused(_) => Some("it was deleted at this moment".to_owned()),
            other => unreachable!("{other:?} does not answer a changed delivery"),
        };
        let state = if detail.is_none() { becomes } else { listed.delivery.state.name() };
        changes.push(Change {
            delivery: listed.delivery.id,
            endpoint,
            profile,
            state,
            changed: detail.is_none(),
            detail,
        });
    }
    match changes.iter().any(|change| change.changed) {
        true => Ok(changes),
        false => Err(Refused::Conflict(unchanged_all(&changes))),
    }
}

/// Why nothing was done to any of them.
fn unchanged_all(changes: &[Change]) -> String {
    const TOLD: usize = 10;
    let why = |change: &Change| Some(format!("{}: {}", change.delivery, change.detail.as_ref()?));
    let told: Vec<String> = changes.iter().take(TOLD).filter_map(why).collect();
    match changes.len() {
        0 => "the event is owed to nobody".to_owned(),
        count if count > TOLD => format!("{}; and {} more", told.join("; "), count - TOLD),
        _ => told.join("; "),
    }
}

/// Which deliveries to send again.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Dead, cancelled or delivered.
    pub state: StateName,
    /// An endpoint's name, or `one-off-3`.
    pub endpoint: Option<String>,
    pub event_type: Option<Subscription>,
    /// Of events accepted at this time or later ...
    pub since: Option<Time>,
    /// ... and before this.
    pub until: Option<Time>,
}

/// A replay under way: step by step, so that other work of the store fits in between. All that it makes due is due at the
/// same time, the time of its beginning, so that the older events go first.
#[derive(Clone, Debug)]
pub struct Replay {
    filter: Filter,
    until: Option<Time>,
    due: Time,
    /// Only count.
    dry_run: bool,
    before: Option<DeliveryId>,
    /// So many deliveries fit what is wanted, as far as was looked.
    pub matched: u64,
    /// So many of them are pending again; the endpoints of the others are gone.
    pub replayed: u64,
}

const AT_ONCE: u32 = 500;

impl Replay {
    pub fn begin(store: &mut dyn Store, now: Time, wanted: &Wanted, dry_run: bool) -> Result<Self, Refused> {
        if wanted.state == StateName::Pending {
            let text = "what is pending is sent anyway; `postrider retry ID` makes one due now";
            return Err(Refused::Invalid(text.to_owned()));
        }
        let endpoint = wanted.endpoint.as_deref().map(|text| look::endpoint(store, text)).transpose()?;
        let filter = Filter {
            state: Some(wanted.state),
            endpoint: endpoint.map(|endpoint| endpoint.id),
            event_type: wanted.event_type.clone(),
            since: wanted.since,
            ..Filter::default()
        };
        Ok(Replay { filter, until: wanted.until, due: now, dry_run, before: None, matched: 0, replayed: 0 })
    }

    /// Does a part of it, newest first; false if that was the last.
    pub fn step(&mut self, store: &mut dyn Store, now: Time) -> Result<bool, Refused> {
        let page = store.deliveries(&self.filter, Page { before: self.before, limit: AT_ONCE })?;
        let Some(last) = page.last() else { return Ok(false) };
        self.before = Some(last.delivery.id);
        let early = |listed: &&Listed| self.until.is_none_or(|until| listed.accepted_at < until);
        let states: Vec<StateName> = self.filter.state.into_iter().collect();
        let retry = |listed: &Listed| Command::Retry {
            delivery: listed.delivery.id,
            states: states.clone(),
            now_due: self.due,
        };
        let commands: Vec<Command> = page.iter().filter(early).map(retry).collect();
        self.matched += commands.len() as u64;
        if !self.dry_run && !commands.is_empty() {
            let replies = store.apply(now, &commands)?;
            self.replayed += replies.iter().filter(|reply| **reply == Reply::Done(1)).count() as u64;
        }
        Ok(page.len() == AT_ONCE as usize)
    }

    pub fn is_dry(&self) -> bool {
        self.dry_run
    }
}

/// All of a replay at once; `progress` hears after each part how many fit so far.
pub fn replay(
    store: &mut dyn Store,
    now: Time,
    wanted: &Wanted,
    dry_run: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Replay, Refused> {
    let mut replay = Replay::begin(store, now, wanted, dry_run)?;
    while replay.step(store, now)? {
        progress(replay.matched);
    }
    Ok(replay)
}
