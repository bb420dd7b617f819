//! `postrider mock` to real receivers: what it makes up is as genuine to them as what the daemon delivers.

use std::process::Command;

use postrider::provider::{ensuro, octamile};
use serde_json::Value;

use super::{APPS, App, Place, terms};

#[test]
fn one_of_each_type_is_taken_by_each_app() {
    let place = Place::new();
    for name in APPS {
        let app = App::start(name, &place, &[]);
        place.done(&format!("mock {} --all --to {}", terms(name), app.url()));
        let wanted: Vec<Value> = match terms(name).split(' ').next().unwrap() {
            "ensuro" => ensuro::TYPES.iter().map(|name| (*name).into()).collect(),
            // By their status.
            "octamile" => {
                octamile::TYPES.iter().map(|name| if name.ends_with("approved") { "a" } else { "d" }.into()).collect()
            }
            // Its bodies may be of any type, and the apps read none.
            _ => vec![Value::Null],
        };
        let requests = app.wait_for(wanted.len());
        let told = |field: &str| requests.iter().map(|one| one[field].clone()).collect::<Vec<Value>>();
        assert_eq!(told("type"), wanted, "{name}");
        let verified = if name.starts_with("octamile") { Value::Null } else { true.into() };
        assert!(told("verified").iter().all(|one| *one == verified), "{name}: {requests:#?}");
    }
}

#[test]
fn certificates_are_saved_as_files_of_their_kind() {
    let place = Place::new();
    let app = App::start("octamile.py", &place, &[]);
    for (number, (kind, begin)) in
        [("jpg", &b"\xff\xd8\xff"[..]), ("png", b"\x89PNG"), ("pdf", b"%PDF-")].into_iter().enumerate()
    {
        place.done(&format!("mock octamile approved --certificate-kind {kind} --to {}", app.url()));
        let transaction = app.wait_for(number + 1)[number]["id"].as_str().unwrap().to_owned();
        let saved = std::fs::read(place.saved("octamile.py").join(format!("{transaction}.{kind}"))).unwrap();
        assert!(saved.starts_with(begin), "{kind}");
    }
}

#[test]
fn the_schedule_is_followed_until_a_receiver_has_recovered() {
    let place = Place::new();
    let app = App::start("ensuro.js", &place, &[("FAIL_FIRST", "2")]);
    place.done(&format!("mock {} creation --retries --speed 600 --to {}", terms(&app.name), app.url()));
    let requests = app.wait_for(3);
    let told = |field: &str| requests.iter().map(|one| one[field].clone()).collect::<Vec<Value>>();
    assert_eq!(told("status"), [500, 500, 200]);
    assert_eq!(told("verified"), [true; 3]);
    assert!(told("sha256").iter().all(|one| *one == requests[0]["sha256"]), "{requests:#?}");
}

#[test]
fn the_curl_command_that_it_writes_is_as_genuine() {
    let place = Place::new();
    for name in ["ensuro.py", "eip191.js", "standard.py"] {
        let app = App::start(name, &place, &[]);
        let command = place.done(&format!("mock {} --curl --to {}", terms(name), app.url()));
        let output = Command::new("bash").arg("-c").arg(&command).current_dir(place.0.path()).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        assert_eq!(app.wait_for(1)[0]["verified"], true, "{name}: {command}");
    }
}
