//! Where every request is looked at, numbered, told of and decided on, one after another, whatever connection it came by.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::forward::Target;
use super::keys::{Keys, Signatures};
use super::memory::{Earlier, Key, Memory};
use super::report::{By, Report};
use super::save;
use super::script::{Script, Step};
use super::subject::{self, Subject};
use crate::cli::wire::{Limits, Request};
use crate::cli::{Failure, output};
use crate::daemon::clock::wall;
use crate::signature;
use crate::time::{Span, Time};

pub struct Desk {
    pub keys: Keys,
    /// Whether what has no good signature is answered as if it had.
    pub answers_anyway: bool,
    pub script: Script,
    /// Whether the script goes on with each request, instead of with each attempt of an event.
    pub in_order: bool,
    /// Before an answer, unless its step says otherwise.
    pub delay: Span,
    /// Who answers instead of the script.
    pub target: Option<Target>,
    pub save: Option<PathBuf>,
    pub with_headers: bool,
    pub as_json: bool,
    /// Requests to answer.
    pub count: Option<u64>,
    pub limits: Limits,
    pub end: UnboundedSender<End>,
    /// Held while something is told, so that one is told after the other.
    pub state: Mutex<State>,
    /// Never held for long: whoever ends it asks.
    pub tally: Mutex<Tally>,
}

/// Why it ends by itself.
pub enum End {
    /// As many requests are answered as were asked for.
    Counted,
    Failed(Failure),
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Requests that were numbered.
    pub met: u64,
    answered: u64,
    /// Those without a good signature, though there is a key.
    pub bad: u64,
    /// What was no request at all.
    pub misread: u64,
}

#[derive(Default)]
pub struct State {
    memory: Memory,
    turns: usize,
}

/// A request, and what is known of it.
pub struct Met {
    pub number: u64,
    key: Key,
    at: Time,
    digest: [u8; 32],
    subject: Subject,
    signatures: Signatures,
    earlier: Option<Earlier>,
    saved: Option<Result<PathBuf, String>>,
}

pub enum Decision<'a> {
    /// With 401, and why.
    Refuse(String),
    Follow(&'a Step),
    /// Whoever hands it on tells what came of it.
    Forward(&'a Target),
}

impl Desk {
    /// Tells of a request, unless it is handed on, and decides; `None` once there were as many as asked for.
    pub fn receive(&self, request: &Request, remote: SocketAddr) -> Option<(Met, Decision<'_>)> {
        // What takes time needs nobody to wait.
        let (at, digest) = (wall(), signature::digest(&request.body));
        let (subject, signatures) = (subject::of(request), self.keys.check(request, at));
        let state = &mut *self.state();
        let number = self.next_number(signatures.fault.is_some())?;
        let key = Key::of(request, &subject, &digest);
        let earlier = state.memory.meet(key, number, digest, Instant::now());
        let refused = signatures.fault.clone().filter(|_| !self.answers_anyway);
        let mut met = Met { number, key, at, digest, subject, signatures, earlier, saved: None };
        if refused.is_none() {
            met.saved = self.save(&mut state.memory, &met);
        }
        let decision = match (refused, &self.target) {
            (Some(why), _) => Decision::Refuse(why),
            (None, Some(target)) => Decision::Forward(target),
            (None, None) => Decision::Follow(self.next_step(state, key)),
        };
        match &decision {
            Decision::Refuse(why) => self.tell(state, request, remote, &met, "401", By::Refusal(why.clone())),
            Decision::Follow(step) => self.tell(state, request, remote, &met, &step.to_string(), By::Script),
            Decision::Forward(_) => {}
        }
        Some((met, decision))
    }

    /// Tells of a request that was handed on. `failure`: why the answer is not from there.
    pub fn handed_on(&self, request: &Request, remote: SocketAddr, met: &Met, status: u16, failure: Option<String>) {
        let by = failure.map_or(By::Server, By::Failure);
        self.tell(&mut self.state(), request, remote, met, &status.to_string(), by);
    }

    /// One more is answered, well or not.
    pub fn answered(&self) {
        let mut tally = self.locked_tally();
        tally.answered += 1;
        if Some(tally.answered) == self.count {
            // Nobody listens any more: it ends already.
            let _ = self.end.send(End::Counted);
        }
    }

    /// Something came that is no request.
    pub fn misread(&self) {
        self.locked_tally().misread += 1;
    }

    pub fn tally(&self) -> Tally {
        *self.locked_tally()
    }

    /// `None` once there were as many as asked for.
    fn next_number(&self, is_bad: bool) -> Option<u64> {
        let mut tally = self.locked_tally();
        if self.count.is_some_and(|count| tally.met >= count) {
            return None;
        }
        tally.met += 1;
        tally.bad += u64::from(is_bad);
        Some(tally.met)
    }

    fn next_step(&self, state: &mut State, key: Key) -> &Step {
        let turn = match self.in_order {
            true => {
                state.turns += 1;
                state.turns - 1
            }
            false => state.memory.turn(key),
        };
        self.script.step(turn)
    }

    /// Once for each event, however often it comes with the same body.
    fn save(&self, memory: &mut Memory, met: &Met) -> Option<Result<PathBuf, String>> {
        let (folder, certificate) = (self.save.as_deref()?, met.subject.certificate.as_ref()?);
        let before = memory.saved(met.key);
        let is_same = met.earlier.as_ref().is_some_and(|earlier| earlier.same_body);
        if let Some(Some(path)) = &before
            && is_same
        {
            return Some(Ok(path.clone()));
        }
        let saved = save::save(folder, certificate);
        if let (Some(before), Ok(path)) = (before, &saved) {
            *before = Some(path.clone());
        }
        Some(saved)
    }

    fn tell(&self, state: &mut State, request: &Request, remote: SocketAddr, met: &Met, answer: &str, by: By) {
        state.memory.answered(met.key, answer);
        let report = Report {
            number: met.number,
            at: met.at,
            remote: remote.to_string(),
            request,
            digest: met.digest,
            subject: &met.subject,
            signatures: &met.signatures,
            earlier: met.earlier.clone(),
            saved: met.saved.clone(),
            answer: answer.to_owned(),
            by,
        };
        let told = match self.as_json {
            true => output::json(&report.json()),
            false => output::line(&report.page(self.with_headers).join("\n")),
        };
        if let Err(failure) = told {
            // Nobody listens any more: it ends already.
            let _ = self.end.send(End::Failed(failure));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locked_tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
