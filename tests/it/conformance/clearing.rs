//! Giving back, freeing, burying, shifting and pruning: what a store does with deliveries that nobody attempts now.

use postrider::delivery::{DeadReason, DeliveryId, DeliveryState, StateName, Token, Verdict};
use postrider::endpoint::EndpointId;
use postrider::store::{Command, LaneDue, Leased, NewEvent, Recorded, Store};
use postrider::time::{Span, Time};

use super::Pair;
use super::fixture::*;

fn release(delivery: DeliveryId, token: i64) -> Command {
    Command::Release { delivery, token: Token(token) }
}

fn bury(lane: EndpointId, limit: u32) -> Command {
    Command::Bury { lane, limit }
}

fn shift(seconds: i64) -> Command {
    Command::Shift { by: Span::from_seconds(seconds) }
}

fn prune(before: i64, limit: u32) -> Command {
    Command::Prune { before: at(before), limit }
}

pub fn a_released_attempt_never_was(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    assert_eq!(done(store, at(3), release(owed, 7)), 1);
    assert_eq!((state(store, owed), delivery(store, owed).attempts), (waiting(at(3)), 0));
    assert_eq!(attempts(store, owed), []);
    assert_eq!(lease(store, at(3), lane, 8).leases[0].attempt, 1);
}

pub fn only_the_holder_can_release(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    assert_eq!(done(store, at(1), release(owed, 0)), 0, "nobody holds it");
    lease(store, at(1), lane, 7);
    assert_eq!(done(store, at(2), release(owed, 8)), 0);
    assert_eq!(done(store, at(2), release(DeliveryId(4_711), 7)), 0);
    assert_eq!((state(store, owed), delivery(store, owed).attempts), (in_flight(at(1), at(31)), 1));
    lease(store, at(31), lane, 9);
    assert_eq!(done(store, at(32), release(owed, 7)), 0, "it is somebody else's by now");
    record(store, at(33), owed, 9, attempt(2, at(31), at(33), accepted()), Verdict::Delivered);
    assert_eq!(done(store, at(34), release(owed, 9)), 0, "it has ended");
    assert_eq!(state(store, owed), DeliveryState::Delivered { at: at(33) });
}

pub fn recovery_frees_every_lease(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (acme, bolt) = (add(store, "acme"), add(store, "bolt"));
    let (running, ended) = (owe(store, at(1), "e1", acme), owe(store, at(1), "e2", bolt));
    lease(store, at(1), bolt, 7);
    lease(store, at(20), acme, 8);
    let idle = owe(store, at(21), "e3", acme);
    assert_eq!(done(store, at(40), Command::Recover), 2);
    for (owed, leased_at) in [(running, at(20)), (ended, at(1))] {
        assert_eq!((state(store, owed), delivery(store, owed).attempts), (waiting(at(40)), 1));
        assert_eq!(attempts(store, owed), [unknown(1, leased_at, at(40))]);
    }
    assert_eq!((state(store, idle), attempts(store, idle)), (waiting(at(21)), vec![]));
    assert_eq!(done(store, at(41), Command::Recover), 0);
    // The dead daemon's token is worth nothing, but an acceptance is.
    let late = attempt(1, at(20), at(42), rejected());
    assert_eq!(record(store, at(42), running, 8, late, Verdict::RetryAt(at(99))), Recorded::Lost);
    let late = attempt(1, at(1), at(42), accepted());
    assert_eq!(record(store, at(42), ended, 7, late, Verdict::Delivered), Recorded::LateAccepted);
}

pub fn recovery_keeps_what_is_on_record(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    let told = attempt(1, at(1), at(2), rejected());
    record(store, at(2), owed, 666, told.clone(), Verdict::RetryAt(at(9)));
    assert_eq!(done(store, at(3), Command::Recover), 1);
    assert_eq!(attempts(store, owed), [told]);
}

