//! A batch over one request: the lines go out while the answer comes in, so that neither side piles anything up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::client::Client;
use crate::cli::batch::lines::{Line, Lines};
use crate::cli::source::Tell;
use crate::cli::{Exit, Failure};
use crate::operations::answer::BatchResult;

/// Pieces that wait for the connection.
const AHEAD: usize = 2;
/// The most bytes of one result.
const MOST_BYTES: usize = 1024 * 1024;

/// What is known on this side: lines that were not sent, and how many were.
#[derive(Default)]
struct Own {
    /// Results of lines that are refused before they are sent, by number.
    refused: VecDeque<BatchResult>,
    /// Lines that say something, refused ones included.
    read: u64,
    /// Why no more lines come.
    failed: Option<Failure>,
}

pub fn enqueue_all(client: &Client, lines: Lines, tell: &mut Tell<'_>) -> Result<(), Failure> {
    let own: Arc<Mutex<Own>> = Arc::default();
    let (sender, pieces) = channel(AHEAD);
    let kept = own.clone();
    let feed = move || feed(lines, &sender, &kept);
    let started = std::thread::Builder::new().name("batch".into()).spawn(feed);
    started.map_err(|error| Failure::new(Exit::Io, format!("a thread cannot start: {error}")))?;
    let told = client.runtime.block_on(answered(client, pieces, &own, tell))?;
    let mut own = own.lock().expect("nobody panics with it");
    let late: Vec<BatchResult> = own.refused.drain(..).collect();
    let told = told + late.len() as u64;
    late.into_iter().try_for_each(tell)?;
    if let Some(failure) = own.failed.take() {
        return Err(failure);
    }
    match told < own.read {
        true => Err(client.stranger(&format!("it answered {told} of {} lines", own.read))),
        false => Ok(()),
    }
}

/// Sends the lines on as they come, until nobody takes them.
fn feed(mut lines: Lines, pieces: &Sender<Bytes>, own: &Mutex<Own>) {
    loop {
        match lines.piece() {
            Ok(Some(piece)) => {
                if pieces.blocking_send(together(&piece, own)).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(failure) => {
                own.lock().expect("nobody panics with it").failed = Some(failure);
                return;
            }
        }
    }
}

/// A line for each, so that the other side counts as this one does.
fn together(piece: &[Line], own: &Mutex<Own>) -> Bytes {
    let mut text = Vec::new();
    for line in piece {
        if !line.is_empty() {
            let mut own = own.lock().expect("nobody panics with it");
            own.read += 1;
            match line.envelope() {
                Ok(envelope) => text.extend_from_slice(&envelope),
                Err(problem) => own.refused.push_back(BatchResult::refused(line.number, problem)),
            }
        }
        text.push(b'\n');
    }
    text.into()
}

/// Tells every result as it comes, in the order of the lines; how many those were.
async fn answered(
    client: &Client,
    pieces: Receiver<Bytes>,
    own: &Mutex<Own>,
    tell: &mut Tell<'_>,
) -> Result<u64, Failure> {
    let frames = futures_util::stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) })
        .map(|piece| Ok::<_, std::convert::Infallible>(Frame::data(piece)));
    let request = client
        .request(Method::POST, &["events", "batch"], &[])
        .header(CONTENT_TYPE, "application/x-ndjson")
        .body(reqwest::Body::wrap(StreamBody::new(frames)));
    let response = request.send().await.map_err(|error| client.unreached(&error))?;
    let mut response = client.granted(response).await?;
    let (mut rest, mut told) = (Vec::new(), 0);
    while let Some(piece) = response.chunk().await.map_err(|error| client.broken_off(&error))? {
        rest.extend_from_slice(&piece);
        let end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for text in rest[..end].split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
            let result: BatchResult =
                serde_json::from_slice(text).map_err(|error| client.stranger(&error.to_string()))?;
            let before: Vec<BatchResult> = {
                let mut own = own.lock().expect("nobody panics with it");
                let count = own.refused.iter().take_while(|refused| refused.line < result.line).count();
                own.refused.drain(..count).collect()
            };
            told += before.len() as u64 + 1;
            before.into_iter().chain([result]).try_for_each(&mut *tell)?;
        }
        rest.drain(..end);
        if rest.len() > MOST_BYTES {
            return Err(client.stranger(&format!("a result with more than {MOST_BYTES} bytes")));
        }
    }
    Ok(told)
}
