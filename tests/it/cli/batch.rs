//! Many events from one file: what becomes of each line, and that the same command again stores nothing twice.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Answer, Place};

fn shop() -> Place {
    let place = Place::new();
    place.done("endpoint add shop http://127.0.0.1:9/ --profile standard --secret-file v1");
    place
}

fn results(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_line_is_told_of_and_a_bad_one_spoils_no_other() {
    let place = shop();
    let lines = [
        r#"{"id":"a-1","type":"order.paid","body":{ "n" : 1.0 }}"#,
        "",
        "{",
        r#"{"id":"a-2","type":"order.paid","endpoint":"nobody","body":1}"#,
        r#"{"type":"order.paid","endpoint":["shop"],"body":"x"}"#,
        r#"{"id":"a.b","type":"order.paid","body":1}"#,
        r#"{"id":"a-1","type":"order.paid","body":{ "n" : 1.0 }}"#,
        r#"{"id":"a-1","type":"order.paid","body":2}"#,
    ];
    place.write("events.ndjson", lines.join("\n"));
    let answer = place.run("enqueue --batch events.ndjson --json");
    assert_eq!(answer.exit, 65, "{}", answer.err);
    let told = results(&answer.out);
    let what: Vec<(u64, &str, &str)> = told
        .iter()
        .map(|result| {
            let problem =
                result["problem"]["type"].as_str().unwrap_or("-").trim_start_matches("urn:postrider:problem:");
            (result["line"].as_u64().unwrap(), result["status"].as_str().unwrap(), problem)
        })
        .collect();
    let expected = [
        (1, "accepted", "-"),
        (3, "refused", "malformed-json"),
        (4, "refused", "unknown-endpoint"),
        (5, "accepted", "-"),
        (6, "refused", "invalid-envelope"),
        (7, "accepted", "-"),
        (8, "refused", "id-taken"),
    ];
    assert_eq!(what, expected);
    assert_eq!((told[5]["again"].as_bool(), told[0].get("again")), (Some(true), None));
    assert_eq!(place.json("show a-1 --body")["event"]["body"], "{ \"n\" : 1.0 }");
    assert!(told[3]["event"].as_str().unwrap().starts_with("line_"));

    let again = place.run("enqueue --batch events.ndjson");
    assert_eq!(
        (again.exit, again.out.as_str()),
        (65, "7 lines: 0 accepted (0 deliveries), 3 known already, 4 refused\n")
    );
    for line in
        ["line 3: ", "line 4: there is no endpoint nobody", "line 6: an event id has 1 to 64", "line 8: the id a-1"]
    {
        assert!(again.err.lines().any(|told| told.starts_with(line)), "{line:?} in {}", again.err);
    }
    assert_eq!(place.json("status")["events"], 2);
}

#[test]
fn ids_follow_from_lines_unless_they_are_not_wanted() {
    let place = shop();
    let line = "{\"type\":\"order.paid\",\"body\":1}\n";
    let run = |flags: &[&str], lines: &str| {
        place.write("lines.ndjson", lines);
        let arguments = [&["enqueue", "--batch", "lines.ndjson"], flags].concat();
        let answer = place.run_with(&arguments, "");
        assert_eq!(answer.exit, 0, "{}", answer.err);
        answer.out
    };
    let twice = format!("{line}{line}");
    assert_eq!(run(&[], &twice), "2 lines: 2 accepted (2 deliveries), 0 known already, 0 refused\n");
    assert_eq!(run(&[], &twice), "2 lines: 0 accepted (0 deliveries), 2 known already, 0 refused\n");
    let other = "4 lines: 4 accepted (4 deliveries), 0 known already, 0 refused\n";
    assert_eq!(run(&[], &twice.repeat(2)), other, "the same line in another file is another event");
    for _ in 0..2 {
        let piped = place.run_with(&["enqueue", "--batch", "-"], line);
        assert_eq!(
            piped.out, "1 line: 1 accepted (1 delivery), 0 known already, 0 refused\n",
            "nothing is lost by chance"
        );
    }
    assert_eq!(run(&["--no-derived-ids"], line), "1 line: 1 accepted (1 delivery), 0 known already, 0 refused\n");
    assert_eq!(run(&[], ""), "0 lines: 0 accepted (0 deliveries), 0 known already, 0 refused\n");
    place.refused(2, "enqueue --batch - body.json", &["--batch"]);
    place.refused(2, "enqueue --batch - --type a.b", &["--batch"]);
    place.refused(2, "enqueue --no-derived-ids body.json", &["--no-derived-ids"]);
    place.refused(66, "enqueue --batch missing.ndjson", &["missing.ndjson cannot be read"]);
    place.refused(74, "enqueue --batch .", &[". cannot be read"]);
}

#[test]
fn a_line_that_is_too_long_is_passed_over_and_many_lines_are_fast() {
    let place = shop();
    place.write("config.toml", format!("{}[store]\nmax_body_bytes = 2000\n", super::LENIENT));
    let line = |number: usize| format!("{{\"type\":\"order.paid\",\"body\":{{\"number\":{number}}}}}\n");
    let mut text: String = (0..5000).map(line).collect();
    text.push_str(&format!("{{\"type\":\"order.paid\",\"body\":\"{}\"}}\n", "x".repeat(30_000)));
    text.push_str(&line(5000));
    place.write("events.ndjson", text);
    let begun = Instant::now();
    let answer = place.run("enqueue --batch events.ndjson");
    assert_eq!(answer.out, "5002 lines: 5001 accepted (5001 deliveries), 0 known already, 1 refused\n");
    assert_eq!(answer.exit, 65);
    assert!(answer.err.starts_with("line 5001: the line has more bytes than 18384"), "{}", answer.err);
    assert!(!answer.err.contains('\u{1b}') && answer.err.lines().count() == 1, "no bar on a pipe: {}", answer.err);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn an_interrupted_batch_says_what_is_on_disk_and_goes_on() {
    use std::io::{BufRead, BufReader, Write};
    let place = shop();
    let mut child = place.command(&["enqueue", "--batch", "-", "--json"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"id\":\"a-1\",\"type\":\"order.paid\",\"body\":1}\n{\"id\":\"a-2\",\"type\":\"order.paid\",\"body\":2}\n").unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    for _ in 0..2 {
        out.read_line(&mut first).unwrap();
    }
    assert_eq!(first.lines().count(), 2, "results come while more lines may come");
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let answer = Answer::of(child.wait_with_output().unwrap());
    assert_eq!(answer.exit, 1);
    let said = "interrupted; 2 lines are on disk; given again, those with an id are known";
    assert!(answer.err.contains(said), "{}", answer.err);
    drop(stdin);
    let rest = "{\"id\":\"a-1\",\"type\":\"order.paid\",\"body\":1}\n{\"id\":\"a-2\",\"type\":\"order.paid\",\"body\":2}\n{\"id\":\"a-3\",\"type\":\"order.paid\",\"body\":3}\n";
    let on = place.run_with(&["enqueue", "--batch", "-"], rest);
    assert_eq!(on.out, "3 lines: 1 accepted (1 delivery), 2 known already, 0 refused\n");
}

#[test]
fn a_file_of_nothing_but_mistakes_is_told_and_not_all_of_it() {
    let place = shop();
    place.write("events.ndjson", "{\"type\":\"order.paid\"}\n".repeat(250));
    let answer = place.run("enqueue --batch events.ndjson");
    assert_eq!(
        (answer.exit, answer.out.as_str()),
        (65, "250 lines: 0 accepted (0 deliveries), 0 known already, 250 refused\n")
    );
    assert_eq!(answer.err.lines().count(), 101, "{}", answer.err);
    assert!(answer.err.ends_with("more lines are refused; --json tells each\n"), "{}", answer.err);
}
