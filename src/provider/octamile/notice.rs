//! Octamile's notifications, as whole bodies. Source: Octamile, "Webhook Reference", payload.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::certificate::Kind;

pub fn approved(product: &str, consumer: &str, transaction: &str, certificate: &[u8], kind: Kind) -> Value {
    json!({
        "product": product,
        "consumerId": consumer,
        "trnsctnId": transaction,
        "status": "a",
        "statusNote": "",
        "crtfct": STANDARD.encode(certificate),
        "crtfctType": kind.as_str(),
    })
}

/// `note` is the reason.
pub fn declined(product: &str, consumer: &str, transaction: &str, note: &str) -> Value {
    json!({
        "product": product,
        "consumerId": consumer,
        "trnsctnId": transaction,
        "status": "d",
        "statusNote": note,
    })
}
