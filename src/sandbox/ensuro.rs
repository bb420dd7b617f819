//! Ensuro's side: policies, and requests that are queued as on a chain before they succeed or fail.
//! Every request that is well formed is queued and answered at once; what comes of it is decided when it is carried out,
//! by the policy's state at that time, and told in a notification.
//! Pure: times and draws are arguments. Source of the shapes: Ensuro, "Pricing API" and "Callback notifications"; the words
//! of the errors are those of its samples, or the sandbox's own.

pub mod request;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::world::{Refusal, Said, Settings, To};
use crate::calendar::rfc3339;
use crate::provider::dice::Dice;
use crate::provider::ensuro::notice;
use crate::provider::ensuro::policy::{Cancellation, Policy, Quote, Refund, Status, Wanted};
use crate::time::Time;
use request::{Cancel, NewPolicy, Replace, Resolve};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    NewPolicy(NewPolicy),
    Resolve(Resolve),
    Cancel(Cancel),
    Replace(Replace),
    /// A queued request is carried out.
    Settle {
        ticket: u64,
    },
    /// A policy's time is over.
    Expire {
        ensuro_id: String,
    },
}

#[derive(Clone, Debug)]
struct Queued {
    due: Time,
    asked: Asked,
}

#[derive(Clone, Debug)]
enum Asked {
    Creation(Box<Quote>),
    Resolution(Resolve),
    Cancellation { ensuro_id: String, shown: Option<Box<Cancellation>> },
    Replacement { old: String, quote: Box<Quote> },
}

#[derive(Clone, Debug, Default)]
pub struct Ensuro {
    /// By `ensuro_id`.
    policies: BTreeMap<String, Policy>,
    /// The ids in the order in which the policies came.
    order: Vec<String>,
    /// By ticket, in the order in which they came.
    queue: BTreeMap<u64, Queued>,
    tickets: u64,
}

const NOT_FOUND: &str = "execution reverted: Policy not found";
const EXPIRED: &str = "PolicyAlreadyExpired(uint256 policyId)";
const TOO_LONG: &str = "execution reverted: Policy exceeds max duration";
const IN_THE_PAST: &str = "execution reverted: Policy expiration must be in the future";
const TOO_MUCH: &str = "execution reverted: Payout is above the maximum of the risk module";
const ABOVE_PAYOUT: &str = "execution reverted: payout > policy.payout";
const NOT_GREATER: &str = "execution reverted: New policy must be greater or equal than old policy";

impl Ensuro {
    pub fn check(&self, command: &Command) -> Result<(), Refusal> {
        let unknown = |what: String| Err(Refusal::Unknown(what));
        match command {
            Command::NewPolicy(_) | Command::Resolve(_) | Command::Cancel(_) | Command::Replace(_) => Ok(()),
            Command::Settle { ticket } if self.queue.contains_key(ticket) => Ok(()),
            Command::Settle { ticket } => unknown(format!("nothing is queued with ticket {ticket}")),
            Command::Expire { ensuro_id } => match self.policies.get(ensuro_id) {
                Some(policy) if policy.status == Status::Active => Ok(()),
                Some(_) | None => unknown(format!("there is no active policy {ensuro_id}")),
            },
        }
    }

    /// Does what `check` takes.
    pub fn apply(&mut self, command: &Command, at: Time, seed: u64, settings: &Settings) -> Said {
        let mut dice = Dice::new(seed);
        let due = at + settings.delay;
        match command {
            Command::NewPolicy(asked) => {
                let quote = quote(asked, at, &mut dice, settings);
                let mut answer = json!({"status": "QUEUED"});
                merge(&mut answer, quoted(&quote, true));
                self.queue_up(due, Asked::Creation(Box::new(quote)));
                Said::answer(answer)
            }
            Command::Resolve(asked) => {
                self.queue_up(due, Asked::Resolution(asked.clone()));
                Said::answer(json!({"status": "QUEUED"}))
            }
            Command::Cancel(Cancel { ensuro_id }) => self.cancel(ensuro_id, at, due, &mut dice),
            Command::Replace(asked) => {
                let quote = quote(&asked.new, at, &mut dice, settings);
                let mut answer = json!({"status": "QUEUED"});
                merge(&mut answer, quoted(&quote, true));
                self.queue_up(due, Asked::Replacement { old: asked.old_ensuro_id.clone(), quote: Box::new(quote) });
                Said::answer(answer)
            }
            Command::Settle { ticket } => {
                let Queued { asked, .. } = self.queue.remove(ticket).expect("checked by `check`");
                self.settle(asked, at, &mut dice, settings)
            }
            Command::Expire { ensuro_id } => {
                let policy = self.policies.get_mut(ensuro_id).expect("checked by `check`");
                policy.expire(&mut dice, at);
                Said::default()
            }
        }
    }

