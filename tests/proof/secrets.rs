//! Every kind of secret, used in every way, and then looked for in everything that postrider writes: as it is, in hex, in base64
//! and as a URL has it. With a master key also in the store and its backup; without one it must be found there, or looking for it
//! means nothing.

mod found;

use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use postrider::store::Store;

use crate::campaign::{Campaign, Figures};
use crate::client::Api;
use crate::harness::{Daemon, Home, LENIENT, PATIENCE, program, wait_for};
use crate::load::address;
use crate::receivers::certificates::Identity;
use crate::receivers::{Answer, Receiver, Step};
use found::{Artefacts, Secret};

/// What every profile here takes.
const BODY: &str = r#"{"type": "policy/creation/failed", "data": {"quote": {"quote_id": "5d0c2f4e-8a77-4b0f-9c53-0b8a4f6f2c11", "payout": "90.000000"}}, "error_detail": "no"}"#;

pub fn run(campaign: &Campaign) -> Figures {
    let mut figures = Figures::default();
    let mut dice = campaign.dice(1);
    for _ in 0..campaign.pick(1, 5) {
        let secrets = Secret::all(&mut dice);
        let artefacts = used(&secrets, true, &mut figures);
        let hits = artefacts.hits(&secrets);
        assert!(hits.is_empty(), "{} hits:\n{}", hits.len(), hits.join("\n"));
        figures.cycles += artefacts.count();
        if figures.notes.len() < 2 {
            figures.note(format!(
                "{} secrets in {} forms, {} texts and files of {} kB: 0 hits",
                secrets.len(),
                secrets.iter().map(|secret| secret.forms.len()).sum::<usize>(),
                artefacts.count(),
                artefacts.bytes() >> 10
            ));
        }
    }
    let secrets = Secret::all(&mut dice);
    let hits = used(&secrets, false, &mut figures).hits(&secrets);
    let in_the_store = hits.iter().filter(|hit| hit.contains("postrider.db")).count();
    assert!(in_the_store > 3, "nothing is found where it must be: {hits:?}");
    assert!(hits.iter().all(|hit| hit.contains("postrider.db") || hit.contains("copy.db")), "{hits:?}");
    figures.note(format!("without a master key the same search finds {in_the_store} in the store"));
    figures
}

/// A daemon's life with these secrets, and all that was written meanwhile.
fn used(secrets: &[Secret], sealed: bool, figures: &mut Figures) -> Artefacts {
    let sink = Receiver::start(|_| Answer::status(200));
    let sealing = if sealed { "[store]\nmaster_key_file = \"master\"\n" } else { "" };
    let spans = format!("[telemetry]\notlp_endpoint = \"{}\"\n", sink.url().replace("/hook", ""));
    let home = Home::with(&format!("{LENIENT}{sealing}{spans}"));
    for secret in secrets {
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(home.path().join(secret.name)).unwrap();
        std::io::Write::write_all(&mut file, secret.text.as_bytes()).unwrap();
    }
    std::fs::write(home.path().join("body.json"), BODY).unwrap();
    let mut artefacts = Artefacts::default();
    let receivers = receivers();
    register(&home, secrets, &receivers, &mut artefacts);
    let token = verb(&home, "token add shop --scope admin", &mut Artefacts::default()).trim().to_owned();
    let daemon = Daemon::start(&home);
    artefacts.of_process(daemon.pid());
    work(&home, &daemon, secrets, &token, &mut artefacts);
    artefacts.add("the log in JSON", daemon.stop().join("\n"));
    artefacts.add("the log for people", in_text(&home));
    if sealed {
        dumps_nothing(&home, figures);
    }
    sink.wait_for(1, PATIENCE);
    for request in sink.requests() {
        artefacts.add("spans", [request.head, request.body].concat());
    }
    artefacts.of_folder(home.path(), &secrets.iter().map(|secret| secret.name).collect::<Vec<_>>());
    artefacts.also(&token);
    artefacts
}

/// One that is well, one that fails, one that redirects, one that resets, and one that nobody should trust.
fn receivers() -> [Receiver; 5] {
    [
        Receiver::start(|_| Answer::status(200)),
        Receiver::start(|_| Answer::with(500, &[("retry-after", "1")], b"no")),
        Receiver::start(|_| Answer::redirect("https://elsewhere.example/")),
        Receiver::start(|_| Answer(vec![Step::Pause(Duration::from_millis(300)), Step::Reset])),
        Receiver::start_tls(&Identity::self_signed(&["127.0.0.1"]), |_| Answer::status(200)),
    ]
}

fn register(home: &Home, secrets: &[Secret], receivers: &[Receiver; 5], artefacts: &mut Artefacts) {
    let text = |name: &str| secrets.iter().find(|secret| secret.name == name).unwrap().text.clone();
    let [well, failing, moved, resetting, untrusted] = receivers.each_ref().map(Receiver::url);
    let query = format!("{well}?key={}", text("query"));
    let header = format!("x-api-key:{}", text("header"));
    for words in [
        vec!["endpoint", "add", "hmac", &query, "--profile", "ensuro", "--secret-file", "hmac"],
        vec!["endpoint", "add", "eip191", &failing, "--profile", "ensuro", "--key-file", "eip191"],
        vec!["endpoint", "add", "v1", &moved, "--profile", "standard", "--secret-file", "v1", "--header", &header],
        vec!["endpoint", "add", "v1a", &resetting, "--profile", "standard", "--key-file", "v1a", "--header", &header],
        vec![
            "endpoint",
            "add",
            "tls",
            &format!("{untrusted}?key={}", text("query")),
            "--profile",
            "standard",
            "--secret-file",
            "v1",
        ],
        // Where they do not belong.
        vec!["endpoint", "add", "wrong", &well, "--profile", "ensuro", "--secret-file", &text("hmac")],
        vec!["endpoint", "add", "wrong", &well, "--profile", "standard", "--secret-file", "hmac"],
        vec!["endpoint", "add", "wrong", &well, "--profile", "standard", "--key-file", "eip191"],
        vec!["endpoint", "add", "wrong", &well, "--profile", "ensuro", "--key-file", "v1a"],
    ] {
        artefacts.ran(&words[..3].join(" "), program(home).args(&words));
    }
}

