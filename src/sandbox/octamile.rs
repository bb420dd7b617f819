//! Octamile's side: insurance requests that are pending until they are approved or declined. The webhook fires on that
//! change and never otherwise. A consumer needs no registration here: whoever tests has ids of their own.
//! Pure: time and draws are arguments. Source of the shapes: Octamile, "Quickstart" and "Webhook Reference".

pub mod request;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::world::{Decide, Refusal, Said, To};
use crate::calendar::rfc3339;
use crate::provider::dice::Dice;
use crate::provider::octamile::certificate::{Kind, certificate};
use crate::provider::octamile::notice;
use crate::time::Time;
use request::Transaction as Named;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    Register {},
    Insure(Insure),
    /// Without a file, a certificate is made up.
    Approve {
        id: String,
        certificate: Option<File>,
    },
    Decline {
        id: String,
        note: String,
    },
}

/// Step 3: a policy is asked for, and paid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Insure {
    pub consumer: String,
    /// `vhcl-tprt-1111`
    pub product: String,
    /// The partner's own reference.
    pub id: String,
    pub web_hook: Option<String>,
}

/// A certificate's bytes in base64; what kind of file it is, they say themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct File(String);

impl File {
    /// Fails if it is neither JPG nor PNG nor PDF.
    pub fn of(bytes: &[u8]) -> Result<Self, String> {
        match Kind::of(bytes) {
            Some(_) => Ok(File(STANDARD.encode(bytes))),
            None => Err("a certificate is a jpg, png or pdf file; this one begins as none of them".to_owned()),
        }
    }

    fn read(&self) -> Option<(Vec<u8>, Kind)> {
        let bytes = STANDARD.decode(&self.0).ok()?;
        let kind = Kind::of(&bytes)?;
        Some((bytes, kind))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Pending,
    Approved { at: Time },
    Declined { at: Time, note: String },
}

impl Status {
    /// As Octamile writes it.
    pub const fn letter(&self) -> &'static str {
        match self {
            Status::Pending => "p",
            Status::Approved { .. } => "a",
            Status::Declined { .. } => "d",
        }
    }

    /// As people say it.
    pub const fn word(&self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Approved { .. } => "approved",
            Status::Declined { .. } => "declined",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub id: String,
    pub consumer: String,
    pub product: String,
    pub web_hook: Option<String>,
    pub asked_at: Time,
    pub status: Status,
    /// When it is decided by itself, and how.
    decided_at: Option<(Time, bool)>,
}

impl Transaction {
    /// As the control routes show it.
    pub fn json(&self) -> Value {
        let (decided_at, note) = match &self.status {
            Status::Pending => (None, None),
            Status::Approved { at } => (Some(*at), None),
            Status::Declined { at, note } => (Some(*at), Some(note)),
        };
        let own = self
            .decided_at
            .filter(|_| self.status == Status::Pending)
            .map(|(at, approves)| json!({"at": rfc3339(at), "status": if approves { "approved" } else { "declined" }}));
        json!({
            "id": self.id,
            "consumer": self.consumer,
            "product": self.product,
            "status": self.status.word(),
            "note": note,
            "web_hook": self.web_hook,
            "asked_at": rfc3339(self.asked_at),
            "decided_at": decided_at.map(rfc3339),
            "by_itself": own,
        })
    }
}

#[derive(Clone, Debug, Default)]
pub struct Octamile {
    /// By the partner's reference, which is used once.
    transactions: BTreeMap<String, Transaction>,
    /// The references in the order in which they came.
    order: Vec<String>,
}

/// The note of a decline that comes by itself.
const OWN_NOTE: &str = "Declined by the sandbox, as nobody approved it in time";

impl Octamile {
    pub fn check(&self, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Register {} => Ok(()),
            Command::Insure(asked) => self.check_insure(asked),
            Command::Approve { id, certificate } => {
                self.pending(id)?;
                match certificate.as_ref().map(File::read) {
                    Some(None) => Err(Refusal::Conflict("the certificate is no jpg, png or pdf file".to_owned())),
                    Some(Some(_)) | None => Ok(()),
                }
            }
            Command::Decline { id, note } if note.trim().is_empty() => {
                Err(Refusal::Conflict(format!("a decline of {id} needs a note that gives the reason")))
            }
            Command::Decline { id, .. } => self.pending(id).map(|_| ()),
        }
    }

    fn check_insure(&self, asked: &Insure) -> Result<(), Refusal> {
        match self.transactions.get(&asked.id) {
            Some(known) => Err(Refusal::Conflict(format!(
                "cmmnd.seed.id {:?} is in use by another insurance request of yours, for consumer {}, which is {}; each \
                 request needs a new one",
                asked.id,
                known.consumer,
                known.status.word()
            ))),
            None => Ok(()),
        }
    }

