//! Made-up notifications of each of Ensuro's types, in which everything hangs together.
//! Pure: the same draws and the same time give the same notification.

use serde_json::Value;

use super::notice;
use super::policy::{Amount, Cancellation, Policy, Quote, Share, Wanted};
use crate::provider::dice::Dice;
use crate::time::{Span, Time};

/// One of this type, of something that happened a little before `now`; `None` for a type that is not in `TYPES`.
pub fn notification(event_type: &str, dice: &mut Dice, now: Time) -> Option<Value> {
    let told = now;
    let now = told - Span::from_seconds(dice.between(25, 40));
    Some(match event_type {
        "policy/creation" => notice::creation(&Policy::drawn(dice, told)),
        "policy/creation/failed" => creation_failed(dice, now),
        "policy/resolution" => notice::resolution(&resolved(dice, now)),
        "policy/resolution/failed" => resolution_failed(dice, now),
        "policy/cancellation" => {
            let mut policy = running(dice, now);
            policy.cancel(dice, now);
            notice::cancellation(&policy)
        }
        "policy/cancellation/failed" => cancellation_failed(dice, now),
        "policy/replacement" => {
            let mut policy = running(dice, now);
            let wanted = instead_of(&policy, Share::from_attos(1_250_000_000_000_000_000), now);
            policy.replace(dice, wanted, now);
            notice::replacement(&policy)
        }
        "policy/replacement/failed" => replacement_failed(dice, now),
        _ => return None,
    })
}

/// Issued some days before `now`, and not yet at its end.
fn running(dice: &mut Dice, now: Time) -> Policy {
    let ago = Span::from_minutes(dice.between(3 * 24 * 60, 15 * 24 * 60));
    Policy::drawn(dice, now - ago)
}

/// Mostly with its whole payout, sometimes with a part of it.
fn resolved(dice: &mut Dice, now: Time) -> Policy {
    let mut policy = running(dice, now);
    let percent = *dice.pick(&[100, 100, 100, 75, 40]);
    let payout = Share::from_attos(percent * 10_000_000_000_000_000).of(policy.payout());
    policy.resolve(dice, payout, now);
    policy
}

/// What replaces a policy: its end is the same, its payout `factor` of the old.
fn instead_of(policy: &Policy, factor: Share, now: Time) -> Wanted {
    Wanted { payout: factor.of(policy.payout()), start: now, ..policy.quote.wanted.clone() }
}

fn creation_failed(dice: &mut Dice, now: Time) -> Value {
    let wanted = Wanted::drawn(dice, now);
    let mut quote = Quote::of(dice, wanted);
    let errors = [
        "execution reverted: Policy exceeds max duration",
        "execution reverted: Quote is past its valid_until",
        "execution reverted: Not enough free liquidity in the pools",
        "execution reverted: Payout is over the maximum of the risk module",
    ];
    let which = dice.below(errors.len() as u64) as usize;
    if which == 1 {
        quote.valid_until = now - Span::from_minutes(dice.between(2, 90));
    }
    notice::creation_failed(&quote, errors[which])
}

fn resolution_failed(dice: &mut Dice, now: Time) -> Value {
    let (policy, asked, error) = match dice.below(3) {
        0 => {
            let earlier = now - Span::from_minutes(dice.between(10, 600));
            let policy = resolved(dice, earlier);
            let payout = policy.payout();
            (policy, payout, "execution reverted: Policy not found")
        }
        1 => {
            let policy = running(dice, now);
            let more = policy.payout() + Amount::from_micros(dice.between(1, 500).cast_unsigned() * 1_000_000);
            (policy, more, "execution reverted: Payout is over the policy's maximum")
        }
        _ => {
            let ended = Span::from_minutes(dice.between(10, 600));
            let mut policy = Policy::drawn(dice, now);
            // Moved back as a whole, so that it ended a while ago.
            let by = policy.expiration().since(now) + ended;
            policy.start = policy.start - by;
            policy.quote.valid_until = policy.quote.valid_until - by;
            policy.quote.wanted.expiration = policy.expiration() - by;
            policy.events[0].at = policy.events[0].at - by;
            let payout = policy.payout();
            (policy, payout, "PolicyAlreadyExpired(uint256 policyId)")
        }
    };
    notice::resolution_failed(policy.ensuro_id(), &asked.to_string(), Some(&policy), error)
}

fn cancellation_failed(dice: &mut Dice, now: Time) -> Value {
    let errors = [
        "execution reverted: Refund is over the premium",
        "execution reverted: Cancellation is not allowed for this policy",
        "InvalidCancellationRefund(uint256 policyId)",
    ];
    let error = *dice.pick(&errors);
    let policy = running(dice, now);
    let cancellation = Cancellation::of(dice, &policy, now);
    notice::cancellation_failed(policy.ensuro_id(), Some((&policy, &cancellation)), error)
}

fn replacement_failed(dice: &mut Dice, now: Time) -> Value {
    let old = running(dice, now);
    let (factor, error) = *dice.pick(&[
        (800_000_000_000_000_000, "execution reverted: New policy must be greater or equal than old policy"),
        (1_500_000_000_000_000_000, "execution reverted: Not enough free liquidity in the pools"),
    ]);
    let new = Quote::of(dice, instead_of(&old, Share::from_attos(factor), now));
    notice::replacement_failed(old.ensuro_id(), Some(&old), &new, error)
}
