//! What is told of a request: to programs as JSON, to people as text; and what is kept of it.

use std::os::unix::fs::MetadataExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postrider::signature;

use super::*;

#[test]
fn a_line_of_json_tells_everything() {
    let folder = place();
    let mut listener = Listener::start(&folder, "");
    let body = "{\"type\": \"order.paid\",  \"é\": 1.50}";
    let headers = "Content-Type: application/json\r\nwebhook-id: msg_1\r\nX-Twice: a\r\nx-twice: b\r\n";
    assert_eq!(listener.status(headers, body), 200);
    let told = listener.next();
    assert_eq!((&told["n"], &told["method"], &told["path"]), (&1.into(), &"POST".into(), &"/hook".into()));
    assert_eq!((told["body"].as_str(), &told["body_base64"]), (Some(body), &Value::Null));
    assert_eq!((&told["bytes"], told["sha256"].as_str()), (&body.len().into(), Some(&*hex_digest(body.as_bytes()))));
    assert_eq!(
        (&told["headers"]["content-type"], &told["headers"]["x-twice"]),
        (&"application/json".into(), &"a, b".into())
    );
    assert_eq!((&told["event"]["profile"], &told["event"]["type"]), (&"standard".into(), &"order.paid".into()));
    assert_eq!((&told["event"]["id"], &told["event"]["problem"]), (&"msg_1".into(), &Value::Null));
    assert_eq!((&told["answer"], &told["signature_fault"], &told["attempt"]), (&"200".into(), &Value::Null, &1.into()));
    assert_eq!((&told["earlier"], &told["certificate"]), (&Value::Null, &Value::Null));
    assert_eq!(told["signatures"], serde_json::json!([]));
    assert!(told["at"].as_str().unwrap().ends_with('Z') && told["remote"].as_str().unwrap().starts_with("127.0.0.1:"));
    let binary = [0, 159, 146, 150];
    assert_eq!(status_of(&listener.post("", &binary)), 200);
    let told = listener.next();
    assert_eq!((&told["body"], told["body_base64"].as_str()), (&Value::Null, Some(&*STANDARD.encode(binary))));
}

fn hex_digest(body: &[u8]) -> String {
    signature::hex(&signature::digest(body))
}

#[test]
fn what_comes_again_is_said_to_with_the_time_between() {
    let folder = place();
    let mut listener = Listener::start(&folder, "--respond 500,200");
    for body in ["same", "other", "same"] {
        listener.status("", body);
    }
    let told = [(); 3].map(|()| listener.next());
    assert_eq!(told[1]["earlier"], Value::Null);
    let earlier = &told[2]["earlier"];
    assert_eq!((&earlier["n"], &earlier["same_body"], &earlier["answer"]), (&1.into(), &true.into(), &"500".into()));
    assert!(earlier["ms"].is_u64() && told[2]["attempt"] == 2, "{earlier}");
    for body in ["one", "two"] {
        listener.status("webhook-id: msg_1\r\n", body);
    }
    assert_eq!(listener.next()["earlier"], Value::Null);
    let told = listener.next();
    assert_eq!((&told["attempt"], &told["earlier"]["same_body"]), (&2.into(), &false.into()));
}

#[test]
fn a_person_reads_a_page_in_which_nothing_foreign_acts() {
    let folder = place();
    let mut listener = Listener::spawn(postrider(&folder, "listen --port 0 --headers --secret-file secret --count 3"));
    let body = "{\"type\":\"policy/creation\",\"crt\":\"\u{202e}\u{9b}2J\"}";
    let good = signature::hmac::sign(SECRET.as_bytes(), body.as_bytes());
    assert_eq!(listener.status(&format!("X-Ensuro-Signature: {good}\r\nX-Evil: \u{202e}x\r\n"), body), 200);
    assert_eq!(listener.status(&format!("X-Ensuro-Signature: {good}\r\n"), "{}"), 401);
    assert_eq!(listener.status("", "\u{1b}[31mno JSON\nsecond line"), 401);
    let (exit, page, notes) = listener.wait();
    assert_eq!(exit, 1, "two were bad");
    for part in [
        "#1  POST /hook  ",
        "event        policy/creation, ensuro notification",
        "signature    hmac good",
        "payload      policy is missing",
        "header       X-Evil: \\u{202e}x",
        "      \"type\": \"policy/creation\",\n      \"crt\": \"\\u202e\\u009b2J\"\n    }",
        "signature    hmac BAD: it was made with another key, or the bytes it covers were others",
        "answer       401\n",
        "answer       401: it is not signed",
        "    \\u{1b}[31mno JSON\n    second line\n",
    ] {
        assert!(page.contains(part), "{part:?} is not in\n{page}");
    }
    assert!(notes.ends_with("3 requests: 1 with a good signature, 2 without"), "{notes}");
    assert!(!page.chars().any(|c| c.is_control() && c != '\n'), "{page:?}");
    assert!(![page, notes].concat().contains(SECRET));
}

