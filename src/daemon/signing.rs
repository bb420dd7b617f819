//! Signing that takes longer than the rest of an attempt has a thread of its own: with elliptic curves one signature takes tens
//! of microseconds, in which neither the loop nor the store may wait. An HMAC is made on the spot.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;

use tokio::sync::oneshot;

use crate::endpoint::{Endpoint, Scheme};
use crate::event::Event;
use crate::request::{self, Request};
use crate::time::Time;

/// A thread that renders. It ends with the last clone.
#[derive(Clone)]
pub(super) struct Signer(mpsc::Sender<Job>);

struct Job {
    endpoint: Arc<Endpoint>,
    event: Arc<Event>,
    at: Time,
    rendered: oneshot::Sender<Result<Request, String>>,
}

impl Signer {
    pub(super) fn start() -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let work = move || {
            for Job { endpoint, event, at, rendered } in inbox {
                // A key that makes it panic costs its own attempts.
                let made = catch_unwind(AssertUnwindSafe(|| request::render(&endpoint, &event, at)));
                // Nobody may wait any more.
                let _ = made.map(|made| rendered.send(made));
            }
        };
        std::thread::Builder::new().name("signer".into()).spawn(work)?;
        Ok(Signer(jobs))
    }

    /// As `request::render`.
    pub(super) async fn render(&self, endpoint: Arc<Endpoint>, event: Arc<Event>, at: Time) -> Result<Request, String> {
        let is_slow = |scheme: Scheme| match scheme {
            Scheme::Eip191 | Scheme::V1a => true,
            Scheme::Hmac | Scheme::V1 => false,
        };
        if !endpoint.keys.iter().any(|key| is_slow(key.scheme)) {
            return request::render(&endpoint, &event, at);
        }
        let (rendered, answer) = oneshot::channel();
        // Without a thread there is no answer either.
        let _ = self.0.send(Job { endpoint, event, at, rendered });
        answer.await.unwrap_or_else(|_| Err("the signing panicked; this is a fault of postrider".to_owned()))
    }
}
