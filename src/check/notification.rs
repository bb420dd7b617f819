//! The notifications that a check sends. Pure: a case and a seed always make the same ones, whatever else is run.
//! All keep their provider's payload rules, but those of which a case says that they do not.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::case::{Case, Content, Writing};
use crate::endpoint::ProfileName;
use crate::event::{Event, EventId, EventType};
use crate::provider::dice::Dice;
use crate::provider::ensuro::notice;
use crate::provider::ensuro::policy::{Cancellation, Policy, Quote, Wanted};
use crate::provider::octamile::certificate::{Kind, certificate};
use crate::provider::{ensuro, octamile, standard};
use crate::signature;
use crate::time::{Span, Time};

/// What is changed in every well-formed notification, so that the receiver knows what it is about.
pub type Amend = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// Where a body's numbers go that no JSON value can hold.
const NUMBERS: &str = "numbers as they are written";
/// Integers beyond 64 bits and beyond what a double holds, zeros at the end, exponents.
const WRITTEN_NUMBERS: &str =
    r#"[9223372036854775808,123456789012345678901234567890,9007199254740993,1.10,100.000,1E+2,-0,0.1e-6]"#;
/// Not in the documents.
const UNKNOWN_TYPE: &str = "policy/endorsement";
const APPROVED: &str = "policy/approved";
const DECLINED: &str = "policy/declined";
/// What a notification is that stands for any.
const STANDARD_TYPE: &str = "invoice.paid";

/// Makes the notifications of one case.
pub(super) struct Maker {
    profile: ProfileName,
    dice: Dice,
    now: Time,
    amend: Amend,
}

impl Maker {
    pub fn new(profile: ProfileName, case: &Case, seed: u64, now: Time, amend: &Amend) -> Self {
        // FNV-1a: each case has draws of its own, so that leaving out others changes nothing.
        let hash = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let of_case = case.id.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
        Maker { profile, dice: Dice::new(seed ^ of_case), now, amend: amend.clone() }
    }

    pub fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// One that stands for any: a creation, an approval, an event.
    pub fn any(&mut self) -> Event {
        let value = self.plain();
        self.event(value, Writing::Compact)
    }

    /// As `any`, written in another way.
    pub fn any_written(&mut self, writing: Writing) -> Event {
        let value = self.plain();
        self.event(value, writing)
    }

    /// One of this type, the last, after what came before it in a policy's life.
    pub fn life(&mut self, event_type: &str) -> Vec<Event> {
        let values = match self.profile {
            ProfileName::Ensuro => self.policy_life(event_type),
            ProfileName::Octamile => {
                octamile::sample::notification(event_type, &mut self.dice, Kind::Png, None).into_iter().collect()
            }
            ProfileName::Standard => vec![self.standard(event_type)],
        };
        values.into_iter().map(|value| self.event(value, Writing::Compact)).collect()
    }

    pub fn approved(&mut self, kind: Kind, at_least: usize) -> Event {
        let lines = ["Certificate of insurance".to_owned(), "made to test a webhook".to_owned()];
        let file = certificate(kind, at_least, &lines);
        let made = octamile::sample::notification(APPROVED, &mut self.dice, kind, Some(&file));
        self.event(made.expect("a type of Octamile's"), Writing::Compact)
    }

    /// A resolution and its policy's creation, in this order.
    pub fn resolution_and_creation(&mut self) -> [Event; 2] {
        let mut life = self.life("policy/resolution").into_iter();
        let creation = life.next().expect("a policy is created");
        [life.next().expect("and resolved"), creation]
    }

    pub fn written(&mut self, writing: Writing) -> Event {
        let value = match (self.profile, writing) {
            (_, Writing::Compact | Writing::Spaced | Writing::Python) => self.plain(),
            (ProfileName::Octamile, Writing::KeyOrder | Writing::Numbers) => self.plain(),
            (ProfileName::Octamile, Writing::Unicode | Writing::Escapes) => {
                let mut value = octamile::sample::notification(DECLINED, &mut self.dice, Kind::Png, None)
                    .expect("a type of Octamile's");
                value["statusNote"] = odd_text().into();
                value
            }
            (ProfileName::Ensuro | ProfileName::Standard, _) => {
                let odd = match writing {
                    Writing::KeyOrder => json!({"10": "ten", "9": "nine", "b": 1, "a": 2}),
                    Writing::Numbers => json!({"numbers": NUMBERS}),
                    Writing::Compact | Writing::Spaced | Writing::Python | Writing::Unicode | Writing::Escapes => {
                        json!({"note": odd_text(), "path": "a/b"})
                    }
                };
                self.with_data(&odd)
            }
        };
        self.event(value, writing)
    }

