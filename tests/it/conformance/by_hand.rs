//! By hand: what persons ask for. Pausing and resuming, edits, retries, cancels and tokens.

use postrider::access::{AccessToken, Scope};
use postrider::delivery::{DeadReason, DeliveryId, DeliveryState, Outcome, StateName, Token, Verdict};
use postrider::endpoint::{EndpointId, EndpointState, Key, Overrides};
use postrider::event::Subscription;
use postrider::store::{Command, EndpointEdit, LeaseRequest, Leased, Recorded, Refusal, Reply, Store};
use postrider::time::{Span, Time};

use super::Pair;
use super::fixture::*;

fn retry(store: &mut dyn Store, now: Time, delivery: DeliveryId, states: &[StateName]) -> Reply {
    apply(store, now, Command::Retry { delivery, states: states.to_vec(), now_due: now })
}

fn cancel(store: &mut dyn Store, now: Time, delivery: DeliveryId) -> Reply {
    apply(store, now, Command::Cancel { delivery })
}

/// One endpoint and a delivery to it that died in its only attempt.
fn dead(store: &mut dyn Store) -> (EndpointId, DeliveryId) {
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    let outcome = attempt(1, at(1), at(2), rejected());
    record(store, at(2), owed, 7, outcome, Verdict::Dead(DeadReason::ScheduleUsedUp));
    (lane, owed)
}

fn disable(store: &mut dyn Store, lane: EndpointId) {
    let owed = owe(store, at(1), "disabling", lane);
    lease(store, at(1), lane, 99);
    let outcome = attempt(1, at(1), at(1), Outcome::Rejected { status: 410 });
    record(store, at(1), owed, 99, outcome, Verdict::Dead(DeadReason::EndpointGone));
}

pub fn a_paused_endpoint_is_owed_and_sent_nothing(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let lane = add(first, "acme");
    let before = owe(first, at(1), "e1", lane);
    assert_eq!(done(first, at(2), Command::Pause(lane)), 1);
    assert_eq!(endpoint(second, lane).state, EndpointState::Paused { since: at(2) });
    assert_eq!(done(first, at(3), Command::Pause(lane)), 0);
    assert_eq!(endpoint(second, lane).state, EndpointState::Paused { since: at(2) });
    let since = owe(first, at(4), "e2", lane);
    assert_eq!(lease(second, at(5), lane, 7), Leased::default());
    assert_eq!(done(second, at(5), Command::Bury { lane, limit: 10 }), 0);
    assert_eq!(lanes(second).len(), 1, "it is owed still");
    assert_eq!(second.endpoints().unwrap().len(), 1);
    assert!(second.endpoint_named(&name("acme")).unwrap().is_some());
    assert_eq!(done(first, at(6), Command::Resume(lane)), 1);
    assert_eq!(endpoint(second, lane).state, EndpointState::Active);
    assert_eq!(done(first, at(6), Command::Resume(lane)), 0);
    assert_eq!(leased_ids(&lease(second, at(6), lane, 8)), [before, since]);
}

pub fn what_is_in_flight_to_a_paused_endpoint_goes_on(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let (accepts, rejects, hangs) =
        (owe(store, at(1), "e1", lane), owe(store, at(1), "e2", lane), owe(store, at(1), "e3", lane));
    lease(store, at(1), lane, 7);
    done(store, at(2), Command::Pause(lane));
    record(store, at(3), accepts, 7, attempt(1, at(1), at(3), accepted()), Verdict::Delivered);
    record(store, at(3), rejects, 7, attempt(1, at(1), at(3), rejected()), Verdict::RetryAt(at(40)));
    assert_eq!(state(store, accepts), DeliveryState::Delivered { at: at(3) });
    assert_eq!(state(store, rejects), waiting(at(40)));
    assert_eq!(lease(store, at(50), lane, 8), Leased::default());
    assert_eq!(state(store, hangs), in_flight(at(1), at(31)), "the lease has ended, and nobody takes it");
    done(store, at(60), Command::Resume(lane));
    assert_eq!(leased_ids(&lease(store, at(60), lane, 9)), [hangs, rejects]);
}

