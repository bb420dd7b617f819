//! Quotes as Ensuro gives them, and what a policy's premium is made of.
//! Made up, but as the document's samples are made: each amount follows from payout, loss probability, length and the
//! parameters of the bucket, and the parts of a premium add up to it exactly.

use serde_json::{Map, Value, json};

use super::amount::{Amount, Share, in_proportion};
use super::policy::seconds;
use crate::provider::dice::Dice;
use crate::signature::eip191::{Address, keccak};
use crate::signature::hex;
use crate::time::{Span, Time};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub payout: Amount,
    pub start: Time,
    pub expiration: Time,
    /// Drawn within the bucket's range if there is none.
    pub loss_prob: Option<Share>,
    pub data: Map<String, Value>,
    pub custom_data: Map<String, Value>,
    /// Decides the bucket too: all policies of a risk module have the same.
    pub risk_module: Address,
    /// Whether the policy shows its quote; some show null.
    pub quoted: bool,
}

impl Wanted {
    /// A policy that somebody could buy who starts it at `start`: 200 to 2,000 of payout for 20 to 120 days.
    pub fn drawn(dice: &mut Dice, start: Time) -> Self {
        let risk_module = Address::new(dice.bytes());
        let days = dice.between(20, 120);
        let end = start.unix_seconds() + days * 86_400;
        // Policies end on the hour.
        let expiration = Time::from_ms((end - end.rem_euclid(3600)) * 1000);
        let cents = dice.between(20_000, 200_000).cast_unsigned();
        let (field, prefix) = Bucket::of(&risk_module).data;
        let reference = format!("{prefix}-{}", dice.between(10_000, 99_999));
        Wanted {
            payout: Amount::from_micros(cents * 10_000),
            start,
            expiration,
            loss_prob: None,
            data: Map::from_iter([(field.to_owned(), reference.into())]),
            custom_data: Map::new(),
            risk_module,
            quoted: true,
        }
    }
}

/// What new-policy answers, and what a failure repeats.
#[derive(Clone, Debug)]
pub struct Quote {
    pub quote_id: String,
    /// Of its URL.
    pub number: u64,
    pub ensuro_id: String,
    pub data_hash: String,
    pub loss_prob: Share,
    pub premium: Premium,
    pub valid_until: Time,
    pub signature: Signature,
    pub wanted: Wanted,
}

impl Quote {
    pub fn of(dice: &mut Dice, wanted: Wanted) -> Self {
        let bucket = Bucket::of(&wanted.risk_module);
        let loss_prob = wanted.loss_prob.unwrap_or_else(|| bucket.loss_prob(dice));
        let data_hash: [u8; 32] = dice.bytes();
        let partner = Share::from_attos(*dice.pick(&[0, 20, 35, 50]) * 1_000_000_000_000_000);
        Quote {
            quote_id: dice.uuid(),
            number: dice.between(1_000, 99_999).cast_unsigned(),
            ensuro_id: ensuro_id(&wanted.risk_module, &data_hash),
            data_hash: format!("0x{}", hex(&data_hash)),
            loss_prob,
            premium: Premium::of(&wanted, loss_prob, bucket, partner),
            valid_until: wanted.start + Span::from_minutes(dice.between(30, 36 * 60)),
            signature: Signature::drawn(dice),
            wanted,
        }
    }

