use serde_json::json;

use super::*;
use crate::provider::dice::Dice;

fn event_type(text: &str) -> EventType {
    EventType::parse(text).unwrap()
}

fn sampled(name: &str) -> Value {
    sample::notification(name, &mut Dice::new(1), Kind::Png, None).unwrap()
}

/// The error for the sample of this type with one field put in its place, or taken out.
fn broken(name: &str, field: &str, value: Option<Value>) -> String {
    let mut body = sampled(name);
    match value {
        Some(value) => drop(body.as_object_mut().unwrap().insert(field.to_owned(), value)),
        None => drop(body.as_object_mut().unwrap().shift_remove(field)),
    }
    check(&event_type(name), body.to_string().as_bytes()).unwrap_err()
}

#[test]
fn every_sample_passes_and_fires_once() {
    for seed in 0..50 {
        for (name, status) in [(APPROVED, "a"), (DECLINED, "d")] {
            for kind in Kind::ALL {
                let body = sample::notification(name, &mut Dice::new(seed), kind, None).unwrap();
                let checked = check(&event_type(name), body.to_string().as_bytes()).unwrap();
                assert_eq!(checked.warnings, Vec::<String>::new());
                let (consumer, transaction) =
                    (body["consumerId"].as_str().unwrap(), body["trnsctnId"].as_str().unwrap());
                assert_eq!(checked.once, Some(format!("octamile:{consumer}:{transaction}:{status}")));
                assert_eq!(type_of_body(body.to_string().as_bytes()), Some(event_type(name)));
                let again = sample::notification(name, &mut Dice::new(seed), kind, None).unwrap();
                let other = sample::notification(name, &mut Dice::new(seed + 1), kind, None).unwrap();
                assert!(body == again && body["trnsctnId"] != other["trnsctnId"], "{seed}");
            }
        }
    }
    assert_eq!(sample::notification("policy/creation", &mut Dice::new(1), Kind::Png, None), None);
}

#[test]
fn an_approval_carries_the_certificate_that_is_given() {
    let body = sample::notification(APPROVED, &mut Dice::new(1), Kind::Pdf, Some(b"%PDF-mine")).unwrap();
    assert_eq!((&body["crtfct"], &body["crtfctType"]), (&json!(STANDARD.encode(b"%PDF-mine")), &json!("pdf")));
}

#[test]
fn ids_and_texts_are_refused_with_the_reason() {
    assert_eq!(
        broken(APPROVED, "product", Some(json!(" "))),
        "product must name the product, such as \"vhcl-tprt-2040\", and is empty"
    );
    assert_eq!(broken(APPROVED, "product", Some(json!(7))), "product must be a string, not a number");
    assert_eq!(
        broken(APPROVED, "consumerId", Some(json!("abc"))),
        "consumerId must have 32 letters and digits; \"abc\" does not"
    );
    assert!(broken(APPROVED, "consumerId", Some(json!("é".repeat(16)))).starts_with("consumerId must have"));
    assert!(broken(APPROVED, "consumerId", Some(json!("a-".repeat(16)))).starts_with("consumerId must have"));
    for bad in ["", ".", "..", ".a", "a..b", "../etc/passwd", "a/b", "a\\b", "a b", "a\0", "ä", &"x".repeat(129)] {
        let error = broken(APPROVED, "trnsctnId", Some(json!(bad)));
        assert!(error.starts_with("trnsctnId must be safe as a file's name"), "{error}");
    }
    for field in ["product", "consumerId", "trnsctnId", "status", "statusNote", "crtfct", "crtfctType"] {
        assert_eq!(broken(APPROVED, field, None), format!("{field} is missing"));
        assert_eq!(broken(APPROVED, field, Some(json!(null))), format!("{field} must be a string, not null"));
    }
}

