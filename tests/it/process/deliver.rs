//! What a healthy receiver is sent, byte for byte, and how soon; and that one receiver does not wait for another.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use postrider::daemon::clock::wall;
use postrider::delivery::{DeadReason, DeliveryState, Outcome, StateName};
use postrider::endpoint::{Key, Overrides, ProfileName, Scheme, Secret};
use postrider::event::EventType;
use postrider::operations::{self, Submission, Target};
use postrider::provider::{self, dice::Dice};
use postrider::store::NewEndpoint;
use postrider::time::Span;
use sha2::Sha256;

use super::harness::{Daemon, Home, PATIENCE, SECRET, Timed, endpoint, overrides, submission};
use crate::receivers::{Answer, Received, Receiver, Step};

const USER_AGENT: &str = concat!("postrider/", env!("CARGO_PKG_VERSION"));

/// As the document says, and without a line of our own code: HMAC-SHA256 of `id.timestamp.body`.
fn assert_signed(request: &Received, event: &str) {
    assert_eq!(request.header("webhook-id"), Some(event));
    let timestamp = request.header("webhook-timestamp").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(format!("{event}.{timestamp}.").as_bytes());
    mac.update(&request.body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(request.header("webhook-signature"), Some(expected.as_str()));
    let age = wall().unix_seconds() - timestamp.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "signed {age} s ago");
}

#[test]
fn an_event_is_delivered_soon_signed_and_byte_for_byte() {
    let home = Home::new();
    let timed = Timed::start(|_| Answer::status(204));
    home.add(endpoint("acme", &timed.receiver.url()));
    let daemon = Daemon::start(&home);
    let body = br#"{ "amount" : 1.10, "name":"\u00e9", "a":1,"a":2 }"#;
    let mut latencies = Vec::new();
    for number in 1..=21 {
        let id = format!("event-{number}");
        home.enqueue(&id, body);
        let acknowledged = Instant::now();
        let request = timed.receiver.wait_for(number, PATIENCE).remove(number - 1);
        latencies.push(timed.at(number).saturating_duration_since(acknowledged));
        assert_eq!(request.body, body);
        assert_eq!(request.method, "POST");
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("user-agent"), Some(USER_AGENT));
        assert_signed(&request, &id);
    }
    latencies.sort();
    println!("from acknowledged to received: median {:?}, longest {:?}", latencies[10], latencies[20]);
    assert!(latencies[10] < Duration::from_secs(1), "{latencies:?}");

    let (delivery, attempts) = home.wait_for_state("event-1", StateName::Delivered);
    assert_eq!((delivery.attempts, attempts.len()), (1, 1));
    let attempt = &attempts[0];
    assert_eq!(attempt.outcome, Outcome::Accepted { status: 204, late: false });
    assert_eq!(attempt.remote, Some(format!("127.0.0.1:{}", timed.receiver.port())));
    let timings = attempt.timings;
    assert!(timings.connect_us.is_some() && timings.first_byte_us.is_some(), "{timings:?}");
    assert!((1..5_000_000).contains(&timings.total_us), "{timings:?}");
    assert!(attempt.started_at <= attempt.finished_at && !attempt.resent);
    home.wait_until_settled();
    daemon.stop();
}

#[test]
fn ensuro_gets_its_own_signature_over_the_body() {
    let home = Home::new();
    let receiver = Receiver::start(|_| Answer::status(200));
    let keys = vec![Key { scheme: Scheme::Hmac, secret: Secret::new(SECRET.to_vec()), until: None }];
    let profile = ProfileName::Ensuro;
    home.add(NewEndpoint { profile, keys, ..endpoint("ensuro", &receiver.url()) });
    let event_type = EventType::parse("policy/creation").unwrap();
    let body = &provider::sample(ProfileName::Ensuro, &event_type, &mut Dice::new(1), wall()).unwrap()[..];
    let asked = Submission { event_type: Some(event_type), ..submission("policy", body) };
    operations::enqueue(&mut home.store(), &home.rules(), wall(), asked).unwrap();
    let daemon = Daemon::start(&home);
    let request = receiver.wait_for(1, PATIENCE).remove(0);
    assert_eq!(request.body, body);
    assert_eq!(request.header("content-type"), Some("application/json"));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(body);
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(request.header("x-ensuro-signature"), Some(expected.as_str()));
    home.wait_for_state("policy", StateName::Delivered);
    daemon.stop();
}

#[test]
fn what_was_enqueued_before_the_daemon_ran_is_delivered_by_it() {
    let home = Home::new();
    let receiver = Receiver::start(|_| Answer::status(200));
    let acme = home.add(endpoint("acme", &receiver.url()));
    home.enqueue_many("early", 50, &acme);
    let daemon = Daemon::start(&home);
    assert_eq!(daemon.wait_for_line("started")["pending"], 50);
    assert_eq!(home.wait_until_settled().delivered, 50);
    assert_eq!(distinct(&receiver).len(), 50);
    daemon.stop();
    assert_eq!(receiver.requests().len(), 50, "delivered once each");
}

