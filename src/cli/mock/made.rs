//! What is sent: made up from a seed, changed on wish, or a body of one's own.
//! What the provider would not send goes out all the same, and a warning says so once.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::Arguments;
use super::change::Change;
use crate::cli::output::{note, terminal};
use crate::cli::{Context, Exit, Failure, read, shown};
use crate::endpoint::ProfileName;
use crate::event::{Event, EventId, EventType};
use crate::operations::trial::usual_type;
use crate::provider::dice::Dice;
use crate::provider::octamile::certificate::Kind;
use crate::provider::{self, octamile};
use crate::signature;
use crate::time::{Span, Time};

/// Makes the events of a run, one after another.
pub struct Maker {
    profile: ProfileName,
    /// Those that are made in turn.
    types: Vec<EventType>,
    total: u64,
    made: u64,
    dice: Dice,
    seed: Option<u64>,
    /// Times follow from the seed, too.
    timeless: bool,
    own: Option<Vec<u8>>,
    changes: Vec<Change>,
    certificate: Option<Vec<u8>>,
    kind: Kind,
    warned: BTreeSet<String>,
}

impl Maker {
    pub fn of(arguments: &Arguments, context: &Context) -> Result<Self, Failure> {
        let profile = arguments.profile;
        let own = arguments.file.as_deref().map(|path| whole(path, context)).transpose()?;
        let certificate = arguments.certificate.as_deref().map(|path| whole(path, context)).transpose()?;
        let types = types(arguments, own.as_deref())?;
        let asked_for_one = arguments.certificate.is_some() || arguments.certificate_kind.is_some();
        if asked_for_one && !types.iter().any(|event_type| carries_certificate(profile, event_type)) {
            return Err(Failure::new(Exit::Usage, "only `mock octamile approved` carries a certificate"));
        }
        let kind = match (arguments.certificate_kind, &certificate) {
            (Some(kind), _) => kind,
            (None, Some(bytes)) => Kind::of(bytes).ok_or_else(|| {
                let text =
                    "the certificate is no JPG, PNG or PDF file; --certificate-kind sends it as one all the same";
                Failure::new(Exit::Data, text)
            })?,
            (None, None) => Kind::Png,
        };
        // Short enough to be given again by hand.
        let random = getrandom::u32()
            .map_err(|error| Failure::new(Exit::Io, format!("the machine gives no random numbers: {error}")));
        let seed = arguments.seed.map_or_else(|| random.map(u64::from), Ok)?;
        Ok(Maker {
            profile,
            total: u64::from(arguments.count.unwrap_or(1)) * types.len() as u64,
            types,
            made: 0,
            dice: Dice::new(seed),
            seed: own.is_none().then_some(seed),
            timeless: arguments.seed.is_some(),
            own,
            changes: arguments.set.clone(),
            certificate,
            kind,
            warned: BTreeSet::new(),
        })
    }

    /// How many are to be made in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// `None` for a body of one's own.
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// The next one. What follows from the seed never depends on `now`.
    pub fn event(&mut self, now: Time) -> Result<Event, Failure> {
        let event_type = self.types[(self.made % self.types.len() as u64) as usize].clone();
        self.made += 1;
        let drawn = drawn_time(&mut self.dice);
        let at = if self.timeless { drawn } else { now };
        let id = EventId::parse(&format!("msg_{}", self.dice.alphanumeric(24))).expect("letters and digits fit an id");
        let body = match &self.own {
            Some(own) => own.clone(),
            None => self.body(&event_type, at)?,
        };
        self.warn(&event_type, &body);
        Ok(Event {
            id,
            event_type,
            content_type: "application/json".to_owned(),
            digest: signature::digest(&body),
            body: body.into(),
            accepted_at: at,
            trace: None,
        })
    }

    fn body(&mut self, event_type: &EventType, at: Time) -> Result<Vec<u8>, Failure> {
        let data = |message: String| Failure::new(Exit::Data, message);
        let name = event_type.as_str();
        let made = match self.profile {
            ProfileName::Octamile => {
                octamile::sample::notification(name, &mut self.dice, self.kind, self.certificate.as_deref())
                    .map(|made| made.to_string().into_bytes())
                    .ok_or_else(|| provider::unknown_type(self.profile, name))
            }
            ProfileName::Ensuro | ProfileName::Standard => {
                provider::sample(self.profile, event_type, &mut self.dice, at)
            }
        };
        let made = made.map_err(data)?;
        if self.changes.is_empty() {
            return Ok(made);
        }
        let mut fields: Value = serde_json::from_slice(&made).expect("what is made is JSON");
        for change in &self.changes {
            change.apply(&mut fields).map_err(|what| data(format!("{event_type}: {what}")))?;
        }
        Ok(fields.to_string().into_bytes())
    }

    fn warn(&mut self, event_type: &EventType, body: &[u8]) {
        let warnings = match provider::check(self.profile, event_type, body) {
            Ok(checked) => checked.warnings,
            Err(what) => vec![format!("{} would not send this: {what}", self.profile)],
        };
        for warning in warnings {
            if self.warned.insert(warning.clone()) {
                note(&format!("warning: {}", terminal(&warning)));
            }
        }
    }
}

/// Some time in 2026.
fn drawn_time(dice: &mut Dice) -> Time {
    const BEGINS: Time = Time::from_ms(1_767_225_600_000);
    BEGINS + Span::from_ms(dice.between(0, 365 * 86_400_000 - 1))
}

/// A file that is not larger than a body may be.
fn whole(path: &Path, context: &Context) -> Result<Vec<u8>, Failure> {
    let most = context.loaded.config.store.max_body_bytes;
    read(path, most)?.ok_or_else(|| {
        let text = format!("{} has more bytes than store.max_body_bytes = {most} allows", shown(path));
        Failure::new(Exit::Data, text)
    })
}

/// The types of this run, at least one.
fn types(arguments: &Arguments, own: Option<&[u8]>) -> Result<Vec<EventType>, Failure> {
    let profile = arguments.profile;
    let known = provider::types(profile);
    let parse = |text: &str| EventType::parse(text).map_err(|what| Failure::new(Exit::Data, what));
    match &arguments.event_type {
        Some(text) => {
            let event_type = parse(text)?;
            if known.is_empty() || known.contains(&text.as_str()) {
                return Ok(vec![event_type]);
            }
            // creation for policy/creation
            match known.iter().find(|name| name.strip_prefix("policy/") == Some(text)) {
                Some(name) => Ok(vec![parse(name)?]),
                None => Err(Failure::new(Exit::Data, provider::unknown_type(profile, text))),
            }
        }
        None if arguments.all && !known.is_empty() => known.iter().map(|name| parse(name)).collect(),
        None => {
            let named = own.and_then(|body| provider::type_of_body(profile, body));
            Ok(vec![named.unwrap_or_else(|| usual_type(profile))])
        }
    }
}

fn carries_certificate(profile: ProfileName, event_type: &EventType) -> bool {
    profile == ProfileName::Octamile && event_type.as_str() == octamile::APPROVED
}