    /// The pending transaction of this reference.
    fn pending(&self, id: &str) -> Result<&Transaction, Refusal> {
        let known = self.transactions.get(id).ok_or_else(|| {
            Refusal::Unknown(format!("there is no transaction {id:?}; `postrider sandbox list` shows those there are"))
        })?;
        match &known.status {
            Status::Pending => Ok(known),
            Status::Approved { at } | Status::Declined { at, .. } => Err(Refusal::Conflict(format!(
                "{id} was {} at {}; its status changes once and its webhook fires once",
                known.status.word(),
                rfc3339(*at)
            ))),
        }
    }

    /// Does what `check` takes.
    pub fn apply(&mut self, command: &Command, at: Time, seed: u64, decide: Decide) -> Said {
        let mut dice = Dice::new(seed);
        match command {
            Command::Register {} => {
                let id = dice.hex(16);
                let uuid = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
                Said::answer(json!({"exctnFdbck": {"id": "75"}, "id": id, "id_uuid": uuid}))
            }
            Command::Insure(asked) => {
                self.insure(asked, at, decide);
                Said::answer(json!({"exctnFdbck": {"id": "75"}}))
            }
            Command::Approve { id, certificate } => self.approve(id, certificate.as_ref(), at, &mut dice),
            Command::Decline { id, note } => self.decline(id, note, at),
        }
    }

    fn insure(&mut self, asked: &Insure, at: Time, decide: Decide) {
        let decided_at = match decide {
            Decide::ByHand => None,
            Decide::ApproveAfter { wait } => Some((at + wait, true)),
            Decide::DeclineAfter { wait } => Some((at + wait, false)),
        };
        let transaction = Transaction {
            id: asked.id.clone(),
            consumer: asked.consumer.clone(),
            product: asked.product.clone(),
            web_hook: asked.web_hook.clone(),
            asked_at: at,
            status: Status::Pending,
            decided_at,
        };
        self.order.push(asked.id.clone());
        self.transactions.insert(asked.id.clone(), transaction);
    }

    fn approve(&mut self, id: &str, file: Option<&File>, at: Time, dice: &mut Dice) -> Said {
        let known = self.transactions.get_mut(id).expect("checked by `check`");
        known.status = Status::Approved { at };
        let (bytes, kind) = file.and_then(File::read).unwrap_or_else(|| {
            let number = format!("Certificate {}", dice.alphanumeric(10).to_uppercase());
            let lines = [
                "Made up by a sandbox: this insures nothing".to_owned(),
                number,
                format!("Product {}", known.product),
                format!("Transaction {}", known.id),
                format!("Approved {}", request::stamp(at)),
            ];
            (certificate(Kind::Pdf, 0, &lines), Kind::Pdf)
        });
        let body = notice::approved(&known.product, &known.consumer, &known.id, &bytes, kind);
        known.told("policy/approved", body)
    }

    fn decline(&mut self, id: &str, note: &str, at: Time) -> Said {
        let known = self.transactions.get_mut(id).expect("checked by `check`");
        known.status = Status::Declined { at, note: note.to_owned() };
        let body = notice::declined(&known.product, &known.consumer, &known.id, note);
        known.told("policy/declined", body)
    }

    /// The next decision that nobody has to make.
    pub fn due(&self) -> Option<(Time, Command)> {
        let pending = self.transactions.values().filter(|known| known.status == Status::Pending);
        let (at, approves, id) =
            pending.filter_map(|known| known.decided_at.map(|(at, a)| (at, a, &known.id))).min()?;
        let command = match approves {
            true => Command::Approve { id: id.clone(), certificate: None },
            false => Command::Decline { id: id.clone(), note: OWN_NOTE.to_owned() },
        };
        Some((at, command))
    }

    /// Step 4: what the partner's poll is answered.
    pub fn status(&self, named: &Named) -> Result<Value, Refusal> {
        let known = self.transactions.get(&named.id).filter(|known| named.is(&known.consumer, &known.product));
        let known = known.ok_or_else(|| {
            Refusal::Unknown(format!(
                "there is no insurance request {:?} for {} of consumer {:?} in this sandbox",
                named.id, named.product, named.consumer
            ))
        })?;
        let mut answer = json!({"exctnFdbck": {"id": "75"}, "status": known.status.letter(), "note": ""});
        match &known.status {
            Status::Pending => {}
            Status::Approved { at } => answer["tmstmp"] = request::stamp(*at).into(),
            Status::Declined { note, .. } => answer["note"] = note.as_str().into(),
        }
        Ok(answer)
    }

    /// In the order in which they came.
    pub fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.order.iter().filter_map(|id| self.transactions.get(id))
    }

    pub fn transaction(&self, id: &str) -> Option<&Transaction> {
        self.transactions.get(id)
    }
}

impl Transaction {
    /// The change, told to whoever asked to hear of it.
    fn told(&self, event_type: &'static str, body: Value) -> Said {
        let answer = self.json();
        let notice = self.web_hook.clone().map(|url| (event_type, body, To::WebHook(url)));
        Said { answer, notice }
    }
}

#[cfg(test)]
mod tests;
