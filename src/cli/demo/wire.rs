//! As much of HTTP/1.1 as a receiver needs: requests with a Content-Length, one after another on a connection.
//! What it reads is bounded, and what it does not understand ends the connection.

use std::io;

use http::StatusCode;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Request line and headers together.
const LONGEST_HEAD: u64 = 16 * 1024;
const LONGEST_BODY: usize = 1024 * 1024;

pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(its_name, _)| its_name == name).map(|(_, value)| value.as_str())
    }
}

/// The next request; `None` when there is none, or none that is understood.
pub async fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    let mut bounded = reader.take(LONGEST_HEAD);
    while !head.ends_with(b"\r\n\r\n") {
        if bounded.read_until(b'\n', &mut head).await? == 0 {
            return Ok(None);
        }
    }
    let Some(mut request) = std::str::from_utf8(&head).ok().and_then(parsed) else { return Ok(None) };
    let length = request.header("content-length").and_then(|text| text.parse().ok());
    let Some(length) = length.filter(|length| *length <= LONGEST_BODY) else { return Ok(None) };
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body).await?;
    Ok(Some(request))
}

fn parsed(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.take_while(|line| !line.is_empty()).map(header).collect::<Option<Vec<_>>>()?;
    Some(Request { method, path, headers, body: Vec::new() })
}

pub async fn answer(stream: &mut TcpStream, status: StatusCode, text: &str) -> io::Result<()> {
    let answer =
        format!("HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    stream.write_all(answer.as_bytes()).await
}
