//! The daemon delivers, and somebody else's cryptography finds what it sends genuine: every type, every scheme, in the first
//! attempt and in later ones, and while a key changes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postrider::provider::octamile;
use postrider::signature;
use serde_json::{Value, json};

use super::{APPS, App, NEXT_V1, PUBLIC, Place, SIGNER, V1A, samples, terms};
use crate::process::harness::{Daemon, PATIENCE, wait_for};

/// With a port of its own for the API, and a log that the daemon's harness reads.
fn serve(place: &Place) -> Daemon {
    let mut command = place.command("serve");
    command.env("POSTRIDER_API_LISTEN", "127.0.0.1:0").env("POSTRIDER_LOG_FORMAT", "json");
    let daemon = Daemon::spawn(command);
    daemon.wait_for_line("started");
    daemon
}

/// As `ensuro.js` is called in postrider: `ensuro-js`.
fn add(place: &Place, app: &App, more: &str) -> String {
    let name = app.name.replace('.', "-");
    place.done(&format!("endpoint add {name} {} --profile {}{more}", app.url(), terms(&app.name)));
    name
}

fn hash(body: &[u8]) -> Value {
    signature::hex(&signature::digest(body)).into()
}

#[test]
fn every_notification_is_found_genuine_by_express_and_by_flask() {
    let place = Place::new();
    let apps = APPS.map(|name| App::start(name, &place, &[]));
    for app in &apps {
        add(&place, app, "");
    }
    let daemon = serve(&place);
    let all = samples();
    for (event_type, body) in &all {
        place.write("body.json", body);
        // Status 0 of it: each app that is owed this type answered as its provider's contract wants.
        place.done(&format!("enqueue --type {event_type} --wait --wait-timeout 30s body.json"));
    }
    daemon.stop();
    for app in apps {
        let told = |request: &Value| (request["verified"].clone(), request["sha256"].clone());
        let is_octamile = |name: &str| octamile::TYPES.contains(&name);
        let wanted: Vec<_> = all
            .iter()
            .filter(|(event_type, _)| match terms(&app.name).split(' ').next().unwrap() {
                "octamile" => is_octamile(event_type),
                "ensuro" => !is_octamile(event_type),
                _ => true,
            })
            .map(|(_, body)| (if app.name.starts_with("octamile") { Value::Null } else { true.into() }, hash(body)))
            .collect();
        let requests = app.wait_for(wanted.len());
        assert_eq!(requests.iter().map(told).collect::<Vec<_>>(), wanted, "{}: {requests:#?}", app.name);
        app.stop();
    }
    let (_, approved) = all.iter().find(|(name, _)| *name == "policy/approved").unwrap();
    let notice: Value = serde_json::from_slice(approved).unwrap();
    let text = |field: &str| notice[field].as_str().unwrap();
    let certificate = STANDARD.decode(text("crtfct")).unwrap();
    for app in ["octamile.js", "octamile.py"] {
        let saved = place.saved(app).join(format!("{}.{}", text("trnsctnId"), text("crtfctType")));
        let is_whole = || std::fs::read(&saved).is_ok_and(|bytes| bytes == certificate);
        wait_for("the certificate", PATIENCE, || is_whole().then_some(()));
        assert_eq!(std::fs::read_dir(place.saved(app)).unwrap().count(), 1, "nothing of the policy that was declined");
    }
}

#[test]
fn ethers_and_eth_account_recover_the_signer_that_postrider_shows() {
    let place = Place::new();
    for name in ["eip191.js", "eip191.py"] {
        let app = App::start(name, &place, &[]);
        let endpoint = add(&place, &app, "");
        let shown = place.json(&format!("endpoint show {endpoint}"));
        assert_eq!(shown["keys"][0]["public"], SIGNER, "{shown:#}");
        place.done(&format!("endpoint test {endpoint}"));
        assert_eq!(app.wait_for(1)[0]["signer"], SIGNER);
        // Somebody else's key is a good signature of somebody else.
        place.write("other-key", "0000000000000000000000000000000000000000000000000000000000000003");
        place.done(&format!("endpoint rotate {endpoint} --key-file other-key"));
        let other = place.json(&format!("endpoint show {endpoint}"))["keys"][0]["public"].clone();
        assert_eq!(place.run(&format!("endpoint test {endpoint}")).status.code(), Some(1));
        let refused = &app.wait_for(2)[1];
        assert_eq!(
            (&refused["signer"], &refused["verified"], &refused["status"]),
            (&other, &false.into(), &403.into())
        );
        app.stop();
    }
}

