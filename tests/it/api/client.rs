//! HTTP/1.1 as the tests of the API speak it: over TCP and unix sockets, on connections that are kept, answers that
//! stream, and requests that are cut off in the middle. Every read has a deadline.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::PATIENCE;

/// Where a daemon listens, and with which token it is asked.
#[derive(Clone, Debug)]
pub struct Api {
    place: Place,
    token: Option<String>,
}

#[derive(Clone, Debug)]
enum Place {
    Tcp(String),
    Unix(PathBuf),
}

/// One answer, whole.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// In the order sent, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(sent, _)| sent == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the answer is UTF-8")
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Its JSON, if it has this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:?} {}", self.headers, String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// Its problem, if it is this one; fails too if the problem does not say what is promised of each.
    #[track_caller]
    pub fn problem(&self, status: u16, name: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.expect(status);
        assert_eq!(problem["type"], format!("urn:postrider:problem:{name}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {problem}");
        }
        problem
    }
}

impl Api {
    /// `127.0.0.1:PORT`, or the path of a unix socket; each also as the URL that a log shows.
    pub fn at(address: &str) -> Self {
        let bare = address.strip_prefix("http://").or_else(|| address.strip_prefix("unix:")).unwrap_or(address);
        let place = if bare.starts_with('/') { Place::Unix(bare.into()) } else { Place::Tcp(bare.to_owned()) };
        Api { place, token: None }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Api { token: Some(token.to_owned()), ..self.clone() }
    }

    /// What stands in `Host`, and before the path in a URL.
    pub fn host(&self) -> &str {
        match &self.place {
            Place::Tcp(address) => address,
            Place::Unix(_) => "localhost",
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    pub fn try_connect(&self) -> std::io::Result<Wire> {
        let stream = match &self.place {
            Place::Tcp(address) => Stream::Tcp(TcpStream::connect(address)?),
            Place::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
        };
        stream.set_patience()?;
        Ok(Wire { stream, unread: Vec::new(), frame: Frame::None, decoded: Vec::new() })
    }

    #[track_caller]
    pub fn connect(&self) -> Wire {
        self.try_connect().unwrap()
    }

    #[track_caller]
    pub fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, &[], b"")
    }

    /// JSON.
    #[track_caller]
    pub fn post(&self, target: &str, body: &str) -> Reply {
        self.ask("POST", target, &[("content-type", "application/json")], body.as_bytes())
    }

    #[track_caller]
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.try_ask(method, target, headers, body).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// On a connection of its own.
    pub fn try_ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Reply> {
        let mut wire = self.try_connect()?;
        let mut bytes = self.head(method, target, headers, Some(body.len())).into_bytes();
        bytes.extend_from_slice(body);
        // A server that answers before it has read all may be gone when the rest is sent.
        let _ = wire.try_send(&bytes);
        if method == "HEAD" { wire.begin() } else { wire.reply() }
    }

    /// The head of a request. Its own `Host` and `Authorization` unless `headers` has them; without a length the body is
    /// chunked.
    pub fn head(&self, method: &str, target: &str, headers: &[(&str, &str)], length: Option<usize>) -> String {
        let given = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        if !given("host") {
            text += &format!("host: {}\r\n", self.host());
        }
        if let Some(token) = self.token.as_ref().filter(|_| !given("authorization")) {
            text += &format!("authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        match length {
            Some(0) if method == "GET" || method == "HEAD" => {}
            Some(length) => text += &format!("content-length: {length}\r\n"),
            None => text += "transfer-encoding: chunked\r\n",
        }
        text + "\r\n"
    }
}

/// One connection.
pub struct Wire {
    stream: Stream,
    unread: Vec<u8>,
    frame: Frame,
    /// Of the present answer's body, and not taken yet.
    decoded: Vec<u8>,
}

/// How much of an answer's body is still to come.
#[derive(Clone, Copy, Debug)]
enum Frame {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Wire {
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// A piece of a chunked body.
    #[track_caller]
    pub fn chunk(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_chunk(bytes).unwrap();
    }

    pub fn try_chunk(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        let mut framed = format!("{:x}\r\n", bytes.as_ref().len()).into_bytes();
        framed.extend_from_slice(bytes.as_ref());
        framed.extend_from_slice(b"\r\n");
        self.try_send(framed)
    }

    /// The end of a chunked body.
    pub fn end(&mut self) {
        self.send("0\r\n\r\n");
    }

    /// Another half of the same connection, to write while this one reads.
    pub fn other_half(&self) -> Wire {
        let stream = self.stream.try_clone().unwrap();
        Wire { stream, unread: Vec::new(), frame: Frame::None, decoded: Vec::new() }
    }

