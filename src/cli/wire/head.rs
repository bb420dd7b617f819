//! The head of a request: its line and its headers, read to the empty line behind them and taken apart.
//! As strict as RFC 9112 wants a server to be where two readers could differ.

use http::{HeaderName, Method, StatusCode};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::{Refusal, Request, Socket, Unread, broke_off};

/// More than any sender has a use for.
const MOST_HEADERS: usize = 256;

pub struct Head {
    /// Its body is not read yet.
    pub request: Request,
    pub length: Length,
    pub expects_continue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Known(u64),
    Chunked,
}

/// The text of a head; `None` if the connection ends before it begins.
pub async fn read<S: Socket>(stream: &mut BufReader<S>, most: usize) -> Result<Option<Vec<u8>>, Unread> {
    let mut head = Vec::new();
    loop {
        let begin = head.len();
        let next = stream.fill_buf().await?;
        if begin == 0 && next.first().is_some_and(|first| !first.is_ascii_alphabetic() && *first != b'\r') {
            return Err(Refusal::malformed(stranger(next)).into());
        }
        let left = (most - begin) as u64;
        (&mut *stream).take(left).read_until(b'\n', &mut head).await?;
        let line = &head[begin..];
        if !line.ends_with(b"\n") {
            return match (head.len() == most, head.is_empty()) {
                (true, _) => {
                    let why = format!("its head has more than {most} bytes");
                    Err(Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why).into())
                }
                (false, true) => Ok(None),
                (false, false) => Err(broke_off()),
            };
        }
        if !line.ends_with(b"\r\n") {
            return Err(Refusal::malformed("a line of its head ends without a carriage return").into());
        }
        match (line == b"\r\n", begin) {
            // Some clients end a body with an empty line that does not belong to it.
            (true, 0) => head.clear(),
            (true, _) => return Ok(Some(head)),
            (false, _) => {}
        }
    }
}

fn stranger(beginning: &[u8]) -> &'static str {
    match beginning {
        [0x16, 0x03, ..] => "it begins a TLS handshake, and this port speaks plain HTTP (--tls makes it HTTPS)",
        _ => "it does not begin as HTTP does",
    }
}

pub fn parse(head: &[u8]) -> Result<Head, Refusal> {
    let text = std::str::from_utf8(head).map_err(|_| Refusal::malformed("its head is not UTF-8"))?;
    let mut lines = text.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, path, version] = words[..] else {
        return Err(Refusal::malformed("its first line is not METHOD PATH VERSION"));
    };
    if Method::from_bytes(method.as_bytes()).is_err() {
        return Err(Refusal::malformed("its method is no word"));
    }
    let is_path = path.starts_with('/') || path == "*" || path.starts_with("http://") || path.starts_with("https://");
    if !is_path || path.bytes().any(|b| b.is_ascii_control()) {
        return Err(Refusal::malformed("its first line has no path that begins with /"));
    }
    let is_new = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ if version.starts_with("HTTP/") => {
            let why = "it speaks another version of HTTP than 1.0 and 1.1";
            return Err(Refusal::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, why));
        }
        _ => return Err(Refusal::malformed("its first line does not end with HTTP/1.1")),
    };
    let lines = lines.take_while(|line| !line.is_empty());
    let headers = lines.map(header).collect::<Result<Vec<_>, _>>()?;
    if headers.len() > MOST_HEADERS {
        let why = format!("it has more than {MOST_HEADERS} headers");
        return Err(Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why));
    }
    let length = length(&headers, is_new)?;
    let says = |name: &str, word: &str| values(&headers, name).any(|value| lists(value, word));
    let keeps_alive = match is_new {
        true => !says("connection", "close"),
        false => says("connection", "keep-alive"),
    };
    let expects_continue = is_new && says("expect", "100-continue");
    let (method, path) = (method.to_owned(), path.to_owned());
    let request = Request { method, path, headers, body: Vec::new(), keeps_alive, room: None };
    Ok(Head { request, length, expects_continue })
}

fn header(line: &str) -> Result<(String, String), Refusal> {
    let malformed = |why: &str| Refusal::malformed(format!("{why} in its head"));
    if line.starts_with([' ', '\t']) {
        return Err(malformed("a header is continued on a second line"));
    }
    let Some((name, value)) = line.split_once(':') else { return Err(malformed("there is a line without a colon")) };
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(malformed("there is a header whose name is no word"));
    }
    let value = value.trim_matches([' ', '\t']);
    match value.chars().any(|c| c.is_control() && c != '\t') {
        true => Err(malformed("there is a header with a control character")),
        false => Ok((name.to_owned(), value.to_owned())),
    }
}

/// How long the body is, if that can be read in one way only.
fn length(headers: &[(String, String)], is_new: bool) -> Result<Length, Refusal> {
    let encodings: Vec<&str> = values(headers, "transfer-encoding").collect();
    let lengths: Vec<&str> = values(headers, "content-length").collect();
    match (&encodings[..], &lengths[..]) {
        ([], []) => Ok(Length::Known(0)),
        ([], [first, others @ ..]) => {
            let digits = !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit());
            let length = first.parse().ok().filter(|_| digits && others.iter().all(|other| other == first));
            length.map(Length::Known).ok_or_else(|| Refusal::malformed("its Content-Length is not one number"))
        }
        ([encoding], []) if is_new && encoding.eq_ignore_ascii_case("chunked") => Ok(Length::Chunked),
        ([_, ..], []) => {
            let why = "of transfer encodings only chunked is understood, from HTTP/1.1 on";
            Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, why))
        }
        ([_, ..], [_, ..]) => Err(Refusal::malformed("it has both a Content-Length and a Transfer-Encoding")),
    }
}

fn values<'a>(headers: &'a [(String, String)], name: &str) -> impl Iterator<Item = &'a str> {
    headers.iter().filter(move |(sent, _)| sent.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Whether a list with commas has this word.
fn lists(value: &str, word: &str) -> bool {
    value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
}
