//! What an answer, or several, says about the receiver. Pure functions: the same answers always get the same grade, and
//! nothing here sends anything.

use super::report::Grade;
use crate::courier::BodyEnd;
use crate::delivery::{Outcome, Stage};
use crate::endpoint::{ProfileName, Success};
use crate::operations::look::redacted;
use crate::provider::EXPRESS_BODY_LIMIT;
use crate::time::Span;

/// What one request met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What was sent, in short.
    pub sent: String,
    /// The size of the body that was sent.
    pub bytes: usize,
    pub outcome: Outcome,
    /// Where a redirect pointed.
    pub location: Option<String>,
    /// The first bytes of the answer's body, and how it ended.
    pub body: Vec<u8>,
    pub body_end: Option<BodyEnd>,
    /// To the head of the answer, or to the end of the wait for it.
    pub took: Span,
    /// It went over a connection that was there already.
    pub reused: bool,
    /// That connection ended without a word, and the request was sent anew.
    pub resent: bool,
}

/// What the receiver is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    pub profile: ProfileName,
    pub success: Success,
    /// The time in which it has to answer.
    pub limit: Span,
    /// The time for which an answer is waited for.
    pub timeout: Span,
    /// A status in the place of success that it answers always. That is told once, and not in each case.
    pub usual: Option<u16>,
}

/// A grade with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub grade: Grade,
    pub seen: String,
    /// What to change, where the answer tells something more certain than the case.
    pub fix: Option<String>,
}

impl Judged {
    fn new(grade: Grade, seen: impl Into<String>) -> Self {
        Judged { grade, seen: seen.into(), fix: None }
    }

    fn with_fix(self, fix: impl Into<String>) -> Self {
        Judged { fix: Some(fix.into()), ..self }
    }

    fn graded(self, grade: Grade) -> Self {
        Judged { grade, ..self }
    }
}

/// It must take what was sent.
pub fn taken(exchange: &Exchange, contract: &Contract) -> Judged {
    let status = match &exchange.outcome {
        Outcome::Accepted { status, .. } => return Judged::new(Grade::Pass, format!("answered {status}")),
        Outcome::Rejected { status } => *status,
        Outcome::TimedOut { .. } | Outcome::Unreachable { .. } | Outcome::Blocked { .. } | Outcome::Unknown => {
            return Judged::new(Grade::Fail, unanswered(exchange, contract));
        }
    };
    if contract.usual == Some(status) {
        return Judged::new(Grade::Pass, format!("answered {status}, as it does always"));
    }
    let answered = |what: &str| Judged::new(Grade::Fail, format!("answered {status}{what}"));
    if says_too_large(status, exchange) {
        return too_large(status, exchange);
    }
    match status {
        200..=299 => answered(&format!(", and {} counts only {}", provider_name(contract.profile), contract.success))
            .with_fix(
                "Answer 200 exactly, in Express res.sendStatus(200), in Flask return \"\", 200: other 2xx are \
                       sent again.",
            ),
        300..=399 => {
            let to = exchange.location.as_deref().map_or("nowhere".to_owned(), redacted);
            answered(&format!(" with Location {to}: redirects are never followed"))
                .with_fix("Register the URL that it points to; a slash at the end and http or https make a difference.")
        }
        _ => answered(""),
    }
}

/// It must take what was sent with the very status that counts, whatever it answers always.
pub fn taken_exactly(exchange: &Exchange, contract: &Contract) -> Judged {
    taken(exchange, &Contract { usual: None, ..contract.clone() })
}

/// It must take what was sent, and answer in time; for what is expensive to take.
pub fn taken_in_time(exchange: &Exchange, contract: &Contract) -> Judged {
    let judged = taken(exchange, contract);
    match judged.grade == Grade::Pass && exchange.took > contract.limit {
        true => {
            Judged::new(Grade::Fail, format!("{} only after {}; it has {}", judged.seen, exchange.took, contract.limit))
                .with_fix("Store it, answer, and do the work afterwards.")
        }
        false => judged,
    }
}

/// It had better take what was sent.
pub fn welcome(exchange: &Exchange, contract: &Contract) -> Judged {
    let judged = taken(exchange, contract);
    match judged.grade {
        Grade::Fail => judged.graded(Grade::Warn),
        Grade::Pass | Grade::Warn | Grade::Skipped => judged,
    }
}

/// It may know better, but a refusal has it sent again for nothing.
pub fn tolerated(exchange: &Exchange, contract: &Contract) -> Judged {
    let judged = taken(exchange, contract);
    match &exchange.outcome {
        Outcome::Rejected { status: 400..=499 } if judged.grade == Grade::Fail => Judged {
            grade: Grade::Warn,
            seen: format!("{}, so it will be sent again ten times for nothing", judged.seen),
            fix: judged.fix,
        },
        Outcome::Accepted { .. }
        | Outcome::Rejected { .. }
        | Outcome::TimedOut { .. }
        | Outcome::Unreachable { .. }
        | Outcome::Blocked { .. }
        | Outcome::Unknown => judged,
    }
}

