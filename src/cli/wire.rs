//! As much of HTTP/1.1 as a receiver needs, on a raw socket, so that whoever answers may also misbehave: requests with a
//! Content-Length or in chunks, one after another on a connection.
//! What it reads is bounded in bytes and in time. What can be read in two ways is refused, in words.

mod chunked;
mod head;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub struct Request {
    pub method: String,
    /// As it stands in the request line, with the query.
    pub path: String,
    /// In the order sent, names as sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether another request may follow on the connection.
    pub keeps_alive: bool,
    /// What its body takes of the room for all bodies, until it is dropped.
    pub room: Option<OwnedSemaphorePermit>,
}

impl Request {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(sent, _)| sent.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What is read of one request at most.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Request line and headers together, in bytes; and the trailer of a body in chunks.
    pub head: usize,
    pub body: usize,
    /// Bytes that the bodies of all connections may have together, if that is limited.
    pub room: Option<Arc<Semaphore>>,
    /// Until the first byte.
    pub idle: Duration,
    /// From the first byte to the last.
    pub arrival: Duration,
}

/// Why there is no request to answer, and no further one on this connection.
#[derive(Debug)]
pub enum Unread {
    /// The connection broke, or the other side fell silent in the middle of a request.
    Broken(io::Error),
    Refused(Refusal),
}

/// What may be answered to a request that is not taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    /// A clause that can follow "not taken: ".
    pub why: String,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Refusal { status, why: why.into() }
    }

    fn malformed(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    fn too_large(most: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {most} bytes"))
    }
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Unread::Broken(error)
    }
}

impl From<Refusal> for Unread {
    fn from(refusal: Refusal) -> Self {
        Unread::Refused(refusal)
    }
}

/// A connection that can be written to, and reset.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

/// The next request; `None` if the other side ends the connection before one begins, or lets it lie.
pub async fn read<S: Socket>(stream: &mut BufReader<S>, limits: &Limits) -> Result<Option<Request>, Unread> {
    // However the other side ends it meanwhile: nothing was asked.
    let begun = timeout(limits.idle, stream.fill_buf()).await;
    if !matches!(begun, Ok(Ok(beginning)) if !beginning.is_empty()) {
        return Ok(None);
    }
    match timeout(limits.arrival, whole(stream, limits)).await {
        Ok(read) => read,
        Err(_) => {
            let why = format!("it was not complete after {} s", limits.arrival.as_secs());
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, why).into())
        }
    }
}

async fn whole<S: Socket>(stream: &mut BufReader<S>, limits: &Limits) -> Result<Option<Request>, Unread> {
    let Some(text) = head::read(stream, limits.head).await? else { return Ok(None) };
    let mut parsed = head::parse(&text)?;
    if let head::Length::Known(length) = parsed.length
        && length > limits.body as u64
    {
        return Err(Refusal::too_large(limits.body).into());
    }
    let has_body = parsed.length != head::Length::Known(0);
    if has_body && parsed.expects_continue && stream.buffer().is_empty() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        stream.flush().await?;
    }
    match parsed.length {
        head::Length::Chunked => chunked::read(stream, &mut parsed.request, limits).await?,
        head::Length::Known(length) => more(stream, &mut parsed.request, length, limits).await?,
    }
    Ok(Some(parsed.request))
}

/// So many further bytes of a body. It grows with what comes, not with what is announced.
async fn more<S: Socket>(
    stream: &mut BufReader<S>,
    request: &mut Request,
    mut left: u64,
    limits: &Limits,
) -> Result<(), Unread> {
    while left > 0 {
        let come = stream.fill_buf().await?;
        let piece = come.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if piece == 0 {
            return Err(broke_off());
        }
        if let Some(room) = &limits.room {
            let bytes = u32::try_from(piece).unwrap_or(u32::MAX);
            let taken = room.clone().try_acquire_many_owned(bytes).map_err(|_| no_room())?;
            match &mut request.room {
                Some(room) => room.merge(taken),
                room @ None => *room = Some(taken),
            }
        }
        request.body.extend_from_slice(&come[..piece]);
        stream.consume(piece);
        left -= piece as u64;
    }
    Ok(())
}

fn no_room() -> Unread {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "there is no room for its body beside those of other requests").into()
}

fn broke_off() -> Unread {
    Unread::Broken(io::Error::new(io::ErrorKind::UnexpectedEof, "the request broke off"))
}

/// Status line and headers of an answer. Without a length the body ends with the connection.
pub fn answer_head(status: StatusCode, headers: &[(&str, &str)], length: Option<usize>) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or("Status");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = length {
        head.push_str(&format!("content-length: {length}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// A whole answer in plain text.
pub async fn answer<S: Socket>(stream: &mut BufReader<S>, status: StatusCode, text: &str) -> io::Result<()> {
    let mut answer = answer_head(status, &[("content-type", "text/plain; charset=utf-8")], Some(text.len()));
    answer.extend_from_slice(text.as_bytes());
    stream.write_all(&answer).await?;
    stream.flush().await
}

/// Answers a request that was not taken and ends its connection, so that the answer can be read first.
pub async fn refuse<S: Socket>(stream: &mut BufReader<S>, refusal: &Refusal) -> io::Result<()> {
    let text = format!("{}\n", refusal.why);
    let headers = [("content-type", "text/plain; charset=utf-8"), ("connection", "close")];
    let mut answer = answer_head(refusal.status, &headers, Some(text.len()));
    answer.extend_from_slice(text.as_bytes());
    stream.write_all(&answer).await?;
    close(stream).await
}

/// Ends a connection. What the other side still sends is read for a moment: else it would be reset, and lose what was
/// written to it before.
pub async fn close<S: Socket>(stream: &mut BufReader<S>) -> io::Result<()> {
    const LONGEST: Duration = Duration::from_millis(500);
    const MOST: u64 = 64 * 1024 * 1024;
    stream.shutdown().await?;
    let rest = async { tokio::io::copy(&mut stream.take(MOST), &mut tokio::io::sink()).await };
    // It is over either way.
    let _ = timeout(LONGEST, rest).await;
    Ok(())
}

#[cfg(test)]
mod tests;
