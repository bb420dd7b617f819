//! Endpoints: kept as they were given, found by number and by name, and never quite forgotten.

use postrider::delivery::{DeadReason, Verdict};
use postrider::endpoint::{Endpoint, EndpointId, EndpointState, Key, Overrides, ProfileName, Scheme, Secret, Success};
use postrider::event::Subscription;
use postrider::store::{Command, NewEndpoint, Refusal, Reply, Store};
use postrider::time::Span;

use super::Pair;
use super::fixture::*;

fn remove(store: &mut dyn Store, endpoint: EndpointId) -> u64 {
    done(store, at(5), Command::RemoveEndpoint(endpoint))
}

pub fn an_endpoint_is_kept_as_it_was_given(pair: &mut Pair) {
    let every_override = Overrides {
        timeout: Some(Span::from_ms(2_500)),
        schedule: Some([1, 60, 3_600].map(Span::from_seconds).to_vec()),
        success: Some(Success::Codes(vec![202, 200])),
        signature_header: Some("X-Signature".to_owned()),
        headers: [("X-B", "b"), ("X-A", "ü \"quoted\", with = and\ttab"), ("X-B", "")]
            .map(|(header, value)| (header.to_owned(), value.to_owned()))
            .to_vec(),
        concurrency: Some(u32::MAX),
        rate: Some(0),
    };
    let no_retry = Overrides { schedule: Some(vec![]), success: Some(Success::Any2xx), ..Overrides::default() };
    let keys: Vec<Key> =
        Scheme::ALL.map(|scheme| Key { scheme, secret: Secret::new(vec![0, 255, scheme as u8]), until: None }).to_vec();
    let subscriptions = ["policy/*", "*", "invoice.paid"].map(|text| Subscription::parse(text).unwrap()).to_vec();
    let terms = [(every_override, keys, subscriptions), (no_retry, vec![], vec![]), Default::default()];
    for (profile, (overrides, keys, subscriptions)) in ProfileName::ALL.into_iter().zip(terms) {
        let text = profile.as_str();
        let url = format!("https://{text}.example/hook?token=%20a");
        let new = NewEndpoint { name: name(text), url: url.clone(), profile, subscriptions, overrides, keys };
        let reply = apply(&mut *pair.first, at(3), Command::AddEndpoint(new.clone()));
        let Reply::EndpointAdded(id) = reply else { panic!("{reply:?}") };
        let expected = Endpoint {
            id,
            name: Some(new.name.clone()),
            url,
            profile,
            subscriptions: new.subscriptions,
            overrides: new.overrides,
            keys: new.keys,
            state: EndpointState::Active,
            created_at: at(3),
        };
        assert_eq!(endpoint(&mut *pair.second, id), expected);
        assert_eq!(pair.second.endpoint_named(&new.name).unwrap(), Some(expected.clone()));
        assert_eq!(pair.second.endpoints().unwrap().pop(), Some(expected), "the newest comes last");
    }
    assert_eq!(pair.first.endpoint(EndpointId(99)).unwrap(), None);
    assert_eq!(pair.first.endpoint_named(&name("nobody")).unwrap(), None);
}

pub fn a_name_is_one_endpoints_while_it_is_there(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let acme = add(first, "acme");
    let again = || Command::AddEndpoint(new_endpoint("acme"));
    assert_eq!(refused(second, at(1), again()), Refusal::NameTaken);
    assert_eq!(second.endpoints().unwrap().len(), 1);
    let differs = add(first, "Acme");
    assert_eq!(first.endpoint_named(&name("Acme")).unwrap().unwrap().id, differs);

    owe(first, at(1), "e1", acme);
    let gone = lease(first, at(1), acme, 7).leases.remove(0);
    let outcome = attempt(1, at(1), at(1), rejected());
    record(first, at(1), gone.delivery, 7, outcome, Verdict::Dead(DeadReason::EndpointGone));
    assert_eq!(refused(first, at(2), again()), Refusal::NameTaken, "disabled is not removed");
    assert_eq!(first.endpoint_named(&name("acme")).unwrap().unwrap().id, acme);
    assert_eq!(first.endpoints().unwrap().len(), 2);
}

pub fn a_removed_endpoint_stays_for_its_history(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (acme, bolt) = (add(store, "acme"), add(store, "bolt"));
    let was = endpoint(store, acme);
    let owed = owe(store, at(1), "e1", acme);
    assert_eq!(remove(store, acme), 1);
    assert_eq!(endpoint(store, acme), Endpoint { state: EndpointState::Removed { since: at(5) }, keys: vec![], ..was });
    assert_eq!(store.endpoints().unwrap().iter().map(|endpoint| endpoint.id).collect::<Vec<_>>(), [bolt]);
    assert_eq!(store.endpoint_named(&name("acme")).unwrap(), None);
    assert_eq!(state(store, owed), waiting(at(1)), "Bury ends it");
}

pub fn a_removed_endpoints_name_is_free(pair: &mut Pair) {
    let store = &mut *pair.first;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let acme = add(store, "acme");
        assert!(!seen.contains(&acme));
        assert_eq!(store.endpoint_named(&name("acme")).unwrap().unwrap().id, acme);
        remove(store, acme);
        seen.push(acme);
    }
}

pub fn nobody_is_removed_twice(pair: &mut Pair) {
    let store = &mut *pair.first;
    let acme = add(store, "acme");
    remove(store, acme);
    for unknown in [acme, EndpointId(99)] {
        assert_eq!(refused(store, at(6), Command::RemoveEndpoint(unknown)), Refusal::NoSuchEndpoint);
    }
    assert_eq!(endpoint(store, acme).state, EndpointState::Removed { since: at(5) });
}

pub fn a_disabled_endpoint_can_be_removed(pair: &mut Pair) {
    let store = &mut *pair.first;
    let acme = add(store, "acme");
    owe(store, at(1), "e1", acme);
    let gone = lease(store, at(1), acme, 7).leases.remove(0);
    let outcome = attempt(1, at(1), at(1), rejected());
    record(store, at(1), gone.delivery, 7, outcome, Verdict::Dead(DeadReason::EndpointGone));
    assert_eq!(remove(store, acme), 1);
    assert_eq!(endpoint(store, acme).state, EndpointState::Removed { since: at(5) });
}

pub fn a_one_off_is_shown_while_it_is_owed(pair: &mut Pair) {
    let store = &mut *pair.first;
    let acme = add(store, "acme");
    let owed = enqueue(store, at(1), one_off("e1", "https://once.example/", &[])).deliveries;
    let lane = owed[0].1;
    let ids = |store: &mut dyn Store| store.endpoints().unwrap().iter().map(|known| known.id).collect::<Vec<_>>();
    assert_eq!(ids(store), [acme, lane]);
    deliver_all(store, at(2), lane, 7);
    assert_eq!(ids(store), [acme], "what owes nothing to anybody need not be looked at");
    assert!(store.endpoint(lane).unwrap().is_some(), "it stays for its history");
}
