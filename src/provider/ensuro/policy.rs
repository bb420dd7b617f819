//! A policy as Ensuro's notifications show it, from its creation to what ended it.
//! Pure: times and draws are arguments. What is done to a policy here always leaves it consistent: events in order, the
//! status that its last event brought, and amounts that follow from each other.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::amount::in_proportion;
pub use super::amount::{Amount, Share};
pub use super::quote::{Premium, Quote, Signature, Wanted};
use crate::provider::dice::Dice;
use crate::time::{Span, Time};

#[derive(Clone, Debug)]
pub struct Policy {
    /// Of its URL.
    pub id: u64,
    pub status: Status,
    /// `None` while it is active.
    pub actual_payout: Option<Amount>,
    pub start: Time,
    /// What happened to it, in order; the first is its creation.
    pub events: Vec<Happening>,
    /// What it was made of: payout, premium, expiration and ids are in here.
    pub quote: Quote,
    /// The ids of other policies.
    pub replaces: Option<u64>,
    pub replaced_by: Option<u64>,
    pub refund: Option<Refund>,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub updated_at_us: i64,
}

/// The document's samples show active, customer_won, cancelled and replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Active,
    CustomerWon,
    /// Resolved with a payout of zero; postrider's word, as no sample shows this.
    CustomerLost,
    /// Ended without a resolution; postrider's word, as no sample shows this.
    Expired,
    Cancelled,
    Replaced,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::CustomerWon => "customer_won",
            Status::CustomerLost => "customer_lost",
            Status::Expired => "expired",
            Status::Cancelled => "cancelled",
            Status::Replaced => "replaced",
        }
    }
}

/// Something that happened to a policy, in a transaction of the chain.
#[derive(Clone, Debug)]
pub struct Happening {
    pub what: &'static str,
    pub tx_hash: String,
    pub log_index: u64,
    pub at: Time,
}

/// What a cancelled policy's holder gets back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refund {
    pub pure_premium: Amount,
    pub jr_coc: Amount,
    pub sr_coc: Amount,
}

impl Policy {
    /// Issued at `wanted.start`.
    pub fn issued(dice: &mut Dice, wanted: Wanted) -> Self {
        let quote = Quote::of(dice, wanted);
        let start = quote.wanted.start;
        Policy::of(dice, quote, start)
    }

    /// The policy that a quote becomes, issued at `at`.
    pub fn of(dice: &mut Dice, quote: Quote, at: Time) -> Self {
        let mut policy = Policy {
            id: dice.between(1_000, 49_999).cast_unsigned(),
            status: Status::Active,
            actual_payout: None,
            start: at,
            events: Vec::new(),
            quote,
            replaces: None,
            replaced_by: None,
            refund: None,
            updated_at_us: 0,
        };
        policy.happens(dice, "creation", at);
        policy
    }

    /// One that somebody could have bought, issued half a minute before `now`.
    pub fn drawn(dice: &mut Dice, now: Time) -> Self {
        let ago = Span::from_seconds(dice.between(25, 40));
        let wanted = Wanted::drawn(dice, now - ago);
        Policy::issued(dice, wanted)
    }

    pub fn ensuro_id(&self) -> &str {
        &self.quote.ensuro_id
    }

    pub fn payout(&self) -> Amount {
        self.quote.wanted.payout
    }

    pub fn expiration(&self) -> Time {
        self.quote.wanted.expiration
    }

    /// Pays out, at most the policy's payout; nothing means that the customer lost.
    pub fn resolve(&mut self, dice: &mut Dice, payout: Amount, at: Time) {
        let payout = payout.min(self.payout());
        self.status = if payout > Amount::ZERO { Status::CustomerWon } else { Status::CustomerLost };
        self.actual_payout = Some(payout);
        self.happens(dice, "resolution", at);
    }

    /// Ends it unresolved, after its expiration.
    pub fn expire(&mut self, dice: &mut Dice, at: Time) {
        self.status = Status::Expired;
        self.actual_payout = Some(Amount::ZERO);
        self.happens(dice, "expiration", at);
    }

    /// Refunds in proportion to the time left.
    pub fn cancel(&mut self, dice: &mut Dice, at: Time) {
        self.status = Status::Cancelled;
        self.actual_payout = Some(Amount::ZERO);
        self.refund = Some(self.refund_at(at));
        self.happens(dice, "cancellation", at);
    }

    /// The new policy, issued at `at`; both name each other.
    pub fn replace(&mut self, dice: &mut Dice, wanted: Wanted, at: Time) -> Policy {
        let quote = Quote::of(dice, wanted);
        self.replace_by(dice, quote, at)
    }

    /// As `replace`, by the policy that was quoted.
    pub fn replace_by(&mut self, dice: &mut Dice, quote: Quote, at: Time) -> Policy {
        let mut new = Policy::of(dice, quote, at);
        // Numbers rise with time.
        new.id = self.id + 1 + dice.below(4_000);
        new.replaces = Some(self.id);
        self.status = Status::Replaced;
        self.replaced_by = Some(new.id);
        self.happens(dice, "replacement", at);
        new
    }