/// It must refuse what was sent.
pub fn refused(exchange: &Exchange, contract: &Contract) -> Judged {
    const UNHANDLED: &str = "Catch what the verification throws (in Express 4 an async handler that throws answers \
                             nothing) and answer 401.";
    match &exchange.outcome {
        Outcome::Accepted { status, .. } => Judged::new(Grade::Fail, format!("took it: answered {status}")),
        Outcome::Rejected { status: status @ 200..=299 } => {
            Judged::new(Grade::Fail, format!("took it: answered {status}"))
        }
        Outcome::Rejected { status: status @ 400..=499 } => {
            Judged::new(Grade::Pass, format!("refused it: answered {status}"))
        }
        Outcome::Rejected { status: status @ 500..=599 } => Judged::new(
            Grade::Warn,
            format!("answered {status}, which looks like a crash and not like a refusal"),
        )
        .with_fix(
            "Check that the header is there and has the right length before comparing (crypto.timingSafeEqual throws \
             otherwise), and answer 401 or 403.",
        ),
        Outcome::Rejected { status } => {
            Judged::new(Grade::Warn, format!("answered {status}, which is no clear refusal"))
                .with_fix("Answer 401 or 403.")
        }
        Outcome::TimedOut { .. } | Outcome::Unreachable { .. } | Outcome::Blocked { .. } | Outcome::Unknown => {
            Judged::new(Grade::Fail, unanswered(exchange, contract)).with_fix(UNHANDLED)
        }
    }
}

/// The first notification: what there is to do if it was not taken.
pub fn reached(exchange: &Exchange, contract: &Contract, signed: bool) -> Judged {
    let judged = taken(exchange, contract);
    if judged.grade != Grade::Fail || judged.fix.is_some() {
        return judged;
    }
    let fix = match &exchange.outcome {
        Outcome::Rejected { status: 401 | 403 } if signed => {
            "Make sure that it verifies the raw body and not JSON that was parsed and written again (Flask \
             request.get_data(), Express verify of express.json), that it reads the header of this scheme, and that \
             both sides have the same secret, byte for byte (no newline at its end): `postrider sign` shows what is \
             right."
        }
        Outcome::Rejected { status: 401 | 403 } => {
            "This profile is unsigned, so it or a firewall before it wants something else: --header sends it."
        }
        Outcome::Rejected { status: 404 | 410 } => {
            "Check the URL's path. If it is right and the receiver looks for a policy or transaction that it knows, \
             name one with --set."
        }
        Outcome::Rejected { status: 405 | 501 } => "It takes no POST there: check the URL's path.",
        Outcome::Rejected { status: 415 } => "Notifications come with Content-Type: application/json; take that.",
        Outcome::Rejected { status: 400 | 422 } => {
            "Look at what it answered and at its log: a field that it demands, or a signature that it could not read."
        }
        Outcome::Rejected { .. } | Outcome::Unknown | Outcome::Accepted { .. } => {
            "Look at what it answered and at the receiver's log."
        }
        Outcome::TimedOut { stage } => match stage {
            Stage::Dns => "Check the host, and this machine's name server.",
            Stage::Connect => "Nothing answers at that address: the host is down, or a firewall drops the packets.",
            Stage::Tls => "What listens there does not speak TLS in time: check port, and http or https.",
            Stage::Answer => "It got the request and did not answer: answer first, and do the work afterwards.",
        },
        Outcome::Unreachable { stage, error } => unreachable_fix(*stage, error),
        Outcome::Blocked { .. } => "If this address is meant, name it in safety.allow_addresses of config.toml.",
    };
    judged.with_fix(fix)
}

/// Whether it may have refused a right signature.
pub fn may_be_disbelief(exchange: &Exchange) -> bool {
    matches!(exchange.outcome, Outcome::Rejected { status: 400 | 401 | 403 | 422 | 500 })
}

pub fn is_believed(exchange: &Exchange) -> bool {
    matches!(exchange.outcome, Outcome::Accepted { .. } | Outcome::Rejected { status: 200..=299 })
}

/// It did not take the first notification, and took the same as `writer` writes it.
pub fn rewrites(judged: Judged, writer: &str) -> Judged {
    let seen = format!("{}, and took the same notification as {writer} writes it", judged.seen);
    Judged { seen, ..judged }.with_fix(
        "It verifies JSON that was parsed and written again, not the bytes that came. Verify the raw body: Flask \
         request.get_data(), FastAPI await request.body(), Django request.body, PHP file_get_contents('php://input').",
    )
}