    pub fn bucket_id(&self) -> &'static str {
        Bucket::of(&self.wanted.risk_module).id
    }

    /// `0x` and the Keccak-256 of the bucket's name.
    pub fn bucket_id_hash(&self) -> String {
        format!("0x{}", hex(&keccak(self.bucket_id().as_bytes())))
    }

    /// `{"quote", "signature"}`, as new-policy answers.
    pub fn json(&self) -> Value {
        let (bucket, premium) = (Bucket::of(&self.wanted.risk_module), &self.premium);
        json!({
            "quote": {
                "quote_id": self.quote_id,
                "risk_module": self.wanted.risk_module.to_string(),
                "ensuro_id": self.ensuro_id,
                "bucket_id": bucket.id,
                "data": self.wanted.data,
                "data_hash": self.data_hash,
                "loss_prob": self.loss_prob.to_string(),
                "payout": self.wanted.payout.to_string(),
                "premium": null,
                "premium_details": {
                    "pure": premium.pure.to_string(),
                    "ensuro_commission": premium.ensuro_commission.to_string(),
                    "jr_coc": premium.jr_coc.to_string(),
                    "sr_coc": premium.sr_coc.to_string(),
                    "minimum_premium": premium.minimum().to_string(),
                },
                "params": bucket.params_json(),
                "policy_expiration": self.wanted.expiration.unix_seconds(),
                "valid_until": self.valid_until.unix_seconds(),
            },
            "signature": self.signature.json(),
        })
    }

    /// As a policy shows the quote it was made of.
    pub(super) fn short(&self) -> Value {
        json!({
            "quote_id": self.quote_id,
            "url": self.url(),
            "data": self.wanted.data,
            "data_hash": self.data_hash,
            "bucket_id": self.bucket_id(),
            "payout": self.wanted.payout.to_string(),
            "valid_until": seconds(self.valid_until),
        })
    }

    pub(super) fn url(&self) -> String {
        format!("/api/quotes/{}/", self.number)
    }
}

/// What a premium is made of, and the capital that is locked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Premium {
    pub pure: Amount,
    pub ensuro_commission: Amount,
    pub partner_commission: Amount,
    pub jr_coc: Amount,
    pub sr_coc: Amount,
    pub jr_scr: Amount,
    pub sr_scr: Amount,
}

impl Premium {
    /// `partner`: the partner's commission as a share of the pure premium.
    fn of(wanted: &Wanted, loss_prob: Share, bucket: &Bucket, partner: Share) -> Self {
        const YEAR: u64 = 365 * 86_400;
        let share = |text: &str| Share::parse(text).expect("a parameter of ours");
        let params = &bucket.params;
        let pure = share(params.moc).of(loss_prob.of(wanted.payout));
        let jr_scr = share(params.jr_coll_ratio).of(wanted.payout) - pure;
        let sr_scr = share(params.coll_ratio).of(wanted.payout) - pure - jr_scr;
        let length = u64::try_from(wanted.expiration.since(wanted.start).ms() / 1000).unwrap_or(0).min(YEAR);
        let (jr_coc, sr_coc) = (share(params.jr_roc).of(jr_scr), share(params.sr_roc).of(sr_scr));
        let (jr_coc, sr_coc) = (in_proportion(jr_coc, length, YEAR), in_proportion(sr_coc, length, YEAR));
        let ensuro_commission = share(params.ensuro_pp_fee).of(pure) + share(params.ensuro_coc_fee).of(jr_coc + sr_coc);
        Premium { pure, ensuro_commission, partner_commission: partner.of(pure), jr_coc, sr_coc, jr_scr, sr_scr }
    }

    pub fn total(&self) -> Amount {
        self.minimum() + self.partner_commission
    }

    /// What the policy costs without a commission for the partner.
    pub fn minimum(&self) -> Amount {
        self.pure + self.ensuro_commission + self.jr_coc + self.sr_coc
    }
}

/// A signature of Ensuro's over what it quoted, in the form of EIP-2098. Drawn: nobody made it.
#[derive(Clone, Debug)]
pub struct Signature {
    hash: [u8; 32],
    r: [u8; 32],
    vs: [u8; 32],
}

impl Signature {
    pub fn drawn(dice: &mut Dice) -> Self {
        let (hash, mut r, mut vs): ([u8; 32], [u8; 32], [u8; 32]) = (dice.bytes(), dice.bytes(), dice.bytes());
        // Within the curve's order, and s in the lower half of it below the bit of v.
        r[0] &= 0x7f;
        vs[0] &= 0xbf;
        Signature { hash, r, vs }
    }

    pub fn json(&self) -> Value {
        let text = |bytes: &[u8]| format!("0x{}", hex(bytes));
        json!({"type": "full", "hash": text(&self.hash), "r": text(&self.r), "vs": text(&self.vs)})
    }
}

