//! `postrider check`: whether a receiver keeps its provider's contract, as a report that says what to change.
//! Asks `check` and shows what it found: as text, and as JSON, JUnit XML or a page for whoever did not run it.

mod file;
mod json;
mod junit;
mod page;
mod text;

use std::path::PathBuf;
use std::sync::Arc;

use super::endpoint::terms;
use super::mock::change::Change;
use super::output::{self, note};
use super::progress::Progress;
use super::{Context, Exit, Failure, is_stdin, secret, span, workbench};
use crate::check::case::{self, Case};
use crate::check::report::Report;
use crate::check::{self, Amend, Couriers, Plan, Told};
use crate::config::Config;
use crate::courier::{Courier, Settings};
use crate::daemon::trial;
use crate::endpoint::{Overrides, ProfileName, Scheme};
use crate::event::EventType;
use crate::operations::{self, Rules};
use crate::provider;
use crate::provider::dice::Dice;
use crate::time::{Span, Time};
use file::Destination;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postrider check http://localhost:3000/notify --secret-file acme.secret
  postrider check https://acme.example/notify --key-file ethereum.key --only signature,bytes
  postrider check http://localhost:3000/octamile --profile octamile --set trnsctnId=TX-1
  postrider check https://staging.example/hook --secret-env SECRET --junit a.xml --html a.html
  postrider check --list --profile standard

It sends about 60 notifications that the receiver cannot tell from real ones, so check one that is
for tests. Plain HTTP and addresses of this machine are allowed here. Nothing is stored.
Exit status: 0 if nothing failed (warnings are allowed), 1 if something did or was not tried.")]
pub struct Arguments {
    /// Where the receiver takes notifications
    #[arg(value_name = "URL", required_unless_present = "list")]
    url: Option<String>,
    /// Whose contract it is to keep: ensuro, octamile or standard
    #[arg(long, value_name = "PROFILE", value_parser = ProfileName::parse, default_value = "ensuro")]
    profile: ProfileName,
    #[command(flatten)]
    keys: secret::Arguments,
    /// Only these groups or cases (signature,bytes/unicode), with commas between
    #[arg(long, value_name = "CASES", value_delimiter = ',')]
    only: Vec<String>,
    /// All but these groups or cases
    #[arg(long, value_name = "CASES", value_delimiter = ',')]
    skip: Vec<String>,
    /// List the cases and what they are for, and send nothing
    #[arg(long)]
    list: bool,
    /// Put a value in a field of every notification that has a place for it, as policy.custom_data.ref=7 or
    /// trnsctnId=TX-1, so that the receiver knows what it is about; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = Change::parse)]
    set: Vec<Change>,
    /// A number from which the notifications follow: the same number, the same ones, but for their times
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How long an answer is waited for, from 100ms to 30s; as the profile says, if nothing is said
    #[arg(long, value_name = "TIME", value_parser = span)]
    timeout: Option<Span>,
    /// A PEM file of certificate authorities to trust besides the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A further header of each request, as 'Name: value'; may be repeated
    // Not parsed by clap, whose errors repeat what was given, and a value may be a token.
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// Write the report as JUnit XML too, - for stdout
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the report as a web page too, - for stdout
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cases = chosen(&arguments)?;
    if arguments.list {
        return list(&arguments, &cases, context);
    }
    let to_stdout = [&arguments.junit, &arguments.html].into_iter().flatten().filter(|path| is_stdin(path)).count();
    if to_stdout + usize::from(context.json) > 1 {
        let text = "stdout can have one of --json, --junit - and --html -; give the others a file";
        return Err(Failure::new(Exit::Usage, text));
    }
    // Files are made before anything is sent: whoever waited for a report shall get one.
    let junit = arguments.junit.as_deref().map(Destination::open).transpose()?;
    let html = arguments.html.as_deref().map(Destination::open).transpose()?;
    let config = context.loaded.config.allowing_this_machine();
    let plan = plan(&arguments, cases, &config, context)?;
    let couriers = couriers(&arguments, &config)?;
    workbench::say_what_is_allowed("check", &plan.endpoint.url);
    let Some(report) = carry_out(&plan, &couriers, !context.json && to_stdout == 0)? else {
        note("check: interrupted before everything was tried; no report is written");
        return Ok(Exit::No);
    };
    if context.json {
        output::json(&json::document(&report))?;
    }
    if let Some(junit) = junit {
        junit.write(&junit::document(&report))?;
    }
    if let Some(html) = html {
        html.write(&page::document(&report))?;
    }
    Ok(if report.is_good() { Exit::Done } else { Exit::No })
}

/// Runs it, and shows what is found as it is found; `None` if it was interrupted.
fn carry_out(plan: &Plan, couriers: &Couriers, in_text: bool) -> Result<Option<Report>, Failure> {
    let progress = Progress::of(Some(plan.cases.len() as u64));
    let mut text = text::Writer::new(plan);
    let mut written = Ok(());
    let mut done = 0;
    let ended = trial::run(check::run(plan, couriers, &mut |told| match told {
        Told::Begins(case) => progress.is_at(done, case.id.to_owned()),
        Told::Found(finding) => {
            done += 1;
            if in_text && written.is_ok() {
                written = progress.aside(|| text.found(finding));
            }
        }
    }));
    drop(progress);
    written?;
    let Some(report) = ended? else { return Ok(None) };
    match in_text {
        true => text::end(&report)?,
        false => note(&format!("check: {}", text::summary(&report))),
    }
    Ok(Some(report))
}

