//! The workbench's verbs against whoever would forge: webhooks to `listen`, answers to `mock` and `check` and what their
//! reports make of them, requests to `sandbox`, and a daemon behind `--server` that is none.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::answers::nasty;
use super::command::filled;
use super::strings::{Shown, strings};
use super::tally::Tally;
use super::terminal::Screen;
use crate::campaign::Campaign;
use crate::harness::{Home, PATIENCE, program};
use crate::raw::{exchange, in_json, request};
use crate::receivers::{Answer, Receiver};

pub fn run(campaign: &Campaign, tally: &Tally) {
    let home = Home::new();
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    write("secret", "not much of a secret\n");
    write("whsec", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    forge_webhooks(&home, tally);
    answer_senders(campaign, &home, tally);
    ask_a_sandbox(&home, tally);
    be_a_daemon(campaign, &home, tally);
}

/// A verb that serves until it is killed, and the address that it tells on its first lines.
struct Serving {
    child: Child,
    out: std::thread::JoinHandle<Vec<u8>>,
    err: std::thread::JoinHandle<Vec<u8>>,
    address: String,
}

impl Serving {
    fn start(home: &Home, words: &str) -> Self {
        let mut command = program(home);
        command.args(words.split(' ')).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        let [out, err] = streams.map(|stream| {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let (mut reader, mut all) = (BufReader::new(stream), Vec::new());
                loop {
                    let before = all.len();
                    match reader.read_until(b'\n', &mut all) {
                        Ok(1..) => drop(tell.send(String::from_utf8_lossy(&all[before..]).into_owned())),
                        Ok(0) | Err(_) => return all,
                    }
                }
            })
        });
        let mut serving = Serving { child, out, err, address: String::new() };
        while let Ok(line) = told.recv_timeout(PATIENCE) {
            if let Some((_, rest)) = line.split_once("127.0.0.1:") {
                let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
                serving.address = format!("127.0.0.1:{port}");
                break;
            }
        }
        assert!(!serving.address.is_empty(), "{words} tells no address");
        serving
    }

    /// All that it showed.
    fn end(mut self, name: &str, tally: &Tally) {
        assert!(self.child.try_wait().unwrap().is_none(), "{name} ended by itself");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let (out, err) = (self.out.join().unwrap(), self.err.join().unwrap());
        for line in out.split(|byte| *byte == b'\n').filter(|line| name.contains("--json") && !line.is_empty()) {
            if serde_json::from_slice::<serde_json::Value>(line).is_err() {
                tally.wrong(name, format_args!("the line {:?}", String::from_utf8_lossy(line)));
            }
        }
        assert!(!out.is_empty() || !err.is_empty(), "{name} shows nothing");
        tally.look(&format!("{name} (stdout)"), &out, Shown::Plain);
        tally.look(&format!("{name} (stderr)"), &err, Shown::Plain);
    }
}

/// Webhooks that nobody honest sends; `{}` is the string.
const WEBHOOKS: &[(&str, &str)] = &[
    ("POST /{} HTTP/1.1\r\nhost: {}", "{}"),
    ("{} /hook HTTP/1.1\r\nhost: a", "{}"),
    ("POST /hook HTTP/1.1\r\nhost: a\r\ncontent-type: {}\r\nx-ensuro-signature: {}\r\nx-eip191-signature: 0x{}", "{}"),
    ("POST /hook HTTP/1.1\r\nhost: a\r\n{}: {}", "{\"{}\": \"{}\"}"),
    ("POST /hook HTTP/1.1\r\nhost: a\r\nwebhook-id: {}\r\nwebhook-timestamp: {}\r\nwebhook-signature: v1,{}", "{}"),
    (
        "POST /hook HTTP/1.1\r\nhost: a\r\ncontent-type: application/json",
        "{\"type\": \"{}\", \"policy\": {\"id\": \"{}\"}}",
    ),
    (
        "POST /hook HTTP/1.1\r\nhost: a\r\ncontent-type: application/json",
        "{\"status\": \"d\", \"statusNote\": \"{}\", \"trnsctnId\": \"{}\", \"consumerId\": \"{}\", \"product\": \"{}\"}",
    ),
    (
        "POST /hook HTTP/1.1\r\nhost: a\r\ncontent-type: application/json",
        "{\"status\": \"a\", \"trnsctnId\": \"{}\", \"crtfct\": \"JVBERi0xLjQK\", \"crtfctType\": \"{}\"}",
    ),
];

