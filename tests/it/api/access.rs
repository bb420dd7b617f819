//! Who may ask: tokens with scopes, web pages kept out, other machines only with a token, and a unix socket for its owner.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use postrider::access::Scope;
use postrider::daemon::clock::wall;
use postrider::operations;
use serde_json::Value;

use super::client::Api;
use super::{Stand, envelope, token};
use crate::process::harness::{Daemon, Home, LENIENT, PATIENCE, program, wait_for};

/// Which scope each route needs, as the README has it. `None`: no token at all.
const SCOPES: [(&str, &str, Option<Scope>); 32] = [
    ("post", "/v1/events", Some(Scope::Enqueue)),
    ("post", "/v1/events/batch", Some(Scope::Enqueue)),
    ("get", "/v1/events/stream", Some(Scope::Read)),
    ("get", "/v1/events/{id}", Some(Scope::Read)),
    ("get", "/v1/events/{id}/why", Some(Scope::Read)),
    ("post", "/v1/events/{id}/retry", Some(Scope::Admin)),
    ("post", "/v1/events/{id}/cancel", Some(Scope::Admin)),
    ("get", "/v1/deliveries", Some(Scope::Read)),
    ("get", "/v1/deliveries/{id}", Some(Scope::Read)),
    ("get", "/v1/deliveries/{id}/why", Some(Scope::Read)),
    ("post", "/v1/deliveries/{id}/retry", Some(Scope::Admin)),
    ("post", "/v1/deliveries/{id}/cancel", Some(Scope::Admin)),
    ("post", "/v1/replays", Some(Scope::Admin)),
    ("get", "/v1/status", Some(Scope::Read)),
    ("get", "/v1/schedule", Some(Scope::Read)),
    ("get", "/v1/endpoints", Some(Scope::Read)),
    ("post", "/v1/endpoints", Some(Scope::Admin)),
    ("get", "/v1/endpoints/{name}", Some(Scope::Read)),
    ("patch", "/v1/endpoints/{name}", Some(Scope::Admin)),
    ("delete", "/v1/endpoints/{name}", Some(Scope::Admin)),
    ("post", "/v1/endpoints/{name}/pause", Some(Scope::Admin)),
    ("post", "/v1/endpoints/{name}/resume", Some(Scope::Admin)),
    ("post", "/v1/endpoints/{name}/rotate", Some(Scope::Admin)),
    ("post", "/v1/endpoints/{name}/test", Some(Scope::Admin)),
    ("get", "/metrics", Some(Scope::Read)),
    ("get", "/livez", None),
    ("get", "/readyz", None),
    ("get", "/healthz", None),
    ("get", "/openapi.json", None),
    ("get", "/docs", None),
    // Of routes that there are not, a stranger is told nothing either.
    ("get", "/v1/nothing", Some(Scope::Enqueue)),
    ("delete", "/v1/events", Some(Scope::Enqueue)),
];

/// The status alone: a stream would never end.
fn status(api: &Api, method: &str, path: &str) -> u16 {
    let target = path.replace("{id}", "dlv_999").replace("{name}", "nobody");
    let mut wire = api.connect();
    wire.send(api.head(&method.to_uppercase(), &target, &[("content-type", "application/json")], Some(0)));
    wire.begin().unwrap().status
}

#[test]
fn every_route_needs_its_scope_and_no_other() {
    let stand = Stand::new();
    let apis = [
        (Scope::Enqueue, stand.token("enqueuer", Scope::Enqueue)),
        (Scope::Read, stand.token("reader", Scope::Read)),
        (Scope::Admin, stand.token("admin", Scope::Admin)),
    ];
    let document = stand.api.get("/openapi.json").expect(200);
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let known = SCOPES.iter().any(|(verb, route, _)| (verb, route) == (&method.as_str(), &path.as_str()));
            assert!(known, "this test does not know {method} {path}");
        }
    }
    for (method, path, needed) in SCOPES {
        let stranger = status(&stand.api, method, path);
        assert_eq!(stranger == 401, needed.is_some(), "{method} {path} without a token: {stranger}");
        for (scope, api) in &apis {
            let found = status(api, method, path);
            let allowed = match needed {
                None => true,
                Some(needed) => {
                    *scope == Scope::Admin || *scope == needed || path == "/v1/nothing" || method == "delete"
                }
            };
            let forbidden = needed == Some(Scope::Admin) && *scope != Scope::Admin;
            assert_eq!(found == 403, forbidden || !allowed, "{method} {path} with scope {scope:?}: {found}");
            assert_ne!(found, 401, "{method} {path} with scope {scope:?}");
        }
    }
    assert_eq!(stand.stored(), (0, 0));
    stand.stop();
}

