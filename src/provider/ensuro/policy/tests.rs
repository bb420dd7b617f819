//! Made-up policies hang together, whatever the dice say: every promise over many seeds.

use super::*;
use crate::event::EventType;
use crate::provider::ensuro::{TYPES, check, sample, type_of_body};
use crate::provider::{Checked, payload};

/// 2026-11-01T00:00:00Z.
const NOW: Time = Time::from_ms(1_793_491_200_000);
const SEEDS: std::ops::Range<u64> = 0..200;

fn notification(event_type: &str, seed: u64) -> Value {
    sample::notification(event_type, &mut Dice::new(seed), NOW).unwrap()
}

/// Every policy in a notification: the one it is about, and those that a failure shows.
fn policies(body: &Value) -> Vec<&Value> {
    ["/policy", "/data/policy", "/data/old_policy"].into_iter().filter_map(|place| body.pointer(place)).collect()
}

fn quotes(body: &Value) -> Vec<&Value> {
    ["/data/quote", "/data/new_policy/quote"].into_iter().filter_map(|place| body.pointer(place)).collect()
}

fn amount(value: &Value) -> Amount {
    let text = value.as_str().unwrap();
    let amount = Amount::parse(text).unwrap();
    assert_eq!(amount.to_string(), text, "amounts have six places");
    amount
}

fn unix(value: &Value) -> i64 {
    match value.as_i64() {
        Some(seconds) => seconds,
        None => value.as_str().unwrap().parse::<Timestamp>().unwrap().as_second(),
    }
}

/// A number of up to 256 bits in decimal, as 64 hex digits.
fn as_hex(decimal: &Value) -> String {
    let mut bytes = [0u8; 32];
    for digit in decimal.as_str().unwrap().bytes() {
        let mut carry = u32::from(digit - b'0');
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 10;
            *byte = carry as u8;
            carry >>= 8;
        }
        assert_eq!(carry, 0, "{decimal} is over 256 bits");
    }
    crate::signature::hex(&bytes)
}

#[test]
fn every_sample_passes_the_rules_without_a_warning_and_names_its_type() {
    for (event_type, seed) in TYPES.iter().flat_map(|event_type| SEEDS.map(move |seed| (event_type, seed))) {
        let body = notification(event_type, seed).to_string();
        let parsed = EventType::parse(event_type).unwrap();
        assert_eq!(check(&parsed, body.as_bytes()), Ok(Checked::default()), "{event_type} {seed}");
        assert_eq!(type_of_body(body.as_bytes()), Some(parsed));
        assert!(payload::object(body.as_bytes()).is_ok(), "no field stands twice");
    }
    assert!(sample::notification("policy/approved", &mut Dice::new(1), NOW).is_none());
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    for event_type in TYPES {
        let mut seen = std::collections::HashSet::new();
        for seed in SEEDS {
            assert_eq!(notification(event_type, seed).to_string(), notification(event_type, seed).to_string());
            assert!(seen.insert(notification(event_type, seed).to_string()), "{event_type} {seed}");
        }
    }
}

#[test]
fn premiums_are_the_sum_of_their_parts_and_follow_from_payout_and_probability() {
    for (event_type, seed) in TYPES.iter().flat_map(|event_type| SEEDS.map(move |seed| (event_type, seed))) {
        let body = notification(event_type, seed);
        for policy in policies(&body) {
            let parts = ["pure_premium", "ensuro_commission", "partner_commission", "jr_coc", "sr_coc"];
            let sum: Amount = parts.into_iter().map(|part| amount(&policy[part])).sum();
            assert_eq!(sum, amount(&policy["premium"]), "{event_type} {seed}");
            let (pure, payout) = (amount(&policy["pure_premium"]), amount(&policy["payout"]));
            let expected = Share::parse(policy["loss_prob"].as_str().unwrap()).unwrap().of(payout);
            let margin = Share::parse("1.2").unwrap().of(expected);
            assert!(expected <= pure && pure <= margin, "{event_type} {seed}: {pure} for {expected}");
            let (jr_scr, sr_scr) = (amount(&policy["jr_scr"]), amount(&policy["sr_scr"]));
            assert!(jr_scr > Amount::ZERO && sr_scr > Amount::ZERO && pure + jr_scr + sr_scr < payout);
            for (cost, capital) in [("jr_coc", jr_scr), ("sr_coc", sr_scr)] {
                let cost = amount(&policy[cost]);
                assert!(cost > Amount::ZERO && cost < Share::parse("0.1").unwrap().of(capital), "{event_type} {seed}");
            }
        }
        for quote in quotes(&body) {
            let details = &quote["premium_details"];
            let parts = ["pure", "ensuro_commission", "jr_coc", "sr_coc"];
            let sum: Amount = parts.into_iter().map(|part| amount(&details[part])).sum();
            assert_eq!(sum, amount(&details["minimum_premium"]), "{event_type} {seed}");
            assert!(quote["premium"].is_null());
        }
    }
}

