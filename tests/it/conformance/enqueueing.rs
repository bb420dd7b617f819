//! Enqueueing: what is acknowledged is owed, once, to everybody it was meant for, or it is refused and not there.

use postrider::delivery::{DeadReason, Verdict};
use postrider::endpoint::{EndpointId, ProfileName};
use postrider::store::{Command, Enqueued, Filter, LaneDue, NewEvent, Recipients, Recorded, Refusal, Reply, Store};
use postrider::time::Time;
use postrider::trace::TraceContext;

use super::Pair;
use super::fixture::*;

pub fn each_recipient_is_owed_it_at_once(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (acme, bolt) = (add(store, "acme"), add(store, "bolt"));
    let enqueued = enqueue(store, at(5), new_event("e1", &[bolt, acme]));
    assert_eq!((&enqueued.event, enqueued.accepted_at, enqueued.again), (&id("e1"), at(5), false));
    let endpoints: Vec<EndpointId> = enqueued.deliveries.iter().map(|(_, endpoint)| *endpoint).collect();
    assert_eq!(endpoints, [bolt, acme]);
    for (number, endpoint) in enqueued.deliveries {
        let found = find(store, number).expect("it is owed");
        assert_eq!((found.delivery.endpoint, found.delivery.attempts), (endpoint, 0));
        assert_eq!(found.delivery.state, waiting(at(5)));
        assert_eq!((found.event, found.accepted_at, found.size), (id("e1"), at(5), 2));
    }
}

pub fn the_event_is_kept_as_it_came(pair: &mut Pair) {
    let every_byte: Vec<u8> = (0..=255).collect();
    for (text, body) in [("bytes", &every_byte[..]), ("empty", b""), ("large", &[b'x'; 1 << 18])] {
        let new = NewEvent { content_type: "text/ü; q=\"1\"".to_owned(), ..with_body(new_event(text, &[]), body) };
        enqueue(&mut *pair.first, at(1), new.clone());
        let kept = pair.second.event(&id(text)).unwrap().expect("the other handle sees it");
        assert_eq!(&*kept.body, body);
        assert_eq!((kept.id, kept.event_type, kept.content_type), (new.id, new.event_type, new.content_type));
        assert_eq!((kept.digest, kept.accepted_at), (new.digest, at(1)));
    }
    assert_eq!(pair.first.event(&id("nobody")).unwrap(), None);
}

pub fn the_same_request_again_gets_the_same_answer(pair: &mut Pair) {
    let lane = add(&mut *pair.first, "acme");
    let first = enqueue(&mut *pair.first, at(1), new_event("e1", &[lane]));
    let again = Enqueued { again: true, ..first };
    assert_eq!(enqueue(&mut *pair.second, at(2), new_event("e1", &[lane])), again);
    deliver_all(&mut *pair.first, at(3), lane, 7);
    assert_eq!(enqueue(&mut *pair.first, at(4), new_event("e1", &[lane])), again);
    done(&mut *pair.first, at(5), Command::RemoveEndpoint(lane));
    assert_eq!(enqueue(&mut *pair.first, at(6), new_event("e1", &[lane])), again);
    assert_eq!(pair.first.deliveries(&Filter::default(), EVERYTHING).unwrap().len(), 1);
    assert_eq!(pair.first.counts(at(6)).unwrap().events, 1);
}

pub fn the_same_request_again_within_one_batch_is_again(pair: &mut Pair) {
    let lane = add(&mut *pair.first, "acme");
    let command = Command::Enqueue(new_event("e1", &[lane]));
    let replies = pair.first.apply(at(1), &[command.clone(), command]).unwrap();
    let [Reply::Enqueued(first), Reply::Enqueued(second)] = &replies[..] else { panic!("{replies:?}") };
    assert_eq!(*second, Enqueued { again: true, ..first.clone() });
}

pub fn the_same_id_for_another_request_is_refused(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    owe(store, at(1), "e1", lane);
    let other_body = Command::Enqueue(with_body(new_event("e1", &[lane]), b"other"));
    let refusal = Refusal::IdTaken { accepted_at: at(1), same_body: false };
    assert_eq!(refused(store, at(2), other_body), refusal);
    let other_target = Command::Enqueue(new_event("e1", &[]));
    let refusal = Refusal::IdTaken { accepted_at: at(1), same_body: true };
    assert_eq!(refused(store, at(2), other_target), refusal);
    assert_eq!(&*store.event(&id("e1")).unwrap().unwrap().body, b"e1");
    assert_eq!(store.deliveries(&Filter::default(), EVERYTHING).unwrap().len(), 1);
}

