//! Many events over one request: a result for each line, in order, while they still come; one bad line spoils nothing,
//! a request that breaks off leaves no half event, and whoever does not read the results is not read from either.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Api, Wire};
use super::{Stand, envelope};
use crate::process::harness::{PATIENCE, wait_for};

const NDJSON: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];

fn batch(api: &Api, body: impl AsRef<[u8]>) -> Vec<Value> {
    let reply = api.ask("POST", "/v1/events/batch", NDJSON, body.as_ref());
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An open batch, of which no line was sent yet.
fn begin(api: &Api) -> Wire {
    let mut wire = api.connect();
    wire.send(api.head("POST", "/v1/events/batch", NDJSON, None));
    wire
}

#[track_caller]
fn next(wire: &mut Wire) -> Value {
    serde_json::from_str(&wire.line().unwrap().expect("a result")).unwrap()
}

#[track_caller]
fn assert_refused(result: &Value, line: u64, name: &str) {
    assert_eq!((&result["line"], &result["status"]), (&line.into(), &"refused".into()), "{result}");
    assert_eq!(result["problem"]["type"], format!("urn:postrider:problem:{name}"), "{result}");
    assert!(result["problem"]["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{result}");
    assert_eq!(result["event"], Value::Null);
}

#[test]
fn every_line_gets_its_result_in_order_and_a_bad_one_spoils_no_other() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let lines: Vec<Vec<u8>> = vec![
        envelope("one", "acme", "{\"a\":1.10}").into(),
        b"nonsense".to_vec(),
        envelope("two", "nobody", "1").into(),
        b"".to_vec(),
        b"  \t\r".to_vec(),
        envelope("three", "acme", "3").into_bytes().into_iter().chain(*b"\r").collect(),
        envelope("bad id!", "acme", "1").into(),
        br#"{"type":"thing.happened","endpoint":"acme","body":1,"surprise":2}"#.to_vec(),
        envelope("four", "acme", &deep).into(),
        b"{\"type\":\"thing.happened\",\"endpoint\":\"acme\",\"body\":\"\xff\"}".to_vec(),
        br#"["an","array"]"#.to_vec(),
        envelope("one", "acme", "{\"a\":1.1}").into(),
        envelope("one", "acme", "{\"a\":1.10}").into(),
        // The last line has no end.
        envelope("five", "acme", "5").into(),
    ];
    let results = batch(&stand.api, lines.join(&b'\n'));
    let numbers: Vec<u64> = results.iter().map(|result| result["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14], "blank lines count, and say nothing");
    let at = |line: u64| results.iter().find(|result| result["line"] == line).unwrap();
    for (line, event) in [(1, "one"), (6, "three"), (13, "one"), (14, "five")] {
        assert_eq!((&at(line)["status"], &at(line)["event"]), (&"accepted".into(), &event.into()), "{}", at(line));
        assert_eq!(at(line)["deliveries"][0]["endpoint"], "acme");
    }
    assert_eq!(at(13)["again"], true);
    assert_refused(at(2), 2, "malformed-json");
    assert_refused(at(3), 3, "unknown-endpoint");
    assert_refused(at(7), 7, "invalid-envelope");
    assert_refused(at(8), 8, "invalid-envelope");
    assert_refused(at(9), 9, "too-deep");
    assert_refused(at(10), 10, "bad-utf-8");
    assert_refused(at(11), 11, "invalid-envelope");
    assert_refused(at(12), 12, "id-taken");
    assert_eq!(stand.stored(), (3, 3));
    assert_eq!(stand.api.get("/v1/events/one?body=true").expect(200)["event"]["body"], "{\"a\":1.10}");
    stand.stop();
}

#[test]
fn an_empty_batch_has_no_results_and_another_content_type_is_refused() {
    let stand = Stand::new();
    assert!(batch(&stand.api, "").is_empty());
    assert!(batch(&stand.api, "\n\n  \n").is_empty());
    stand.api.post("/v1/events/batch", "{}").problem(415, "unsupported-media-type");
    stand.stop();
}

#[test]
fn results_come_while_the_request_still_goes_on() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    let mut wire = begin(&stand.api);
    let line = |number: usize| envelope(&format!("live-{number}"), "acme", "1") + "\n";
    wire.chunk(line(1));
    assert_eq!(wire.begin().unwrap().status, 200);
    assert_eq!(next(&mut wire)["event"], "live-1");
    for number in 2..=50 {
        // Also in pieces that end anywhere.
        let line = line(number);
        let (before, after) = line.split_at(number % line.len());
        wire.chunk(before);
        wire.chunk(after);
        let result = next(&mut wire);
        assert_eq!((&result["line"], &result["event"]), (&number.into(), &format!("live-{number}").into()));
        // Its answer means that it is on disk.
        assert_eq!(stand.home.counts().events, number as u64);
    }
    wire.end();
    assert_eq!(wire.line().unwrap(), None);
    stand.stop();
}

#[test]
fn thousands_of_lines_share_commits_and_come_back_in_order() {
    const LINES: usize = 5000;
    let stand = Stand::new();
    stand.add_hopeless("acme");
    stand.api.post("/v1/endpoints/acme/pause", "").expect(200);
    let body: String = (1..=LINES).map(|number| envelope(&format!("line-{number}"), "acme", "1") + "\n").collect();
    let before = super::metrics::scrape(&stand.api).sum("postrider_store_commits_total");
    let begun = Instant::now();
    let mut wire = stand.api.connect();
    let mut writer = wire.other_half();
    let head = stand.api.head("POST", "/v1/events/batch", NDJSON, Some(body.len()));
    let sending = std::thread::spawn(move || writer.send(head + &body));
    wire.begin().unwrap();
    for number in 1..=LINES {
        let result = next(&mut wire);
        assert_eq!((&result["line"], &result["event"]), (&number.into(), &format!("line-{number}").into()));
    }
    assert_eq!(wire.line().unwrap(), None);
    sending.join().unwrap();
    let commits = super::metrics::scrape(&stand.api).sum("postrider_store_commits_total") - before;
    println!("{LINES} lines in {:?} took {commits} commits", begun.elapsed());
    assert!(commits * 10.0 < LINES as f64, "{commits}");
    assert_eq!(stand.stored(), (LINES as u64, LINES as u64));
    stand.stop();
}

#[test]
fn a_batch_that_breaks_off_leaves_no_half_event_and_can_be_sent_again() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    let lines: Vec<String> = (1..=40).map(|number| envelope(&format!("cut-{number}"), "acme", "{\"a\": 1}")).collect();
    let whole = lines.join("\n");
    for cut in [whole.len() / 3, whole.len() / 2 + 7, whole.len() - 5] {
        let mut wire = begin(&stand.api);
        wire.chunk(&whole[..cut]);
        wire.begin().unwrap();
        let complete = whole[..cut].matches('\n').count();
        let results: Vec<Value> = (0..complete).map(|_| next(&mut wire)).collect();
        assert!(results.iter().all(|result| result["status"] == "accepted"));
        drop(wire);
    }
    // A length that was announced and does not come.
    let mut wire = stand.api.connect();
    wire.send(stand.api.head("POST", "/v1/events/batch", NDJSON, Some(whole.len())) + &whole[..whole.len() - 3]);
    wire.begin().unwrap();
    (0..39).for_each(|_| drop(next(&mut wire)));
    wire.shut();
    while let Ok(Some(line)) = wire.line() {
        assert!(!line.contains("accepted"), "{line}");
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(stand.stored(), (39, 39));
    let results = batch(&stand.api, &whole);
    let again = results.iter().filter(|result| result["again"] == true).count();
    assert_eq!((results.len(), again, stand.stored()), (40, 39, (40, 40)));
    stand.stop();
}

#[test]
fn a_line_that_is_too_large_is_refused_and_the_next_one_is_taken() {
    let stand = Stand::with("[store]\nmax_body_bytes = 100000\n");
    stand.add_hopeless("acme");
    let huge = envelope("huge", "acme", &format!("\"{}\"", "x".repeat(1 << 20)));
    let large = envelope("large", "acme", &format!("\"{}\"", "x".repeat(100_001 - 2)));
    let fits = envelope("fits", "acme", &format!("\"{}\"", "x".repeat(100_000 - 2)));
    let results = batch(&stand.api, [huge, large, fits, envelope("small", "acme", "1")].join("\n"));
    assert_refused(&results[0], 1, "too-large");
    assert_refused(&results[1], 2, "too-large");
    assert_eq!((&results[2]["event"], &results[3]["event"]), (&"fits".into(), &"small".into()));
    assert_eq!(stand.stored(), (2, 2));
    stand.stop();
}

/// In KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line VmRSS");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sends far more than any buffer between holds, and reads nothing: the sender must come to a stop, not the memory.
#[test]
fn whoever_does_not_read_the_results_is_held_up_and_memory_stays_bounded() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    stand.api.post("/v1/endpoints/acme/pause", "").expect(200);
    let before = resident(stand.daemon.pid());
    let mut wire = begin(&stand.api);
    let mut writer = wire.other_half();
    let sent = AtomicUsize::new(0);
    const MOST: usize = 400_000;
    let held = std::thread::scope(|scope| {
        scope.spawn(|| {
            let bad = "{\"type\":\"thing.happened\",\"endpoint\":\"nobody-of-this-name\",\"body\":1}\n".repeat(100);
            for _ in 0..MOST / 100 {
                if writer.try_chunk(&bad).is_err() {
                    return;
                }
                sent.fetch_add(100, Ordering::SeqCst);
            }
        });
        let held = wait_for("the sender's standing still", PATIENCE, || {
            let now = sent.load(Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(700));
            (now > 0 && now == sent.load(Ordering::SeqCst)).then_some(now)
        });
        let grown = resident(stand.daemon.pid()).saturating_sub(before);
        println!("held up after {held} lines, with {grown} KiB more in memory");
        assert!(held < MOST, "nobody read, and all {MOST} lines were taken");
        assert!(grown < 64 << 10, "{grown} KiB");
        // Others are served meanwhile.
        stand.api.post("/v1/events", &envelope("other", "acme", "1")).expect(201);
        // Who reads again goes on.
        wire.begin().unwrap();
        // How much must be read before the sender notices is the system's: its buffers hold most of the results.
        let goes_on = |_: &usize| sent.load(Ordering::SeqCst) == held;
        let read = (0..held).take_while(goes_on).inspect(|_| assert_eq!(next(&mut wire)["status"], "refused")).count();
        println!("it goes on after {read} results");
        wait_for("the sender's going on", PATIENCE, || (sent.load(Ordering::SeqCst) > held).then_some(()));
        drop(wire);
        held
    });
    assert!(held > 0);
    stand.killed();
}

/// A hundred lines of 4 MiB each: no more of them are read than there is room for.
#[test]
fn large_lines_wait_for_room_before_they_are_read() {
    let stand = Stand::with("[store]\nmax_body_bytes = 4194304\n[api]\nin_flight_body_bytes = 16777216\n");
    stand.add_hopeless("acme");
    stand.api.post("/v1/endpoints/acme/pause", "").expect(200);
    let body = format!("\"{}\"", "x".repeat((4 << 20) - 2));
    let mut wire = begin(&stand.api);
    let mut writer = wire.other_half();
    let most = std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..100).for_each(|number| writer.chunk(envelope(&format!("big-{number}"), "acme", &body) + "\n"));
            writer.end();
        });
        wire.begin().unwrap();
        let results = (0..100).map(|_| {
            assert_eq!(next(&mut wire)["status"], "accepted");
            resident(stand.daemon.pid())
        });
        results.max().unwrap()
    });
    println!("{most} KiB at most");
    assert!(most < 160 << 10, "{most} KiB");
    assert_eq!(stand.stored(), (100, 100));
    stand.stop();
}

/// As large as a body may be, and all room that there is: its envelope comes on top.
#[test]
fn the_largest_body_finds_room_however_little_is_configured() {
    let stand = Stand::with("[store]\nmax_body_bytes = 1048576\n[api]\nin_flight_body_bytes = 1048576\n");
    stand.add_hopeless("acme");
    let body = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    stand.api.post("/v1/events", &envelope("alone", "acme", &body)).expect(201);
    let results = batch(&stand.api, [envelope("first", "acme", &body), envelope("second", "acme", &body)].join("\n"));
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&"accepted".into(), &"accepted".into()));
    stand.api.post("/v1/events", &envelope("small", "acme", "1")).expect(201);
    assert_eq!(stand.stored(), (4, 4));
    stand.stop();
}
