//! Damaged stores: bytes flipped, pages zeroed, swapped or drawn at random, files cut, the log of writes lost, cut, garbled or
//! another's, headers and whole files that are something else. Whatever is asked of them either works or is refused in words,
//! and no body goes out that is not one of those accepted.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use postrider::provider::dice::Dice;
use postrider::store::NewEndpoint;

use crate::campaign::{Campaign, Figures};
use crate::harness::{Daemon, Home, PATIENCE, endpoint, overrides, program, wait_for};
use crate::load::body;
use crate::receivers::{Answer, Receiver};

/// Bytes of a page.
const PAGE: usize = 8192;
const EVENTS: usize = 120;
/// How long a daemon has to come upon the damage.
const LOOK: Duration = Duration::from_millis(400);
/// A daemon that runs into the same trouble again and again may tell it, but not without end.
const MOST_LINES: usize = 200;
/// Longer than a verb takes, whatever it finds.
const VERB_PATIENCE: Duration = Duration::from_secs(20);

pub fn run(campaign: &Campaign) -> Figures {
    let cases = campaign.pick(50, 500);
    let receiver = Receiver::start(|_| Answer::status(200));
    let rejecting = Receiver::start(|_| Answer::status(500));
    let sound = Sound::new(&receiver, &rejecting);
    let whole = sound.asked_about(&sound.files, "whole");
    assert_eq!((whole.refused, whole.worked), (0, VERBS.len() + 1), "a sound store works");

    let mut figures = Figures { worst_of: "for one verb".to_owned(), ..Figures::default() };
    let dice = Mutex::new((campaign.dice(1), 0));
    let seen: Mutex<Vec<Ends>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let (what, files) = {
                        let mut dice = dice.lock().unwrap();
                        if dice.1 == cases {
                            return;
                        }
                        dice.1 += 1;
                        campaign.progress(dice.1, cases, "case");
                        sound.damaged(dice.1, &mut dice.0)
                    };
                    let ends = sound.asked_about(&files, &what);
                    seen.lock().unwrap().push(ends);
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    figures.cycles = seen.len() as u64;
    let (worked, refused) = seen.iter().fold((0, 0), |sum, ends| (sum.0 + ends.worked, sum.1 + ends.refused));
    seen.iter().for_each(|ends| figures.worse(ends.longest));
    // Both happen, or the damage is none, or it hits nothing but the header.
    assert!(worked > seen.len() && refused > seen.len(), "{worked} worked, {refused} refused");
    let sent = sound.check_sent(&[&receiver, &rejecting]);
    figures.events = Some((worked + refused) as u64);
    figures.note(format!(
        "{worked} asked with success, {refused} refused in words; {sent} bodies sent, none but accepted ones"
    ));
    figures.note(sound.body_flipped(&receiver));
    figures
}

/// What stands in the folder of a store, by name.
type Files = Vec<(String, Vec<u8>)>;

/// What became of one damaged store.
struct Ends {
    worked: usize,
    refused: usize,
    longest: Duration,
}

/// A store with everything in it, as kill -9 left it.
struct Sound {
    config: String,
    files: Files,
    bodies: BTreeSet<Vec<u8>>,
}

const VERBS: [&[&str]; 6] = [
    &["status"],
    &["list"],
    &["why", "event-3"],
    &["show", "event-5", "--body"],
    &["endpoint", "list"],
    &["enqueue", "--endpoint", "good", "--type", "thing.happened", "new.json"],
];
const NEW: &str = "{\"new\":  true}";

impl Sound {
    fn new(receiver: &Receiver, rejecting: &Receiver) -> Self {
        let home = Home::new();
        home.add(NewEndpoint { overrides: overrides(&[50; 5]), ..endpoint("good", &receiver.url()) });
        home.add(NewEndpoint { overrides: overrides(&[3_600_000]), ..endpoint("waits", &rejecting.url()) });
        home.add(NewEndpoint { overrides: overrides(&[]), ..endpoint("dies", &rejecting.url()) });
        let mut bodies = BTreeSet::from([NEW.as_bytes().to_vec()]);
        let mut put = |number: usize| {
            let id = format!("event-{number}");
            let text = body(&id, if number.is_multiple_of(10) { 60_000 } else { 10 * number });
            home.enqueue(&id, text.as_bytes());
            bodies.insert(text.into_bytes());
        };
        (0..EVENTS / 2).for_each(&mut put);
        let daemon = Daemon::start(&home);
        wait_for("half to be tried", PATIENCE, || {
            let counts = home.counts();
            (counts.delivered == EVENTS as u64 / 2 && counts.dead == EVENTS as u64 / 2).then_some(())
        });
        daemon.kill9();
        // Not held open meanwhile, or closing it would empty the log of writes.
        let held = home.store();
        (EVENTS / 2..EVENTS).for_each(&mut put);
        let files: Files = ["postrider.db", "postrider.db-wal"]
            .into_iter()
            .map(|name| (name.to_owned(), std::fs::read(home.path().join(name)).unwrap()))
            .collect();
        drop(held);
        assert!(files[1].1.len() > 10 * PAGE, "the log of writes has {} bytes", files[1].1.len());
        let config = std::fs::read_to_string(home.path().join("config.toml")).unwrap();
        Sound { config, files, bodies }
    }

