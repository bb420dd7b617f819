//! The API of a real daemon, asked by whole requests and by what is left of them after some changes. It answers or hangs up,
//! lives, and stays small.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use postrider::provider::dice::Dice;

use super::mutated::Mutator;
use crate::client::Api;
use crate::harness::{Daemon, Home, endpoint};
use crate::healthy::memory;
use crate::load::address;

const SAMPLES: &[&str] = &[
    "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 62\r\n\r\n{\"id\":\"a\",\"type\":\"a.b\",\"endpoint\":\"acme\",\"body\":{\"a\":[1,2.0,{}]}}",
    "POST /v1/events?type=a.b&endpoint=acme HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST /v1/events/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: 84\r\n\r\n{\"type\":\"a.b\",\"endpoint\":\"acme\",\"body\":1}\n{\"type\":\"a.b\",\"endpoint\":\"acme\",\"body\":2}\n",
    "GET /v1/deliveries?state=dead&endpoint=acme&since=2h&limit=5 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "GET /v1/events/a/why HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "PATCH /v1/endpoints/acme HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 32\r\n\r\n{\"rate\":5,\"headers\":{\"x-a\":\"b\"}}",
    "POST /v1/endpoints HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 69\r\n\r\n{\"name\":\"n\",\"url\":\"https://hooks.example/\",\"profile\":\"octamile\"}     ",
    "POST /v1/replays HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 31\r\n\r\n{\"state\":\"dead\",\"dry_run\":true}",
    "GET /metrics HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer prt_00\r\n\r\n",
    "GET /v1/events/stream?after=0 HTTP/1.1\r\nhost: localhost\r\nlast-event-id: 3\r\n\r\n",
];
/// An answer that does not come by then is not waited for: the request may be half.
const PATIENCE: Duration = Duration::from_millis(25);
const MOST_MEMORY: u64 = 200 << 20;

/// How many requests were sent.
pub fn run(lasting: Duration, dice: &mut Dice) -> u64 {
    let home = Home::new();
    home.add(endpoint("acme", "http://127.0.0.1:9/"));
    let mut daemon = Daemon::start(&home);
    let place = address(&daemon);
    let samples = SAMPLES.iter().map(|sample| sample.as_bytes().to_vec()).collect();
    let mut mutator = Mutator::new(samples, Dice::new(dice.word()));
    let (begun, mut sent) = (Instant::now(), 0);
    while begun.elapsed() < lasting {
        let input = mutator.next();
        let mut stream = TcpStream::connect(place.trim_start_matches("http://")).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(&input);
        let mut answer = [0; 512];
        if let Ok(count @ 1..) = stream.read(&mut answer) {
            assert!(answer[..count].starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&input));
            let server_failed = answer.starts_with(b"HTTP/1.1 500") || answer.starts_with(b"HTTP/1.0 500");
            assert!(!server_failed, "{:?}", String::from_utf8_lossy(&input));
        }
        sent += 1;
    }
    assert!(daemon.runs(), "{:#?}", daemon.lines().last());
    assert_eq!(Api::at(&place).get("/readyz").status, 200);
    let (_, peak) = memory(daemon.pid());
    assert!(peak < MOST_MEMORY, "{} MB", peak >> 20);
    let lines = daemon.stop();
    assert!(!lines.iter().any(|line| line.contains("panicked")));
    home.check_integrity();
    sent
}