#[test]
fn wrong_tokens_are_refused_and_told_how_to_ask() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    // Nobody has a token: this machine may do all.
    stand.api.get("/v1/status").expect(200);
    let right = stand.token("reader", Scope::Read);
    let text = format!("Bearer {}", "prt_".to_owned() + &"0".repeat(64));
    let refused: [&[(&str, &str)]; 7] = [
        &[],
        &[("authorization", "")],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer ")],
        &[("authorization", "Basic dXNlcjpwYXNz")],
        &[("authorization", &text)],
        &[("authorization", &text), ("authorization", &text)],
    ];
    for headers in refused {
        let reply = stand.api.ask("GET", "/v1/status", headers, b"");
        reply.problem(401, "unauthorized");
        assert!(reply.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "{reply:?}");
        let posted = stand.api.ask("POST", "/v1/events", headers, envelope("x", "acme", "1").as_bytes());
        posted.problem(401, "unauthorized");
    }
    right.get("/v1/status").expect(200);
    let forbidden = right.post("/v1/events", &envelope("x", "acme", "1")).problem(403, "forbidden");
    assert!(forbidden["detail"].as_str().unwrap().contains("enqueue"), "{forbidden}");
    assert_eq!(stand.stored(), (0, 0));
    stand.stop();
}

#[test]
fn a_token_counts_soon_after_it_was_made_and_not_after_it_was_removed() {
    let stand = Stand::new();
    let said = |arguments: &[&str]| {
        let output = program(&stand.home).arg("token").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (out, _) = said(&["add", "app", "--scope", "enqueue"]);
    let (keeper, _) = said(&["add", "keeper", "--scope", "admin"]);
    let find = |text: &str| text.split_whitespace().find(|word| word.starts_with("prt_")).expect("a token").to_owned();
    let (app, keeper) = (find(&out), find(&keeper));
    let seconds = Duration::from_secs(2);
    let api = stand.api.with_token(&app);
    wait_for("401 without a token", seconds, || (stand.api.get("/v1/status").status == 401).then_some(()));
    wait_for("the token's being known", seconds, || (api.get("/v1/status").status == 403).then_some(()));
    let (listed, _) = said(&["list"]);
    assert!(listed.contains("app") && listed.contains("enqueue") && listed.contains("keeper"), "{listed}");
    assert!(!listed.contains(&app) && !listed.contains(&app[4..]), "{listed}");
    said(&["remove", "app"]);
    wait_for("the removed token's being refused", seconds, || (api.get("/v1/status").status == 401).then_some(()));
    stand.api.with_token(&keeper).get("/v1/status").expect(200);
    // Kept as a hash: the file does not hold it, and no line of the log does.
    for file in std::fs::read_dir(stand.home.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        for secret in [&app, &keeper] {
            assert!(!bytes.windows(64).any(|window| window == &secret.as_bytes()[4..]), "a token is in a file");
        }
    }
    let Stand { home: _home, daemon, api: _ } = stand;
    let log = daemon.stop().join("\n");
    assert!(!log.contains(&app[4..]) && !log.contains(&keeper[4..]), "a token is in the log");
}

#[test]
fn tokens_are_not_needed_to_ask_whether_it_lives() {
    let stand = Stand::new();
    stand.token("reader", Scope::Read);
    for path in ["/livez", "/readyz", "/healthz", "/openapi.json", "/docs"] {
        assert_eq!(stand.api.get(path).status, 200, "{path}");
    }
    stand.stop();
}

#[test]
fn a_web_page_cannot_drive_the_api_of_this_machine() {
    let stand = Stand::with("[api]\nallow_hosts = [\"hooks.example.com\"]\n");
    stand.add_hopeless("acme");
    let api = &stand.api;
    let port = api.host().rsplit(':').next().unwrap().to_owned();
    let body = envelope("page", "acme", "1");
    let post = |headers: &[(&str, &str)]| {
        let headers = [&[("content-type", "application/json")], headers].concat();
        api.ask("POST", "/v1/events", &headers, body.as_bytes())
    };
    // A name of a stranger that points here.
    for host in
        ["evil.example", "evil.example:8787", "127.0.0.1.evil.example", "localhost.evil.example", "", "10.0.0.1"]
    {
        post(&[("host", host)]).problem(421, "wrong-host");
        api.ask("GET", "/v1/status", &[("host", host)], b"").problem(421, "wrong-host");
    }
    for origin in ["http://evil.example", "https://127.0.0.1:1", "null", "http://localhost.evil.example"] {
        post(&[("origin", origin)]).problem(403, "foreign-origin");
    }
    for site in ["cross-site", "same-site"] {
        post(&[("sec-fetch-site", site)]).problem(403, "foreign-origin");
        api.ask("GET", "/v1/status", &[("sec-fetch-site", site)], b"").problem(403, "foreign-origin");
    }
    // No header of theirs ever says that a page may read an answer.
    let preflight = api.ask(
        "OPTIONS",
        "/v1/events",
        &[("origin", "http://evil.example"), ("access-control-request-method", "POST")],
        b"",
    );
    assert!(preflight.status >= 400, "{preflight:?}");
    assert!(preflight.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{preflight:?}");
    // What a form can send without asking first is no envelope.
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let reply = api.ask("POST", "/v1/events", &[("content-type", content_type)], body.as_bytes());
        reply.problem(415, "unsupported-media-type");
    }
    assert_eq!(stand.stored(), (0, 0));
    for host in [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1",
        "127.8.9.1:80",
        "[::1]:8787",
        "hooks.example.com",
        "hooks.example.com:443",
    ] {
        api.ask("GET", "/v1/status", &[("host", host)], b"").expect(200);
    }
    let own = format!("http://127.0.0.1:{port}");
    post(&[("origin", &own), ("sec-fetch-site", "same-origin")]).expect(201);
    post(&[("sec-fetch-site", "none")]).expect(201);
    stand.stop();
}

#[test]
fn a_token_names_its_caller_whatever_the_host() {
    let stand = Stand::new();
    let reader = stand.token("reader", Scope::Read);
    reader.ask("GET", "/v1/status", &[("host", "proxy.example")], b"").expect(200);
    assert_ne!(stand.api.ask("GET", "/v1/status", &[("host", "proxy.example")], b"").status, 200);
    stand.stop();
}

#[test]
fn other_machines_are_let_in_only_with_a_token() {
    let home = Home::with(&format!("{LENIENT}[api]\nlisten = \"0.0.0.0:0\"\n"));
    let mut daemon = Daemon::launch(&home);
    assert_eq!(daemon.wait().code(), Some(78), "{:#?}", daemon.lines());
    let said = daemon.lines().join("\n");
    assert!(said.contains("token add") && said.contains("api.listen"), "{said}");

    let admin = token(&home, "admin", Scope::Admin);
    let mut daemon = Daemon::start(&home);
    let address = daemon.wait_for_line("listening")["address"].as_str().unwrap().to_owned();
    let api = Api::at(&format!("127.0.0.1:{}", address.rsplit(':').next().unwrap()));
    api.get("/v1/status").problem(401, "unauthorized");
    api.with_token(&admin).get("/v1/status").expect(200);
    // The last token goes while it runs: nobody comes in, rather than everybody.
    operations::access::remove(&mut home.store(), wall(), "admin").unwrap();
    wait_for("the token's end", PATIENCE, || (api.with_token(&admin).get("/v1/status").status == 401).then_some(()));
    api.get("/v1/status").problem(401, "unauthorized");
    assert!(daemon.runs());
    daemon.stop();
}

#[test]
fn an_address_that_is_taken_is_told_in_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let home = Home::with(&format!("{LENIENT}[api]\nlisten = \"{address}\"\n"));
    let mut daemon = Daemon::launch(&home);
    assert_ne!(daemon.wait().code(), Some(0));
    let said = daemon.lines().join("\n");
    assert!(said.contains("in use") && said.contains(&address.to_string()), "{said}");
}