fn unreachable_fix(stage: Stage, error: &str) -> &'static str {
    match stage {
        Stage::Dns => "Check the host, and this machine's name server.",
        Stage::Connect if error.contains("refused") => {
            "Start the receiver, or correct the port: nothing listens on that one."
        }
        Stage::Connect => "The host is down, a firewall drops the packets, or there is no route there.",
        Stage::Tls if error.contains("issuer") => {
            "If the certificate is of an authority of your own, name that with --ca; otherwise the server does not \
             send its intermediate certificates."
        }
        Stage::Tls if error.contains("certificate") => "Renew or correct the certificate.",
        Stage::Tls => "Check the port, and that it speaks TLS 1.2 or newer.",
        Stage::Answer => "What listens there closed the connection or speaks something else than HTTP: check the port.",
    }
}

/// Why nothing else is worth trying after this answer to the first notification; `None` if it is.
pub fn hopeless(exchange: &Exchange) -> Option<&'static str> {
    match &exchange.outcome {
        Outcome::Accepted { .. } | Outcome::Unknown => None,
        Outcome::Rejected { status } => match status {
            300..=399 => Some("it redirects the first notification instead of taking it"),
            401 | 403 => Some("it does not believe even a notification that is rightly made"),
            404 | 405 | 410 | 501 => Some("nothing takes notifications at that URL"),
            _ => None,
        },
        Outcome::TimedOut { .. } => Some("the first notification got no answer in time"),
        Outcome::Unreachable { stage: Stage::Tls, .. } => Some("no trusted TLS connection came about"),
        Outcome::Unreachable { stage: Stage::Answer, .. } => Some("the first notification got no answer in HTTP"),
        Outcome::Unreachable { stage: Stage::Dns | Stage::Connect, .. } => Some("it cannot be reached"),
        Outcome::Blocked { .. } => Some("its address may not be reached"),
    }
}

/// `slowest`: the longest that it took to answer one notification sent alone.
pub fn in_time(slowest: Option<Span>, contract: &Contract) -> Judged {
    let Some(slowest) = slowest else {
        return Judged::new(Grade::Skipped, "no notification was taken");
    };
    let seen = format!("the slowest answer took {slowest} of the {} it has", contract.limit);
    if slowest > contract.limit {
        return Judged::new(Grade::Fail, seen);
    }
    let grade = if slowest.ms() > contract.limit.ms() / 2 { Grade::Warn } else { Grade::Pass };
    Judged::new(grade, seen)
}

pub fn answer_size(exchange: &Exchange) -> Judged {
    let read = exchange.body.len();
    match exchange.body_end {
        None => Judged::new(Grade::Skipped, "there was no answer"),
        Some(BodyEnd::Whole) => Judged::new(Grade::Pass, format!("{read} bytes")),
        Some(BodyEnd::Cut) => {
            Judged::new(Grade::Warn, format!("the body has {read} bytes or more, of which nobody reads more"))
        }
        Some(BodyEnd::Unfinished) => {
            Judged::new(Grade::Warn, format!("the body did not end: {read} bytes came until the wait was over"))
        }
        Some(BodyEnd::Broken) => {
            Judged::new(Grade::Warn, format!("the body broke off after {read} bytes, before its announced end"))
                .with_fix("Let Content-Length be the true length of the body, and close no connection within one.")
        }
    }
}

/// Plain HTTP to another machine.
pub fn over_https(is_https: bool) -> Judged {
    match is_https {
        true => Judged::new(Grade::Pass, "https, with a certificate that is trusted"),
        false => Judged::new(Grade::Warn, "it is reached by plain HTTP"),
    }
}

/// Several notifications, the last of which was sent while a connection was to be had.
pub fn kept_alive(exchanges: &[Exchange], contract: &Contract) -> Judged {
    if exchanges.iter().any(|exchange| exchange.resent) {
        return Judged::new(
            Grade::Fail,
            "closed a connection without a word when the next notification came on it, which had to be sent anew",
        );
    }
    let refused = exchanges.iter().find(|exchange| taken(exchange, contract).grade == Grade::Fail);
    if let Some(refused) = refused {
        let judged = taken(refused, contract);
        let place = if refused.reused { "on a kept connection it " } else { "" };
        return Judged { seen: format!("{place}{}", judged.seen), ..judged };
    }
    match exchanges.iter().any(|exchange| exchange.reused) {
        true => Judged::new(Grade::Pass, "the next notification went over the same connection"),
        false => Judged::new(Grade::Warn, "closes the connection after each answer"),
    }
}

