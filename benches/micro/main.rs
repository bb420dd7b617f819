//! What the parts cost, each by itself on one thread: a signed request, a judgement, a step of the engine, a batch of the store,
//! and the search for what is due among more and more that is not.
//!
//!   cargo bench --bench micro                 all of it
//!   cargo bench --bench micro -- store-128    some of it: sign, judge, store-1, store-16, store-128, store-1024, due

use std::time::{Duration, Instant};

use postrider::delivery::{Attempt, Carried, LeaseRequest, Outcome, Record, Reply as Brought, Timings, Token, Verdict};
use postrider::endpoint::{Endpoint, EndpointName, EndpointState, Key, Overrides, ProfileName, Scheme, Secret};
use postrider::event::{Event, EventId, EventType};
use postrider::schedule::Draw;
use postrider::store::sqlite::SqliteStore;
use postrider::store::{Command, NewEndpoint, NewEvent, Recipients, Reply, Store};
use postrider::time::{Span, Time};
use postrider::{judge, provider, request, signature};

const NOW: Time = Time::from_ms(1_793_491_200_000);
const BODY: usize = 1024;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    println!("| what | microseconds each |\n|---|---|");
    for scheme in [Scheme::Hmac, Scheme::Eip191, Scheme::V1, Scheme::V1a].into_iter().filter(|_| wanted("sign")) {
        sign(scheme);
    }
    if wanted("judge") {
        judged();
    }
    for at_once in [1, 16, 128, 1024].into_iter().filter(|at_once| wanted(&format!("store-{at_once}"))) {
        cycle(at_once);
    }
    for pending in [10_000, 100_000, 1_000_000, 5_000_000].into_iter().filter(|_| wanted("due")) {
        due(pending);
    }
}

fn line(what: &str, took: Duration, times: usize) {
    println!("| {what} | {:.2} |", took.as_secs_f64() * 1e6 / times as f64);
}

/// The middle of five, of so many calls each.
fn timed(what: &str, times: usize, mut work: impl FnMut()) {
    let mut five: Vec<Duration> = (0..5)
        .map(|_| {
            let begun = Instant::now();
            (0..times).for_each(|_| work());
            begun.elapsed()
        })
        .collect();
    five.sort();
    line(what, five[2], times);
}

fn body() -> Vec<u8> {
    let mut body = b"{\"type\":\"policy/creation/failed\",\"filler\":\"".to_vec();
    body.resize(BODY - 2, b'x');
    body.extend_from_slice(b"\"}");
    body
}

fn event(number: usize) -> NewEvent {
    let body = body();
    let digest = signature::digest(&body);
    NewEvent {
        id: EventId::parse(&format!("msg_{number:032x}")).expect("an id"),
        event_type: EventType::parse("policy/creation/failed").expect("a type"),
        content_type: "application/json".to_owned(),
        body: body.into(),
        digest,
        recipients: Recipients::Endpoints(vec![]),
        fingerprint: digest,
        once: None,
        idempotency_key: None,
        trace: None,
    }
}

fn sign(scheme: Scheme) {
    let profile = match scheme {
        Scheme::Hmac | Scheme::Eip191 => ProfileName::Ensuro,
        Scheme::V1 | Scheme::V1a => ProfileName::Standard,
    };
    let endpoint = Endpoint {
        id: postrider::endpoint::EndpointId(1),
        name: Some(EndpointName::parse("acme").expect("a name")),
        url: "https://hooks.example/postrider".to_owned(),
        profile,
        subscriptions: vec![],
        overrides: Overrides::default(),
        keys: vec![Key { scheme, secret: Secret::new(vec![7; 32]), until: None }],
        state: EndpointState::Active,
        created_at: NOW,
    };
    let NewEvent { id, event_type, content_type, body, digest, .. } = event(1);
    let event = Event { id, event_type, content_type, body, digest, accepted_at: NOW, trace: None };
    timed(&format!("render and sign, {}", scheme.as_str()), 2000, || {
        std::hint::black_box(request::render(&endpoint, &event, NOW).expect("a request"));
    });
}

fn judged() {
    let terms = provider::terms(ProfileName::Ensuro, &Overrides::default());
    let carried = carried();
    timed("judge an answer", 100_000, || {
        let outcome = judge::outcome(&carried, &terms);
        std::hint::black_box(judge::verdict(&outcome, Some(&carried.reply), &terms, 1, NOW, Draw(7)));
    });
}

fn carried() -> Carried {
    Carried {
        started_at: NOW,
        finished_at: NOW + Span::from_ms(3),
        timings: Timings { first_byte_us: Some(2900), total_us: 3000, ..Timings::default() },
        remote: Some("127.0.0.1:4000".to_owned()),
        resent: false,
        reply: Brought::Head { status: 200, retry_after: None, location: None, body: vec![] },
    }
}

