//! The store on this machine as a source of answers, whether a daemon works on it or not.

use std::time::Duration;

use super::batch::lines::{Line, Lines};
use super::secret::Texts;
use super::source::{Source, Tell, Trial};
use super::{Context, Exit, Failure};
use crate::api::line;
use crate::daemon;
use crate::delivery::DeliveryId;
use crate::endpoint::{Endpoint, EndpointName, Key, ProfileName};
use crate::operations::answer::{
    AcceptedAnswer, BatchResult, Changed, EndpointAnswer, EndpointsAnswer, ExplainedAnswer, Listing, RemovedAnswer,
    Replayed, Revealed, ShownAnswer, ShownDelivery, StatusAnswer, TestAnswer, TimetableAnswer,
};
use crate::operations::look::list::{self, Asked};
use crate::operations::look::status::status;
use crate::operations::look::timetable::timetables;
use crate::operations::look::why::{Around, why};
use crate::operations::look::{self, Daemon, show};
use crate::operations::resend::{self, Wanted};
use crate::operations::{self, Checked, Edit, Intake, Refused, Rules, Submission, Target};
use crate::provider;
use crate::store::sqlite::{SqliteStore, holder};
use crate::store::{NewEndpoint, Store};
use crate::time::{Span, Time};

/// It is opened when it is first needed.
pub struct Local<'a> {
    context: &'a Context,
    rules: Rules,
    store: Option<SqliteStore>,
}

impl<'a> Local<'a> {
    pub fn new(context: &'a Context) -> Self {
        Local { context, rules: Rules::of(&context.loaded.config), store: None }
    }

    /// The store, which must be there.
    fn existing(&mut self) -> Result<&mut SqliteStore, Failure> {
        let store = match self.store.take() {
            Some(store) => store,
            None => self.context.existing_store()?,
        };
        Ok(self.store.insert(store))
    }

    /// The store, made if it is not there.
    fn made(&mut self) -> Result<&mut SqliteStore, Failure> {
        let store = match self.store.take() {
            Some(store) => store,
            None => self.context.store()?,
        };
        Ok(self.store.insert(store))
    }

    /// The store, if it is there.
    fn perhaps(&mut self) -> Result<Option<&mut SqliteStore>, Failure> {
        self.store = match self.store.take() {
            Some(store) => Some(store),
            None => self.context.perhaps_store()?,
        };
        Ok(self.store.as_mut())
    }

    fn daemon(&self) -> Daemon {
        Daemon::of(holder(self.context.store_path()))
    }

    /// What a change of an endpoint makes of it.
    fn change(
        &mut self,
        change: impl FnOnce(&mut dyn Store, Time) -> Result<Endpoint, Refused>,
    ) -> Result<EndpointAnswer, Failure> {
        let (now, concurrency) = (self.context.now(), self.concurrency());
        Ok(EndpointAnswer::new(&change(self.existing()?, now)?, concurrency))
    }

    /// How many attempts to one endpoint may be in flight, unless it has its own limit.
    fn concurrency(&self) -> u32 {
        self.context.loaded.config.delivery.concurrency_per_endpoint
    }
}