/// Each of several notifications is judged; the worst of them decides. The index is that of the exchange to show.
pub fn all_taken(exchanges: &[Exchange], contract: &Contract) -> (usize, Judged) {
    let judged: Vec<Judged> = exchanges.iter().map(|exchange| taken_in_time(exchange, contract)).collect();
    let failed = judged.iter().filter(|judged| judged.grade == Grade::Fail).count();
    let slowest = exchanges.iter().map(|exchange| exchange.took).max().unwrap_or_default();
    match judged.iter().position(|judged| judged.grade == Grade::Fail) {
        None => (0, Judged::new(Grade::Pass, format!("all answered, the last after {slowest}"))),
        Some(first) => {
            let seen = format!("{failed} of {} went wrong; one of them: {}", exchanges.len(), judged[first].seen);
            (first, Judged { seen, ..judged[first].clone() })
        }
    }
}

/// A resolution came before its creation, then the creation, then the resolution again if it was not taken at first.
pub fn out_of_order(
    early: &Exchange,
    creation: &Exchange,
    again: Option<&Exchange>,
    contract: &Contract,
) -> (usize, Judged) {
    let creation = taken(creation, contract);
    if creation.grade == Grade::Fail {
        return (1, Judged { seen: format!("the creation that came later: {}", creation.seen), ..creation });
    }
    let at_first = taken(early, contract);
    let Some(again) = again.map(|again| taken(again, contract)) else {
        return (0, Judged { seen: format!("the resolution: {}", at_first.seen), ..at_first });
    };
    if again.grade == Grade::Fail {
        return (2, Judged { seen: format!("the resolution, sent again after the creation: {}", again.seen), ..again });
    }
    let refused = matches!(early.outcome, Outcome::Rejected { status: 400..=499 });
    match refused {
        true => {
            let seen = format!("the resolution: {}; it was taken only when it came again", at_first.seen);
            (0, Judged { grade: Grade::Warn, seen, fix: None })
        }
        false => (0, Judged { seen: format!("the resolution: {}", at_first.seen), ..at_first }),
    }
}

/// Why there was no answer, in half a sentence.
fn unanswered(exchange: &Exchange, contract: &Contract) -> String {
    match &exchange.outcome {
        Outcome::TimedOut { stage: Stage::Answer } => format!("gave no answer within {}", contract.timeout),
        Outcome::TimedOut { stage: Stage::Dns } => "its name was not found in time".to_owned(),
        Outcome::TimedOut { stage: Stage::Connect } => "a connection took too long".to_owned(),
        Outcome::TimedOut { stage: Stage::Tls } => "the TLS handshake took too long".to_owned(),
        Outcome::Unreachable { error, .. } => error.clone(),
        Outcome::Blocked { reason } => reason.clone(),
        Outcome::Accepted { .. } | Outcome::Rejected { .. } | Outcome::Unknown => "there was no answer".to_owned(),
    }
}

/// As Express, Flask, nginx and others put it.
fn says_too_large(status: u16, exchange: &Exchange) -> bool {
    const WORDS: [&str; 5] =
        ["payloadtoolarge", "entity too large", "payload too large", "body too large", "too large"];
    let body = String::from_utf8_lossy(&exchange.body).to_lowercase();
    let says = WORDS.iter().any(|word| body.contains(word));
    status == 413 || (matches!(status, 400 | 500) && exchange.bytes > 16 * 1024 && says)
}

fn too_large(status: u16, exchange: &Exchange) -> Judged {
    let size = in_kilobytes(exchange.bytes);
    let seen = format!("answered {status}: the body of {size} is too large for it");
    let fix = match exchange.bytes > EXPRESS_BODY_LIMIT {
        true => {
            "Express refuses bodies over 100 kB unless it is told otherwise: express.json({limit: \"5mb\"}). nginx \
             refuses more than 1 MB: client_max_body_size 5m. In Flask it is MAX_CONTENT_LENGTH."
        }
        false => {
            "It takes very small bodies only: raise the limit (express.json({limit: \"5mb\"}), nginx \
                  client_max_body_size 5m, Flask MAX_CONTENT_LENGTH)."
        }
    };
    Judged::new(Grade::Fail, seen).with_fix(fix)
}

/// `1.8 kB`, `273 kB`, `2.7 MB`.
pub fn in_kilobytes(bytes: usize) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..10_000 => format!("{}.{} kB", bytes / 1000, bytes % 1000 / 100),
        10_000..1_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

fn provider_name(profile: ProfileName) -> &'static str {
    match profile {
        ProfileName::Ensuro => "Ensuro",
        ProfileName::Octamile => "Octamile",
        ProfileName::Standard => "Standard Webhooks",
    }
}

#[cfg(test)]
mod tests;
