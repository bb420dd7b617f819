//! Leasing: each due delivery goes to one holder at a time, in order, within the budget, and never more often than its
//! schedule allows.

use postrider::delivery::{DeadReason, DeliveryId, DeliveryState, Token, Verdict};
use postrider::endpoint::EndpointId;
use postrider::store::{Command, LeaseRequest, Leased, Recorded, Store};
use postrider::time::Time;

use super::Pair;
use super::fixture::*;

/// One failed attempt at `now`, after which the delivery waits until `due_at`.
fn fail(store: &mut dyn Store, now: Time, lane: EndpointId, due_at: Time) -> DeliveryId {
    let one = LeaseRequest { limit: 1, ..request(lane, now, 50) };
    let lease = lease_as(store, now, one).leases.remove(0);
    let outcome = attempt(lease.attempt, now, now, rejected());
    let recorded = record(store, now, lease.delivery, 50, outcome, Verdict::RetryAt(due_at));
    assert_eq!(recorded, Recorded::Counted);
    lease.delivery
}

pub fn a_lease_counts_the_attempt_and_carries_the_event(pair: &mut Pair) {
    let lane = add(&mut *pair.first, "acme");
    let owed = owe(&mut *pair.first, at(1), "e1", lane);
    let leased = lease(&mut *pair.second, at(5), lane, 7);
    let [lease] = &leased.leases[..] else { panic!("{leased:?}") };
    assert_eq!((lease.delivery, lease.endpoint, lease.token, lease.attempt), (owed, lane, Token(7), 1));
    assert_eq!(*lease.event, pair.first.event(&id("e1")).unwrap().unwrap());
    assert_eq!((&leased.used_up[..], leased.next_due), (&[][..], Some(at(35))));
    let kept = delivery(&mut *pair.first, owed);
    assert_eq!((kept.state, kept.attempts), (in_flight(at(5), at(35)), 1));
    assert_eq!(attempts(&mut *pair.first, owed), [], "it has not ended");
}

pub fn nothing_is_leased_before_it_is_due(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(10), "e1", lane);
    let early = lease(store, Time::from_ms(at(10).ms() - 1), lane, 7);
    assert_eq!(early, Leased { next_due: Some(at(10)), ..Leased::default() });
    assert_eq!(delivery(store, owed).attempts, 0);
    assert_eq!(leased_ids(&lease(store, at(10), lane, 8)), [owed]);
}

pub fn the_earliest_due_goes_first_and_then_the_oldest(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let late = owe(store, at(1), "e1", lane);
    assert_eq!(fail(store, at(1), lane, at(9)), late);
    let (third, fourth) = (owe(store, at(5), "e2", lane), owe(store, at(5), "e3", lane));
    // A clock that stepped back makes a newer one due earlier.
    let first = owe(store, at(2), "e4", lane);
    assert_eq!(leased_ids(&lease(store, at(9), lane, 7)), [first, third, fourth, late]);
}

pub fn a_leased_delivery_is_nobody_elses_until_its_lease_ends(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let lane = add(first, "acme");
    let owed = owe(first, at(1), "e1", lane);
    assert_eq!(leased_ids(&lease(first, at(1), lane, 7)), [owed]);
    let other = lease(second, Time::from_ms(at(31).ms() - 1), lane, 8);
    assert_eq!(other, Leased { next_due: Some(at(31)), ..Leased::default() });
    let after = lease(second, at(31), lane, 9);
    assert_eq!((after.leases[0].delivery, after.leases[0].attempt), (owed, 2));
    assert_eq!(attempts(first, owed), [unknown(1, at(1), at(31))]);
    assert_eq!(state(first, owed), in_flight(at(31), at(61)));
}

pub fn an_attempt_that_is_on_record_is_not_closed_as_unknown(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    let told = attempt(1, at(1), at(2), rejected());
    assert_eq!(record(store, at(2), owed, 666, told.clone(), Verdict::RetryAt(at(9))), Recorded::Lost);
    assert_eq!(lease(store, at(31), lane, 8).leases[0].attempt, 2);
    assert_eq!(attempts(store, owed), [told]);
}

pub fn two_holders_share_a_lane_without_overlap(pair: &mut Pair) {
    let lane = add(&mut *pair.first, "acme");
    let owed: Vec<DeliveryId> = (0..4).map(|n| owe(&mut *pair.first, at(n), &format!("e{n}"), lane)).collect();
    let two = |token| LeaseRequest { limit: 2, ..request(lane, at(9), token) };
    assert_eq!(leased_ids(&lease_as(&mut *pair.first, at(9), two(1))), owed[..2]);
    assert_eq!(leased_ids(&lease_as(&mut *pair.second, at(9), two(2))), owed[2..]);
    assert_eq!(leased_ids(&lease_as(&mut *pair.first, at(9), two(3))), []);
}

pub fn the_limit_holds(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed: Vec<DeliveryId> = (0..4).map(|n| owe(store, at(n), &format!("e{n}"), lane)).collect();
    let limited = |limit| LeaseRequest { limit, ..request(lane, at(9), 7) };
    assert_eq!(lease_as(store, at(9), limited(0)), Leased { next_due: Some(at(0)), ..Leased::default() });
    let leased = lease_as(store, at(9), limited(3));
    assert_eq!((leased_ids(&leased), leased.next_due), (owed[..3].to_vec(), Some(at(3))));
    assert_eq!(leased_ids(&lease_as(store, at(9), limited(u32::MAX))), owed[3..]);
}