#[test]
fn ids_are_made_of_the_risk_module_and_the_quotes_hash() {
    for (event_type, seed) in TYPES.iter().flat_map(|event_type| SEEDS.map(move |seed| (event_type, seed))) {
        let body = notification(event_type, seed);
        for policy in policies(&body) {
            let id = as_hex(&policy["ensuro_id"]);
            let address = policy["rm"].as_str().unwrap().trim_end_matches('/').rsplit('/').next().unwrap();
            // A wrong checksum is refused.
            let read = crate::signature::eip191::read_address(address.as_bytes()).unwrap();
            assert_eq!(read.to_string(), address);
            assert_eq!(format!("0x{}", &id[..40]), address.to_lowercase(), "{event_type} {seed}");
            assert!(policy["url"].as_str().unwrap().ends_with(&format!("/api/policies/{}/", policy["id"])));
            if let Some(hash) = policy["quote"]["data_hash"].as_str() {
                assert!(hash.len() == 66 && hash.ends_with(&id[40..]), "{event_type} {seed}");
                assert_eq!(policy["quote"]["payout"], policy["payout"]);
            }
        }
        for quote in quotes(&body) {
            let id = as_hex(&quote["ensuro_id"]);
            assert_eq!(format!("0x{}", &id[..40]), quote["risk_module"].as_str().unwrap().to_lowercase());
            assert!(quote["data_hash"].as_str().unwrap().ends_with(&id[40..]), "{event_type} {seed}");
        }
    }
}

#[test]
fn events_are_in_order_and_the_status_is_that_of_the_last() {
    for (event_type, seed) in TYPES.iter().flat_map(|event_type| SEEDS.map(move |seed| (event_type, seed))) {
        let body = notification(event_type, seed);
        for policy in policies(&body) {
            let events = policy["events"].as_array().unwrap();
            let (first, last) = (&events[0], &events[events.len() - 1]);
            let expected = match last["event_type"].as_str().unwrap() {
                "creation" => "active",
                "resolution" => "customer_won",
                "cancellation" => "cancelled",
                "replacement" => "replaced",
                other => panic!("{other} is in no sample"),
            };
            assert_eq!(policy["status"], expected, "{event_type} {seed}");
            assert_eq!(policy["actual_payout"].is_null(), ["active", "replaced"].contains(&expected));
            assert!(first["event_type"] == "creation" && first["timestamp"] == policy["start"]);
            assert!(events.is_sorted_by_key(|event| unix(&event["timestamp"])), "{event_type} {seed}");
            assert!(unix(&policy["start"]) < unix(&policy["expiration"]));
            assert!(unix(&last["timestamp"]) < NOW.unix_seconds(), "nothing is told before it happened");
            if let Some(what) = event_type.strip_prefix("policy/").filter(|what| !what.ends_with("/failed")) {
                assert_eq!(last["event_type"], what);
                assert!(unix(&policy["updated_at"]) > unix(&last["timestamp"]), "{event_type} {seed}");
                assert!(unix(&policy["updated_at"]) <= NOW.unix_seconds());
                assert!(unix(&policy["expiration"]) > unix(&last["timestamp"]), "{event_type} {seed}");
                assert_eq!(policy["refund_data"].is_object(), what == "cancellation");
                assert_eq!(policy["replaced_by"].is_string(), what == "replacement");
            }
        }
    }
}

