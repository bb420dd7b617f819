//! A request of Octamile's changes its status once, its webhook fires on that change, and everything else is refused.

use super::request::{Asked, Request, read};
use super::*;
use crate::sandbox::world::tests::{Story, settings};
use crate::sandbox::world::{Command as Any, Done, Settings};
use crate::time::Span;

const HOOK: &str = "https://partner.example/octamile";

fn story(decide: Decide) -> (Story, String) {
    let mut story = Story::new(Settings { decide, ..settings() });
    let registered = story.at(Span::ZERO, Any::Octamile(Command::Register {})).unwrap();
    let consumer = registered.answer["id"].as_str().unwrap().to_owned();
    (story, consumer)
}

fn insure(story: &mut Story, consumer: &str, id: &str, web_hook: Option<&str>) -> Result<Done, Refusal> {
    let (consumer, id) = (consumer.to_owned(), id.to_owned());
    let web_hook = web_hook.map(str::to_owned);
    let asked = Insure { consumer, product: "vhcl-tprt-1111".to_owned(), id, web_hook };
    story.at(Span::from_seconds(1), Any::Octamile(Command::Insure(asked)))
}

fn approve(story: &mut Story, id: &str) -> Result<Done, Refusal> {
    let command = Command::Approve { id: id.to_owned(), certificate: None };
    story.at(Span::from_seconds(5), Any::Octamile(command))
}

fn decline(story: &mut Story, id: &str, note: &str) -> Result<Done, Refusal> {
    let command = Command::Decline { id: id.to_owned(), note: note.to_owned() };
    story.at(Span::from_seconds(5), Any::Octamile(command))
}

fn status(story: &Story, consumer: &str, id: &str) -> Value {
    let named = Named { consumer: consumer.to_owned(), product: "vhcl-tprt-1111".to_owned(), id: id.to_owned() };
    story.world.octamile.status(&named).unwrap()
}

#[test]
fn a_consumer_has_32_characters_and_a_uuid() {
    let (mut story, consumer) = story(Decide::ByHand);
    assert!(consumer.len() == 32 && consumer.bytes().all(|b| b.is_ascii_hexdigit()), "{consumer}");
    let again = story.at(Span::ZERO, Any::Octamile(Command::Register {})).unwrap().answer;
    assert_eq!(again["id_uuid"].as_str().unwrap().replace('-', ""), again["id"].as_str().unwrap());
    assert_ne!(again["id"], consumer);
    insure(&mut story, &"0a".repeat(16), "order-1", Some(HOOK)).expect("an id from elsewhere will do");
}

#[test]
fn an_approval_fires_once_and_is_polled_as_such() {
    let (mut story, consumer) = story(Decide::ByHand);
    let asked = insure(&mut story, &consumer, "order-17", Some(HOOK)).unwrap();
    assert_eq!((&asked.answer["exctnFdbck"]["id"], &asked.notification), (&json!("75"), &None));
    assert_eq!(status(&story, &consumer, "order-17"), json!({"exctnFdbck": {"id": "75"}, "status": "p", "note": ""}));
    let approved = approve(&mut story, "order-17").unwrap().notification.unwrap();
    assert_eq!((approved.event_type, &approved.to), ("policy/approved", &To::WebHook(HOOK.to_owned())));
    let body: Value = serde_json::from_slice(&approved.body).unwrap();
    assert_eq!(
        (&body["product"], &body["consumerId"], &body["trnsctnId"], &body["crtfctType"]),
        (&json!("vhcl-tprt-1111"), &json!(consumer), &json!("order-17"), &json!("pdf"))
    );
    let polled = status(&story, &consumer, "order-17");
    assert_eq!((&polled["status"], &polled["tmstmp"]), (&json!("a"), &json!("2026-11-25 12:00:05")));
    let again = approve(&mut story, "order-17").unwrap_err();
    let once = "order-17 was approved at 2026-11-25T12:00:05.000Z; its status changes once and its webhook fires once";
    assert_eq!(again, Refusal::Conflict(once.to_owned()));
    assert_eq!(decline(&mut story, "order-17", "late").unwrap_err(), again);
}