impl Source for Local<'_> {
    fn list(&mut self, asked: &Asked) -> Result<Listing, Failure> {
        Ok(list::list(self.existing()?, asked)?.into())
    }

    fn show(&mut self, id: &str, with_body: bool) -> Result<ShownAnswer, Failure> {
        let shown = look::at_one_moment(self.existing()?, |store| {
            let subject = look::find(store, id)?;
            show::show(store, &subject)
        })?;
        Ok(ShownAnswer::new(&shown?, with_body))
    }

    fn why(&mut self, id: &str) -> Result<ExplainedAnswer, Failure> {
        let around = Around { daemon: self.daemon(), concurrency: self.concurrency() };
        let now = self.context.now();
        let explained = look::at_one_moment(self.existing()?, |store| {
            let subject = look::find(store, id)?;
            why(store, now, &around, &subject)
        })?;
        Ok(explained?.into())
    }

    fn status(&mut self) -> Result<Option<StatusAnswer>, Failure> {
        let (context, daemon) = (self.context, self.daemon());
        let now = context.now();
        let Some(store) = self.perhaps()? else { return Ok(None) };
        Ok(Some(StatusAnswer::new(context.store_path(), daemon, &status(store, now)?, now)))
    }

    fn schedule(&mut self, of: Option<&str>) -> Result<Vec<TimetableAnswer>, Failure> {
        let store = self.perhaps()?.map(|store| store as &mut dyn Store);
        let tables = timetables(store, of)?;
        Ok(TimetableAnswer::all(&tables, self.context.now()))
    }

    fn endpoints(&mut self) -> Result<EndpointsAnswer, Failure> {
        let concurrency = self.concurrency();
        Ok(EndpointsAnswer::new(&self.existing()?.endpoints()?, concurrency))
    }

    fn endpoint(&mut self, name: &EndpointName) -> Result<EndpointAnswer, Failure> {
        let concurrency = self.concurrency();
        let store = self.existing()?;
        let endpoint = operations::endpoint(store, name)?;
        let pending = look::pending(store, endpoint.id)?;
        Ok(EndpointAnswer::new(&endpoint, concurrency).with_pending(pending))
    }

    fn add_endpoint(&mut self, endpoint: NewEndpoint, texts: &Texts) -> Result<EndpointAnswer, Failure> {
        let (rules, now, concurrency) = (self.rules.clone(), self.context.now(), self.concurrency());
        let (keys, made) = keys(texts, endpoint.profile)?;
        let endpoint = NewEndpoint { keys, ..endpoint };
        // Before a store is made for nothing.
        operations::check_endpoint(&rules, &endpoint)?;
        let endpoint = operations::add_endpoint(self.made()?, &rules, now, endpoint)?;
        Ok(EndpointAnswer { secret: made, ..EndpointAnswer::new(&endpoint, concurrency) })
    }

    fn edit_endpoint(&mut self, name: &EndpointName, edit: &Edit) -> Result<EndpointAnswer, Failure> {
        let rules = self.rules.clone();
        self.change(|store, now| operations::edit_endpoint(store, &rules, now, name, edit))
    }

    fn pause_endpoint(&mut self, name: &EndpointName) -> Result<EndpointAnswer, Failure> {
        self.change(|store, now| operations::pause_endpoint(store, now, name))
    }

    fn resume_endpoint(&mut self, name: &EndpointName) -> Result<EndpointAnswer, Failure> {
        self.change(|store, now| operations::resume_endpoint(store, now, name))
    }

    fn rotate_keys(&mut self, name: &EndpointName, texts: &Texts, overlap: Span) -> Result<EndpointAnswer, Failure> {
        let known = operations::endpoint(self.existing()?, name)?;
        let (keys, made) = keys(texts, known.profile)?;
        let rotated = self.change(|store, now| operations::rotate_keys(store, now, name, keys, overlap))?;
        Ok(EndpointAnswer { secret: made, ..rotated })
    }

    fn test_endpoint(&mut self, name: &EndpointName, trial: Trial) -> Result<TestAnswer, Failure> {
        let now = self.context.now();
        let endpoint = operations::endpoint(self.existing()?, name)?;
        let event = operations::trial::event(&endpoint, trial.event_type, trial.body, now)?;
        let attempt = daemon::trial::attempt_here(&self.context.loaded.config, &endpoint, &event)?;
        Ok(TestAnswer {
            endpoint: endpoint.label(),
            url: look::redacted(&endpoint.url),
            event: event.id.to_string(),
            event_type: event.event_type.to_string(),
            accepted: attempt.outcome.is_accepted(),
            attempt: (&attempt).into(),
        })
    }

    fn remove_endpoint(&mut self, name: &EndpointName) -> Result<RemovedAnswer, Failure> {
        let now = self.context.now();
        let ended = operations::remove_endpoint(self.existing()?, now, name)?;
        Ok(RemovedAnswer { removed: name.to_string(), ended })
    }

    fn enqueue(&mut self, mut submission: Submission, texts: &Texts) -> Result<AcceptedAnswer, Failure> {
        if let Target::OneOff { profile, keys, .. } = &mut submission.target {
            *keys = texts.keys(*profile)?;
        }
        let (rules, now) = (self.rules.clone(), self.context.now());
        Ok(operations::enqueue(self.made()?, &rules, now, submission)?.into())
    }

    fn enqueue_all(&mut self, mut lines: Lines, tell: &mut Tell<'_>) -> Result<(), Failure> {
        let (rules, context) = (self.rules.clone(), self.context);
        let store = self.made()?;
        while let Some(piece) = lines.piece()? {
            commit(store, &rules, context.now(), piece)?.into_iter().try_for_each(&mut *tell)?;
        }
        Ok(())
    }

    fn retry(&mut self, id: &str, delivered: bool) -> Result<Changed, Failure> {
        let now = self.context.now();
        let store = self.existing()?;
        let subject = look::find(store, id)?;
        Ok(resend::retry(store, now, &subject, delivered).map_err(unchanged)?.into())
    }

    fn cancel(&mut self, id: &str) -> Result<Changed, Failure> {
        let now = self.context.now();
        let store = self.existing()?;
        let subject = look::find(store, id)?;
        Ok(resend::cancel(store, now, &subject).map_err(unchanged)?.into())
    }

    fn replay(&mut self, wanted: &Wanted, dry_run: bool, progress: &mut dyn FnMut(u64)) -> Result<Replayed, Failure> {
        let now = self.context.now();
        Ok((&resend::replay(self.existing()?, now, wanted, dry_run, progress)?).into())
    }

    fn delivery(&mut self, id: &str) -> Result<Option<ShownDelivery>, Failure> {
        let Some(id) = DeliveryId::parse(id) else { return Ok(None) };
        let shown = look::at_one_moment(self.existing()?, |store| show::delivery(store, id))??;
        Ok(shown.as_ref().map(ShownDelivery::from))
    }

    fn now(&self) -> Time {
        self.context.now()
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(50)
    }

    fn is_served(&mut self) -> bool {
        holder(self.context.store_path()).is_some()
    }

    fn max_body_bytes(&self) -> usize {
        self.rules.max_body_bytes
    }
}