pub fn what_fires_once_does_not_fire_twice(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let once = |text: &str, once: &str| NewEvent { once: Some(once.to_owned()), ..new_event(text, &[lane]) };
    let first = enqueue(store, at(1), once("e1", "t1 a"));
    assert_eq!(refused(store, at(2), Command::Enqueue(once("e2", "t1 a"))), Refusal::FiredBefore { event: id("e1") });
    assert_eq!(store.event(&id("e2")).unwrap(), None);
    // The id comes first: the same request is the same request, and a taken id is taken.
    assert_eq!(enqueue(store, at(3), once("e1", "t1 a")), Enqueued { again: true, ..first });
    owe(store, at(3), "e3", lane);
    let taken = with_body(once("e3", "t1 a"), b"other");
    let refusal = Refusal::IdTaken { accepted_at: at(3), same_body: false };
    assert_eq!(refused(store, at(4), Command::Enqueue(taken)), refusal);
    enqueue(store, at(5), once("e2", "t1 A"));
    owe(store, at(6), "e4", lane);
}

pub fn firing_once_comes_before_the_recipients(pair: &mut Pair) {
    let store = &mut *pair.first;
    let once = |text: &str, to: &[EndpointId]| NewEvent { once: Some("t1".to_owned()), ..new_event(text, to) };
    enqueue(store, at(1), once("e1", &[]));
    let refusal = refused(store, at(2), Command::Enqueue(once("e2", &[EndpointId(99)])));
    assert_eq!(refusal, Refusal::FiredBefore { event: id("e1") });
}

pub fn a_gone_recipient_refuses_the_whole_event(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (here, removed, disabled) = (add(store, "here"), add(store, "removed"), add(store, "disabled"));
    done(store, at(1), Command::RemoveEndpoint(removed));
    disable(store, at(1), disabled);
    let before = store.counts(at(9)).unwrap();
    for endpoint in [removed, disabled, EndpointId(99)] {
        let new = NewEvent { once: Some("t1".to_owned()), ..new_event("e1", &[here, endpoint]) };
        assert_eq!(refused(store, at(2), Command::Enqueue(new)), Refusal::EndpointGone { endpoint });
        assert_eq!(store.event(&id("e1")).unwrap(), None);
        assert_eq!(store.counts(at(9)).unwrap(), before);
    }
    // Neither the id nor the text to fire once was used up by the refusals.
    enqueue(store, at(3), NewEvent { once: Some("t1".to_owned()), ..new_event("e1", &[here]) });
}

pub fn a_recipient_counts_once(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (acme, bolt) = (add(store, "acme"), add(store, "bolt"));
    let enqueued = enqueue(store, at(1), new_event("e1", &[bolt, acme, bolt, acme]));
    let endpoints: Vec<EndpointId> = enqueued.deliveries.iter().map(|(_, endpoint)| *endpoint).collect();
    assert_eq!(endpoints, [bolt, acme]);
    assert_eq!(store.counts(at(1)).unwrap().pending, 2);
}

pub fn an_event_may_be_owed_to_nobody(pair: &mut Pair) {
    let enqueued = enqueue(&mut *pair.first, at(1), new_event("e1", &[]));
    assert_eq!(enqueued.deliveries, []);
    assert!(pair.first.event(&id("e1")).unwrap().is_some());
    assert_eq!(lanes(&mut *pair.first), []);
}

pub fn a_one_off_receiver_is_made_and_found_again(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let keys = [key("new"), key("old")];
    let lane = enqueue(first, at(1), one_off("e1", "https://a.example/", &keys)).deliveries[0].1;
    assert_eq!(lanes(first), [LaneDue { lane, due_at: at(1) }]);
    let made = endpoint(first, lane);
    assert_eq!((made.name, made.profile, made.url.as_str()), (None, ProfileName::Standard, "https://a.example/"));
    assert_eq!((&made.keys[..], made.subscriptions, made.created_at), (&keys[..], vec![], at(1)));
    assert_eq!(made.overrides, Default::default());

    let mut lane_of = |event| enqueue(second, at(2), event).deliveries[0].1;
    assert_eq!(lane_of(one_off("e2", "https://a.example/", &keys)), lane);
    let other_keys = lane_of(one_off("e3", "https://a.example/", &keys[..1]));
    let turned_keys = lane_of(one_off("e4", "https://a.example/", &[key("old"), key("new")]));
    let other_url = lane_of(one_off("e5", "https://b.example/", &keys));
    let recipients =
        Recipients::OneOff { profile: ProfileName::Ensuro, url: "https://a.example/".to_owned(), keys: keys.to_vec() };
    let other_profile = lane_of(NewEvent { recipients, ..new_event("e6", &[]) });
    let mut all = vec![lane, other_keys, turned_keys, other_url, other_profile];
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 5, "each its own receiver");
}

