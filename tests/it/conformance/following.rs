//! Following: the outcome log tells, in order and each once, what became of every delivery.

use postrider::delivery::{Attempt, DeadReason, DeliveryId, Outcome, StateName, Verdict};
use postrider::store::{Command, LeaseRequest, LoggedOutcome, OUTCOMES_KEPT, OUTCOMES_STEP, Outcomes, Store};

use super::Pair;
use super::fixture::*;

fn log(store: &mut dyn Store) -> Vec<LoggedOutcome> {
    let Outcomes { first_kept, last, list } = store.outcomes(0, u32::MAX).expect("the store is well");
    let numbers: Vec<i64> = list.iter().map(|entry| entry.seq).collect();
    assert!(numbers.is_sorted() && numbers.iter().all(|seq| (first_kept..=last).contains(seq)), "{numbers:?}");
    list
}

/// Delivery, attempt and state of each entry.
fn short(store: &mut dyn Store) -> Vec<(DeliveryId, Option<u32>, StateName)> {
    let part = |entry: LoggedOutcome| (entry.delivery, entry.attempt.map(|attempt| attempt.number), entry.state);
    log(store).into_iter().map(part).collect()
}

pub fn every_outcome_is_logged_with_the_state_it_led_to(pair: &mut Pair) {
    let store = &mut *pair.first;
    assert_eq!(store.outcomes(0, 10).unwrap(), Outcomes { first_kept: 1, last: 0, list: vec![] });
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    let first = Attempt { answer: b"no".to_vec(), ..attempt(1, at(1), at(2), rejected()) };
    record(store, at(3), owed, 7, first.clone(), Verdict::RetryAt(at(10)));
    lease(store, at(10), lane, 8);
    let second = attempt(2, at(10), at(11), accepted());
    record(store, at(12), owed, 8, second.clone(), Verdict::Delivered);
    let entry = |seq, now, attempt: Attempt, state| LoggedOutcome {
        seq,
        at: now,
        delivery: owed,
        event: id("e1"),
        event_type: event_type("policy/creation"),
        endpoint: lane,
        attempt: Some(Attempt { answer: vec![], ..attempt }),
        state,
    };
    let expected = [entry(1, at(3), first, StateName::Pending), entry(2, at(12), second.clone(), StateName::Delivered)];
    assert_eq!(log(&mut *pair.second), expected);
    // Heard again, or too late: on record as well, with the state that stands.
    record(store, at(13), owed, 7, attempt(1, at(1), at(13), rejected()), Verdict::RetryAt(at(20)));
    assert_eq!(short(store)[2], (owed, Some(1), StateName::Delivered));
    let nobody = DeliveryId(99);
    record(store, at(14), nobody, 7, second, Verdict::Delivered);
    assert_eq!(store.outcomes(0, 10).unwrap().last, 3, "what is nobody's is not logged");
}

pub fn what_ends_without_an_attempt_is_logged_too(pair: &mut Pair) {
    let store = &mut *pair.first;
    let (acme, bolt) = (add(store, "acme"), add(store, "bolt"));
    let used_up = owe(store, at(1), "e1", acme);
    lease_as(store, at(1), LeaseRequest { most_attempts: 0, ..request(acme, at(1), 7) });
    let cancelled = owe(store, at(2), "e2", acme);
    done(store, at(2), Command::Cancel { delivery: cancelled });
    let states = StateName::ALL.to_vec();
    done(store, at(3), Command::Retry { delivery: cancelled, states: states.clone(), now_due: at(3) });
    // Nothing became of what only is due sooner.
    done(store, at(4), Command::Retry { delivery: cancelled, states, now_due: at(4) });
    let buried = owe(store, at(5), "e3", bolt);
    done(store, at(5), Command::RemoveEndpoint(bolt));
    done(store, at(5), Command::Bury { lane: bolt, limit: 10 });
    let expected = [
        (used_up, None, StateName::Dead),
        (cancelled, None, StateName::Cancelled),
        (cancelled, None, StateName::Pending),
        (buried, None, StateName::Dead),
    ];
    assert_eq!(short(store), expected);
}

