//! The answers that attack or ail, each with what it must come to: a complete success head is success whatever follows it,
//! and nothing else is.

use std::time::Duration;

use crate::receivers::{Answer, Step};

/// What an attempt comes to.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    Delivered,
    /// Not delivered.
    Refused,
    /// With this status.
    Rejected(u16),
    /// One may understand it either way; only time, memory and the others count.
    Either,
}

use Expected::{Delivered, Either, Refused, Rejected};

pub type Named = (&'static str, Expected, Answer);

/// All of them; those that redirect point to `canary`.
pub fn answers(canary: &str) -> Vec<Named> {
    [bodies(), heads(), statuses(), framings(), silences(), redirects(canary), storms()].concat()
}

fn send(text: impl AsRef<[u8]>) -> Step {
    Step::Send(text.as_ref().to_vec())
}

/// These bytes, and the connection stays.
fn raw(text: impl AsRef<[u8]>) -> Answer {
    Answer(vec![send(text)])
}

fn repeat(begin: &str, bytes: &[u8], pause_ms: u64) -> Answer {
    let pause = Duration::from_millis(pause_ms);
    Answer(vec![send(begin), Step::Repeat { bytes: bytes.to_vec(), pause }])
}

fn ok_with(headers: &str, rest: &[u8]) -> Answer {
    raw([format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes(), rest].concat())
}

/// Nothing of a body undoes a success, and none is read to its end.
fn bodies() -> Vec<Named> {
    // What `gzip` makes of many zeroes: its head, then blocks that stand for 64 KiB each.
    let bomb =
        [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], &b"\xed\xc1\x01\x01\0\0\0\x80\x90\xfe\xaf\xee\x08\x0a"[..]].concat();
    vec![
        ("endless-body", Delivered, Answer::endless(200)),
        ("endless-body-of-a-failure", Rejected(500), Answer::endless(500)),
        ("huge-body", Delivered, repeat("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", &[b'x'; 1 << 16], 0)),
        ("gzip-bomb", Delivered, repeat("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n", &bomb, 0)),
        ("body-in-drops", Delivered, Answer::drip(200)),
        ("body-in-drops-of-a-failure", Rejected(503), Answer::drip(503)),
        ("reset-in-body", Delivered, Answer::reset_in_body(200)),
        ("no-body-though-promised", Delivered, ok_with("content-length: 1000\r\n", b"").then_close()),
        ("less-body-than-promised", Delivered, ok_with("content-length: 1000\r\n", b"short").then_close()),
        ("more-body-than-promised", Delivered, ok_with("content-length: 2\r\n", &[b'y'; 5000])),
        ("body-with-204", Delivered, raw("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello")),
        (
            "hangs-in-body",
            Delivered,
            Answer(vec![send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), Step::Hang]),
        ),
        (
            "two-answers",
            Delivered,
            raw("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"),
        ),
        (
            "failure-then-success",
            Rejected(500),
            raw("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ),
    ]
}

fn heads() -> Vec<Named> {
    let many: String = (0..20_000).map(|number| format!("x-{number}: x\r\n")).collect();
    let long = format!("x-long: {}\r\n", "x".repeat(1 << 20));
    vec![
        ("head-without-end", Refused, Answer::huge_head()),
        ("twenty-thousand-headers", Refused, ok_with(&many, b"")),
        ("header-of-a-megabyte", Refused, ok_with(&long, b"")),
        ("head-in-drops", Refused, repeat("HTTP/1.1 200 OK\r\nx-drops: ", b".", 20)),
        ("status-line-in-drops", Refused, repeat("HTTP/1.1 200 ", b"O", 20)),
        ("half-a-head", Refused, Answer::hang_in_head()),
        ("half-a-head-then-reset", Refused, Answer::half_a_head_then_reset()),
        ("half-a-head-then-close", Refused, raw("HTTP/1.1 200 OK\r\nx-half").then_close()),
        ("interim-answers-without-end", Refused, Answer::interim_flood()),
        ("processing-without-end", Refused, repeat("", &b"HTTP/1.1 102 Processing\r\n\r\n".repeat(50), 1)),
        (
            "early-hints-without-end",
            Refused,
            repeat("", &b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(20), 1),
        ),
        (
            "interim-then-success",
            Delivered,
            raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ),
        ("garbage", Refused, raw([0x16, 3, 1, 0xff, 0xfe, 0, 13, 10, 13, 10])),
        ("garbage-without-end", Refused, repeat("", &[0xa5; 4096], 0)),
        ("text", Refused, raw("hello\r\n\r\n")),
        ("empty-lines-without-end", Refused, repeat("", &b"\r\n".repeat(500), 1)),
        ("reason-of-garbage", Either, raw(b"HTTP/1.1 200 \x01\xff\x1b[31m\r\ncontent-length: 0\r\n\r\n")),
        ("reason-of-8-kb", Either, raw(format!("HTTP/1.1 200 {}\r\ncontent-length: 0\r\n\r\n", "O".repeat(8192)))),
        ("zero-bytes-in-a-header", Either, ok_with("x-zero: a\0b\r\ncontent-length: 0\r\n", b"")),
        ("escapes-in-a-header", Delivered, ok_with("x-title: \u{1b}]0;gone\u{7}\r\ncontent-length: 0\r\n", b"")),
        ("cookies", Delivered, ok_with(&format!("set-cookie: a={}\r\ncontent-length: 0\r\n", "x".repeat(4000)), b"")),
    ]
}

fn statuses() -> Vec<Named> {
    let of = |line: &str| raw(format!("{line}\r\ncontent-length: 0\r\n\r\n"));
    vec![
        ("status-999", Rejected(999), of("HTTP/1.1 999 Denied")),
        ("status-000", Refused, of("HTTP/1.1 000 None")),
        ("status-99", Refused, of("HTTP/1.1 99 Short")),
        ("status-1000", Refused, of("HTTP/1.1 1000 Long")),
        ("status-minus", Refused, of("HTTP/1.1 -200 Minus")),
        ("status-of-letters", Refused, of("HTTP/1.1 OK Fine")),
        (
            "upgrade",
            Refused,
            raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
        ),
        ("upgrade-with-200", Delivered, ok_with("upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 0\r\n", b"")),
        ("http-0-9", Refused, raw("<html>hello</html>").then_close()),
        ("http-1-0", Delivered, raw("HTTP/1.0 200 OK\r\n\r\nhello").then_close()),
        ("http-2-preface", Refused, raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")),
        ("http-2-frames", Refused, raw(b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff")),
        ("http-3-7", Refused, of("HTTP/3.7 200 OK")),
        ("proxy-wants-a-login", Rejected(407), ok_status(407, "proxy-authenticate: Basic realm=\"x\"\r\n")),
        ("wants-a-login", Rejected(401), ok_status(401, "www-authenticate: Basic realm=\"x\"\r\n")),
        ("not-modified", Rejected(304), ok_status(304, "")),
        ("teapot", Rejected(418), ok_status(418, "")),
    ]
}

fn ok_status(status: u16, headers: &str) -> Answer {
    raw(format!("HTTP/1.1 {status} Status\r\n{headers}content-length: 0\r\n\r\n"))
}

/// Lengths and transfer codings that contradict each other or themselves: no answer may leave something behind that the next
/// request on the connection takes for its own.
fn framings() -> Vec<Named> {
    let chunked = |rest: &str| ok_with("transfer-encoding: chunked\r\n", rest.as_bytes());
    vec![
        ("two-lengths", Either, ok_with("content-length: 3\r\ncontent-length: 50\r\n", b"abc")),
        ("negative-length", Either, ok_with("content-length: -1\r\n", b"abc")),
        ("length-beyond-numbers", Either, ok_with("content-length: 99999999999999999999999\r\n", b"abc")),
        ("length-of-letters", Either, ok_with("content-length: many\r\n", b"abc")),
        (
            "length-and-chunks",
            Either,
            ok_with("content-length: 3\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\nHTTP/1.1 500 No\r\n\r\n"),
        ),
        ("unknown-coding", Either, ok_with("transfer-encoding: sandwich\r\n", b"abc")),
        ("chunks-of-letters", Delivered, chunked("zz\r\nabc\r\n")),
        ("negative-chunk", Delivered, chunked("-5\r\nabc\r\n")),
        ("chunk-beyond-numbers", Delivered, chunked("fffffffffffffffffff\r\nabc\r\n")),
        (
            "chunk-size-without-end",
            Delivered,
            repeat("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1", &[b'0'; 4096], 1),
        ),
        (
            "chunk-extensions-without-end",
            Delivered,
            repeat("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", &[b'e'; 4096], 1),
        ),
        (
            "trailers-without-end",
            Delivered,
            repeat("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", &b"x-trailer: x\r\n".repeat(300), 1),
        ),
        (
            "tiny-chunks",
            Delivered,
            repeat("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &b"1\r\nx\r\n".repeat(200), 1),
        ),
    ]
}

fn silences() -> Vec<Named> {
    vec![
        ("hangs", Refused, Answer::hang()),
        ("closes", Refused, Answer::close()),
        ("resets", Refused, Answer::reset()),
        ("closes-its-half-and-hangs", Refused, Answer(vec![Step::Close, Step::Hang])),
        (
            "answers-at-the-last-moment",
            Either,
            Answer(vec![
                Step::Pause(Duration::from_millis(1990)),
                send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
            ]),
        ),
    ]
}

fn redirects(canary: &str) -> Vec<Named> {
    let to = |status, place: &str| (Rejected(status), Answer::with(status, &[("location", place)], b"elsewhere"));
    let named = [
        ("moved-301", to(301, canary)),
        ("moved-302", to(302, canary)),
        ("moved-303", to(303, canary)),
        ("moved-307", to(307, canary)),
        ("moved-308", to(308, canary)),
        ("moved-to-metadata", to(302, "http://169.254.169.254/latest/meta-data/")),
        ("moved-to-a-file", to(302, "file:///etc/passwd")),
        ("moved-to-nothing", to(302, "")),
        ("moved-to-itself", to(307, "/hook")),
    ];
    named.into_iter().map(|(name, (expected, answer))| (name, expected, answer)).collect()
}

fn storms() -> Vec<Named> {
    let busy = |after: &str| (Rejected(429), ok_status(429, &format!("retry-after: {after}\r\n")));
    let named = [
        ("busy-for-ever", busy("99999999999999999999")),
        ("busy-since-before", busy("-5")),
        ("busy-in-words", busy("soon")),
        ("busy-until-the-past", busy("Sun, 06 Nov 1994 08:49:37 GMT")),
        ("busy-until-the-future", busy("Fri, 31 Dec 9999 23:59:59 GMT")),
        ("busy-twice", busy("1\r\nretry-after: 86400")),
        ("busy-at-once", busy("0")),
    ];
    named.into_iter().map(|(name, (expected, answer))| (name, expected, answer)).collect()
}
