//! A daemon as a source of answers, asked over HTTP: what it says is printed as if the store lay here.

mod batch;
mod client;
mod forms;

use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use zeroize::Zeroizing;

use self::client::PATIENT;
use super::batch::lines::Lines;
use super::secret::Texts;
use super::source::{Source, Tell, Trial};
use super::{Context, Exit, Failure};
use crate::delivery::DeliveryId;
use crate::endpoint::EndpointName;
use crate::event::EventId;
use crate::operations::answer::{
    AcceptedAnswer, Changed, EndpointAnswer, EndpointsAnswer, ExplainedAnswer, Listing, RemovedAnswer, Replayed,
    ShownAnswer, ShownDelivery, StatusAnswer, TestAnswer, TimetableAnswer,
};
use crate::operations::look::list::Asked;
use crate::operations::resend::Wanted;
use crate::operations::{Edit, Submission, Target};
use crate::store::NewEndpoint;
use crate::time::{Span, Time};

pub use self::client::{Client, Server, unfit};

/// What a trial may take: the longest timeout, and what is around it.
const TRIAL: Duration = Duration::from_secs(60);
/// For what a daemon does at once.
const PROMPT: Duration = Duration::from_secs(60);
/// The most that `store.max_body_bytes` can allow; what the daemon allows, it says itself.
const MOST_BODY_BYTES: usize = 64 * 1024 * 1024;

pub struct Remote(Client);

impl Remote {
    pub fn new(context: &Context, server: &Server, token: Option<&Zeroizing<String>>) -> Result<Self, Failure> {
        Ok(Remote(Client::new(context, server, token)?))
    }

    /// `["deliveries", "dlv_42"]` or `["events", "msg_01"]`, whichever there is; as it does here, an id such as `dlv_42`
    /// names a delivery first.
    fn about<T>(&self, id: &str, ask: impl Fn(&Client, [&str; 2]) -> Result<T, Failure>) -> Result<T, Failure> {
        let delivery = DeliveryId::parse(id).map(|_| ask(&self.0, ["deliveries", id]));
        match delivery {
            Some(Err(failure)) if failure.exit == Exit::NotFound => match ask(&self.0, ["events", id]) {
                Err(other) if other.exit == Exit::NotFound => Err(failure),
                found => found,
            },
            Some(answer) => answer,
            None => {
                EventId::parse(id)
                    .map_err(|what| Failure::new(Exit::Data, format!("{what}; a delivery is dlv_ and a number")))?;
                ask(&self.0, ["events", id])
            }
        }
    }

    fn of_endpoint(&self, name: &EndpointName, verb: &str) -> Result<EndpointAnswer, Failure> {
        self.0.post(&["endpoints", name.as_str(), verb], &[])
    }
}

/// Nothing could be done to any delivery: the answer is no.
fn unchanged(failure: Failure) -> Failure {
    match failure.exit {
        Exit::Data => Failure { exit: Exit::No, ..failure },
        Exit::Done | Exit::No | Exit::Usage | Exit::NotFound | Exit::Store | Exit::Io | Exit::Busy | Exit::Config => {
            failure
        }
    }
}

impl Source for Remote {
    fn list(&mut self, asked: &Asked) -> Result<Listing, Failure> {
        self.0.get(&["deliveries"], &forms::asked(asked))
    }

    fn show(&mut self, id: &str, with_body: bool) -> Result<ShownAnswer, Failure> {
        let query: &[(&str, String)] = if with_body { &[("body", "true".to_owned())] } else { &[] };
        self.about(id, |client, parts| client.get(&parts, query))
    }

    fn why(&mut self, id: &str) -> Result<ExplainedAnswer, Failure> {
        self.about(id, |client, [kind, id]| client.get(&[kind, id, "why"], &[]))
    }

    fn status(&mut self) -> Result<Option<StatusAnswer>, Failure> {
        self.0.get(&["status"], &[]).map(Some)
    }

    fn schedule(&mut self, of: Option<&str>) -> Result<Vec<TimetableAnswer>, Failure> {
        let query: Vec<(&str, String)> = of.into_iter().map(|of| ("of", of.to_owned())).collect();
        self.0.get(&["schedule"], &query)
    }

    fn endpoints(&mut self) -> Result<EndpointsAnswer, Failure> {
        self.0.get(&["endpoints"], &[])
    }

    fn endpoint(&mut self, name: &EndpointName) -> Result<EndpointAnswer, Failure> {
        self.0.get(&["endpoints", name.as_str()], &[])
    }

    fn add_endpoint(&mut self, endpoint: NewEndpoint, texts: &Texts) -> Result<EndpointAnswer, Failure> {
        self.0.send(Method::POST, &["endpoints"], &forms::endpoint(&endpoint, texts)?, PROMPT)
    }

