//! Whatever reads what others wrote, with samples of it and what must hold of what is read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use postrider::calendar::{parse_rfc3339, parse_since};
use postrider::config::{Sources, load};
use postrider::courier::Settings;
use postrider::courier::guard::check_url;
use postrider::delivery::{Carried, Reply, Timings, Verdict};
use postrider::endpoint::{EndpointName, Overrides, ProfileName, Scheme, Success};
use postrider::event::{EventId, EventType, Subscription};
use postrider::judge;
use postrider::provider::{self, dice::Dice};
use postrider::request::{check_content_type, check_header};
use postrider::schedule::Draw;
use postrider::signature::{self, Signed, VerifyKey};
use postrider::time::{Span, Time};
use postrider::trace::TraceContext;
use url::{Host, Url};

use super::Reader;

const NOW: Time = Time::from_ms(1_795_000_000_000);

pub fn all() -> Vec<(&'static str, Vec<Vec<u8>>, Reader)> {
    vec![
        ("URLs", texts(URLS), url as Reader),
        ("configurations", vec![include_bytes!("../../../config.toml").to_vec(), SMALL_CONFIG.to_vec()], configuration),
        ("headers", texts(HEADERS), header),
        ("Retry-After", texts(WAITS), retry_after),
        ("signatures", signatures(), signed),
        ("keys", keys(), key),
        ("payloads", payloads(), payload),
        ("names and times", texts(NAMES), name),
        ("trace contexts", texts(TRACES), trace),
    ]
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const URLS: &[&str] = &[
    "https://hooks.example/a?b=c",
    "https://hooks.example:8443/",
    "http://93.184.216.34/",
    "https://[2606:2800:220:1::1946]/x",
    "https://127.0.0.1/",
    "https://10.1.2.3:443/a",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::a00:1]/",
    "https://2130706433/",
    "https://user:pass@hooks.example/",
    "https://ｅｘａｍｐｌｅ.example/",
    "https://xn--bcher-kva.example/",
    "https://localhost/",
];

/// Judged once more, by the address ranges written down anew, of the text that comes out.
fn url(bytes: &[u8]) {
    let Ok(url) = check_url(&text(bytes), &Settings::default()) else { return };
    assert_eq!(url.scheme(), "https");
    let again = Url::parse(url.as_str()).expect("what was serialised");
    assert!(again.username().is_empty() && again.password().is_none());
    match again.host().expect("a host") {
        Host::Domain(name) => {
            let bare = name.trim_end_matches('.');
            assert!(bare.contains('.') && bare.rsplit('.').next() != Some("localhost"), "{name}");
        }
        Host::Ipv4(four) => assert!(!is_inner_4(four), "{four}"),
        Host::Ipv6(six) => assert!(!is_inner_6(six), "{six}"),
    }
}

fn is_inner_4(four: Ipv4Addr) -> bool {
    let [a, b, ..] = four.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmark = a == 198 && (18..20).contains(&b);
    let kinds = four.is_private() || four.is_loopback() || four.is_link_local() || four.is_multicast();
    kinds || four.is_documentation() || a == 0 || a >= 240 || shared || benchmark
}

fn is_inner_6(six: Ipv6Addr) -> bool {
    if let IpAddr::V4(four) = IpAddr::V6(six).to_canonical() {
        return is_inner_4(four);
    }
    let s = six.segments();
    let inside = |high: u16, low: u16| is_inner_4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    let kinds = six.is_loopback() || six.is_unspecified() || six.is_multicast() || s[0] & 0xfe00 == 0xfc00;
    kinds
        || s[0] & 0xffc0 == 0xfe80
        || s[0] & 0xffc0 == 0xfec0
        || (s[0] == 0x2001 && s[1] == 0x0db8)
        || (s[0] == 0x2002 && inside(s[1], s[2]))
        || (s[..2] == [0x64, 0xff9b] && s[2..6] == [0; 4] && inside(s[6], s[7]))
        || s[0] & 0xe000 != 0x2000 && s[..6] != [0x64, 0xff9b, 0, 0, 0, 0]
}

