//! A body in chunks, put together. What is no chunk is refused, and so is a body that grows beyond its limit, before it
//! is read.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::{Limits, Refusal, Request, Socket, Unread, broke_off, more};

/// A chunk's size with its extensions, which nobody has a use for.
const LONGEST_LINE: usize = 1024;

pub async fn read<S: Socket>(stream: &mut BufReader<S>, request: &mut Request, limits: &Limits) -> Result<(), Unread> {
    loop {
        let size = size(&line(stream, LONGEST_LINE).await?)?;
        if size == 0 {
            break;
        }
        if size > (limits.body - request.body.len()) as u64 {
            return Err(Refusal::too_large(limits.body).into());
        }
        more(stream, request, size, limits).await?;
        if !line(stream, 2).await?.is_empty() {
            return Err(no_chunk());
        }
    }
    // The trailer, which says nothing about the body that a receiver may rely on.
    let mut left = limits.head;
    loop {
        let line = line(stream, left).await?;
        if line.is_empty() {
            return Ok(());
        }
        left = left.saturating_sub(line.len() + 2);
    }
}

/// A line without its end.
async fn line<S: Socket>(stream: &mut BufReader<S>, most: usize) -> Result<Vec<u8>, Unread> {
    let mut line = Vec::new();
    (&mut *stream).take(most as u64).read_until(b'\n', &mut line).await?;
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(line.to_vec()),
        None if line.len() == most || line.ends_with(b"\n") => Err(no_chunk()),
        None => Err(broke_off()),
    }
}

fn size(line: &[u8]) -> Result<u64, Unread> {
    let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
    let in_form = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| in_form);
    text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or_else(no_chunk)
}

fn no_chunk() -> Unread {
    Refusal::malformed("its body is not in the chunks that it announces").into()
}
