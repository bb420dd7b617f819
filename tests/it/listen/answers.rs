//! Each step of a script, seen by the one who sent.

use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

use super::*;

/// What came before the connection ended, and how it ended.
fn until_the_end(stream: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    (answer, ended.err().map(|error| error.kind()))
}

fn ask(listener: &Listener, body: &str) -> TcpStream {
    let mut stream = listener.connect();
    stream.write_all(&post("/hook", "", body.as_bytes())).unwrap();
    stream
}

#[test]
fn each_event_fails_as_often_as_the_script_says_and_the_last_step_stays() {
    let folder = place();
    let mut listener = Listener::start(&folder, "--respond 500,503:7,429:60,200");
    let statuses = |body: &str| [(); 5].map(|()| listener.status("", body));
    assert_eq!(statuses("{\"event\": 1}"), [500, 503, 429, 200, 200]);
    assert_eq!(statuses("{\"event\": 2}"), [500, 503, 429, 200, 200], "another event begins anew");
    // The same body under two ids is two events, and two bodies under one id are one.
    for (id, expected) in [("msg_1", 500), ("msg_2", 500), ("msg_1", 503)] {
        assert_eq!(listener.status(&format!("webhook-id: {id}\r\n"), id), expected, "{id}");
    }
    let answers: Vec<String> = (0..3).map(|_| listener.next()["answer"].as_str().unwrap().to_owned()).collect();
    assert_eq!(answers, ["500", "503:7", "429:60"]);
}

#[test]
fn a_script_may_go_on_with_each_request_instead() {
    let folder = place();
    let listener = Listener::start(&folder, "--respond 500,404,200 --respond-in-order");
    let statuses = ["a", "b", "c", "d"].map(|body| listener.status("", body));
    assert_eq!(statuses, [500, 404, 200, 200]);
}

#[test]
fn answers_have_their_headers_and_connections_go_on() {
    let folder = place();
    let listener = Listener::start(&folder, "--respond 429:120,redirect:http://127.0.0.1:1/x,307:/there,204,200");
    let mut stream = listener.connect();
    let mut answers = Vec::new();
    for _ in 0..5 {
        stream.write_all(&post("/hook", "", b"{}")).unwrap();
        answers.push(read_answer(&mut stream));
    }
    let has = |answer: &str, status, line: &str| status_of(answer) == status && answer.contains(line);
    assert!(has(&answers[0], 429, "\r\nretry-after: 120\r\n"), "{}", answers[0]);
    assert!(has(&answers[1], 302, "\r\nlocation: http://127.0.0.1:1/x\r\n"), "{}", answers[1]);
    assert!(has(&answers[2], 307, "\r\nlocation: /there\r\n"), "{}", answers[2]);
    assert!(status_of(&answers[3]) == 204 && !answers[3].contains("content-length"), "{}", answers[3]);
    assert!(has(&answers[4], 200, "\r\ncontent-length: "), "{}", answers[4]);
}

#[test]
fn a_connection_is_ended_reset_or_left_hanging() {
    let folder = place();
    let listener = Listener::start(&folder, "--respond close,reset,half,garbage,hang");
    assert_eq!(until_the_end(&mut ask(&listener, "x")), (vec![], None));
    assert_eq!(until_the_end(&mut ask(&listener, "x")), (vec![], Some(ErrorKind::ConnectionReset)));
    let (half, ended) = until_the_end(&mut ask(&listener, "x"));
    assert_eq!((half.ends_with(b"\r\ncontent-le"), ended), (true, None));
    let (garbage, ended) = until_the_end(&mut ask(&listener, "x"));
    assert_eq!((garbage.is_empty() || garbage.starts_with(b"HTTP"), ended), (false, None));
    let mut hanging = ask(&listener, "x");
    hanging.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(until_the_end(&mut hanging), (vec![], Some(ErrorKind::WouldBlock)));
}

#[test]
fn what_is_late_comes_whole() {
    let folder = place();
    let listener = Listener::start(&folder, "--respond 200@400ms,200,drip:1ms,drip-body:1ms --delay 10ms");
    let began = Instant::now();
    assert_eq!(listener.status("", "x"), 200);
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    assert_eq!(listener.status("", "x"), 200);
    for _ in 0..2 {
        let began = Instant::now();
        let answer = listener.post("", b"x");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && body.ends_with("not dead\n"), "{answer}");
        // A byte a millisecond at most.
        assert!(began.elapsed() >= Duration::from_millis(body.len() as u64), "{:?}", began.elapsed());
    }
}

#[test]
fn a_head_drips_before_its_body_and_a_body_after_its_head() {
    let folder = place();
    let listener = Listener::start(&folder, "--respond drip:1s,drip-body:1s");
    for (head_too, expected) in [(true, false), (false, true)] {
        let mut stream = ask(&listener, "x");
        stream.set_read_timeout(Some(SOON)).unwrap();
        let (come, ended) = until_the_end(&mut stream);
        assert_eq!(ended, Some(ErrorKind::WouldBlock));
        let whole_head = come.windows(4).any(|four| four == b"\r\n\r\n");
        assert!(!come.is_empty() && whole_head == expected, "{head_too}: {:?}", String::from_utf8_lossy(&come));
    }
}

#[test]
fn a_huge_answer_ends_where_it_says() {
    let folder = place();
    let listener = Listener::start(&folder, "--respond huge:3mb");
    let answer = listener.post("", b"x");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 3000000"), "{head}");
    assert_eq!(body.len(), 3_000_000);
}

#[test]
fn a_head_without_a_body_is_answered_to_a_head() {
    let folder = place();
    let listener = Listener::start(&folder, "");
    let answer = listener.exchange(b"HEAD / HTTP/1.1\r\nconnection: close\r\n\r\n");
    assert!(status_of(&answer) == 200 && answer.ends_with("\r\n\r\n"), "{answer:?}");
}

#[test]
fn whoever_asks_first_may_go_on_and_answers_keep_the_order_of_requests() {
    let folder = place();
    let mut listener = Listener::start(&folder, "--respond 500@100ms,404,200 --respond-in-order");
    let mut stream = listener.connect();
    let asking = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(asking).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    stream.write_all(&[b"{}", chunked.as_bytes(), &post("/", "", b"last")].concat()).unwrap();
    let statuses = [(); 3].map(|()| status_of(&read_answer(&mut stream)));
    assert_eq!(statuses, [500, 404, 200]);
    let bodies = [(); 3].map(|()| listener.next()["body"].as_str().unwrap().to_owned());
    assert_eq!(bodies, ["{}", "abcde", "last"]);
}