const SMALL_CONFIG: &[u8] =
    b"[store]\npath = \"a.db\"\n[safety]\nallow_addresses = [\"10.0.0.0/8\", \"::1\"]\n[log]\nlevel = \"warn\"\n";

fn configuration(bytes: &[u8]) {
    thread_local!(static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap());
    FOLDER.with(|folder| {
        let file = folder.path().join("config.toml");
        std::fs::write(&file, bytes).unwrap();
        let sources = Sources { file: Some(file), folder: folder.path().to_owned(), ..Sources::default() };
        match load(&sources) {
            Ok(loaded) => assert!(loaded.config.delivery.in_flight >= loaded.config.delivery.concurrency_per_endpoint),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

const HEADERS: &[&str] =
    &["X-Api-Key:secret", "x-a: b", "Authorization:Bearer x", "host:a", "webhook-id:x", "text/plain; charset=utf-8"];

fn header(bytes: &[u8]) {
    let whole = text(bytes);
    if check_content_type(&whole).is_ok() {
        assert!(is_one_line(&whole), "{whole:?}");
    }
    let Some((name, value)) = whole.split_once(':') else { return };
    if check_header(name, value).is_err() {
        return;
    }
    assert!(is_one_line(value) && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}: {value:?}");
    let lower = name.to_ascii_lowercase();
    for owned in ["host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"] {
        assert_ne!(lower, owned);
    }
    for owned in ["webhook-", "x-ensuro-", "x-eip191-", "proxy-"] {
        assert!(!lower.starts_with(owned), "{lower}");
    }
}

fn is_one_line(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

const WAITS: &[&str] = &[
    "120",
    "0",
    "-1",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "1.5",
    "99999999999999999999",
];

/// Never earlier than the schedule, never more than a day.
fn retry_after(bytes: &[u8]) {
    let terms = provider::terms(ProfileName::Standard, &Overrides::default());
    let head = |retry_after| Reply::Head { status: 503, retry_after, location: None, body: Vec::new() };
    let carried = Carried {
        started_at: NOW,
        finished_at: NOW,
        timings: Timings::default(),
        remote: None,
        resent: false,
        reply: head(Some(text(bytes))),
    };
    let outcome = judge::outcome(&carried, &terms);
    let at = |reply: &Reply| match judge::verdict(&outcome, Some(reply), &terms, 1, NOW, Draw(0)) {
        Verdict::RetryAt(at) => at,
        other => panic!("{other:?}"),
    };
    let (plain, wished) = (at(&head(None)), at(&carried.reply));
    assert!(wished >= plain && wished <= NOW + Span::from_hours(24), "{wished:?}");
}

const BODY: &[u8] = b"{\"a\":  1}";
const SIGNED: Signed = Signed { event_id: "msg_1", timestamp: 1_795_000_000, body: BODY };

fn good_keys() -> Vec<postrider::endpoint::Key> {
    let key = |scheme, text: &str| signature::read_key(scheme, text.as_bytes()).expect("a key");
    vec![
        key(Scheme::Hmac, "not much of a secret"),
        key(Scheme::Eip191, "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"),
        key(Scheme::V1, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        key(Scheme::V1a, "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
    ]
}

fn signatures() -> Vec<Vec<u8>> {
    good_keys().iter().map(|key| made(key).into_bytes()).collect()
}

/// The signature that a key makes.
fn made(key: &postrider::endpoint::Key) -> String {
    let headers = signature::headers([key], &SIGNED, None);
    headers.into_iter().find(|(name, _)| name.ends_with("signature")).expect("a signature").1
}

/// Any text as a signature: it is good only if it holds one that was made with that key.
fn signed(bytes: &[u8]) {
    let given = text(bytes);
    for key in good_keys() {
        let check: VerifyKey = signature::verify_key_of(&key);
        let other = Signed { body: b"{\"a\":  2}", ..SIGNED };
        assert!(signature::verify(&check, &given, &other).is_err(), "{given:?} is good for another body");
        if signature::verify(&check, &given, &SIGNED).is_ok() {
            let made = made(&key);
            let lower = given.to_ascii_lowercase();
            let bare =
                made.trim_start_matches("v1,").trim_start_matches("v1a,").trim_start_matches("0x").to_ascii_lowercase();
            assert!(lower.contains(&bare[..bare.len() - 4]), "{given:?} is good, and {made:?} was made");
        }
    }
}

fn keys() -> Vec<Vec<u8>> {
    texts(&[
        "not much of a secret\n",
        "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318",
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "whpk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "0x52908400098527886E0F7030069857D2E4169EE7",
    ])
}

/// What is read as a key signs, and what it signs is good.
fn key(bytes: &[u8]) {
    for scheme in [Scheme::Hmac, Scheme::Eip191, Scheme::V1, Scheme::V1a] {
        let _ = signature::read_verify_key(scheme, bytes);
        if let Ok(key) = signature::read_key(scheme, bytes) {
            let made = made(&key);
            signature::verify(&signature::verify_key_of(&key), &made, &SIGNED).expect("its own signature");
            assert!(!format!("{key:?}").contains(&text(bytes)) || bytes.len() < 8);
        }
    }
}

fn payloads() -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    for profile in [ProfileName::Ensuro, ProfileName::Octamile] {
        for known in provider::types(profile) {
            let event_type = EventType::parse(known).expect("a known type");
            samples.push(provider::sample(profile, &event_type, &mut Dice::new(3), NOW).expect("a sample"));
        }
    }
    samples
}

fn payload(bytes: &[u8]) {
    for profile in [ProfileName::Ensuro, ProfileName::Octamile, ProfileName::Standard] {
        let _ = provider::type_of_body(profile, bytes);
        for known in provider::types(profile) {
            let event_type = EventType::parse(known).expect("a known type");
            if provider::check(profile, &event_type, bytes).is_ok() && profile != ProfileName::Standard {
                let value: serde_json::Value = serde_json::from_slice(bytes).expect("what keeps the rules is JSON");
                assert!(value.is_object());
            }
        }
    }
}

const NAMES: &[&str] = &[
    "acme",
    "msg_1",
    "policy/creation",
    "policy/*",
    "2xx,404",
    "7days",
    "2026-11-01T00:00:00Z",
    "2026-11-01",
    "30s",
    "one-off-3",
];

fn name(bytes: &[u8]) {
    let given = text(bytes);
    if let Ok(id) = EventId::parse(&given) {
        assert!(
            id.as_str().len() <= 64 && id.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        );
    }
    if let Ok(name) = EndpointName::parse(&given) {
        assert!(is_one_line(name.as_str()) && name.as_str().len() <= 64);
    }
    if let Ok(event_type) = EventType::parse(&given) {
        assert!(is_one_line(event_type.as_str()));
    }
    let _ = (Subscription::parse(&given), Success::parse(&given), ProfileName::parse(&given), parse_since(&given, NOW));
    if let Ok(time) = parse_rfc3339(&given) {
        assert_eq!(parse_rfc3339(&postrider::calendar::rfc3339(time)).expect("what was written"), time);
    }
}

const TRACES: &[&str] = &[
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 vendor=value,other=1",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
];

fn trace(bytes: &[u8]) {
    let given = text(bytes);
    let (parent, state) = given.split_once(' ').map_or((given.as_str(), None), |(parent, state)| (parent, Some(state)));
    if let Ok(context) = TraceContext::parse(parent, state) {
        assert_eq!(context.trace_id().len(), 32);
        assert!(is_one_line(context.traceparent()) && context.tracestate().is_none_or(is_one_line));
    }
    let _ = TraceContext::from_text(&given);
}