pub fn a_paused_endpoint_can_go_for_good(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (acme, bolt) = (add(store, "acme"), add(store, "bolt"));
    owe(store, at(1), "e1", acme);
    done(store, at(2), Command::Pause(acme));
    assert_eq!(done(store, at(3), Command::RemoveEndpoint(acme)), 1);
    assert_eq!(endpoint(store, acme).state, EndpointState::Removed { since: at(3) });
    assert_eq!(done(store, at(3), Command::Bury { lane: acme, limit: 10 }), 1);
    let owed = owe(store, at(4), "e2", bolt);
    lease(store, at(4), bolt, 7);
    done(store, at(5), Command::Pause(bolt));
    let outcome = attempt(1, at(4), at(6), Outcome::Rejected { status: 410 });
    record(store, at(6), owed, 7, outcome, Verdict::Dead(DeadReason::EndpointGone));
    assert!(matches!(endpoint(store, bolt).state, EndpointState::Disabled { since, .. } if since == at(6)));
}

pub fn a_disabled_endpoint_is_resumed_not_paused(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    disable(store, lane);
    assert_eq!(done(store, at(2), Command::Pause(lane)), 0);
    assert!(matches!(endpoint(store, lane).state, EndpointState::Disabled { .. }));
    assert_eq!(done(store, at(3), Command::Resume(lane)), 1);
    assert_eq!(endpoint(store, lane).state, EndpointState::Active);
    let owed = owe(store, at(4), "e1", lane);
    assert_eq!(leased_ids(&lease(store, at(4), lane, 7)), [owed]);
}

pub fn only_an_endpoint_that_is_there_is_paused_resumed_or_edited(pair: &mut Pair) {
    let store = &mut *pair.first;
    let removed = add(store, "acme");
    done(store, at(1), Command::RemoveEndpoint(removed));
    for endpoint in [removed, EndpointId(99)] {
        let edit = EndpointEdit::default();
        for command in [
            Command::Pause(endpoint),
            Command::Resume(endpoint),
            Command::EditEndpoint { endpoint, edit: edit.clone() },
        ] {
            assert_eq!(refused(store, at(2), command), Refusal::NoSuchEndpoint);
        }
    }
}

pub fn an_edit_replaces_what_it_names_and_nothing_else(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    disable(store, lane);
    let mut expected = endpoint(store, lane);
    let subscriptions = vec![Subscription::parse("policy/*").unwrap()];
    let overrides = Overrides { concurrency: Some(3), ..Overrides::default() };
    let keys = vec![key("new"), Key { until: Some(at(60)), ..key("topsecret") }];
    let none = EndpointEdit::default;
    let edits = [
        none(),
        EndpointEdit { url: Some("https://elsewhere.example/".to_owned()), ..none() },
        EndpointEdit { subscriptions: Some(subscriptions.clone()), ..none() },
        EndpointEdit { overrides: Some(overrides.clone()), ..none() },
        EndpointEdit { keys: Some(keys.clone()), ..none() },
        EndpointEdit { keys: Some(vec![]), subscriptions: Some(vec![]), ..none() },
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        match index {
            0 => {}
            1 => expected.url = "https://elsewhere.example/".to_owned(),
            2 => expected.subscriptions = subscriptions.clone(),
            3 => expected.overrides = overrides.clone(),
            4 => expected.keys = keys.clone(),
            _ => (expected.keys, expected.subscriptions) = (vec![], vec![]),
        }
        assert_eq!(done(store, at(5), Command::EditEndpoint { endpoint: lane, edit }), 1);
        assert_eq!(endpoint(&mut *pair.second, lane), expected);
    }
}

pub fn what_had_ended_is_retried_with_its_schedule_anew(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (lane, owed) = dead(store);
    assert_eq!(retry(store, at(5), owed, &[StateName::Dead]), Reply::Done(1));
    let kept = delivery(store, owed);
    assert_eq!((kept.state, kept.attempts, kept.earlier), (waiting(at(5)), 1, 1));
    assert_eq!(lanes(store)[0].due_at, at(5));
    let taken = lease(store, at(5), lane, 8).leases.remove(0);
    assert_eq!((taken.attempt, taken.earlier), (2, 1));
    record(store, at(6), owed, 8, attempt(2, at(5), at(6), accepted()), Verdict::Delivered);
    assert_eq!(state(store, owed), DeliveryState::Delivered { at: at(6) });
    // What was delivered may be sent again, to a paused endpoint too.
    done(store, at(7), Command::Pause(lane));
    assert_eq!(retry(store, at(7), owed, &StateName::ALL), Reply::Done(1));
    let kept = delivery(store, owed);
    assert_eq!((kept.state, kept.attempts, kept.earlier), (waiting(at(7)), 2, 2));
    assert_eq!(attempts(store, owed).len(), 2, "what was done stays on record");
}

