//! Reading: what is listed, filtered, paged and counted is what is there.

use postrider::delivery::{DeadReason, DeliveryId, StateName, Verdict};
use postrider::event::Subscription;
use postrider::store::{Command, Counts, Filter, LaneDue, LeaseRequest, NewEvent, Page, Store};

use super::Pair;
use super::fixture::*;

fn listed(store: &mut dyn Store, filter: &Filter, page: Page) -> Vec<DeliveryId> {
    store.deliveries(filter, page).expect("the store is well").into_iter().map(|listed| listed.delivery.id).collect()
}

pub fn pages_go_from_the_newest_to_the_oldest(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let mut owed: Vec<DeliveryId> = (0..7).map(|n| owe(store, at(9 - n), &format!("e{n}"), lane)).collect();
    owed.reverse();
    let (mut seen, mut before) = (Vec::new(), None);
    // A page more than there are: a store that never comes to an end fails instead of hanging.
    for _ in 0..4 {
        let page = listed(store, &Filter::default(), Page { before, limit: 3 });
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        before = Some(*last);
        seen.extend(page);
    }
    assert_eq!(seen, owed);
    assert_eq!(listed(store, &Filter::default(), Page { before: None, limit: 0 }), []);
    assert_eq!(listed(store, &Filter::default(), Page { before: None, limit: u32::MAX }), owed);
    assert_eq!(listed(store, &Filter::default(), Page { before: Some(owed[0]), limit: u32::MAX }), owed[1..]);
}

pub fn each_filter_holds_and_all_combine(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (acme, bolt) = (add(store, "acme"), add(store, "bolt"));
    let typed = |text: &str, kind: &str| NewEvent { event_type: event_type(kind), ..new_event(text, &[acme, bolt]) };
    let mut numbers = |now, event| {
        let enqueued = enqueue(store, at(now), event);
        (enqueued.deliveries[0].0, enqueued.deliveries[1].0)
    };
    let (a1, b1) = numbers(1, typed("e1", "policy/creation"));
    let (a2, b2) = numbers(2, typed("e2", "policy/creation/failed"));
    let (a3, b3) = numbers(3, typed("e3", "claim"));
    deliver_all(store, at(3), bolt, 7);

    let family = Some(Subscription::parse("policy/*").unwrap());
    let none = Filter::default;
    let mut found = |filter: Filter| listed(store, &filter, EVERYTHING);
    assert_eq!(found(none()), [b3, a3, b2, a2, b1, a1]);
    assert_eq!(found(Filter { state: Some(StateName::Pending), ..none() }), [a3, a2, a1]);
    assert_eq!(found(Filter { state: Some(StateName::Delivered), ..none() }), [b3, b2, b1]);
    assert_eq!(found(Filter { state: Some(StateName::Dead), ..none() }), []);
    assert_eq!(found(Filter { state: Some(StateName::Cancelled), ..none() }), []);
    assert_eq!(found(Filter { endpoint: Some(bolt), ..none() }), [b3, b2, b1]);
    assert_eq!(found(Filter { event: Some(id("e2")), ..none() }), [b2, a2]);
    assert_eq!(found(Filter { event: Some(id("nobody")), ..none() }), []);
    assert_eq!(found(Filter { delivery: Some(a2), ..none() }), [a2]);
    assert_eq!(found(Filter { event_type: family.clone(), ..none() }), [b2, a2, b1, a1]);
    assert_eq!(found(Filter { since: Some(at(2)), ..none() }), [b3, a3, b2, a2]);
    let all = Filter {
        state: Some(StateName::Delivered),
        endpoint: Some(bolt),
        event: Some(id("e2")),
        delivery: Some(b2),
        event_type: family,
        since: Some(at(2)),
    };
    assert_eq!(found(all.clone()), [b2]);
    let one_wrong = [
        Filter { state: Some(StateName::Pending), ..all.clone() },
        Filter { endpoint: Some(acme), ..all.clone() },
        Filter { event: Some(id("e1")), ..all.clone() },
        Filter { delivery: Some(b1), ..all.clone() },
        Filter { event_type: Some(Subscription::parse("claim").unwrap()), ..all.clone() },
        Filter { since: Some(at(3)), ..all.clone() },
    ];
    for filter in one_wrong {
        assert_eq!(found(filter.clone()), [], "{filter:?}");
    }
    let below = Page { before: Some(b2), limit: 1 };
    assert_eq!(listed(store, &Filter { endpoint: Some(bolt), ..none() }, below), [b1]);
}