    pub fn unusual(&mut self, content: Content) -> Event {
        let mut as_made = false;
        let value = match content {
            Content::NewFields => self.with_new_fields(),
            Content::NullQuote => {
                let wanted = Wanted { quoted: false, ..self.wanted(self.now) };
                notice::creation(&Policy::issued(&mut self.dice, wanted))
            }
            Content::EmptyCustomData => {
                // Whatever is put there on wish.
                as_made = true;
                let mut value = self.plain();
                (self.amend)(&mut value);
                value["policy"]["custom_data"] = json!({});
                value
            }
            Content::CustomData => self.with_data(&json!({
                "passengers": [{"name": "Ana", "age": 41}, {"name": "Bo", "age": null}],
                "nested": {"deep": {"deeper": [true, false, 1.5]}},
                "": "a key without a name",
            })),
            Content::UnknownType => {
                let mut value = self.plain();
                value["type"] = match self.profile {
                    ProfileName::Ensuro | ProfileName::Octamile => UNKNOWN_TYPE.into(),
                    ProfileName::Standard => "postrider.unheard_of".into(),
                };
                value
            }
            Content::UnknownPolicy => {
                as_made = true;
                self.policy_life("policy/resolution").pop().expect("a policy is resolved")
            }
            Content::UnknownTransaction => {
                as_made = true;
                self.plain()
            }
        };
        match as_made {
            true => self.as_made(&value, Writing::Compact),
            false => self.event(value, Writing::Compact),
        }
    }

    /// With so many bytes of data.
    pub fn large(&mut self, bytes: usize) -> Event {
        let line = "a long note about what is insured; ";
        let note = line.repeat(bytes / line.len() + 1);
        let value = self.with_data(&json!({"note": note}));
        self.event(value, Writing::Compact)
    }

    fn plain(&mut self) -> Value {
        match self.profile {
            ProfileName::Ensuro => {
                let wanted = self.wanted(self.now);
                notice::creation(&Policy::issued(&mut self.dice, wanted))
            }
            ProfileName::Octamile => {
                octamile::sample::notification(APPROVED, &mut self.dice, Kind::Png, None).expect("a type of Octamile's")
            }
            ProfileName::Standard => self.standard(STANDARD_TYPE),
        }
    }

    /// A policy with some `custom_data`, so that only what is about its absence finds who needs it.
    fn wanted(&mut self, start: Time) -> Wanted {
        let custom_data = Map::from_iter([("internalId".to_owned(), self.dice.uuid().into())]);
        Wanted { custom_data, ..Wanted::drawn(&mut self.dice, start) }
    }

    fn standard(&mut self, event_type: &str) -> Value {
        let event_type = EventType::parse(event_type).expect("a type of ours");
        standard::sample(&event_type, &mut self.dice, self.now)
    }

    /// With these members, too, in the place where a notification has whatever the partner wants.
    fn with_data(&mut self, members: &Value) -> Value {
        let mut value = self.plain();
        let place = match self.profile {
            ProfileName::Ensuro => &mut value["policy"]["custom_data"],
            ProfileName::Standard => &mut value["data"],
            ProfileName::Octamile => return value,
        };
        for (name, member) in members.as_object().into_iter().flatten() {
            place[name] = member.clone();
        }
        value
    }

    fn with_new_fields(&mut self) -> Value {
        let mut value = self.plain();
        value["added_later"] = json!({"note": "a field that no document knows", "list": [1, null]});
        match self.profile {
            ProfileName::Ensuro => {
                value["policy"]["added_later"] = "so is this".into();
                value["policy"]["events"][0]["added_later"] = 7.into();
            }
            ProfileName::Standard => value["data"]["added_later"] = "so is this".into(),
            ProfileName::Octamile => {}
        }
        value
    }

