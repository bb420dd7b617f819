//! The store's file: who may use it, and what becomes of a daemon when it is full, damaged or taken.
//! Whatever the disk does, a daemon answers with words and an exit status, never with a panic or by a signal.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use postrider::daemon::clock::wall;
use postrider::endpoint::Overrides;
use postrider::operations;
use postrider::store::NewEndpoint;
use rustix::process::{Resource, Rlimit, prlimit};

use super::harness::{Daemon, Home, LENIENT, PATIENCE, endpoint, overrides, program, wait_for};
use crate::receivers::{Answer, Receiver, Step};

#[test]
fn a_second_daemon_is_refused_with_words_and_the_first_goes_on() {
    let home = Home::new();
    let receiver = Receiver::start(|_| Answer::status(200));
    home.add(endpoint("acme", &receiver.url()));
    let first = Daemon::start(&home);
    let mut second = Daemon::launch(&home);
    assert_eq!(second.wait().code(), Some(75), "{:#?}", second.lines());
    let words = second.lines().join("\n");
    assert!(words.contains(&first.pid().to_string()) && words.contains("postrider.db"), "{words}");
    assert!(second.told("started").is_empty());
    home.enqueue("one", b"{}");
    receiver.wait_for(1, PATIENCE);
    home.wait_until_settled();
    // A daemon that was killed holds nothing.
    first.kill9();
    Daemon::start(&home).stop();
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn a_store_that_is_opened_twice_in_one_process_stays_whole() {
    let home = Home::new();
    let mut first = home.store();
    // By the rules of POSIX, closing any handle of a file gives up all locks that the process has on it.
    let second = home.store();
    Daemon::start(&home).stop();
    let receiver = Receiver::start(|_| Answer::status(200));
    let added = operations::add_endpoint(&mut first, &home.rules(), wall(), endpoint("acme", &receiver.url()));
    let daemon = Daemon::start(&home);
    assert_eq!(daemon.wait_for_line("started")["endpoints"], 1, "{added:?} is lost");
    daemon.stop();
    drop((first, second));
    home.check_integrity();
}

/// A file may not grow beyond `bytes`; `None`: as far as the disk goes.
fn limit_files(daemon: &Daemon, bytes: Option<u64>) {
    let limits = prlimit(Some(daemon.handle()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    assert_eq!(limits.maximum, None, "this test needs room to grow again");
}

#[test]
fn a_daemon_that_may_not_write_says_so_and_goes_on_when_it_may() {
    let home = Home::new();
    let receiver = Receiver::start(|_| Answer::status(200));
    let acme = home.add(endpoint("acme", &receiver.url()));
    let mut daemon = Daemon::start(&home);
    // Past such a limit a write raises SIGXFSZ, which by default kills.
    limit_files(&daemon, Some(4096));
    home.enqueue_many("owed", 30, &acme);
    let told = daemon.wait_for_line("store failing");
    assert!(
        told["error"].as_str().unwrap().contains("postrider.db") || told["error"].as_str().unwrap().len() > 20,
        "{told}"
    );
    assert!(daemon.runs());
    assert_eq!(receiver.requests().len(), 0, "no attempt without a lease on disk");
    limit_files(&daemon, None);
    assert_eq!(home.wait_until_settled().delivered, 30);
    daemon.wait_for_line("store well again");
    let failures = daemon.told("store failing").len();
    assert!(failures < 50, "{failures} lines about one trouble");
    daemon.stop();
    assert_eq!(receiver.requests().len(), 30);
    home.check_integrity();
}

#[test]
fn an_outcome_that_cannot_be_written_is_kept_until_it_can() {
    let home = Home::new();
    let receiver = Receiver::start(|_| {
        let Answer(steps) = Answer::status(200);
        Answer([vec![Step::Pause(Duration::from_millis(500))], steps].concat())
    });
    home.add(endpoint("acme", &receiver.url()));
    home.enqueue("once", b"{}");
    let mut daemon = Daemon::start(&home);
    receiver.wait_for(1, PATIENCE);
    limit_files(&daemon, Some(4096));
    daemon.wait_for_line("store failing");
    // Asked to stop, it still waits for the disk.
    daemon.terminate();
    daemon.wait_for_line("draining");
    limit_files(&daemon, None);
    assert_eq!(daemon.wait().code(), Some(0), "{:#?}", daemon.lines());
    assert_eq!(home.counts().delivered, 1);
    assert_eq!(receiver.requests().len(), 1, "an outcome that is known is not asked for again");
}

/// A daemon with a copy of the home's store on a disk of 16 MiB of its own, which ends with it; and that disk as it is
/// seen from here. `None` where that is not allowed.
fn on_a_small_disk(home: &mut Home) -> Option<(Daemon, PathBuf)> {
    let kept = home.store_path();
    home.reconfigure(&format!("{LENIENT}[store]\npath = \"disk/postrider.db\"\n"));
    let disk = home.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mut unshared = Command::new("unshare");
    unshared.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    unshared.arg("mount -t tmpfs -o size=16m none \"$0\" && cp \"$1\" \"$0\" && shift && exec \"$@\"");
    unshared.arg(&disk).arg(kept).arg(env!("CARGO_BIN_EXE_postrider"));
    unshared.arg("--config").arg(home.path().join("config.toml")).arg("serve");
    let mut daemon = Daemon::spawn(unshared);
    let started = wait_for("a start or an end", PATIENCE, || {
        let started = !daemon.told("started").is_empty();
        (started || !daemon.runs()).then_some(started)
    });
    let disk = PathBuf::from(format!("/proc/{}/root{}", daemon.pid(), disk.display()));
    if !started || !disk.join("postrider.db").exists() {
        println!("skipped, as nothing can be mounted here: {:?}", daemon.lines());
        return None;
    }
    Some((daemon, disk))
}

#[test]
fn a_full_disk_is_told_and_outlived() {
    const OWED: usize = 300;
    let mut home = Home::new();
    let receiver = Receiver::start(|_| Answer::status(200));
    let even = Overrides { rate: Some(150), ..overrides(&[]) };
    let acme = home.add(NewEndpoint { overrides: even, ..endpoint("acme", &receiver.url()) });
    home.enqueue_many("owed", OWED, &acme);
    let Some((mut daemon, disk)) = on_a_small_disk(&mut home) else { return };
    receiver.wait_for(1, PATIENCE);
    let filler = disk.join("filler");
    let filled = std::fs::write(&filler, vec![0; 1 << 24]);
    assert!(filled.is_err(), "the disk is larger than it should be");
    let told = daemon.wait_for_line("store failing");
    assert!(told["error"].as_str().unwrap().contains("the disk is full"), "{told}");
    let before = receiver.requests().len();
    std::fs::remove_file(&filler).unwrap();
    receiver.wait_for(OWED, PATIENCE);
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0), "{:#?}", daemon.lines());
    assert_eq!(daemon.told("stopped")[0]["pending"], 0);
    assert_eq!(receiver.requests().len(), OWED, "delivered once each");
    let failures = daemon.told("store failing").len();
    println!("{before} events delivered when the disk was full, all in the end; {failures} times full");
    assert!(daemon.told("store well again").len() <= failures);
}

#[test]
fn a_store_that_cannot_be_made_is_told_with_words() {
    let home = Home::new();
    let inner = program(&home);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 0; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args()).arg("serve");
    let mut daemon = Daemon::spawn(limited);
    let status = daemon.wait();
    assert_eq!(status.code(), Some(74), "{status}: {:#?}", daemon.lines());
    assert_words(&daemon);

    let home = Home::with("[store]\npath = \"no/such/folder/postrider.db\"\n");
    let mut daemon = Daemon::launch(&home);
    assert_eq!(daemon.wait().code(), Some(74), "{:#?}", daemon.lines());
    assert_words(&daemon);
}