#[test]
fn node_itself_verifies_ed25519_with_the_key_that_postrider_shows() {
    let place = Place::new();
    let app = App::start("ed25519.js", &place, &[]);
    // The shared secret beside it makes a signature of which the app knows nothing.
    place.done(&format!("endpoint add shop {} --profile {} --secret-file v1", app.url(), terms(&app.name)));
    let shown = place.json("endpoint show shop");
    let publics: Vec<_> = shown["keys"].as_array().unwrap().iter().filter_map(|key| key["public"].as_str()).collect();
    assert_eq!(publics, [PUBLIC], "{shown:#}");
    place.done("endpoint test shop --type order.paid");
    let other = V1A.replace("whsk_AAEC", "whsk_AAED");
    place.write("v1a", other);
    place.done("endpoint rotate shop --key-file v1a --overlap 0s");
    assert_eq!(place.run("endpoint test shop --type order.paid").status.code(), Some(1));
    let told: Vec<_> = app.wait_for(2).iter().map(|one| one["verified"].clone()).collect();
    assert_eq!(told, [true, false]);
}

#[test]
fn what_is_sent_again_is_as_genuine_as_the_first_time() {
    let place = Place::new();
    let names = ["ensuro.js", "ensuro.py", "eip191.js", "eip191.py", "standard.js", "standard.py"];
    let apps = names.map(|name| App::start(name, &place, &[("FAIL_FIRST", "2")]));
    for app in &apps {
        add(&place, app, " --schedule 50ms,50ms");
    }
    let daemon = serve(&place);
    let (event_type, body) = &samples()[0];
    place.write("body.json", body);
    place.done(&format!("enqueue --type {event_type} --wait --wait-timeout 30s body.json"));
    daemon.stop();
    for app in apps {
        let requests = app.wait_for(3);
        let told = |request: &Value| json!([request["status"], request["verified"], request["sha256"]]);
        let wanted = [500, 500, 200].map(|status| json!([status, true, hash(body)]));
        assert_eq!(requests.iter().map(told).collect::<Vec<_>>(), wanted, "{}", app.name);
    }
}

#[test]
fn while_a_secret_changes_the_official_packages_take_the_old_and_the_new() {
    let place = Place::new();
    for name in ["standard.js", "standard.py"] {
        let before = App::start(name, &place, &[]);
        let next = place.path("next-v1");
        let after = App::start(name, &place, &[("SECRET_FILE", next.to_str().unwrap())]);
        let endpoint = add(&place, &before, "");
        let send = || place.run(&format!("endpoint test {endpoint} --type order.paid")).status.code();
        let at = |app: &App| place.done(&format!("endpoint edit {endpoint} --url {}", app.url()));
        assert_eq!(send(), Some(0));
        at(&after);
        assert_eq!(send(), Some(1), "{NEXT_V1} is not in use yet");
        place.done(&format!("endpoint rotate {endpoint} --secret-file next-v1"));
        assert_eq!(send(), Some(0));
        at(&before);
        assert_eq!(send(), Some(0));
        let told = |app: &App| {
            let requests = app.wait_for(2);
            requests.iter().map(|one| json!([one["verified"], one["signatures"]])).collect::<Vec<_>>()
        };
        assert_eq!(told(&before), [json!([true, 1]), json!([true, 2])]);
        assert_eq!(told(&after), [json!([false, 1]), json!([true, 2])]);
    }
}