fn octamile(transaction: &str, certificate: &[u8], kind: &str) -> String {
    serde_json::json!({
        "product": "vhcl-tprt-2040", "consumerId": "0123456789abcdef0123456789abcdef", "trnsctnId": transaction,
        "status": "a", "statusNote": "", "crtfct": STANDARD.encode(certificate), "crtfctType": kind,
    })
    .to_string()
}

#[test]
fn certificates_are_kept_under_names_that_lead_nowhere() {
    let folder = place();
    let mut listener = Listener::start(&folder, "--save certificates/here");
    let (pdf, png) = (b"%PDF-1.4\nx".as_slice(), b"\x89PNG\r\n\x1a\nx".as_slice());
    let bodies = [
        octamile("z9y8", pdf, "pdf"),
        // Tried again: it is the same certificate.
        octamile("z9y8", pdf, "pdf"),
        octamile("z9y8", png, "png"),
        octamile("z9y8", &[pdf, b"y"].concat(), "pdf"),
        octamile("../../x", pdf, "pdf"),
        octamile("/etc/passwd", b"who knows", "pdf"),
    ];
    let mut names = Vec::new();
    for body in &bodies {
        assert_eq!(listener.status("", body), 200);
        let told = listener.next();
        assert_eq!(
            (&told["event"]["profile"], &told["event"]["type"]),
            (&"octamile".into(), &"policy/approved".into())
        );
        names.push(told["certificate"]["saved"].as_str().unwrap().to_owned());
    }
    let here = |name: &str| format!("certificates/here/{name}");
    let expected = ["z9y8.pdf", "z9y8.pdf", "z9y8.png", "z9y8-2.pdf", "_.._x.pdf", "_etc_passwd.bin"].map(here);
    assert_eq!(names, expected);
    let saved = std::fs::read_dir(folder.path().join("certificates/here")).unwrap();
    assert_eq!(saved.count(), 5);
    for entry in std::fs::read_dir(folder.path().join("certificates/here")).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::read(folder.path().join(here("z9y8.png"))).unwrap(), png);
    // Two bodies under one id are two certificates.
    for (body, name) in [(&bodies[0], "z9y8-3.pdf"), (&bodies[3], "z9y8-4.pdf")] {
        listener.status("webhook-id: msg_1\r\n", body);
        assert_eq!(listener.next()["certificate"]["saved"], here(name));
    }
}

#[test]
fn nothing_is_kept_of_what_is_refused() {
    let folder = place();
    let mut listener = Listener::start(&folder, "--save certificates --secret-file secret");
    assert_eq!(listener.status("", &octamile("z9y8", b"%PDF-1", "pdf")), 401);
    assert_eq!(listener.next()["certificate"]["saved"], Value::Null);
    assert_eq!(std::fs::read_dir(folder.path().join("certificates")).unwrap().count(), 0);
}

#[test]
fn a_payload_that_breaks_the_rules_is_told_and_answered_all_the_same() {
    let folder = place();
    let mut listener = Listener::start(&folder, "");
    assert_eq!(listener.status("", &octamile("../x", b"%PDF-1", "png")), 200);
    let told = listener.next();
    assert!(told["event"]["problem"].as_str().unwrap().contains("trnsctnId must be safe"), "{told}");
    assert_eq!(told["certificate"]["kind"], "pdf");
    assert_eq!(listener.status("", "{\"type\": \"policy/creatoin\"}"), 200);
    assert!(listener.next()["event"]["problem"].as_str().unwrap().contains("is policy/creation meant?"));
}
