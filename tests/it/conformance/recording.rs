//! Recording: an outcome counts with the token of its lease; without it, only an acceptance can still close what is
//! owed. Whatever is told of an attempt is kept.

use postrider::delivery::{Attempt, DeadReason, DeliveryId, DeliveryState, Outcome, Stage, Timings, Verdict};
use postrider::endpoint::{EndpointId, EndpointState};
use postrider::store::{Command, LeaseRequest, Recorded, Store};

use super::Pair;
use super::fixture::*;

/// One delivery, leased at 1 with token 7 until 31.
fn leased(store: &mut dyn Store) -> (EndpointId, DeliveryId) {
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    assert_eq!(leased_ids(&lease(store, at(1), lane, 7)), [owed]);
    (lane, owed)
}

pub fn an_acceptance_delivers(pair: &mut Pair) {
    let (_, owed) = leased(&mut *pair.first);
    let outcome = attempt(1, at(1), at(2), accepted());
    assert_eq!(record(&mut *pair.first, at(4), owed, 7, outcome.clone(), Verdict::Delivered), Recorded::Counted);
    let kept = delivery(&mut *pair.second, owed);
    assert_eq!((kept.state, kept.attempts), (DeliveryState::Delivered { at: at(2) }, 1));
    assert_eq!(attempts(&mut *pair.second, owed), [outcome]);
    assert_eq!(lanes(&mut *pair.second), []);
}

pub fn a_retry_waits_for_its_time(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (lane, owed) = leased(store);
    let outcome = attempt(1, at(1), at(2), rejected());
    assert_eq!(record(store, at(2), owed, 7, outcome, Verdict::RetryAt(at(20))), Recorded::Counted);
    assert_eq!((state(store, owed), delivery(store, owed).attempts), (waiting(at(20)), 1));
    assert_eq!(leased_ids(&lease(store, at(19), lane, 8)), []);
    assert_eq!(lease(store, at(20), lane, 9).leases[0].attempt, 2);
}

pub fn a_used_up_schedule_ends_it(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (lane, owed) = leased(store);
    let outcome = attempt(1, at(1), at(2), rejected());
    let verdict = Verdict::Dead(DeadReason::ScheduleUsedUp);
    assert_eq!(record(store, at(4), owed, 7, outcome, verdict), Recorded::Counted);
    assert_eq!(state(store, owed), DeliveryState::Dead { at: at(2), reason: DeadReason::ScheduleUsedUp });
    assert_eq!(endpoint(store, lane).state, EndpointState::Active);
    assert_eq!(leased_ids(&lease(store, at(99), lane, 8)), []);
}

pub fn an_endpoint_that_says_it_is_gone_is_disabled(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (lane, owed) = leased(store);
    let other = add(store, "bolt");
    let second = owe(store, at(2), "e2", lane);
    lease(store, at(2), lane, 8);
    let verdict = Verdict::Dead(DeadReason::EndpointGone);
    let gone = |number| attempt(number, at(1), at(3), Outcome::Rejected { status: 410 });
    assert_eq!(record(store, at(4), owed, 7, gone(1), verdict), Recorded::Counted);
    assert_eq!(state(store, owed), DeliveryState::Dead { at: at(3), reason: DeadReason::EndpointGone });
    let disabled = EndpointState::Disabled { since: at(4), reason: "answered 410".to_owned() };
    assert_eq!(endpoint(store, lane).state, disabled);
    assert_eq!(endpoint(store, other).state, EndpointState::Active);
    // Said twice, it is gone since the first time.
    assert_eq!(record(store, at(6), second, 8, gone(1), verdict), Recorded::Counted);
    assert_eq!(endpoint(store, lane).state, disabled);
}

pub fn a_removed_endpoint_stays_removed_whatever_it_says(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (lane, owed) = leased(store);
    done(store, at(2), Command::RemoveEndpoint(lane));
    let outcome = attempt(1, at(1), at(3), Outcome::Rejected { status: 410 });
    let recorded = record(store, at(3), owed, 7, outcome, Verdict::Dead(DeadReason::EndpointGone));
    assert_eq!(recorded, Recorded::Counted);
    assert_eq!(endpoint(store, lane).state, EndpointState::Removed { since: at(2) });
}

pub fn an_attempt_is_kept_in_full(pair: &mut Pair) {
    let (lane, owed) = leased(&mut *pair.first);
    let mut outcomes = vec![
        Outcome::Accepted { status: 204, late: true },
        accepted(),
        Outcome::Rejected { status: 503 },
        Outcome::Blocked { reason: "10.0.0.1 is a private address".to_owned() },
        Outcome::Unknown,
    ];
    outcomes.extend(Stage::ALL.map(|stage| Outcome::TimedOut { stage }));
    outcomes.extend(Stage::ALL.map(|stage| Outcome::Unreachable { stage, error: format!("é at {stage:?}") }));
    let timings = Timings {
        dns_us: Some(1),
        connect_us: Some(0),
        tls_us: Some(3),
        first_byte_us: Some(4),
        total_us: 86_400_000_000,
    };
    let mut told = Vec::new();
    for (number, outcome) in (1..).zip(outcomes) {
        let rich = number % 2 == 1;
        let now = at(100 * i64::from(number));
        let full = Attempt {
            timings: if rich { timings } else { Timings::default() },
            remote: rich.then(|| "[2001:db8::1]:443".to_owned()),
            resent: rich,
            answer: if rich { (0..=255).collect() } else { Vec::new() },
            location: rich.then(|| "https://elsewhere.example/?a=b".to_owned()),
            ..attempt(number, now, at(100 * i64::from(number) + 1), outcome)
        };
        // The token of the first lease holds for the first attempt; each later one has its own.
        let token = 6 + i64::from(number);
        let verdict = Verdict::RetryAt(at(100 * i64::from(number) + 50));
        assert_eq!(record(&mut *pair.first, now, owed, token, full.clone(), verdict), Recorded::Counted);
        told.push(full);
        assert_eq!(attempts(&mut *pair.second, owed), told, "by number");
        let again = at(100 * i64::from(number) + 50);
        lease_as(&mut *pair.first, again, LeaseRequest { most_attempts: 99, ..request(lane, again, token + 1) });
    }
}

