//! What is refused, from the command line and from a connection; and how it ends.

use super::*;

/// The exit status and what is said, of a run that ends by itself.
fn ended(words: &str) -> (i32, String) {
    let folder = place();
    let ended = postrider(&folder, words).output().unwrap();
    assert!(ended.stdout.is_empty(), "{ended:?}");
    (ended.status.code().unwrap(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn arguments_that_make_no_sense_are_told_in_words() {
    for (words, exit, part) in [
        ("listen --respond 200,hnag", 2, "drip-body"),
        ("listen --respond 700", 2, "no status from 200 to 599"),
        ("listen --respond 200 --forward http://127.0.0.1:1", 2, "cannot be used with"),
        ("listen --forward 127.0.0.1:8000", 2, "is written http://127.0.0.1:8000"),
        ("listen --port 0 --address 127.0.0.1:0", 2, "cannot be used with"),
        ("listen --address nowhere", 2, "127.0.0.1:3000"),
        ("listen --count 0", 2, "--count"),
        ("listen --max-body 2GiB", 2, "1GiB at most"),
        ("listen --ca-file ca.pem", 2, "--tls"),
        ("listen --server http://127.0.0.1:1", 2, "works on this machine"),
        ("listen --secret-file absent", 66, "absent"),
        ("listen --secret-file whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 2, "make a new one"),
        ("listen --secret-file v1a", 65, "--public-key"),
        ("listen --secret-file - --secret-file -", 2, "stdin"),
        ("listen --secret-env ABSENT", 66, "ABSENT"),
        ("listen --signer 0x12", 65, "40 hex digits"),
        ("listen --public-key whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", 2, "make a new one"),
        ("listen --save secret", 74, "--save secret"),
        ("listen --port 0 --tls --ca-file absent/ca.pem", 74, "absent/ca.pem"),
    ] {
        let (its_exit, said) = ended(words);
        assert!(its_exit == exit && said.contains(part), "{words}: {its_exit} {said}");
        assert!(![SECRET, V1, V1A, KEY].iter().any(|hidden| said.contains(hidden)), "{words}: {said}");
    }
    let (exit, said) = ended(&format!("listen --signer 0x{KEY}"));
    assert!(exit == 2 && said.contains("make a new one") && !said.contains(KEY), "{said}");
    let (exit, said) = ended("listen --json --respond x");
    let error: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((exit, &error["error"]["exit"]), (2, &2.into()));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (exit, said) = ended(&format!("listen --port {}", taken.local_addr().unwrap().port()));
    assert!(exit == 75 && said.contains("--port 0 takes a free port"), "{said}");
}

#[test]
fn what_is_no_request_is_answered_in_words_and_the_next_connection_is_served() {
    let folder = place();
    let mut listener = Listener::start(&folder, "--max-body 1kb");
    let long = "x".repeat(70_000);
    for (sent, status, part) in [
        ("{\"not\": \"HTTP\"}\n".to_owned(), 400, "does not begin as HTTP does"),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 400, "both"),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 501, "only chunked"),
        ("PRI * HTTP/2.0\r\n\r\n".to_owned(), 505, "another version"),
        (format!("POST /{long} HTTP/1.1\r\n\r\n"), 431, "more than 65536 bytes"),
        (format!("POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n{}", &long[..1001]), 413, "more than 1000 bytes"),
        ("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n".to_owned(), 413, "more than 1000"),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n".to_owned(), 413, "more than 1000 bytes"),
    ] {
        let answer = listener.exchange(sent.as_bytes());
        assert!(status_of(&answer) == status && answer.contains(part), "{sent:.80}: {answer}");
        listener.wait_for_note(part);
    }
    assert_eq!(listener.status("", &long[..1000]), 200);
    assert_eq!(listener.next()["n"], 1, "what is no request has no number");
    listener.interrupt();
    let (exit, _, notes) = listener.wait();
    assert!(exit == 1 && notes.ends_with("1 request; 8 that were no request"), "{notes}");
}

#[test]
fn further_connections_wait_until_there_is_room() {
    let folder = place();
    let listener = Listener::start(&folder, "");
    let mut idle: Vec<TcpStream> = (0..256).map(|_| listener.connect()).collect();
    let mut waiting = listener.connect();
    waiting.write_all(&post("/", "", b"x")).unwrap();
    waiting.set_read_timeout(Some(SOON)).unwrap();
    assert!(waiting.read(&mut [0]).is_err(), "it is not served yet");
    idle.truncate(200);
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(status_of(&read_answer(&mut waiting)), 200);
}

#[test]
fn it_ends_after_so_many_requests_and_at_once_when_asked() {
    let folder = place();
    let mut listener = Listener::start(&folder, "--count 2");
    assert_eq!((listener.status("", "a"), listener.status("", "b")), (200, 200));
    let (exit, lines, notes) = listener.wait();
    assert_eq!((exit, lines.lines().count()), (0, 2), "{notes}");
    let mut hanging = Listener::start(&folder, "--respond hang");
    let mut stream = hanging.connect();
    stream.write_all(&post("/", "", b"x")).unwrap();
    hanging.next();
    hanging.interrupt();
    let (exit, _, notes) = hanging.wait();
    assert!(exit == 0 && notes.ends_with("1 request"), "{notes}");
}

#[test]
fn an_address_for_other_machines_is_said_aloud() {
    let folder = place();
    let loud = Listener::spawn(postrider(&folder, "listen --address 0.0.0.0:0"));
    loud.wait_for_note("other machines reach this address too");
    let quiet = Listener::start(&folder, "");
    quiet.wait_for_note("signatures are not checked");
    assert!(!quiet.notes().iter().any(|note| note.contains("warning")));
}

#[test]
fn a_sender_that_gives_up_is_told_of() {
    let folder = place();
    let listener = Listener::start(&folder, "--respond 200@300ms");
    let mut stream = listener.connect();
    stream.write_all(&post("/", "", b"x")).unwrap();
    // Nothing more is written to a connection that was reset.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    stream.set_nonblocking(true).unwrap();
    runtime.block_on(async { tokio::net::TcpStream::from_std(stream).unwrap().set_zero_linger().unwrap() });
    listener.wait_for_note("#1: the sender ended the connection before the answer was complete");
}

#[test]
fn whoever_does_not_read_what_is_told_keeps_nobody_from_ending_it() {
    let folder = place();
    let mut command = postrider(&folder, "listen --port 0 --json");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    notes.read_line(&mut first).unwrap();
    let address: SocketAddr = first.split("://").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    // More than a pipe holds, on more connections than it has threads.
    let large = vec![b'x'; 200_000];
    let senders: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    for mut sender in &senders {
        sender.write_all(&post("/", "", &large)).unwrap();
    }
    let mut beginning = [0; 1];
    child.stdout.as_mut().unwrap().read_exact(&mut beginning).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = wait_for("its end", PATIENCE, || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}