#[test]
fn a_mistyped_field_is_named() {
    let body = sampled(DECLINED).to_string().replace("\"trnsctnId\"", "\"transactnId\"");
    assert_eq!(
        check(&event_type(DECLINED), body.as_bytes()).unwrap_err(),
        "trnsctnId is missing; is \"transactnId\" meant to be it?"
    );
}

#[test]
fn status_and_note_follow_the_type() {
    assert_eq!(
        broken(APPROVED, "status", Some(json!("d"))),
        "status must be \"a\" in a policy/approved event, not \"d\""
    );
    assert_eq!(
        broken(DECLINED, "status", Some(json!("D"))),
        "status must be \"d\" in a policy/declined event, not \"D\""
    );
    assert_eq!(broken(APPROVED, "statusNote", Some(json!("ok"))), "statusNote must be empty on approval, not \"ok\"");
    for blank in ["", " "] {
        let error = broken(DECLINED, "statusNote", Some(json!(blank)));
        assert_eq!(error, "statusNote must give the reason of the decline, and is empty");
    }
    let error = check(&event_type("policy/creation"), b"{}").unwrap_err();
    assert_eq!(error, "\"policy/creation\" is no Octamile event type; they are policy/approved and policy/declined");
}

#[test]
fn a_certificate_is_what_it_says_it_is() {
    for (kind, bytes) in [("jpg", &b"\xff\xd8\xff\xe0"[..]), ("png", b"\x89PNG\r\n\x1a\n"), ("pdf", b"%PDF-1.7")] {
        let mut body = sampled(APPROVED);
        body["crtfct"] = json!(STANDARD.encode(bytes));
        body["crtfctType"] = json!(kind);
        assert!(check(&event_type(APPROVED), body.to_string().as_bytes()).is_ok(), "{kind}");
    }
    let wrong_kind = broken(APPROVED, "crtfctType", Some(json!("pdf")));
    assert_eq!(wrong_kind, "crtfctType says pdf, but crtfct does not begin as a pdf file does");
    let unknown = broken(APPROVED, "crtfctType", Some(json!("jpeg")));
    assert_eq!(unknown, "crtfctType must be \"jpg\", \"png\" or \"pdf\", not \"jpeg\"");
    assert_eq!(broken(APPROVED, "crtfct", Some(json!(""))), "crtfct must hold the certificate, and is empty");
    for bad in ["/9j/4AAQSkZJRgABAQAA...", "iVBORw0KGgo", "iVBO\nRw0KGgo=", "a_-="] {
        let error = broken(APPROVED, "crtfct", Some(json!(bad)));
        assert!(error.starts_with("crtfct must be base64 (standard alphabet, padded, one line); "), "{error}");
    }
    for field in ["crtfct", "crtfctType"] {
        let error = broken(DECLINED, field, Some(json!(null)));
        assert_eq!(error, format!("{field} must be left out on decline: only an approval has a certificate"));
    }
}

#[test]
fn unknown_fields_are_warned_of_and_repeated_ones_refused() {
    let mut body = sampled(DECLINED);
    body["note"] = json!("x");
    let checked = check(&event_type(DECLINED), body.to_string().as_bytes()).unwrap();
    assert_eq!(checked.warnings, ["the document knows no field \"note\""]);
    let body = sampled(DECLINED).to_string().replacen('{', "{\"status\":\"a\",", 1);
    let error = check(&event_type(DECLINED), body.as_bytes()).unwrap_err();
    assert_eq!(error, "the field \"status\" stands twice in the body");
    assert_eq!(type_of_body(b"{\"status\":\"x\"}"), None);
    assert_eq!(type_of_body(b"["), None);
}

#[test]
fn a_certificate_of_megabytes_is_checked() {
    let mut body = sampled(APPROVED);
    let scan = [&b"%PDF-1.7\n"[..], &vec![7; 3_900_000]].concat();
    body["crtfct"] = json!(STANDARD.encode(scan));
    body["crtfctType"] = json!("pdf");
    assert!(check(&event_type(APPROVED), body.to_string().as_bytes()).is_ok());
}
