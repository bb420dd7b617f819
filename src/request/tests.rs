use super::*;
use crate::endpoint::{EndpointId, EndpointState, Key, ProfileName, Scheme};
use crate::event::{EventId, EventType};
use crate::signature::read_key;

/// 2026-11-01T00:00:00.999Z: the milliseconds must not round the timestamp up.
const NOW: Time = Time::from_ms(1_793_491_200_999);

fn endpoint(profile: ProfileName, keys: Vec<Key>) -> Endpoint {
    Endpoint {
        id: EndpointId(1),
        name: None,
        url: "https://partner.example/hooks?token=s3cret".to_owned(),
        profile,
        subscriptions: vec![],
        overrides: Overrides::default(),
        keys,
        state: EndpointState::Active,
        created_at: Time::from_ms(0),
    }
}

fn event(event_type: &str, content_type: &str, body: &[u8]) -> Event {
    Event {
        id: EventId::parse("evt_01").unwrap(),
        event_type: EventType::parse(event_type).unwrap(),
        content_type: content_type.to_owned(),
        body: body.into(),
        digest: signature::digest(body),
        accepted_at: Time::from_ms(0),
        trace: None,
    }
}

fn key(scheme: Scheme, text: &str) -> Key {
    read_key(scheme, text.as_bytes()).unwrap()
}

/// The request as text: URL, headers, an empty line, body.
fn wire(request: &Request) -> String {
    let headers: String = request.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    format!("{}\n{headers}\n{}", request.url, String::from_utf8_lossy(&request.body))
}

#[test]
fn an_ensuro_request_with_a_shared_secret() {
    let mut endpoint = endpoint(ProfileName::Ensuro, vec![key(Scheme::Hmac, "topsecret")]);
    endpoint.overrides.headers = vec![("X-Tenant".to_owned(), "blue".to_owned())];
    let request = render(&endpoint, &event("policy/creation", "text/odd", b"{\"foo\":\"bar\"}"), NOW).unwrap();
    assert_eq!(request.timeout, Span::from_seconds(10));
    assert_eq!(
        wire(&request),
        concat!(
            "https://partner.example/hooks?token=s3cret\n",
            "content-type: application/json\n",
            "user-agent: postrider/",
            env!("CARGO_PKG_VERSION"),
            "\n",
            "x-ensuro-signature: 41deed7140512b0d351a588d05bff44dfdc58a6a038b47edf4f5e944dd1185d6\n",
            "x-tenant: blue\n",
            "\n",
            "{\"foo\":\"bar\"}"
        )
    );
}

#[test]
fn an_ensuro_request_with_an_ethereum_key() {
    let private = "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
    let endpoint = endpoint(ProfileName::Ensuro, vec![key(Scheme::Eip191, private)]);
    let event = event("policy/creation", "application/json", b"{\"foo\":\"bar\"}");
    assert_eq!(
        wire(&render(&endpoint, &event, NOW).unwrap()),
        concat!(
            "https://partner.example/hooks?token=s3cret\n",
            "content-type: application/json\n",
            "user-agent: postrider/",
            env!("CARGO_PKG_VERSION"),
            "\n",
            "x-eip191-signature: 0x91650bf0a41e8befae1f86d6315da54fc2487c00dbb7c9a92381091231e1ab89",
            "4a3f73b9fd248ff39da597c01d7e20ff18fec064c69b9e0aa5d9540ef32e9d3b1c\n",
            "\n",
            "{\"foo\":\"bar\"}"
        )
    );
}

#[test]
fn an_octamile_request_is_unsigned() {
    let endpoint = endpoint(ProfileName::Octamile, vec![]);
    let event = event("policy/declined", "application/json", b"{\"status\":\"d\"}");
    assert_eq!(
        wire(&render(&endpoint, &event, NOW).unwrap()),
        concat!(
            "https://partner.example/hooks?token=s3cret\n",
            "content-type: application/json\n",
            "user-agent: postrider/",
            env!("CARGO_PKG_VERSION"),
            "\n",
            "\n",
            "{\"status\":\"d\"}"
        )
    );
}

