//! Why a delivery is where it is: one paragraph of plain sentences, every fact of which stands in the store.
//! What happened, what it waits for and until when, which rule says so and where that is written, and what the
//! operator can do. Times are absolute and relative. Nothing foreign gets into a sentence as it came.

mod words;

use super::{Daemon, Endpoints, Subject, advice, attempts_allowed, of_subject};
use crate::calendar::rfc3339;
use crate::delivery::{Attempt, DeadReason, DeliveryId, DeliveryState, Outcome, StateName};
use crate::endpoint::{Endpoint, EndpointState};
use crate::event::{EventId, EventType};
use crate::operations::Refused;
use crate::provider::{self, Terms};
use crate::store::{LaneOwed, Listed, Store};
use crate::time::{Span, Time};

/// What the store cannot know.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    pub daemon: Daemon,
    /// `delivery.concurrency_per_endpoint`.
    pub concurrency: u32,
}

#[derive(Clone, Debug)]
pub struct Explained {
    pub event: EventId,
    pub event_type: EventType,
    pub accepted_at: Time,
    /// All of the event's, oldest first, or the one that was asked about.
    pub deliveries: Vec<Why>,
    /// Set if the event is owed to nobody.
    pub nobody: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Why {
    pub delivery: DeliveryId,
    /// The endpoint's name, or `one-off-ID`.
    pub endpoint: String,
    pub state: StateName,
    /// Attempts begun, the one in flight included, out of how many.
    pub attempts: u32,
    pub of: u32,
    /// When the next attempt is due; `None` while one is in flight, and after the end.
    pub next_at: Option<Time>,
    /// What happened and what comes.
    pub text: String,
    /// What the operator can do about it.
    pub advice: Option<String>,
}

pub fn why(store: &mut dyn Store, now: Time, around: &Around, subject: &Subject) -> Result<Explained, Refused> {
    let gone = || Refused::Unknown("it was deleted at this moment, as it ended long ago".to_owned());
    let listed = of_subject(store, subject)?;
    let (event, event_type, accepted_at) = match (listed.first(), subject) {
        (Some(first), _) => (first.event.clone(), first.event_type.clone(), first.accepted_at),
        (None, Subject::Delivery(_)) => return Err(gone()),
        (None, Subject::Event(id)) => {
            let event = store.event(id)?.ok_or_else(gone)?;
            (event.id, event.event_type, event.accepted_at)
        }
    };
    let nobody = listed.is_empty().then(|| {
        format!(
            "{event} ({event_type}) was accepted at {} and is owed to nobody: no endpoint subscribed to its type \
             then, and an endpoint that is added later is owed later events only. To have it delivered, enqueue it \
             again under a new id.",
            ago(now, accepted_at)
        )
    });
    let mut endpoints = Endpoints::default();
    let mut deliveries = Vec::with_capacity(listed.len());
    for listed in listed {
        let endpoint = endpoints.get(store, listed.delivery.endpoint)?;
        let attempts = store.attempts(listed.delivery.id)?;
        let owed = match listed.delivery.state {
            DeliveryState::Pending { .. } => store.owed(endpoint.id)?,
            DeliveryState::Delivered { .. } | DeliveryState::Dead { .. } | DeliveryState::Cancelled { .. } => {
                LaneOwed::default()
            }
        };
        let terms = provider::terms(endpoint.profile, &endpoint.overrides);
        let case = Case { now, around, listed: &listed, endpoint: &endpoint, terms: &terms, attempts: &attempts, owed };
        deliveries.push(case.explained());
    }
    Ok(Explained { event, event_type, accepted_at, deliveries, nobody })
}

/// All that is known of one delivery.
struct Case<'a> {
    now: Time,
    around: &'a Around,
    listed: &'a Listed,
    endpoint: &'a Endpoint,
    terms: &'a Terms,
    /// Those that have ended.
    attempts: &'a [Attempt],
    owed: LaneOwed,
}