    /// What is given back if it is cancelled at `at`.
    pub fn refund_at(&self, at: Time) -> Refund {
        let seconds = |span: Span| u64::try_from(span.ms() / 1000).unwrap_or(0);
        let (left, whole) = (seconds(self.expiration().since(at)), seconds(self.expiration().since(self.start)));
        let share = |amount| in_proportion(amount, left, whole.max(1));
        let Premium { pure, jr_coc, sr_coc, .. } = self.quote.premium;
        Refund { pure_premium: share(pure), jr_coc: share(jr_coc), sr_coc: share(sr_coc) }
    }

    fn happens(&mut self, dice: &mut Dice, what: &'static str, at: Time) {
        let (tx_hash, log_index) = (format!("0x{}", dice.hex(32)), dice.below(600) + 1);
        self.events.push(Happening { what, tx_hash, log_index, at });
        self.updated_at_us = at.ms() * 1000 + dice.between(5_000_000, 20_000_000);
    }

    /// As in `policy`.
    pub fn json(&self) -> Value {
        let mut fields = self.fields("", if self.quote.wanted.quoted { self.quote.short() } else { Value::Null });
        let link = |id: Option<u64>| id.map(|id| format!("/api/policies/{id}/"));
        let refund = self.refund.map(|refund| {
            json!({
                "pure_premium_refund": refund.pure_premium.to_string(),
                "jr_coc_refund": refund.jr_coc.to_string(),
                "sr_coc_refund": refund.sr_coc.to_string(),
            })
        });
        fields.extend([
            ("bucket_id_hash".to_owned(), self.quote.bucket_id_hash().into()),
            ("custom_data".to_owned(), self.quote.wanted.custom_data.clone().into()),
            ("replaces".to_owned(), link(self.replaces).into()),
            ("replaced_by".to_owned(), link(self.replaced_by).into()),
            ("refund_data".to_owned(), refund.into()),
            ("updated_at".to_owned(), micros(self.updated_at_us).into()),
        ]);
        fields.into()
    }

    /// As a failure shows the policy that it is about: shorter, and with whole URLs.
    pub fn short_json(&self) -> Value {
        let quote = match self.quote.wanted.quoted {
            true => format!("{HOST}{}", self.quote.url()).into(),
            false => Value::Null,
        };
        self.fields(HOST, quote).into()
    }

    fn fields(&self, host: &str, quote: Value) -> Map<String, Value> {
        let (premium, wanted) = (&self.quote.premium, &self.quote.wanted);
        let events = self.events.iter().map(|event| {
            json!({
                "event_type": event.what,
                "tx_hash": event.tx_hash,
                "log_index": event.log_index,
                "timestamp": seconds(event.at),
            })
        });
        let fields = json!({
            "id": self.id,
            "ensuro_id": self.quote.ensuro_id,
            "url": format!("{host}/api/policies/{}/", self.id),
            "rm": format!("{host}/api/riskmodules/{}/", wanted.risk_module),
            "status": self.status.as_str(),
            "payout": wanted.payout.to_string(),
            "actual_payout": self.actual_payout.map(|payout| payout.to_string()),
            "premium": premium.total().to_string(),
            "pure_premium": premium.pure.to_string(),
            "ensuro_commission": premium.ensuro_commission.to_string(),
            "partner_commission": premium.partner_commission.to_string(),
            "jr_coc": premium.jr_coc.to_string(),
            "sr_coc": premium.sr_coc.to_string(),
            "jr_scr": premium.jr_scr.to_string(),
            "sr_scr": premium.sr_scr.to_string(),
            "loss_prob": self.quote.loss_prob.to_string(),
            "start": seconds(self.start),
            "expiration": seconds(wanted.expiration),
            "events": events.collect::<Vec<Value>>(),
            "quote": quote,
        });
        match fields {
            Value::Object(fields) => fields,
            other => unreachable!("{other} was written as an object"),
        }
    }
}

/// Where the whole URLs of made-up policies lead: nowhere.
const HOST: &str = "https://offchain.ensuro.example";

/// A cancellation that was asked for, as its failure repeats it.
#[derive(Clone, Debug)]
pub struct Cancellation {
    pub refund: Refund,
    pub signature: Signature,
}

impl Cancellation {
    pub fn of(dice: &mut Dice, policy: &Policy, at: Time) -> Self {
        Cancellation { refund: policy.refund_at(at), signature: Signature::drawn(dice) }
    }
}

/// `2026-07-01T12:00:24Z`
pub(super) fn seconds(at: Time) -> String {
    stamp(Timestamp::from_second(at.unix_seconds()).ok(), 0)
}

/// `2026-07-01T12:00:24.730264Z`
fn micros(us: i64) -> String {
    stamp(Timestamp::from_microsecond(us).ok(), 6)
}

/// A time beyond the calendar shows as its end.
fn stamp(at: Option<Timestamp>, places: usize) -> String {
    format!("{:.places$}", at.unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests;