#[test]
fn a_decline_says_why() {
    let (mut story, consumer) = story(Decide::ByHand);
    insure(&mut story, &consumer, "order-18", Some(HOOK)).unwrap();
    assert!(matches!(decline(&mut story, "order-18", " "), Err(Refusal::Conflict(text)) if text.contains("note")));
    let declined = decline(&mut story, "order-18", "The chassis number is unknown").unwrap().notification.unwrap();
    let body: Value = serde_json::from_slice(&declined.body).unwrap();
    assert_eq!((&body["status"], &body["statusNote"]), (&json!("d"), &json!("The chassis number is unknown")));
    let polled = status(&story, &consumer, "order-18");
    assert_eq!((&polled["status"], &polled["note"]), (&json!("d"), &json!("The chassis number is unknown")));
    assert!(matches!(approve(&mut story, "order-18"), Err(Refusal::Conflict(_))));
}

#[test]
fn without_a_webhook_nothing_is_sent() {
    let (mut story, consumer) = story(Decide::ByHand);
    insure(&mut story, &consumer, "quiet", None).unwrap();
    assert_eq!(approve(&mut story, "quiet").unwrap().notification, None);
    assert_eq!(status(&story, &consumer, "quiet")["status"], "a");
}

#[test]
fn repetitions_and_what_is_not_there_are_refused() {
    let (mut story, consumer) = story(Decide::ByHand);
    insure(&mut story, &consumer, "order-17", Some(HOOK)).unwrap();
    let again = insure(&mut story, &consumer, "order-17", Some(HOOK)).unwrap_err();
    assert!(again.text().contains("in use by another insurance request"), "{again:?}");
    assert!(matches!(approve(&mut story, "order-99"), Err(Refusal::Unknown(_))));
    let other = Named { consumer, product: "vhcl-cmpr-1111".to_owned(), id: "order-17".to_owned() };
    assert!(matches!(story.world.octamile.status(&other), Err(Refusal::Unknown(_))));
}

#[test]
fn time_decides_what_nobody_decided() {
    let wait = Span::from_seconds(30);
    for (decide, letter) in [(Decide::ApproveAfter { wait }, "a"), (Decide::DeclineAfter { wait }, "d")] {
        let (mut story, consumer) = story(decide);
        insure(&mut story, &consumer, "by-hand", Some(HOOK)).unwrap();
        insure(&mut story, &consumer, "by-time", Some(HOOK)).unwrap();
        decline(&mut story, "by-hand", "no").unwrap();
        assert_eq!(story.until(Span::from_ms(30_999)), []);
        let told = story.until(Span::from_seconds(31));
        assert_eq!(told.len(), 1, "what was decided by hand is not decided again: {told:?}");
        assert_eq!((&told[0].1["trnsctnId"], &told[0].1["status"]), (&json!("by-time"), &json!(letter)));
        assert_eq!(story.world.due(), None);
    }
    let (mut story, consumer) = story(Decide::ByHand);
    insure(&mut story, &consumer, "waits", Some(HOOK)).unwrap();
    assert_eq!(story.until(Span::from_hours(24 * 365)), []);
}

#[test]
fn a_given_certificate_goes_out_as_it_is() {
    let (mut story, consumer) = story(Decide::ByHand);
    for (kind, id) in Kind::ALL.into_iter().zip(["one", "two", "three"]) {
        insure(&mut story, &consumer, id, Some(HOOK)).unwrap();
        let file = certificate(kind, 4000, &[]);
        let certificate = Some(File::of(&file).unwrap());
        let command = Command::Approve { id: id.to_owned(), certificate };
        let sent = story.at(Span::from_seconds(9), Any::Octamile(command)).unwrap().notification.unwrap();
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body["crtfctType"], kind.as_str());
        assert_eq!(STANDARD.decode(body["crtfct"].as_str().unwrap()).unwrap(), file);
    }
    assert!(File::of(b"GIF89a").unwrap_err().contains("jpg, png or pdf"));
}

