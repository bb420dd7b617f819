//! What the demo sends, to whom, and how each delivery should end.
//! The schedule is the real one with every wait divided by `FASTER`; nothing else about the profiles is changed, but
//! that the hanging receiver is waited for only as long as `PATIENCE`.

use super::receiver::{REFUSALS, Receivers, Role, Score};
use crate::cli::Failure;
use crate::cli::output::note;
use crate::config::Config;
use crate::delivery::{Attempt, DeadReason, DeliveryId, DeliveryState, Outcome};
use crate::endpoint::{EndpointName, Overrides, ProfileName};
use crate::event::{EventId, EventType, Subscription};
use crate::operations::{self, Rules, Submission, Target};
use crate::provider::{self, ensuro, octamile};
use crate::schedule::Schedule;
use crate::signature;
use crate::store::{NewEndpoint, Store};
use crate::time::{Span, Time};

/// The network that may be reached, in this process only.
pub const LOOPBACK: &str = "127.0.0.0/8";
/// By how much waits between attempts are shorter: ten retries in 32.75 s instead of 65.5 min.
const FASTER: i64 = 120;
/// How long the hanging receiver is waited for.
const PATIENCE: Span = Span::from_ms(500);
/// The event of the receiver that is neither Ensuro's nor Octamile's.
const STANDARD_TYPE: &str = "invoice.paid";
const STANDARD_BODY: &str =
    r#"{"invoice": "2026-0042", "amount": "142.363804", "note": "Ünïcode, \u00e9 and 1e2 stay as they are"}"#;

/// One delivery: what it should become, and what it became.
pub struct Row {
    pub delivery: DeliveryId,
    pub event: EventId,
    pub event_type: EventType,
    pub role: Role,
    /// The endpoint's name, or `one-off-ID`.
    pub endpoint: String,
    /// SHA-256 of the body that was submitted.
    pub digest: [u8; 32],
    /// By which it is really tried here.
    pub schedule: Schedule,
    /// As it was last read; `None` before the first time.
    pub state: Option<DeliveryState>,
    pub attempts: Vec<Attempt>,
    /// What the receiver says of it.
    pub score: Score,
}

impl Row {
    pub fn has_ended(&self) -> bool {
        match self.state {
            Some(DeliveryState::Pending { .. }) | None => false,
            Some(DeliveryState::Delivered { .. } | DeliveryState::Dead { .. } | DeliveryState::Cancelled { .. }) => {
                true
            }
        }
    }

    /// Whether each attempt brought its very bytes; `None` where the receiver does not look.
    pub fn is_exact(&self) -> Option<bool> {
        let requests = self.score.requests;
        (self.role != Role::Hangs).then_some(requests > 0 && requests as usize == self.attempts.len())
    }

    /// Whether each request had the signatures that it should, or the certificate; `None` where the receiver does not
    /// look.
    pub fn is_verified(&self) -> Option<bool> {
        let Score { requests, verified } = self.score;
        (self.role != Role::Hangs).then_some(requests > 0 && verified == requests)
    }

    /// What is not as it should be, each in the words that follow "but".
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let ended_well = match (self.role, self.state) {
            (Role::Hangs, Some(DeliveryState::Dead { reason: DeadReason::ScheduleUsedUp, .. })) => true,
            (Role::Hangs, _) => false,
            (_, Some(DeliveryState::Delivered { .. })) => true,
            (_, _) => false,
        };
        if !ended_well {
            let should = if self.role == Role::Hangs { "dead, its schedule used up" } else { "delivered" };
            problems.push(format!("it should be {should}, and is {}", self.state_name()));
        }
        let expected = self.expected_outcomes();
        if !self.attempts.iter().map(|attempt| attempt.outcome.name()).eq(expected.iter().copied()) {
            let found: Vec<String> = self.attempts.iter().map(|attempt| outcome_words(&attempt.outcome)).collect();
            problems.push(format!("its attempts should be {}, and are {}", counted(&expected), counted(&found)));
        }
        if self.is_exact() == Some(false) {
            problems.push("its receiver did not get the very bytes that were submitted, once for each attempt".into());
        }
        if self.is_verified() == Some(false) {
            problems.push("its receiver could not verify it".into());
        }
        problems
    }

    pub fn state_name(&self) -> &'static str {
        self.state.map_or("not there", |state| state.name().as_str())
    }

    /// The names of the outcomes of all attempts.
    fn expected_outcomes(&self) -> Vec<&'static str> {
        match self.role {
            Role::Hmac | Role::Eip191 | Role::Octamile | Role::Standard => vec!["accepted"],
            Role::Flaky => [vec!["rejected"; REFUSALS as usize], vec!["accepted"]].concat(),
            Role::Hangs => vec!["timed out"; self.schedule.attempts() as usize],
        }
    }
}

