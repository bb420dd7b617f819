use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::delivery::{Attempt, DeadReason, Delivery, DeliveryId, DeliveryState, Outcome, Stage, StateName, Timings};
use crate::endpoint::{Endpoint, EndpointId, EndpointName, EndpointState, Key, Overrides, ProfileName, Scheme, Secret};
use crate::operations::look::timetable::of_profile;

const AT: Time = Time::from_ms(1_793_491_200_007);

fn value<T: Serialize>(answer: &T) -> Value {
    serde_json::to_value(answer).unwrap()
}

/// Writes and reads again, which must give the same.
fn round_trip<T: Serialize + for<'de> Deserialize<'de> + PartialEq + fmt::Debug>(answer: &T) -> String {
    let text = serde_json::to_string(answer).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), answer, "{text}");
    text
}

fn attempt(outcome: Outcome, answer: &[u8]) -> Attempt {
    Attempt {
        number: 2,
        started_at: AT,
        finished_at: AT,
        timings: Timings { total_us: 12_500, dns_us: Some(3), ..Timings::default() },
        remote: Some("192.0.2.1:443".to_owned()),
        resent: false,
        outcome,
        answer: answer.to_vec(),
        location: Some("/login?token=s3cret".to_owned()),
    }
}

fn endpoint(state: EndpointState) -> Endpoint {
    Endpoint {
        id: EndpointId(1),
        name: Some(EndpointName::parse("acme").unwrap()),
        url: "https://acme.example/hook?token=s3cret".to_owned(),
        profile: ProfileName::Ensuro,
        subscriptions: vec![],
        overrides: Overrides { concurrency: Some(2), ..Overrides::default() },
        keys: vec![Key { scheme: Scheme::Hmac, secret: Secret::new(b"topsecret".to_vec()), until: None }],
        state,
        created_at: AT,
    }
}

#[test]
fn the_words_of_answers_are_those_of_the_program() {
    for name in StateName::ALL {
        assert_eq!(value(&State::from(name)), name.as_str());
        assert_eq!(State::from(name).name(), name);
    }
    for reason in DeadReason::ALL {
        assert_eq!(value(&Reason::from(reason)), reason.as_str());
        assert_eq!(Reason::from(reason).reason(), reason);
    }
    for stage in Stage::ALL {
        assert_eq!(value(&StageWord::from(stage)), stage.as_str());
        assert_eq!(StageWord::from(stage).stage(), stage);
    }
    for profile in ProfileName::ALL {
        assert_eq!(value(&Profile::from(profile)), profile.as_str());
        assert_eq!(Profile::from(profile).name(), profile);
    }
    for scheme in Scheme::ALL {
        assert_eq!(value(&SchemeWord::from(scheme)), scheme.as_str());
        assert_eq!(SchemeWord::from(scheme).scheme(), scheme);
    }
    let error = || "no".to_owned();
    for outcome in [
        Outcome::Accepted { status: 200, late: false },
        Outcome::Rejected { status: 500 },
        Outcome::TimedOut { stage: Stage::Tls },
        Outcome::Unreachable { stage: Stage::Dns, error: error() },
        Outcome::Blocked { reason: error() },
        Outcome::Unknown,
    ] {
        assert_eq!(value(&OutcomeWord::from(&outcome)), outcome.name());
        let came = AttemptOutcome::from(&attempt(outcome.clone(), b""));
        assert_eq!(came.outcome(), outcome);
    }
}

#[test]
fn a_time_is_text_and_reads_as_the_same_time() {
    assert_eq!(round_trip(&Stamp(AT)), "\"2026-11-01T00:00:00.007Z\"");
    let offset: Stamp = serde_json::from_str("\"2026-11-01T02:00:00.007+02:00\"").unwrap();
    assert_eq!(offset, Stamp(AT));
    assert!(serde_json::from_str::<Stamp>("\"yesterday\"").unwrap_err().to_string().contains("RFC 3339"));
}

#[test]
fn notes_keep_their_order() {
    let notes = Notes(vec![("timeout".into(), "10 s".into()), ("late_after".into(), "5 s".into())]);
    assert_eq!(round_trip(&notes), "{\"timeout\":\"10 s\",\"late_after\":\"5 s\"}");
    assert_eq!((notes.get("late_after"), notes.get("success")), (Some("5 s"), None));
}

#[test]
fn an_attempt_has_all_fields_in_their_order_and_bytes_that_are_no_text_as_base64() {
    let refused = Outcome::Unreachable { stage: Stage::Connect, error: "refused".to_owned() };
    let answer = AttemptAnswer::from(&attempt(refused, b"\xff"));
    assert_eq!(
        round_trip(&answer),
        "{\"number\":2,\"started_at\":\"2026-11-01T00:00:00.007Z\",\"finished_at\":\"2026-11-01T00:00:00.007Z\",\
         \"outcome\":\"unreachable\",\"status\":null,\"late\":false,\"stage\":\"connect\",\"error\":\"refused\",\
         \"total_us\":12500,\"dns_us\":3,\"connect_us\":null,\"tls_us\":null,\"first_byte_us\":null,\
         \"remote\":\"192.0.2.1:443\",\"resent\":false,\"location\":\"/login?token=***\",\"answer_base64\":\"/w==\"}"
    );
    assert_eq!(answer.answer(), b"\xff");
    let text = AttemptAnswer::from(&attempt(Outcome::Rejected { status: 500 }, b"no"));
    assert!(round_trip(&text).ends_with(",\"answer\":\"no\"}"));
}

#[test]
fn an_answer_that_contradicts_itself_is_of_unknown_outcome() {
    let timed_out = AttemptOutcome::from(&attempt(Outcome::TimedOut { stage: Stage::Tls }, b""));
    for outcome in [OutcomeWord::Accepted, OutcomeWord::Rejected, OutcomeWord::Unreachable, OutcomeWord::Blocked] {
        assert_eq!(AttemptOutcome { outcome, ..timed_out.clone() }.outcome(), Outcome::Unknown);
    }
}

