//! The command line against a daemon: over TCP and a unix socket, what it prints is what the store itself would have it
//! print, and what the daemon refuses has the exit status that it has here.

use std::process::{Output, Stdio};

use postrider::access::Scope;
use postrider::daemon::clock::wall;
use postrider::operations::access;
use serde_json::Value;

use crate::process::harness::{Daemon, Home, LENIENT, SECRET, program};
use crate::receivers::certificates::Authority;
use crate::receivers::{Answer, Receiver};

/// A daemon, and how it is asked.
struct Stand {
    home: Home,
    daemon: Daemon,
    server: String,
}

const LISTENING: &str = "[api]\nlisten = \"127.0.0.1:0\"\nsocket = \"api.sock\"\n";

impl Stand {
    fn new() -> Self {
        let home = Home::with(&format!("{LENIENT}{LISTENING}"));
        std::fs::write(home.path().join("body.json"), b"{ \"a\": 1.0 }\n").unwrap();
        std::fs::write(home.path().join("secret"), [b"whsec_".as_slice(), base64(SECRET).as_bytes()].concat()).unwrap();
        let daemon = Daemon::start(&home);
        let server = crate::process::harness::wait_for("an address", crate::process::harness::PATIENCE, || {
            let told = daemon.told("listening");
            told.iter()
                .find_map(|line| Some(line["address"].as_str()?.to_owned()).filter(|at| at.contains("127.0.0.1")))
        });
        let server = if server.starts_with("http") { server } else { format!("http://{server}") };
        Stand { home, daemon, server }
    }

    /// In the store on this machine.
    fn here(&self, words: &str) -> Output {
        self.run(&[], words)
    }

    /// By the daemon.
    fn there(&self, words: &str) -> Output {
        self.run(&["--server", &self.server], words)
    }

    /// By the daemon, through its socket.
    fn by_socket(&self, words: &str) -> Output {
        let socket = format!("unix:{}", self.home.path().join("api.sock").display());
        self.run(&["--server", &socket], words)
    }

    fn run(&self, flags: &[&str], words: &str) -> Output {
        let mut command = program(&self.home);
        command.args(flags).args(words.split(' ')).stdin(Stdio::null()).output().unwrap()
    }