/// A kind of risk, with the parameters that its prices follow from.
struct Bucket {
    id: &'static str,
    /// In thousandths.
    loss_prob: (i64, i64),
    /// The field of a quote's data, and how its values begin.
    data: (&'static str, &'static str),
    params: Params,
}

struct Params {
    moc: &'static str,
    jr_coll_ratio: &'static str,
    coll_ratio: &'static str,
    ensuro_pp_fee: &'static str,
    ensuro_coc_fee: &'static str,
    jr_roc: &'static str,
    sr_roc: &'static str,
}

const BUCKETS: [Bucket; 4] = [
    Bucket {
        id: "Rainfall",
        loss_prob: (28, 60),
        data: ("booking", "RN"),
        params: Params {
            moc: "1.0",
            jr_coll_ratio: "0.15",
            coll_ratio: "0.25",
            ensuro_pp_fee: "0.08",
            ensuro_coc_fee: "0.0",
            jr_roc: "0.220000",
            sr_roc: "0.140000",
        },
    },
    Bucket {
        id: "Hail.season",
        loss_prob: (35, 75),
        data: ("parcel", "HL"),
        params: Params {
            moc: "1.1",
            jr_coll_ratio: "0.18",
            coll_ratio: "0.30",
            ensuro_pp_fee: "0.08",
            ensuro_coc_fee: "0.05",
            jr_roc: "0.240000",
            sr_roc: "0.110000",
        },
    },
    Bucket {
        id: "Frost.short",
        loss_prob: (20, 45),
        data: ("field", "FR"),
        params: Params {
            moc: "1.15",
            jr_coll_ratio: "0.12",
            coll_ratio: "0.22",
            ensuro_pp_fee: "0.09",
            ensuro_coc_fee: "0.1",
            jr_roc: "0.260000",
            sr_roc: "0.130000",
        },
    },
    Bucket {
        id: "Delay",
        loss_prob: (15, 90),
        data: ("ticket", "DL"),
        params: Params {
            moc: "1.05",
            jr_coll_ratio: "0.20",
            coll_ratio: "0.35",
            ensuro_pp_fee: "0.07",
            ensuro_coc_fee: "0.05",
            jr_roc: "0.200000",
            sr_roc: "0.120000",
        },
    },
];

impl Bucket {
    fn of(risk_module: &Address) -> &'static Bucket {
        &BUCKETS[usize::from(risk_module.bytes()[19]) % BUCKETS.len()]
    }

    /// Some have round numbers, some what a model computed.
    fn loss_prob(&self, dice: &mut Dice) -> Share {
        const THOUSANDTH: i64 = 1_000_000_000_000_000;
        let thousandths = dice.between(self.loss_prob.0, self.loss_prob.1 - 1) * THOUSANDTH;
        let rest = if dice.below(2) == 0 { 0 } else { dice.between(0, THOUSANDTH - 1) };
        Share::from_attos((thousandths + rest).cast_unsigned())
    }

    fn params_json(&self) -> Value {
        let params = &self.params;
        json!({
            "moc": params.moc,
            "jr_coll_ratio": params.jr_coll_ratio,
            "coll_ratio": params.coll_ratio,
            "ensuro_pp_fee": params.ensuro_pp_fee,
            "ensuro_coc_fee": params.ensuro_coc_fee,
            "jr_roc": params.jr_roc,
            "sr_roc": params.sr_roc,
        })
    }
}

/// The risk module's address in the upper 160 bits, and the lower 96 of the quote's hash: as an integer.
fn ensuro_id(risk_module: &Address, data_hash: &[u8; 32]) -> String {
    decimal([risk_module.bytes().as_slice(), &data_hash[20..]].concat())
}

/// A big-endian number in decimal digits.
fn decimal(mut number: Vec<u8>) -> String {
    let mut digits = Vec::new();
    while number.iter().any(|byte| *byte != 0) {
        let mut rest = 0;
        for byte in &mut number {
            let value = rest << 8 | u16::from(*byte);
            *byte = (value / 10) as u8;
            rest = value % 10;
        }
        digits.push(char::from(b'0' + rest as u8));
    }
    if digits.is_empty() { "0".to_owned() } else { digits.iter().rev().collect() }
}
