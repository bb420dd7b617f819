//! What a person decides about deliveries: retry, cancel, replay.

use serde_json::{Value, json};

use super::Place;

fn enqueue(place: &Place, id: &str) {
    place.done(&format!("enqueue --endpoint acme --type policy/creation --id {id} body.json"));
}

fn states(place: &Place) -> Vec<String> {
    let listed = place.json("list");
    let rows = listed["deliveries"].as_array().unwrap();
    rows.iter().rev().map(|row| row["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_delivery_is_cancelled_and_retried_and_each_says_what_changed() {
    let place = Place::new().with_acme();
    place.refused(66, "cancel dlv_1", &["there is no delivery dlv_1"]);
    place.refused(66, "retry nothing", &["there is no event nothing"]);
    place.refused(65, "retry a.b", &["a delivery is dlv_ and a number"]);
    enqueue(&place, "a-1");
    assert_eq!(place.done("retry dlv_1"), "dlv_1 -> acme: due now\n");
    assert_eq!(place.done("cancel a-1"), "dlv_1 -> acme: cancelled\n");
    place.refused(1, "cancel dlv_1", &["dlv_1: it is cancelled already"]);
    assert!(place.done("why dlv_1").contains("`postrider retry dlv_1` begins its schedule anew."));
    let changed = place.json("retry a-1");
    let expected =
        json!({"deliveries": [{"delivery": "dlv_1", "endpoint": "acme", "state": "pending", "changed": true}]});
    assert_eq!(changed, expected);
    place.done("endpoint remove acme --yes");
    place.refused(1, "retry a-1", &["endpoint acme is disabled or removed"]);
}

#[test]
fn an_event_with_several_deliveries_tells_of_each() {
    let place = Place::new().with_acme();
    place.done("endpoint add other http://127.0.0.1:9/ --profile ensuro --secret-file secret");
    place.done("enqueue --type policy/creation --id a-1 body.json");
    place.done("cancel dlv_2");
    assert_eq!(
        place.done("cancel a-1"),
        "dlv_1 -> acme: cancelled\ndlv_2 -> other: unchanged: it is cancelled already\n"
    );
    place.refused(1, "cancel a-1", &["dlv_1: it is cancelled already; dlv_2: it is cancelled already"]);
    place.done("endpoint add nobody http://127.0.0.1:9/ --profile standard --secret-file v1 --subscribe a.b");
    place.run("enqueue --type c.d --id a-2 body.json");
    place.refused(1, "retry a-2", &["the event is owed to nobody"]);
}

#[test]
fn a_replay_counts_before_it_does_anything() {
    let place = Place::new().with_acme();
    (1..=3).for_each(|number| enqueue(&place, &format!("a-{number}")));
    assert_eq!(place.done("replay"), "0 dead deliveries fit: there is nothing to do\n");
    (1..=2).for_each(|number| drop(place.done(&format!("cancel dlv_{number}"))));
    let counted = place.run("replay --state cancelled");
    assert_eq!((counted.exit, counted.out.as_str()), (0, "2 cancelled deliveries fit: nothing was done\n"));
    assert_eq!(counted.err, "the same command with --yes sends them again\n");
    assert_eq!(states(&place), ["cancelled", "cancelled", "pending"]);
    let dry = place.json("replay --state cancelled --endpoint acme --type policy/* --since 1h");
    assert_eq!(dry, json!({"matched": 2, "replayed": 0, "dry_run": true}));
    assert_eq!(place.json("replay --state cancelled --until 1h")["matched"], 0);
    let done = place.run("replay --state cancelled --yes");
    assert_eq!((done.out.as_str(), done.err.as_str()), ("2 cancelled deliveries fit: 2 pending again\n", ""));
    assert_eq!(states(&place), ["pending"; 3]);
}

#[test]
fn a_replay_leaves_what_cannot_be_sent() {
    let place = Place::new().with_acme();
    enqueue(&place, "a-1");
    place.done("endpoint remove acme --yes");
    let done = place.run("replay --yes");
    assert_eq!(done.out, "1 dead delivery fits: 0 pending again\n");
    assert!(done.err.contains("1 are left as they are: their endpoint is disabled or removed"), "{}", done.err);
    place.refused(2, "replay --state pending", &["what is pending is sent anyway"]);
    place.refused(2, "replay --since yesterday", &["yesterday"]);
    place.refused(66, "replay --endpoint acne", &["there is no endpoint acne"]);
}

#[test]
fn a_token_is_printed_once_and_alone() {
    let place = Place::new();
    assert_eq!(place.run("token list").exit, 66);
    let added = place.run("token add shop --scope enqueue");
    let token = added.out.trim().to_owned();
    assert!(token.starts_with("prt_") && token.len() == 68 && added.out.lines().count() == 1, "{}", added.out);
    assert!(added.err.contains("added the token shop (enqueue); it is shown this once"), "{}", added.err);
    place.refused(65, "token add shop --scope read", &["there is a token shop already"]);
    place.refused(2, "token add ops --scope all", &["a scope is enqueue, read or admin"]);
    place.refused(65, "token add a.b --scope read", &["1 to 64 characters"]);
    assert_eq!(place.json("token add ops --scope admin")["scope"], "admin");
    let listed = place.done("token list");
    let rows: Vec<&str> = listed.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(rows, ["ops", "shop"]);
    assert!(!listed.contains(&token) && !place.json("token list").to_string().contains("prt_"));
    let file = std::fs::read(place.path("postrider.db")).unwrap();
    assert!(!file.windows(token.len()).any(|window| window == token.as_bytes()), "the store keeps a hash only");
    assert_eq!(place.done("token remove shop"), "shop removed\n");
    place.refused(66, "token remove shop", &["there is no token shop"]);
    assert_eq!(place.json("token list")["tokens"].as_array().map(Vec::len), Some(1));
}

#[test]
fn an_endpoint_is_edited_paused_resumed_and_removed() {
    let place = Place::new().with_acme();
    let edited = place.run("endpoint edit acme --url http://127.0.0.1:9/new --timeout 5s --rate 7 --header X-Team:a");
    assert_eq!((edited.exit, edited.err.as_str()), (0, "changed acme\n"));
    for line in
        ["url            http://127.0.0.1:9/new", "timeout        5 s (ensuro: 10 s)", "header         X-Team: ***"]
    {
        assert!(edited.out.lines().any(|shown| shown == line), "{line:?} in {}", edited.out);
    }
    let unset = place.json("endpoint edit acme --unset timeout,headers --concurrency 3 --subscribe policy/*");
    assert_eq!(unset["overrides"], json!(["concurrency", "rate_per_second"]), "{unset}");
    assert_eq!(unset["subscriptions"], json!(["policy/*"]));
    let all = "endpoint edit acme --unset schedule,success,signature-header,concurrency,rate,subscriptions";
    let bare = place.json(all);
    assert_eq!((&bare["overrides"], &bare["subscriptions"]), (&json!([]), &json!([])));
    place.refused(2, "endpoint edit acme", &["nothing to change is named"]);
    place.refused(2, "endpoint edit acme --rate 3 --unset rate", &["rate is both given and unset"]);
    place.refused(2, "endpoint edit acme --unset url", &["signature-header"]);
    place.refused(65, "endpoint edit acme --timeout 1h", &["the timeout must be from 100 to 30000 ms"]);
    place.refused(65, "endpoint edit acme --url http://10.0.0.1/", &["private"]);
    place.refused(66, "endpoint edit acne --rate 1", &["did you mean acme?"]);

    let paused = place.done("endpoint pause acme");
    assert!(paused.lines().nth(1).unwrap().starts_with("state          paused since 20"), "{paused}");
    enqueue(&place, "a-1");
    assert!(place.done("endpoint list").lines().nth(1).unwrap().starts_with("acme  paused since"));
    assert!(place.done("why a-1").contains("`postrider endpoint resume acme` lets it go on."));
    assert!(place.done("show a-1").contains("paused since 20"));
    assert_eq!(place.json("endpoint resume acme")["state"], "active");
    assert_eq!(place.json("endpoint resume acme")["state"], "active");
}

#[test]
fn keys_rotate_and_a_secret_that_is_made_is_printed_alone() {
    let place = Place::new();
    place.refused(
        65,
        "endpoint add shop http://127.0.0.1:9/ --profile standard",
        &["--generate-secret makes a secret"],
    );
    place.refused(65, "endpoint add b http://127.0.0.1:9/ --profile octamile --generate-secret", &["not signed"]);
    let added = place.run("endpoint add shop http://127.0.0.1:9/ --profile standard --generate-secret");
    let first = added.out.trim().to_owned();
    assert!(first.starts_with("whsec_") && added.out.lines().count() == 1, "{}", added.out);
    assert!(added.err.contains("hand it to the receiver"), "{}", added.err);
    let rotated = place.run("endpoint rotate shop --overlap 1h");
    assert!(rotated.out.starts_with("whsec_") && rotated.out.trim() != first, "{}", rotated.out);
    let shown = place.done("endpoint show shop");
    let signed: Vec<&str> = shown.lines().filter(|line| line.starts_with("signed with")).collect();
    assert_eq!(signed[0], "signed with    v1 with a shared secret");
    assert!(signed[1].starts_with("signed with    v1 with a shared secret, until 20"), "{shown}");
    let keys = place.json("endpoint show shop")["keys"].clone();
    assert!(keys[0].get("until").is_none() && keys[1]["until"].is_string(), "{keys}");
    assert!(place.done("endpoint list").lines().nth(1).unwrap().contains("standard  v1  "));
    place.done("endpoint rotate shop --secret-file v1 --overlap 0s");
    place.refused(65, "endpoint rotate shop --secret-file v1", &["has this v1 key already"]);
    place.refused(65, "endpoint rotate shop --overlap 31days", &["the overlap must be from 0 to"]);
    assert!(place.json("endpoint rotate shop")["secret"].as_str().unwrap().starts_with("whsec_"));

    let ensuro = Place::new().with_acme();
    let one: Value = ensuro.json("endpoint rotate acme --key-file key");
    assert_eq!(one["keys"].as_array().unwrap().len(), 1, "one header holds one signature: {one}");
    assert!(one.get("secret").is_none());
}
