//! Made-up notifications of both of Octamile's statuses.
//! Pure: the same draws give the same notification.

use serde_json::Value;

use super::certificate::{Kind, certificate};
use super::{APPROVED, DECLINED, notice};
use crate::provider::dice::Dice;

/// Package codes in the form of the document's `vhcl-tprt-1111`.
const PRODUCTS: [&str; 4] = ["vhcl-tprt-2040", "vhcl-cmpr-2055", "vhcl-tprt-3010", "vhcl-tprt-3025"];

const REASONS: [&str; 5] = [
    "The chassis number does not match the vehicle registration",
    "The vehicle is already insured until the end of the year",
    "The registration number could not be verified",
    "The photo of the vehicle licence cannot be read",
    "The vehicle is older than this package allows",
];

/// One of this type; `None` for a type that is not in `TYPES`. An approval carries `certificate`, or a small one of
/// this kind that is made here.
pub fn notification(event_type: &str, dice: &mut Dice, kind: Kind, own: Option<&[u8]>) -> Option<Value> {
    let (product, consumer, transaction) = (*dice.pick(&PRODUCTS), dice.hex(16), dice.alphanumeric(32));
    match event_type {
        APPROVED => {
            let lines = [format!("Product {product}"), format!("Transaction {transaction}")];
            let made = own.map_or_else(|| certificate(kind, 0, &lines), <[u8]>::to_vec);
            Some(notice::approved(product, &consumer, &transaction, &made, kind))
        }
        DECLINED => {
            let reason = *dice.pick(&REASONS);
            Some(notice::declined(product, &consumer, &transaction, reason))
        }
        _ => None,
    }
}
