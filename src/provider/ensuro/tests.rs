use serde_json::json;

use super::*;
use crate::provider::dice::Dice;
use crate::time::Time;

fn event_type(text: &str) -> EventType {
    EventType::parse(text).unwrap()
}

/// 2026-11-01T00:00:00Z.
const NOW: Time = Time::from_ms(1_793_491_200_000);

fn sampled(name: &str) -> Value {
    sample::notification(name, &mut Dice::new(1), NOW).unwrap()
}

/// The error for the sample of this type with the value at a JSON pointer put in its place.
fn broken(name: &str, pointer: &str, value: Value) -> String {
    let mut body = sampled(name);
    *body.pointer_mut(pointer).unwrap() = value;
    check(&event_type(name), body.to_string().as_bytes()).unwrap_err()
}

/// The error for the sample of this type without one field of the object at a JSON pointer.
fn without(name: &str, pointer: &str, field: &str) -> String {
    let mut body = sampled(name);
    body.pointer_mut(pointer).unwrap().as_object_mut().unwrap().shift_remove(field).unwrap();
    check(&event_type(name), body.to_string().as_bytes()).unwrap_err()
}

#[test]
fn amounts_are_decimals_in_strings() {
    let expected = "a decimal in a string such as \"142.363804\"";
    let premium = |value| broken("policy/creation", "/policy/premium", value);
    assert_eq!(premium(json!(142.363804)), format!("policy.premium must be {expected}, not a number"));
    assert_eq!(premium(json!(null)), format!("policy.premium must be {expected}, not null"));
    for bad in ["", ".5", "5.", "-1.0", "1,5", "1e3", "1.2.3", " 1.0", "٣.٠"] {
        assert_eq!(premium(json!(bad)), format!("policy.premium must be {expected}, not the text {bad:?}"));
    }
    for field in ["payout", "pure_premium", "jr_coc", "sr_coc", "jr_scr", "sr_scr", "loss_prob"] {
        let error = broken("policy/resolution", &format!("/policy/{field}"), json!(1));
        assert_eq!(error, format!("policy.{field} must be {expected}, not a number"));
    }
    let error = broken("policy/creation", "/policy/actual_payout", json!(0));
    assert_eq!(error, format!("policy.actual_payout must be {expected}, or null, not a number"));
}

#[test]
fn every_shared_field_is_required() {
    for (field, rule) in POLICY {
        let error = without("policy/replacement", "/policy", field);
        assert_eq!(error, format!("policy.{field} is missing; it must be {}", rule.expected()));
    }
    for (field, rule) in POLICY_EVENT {
        let error = without("policy/cancellation", "/policy/events/1", field);
        assert_eq!(error, format!("policy.events[1].{field} is missing; it must be {}", rule.expected()));
    }
    assert_eq!(without("policy/creation", "", "policy"), "policy is missing; it must be an object");
    assert_eq!(without("policy/creation", "", "type"), "type is missing; it must be a string with something in it");
}