fn send_all(address: &str, webhooks: &[(&str, &str)], tally: &Tally) {
    for string in strings() {
        let flat: Vec<u8> = string.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        for (head, body) in webhooks {
            tally.tried(head);
            let in_body = if body.starts_with('{') && *body != "{}" { in_json(&string) } else { string.clone() };
            let bytes = request(&filled(head, &flat[..flat.len().min(1500)]), &filled(body, &in_body));
            // Also with the line ends that would end a header.
            let with_ends = request(&filled(head, &string[..string.len().min(1500)]), &filled(body, &in_body));
            for bytes in [bytes, with_ends] {
                if let Ok(back) = exchange(address, &bytes, PATIENCE) {
                    tally.look(&format!("{head} (answer's head)"), &back.head, Shown::Head);
                    tally.look(&format!("{head} (answer's body)"), &back.body, Shown::Plain);
                }
            }
        }
    }
}

fn forge_webhooks(home: &Home, tally: &Tally) {
    for words in [
        "listen --port 0 --secret-file secret --headers",
        "listen --port 0 --secret-file whsec --json --answer-anyway --save kept",
    ] {
        let listening = Serving::start(home, words);
        send_all(&listening.address, WEBHOOKS, tally);
        listening.end(words, tally);
    }
    forge_on_terminal(home, tally);
}

/// The same, where a person looks on.
fn forge_on_terminal(home: &Home, tally: &Tally) {
    let port = crate::receivers::free_port();
    let count = strings().len();
    let mut command = program(home);
    command.args(["listen", "--port", &port.to_string(), "--headers", "--count", &count.to_string()]);
    let mut screen = Screen::start(command.stdin(Stdio::null()));
    let address = format!("127.0.0.1:{port}");
    crate::harness::wait_for("a listener", PATIENCE, || std::net::TcpStream::connect(&address).ok());
    let (head, body) = WEBHOOKS[5];
    for string in strings() {
        let bytes = request(head.as_bytes(), &filled(body, &in_json(&string)));
        exchange(&address, &bytes, PATIENCE).unwrap();
    }
    let ended = crate::harness::wait_for("its end", PATIENCE, || screen.child.try_wait().unwrap());
    assert!(ended.code().is_some(), "{ended}");
    tally.look("listen (terminal)", &screen.end(), Shown::Terminal);
}

/// What a receiver answers to `mock`, `check` and `endpoint test`, in text, JSON, web page and JUnit.
fn answer_senders(campaign: &Campaign, home: &Home, tally: &Tally) {
    let all = strings();
    let receiver = nasty(&all);
    let mut dice = campaign.dice(300);
    let numbers: Vec<usize> = match campaign.pick(true, false) {
        true => (0..10).map(|_| dice.below(all.len() as u64) as usize).collect(),
        false => (0..all.len()).collect(),
    };
    for number in numbers {
        let url = receiver.url().replace("/hook", &format!("/{number}"));
        for words in [
            format!("mock ensuro creation --to {url} --secret-file secret"),
            format!("mock ensuro creation --to {url} --secret-file secret --json"),
            format!("mock octamile declined --to {url} --retries --speed 100000"),
            format!("check {url} --secret-file secret --html out.html --junit out.xml"),
            format!("check {url} --secret-file secret --json"),
        ] {
            tally.tried(words.split(' ').next().unwrap());
            let output = ended(&mut command(home, &words));
            tally.look(&words, &output.stdout, Shown::Plain);
            tally.look(&format!("{words} (stderr)"), &output.stderr, Shown::Plain);
            let shown = Screen::start(command(home, &words).stdin(Stdio::null())).end();
            tally.look(&format!("{words} (terminal)"), &shown, Shown::Terminal);
        }
        look_at_reports(home, tally);
    }
}

