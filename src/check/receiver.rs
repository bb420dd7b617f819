//! A receiver, put to one case after another: makes what is sent, sends it, and turns the answers into a finding.
//! What an answer means is decided in `judgement`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use url::{Host, Url};

use super::case::{Ask, Case, Content, Tampering, Writing};
use super::judgement::{self, Contract, Exchange, Judged, in_kilobytes};
use super::notification::Maker;
use super::report::{Answer, Finding, Grade};
use super::run::{Couriers, Plan};
use super::tampered;
use crate::courier::Courier;
use crate::daemon::clock::wall;
use crate::delivery::{Carried, Outcome, Reply};
use crate::endpoint::Scheme;
use crate::event::Event;
use crate::judge;
use crate::operations::look::redacted;
use crate::provider::{self, Terms};
use crate::request::{self, Request};
use crate::signature::hex;
use crate::time::{Span, Time};

/// Characters of an answer's body that a finding keeps.
const SHOWN: usize = 300;
/// A connection is back in the pool a moment after its answer was read.
const PAUSE: Duration = Duration::from_millis(50);
/// How many notifications may look for a kept connection.
const TURNS: usize = 3;

pub(super) struct Receiver<'a> {
    plan: &'a Plan,
    couriers: &'a Couriers,
    terms: Terms,
    pub contract: Contract,
    /// When what is told of happened.
    now: Time,
    /// What the first notification met.
    pub first: Option<Exchange>,
    /// The longest that a notification took that was sent alone and taken.
    slowest: Mutex<Option<Span>>,
    /// What no finding may repeat.
    hidden: Vec<String>,
}

/// A finding, and whether a request of it got no answer at all.
pub(super) struct Tried {
    pub finding: Finding,
    pub hung: bool,
}

impl<'a> Receiver<'a> {
    pub fn new(plan: &'a Plan, couriers: &'a Couriers, now: Time) -> Self {
        let endpoint = &plan.endpoint;
        let terms = provider::terms(endpoint.profile, &endpoint.overrides);
        let contract = Contract {
            profile: endpoint.profile,
            success: terms.success.clone(),
            limit: terms.late_after.map_or(terms.timeout, |late| late.min(terms.timeout)),
            timeout: terms.timeout,
            usual: None,
        };
        let slowest = Mutex::new(None);
        Receiver { plan, couriers, terms, contract, now, first: None, slowest, hidden: hidden(plan) }
    }

    /// Whether the case makes sense for it.
    pub fn is_put_to(&self, case: &Case) -> bool {
        let schemes: Vec<Scheme> = self.plan.endpoint.keys.iter().map(|key| key.scheme).collect();
        let fits = case.fits(self.plan.endpoint.profile, &schemes);
        // Whoever develops on this machine needs no TLS yet.
        fits && !(case.ask == Ask::Https && is_plain_and_here(&self.plan.endpoint.url))
    }

    /// Sends the first notification.
    pub async fn reach(&self, case: &'static Case) -> (Finding, Exchange) {
        let begun = Instant::now();
        let event = self.maker(case).any();
        let exchange = self.alone(&event).await;
        let signed = !self.plan.endpoint.keys.is_empty();
        let mut judged = judgement::reached(&exchange, &self.contract, signed);
        // The most common mistake can be told for certain: what it would write, it takes.
        if signed && judgement::may_be_disbelief(&exchange) {
            for (writing, writer) in [(Writing::Python, "Python's json.dumps"), (Writing::Escapes, "PHP's json_encode")]
            {
                let again = self.alone(&self.maker(case).any_written(writing)).await;
                if judgement::is_believed(&again) {
                    judged = judgement::rewrites(judged, writer);
                    break;
                }
            }
        }
        let Tried { finding, .. } = self.tried(case, begun, judged, std::slice::from_ref(&exchange), 0);
        (finding, exchange)
    }

