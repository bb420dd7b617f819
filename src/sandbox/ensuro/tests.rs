//! Every request is queued, and succeeds or fails by the state that its policy then has.

use super::*;
use crate::provider::ensuro::policy::Amount;
use crate::sandbox::world::Command as Any;
use crate::sandbox::world::tests::{BEGAN, Story, settings};
use crate::time::Span;

const DAY: Span = Span::from_hours(24);

fn ask(story: &mut Story, after: Span, command: Command) -> Value {
    let done = story.at(after, Any::Ensuro(command)).unwrap();
    assert_eq!(done.notification, None, "what comes of it is told later");
    done.answer
}

fn wanted(payout: &str, lasts: Span) -> NewPolicy {
    let data = Map::from_iter([("booking".to_owned(), json!("RN-1"))]);
    NewPolicy { payout: Amount::parse(payout).unwrap(), expiration: BEGAN + lasts, data }
}

/// A policy of 100 that lasts ten days, made at the beginning.
fn made(story: &mut Story) -> String {
    let answer = ask(story, Span::ZERO, Command::NewPolicy(wanted("100", Span::from_hours(240))));
    let told = settled(story, Span::ZERO);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "policy/creation");
    let id = answer["ensuro_id"].as_str().unwrap().to_owned();
    assert_eq!((&told[0].1["policy"]["ensuro_id"], &told[0].1["policy"]["status"]), (&json!(id), &json!("active")));
    id
}

fn resolve(id: &str, payout: &str) -> Command {
    Command::Resolve(Resolve { ensuro_id: id.to_owned(), payout: Amount::parse(payout).unwrap() })
}

fn cancel(id: &str) -> Command {
    Command::Cancel(Cancel { ensuro_id: id.to_owned() })
}

fn replace(id: &str, new: NewPolicy) -> Command {
    Command::Replace(Replace { old_ensuro_id: id.to_owned(), new })
}

/// What is told once the delay has passed.
fn settled(story: &mut Story, after: Span) -> Vec<(&'static str, Value)> {
    let from = story.world.no_earlier(BEGAN + after).since(BEGAN);
    story.until(from + Span::from_seconds(1))
}

/// What is told of a request that is made so long after the beginning.
fn told(story: &mut Story, after: Span, command: Command) -> (&'static str, Value) {
    ask(story, after, command);
    let mut told = settled(story, after);
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

/// The error of a request that fails.
#[track_caller]
fn error(story: &mut Story, after: Span, command: Command, event_type: &str) -> String {
    let (its_type, body) = told(story, after, command);
    assert_eq!(its_type, event_type, "{body}");
    body["error_detail"].as_str().unwrap().to_owned()
}

fn state(story: &Story, id: &str) -> &'static str {
    story.world.ensuro.policy(id).unwrap().status.as_str()
}

#[test]
fn a_quote_is_answered_in_both_forms_that_the_documents_show() {
    let mut dice = Dice::new(1);
    let quote = quote(&wanted("190.25", DAY), BEGAN, &mut dice, &settings());
    let (signed, unsigned) = (quoted(&quote, true), quoted(&quote, false));
    for name in ["quote_id", "ensuro_id", "data_hash", "loss_prob", "premium", "bucket_id", "valid_until"] {
        assert_eq!(signed[name], signed["quote"][name], "{name}");
        assert!(signed.get(name).is_some(), "{name}");
    }
    assert!(signed["signature"]["r"].is_string() && unsigned.get("signature").is_none());
    assert_eq!((&signed["data"], &signed["payout"]), (&json!({"booking": "RN-1"}), &json!("190.250000")));
}

#[test]
fn a_creation_fails_by_the_limits_of_the_risk_module() {
    let mut story = Story::new(settings());
    let failed = "policy/creation/failed";
    let year = Span::from_hours(24 * 366);
    assert_eq!(error(&mut story, Span::ZERO, Command::NewPolicy(wanted("100", year)), failed), TOO_LONG);
    let past = Span::from_ms(-1);
    assert_eq!(error(&mut story, DAY, Command::NewPolicy(wanted("100", past)), failed), IN_THE_PAST);
    let (its_type, body) = told(&mut story, DAY + DAY, Command::NewPolicy(wanted("10000.000001", DAY + DAY + DAY)));
    assert_eq!((its_type, &body["error_detail"]), (failed, &json!(TOO_MUCH)));
    assert_eq!(body["data"]["quote"]["payout"], "10000.000001");
    assert_eq!(story.world.ensuro.policies().count(), 0);
    // The highest payout and the longest time are taken.
    let longest = DAY + DAY + DAY + settings().max_duration + Span::from_seconds(1);
    assert_eq!(told(&mut story, DAY + DAY + DAY, Command::NewPolicy(wanted("10000", longest))).0, "policy/creation");
}