pub fn a_one_off_never_goes_to_a_registered_endpoint(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let registered = endpoint(store, lane);
    let recipients = Recipients::OneOff { profile: registered.profile, url: registered.url, keys: registered.keys };
    let enqueued = enqueue(store, at(1), NewEvent { recipients, ..new_event("e1", &[]) });
    assert_ne!(enqueued.deliveries[0].1, lane);
}

pub fn a_one_off_receiver_that_is_gone_is_made_anew(pair: &mut Pair) {
    let store = &mut *pair.first;
    let mut seen = Vec::new();
    for text in ["e1", "e2", "e3"] {
        let lane = enqueue(store, at(1), one_off(text, "https://a.example/", &[])).deliveries[0].1;
        assert!(!seen.contains(&lane));
        seen.push(lane);
        match text {
            "e1" => assert_eq!(done(store, at(2), Command::RemoveEndpoint(lane)), 1),
            _ => disable(store, at(2), lane),
        }
    }
}

pub fn a_refused_command_does_not_disturb_its_batch(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    owe(store, at(1), "e1", lane);
    let batch = [
        Command::Enqueue(new_event("e2", &[lane])),
        Command::Enqueue(with_body(new_event("e1", &[lane]), b"other")),
        Command::AddEndpoint(new_endpoint("acme")),
        Command::Enqueue(new_event("e3", &[lane, EndpointId(99)])),
        Command::RemoveEndpoint(EndpointId(99)),
        Command::Enqueue(new_event("e4", &[lane])),
    ];
    let replies = store.apply(at(2), &batch).unwrap();
    let expected = [
        None,
        Some(Refusal::IdTaken { accepted_at: at(1), same_body: false }),
        Some(Refusal::NameTaken),
        Some(Refusal::EndpointGone { endpoint: EndpointId(99) }),
        Some(Refusal::NoSuchEndpoint),
        None,
    ];
    assert_eq!(replies.len(), expected.len());
    for (reply, expected) in replies.iter().zip(expected) {
        match (reply, expected) {
            (Reply::Refused(refusal), Some(expected)) => assert_eq!(*refusal, expected),
            (Reply::Enqueued(enqueued), None) => assert_eq!((enqueued.again, enqueued.deliveries.len()), (false, 1)),
            (reply, expected) => panic!("{reply:?} instead of {expected:?}"),
        }
    }
    let events = store.deliveries(&Filter::default(), EVERYTHING).unwrap().into_iter().map(|listed| listed.event);
    assert_eq!(events.collect::<Vec<_>>(), [id("e4"), id("e2"), id("e1")]);
}

pub fn later_commands_of_a_batch_see_the_earlier(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let batch = [
        Command::Enqueue(new_event("e1", &[lane])),
        Command::Lease(request(lane, at(1), 7)),
        Command::RemoveEndpoint(lane),
        Command::Enqueue(new_event("e2", &[lane])),
        Command::AddEndpoint(new_endpoint("acme")),
    ];
    let replies = store.apply(at(1), &batch).unwrap();
    let [
        Reply::Enqueued(enqueued),
        Reply::Leased(leased),
        Reply::Done(1),
        Reply::Refused(refusal),
        Reply::EndpointAdded(new),
    ] = &replies[..]
    else {
        panic!("{replies:?}")
    };
    assert_eq!(leased_ids(leased), [enqueued.deliveries[0].0]);
    assert_eq!(*refusal, Refusal::EndpointGone { endpoint: lane });
    assert_ne!(*new, lane);
}

pub fn an_empty_batch_is_well(pair: &mut Pair) {
    assert_eq!(pair.first.apply(at(1), &[]).unwrap(), []);
}

/// Has the endpoint answer that it is gone for good.
fn disable(store: &mut dyn Store, now: Time, lane: EndpointId) {
    owe(store, now, &format!("gone-{}", lane.0), lane);
    let lease = lease(store, now, lane, 99).leases.remove(0);
    let outcome = attempt(1, now, now, rejected());
    let recorded = record(store, now, lease.delivery, 99, outcome, Verdict::Dead(DeadReason::EndpointGone));
    assert_eq!(recorded, Recorded::Counted);
}

