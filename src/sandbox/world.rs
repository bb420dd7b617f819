//! All that the sandbox knows, and what a command makes of it: the policies of Ensuro, the transactions of Octamile, and
//! the notifications that are owed to the partner.
//! Pure: an entry brings its time and its seed, so that the same entries in the same order give the same world, the same
//! answers and the same notifications, ids and bytes included. A refusal leaves the world as it was.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ensuro::{self, Ensuro};
use super::octamile::{self, Octamile};
use super::wire;
use crate::provider::ensuro::policy::Amount;
use crate::signature::eip191::Address;
use crate::time::{Span, Time};

/// One accepted command, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    #[serde(with = "wire::time")]
    pub at: Time,
    pub seed: u64,
    pub command: Command,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// What is decided by from now on.
    Settings(Settings),
    /// The sandbox's clock goes ahead of the machine's by so much more.
    Advance {
        #[serde(with = "wire::span", rename = "by_ms")]
        by: Span,
    },
    Ensuro(ensuro::Command),
    Octamile(octamile::Command),
}

/// What the sandbox was told at its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Between an answer of Ensuro's and what comes of it on the chain.
    #[serde(with = "wire::span", rename = "delay_ms")]
    pub delay: Span,
    #[serde(with = "wire::amount")]
    pub max_payout: Amount,
    #[serde(with = "wire::span", rename = "max_duration_ms")]
    pub max_duration: Span,
    #[serde(with = "wire::address")]
    pub risk_module: Address,
    #[serde(with = "wire::address")]
    pub quote_signer: Address,
    pub decide: Decide,
}

/// What becomes of an Octamile request that nobody decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decide {
    ByHand,
    ApproveAfter {
        #[serde(with = "wire::span", rename = "ms")]
        wait: Span,
    },
    DeclineAfter {
        #[serde(with = "wire::span", rename = "ms")]
        wait: Span,
    },
}

/// Why something is not done: one sentence. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is nothing of that name.
    Unknown(String),
    /// It is in a state in which this cannot be done.
    Conflict(String),
}

impl Refusal {
    pub fn text(&self) -> &str {
        match self {
            Refusal::Unknown(text) | Refusal::Conflict(text) => text,
        }
    }
}

/// What is sent to the partner.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// Follows from the entry, so that handing it over again changes nothing.
    pub id: String,
    pub event_type: &'static str,
    pub body: Vec<u8>,
    pub to: To,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// Whoever is registered for what Ensuro tells.
    Ensuro,
    /// The URL that came with the request.
    WebHook(String),
}

/// What a machine says: its answer, and what it has to tell the partner.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    pub answer: Value,
    pub notice: Option<(&'static str, Value, To)>,
}

impl Said {
    pub fn answer(answer: Value) -> Self {
        Said { answer, notice: None }
    }

    pub fn notice(event_type: &'static str, body: Value, to: To) -> Self {
        Said { answer: Value::Null, notice: Some((event_type, body, to)) }
    }
}

/// What came of an entry.
#[derive(Debug, PartialEq)]
pub struct Done {
    pub answer: Value,
    pub notification: Option<Notification>,
}

#[derive(Clone, Debug, Default)]
pub struct World {
    pub ensuro: Ensuro,
    pub octamile: Octamile,
    settings: Option<Settings>,
    ahead: Span,
    last_at: Option<Time>,
    owed: Vec<Notification>,
}

impl World {
    /// Whether `apply` would take it.
    pub fn check(&self, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Settings(_) | Command::Advance { .. } => Ok(()),
            Command::Ensuro(_) | Command::Octamile(_) if self.settings.is_none() => {
                Err(Refusal::Conflict("the sandbox has no settings yet".to_owned()))
            }
            Command::Ensuro(command) => self.ensuro.check(command),
            Command::Octamile(command) => self.octamile.check(command),
        }
    }

    /// Does what was asked, and remembers what the partner is owed for it.
    pub fn apply(&mut self, entry: &Entry) -> Result<Done, Refusal> {
        self.check(&entry.command)?;
        let (at, seed) = (self.no_earlier(entry.at), entry.seed);
        self.last_at = Some(at);
        let said = match (&entry.command, &self.settings) {
            (Command::Settings(settings), _) => {
                self.settings = Some(settings.clone());
                Said::default()
            }
            (Command::Advance { by }, _) => {
                self.ahead = self.ahead + *by;
                Said::answer(json!({ "ahead_ms": self.ahead.ms() }))
            }
            (Command::Ensuro(command), Some(settings)) => self.ensuro.apply(command, at, seed, settings),
            (Command::Octamile(command), Some(settings)) => self.octamile.apply(command, at, seed, settings.decide),
            (Command::Ensuro(_) | Command::Octamile(_), None) => unreachable!("`check` wants settings first"),
        };
        let notification = said.notice.map(|(event_type, body, to)| Notification {
            id: format!("sbx_{seed:016x}"),
            event_type,
            body: serde_json::to_vec(&body).expect("plain data"),
            to,
        });
        self.owed.extend(notification.clone());
        Ok(Done { answer: said.answer, notification })
    }

    /// The next thing that happens by itself, and when.
    pub fn due(&self) -> Option<(Time, Command)> {
        let ensuro = self.ensuro.due().map(|(at, command)| (at, Command::Ensuro(command)));
        let octamile = self.octamile.due().map(|(at, command)| (at, Command::Octamile(command)));
        ensuro.into_iter().chain(octamile).min_by_key(|(at, _)| *at)
    }

    /// `at`, or the time of the last entry if that was later: time never goes back here.
    pub fn no_earlier(&self, at: Time) -> Time {
        self.last_at.map_or(at, |last| last.max(at))
    }

    /// The daemon has it, or refused it for good.
    pub fn handed(&mut self, id: &str) {
        self.owed.retain(|notification| notification.id != id);
    }

    /// What the daemon is to be handed, in the order in which it came about.
    pub fn owed(&self) -> &[Notification] {
        &self.owed
    }

    pub fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }

    /// How far the sandbox's clock is ahead of the machine's.
    pub fn ahead(&self) -> Span {
        self.ahead
    }
}

#[cfg(test)]
pub(super) mod tests;