#[test]
fn a_standing_tells_what_is_due_and_why_it_ended() {
    let standing = |state| {
        let delivery = Delivery { id: DeliveryId(7), endpoint: EndpointId(1), state, attempts: 3, earlier: 0 };
        round_trip(&Standing::new(&delivery, 11))
    };
    assert_eq!(
        standing(DeliveryState::Dead { at: AT, reason: DeadReason::ScheduleUsedUp }),
        "{\"state\":\"dead\",\"attempts_made\":3,\"of\":11,\"due_at\":null,\"in_flight_since\":null,\
         \"ended_at\":\"2026-11-01T00:00:00.007Z\",\"reason\":\"schedule used up\"}"
    );
    let flying = standing(DeliveryState::Pending { due_at: AT, leased_at: Some(AT) });
    assert!(flying.contains("\"in_flight_since\":\"2026-11-01T00:00:00.007Z\",\"ended_at\":null"), "{flying}");
}

#[test]
fn an_endpoint_shows_no_secret_and_tells_what_it_overrides() {
    let active = EndpointAnswer::new(&endpoint(EndpointState::Active), 8);
    let text = round_trip(&active);
    assert!(!text.contains("s3cret") && !text.contains("topsecret"), "{text}");
    assert!(text.contains("\"concurrency\":2,\"concurrency_configured\":8,\"rate_per_second\":null"), "{text}");
    assert!(text.contains("\"keys\":[{\"scheme\":\"hmac\",\"public\":null}]"), "{text}");
    assert!(
        text.starts_with("{\"name\":\"acme\",\"state\":\"active\",\"since\":null,\"reason\":null,\"url\""),
        "{text}"
    );
    let gone = EndpointState::Disabled { since: AT, reason: "answered 410".to_owned() };
    let disabled = value(&EndpointAnswer::new(&endpoint(gone), 8));
    assert_eq!((&disabled["state"], &disabled["reason"]), (&json!("disabled"), &json!("answered 410")));
    let revealed = EndpointAnswer { secret: Some(Revealed("whsec_x".to_owned())), ..active };
    assert!(round_trip(&revealed).ends_with("\"secret\":\"whsec_x\"}"));
    assert!(!format!("{revealed:?}").contains("whsec_x"));
}

#[test]
fn timetables_are_read_as_they_were_written() {
    for profile in ProfileName::ALL {
        round_trip(&TimetableAnswer::new(&of_profile(profile), AT));
    }
}

#[test]
fn a_batchs_line_has_the_answers_fields_or_a_problem() {
    let accepted = AcceptedAnswer {
        event: "msg_1".to_owned(),
        event_type: "order.paid".to_owned(),
        accepted_at: Stamp(AT),
        again: false,
        deliveries: vec![AcceptedDelivery { id: "dlv_1".to_owned(), endpoint: "acme".to_owned() }],
        warnings: vec![],
    };
    assert!(round_trip(&accepted).contains("\"again\":false"));
    assert_eq!(
        round_trip(&BatchResult::accepted(1, accepted.clone())),
        "{\"line\":1,\"status\":\"accepted\",\"event\":\"msg_1\",\"type\":\"order.paid\",\
         \"accepted_at\":\"2026-11-01T00:00:00.007Z\",\"deliveries\":[{\"id\":\"dlv_1\",\"endpoint\":\"acme\"}]}"
    );
    let again = BatchResult::accepted(2, AcceptedAnswer { again: true, ..accepted });
    assert!(round_trip(&again).contains("\"again\":true"));
    let problem = Problem {
        problem_type: "urn:postrider:problem:unknown-endpoint".to_owned(),
        title: "Unknown endpoint".to_owned(),
        status: 422,
        detail: "there is no endpoint acme".to_owned(),
        errors: vec![],
    };
    assert_eq!(
        round_trip(&BatchResult::refused(3, problem)),
        "{\"line\":3,\"status\":\"refused\",\"problem\":{\"type\":\"urn:postrider:problem:unknown-endpoint\",\
         \"title\":\"Unknown endpoint\",\"status\":422,\"detail\":\"there is no endpoint acme\"}}"
    );
}

/// A type's schema and those that it names.
fn schema<T: ToSchema>() -> (Value, BTreeMap<String, Value>) {
    let mut named = Vec::new();
    T::schemas(&mut named);
    (value(&T::schema()), named.into_iter().map(|(name, schema)| (name, value(&schema))).collect())
}

#[test]
fn the_schema_tells_closed_sets_times_and_what_may_be_null() {
    let (row, named) = schema::<Row>();
    assert_eq!(named["State"]["enum"], json!(["pending", "delivered", "dead", "cancelled"]));
    assert_eq!(named["OutcomeWord"]["enum"][2], "timed out");
    assert_eq!((&named["Stamp"]["type"], &named["Stamp"]["format"]), (&json!("string"), &json!("date-time")));
    let standing = &named["Standing"];
    let required = standing["required"].as_array().unwrap();
    assert!(required.contains(&json!("due_at")), "{standing}");
    assert!(standing["properties"]["due_at"].to_string().contains("\"null\""), "{standing}");
    assert!(row.to_string().contains("#/components/schemas/Standing"), "{row}");
    let (endpoint, _) = schema::<EndpointAnswer>();
    let required = endpoint["required"].as_array().unwrap();
    assert!(required.contains(&json!("since")) && !required.contains(&json!("secret")), "{endpoint}");
    let (line, _) = schema::<BatchResult>();
    assert_eq!(line["required"], json!(["line", "status"]));
}
