//! The strings in whatever a receiver answers, in its certificate and in the body of an event; and every view of what was
//! tried: the verbs on the store, on a terminal, by a daemon, and the API itself.

use std::process::Stdio;

use postrider::delivery::StateName;
use postrider::store::NewEndpoint;

use super::asked::look_at_requests;
use super::strings::{Shown, strings};
use super::tally::Tally;
use super::terminal::Screen;
use crate::campaign::Campaign;
use crate::harness::{Daemon, Home, LENIENT, PATIENCE, endpoint, overrides, program};
use crate::raw::{address, exchange, request};
use crate::receivers::certificates::Authority;
use crate::receivers::{Answer, Receiver, Step};

pub fn run(campaign: &Campaign, tally: &Tally) {
    let strings = strings();
    let receiver = nasty(&strings);
    let home = Home::with(&format!("{LENIENT}[api]\n"));
    let daemon = Daemon::start(&home);
    let place = address(&daemon);
    for (number, string) in strings.iter().enumerate() {
        let url = receiver.url().replace("/hook", &format!("/{number}"));
        home.add(NewEndpoint { overrides: overrides(&[]), ..endpoint(&format!("e{number}"), &url) });
        let head = format!(
            "POST /v1/events?id=n{number}&type=a.b&endpoint=e{number} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain"
        );
        let back = exchange(&place, &request(head.as_bytes(), string), PATIENCE).unwrap();
        assert_eq!(back.status(), 201, "{}", String::from_utf8_lossy(&back.body));
        tally.tried("an answer");
    }
    let certificates = behind_odd_certificates(&home, tally);
    home.wait_until_settled();
    for number in 0..strings.len() {
        let (_, attempts) = home.wait_for_state(&format!("n{number}"), StateName::Dead);
        assert_eq!(attempts.len(), 1);
    }
    look_at_views(campaign, &home, &place, strings.len() + certificates, tally);
    look_at_requests(&receiver, tally);
    for line in daemon.stop() {
        tally.look("the log", line.as_bytes(), Shown::Plain);
        if serde_json::from_str::<serde_json::Value>(&line).is_err() {
            tally.wrong("the log", format_args!("the line {line:?}"));
        }
    }
}

/// Answers the path `/7` with string 7 in every part of an answer that can have it.
pub fn nasty(strings: &[Vec<u8>]) -> Receiver {
    let strings = strings.to_vec();
    Receiver::start(move |request| {
        let digits: String = request.path.chars().filter(char::is_ascii_digit).collect();
        let string = &strings[digits.parse::<usize>().unwrap_or(0) % strings.len()];
        // A line end within the head would end the header, not stand in it; the body has the string whole.
        let flat: Vec<u8> = string.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).take(1500).collect();
        let mut bytes = [b"HTTP/1.1 503 ", &flat[..], b"\r\n"].concat();
        for name in ["retry-after", "location", "server", "content-type", "x-odd"] {
            bytes.extend_from_slice(&[name.as_bytes(), b": ", &flat, b"\r\n"].concat());
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", string.len()).as_bytes());
        bytes.extend_from_slice(string);
        Answer(vec![Step::Send(bytes), Step::Close])
    })
}

/// Receivers whose certificate is for names that no receiver has; returns how many.
fn behind_odd_certificates(home: &Home, tally: &Tally) -> usize {
    let names = ["M4RK\x1b[95;41mred.example", "M4RK\nFORGED.example", "M4RK\x07\x7f.example"];
    let authority = Authority::new();
    std::fs::write(home.path().join("roots.pem"), authority.pem()).unwrap();
    for (number, name) in names.iter().enumerate() {
        let receiver = Receiver::start_tls(&authority.identity(&[name]), |_| Answer::status(200));
        let url = receiver.url();
        home.add(NewEndpoint { overrides: overrides(&[]), ..endpoint(&format!("t{number}"), &url) });
        let mut submission = crate::harness::submission(&format!("n{}", strings().len() + number), b"1");
        submission.target = postrider::operations::Target::Endpoints(vec![
            postrider::endpoint::EndpointName::parse(&format!("t{number}")).unwrap(),
        ]);
        postrider::operations::enqueue(&mut home.store(), &home.rules(), postrider::daemon::clock::wall(), submission)
            .unwrap();
        tally.tried("a certificate");
        home.wait_until_settled();
    }
    names.len()
}

fn look_at_views(campaign: &Campaign, home: &Home, address: &str, events: usize, tally: &Tally) {
    let server = format!("--server http://{address}");
    let mut views: Vec<String> = ["list --limit 1000", "status", "endpoint list"].map(str::to_owned).to_vec();
    for number in 0..events {
        views.extend([format!("show n{number} --body"), format!("why n{number}")]);
    }
    for (number, view) in views.iter().enumerate() {
        // Each view in one of the three ways at least; in the long run in all.
        for way in 0..3 {
            if campaign.pick(true, false) && number > 2 && number % 3 != way {
                continue;
            }
            for words in [view.clone(), format!("{server} {view}"), format!("{view} --json")] {
                tally.tried(view.split(' ').next().unwrap_or_default());
                view_as(home, &words, way == 0, tally);
            }
        }
    }
    let paths = (0..events).flat_map(|number| {
        let event = format!("/v1/events/n{number}");
        [format!("{event}?body=true"), format!("{event}/why")]
    });
    for path in paths.chain(["/v1/deliveries?limit=100".to_owned(), "/v1/status".to_owned()]) {
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost");
        let back = exchange(address, &request(head.as_bytes(), b""), PATIENCE).unwrap();
        assert_eq!(back.status(), 200, "{path}");
        tally.look(&format!("{path} (head)"), &back.head, Shown::Head);
        tally.look(&format!("{path} (body)"), &back.body, Shown::Plain);
        if let Err(error) = serde_json::from_slice::<serde_json::Value>(&back.body) {
            tally.wrong(&path, error);
        }
    }
}

fn view_as(home: &Home, words: &str, on_terminal: bool, tally: &Tally) {
    let mut command = program(home);
    command.args(words.split(' ')).stdin(Stdio::null());
    if on_terminal {
        let shown = Screen::start(&mut command).end();
        tally.look(&format!("{words} (terminal)"), &shown, Shown::Terminal);
        return;
    }
    let output = command.output().unwrap();
    if !output.status.success() {
        tally.wrong(words, String::from_utf8_lossy(&output.stderr));
    }
    tally.look(words, &output.stdout, Shown::Plain);
    tally.look(&format!("{words} (stderr)"), &output.stderr, Shown::Plain);
    if words.ends_with("--json") && serde_json::from_slice::<serde_json::Value>(&output.stdout).is_err() {
        tally.wrong(words, "it is not JSON");
    }
}
