//! The courier behind the proxy that the operator configured: everything goes through it, names are left to it, TLS is with
//! the receiver, and what the proxy refuses is never taken for the receiver's word.

use std::net::SocketAddr;

use super::*;
use crate::receivers::proxy::{Manner, Proxy};

fn behind(proxy: &Proxy, settings: Settings) -> Courier {
    let unresolved: Lookup = Arc::new(|name| Box::pin(async move { panic!("{name} is for the proxy to resolve") }));
    Courier::with_lookup(Settings { egress_proxy: Some(proxy.url()), ..settings }, unresolved).unwrap()
}

fn place(receiver: &Receiver) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], receiver.port()))
}

#[tokio::test]
async fn tls_is_with_the_receiver_through_a_tunnel_that_is_kept() {
    let authority = Authority::new();
    let identity = authority.identity(&["hooks.example"]);
    let receiver = Receiver::start_tls(&identity, |_| Answer::status(200));
    let proxy = Proxy::start(Manner::Forward(place(&receiver)));
    let strict = Settings { extra_roots: vec![authority.root()], ..Settings::default() };
    let courier = behind(&proxy, strict.clone());
    for _ in 0..3 {
        assert_eq!(status(&carry(&courier, "https://hooks.example/hook").await), 200);
    }
    assert_eq!(proxy.asked(), ["CONNECT hooks.example:443 HTTP/1.1"], "one tunnel serves all");
    let requests = receiver.requests();
    assert_eq!((requests.len(), requests[0].path.as_str()), (3, "/hook"));
    assert!(requests[0].header("proxy-connection").is_none() && requests[0].header("host") == Some("hooks.example"));
    // The receiver behind a tunnel is not trusted more than another.
    let wrong = carry(&behind(&proxy, strict), "https://other.example/hook").await;
    assert_unreachable(&wrong, Stage::Tls, "the certificate is for another name");
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test]
async fn plain_http_is_asked_of_the_proxy_by_its_whole_url() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let proxy = Proxy::start(Manner::Forward(place(&receiver)));
    let courier = behind(&proxy, Settings { allow_http: true, ..Settings::default() });
    assert_eq!(status(&carry(&courier, "http://hooks.example/hook?a=b").await), 200);
    assert_eq!(proxy.asked(), ["POST http://hooks.example/hook?a=b HTTP/1.1"]);
}

#[tokio::test]
async fn a_url_with_an_inner_address_is_not_even_asked_for() {
    let canary = Receiver::start(|_| Answer::status(200));
    let proxy = Proxy::start(Manner::Forward(place(&canary)));
    let courier = behind(&proxy, Settings { allow_http: true, ..Settings::default() });
    for host in [
        "127.0.0.1",
        "2130706433",
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "localhost",
        "db.internal",
    ] {
        for scheme in ["http", "https"] {
            assert_blocked(&carry(&courier, &format!("{scheme}://{host}/")).await, "");
        }
    }
    assert_eq!((proxy.asked().len(), canary.connections()), (0, 0));
}

#[tokio::test]
async fn what_a_proxy_refuses_is_not_the_receivers_word() {
    for (manner, words) in [
        (Manner::Refuse(403), "the egress proxy refused the connection"),
        (Manner::Refuse(502), "the egress proxy refused the connection"),
        (Manner::Refuse(407), "the egress proxy wants a password"),
        (Manner::Garbage, "the egress proxy"),
        (Manner::EndlessHead, "the egress proxy"),
        (Manner::Close, "the egress proxy broke off"),
    ] {
        let proxy = Proxy::start(manner);
        let carried = carry(&behind(&proxy, Settings::default()), "https://hooks.example/").await;
        let Reply::Unreachable { error, .. } = &carried.reply else { panic!("{manner:?}: {carried:?}") };
        assert!(error.contains(words), "{manner:?}: {error}");
    }
}

#[tokio::test]
async fn a_proxy_that_hangs_ends_with_the_attempt() {
    let proxy = Proxy::start(Manner::Hang);
    let courier = behind(&proxy, Settings::default());
    let begun = Instant::now();
    let carried = courier.carry(&request("https://hooks.example/", SHORT), NOW).await;
    assert!(matches!(carried.reply, Reply::TimedOut { .. }), "{carried:?}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_not_taken_for_the_receiver() {
    let closed = format!("127.0.0.1:{}", crate::receivers::free_port());
    for proxy in [format!("http://{closed}"), "http://proxy.nowhere.example:4750".to_owned()] {
        let unknown: Lookup = Arc::new(|_| Box::pin(async { Err(std::io::Error::other("no such name")) }));
        let settings = Settings { allow_http: true, egress_proxy: Some(proxy.clone()), ..Settings::default() };
        let courier = Courier::with_lookup(settings, unknown).unwrap();
        for scheme in ["http", "https"] {
            let carried = carry(&courier, &format!("{scheme}://hooks.example/")).await;
            let Reply::Unreachable { error, .. } = &carried.reply else { panic!("{proxy}: {carried:?}") };
            assert!(error.starts_with("the egress proxy cannot be reached: "), "{scheme} by {proxy}: {error}");
        }
    }
}