    /// What is wrong, and the files.
    fn damaged(&self, case: u64, dice: &mut Dice) -> (String, Files) {
        let mut files = self.files.clone();
        // A store that was closed in order has no log: then what is in the database counts.
        let closed = dice.below(3) == 0 && !(7..=9).contains(&(case % 16));
        if closed {
            files.truncate(1);
        }
        let what = match case % 16 {
            6 => {
                files.truncate(1);
                "the log lost".to_owned()
            }
            7 | 8 => {
                let log = &mut files[1].1;
                let place = at(dice, log.len());
                match case % 16 {
                    7 => log.truncate(place),
                    _ => log[place] ^= 0xff,
                }
                format!("the log cut or garbled at {place}")
            }
            9 => {
                files[1] = Sound::another();
                "the log of another store".to_owned()
            }
            12 => {
                files[0].1 = b"this is no database, but a text of some length\n".repeat(300);
                "a text".to_owned()
            }
            13 => {
                files.push(("postrider.db-shm".to_owned(), (0..32_768).map(|_| dice.below(256) as u8).collect()));
                "an index of the log drawn".to_owned()
            }
            kind => hurt(kind, &mut files[0].1, dice),
        };
        (format!("case {case}, {what}{}", if closed { ", closed" } else { "" }), files)
    }

    /// The log of a store that has nothing to do with this one.
    fn another() -> (String, Vec<u8>) {
        let home = Home::new();
        let held = home.store();
        home.add(endpoint("good", "http://127.0.0.1:9/another"));
        (0..20).for_each(|number| drop(home.enqueue(&format!("other-{number}"), &[b'1'; 5000])));
        let log = std::fs::read(home.path().join("postrider.db-wal")).unwrap();
        drop(held);
        ("postrider.db-wal".to_owned(), log)
    }

    fn home(&self, files: &Files) -> Home {
        let home = Home::new();
        std::fs::write(home.path().join("config.toml"), &self.config).unwrap();
        std::fs::write(home.path().join("new.json"), NEW).unwrap();
        for (name, bytes) in files {
            std::fs::write(home.path().join(name), bytes).unwrap();
        }
        home
    }

    /// Every verb, and a daemon that works for a moment.
    fn asked_about(&self, files: &Files, what: &str) -> Ends {
        let home = self.home(files);
        let mut ends = Ends { worked: 0, refused: 0, longest: Duration::ZERO };
        let mut count = |status: Option<i32>, what: String, told: &str| match status {
            Some(0) => ends.worked += 1,
            // No, not found, the store is damaged, or the disk cannot.
            Some(1 | 66 | 70 | 74) => ends.refused += 1,
            _ => panic!("{what}: ended with {status:?}: {told}"),
        };
        for verb in VERBS {
            let begun = Instant::now();
            let (status, told) = ask(&home, verb, what);
            ends.longest = ends.longest.max(begun.elapsed());
            assert!(status == Some(0) || told.trim_end().len() > 20, "{what}: {verb:?} says only {told:?}");
            count(status, format!("{what}: {verb:?}"), &told);
        }
        let mut daemon = Daemon::launch(&home);
        let begun = Instant::now();
        wait_for("an end, or a look at the damage", PATIENCE, || {
            let working = begun.elapsed() > LOOK && !daemon.told("started").is_empty();
            (working || !daemon.runs()).then_some(())
        });
        if daemon.runs() {
            daemon.terminate();
        }
        let status = daemon.wait();
        let lines = daemon.lines();
        assert!(!lines.iter().any(|line| line.contains("panicked")), "{what}: {lines:#?}");
        assert!(lines.len() < MOST_LINES + 8 * EVENTS, "{what}: {} lines", lines.len());
        let last = lines.last().cloned().unwrap_or_default();
        assert!(status.code() == Some(0) || last.starts_with("postrider: "), "{what}: {status}, {last:?}");
        count(status.code(), format!("{what}: serve"), &last);
        ends
    }

