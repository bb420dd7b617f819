//! Does to a connection what a step of the script says, and nothing that it does not say.

use std::io;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::{sleep, timeout};

use super::forward::Forwarded;
use super::script::Act;
use crate::cli::wire::{self, Request, Socket};

/// Nothing goes on for longer, whoever holds on to a connection.
const LONGEST: Duration = Duration::from_secs(3600);
/// What `drip` sends after the head.
const DRIPPED: &str = "a webhook receiver that is slow, but not dead\n";

/// How the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another request may follow.
    Request,
    End,
    /// Without a word of farewell.
    Reset,
}

/// Fails if the other side ended the connection before all was done.
pub async fn perform<S: Socket>(stream: &mut BufReader<S>, request: &Request, act: &Act) -> io::Result<Next> {
    timeout(LONGEST, act_on(stream, request, act)).await.unwrap_or(Ok(Next::End))
}

async fn act_on<S: Socket>(stream: &mut BufReader<S>, request: &Request, act: &Act) -> io::Result<Next> {
    match act {
        Act::Status { status, retry_after } => {
            let seconds = retry_after.map(|seconds| seconds.to_string());
            let header = seconds.as_deref().map(|seconds| ("retry-after", seconds));
            say(stream, request, *status, header.as_slice(), &words(*status)).await
        }
        Act::Redirect { status, location } => {
            say(stream, request, *status, &[("location", location)], &words(*status)).await
        }
        Act::Hang => {
            let mut ignored = [0; 4096];
            while stream.read(&mut ignored).await? > 0 {}
            Ok(Next::End)
        }
        Act::Close => Ok(Next::End),
        Act::Reset => {
            stream.get_ref().tcp().set_zero_linger()?;
            Ok(Next::Reset)
        }
        Act::Half => {
            send(stream, b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-le").await?;
            Ok(Next::End)
        }
        Act::Garbage => {
            send(stream, b"\x00\x16\x03this is no HTTP\xff\xfe\r\n\r\n").await?;
            Ok(Next::End)
        }
        Act::Drip { pace, head_too } => {
            let head = head(request, StatusCode::OK, &[], Some(DRIPPED.len()));
            match head_too {
                true => drip(stream, &head, pace.to_std()).await?,
                false => send(stream, &head).await?,
            }
            drip(stream, DRIPPED.as_bytes(), pace.to_std()).await?;
            Ok(next(request))
        }
        Act::Huge { bytes } => {
            let length = usize::try_from(*bytes).unwrap_or(usize::MAX);
            send(stream, &head(request, StatusCode::OK, &[], Some(length))).await?;
            let filler = vec![b'x'; 64 * 1024];
            let mut left = length;
            while left > 0 {
                let piece = left.min(filler.len());
                stream.write_all(&filler[..piece]).await?;
                left -= piece;
            }
            stream.flush().await?;
            Ok(next(request))
        }
    }
}

/// Refuses a request whose signature is not good, and says why.
pub async fn refuse<S: Socket>(stream: &mut BufReader<S>, request: &Request, why: &str) -> io::Result<Next> {
    say(stream, request, StatusCode::UNAUTHORIZED, &[], &format!("{why}\n")).await
}

/// Hands on what another server answered.
pub async fn hand_on<S: Socket>(stream: &mut BufReader<S>, request: &Request, answer: &Forwarded) -> io::Result<Next> {
    let headers: Vec<(&str, &str)> = answer.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let mut bytes = head(request, answer.status, &headers, length(answer.status, answer.body.len()));
    if has_body(request, answer.status) {
        bytes.extend_from_slice(&answer.body);
    }
    send(stream, &bytes).await?;
    Ok(next(request))
}

async fn say<S: Socket>(
    stream: &mut BufReader<S>,
    request: &Request,
    status: StatusCode,
    headers: &[(&str, &str)],
    text: &str,
) -> io::Result<Next> {
    let mut headers = headers.to_vec();
    if has_body(request, status) {
        headers.push(("content-type", "text/plain; charset=utf-8"));
    }
    let mut bytes = head(request, status, &headers, length(status, text.len()));
    if has_body(request, status) {
        bytes.extend_from_slice(text.as_bytes());
    }
    send(stream, &bytes).await?;
    Ok(next(request))
}

fn head(request: &Request, status: StatusCode, headers: &[(&str, &str)], length: Option<usize>) -> Vec<u8> {
    let mut headers = headers.to_vec();
    if !request.keeps_alive {
        headers.push(("connection", "close"));
    }
    wire::answer_head(status, &headers, length)
}

const fn next(request: &Request) -> Next {
    if request.keeps_alive { Next::Request } else { Next::End }
}

/// 204 and 304 have no body, and say no length of one.
fn length(status: StatusCode, bytes: usize) -> Option<usize> {
    let has_none = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    (!has_none).then_some(bytes)
}

fn has_body(request: &Request, status: StatusCode) -> bool {
    request.method != "HEAD" && length(status, 0).is_some()
}

fn words(status: StatusCode) -> String {
    format!("{} {}\n", status.as_u16(), status.canonical_reason().unwrap_or("by script"))
}

async fn send<S: Socket>(stream: &mut BufReader<S>, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn drip<S: Socket>(stream: &mut BufReader<S>, bytes: &[u8], pace: Duration) -> io::Result<()> {
    for byte in bytes {
        send(stream, std::slice::from_ref(byte)).await?;
        sleep(pace).await;
    }
    Ok(())
}