/// A store on the disk with one endpoint.
fn store(folder: &std::path::Path) -> (SqliteStore, postrider::endpoint::EndpointId) {
    let mut store = SqliteStore::open(&folder.join("bench.db")).expect("a store");
    let acme = NewEndpoint {
        name: EndpointName::parse("acme").expect("a name"),
        url: "https://hooks.example/postrider".to_owned(),
        profile: ProfileName::Ensuro,
        subscriptions: vec![],
        overrides: Overrides::default(),
        keys: vec![],
    };
    let replies = store.apply(NOW, &[Command::AddEndpoint(acme)]).expect("a store");
    let [Reply::EndpointAdded(lane)] = replies[..] else { panic!("{replies:?}") };
    (store, lane)
}

fn lease(lane: postrider::endpoint::EndpointId, limit: usize) -> LeaseRequest {
    LeaseRequest {
        lane,
        limit: limit as u32,
        bytes: u64::MAX,
        until: NOW + Span::from_seconds(25),
        token: Token(1),
        most_attempts: 11,
    }
}

/// Events are stored, leased and recorded as delivered, so many in a commit; the disk's part is in it.
fn cycle(at_once: usize) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (mut store, lane) = store(folder.path());
    let events = (20_000 / at_once).clamp(4, 2000) * at_once;
    let mut records: Vec<Command> = Vec::new();
    let begun = Instant::now();
    for first in (0..events).step_by(at_once) {
        let event = |number| NewEvent { recipients: Recipients::Endpoints(vec![lane]), ..event(number) };
        let mut commands: Vec<Command> =
            (first..first + at_once).map(|number| Command::Enqueue(event(number))).collect();
        commands.append(&mut records);
        commands.push(Command::Lease(lease(lane, at_once)));
        let replies = store.apply(NOW, &commands).expect("a disk");
        let Some(Reply::Leased(leased)) = replies.last() else { panic!("{replies:?}") };
        assert_eq!(leased.leases.len(), at_once, "all of them at once");
        records = leased.leases.iter().map(|lease| Command::Record(delivered(lease.delivery, lane))).collect();
    }
    line(&format!("store, lease and record an event, {at_once} in a commit"), begun.elapsed(), events);
}

fn delivered(delivery: postrider::delivery::DeliveryId, lane: postrider::endpoint::EndpointId) -> Record {
    let attempt = Attempt {
        number: 1,
        started_at: NOW,
        finished_at: NOW,
        timings: carried().timings,
        remote: carried().remote,
        resent: false,
        outcome: Outcome::Accepted { status: 200, late: false },
        answer: vec![],
        location: None,
    };
    Record { delivery, endpoint: lane, token: Token(1), attempt, verdict: Verdict::Delivered }
}

/// 64 that are due, among so many that are not.
fn due(pending: usize) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (mut store, lane) = store(folder.path());
    let connection = rusqlite::Connection::open(folder.path().join("bench.db")).expect("a store");
    let later = NOW + Span::from_seconds(3600);
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = OFF; BEGIN;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {pending})
             INSERT INTO event (id, name, type, content_type, accepted_at, digest, fingerprint, body)
             SELECT i, 'e' || i, 'a.b', 'text/plain', {0}, zeroblob(32), zeroblob(32), x'7b7d' FROM n;
             INSERT INTO delivery (id, event_id, endpoint_id, state, due_at)
             SELECT id, id, {1}, 'pending', iif(id % ({pending} / 64) = 1, {0}, {2} + id) FROM event;
             UPDATE tally SET events = {pending}, pending = {pending}, newest = {pending};
             COMMIT;",
            NOW.ms(),
            lane.0,
            later.ms()
        ))
        .expect("room");
    drop(connection);
    let mut took: Vec<Duration> = (0..21)
        .map(|_| {
            let begun = Instant::now();
            let replies = store.apply(NOW, &[Command::Lease(lease(lane, 64))]).expect("a store");
            let took = begun.elapsed();
            let Some(Reply::Leased(leased)) = replies.last() else { panic!("{replies:?}") };
            assert!(leased.leases.len() >= 63, "{} were due", leased.leases.len());
            let release = |it: &postrider::delivery::Lease| Command::Release { delivery: it.delivery, token: it.token };
            let back: Vec<Command> = leased.leases.iter().map(release).collect();
            store.apply(NOW, &back).expect("a store");
            took
        })
        .collect();
    took.sort();
    line(&format!("lease 64 that are due among {pending} pending, each"), took[10], 64);
}
