//! Accepting many events over one request: a line of JSON each, answered by a line each, in order, while they still arrive.
//! A line that is refused spoils no other. What is read waits for what is stored, and what is stored for whoever reads the
//! answer: nothing piles up.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::BodyExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Api;
use super::events::{accept_one, enveloped};
use super::problem::{Kind, Problem};
use super::server::{duration, reached};
use crate::daemon::clock::wall;
use crate::daemon::handle::{ENVELOPE, Phase, Room};
use crate::operations::answer::{AcceptedAnswer, BatchResult};
use crate::plain::plain_json;

/// How many lines of one request are on their way to the disk at once: they share its syncs.
const AT_ONCE: usize = 512;
/// How many results may go out in one piece.
const TOGETHER: usize = 64;
/// How long a line waits before it is tried again.
const AGAIN: Duration = Duration::from_millis(5);

/// Accept many events.
///
/// NDJSON: one envelope a line, as `POST /v1/events` takes it; give each an `id`, so that a batch that was cut off can simply
/// be sent again. The answer streams one result a line, in the order of the lines, each after the durable commit of its event.
/// Read the answer while you send: when its reader falls behind, no more lines are taken.
#[utoipa::path(
    post, path = "/v1/events/batch", tag = "events",
    request_body(content = String, content_type = "application/x-ndjson", description = "one envelope a line"),
    responses(
        (status = 200, body = BatchResult, content_type = "application/x-ndjson", description = "one result a line"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn accept_all(State(api): State<Api>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !matches!(essence.as_str(), "application/x-ndjson" | "application/ndjson" | "application/jsonl") {
        let text = "a batch is sent as content-type: application/x-ndjson, one envelope a line";
        return Err(Problem::new(Kind::UnsupportedMediaType, text));
    }
    let most = api.handle.rules().max_body_bytes.saturating_add(ENVELOPE);
    let lines = lines(api.clone(), body, most);
    // Each on a task of its own: nobody may keep the room of a line by not reading the results.
    let results = lines.map(move |line| tokio::spawn(result(api.clone(), line))).buffered(AT_ONCE);
    let results = results.map(|result| result.expect("a line makes nothing panic")).ready_chunks(TOGETHER);
    let pieces = results.map(|results| Ok::<_, std::convert::Infallible>(Bytes::from(results.concat())));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pieces)).into_response())
}

/// One line, or why there is none.
struct Line {
    /// From 1.
    number: u64,
    text: Result<Bytes, Problem>,
}

/// Room for a line. Who waits for it holds nothing meanwhile that others wait for.
async fn room(api: &Api, bytes: usize) -> Room {
    loop {
        match api.handle.room(bytes) {
            Ok(room) => return room,
            Err(_) => sleep(AGAIN).await,
        }
    }
}

struct Lines {
    api: Api,
    phases: watch::Receiver<Phase>,
    body: Body,
    /// Read, and no whole line yet.
    rest: BytesMut,
    ready: VecDeque<Line>,
    number: u64,
    most: usize,
    /// The line that is being read is too long: the rest of it is thrown away.
    skipping: bool,
    ended: bool,
}

/// The lines of a body as they arrive. A body that breaks off gives no half line.
fn lines(api: Api, body: Body, most: usize) -> impl Stream<Item = (Line, Option<Room>)> {
    let lines = Lines {
        phases: api.handle.phases(),
        api,
        body,
        rest: BytesMut::new(),
        ready: VecDeque::new(),
        number: 0,
        most,
        skipping: false,
        ended: false,
    };
    stream::unfold(lines, |mut lines| async move { lines.next().await.map(|line| (line, lines)) })
}

impl Lines {
    /// The next line with its room, without which no further one is read.
    async fn next(&mut self) -> Option<(Line, Option<Room>)> {
        let line = self.line().await?;
        let room = match &line.text {
            Ok(text) => Some(room(&self.api, text.len()).await),
            Err(_) => None,
        };
        Some((line, room))
    }

    async fn line(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            let idle = duration(self.api.handle.config().api.request_timeout);
            let arrived = tokio::select! {
                biased;
                () = reached(&mut self.phases, Phase::Draining) => {
                    let text =
                        "postrider is stopping: this line and those after it were not taken; send them again later";
                    return self.last(Problem::new(Kind::Draining, text));
                }
                arrived = tokio::time::timeout(idle, self.body.frame()) => arrived,
            };
            match arrived {
                Err(_) => {
                    let text = "nothing arrived for too long: what was not answered before this was not taken";
                    return self.last(Problem::new(Kind::SlowRequest, text));
                }
                // Cut off: what stands in `rest` is no line, and there is nobody to tell.
                Ok(Some(Err(_))) => {
                    self.ended = true;
                    return None;
                }
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.take(&data);
                    }
                }
                Ok(None) => {
                    self.ended = true;
                    let rest = self.rest.split().freeze();
                    self.whole(rest);
                }
            }
        }
    }

    fn last(&mut self, problem: Problem) -> Option<Line> {
        self.ended = true;
        Some(Line { number: self.number + 1, text: Err(problem) })
    }

    fn take(&mut self, mut data: &[u8]) {
        while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
            self.add(&data[..end]);
            data = &data[end + 1..];
            let line = self.rest.split().freeze();
            self.whole(line);
        }
        self.add(data);
    }

    fn add(&mut self, data: &[u8]) {
        if self.rest.len() + data.len() > self.most {
            self.skipping = true;
        }
        match self.skipping {
            true => self.rest.clear(),
            false => self.rest.extend_from_slice(data),
        }
    }

    /// A line is whole. Empty ones count, but say nothing.
    fn whole(&mut self, text: Bytes) {
        self.number += 1;
        let number = self.number;
        if std::mem::take(&mut self.skipping) {
            let text = format!("the line has more bytes than {}, which its event may have", self.most);
            self.ready.push_back(Line { number, text: Err(Problem::new(Kind::TooLarge, text)) });
        } else if !text.trim_ascii().is_empty() {
            self.ready.push_back(Line { number, text: Ok(text) });
        }
    }
}

async fn result(api: Api, (line, room): (Line, Option<Room>)) -> Vec<u8> {
    let answer = match line.text {
        Ok(text) => accept(&api, text, room).await,
        Err(problem) => Err(problem),
    };
    let result = match answer {
        Ok(accepted) => BatchResult::accepted(line.number, accepted),
        Err(problem) => BatchResult::refused(line.number, problem.within()),
    };
    let mut text = plain_json(&serde_json::to_string(&result).expect("plain data"));
    text.push('\n');
    text.into_bytes()
}

/// While another request has the same id under way, or all room is taken, a line waits: who sends a batch is held up rather
/// than refused.
async fn accept(api: &Api, text: Bytes, mut taken: Option<Room>) -> Result<AcceptedAnswer, Problem> {
    let began = wall();
    let (submission, bytes) = (enveloped(&text)?, text.len());
    drop(text);
    let end = Instant::now() + duration(api.handle.config().api.request_timeout);
    loop {
        let room = match taken.take() {
            Some(room) => room,
            None => room(api, bytes).await,
        };
        match accept_one(api, submission.clone(), room, began).await {
            Err(problem) if matches!(problem.kind, Kind::Busy | Kind::InProgress) && Instant::now() < end => {
                sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}