#[test]
fn odd_bodies_arrive_as_they_were() {
    let home = Home::new();
    let receiver = Receiver::start(|_| Answer::status(200));
    home.add(endpoint("acme", &receiver.url()));
    let daemon = Daemon::start(&home);
    let every_byte: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..5 * 1024 * 1024_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    // Whoever parses this and prints it again has other bytes.
    let json = b"{ \"b\": 1.10,\t\"a\" : 1e2, \"b\":\"\\u0061\" }\n".to_vec();
    let bodies = [b"\0".to_vec(), b" ".to_vec(), b"\r\n\r\n".to_vec(), json, every_byte, large];
    for (number, body) in bodies.iter().enumerate() {
        let id = format!("odd-{number}");
        home.enqueue(&id, body);
        let request = receiver.wait_for(number + 1, PATIENCE).remove(number);
        assert!(request.body == *body, "body {number} has changed");
        assert_signed(&request, &id);
    }
    home.wait_until_settled();
    let too_large = vec![b'x'; 5 * 1024 * 1024 + 1];
    let refused = operations::enqueue(&mut home.store(), &home.rules(), wall(), submission("large", &too_large));
    assert!(refused.unwrap_err().to_string().contains("max_body_bytes"));
    daemon.stop();
}

#[test]
fn a_receiver_that_hangs_with_a_backlog_does_not_slow_another() {
    let home = Home::new();
    let slow = Receiver::start(|_| Answer::hang());
    let timed = Timed::start(|_| Answer::status(200));
    let patient = Overrides { timeout: Some(Span::from_seconds(30)), ..overrides(&[]) };
    let hanging = home.add(NewEndpoint { overrides: patient, ..endpoint("hanging", &slow.url()) });
    let healthy = home.add(endpoint("healthy", &timed.receiver.url()));
    home.enqueue_many("stuck", 2000, &hanging);
    let daemon = Daemon::start(&home);
    slow.wait_for(1, PATIENCE);
    let begun = Instant::now();
    home.enqueue_many("swift", 200, &healthy);
    timed.receiver.wait_for(200, PATIENCE);
    println!("200 events past a receiver that hangs with 2000: {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(distinct(&timed.receiver).len(), 200);
    drop(daemon);
}

#[test]
fn a_process_that_writes_without_a_pause_does_not_keep_the_daemon_waiting() {
    let home = Home::new();
    let timed = Timed::start(|_| Answer::status(200));
    let acme = home.add(endpoint("acme", &timed.receiver.url()));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut store = home.store();
            for number in 0.. {
                let nobody =
                    Submission { target: Target::Endpoints(vec![]), ..submission(&format!("noise-{number}"), b"1") };
                operations::enqueue(&mut store, &home.rules(), wall(), nobody).unwrap();
                if stop.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        // Ended by a panic too, or the scope would wait for ever.
        let _stop = StopOnDrop(&stop);
        let daemon = Daemon::start(&home);
        let mut latencies = Vec::new();
        for number in 1..=20 {
            home.enqueue_many(&format!("signal-{number}"), 1, &acme);
            let acknowledged = Instant::now();
            latencies.push(timed.at(number).saturating_duration_since(acknowledged));
        }
        latencies.sort();
        println!(
            "beside a process that writes without a pause: ready after {:?}, received after {:?}, {:?} at most",
            daemon.ready_after, latencies[10], latencies[19]
        );
        assert!(daemon.ready_after < Duration::from_secs(2), "{:?}", daemon.ready_after);
        assert!(latencies[10] < Duration::from_millis(500), "{latencies:?}");
    });
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn an_endpoint_added_or_removed_by_another_process_is_noticed() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let receiver = Receiver::start(|request| match request.path.as_str() {
        "/hook" => Answer::status(500),
        _ => Answer::status(200),
    });
    let hour = overrides(&[3_600_000]);
    home.add(NewEndpoint { overrides: hour, ..endpoint("gone", &receiver.url()) });
    home.enqueue("one", b"1");
    home.wait_for_attempts("one", 1);
    assert_eq!(home.remove("gone"), 1);
    let (delivery, attempts) = home.delivery("one");
    assert!(matches!(delivery.state, DeliveryState::Dead { reason: DeadReason::EndpointGone, .. }), "{delivery:?}");
    assert_eq!(attempts.len(), 1);
    let stays = receiver.url().replace("/hook", "/stays");
    home.add(endpoint("stays", &stays));
    home.enqueue("two", b"2");
    home.wait_for_state("two", StateName::Delivered);
    daemon.stop();
    assert_eq!(receiver.requests().len(), 2);
}

#[test]
fn an_endpoint_removed_while_an_attempt_is_in_flight_gets_no_other() {
    let home = Home::new();
    let receiver = Receiver::start(|_| {
        let Answer(steps) = Answer::status(500);
        Answer([vec![Step::Pause(Duration::from_millis(500))], steps].concat())
    });
    let narrow = Overrides { concurrency: Some(1), ..overrides(&[100, 100]) };
    let gone = home.add(NewEndpoint { overrides: narrow, ..endpoint("gone", &receiver.url()) });
    home.enqueue_many("owed", 5, &gone);
    let mut daemon = Daemon::start(&home);
    receiver.wait_for(1, PATIENCE);
    assert_eq!(home.remove("gone"), 4, "all but the one in flight");
    let counts = home.wait_until_settled();
    assert_eq!((counts.delivered, counts.dead), (0, 5));
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(receiver.requests().len(), 1);
    assert_eq!(daemon.told("attempt ended").len(), 1, "{:#?}", daemon.lines());
    assert_eq!(daemon.told("attempt ended")[0]["endpoint"], "gone");
    let buried = daemon.told("deliveries dead: endpoint gone");
    assert!(buried.iter().all(|line| line["endpoint"] == "gone"), "{buried:#?}");
}

fn distinct(receiver: &Receiver) -> BTreeSet<String> {
    receiver.requests().iter().map(|request| request.header("webhook-id").unwrap().to_owned()).collect()
}