pub fn a_gone_endpoint_is_buried_earliest_first(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (gone, here) = (add(store, "gone"), add(store, "here"));
    let owed = [8, 2, 5].map(|due| owe(store, at(due), &format!("e{due}"), gone));
    let other = owe(store, at(1), "other", here);
    assert_eq!(done(store, at(9), bury(gone, 10)), 0, "it is still there");
    done(store, at(9), Command::RemoveEndpoint(gone));
    assert_eq!(lanes(store), [LaneDue { lane: gone, due_at: at(2) }, LaneDue { lane: here, due_at: at(1) }]);
    assert_eq!(done(store, at(10), bury(gone, 2)), 2);
    let dead = DeliveryState::Dead { at: at(10), reason: DeadReason::EndpointGone };
    assert_eq!(owed.map(|id| state(store, id)), [waiting(at(8)), dead, dead]);
    assert_eq!(done(store, at(3), bury(gone, 10)), 1, "due or not");
    assert_eq!(done(store, at(12), bury(gone, 10)), 0);
    assert_eq!(done(store, at(12), bury(EndpointId(99), 10)), 0);
    assert_eq!(state(store, other), waiting(at(1)));
    assert_eq!(lanes(store), [LaneDue { lane: here, due_at: at(1) }]);
}

pub fn an_attempt_in_flight_is_not_buried(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let (accepted_in_time, silent) = (owe(store, at(1), "e1", lane), owe(store, at(1), "e2", lane));
    lease(store, at(1), lane, 7);
    let idle = owe(store, at(50), "e3", lane);
    done(store, at(2), Command::RemoveEndpoint(lane));
    assert_eq!(done(store, at(3), bury(lane, 1)), 1, "those in flight do not take the place of one that is not");
    assert_eq!(state(store, idle).name(), StateName::Dead);
    let outcome = attempt(1, at(1), at(4), accepted());
    assert_eq!(record(store, at(4), accepted_in_time, 7, outcome, Verdict::Delivered), Recorded::Counted);
    assert_eq!(done(store, at(30), bury(lane, 10)), 0);
    assert_eq!(done(store, at(31), bury(lane, 10)), 1, "the lease has ended");
    assert_eq!(state(store, silent), DeliveryState::Dead { at: at(31), reason: DeadReason::EndpointGone });
    let late = attempt(1, at(1), at(32), accepted());
    assert_eq!(record(store, at(32), silent, 7, late, Verdict::Delivered), Recorded::Lost);
}

pub fn burying_an_ended_lease_closes_its_attempt(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    done(store, at(2), Command::RemoveEndpoint(lane));
    assert_eq!(done(store, at(40), bury(lane, 10)), 1);
    assert_eq!(attempts(store, owed), [unknown(1, at(1), at(40))]);
}

pub fn a_retry_to_a_gone_endpoint_is_buried(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    done(store, at(2), Command::RemoveEndpoint(lane));
    let outcome = attempt(1, at(1), at(3), rejected());
    record(store, at(3), owed, 7, outcome.clone(), Verdict::RetryAt(at(90)));
    assert_eq!(done(store, at(4), bury(lane, 10)), 1);
    assert_eq!(state(store, owed), DeliveryState::Dead { at: at(4), reason: DeadReason::EndpointGone });
    assert_eq!(attempts(store, owed), [outcome]);
}

/// A delivery whose first attempt was rejected, so that it waits until `due`.
fn waiting_until(store: &mut dyn Store, due: Time, text: &str, lane: EndpointId) -> DeliveryId {
    let owed = owe(store, at(0), text, lane);
    lease(store, at(0), lane, 99);
    let outcome = attempt(1, at(0), at(0), rejected());
    assert_eq!(record(store, at(0), owed, 99, outcome, Verdict::RetryAt(due)), Recorded::Counted);
    owed
}

pub fn a_clock_step_moves_all_that_lies_ahead(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (acme, bolt) = (add(store, "acme"), add(store, "bolt"));
    let leased = owe(store, at(1), "e1", acme);
    lease(store, at(1), acme, 7);
    let ahead = waiting_until(store, at(90), "e2", bolt);
    let fresh = owe(store, at(95), "e5", bolt);
    let (now, past) = (owe(store, at(10), "e3", bolt), owe(store, at(9), "e4", bolt));
    assert_eq!(done(store, at(10), shift(3_600)), 2, "what is due already stays due");
    assert_eq!(state(store, leased), in_flight(at(1), at(3_631)));
    assert_eq!(state(store, fresh), waiting(at(95)), "what was never attempted is due since it was accepted");
    assert_eq!([ahead, now, past].map(|id| state(store, id)), [at(3_690), at(10), at(9)].map(waiting));
    let outcome = attempt(1, at(1), at(11), accepted());
    assert_eq!(record(store, at(11), leased, 7, outcome, Verdict::Delivered), Recorded::Counted);
    assert_eq!(done(store, at(10), shift(60)), 2, "what has ended has no time any more");
    assert_eq!(state(store, fresh), waiting(at(70)), "what was never attempted is not owed later than now");
}