#[test]
fn what_a_failed_creation_repeats_is_what_was_answered() {
    let mut story = Story::new(settings());
    let answer = ask(&mut story, Span::ZERO, Command::NewPolicy(wanted("99999", DAY)));
    let told = story.until(Span::from_seconds(1));
    assert_eq!(
        (&told[0].1["data"]["quote"], &told[0].1["data"]["signature"]),
        (&answer["quote"], &answer["signature"])
    );
}

#[test]
fn a_policy_is_resolved_once() {
    for (payout, status) in [("60.5", "customer_won"), ("100", "customer_won"), ("0", "customer_lost")] {
        let mut story = Story::new(settings());
        let id = made(&mut story);
        assert_eq!(ask(&mut story, DAY, resolve(&id, payout)), json!({"status": "QUEUED"}));
        assert_eq!(state(&story, &id), "active", "it is queued first");
        let told = story.until(DAY + Span::from_seconds(1));
        assert_eq!((told[0].0, &told[0].1["policy"]["status"]), ("policy/resolution", &json!(status)));
        assert_eq!(told[0].1["policy"]["actual_payout"], Amount::parse(payout).unwrap().to_string());
        let failed = "policy/resolution/failed";
        assert_eq!(error(&mut story, DAY + DAY, resolve(&id, "1"), failed), NOT_FOUND);
        assert_eq!(error(&mut story, DAY + DAY, cancel(&id), "policy/cancellation/failed"), NOT_FOUND);
        assert_eq!(state(&story, &id), status);
        assert_eq!(story.until(Span::from_hours(24 * 30)), [], "a policy that has ended does not expire");
    }
}

#[test]
fn two_resolutions_in_the_queue_are_one_and_a_failure() {
    let mut story = Story::new(settings());
    let id = made(&mut story);
    ask(&mut story, DAY, resolve(&id, "10"));
    ask(&mut story, DAY, resolve(&id, "20"));
    let told = story.until(DAY + DAY);
    let types: Vec<&str> = told.iter().map(|(its_type, _)| *its_type).collect();
    assert_eq!(types, ["policy/resolution", "policy/resolution/failed"]);
    assert_eq!(told[0].1["policy"]["actual_payout"], "10.000000");
    assert_eq!(
        (&told[1].1["data"]["policy"]["status"], &told[1].1["data"]["payout"]),
        (&json!("customer_won"), &json!("20.000000"))
    );
}

#[test]
fn a_resolution_fails_beyond_the_payout_after_the_end_and_for_strangers() {
    let mut story = Story::new(settings());
    let id = made(&mut story);
    let failed = "policy/resolution/failed";
    assert_eq!(error(&mut story, DAY, resolve(&id, "100.000001"), failed), ABOVE_PAYOUT);
    assert_eq!(state(&story, &id), "active");
    let (_, stranger) = told(&mut story, DAY, resolve("12345", "1"));
    assert_eq!((&stranger["error_detail"], &stranger["data"]["policy"]), (&json!(NOT_FOUND), &Value::Null));
    let end = Span::from_hours(240);
    // Asked in time, and carried out too late.
    ask(&mut story, end + Span::from_ms(-1), resolve(&id, "50"));
    let told = story.until(end + DAY);
    assert_eq!((told[0].0, &told[0].1["error_detail"]), (failed, &json!(EXPIRED)));
    assert_eq!((state(&story, &id), told.len()), ("expired", 1));
    assert_eq!(error(&mut story, end + DAY, cancel(&id), "policy/cancellation/failed"), EXPIRED);
}

#[test]
fn a_cancellation_gives_back_what_is_left_of_the_time() {
    let mut story = Story::new(settings());
    let id = made(&mut story);
    let answer = ask(&mut story, DAY, cancel(&id));
    assert_eq!((&answer["status"], &answer["ensuro_id"]), (&json!("QUEUED"), &json!(id)));
    let refunds = &answer["refunds"];
    assert!(refunds["pure_premium"].is_string() && refunds["jr_coc"].is_string() && refunds["sr_coc"].is_string());
    let told_of = story.until(DAY + Span::from_seconds(1));
    let policy = &told_of[0].1["policy"];
    assert_eq!((told_of[0].0, &policy["status"]), ("policy/cancellation", &json!("cancelled")));
    let amount = |value: &Value| Amount::parse(value.as_str().unwrap()).unwrap();
    let (back, paid) = (amount(&policy["refund_data"]["pure_premium_refund"]), amount(&policy["pure_premium"]));
    assert!(back > Amount::ZERO && back < paid, "{back} of {paid}");
    let (_, again) = told(&mut story, DAY + DAY, cancel(&id));
    assert_eq!((&again["error_detail"], &again["data"]["ensuro_id"]), (&json!(NOT_FOUND), &json!(id)));
    assert!(again["data"]["cancellation"]["refunds"].is_object());
    assert_eq!(error(&mut story, DAY + DAY, cancel("777"), "policy/cancellation/failed"), NOT_FOUND);
}

