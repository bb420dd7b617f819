//! `postrider demo` as somebody runs it who has just got the program: it promises to end within a minute.
//! The one test that waits for real time, as that is what is promised; the process has 90 s before it is killed.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A run that does not outlive its test.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        // Fails only if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In a folder where there is no configuration and no store, with its temporary files in there too.
fn demo(folder: &Path, arguments: &[&str]) -> Demo {
    demo_on(folder, arguments, Stdio::piped())
}

fn demo_on(folder: &Path, arguments: &[&str], stdout: Stdio) -> Demo {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.arg("demo").args(arguments).current_dir(folder);
    command.env_clear().env("TMPDIR", folder).env("HOME", folder);
    Demo(command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap())
}

/// What it wrote to stdout, which must fit into a pipe until it has ended, and its exit status.
fn ended_within(demo: &mut Demo, limit: Duration) -> (String, Option<i32>) {
    let began = Instant::now();
    let status = loop {
        match demo.0.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(began.elapsed() < limit, "it did not end within {limit:?}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut written = String::new();
    if let Some(mut stdout) = demo.0.stdout.take() {
        stdout.read_to_string(&mut written).unwrap();
    }
    (written, status.code())
}

fn rows<'a>(document: &'a Value, receiver: &str) -> Vec<&'a Value> {
    let rows = document["deliveries"].as_array().unwrap();
    rows.iter().filter(|row| row["receiver"] == receiver).collect()
}

fn types(rows: &[&Value]) -> Vec<String> {
    rows.iter().map(|row| row["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn everything_ends_as_it_should_within_a_minute_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let (written, exit) = ended_within(&mut demo(folder.path(), &["--json"]), Duration::from_secs(90));
    let took = began.elapsed();
    let document: Value = serde_json::from_str(&written).unwrap_or_else(|_| panic!("{exit:?}: {written}"));
    assert_eq!(exit, Some(0), "{document:#}");
    assert_eq!(document["ok"], true, "{document:#}");
    assert!(took < Duration::from_secs(60), "it took {took:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");

    let ensuro = postrider::provider::ensuro::TYPES;
    for receiver in ["hmac", "eip191"] {
        let rows = rows(&document, receiver);
        assert_eq!(types(&rows), ensuro);
        for row in rows {
            assert_eq!(row["profile"], "ensuro");
            assert_eq!(row["schemes"], serde_json::json!([receiver]));
            assert_eq!((&row["state"], &row["attempts"]), (&"delivered".into(), &1.into()), "{row}");
            assert_eq!((&row["verified"], &row["byte_exact"]), (&true.into(), &true.into()), "{row}");
        }
    }
    let octamile = rows(&document, "octamile");
    assert_eq!(types(&octamile), postrider::provider::octamile::TYPES);
    for row in octamile {
        assert_eq!((&row["state"], &row["attempts"]), (&"delivered".into(), &1.into()), "{row}");
        assert_eq!((&row["verified"], &row["byte_exact"]), (&Value::Null, &true.into()), "{row}");
    }
    let [standard] = rows(&document, "standard")[..] else { panic!("{document:#}") };
    assert_eq!(standard["schemes"], serde_json::json!(["v1", "v1a"]));
    assert_eq!((&standard["verified"], &standard["byte_exact"]), (&true.into(), &true.into()));
    let [flaky] = rows(&document, "flaky")[..] else { panic!("{document:#}") };
    assert_eq!(flaky["state"], "delivered");
    assert_eq!(flaky["outcomes"], serde_json::json!(["rejected", "rejected", "accepted"]));
    assert_eq!((&flaky["verified"], &flaky["byte_exact"]), (&true.into(), &true.into()));
    let [hangs] = rows(&document, "hangs")[..] else { panic!("{document:#}") };
    assert_eq!(hangs["state"], "dead");
    assert_eq!(hangs["outcomes"], Value::from(vec!["timed out"; 11]));
    assert_eq!((&hangs["verified"], &hangs["byte_exact"]), (&Value::Null, &Value::Null));
    assert_eq!(document["deliveries"].as_array().unwrap().len(), 2 * 8 + 2 + 3, "{document:#}");
    assert!(document["deliveries"].as_array().unwrap().iter().all(|row| row["as_expected"] == true));
}

/// Interrupts it once it listens for signals, which is before it makes its store.
fn interrupt(demo: &Demo, folder: &Path) {
    let began = Instant::now();
    while std::fs::read_dir(folder).unwrap().flatten().all(|made| !made.path().join("postrider.db").exists()) {
        assert!(began.elapsed() < Duration::from_secs(30), "it made no store");
        std::thread::sleep(Duration::from_millis(20));
    }
    let process = rustix::process::Pid::from_child(&demo.0);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
}

#[test]
fn a_signal_ends_it_at_once_and_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = demo(folder.path(), &[]);
    interrupt(&demo, folder.path());
    let (written, exit) = ended_within(&mut demo, Duration::from_secs(10));
    assert_eq!(exit, Some(1), "{written}");
    assert!(written.contains("interrupted"), "{written}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn its_exit_status_is_true_even_if_nobody_reads_the_summary() {
    for flags in [&[][..], &["--json"]] {
        let folder = tempfile::tempdir().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut demo = demo_on(folder.path(), flags, writer.into());
        interrupt(&demo, folder.path());
        let (_, exit) = ended_within(&mut demo, Duration::from_secs(10));
        assert_eq!(exit, Some(1), "it was interrupted, so nothing is proven");
    }
}