/// The last line is a sentence for a person, and nothing panicked.
#[track_caller]
fn assert_words(daemon: &Daemon) {
    let lines = daemon.lines();
    let last = lines.last().expect("some words");
    assert!(last.starts_with("postrider: ") && last.len() > 30, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("panicked")), "{lines:#?}");
}

/// A store with much in it, closed in order.
fn filled(receiver: &Receiver) -> Vec<u8> {
    let home = Home::new();
    for name in ["one", "two"] {
        let twice = overrides(&[50, 50]);
        let added = home.add(NewEndpoint { overrides: twice, ..endpoint(name, &receiver.url()) });
        home.enqueue_many(name, 300, &added);
    }
    let daemon = Daemon::start(&home);
    wait_for("some delivered", PATIENCE, || (home.counts().delivered > 100).then_some(()));
    daemon.stop();
    assert!(!home.path().join("postrider.db-wal").exists(), "the last to close takes the log with it");
    std::fs::read(home.store_path()).unwrap()
}

#[test]
fn a_damaged_store_is_told_with_words_and_never_by_a_panic() {
    const PAGE: usize = 8192;
    let receiver = Receiver::start(|_| Answer::status(200));
    let good = filled(&receiver);
    let pages = good.len() / PAGE;
    assert!(pages > 12, "{pages} pages");
    let mut damaged: Vec<(String, Vec<u8>)> = Vec::new();
    for page in (0..pages).step_by(pages.div_ceil(12)) {
        let mut bytes = good.clone();
        // The header stays: what is no database at all is told apart below.
        let from = page * PAGE + if page == 0 { 100 } else { 0 };
        for (at, byte) in bytes[from..(page + 1) * PAGE].iter_mut().enumerate() {
            *byte = (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0];
        }
        damaged.push((format!("garbage in page {page}"), bytes));
    }
    for length in [1, 50, 4096, PAGE, good.len() / 2, good.len() - 100] {
        damaged.push((format!("cut at {length}"), good[..length].to_vec()));
    }
    let mut zeroes = good.clone();
    zeroes[PAGE..].fill(0);
    damaged.push(("zeroes from page 1 on".to_owned(), zeroes));
    damaged.push(("text".to_owned(), b"this is no database, but a text of some length\n".repeat(300)));
    let mut ends = Vec::new();
    for (what, bytes) in damaged {
        ends.push((end_of(&what, &bytes), what));
    }
    println!("{ends:?}");
    assert!(ends.iter().filter(|(status, _)| *status != 0).count() >= 6, "{ends:?}");
}

/// The exit status of a daemon on a store of these bytes, after it had time to come upon the damage.
fn end_of(what: &str, bytes: &[u8]) -> i32 {
    let home = Home::new();
    std::fs::write(home.store_path(), bytes).unwrap();
    let mut daemon = Daemon::launch(&home);
    let begun = Instant::now();
    let looked = Duration::from_millis(500);
    wait_for("an end, or a look at the damage", PATIENCE, || {
        let working = begun.elapsed() > looked && !daemon.told("started").is_empty();
        (working || !daemon.runs()).then_some(())
    });
    if daemon.runs() {
        daemon.terminate();
    }
    let status = daemon.wait();
    let code = status.code().unwrap_or_else(|| panic!("{what}: {status}: {:#?}", daemon.lines()));
    assert!([0, 70, 74].contains(&code), "{what}: {status}: {:#?}", daemon.lines());
    assert!(!daemon.lines().iter().any(|line| line.contains("panicked")), "{what}: {:#?}", daemon.lines());
    if code != 0 {
        assert_words(&daemon);
    }
    code
}