pub fn an_id_that_is_there_is_answered_without_storing(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let event = new_event("e1", &[lane]);
    let again = |store: &mut dyn Store, fingerprint| store.again(&event.id, fingerprint, &event.digest).unwrap();
    assert_eq!(again(store, &event.fingerprint), None);
    let first = enqueue(store, at(1), event.clone());
    remove(store, lane);
    assert_eq!(again(store, &event.fingerprint), Some(Reply::Enqueued(Enqueued { again: true, ..first })));
    let taken = Refusal::IdTaken { accepted_at: at(1), same_body: true };
    assert_eq!(again(store, &[9; 32]), Some(Reply::Refused(taken)));
}

fn remove(store: &mut dyn Store, lane: EndpointId) {
    assert_eq!(done(store, at(2), Command::RemoveEndpoint(lane)), 1);
}

pub fn an_idempotency_key_is_one_requests(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let lane = add(first, "acme");
    let keyed = |text: &str, key: u8| NewEvent { idempotency_key: Some([key; 32]), ..new_event(text, &[lane]) };
    assert_eq!(first.by_key(&[1; 32]).unwrap(), None);
    let made = enqueue(first, at(1), keyed("e1", 1));
    assert_eq!(second.by_key(&[1; 32]).unwrap(), Some(id("e1")));
    assert_eq!(second.by_key(&[2; 32]).unwrap(), None);
    assert_eq!(enqueue(second, at(2), keyed("e1", 1)), Enqueued { again: true, ..made.clone() });
    let taken = Refusal::KeyTaken { event: id("e1") };
    assert_eq!(refused(second, at(2), Command::Enqueue(keyed("e2", 1))), taken, "by another id");
    let other_request = with_body(keyed("e1", 1), b"other");
    assert_eq!(refused(second, at(2), Command::Enqueue(other_request)), taken, "by another request");
    assert_eq!(second.event(&id("e2")).unwrap(), None);
    // Without its key, or with one of nobody's, the same request is the same request, and keeps the key that it came with.
    for other in [new_event("e1", &[lane]), keyed("e1", 2)] {
        assert_eq!(enqueue(second, at(3), other), Enqueued { again: true, ..made.clone() });
    }
    assert_eq!(second.by_key(&[2; 32]).unwrap(), None);
    enqueue(second, at(3), keyed("e2", 2));
    // A key is free again when its event is forgotten.
    deliver_all(first, at(4), lane, 7);
    done(first, at(5), Command::Prune { before: at(2), limit: 1 });
    assert_eq!(first.by_key(&[1; 32]).unwrap(), None);
    enqueue(first, at(6), keyed("e3", 1));
}

pub fn an_idempotency_key_comes_first(pair: &mut Pair) {
    let store = &mut *pair.first;
    let new = |text: &str, key: u8, to: &[EndpointId]| NewEvent {
        idempotency_key: Some([key; 32]),
        once: Some("t1".to_owned()),
        ..new_event(text, to)
    };
    enqueue(store, at(1), new("e1", 1, &[]));
    enqueue(store, at(1), new_event("e2", &[]));
    let taken = Refusal::KeyTaken { event: id("e1") };
    for (text, to) in [("e2", vec![]), ("e3", vec![]), ("e3", vec![EndpointId(99)])] {
        assert_eq!(refused(store, at(2), Command::Enqueue(new(text, 1, &to))), taken);
    }
    assert_eq!(refused(store, at(2), Command::Enqueue(new("e3", 3, &[]))), Refusal::FiredBefore { event: id("e1") });
}

pub fn a_trace_is_kept_with_its_event(pair: &mut Pair) {
    let lane = add(&mut *pair.first, "acme");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (text, state) in [("e1", None), ("e2", Some("rojo=00f067aa0ba902b7, congo=t61rcWkgMzE"))] {
        let trace = Some(TraceContext::parse(parent, state).unwrap());
        enqueue(&mut *pair.first, at(1), NewEvent { trace: trace.clone(), ..new_event(text, &[lane]) });
        assert_eq!(pair.second.event(&id(text)).unwrap().unwrap().trace, trace);
        assert_eq!(lease(&mut *pair.second, at(1), lane, 7).leases[0].event.trace, trace);
    }
}