fn asked(command: &str, seed: Value) -> Result<Asked, String> {
    let body =
        json!({"userInfo": {"id": "a", "athrzt": {"id": "b", "key": "c"}}, "cmmnd": {"cmmnd": command, "seed": seed}});
    read(body.to_string().as_bytes()).map(|Request { asked, .. }| asked)
}

#[test]
fn the_four_steps_are_read_as_the_quickstart_writes_them() {
    let consumer = "a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4";
    let product = "vhcl-tprt-1111".to_owned();
    assert_eq!(
        asked("dump ipck_vhcl-tprt-1111*PRMM", json!({"insrncDrtn": "1y"})),
        Ok(Asked::Premium { product: product.clone() })
    );
    assert_eq!(asked("prfl entity", json!({"name": {"first": "Ada"}})), Ok(Asked::Register));
    let seed = |hook: Value| json!({"ctgry": "vhcl", "type": "tprt", "pckg": "1111", "id": "order-17-b", "addtnlFact": {"brand": "Toyota", "webHook": hook}});
    let web_hook = Some(HOOK.to_owned());
    let insure =
        Insure { consumer: consumer.to_owned(), product: product.clone(), id: "order-17-b".to_owned(), web_hook };
    assert_eq!(asked(&format!("entt_{consumer}: insure"), json!(seed(json!(HOOK)))), Ok(Asked::Insure(insure.clone())));
    let as_uuid = "a1b2c3d4-e5f6-a1b2-c3d4-e5f6a1b2c3d4";
    assert_eq!(asked(&format!("entt_{as_uuid}: insure"), json!(seed(json!(HOOK)))), Ok(Asked::Insure(insure)));
    let named = Named { consumer: consumer.to_owned(), product, id: "order-17-b".to_owned() };
    let poll = format!("dump entt_{consumer}|insr_vhcl-tprt-1111-order-17-b*STATUS");
    assert_eq!(asked(&poll, json!({})), Ok(Asked::Status(named)));
}

#[test]
fn what_is_wrong_is_named() {
    let consumer = format!("entt_{}: insure", "a".repeat(32));
    let seed = |change: fn(&mut Value)| {
        let mut seed = json!({"ctgry": "vhcl", "type": "tprt", "pckg": "1111", "id": "order-17", "addtnlFact": {}});
        change(&mut seed);
        seed
    };
    let told: [(&str, Value, &str); 11] = [
        ("dance", json!({}), "unsupported request"),
        ("entt_short: insure", json!({}), "a consumer's id of 32 letters and digits"),
        ("dump ipck_vhcl*PRMM", json!({}), "a product is CTGRY-TYPE-PCKG"),
        (&consumer, json!({}), "cmmnd.seed.ctgry is missing"),
        (&consumer, seed(|seed| seed["pckg"] = json!(1111)), "cmmnd.seed.pckg must be a string"),
        (&consumer, seed(|seed| seed["id"] = json!("../../etc/passwd")), "cmmnd.seed.id must be safe as a file's name"),
        (&consumer, seed(|seed| seed["addtnlFact"] = json!([])), "cmmnd.seed.addtnlFact must be an object, not a list"),
        (&consumer, seed(|seed| seed["addtnlFact"] = json!({"webHook": 7})), "webHook must be a URL"),
        (&consumer, seed(|seed| seed["addtnlFact"] = json!({"webhook": "x"})), "is \"webhook\" meant to be it?"),
        ("dump entt_x|insr_vhcl-tprt*STATUS", json!({}), "must be insr_CTGRY-TYPE-PCKG-ID"),
        ("prfl entity", json!("x"), "cmmnd.seed must be an object"),
    ];
    for (command, seed, words) in told {
        let said = asked(command, seed).unwrap_err();
        assert!(said.contains(words), "{command}: {said}");
    }
    for (body, words) in [
        ("", "empty"),
        ("{", "not JSON"),
        ("[]", "no object"),
        ("{}", "cmmnd is missing"),
        ("{\"cmmnd\":{}}", "cmmnd.cmmnd is missing"),
    ] {
        let said = read(body.as_bytes()).unwrap_err();
        assert!(said.contains(words), "{body}: {said}");
    }
}
