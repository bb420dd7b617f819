use super::*;
use crate::endpoint::{EndpointId, EndpointState, Overrides, ProfileName};
use crate::event::{EventId, EventType};
use crate::signature::{self, Signed, verify, verify_key_of};

/// 2026-11-01T00:00:00Z.
const NOW: Time = Time::from_ms(1_793_491_200_000);

fn endpoint(scheme: Scheme) -> Endpoint {
    let profile = match scheme {
        Scheme::Hmac | Scheme::Eip191 => ProfileName::Ensuro,
        Scheme::V1 | Scheme::V1a => ProfileName::Standard,
    };
    Endpoint {
        id: EndpointId(0),
        name: None,
        url: "http://127.0.0.1/hook".to_owned(),
        profile,
        subscriptions: vec![],
        overrides: Overrides::default(),
        keys: vec![Key { scheme, secret: Secret::new(vec![7; 32]), until: None }],
        state: EndpointState::Active,
        created_at: NOW,
    }
}

fn event(body: &[u8]) -> Event {
    Event {
        id: EventId::parse("msg_1").unwrap(),
        event_type: EventType::parse("policy/creation").unwrap(),
        content_type: "application/json".to_owned(),
        digest: signature::digest(body),
        body: body.into(),
        accepted_at: NOW,
        trace: None,
    }
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// As a good receiver would judge it at `NOW`.
fn is_good(request: &Request, endpoint: &Endpoint) -> bool {
    let name = match endpoint.keys[0].scheme {
        Scheme::Hmac => HMAC_HEADER,
        Scheme::Eip191 => EIP191_HEADER,
        Scheme::V1 | Scheme::V1a => SIGNATURE,
    };
    let is_standard = endpoint.profile == ProfileName::Standard;
    let timestamp = header(request, TIMESTAMP).and_then(|text| text.parse::<i64>().ok());
    if is_standard && timestamp.is_none_or(|at| (at - NOW.unix_seconds()).abs() > 300) {
        return false;
    }
    let (Some(text), id) = (header(request, name), header(request, ID)) else { return false };
    if is_standard && id.is_none() {
        return false;
    }
    let signed =
        Signed { event_id: id.unwrap_or_default(), timestamp: timestamp.unwrap_or_default(), body: &request.body };
    verify(&verify_key_of(&endpoint.keys[0]), text, &signed).is_ok()
}

#[test]
fn every_forgery_is_one_and_differs_from_the_right_request_in_its_headers_only() {
    use Tampering as T;
    let always = [T::Missing, T::Empty, T::OtherKey, T::Half, T::OtherBody];
    let (mine, others) = (event(b"{\"a\":1}"), event(b"{\"a\":2}"));
    for scheme in Scheme::ALL {
        let endpoint = endpoint(scheme);
        let right = request::render(&endpoint, &mine, NOW).unwrap();
        assert!(is_good(&right, &endpoint), "{scheme}");
        let more: &[T] = match scheme {
            Scheme::Hmac => &[],
            Scheme::Eip191 => &[T::OtherV],
            Scheme::V1 | Scheme::V1a => &[T::OldTimestamp, T::OtherId, T::NoId, T::NoTimestamp],
        };
        for tampering in always.iter().chain(more) {
            let forged = request(*tampering, &endpoint, &mine, &others, &mut Dice::new(1), NOW).unwrap();
            assert!(!is_good(&forged, &endpoint), "{scheme} {tampering:?}");
            assert_eq!((&forged.body, &forged.url), (&right.body, &right.url));
            assert_ne!(forged.headers, right.headers);
        }
    }
}

#[test]
fn two_signatures_have_one_space_between_and_the_right_one_behind() {
    for scheme in [Scheme::V1, Scheme::V1a] {
        let endpoint = endpoint(scheme);
        let mine = event(b"{}");
        let right = request::render(&endpoint, &mine, NOW).unwrap();
        let two = with_two(&endpoint, &mine, &mut Dice::new(1), NOW).unwrap();
        let value = header(&two, SIGNATURE).unwrap();
        let parts: Vec<&str> = value.split(' ').collect();
        assert_eq!((parts.len(), parts[1]), (2, header(&right, SIGNATURE).unwrap()), "{value}");
        assert_ne!(parts[0], parts[1]);
        assert!(is_good(&two, &endpoint));
    }
}

#[test]
fn another_name_of_the_signature_header_is_known() {
    let mut endpoint = endpoint(Scheme::Hmac);
    endpoint.overrides.signature_header = Some("X-Acme-Signature".to_owned());
    let mine = event(b"{}");
    let bare = request(Tampering::Missing, &endpoint, &mine, &mine, &mut Dice::new(1), NOW).unwrap();
    assert_eq!(header(&bare, "x-acme-signature"), None);
    assert!(header(&bare, "content-type").is_some());
}