/// The cases that were asked for, of those that the profile has.
fn chosen(arguments: &Arguments) -> Result<Vec<&'static Case>, Failure> {
    let of_profile: Vec<&'static Case> =
        case::all().filter(|case| case.profiles.contains(&arguments.profile)).collect();
    for name in arguments.only.iter().chain(&arguments.skip) {
        if !of_profile.iter().any(|case| is_named(case, name)) {
            return Err(Failure::new(Exit::Usage, unknown(name, &of_profile, arguments.profile)));
        }
    }
    let is_chosen = |case: &&'static Case| {
        let wanted = arguments.only.is_empty() || arguments.only.iter().any(|name| is_named(case, name));
        wanted && !arguments.skip.iter().any(|name| is_named(case, name))
    };
    let chosen: Vec<&'static Case> = of_profile.into_iter().filter(is_chosen).collect();
    match chosen.is_empty() {
        true => Err(Failure::new(Exit::Usage, "--skip leaves nothing of what --only asks for")),
        false => Ok(chosen),
    }
}

/// By its group or its id.
fn is_named(case: &Case, name: &str) -> bool {
    case.group() == name || case.id == name
}

fn unknown(name: &str, cases: &[&'static Case], profile: ProfileName) -> String {
    let mut groups: Vec<&str> = cases.iter().map(|case| case.group()).collect();
    groups.dedup();
    let names = groups.iter().copied().chain(cases.iter().map(|case| case.id));
    let near = names
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map_or(String::new(), |(_, known)| format!(" (is {known} meant?)"));
    format!(
        "there is no case or group {name:?} for {profile}{near}; its groups are {}; `postrider check --list` has the \
         cases",
        groups.join(", ")
    )
}

fn plan(arguments: &Arguments, cases: Vec<&'static Case>, config: &Config, context: &Context) -> Result<Plan, Failure> {
    let (profile, now) = (arguments.profile, context.now());
    let keys = arguments.keys.keys(profile)?;
    let headers = terms::headers(&arguments.header)?;
    let overrides = Overrides { timeout: arguments.timeout, headers, ..Overrides::default() };
    let url = arguments.url.as_deref().unwrap_or_default();
    let endpoint = operations::trial::endpoint(&Rules::of(config), url, profile, overrides, keys, now)?;
    let schemes: Vec<Scheme> = endpoint.keys.iter().map(|key| key.scheme).collect();
    let cases = cases.into_iter().filter(|case| case.fits(profile, &schemes)).collect();
    // Short enough to be given again by hand.
    let random = getrandom::u32()
        .map_err(|error| Failure::new(Exit::Io, format!("the machine gives no random numbers: {error}")));
    let seed = arguments.seed.map_or_else(|| random.map(u64::from), Ok)?;
    Ok(Plan { endpoint, cases, seed, amend: amend(&arguments.set, profile, now)? })
}

/// What `--set` does to each notification that has the place. One that has it in none is a slip.
fn amend(changes: &[Change], profile: ProfileName, now: Time) -> Result<Amend, Failure> {
    let types = match provider::types(profile) {
        [] => vec![operations::trial::usual_type(profile)],
        types => types.iter().map(|name| EventType::parse(name).expect("a profile's types are types")).collect(),
    };
    for change in changes {
        let fits = |event_type: &EventType| {
            let made = provider::sample(profile, event_type, &mut Dice::new(0), now).expect("the profile has it");
            change.apply(&mut serde_json::from_slice(&made).expect("what is made is JSON"))
        };
        let fitted: Vec<Result<(), String>> = types.iter().map(fits).collect();
        if let (true, Some(Err(what))) = (fitted.iter().all(Result::is_err), fitted.first()) {
            return Err(Failure::new(Exit::Data, what.clone()));
        }
    }
    let changes = changes.to_vec();
    Ok(Arc::new(move |value| {
        // Others have the place, or it would have been refused.
        changes.iter().for_each(|change| _ = change.apply(value));
    }))
}

fn couriers(arguments: &Arguments, config: &Config) -> Result<Couriers, Failure> {
    let settings = trial::settings(config, arguments.ca.as_deref())?;
    let courier = |idle_connections| {
        // An answer that does not end is met each time.
        let answer_body_wait = Span::from_ms(300);
        let settings = Settings { idle_connections, answer_body_wait, ..settings.clone() };
        Courier::new(settings).map_err(|text| Failure::new(Exit::Io, text))
    };
    Ok(Couriers { fresh: courier(0)?, keeping: courier(1)? })
}

fn list(arguments: &Arguments, cases: &[&'static Case], context: &Context) -> Result<Exit, Failure> {
    // Without a key it is not known how notifications are signed, so the cases of all schemes are told.
    let schemes: Vec<Scheme> = match arguments.keys.is_empty() {
        true => provider::profile(arguments.profile).schemes.to_vec(),
        false => arguments.keys.keys(arguments.profile)?.iter().map(|key| key.scheme).collect(),
    };
    let cases: Vec<&Case> = cases.iter().copied().filter(|case| case.fits(arguments.profile, &schemes)).collect();
    match context.json {
        true => output::json(&json::cases(&cases, arguments.profile))?,
        false => text::list(&cases, arguments.profile)?,
    }
    Ok(Exit::Done)
}
