//! Requests as they come, right and wrong, over a real connection.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;

const LIMITS: Limits =
    Limits { head: 1024, body: 100, room: None, idle: Duration::from_secs(20), arrival: Duration::from_secs(20) };

/// What is read, request by request, of a connection on which `sent` comes in pieces of `piece` bytes, and how it ends.
fn read_all(sent: &[u8], piece: usize) -> (Vec<Request>, Result<(), Unread>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent = sent.to_vec();
        let sender = tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            for piece in sent.chunks(piece) {
                // It may have been refused already.
                if stream.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        });
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        let mut requests = Vec::new();
        let end = loop {
            match read(&mut stream, &LIMITS).await {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break Ok(()),
                Err(unread) => break Err(unread),
            }
        };
        sender.abort();
        (requests, end)
    })
}

/// The status and words with which it is refused.
#[track_caller]
fn refused(sent: &str) -> (u16, String) {
    match read_all(sent.as_bytes(), usize::MAX).1 {
        Err(Unread::Refused(Refusal { status, why })) => (status.as_u16(), why),
        other => panic!("{sent:?} is not refused: {other:?}"),
    }
}

#[test]
fn requests_follow_one_another_however_they_are_cut() {
    let sent = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
        \r\nPOST /d HTTP/1.1\r\nX-Word:\t spaced out \r\ntransfer-encoding: Chunked\r\n\r\n\
        3\r\ndef\r\n00B;x=y\r\n0123\r\n\r\n678\r\n0\r\nX-Trailer: t\r\n\r\n\
        GET / HTTP/1.0\r\n\r\n";
    for piece in [1, 2, 7, sent.len()] {
        let (requests, end) = read_all(sent, piece);
        assert!(end.is_ok(), "{end:?}");
        let [first, second, third] = &requests[..] else { panic!("{} requests", requests.len()) };
        assert_eq!((&*first.method, &*first.path, &first.body[..]), ("POST", "/a?b=c", &b"abc"[..]));
        assert_eq!(first.headers[0], ("Host".to_owned(), "x".to_owned()));
        assert_eq!((&second.body[..], second.header("x-word")), (&b"def0123\r\n\r\n678"[..], Some("spaced out")));
        assert_eq!((third.body.len(), third.keeps_alive), (0, false));
        assert!(first.keeps_alive && second.keeps_alive);
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let post = |rest: &str| format!("POST / HTTP/1.1\r\n{rest}");
    for (sent, status, part) in [
        (post("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, "both a Content-Length"),
        (post("Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 400, "not one number"),
        (post("Content-Length: +1\r\n\r\na"), 400, "not one number"),
        (post("Content-Length: 99999999999999999999\r\n\r\n"), 400, "not one number"),
        (post("Transfer-Encoding: gzip, chunked\r\n\r\n"), 501, "only chunked"),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 501, "only chunked"),
        (post("A: b\r\n c\r\n\r\n"), 400, "second line"),
        (post("A : b\r\n\r\n"), 400, "name is no word"),
        (post("A\r\n\r\n"), 400, "without a colon"),
        (post("A: b\n\r\n"), 400, "carriage return"),
        (post("A: b\0c\r\n\r\n"), 400, "control character"),
        (post("A: \u{85}\r\n\r\n"), 400, "control character"),
        ("POST HTTP/1.1\r\n\r\n".to_owned(), 400, "METHOD PATH VERSION"),
        ("POST hook HTTP/1.1\r\n\r\n".to_owned(), 400, "no path"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505, "another version"),
        ("POST / FTP\r\n\r\n".to_owned(), 400, "HTTP/1.1"),
        ("\u{16}\u{3}\u{1}rest\n".to_owned(), 400, "TLS handshake"),
        ("{\"a\": 1}\n".to_owned(), 400, "does not begin as HTTP"),
        (post("Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n"), 400, "chunks"),
        (post("Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n"), 400, "chunks"),
        (post("Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n"), 400, "chunks"),
        (post("Transfer-Encoding: chunked\r\n\r\n\r\n"), 400, "chunks"),
    ] {
        let (its_status, why) = refused(&sent);
        assert!(its_status == status && why.contains(part), "{sent:?}: {its_status} {why}");
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let long = "x".repeat(2000);
    let many = "a: b\r\n".repeat(170);
    for (sent, status) in [
        ("POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n".to_owned(), 413),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n".to_owned(), 413),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n".to_owned(), 413),
        (format!("POST /{long} HTTP/1.1\r\n\r\n"), 431),
        (format!("POST / HTTP/1.1\r\n{many}\r\n"), 431),
    ] {
        assert_eq!(refused(&sent).0, status, "{sent:.60}");
    }
    let endless = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;{long}\r\n");
    assert_eq!(refused(&endless).0, 400);
}

#[test]
fn nobody_is_waited_for_without_end() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let short = Duration::from_millis(50);
    let limits = Limits { idle: short, arrival: short, ..LIMITS };
    for (sent, expected) in
        [("", None), ("POST / HT", Some(408)), ("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab", Some(408))]
    {
        let read = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            sender.write_all(sent.as_bytes()).await.unwrap();
            read(&mut BufReader::new(listener.accept().await.unwrap().0), &limits).await
        });
        let status = match read {
            Ok(None) => None,
            Err(Unread::Refused(refusal)) => Some(refusal.status.as_u16()),
            Ok(Some(_)) | Err(Unread::Broken(_)) => panic!("{sent:?} is no request, and was not broken off"),
        };
        assert_eq!(status, expected, "{sent:?}");
    }
}

#[test]
fn bodies_that_are_held_at_once_have_one_limit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limits = Limits { room: Some(Arc::new(Semaphore::new(10))), ..LIMITS };
    let known = "POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nabcdef";
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    let read = |sent: &str| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            sender.write_all(sent.as_bytes()).await.unwrap();
            read(&mut BufReader::new(listener.accept().await.unwrap().0), &limits).await
        })
    };
    for sent in [known, chunked] {
        let held = read(sent).unwrap().unwrap();
        for further in [known, chunked] {
            assert!(matches!(read(further), Err(Unread::Refused(refusal)) if refusal.status == 503), "{further}");
        }
        drop(held);
        assert_eq!(read(sent).unwrap().unwrap().body, b"abcdef", "there is room again");
    }
}

#[test]
fn what_breaks_off_is_no_request() {
    for sent in [
        "POST / HT",
        "POST / HTTP/1.1\r\nA: b\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let (requests, end) = read_all(sent.as_bytes(), usize::MAX);
        assert!(requests.is_empty() && matches!(end, Err(Unread::Broken(_))), "{sent:?}: {end:?}");
    }
    assert!(matches!(read_all(b"", 1), (none, Ok(())) if none.is_empty()));
    assert!(matches!(read_all(b"\r\n\r\n", 1), (none, Ok(())) if none.is_empty()));
}