pub fn the_bytes_hold_but_the_first_always_goes(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed: Vec<DeliveryId> = [40, 60, 1, 500, 0, 1]
        .iter()
        .enumerate()
        .map(|(n, size)| {
            let new = with_body(new_event(&format!("e{n}"), &[lane]), &vec![b'x'; *size]);
            enqueue(store, at(n as i64), new).deliveries[0].0
        })
        .collect();
    let bytes = |bytes| LeaseRequest { bytes, ..request(lane, at(9), 7) };
    assert_eq!(leased_ids(&lease_as(store, at(9), bytes(100))), owed[..2], "exactly full is not over");
    // What would fit behind the one that does not is left for its turn.
    assert_eq!(leased_ids(&lease_as(store, at(9), bytes(100))), owed[2..3]);
    assert_eq!(leased_ids(&lease_as(store, at(9), bytes(100))), owed[3..4]);
    assert_eq!(leased_ids(&lease_as(store, at(9), bytes(0))), owed[4..5]);
    assert_eq!(leased_ids(&lease_as(store, at(9), bytes(u64::MAX))), owed[5..]);
}

pub fn what_used_up_its_attempts_dies_instead(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let tired: Vec<DeliveryId> = (0..2).map(|n| owe(store, at(n), &format!("tired{n}"), lane)).collect();
    assert_eq!([fail(store, at(1), lane, at(2)), fail(store, at(1), lane, at(2))], tired[..]);
    let fresh: Vec<DeliveryId> = (3..6).map(|n| owe(store, at(n), &format!("fresh{n}"), lane)).collect();
    let leased = lease_as(store, at(9), LeaseRequest { limit: 2, most_attempts: 1, ..request(lane, at(9), 7) });
    assert_eq!(leased.used_up, tired);
    assert_eq!(leased_ids(&leased), fresh[..2], "the dead do not count for the limit");
    assert_eq!(leased.next_due, Some(at(5)));
    for owed in tired {
        let dead = DeliveryState::Dead { at: at(9), reason: DeadReason::ScheduleUsedUp };
        assert_eq!((state(store, owed), delivery(store, owed).attempts), (dead, 1));
        assert_eq!(attempts(store, owed), [attempt(1, at(1), at(1), rejected())]);
    }
    assert_eq!(delivery(store, fresh[0]).attempts, 1);
}

pub fn no_call_ends_more_than_its_limit(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed: Vec<DeliveryId> = (0..5).map(|n| owe(store, at(n), &format!("e{n}"), lane)).collect();
    let spent = |limit| LeaseRequest { limit, most_attempts: 0, ..request(lane, at(9), 7) };
    let used_up = |leased: Leased| (leased.used_up, leased.next_due);
    assert_eq!(used_up(lease_as(store, at(9), spent(0))), (vec![], Some(at(0))));
    assert_eq!(used_up(lease_as(store, at(9), spent(2))), (owed[..2].to_vec(), Some(at(2))));
    assert_eq!(used_up(lease_as(store, at(9), spent(3))), (owed[2..].to_vec(), None));
}

pub fn a_last_lease_that_ends_in_silence_is_the_end(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    let only = |now, token| LeaseRequest { most_attempts: 1, ..request(lane, now, token) };
    assert_eq!(leased_ids(&lease_as(store, at(1), only(at(1), 7))), [owed]);
    let after = lease_as(store, at(40), only(at(40), 8));
    assert_eq!(after, Leased { used_up: vec![owed], ..Leased::default() });
    assert_eq!(state(store, owed), DeliveryState::Dead { at: at(40), reason: DeadReason::ScheduleUsedUp });
    assert_eq!(attempts(store, owed), [unknown(1, at(1), at(40))]);
    assert_eq!(store.counts(at(40)).unwrap().leased, 0);
}

pub fn next_due_is_the_earliest_of_all_that_is_left(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    assert_eq!(lease(store, at(0), lane, 1), Leased::default(), "nothing is owed");
    owe(store, at(1), "e1", lane);
    fail(store, at(1), lane, at(20));
    owe(store, at(2), "e2", lane);
    assert_eq!(lease(store, at(2), lane, 2).next_due, Some(at(20)), "the retry, before the end of the lease");
    assert_eq!(lease(store, at(20), lane, 3).next_due, Some(at(32)), "the end of the earlier lease");
}

pub fn lanes_do_not_mix(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (acme, bolt) = (add(store, "acme"), add(store, "bolt"));
    let enqueued = enqueue(store, at(1), new_event("e1", &[acme, bolt]));
    let leased = lease(store, at(5), bolt, 7);
    assert_eq!((leased_ids(&leased), leased.next_due), (vec![enqueued.deliveries[1].0], Some(at(35))));
    assert_eq!(state(store, enqueued.deliveries[0].0), waiting(at(1)));
    assert_eq!(lease(store, at(5), EndpointId(99), 8), Leased::default());
}

pub fn an_endpoint_that_is_gone_leases_nothing(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (removed, disabled) = (add(store, "removed"), add(store, "disabled"));
    for (text, lane) in [("e1", removed), ("e2", disabled)] {
        owe(store, at(1), text, lane);
        owe(store, at(2), &format!("{text}-b"), lane);
    }
    done(store, at(3), Command::RemoveEndpoint(removed));
    let one = LeaseRequest { limit: 1, ..request(disabled, at(3), 7) };
    let gone = lease_as(store, at(3), one).leases.remove(0);
    let outcome = attempt(1, at(3), at(3), rejected());
    record(store, at(3), gone.delivery, 7, outcome, Verdict::Dead(DeadReason::EndpointGone));
    for lane in [removed, disabled] {
        let before = store.counts(at(9)).unwrap();
        assert_eq!(lease(store, at(9), lane, 8), Leased::default());
        let spent = LeaseRequest { most_attempts: 0, ..request(lane, at(9), 9) };
        assert_eq!(lease_as(store, at(9), spent), Leased::default());
        assert_eq!(store.counts(at(9)).unwrap(), before);
    }
}