/// The keys that `texts` are; if there are none and the profile signs, a secret that is made here.
fn keys(texts: &Texts, profile: ProfileName) -> Result<(Vec<Key>, Option<Revealed>), Failure> {
    if !texts.is_empty() || provider::profile(profile).schemes.is_empty() {
        return Ok((texts.keys(profile)?, None));
    }
    let (key, text) = operations::generate(profile)?;
    Ok((vec![key], Some(Revealed(text.to_string()))))
}

/// Nothing could be done to any delivery: the answer is no.
fn unchanged(refused: Refused) -> Failure {
    match refused {
        Refused::Conflict(text) => Failure::new(Exit::No, text),
        other => other.into(),
    }
}

/// Stores what the lines hold in one commit; what became of each, in their order.
fn commit(store: &mut SqliteStore, rules: &Rules, now: Time, piece: Vec<Line>) -> Result<Vec<BatchResult>, Failure> {
    let mut intake = Intake::new(rules);
    let (mut news, mut commands, mut judged) = (Vec::new(), Vec::new(), Vec::new());
    for line in piece.into_iter().filter(|line| !line.is_empty()) {
        let number = line.number;
        let result = match line.submission() {
            Ok(submission) => match intake.check(store, submission) {
                Ok(Checked::Known(known)) => Some(BatchResult::accepted(number, known.into())),
                Ok(Checked::New(mut new)) => {
                    commands.extend(new.command.take());
                    news.push((judged.len(), new));
                    None
                }
                Err(refused) => Some(refused_line(number, refused)?),
            },
            Err(problem) => Some(BatchResult::refused(number, problem)),
        };
        judged.push((number, result));
    }
    let replies = if commands.is_empty() { vec![] } else { store.apply(now, &commands)? };
    for ((place, new), reply) in news.iter().zip(replies) {
        let (number, result) = &mut judged[*place];
        *result = Some(match intake.accepted(store, new, reply) {
            Ok(accepted) => BatchResult::accepted(*number, accepted.into()),
            Err(refused) => refused_line(*number, refused)?,
        });
    }
    Ok(judged.into_iter().filter_map(|(_, result)| result).collect())
}

/// A store that fails ends the batch; all else concerns one line.
fn refused_line(number: u64, refused: Refused) -> Result<BatchResult, Failure> {
    match refused {
        Refused::Store(error) => Err(error.into()),
        refused => Ok(BatchResult::refused(number, line::refusal(refused))),
    }
}
