//! Events handed over as lines of one request.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::wire::{TYPE, body};

const AT_ONCE: u32 = 512;

/// So many events in one request, from the number `first` on; how many a second were accepted.
pub fn rate(port: u16, first: u32, count: u32) -> f64 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the sender listens");
    let mut writer = stream.try_clone().expect("a socket");
    let begun = Instant::now();
    let thread = std::thread::spawn(move || {
        let head = "POST /v1/events/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n\
                    transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
        writer.write_all(head.as_bytes()).expect("the sender reads");
        let before = format!("{{\"type\":\"{TYPE}\",\"endpoint\":\"acme\",\"body\":");
        let mut lines = Vec::new();
        let mut number = first;
        while number < first + count {
            lines.clear();
            for line in number..(number + AT_ONCE).min(first + count) {
                lines.extend_from_slice(before.as_bytes());
                lines.extend_from_slice(&body(line));
                lines.extend_from_slice(b"}\n");
            }
            number += AT_ONCE;
            write!(writer, "{:x}\r\n", lines.len()).expect("the sender reads");
            writer.write_all(&lines).and_then(|()| writer.write_all(b"\r\n")).expect("the sender reads");
        }
        writer.write_all(b"0\r\n\r\n").expect("the sender reads");
    });
    // Every answer begins with its line's number and says how it ended.
    const ACCEPTED: &[u8] = b"\"status\":\"accepted\"";
    let (mut accepted, mut buffer, mut kept) = (0, vec![0; 1 << 16], Vec::new());
    loop {
        let length = stream.read(&mut buffer).expect("an answer");
        if length == 0 {
            break;
        }
        kept.extend_from_slice(&buffer[..length]);
        accepted += kept.windows(ACCEPTED.len()).filter(|window| *window == ACCEPTED).count();
        // What may be the beginning of the next stays.
        kept.drain(..kept.len() - kept.len().min(ACCEPTED.len() - 1));
    }
    thread.join().expect("all is written");
    assert_eq!(accepted, count as usize, "all of them are accepted");
    f64::from(count) / begun.elapsed().as_secs_f64()
}
