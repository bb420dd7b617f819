//! Requests that are handed on, and the answers that come back.

use super::*;
use crate::receivers::{Answer, Receiver};

#[test]
fn a_request_and_its_answer_pass_through_byte_for_byte() {
    let folder = place();
    let receiver = Receiver::start(|_| {
        Answer::with(418, &[("x-answer", "yes"), ("connection", "x-hop"), ("x-hop", "1")], b"a\0b")
    });
    let base = receiver.url().replace("/hook", "");
    let mut listener = Listener::start(&folder, &format!("--forward {base}"));
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let headers =
        "X-Ensuro-Signature: 00\r\nConnection: close\r\nConnection: X-Mine\r\nX-Mine: 1\r\nX-Two: a\r\nX-Two: b\r\n";
    let answer = listener.exchange(&post("/a/b?c=%20d", headers, &body));
    assert_eq!(status_of(&answer), 418);
    assert!(
        answer.contains("x-answer: yes") && !answer.contains("x-hop") && answer.ends_with("\r\n\r\na\0b"),
        "{answer}"
    );
    let requests = receiver.requests();
    let [request] = &requests[..] else { panic!("{} requests", requests.len()) };
    assert!(request.method == "POST" && request.path == "/a/b?c=%20d" && request.body == body, "{request:?}");
    assert_eq!((request.header("x-ensuro-signature"), request.header("x-mine")), (Some("00"), None));
    assert_eq!(request.header("host"), base.strip_prefix("http://"));
    let twice: Vec<&str> = request.headers.iter().filter(|(n, _)| n == "x-two").map(|(_, v)| v.as_str()).collect();
    assert_eq!(twice, ["a", "b"]);
    let told = listener.next();
    assert_eq!((&told["answer"], &told["forward_failure"]), (&"418".into(), &Value::Null));
}

#[test]
fn chunks_come_out_as_one_body() {
    let folder = place();
    let receiver = Receiver::start(|_| Answer::status(200));
    let listener = Listener::start(&folder, &format!("--forward {}", receiver.url()));
    let sent = b"POST /any HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(status_of(&listener.exchange(sent)), 200);
    let requests = receiver.requests();
    assert_eq!(
        (&*requests[0].path, &requests[0].body[..]),
        ("/hook", &b"abcde"[..]),
        "the target has a path of its own"
    );
}

#[test]
fn a_server_that_is_not_there_or_breaks_off_is_told_in_words() {
    let folder = place();
    let mut receiver = Receiver::start(|request| match request.number {
        1 => Answer::close(),
        2 => Answer::reset_in_body(200),
        _ => Answer::status(200),
    });
    let mut listener = Listener::start(&folder, &format!("--forward {}", receiver.url()));
    let broken = [(); 2].map(|()| listener.post("", b"x"));
    assert!(status_of(&broken[0]) == 502 && broken[0].contains("gave no answer"), "{}", broken[0]);
    assert!(status_of(&broken[1]) == 502 && broken[1].contains("broke off"), "{}", broken[1]);
    assert_eq!(listener.status("", "x"), 200);
    receiver.stop();
    let gone = listener.post("", b"x");
    assert!(status_of(&gone) == 502 && gone.contains("cannot be reached"), "{gone}");
    let told = [(); 4].map(|()| listener.next());
    assert_eq!(told.each_ref().map(|told| told["forward_failure"].is_null()), [false, false, true, false]);
}

#[test]
fn what_has_no_good_signature_is_not_handed_on_unless_it_shall() {
    let folder = place();
    let receiver = Receiver::start(|_| Answer::status(200));
    let forward = format!("--forward {} --secret-file secret", receiver.url());
    let listener = Listener::start(&folder, &forward);
    assert_eq!(listener.status("", "{}"), 401);
    assert_eq!(receiver.requests().len(), 0);
    let mut listener = Listener::start(&folder, &format!("{forward} --answer-anyway"));
    assert_eq!(listener.status("", "{}"), 200);
    assert_eq!(receiver.requests().len(), 1);
    let told = listener.next();
    assert_eq!((&told["answer"], &told["signature_fault"]), (&"200".into(), &"it is not signed".into()));
}

#[test]
fn it_never_hands_on_to_itself() {
    let folder = place();
    // A port that is free a moment later, too.
    let port = crate::receivers::free_port();
    let ended =
        postrider(&folder, &format!("listen --port {port} --forward http://localhost:{port}/x")).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("leads back to"), "{ended:?}");
}
