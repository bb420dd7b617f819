//! `postrider mock`: a provider's sender in one's hand. Made-up notifications go to an endpoint now, signed, carried and
//! judged as the daemon's, but nothing is stored, and without --retries nothing is tried again.

pub(super) mod change;
mod made;
mod told;
mod written;

use std::cell::RefCell;
use std::path::PathBuf;

use self::change::Change;
use self::made::Maker;
use self::told::{Summary, Told};
use super::endpoint::terms;
use super::progress::Progress;
use super::{Context, Exit, Failure, is_stdin, output, secret, span, workbench};
use crate::config::Config;
use crate::daemon::trial;
use crate::daemon::trial::series::{self, Pace};
use crate::delivery::Verdict;
use crate::endpoint::{Endpoint, Overrides, ProfileName};
use crate::event::Event;
use crate::operations::{self, Rules};
use crate::provider::octamile::certificate::Kind;
use crate::time::Span;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postrider mock ensuro policy/creation --to http://localhost:3000/hook --secret-file acme.secret
  postrider mock ensuro --all --to http://localhost:3000/hook --secret-file acme.secret
  postrider mock octamile approved --to http://localhost:3000/hook --certificate-kind pdf
  postrider mock octamile declined --to http://localhost:3000/hook --count 500 --rate 50
  postrider mock octamile declined --to http://localhost:3000/hook --retries --speed 60
  postrider mock standard order.paid --to http://localhost:3000/hook --secret-file shop.secret
  postrider mock ensuro resolution --set policy.actual_payout=12.5 --set policy.quote=null --print
  postrider mock ensuro --file body.json --to http://localhost:3000/hook --unsigned --curl

Every notification is new: ids, amounts, times and events are made up and hang together. The same
--seed makes the same bytes. What --set and --file bring is sent though the provider would not send
it; a warning says so. With --set, a field that holds a string stays one (payout=12.5 is \"12.5\"),
null is null, and anything else is JSON if it reads as JSON; with := it is JSON in any case
(policy.id:='\"x\"'). Exit status: 0 if all of them were accepted, 1 if one was not.")]
pub struct Arguments {
    /// Whose sender to be: ensuro, octamile or standard
    #[arg(value_name = "PROFILE", value_parser = ProfileName::parse)]
    profile: ProfileName,
    /// What happened: policy/creation or creation; the first of the profile's types, if nothing is said
    #[arg(value_name = "TYPE", conflicts_with = "all")]
    event_type: Option<String>,
    /// Where to POST to
    #[arg(long, value_name = "URL", required_unless_present = "print")]
    to: Option<String>,
    #[command(flatten)]
    keys: secret::Arguments,
    /// Send without a signature, though the provider signs
    #[arg(long, conflicts_with_all = ["secret_file", "secret_env", "key_file"])]
    unsigned: bool,
    /// One of each type of the profile
    #[arg(long)]
    all: bool,
    /// So many; with --all, of each type
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: Option<u32>,
    /// Begin so many in a second, whether the others are answered or not; otherwise one after another
    #[arg(long, value_name = "NUMBER", value_parser = rate)]
    rate: Option<f64>,
    /// Follow the provider's schedule until one is accepted, or none is left
    #[arg(long, conflicts_with_all = ["all", "count", "rate"])]
    retries: bool,
    /// Divide the waits of the schedule by this
    #[arg(long, value_name = "NUMBER", requires = "retries", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    speed: Option<u32>,
    /// Make what this number decides, times included
    #[arg(long, value_name = "NUMBER", conflicts_with = "file")]
    seed: Option<u64>,
    /// Put a value in a field, as policy.payout=12.5 or policy.events[0].log_index=7; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = Change::parse, conflicts_with = "file")]
    set: Vec<Change>,
    /// A body of your own, - for stdin, sent byte for byte
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    file: Option<PathBuf>,
    /// The certificate of an approval: a JPG, PNG or PDF file
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    certificate: Option<PathBuf>,
    /// The kind of a made certificate, jpg, png or pdf; or what to call that of --certificate, whatever it is
    #[arg(long, value_name = "KIND", value_parser = Kind::parse, conflicts_with = "file")]
    certificate_kind: Option<Kind>,
    /// Send nothing; write the headers and the body
    #[arg(long, conflicts_with_all = ["retries", "rate", "curl"])]
    print: bool,
    /// Send nothing; write the curl command that does
    #[arg(long, conflicts_with_all = ["retries", "rate", "count", "all"])]
    curl: bool,
    /// A further header, as 'Name: value'; may be repeated
    // Not parsed by clap, whose errors repeat what was given, and a value may be a token.
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// The time for a whole attempt, from 100ms to 30s, instead of the provider's
    #[arg(long, value_name = "TIME", value_parser = span)]
    timeout: Option<Span>,
    /// A file with certificates (PEM) to trust besides the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// In flight at once, however high the rate: what one process has sockets for.
const AT_ONCE: usize = 256;

/// Where what is only printed would go.
const NOWHERE: &str = "https://receiver.example/";

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    check_stdin(&arguments)?;
    let config = context.loaded.config.allowing_this_machine();
    let endpoint = endpoint(&arguments, &config, context)?;
    let mut maker = Maker::of(&arguments, context)?;
    if arguments.print {
        let url = arguments.to.is_some().then_some(endpoint.url.as_str());
        for index in 0..maker.total() {
            let event = maker.event(context.now())?;
            written::print(url, &endpoint, &event, index == 0, context)?;
        }
        return Ok(Exit::Done);
    }
    if arguments.curl {
        return written::curl(&endpoint, &maker.event(context.now())?, context);
    }
    workbench::say_what_is_allowed("mock", &endpoint.url);
    let sender = Sender { endpoint: &endpoint, config: &config, arguments: &arguments, context };
    match (arguments.retries, maker.total()) {
        (true, _) => sender.follow(&mut maker),
        (false, 1) => sender.once(&mut maker),
        (false, _) => sender.many(&mut maker),
    }
}

fn check_stdin(arguments: &Arguments) -> Result<(), Failure> {
    let files = [&arguments.file, &arguments.certificate].into_iter().flatten();
    let from_stdin = files.filter(|path| is_stdin(path)).count() + usize::from(arguments.keys.take_stdin());
    match from_stdin > 1 {
        true => Err(Failure::new(Exit::Usage, "stdin can be the body, the certificate or the secret, not two of them")),
        false => Ok(()),
    }
}

fn endpoint(arguments: &Arguments, config: &Config, context: &Context) -> Result<Endpoint, Failure> {
    let profile = arguments.profile;
    let may_lack_keys = arguments.unsigned || arguments.print;
    let keys = match arguments.keys.is_empty() && may_lack_keys {
        true => vec![],
        false => arguments.keys.keys(profile).map_err(|failure| match arguments.keys.is_empty() {
            true => Failure::new(failure.exit, format!("{}; --unsigned sends without", failure.message)),
            false => failure,
        })?,
    };
    let overrides =
        Overrides { timeout: arguments.timeout, headers: terms::headers(&arguments.header)?, ..Overrides::default() };
    let url = arguments.to.as_deref().unwrap_or(NOWHERE);
    workbench::check_is_url("--to", url)?;
    let made = operations::trial::endpoint(&Rules::of(config), url, profile, overrides, keys, context.now());
    made.map_err(workbench::with_allowed_addresses)
}

/// From one in a hundred seconds to ten thousand in one.
fn rate(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok().filter(|rate| (0.01..=10_000.0).contains(rate));
    number.ok_or_else(|| "a rate is from 0.01 to 10000 in a second".to_owned())
}

struct Sender<'a> {
    endpoint: &'a Endpoint,
    config: &'a Config,
    arguments: &'a Arguments,
    context: &'a Context,
}