pub fn a_clock_set_forward_leaves_what_waits_and_extends_what_runs(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (acme, bolt) = (add(store, "acme"), add(store, "bolt"));
    let leased = owe(store, at(1), "e1", acme);
    lease(store, at(1), acme, 7);
    let ended = owe(store, at(1), "e3", bolt);
    lease(store, at(1), bolt, 8);
    let ahead = waiting_until(store, at(90), "e2", bolt);
    assert_eq!(done(store, at(10), Command::ExtendLeases { by: Span::from_seconds(3_600) }), 2);
    assert_eq!(state(store, leased), in_flight(at(1), at(3_631)));
    assert_eq!(state(store, ended), in_flight(at(1), at(3_631)));
    assert_eq!(state(store, ahead), waiting(at(90)));
    assert_eq!(leased_ids(&lease(store, at(3_610), bolt, 9)), [ahead], "what runs is not begun again");
    assert_eq!(done(store, at(7_300), Command::ExtendLeases { by: Span::from_seconds(60) }), 0, "those have ended");
}

pub fn a_clock_step_back_moves_it_nearer(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let leased = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    let ahead = waiting_until(store, at(90), "e2", lane);
    assert_eq!(done(store, at(10), shift(-3_600)), 2);
    assert_eq!(state(store, ahead), waiting(at(-3_510)));
    assert_eq!(state(store, leased), in_flight(at(1), at(-3_569)));
    assert_eq!(lanes(store), [LaneDue { lane, due_at: at(-3_569) }]);
    assert_eq!(leased_ids(&lease(store, at(-3_500), lane, 8)), [leased, ahead]);
}

pub fn a_clock_step_back_keeps_due_what_is_due(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let overdue = waiting_until(store, at(5), "e1", lane);
    let fresh = owe(store, at(9), "e2", lane);
    let (leased_out, early) = (owe(store, at(1), "e3", lane), at(10 - 3_600));
    assert_eq!(done(store, at(10), shift(-3_600)), 3);
    assert_eq!([overdue, fresh, leased_out].map(|id| state(store, id)), [waiting(early); 3]);
    let again = [overdue, fresh, leased_out].into_iter().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(leased_ids(&lease(store, early, lane, 8)).into_iter().collect::<std::collections::BTreeSet<_>>(), again);
}

pub fn recovery_spaces_what_dies_with_its_daemon_again_and_again(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "poison", lane);
    let mut due = at(1);
    for waited in [0, 30, 60, 120, 240, 480, 600, 600] {
        lease(store, due, lane, 7);
        let began = due;
        assert_eq!(done(store, began, Command::Recover), 1);
        due = began + Span::from_seconds(waited);
        assert_eq!(state(store, owed), waiting(due));
    }
    lease(store, due, lane, 9);
    let outcome = attempt(9, due, due, rejected());
    assert_eq!(record(store, due, owed, 9, outcome, Verdict::RetryAt(due)), Recorded::Counted);
    lease(store, due, lane, 10);
    assert_eq!(done(store, due, Command::Recover), 1);
    assert_eq!(state(store, owed), waiting(due), "the first after an outcome that is known");
}

pub fn recovery_makes_due_what_a_wrong_clock_put_off(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let fresh = owe(store, at(86_400), "tomorrow", lane);
    let retry = waiting_until(store, at(90), "retry", lane);
    assert_eq!(done(store, at(10), Command::Recover), 0);
    assert_eq!(state(store, fresh), waiting(at(10)));
    assert_eq!(state(store, retry), waiting(at(90)), "a retry waits");
}

pub fn recovery_makes_due_what_was_asked_for_by_a_wrong_clock(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let asked = owe(store, at(1), "asked", lane);
    let tomorrow = at(86_400);
    let retry = Command::Retry { delivery: asked, states: vec![StateName::Pending], now_due: tomorrow };
    assert_eq!(done(store, tomorrow, retry), 1);
    assert_eq!(state(store, asked), waiting(tomorrow));
    for now in [at(10), at(20)] {
        assert_eq!(done(store, now, Command::Recover), 0);
        assert_eq!(state(store, asked), waiting(at(10)), "and only once");
    }
}

