//! Runs the cases against a receiver, one after another, and stops where nothing more can be told.
//! A receiver that hangs cannot hold it: what is left of a group after the first request without an answer goes at
//! once, and no case begins after `LONGEST`.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::case::{self, Ask, Case};
use super::judgement;
use super::notification::Amend;
use super::receiver::{Receiver, Tried};
use super::report::{Finding, Grade, Report};
use crate::courier::Courier;
use crate::daemon::clock::wall;
use crate::delivery::Outcome;
use crate::endpoint::Endpoint;
use crate::operations::look::redacted;
use crate::time::Span;

/// After this no case begins.
const LONGEST: Duration = Duration::from_secs(120);

/// What is to be checked.
pub struct Plan {
    /// The receiver, as if it were registered.
    pub endpoint: Endpoint,
    /// In the order in which they are run; those that do not fit the endpoint are left out.
    pub cases: Vec<&'static Case>,
    pub seed: u64,
    pub amend: Amend,
}

/// What carries the requests.
pub struct Couriers {
    /// Takes a new connection for each request, so that no case depends on the one before.
    pub fresh: Courier,
    /// Keeps connections.
    pub keeping: Courier,
}

/// What happens meanwhile.
pub enum Told<'a> {
    Begins(&'static Case),
    Found(&'a Finding),
}

/// Runs the cases. Whatever the receiver does is a finding, never an error.
pub async fn run(plan: &Plan, couriers: &Couriers, tell: &mut dyn FnMut(Told<'_>)) -> Report {
    let (begun, started_at) = (Instant::now(), wall());
    let receiver = Receiver::new(plan, couriers, started_at);
    let cases: Vec<&'static Case> = plan.cases.iter().copied().filter(|case| receiver.is_put_to(case)).collect();
    let (first, rest): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.ask == Ask::Reach);
    let mut run = Run { receiver, tell, begun, findings: Vec::new(), taken: false, stopped: None };
    run.first(!first.is_empty()).await;
    for group in rest.chunk_by(|a, b| a.group() == b.group()) {
        run.group(group).await;
    }
    Report {
        url: redacted(&plan.endpoint.url),
        profile: plan.endpoint.profile,
        schemes: plan.endpoint.keys.iter().map(|key| key.scheme).collect(),
        seed: plan.seed,
        started_at,
        took: Span::from_ms(i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX)),
        findings: run.findings,
        stopped: run.stopped,
    }
}

struct Run<'a> {
    receiver: Receiver<'a>,
    tell: &'a mut dyn FnMut(Told<'_>),
    begun: Instant,
    findings: Vec<Finding>,
    /// Some notification was taken.
    taken: bool,
    stopped: Option<String>,
}

impl Run<'_> {
    /// The first notification goes out even if nobody asked for its case: the others mean nothing without it.
    async fn first(&mut self, is_asked_for: bool) {
        let case = case::all().find(|case| case.ask == Ask::Reach).expect("there is a first case");
        (self.tell)(Told::Begins(case));
        let (finding, exchange) = self.receiver.reach(case).await;
        self.taken = finding.grade == Grade::Pass;
        if let Outcome::Rejected { status: status @ 200..=299 } = exchange.outcome {
            self.receiver.contract.usual = Some(status);
            self.taken = true;
        }
        if let Some(why) = judgement::hopeless(&exchange) {
            self.stopped = Some(format!("{why}: the rest was not tried"));
        }
        self.receiver.first = Some(exchange);
        if is_asked_for || finding.is_trouble() {
            self.keep(finding);
        }
    }

    async fn group(&mut self, cases: &[&'static Case]) {
        // A receiver that failed at the first notification may take those of other types.
        if self.stopped.is_none() && !self.taken && cases[0].group() != case::TYPES {
            self.stopped = Some("it took no notification: the rest was not tried".to_owned());
        }
        let mut cases = cases.iter().copied();
        while let Some(case) = self.next(&mut cases) {
            (self.tell)(Told::Begins(case));
            let Tried { finding, hung } = self.receiver.ask(case).await;
            self.keep(finding);
            if hung {
                let left: Vec<&'static Case> = cases.by_ref().collect();
                let tried = join_all(left.into_iter().map(|case| self.receiver.ask(case))).await;
                tried.into_iter().for_each(|tried| self.keep(tried.finding));
            }
        }
        cases.for_each(|case| self.keep(Finding::skipped(case)));
    }

    /// The next case, if there is reason and time for one.
    fn next(&mut self, cases: &mut impl Iterator<Item = &'static Case>) -> Option<&'static Case> {
        if self.stopped.is_none() && self.begun.elapsed() > LONGEST {
            self.stopped = Some(format!("time was up after {} s: the rest was not tried", LONGEST.as_secs()));
        }
        match self.stopped {
            None => cases.next(),
            Some(_) => None,
        }
    }

    fn keep(&mut self, finding: Finding) {
        self.taken |= finding.grade == Grade::Pass && finding.case.group() == case::TYPES;
        (self.tell)(Told::Found(&finding));
        self.findings.push(finding);
    }
}