    fn queue_up(&mut self, due: Time, asked: Asked) {
        self.tickets += 1;
        self.queue.insert(self.tickets, Queued { due, asked });
    }

    /// The refunds are those of this moment; the policy gets those of the moment at which it is cancelled.
    fn cancel(&mut self, ensuro_id: &str, at: Time, due: Time, dice: &mut Dice) -> Said {
        let mut answer = json!({"status": "QUEUED", "ensuro_id": ensuro_id});
        let shown = self.policies.get(ensuro_id).map(|policy| Box::new(Cancellation::of(dice, policy, at)));
        if let Some(Cancellation { refund, signature }) = shown.as_deref() {
            let Refund { pure_premium, jr_coc, sr_coc } = refund;
            let texts = [("pure_premium", pure_premium), ("jr_coc", jr_coc), ("sr_coc", sr_coc)];
            let refunds: Map<String, Value> =
                texts.into_iter().map(|(name, amount)| (name.to_owned(), amount.to_string().into())).collect();
            answer["refunds"] = refunds.into();
            answer["signature"] = signature.json();
        }
        self.queue_up(due, Asked::Cancellation { ensuro_id: ensuro_id.to_owned(), shown });
        Said::answer(answer)
    }

    fn settle(&mut self, asked: Asked, at: Time, dice: &mut Dice, settings: &Settings) -> Said {
        match asked {
            Asked::Creation(quote) => match limits(&quote.wanted, at, settings) {
                Err(error) => told("policy/creation/failed", notice::creation_failed(&quote, error)),
                Ok(()) => {
                    let policy = Policy::of(dice, *quote, at);
                    let body = notice::creation(self.add(policy));
                    told("policy/creation", body)
                }
            },
            Asked::Resolution(asked) => self.resolve(&asked, at, dice),
            Asked::Cancellation { ensuro_id, shown } => self.cancel_now(&ensuro_id, shown.as_deref(), at, dice),
            Asked::Replacement { old, quote } => self.replace(&old, *quote, at, dice, settings),
        }
    }

    /// Numbers policies in the order in which they come.
    fn add(&mut self, mut policy: Policy) -> &Policy {
        let id = policy.ensuro_id().to_owned();
        policy.id = self.order.len() as u64 + 1;
        self.order.push(id.clone());
        self.policies.entry(id).insert_entry(policy).into_mut()
    }

    fn resolve(&mut self, Resolve { ensuro_id, payout }: &Resolve, at: Time, dice: &mut Dice) -> Said {
        let known = self.policies.get_mut(ensuro_id);
        let refused = match known.as_deref() {
            None => Some(NOT_FOUND),
            Some(policy) => is_open(policy, at).err().or((*payout > policy.payout()).then_some(ABOVE_PAYOUT)),
        };
        match (known, refused) {
            (Some(policy), None) => {
                policy.resolve(dice, *payout, at);
                told("policy/resolution", notice::resolution(policy))
            }
            (known, error) => {
                let payout = payout.to_string();
                let error = error.unwrap_or(NOT_FOUND);
                let body = notice::resolution_failed(ensuro_id, &payout, known.as_deref(), error);
                told("policy/resolution/failed", body)
            }
        }
    }

    fn cancel_now(&mut self, ensuro_id: &str, shown: Option<&Cancellation>, at: Time, dice: &mut Dice) -> Said {
        let known = self.policies.get_mut(ensuro_id);
        let refused = known.as_deref().map_or(Some(NOT_FOUND), |policy| is_open(policy, at).err());
        match (known, refused) {
            (Some(policy), None) => {
                policy.cancel(dice, at);
                told("policy/cancellation", notice::cancellation(policy))
            }
            (known, error) => {
                let asked = known.as_deref().zip(shown);
                let body = notice::cancellation_failed(ensuro_id, asked, error.unwrap_or(NOT_FOUND));
                told("policy/cancellation/failed", body)
            }
        }
    }

