//! Standard Webhooks 1.0.0, for every receiver that is neither Ensuro's nor Octamile's.
//! It promises nothing about a body but that there is one: type, content type and bytes are the sender's.

use serde_json::{Value, json};

use super::dice::Dice;
use super::{Checked, Profile};
use crate::calendar::rfc3339;
use crate::endpoint::{ProfileName, Scheme, Success};
use crate::event::EventType;
use crate::schedule::Schedule;
use crate::time::{Span, Time};

/// Payloads are "usually smaller than 20kb".
/// Source: Standard Webhooks 1.0.0, "Payload size".
const IDEAL_BODY_LIMIT: usize = 20_000;

pub fn profile() -> Profile {
    Profile {
        name: ProfileName::Standard,
        // The document recommends 15 to 30 s; ours is that of the other profiles, and can be overridden.
        timeout: Span::from_seconds(10),
        // The document recommends days, with jitter; the delays are those of Ensuro, and can be overridden.
        schedule: Schedule::doubling(Span::from_seconds(30), Span::from_minutes(10), 10).with_jitter(10),
        success: Success::Any2xx,
        late_after: None,
        obeys_retry_after: true,
        gone_disables: true,
        schemes: &[Scheme::V1, Scheme::V1a],
        fixed_content_type: None,
        sources: &[
            ("timeout", "postrider: 10 s; Standard Webhooks 1.0.0, Request timeouts, recommends 15 to 30 s"),
            (
                "schedule",
                "postrider: 30 s, doubled up to 10 minutes, 10 retries, up to 10 % later; Standard Webhooks 1.0.0, \
                 Deliverability and reliability, recommends days, exponential backoff and jitter",
            ),
            ("success", "Standard Webhooks 1.0.0, Delivery success and failure: 2xx"),
            ("gone_disables", "Standard Webhooks 1.0.0, Delivery success and failure: 410 disables the endpoint"),
            ("obeys_retry_after", "Standard Webhooks 1.0.0, Delivery success and failure: Retry-After"),
            ("schemes", "Standard Webhooks 1.0.0, Signature scheme: v1 and v1a"),
        ],
    }
}

/// Any bytes but none; warns of what receivers are known to stumble over.
pub fn check(body: &[u8]) -> Result<Checked, String> {
    if body.is_empty() {
        return Err("the body is empty; a webhook carries a payload".to_owned());
    }
    let mut checked = Checked::default();
    if body.len() > IDEAL_BODY_LIMIT {
        checked.warnings.push(format!(
            "the body has {} bytes: Standard Webhooks recommends less than 20 kB, and a link to anything larger",
            body.len()
        ));
    }
    if std::str::from_utf8(body).is_err() {
        checked.warnings.push("the body is not UTF-8: some of the official libraries cannot verify it".to_owned());
    }
    Ok(checked)
}

/// A made-up payload in the form that the document recommends: `{"type", "timestamp", "data"}`.
/// Source: Standard Webhooks 1.0.0, "Payload structure".
pub fn sample(event_type: &EventType, dice: &mut Dice, now: Time) -> Value {
    json!({
        "type": event_type.as_str(),
        "timestamp": rfc3339(now),
        "data": {
            "id": format!("obj_{}", dice.alphanumeric(20)),
            "message": "a test of this endpoint",
            "amount": format!("{}.{:02}", dice.between(1, 999), dice.below(100)),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_body_is_taken_and_odd_ones_are_warned_of() {
        assert_eq!(check(b"{\"test\": 2432232314}"), Ok(Checked::default()));
        assert!(check(b"").is_err());
        assert_eq!(check(&[b'x'; 20_000]).unwrap().warnings.len(), 0);
        assert!(check(&[b'x'; 20_001]).unwrap().warnings[0].contains("20001 bytes"));
        assert!(check(b"\xff").unwrap().warnings[0].contains("not UTF-8"));
    }

    #[test]
    fn the_schedule_is_ten_retries_with_late_jitter() {
        let schedule = profile().schedule;
        assert_eq!((schedule.attempts(), schedule.jitter_percent()), (11, 10));
        assert_eq!(schedule.delays()[9], Span::from_minutes(10));
    }
}
