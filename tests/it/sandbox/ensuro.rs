//! The whole life of policies, from a signed request to a verified notification.

use postrider::signature::{self, eip191};
use serde_json::json;

use super::harness::{Desk, Partner, account, wanted};

#[test]
fn a_policy_is_bought_resolved_and_cannot_be_resolved_again() {
    let (desk, partner) = (Desk::new(), Partner::start(0));
    let sandbox = desk.start(&["--notify", &partner.receiver.url(), "--delay", "0s"]);
    let quoted = sandbox.ensuro("/quote?unsigned", &wanted("190.25", 30)).expect(200);
    assert!(quoted["ensuro_id"].is_string() && quoted.get("signature").is_none(), "{quoted}");
    let bought = sandbox.ensuro("/api/v0/rain/new-policy", &wanted("190.25", 30)).expect(200);
    let id = bought["ensuro_id"].as_str().unwrap();
    assert_eq!(bought["status"], "QUEUED");
    assert!(bought["quote"]["ensuro_id"] == id && bought["signature"]["vs"].is_string(), "{bought}");
    let created = &partner.notified(&sandbox, 1)[0];
    assert_eq!((&created["type"], &created["policy"]["ensuro_id"]), (&json!("policy/creation"), &json!(id)));
    let read = sandbox.api.get(created["policy"]["url"].as_str().unwrap()).expect(200);
    assert_eq!(read, created["policy"], "the policy's own URL leads to it");
    let asked = json!({"ensuro_id": id, "payout": "71.35"});
    assert_eq!(sandbox.ensuro("/resolve-policy", &asked).expect(200), json!({"status": "QUEUED"}));
    let resolved = &partner.notified(&sandbox, 2)[1];
    assert_eq!(
        (&resolved["type"], &resolved["policy"]["status"]),
        (&json!("policy/resolution"), &json!("customer_won"))
    );
    assert_eq!(resolved["policy"]["actual_payout"], "71.350000");
    sandbox.ensuro("/resolve-policy", &asked).expect(200);
    let failed = &partner.notified(&sandbox, 3)[2];
    assert_eq!(
        (&failed["type"], &failed["data"]["policy"]["status"]),
        (&json!("policy/resolution/failed"), &json!("customer_won"))
    );
    assert_eq!(failed["error_detail"], "execution reverted: Policy not found");
    assert_eq!(sandbox.api.get("/policies").expect(200)["policies"].as_array().unwrap().len(), 1);
}

#[test]
fn policies_are_cancelled_and_replaced() {
    let (desk, partner) = (Desk::new(), Partner::start(0));
    let sandbox = desk.start(&["--notify", &partner.receiver.url(), "--delay", "0s", "--max-payout", "1000"]);
    let (cancelled, replaced) = (sandbox.buy(30), sandbox.buy(30));
    partner.notified(&sandbox, 2);
    let answer = sandbox.ensuro("/cancel-policy", &json!({"ensuro_id": cancelled})).expect(200);
    assert!(answer["status"] == "QUEUED" && answer["refunds"]["jr_coc"].is_string(), "{answer}");
    let told = partner.notified(&sandbox, 3).remove(2);
    assert_eq!((&told["type"], &told["policy"]["status"]), (&json!("policy/cancellation"), &json!("cancelled")));
    assert!(told["policy"]["refund_data"]["pure_premium_refund"].is_string());
    let less = [wanted("99", 40), json!({"old_ensuro_id": replaced})];
    let merged = |parts: &[serde_json::Value; 2]| {
        let mut body = parts[0].clone();
        body["old_ensuro_id"] = parts[1]["old_ensuro_id"].clone();
        body
    };
    sandbox.ensuro("/replace-policy", &merged(&less)).expect(200);
    let told = partner.notified(&sandbox, 4).remove(3);
    assert_eq!(told["error_detail"], "execution reverted: New policy must be greater or equal than old policy");
    let more = [wanted("150", 40), json!({"old_ensuro_id": replaced})];
    let answer = sandbox.ensuro("/replace-policy", &merged(&more)).expect(200);
    assert!(answer["status"] == "QUEUED" && answer["quote"]["ensuro_id"].is_string(), "{answer}");
    let told = partner.notified(&sandbox, 5).remove(4);
    assert_eq!((&told["type"], &told["policy"]["ensuro_id"]), (&json!("policy/replacement"), &json!(replaced)));
    sandbox.ensuro("/new-policy", &wanted("1000.01", 30)).expect(200);
    let told = partner.notified(&sandbox, 6).remove(5);
    assert_eq!(told["type"], "policy/creation/failed");
    let states: Vec<String> = desk.controlled(&sandbox, &["list"])["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|policy| policy["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["cancelled", "replaced", "active"]);
}

/// The partner signs with an account, and so does the sandbox.
#[test]
fn accounts_sign_in_both_directions() {
    let (desk, partner) = (Desk::new(), Partner::start(0));
    let (secret, address) = account();
    std::fs::write(desk.path().join("ensuro.key"), signature::hex(secret.expose())).unwrap();
    let notify = partner.receiver.url();
    let sandbox = desk.start(&["--notify", &notify, "--delay", "0s", "--signer", &address, "--key-file", "ensuro.key"]);
    let body = wanted("100", 30).to_string();
    let signed = eip191::sign(secret.expose(), body.as_bytes());
    let headers = [("x-api-key", sandbox.api_key.as_str()), ("x-eip191-signature", &signed)];
    sandbox.api.ask("POST", "/new-policy", &headers, body.as_bytes()).expect(200);
    let received = partner.received(1).remove(0);
    let signature = received.header(signature::EIP191_HEADER).expect("signed by an account");
    assert_eq!(eip191::recover(signature, &received.body).unwrap().to_string(), address);
}