#[test]
fn a_unix_socket_is_its_owner_s_alone_and_needs_no_token() {
    let home = Home::with(&format!("{LENIENT}[api]\nsocket = \"api.sock\"\n"));
    let path = home.path().join("api.sock");
    let stand = Stand::of(home);
    let socket = stand.daemon.unix();
    stand.token("reader", Scope::Read);
    stand.api.get("/v1/status").problem(401, "unauthorized");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    stand.add_hopeless("acme");
    socket.post("/v1/events", &envelope("by-socket", "acme", "1")).expect(201);
    socket.ask("GET", "/v1/status", &[("host", "anything.example")], b"").expect(200);
    // A second daemon takes neither the store nor the socket.
    let mut second = Daemon::launch(&stand.home);
    assert_eq!(second.wait().code(), Some(75));
    socket.get("/v1/status").expect(200);
    // What a killed one left is no hindrance.
    let home = stand.killed();
    assert!(path.exists());
    let stand = Stand::of(home);
    let shown: Value = stand.daemon.unix().get("/v1/events/by-socket").expect(200);
    assert_eq!(shown["event"]["id"], "by-socket");
    let _home = stand.stop();
    assert!(!path.exists(), "a clean end takes its socket away");
}

#[test]
fn a_file_that_stands_where_the_socket_goes_is_left_alone() {
    let home = Home::with(&format!("{LENIENT}[api]\nsocket = \"api.sock\"\n"));
    let path = home.path().join("api.sock");
    std::fs::write(&path, "precious").unwrap();
    let mut daemon = Daemon::launch(&home);
    assert_ne!(daemon.wait().code(), Some(0));
    assert!(daemon.lines().join("\n").contains("api.socket"), "{:?}", daemon.lines());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn nothing_listens_if_nothing_is_to() {
    let home = Home::with(&format!("{LENIENT}[api]\nlisten = \"\"\n"));
    let daemon = Daemon::start(&home);
    assert!(daemon.told("listening").is_empty());
    daemon.stop();
}
