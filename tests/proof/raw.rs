//! HTTP as somebody writes it who wants no library to tidy it up: any bytes out, whatever comes back in.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Daemon, PATIENCE, wait_for};

/// Longer than any answer here takes.
const LONGEST: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug, Default)]
pub struct Back {
    /// Up to the empty line, without it.
    pub head: Vec<u8>,
    /// Without the marks of chunks.
    pub body: Vec<u8>,
}

impl Back {
    /// 0 if no status came.
    pub fn status(&self) -> u16 {
        let digits = self.head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    pub fn is_chunked(&self) -> bool {
        let head = String::from_utf8_lossy(&self.head).to_ascii_lowercase();
        head.contains("transfer-encoding: chunked")
    }
}

/// Sends these bytes on a connection of their own, and reads until the answer is whole, the other side closes it, or
/// `patience` is over.
pub fn exchange(address: &str, bytes: &[u8], patience: Duration) -> std::io::Result<Back> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_write_timeout(Some(LONGEST))?;
    // Whoever refuses before it has read all closes while we write.
    let _ = stream.write_all(bytes);
    let end = Instant::now() + patience;
    let (mut all, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => all.extend_from_slice(&buffer[..count]),
        }
        if is_whole(&all) {
            break;
        }
    }
    Ok(parted(&all))
}

/// Whether an answer is there to its end, on a connection that may stay open.
fn is_whole(all: &[u8]) -> bool {
    let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    match length(&all[..end]) {
        Some(length) => all.len() - end - 4 >= length,
        None => all.ends_with(b"\r\n0\r\n\r\n"),
    }
}

fn length(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.split("\r\ncontent-length: ").nth(1)?.split("\r\n").next()?.parse().ok()
}

/// One whole request: `head` without its last line end, which says nothing of length and connection.
pub fn request(head: &[u8], body: &[u8]) -> Vec<u8> {
    let length = format!("\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head, length.as_bytes(), body].concat()
}

pub fn parted(all: &[u8]) -> Back {
    let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Back { head: all.to_vec(), body: Vec::new() };
    };
    let mut back = Back { head: all[..end].to_vec(), body: all[end + 4..].to_vec() };
    if back.is_chunked() {
        back.body = unchunked(&back.body);
    } else if let Some(length) = length(&back.head) {
        // What broke a request in two is answered twice.
        back.body.truncate(length);
    }
    back
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let Some(size @ 1..) = size else { break };
        let begin = end + 2;
        body.extend_from_slice(&rest[begin.min(rest.len())..(begin + size).min(rest.len())]);
        rest = rest.get(begin + size + 2..).unwrap_or_default();
    }
    body
}

/// Where a daemon listens: `127.0.0.1:PORT`.
pub fn address(daemon: &Daemon) -> String {
    wait_for("an address in the log", PATIENCE, || {
        let told = daemon.told("listening").into_iter();
        let mut addresses = told.filter_map(|line| Some(line["address"].as_str()?.to_owned()));
        addresses.find_map(|address| address.strip_prefix("http://").map(str::to_owned))
    })
}

/// Every byte but the plainest as `%HH`, so that a path or a query carries it.
pub fn percent(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    };
    bytes.iter().map(one).collect()
}

/// Text as it stands within a JSON string; what is no UTF-8 stays as it is.
pub fn in_json(bytes: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let quoted = serde_json::to_string(text).expect("a text");
            quoted.as_bytes()[1..quoted.len() - 1].to_vec()
        }
        Err(_) => bytes.iter().copied().filter(|byte| !matches!(byte, b'"' | b'\\')).collect(),
    }
}
