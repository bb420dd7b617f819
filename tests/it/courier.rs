//! The courier against receivers on real sockets: what goes out byte for byte, and what each misbehaviour is called.

mod heads;
mod names;
mod observed;
mod proxied;
mod walls;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use postrider::courier::{BodyEnd, Courier, Lookup, Settings};
use postrider::delivery::{Carried, Outcome, Reply, Stage, Timings};
use postrider::endpoint::{Overrides, ProfileName};
use postrider::judge;
use postrider::provider::{Terms, terms};
use postrider::request::Request;
use postrider::time::{Span, Time};

use crate::receivers::certificates::{Authority, Identity};
use crate::receivers::{Answer, Clogged, Door, Receiver, Step};

/// Longer than any of these tests takes on a busy machine.
const PATIENCE: Span = Span::from_seconds(20);
/// Where a timeout is what is tested.
const SHORT: Span = Span::from_ms(300);
const NOW: Time = Time::from_ms(1_700_000_000_000);

/// Plain HTTP to this machine.
fn lenient() -> Settings {
    Settings { allow_http: true, allow_addresses: vec!["127.0.0.0/8".parse().unwrap()], ..Settings::default() }
}

/// TLS to this machine, under the authority's root.
fn trusting(authority: &Authority) -> Settings {
    Settings { allow_http: false, extra_roots: vec![authority.root()], ..lenient() }
}

fn courier() -> Courier {
    Courier::new(lenient()).unwrap()
}

/// Every name has these addresses.
fn lookup(addresses: &[&str]) -> Lookup {
    let found: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Arc::new(move |_| {
        let found = found.clone();
        Box::pin(async move { Ok(found) })
    })
}

fn request(url: &str, timeout: Span) -> Request {
    let headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("x-ensuro-signature".to_owned(), "41deed".to_owned()),
        ("user-agent".to_owned(), "postrider".to_owned()),
    ];
    Request { url: url.to_owned(), headers, body: Arc::from(&b"{\"foo\":\"bar\"}"[..]), timeout }
}

async fn carry(courier: &Courier, url: &str) -> Carried {
    courier.carry(&request(url, PATIENCE), NOW).await
}

fn status(carried: &Carried) -> u16 {
    match &carried.reply {
        Reply::Head { status, .. } => *status,
        other => panic!("no head came: {other:?}"),
    }
}

fn body(carried: &Carried) -> &[u8] {
    match &carried.reply {
        Reply::Head { body, .. } => body,
        other => panic!("no head came: {other:?}"),
    }
}

#[track_caller]
fn assert_unreachable(carried: &Carried, wanted: Stage, part: &str) {
    match &carried.reply {
        Reply::Unreachable { stage, error } if *stage == wanted && error.contains(part) => {}
        other => panic!("wanted unreachable at {wanted:?} with {part:?}, got {other:?}"),
    }
}

#[track_caller]
fn assert_blocked(carried: &Carried, part: &str) {
    match &carried.reply {
        Reply::Blocked { reason } if reason.contains(part) => {}
        other => panic!("wanted blocked with {part:?}, got {other:?}"),
    }
}

#[tokio::test]
async fn a_request_goes_out_byte_for_byte_and_its_answer_comes_back() {
    let receiver = Receiver::start(|_| Answer::with(200, &[("retry-after", "7")], b"thanks"));
    let carried = carry(&courier(), &format!("{}?a=b%20c", receiver.url())).await;
    let wanted = Reply::Head { status: 200, retry_after: Some("7".into()), location: None, body: b"thanks".to_vec() };
    assert_eq!(carried.reply, wanted);
    assert_eq!(carried.started_at, NOW);
    assert!(carried.finished_at >= NOW);
    assert_eq!(carried.remote, Some(format!("127.0.0.1:{}", receiver.port())));
    assert!(!carried.resent);
    let sent = &receiver.requests()[0];
    let head = format!(
        "POST /hook?a=b%20c HTTP/1.1\r\ncontent-type: application/json\r\nx-ensuro-signature: 41deed\r\n\
         user-agent: postrider\r\naccept: */*\r\nhost: 127.0.0.1:{}\r\ncontent-length: 13\r\n\r\n",
        receiver.port()
    );
    assert_eq!(String::from_utf8_lossy(&sent.head), head);
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/hook?a=b%20c"));
    assert_eq!(sent.body, b"{\"foo\":\"bar\"}");
}