#[test]
fn a_standard_request_is_stamped_with_the_attempts_time() {
    let endpoint = endpoint(ProfileName::Standard, vec![key(Scheme::V1, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]);
    let mut event = event("invoice.paid", "application/cloudevents+json", b"{\"test\": 2432232314}");
    event.id = EventId::parse("msg_p5jXN8AQM9LWM0D4loKWxJek").unwrap();
    let request = render(&endpoint, &event, Time::from_ms(1_614_265_330_999)).unwrap();
    assert_eq!(
        wire(&request),
        concat!(
            "https://partner.example/hooks?token=s3cret\n",
            "content-type: application/cloudevents+json\n",
            "user-agent: postrider/",
            env!("CARGO_PKG_VERSION"),
            "\n",
            "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\n",
            "webhook-timestamp: 1614265330\n",
            "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\n",
            "\n",
            "{\"test\": 2432232314}"
        )
    );
    let later = render(&endpoint, &event, NOW).unwrap();
    assert_eq!(later.headers[3].1, "1793491200");
    assert_ne!(later.headers[4], request.headers[4]);
}

#[test]
fn overrides_change_timeout_and_signature_header() {
    let mut endpoint = endpoint(ProfileName::Ensuro, vec![key(Scheme::Hmac, "topsecret")]);
    endpoint.overrides.timeout = Some(Span::from_seconds(3));
    endpoint.overrides.signature_header = Some("X-Signature".to_owned());
    let request = render(&endpoint, &event("policy/creation", "application/json", b"{}"), NOW).unwrap();
    assert_eq!(request.timeout, Span::from_seconds(3));
    assert_eq!(request.headers[2].0, "x-signature");
}

#[test]
fn the_body_is_the_events_own_or_nothing_goes_out() {
    let endpoint = endpoint(ProfileName::Octamile, vec![]);
    let mut event = event("policy/declined", "application/json", b"{ \"a\" : 1 }\n\xff");
    let request = render(&endpoint, &event, NOW).unwrap();
    assert!(Arc::ptr_eq(&request.body, &event.body));
    event.body = b"{ \"a\" : 2 }\n\xff".as_slice().into();
    assert_eq!(render(&endpoint, &event, NOW).unwrap_err(), "the stored body does not match its digest");
}

#[test]
fn debug_shows_no_secret() {
    let mut endpoint = endpoint(ProfileName::Ensuro, vec![key(Scheme::Hmac, "topsecret")]);
    endpoint.overrides.headers = vec![("authorization".to_owned(), "Bearer abc".to_owned())];
    let request = render(&endpoint, &event("policy/creation", "application/json", b"{}"), NOW).unwrap();
    assert_eq!(
        format!("{request:?}"),
        "Request { url: https://partner.example/hooks?***, headers: [\"content-type\", \"user-agent\", \
         \"x-ensuro-signature\", \"authorization\"], body: 2 bytes, timeout: 10 s }"
    );
}

#[test]
fn extra_headers_cannot_take_over_the_request() {
    assert_eq!(check_header("X-Tenant", "blue green"), Ok(()));
    assert_eq!(check_header("authorization", "Bearer abc.def=="), Ok(()));
    let transport = ["Host", "content-length", "Transfer-Encoding", "connection", "te", "trailer", "upgrade", "expect"];
    for name in transport.into_iter().chain(["keep-alive", "Proxy-Authorization", "proxy-connection"]) {
        assert!(check_header(name, "x").unwrap_err().contains("the transport's"), "{name}");
    }
    for name in ["webhook-id", "Webhook-Signature", "X-Ensuro-Signature", "x-eip191-signature", "x-ensuro-other"] {
        assert!(check_header(name, "x").unwrap_err().contains("for signatures"), "{name}");
    }
    for name in ["Content-Type", "user-agent"] {
        assert!(check_header(name, "x").unwrap_err().contains("postrider's own"), "{name}");
    }
    for name in ["", "a b", "a:b", "a\r\nb", "é", "a\0", "(x)"] {
        assert!(check_header(name, "x").unwrap_err().contains("cannot be the name of a header"), "{name:?}");
    }
    for value in
        ["s3cret\r\nhost: evil", "s3cret\n", "s3cret\0", "s3cré", "s3cret\t", "s3cret\x7f", " s3cret", "s3cret ", ""]
    {
        let error = check_header("x-a", value).unwrap_err();
        assert!(error.starts_with("the header x-a must have a value") && !error.contains("s3cr"), "{error}");
    }
    assert!(check_header("x-a", &"v".repeat(4097)).unwrap_err().contains("4097 bytes"));
}

#[test]
fn a_signature_may_have_another_name_but_not_every_name() {
    for name in ["x-signature", "X-Ensuro-Signature", "X-Eip191-Signature-2"] {
        assert_eq!(check_signature_header(name), Ok(()), "{name}");
    }
    for name in ["host", "content-type", "user-agent", "webhook-signature", "proxy-x", "a b", ""] {
        assert!(check_signature_header(name).is_err(), "{name:?}");
    }
}

#[test]
fn headers_of_one_endpoint_do_not_collide() {
    let header = |name: &str| (name.to_owned(), "1".to_owned());
    let overrides = |signature: Option<&str>, headers: &[&str]| Overrides {
        signature_header: signature.map(str::to_owned),
        headers: headers.iter().map(|name| header(name)).collect(),
        ..Overrides::default()
    };
    assert_eq!(check_headers(&overrides(Some("X-Sig"), &["x-a", "x-b"])), Ok(()));
    assert_eq!(check_headers(&overrides(None, &["x-a", "X-A"])), Err("the header x-a is set twice".to_owned()));
    assert_eq!(check_headers(&overrides(Some("X-Sig"), &["x-sig"])), Err("the header x-sig is set twice".to_owned()));
    assert!(check_headers(&overrides(Some("host"), &[])).is_err());
    assert!(check_headers(&overrides(None, &["host"])).is_err());
}

#[test]
fn a_content_type_has_a_type_and_a_subtype() {
    for good in ["application/json", "application/cloudevents+json; charset=utf-8", "text/plain;charset=\"utf-8\""] {
        assert_eq!(check_content_type(good), Ok(()), "{good}");
    }
    for bad in ["", "json", "a/", "/b", "a b/c", "a/b\r\nhost: x", "a/b; é", " a/b", "a/b/c"] {
        assert!(check_content_type(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_key_signs_until_its_end_and_no_longer() {
    let old = Key { until: Some(NOW), ..key(Scheme::V1, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") };
    let endpoint =
        endpoint(ProfileName::Standard, vec![key(Scheme::V1, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), old]);
    let event = event("invoice.paid", "application/json", b"{}");
    let signatures = |now| {
        let request = render(&endpoint, &event, now).unwrap();
        let (_, value) = request.headers.iter().find(|(name, _)| name == "webhook-signature").unwrap();
        value.split(' ').count()
    };
    assert_eq!(signatures(NOW - Span::from_ms(1)), 2);
    assert_eq!(signatures(NOW), 1);
}
