//! The README's chapter on the HTTP API: its commands and clients run as they stand, and its tables name all that there is.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use postrider::api::problem::Kind;

use super::{chapter, readme};
use crate::api::Stand;
use crate::process::harness::{PATIENCE, wait_for};
use crate::receivers::{Answer, Receiver};

/// The blocks of the chapter in this language, in order.
fn blocks(language: &str) -> Vec<String> {
    let chapter = chapter("HTTP API");
    let begin = format!("```{language}\n");
    chapter.split(begin.as_str()).skip(1).map(|block| block.split("\n```").next().unwrap().to_owned()).collect()
}

/// Runs a program of the README against this daemon and this receiver, within a minute.
fn run(stand: &Stand, receiver: &Receiver, program: &[&str], text: &str) -> Output {
    let text = text.replace("127.0.0.1:8787", stand.api.host());
    let text = text.replace("127.0.0.1:3000", &format!("127.0.0.1:{}", receiver.port()));
    let file = stand.home.path().join("program");
    std::fs::write(&file, text).unwrap();
    Command::new("timeout").arg("60").args(program).arg(&file).current_dir(stand.home.path()).output().unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

fn well() -> Receiver {
    Receiver::start(|_| Answer::status(200))
}

fn with_shop(receiver: &Receiver) -> Stand {
    let stand = Stand::new();
    let shop = format!(r#"{{"name":"shop","url":"{}","profile":"standard"}}"#, receiver.url());
    stand.api.post("/v1/endpoints", &shop).expect(201);
    stand
}

#[test]
fn the_commands_work_as_they_are_written() {
    let receiver = well();
    let stand = Stand::new();
    let blocks = blocks("sh");
    assert_eq!(blocks.len(), 3, "{blocks:#?}");
    let first = said(&run(&stand, &receiver, &["bash", "-e"], &blocks[0]));
    assert!(first.contains("whsec_") && first.contains("\"again\":false") && first.contains("dlv_1"), "{first}");
    let raw = said(&run(&stand, &receiver, &["bash", "-e"], &blocks[1]));
    assert!(raw.contains("\"invoice-7\""), "{raw}");
    let batch = said(&run(&stand, &receiver, &["bash", "-e", "-o", "pipefail"], &blocks[2]));
    assert_eq!(batch.matches("\"status\":\"accepted\"").count(), 2, "{batch}");
    let requests = receiver.wait_for(4, PATIENCE);
    let body = |id: &str| {
        let found = requests.iter().find(|request| request.header("webhook-id") == Some(id));
        String::from_utf8(found.unwrap_or_else(|| panic!("{id} did not arrive")).body.clone()).unwrap()
    };
    assert_eq!(body("order-812-paid"), r#"{"order": 812, "total": 99.90}"#);
    assert_eq!(body("invoice-7"), r#"<invoice number="7"/>"#);
    stand.stop();
}

#[test]
fn the_python_client_works_as_it_is_written() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/python");
    assert!(python.exists(), "there is no target/tools/bin/python: ./tests/run installs it");
    runs("python", &[python.to_str().unwrap()], "order-813-paid");
}

#[test]
fn the_node_client_works_as_it_is_written() {
    let there = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(there, "there is no node: ./tests/run installs it");
    runs("js", &["node"], "order-814-paid");
}

/// Once, and again: the same event.
fn runs(language: &str, program: &[&str], event: &str) {
    let receiver = well();
    let stand = with_shop(&receiver);
    let blocks = blocks(language);
    assert_eq!(blocks.len(), 1, "{blocks:#?}");
    for _ in 0..2 {
        assert_eq!(said(&run(&stand, &receiver, program, &blocks[0])).trim(), event);
    }
    wait_for("its delivery", PATIENCE, || (stand.home.counts().delivered == 1).then_some(()));
    assert_eq!(receiver.requests().len(), 1);
    // What is refused for good is told at once.
    stand.api.ask("DELETE", "/v1/endpoints/shop", &[], b"").expect(200);
    let refused = run(&stand, &receiver, program, &blocks[0].replace(event, "another"));
    assert!(!refused.status.success(), "{refused:?}");
    stand.stop();
}

#[test]
fn its_tables_name_every_route_problem_and_metric() {
    let receiver = well();
    let stand = with_shop(&receiver);
    let chapter = chapter("HTTP API");
    let document = stand.api.get("/openapi.json").expect(200);
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(chapter.contains(&format!("{path}`")), "{path} is not in the README");
    }
    for kind in Kind::ALL {
        let status = kind.status().as_u16().to_string();
        let row = chapter.lines().find(|line| line.starts_with("| ") && line.contains(&format!("`{}`", kind.name())));
        let row = row.unwrap_or_else(|| panic!("{} is not in the README", kind.name()));
        assert!(row.split('|').nth(1).unwrap().contains(&status), "{} has the status {status}", kind.name());
    }
    stand.api.post("/v1/events", r#"{"id":"one","type":"a","endpoint":"shop","body":1}"#).expect(201);
    wait_for("its delivery", PATIENCE, || (stand.home.counts().delivered == 1).then_some(()));
    stand.api.post("/v1/endpoints/shop/pause", "").expect(200);
    stand.api.post("/v1/events", r#"{"id":"two","type":"a","endpoint":"shop","body":1}"#).expect(201);
    let shown = |text: &str| {
        let families =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).filter_map(|line| line.split(' ').next());
        families.filter(|name| name.starts_with("postrider_")).map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let families = wait_for("all families", PATIENCE, || {
        let families = shown(&stand.api.get("/metrics").text());
        families.contains("postrider_lane_pending").then_some(families)
    });
    let word = |place: usize| {
        let name = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_';
        chapter[place..].chars().take_while(name).collect::<String>()
    };
    let told: BTreeSet<String> = chapter.match_indices("postrider_").map(|(place, _)| word(place)).collect();
    assert_eq!(told, families);
    stand.stop();
}

#[test]
fn its_settings_are_settings() {
    let readme = readme();
    let shown = Command::new(env!("CARGO_BIN_EXE_postrider")).args(["config", "show"]).env_clear().output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    for text in readme.split('`').filter(|text| text.starts_with("api.") || text.starts_with("store.max")) {
        assert!(shown.contains(text), "{text} is no setting");
    }
}