    /// What happens to one policy, until something of this type does.
    fn policy_life(&mut self, event_type: &str) -> Vec<Value> {
        let now = self.now;
        match event_type {
            "policy/creation" => return vec![self.plain()],
            "policy/creation/failed" => {
                return ensuro::sample::notification(event_type, &mut self.dice, now).into_iter().collect();
            }
            _ => {}
        }
        let ago = Span::from_minutes(self.dice.between(3 * 24 * 60, 15 * 24 * 60));
        let wanted = self.wanted(now - ago);
        let dice = &mut self.dice;
        let mut policy = Policy::issued(dice, wanted);
        let creation = notice::creation(&policy);
        let wanted = Wanted { start: now, ..policy.quote.wanted.clone() };
        let id = policy.ensuro_id().to_owned();
        let what = match event_type {
            "policy/resolution" => {
                policy.resolve(dice, policy.payout(), now);
                notice::resolution(&policy)
            }
            "policy/cancellation" => {
                policy.cancel(dice, now);
                notice::cancellation(&policy)
            }
            "policy/replacement" => {
                policy.replace(dice, wanted, now);
                notice::replacement(&policy)
            }
            "policy/resolution/failed" => {
                let error = "execution reverted: Payout is over the policy's maximum";
                notice::resolution_failed(&id, "1000000.000000", Some(&policy), error)
            }
            "policy/cancellation/failed" => {
                let cancellation = Cancellation::of(dice, &policy, now);
                notice::cancellation_failed(
                    &id,
                    Some((&policy, &cancellation)),
                    "execution reverted: Refund is over the premium",
                )
            }
            "policy/replacement/failed" => {
                let new = Quote::of(dice, wanted);
                let error = "execution reverted: Not enough free liquidity in the pools";
                notice::replacement_failed(&id, Some(&policy), &new, error)
            }
            other => unreachable!("{other} is no type of Ensuro's"),
        };
        vec![creation, what]
    }

    /// With what the receiver knows.
    fn event(&mut self, mut value: Value, writing: Writing) -> Event {
        (self.amend)(&mut value);
        self.as_made(&value, writing)
    }

    fn as_made(&mut self, value: &Value, writing: Writing) -> Event {
        let body = bytes(value, writing);
        let event_type = match self.profile {
            ProfileName::Ensuro | ProfileName::Standard => value["type"].as_str().unwrap_or_default(),
            ProfileName::Octamile if value["status"] == "a" => APPROVED,
            ProfileName::Octamile => DECLINED,
        };
        Event {
            id: EventId::parse(&format!("msg_{}", self.dice.hex(16))).expect("hex is an id"),
            // `--set` may make it anything.
            event_type: EventType::parse(event_type).unwrap_or_else(|_| EventType::parse("unnamed").expect("a type")),
            content_type: "application/json".to_owned(),
            digest: signature::digest(&body),
            body: body.into(),
            accepted_at: self.now,
            trace: None,
        }
    }
}

/// Characters of two, three and four bytes, one that is made of two, and what escapes are for.
fn odd_text() -> String {
    "Ünïcode, n\u{303}, 東京, 👩\u{200d}🔧, \"quoted\" and a\\b".to_owned()
}

fn bytes(value: &Value, writing: Writing) -> Vec<u8> {
    match writing {
        Writing::Compact | Writing::Unicode => value.to_string().into_bytes(),
        Writing::Spaced => spaced(value),
        Writing::KeyOrder => backwards(value).to_string().into_bytes(),
        Writing::Escapes => escaped(&value.to_string()).replace('/', "\\/").into_bytes(),
        Writing::Python => python(value).into_bytes(),
        Writing::Numbers => value.to_string().replace(&Value::from(NUMBERS).to_string(), WRITTEN_NUMBERS).into_bytes(),
    }
}

/// With a line for each member, tabs before it, and space around the whole.
fn spaced(value: &Value) -> Vec<u8> {
    use serde::Serialize;
    let mut body = b" \t\r\n".to_vec();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"\t ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut body, format)).expect("a value is JSON");
    body.extend_from_slice(b"\r\n \n");
    body
}

/// With the members of all objects in the opposite order.
fn backwards(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members.iter().rev().map(|(name, value)| (name.clone(), backwards(value))).collect::<Map<_, _>>(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(backwards).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Source: Python, `json.dumps` with its defaults.
fn python(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                format!("{}: {}", escaped(&Value::from(name.as_str()).to_string()), python(value))
            };
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(python).collect::<Vec<_>>().join(", ")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => escaped(&value.to_string()),
    }
}

/// Everything beyond ASCII as escapes, which stand within strings only.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            c if c.is_ascii() => text.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    text
}

#[cfg(test)]
mod tests;