pub fn a_retry_counts_attempts_from_where_it_began(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (lane, owed) = dead(store);
    retry(store, at(5), owed, &[StateName::Dead]);
    let two = |now: Time, token| LeaseRequest { most_attempts: 2, ..request(lane, now, token) };
    for (number, now) in [(2, at(5)), (3, at(50))] {
        let leased = lease_as(store, now, two(now, number));
        assert_eq!((leased.leases[0].attempt, leased.leases[0].earlier), (number as u32, 1));
        let outcome = attempt(number as u32, now, now, rejected());
        record(store, now, owed, number, outcome, Verdict::RetryAt(now + Span::from_seconds(1)));
    }
    assert_eq!(lease_as(store, at(90), two(at(90), 9)).used_up, [owed]);
    let kept = delivery(store, owed);
    assert_eq!((kept.state.name(), kept.attempts, kept.earlier), (StateName::Dead, 3, 1));
    retry(store, at(91), owed, &[StateName::Dead]);
    assert_eq!(delivery(store, owed).earlier, 3);
    // A lease that is given back leaves no attempt behind.
    lease(store, at(91), lane, 10);
    done(store, at(92), Command::Release { delivery: owed, token: Token(10) });
    let kept = delivery(store, owed);
    assert_eq!((kept.attempts, kept.earlier), (3, 3));
}

pub fn only_the_states_asked_for_are_retried(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (lane, owed) = dead(store);
    for states in [&[][..], &[StateName::Pending], &[StateName::Delivered, StateName::Cancelled]] {
        assert_eq!(retry(store, at(5), owed, states), Reply::Done(0));
        assert_eq!(state(store, owed).name(), StateName::Dead);
    }
    assert_eq!(retry(store, at(5), DeliveryId(99), &StateName::ALL), Reply::Refused(Refusal::NoSuchDelivery));
    retry(store, at(5), owed, &StateName::ALL);
    lease(store, at(5), lane, 8);
    assert_eq!(retry(store, at(6), owed, &StateName::ALL), Reply::Done(0), "it is in flight");
    assert_eq!(state(store, owed), in_flight(at(5), at(35)));
}

pub fn what_waits_is_due_sooner_and_keeps_its_schedule(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    record(store, at(2), owed, 7, attempt(1, at(1), at(2), rejected()), Verdict::RetryAt(at(600)));
    assert_eq!(retry(store, at(3), owed, &[StateName::Pending]), Reply::Done(1));
    let kept = delivery(store, owed);
    assert_eq!((kept.state, kept.attempts, kept.earlier), (waiting(at(3)), 1, 0));
}

pub fn nothing_is_retried_to_an_endpoint_that_is_gone(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (lane, owed) = dead(store);
    let gone = Reply::Refused(Refusal::EndpointGone { endpoint: lane });
    disable(store, lane);
    assert_eq!(retry(store, at(5), owed, &StateName::ALL), gone);
    done(store, at(6), Command::RemoveEndpoint(lane));
    assert_eq!(retry(store, at(7), owed, &StateName::ALL), gone);
    assert_eq!(state(store, owed).name(), StateName::Dead);
}

pub fn recovery_and_clock_steps_treat_a_retry_as_new(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (lane, owed) = dead(store);
    retry(store, at(100), owed, &[StateName::Dead]);
    // By a clock that is put back it would be due in the future, and nobody has tried it since it was asked for.
    done(store, at(50), Command::Recover);
    assert_eq!(state(store, owed), waiting(at(50)));
    assert_eq!(done(store, at(50), Command::Shift { by: Span::from_seconds(20) }), 0);
    assert_eq!(done(store, at(50), Command::Shift { by: Span::from_seconds(-20) }), 1);
    assert_eq!(state(store, owed), waiting(at(30)));
    // Only what died with its daemon since then makes the next one wait.
    for token in [8, 9] {
        let due = lanes(store)[0].due_at;
        lease(store, due, lane, token);
        done(store, due, Command::Recover);
        let wait = if token == 8 { Span::ZERO } else { Span::from_seconds(30) };
        assert_eq!(state(store, owed), waiting(due + wait));
    }
    cancel(store, at(70), owed);
    retry(store, at(70), owed, &[StateName::Cancelled]);
    lease(store, at(70), lane, 10);
    done(store, at(70), Command::Recover);
    assert_eq!(state(store, owed), waiting(at(70)), "the two before were another time");
}

