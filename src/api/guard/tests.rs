//! The fence as tables: what is let through, and what is refused with which problem.

use axum::routing::get;
use http::StatusCode;
use http_body_util::BodyExt;

use super::*;
use crate::time::Time;

const LOCAL: Peer = Peer::Tcp(std::net::SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 50_000));

/// A fence before a route of each scope and the open ones.
struct Place {
    fenced: Fenced<Router>,
    phases: watch::Sender<Phase>,
    tokens: watch::Sender<Arc<[AccessToken]>>,
}

impl Place {
    fn new(tokens: &[(&str, Scope)], bound: &str) -> Self {
        let tokens = watch::Sender::new(kept(tokens));
        let phases = watch::Sender::new(Phase::Serving);
        let bound = [Bound::Tcp(bound.parse().unwrap()), Bound::Unix("/run/p.sock".into())];
        let gate = Gate::new(&["hooks.example.com".to_owned()], &bound, tokens.subscribe(), phases.subscribe());
        let said = |caller: axum::Extension<Caller>| async move { format!("{:?}", caller.0) };
        let routes = Router::new()
            .merge(Router::new().route("/read", get(said)).route_layer(needs(Scope::Read)))
            .merge(Router::new().route("/both", get(said)).route_layer(needs(Scope::Read)))
            .merge(Router::new().route("/both", axum::routing::post(said)).route_layer(needs(Scope::Admin)))
            .merge(Router::new().route("/enqueue", axum::routing::post(said)).route_layer(needs(Scope::Enqueue)))
            .route("/unsaid", get(said))
            .route("/livez", get(said))
            .route(
                "/docs",
                get(said).layer(axum::middleware::map_response(|mut response: Response| async {
                    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("own"));
                    response
                })),
            );
        Place { fenced: Fenced { gate, behind: with_problems(routes) }, phases, tokens }
    }

    fn ask(&self, peer: Option<Peer>, line: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
        let (method, uri) = line.split_once(' ').unwrap();
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        peer.map(|peer| request.extensions_mut().insert(peer));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (parts, body) = self.fenced.clone().answer(request).await.into_parts();
            let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            (parts.status, parts.headers, body)
        })
    }

    /// The name of the problem, or who the handler saw.
    fn says(&self, peer: Option<Peer>, line: &str, headers: &[(&str, &str)]) -> String {
        let (status, headers, body) = self.ask(peer, line, headers);
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(headers.contains_key(CONTENT_SECURITY_POLICY));
        assert!(headers.keys().all(|name| !name.as_str().starts_with("access-control")));
        match serde_json::from_str::<Problem>(&body) {
            Ok(problem) => {
                assert_eq!(problem.kind.status(), status);
                problem.kind.name().to_owned()
            }
            Err(_) => body,
        }
    }
}

fn kept(tokens: &[(&str, Scope)]) -> Arc<[AccessToken]> {
    let token = |(text, scope): &(&str, Scope)| AccessToken {
        name: format!("of-{text}"),
        hash: signature::digest(text.as_bytes()),
        scope: *scope,
        created_at: Time::from_ms(0),
    };
    tokens.iter().map(token).collect()
}

const TRUSTED: &str = "Trusted";

#[test]
fn without_a_token_this_machine_is_trusted_and_no_other() {
    let place = Place::new(&[], "127.0.0.1:8787");
    let host = [("host", "localhost:8787")];
    for line in ["GET /read", "POST /both", "POST /enqueue", "GET /unsaid", "GET /livez", "GET /docs"] {
        assert_eq!(place.says(Some(LOCAL), line, &host), TRUSTED, "{line}");
        assert_eq!(place.says(Some(Peer::Unix), line, &[]), TRUSTED, "{line}");
    }
    // Not even with a token of former times, which is no reason to refuse either.
    assert_eq!(place.says(Some(LOCAL), "GET /read", &[host[0], ("authorization", "Bearer old")]), TRUSTED);
    // A peer that nobody told of is nobody.
    assert_eq!(place.says(None, "GET /read", &host), "unauthorized");

    let exposed = Place::new(&[], "0.0.0.0:8787");
    assert_eq!(exposed.says(Some(LOCAL), "GET /read", &host), "unauthorized");
    assert_eq!(exposed.says(Some(LOCAL), "GET /livez", &host), "Anonymous");
    assert_eq!(exposed.says(Some(Peer::Unix), "GET /read", &[]), TRUSTED);
}