pub fn an_unknown_attempt_is_logged_once(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let owed = owe(store, at(1), "e1", lane);
    lease(store, at(1), lane, 7);
    lease(store, at(40), lane, 8);
    assert_eq!(short(store), [(owed, Some(1), StateName::Pending)]);
    done(store, at(41), Command::Recover);
    assert_eq!(short(store)[1..], [(owed, Some(2), StateName::Pending)]);
    lease(store, at(80), lane, 9);
    done(store, at(81), Command::Cancel { delivery: owed });
    assert_eq!(short(store)[2..], [(owed, Some(3), StateName::Pending), (owed, None, StateName::Cancelled)]);
    assert_eq!(log(store)[0].attempt.as_ref().unwrap().outcome, Outcome::Unknown);
    // As soon as it is known, every entry of it says so.
    record(store, at(82), owed, 7, attempt(1, at(1), at(82), rejected()), Verdict::RetryAt(at(90)));
    assert_eq!(log(store)[0].attempt.as_ref().unwrap().outcome, rejected());
    assert_eq!(short(store)[4..], [(owed, Some(1), StateName::Cancelled)]);
    // An attempt that is on record is not closed again.
    done(store, at(90), Command::Retry { delivery: owed, states: StateName::ALL.to_vec(), now_due: at(90) });
    lease(store, at(90), lane, 10);
    record(store, at(91), owed, 666, attempt(4, at(90), at(91), rejected()), Verdict::Dead(DeadReason::EndpointGone));
    let before = short(store).len();
    done(store, at(92), Command::Recover);
    assert_eq!(short(store).len(), before);
}

pub fn the_log_goes_on_from_any_number(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    for number in 0..5 {
        let delivery = owe(store, at(number), &format!("e{number}"), lane);
        done(store, at(number), Command::Cancel { delivery });
    }
    let mut numbers = |after, limit| -> Vec<i64> {
        let part = store.outcomes(after, limit).unwrap();
        assert_eq!((part.first_kept, part.last), (1, 5));
        part.list.iter().map(|entry| entry.seq).collect()
    };
    assert_eq!(numbers(0, 2), [1, 2]);
    assert_eq!(numbers(2, 2), [3, 4]);
    assert_eq!(numbers(4, 2), [5]);
    assert_eq!(numbers(5, 2), Vec::<i64>::new());
    assert_eq!(numbers(-1, 100), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(99, 100), Vec::<i64>::new());
}

pub fn what_was_pruned_is_left_out_and_its_numbers_stay(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let mut end = |text: &str, now| {
        let delivery = owe(store, now, text, lane);
        done(store, now, Command::Cancel { delivery });
        delivery
    };
    let (_, kept) = (end("e1", at(1)), end("e2", at(9)));
    end("e3", at(2));
    assert_eq!(done(store, at(10), Command::Prune { before: at(5), limit: 10 }), 2);
    let rest = store.outcomes(0, 10).unwrap();
    assert_eq!((rest.first_kept, rest.last), (1, 3));
    assert_eq!(rest.list.iter().map(|entry| (entry.seq, entry.delivery)).collect::<Vec<_>>(), [(2, kept)]);
    assert_eq!(store.outcomes(2, 10).unwrap().list, []);
    let delivery = owe(store, at(11), "e4", lane);
    done(store, at(11), Command::Cancel { delivery });
    assert_eq!(store.outcomes(2, 10).unwrap().list[0].seq, 4);
}

pub fn the_log_keeps_its_newest_entries(pair: &mut Pair) {
    let store = &mut *pair.first;
    let lane = add(store, "acme");
    let delivery = owe(store, at(1), "e1", lane);
    let turn =
        [Command::Cancel { delivery }, Command::Retry { delivery, states: vec![StateName::Cancelled], now_due: at(1) }];
    let most = OUTCOMES_KEPT + OUTCOMES_STEP;
    let turns: Vec<Command> = turn.into_iter().cycle().take(most as usize - 1).collect();
    store.apply(at(1), &turns).unwrap();
    let all = store.outcomes(0, 1).unwrap();
    assert_eq!((all.first_kept, all.last, all.list[0].seq), (1, most - 1, 1));
    done(store, at(2), turns[1].clone());
    done(store, at(2), turns[0].clone());
    let rest = store.outcomes(0, 1).unwrap();
    assert_eq!((rest.last, rest.list[0].seq), (most + 1, rest.first_kept));
    assert_eq!(rest.last - rest.first_kept, OUTCOMES_KEPT, "the oldest go in steps");
}
