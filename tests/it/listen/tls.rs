//! HTTPS under an authority of one run.

use super::senders::Sender;
use super::*;

/// Where its authority's certificate stands.
fn ca_file(listener: &Listener) -> String {
    let note = listener.wait_for_note("extra_roots_file");
    note.split("ROOTS_FILE=").nth(1).unwrap().trim_end_matches(')').to_owned()
}

#[test]
fn a_sender_that_trusts_the_authority_of_the_run_comes_through_and_no_other() {
    let folder = place();
    let mut listener = Listener::start(&folder, "--tls --secret-file secret");
    let ca_file = ca_file(&listener);
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("https://{host}:{}/hook", listener.address.port());
        let trusting = Sender::start(&[("POSTRIDER_SAFETY_EXTRA_ROOTS_FILE", &ca_file)]);
        trusting.add(&format!("acme {url} --profile ensuro --secret-file secret"));
        assert_eq!(trusting.send("acme", "policy/creation/failed", FAILED), 0, "{host}");
        let told = listener.next();
        assert_eq!((&told["signatures"][0]["result"], &told["answer"]), (&"good".into(), &"200".into()));
    }
    let mock = format!("mock ensuro --to https://{} --secret-file secret --ca {ca_file}", listener.address);
    assert_eq!(postrider(&folder, &mock).output().unwrap().status.code(), Some(0));
    let other = Sender::start(&[]);
    other.add(&format!("acme https://{}/hook --profile ensuro --secret-file secret", listener.address));
    assert_eq!(other.send("acme", "policy/creation/failed", FAILED), 1);
    listener.wait_for_note("no TLS connection");
    listener.interrupt();
    let (exit, _, notes) = listener.wait();
    assert_eq!(exit, 1, "{notes}");
    assert!(notes.contains("3 requests: 3 with a good signature, 0 without; 4 that were no request"), "{notes}");
    assert!(!std::path::Path::new(&ca_file).exists(), "it was a temporary file");
}

const FAILED: &str = r#"{"type": "policy/creation/failed", "data": {"quote": {}}, "error_detail": "x"}"#;

#[test]
fn every_run_has_an_authority_of_its_own() {
    let folder = place();
    let read = |listener: &Listener| std::fs::read_to_string(folder.path().join(ca_file(listener))).unwrap();
    let first = read(&Listener::start(&folder, "--tls --ca-file ca.pem"));
    let second = read(&Listener::start(&folder, "--tls --ca-file ca.pem"));
    assert!(first.starts_with("-----BEGIN CERTIFICATE-----") && !first.contains("KEY") && first != second);
    let other = postrider(&folder, "listen --port 0 --tls --ca-file secret").output().unwrap();
    assert_eq!(other.status.code(), Some(74), "{other:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("secret")).unwrap(), SECRET);
}

#[test]
fn plain_http_to_the_sealed_port_and_tls_to_the_plain_one_are_told_in_words() {
    let folder = place();
    let sealed = Listener::start(&folder, "--tls");
    let answer = sealed.post("", b"{}");
    assert!(status_of(&answer) == 400 && answer.ends_with("this port speaks HTTPS\n"), "{answer}");
    sealed.wait_for_note("its URL begins with https://");
    let plain = Listener::start(&folder, "");
    let answer = plain.exchange(&[0x16, 0x03, 0x01, 0x00, 0x05, 0x01]);
    assert!(answer.contains("--tls makes it HTTPS"), "{answer}");
}