pub fn a_type_filter_is_what_a_subscription_covers(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let types = ["policy", "policy/a", "policy/a/b", "policyholder/a", "POLICY/a", "pol_cy/a", "pol.cy/a", "policy0/a"];
    let mut all = Vec::new();
    for (n, kind) in types.into_iter().enumerate() {
        let new = NewEvent { event_type: event_type(kind), ..new_event(&format!("e{n}"), &[lane]) };
        all.push((enqueue(store, at(1), new).deliveries[0].0, event_type(kind)));
    }
    all.reverse();
    for text in ["*", "policy/*", "policy/a/*", "pol_cy/*", "POLICY/*", "policy", "policy/a", "Policy", "pol.cy/a"] {
        let wanted = Subscription::parse(text).unwrap();
        let covered: Vec<DeliveryId> =
            all.iter().filter(|(_, kind)| wanted.covers(kind)).map(|(delivery, _)| *delivery).collect();
        let filter = Filter { event_type: Some(wanted), ..Filter::default() };
        assert_eq!(listed(store, &filter, EVERYTHING), covered, "{text}");
    }
}

pub fn lanes_say_what_is_owed_and_when(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (acme, bolt, idle) = (add(store, "acme"), add(store, "bolt"), add(store, "idle"));
    assert_eq!(lanes(store), []);
    owe(store, at(5), "e1", acme);
    owe(store, at(2), "e2", acme);
    owe(store, at(9), "e3", bolt);
    owe(store, at(1), "e4", idle);
    deliver_all(store, at(1), idle, 7);
    assert_eq!(lanes(store), [LaneDue { lane: acme, due_at: at(2) }, LaneDue { lane: bolt, due_at: at(9) }]);
    lease(store, at(5), acme, 8);
    done(store, at(5), Command::RemoveEndpoint(bolt));
    assert_eq!(
        lanes(&mut *pair.second),
        [LaneDue { lane: acme, due_at: at(35) }, LaneDue { lane: bolt, due_at: at(9) }]
    );
}

pub fn everything_is_counted(pair: &mut Pair) {
    let store = &mut *pair.first;
    assert_eq!(store.counts(at(0)).unwrap(), Counts::default());
    let lane = add(store, "acme");
    for n in 1..=6 {
        owe(store, at(n), &format!("e{n}"), lane);
    }
    enqueue(store, at(6), new_event("nobody", &[]));
    let due = Counts { events: 7, pending: 6, due: 6, oldest_due: Some(at(1)), ..Counts::default() };
    assert_eq!(store.counts(at(6)).unwrap(), due);
    let waits = Counts { due: 2, next_due: Some(at(3)), ..due.clone() };
    assert_eq!(store.counts(at(2)).unwrap(), waits, "due is up to now");

    let three = LeaseRequest { limit: 3, ..request(lane, at(6), 7) };
    let leases = lease_as(store, at(6), three).leases;
    let leased = Counts { leased: 3, due: 3, oldest_due: Some(at(4)), ..due };
    assert_eq!(store.counts(at(6)).unwrap(), leased, "what is in flight is neither due nor waiting");
    let verdicts = [
        (accepted(), Verdict::Delivered),
        (rejected(), Verdict::Dead(DeadReason::ScheduleUsedUp)),
        (rejected(), Verdict::RetryAt(at(50))),
    ];
    for (lease, (outcome, verdict)) in leases.into_iter().zip(verdicts) {
        record(store, at(6), lease.delivery, 7, attempt(1, at(6), at(6), outcome), verdict);
    }
    let counts = Counts { pending: 4, leased: 0, delivered: 1, dead: 1, next_due: Some(at(50)), ..leased };
    assert_eq!(pair.second.counts(at(6)).unwrap(), counts);
}

pub fn reading_changes_nothing(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    for _ in 0..2 {
        assert_eq!(store.counts(at(99)).unwrap().leased, 1);
        assert_eq!(lanes(store), [LaneDue { lane, due_at: at(31) }]);
        assert_eq!(attempts(store, owed), [], "an ended lease is closed when somebody takes it");
        assert_eq!(state(store, owed), in_flight(at(1), at(31)));
    }
}