/// `accepted 200`, `rejected 500`, `timed out`.
pub fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { status, .. } | Outcome::Rejected { status } => format!("{} {status}", outcome.name()),
        Outcome::TimedOut { .. } | Outcome::Unreachable { .. } | Outcome::Blocked { .. } | Outcome::Unknown => {
            outcome.name().to_owned()
        }
    }
}

/// `2 x rejected, 1 x accepted`: equal neighbours together.
fn counted<T: AsRef<str>>(names: &[T]) -> String {
    let runs = names.chunk_by(|a, b| a.as_ref() == b.as_ref());
    let words: Vec<String> = runs.map(|run| format!("{} x {}", run.len(), run[0].as_ref())).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// The waits of the real schedule, shortened.
fn faster(schedule: &Schedule) -> Vec<Span> {
    schedule.delays().iter().map(|delay| Span::from_ms(delay.ms() / FASTER)).collect()
}

/// Tells what is about to be seen.
pub fn introduce(receivers: &Receivers) {
    let lines = [
        format!("a temporary store, the real daemon, and six receivers on http://{}", receivers.address),
        format!("in this process only, deliveries may go over plain HTTP and to {LOOPBACK}; else both are refused"),
        format!("waits between attempts are those of the real schedule divided by {FASTER}; it takes about 40 s"),
    ];
    lines.iter().for_each(|line| note(&format!("demo: {line}")));
    note("");
}

/// Registers the endpoints, then accepts the events, as any other process could beside the daemon.
pub fn submit(store: &mut dyn Store, config: &Config, receivers: &Receivers, now: Time) -> Result<Vec<Row>, Failure> {
    let rules = Rules::of(config);
    for role in Role::ALL {
        if let Some(endpoint) = endpoint(role, receivers) {
            operations::add_endpoint(store, &rules, now, endpoint)?;
        }
    }
    let mut rows = Vec::new();
    for submission in submissions(receivers, now)? {
        let digest = signature::digest(&submission.body);
        let accepted = operations::enqueue(store, &rules, now, submission)?;
        for owed in accepted.deliveries {
            let named = |role: &Role| role.as_str() == owed.endpoint;
            // Octamile's receiver is the only one that nobody registered.
            let role = Role::ALL.into_iter().find(named).unwrap_or(Role::Octamile);
            rows.push(Row {
                delivery: owed.delivery,
                event: accepted.event.clone(),
                event_type: accepted.event_type.clone(),
                role,
                endpoint: owed.endpoint,
                digest,
                schedule: provider::terms(role.profile(), &overrides(role)).schedule,
                state: None,
                attempts: Vec::new(),
                score: Score::default(),
            });
        }
    }
    Ok(rows)
}

/// `None` for Octamile's receiver, whose URL comes with each notification.
fn endpoint(role: Role, receivers: &Receivers) -> Option<NewEndpoint> {
    let subscriptions = match role {
        Role::Hmac | Role::Eip191 => vec![],
        Role::Flaky => vec!["policy/creation"],
        Role::Hangs => vec!["policy/cancellation"],
        Role::Standard => vec![STANDARD_TYPE],
        Role::Octamile => return None,
    };
    let subscription = |text| Subscription::parse(text).expect("it is an event type");
    Some(NewEndpoint {
        name: EndpointName::parse(role.as_str()).expect("it is a name"),
        url: receivers.url(role),
        profile: role.profile(),
        subscriptions: subscriptions.into_iter().map(subscription).collect(),
        overrides: overrides(role),
        keys: receivers.keys(role).to_vec(),
    })
}

fn overrides(role: Role) -> Overrides {
    let schedule = Some(faster(&provider::profile(role.profile()).schedule));
    match role {
        // A receiver that nobody registered has nothing to override.
        Role::Octamile => Overrides::default(),
        Role::Hangs => Overrides { timeout: Some(PATIENCE), schedule, ..Overrides::default() },
        Role::Hmac | Role::Eip191 | Role::Standard | Role::Flaky => Overrides { schedule, ..Overrides::default() },
    }
}

/// All notifications of both providers, and one that is neither's.
fn submissions(receivers: &Receivers, now: Time) -> Result<Vec<Submission>, Failure> {
    let submission = |event_type: &str, body: Vec<u8>, target: Target| Submission {
        idempotency_key: None,
        trace: None,
        id: None,
        event_type: Some(EventType::parse(event_type).expect("it is an event type")),
        content_type: None,
        body: body.into(),
        target,
    };
    // A transaction's status changes once, so every run has transactions of its own.
    let mut dice = operations::trial::fresh_dice()?;
    let mut sample = |profile: ProfileName, event_type: &str| {
        let event_type = EventType::parse(event_type).expect("it is an event type");
        provider::sample(profile, &event_type, &mut dice, now).expect("the profile has this type")
    };
    let mut all = Vec::new();
    for event_type in ensuro::TYPES {
        all.push(submission(event_type, sample(ProfileName::Ensuro, event_type), Target::Subscribers));
    }
    for event_type in octamile::TYPES {
        let target =
            Target::OneOff { url: receivers.url(Role::Octamile), profile: ProfileName::Octamile, keys: vec![] };
        all.push(submission(event_type, sample(ProfileName::Octamile, event_type), target));
    }
    all.push(submission(STANDARD_TYPE, STANDARD_BODY.as_bytes().to_vec(), Target::Subscribers));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{Stage, Timings};

    const AT: Time = Time::from_ms(1_793_491_200_000);
    const ACCEPTED: Outcome = Outcome::Accepted { status: 200, late: false };
    const REJECTED: Outcome = Outcome::Rejected { status: 500 };
    const TIMED_OUT: Outcome = Outcome::TimedOut { stage: Stage::Answer };
    const DELIVERED: DeliveryState = DeliveryState::Delivered { at: AT };
    const USED_UP: DeliveryState = DeliveryState::Dead { at: AT, reason: DeadReason::ScheduleUsedUp };

    fn row(role: Role, state: DeliveryState, outcomes: &[Outcome], requests: u32, verified: u32) -> Row {
        let attempt = |(number, outcome): (u32, &Outcome)| Attempt {
            number,
            started_at: AT,
            finished_at: AT,
            timings: Timings::default(),
            remote: None,
            resent: false,
            outcome: outcome.clone(),
            answer: vec![],
            location: None,
        };
        Row {
            delivery: DeliveryId(1),
            event: EventId::parse("e").unwrap(),
            event_type: EventType::parse("policy/creation").unwrap(),
            role,
            endpoint: role.as_str().to_owned(),
            digest: [0; 32],
            schedule: provider::terms(role.profile(), &overrides(role)).schedule,
            state: Some(state),
            attempts: (1..).zip(outcomes).map(attempt).collect(),
            score: Score { requests, verified },
        }
    }

    #[test]
    fn the_schedule_is_the_real_one_and_much_faster() {
        let delays: Vec<i64> = faster(&ensuro::profile().schedule).iter().map(|delay| delay.ms()).collect();
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 5000, 5000, 5000, 5000, 5000]);
    }

    #[test]
    fn what_ends_as_it_should_has_no_problem() {
        assert!(row(Role::Hmac, DELIVERED, &[ACCEPTED], 1, 1).problems().is_empty());
        assert!(row(Role::Flaky, DELIVERED, &[REJECTED, REJECTED, ACCEPTED], 3, 3).problems().is_empty());
        assert!(row(Role::Hangs, USED_UP, &[TIMED_OUT; 11], 0, 0).problems().is_empty());
    }

    #[test]
    fn anything_else_has_one() {
        let wrong = [
            row(Role::Hmac, USED_UP, &[ACCEPTED], 1, 1),
            row(Role::Hmac, DELIVERED, &[TIMED_OUT, ACCEPTED], 2, 2),
            row(Role::Hmac, DELIVERED, &[ACCEPTED], 2, 2),
            row(Role::Eip191, DELIVERED, &[ACCEPTED], 0, 0),
            row(Role::Standard, DELIVERED, &[ACCEPTED], 1, 0),
            row(Role::Octamile, DELIVERED, &[ACCEPTED], 1, 0),
            row(Role::Flaky, DELIVERED, &[REJECTED, ACCEPTED], 2, 2),
            row(Role::Hangs, DELIVERED, &[TIMED_OUT; 11], 0, 0),
            row(Role::Hangs, USED_UP, &[TIMED_OUT; 10], 0, 0),
            row(Role::Hangs, DeliveryState::Dead { at: AT, reason: DeadReason::EndpointGone }, &[TIMED_OUT; 11], 0, 0),
        ];
        for row in wrong {
            assert!(!row.problems().is_empty(), "{:?} {:?} {:?}", row.role, row.state, row.score);
        }
        let said = row(Role::Flaky, DELIVERED, &[REJECTED, ACCEPTED], 2, 2).problems();
        assert_eq!(
            said,
            ["its attempts should be 2 x rejected, 1 x accepted, and are 1 x rejected 500, 1 x accepted 200"]
        );
    }
}