#[test]
fn other_fields_have_their_json_types() {
    let refused = |pointer: &str, value: Value, words: &str| {
        let error = broken("policy/cancellation", pointer, value);
        assert!(error.contains(words), "{error:?} lacks {words:?}");
    };
    refused("/policy/id", json!("25"), "policy.id must be a whole number, not the text \"25\"");
    refused("/policy/id", json!(-1), "policy.id must be a whole number, not a number");
    refused("/policy/id", json!(2.5), "policy.id must be a whole number");
    refused("/policy/ensuro_id", json!(5.5e76), "policy.ensuro_id must be an integer in a string");
    refused("/policy/ensuro_id", json!("0x12"), "not the text \"0x12\"");
    refused("/policy/ensuro_id", json!("9".repeat(79)), "at most 78 digits");
    refused("/policy/status", json!(""), "policy.status must be a string with something in it, not the text \"\"");
    refused("/policy/start", json!(1718265600), "policy.start must be a time in a string");
    refused("/policy/start", json!("2026-07-01"), "policy.start must be a time in a string");
    refused("/policy/expiration", json!("2026-13-01T00:00:00Z"), "policy.expiration must be a time");
    refused("/policy/rm", json!("0xB02d"), "policy.rm must be a URL or the path of one");
    refused("/policy/url", json!("javascript:alert(1)"), "policy.url must be a URL or the path of one");
    refused("/policy/quote", json!("/api/quotes/1/"), "policy.quote must be an object or null");
    refused("/policy/custom_data", json!([]), "policy.custom_data must be an object, not a list");
    refused("/policy/refund_data", json!(true), "policy.refund_data must be an object or null, not a boolean");
    refused("/policy/replaced_by", json!(38289), "policy.replaced_by must be a URL");
    refused("/policy/updated_at", json!("yesterday"), "policy.updated_at must be a time");
    refused("/policy/events", json!([]), "policy.events must be a list of events, with at least one, not a list");
    refused("/policy/events/0", json!("creation"), "policy.events[0] must be an object, not the text \"creation\"");
    refused("/policy/events/0/tx_hash", json!("0x12"), "policy.events[0].tx_hash must be a transaction's hash");
    refused("/policy/events/1/log_index", json!("58"), "policy.events[1].log_index must be a whole number");
    refused("/policy", json!([]), "policy must be an object, not a list");
    refused("/type", json!(7), "type must be a string");
}

#[test]
fn what_the_document_shows_otherwise_passes() {
    let mut body = sampled("policy/creation");
    let policy = body["policy"].as_object_mut().unwrap();
    for (field, _) in POLICY_OPTIONAL {
        policy.shift_remove(*field);
    }
    policy["quote"] = json!(null);
    policy["actual_payout"] = json!("71.35");
    policy["rm"] = json!("https://offchain.example/api/riskmodules/0x00/");
    policy["events"][0]["timestamp"] = json!("2023-06-28T22:00:00");
    policy["start"] = json!("2026-06-27T01:34:23.256090+00:00");
    policy.insert("a_field_of_tomorrow".to_owned(), json!([1]));
    let checked = check(&event_type("policy/creation"), body.to_string().as_bytes());
    assert_eq!(checked, Ok(Checked::default()));
}

#[test]
fn failures_say_what_failed_and_why() {
    for name in TYPES.iter().filter(|name| name.ends_with("/failed")) {
        let expected = "a string with something in it";
        let error = without(name, "", "error_detail");
        assert_eq!(error, format!("error_detail is missing; it must be {expected}"));
        let error = broken(name, "/error_detail", json!(" "));
        assert_eq!(error, format!("error_detail must be {expected}, not the text \" \""));
        assert_eq!(broken(name, "/data", json!(null)), "data must be an object, not null");
    }
    let needed = [(1, "quote"), (3, "ensuro_id"), (5, "ensuro_id"), (7, "old_ensuro_id"), (7, "new_policy")];
    for (index, field) in needed {
        let error = without(TYPES[index], "/data", field);
        assert!(error.starts_with(&format!("data.{field} is missing; it must be ")), "{error}");
    }
}

#[test]
fn the_type_must_be_known_and_the_bodys_own() {
    let body = sampled("policy/creation").to_string();
    let error = |name| check(&event_type(name), body.as_bytes()).unwrap_err();
    assert_eq!(error("policy/create"), "\"policy/create\" is no Ensuro event type; is policy/creation meant?");
    assert!(error("invoice.paid").ends_with("policy/replacement, policy/replacement/failed"));
    assert_eq!(
        error("policy/resolution"),
        "type must be \"policy/resolution\", as the event's type is, not \"policy/creation\""
    );
    assert_eq!(type_of_body(b"{\"type\":\"a b\"}"), None);
    assert_eq!(type_of_body(b"{\"type\":1}"), None);
}

#[test]
fn odd_but_harmless_bodies_are_warned_of() {
    let mut body = sampled("policy/creation");
    body["error_detail"] = json!("x");
    body["policy"]["events"][0]["event_type"] = json!("resolution");
    let checked = check(&event_type("policy/creation"), body.to_string().as_bytes()).unwrap();
    assert_eq!(checked.warnings[0], "the document knows no field \"error_detail\" here");
    assert_eq!(checked.warnings[1], "policy.events has no event of type \"creation\", though that is what happened");
}
