//! What each notice looks like, to a person and to a program, and that no line can be forged.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::*;
use crate::delivery::{DeadReason, Timings};

/// 2026-11-01T00:00:00Z.
const NOW: Time = Time::from_ms(1_793_491_200_000);

/// Keeps what is written; or, as a closed pipe does, refuses it.
#[derive(Clone, Default)]
struct Sink {
    written: Arc<Mutex<Vec<u8>>>,
    closed: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.closed {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => self.written.lock().unwrap().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(format: Format, colour: bool, level: Level, act: impl FnOnce()) -> String {
    let sink = Sink::default();
    let writer = sink.clone();
    let layer = layer(Lines { format, colour, clock: || NOW }, level, move || writer.clone());
    tracing::subscriber::with_default(Registry::default().with(layer), act);
    String::from_utf8(sink.written.lock().unwrap().clone()).unwrap()
}

fn as_text(notice: &Notice<'_>) -> String {
    written(Format::Text, false, Level::Debug, || tell(notice))
}

fn as_json(notice: &Notice<'_>) -> String {
    written(Format::Json, true, Level::Debug, || tell(notice))
}

/// Tells of one attempt that ended so.
fn attempt(outcome: Outcome, verdict: Verdict, told: fn(&Notice<'_>) -> String) -> String {
    let timings = Timings {
        dns_us: Some(900),
        connect_us: Some(12_000),
        tls_us: None,
        first_byte_us: Some(30_500),
        total_us: 51_999,
    };
    let attempt = Attempt {
        number: 2,
        started_at: NOW - Span::from_ms(52),
        finished_at: NOW,
        timings,
        remote: Some("[2001:db8::1]:443".to_owned()),
        resent: false,
        outcome,
        answer: b"SECRET ANSWER".to_vec(),
        location: Some("https://other.example/?token=SECRET".to_owned()),
    };
    told(&Notice::AttemptEnded(AttemptEnded {
        event: &EventId::parse("evt_1").unwrap(),
        event_type: &EventType::parse("policy/creation").unwrap(),
        endpoint: "acme",
        profile: ProfileName::Ensuro,
        delivery: DeliveryId(7),
        attempt: &attempt,
        of: 11,
        verdict,
    }))
}

const WHO: &str = "event=evt_1 type=policy/creation endpoint=acme profile=ensuro delivery=dlv_7 attempt=2 of=11";
const HOW_LONG: &str = "duration_ms=51 dns_us=900 connect_us=12000 first_byte_us=30500 remote=[2001:db8::1]:443";

#[test]
fn an_attempt_is_one_wide_line_as_grave_as_its_verdict() {
    let retry = Verdict::RetryAt(NOW + Span::from_seconds(60));
    let dead = Verdict::Dead(DeadReason::ScheduleUsedUp);
    let next = "next_at=2026-11-01T00:01:00.000Z next_in=\"1 min\"";
    let cases = [
        (
            Outcome::Accepted { status: 200, late: true },
            Verdict::Delivered,
            "DEBUG",
            "accepted status=200 late=true verdict=delivered".to_owned(),
        ),
        (Outcome::Rejected { status: 503 }, retry, " WARN", format!("rejected status=503 verdict=retry {next}")),
        (
            Outcome::TimedOut { stage: Stage::Answer },
            retry,
            " WARN",
            format!("\"timed out\" stage=answer verdict=retry {next}"),
        ),
        (
            Outcome::Unreachable { stage: Stage::Connect, error: "refused\n".to_owned() },
            dead,
            "ERROR",
            "unreachable stage=connect error=\"refused\\u{a}\" verdict=dead reason=\"schedule used up\"".to_owned(),
        ),
        (
            Outcome::Blocked { reason: "10.0.0.1 is private".to_owned() },
            retry,
            " WARN",
            format!("blocked error=\"10.0.0.1 is private\" verdict=retry {next}"),
        ),
        (
            Outcome::Unknown,
            Verdict::Dead(DeadReason::EndpointGone),
            "ERROR",
            "unknown verdict=dead reason=\"endpoint gone\"".to_owned(),
        ),
    ];
    for (outcome, verdict, level, said) in cases {
        assert_eq!(
            attempt(outcome, verdict, as_text),
            format!("2026-11-01T00:00:00.000Z {level} attempt ended {WHO} outcome={said} {HOW_LONG}\n")
        );
    }
}

#[test]
fn a_program_gets_the_same_as_one_flat_object() {
    let retry = Verdict::RetryAt(NOW + Span::from_seconds(60));
    let error = "reset \u{9b}2J \u{1b}[0m \u{202e}\n".to_owned();
    let line = attempt(Outcome::Unreachable { stage: Stage::Tls, error: error.clone() }, retry, as_json);
    assert_eq!(
        line,
        concat!(
            r#"{"timestamp":"2026-11-01T00:00:00.000Z","level":"warn","message":"attempt ended","event":"evt_1","#,
            r#""type":"policy/creation","endpoint":"acme","profile":"ensuro","delivery":"dlv_7","attempt":2,"of":11,"#,
            r#""outcome":"unreachable","stage":"tls","error":"reset \u009b2J \u001b[0m \u202e\n","verdict":"retry","#,
            r#""next_at":"2026-11-01T00:01:00.000Z","next_in":"1 min","duration_ms":51,"dns_us":900,"#,
            r#""connect_us":12000,"first_byte_us":30500,"remote":"[2001:db8::1]:443"}"#,
            "\n"
        )
    );
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["error"], error);
}

#[test]
fn what_a_receiver_answered_and_where_it_pointed_is_not_told() {
    for told in [as_text, as_json] {
        let line = attempt(Outcome::Rejected { status: 302 }, Verdict::Delivered, told);
        assert!(line.contains("302") && !line.contains("SECRET"), "{line}");
    }
}

#[test]
fn every_notice_is_one_line() {
    let notices = [
        (
            Notice::Started {
                store: Path::new("/var/lib/my postrider.db"),
                version: "0.1.0",
                pid: 7,
                endpoints: 2,
                pending: 3,
                recovered: 1,
            },
            " INFO started version=0.1.0 pid=7 store=\"/var/lib/my postrider.db\" endpoints=2 pending=3 recovered=1",
        ),
        (Notice::Listening { address: "http://[::1]:8787" }, " INFO listening address=http://[::1]:8787"),
        (
            Notice::ConnectionsRefused { error: "no handles", retry_in: Span::from_ms(500) },
            "ERROR no connections can be taken error=\"no handles\" retry_in=\"500 ms\"",
        ),
        (
            Notice::DeliveryUsedUp { delivery: DeliveryId(7), endpoint: "acme" },
            "ERROR delivery dead: schedule used up delivery=dlv_7 endpoint=acme",
        ),
        (
            Notice::DeliveriesBuried { endpoint: "acme", deliveries: 40 },
            "ERROR deliveries dead: endpoint gone endpoint=acme deliveries=40",
        ),
        (
            Notice::EndpointDisabled { endpoint: "acme", reason: "it answered 410" },
            "ERROR endpoint disabled endpoint=acme reason=\"it answered 410\"",
        ),
        (
            Notice::StoreFailing { error: "disk full", retry_in: Span::from_ms(250) },
            "ERROR store failing error=\"disk full\" retry_in=\"250 ms\"",
        ),
        (Notice::StoreWell { after: Span::from_seconds(9) }, " INFO store well again after=\"9 s\""),
        (Notice::ClockSet { by: Span::from_minutes(10) }, " INFO clock set forward by=\"10 min\""),
        (Notice::ClockStepped { by: Span::from_hours(-1), shifted: 5 }, " WARN clock stepped by=\"-1 h\" shifted=5"),
        (Notice::Pruned { events: 12 }, " INFO pruned events=12"),
        (Notice::Warning { text: "a\nb: c=\"d\"" }, " WARN a\\u{a}b: c=\"d\""),
        (Notice::Draining { in_flight: 3 }, " INFO draining in_flight=3"),
        (Notice::Stopped { pending: 0 }, " INFO stopped pending=0"),
    ];
    for (notice, said) in notices {
        assert_eq!(as_text(&notice), format!("2026-11-01T00:00:00.000Z {said}\n"));
        let line = as_json(&notice);
        assert!(line.ends_with("}\n") && line.lines().count() == 1, "{line}");
        serde_json::from_str::<serde_json::Value>(&line).unwrap();
    }
}

#[test]
fn a_value_cannot_end_its_line_nor_pass_for_another_field() {
    let forged = "x\" verdict=\"delivered\r\n2026-11-01T00:00:00.000Z  INFO attempt ended \\";
    let line = as_text(&Notice::StoreFailing { error: forged, retry_in: Span::ZERO });
    assert_eq!(line.lines().count(), 1);
    assert_eq!(
        line,
        "2026-11-01T00:00:00.000Z ERROR store failing error=\"x\\\" verdict=\\\"delivered\\u{d}\\u{a}\
         2026-11-01T00:00:00.000Z  INFO attempt ended \\\\\" retry_in=\"0 ms\"\n"
    );
    for odd in ["", "a b", "a=b", "\u{a0}", "\u{1b}"] {
        let line = as_text(&Notice::EndpointDisabled { endpoint: "acme", reason: odd });
        assert!(line.contains(" reason=\"") && line.ends_with("\"\n"), "{line}");
    }
}

#[test]
fn libraries_are_heard_when_they_warn_and_never_in_detail() {
    let heard = written(Format::Text, false, Level::Trace, || {
        tracing::trace!(target: "hyper::proto", "webhook-signature: v1,SECRET");
        tracing::info!(target: "hyper::proto", "connected");
        tracing::warn!(target: "rustls", "odd certificate");
        tracing::trace!(target: "postrider::engine", "own detail");
    });
    assert_eq!(
        heard,
        "2026-11-01T00:00:00.000Z  WARN odd certificate target=rustls\n\
         2026-11-01T00:00:00.000Z TRACE own detail\n"
    );
    let only_errors = written(Format::Text, false, Level::Error, || {
        tracing::warn!(target: "rustls", "odd certificate");
        tell(&Notice::Pruned { events: 1 });
    });
    assert_eq!(only_errors, "");
}

#[test]
fn no_field_passes_for_the_level_of_a_json_line() {
    let line = written(Format::Json, false, Level::Info, || {
        tracing::warn!(level = "info", timestamp = "1999", other = 1.5, "odd");
    });
    assert_eq!(
        line,
        "{\"timestamp\":\"2026-11-01T00:00:00.000Z\",\"level\":\"warn\",\"message\":\"odd\",\"other\":1.5}\n"
    );
}

#[test]
fn colours_are_for_terminals_of_people_who_want_them() {
    let wants = |terminal, no_color: Option<&str>, term: Option<&str>| {
        wants_colour(terminal, no_color.map(OsStr::new), term.map(OsStr::new))
    };
    assert!(wants(true, None, Some("xterm")) && wants(true, Some(""), None));
    assert!(!wants(false, None, Some("xterm")) && !wants(true, Some("1"), None) && !wants(true, None, Some("dumb")));

    let line = written(Format::Text, true, Level::Info, || tell(&Notice::Pruned { events: 1 }));
    assert_eq!(line, "\x1b[2m2026-11-01T00:00:00.000Z\x1b[0m \x1b[32m INFO\x1b[0m pruned \x1b[2mevents=\x1b[0m1\n");
}

#[test]
fn a_closed_pipe_loses_the_line_and_nothing_else() {
    let writer = Sink { closed: true, ..Sink::default() };
    let layer =
        layer(Lines { format: Format::Text, colour: false, clock: || NOW }, Level::Info, move || writer.clone());
    tracing::subscriber::with_default(Registry::default().with(layer), || tell(&Notice::Pruned { events: 1 }));
}