    fn replace(&mut self, old_id: &str, quote: Quote, at: Time, dice: &mut Dice, settings: &Settings) -> Said {
        let number = self.order.len() as u64 + 1;
        let known = self.policies.get_mut(old_id);
        let refused = match known.as_deref() {
            None => Some(NOT_FOUND),
            Some(old) => {
                let less = quote.wanted.payout < old.payout() || quote.wanted.expiration < old.expiration();
                let less = less.then_some(NOT_GREATER);
                is_open(old, at).err().or(less).or_else(|| limits(&quote.wanted, at, settings).err())
            }
        };
        match (known, refused) {
            (Some(old), None) => {
                let new = old.replace_by(dice, quote, at);
                old.replaced_by = Some(number);
                let body = notice::replacement(old);
                self.add(new);
                told("policy/replacement", body)
            }
            (known, error) => {
                let error = error.unwrap_or(NOT_FOUND);
                let body = notice::replacement_failed(old_id, known.as_deref(), &quote, error);
                told("policy/replacement/failed", body)
            }
        }
    }

    /// What happens next by itself: a request that is carried out, or a policy that ends.
    pub fn due(&self) -> Option<(Time, Command)> {
        let active = self.policies.values().filter(|policy| policy.status == Status::Active);
        let ends = active.map(|policy| (policy.expiration(), policy.ensuro_id())).min();
        let ends = ends.map(|(at, id)| (at, Command::Expire { ensuro_id: id.to_owned() }));
        let settled = self.queue.iter().map(|(ticket, queued)| (queued.due, *ticket)).min();
        let settled = settled.map(|(at, ticket)| (at, Command::Settle { ticket }));
        ends.into_iter().chain(settled).min_by_key(|(at, _)| *at)
    }

    /// In the order in which they came.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.order.iter().filter_map(|id| self.policies.get(id))
    }

    /// By number or by `ensuro_id`.
    pub fn policy(&self, id: &str) -> Option<&Policy> {
        let by_number = || id.parse::<usize>().ok().and_then(|number| self.order.get(number.checked_sub(1)?));
        self.policies.get(id).or_else(|| self.policies.get(by_number()?))
    }

    /// What is queued, as the control routes show it.
    pub fn queued(&self) -> Vec<Value> {
        let shown = |queued: &Queued| {
            let (what, ensuro_id) = match &queued.asked {
                Asked::Creation(quote) => ("creation", &quote.ensuro_id),
                Asked::Resolution(asked) => ("resolution", &asked.ensuro_id),
                Asked::Cancellation { ensuro_id, .. } => ("cancellation", ensuro_id),
                Asked::Replacement { old, .. } => ("replacement", old),
            };
            json!({"what": what, "ensuro_id": ensuro_id, "due_at": rfc3339(queued.due)})
        };
        self.queue.values().map(shown).collect()
    }
}

/// What is asked for, priced.
pub fn quote(asked: &NewPolicy, at: Time, dice: &mut Dice, settings: &Settings) -> Quote {
    let wanted = Wanted {
        payout: asked.payout,
        start: at,
        expiration: asked.expiration,
        loss_prob: None,
        data: asked.data.clone(),
        custom_data: Map::new(),
        risk_module: settings.risk_module,
        quoted: true,
    };
    Quote::of(dice, wanted)
}

/// The answer that a quote is. Ensuro's documents show it flat in one place, and as `quote` and `signature` in another: both
/// are there.
pub fn quoted(quote: &Quote, signed: bool) -> Value {
    let mut answer = quote.json();
    let flat = answer["quote"].clone();
    if !signed && let Value::Object(fields) = &mut answer {
        fields.remove("signature");
    }
    merge(&mut answer, flat);
    answer
}

/// Adds the fields that are not there yet.
fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        for (name, value) in from {
            into.entry(name).or_insert(value);
        }
    }
}

/// Whether a policy can still be resolved, cancelled or replaced.
fn is_open(policy: &Policy, at: Time) -> Result<(), &'static str> {
    match policy.status {
        Status::Active if policy.expiration() > at => Ok(()),
        Status::Active | Status::Expired => Err(EXPIRED),
        Status::CustomerWon | Status::CustomerLost | Status::Cancelled | Status::Replaced => Err(NOT_FOUND),
    }
}

/// What the risk module takes.
fn limits(wanted: &Wanted, at: Time, settings: &Settings) -> Result<(), &'static str> {
    if wanted.expiration <= at {
        return Err(IN_THE_PAST);
    }
    if wanted.expiration.since(at) > settings.max_duration {
        return Err(TOO_LONG);
    }
    match wanted.payout > settings.max_payout {
        true => Err(TOO_MUCH),
        false => Ok(()),
    }
}

fn told(event_type: &'static str, body: Value) -> Said {
    Said::notice(event_type, body, To::Ensuro)
}

#[cfg(test)]
mod tests;
