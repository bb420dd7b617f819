//! The real sender against the real receiver: each scheme, good and bad, with retries by script.

use super::*;

/// A postrider of its own that delivers, in a folder of its own.
pub struct Sender {
    folder: TempDir,
    environment: Vec<(String, String)>,
    daemon: Child,
}

impl Sender {
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let folder = place();
        let environment: Vec<_> = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let mut command = postrider(&folder, "serve");
        command.envs(environment.clone()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = command.spawn().unwrap();
        Sender { folder, environment, daemon }
    }

    #[track_caller]
    fn run(&self, words: &str) -> (i32, String) {
        let ended = postrider(&self.folder, words).envs(self.environment.clone()).output().unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        (ended.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    #[track_caller]
    pub fn add(&self, words: &str) {
        let (exit, said) = self.run(&format!("endpoint add {words} --schedule 50ms,50ms,50ms"));
        assert_eq!(exit, 0, "{said}");
    }

    /// The exit status: 0 if it was delivered.
    #[track_caller]
    pub fn send(&self, endpoint: &str, event_type: &str, body: &str) -> i32 {
        std::fs::write(self.folder.path().join("body"), body).unwrap();
        let words = format!("enqueue --endpoint {endpoint} --type {event_type} --wait --wait-timeout 30s body");
        let (exit, said) = self.run(&words);
        assert!([0, 1].contains(&exit), "{said}");
        exit
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

const FAILED: &str = r#"{"type": "policy/creation/failed", "data": {"quote": {}}, "error_detail": "ü \u00fc"}"#;
const PUBLIC: &str = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";

fn findings(told: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    told["signatures"].as_array().unwrap().iter().map(|one| (text(&one["scheme"]), text(&one["result"]))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(scheme, result)| ((*scheme).to_owned(), (*result).to_owned())).collect()
}

#[test]
fn every_scheme_of_the_real_sender_is_good() {
    let folder = place();
    let words =
        format!("--secret-file secret --secret-file v1 --signer {SIGNER} --public-key {PUBLIC} --respond 500,200");
    let mut listener = Listener::start(&folder, &words);
    let sender = Sender::start(&[]);
    let url = listener.url();
    sender.add(&format!("hmac {url}?hmac --profile ensuro --secret-file secret"));
    sender.add(&format!("eip191 {url}?eip191 --profile ensuro --key-file key"));
    sender.add(&format!("standard {url}?standard --profile standard --secret-file v1 --key-file v1a"));
    for (endpoint, event_type, body, expected) in [
        ("hmac", "policy/creation/failed", FAILED, pairs(&[("hmac", "good")])),
        ("eip191", "policy/creation/failed", FAILED, pairs(&[("eip191", "good")])),
        ("standard", "order.paid", "{ }", pairs(&[("v1", "good"), ("v1a", "good")])),
    ] {
        assert_eq!(sender.send(endpoint, event_type, body), 0, "{endpoint}");
        let told = [listener.next(), listener.next()];
        for told in &told {
            assert_eq!((findings(told), told["body"].as_str()), (expected.clone(), Some(body)), "{endpoint}");
            assert_eq!(told["signature_warning"], Value::Null);
        }
        assert_eq!((&told[0]["answer"], &told[1]["answer"]), (&"500".into(), &"200".into()));
        assert_eq!((&told[1]["attempt"], &told[1]["earlier"]["same_body"]), (&2.into(), &true.into()));
        assert!(told[1]["earlier"]["ms"].as_u64().unwrap() >= 50, "never early: {}", told[1]);
    }
    listener.interrupt();
    let (exit, rest, notes) = listener.wait();
    assert_eq!((exit, rest.as_str()), (0, ""), "{notes}");
    assert!(notes.ends_with("6 requests: 6 with a good signature, 0 without"), "{notes}");
    for hidden in [SECRET, V1, KEY] {
        assert!(!notes.contains(hidden));
    }
}

#[test]
fn the_mock_and_the_receiver_understand_each_other() {
    let folder = place();
    let mut listener = Listener::start(&folder, "--secret-file secret");
    let url = listener.url();
    let mocked = postrider(&folder, &format!("mock ensuro --all --to {url} --secret-file secret")).output().unwrap();
    assert_eq!(mocked.status.code(), Some(0), "{mocked:?}");
    for event_type in postrider::provider::ensuro::TYPES {
        let told = listener.next();
        assert_eq!((&told["event"]["type"], &told["event"]["problem"]), (&Value::from(*event_type), &Value::Null));
        assert_eq!(findings(&told), pairs(&[("hmac", "good")]));
    }
    let mut listener = Listener::start(&folder, "--save certificates");
    for kind in ["jpg", "png", "pdf"] {
        let words = format!("mock octamile approved --to {} --certificate-kind {kind}", listener.url());
        assert_eq!(postrider(&folder, &words).output().unwrap().status.code(), Some(0), "{kind}");
        let told = listener.next();
        assert_eq!((&told["certificate"]["kind"], &told["event"]["problem"]), (&Value::from(kind), &Value::Null));
        let saved = told["certificate"]["saved"].as_str().unwrap();
        let bytes = std::fs::read(folder.path().join(saved)).unwrap();
        assert_eq!(Value::from(bytes.len()), told["certificate"]["bytes"]);
    }
}

#[test]
fn a_real_sender_judges_each_misbehaviour_as_it_should() {
    let folder = place();
    let steps = "close,reset,half,garbage,drip:1ms,drip-body:1ms,huge:20mb,429:60,307:/x,200@50ms,hang,204,503";
    let listener = Listener::start(&folder, &format!("--respond-in-order --respond {steps}"));
    let mock = format!("mock standard order.paid --unsigned --timeout 1s --to {}", listener.url());
    for (step, expected) in steps.split(',').zip([1, 1, 1, 1, 0, 0, 0, 1, 1, 0, 1, 0, 1]) {
        let sent = postrider(&folder, &mock).output().unwrap();
        assert_eq!(sent.status.code(), Some(expected), "{step}: {sent:?}");
    }
}

#[test]
fn a_sender_with_another_key_is_refused_and_uses_up_no_step() {
    let folder = place();
    std::fs::write(folder.path().join("other"), "another secret").unwrap();
    let mut listener = Listener::start(&folder, "--secret-file other --respond 500,200");
    let sender = Sender::start(&[]);
    sender.add(&format!("acme {} --profile ensuro --secret-file secret", listener.url()));
    assert_eq!(sender.send("acme", "policy/creation/failed", FAILED), 1);
    for attempt in 1..=4 {
        let told = listener.next();
        assert_eq!((&told["answer"], &told["attempt"]), (&"401".into(), &attempt.into()));
        assert!(told["signatures"][0]["why"].as_str().unwrap().contains("another key"), "{told}");
        assert!(told["signature_fault"].as_str().unwrap().starts_with("the hmac signature is not good"), "{told}");
    }
    let right = postrider::signature::hmac::sign(b"another secret", FAILED.as_bytes());
    assert_eq!(listener.status(&format!("x-ensuro-signature: {right}\r\n"), FAILED), 500, "the first step is left");
}

#[test]
fn without_a_key_nothing_is_refused_and_a_signer_is_named_all_the_same() {
    let folder = place();
    let mut listener = Listener::start(&folder, "");
    let sender = Sender::start(&[]);
    sender.add(&format!("acme {} --profile ensuro --key-file key", listener.url()));
    assert_eq!(sender.send("acme", "policy/creation/failed", FAILED), 0);
    let told = listener.next();
    assert_eq!(findings(&told), pairs(&[("eip191", "unchecked")]));
    assert_eq!(told["signatures"][0]["signer"], SIGNER);
}

#[test]
fn a_signature_under_a_name_of_its_own_is_found() {
    let folder = place();
    let mut listener = Listener::start(&folder, "--secret-file secret --signature-header X-Acme-Signature");
    let sender = Sender::start(&[]);
    let url = listener.url();
    sender.add(&format!("acme {url} --profile ensuro --secret-file secret --signature-header X-Acme-Signature"));
    assert_eq!(sender.send("acme", "policy/creation/failed", FAILED), 0);
    assert_eq!(findings(&listener.next()), pairs(&[("hmac", "good")]));
}

#[test]
fn a_timestamp_that_receivers_refuse_is_refused() {
    let folder = place();
    let mut listener = Listener::start(&folder, "--secret-file v1");
    let signed = postrider::signature::Signed { event_id: "msg_1", timestamp: 1_793_491_200, body: b"{}" };
    let key = postrider::signature::read_key(postrider::endpoint::Scheme::V1, V1.as_bytes()).unwrap();
    let headers = postrider::signature::headers(&[key], &signed, None);
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    assert_eq!(listener.status(&headers, "{}"), 401);
    let told = listener.next();
    assert_eq!(told["signatures"][0]["result"], "good");
    assert!(told["signature_warning"].as_str().unwrap().contains("receivers refuse more than 5 min"), "{told}");
}

/// One tool of the bench finds nothing to mend in another.
#[test]
fn check_finds_that_listen_keeps_every_contract() {
    let folder = place();
    for (keys, words) in [
        ("--secret-file secret", "--secret-file secret"),
        (&*format!("--signer {SIGNER}"), "--key-file key"),
        ("--secret-file v1", "--profile standard --secret-file v1"),
        (&format!("--public-key {PUBLIC}"), "--profile standard --key-file v1a"),
        ("", "--profile octamile"),
    ] {
        let listener = Listener::start(&folder, keys);
        let checked = postrider(&folder, &format!("check {} {words}", listener.url())).output().unwrap();
        let told = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success() && told.contains(" 0 warnings, 0 failed "), "{words}: {told}");
    }
}