    /// Puts it to one case.
    pub async fn ask(&self, case: &'static Case) -> Tried {
        let begun = Instant::now();
        match case.ask {
            Ask::Reach => {
                let (finding, exchange) = self.reach(case).await;
                Tried { finding, hung: has_hung(&exchange) }
            }
            Ask::Https => {
                let judged = judgement::over_https(self.plan.endpoint.url.starts_with("https://"));
                self.tried(case, begun, judged, &[], 0)
            }
            Ask::InTime => {
                let slowest = *self.slowest.lock().unwrap_or_else(PoisonError::into_inner);
                self.tried(case, begun, judgement::in_time(slowest, &self.contract), &[], 0)
            }
            Ask::AnswerSize => match &self.first {
                Some(first) => self.tried(case, begun, judgement::answer_size(first), std::slice::from_ref(first), 0),
                None => Tried { finding: Finding::skipped(case), hung: false },
            },
            Ask::Refuse(tampering) => self.forged(case, tampering).await,
            Ask::TwoSignatures => self.two_signatures(case).await,
            Ask::OutOfOrder => self.out_of_order(case).await,
            Ask::Same(count) => {
                let event = self.maker(case).any();
                self.at_once(case, &vec![event; count], "one of them, all equal and at once").await
            }
            Ask::Many(count) => {
                let mut maker = self.maker(case);
                let events: Vec<Event> = (0..count).map(|_| maker.any()).collect();
                self.at_once(case, &events, "one of many at once").await
            }
            Ask::KeepAlive => self.keep_alive(case).await,
            Ask::Type(event_type) => {
                let events = self.maker(case).life(event_type);
                self.last_of(case, &events, judgement::taken_exactly).await
            }
            Ask::Approved(kind, at_least) => {
                let judge = if at_least > 0 { judgement::taken_in_time } else { judgement::taken_exactly };
                self.last_of(case, &[self.maker(case).approved(kind, at_least)], judge).await
            }
            Ask::Written(writing) => self.last_of(case, &[self.maker(case).written(writing)], judgement::taken).await,
            Ask::Twice => {
                let event = self.maker(case).any();
                self.last_of(case, &[event.clone(), event], judgement::taken).await
            }
            Ask::Unusual(content) => {
                let judge = match content {
                    Content::UnknownType => judgement::welcome,
                    Content::UnknownPolicy | Content::UnknownTransaction => judgement::tolerated,
                    Content::NewFields | Content::NullQuote | Content::EmptyCustomData | Content::CustomData => {
                        judgement::taken
                    }
                };
                self.last_of(case, &[self.maker(case).unusual(content)], judge).await
            }
            Ask::Large(bytes) => self.last_of(case, &[self.maker(case).large(bytes)], judgement::welcome).await,
        }
    }

    /// One notification after another, of which the last decides.
    async fn last_of(&self, case: &'static Case, events: &[Event], judge: fn(&Exchange, &Contract) -> Judged) -> Tried {
        let begun = Instant::now();
        let mut exchanges: Vec<Exchange> = Vec::with_capacity(events.len());
        for event in events {
            exchanges.push(self.alone(event).await);
        }
        let last = exchanges.len() - 1;
        let judged = judge(&exchanges[last], &self.contract);
        self.tried(case, begun, judged, &exchanges, last)
    }

    async fn forged(&self, case: &'static Case, tampering: Tampering) -> Tried {
        let begun = Instant::now();
        let mut maker = self.maker(case);
        let event = maker.any();
        let other = Event { id: event.id.clone(), ..maker.any() };
        let request = tampered::request(tampering, &self.plan.endpoint, &event, &other, maker.dice(), wall());
        let exchange = self.send(&self.couriers.fresh, &event, request, tampered::in_words(tampering)).await;
        let judged = judgement::refused(&exchange, &self.contract);
        self.tried(case, begun, judged, &[exchange], 0)
    }

    async fn two_signatures(&self, case: &'static Case) -> Tried {
        let begun = Instant::now();
        let mut maker = self.maker(case);
        let event = maker.any();
        let request = tampered::with_two(&self.plan.endpoint, &event, maker.dice(), wall());
        let how = "with two signatures, of which the second is right";
        let exchange = self.send(&self.couriers.fresh, &event, request, how).await;
        let judged = judgement::taken(&exchange, &self.contract);
        self.tried(case, begun, judged, &[exchange], 0)
    }

    async fn out_of_order(&self, case: &'static Case) -> Tried {
        let begun = Instant::now();
        let [resolution, creation] = self.maker(case).resolution_and_creation();
        let mut exchanges = vec![self.alone(&resolution).await, self.alone(&creation).await];
        // As its sender would do.
        if judgement::taken(&exchanges[0], &self.contract).grade == Grade::Fail {
            exchanges.push(self.alone(&resolution).await);
        }
        let (shown, judged) = judgement::out_of_order(&exchanges[0], &exchanges[1], exchanges.get(2), &self.contract);
        self.tried(case, begun, judged, &exchanges, shown)
    }

    async fn at_once(&self, case: &'static Case, events: &[Event], how: &str) -> Tried {
        let begun = Instant::now();
        let sending = events.iter().map(|event| self.rightly(&self.couriers.fresh, event, how));
        let exchanges = join_all(sending).await;
        let (shown, judged) = judgement::all_taken(&exchanges, &self.contract);
        self.tried(case, begun, judged, &exchanges, shown)
    }

    /// Until one of them goes over a connection that another has left.
    async fn keep_alive(&self, case: &'static Case) -> Tried {
        let begun = Instant::now();
        let mut maker = self.maker(case);
        let mut exchanges: Vec<Exchange> = Vec::new();
        while exchanges.len() < TURNS && !exchanges.iter().any(|exchange| exchange.reused || exchange.resent) {
            if !exchanges.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
            let how = format!("number {} on a connection that is kept", exchanges.len() + 1);
            exchanges.push(self.rightly(&self.couriers.keeping, &maker.any(), &how).await);
        }
        let judged = judgement::kept_alive(&exchanges, &self.contract);
        let last = exchanges.len() - 1;
        self.tried(case, begun, judged, &exchanges, last)
    }

    fn maker(&self, case: &Case) -> Maker {
        Maker::new(self.plan.endpoint.profile, case, self.plan.seed, self.now, &self.plan.amend)
    }