#[test]
fn a_replacement_is_never_less_than_what_it_replaces() {
    let mut story = Story::new(settings());
    let id = made(&mut story);
    let failed = "policy/replacement/failed";
    let (same, longer) = (Span::from_hours(240), Span::from_hours(480));
    assert_eq!(error(&mut story, DAY, replace(&id, wanted("99.999999", longer)), failed), NOT_GREATER);
    assert_eq!(error(&mut story, DAY, replace(&id, wanted("100", same + Span::from_ms(-1))), failed), NOT_GREATER);
    assert_eq!(error(&mut story, DAY, replace(&id, wanted("10001", longer)), failed), TOO_MUCH);
    assert_eq!(error(&mut story, DAY, replace("777", wanted("100", longer)), failed), NOT_FOUND);
    assert_eq!(state(&story, &id), "active");
    let answer = ask(&mut story, DAY, replace(&id, wanted("150", longer)));
    assert_eq!(answer["status"], "QUEUED");
    let new_id = answer["quote"]["ensuro_id"].as_str().unwrap().to_owned();
    let told_of = settled(&mut story, DAY);
    let old = &told_of[0].1["policy"];
    assert_eq!(
        (told_of[0].0, &old["status"], &old["ensuro_id"]),
        ("policy/replacement", &json!("replaced"), &json!(id))
    );
    let new = story.world.ensuro.policy(&new_id).unwrap().json();
    assert_eq!((&old["replaced_by"], &new["replaces"], &new["status"]), (&new["url"], &old["url"], &json!("active")));
    assert_eq!(error(&mut story, DAY, replace(&id, wanted("150", longer)), failed), NOT_FOUND);
    assert_eq!(told(&mut story, DAY, resolve(&new_id, "150")).0, "policy/resolution");
    assert_eq!(error(&mut story, longer, replace(&new_id, wanted("200", longer)), failed), NOT_FOUND);
}

#[test]
fn policies_are_found_by_number_and_by_id() {
    let mut story = Story::new(settings());
    let (first, second) = (made(&mut story), made(&mut story));
    let found = |id: &str| story.world.ensuro.policy(id).map(|policy| policy.ensuro_id().to_owned());
    assert_eq!((found("1"), found("2"), found(&second)), (Some(first), Some(second.clone()), Some(second)));
    assert_eq!((found("0"), found("3"), found("x")), (None, None, None));
    assert!(matches!(story.world.check(&Any::Ensuro(Command::Settle { ticket: 99 })), Err(Refusal::Unknown(_))));
    let stranger = Command::Expire { ensuro_id: "5".to_owned() };
    assert!(matches!(story.world.check(&Any::Ensuro(stranger)), Err(Refusal::Unknown(_))));
}

#[test]
fn each_field_has_an_error_of_its_own() {
    let good =
        json!({"payout": "100.98", "expiration": "2026-12-31T14:21:55+02:00", "data": {"pricing": "general"}, "x": 1});
    let read = NewPolicy::read(good.to_string().as_bytes()).unwrap();
    assert_eq!(
        (read.payout.to_string(), rfc3339(read.expiration)),
        ("100.980000".into(), "2026-12-31T12:21:55.000Z".into())
    );
    let change = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        NewPolicy::read(body.to_string().as_bytes()).unwrap_err()
    };
    for (name, value, words) in [
        ("payout", json!(100.98), "payout must be a decimal in a string such as \"190.25\", not a number"),
        ("payout", json!("1.0000001"), "payout: an amount is a decimal"),
        ("payout", json!("-1"), "payout: an amount is a decimal"),
        ("payout", json!("0"), "payout must be above 0"),
        ("expiration", json!("tomorrow"), "expiration: a time is written in RFC 3339"),
        ("expiration", json!(1_798_700_000), "expiration must be a time in RFC 3339"),
        ("data", json!("x"), "data must be an object, not the text \"x\""),
        ("currency", json!("EUR"), "currency: this sandbox prices in \"USD\" only, not \"EUR\""),
    ] {
        let said = change(name, value);
        assert!(said.starts_with(words), "{said}");
    }
    let said = NewPolicy::read(br#"{"payout": "1", "expiraton": "2026-12-31T14:21:55Z"}"#).unwrap_err();
    assert_eq!(said, "expiration is missing; is \"expiraton\" meant to be it?");
    let said = Resolve::read(br#"{"ensuro_id": "12x", "payout": "1"}"#).unwrap_err();
    assert!(said.starts_with("ensuro_id must be a policy's id as digits in a string"), "{said}");
    assert!(Resolve::read(br#"{"ensuro_id": 12, "payout": "1"}"#).unwrap_err().contains("not a number"));
    assert!(Cancel::read(b"{}").unwrap_err().starts_with("ensuro_id is missing"));
    let said = Replace::read(good.to_string().as_bytes()).unwrap_err();
    assert!(said.starts_with("old_ensuro_id is missing"), "{said}");
    assert!(Cancel::read(br#"{"ensuro_id": "1", "ensuro_id": "2"}"#).unwrap_err().contains("stands twice"));
}
