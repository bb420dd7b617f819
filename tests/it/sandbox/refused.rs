//! Requests that are turned away, each with a status and words that say what to do; nothing of them is kept.

use postrider::signature::eip191;
use serde_json::{Value, json};

use super::harness::{Desk, account, stderr, wanted};

#[test]
fn every_bad_request_to_ensuro_has_its_words() {
    let desk = Desk::new();
    let sandbox = desk.start(&["--delay", "0s"]);
    let good = wanted("100", 30).to_string();
    let (key, right) = (sandbox.api_key.clone(), sandbox.sign(good.as_bytes()));
    let (secret, address) = account();
    let by_account = eip191::sign(secret.expose(), good.as_bytes());
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Headers, &str, u16, &str); 10] = [
        (&[("x-ensuro-signature", &right)], &good, 401, "the header X-API-Key is missing"),
        (&[("x-api-key", "x"), ("x-ensuro-signature", &right)], &good, 401, "is not the one of this sandbox"),
        (&[("x-api-key", &key)], &good, 401, "the body is not signed"),
        (
            &[("x-api-key", &key), ("x-ensuro-signature", &right), ("x-eip191-signature", &by_account)],
            &good,
            400,
            "send exactly one of them",
        ),
        (&[("x-api-key", &key), ("x-ensuro-signature", "0x12")], &good, 400, "64 lower-case hex digits"),
        (&[("x-api-key", &key), ("x-eip191-signature", "12")], &good, 400, "0x and 130 hex digits"),
        (
            &[("x-api-key", &key), ("x-ensuro-signature", &"0".repeat(64))],
            &good,
            401,
            "exactly the bytes that are sent",
        ),
        (&[("x-api-key", &key), ("x-eip191-signature", &by_account)], &good, 401, &address),
        // One byte more than was signed.
        (
            &[("x-api-key", &key), ("x-ensuro-signature", &right)],
            &(good.clone() + "\n"),
            401,
            "X-Ensuro-Signature is not good",
        ),
        (&[("x-api-key", &key), ("x-ensuro-signature", &sandbox.sign(b"{}"))], "{}", 400, "payout is missing"),
    ];
    for (headers, body, status, words) in cases {
        let reply = sandbox.api.ask("POST", "/new-policy", headers, body.as_bytes());
        let told = reply.expect(status);
        assert!(told["detail"].as_str().is_some_and(|text| text.contains(words)), "{words}: {told}");
        assert!(!told.to_string().contains(&right), "what was expected is not told");
    }
    for (body, words) in [
        (json!({"payout": 100, "expiration": "2030-01-01T00:00:00Z"}), "payout must be a decimal in a string"),
        (json!({"payout": "1", "expiration": "soon"}), "expiration: a time is written in RFC 3339"),
        (json!([1]), "no object"),
    ] {
        let told = sandbox.ensuro("/new-policy", &body).expect(400);
        assert!(told["detail"].as_str().unwrap().contains(words), "{told}");
    }
    let huge = sandbox.api.ask("POST", "/new-policy", &[("x-api-key", &key)], &vec![b' '; 300_000]).expect(413);
    assert!(huge["detail"].as_str().unwrap().ends_with("at most 262144 are taken here; send less"), "{huge}");
    let told = sandbox.ensuro("/resolve-policy", &json!({"payout": "1"})).expect(400);
    assert!(told["detail"].as_str().unwrap().starts_with("ensuro_id is missing"), "{told}");
    let told = sandbox.ensuro("/replace-policy", &wanted("1", 3)).expect(400);
    assert!(told["detail"].as_str().unwrap().starts_with("old_ensuro_id is missing"), "{told}");
    let huge = sandbox.ensuro("/new-policy", &json!({"data": "x".repeat(300_000)})).expect(413);
    assert!(huge["detail"].as_str().unwrap().contains("at most 262144"), "{huge}");
    sandbox.api.get("/new-policy").problem(405, "method-not-allowed");
    assert_eq!(sandbox.api.get("/policies").expect(200), json!({"policies": []}));
    assert!(desk.controlled(&sandbox, &["list"])["queued"].as_array().unwrap().is_empty());
    let everything = format!("{:?} {}", sandbox.happened(), sandbox.told());
    assert!(!everything.contains(&key) && !everything.contains(&right), "no key and no signature is logged");
}

#[test]
fn octamile_answers_200_to_anything_and_says_what_is_wrong() {
    let desk = Desk::new();
    let sandbox = desk.start(&[]);
    let consumer = sandbox.register();
    let told = |answer: &Value, words: &str| {
        assert_eq!(answer["exctnFdbck"]["id"], "55", "{answer}");
        assert!(answer["exctnFdbck"]["elbrtn"].as_str().unwrap().contains(words), "{words}: {answer}");
    };
    told(&sandbox.api.post("/", "nonsense").expect(200), "not JSON");
    told(&sandbox.octamile("dance", json!({})), "unsupported request");
    told(&sandbox.insure(&consumer, "a/b", "https://partner.example/hook"), "cmmnd.seed.id must be");
    told(&sandbox.insure("short", "a", "https://partner.example/hook"), "32");
    for (hook, words) in [
        ("partner.example/hook", "webHook: the URL cannot be read"),
        ("ftp://partner.example/hook", "must begin with https://"),
        ("http://partner.example/hook", "http:// is for this machine only"),
        ("https://10.0.0.8/hook", "10.0.0.8"),
    ] {
        told(&sandbox.insure(&consumer, "a", hook), words);
    }
    told(&sandbox.poll(&consumer, "a"), "there is no insurance request");
}

#[test]
fn a_page_of_another_site_is_turned_away() {
    let desk = Desk::new();
    let sandbox = desk.start_with(&[]);
    let headers = [("origin", "https://evil.example"), ("content-type", "text/plain")];
    for path in ["/", "/sandbox/clock", "/sandbox/transactions/a/approve"] {
        sandbox.api.ask("POST", path, &headers, b"{}").problem(403, "foreign-origin");
    }
    sandbox.api.ask("POST", "/", &[("host", "evil.example")], b"{}").problem(421, "wrong-host");
}

#[test]
fn a_slip_on_the_command_line_is_told_before_anything_begins() {
    let desk = Desk::new();
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let output = desk.program(&["sandbox"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{words}: {}", stderr(&output));
    };
    std::fs::write(desk.path().join("text"), "hello").unwrap();
    refused(&["--listen", "0.0.0.0:8790"], 2, "listens on this machine only");
    refused(&["--notify", "http://10.0.0.1/x"], 65, "--notify: ");
    refused(&["--signer", "0x12"], 65, "an Ethereum address is 0x and 40 hex digits");
    refused(&["--signer", &"1".repeat(64)], 65, "looks like a private key");
    refused(&["--certificate", "text"], 65, "a certificate is a jpg, png or pdf file");
    refused(&["--certificate", "nowhere.pdf"], 66, "nowhere.pdf cannot be read");
    refused(&["--approve-after", "1s", "--by-hand"], 2, "cannot be used with");
    refused(&["--max-payout", "lots"], 2, "an amount is a decimal");
    refused(&["--octamile-auth-file", "text"], 65, "it must hold what userInfo is to be");
    refused(&["clock", "-5m"], 2, "");
    refused(&["clock", "5"], 2, "+30s, +10m");
    refused(&["approve", ".."], 2, "a reference must be safe as a file's name");
    refused(&["list", "--at", "http://127.0.0.1:1"], 75, "does `postrider sandbox` listen there?");
    let left: Vec<_> = std::fs::read_dir(desk.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["text"], "nothing is left behind");
}