/// A verb's whole answer; kept, whatever it is.
fn verb(home: &Home, words: &str, artefacts: &mut Artefacts) -> String {
    artefacts.ran(words, program(home).args(words.split(' ')))
}

/// Everything that can be asked, with the daemon and without.
fn work(home: &Home, daemon: &Daemon, secrets: &[Secret], token: &str, artefacts: &mut Artefacts) {
    for number in 0..3 {
        verb(home, &format!("enqueue body.json --type policy/creation/failed --id event-{number}"), artefacts);
    }
    let api = Api::at(&address(daemon));
    let bearer = api.with_token(token);
    let envelope = format!("{{\"id\": \"by-api\", \"type\": \"policy/creation/failed\", \"body\": {BODY}}}");
    artefacts.add("an acceptance", bearer.post("/v1/events", &envelope).text());
    artefacts.add("without a token", api.post("/v1/events", &envelope).text());
    artefacts.add("a wrong token", api.with_token(&format!("{token}x")).get("/v1/status").text());
    artefacts.add("a token in a query", api.get(&format!("/v1/status?token={token}")).text());
    for secret in secrets {
        let body = format!(
            "{{\"name\": \"x\", \"url\": \"http://127.0.0.1:9/\", \"profile\": \"standard\", \"secret\": \"{}!\"}}",
            secret.text
        );
        artefacts.add("a wrong secret by the API", bearer.post("/v1/endpoints", &body).text());
    }
    wait_for("attempts of all", PATIENCE, || (home.store().outcomes(0, 1000).unwrap().last > 15).then_some(()));
    for words in [
        "endpoint rotate hmac --secret-file v1",
        "endpoint rotate hmac --secret-file hmac",
        "endpoint rotate v1 --secret-file v1",
        "endpoint edit v1 --rate 5",
        "endpoint test hmac",
        "endpoint test tls",
        "endpoint list",
        "endpoint show v1",
        "endpoint show hmac",
        "endpoint show missing",
        "list",
        "show event-1 --body",
        "why event-1",
        "retry event-1",
        "cancel event-2",
        "replay",
        "status",
        "schedule",
        "schedule v1",
        "token list",
        "config show",
        "config check",
        "sign --scheme hmac --secret-file hmac body.json",
        "verify --scheme hmac --secret-file hmac --signature 00 body.json",
        "verify --scheme v1 --secret-file hmac --id a --timestamp 1 --signature v1,00 body.json",
        "seal",
        "backup copy.db --force",
    ] {
        verb(home, words, artefacts);
        verb(home, &format!("--json {words}"), artefacts);
    }
    for target in [
        "/metrics",
        "/openapi.json",
        "/docs",
        "/v1/endpoints",
        "/v1/endpoints/v1",
        "/v1/deliveries",
        "/v1/events/event-1",
        "/v1/events/event-1/why",
        "/v1/status",
        "/readyz",
    ] {
        let reply = bearer.get(target);
        assert_eq!(reply.status, 200, "{target}");
        artefacts.add(target, reply.body);
    }
}

/// The log that a person reads, at its most talkative.
fn in_text(home: &Home) -> String {
    let mut command = program(home);
    command.args(["serve", "--log-format", "text", "--log-level", "trace"]);
    let daemon = Daemon::spawn(command);
    wait_for("a start", PATIENCE, || daemon.lines().iter().any(|line| line.contains("listening")).then_some(()));
    program(home).args(["retry", "event-0"]).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    daemon.stop().join("\n")
}

/// A daemon that dies of a signal leaves no core, though its limit would let it.
fn dumps_nothing(home: &Home, figures: &mut Figures) {
    let inner = program(home);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .arg("serve");
    shell.current_dir(home.path()).env_clear().env("HOME", home.path()).env("PATH", "/usr/bin:/bin");
    let mut daemon = Daemon::spawn(shell);
    daemon.wait_for_line("started");
    rustix::process::kill_process(daemon.handle(), rustix::process::Signal::ABORT).unwrap();
    let status = daemon.wait();
    assert!(status.signal().is_some() && !status.core_dumped(), "{status}");
    let mut sleeper =
        Command::new("sh").args(["-c", "ulimit -c unlimited; kill -ABRT $$"]).current_dir(home.path()).spawn().unwrap();
    match sleeper.wait().unwrap().core_dumped() {
        true => figures.note("died by SIGABRT without a core, where another process leaves one"),
        false => figures.skip("this machine keeps no core of anybody, so that none of postrider's tells little"),
    }
    for entry in std::fs::read_dir(home.path()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("core") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}
