//! Server-sent events: every outcome as it is recorded, from the log that the store keeps of them, so that whoever lost the
//! connection goes on where it was, across restarts too.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use tokio::sync::watch;

use super::Api;
use super::problem::{Kind, Problem};
use super::query::read_query;
use crate::daemon::handle::{Phase, Unserved};
use crate::operations::Refused;
use crate::operations::answer::OutcomeLine;
use crate::operations::look::outcomes::{self, Part};
use crate::plain::plain_json;

/// How many outcomes are read at once.
const PAGE: u32 = 200;
/// A line that says nothing is sent this often, so that whoever is in between does not take the silence for death.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// After a failure of the store it is asked again after this.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<i64>,
}

/// Follow the outcomes.
///
/// Server-sent events. `event: outcome` is an attempt that was recorded, or a delivery that ended or began anew without one;
/// its data is an OutcomeLine, its id counts up. Begins with what happens from now on, or after `Last-Event-ID` (or `?after=`).
/// `event: reset` says that some of what lies in between is not kept any more (the last 100,000 are).
#[utoipa::path(
    get, path = "/v1/events/stream", tag = "events",
    params(
        ("Last-Event-ID" = Option<i64>, Header, description = "go on after this one"),
        ("after" = Option<i64>, Query, description = "the same, for who cannot set headers; 0 for all that is kept"),
    ),
    responses(
        (status = 200, body = OutcomeLine, content_type = "text/event-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn follow(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked: Asked = read_query(query.as_deref())?;
    let last = headers.get("last-event-id").map(|value| {
        let number = value.to_str().ok().and_then(|text| text.trim().parse::<i64>().ok());
        number.ok_or_else(|| Problem::new(Kind::InvalidParameter, "Last-Event-ID is a number, as this stream gave it"))
    });
    let after = last.transpose()?.or(asked.after);
    let (outcomes, phases) = (api.handle.outcomes(), api.handle.phases());
    let (after, greeting) = begin(&api, after).await?;
    let follower = Follower { api, after, outcomes, phases, greeting: Some(greeting) };
    let pieces = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((pieces, Body::from_stream(follower.pieces())).into_response())
}

/// Where to begin, and what to say first.
async fn begin(api: &Api, asked: Option<i64>) -> Result<(i64, Bytes), Problem> {
    let ends = api.handle.look(|store, _| store.outcomes(i64::MAX, 1).map_err(Refused::from)).await??;
    let retry = "retry: 1000\n\n";
    let all = ends.first_kept - 1;
    Ok(match asked {
        None => (ends.last, retry.into()),
        Some(0) => (all, retry.into()),
        // Nobody was given a number that is not there yet: the store is another than then.
        Some(after) if after < all || after > ends.last => {
            (all, format!("{retry}{}", reset(after, ends.first_kept)).into())
        }
        Some(after) => (after, retry.into()),
    })
}

fn reset(after: i64, first_kept: i64) -> String {
    format!("event: reset\ndata: {{\"after\":{after},\"from\":{first_kept}}}\n\n")
}

struct Follower {
    api: Api,
    after: i64,
    outcomes: watch::Receiver<u64>,
    phases: watch::Receiver<Phase>,
    greeting: Option<Bytes>,
}

impl Follower {
    fn pieces(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
        stream::unfold(self, |mut follower| async move { follower.next().await.map(|piece| (Ok(piece), follower)) })
    }

    /// What to send next; `None` when the daemon ends.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            if *self.phases.borrow_and_update() != Phase::Serving {
                return None;
            }
            // Marked as seen before the look: what is recorded in between is then seen again, not missed.
            self.outcomes.borrow_and_update();
            let after = self.after;
            let found = self.api.handle.look(move |store, _| outcomes::outcomes(store, after, PAGE)).await;
            match found {
                Ok(Ok(Part { lines, next, first_kept })) if next > after => {
                    self.after = next;
                    // A reader may be so slow that what it did not read yet goes.
                    let gap = if first_kept > after + 1 { reset(after, first_kept) } else { String::new() };
                    if !lines.is_empty() || !gap.is_empty() {
                        return Some((gap + &written(&lines)).into());
                    }
                    continue;
                }
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(Unserved::Busy | Unserved::InProgress | Unserved::Refused(_)) => {
                    tokio::time::sleep(PATIENCE).await;
                    continue;
                }
                Err(Unserved::Closed) => return None,
            }
            tokio::select! {
                moved = self.outcomes.changed() => moved.ok()?,
                ended = self.phases.changed() => ended.ok()?,
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(Bytes::from_static(b": still here\n\n")),
            }
        }
    }
}

fn written(lines: &[OutcomeLine]) -> String {
    let mut text = String::new();
    for line in lines {
        let data = plain_json(&serde_json::to_string(line).expect("plain data"));
        text.push_str(&format!("id: {}\nevent: outcome\ndata: {data}\n\n", line.seq));
    }
    text
}