    fn edit_endpoint(&mut self, name: &EndpointName, edit: &Edit) -> Result<EndpointAnswer, Failure> {
        self.0.send(Method::PATCH, &["endpoints", name.as_str()], &forms::edit(edit)?, PROMPT)
    }

    fn pause_endpoint(&mut self, name: &EndpointName) -> Result<EndpointAnswer, Failure> {
        self.of_endpoint(name, "pause")
    }

    fn resume_endpoint(&mut self, name: &EndpointName) -> Result<EndpointAnswer, Failure> {
        self.of_endpoint(name, "resume")
    }

    fn rotate_keys(&mut self, name: &EndpointName, texts: &Texts, overlap: Span) -> Result<EndpointAnswer, Failure> {
        let wish = forms::rotation(texts, overlap)?;
        self.0.send(Method::POST, &["endpoints", name.as_str(), "rotate"], &wish, PROMPT)
    }

    fn test_endpoint(&mut self, name: &EndpointName, trial: Trial) -> Result<TestAnswer, Failure> {
        let wish = forms::TrialForm::new(trial)?;
        self.0.send(Method::POST, &["endpoints", name.as_str(), "test"], &wish, TRIAL)
    }

    fn remove_endpoint(&mut self, name: &EndpointName) -> Result<RemovedAnswer, Failure> {
        self.0.ask(self.0.request(Method::DELETE, &["endpoints", name.as_str()], &[]), PROMPT)
    }

    fn enqueue(&mut self, submission: Submission, texts: &Texts) -> Result<AcceptedAnswer, Failure> {
        let mut said = Vec::new();
        said.extend(submission.id.as_ref().map(|id| ("id", id.to_string())));
        said.extend(submission.event_type.as_ref().map(|event_type| ("type", event_type.to_string())));
        match &submission.target {
            Target::Subscribers => {}
            Target::Endpoints(names) => said.extend(names.iter().map(|name| ("endpoint", name.to_string()))),
            Target::OneOff { url, profile, keys: _ } => {
                said.extend([("to", url.clone()), ("profile", profile.to_string())]);
            }
        }
        let content_type = submission.content_type.unwrap_or_else(|| "application/json".to_owned());
        let request = if !texts.is_empty() {
            said.push(("content_type", content_type));
            let envelope = forms::envelope(&said, texts, submission.body.to_vec())?;
            self.0.request(Method::POST, &["events"], &[]).header(CONTENT_TYPE, "application/json").body(envelope)
        } else if said.is_empty() {
            // Nobody could know it; and without a query the body would be taken for an envelope.
            return Err(Failure::new(Exit::Data, "the event has no type; give one (--type policy/creation)"));
        } else {
            let request = self.0.request(Method::POST, &["events"], &said);
            request.header(CONTENT_TYPE, content_type).body(submission.body.to_vec())
        };
        let (accepted, headers): (AcceptedAnswer, _) = self.0.answer(request, PROMPT)?;
        let again = headers.get("idempotency-replayed").is_some_and(|value| value == "true");
        Ok(AcceptedAnswer { again: accepted.again || again, ..accepted })
    }

    fn enqueue_all(&mut self, lines: Lines, tell: &mut Tell<'_>) -> Result<(), Failure> {
        batch::enqueue_all(&self.0, lines, tell)
    }

    fn retry(&mut self, id: &str, delivered: bool) -> Result<Changed, Failure> {
        let query: &[(&str, String)] = if delivered { &[("delivered", "true".to_owned())] } else { &[] };
        let retry = |client: &Client, [kind, id]: [&str; 2]| client.post(&[kind, id, "retry"], query);
        self.about(id, retry).map_err(unchanged)
    }

    fn cancel(&mut self, id: &str) -> Result<Changed, Failure> {
        self.about(id, |client, [kind, id]| client.post(&[kind, id, "cancel"], &[])).map_err(unchanged)
    }

    fn replay(&mut self, wanted: &Wanted, dry_run: bool, _: &mut dyn FnMut(u64)) -> Result<Replayed, Failure> {
        self.0.send(Method::POST, &["replays"], &forms::replay(wanted, dry_run), PATIENT)
    }

    fn delivery(&mut self, id: &str) -> Result<Option<ShownDelivery>, Failure> {
        match self.0.get::<ShownAnswer>(&["deliveries", id], &[]) {
            Ok(shown) => Ok(shown.deliveries.into_iter().next()),
            Err(failure) if failure.exit == Exit::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn now(&self) -> Time {
        self.0.now()
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(200)
    }

    fn is_served(&mut self) -> bool {
        // Whoever answers is a daemon.
        true
    }

    fn max_body_bytes(&self) -> usize {
        MOST_BODY_BYTES
    }
}