#[test]
fn scopes_open_what_they_say() {
    let tokens = [("e", Scope::Enqueue), ("r", Scope::Read), ("a", Scope::Admin)];
    let place = Place::new(&tokens, "127.0.0.1:8787");
    // What the route needs, and what is said to e, r, a.
    let table = [
        ("GET /read", [false, true, true]),
        ("HEAD /read", [false, true, true]),
        ("GET /both", [false, true, true]),
        ("POST /both", [false, false, true]),
        ("POST /enqueue", [true, false, true]),
    ];
    for (line, allowed) in table {
        for ((text, scope), allowed) in tokens.iter().zip(allowed) {
            let bearer = format!("Bearer {text}");
            let headers = [("host", "127.0.0.1"), ("authorization", bearer.as_str())];
            let (status, _, body) = place.ask(Some(LOCAL), line, &headers);
            match allowed {
                true => assert_eq!(status, StatusCode::OK, "{line} {scope}"),
                false => {
                    assert_eq!(status, StatusCode::FORBIDDEN, "{line} {scope}");
                    assert!(line.starts_with("HEAD") || body.contains(&format!("has the scope {scope}")), "{body}");
                }
            }
        }
        assert_eq!(place.ask(Some(Peer::Unix), line, &[]).0, StatusCode::OK, "{line}");
    }
}

#[test]
fn a_token_is_needed_wherever_nothing_else_is_said() {
    let place = Place::new(&[("secret", Scope::Read)], "127.0.0.1:8787");
    let says = |line: &str, authorization: &[&str]| {
        let mut headers = vec![("host", "127.0.0.1")];
        headers.extend(authorization.iter().map(|value| ("authorization", *value)));
        place.says(Some(LOCAL), line, &headers)
    };
    for line in ["GET /read", "GET /unsaid", "GET /nowhere", "DELETE /read", "POST /livez/x", "GET /docs/"] {
        assert_eq!(says(line, &[]), "unauthorized", "{line}");
    }
    assert_eq!(says("GET /livez", &[]), "Anonymous");
    assert_eq!(says("GET /docs", &["Bearer wrong"]), "Anonymous");
    assert!(says("GET /unsaid", &["Bearer secret"]).starts_with("Token { name: \"of-secret\""));
    assert_eq!(says("GET /nowhere", &["Bearer secret"]), "not-found");
    assert_eq!(says("DELETE /read", &["Bearer secret"]), "method-not-allowed");
    for right in ["Bearer secret", "bearer secret", "BEARER   secret "] {
        assert!(says("GET /read", &[right]).starts_with("Token"), "{right}");
    }
    for wrong in ["secret", "Basic c2VjcmV0", "Bearer", "Bearer ", "Bearer secre", "Bearer secret2", "Bearer SECRET"] {
        assert_eq!(says("GET /read", &[wrong]), "unauthorized", "{wrong}");
    }
    assert_eq!(says("GET /read", &["Bearer secret", "Bearer secret"]), "unauthorized");
    let (_, headers, _) = place.ask(Some(LOCAL), "GET /read", &[("host", "127.0.0.1")]);
    assert_eq!(headers[http::header::WWW_AUTHENTICATE], "Bearer realm=\"postrider\"");

    // As the store has them now.
    place.tokens.send_replace(kept(&[("other", Scope::Read)]));
    assert_eq!(says("GET /read", &["Bearer secret"]), "unauthorized");
    assert!(says("GET /read", &["Bearer other"]).starts_with("Token"));
}

#[test]
fn a_host_is_one_of_ours_or_a_token_vouches_for_it() {
    let open = Place::new(&[], "[::ffff:127.9.9.9]:8787");
    let says = |host: &str| open.says(Some(LOCAL), "GET /read", &[("host", host)]);
    for ours in [
        "localhost",
        "LocalHost:1",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:8787",
        "127.255.0.9:1",
        "[::1]",
        "[::1]:8787",
        "[::ffff:127.0.0.1]:1",
        "hooks.example.com",
        "HOOKS.example.COM:443",
    ] {
        assert_eq!(says(ours), TRUSTED, "{ours}");
    }
    for foreign in [
        "",
        "evil.example",
        "evil.example:8787",
        "localhost.evil.example",
        "xhooks.example.com",
        "127.0.0.1.evil.example",
        "10.0.0.7",
        "[fd00::1]:8787",
        "localhost@evil.example",
        "localhost:8787:x",
        "a,localhost",
    ] {
        assert_eq!(says(foreign), "wrong-host", "{foreign}");
    }
    assert_eq!(open.says(Some(LOCAL), "GET /read", &[]), "wrong-host");
    let both = [("host", "localhost"), ("host", "evil.example")];
    assert_eq!(open.says(Some(LOCAL), "GET /read", &both), "wrong-host");
    assert_eq!(open.says(Some(LOCAL), "GET http://evil.example/read", &[("host", "localhost")]), "wrong-host");
    assert_eq!(open.says(Some(LOCAL), "GET /docs", &[("host", "evil.example")]), "wrong-host");
    // Probes ask by the address of a container.
    assert_eq!(open.says(Some(LOCAL), "GET /livez", &[("host", "10.1.2.3:8787")]), TRUSTED);
    assert_eq!(open.says(Some(Peer::Unix), "GET /read", &[("host", "anything")]), TRUSTED);

    let closed = Place::new(&[("secret", Scope::Read)], "192.0.2.7:8787");
    let says = |headers: &[(&str, &str)]| closed.says(Some(LOCAL), "GET /read", headers);
    assert_eq!(says(&[("host", "192.0.2.7:8787")]), "unauthorized");
    assert_eq!(says(&[("host", "evil.example"), ("authorization", "Bearer wrong")]), "wrong-host");
    assert!(says(&[("host", "evil.example"), ("authorization", "Bearer secret")]).starts_with("Token"));
}