pub fn what_waits_is_cancelled(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    assert_eq!(cancel(store, at(2), owed), Reply::Done(1));
    assert_eq!(state(&mut *pair.second, owed), DeliveryState::Cancelled { at: at(2) });
    assert_eq!(lanes(store), []);
    assert_eq!(store.counts(at(2)).unwrap().cancelled, 1);
    assert_eq!(cancel(store, at(3), DeliveryId(99)), Reply::Refused(Refusal::NoSuchDelivery));
}

pub fn what_is_in_flight_is_cancelled_and_its_lease_lost(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    assert_eq!(cancel(store, at(2), owed), Reply::Done(1));
    assert_eq!(state(store, owed), DeliveryState::Cancelled { at: at(2) });
    assert_eq!(attempts(store, owed), [unknown(1, at(1), at(2))]);
    assert_eq!(done(store, at(3), Command::Release { delivery: owed, token: Token(7) }), 0);
    let outcome = attempt(1, at(1), at(3), rejected());
    assert_eq!(record(store, at(3), owed, 7, outcome.clone(), Verdict::RetryAt(at(40))), Recorded::Lost);
    assert_eq!(state(store, owed), DeliveryState::Cancelled { at: at(2) });
    assert_eq!(attempts(store, owed), [outcome], "what was unknown is known now");
}

pub fn an_acceptance_after_all_delivers_what_was_cancelled(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    cancel(store, at(2), owed);
    let outcome = attempt(1, at(1), at(3), accepted());
    assert_eq!(record(store, at(3), owed, 7, outcome.clone(), Verdict::Delivered), Recorded::LateAccepted);
    assert_eq!(state(store, owed), DeliveryState::Delivered { at: at(3) });
    assert_eq!(attempts(store, owed), [outcome]);
}

pub fn what_was_cancelled_can_be_retried(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    cancel(store, at(2), owed);
    assert_eq!(retry(store, at(3), owed, &[StateName::Cancelled]), Reply::Done(1));
    assert_eq!(leased_ids(&lease(store, at(3), lane, 8)), [owed]);
    // The first holder still hears an acceptance: the second attempt has an end on record all the same.
    let late = attempt(1, at(1), at(4), accepted());
    assert_eq!(record(store, at(4), owed, 7, late.clone(), Verdict::Delivered), Recorded::LateAccepted);
    assert_eq!(state(store, owed), DeliveryState::Delivered { at: at(4) });
    assert_eq!(attempts(store, owed), [late, unknown(2, at(3), at(4))]);
}

pub fn nothing_of_what_has_ended_is_cancelled(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (lane, owed) = dead(store);
    let before = state(store, owed);
    assert_eq!(cancel(store, at(3), owed), Reply::Done(0));
    assert_eq!(state(store, owed), before);
    let delivered = owe(store, at(4), "e2", lane);
    deliver_all(store, at(4), lane, 8);
    assert_eq!(cancel(store, at(5), delivered), Reply::Done(0));
    let cancelled = owe(store, at(6), "e3", lane);
    assert_eq!([cancel(store, at(7), cancelled), cancel(store, at(8), cancelled)], [Reply::Done(1), Reply::Done(0)]);
    assert_eq!(state(store, cancelled), DeliveryState::Cancelled { at: at(7) });
}

pub fn tokens_are_kept_by_name_until_they_are_removed(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let token =
        |name: &str, hash: u8, scope| AccessToken { name: name.to_owned(), hash: [hash; 32], scope, created_at: at(1) };
    let add =
        |token: &AccessToken| Command::AddToken { name: token.name.clone(), hash: token.hash, scope: token.scope };
    let tokens = [token("a", 1, Scope::Enqueue), token("b", 0, Scope::Admin), token("c", 3, Scope::Read)];
    for index in [1, 2, 0] {
        assert_eq!(done(first, at(1), add(&tokens[index])), 1);
    }
    assert_eq!(second.tokens().unwrap(), tokens);
    for taken in [token("a", 9, Scope::Read), token("d", 3, Scope::Read)] {
        assert_eq!(refused(second, at(2), add(&taken)), Refusal::NameTaken, "by name, or the same token");
    }
    assert_eq!(done(second, at(2), Command::RemoveToken { name: "b".to_owned() }), 1);
    let again = Command::RemoveToken { name: "b".to_owned() };
    assert_eq!(refused(first, at(2), again), Refusal::NoSuchToken);
    assert_eq!(first.tokens().unwrap(), [tokens[0].clone(), tokens[2].clone()]);
}