    /// A rightly signed notification with nothing beside it, whose time counts.
    async fn alone(&self, event: &Event) -> Exchange {
        let exchange = self.rightly(&self.couriers.fresh, event, "rightly signed").await;
        if judgement::taken(&exchange, &self.contract).grade == Grade::Pass {
            let mut slowest = self.slowest.lock().unwrap_or_else(PoisonError::into_inner);
            *slowest = (*slowest).max(Some(exchange.took));
        }
        exchange
    }

    async fn rightly(&self, courier: &Courier, event: &Event, how: &str) -> Exchange {
        let how =
            if self.plan.endpoint.keys.is_empty() { how.replace("rightly signed", "unsigned") } else { how.to_owned() };
        self.send(courier, event, request::render(&self.plan.endpoint, event, wall()), &how).await
    }

    async fn send(&self, courier: &Courier, event: &Event, request: Result<Request, String>, how: &str) -> Exchange {
        let bytes = event.body.len();
        let sent = format!("{}, {}, {how}", event.event_type, in_kilobytes(bytes));
        let request = request.expect("an event of ours has the digest of its body");
        let observed = courier.observe(&request, wall()).await;
        let carried = &observed.carried;
        let (location, body) = match &carried.reply {
            Reply::Head { location, body, .. } => (location.clone(), body.clone()),
            Reply::TimedOut { .. } | Reply::Unreachable { .. } | Reply::Blocked { .. } => (None, Vec::new()),
        };
        Exchange {
            sent,
            bytes,
            outcome: judge::outcome(carried, &self.terms),
            location,
            body,
            body_end: observed.body_end,
            took: to_the_head(carried),
            reused: observed.reused,
            resent: carried.resent,
        }
    }

    fn tried(
        &self,
        case: &'static Case,
        begun: Instant,
        judged: Judged,
        exchanges: &[Exchange],
        shown: usize,
    ) -> Tried {
        let is_trouble = matches!(judged.grade, Grade::Warn | Grade::Fail);
        let exchange = exchanges.get(shown);
        let finding = Finding {
            case,
            grade: judged.grade,
            seen: self.clean(&judged.seen),
            sent: exchange.map(|exchange| exchange.sent.clone()),
            answer: exchange.and_then(|exchange| self.answer(exchange)),
            fix: is_trouble.then(|| judged.fix.unwrap_or_else(|| case.fix.to_owned())),
            took: Span::from_ms(i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX)),
        };
        Tried { finding, hung: exchanges.iter().any(has_hung) }
    }

    fn answer(&self, exchange: &Exchange) -> Option<Answer> {
        let (Outcome::Accepted { status, .. } | Outcome::Rejected { status }) = exchange.outcome else { return None };
        let text = self.clean(&String::from_utf8_lossy(&exchange.body));
        let body: String = text.chars().take(SHOWN).collect();
        let more = body.len() < text.len();
        Some(Answer { status, location: exchange.location.as_deref().map(redacted), body, more })
    }

    /// Without the secrets that the receiver may have repeated.
    fn clean(&self, text: &str) -> String {
        self.hidden.iter().fold(text.to_owned(), |text, hidden| text.replace(hidden, "***"))
    }
}

/// The secrets in each form in which somebody could print them, and the values of extra headers.
fn hidden(plan: &Plan) -> Vec<String> {
    let mut hidden: Vec<String> = Vec::new();
    for key in &plan.endpoint.keys {
        let secret = key.secret.expose();
        hidden.extend(String::from_utf8(secret.to_vec()));
        hidden.extend([hex(secret), hex(secret).to_uppercase(), STANDARD.encode(secret)]);
    }
    for (_, value) in &plan.endpoint.overrides.headers {
        hidden.push(value.clone());
        hidden.extend(value.split_whitespace().map(str::to_owned));
    }
    if let Ok(url) = Url::parse(&plan.endpoint.url) {
        hidden.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    }
    // What is very short stands in any text. The longest first: one may stand within another.
    hidden.retain(|text| text.len() >= 4);
    hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
    hidden
}

fn has_hung(exchange: &Exchange) -> bool {
    matches!(exchange.outcome, Outcome::TimedOut { .. })
}

/// How long it took to the answer's head, or to the end of the wait for it.
fn to_the_head(carried: &Carried) -> Span {
    let timings = &carried.timings;
    let stages = [timings.dns_us, timings.connect_us, timings.tls_us, timings.first_byte_us];
    let us = match timings.first_byte_us {
        Some(_) => stages.into_iter().flatten().sum::<u64>().min(timings.total_us),
        None => timings.total_us,
    };
    Span::from_ms(i64::try_from(us / 1000).unwrap_or(i64::MAX))
}

/// Whether a URL is of plain HTTP to this machine.
fn is_plain_and_here(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    here && url.scheme() == "http"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_to_this_machine_needs_no_tls() {
        for url in ["http://127.0.0.1:3000/", "http://localhost/hook", "http://[::1]:3000/", "http://app.localhost/"] {
            assert!(is_plain_and_here(url), "{url}");
        }
        for url in ["https://127.0.0.1/", "http://192.168.0.7/", "http://partner.example/", "no url"] {
            assert!(!is_plain_and_here(url), "{url}");
        }
    }
}