    /// Nothing more will be sent.
    pub fn shut(&self) {
        self.stream.shutdown().unwrap();
    }

    /// How long a read waits from now on.
    pub fn wait_at_most(&self, most: std::time::Duration) {
        self.stream.set_read_timeout(most).unwrap();
    }

    /// A whole answer.
    pub fn reply(&mut self) -> std::io::Result<Reply> {
        let mut reply = self.begin()?;
        while let Some(piece) = self.piece()? {
            reply.body.extend_from_slice(&piece);
        }
        Ok(reply)
    }

    /// The head of an answer, with no body yet: `piece` and `line` read that.
    pub fn begin(&mut self) -> std::io::Result<Reply> {
        loop {
            let end = loop {
                if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                    break at + 4;
                }
                if self.read_more()? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            };
            let head: Vec<u8> = self.unread.drain(..end).collect();
            let reply = parse_head(&String::from_utf8_lossy(&head));
            if reply.status < 200 {
                continue;
            }
            let length = reply.header("content-length").map(|text| text.parse().unwrap());
            self.frame = match (reply.status, length, reply.header("transfer-encoding")) {
                (204 | 304, _, _) => Frame::None,
                (_, Some(length), _) => Frame::Length(length),
                (_, None, Some("chunked")) => Frame::Chunked,
                (_, None, _) => Frame::UntilClose,
            };
            return Ok(reply);
        }
    }

    /// Some more of the body; `None` at its end.
    pub fn piece(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        match self.frame {
            Frame::None | Frame::Length(0) => Ok(None),
            Frame::Length(left) => {
                if self.unread.is_empty() && self.read_more()? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                let taken = left.min(self.unread.len());
                self.frame = Frame::Length(left - taken);
                Ok(Some(self.unread.drain(..taken).collect()))
            }
            Frame::Chunked => self.next_chunk(),
            Frame::UntilClose => {
                if self.unread.is_empty() && self.read_more()? == 0 {
                    return Ok(None);
                }
                Ok(Some(std::mem::take(&mut self.unread)))
            }
        }
    }

    fn next_chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let end = self.position_of_line_end()?;
        let line: Vec<u8> = self.unread.drain(..end + 2).collect();
        let text = String::from_utf8_lossy(&line[..end]).into_owned();
        let length = usize::from_str_radix(text.trim(), 16).unwrap_or_else(|_| panic!("{text:?} is no chunk's size"));
        while self.unread.len() < length + 2 {
            if self.read_more()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let chunk: Vec<u8> = self.unread.drain(..length + 2).take(length).collect();
        if length == 0 {
            self.frame = Frame::None;
            return Ok(None);
        }
        Ok(Some(chunk))
    }

    fn position_of_line_end(&mut self) -> std::io::Result<usize> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|two| two == b"\r\n") {
                return Ok(at);
            }
            if self.read_more()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next line of the body, without its end; `None` at the end of the body.
    pub fn line(&mut self) -> std::io::Result<Option<String>> {
        loop {
            if let Some(at) = self.decoded.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.decoded.drain(..=at).collect();
                return Ok(Some(String::from_utf8(line[..at].to_vec()).unwrap()));
            }
            match self.piece()? {
                Some(piece) => self.decoded.extend_from_slice(&piece),
                None => {
                    assert!(self.decoded.is_empty(), "half a line: {:?}", self.decoded);
                    return Ok(None);
                }
            }
        }
    }

    fn read_more(&mut self) -> std::io::Result<usize> {
        let mut buffer = [0; 1 << 16];
        let read = self.stream.read(&mut buffer)?;
        self.unread.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

fn parse_head(text: &str) -> Reply {
    let mut lines = text.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("{first:?} is no status line"));
    let header = |line: &str| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()));
    Reply { status, headers: lines.filter_map(header).collect(), body: Vec::new() }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn set_patience(&self) -> std::io::Result<()> {
        self.set_read_timeout(PATIENCE)?;
        match self {
            Stream::Tcp(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(PATIENCE))
            }
            Stream::Unix(stream) => stream.set_write_timeout(Some(PATIENCE)),
        }
    }

    fn set_read_timeout(&self, most: std::time::Duration) -> std::io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(most)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(most)),
        }
    }

    fn try_clone(&self) -> std::io::Result<Stream> {
        Ok(match self {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone()?),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone()?),
        })
    }

    fn shutdown(&self) -> std::io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(into),
            Stream::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