#[test]
fn refunds_are_in_proportion_to_the_time_left_and_below_what_was_paid() {
    for seed in SEEDS {
        let failed = notification("policy/cancellation/failed", seed);
        let asked = &failed["data"]["cancellation"];
        let policy = &notification("policy/cancellation", seed)["policy"];
        for (refund, paid) in [("pure_premium", "pure_premium"), ("jr_coc", "jr_coc"), ("sr_coc", "sr_coc")] {
            let done = amount(&policy["refund_data"][format!("{refund}_refund")]);
            assert!(done > Amount::ZERO && done < amount(&policy[paid]), "{seed}: {refund}");
            let wished = &asked["refunds"][refund];
            assert_eq!(wished, &failed["data"][format!("{refund}_refund")]);
            assert!(amount(wished) < amount(&asked["policy_data"][paid]), "{seed}: {refund}");
        }
    }
    let mut dice = Dice::new(1);
    let wanted = Wanted::drawn(&mut dice, NOW);
    let end = wanted.expiration;
    let policy = Policy::issued(&mut dice, wanted);
    assert_eq!(policy.refund_at(NOW).pure_premium, policy.quote.premium.pure);
    assert_eq!(policy.refund_at(end + Span::from_hours(1)).pure_premium, Amount::ZERO);
}

#[test]
fn a_failure_says_what_its_data_show() {
    let mut errors = std::collections::BTreeSet::new();
    for seed in SEEDS {
        for event_type in TYPES.iter().filter(|event_type| event_type.ends_with("/failed")) {
            let body = notification(event_type, seed);
            let (data, error) = (&body["data"], body["error_detail"].as_str().unwrap());
            errors.insert(format!("{event_type}: {error}"));
            let policy = &data["policy"];
            match (*event_type, error) {
                ("policy/creation/failed", "execution reverted: Quote is past its valid_until") => {
                    assert!(unix(&data["quote"]["valid_until"]) < NOW.unix_seconds());
                }
                ("policy/creation/failed", _) => assert!(unix(&data["quote"]["valid_until"]) > NOW.unix_seconds()),
                ("policy/resolution/failed", "execution reverted: Policy not found") => {
                    assert_eq!(policy["status"], "customer_won");
                }
                ("policy/resolution/failed", "PolicyAlreadyExpired(uint256 policyId)") => {
                    assert!(unix(&policy["expiration"]) < NOW.unix_seconds() && policy["status"] == "active");
                }
                ("policy/resolution/failed", _) => assert!(amount(&data["payout"]) > amount(&policy["payout"])),
                ("policy/replacement/failed", error) => {
                    let new = amount(&data["new_policy"]["quote"]["payout"]);
                    assert_eq!(new < amount(&data["old_policy"]["payout"]), error.contains("greater or equal"));
                }
                _ => {}
            }
        }
    }
    assert!(errors.len() >= 12, "they vary: {errors:#?}");
}

#[test]
fn replaced_policies_name_each_other_and_lost_ones_pay_nothing() {
    let mut dice = Dice::new(5);
    let mut old = Policy::drawn(&mut dice, NOW);
    let wanted = Wanted { start: NOW, ..old.quote.wanted.clone() };
    let new = old.replace(&mut dice, wanted, NOW);
    assert_eq!((old.replaced_by, new.replaces), (Some(new.id), Some(old.id)));
    assert_eq!(old.json()["replaced_by"], format!("/api/policies/{}/", new.id));
    assert_eq!(new.json()["replaces"], format!("/api/policies/{}/", old.id));
    assert!(new.status == Status::Active && old.ensuro_id() != new.ensuro_id());
    let mut lost = Policy::drawn(&mut dice, NOW);
    lost.resolve(&mut dice, Amount::ZERO, NOW);
    assert_eq!((lost.status, lost.json()["actual_payout"].as_str()), (Status::CustomerLost, Some("0.000000")));
    let mut won = Policy::drawn(&mut dice, NOW);
    won.resolve(&mut dice, Amount::MOST, NOW);
    assert_eq!(won.actual_payout, Some(won.payout()), "never more than the policy's payout");
    let mut ended = Policy::drawn(&mut dice, NOW);
    ended.expire(&mut dice, ended.expiration());
    assert_eq!((ended.json()["status"].as_str(), ended.events.len()), (Some("expired"), 2));
}

#[test]
fn a_bucket_is_hashed_as_ethereum_does() {
    // Keccak-256 of the empty text, as every Ethereum library documents it.
    let empty = crate::signature::hex(&crate::signature::eip191::keccak(b""));
    assert_eq!(empty, "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
}