    fn add(&self, name: &str, receiver: &Receiver) {
        let words =
            format!("endpoint add {name} {} --profile standard --secret-file secret --schedule 1h", receiver.url());
        said(&self.there(&words), 0);
    }

    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&said(&self.there(&format!("--json {words}")), 0)).unwrap()
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[track_caller]
fn said(output: &Output, exit: i32) -> String {
    assert_eq!(output.status.code(), Some(exit), "{output:#?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn complained(output: &Output, exit: i32, parts: &[&str]) {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(exit), "{output:#?}");
    for part in parts {
        assert!(said.contains(part), "{said:?} does not say {part:?}");
    }
}

/// Without what differs from one moment to the next.
fn timeless(text: &str) -> String {
    let words = text.lines().map(|line| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        // `3 ms ago`, `in 59 min`: how long, not when.
        // `1.2 s` too.
        words.retain(|word| !word.trim_matches(['(', ')', ',', '.']).chars().all(|c| c.is_ascii_digit() || c == '.'));
        words.retain(|word| !["ms", "s", "min"].contains(&word.trim_end_matches([')', '.', ';', ','])));
        words.join(" ")
    });
    words.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_a_daemon_answers_is_printed_as_if_the_store_lay_here() {
    let stand = Stand::new();
    let receiver = Receiver::start(|request| Answer::status(if request.number == 1 { 200 } else { 500 }));
    stand.add("acme", &receiver);
    let enqueue = "enqueue --type order/paid --id a-1 --wait --wait-timeout 30s body.json";
    assert!(said(&stand.there(enqueue), 0).starts_with("a-1 accepted: 1 delivery\ndlv_1 -> acme\n"));
    assert_eq!(receiver.requests()[0].body, b"{ \"a\": 1.0 }\n");
    let again = said(&stand.there("enqueue --type order/paid --id a-1 body.json"), 0);
    assert!(again.starts_with("a-1 known already, accepted at 20"), "{again}");
    said(&stand.by_socket("enqueue --endpoint acme --type order/paid --id a-2 body.json"), 0);
    stand.home.wait_for_attempts("a-2", 1);
    for words in [
        "list",
        "list --json",
        "list --state dead",
        "list --type order/* --endpoint acme --limit 1",
        "show a-1",
        "show a-1 --json --body",
        "show dlv_2",
        "show a-1 --raw",
        "why a-1",
        "why dlv_2",
        "endpoint list",
        "endpoint list --json",
        "endpoint show acme",
        "endpoint show acme --json",
        "status",
    ] {
        let here = said(&stand.here(words), 0);
        assert_eq!(timeless(&said(&stand.there(words), 0)), timeless(&here), "{words}");
        assert_eq!(timeless(&said(&stand.by_socket(words), 0)), timeless(&here), "{words} by the socket");
    }
    assert_eq!(said(&stand.here("show a-1 --raw"), 0), "{ \"a\": 1.0 }\n");
    for words in ["schedule acme", "schedule standard", "status --json"] {
        assert_eq!(
            said(&stand.there(words), 0).lines().count(),
            said(&stand.here(words), 0).lines().count(),
            "{words}"
        );
    }
}

#[test]
fn a_daemon_is_told_what_to_do_with_deliveries() {
    let stand = Stand::new();
    let receiver = Receiver::start(|_| Answer::status(500));
    stand.add("acme", &receiver);
    said(&stand.there("enqueue --type order/paid --id a-1 body.json"), 0);
    stand.home.wait_for_attempts("a-1", 1);
    assert_eq!(said(&stand.there("cancel a-1"), 0), "dlv_1 -> acme: cancelled\n");
    complained(&stand.there("cancel dlv_1"), 1, &["dlv_1: it is cancelled already"]);
    complained(&stand.there("retry dlv_9"), 66, &["there is no delivery dlv_9"]);
    complained(&stand.there("show a.b"), 65, &["a delivery is dlv_ and a number"]);
    let counted = stand.there("replay --state cancelled --endpoint acme");
    assert_eq!(said(&counted, 0), "1 cancelled delivery fits: nothing was done\n");
    assert_eq!(said(&stand.there("replay --state cancelled --yes"), 0), "1 cancelled delivery fits: 1 pending again\n");
    let (_, attempts) = stand.home.wait_for_attempts("a-1", 2);
    assert_eq!(attempts[1].number, 2);
    assert_eq!(said(&stand.by_socket("retry dlv_1"), 0), "dlv_1 -> acme: due now\n");
    stand.home.wait_for_attempts("a-1", 3);
}

#[test]
fn a_daemon_is_told_what_to_do_with_endpoints() {
    let stand = Stand::new();
    let receiver = Receiver::start(|_| Answer::status(204));
    stand.add("acme", &receiver);
    let edited = stand.json("endpoint edit acme --timeout 3s --unset schedule --header X-Team:a --subscribe order/*");
    assert_eq!(edited["overrides"], serde_json::json!(["timeout_ms", "headers"]), "{edited}");
    let unset = stand.json("endpoint edit acme --unset timeout,headers,subscriptions");
    assert_eq!(unset["overrides"], serde_json::json!([]));
    complained(&stand.there("endpoint edit acme --timeout 1h"), 65, &["the timeout must be from"]);
    assert_eq!(stand.json("endpoint pause acme")["state"], "paused");
    assert_eq!(stand.json("endpoint resume acme")["state"], "active");
    let made = said(&stand.there("endpoint rotate acme"), 0);
    assert!(made.starts_with("whsec_") && made.lines().count() == 1, "{made}");
    assert_eq!(stand.json("endpoint show acme")["keys"].as_array().unwrap().len(), 2);
    let tested = said(&stand.there("endpoint test acme"), 0);
    assert!(tested.contains("accepted 204") && tested.starts_with("msg_"), "{tested}");
    assert_eq!(
        said(&stand.here("endpoint test acme body.json"), 0).lines().nth(2).map(|line| line.contains("204")),
        Some(true)
    );
    assert_eq!(receiver.requests()[1].body, b"{ \"a\": 1.0 }\n");
    complained(&stand.there("endpoint test acme body.json"), 65, &["no space and no newline around it"]);
    drop(receiver);
    let refused = stand.there("endpoint test acme");
    assert!(said(&refused, 1).contains("unreachable"), "{refused:?}");
    complained(&stand.there("endpoint show nobody"), 66, &["there is no endpoint nobody"]);
    complained(&stand.there("endpoint remove acme"), 2, &["say --yes"]);
    assert!(said(&stand.there("endpoint remove acme --yes"), 0).contains("acme removed: 0 pending"));
    complained(&stand.there("enqueue --type a.b --endpoint acme body.json"), 66, &["there is no endpoint acme"]);
    let shop = said(&stand.there("endpoint add shop http://127.0.0.1:9/ --profile standard --generate-secret"), 0);
    assert!(shop.starts_with("whsec_"), "{shop}");
    complained(
        &stand.there("endpoint add shop http://127.0.0.1:9/ --profile standard --generate-secret"),
        65,
        &["already"],
    );
}

#[test]
fn a_batch_goes_to_a_daemon_and_a_cut_one_goes_on() {
    let stand = Stand::new();
    let receiver = Receiver::start(|_| Answer::status(200));
    stand.add("acme", &receiver);
    said(&stand.there("endpoint pause acme"), 0);
    let line = |number: usize| format!("{{\"type\":\"order/paid\",\"body\":{{ \"number\":{number}.0 }}}}\n");
    let mut text: String = (0..2000).map(line).collect();
    text.push_str("\n{\n");
    text.push_str(&line(2000));
    std::fs::write(stand.home.path().join("events.ndjson"), text).unwrap();
    let answer = stand.there("enqueue --batch events.ndjson");
    assert_eq!(said(&answer, 65), "2002 lines: 2001 accepted (2001 deliveries), 0 known already, 1 refused\n");
    complained(&answer, 65, &["line 2002: the body is not JSON"]);
    let here = said(&stand.here("enqueue --batch events.ndjson"), 65);
    assert_eq!(here, "2002 lines: 0 accepted (0 deliveries), 2001 known already, 1 refused\n");
    let again = said(&stand.by_socket("--json enqueue --batch events.ndjson"), 65);
    let results: Vec<Value> = again.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((results.len(), &results[2001]["line"]), (2002, &Value::from(2003)));
    let event = results[7]["event"].as_str().unwrap();
    assert_eq!(stand.json(&format!("show {event} --body"))["event"]["body"], "{ \"number\":7.0 }");
}

#[test]
fn a_batch_whose_daemon_dies_says_what_is_on_disk_and_goes_on_with_the_next() {
    use std::io::{BufRead, BufReader, Write};
    let stand = Stand::new();
    let lines = |count: usize| {
        (0..count).map(|n| format!("{{\"id\":\"a-{n}\",\"type\":\"order/paid\",\"body\":{n}}}\n")).collect::<String>()
    };
    let mut command = program(&stand.home);
    command.args(["--server", &stand.server, "--json", "enqueue", "--batch", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines(3).as_bytes()).unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut results = String::new();
    for _ in 0..3 {
        out.read_line(&mut results).unwrap();
    }
    assert_eq!(results.matches("\"accepted\"").count(), 3, "each as soon as it is on disk: {results}");
    let Stand { home, daemon, server: _ } = stand;
    daemon.kill9();
    let ended = child.wait_with_output().unwrap();
    complained(&ended, 75, &["3 lines are on disk; given again, those with an id are known"]);
    drop(stdin);
    std::fs::write(home.path().join("events.ndjson"), lines(5)).unwrap();
    let daemon = Daemon::start(&home);
    crate::process::harness::wait_for("the socket", crate::process::harness::PATIENCE, || {
        let told = daemon.told("listening");
        told.iter().any(|line| line["address"].as_str().is_some_and(|at| at.contains("api.sock"))).then_some(())
    });
    let socket = format!("unix:{}", home.path().join("api.sock").display());
    let again = program(&home).args(["--server", &socket, "enqueue", "--batch", "events.ndjson"]).output().unwrap();
    assert_eq!(said(&again, 0), "5 lines: 2 accepted (0 deliveries), 3 known already, 0 refused\n");
}

#[test]
fn who_may_not_or_does_not_answer_is_told_apart() {
    let stand = Stand::new();
    let token = access::add(&mut stand.home.store(), wall(), "shop", Scope::Read).unwrap();
    std::fs::write(stand.home.path().join("token"), format!("{}\n", token.as_str())).unwrap();
    std::fs::write(stand.home.path().join("wrong"), "prt_wrong").unwrap();
    // The daemon learns of a token within a moment.
    crate::process::harness::wait_for("the token to be asked for", crate::process::harness::PATIENCE, || {
        (stand.there("status").status.code() == Some(78)).then_some(())
    });
    complained(&stand.there("status"), 78, &["wants a token", "--token-file"]);
    complained(&stand.there("--token-file wrong status"), 78, &["does not know this token"]);
    said(&stand.there("--token-file token status"), 0);
    complained(&stand.there("--token-file token enqueue --type a.b body.json"), 78, &["--token-file"]);
    complained(&stand.there("--token-file token.txt status"), 66, &["token.txt cannot be read"]);
    said(&stand.by_socket("status"), 0);
    let by_variables = |words: &str| {
        let mut command = program(&stand.home);
        command.env("POSTRIDER_SERVER", &stand.server).env("POSTRIDER_TOKEN", token.as_str());
        command.args(words.split(' ')).stdin(Stdio::null()).output().unwrap()
    };
    assert!(said(&by_variables("status"), 0).contains("running"));
    said(&by_variables("config check"), 0);
    for verb in ["serve", "token list", "config show", "demo", "sign --scheme hmac body.json"] {
        complained(&stand.there(verb), 2, &["works on this machine and asks no daemon"]);
    }
    complained(&stand.here("--token-file token status"), 2, &["--token-file is for --server"]);
    complained(&stand.there("--store other.db status"), 2, &["leave out --store or --server"]);
    complained(&stand.run(&["--server", "nonsense"], "status"), 2, &["a server is written"]);
    let server = stand.server.clone();
    stand.daemon.stop();
    let gone = program(&stand.home).args(["--server", &server, "status"]).output().unwrap();
    complained(&gone, 75, &[&server, "refused"]);
    let gone = program(&stand.home).args(["--server", "unix:nothing.sock", "list"]).output().unwrap();
    complained(&gone, 75, &["unix:nothing.sock"]);
    let (at, answering) = answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    let stranger = program(&stand.home).args(["--server", &at, "list"]).output().unwrap();
    complained(&stranger, 74, &["is no postrider that this one understands"]);
    answering.join().unwrap();
}

/// Something that answers one request, and where.
fn answering(answer: &'static str) -> (String, std::thread::JoinHandle<()>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
    });
    (at, answering)
}

#[test]
fn a_receiver_that_is_not_registered_is_signed_for_by_the_daemon() {
    let stand = Stand::new();
    let receiver = Receiver::start(|_| Answer::status(200));
    let to = format!("enqueue --to {} --profile standard --secret-file secret --type order/paid", receiver.url());
    complained(&stand.there(&format!("{to} body.json")), 65, &["no space and no newline around it"]);
    std::fs::write(stand.home.path().join("bare.json"), b"{ \"a\": 1.0 }").unwrap();
    said(&stand.there(&format!("{to} --id a-1 --wait --wait-timeout 30s bare.json")), 0);
    let request = &receiver.requests()[0];
    assert_eq!(request.body, b"{ \"a\": 1.0 }");
    assert!(request.headers.iter().any(|(name, _)| name == "webhook-signature"), "{request:?}");
    complained(&stand.there("enqueue body.json"), 65, &["the event has no type"]);
}

#[test]
fn a_server_over_https_is_verified_and_only_it_gets_the_token() {
    let authority = Authority::new();
    let list = |_: &_| Answer::with(200, &[("content-type", "application/json")], b"{\"endpoints\":[]}");
    let server = Receiver::start_tls(&authority.identity(&["127.0.0.1"]), list);
    let url = format!("https://127.0.0.1:{}", server.port());
    let home = Home::new();
    std::fs::write(home.path().join("token"), "prt_0123\n").unwrap();
    let ask = |home: &Home| {
        let mut command = program(home);
        command.args(["--server", &url, "--token-file", "token", "endpoint", "list", "--json"]);
        command.stdin(Stdio::null()).output().unwrap()
    };
    complained(&ask(&home), 75, &[&url, "cannot be reached", "certificate"]);
    assert!(server.requests().is_empty());
    let home = Home::with(&LENIENT.replace("[safety]", "[safety]\nextra_roots_file = \"roots.pem\""));
    std::fs::write(home.path().join("roots.pem"), authority.pem()).unwrap();
    std::fs::write(home.path().join("token"), "prt_0123\n").unwrap();
    assert_eq!(said(&ask(&home), 0), "{\"endpoints\":[]}\n");
    let request = &server.requests()[0];
    assert_eq!((request.path.as_str(), request.header("authorization")), ("/v1/endpoints", Some("Bearer prt_0123")));

    let elsewhere = Receiver::start(|_| Answer::status(200));
    let to = elsewhere.url();
    let moved = Receiver::start(move |_| Answer::redirect(&to));
    let mut command = program(&home);
    command.args(["--server", &format!("http://127.0.0.1:{}", moved.port()), "--token-file", "token", "status"]);
    complained(&command.stdin(Stdio::null()).output().unwrap(), 74, &["is no postrider", "status 30"]);
    assert!(elsewhere.requests().is_empty(), "a redirect is not followed");
}
