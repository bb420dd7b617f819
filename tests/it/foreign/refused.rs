//! What postrider sends is genuine only as it is: the same request with another body or without its signature is refused
//! by each app, and what could harm a naive one is never sent.

use super::{App, Place, samples};
use crate::receivers::{Answer, Receiver};

/// A request that was sent with these keys, as headers and a body.
fn sent(place: &Place, keys: &str) -> (Vec<(String, String)>, Vec<u8>) {
    let receiver = Receiver::start(|_| Answer::status(200));
    let (event_type, body) = &samples()[0];
    place.write("body.json", body);
    place.done(&format!("endpoint add recorded {} --profile {keys}", receiver.url()));
    place.done(&format!("endpoint test recorded --type {event_type} body.json"));
    place.done("endpoint remove recorded --yes");
    let request = receiver.requests().remove(0);
    let transports = ["host", "content-length", "accept"];
    let headers = request.headers.into_iter().filter(|(name, _)| !transports.contains(&name.as_str()));
    (headers.collect(), request.body)
}

#[test]
fn an_altered_body_and_a_missing_signature_are_refused_by_everybody() {
    let place = Place::new();
    let kinds = [
        ("ensuro", "ensuro --secret-file secret", "x-ensuro-signature", 403),
        ("eip191", "ensuro --key-file key", "x-eip191-signature", 403),
        ("standard", "standard --secret-file v1", "webhook-signature", 401),
    ];
    for (kind, keys, header, refusal) in kinds {
        let (headers, body) = sent(&place, keys);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let bare: Vec<(&str, &str)> = headers.iter().filter(|(name, _)| *name != header).copied().collect();
        assert_eq!(bare.len() + 1, headers.len(), "{headers:?}");
        // Still JSON, and the same to whoever parses it.
        let spaced = [body.as_slice(), b" "].concat();
        for end in ["js", "py"] {
            let app = App::start(&format!("{kind}.{end}"), &place, &[]);
            assert_eq!(app.post(&headers, &body), 200, "{}", app.name);
            assert_eq!(app.post(&headers, &spaced), refusal, "{}", app.name);
            assert_eq!(app.post(&bare, &body), refusal, "{}", app.name);
            let verified: Vec<bool> = app.wait_for(3).iter().map(|one| one["verified"].as_bool().unwrap()).collect();
            assert_eq!(verified, [true, false, false], "{}", app.name);
        }
    }
}

/// The page's own example of a receiver makes a file's name of `trnsctnId`.
#[test]
fn a_transaction_that_leads_out_of_a_folder_harms_a_naive_receiver_and_is_never_sent() {
    let place = Place::new();
    let (naive, careful) =
        (App::start("octamile.py", &place, &[("FAULT", "any-path")]), App::start("octamile.py", &place, &[]));
    let (_, approved) = samples().into_iter().find(|(name, _)| *name == "policy/approved").unwrap();
    let mut notice: serde_json::Value = serde_json::from_slice(&approved).unwrap();
    notice["trnsctnId"] = "../escaped".into();
    let (body, kind) = (notice.to_string(), notice["crtfctType"].as_str().unwrap());
    let escaped = place.path(&format!("saved/escaped.{kind}"));
    let json = [("content-type", "application/json")];

    place.write("body.json", &body);
    place.done(&format!("endpoint add naive {} --profile octamile", naive.url()));
    let refused = place.run("enqueue --endpoint naive --type policy/approved body.json");
    assert_eq!(refused.status.code(), Some(65), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("trnsctnId"), "{refused:?}");
    assert_eq!(careful.post(&json, body.as_bytes()), 200);
    assert!(!escaped.exists());
    assert_eq!(naive.post(&json, body.as_bytes()), 200);
    assert!(escaped.exists(), "or this test shows nothing");
}