#[test]
fn pages_of_other_origins_are_refused() {
    let place = Place::new(&[("secret", Scope::Admin)], "127.0.0.1:8787");
    let says = |line: &str, headers: &[(&str, &str)]| {
        let own = [("host", "localhost:8787"), ("authorization", "Bearer secret")];
        let said = place.says(Some(LOCAL), line, &[&own, headers].concat());
        assert_eq!(
            place.says(Some(Peer::Unix), line, &[&own, headers].concat()) == "foreign-origin",
            said == "foreign-origin"
        );
        said.split(' ').next().unwrap().to_owned()
    };
    let table: [(&[(&str, &str)], &str); 13] = [
        (&[], "Token"),
        (&[("origin", "http://localhost:8787")], "Token"),
        (&[("origin", "https://LOCALHOST:8787")], "Token"),
        (&[("origin", "http://localhost")], "foreign-origin"),
        (&[("origin", "http://localhost:8787.evil.example")], "foreign-origin"),
        (&[("origin", "https://evil.example")], "foreign-origin"),
        (&[("origin", "null")], "foreign-origin"),
        (&[("origin", "")], "foreign-origin"),
        (&[("sec-fetch-site", "same-origin")], "Token"),
        (&[("sec-fetch-site", "none")], "Token"),
        (&[("sec-fetch-site", "same-site")], "foreign-origin"),
        (&[("sec-fetch-site", "cross-site")], "foreign-origin"),
        (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], "foreign-origin"),
    ];
    for (headers, said) in table {
        assert_eq!(says("POST /both", headers), said, "{headers:?}");
        assert_eq!(says("GET /read", headers), said, "{headers:?}");
    }
    // A link to the reference may stand anywhere; reading it from a script may not.
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    assert_eq!(says("GET /docs", &link), "Token");
    assert_eq!(says("GET /docs", &[link[0], ("sec-fetch-mode", "cors")]), "foreign-origin");
    assert_eq!(says("GET /docs", &[link[0], link[1], ("origin", "https://evil.example")]), "foreign-origin");
}

#[test]
fn what_begins_while_it_drains_is_answered_if_it_only_looks() {
    let place = Place::new(&[], "127.0.0.1:8787");
    let host = [("host", "localhost")];
    for phase in [Phase::Draining, Phase::Closing] {
        place.phases.send_replace(phase);
        assert_eq!(place.says(Some(LOCAL), "GET /read", &host), TRUSTED);
        assert_eq!(place.says(Some(Peer::Unix), "GET /livez", &[]), TRUSTED);
        for line in ["POST /both", "POST /enqueue", "DELETE /read", "PATCH /nowhere"] {
            let (status, headers, body) = place.ask(Some(LOCAL), line, &host);
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{line}");
            assert!(body.contains("\"urn:postrider:problem:draining\""), "{body}");
            assert_eq!(headers[http::header::RETRY_AFTER], "5");
            assert_eq!(headers[http::header::CONNECTION], "close");
        }
    }
}

#[test]
fn urls_and_methods_that_there_are_not_are_problems() {
    let place = Place::new(&[], "127.0.0.1:8787");
    let ask = |line: &str| place.ask(Some(LOCAL), line, &[("host", "localhost")]);
    let (status, headers, body) = ask("GET /nowhere%1b");
    assert_eq!(
        (status, headers["content-type"].as_bytes()),
        (StatusCode::NOT_FOUND, "application/problem+json".as_bytes())
    );
    assert!(body.contains("there is nothing at /nowhere%1b; /docs lists"), "{body}");
    let (status, headers, body) = ask("DELETE /both");
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let mut allowed: Vec<_> = headers["allow"].to_str().unwrap().split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    assert!(body.contains("/both does not take DELETE; the Allow header"), "{body}");
    assert_eq!(ask("OPTIONS /read").0, StatusCode::METHOD_NOT_ALLOWED);
    let (status, headers, body) = ask("HEAD /read");
    assert_eq!((status, headers["content-length"].as_bytes(), body.as_str()), (StatusCode::OK, "7".as_bytes(), ""));
    assert_eq!(place.says(Some(LOCAL), "GET /%ff", &[("host", "localhost")]), "invalid-parameter");
    assert_eq!(ask("GET /docs").1[CONTENT_SECURITY_POLICY], "own");
}
