//! A request's body: no more bytes than allowed, no longer than allowed, and nothing is waited for without an end.
//! The bytes are handed on as they came.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use super::problem::{Kind, Problem};

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub bytes: usize,
    /// For the whole body to arrive.
    pub time: Duration,
    /// Whether `store.max_body_bytes` and `api.request_timeout_ms` are what they come from, so that these raise them.
    pub are_settings: bool,
}

/// The whole body. `grow` hears how many bytes there are before more of them are kept, and may refuse.
pub async fn read(
    body: Body,
    limits: Limits,
    mut grow: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    let declared = body.size_hint().exact().unwrap_or_default();
    if usize::try_from(declared).map_or(true, |declared| declared > limits.bytes) {
        return Err(too_large(&format!("the body has {declared} bytes"), limits));
    }
    let deadline = Instant::now() + limits.time;
    let mut parts = body.into_data_stream();
    // One part is handed on as it is; only further ones are copied.
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    loop {
        let part = match timeout_at(deadline, next(&mut parts)).await {
            Ok(part) => part?,
            Err(_) => return Err(too_slow("the body did not arrive", limits)),
        };
        let Some(part) = part else { break };
        if first.len() + all.len() + part.len() > limits.bytes {
            return Err(too_large("the body has more bytes", limits));
        }
        grow(first.len() + all.len() + part.len())?;
        if first.is_empty() && all.is_empty() {
            first = part;
            continue;
        }
        if all.is_empty() {
            all.reserve(usize::try_from(declared).unwrap_or_default().max(first.len() + part.len()));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&part);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

type Parts = axum::body::BodyDataStream;

async fn next(parts: &mut Parts) -> Result<Option<Bytes>, Problem> {
    match futures_util::StreamExt::next(parts).await {
        Some(Ok(part)) => Ok(Some(part)),
        Some(Err(error)) => {
            let detail = format!("the body broke off or its encoding is wrong ({error}); send it again");
            Err(Problem::new(Kind::InvalidParameter, detail))
        }
        None => Ok(None),
    }
}

fn too_large(what: &str, limits: Limits) -> Problem {
    let or_raise = if limits.are_settings { ", or raise store.max_body_bytes" } else { "" };
    let detail = format!("{what}, and at most {} are taken here; send less{or_raise}", limits.bytes);
    Problem::new(Kind::TooLarge, detail)
}

fn too_slow(what: &str, limits: Limits) -> Problem {
    let or_raise = if limits.are_settings { ", or raise api.request_timeout_ms" } else { "" };
    let detail = format!("{what} within {} ms; send it faster{or_raise}", limits.time.as_millis());
    Problem::new(Kind::SlowRequest, detail)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    const LIMITS: Limits = Limits { bytes: 10, time: Duration::from_secs(5), are_settings: true };

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    /// A body of unknown length.
    fn parts(parts: &[&'static str]) -> Body {
        let parts: Vec<_> = parts.iter().map(|part| Ok::<_, Infallible>(Bytes::from_static(part.as_bytes()))).collect();
        Body::from_stream(stream::iter(parts))
    }

    /// A byte after each pause, without end.
    fn drip(pause_ms: u64) -> Body {
        Body::from_stream(stream::unfold((), move |()| async move {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), ()))
        }))
    }

    #[test]
    fn a_body_is_read_up_to_its_limit() {
        let read = |body| run(read(body, LIMITS, |_| Ok(()))).map_err(|problem| (problem.kind, problem.detail));
        assert_eq!(read(Body::empty()), Ok(Bytes::new()));
        assert_eq!(read(Body::from("0123456789")).unwrap(), "0123456789");
        assert_eq!(read(parts(&["0123", "", "45", "6789"])).unwrap(), "0123456789");
        let advice = "at most 10 are taken here; send less, or raise store.max_body_bytes";
        assert_eq!(
            read(Body::from("0123456789a")),
            Err((Kind::TooLarge, format!("the body has 11 bytes, and {advice}")))
        );
        let more = Err((Kind::TooLarge, format!("the body has more bytes, and {advice}")));
        assert_eq!(read(parts(&["01234567890"])), more);
        assert_eq!(read(parts(&["0123456789", "a"])), more);
        let fixed = Limits { are_settings: false, ..LIMITS };
        let problem = run(super::read(parts(&["0123456789", "a"]), fixed, |_| Ok(()))).unwrap_err();
        assert_eq!(problem.detail, "the body has more bytes, and at most 10 are taken here; send less");
    }

    #[test]
    fn a_body_that_does_not_come_is_given_up() {
        let hasty = Limits { time: Duration::from_millis(50), ..LIMITS };
        let problem = run(read(drip(10), hasty, |_| Ok(()))).unwrap_err();
        assert_eq!((problem.kind, problem.status), (Kind::SlowRequest, 408));
        assert_eq!(
            problem.detail,
            "the body did not arrive within 50 ms; send it faster, or raise api.request_timeout_ms"
        );
        let broken = Body::from_stream(stream::iter([Ok(Bytes::from_static(b"x")), Err(std::io::Error::other("cut"))]));
        let problem = run(read(broken, LIMITS, |_| Ok(()))).unwrap_err();
        assert_eq!(problem.kind, Kind::InvalidParameter);
        assert!(problem.detail.contains("broke off"), "{}", problem.detail);
    }
}
