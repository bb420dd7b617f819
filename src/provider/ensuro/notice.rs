//! Ensuro's notifications about a policy, as whole bodies.
//! Source: Ensuro, "Callback notifications": successes are `{"type", "policy"}`, failures `{"type", "data",
//! "error_detail"}`.

use serde_json::{Value, json};

use super::policy::{Cancellation, Policy, Quote};

pub fn creation(policy: &Policy) -> Value {
    success("policy/creation", policy)
}

pub fn resolution(policy: &Policy) -> Value {
    success("policy/resolution", policy)
}

pub fn cancellation(policy: &Policy) -> Value {
    success("policy/cancellation", policy)
}

/// Of the policy that was replaced.
pub fn replacement(policy: &Policy) -> Value {
    success("policy/replacement", policy)
}

fn success(event_type: &str, policy: &Policy) -> Value {
    json!({"type": event_type, "policy": policy.json()})
}

/// `data` is what new-policy had answered.
pub fn creation_failed(quote: &Quote, error: &str) -> Value {
    failure("policy/creation/failed", quote.json(), error)
}

/// `payout` as it was asked for; `policy` if there is one.
pub fn resolution_failed(ensuro_id: &str, payout: &str, policy: Option<&Policy>, error: &str) -> Value {
    let data = json!({"ensuro_id": ensuro_id, "payout": payout, "policy": policy.map(Policy::short_json)});
    failure("policy/resolution/failed", data, error)
}

/// With what was asked for, if there is such a policy.
pub fn cancellation_failed(ensuro_id: &str, asked: Option<(&Policy, &Cancellation)>, error: &str) -> Value {
    let Some((policy, Cancellation { refund, signature })) = asked else {
        return failure("policy/cancellation/failed", json!({"ensuro_id": ensuro_id}), error);
    };
    let (quote, premium) = (&policy.quote, &policy.quote.premium);
    let (pure_premium, jr_coc, sr_coc) =
        (refund.pure_premium.to_string(), refund.jr_coc.to_string(), refund.sr_coc.to_string());
    let data = json!({
        "ensuro_id": ensuro_id,
        "pure_premium_refund": pure_premium,
        "jr_coc_refund": jr_coc,
        "sr_coc_refund": sr_coc,
        "cancellation": {
            "policy_data": {
                "ensuro_id": quote.ensuro_id,
                "payout": policy.payout().to_string(),
                "jr_scr": premium.jr_scr.to_string(),
                "sr_scr": premium.sr_scr.to_string(),
                "loss_prob": quote.loss_prob.to_string(),
                "pure_premium": premium.pure.to_string(),
                "ensuro_commission": premium.ensuro_commission.to_string(),
                "partner_commission": premium.partner_commission.to_string(),
                "jr_coc": premium.jr_coc.to_string(),
                "sr_coc": premium.sr_coc.to_string(),
                "start": policy.start.unix_seconds(),
                "expiration": policy.expiration().unix_seconds(),
            },
            "refunds": {"pure_premium": pure_premium, "jr_coc": jr_coc, "sr_coc": sr_coc},
        },
        "signature": signature.json(),
    });
    failure("policy/cancellation/failed", data, error)
}

/// `new` is what replace-policy had answered; `old` the policy that stays, if there is one.
pub fn replacement_failed(old_ensuro_id: &str, old: Option<&Policy>, new: &Quote, error: &str) -> Value {
    let data = json!({
        "old_ensuro_id": old_ensuro_id,
        "old_policy": old.map(Policy::short_json),
        "new_policy": new.json(),
    });
    failure("policy/replacement/failed", data, error)
}

fn failure(event_type: &str, data: Value, error: &str) -> Value {
    json!({"type": event_type, "data": data, "error_detail": error})
}