    /// How many bodies arrived, each of them one that was accepted.
    fn check_sent(&self, receivers: &[&Receiver]) -> usize {
        let requests: Vec<_> = receivers.iter().flat_map(|receiver| receiver.requests()).collect();
        for request in &requests {
            assert!(self.bodies.contains(&request.body), "{}", String::from_utf8_lossy(&request.body));
        }
        requests.len()
    }

    /// A body that was changed on disk is not sent, and `why` says so; the others are.
    fn body_flipped(&self, receiver: &Receiver) -> String {
        let before = receiver.requests().len();
        let home = self.home(&self.files);
        let connection = rusqlite::Connection::open(home.store_path()).unwrap();
        let changed = connection.execute(
            "UPDATE event SET body = CAST(replace(CAST(body AS TEXT), 'xx', 'xy') AS BLOB) WHERE name = 'event-61'",
            [],
        );
        assert_eq!(changed.unwrap(), 1);
        drop(connection);
        let daemon = Daemon::start(&home);
        let others = EVENTS / 2 - 1;
        wait_for("the others", PATIENCE, || (receiver.requests().len() - before >= others).then_some(()));
        let why = wait_for("an attempt that was not sent", PATIENCE, || {
            let (status, told) = ask(&home, &["why", "event-61"], "a body changed");
            (status == Some(0) && told.contains("does not match its digest")).then_some(told)
        });
        daemon.stop();
        let sent = receiver.requests();
        assert!(!sent[before..].iter().any(|request| request.header("webhook-id") == Some("event-61")), "{why}");
        "a body changed on disk is not sent, and `why` says it".to_owned()
    }
}

fn at(dice: &mut Dice, length: usize) -> usize {
    dice.below(length as u64) as usize
}

/// Does something of this kind to the bytes of a database, and says what.
fn hurt(kind: u64, bytes: &mut Vec<u8>, dice: &mut Dice) -> String {
    let (length, pages) = (bytes.len(), bytes.len() / PAGE);
    let (place, page, other) = (at(dice, length - 512), at(dice, pages), at(dice, pages));
    match kind {
        0 => {
            bytes[place] ^= 1 << dice.below(8);
            format!("a bit flipped at {place}")
        }
        1 => {
            let count = 1 + dice.below(40);
            (0..count).for_each(|_| bytes[at(dice, length)] = dice.below(256) as u8);
            format!("{count} bytes drawn")
        }
        2 => {
            bytes[page * PAGE..(page + 1) * PAGE].fill(0);
            format!("page {page} zeroed")
        }
        3 => {
            bytes[page * PAGE..(page + 1) * PAGE].fill_with(|| dice.below(256) as u8);
            format!("page {page} drawn")
        }
        4 => {
            let kept = bytes[page * PAGE..(page + 1) * PAGE].to_vec();
            bytes.copy_within(other * PAGE..(other + 1) * PAGE, page * PAGE);
            bytes[other * PAGE..(other + 1) * PAGE].copy_from_slice(&kept);
            format!("pages {page} and {other} swapped")
        }
        5 => {
            bytes.truncate(place);
            format!("cut at {place}")
        }
        10 => {
            bytes[..100].fill_with(|| dice.below(256) as u8);
            "a header drawn".to_owned()
        }
        11 => {
            bytes.truncate(place % 512);
            format!("{} bytes left", bytes.len())
        }
        14 => {
            bytes[page * PAGE..].fill(0);
            format!("zeroes from page {page} on")
        }
        _ => {
            bytes.copy_within(0..512, place);
            format!("a sector written at {place} that belongs elsewhere")
        }
    }
}

/// The exit status of a verb and all that it told; it may not panic, hang or die by a signal.
fn ask(home: &Home, verb: &[&str], what: &str) -> (Option<i32>, String) {
    let mut command: Command = program(home);
    let (out, err) = (home.path().join("out"), home.path().join("err"));
    let to = |path: &Path| Stdio::from(std::fs::File::create(path).unwrap());
    let mut child = command.args(verb).stdin(Stdio::null()).stdout(to(&out)).stderr(to(&err)).spawn().unwrap();
    let end = Instant::now() + VERB_PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{what}: {verb:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let told = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let told = format!("{}{}", told(&out), told(&err));
    assert!(!told.contains("panicked"), "{what}: {verb:?}: {told}");
    (status.code(), told)
}