impl Sender<'_> {
    fn once(&self, maker: &mut Maker) -> Result<Exit, Failure> {
        let event = maker.event(self.context.now())?;
        let told = Told::new(self.endpoint, &event, maker.seed());
        let courier = trial::courier(self.config, self.arguments.ca.as_deref())?;
        let Some(tried) = trial::run(trial::tried(&courier, self.endpoint, &event, 1))? else {
            return Ok(interrupted("nothing was answered yet"));
        };
        match self.context.json {
            true => output::json(&told.json(&tried))?,
            false => told.whole(&tried)?,
        }
        Ok(exit(tried.attempt.outcome.is_accepted()))
    }

    fn follow(&self, maker: &mut Maker) -> Result<Exit, Failure> {
        let event = maker.event(self.context.now())?;
        let speed = self.arguments.speed.unwrap_or(1);
        let told = Told::new(self.endpoint, &event, maker.seed());
        if !self.context.json {
            told.head()?;
            told.timetable(speed)?;
        }
        let courier = trial::courier(self.config, self.arguments.ca.as_deref())?;
        let made = RefCell::new(0);
        let ended = trial::run(series::to_the_end(&courier, self.endpoint, &event, speed, |tried| {
            *made.borrow_mut() = tried.attempt.number;
            match self.context.json {
                true => output::json(&told.json(tried)),
                false => told.step(tried, speed),
            }
        }))?;
        match ended.transpose()? {
            Some(verdict) => Ok(exit(verdict == Verdict::Delivered)),
            None => {
                let (made, all) = (made.into_inner(), told.terms().schedule.attempts());
                Ok(interrupted(&format!("{made} of {all} attempts were made, and none was accepted")))
            }
        }
    }

    fn many(&self, maker: &mut Maker) -> Result<Exit, Failure> {
        /// More are only counted.
        const SHOWN: u64 = 20;
        let (total, seed, context) = (maker.total(), maker.seed(), self.context);
        let shown = total <= SHOWN;
        let progress = (!context.json && !shown).then(|| Progress::of(Some(total)));
        let summary = RefCell::new(Summary::new(total));
        let pace = match self.arguments.rate {
            Some(rate) => Pace { at_once: AT_ONCE, per_second: Some(rate) },
            None => Pace { at_once: 1, per_second: None },
        };
        let courier = trial::courier(self.config, self.arguments.ca.as_deref())?;
        let events = (0..total).map(|_| maker.event(context.now()));
        let ended = trial::run(series::side_by_side(&courier, self.endpoint, events, pace, |event: &Event, tried| {
            let mut summary = summary.borrow_mut();
            summary.add(event, tried);
            if let Some(progress) = &progress {
                progress.is_at(summary.answered(), summary.progress());
            }
            let told = Told::new(self.endpoint, event, seed);
            match (context.json, shown) {
                (true, _) => output::json(&told.json(tried)),
                (false, true) => told.short(tried),
                (false, false) => Ok(()),
            }
        }))?;
        drop(progress);
        let summary = summary.into_inner();
        match context.json {
            true => output::json(&summary.json())?,
            false => summary.print(self.endpoint)?,
        }
        match ended.transpose()? {
            Some(()) => Ok(exit(summary.all_accepted())),
            None => Ok(interrupted(&format!("{} of {total} were not sent, or not answered yet", summary.missing()))),
        }
    }
}

fn exit(accepted: bool) -> Exit {
    if accepted { Exit::Done } else { Exit::No }
}

fn interrupted(what: &str) -> Exit {
    output::note(&format!("mock: interrupted: {what}"));
    Exit::No
}