fn look_at_reports(home: &Home, tally: &Tally) {
    for name in ["out.html", "out.xml"] {
        let text = std::fs::read(home.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        tally.look(name, &text, Shown::Plain);
        let text = String::from_utf8_lossy(&text);
        for alive in ["<script", "<img", "onmouseover=\"", "<!ENTITY", " ]]>"] {
            if text.contains(alive) {
                tally.wrong(name, format_args!("it holds {alive:?}"));
            }
        }
        std::fs::remove_file(home.path().join(name)).unwrap();
    }
}

fn command(home: &Home, words: &str) -> Command {
    let mut command = program(home);
    command.args(words.split(' '));
    command
}

fn ended(command: &mut Command) -> std::process::Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// Requests to the sandbox; `{}` is the string.
const REQUESTS: &[(&str, &str)] = &[
    ("POST /{} HTTP/1.1\r\nhost: localhost", "{}"),
    ("GET /api/policies/{}/ HTTP/1.1\r\nhost: localhost", ""),
    ("POST /quote HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-api-key: {}", "{\"{}\": \"{}\"}"),
    ("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json", "{\"payout\": \"{}\", \"{}\": 1}"),
    ("POST /api/v0/{}/quote HTTP/1.1\r\nhost: {}\r\norigin: {}", "{}"),
    (
        "POST /octamile HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json",
        "{\"cmmnd\": {\"{}\": 1, \"seed\": {\"id\": \"{}\", \"addtnlFact\": {\"webHook\": \"{}\"}}}, \"userInfo\": \"{}\"}",
    ),
    (
        "POST /octamile HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json",
        "{\"cmmnd\": \"{}\", \"userInfo\": {\"{}\": \"{}\"}}",
    ),
];

fn ask_a_sandbox(home: &Home, tally: &Tally) {
    let words = "sandbox --listen 127.0.0.1:0 --folder kept-sandbox --log";
    let sandbox = Serving::start(home, words);
    send_all(&sandbox.address, REQUESTS, tally);
    for verb in ["list", "list --json", "approve nobody", "clock"] {
        let words = format!("sandbox {verb} --at http://{}", sandbox.address);
        let output = ended(&mut command(home, &words));
        tally.look(&words, &output.stdout, Shown::Plain);
        tally.look(&format!("{words} (stderr)"), &output.stderr, Shown::Plain);
    }
    sandbox.end(words, tally);
}

/// Answers every question with one that is well-formed and full of strings: what a verb shows of it is shown escaped.
fn be_a_daemon(campaign: &Campaign, home: &Home, tally: &Tally) {
    let all = strings();
    let mut dice = campaign.dice(301);
    for _ in 0..campaign.pick(10, 200) {
        let string = dice.pick(&all).clone();
        let text = String::from_utf8_lossy(&in_json(&string)).into_owned();
        let daemon = Receiver::start(move |request| {
            let (status, kind, body) = match (request.path.as_str(), request.number % 3) {
                (path, 0 | 1) if path.starts_with("/v1/") => (200, "application/json", shaped(path, &text)),
                _ => (409, "application/problem+json", problem(&text)),
            };
            Answer::with(status, &[("content-type", kind)], body.as_bytes()).then_close()
        });
        let server = daemon.url().replace("/hook", "");
        for verb in [
            "list",
            "show one --body",
            "why one",
            "status",
            "endpoint list",
            "endpoint show a",
            "schedule",
            "retry one",
        ] {
            for json in ["", " --json"] {
                let words = format!("--server {server} {verb}{json}");
                tally.tried(&format!("{verb} by a daemon that is none"));
                let output = ended(&mut command(home, &words));
                tally.look(verb, &output.stdout, Shown::Plain);
                tally.look(&format!("{verb} (stderr)"), &output.stderr, Shown::Plain);
                if output.status.code() == Some(101) {
                    tally.wrong(verb, String::from_utf8_lossy(&output.stderr));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn problem(text: &str) -> String {
    format!(
        r#"{{"type":"urn:postrider:problem:{text}","title":"{text}","status":409,"detail":"{text}","errors":[{{"pointer":"{text}","detail":"{text}"}}]}}"#
    )
}

/// As a daemon answers, as far as the verb reads it; where a rule of it is broken, the verb has to say so in words.
fn shaped(path: &str, text: &str) -> String {
    let delivery = format!(
        r#"{{"id":"dlv_1","delivery":"dlv_1","event":"{text}","type":"{text}","endpoint":"{text}","profile":"standard","url":"http://a.example/{text}","state":"dead","reason":"schedule used up","attempts_made":1,"of":1,"attempts":[],"ended_at":"2026-11-01T00:00:00.000Z","last":"{text}"}}"#
    );
    match path {
        _ if path.starts_with("/v1/deliveries") => format!(r#"{{"deliveries":[{delivery}],"next":null,"more":false}}"#),
        _ if path.ends_with("/why") => {
            format!(r#"{{"explanations":["{text}"],"deliveries":["{text}"],"why":"{text}","text":"{text}"}}"#)
        }
        _ if path.starts_with("/v1/endpoints") => format!(
            r#"{{"endpoints":[{{"name":"{text}","url":"{text}","profile":"standard","state":"active","subscriptions":["{text}"],"keys":[]}}],"name":"{text}"}}"#
        ),
        _ => format!(
            r#"{{"event":{{"id":"{text}","type":"{text}","content_type":"{text}"}},"deliveries":[{delivery}],"{text}":"{text}"}}"#
        ),
    }
}
