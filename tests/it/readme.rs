//! The README tells the truth: its quick start runs as it stands, and what it says holds a promise is a test.

mod api;
mod proof;
mod workbench;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("there is a README")
}

/// What stands under a heading.
fn chapter(name: &str) -> String {
    let readme = readme();
    let text = readme.split(&format!("\n## {name}\n")).nth(1).and_then(|rest| rest.split("\n## ").next());
    text.unwrap_or_else(|| panic!("there is no chapter {name}")).to_owned()
}

/// The shell blocks of the quick start, in order.
fn quick_start() -> Vec<String> {
    let chapter = chapter("Quick start");
    chapter.split("```sh\n").skip(1).map(|block| block.split("\n```").next().unwrap().to_owned()).collect()
}

/// A shell that runs a script of the README in `folder`, with this postrider; at its end it kills what stands in the files
/// `NAME.pid`.
fn shell(folder: &Path, script: &str, started: &[&str]) -> Command {
    let files: Vec<String> = started.iter().map(|name| format!("{name}.pid")).collect();
    let stop = format!("for file in {}; do kill -9 \"$(cat $file)\" 2>/dev/null || true; done", files.join(" "));
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_postrider"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("timeout");
    command.args(["90", "bash", "-c", &format!("set -e\ntrap '{stop}' EXIT\n{script}")]);
    command.current_dir(folder).env("PATH", path).env("HOME", folder);
    command
}

fn has_python() -> bool {
    Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Takes 35 s of real time, for the first retry of the real schedule comes after 30 s and not before.
#[test]
fn the_quick_start_works_as_it_is_written() {
    assert!(has_python(), "the receiver of the quick start is Python: install python3");
    let blocks = quick_start();
    assert_eq!(blocks.len(), 5, "{blocks:#?}");
    let folder = tempfile::tempdir().unwrap();
    // A port of its own: the tests of somebody else may hold 3000.
    let port = || crate::receivers::free_port().to_string();
    let (receiver, api) = (port(), port());
    let script = blocks.join("\necho '-- next block'\n").replace("3000", &receiver).replace("8787", &api);
    let mut command = shell(folder.path(), &script, &["serve", "receiver"]);
    let output = command.env("POSTRIDER_API_LISTEN", format!("127.0.0.1:{api}")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = fs::read_to_string(folder.path().join("serve.log")).unwrap_or_default();
    let all = format!("{told}\n--\n{}\n--\n{log}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{all}");
    let parts: Vec<&str> = told.split("-- next block").collect();
    assert!(parts[1].contains("attempt 1: accepted 200"), "{all}");
    assert!(parts[2].contains("\"event\":\"policy-811-failed\""), "{all}");
    assert!(parts[3].contains("is pending. Attempt 1 of 11") && parts[3].contains("connection refused"), "{all}");
    let delivered = |line: &str| line.starts_with("dlv_3 ") && line.contains("delivered") && line.contains("2/11");
    assert!(parts[4].lines().any(delivered), "{all}");
    let received = fs::read_to_string(folder.path().join("receiver.log")).unwrap();
    assert_eq!(received.matches("signature good").count(), 3, "{received}");
    // Not early: 30 s between the end of the first attempt and the second, whatever was killed in between.
    let shown = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(["show", "policy-812-failed", "--json"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let attempts = &shown["deliveries"][0]["attempts"];
    let time = |value: &serde_json::Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let waited = time(&attempts[1]["started_at"]) - time(&attempts[0]["finished_at"]);
    assert!((30_000..33_000).contains(&waited), "the retry came {waited} ms after the failure");
}

#[test]
fn what_holds_a_promise_is_a_test() {
    let chapter = chapter("Promises");
    let mut tests = String::new();
    gather(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"), &mut tests);
    let rows: Vec<&str> = chapter.lines().filter(|line| line.starts_with("| **")).collect();
    assert_eq!(rows.len(), 8, "the eight promises");
    for row in rows {
        let holder = row.trim_end_matches(" |").rsplit('`').nth(1).expect("a test");
        assert!(tests.contains(&format!("fn {holder}(")), "there is no test {holder}");
    }
}

#[test]
fn every_verb_of_the_program_stands_in_the_readme() {
    let help = Command::new(env!("CARGO_BIN_EXE_postrider")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let verbs = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let readme = readme();
    for verb in verbs.lines().filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help") {
        assert!(readme.contains(&format!("`{verb}")), "the README does not tell of {verb}");
    }
}

fn gather(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => gather(&path, into),
            false => into.push_str(&fs::read_to_string(&path).unwrap()),
        }
    }
}