pub fn an_ended_lease_counts_while_nobody_else_took_it(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (_, owed) = leased(store);
    let outcome = attempt(1, at(1), at(40), rejected());
    assert_eq!(record(store, at(40), owed, 7, outcome, Verdict::RetryAt(at(60))), Recorded::Counted);
    assert_eq!(state(store, owed), waiting(at(60)));
}

pub fn a_late_acceptance_still_delivers(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (lane, owed) = leased(store);
    assert_eq!(lease(store, at(31), lane, 8).leases[0].attempt, 2);
    let late = attempt(1, at(1), at(32), accepted());
    assert_eq!(record(store, at(33), owed, 7, late.clone(), Verdict::Delivered), Recorded::LateAccepted);
    let kept = delivery(store, owed);
    assert_eq!((kept.state, kept.attempts), (DeliveryState::Delivered { at: at(32) }, 2));
    // The second holder's outcome comes too late to change anything, but is kept.
    let second = attempt(2, at(31), at(34), rejected());
    assert_eq!(record(store, at(34), owed, 8, second.clone(), Verdict::RetryAt(at(90))), Recorded::Lost);
    assert_eq!(state(store, owed), DeliveryState::Delivered { at: at(32) });
    assert_eq!(attempts(store, owed), [late, second], "what was unknown is known now");
}

pub fn a_late_acceptance_delivers_what_waits_as_well(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (_, owed) = leased(store);
    record(store, at(2), owed, 7, attempt(1, at(1), at(2), rejected()), Verdict::RetryAt(at(20)));
    let late = attempt(1, at(1), at(3), accepted());
    assert_eq!(record(store, at(3), owed, 7, late.clone(), Verdict::Delivered), Recorded::LateAccepted);
    assert_eq!(state(store, owed), DeliveryState::Delivered { at: at(3) });
    assert_eq!(attempts(store, owed), [late]);
    assert_eq!(lanes(store), []);
}

pub fn a_late_failure_is_kept_and_decides_nothing(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (lane, owed) = leased(store);
    lease(store, at(31), lane, 8);
    let verdicts =
        [Verdict::RetryAt(at(32)), Verdict::Dead(DeadReason::ScheduleUsedUp), Verdict::Dead(DeadReason::EndpointGone)];
    for verdict in verdicts {
        let late = attempt(1, at(1), at(32), rejected());
        assert_eq!(record(store, at(33), owed, 7, late.clone(), verdict), Recorded::Lost);
        assert_eq!((state(store, owed), delivery(store, owed).attempts), (in_flight(at(31), at(61)), 2));
        assert_eq!(attempts(store, owed), [late]);
    }
    assert_eq!(endpoint(store, lane).state, EndpointState::Active);
    let outcome = attempt(2, at(31), at(34), accepted());
    assert_eq!(record(store, at(34), owed, 8, outcome, Verdict::Delivered), Recorded::Counted);
}

pub fn nothing_opens_again_what_has_ended(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (_, owed) = leased(store);
    let dead = DeliveryState::Dead { at: at(2), reason: DeadReason::ScheduleUsedUp };
    let outcome = attempt(1, at(1), at(2), rejected());
    record(store, at(2), owed, 7, outcome, Verdict::Dead(DeadReason::ScheduleUsedUp));
    for (outcome, verdict) in [(rejected(), Verdict::RetryAt(at(9))), (accepted(), Verdict::Delivered)] {
        let again = attempt(1, at(1), at(3), outcome);
        assert_eq!(record(store, at(3), owed, 7, again.clone(), verdict), Recorded::Lost);
        assert_eq!(state(store, owed), dead);
        assert_eq!(attempts(store, owed), [again]);
    }
}

pub fn a_known_outcome_is_never_forgotten_for_an_unknown_one(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (_, owed) = leased(store);
    let first = unknown(1, at(1), at(2));
    record(store, at(2), owed, 666, first.clone(), Verdict::RetryAt(at(9)));
    assert_eq!(attempts(store, owed), [first]);
    let known = attempt(1, at(1), at(3), rejected());
    record(store, at(3), owed, 666, known.clone(), Verdict::RetryAt(at(9)));
    assert_eq!(attempts(store, owed), std::slice::from_ref(&known));
    record(store, at(4), owed, 666, unknown(1, at(1), at(4)), Verdict::RetryAt(at(9)));
    assert_eq!(attempts(store, owed), std::slice::from_ref(&known));
    // The verdict holds all the same when the token is the right one.
    let recorded = record(store, at(5), owed, 7, unknown(1, at(1), at(5)), Verdict::RetryAt(at(9)));
    assert_eq!((recorded, state(store, owed)), (Recorded::Counted, waiting(at(9))));
    assert_eq!(attempts(store, owed), [known]);
}

pub fn an_outcome_of_nothing_that_is_known_is_lost(pair: &mut Pair) {
    let store = &mut *pair.first;
    leased(store);
    let nobody = DeliveryId(4_711);
    let outcome = attempt(1, at(1), at(2), accepted());
    assert_eq!(record(store, at(2), nobody, 7, outcome, Verdict::Delivered), Recorded::Lost);
    assert_eq!(attempts(store, nobody), []);
    assert!(find(store, nobody).is_none());
}