impl Case<'_> {
    fn explained(&self) -> Why {
        let delivery = &self.listed.delivery;
        let label = self.endpoint.label();
        let mut sentences = Vec::new();
        let next_at = match delivery.state {
            DeliveryState::Pending { due_at, leased_at } => {
                self.pending(due_at, leased_at, &mut sentences);
                Some(due_at).filter(|_| leased_at.is_none())
            }
            DeliveryState::Delivered { at } => {
                self.delivered(at, &mut sentences);
                None
            }
            DeliveryState::Dead { at, reason } => {
                self.dead(at, reason, &mut sentences);
                None
            }
            DeliveryState::Cancelled { at } => {
                let begun = counted(delivery.attempts, "attempt");
                sentences.push(format!("A person cancelled it at {}, after {begun}.", ago(self.now, at)));
                None
            }
        };
        let (event, event_type, state) = (&self.listed.event, &self.listed.event_type, delivery.state.name());
        let head = format!("{} ({event_type}, {event}, to {label}) is {}.", delivery.id, state.as_str());
        Why {
            delivery: delivery.id,
            endpoint: label,
            state,
            attempts: delivery.attempts,
            of: attempts_allowed(delivery, self.endpoint),
            next_at,
            text: format!("{head} {}", sentences.join(" ")),
            advice: self.advice(state),
        }
    }

    /// How many attempts there may be.
    fn of(&self) -> u32 {
        attempts_allowed(&self.listed.delivery, self.endpoint)
    }

    fn last(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    fn pending(&self, due_at: Time, leased_at: Option<Time>, sentences: &mut Vec<String>) {
        let (begun, of) = (self.listed.delivery.attempts, self.of());
        match (self.last(), leased_at) {
            (Some(last), _) => sentences.push(self.history(last)),
            (None, None) => {
                let at = ago(self.now, self.listed.accepted_at);
                sentences.push(format!("It was accepted at {at}; no attempt was made yet."));
            }
            (None, Some(_)) => {}
        }
        sentences.extend(self.by_hand());
        match leased_at {
            Some(leased_at) => sentences.push(self.in_flight(begun, leased_at, due_at)),
            None if begun >= of => sentences.push(format!(
                "All {} of its schedule were begun, so it is ended as dead when its turn comes, at {}.",
                counted(of, "attempt"),
                relative(self.now, due_at)
            )),
            None => {
                sentences.push(self.next_turn(begun, due_at));
                sentences.extend(self.rule(due_at));
            }
        }
        match (&self.endpoint.state, self.around.daemon) {
            (EndpointState::Removed { since }, _) => sentences.push(format!(
                "Its endpoint was removed at {}; a running daemon ends what it is still owed as dead.",
                ago(self.now, *since)
            )),
            (EndpointState::Disabled { since, reason }, _) => sentences.push(format!(
                "Its endpoint {reason} at {} and is disabled; a running daemon ends what it is still owed as dead.",
                ago(self.now, *since)
            )),
            (EndpointState::Paused { since }, _) => {
                let (label, since) = (self.endpoint.label(), ago(self.now, *since));
                sentences.push(format!(
                    "Endpoint {label} is paused since {since}; `postrider endpoint resume {label}` lets it go on."
                ));
            }
            (EndpointState::Active, Daemon::Runs { pid }) if leased_at.is_none() && due_at <= self.now => {
                sentences.push(self.room(pid));
            }
            (EndpointState::Active, Daemon::Runs { .. } | Daemon::Absent) => {}
        }
        if self.around.daemon == Daemon::Absent {
            sentences.push("No daemon holds this store, so nothing is sent until `postrider serve` runs.".to_owned());
        }
    }

    /// What a person asked for before.
    fn by_hand(&self) -> Option<String> {
        let earlier = self.listed.delivery.earlier;
        let after = counted(earlier, "attempt");
        (earlier > 0).then(|| format!("After {after} a person asked to retry it, and its schedule began anew."))
    }

    /// How many attempts ended, and how the last of them did.
    fn history(&self, last: &Attempt) -> String {
        let of = self.of();
        let at = ago(self.now, last.started_at);
        let what = words::outcome(last, self.endpoint, self.terms);
        let same = self.attempts.iter().rev().skip(1).take_while(|earlier| earlier.outcome == last.outcome).count();
        let before = match same {
            0 => String::new(),
            1 => ", like the one before it".to_owned(),
            _ if same + 1 == self.attempts.len() && same > 2 => format!(", like all {same} before it"),
            _ => format!(", like the {same} before it"),
        };
        format!("Attempt {} of {of}, at {at}, {what}{before}.", last.number)
    }

    fn in_flight(&self, number: u32, since: Time, lease_ends: Time) -> String {
        let begun = format!("Attempt {number} of {} is in flight since {}", self.of(), ago(self.now, since));
        let left_open = "closed as unknown and the delivery is tried again";
        match (self.around.daemon, lease_ends <= self.now) {
            (Daemon::Absent, _) => format!(
                "{begun}, but its daemon is gone: when the next one starts, the attempt is {left_open} at once."
            ),
            (Daemon::Runs { .. }, true) => format!(
                "{begun}, longer than its lease, which ended at {}: the attempt is {left_open} as soon as there is \
                 room.",
                ago(self.now, lease_ends)
            ),
            (Daemon::Runs { .. }, false) => {
                format!("{begun}; it may take {} in all.", self.terms.timeout)
            }
        }
    }

    fn next_turn(&self, begun: u32, due_at: Time) -> String {
        let left = self.of() - begun - 1;
        let then = match left {
            0 => "; it is the last".to_owned(),
            _ => format!("; {left} more may follow"),
        };
        match due_at <= self.now {
            true => format!("Attempt {} has been due since {}{then}.", begun + 1, ago(self.now, due_at)),
            false => format!("Attempt {} is due at {}{then}.", begun + 1, relative(self.now, due_at)),
        }
    }

    /// Why the next attempt is due when it is. Nothing is to be said of the first one.
    fn rule(&self, due_at: Time) -> Option<String> {
        let last = self.last()?;
        if last.outcome == Outcome::Unknown && due_at <= last.finished_at {
            return Some("An attempt that was cut off is tried again at once.".to_owned());
        }
        // After the attempts of an earlier schedule nothing has to be waited for.
        let counted = last.number.checked_sub(1 + self.listed.delivery.earlier)?;
        let wait = *self.terms.schedule.delays().get(counted as usize)?;
        let jitter = self.terms.schedule.jitter_percent();
        let earliest = last.finished_at + wait;
        let latest = earliest + Span::from_ms(wait.ms() * i64::from(jitter) / 100);
        let (number, profile) = (last.number, self.endpoint.profile);
        let said = words::cited(self.endpoint, "schedule");
        // The clock may be read twice in a millisecond's time; more than that is another rule.
        if due_at + Span::from_ms(1) < earliest {
            return Some(format!(
                "That is sooner than the schedule's {wait} after attempt {number}: a person asked to retry it, a turn was \
                 handed back unused, or the clock was set."
            ));
        }
        if due_at <= latest + Span::from_ms(1) {
            let late = if jitter > 0 { format!(", and up to {jitter} % longer,") } else { String::new() };
            return Some(format!("The wait after attempt {number} is {wait}{late} by {said}."));
        }
        let asks = self.terms.obeys_retry_after && matches!(last.outcome, Outcome::Rejected { status: 429 | 503 });
        Some(match asks {
            true => format!(
                "The receiver asked for {} in Retry-After instead of the schedule's {wait}, and profile {profile} \
                 obeys that{}.",
                due_at.since(last.finished_at),
                words::in_brackets(profile, "obeys_retry_after")
            ),
            false => format!("That is later than the schedule's {wait} after attempt {number}, as the clock was set."),
        })
    }

    /// What a due delivery waits for while a daemon runs.
    fn room(&self, pid: Option<u32>) -> String {
        let overrides = &self.endpoint.overrides;
        let most = overrides.concurrency.unwrap_or(self.around.concurrency);
        let whose = if overrides.concurrency.is_some() {
            "the endpoint's own limit"
        } else {
            "delivery.concurrency_per_endpoint"
        };
        let daemon = pid.map_or("the daemon".to_owned(), |pid| format!("the daemon (process {pid})"));
        let others = match self.owed.pending.saturating_sub(1) {
            0 => "nothing else is owed to this endpoint".to_owned(),
            1 => "1 other delivery is owed to this endpoint".to_owned(),
            others => format!("{others} other deliveries are owed to this endpoint"),
        };
        let rate = match overrides.rate {
            Some(rate) => format!(", at most {rate} a second (the endpoint's own limit)"),
            None => String::new(),
        };
        let flying = match self.owed.in_flight {
            1 => "1 attempt to this endpoint is in flight".to_owned(),
            number => format!("{number} attempts to this endpoint are in flight"),
        };
        match self.owed.in_flight >= u64::from(most) {
            true => format!("It waits for room: {flying}, and {most} is the most ({whose}){rate}; {others}."),
            false => format!(
                "It goes out as soon as {daemon} has room for it{rate}: {flying} of at most {most} ({whose}), fewer \
                 while it fails; {others}."
            ),
        }
    }

    fn delivered(&self, at: Time, sentences: &mut Vec<String>) {
        let took = at.since(self.listed.accepted_at);
        sentences.push(match self.attempts.iter().rev().find(|attempt| attempt.outcome.is_accepted()) {
            Some(attempt) => format!(
                "Attempt {} of {} {}, at {}, {took} after the event was accepted here.",
                attempt.number,
                self.of(),
                words::outcome(attempt, self.endpoint, self.terms),
                ago(self.now, at)
            ),
            None => format!("It arrived at {}, {took} after the event was accepted here.", ago(self.now, at)),
        });
        let failed: Vec<&Attempt> = self.attempts.iter().filter(|attempt| !attempt.outcome.is_accepted()).collect();
        if let Some(last) = failed.last() {
            let what = words::outcome(last, self.endpoint, self.terms);
            sentences.push(match failed.len() {
                1 => format!("Attempt {} {what}.", last.number),
                more => format!("{more} attempts before did not get through; the last of them {what}."),
            });
        }
        if failed.iter().any(|attempt| attempt.outcome == Outcome::Unknown) {
            sentences.push("So the receiver may have got it twice.".to_owned());
        }
    }

    fn dead(&self, at: Time, reason: DeadReason, sentences: &mut Vec<String>) {
        let at = ago(self.now, at);
        if let Some(last) = self.last() {
            sentences.push(self.history(last));
        }
        sentences.extend(self.by_hand());
        let begun = counted(self.listed.delivery.attempts, "attempt");
        sentences.push(match reason {
            DeadReason::ScheduleUsedUp => format!(
                "It was given up at {at}, as the schedule allows {} by {}.",
                counted(self.terms.schedule.attempts(), "attempt"),
                words::cited(self.endpoint, "schedule")
            ),
            DeadReason::EndpointGone => match (&self.endpoint.state, self.last().map(|last| &last.outcome)) {
                (_, Some(Outcome::Rejected { status: 410 })) => format!(
                    "It was given up at {at} after {begun}: status 410 says that the receiver is gone for good, and \
                     disables the endpoint{}.",
                    words::in_brackets(self.endpoint.profile, "gone_disables")
                ),
                (EndpointState::Disabled { since, reason }, _) => format!(
                    "It was given up at {at} after {begun}, as its endpoint {reason} at {} and is disabled.",
                    rfc3339(*since)
                ),
                (EndpointState::Removed { since }, _) => format!(
                    "It was given up at {at} after {begun}, as a person removed its endpoint at {}.",
                    rfc3339(*since)
                ),
                (EndpointState::Active | EndpointState::Paused { .. }, _) => {
                    format!("It was given up at {at} after {begun}, as its endpoint was gone.")
                }
            },
        });
    }

    fn advice(&self, state: StateName) -> Option<String> {
        let (endpoint, listed) = (self.endpoint, self.listed);
        let receiver = || self.last().and_then(|last| advice::after(last, endpoint, self.terms, listed.size));
        let again = || advice::again(endpoint, listed.delivery.id, &listed.event);
        match state {
            StateName::Delivered => None,
            StateName::Pending => receiver(),
            StateName::Cancelled => Some(again()),
            StateName::Dead => Some(match receiver() {
                Some(receiver) => format!("{receiver} {}", again()),
                None => again(),
            }),
        }
    }
}

/// `1 attempt`, `3 attempts`.
fn counted(number: u32, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// `2026-11-01T00:00:00.000Z (3 min ago)`.
pub(super) fn ago(now: Time, at: Time) -> String {
    match now.since(at) {
        span if span < Span::ZERO => relative(now, at),
        span => format!("{} ({span} ago)", rfc3339(at)),
    }
}

/// `2026-11-01T00:00:00.000Z (in 3 min)`.
fn relative(now: Time, at: Time) -> String {
    match at.since(now) {
        span if span < Span::ZERO => ago(now, at),
        span => format!("{} (in {span})", rfc3339(at)),
    }
}