#[tokio::test]
async fn a_big_body_arrives_whole_and_shares_its_bytes_until_then() {
    let receiver = Receiver::start(|_| Answer::status(204));
    let big: Arc<[u8]> = (0..2_000_000u32).map(|n| n as u8).collect();
    let request = Request { body: big.clone(), ..request(&receiver.url(), PATIENCE) };
    assert_eq!(status(&courier().carry(&request, NOW).await), 204);
    assert_eq!(receiver.requests()[0].body, &big[..]);
}

#[tokio::test]
async fn a_connection_is_kept_and_its_second_request_has_no_connect_stage() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let courier = Courier::with_lookup(lenient(), lookup(&["127.0.0.1"])).unwrap();
    let url = format!("http://hooks.example:{}/", receiver.port());
    let first = carry(&courier, &url).await.timings;
    assert!(first.dns_us.is_some() && first.connect_us.is_some() && first.tls_us.is_none());
    let second = carry(&courier, &url).await;
    let timings = second.timings;
    assert!(timings.dns_us.is_none() && timings.connect_us.is_none() && timings.first_byte_us.is_some());
    assert!(timings.first_byte_us.unwrap() <= timings.total_us);
    assert_eq!(second.remote, Some(format!("127.0.0.1:{}", receiver.port())));
    assert_eq!(receiver.connections(), 1);
    assert_eq!(receiver.requests()[1].header("host"), Some(format!("hooks.example:{}", receiver.port()).as_str()));
}

#[tokio::test]
async fn many_at_once_are_all_answered_and_each_has_the_stages_of_its_own_connection() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let courier = courier();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (courier, url) = (courier.clone(), receiver.url());
        running.spawn(async move { carry(&courier, &url).await });
    }
    let carried = running.join_all().await;
    assert!(carried.iter().all(|carried| status(carried) == 200 && !carried.resent));
    let fresh = carried.iter().filter(|carried| carried.timings.connect_us.is_some()).count();
    assert!((1..=receiver.connections()).contains(&fresh), "{fresh} of {}", receiver.connections());
    assert_eq!(receiver.requests().len(), 40);
}

