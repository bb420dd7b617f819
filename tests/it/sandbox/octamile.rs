//! The four steps of Octamile's quickstart, and the webhook that fires on the change alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::harness::{Desk, Partner, stderr};

fn body(request: &crate::receivers::Received) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn the_whole_purchase_flow_runs_offline() {
    let (desk, partner) = (Desk::new(), Partner::start(0));
    let sandbox = desk.start(&["--by-hand"]);
    let priced = sandbox.octamile("dump ipck_vhcl-tprt-1111*PRMM", json!({"insrncDrtn": "1y"}));
    assert!(priced["exctnFdbck"]["id"] == "75" && priced["prmm"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    let consumer = sandbox.register();
    let hook = partner.receiver.url();
    for id in ["order-17", "order-18"] {
        assert_eq!(sandbox.insure(&consumer, id, &hook), json!({"exctnFdbck": {"id": "75"}}));
        assert_eq!(sandbox.poll(&consumer, id)["status"], "p");
    }
    let approved = desk.controlled(&sandbox, &["approve", "order-17"]);
    assert!(approved["status"] == "approved" && approved["event"].is_string(), "{approved}");
    let told = body(&partner.received(1)[0]);
    assert_eq!(
        (&told["trnsctnId"], &told["status"], &told["consumerId"]),
        (&json!("order-17"), &json!("a"), &json!(consumer))
    );
    let certificate = STANDARD.decode(told["crtfct"].as_str().unwrap()).unwrap();
    assert!(told["crtfctType"] == "pdf" && certificate.starts_with(b"%PDF-"));
    let polled = sandbox.poll(&consumer, "order-17");
    assert!(polled["status"] == "a" && polled["tmstmp"].as_str().unwrap().len() == 19, "{polled}");
    desk.controlled(&sandbox, &["decline", "order-18", "--note", "The chassis number is unknown"]);
    let told = body(&partner.received(2)[1]);
    assert_eq!((&told["status"], &told["statusNote"]), (&json!("d"), &json!("The chassis number is unknown")));
    assert_eq!(sandbox.poll(&consumer, "order-18")["note"], "The chassis number is unknown");
}

#[test]
fn a_second_decision_and_a_second_request_are_refused_in_words() {
    let (desk, partner) = (Desk::new(), Partner::start(0));
    let sandbox = desk.start(&["--by-hand"]);
    let consumer = sandbox.register();
    sandbox.insure(&consumer, "order-17", &partner.receiver.url());
    let again = sandbox.insure(&consumer, "order-17", &partner.receiver.url());
    assert_eq!(again["exctnFdbck"]["id"], "55");
    assert!(again["exctnFdbck"]["elbrtn"].as_str().unwrap().contains("in use by another insurance request"), "{again}");
    desk.controlled(&sandbox, &["approve", "order-17"]);
    for second in [vec!["approve", "order-17"], vec!["decline", "order-17", "--note", "late"]] {
        let output = desk.control(&sandbox, &second);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("order-17 was approved at"), "{}", stderr(&output));
    }
    let output = desk.control(&sandbox, &["approve", "order-71"]);
    assert_eq!(output.status.code(), Some(66));
    assert!(stderr(&output).contains("`postrider sandbox list` shows"), "{}", stderr(&output));
    // What would have fired again has had its time: the clock goes on, and the receiver has heard once.
    desk.controlled(&sandbox, &["clock", "+1day"]);
    sandbox.wait_for("outcome", |it| it["outcome"]["state"] == "delivered");
    assert_eq!(partner.receiver.requests().len(), 1);
}

/// By the sandbox's clock: nobody waits half an hour here.
#[test]
fn time_decides_what_nobody_decides() {
    let (desk, partner) = (Desk::new(), Partner::start(0));
    std::fs::write(desk.path().join("certificate.jpg"), [b"\xff\xd8\xff\xe0".as_slice(), &[7; 900]].concat()).unwrap();
    let sandbox = desk.start(&["--approve-after", "30min", "--certificate", "certificate.jpg"]);
    let consumer = sandbox.register();
    sandbox.insure(&consumer, "order-17", &partner.receiver.url());
    assert_eq!(sandbox.poll(&consumer, "order-17")["status"], "p");
    desk.controlled(&sandbox, &["clock", "+30min"]);
    let told = body(&partner.received(1)[0]);
    assert_eq!((&told["status"], &told["crtfctType"]), (&json!("a"), &json!("jpg")));
    assert_eq!(STANDARD.decode(told["crtfct"].as_str().unwrap()).unwrap().len(), 904);
}

#[test]
fn who_asks_is_checked_if_it_is_said_who_may() {
    let desk = Desk::new();
    let auth = json!({"id": "partner", "athrzt": {"id": "authorization", "key": "another key"}});
    std::fs::write(desk.path().join("auth.json"), auth.to_string()).unwrap();
    let sandbox = desk.start(&["--octamile-auth-file", "auth.json"]);
    let refused = sandbox.octamile("prfl entity", json!({}));
    assert_eq!(refused["exctnFdbck"]["id"], "55");
    assert!(refused["exctnFdbck"]["elbrtn"].as_str().unwrap().starts_with("your authorization is not genuine"));
    let body = json!({"userInfo": auth, "cmmnd": {"cmmnd": "prfl entity", "seed": {}}});
    let taken = sandbox.api.post("/octamile", &body.to_string()).expect(200);
    assert_eq!(taken["exctnFdbck"]["id"], "75");
}
