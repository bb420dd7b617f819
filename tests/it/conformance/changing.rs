//! Changes: a handle hears of everything that others did and that it must act on. It may hear of more, and then looks
//! in vain; it must never hear of less.

use postrider::access::Scope;
use postrider::delivery::{DeadReason, StateName, Token, Verdict};
use postrider::endpoint::EndpointId;
use postrider::store::{Changes, Command, EndpointEdit, Store};
use postrider::time::{Span, Time};

use super::Pair;
use super::fixture::*;

fn ask(store: &mut dyn Store) -> Changes {
    store.changes().expect("the store is well")
}

/// Whoever hears this looks at the lane in time.
fn tells(changes: &Changes, lane: EndpointId, due_at: Time) -> bool {
    changes.all || changes.lanes.iter().any(|due| due.lane == lane && due.due_at <= due_at)
}

pub fn what_was_told_is_not_told_again(pair: &mut Pair) {
    let lane = add(&mut *pair.first, "acme");
    owe(&mut *pair.first, at(1), "e1", lane);
    ask(&mut *pair.second);
    assert_eq!(ask(&mut *pair.second), Changes::default());
}

pub fn what_others_enqueue_is_told(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let (acme, bolt) = (add(first, "acme"), add(first, "bolt"));
    owe(first, at(1), "before", acme);
    ask(second);
    owe(first, at(9), "e1", bolt);
    owe(first, at(5), "e2", bolt);
    enqueue(first, at(7), new_event("e3", &[acme, bolt]));
    let told = ask(second);
    assert!(tells(&told, bolt, at(5)), "{told:?}");
    assert!(tells(&told, acme, at(7)), "{told:?}");
    owe(first, at(6), "e4", acme);
    let told = ask(second);
    assert!(tells(&told, acme, at(6)), "since it was last asked: {told:?}");
}

pub fn each_handle_is_told_of_the_other(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let (acme, bolt) = (add(first, "acme"), add(first, "bolt"));
    ask(first);
    ask(second);
    owe(first, at(1), "e1", acme);
    owe(second, at(2), "e2", bolt);
    // What one handle asked or did itself does not hide from it what the other did.
    let (told_first, told_second) = (ask(first), ask(second));
    assert!(tells(&told_first, bolt, at(2)), "{told_first:?}");
    assert!(tells(&told_second, acme, at(1)), "{told_second:?}");
}

pub fn what_comes_between_own_work_is_told(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let (acme, bolt) = (add(first, "acme"), add(first, "bolt"));
    ask(second);
    owe(second, at(1), "own1", acme);
    owe(first, at(2), "others", bolt);
    owe(second, at(3), "own2", acme);
    add(second, "own");
    let told = ask(second);
    assert!(tells(&told, bolt, at(2)), "{told:?}");
}

pub fn a_new_or_removed_endpoint_is_told(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    ask(second);
    let lane = add(first, "acme");
    assert!(ask(second).all);
    done(first, at(1), Command::RemoveEndpoint(lane));
    assert!(ask(second).all);
}

pub fn an_endpoint_that_others_found_gone_is_told(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let lane = add(first, "acme");
    let owed = owe(first, at(1), "e1", lane);
    lease(first, at(1), lane, 7);
    ask(second);
    let outcome = attempt(1, at(1), at(2), rejected());
    record(first, at(2), owed, 7, outcome, Verdict::Dead(DeadReason::EndpointGone));
    assert!(ask(second).all);
}

pub fn a_one_off_by_others_is_told(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    ask(second);
    for (text, now) in [("e1", at(1)), ("e2", at(0))] {
        let lane = enqueue(first, now, one_off(text, "https://a.example/", &[])).deliveries[0].1;
        let told = ask(second);
        assert!(tells(&told, lane, now), "{told:?}");
    }
}

pub fn what_others_move_is_told(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let lane = add(first, "acme");
    let owed = owe(first, at(1), "e1", lane);
    lease(first, at(1), lane, 7);
    ask(second);
    done(first, at(2), Command::Release { delivery: owed, token: Token(7) });
    assert!(ask(second).all, "released");
    lease(first, at(2), lane, 8);
    ask(second);
    done(first, at(3), Command::Recover);
    assert!(ask(second).all, "recovered");
    lease(first, at(3), lane, 9);
    ask(second);
    done(first, at(4), Command::Shift { by: Span::from_seconds(-60) });
    assert!(ask(second).all, "shifted");
    done(first, at(5), Command::RemoveEndpoint(lane));
    ask(second);
    assert_eq!(done(first, at(5), Command::Bury { lane, limit: 1 }), 1);
    assert!(ask(second).all, "buried");
}

/// The tokens too: whoever guards the door looks at them again.
pub fn what_others_do_by_hand_is_told(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let lane = add(first, "acme");
    let delivery = owe(first, at(1), "e1", lane);
    ask(second);
    let states = vec![StateName::Cancelled, StateName::Pending];
    let name = "t".to_owned();
    let commands = [
        Command::EditEndpoint { endpoint: lane, edit: EndpointEdit::default() },
        Command::Pause(lane),
        Command::Resume(lane),
        Command::Cancel { delivery },
        Command::Retry { delivery, states: states.clone(), now_due: at(2) },
        Command::Retry { delivery, states, now_due: at(1) },
        Command::AddToken { name: name.clone(), hash: [0; 32], scope: Scope::Read },
        Command::RemoveToken { name },
    ];
    for command in commands {
        assert_eq!(done(first, at(2), command.clone()), 1);
        assert!(ask(second).all, "{command:?}");
    }
    done(first, at(3), Command::Resume(lane));
    assert_eq!(ask(second), Changes::default(), "nothing was changed");
}

/// Nothing of it is left to do; what comes after it is told as ever.
pub fn what_has_ended_meanwhile_need_not_be_told(pair: &mut Pair) {
    let (first, second) = (&mut *pair.first, &mut *pair.second);
    let lane = add(first, "acme");
    ask(second);
    owe(first, at(1), "e1", lane);
    deliver_all(first, at(1), lane, 7);
    ask(second);
    owe(first, at(9), "e2", lane);
    let told = ask(second);
    assert!(tells(&told, lane, at(9)), "{told:?}");
}