pub fn pruning_keeps_what_is_owed_and_what_is_young(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (acme, bolt) = (add(store, "acme"), add(store, "bolt"));
    enqueue(store, at(1), new_event("half", &[acme, bolt]));
    let settled = owe(store, at(2), "settled", acme);
    deliver_all(store, at(3), acme, 7);
    enqueue(store, at(4), new_event("nobody", &[]));
    enqueue(store, at(5), new_event("young", &[]));
    assert_eq!(done(store, at(9), prune(5, 10)), 2);
    let mut there = |text: &str| store.event(&id(text)).unwrap().is_some();
    assert_eq!(["half", "settled", "nobody", "young"].map(&mut there), [true, false, false, true]);
    assert!(find(store, settled).is_none());
    assert_eq!(attempts(store, settled), []);
    assert_eq!(store.counts(at(9)).unwrap().delivered, 1, "the delivered half of what is still owed");
    deliver_all(store, at(9), bolt, 8);
    assert_eq!(done(store, at(9), prune(5, 10)), 1);
    assert_eq!(done(store, at(9), prune(5, 10)), 0);
    assert_eq!(store.endpoints().unwrap().len(), 2, "registered endpoints stay");
}

pub fn pruning_takes_the_oldest_first(pair: &mut Pair) {
    let store = &mut *pair.first;
    for (text, accepted) in [("a", 4), ("b", 2), ("c", 1), ("d", 2)] {
        enqueue(store, at(accepted), new_event(text, &[]));
    }
    let mut left = Vec::new();
    for _ in 0..3 {
        assert_eq!(done(store, at(9), prune(9, 1)), 1);
        left.push(["a", "b", "c", "d"].map(|text| store.event(&id(text)).unwrap().is_some()));
    }
    assert_eq!(left, [[true, true, false, true], [true, false, false, true], [true, false, false, false]]);
    assert_eq!(done(store, at(9), prune(9, 0)), 0);
}

pub fn what_was_pruned_can_come_again(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let fires = |text: &str| NewEvent { once: Some("t1".to_owned()), ..new_event(text, &[lane]) };
    enqueue(store, at(1), fires("e1"));
    deliver_all(store, at(1), lane, 7);
    assert_eq!(done(store, at(9), prune(9, 10)), 1);
    assert!(!enqueue(store, at(10), fires("e2")).again);
    let again = enqueue(store, at(11), new_event("e1", &[lane]));
    assert_eq!((again.again, again.accepted_at), (false, at(11)));
}

pub fn pruning_takes_one_off_receivers_that_have_nothing_left(pair: &mut Pair) {
    let store = &mut *pair.first;
    let [gone, kept] = ["a", "b"].map(|text| {
        let enqueued = enqueue(store, at(1), one_off(text, &format!("https://{text}.example/"), &[]));
        enqueued.deliveries[0].1
    });
    deliver_all(store, at(2), gone, 7);
    deliver_all(store, at(2), kept, 8);
    enqueue(store, at(8), one_off("later", "https://b.example/", &[]));
    assert_eq!(done(store, at(9), prune(5, 10)), 2);
    assert_eq!(store.endpoint(gone).unwrap(), None);
    assert_eq!(store.endpoints().unwrap().len(), 1);
    assert!(store.endpoint(kept).unwrap().is_some());
    assert_eq!(lease(store, at(9), gone, 9), Leased::default());
}

/// A late outcome must never meet another delivery under its number.
pub fn a_number_is_never_used_twice(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let mut seen = Vec::new();
    for round in 0..3 {
        let enqueued = enqueue(first, at(round), one_off("e1", "https://a.example/", &[]));
        let (owed, lane) = enqueued.deliveries[0];
        assert!(seen.iter().all(|(number, of)| *number != owed && *of != lane), "{owed} of {lane:?} again");
        seen.push((owed, lane));
        deliver_all(first, at(round), lane, round);
        assert_eq!(done(second, at(9), prune(9, 10)), 1);
    }
}
