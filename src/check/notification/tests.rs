use std::collections::BTreeSet;

use super::*;
use crate::check::case::{self, Ask};
use crate::provider;

/// 2026-11-01T00:00:00Z.
const NOW: Time = Time::from_ms(1_793_491_200_000);

fn unchanged() -> Amend {
    Arc::new(|_| {})
}

fn maker(profile: ProfileName, case: &Case) -> Maker {
    Maker::new(profile, case, 7, NOW, &unchanged())
}

/// All that a case sends, apart from what is tampered with.
fn sent(profile: ProfileName, case: &Case) -> Vec<Event> {
    let mut maker = maker(profile, case);
    match case.ask {
        Ask::Https | Ask::InTime | Ask::AnswerSize => vec![],
        Ask::Type(event_type) => maker.life(event_type),
        Ask::Approved(kind, at_least) => vec![maker.approved(kind, at_least)],
        Ask::Written(writing) => vec![maker.written(writing)],
        Ask::Unusual(content) => vec![maker.unusual(content)],
        Ask::Large(bytes) => vec![maker.large(bytes)],
        Ask::OutOfOrder => maker.resolution_and_creation().to_vec(),
        Ask::Many(count) => (0..count).map(|_| maker.any()).collect(),
        Ask::Reach | Ask::Refuse(_) | Ask::TwoSignatures | Ask::Twice | Ask::Same(_) | Ask::KeepAlive => {
            vec![maker.any()]
        }
    }
}

#[test]
fn everything_that_is_sent_keeps_the_payload_rules_but_the_unknown_type() {
    for profile in ProfileName::ALL {
        for case in case::all().filter(|case| case.profiles.contains(&profile)) {
            for event in sent(profile, case) {
                let checked = provider::check(profile, &event.event_type, &event.body);
                let is_unknown = case.ask == Ask::Unusual(Content::UnknownType) && profile == ProfileName::Ensuro;
                assert_eq!(checked.is_err(), is_unknown, "{} {profile}: {checked:?}", case.id);
                assert_eq!(signature::digest(&event.body), event.digest);
            }
        }
    }
}

#[test]
fn a_case_sends_the_same_whatever_else_is_run_and_no_two_cases_do() {
    let mut seen = BTreeSet::new();
    for case in case::all().filter(|case| case.profiles.contains(&ProfileName::Ensuro)) {
        let bodies = |events: Vec<Event>| events.into_iter().map(|event| (event.id, event.body)).collect::<Vec<_>>();
        let once = bodies(sent(ProfileName::Ensuro, case));
        assert_eq!(once, bodies(sent(ProfileName::Ensuro, case)), "{}", case.id);
        for (id, _) in once {
            assert!(seen.insert(id), "{}", case.id);
        }
    }
}

#[test]
fn a_policy_is_created_before_anything_else_happens_to_it() {
    for event_type in provider::ensuro::TYPES.iter().filter(|name| !name.starts_with("policy/creation")) {
        let case = case::all().find(|case| case.ask == Ask::Type(event_type)).unwrap();
        let [creation, then] = &sent(ProfileName::Ensuro, case)[..] else { panic!("{event_type}") };
        assert_eq!((creation.event_type.as_str(), then.event_type.as_str()), ("policy/creation", *event_type));
        let [creation, then]: [Value; 2] = [creation, then].map(|event| serde_json::from_slice(&event.body).unwrap());
        let text = then.to_string();
        let id = creation["policy"]["ensuro_id"].as_str().unwrap();
        assert!(text.contains(id), "{event_type} is about another policy than {id}: {text}");
    }
}

#[test]
fn unusual_writing_means_the_same_to_a_parser_and_other_bytes_to_a_signature() {
    for profile in ProfileName::ALL {
        for case in case::all().filter(|case| case.group() == "bytes" && case.profiles.contains(&profile)) {
            let event = &sent(profile, case)[0];
            let value: Value = serde_json::from_slice(&event.body).unwrap();
            let Ask::Written(writing) = case.ask else { panic!("{}", case.id) };
            let is_rewritten = value.to_string().as_bytes() != &event.body[..];
            let text = std::str::from_utf8(&event.body).unwrap();
            match writing {
                Writing::Unicode => assert!(!text.is_ascii() && text.contains("東京"), "{text}"),
                Writing::KeyOrder if profile == ProfileName::Octamile => {
                    assert!(text.starts_with("{\"crtfctType\""), "{text}")
                }
                Writing::KeyOrder => assert!(text.contains("\"a\":2,\"b\":1,\"9\":\"nine\",\"10\":\"ten\""), "{text}"),
                Writing::Escapes => assert!(
                    text.is_ascii() && text.contains("\\u6771") && text.contains("\\/") == text.contains('/'),
                    "{text}"
                ),
                Writing::Numbers => assert!(text.contains("1.10") && text.contains("9223372036854775808"), "{text}"),
                Writing::Spaced | Writing::Compact | Writing::Python => assert!(text.contains("\n\t"), "{text}"),
            }
            let unchanged_by_serde = matches!(writing, Writing::Unicode | Writing::KeyOrder);
            assert_eq!(is_rewritten, !unchanged_by_serde, "{} {profile}", case.id);
        }
    }
}

#[test]
fn python_writes_json_with_spaces_and_in_ascii() {
    let value = serde_json::json!({"a": [1, {"ü": "é/"}], "b": null, "c": {}});
    assert_eq!(super::python(&value), r#"{"a": [1, {"\u00fc": "\u00e9/"}], "b": null, "c": {}}"#);
}

#[test]
fn what_the_receiver_knows_stands_in_all_but_what_it_cannot_know() {
    let amend: Amend = Arc::new(|value| value["known"] = 42.into());
    for case in case::all().filter(|case| case.profiles.contains(&ProfileName::Ensuro)) {
        let mut maker = Maker::new(ProfileName::Ensuro, case, 7, NOW, &amend);
        let event = match case.ask {
            Ask::Unusual(content) => maker.unusual(content),
            Ask::Written(writing) => maker.written(writing),
            _ => maker.any(),
        };
        let value: Value = serde_json::from_slice(&event.body).unwrap();
        let is_known = value["known"] == 42;
        assert_eq!(is_known, case.ask != Ask::Unusual(Content::UnknownPolicy), "{}", case.id);
    }
}

#[test]
fn certificates_and_large_bodies_have_the_size_that_they_are_for() {
    let body = |profile, id: &str| sent(profile, case::all().find(|case| case.id == id).unwrap())[0].body.len();
    assert!((100_000..250_000).contains(&body(ProfileName::Ensuro, "size/large")));
    assert!((260_000..300_000).contains(&body(ProfileName::Octamile, "size/certificate-200kb")));
    assert!((2_600_000..3_000_000).contains(&body(ProfileName::Octamile, "size/certificate-2mb")));
    assert!((1_300..4_000).contains(&body(ProfileName::Octamile, "size/certificate-1kb")));
}