#[tokio::test]
async fn a_request_that_gets_anothers_connection_has_the_marks_of_a_reused_one() {
    for end in [Answer::status(200), Answer::reset()] {
        // The second request finds no idle connection and a resolver that hangs; then the first one's is free.
        let receiver = Receiver::start(move |request| match request.number {
            1 => {
                Answer(vec![Step::Pause(Duration::from_millis(200))].into_iter().chain(Answer::status(200).0).collect())
            }
            2 => end.clone(),
            _ => Answer::status(200),
        });
        let calls = AtomicUsize::new(0);
        let slow_second: Lookup = Arc::new(move |_| {
            let hangs = calls.fetch_add(1, Ordering::SeqCst) == 1;
            Box::pin(async move {
                let pause = if hangs { Duration::from_secs(2) } else { Duration::ZERO };
                tokio::time::sleep(pause).await;
                Ok(vec![[127, 0, 0, 1].into()])
            })
        });
        let courier = Courier::with_lookup(lenient(), slow_second).unwrap();
        let url = format!("http://hooks.example:{}/", receiver.port());
        let second = async {
            while receiver.requests().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            carry(&courier, &url).await
        };
        let (first, second) = tokio::join!(carry(&courier, &url), second);
        assert_eq!((status(&first), status(&second)), (200, 200));
        assert!(first.timings.dns_us.is_some() && !first.resent);
        assert_eq!(receiver.requests()[1].connection, 1);
        assert_eq!(second.resent, receiver.requests().len() == 3);
        assert_eq!(second.timings.dns_us.is_some(), second.resent, "{second:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_a_trusted_root_is_accepted() {
    let authority = Authority::new();
    let identity = authority.identity(&["hooks.example", "127.0.0.1"]);
    for identity in [identity.clone(), identity.only_tls12()] {
        let receiver = Receiver::start_tls(&identity, |_| Answer::status(200));
        let courier = Courier::with_lookup(trusting(&authority), lookup(&["127.0.0.1"])).unwrap();
        for url in [receiver.url(), format!("https://hooks.example:{}/", receiver.port())] {
            let carried = carry(&courier, &url).await;
            assert_eq!(status(&carried), 200);
            let timings = carried.timings;
            assert!(timings.connect_us.is_some() && timings.tls_us.is_some(), "{timings:?}");
            assert_eq!(timings.dns_us.is_some(), url.contains("hooks.example"));
        }
        assert_eq!(status(&carry(&courier, &receiver.url()).await), 200);
        assert_eq!(receiver.connections(), 2, "a TLS connection is kept too");
    }
}

#[tokio::test]
async fn a_bad_certificate_is_refused_and_named() {
    let authority = Authority::new();
    let courier = Courier::with_lookup(trusting(&authority), lookup(&["127.0.0.1"])).unwrap();
    for (identity, part) in [
        (authority.identity(&["other.example"]), "for another name: wanted hooks.example, got "),
        (authority.expired(&["hooks.example"]), "has expired"),
        (Authority::new().identity(&["hooks.example"]), "issuer is unknown"),
        (Identity::self_signed(&["hooks.example"]), "issuer is unknown"),
    ] {
        let receiver = Receiver::start_tls(&identity, |_| Answer::status(200));
        let carried = carry(&courier, &format!("https://hooks.example:{}/?token=secret", receiver.port())).await;
        assert_unreachable(&carried, Stage::Tls, part);
        assert!(!format!("{:?}", carried.reply).contains("secret"));
        assert_eq!(carried.remote, Some(format!("127.0.0.1:{}", receiver.port())));
        assert_eq!(receiver.requests().len(), 0);
    }
    let plain = Receiver::behind(Door::Greet, true);
    assert_unreachable(&carry(&courier, &plain.url()).await, Stage::Tls, "does not speak TLS");
}

#[test]
fn an_extra_root_must_be_a_certificate() {
    let settings = Settings { extra_roots: vec![b"no certificate".to_vec().into()], ..Settings::default() };
    assert!(Courier::new(settings).err().unwrap().contains("certificate 1 of the extra roots"));
    assert!(Authority::new().pem().starts_with("-----BEGIN CERTIFICATE-----"));
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_unreachable_and_sent_once() {
    for answer in [Answer::close(), Answer::reset(), Answer::half_a_head_then_reset()] {
        let receiver = Receiver::start(move |_| answer.clone());
        let carried = carry(&courier(), &receiver.url()).await;
        assert_unreachable(&carried, Stage::Answer, "the connection was");
        assert!(!carried.resent);
        assert_eq!(carried.remote, Some(format!("127.0.0.1:{}", receiver.port())));
        assert_eq!(receiver.requests().len(), 1);
    }
    let slammed = Receiver::behind(Door::Reset, true);
    assert_unreachable(&carry(&courier(), &slammed.url()).await, Stage::Tls, "the connection was");
}

#[tokio::test]
async fn nobody_listening_is_connection_refused() {
    let mut receiver = Receiver::start(|_| Answer::status(200));
    receiver.stop();
    let carried = carry(&courier(), &receiver.url()).await;
    assert_unreachable(&carried, Stage::Connect, "connection refused");
    assert_eq!(carried.remote, None);
    receiver.restart();
    assert_eq!(status(&carry(&courier(), &receiver.url()).await), 200);
    assert_eq!(receiver.wait_for(1, Duration::from_secs(5)).len(), 1);
}

#[tokio::test]
async fn a_name_without_addresses_is_unreachable() {
    let lost: Lookup = Arc::new(|_| {
        Box::pin(async {
            Err(std::io::Error::other("failed to lookup address information: Name or service not known"))
        })
    });
    let carried = carry(&Courier::with_lookup(lenient(), lost).unwrap(), "http://hooks.example/").await;
    assert_unreachable(&carried, Stage::Dns, "hooks.example does not resolve: Name or service not known");
    let carried = carry(&Courier::with_lookup(lenient(), lookup(&[])).unwrap(), "http://hooks.example/").await;
    assert_unreachable(&carried, Stage::Dns, "hooks.example has no addresses");
}

#[tokio::test]
async fn a_dead_idle_connection_costs_one_resend_and_no_attempt() {
    for end in [Answer::reset(), Answer::close()] {
        let receiver = Receiver::start(move |request| match request.on_connection {
            1 => Answer::status(200),
            _ => end.clone(),
        });
        let courier = courier();
        assert!(!carry(&courier, &receiver.url()).await.resent);
        let carried = carry(&courier, &receiver.url()).await;
        assert_eq!(status(&carried), 200);
        assert!(carried.resent);
        assert!(carried.timings.connect_us.is_some(), "the timings are those of the fresh connection");
        let connections: Vec<usize> = receiver.requests().iter().map(|request| request.connection).collect();
        assert_eq!(connections, [1, 1, 2]);
    }
}

#[tokio::test]
async fn a_resend_happens_once() {
    let receiver = Receiver::start(|request| match request.number {
        1 => Answer::status(200),
        _ => Answer::reset(),
    });
    let courier = courier();
    carry(&courier, &receiver.url()).await;
    let carried = carry(&courier, &receiver.url()).await;
    assert_unreachable(&carried, Stage::Answer, "the connection was");
    assert!(carried.resent);
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test]
async fn a_resent_requests_answer_is_late_by_the_time_since_its_first_sending() {
    const LOST: Duration = Duration::from_millis(600);
    let receiver = Receiver::start(|request| match request.number {
        2 => Answer(vec![Step::Pause(LOST), Step::Reset]),
        _ => Answer::status(200),
    });
    let courier = courier();
    let prompt = carry(&courier, &receiver.url()).await;
    let carried = carry(&courier, &receiver.url()).await;
    assert!(carried.resent && !prompt.resent);
    let Timings { dns_us, connect_us, tls_us, first_byte_us, total_us } = carried.timings;
    assert!(connect_us.unwrap() < LOST.as_micros() as u64, "the fresh connection's own time");
    assert!(first_byte_us.unwrap() >= LOST.as_micros() as u64);
    let sum: u64 = [dns_us, connect_us, tls_us, first_byte_us].into_iter().flatten().sum();
    assert!(sum <= total_us, "no time is counted twice: {:?}", carried.timings);
    let limit = Some(Span::from_ms(500));
    let terms = Terms { late_after: limit, ..terms(ProfileName::Octamile, &Overrides::default()) };
    assert_eq!(judge::outcome(&carried, &terms), Outcome::Accepted { status: 200, late: true });
}

#[tokio::test]
async fn a_timeout_on_an_idle_connection_is_not_resent() {
    let receiver = Receiver::start(|request| match request.number {
        1 => Answer::status(200),
        _ => Answer::hang(),
    });
    let courier = courier();
    carry(&courier, &receiver.url()).await;
    let carried = courier.carry(&request(&receiver.url(), SHORT), NOW).await;
    assert_eq!(carried.reply, Reply::TimedOut { stage: Stage::Answer });
    assert!(!carried.resent);
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test]
async fn a_receiver_that_restarted_is_reached_at_once() {
    let mut receiver = Receiver::start(|_| Answer::status(200));
    let courier = courier();
    assert_eq!(status(&carry(&courier, &receiver.url()).await), 200);
    receiver.restart();
    assert_eq!(status(&carry(&courier, &receiver.url()).await), 200);
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test]
async fn the_status_stands_whatever_the_body_does() {
    let settings = Settings { answer_body_wait: SHORT, ..lenient() };
    let courier = Courier::new(settings).unwrap();
    for (answer, beginning) in [
        (Answer::drip(200), &b""[..]),
        (Answer::reset_in_body(200), b"beginning"),
        (Answer::endless(200), b"xxxx"),
        (Answer::with(200, &[], b"whole").then_reset(), b"whole"),
        (Answer::with(200, &[], b"whole").then_close(), b"whole"),
    ] {
        let receiver = Receiver::start(move |_| answer.clone());
        let begun = Instant::now();
        let carried = carry(&courier, &receiver.url()).await;
        assert_eq!(status(&carried), 200);
        assert!(body(&carried).starts_with(beginning));
        assert!(body(&carried).len() <= 16 * 1024);
        assert!(begun.elapsed() < Duration::from_secs(10), "a body may not use up the timeout");
    }
}

#[tokio::test]
async fn the_timeout_ends_a_body_before_its_own_wait_does() {
    let receiver = Receiver::start(|_| Answer::drip(200));
    let courier = Courier::new(Settings { answer_body_wait: PATIENCE, ..lenient() }).unwrap();
    let begun = Instant::now();
    let carried = courier.carry(&request(&receiver.url(), Span::from_ms(1000)), NOW).await;
    assert_eq!(status(&carried), 200);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_kept_answer_is_cut_at_its_limit() {
    let receiver = Receiver::start(|_| Answer::with(500, &[], &[b'e'; 100_000]));
    let carried = carry(&courier(), &receiver.url()).await;
    assert_eq!(body(&carried), vec![b'e'; 16 * 1024]);
}

#[tokio::test]
async fn a_redirect_is_shown_and_not_followed() {
    let canary = Receiver::start(|_| Answer::status(200));
    let target = canary.url();
    let receiver = Receiver::start(move |_| Answer::redirect(&target));
    let carried = carry(&courier(), &receiver.url()).await;
    assert_eq!(status(&carried), 302);
    assert!(matches!(&carried.reply, Reply::Head { location: Some(location), .. } if *location == canary.url()));
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_hang_is_named_by_its_stage() {
    let silent: Lookup = Arc::new(|_| Box::pin(std::future::pending()));
    let nameless = Courier::with_lookup(lenient(), silent).unwrap();
    let carried = nameless.carry(&request("http://hooks.example/", SHORT), NOW).await;
    assert_eq!(carried.reply, Reply::TimedOut { stage: Stage::Dns });

    let clogged = Clogged::open().await;
    let carried = courier().carry(&request(&clogged.url, SHORT), NOW).await;
    assert_eq!(carried.reply, Reply::TimedOut { stage: Stage::Connect });

    let mute = Receiver::behind(Door::Hang, true);
    let carried = courier().carry(&request(&mute.url(), SHORT), NOW).await;
    assert_eq!(carried.reply, Reply::TimedOut { stage: Stage::Tls });
    assert!(carried.timings.connect_us.is_some() && carried.timings.tls_us.is_none());

    let mute = Receiver::behind(Door::Hang, false);
    let carried = courier().carry(&request(&mute.url(), SHORT), NOW).await;
    assert_eq!(carried.reply, Reply::TimedOut { stage: Stage::Answer });

    for answer in [Answer::hang(), Answer::hang_in_head()] {
        let receiver = Receiver::start(move |_| answer.clone());
        let carried = courier().carry(&request(&receiver.url(), SHORT), NOW).await;
        assert_eq!(carried.reply, Reply::TimedOut { stage: Stage::Answer });
        assert!(carried.timings.total_us >= 300_000);
        assert!(carried.finished_at.since(carried.started_at) >= SHORT);
    }
}

#[tokio::test]
async fn a_connection_has_a_limit_of_its_own() {
    let clogged = Clogged::open().await;
    let courier = Courier::new(Settings { connect_timeout: SHORT, ..lenient() }).unwrap();
    let begun = Instant::now();
    let carried = carry(&courier, &clogged.url).await;
    assert_eq!(carried.reply, Reply::TimedOut { stage: Stage::Connect });
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn the_connect_limit_does_not_cover_tls_or_the_answer() {
    let courier = Courier::new(Settings { connect_timeout: SHORT, ..lenient() }).unwrap();
    let mute = Receiver::behind(Door::Hang, true);
    let carried = courier.carry(&request(&mute.url(), Span::from_ms(900)), NOW).await;
    assert_eq!(carried.reply, Reply::TimedOut { stage: Stage::Tls });
    assert!(carried.timings.total_us >= 900_000);
}

#[tokio::test]
async fn interim_answers_without_end_stop_at_the_deadline() {
    let receiver = Receiver::start(|_| Answer::interim_flood());
    let carried = courier().carry(&request(&receiver.url(), SHORT), NOW).await;
    assert_eq!(carried.reply, Reply::TimedOut { stage: Stage::Answer });
}
