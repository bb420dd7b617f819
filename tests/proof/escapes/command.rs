//! The strings in whatever is written on a command line, in files that it names and in the environment.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};

use postrider::provider::dice::Dice;

use super::strings::{Shown, strings};
use super::tally::Tally;
use super::terminal::Screen;
use crate::campaign::Campaign;
use crate::harness::{Home, program};

/// Where a string goes: `{}` in the words, in what is typed on stdin, or in a file or variable that the words name.
struct Place {
    words: &'static str,
    stdin: Option<&'static str>,
    file: Option<&'static str>,
    variable: Option<&'static str>,
}

const fn words(words: &'static str) -> Place {
    Place { words, stdin: None, file: None, variable: None }
}

const fn stdin(words: &'static str, stdin: &'static str) -> Place {
    Place { stdin: Some(stdin), ..self::words(words) }
}

/// The file is `odd`.
const fn file(words: &'static str, file: &'static str) -> Place {
    Place { file: Some(file), ..self::words(words) }
}

const fn variable(words: &'static str, variable: &'static str) -> Place {
    Place { variable: Some(variable), ..self::words(words) }
}

const PLACES: &[Place] = &[
    words("{}"),
    words("--{}"),
    words("list --{}=1"),
    words("--config {} list"),
    words("--store {} list"),
    words("--store {}/a.db endpoint add a https://a.example/ --profile octamile"),
    words("--server {} list"),
    words("--server http://{} list"),
    words("--server unix:/{} list"),
    words("--server http://127.0.0.1:1 --token-file {} list"),
    words("endpoint add {} https://a.example/ --profile octamile"),
    words("endpoint add a {} --profile octamile"),
    words("endpoint add a https://{}/ --profile octamile"),
    words("endpoint add a https://{}.example/ --profile octamile"),
    words("endpoint add a https://a.example/{} --profile octamile"),
    words("endpoint add a https://a.example/?key={} --profile octamile"),
    words("endpoint add a https://{}@a.example/ --profile octamile"),
    words("endpoint add a {}://a.example/ --profile octamile"),
    words("endpoint add a https://a.example:{}/ --profile octamile"),
    words("endpoint add a https://a.example/ --profile {}"),
    words("endpoint add a https://a.example/ --profile octamile --subscribe {}"),
    words("endpoint add a https://a.example/ --profile octamile --header X-A:{}"),
    words("endpoint add a https://a.example/ --profile octamile --header {}:value"),
    words("endpoint add a https://a.example/ --profile octamile --header {}"),
    words("endpoint add a https://a.example/ --profile octamile --timeout {}"),
    words("endpoint add a https://a.example/ --profile octamile --schedule 1s,{}"),
    words("endpoint add a https://a.example/ --profile octamile --success {}"),
    words("endpoint add a https://a.example/ --profile octamile --rate {}"),
    words("endpoint add a https://a.example/ --profile ensuro --secret-file secret --signature-header {}"),
    words("endpoint add a https://a.example/ --profile ensuro --secret-file {}"),
    words("endpoint add a https://a.example/ --profile ensuro --secret-env {}"),
    words("endpoint add a https://a.example/ --profile ensuro --key-file {}"),
    file("endpoint add a https://a.example/ --profile standard --secret-file odd", "whsec_{}"),
    file("endpoint add a https://a.example/ --profile standard --key-file odd", "{}"),
    file("endpoint add a https://a.example/ --profile ensuro --key-file odd", "0x{}"),
    stdin("endpoint add a https://a.example/ --profile standard --secret-file -", "{}"),
    words("endpoint show {}"),
    words("endpoint edit {} --rate 1"),
    words("endpoint edit acme --unset {}"),
    words("endpoint edit acme --url {}"),
    words("endpoint remove {} --yes"),
    words("endpoint pause {}"),
    words("endpoint resume {}"),
    words("endpoint rotate acme --secret-file secret --overlap {}"),
    words("endpoint test {}"),
    words("endpoint test acme --type {}"),
    words("enqueue {}"),
    words("enqueue body.json --id {}"),
    words("enqueue body.json --type {}"),
    words("enqueue body.json --endpoint {}"),
    words("enqueue body.json --endpoint shop --type a.b --content-type {}"),
    words("enqueue body.json --endpoint shop --type a.b --content-type text/plain;a={}"),
    words("enqueue body.json --to {} --profile octamile"),
    words("enqueue body.json --to https://a.example/ --profile standard --type a.b --secret-file {}"),
    words("enqueue body.json --wait --wait-timeout {}"),
    file("enqueue odd --endpoint acme", "{}"),
    file("enqueue odd --endpoint acme", "{\"type\": \"{}\"}"),
    file("enqueue odd --endpoint acme", "{\"type\": \"policy/creation\", \"{}\": 1}"),
    file(
        "enqueue odd --endpoint acme --type policy/creation",
        "{\"type\": \"policy/creation\", \"policy\": {\"id\": \"{}\"}}",
    ),
    file("enqueue odd --endpoint oct", "{\"status\": \"{}\", \"trnsctnId\": \"{}\"}"),
    file("enqueue --batch odd", "{}\n"),
    file("enqueue --batch odd", "{\"id\": \"{}\", \"type\": \"a.b\", \"body\": 1}\n"),
    file("enqueue --batch odd", "{\"id\": \"a\", \"type\": \"{}\", \"body\": 1}\n"),
    file("enqueue --batch odd", "{\"{}\": \"a\", \"type\": \"a.b\", \"endpoint\": \"{}\", \"body\": 1}\n"),
    stdin("enqueue --batch - --json", "{\"id\": \"{}\", \"type\": \"a.b\", \"body\": 1}\n"),
    words("enqueue --batch {}"),
    words("retry {}"),
    words("cancel {}"),
    words("show {}"),
    words("show {} --body"),
    words("why {}"),
    words("list --endpoint {}"),
    words("list --type {}"),
    words("list --state {}"),
    words("list --since {}"),
    words("list --cursor {}"),
    words("replay --endpoint {}"),
    words("replay --type {}"),
    words("replay --since {} --until {}"),
    words("schedule {}"),
    words("token add {} --scope read"),
    words("token add a --scope {}"),
    words("token remove {}"),
    words("sign --scheme {} body.json"),
    words("sign --scheme v1 --secret-file whsec --id {} body.json"),
    words("sign --scheme v1 --secret-file whsec --timestamp {} body.json"),
    words("sign --scheme hmac --secret-file secret {}"),
    words("verify --scheme hmac --secret-file secret --signature {} body.json"),
    words("verify --scheme eip191 --address {} --signature 0x00 body.json"),
    words("verify --scheme eip191 --address 0x52908400098527886E0F7030069857D2E4169EE7 --signature {} body.json"),
    words("verify --scheme v1 --secret-file whsec --id {} --timestamp 1 --signature v1,{} body.json"),
    words("verify --scheme v1a --public-key {} --id a --timestamp 1 --signature v1a,{} body.json"),
    words("mock {} --print"),
    words("mock ensuro {} --print"),
    words("mock ensuro --to {}"),
    words("mock ensuro --to http://127.0.0.1:1/{} --unsigned"),
    words("mock ensuro creation --secret-file secret --set policy.id={} --print"),
    words("mock ensuro creation --secret-file secret --set {}=1 --print"),
    words("mock octamile declined --to http://127.0.0.1:1/ --set statusNote={}"),
    words("mock standard {} --to http://127.0.0.1:1/ --secret-file whsec"),
    words("mock octamile --to http://127.0.0.1:1/ --certificate {}"),
    words("mock octamile --to http://127.0.0.1:1/ --certificate-kind {}"),
    words("mock ensuro --to http://127.0.0.1:1/ --unsigned --ca {}"),
    words("mock ensuro --to http://127.0.0.1:1/{} --unsigned --header X-A:{} --curl"),
    file("mock ensuro --to http://127.0.0.1:1/ --unsigned --file odd", "{\"type\": \"{}\"}"),
    words("check {}"),
    words("check http://127.0.0.1:1/{} --secret-file secret"),
    words("check http://127.0.0.1:1/ --secret-file secret --only {}"),
    words("check http://127.0.0.1:1/ --secret-file secret --html {}/a.html"),
    words("check http://127.0.0.1:1/{} --secret-file secret --html - "),
    words("check http://127.0.0.1:1/{} --secret-file secret --junit - "),
    words("listen --respond {} --port 0"),
    words("listen --address {}"),
    words("listen --port 0 --forward {} --signer {}"),
    words("listen --port 0 --secret-file {}"),
    words("listen --port 0 --max-body {}"),
    words("sandbox --listen {}"),
    words("sandbox --folder odd/{} --listen 127.0.0.1:0 --delay {}"),
    words("sandbox --notify {} --listen 127.0.0.1:0"),
    words("sandbox approve {} --at http://127.0.0.1:1"),
    words("sandbox clock {} --at http://127.0.0.1:1"),
    words("sandbox list --at {}"),
    file("--config odd config check", "{}\n"),
    file("--config odd config check", "[{}]\nx = 1\n"),
    file("--config odd config check", "[store]\n\"{}\" = 1\n"),
    file("--config odd config check", "[store]\npath = '{}'\nx = \"{}\"\n"),
    file("--config odd config show", "[store]\npath = '{}'\n"),
    file("--config odd config check", "[log]\nlevel = '{}'\n"),
    file("--config odd serve", "[api]\nlisten = '{}'\n"),
    file("--config odd serve", "[api]\nlisten = ''\n[store]\npath = '{}/a.db'\n"),
    file("--config odd serve", "[api]\nlisten = ''\nsocket = '{}/socket'\n"),
    file("--config odd serve", "[api]\nlisten = ''\n[safety]\nextra_roots = '{}'\n"),
    file("--config odd serve", "[api]\nlisten = ''\n[telemetry]\notlp_endpoint = '{}'\n"),
    variable("config check", "POSTRIDER_{}=1"),
    variable("config check", "POSTRIDER_LOG_LEVEL={}"),
    variable("config show", "POSTRIDER_STORE_PATH={}"),
    variable("list", "POSTRIDER_SERVER={}"),
    variable("--server http://127.0.0.1:1 list", "POSTRIDER_TOKEN={}"),
    variable("endpoint add a https://a.example/ --profile standard --secret-env ODD", "ODD={}"),
    variable("list", "POSTRIDER_CONFIG={}"),
    words("serve --log-level {}"),
    words("serve --log-format {}"),
];

#[derive(Clone, Copy)]
enum Manner {
    Text,
    Json,
    Terminal,
}

/// In the quick run each place meets some of the strings in one of the three manners; in the long one all in all.
pub fn run(campaign: &Campaign, tally: &Tally) {
    let strings = strings();
    let threads = 2;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let strings = &strings;
            scope.spawn(move || {
                let mut dice = campaign.dice(100 + thread as u64);
                let home = prepared();
                for place in PLACES.iter().skip(thread).step_by(threads) {
                    for (string, manner) in chosen(campaign, &mut dice, strings) {
                        try_one(&home, place, string, manner, tally);
                    }
                }
            });
        }
    });
}

fn chosen<'s>(campaign: &Campaign, dice: &mut Dice, strings: &'s [Vec<u8>]) -> Vec<(&'s [u8], Manner)> {
    const MANNERS: [Manner; 3] = [Manner::Text, Manner::Json, Manner::Terminal];
    match campaign.pick(true, false) {
        true => (0..6).map(|_| (&dice.pick(strings)[..], *dice.pick(&MANNERS))).collect(),
        false => strings.iter().flat_map(|string| MANNERS.map(|manner| (&string[..], manner))).collect(),
    }
}

fn prepared() -> Home {
    let home = Home::new();
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    write("secret", "not much of a secret\n");
    write("whsec", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    write(
        "body.json",
        r#"{"type": "policy/creation/failed", "data": {"quote": {"quote_id": "b7c1f0de-5a43-4c8e-9c0e-2f61d6c9a812", "payout": "1200.000000"}}, "error_detail": "no"}"#,
    );
    for words in [
        "endpoint add acme http://127.0.0.1:1/ --profile ensuro --secret-file secret",
        "endpoint add shop http://127.0.0.1:1/ --profile standard --secret-file whsec",
        "endpoint add oct http://127.0.0.1:1/ --profile octamile",
        "enqueue body.json --endpoint acme --id one",
    ] {
        let ended = program(&home).args(words.split(' ')).output().unwrap();
        assert!(ended.status.success(), "{words}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    home
}

fn try_one(home: &Home, place: &Place, string: &[u8], manner: Manner, tally: &Tally) {
    let in_words = place.words.contains("{}") || place.variable.is_some();
    if in_words && string.contains(&0) {
        // The kernel takes no such argument.
        return;
    }
    let name = place_name(place);
    tally.tried(&name);
    if let Some(text) = place.file {
        std::fs::write(home.path().join("odd"), filled(text, string)).unwrap();
    }
    let mut command = bounded(home);
    if !place.words.contains("--config") && place.variable.is_none_or(|text| !text.contains("CONFIG")) {
        command.arg("--config").arg(home.path().join("config.toml"));
    }
    command.args(place.words.split_ascii_whitespace().map(|word| OsString::from_vec(filled(word, string))));
    if let Some(text) = place.variable {
        let (key, value) = text.split_once('=').expect("a variable");
        let key = filled(key, string);
        // The kernel cuts a variable at its first '='.
        if key.contains(&b'=') {
            return;
        }
        command.env(OsString::from_vec(key), OsString::from_vec(filled(value, string)));
    }
    if matches!(manner, Manner::Json) {
        command.arg("--json");
    }
    match manner {
        Manner::Text | Manner::Json => {
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            type_in(&mut child, place, string);
            let output = child.wait_with_output().unwrap();
            // What would be sent goes into a pipe byte for byte.
            if !place.words.contains("--print") {
                tally.look(&format!("{name} (stdout)"), &output.stdout, Shown::Plain);
            }
            tally.look(&format!("{name} (stderr)"), &output.stderr, Shown::Plain);
            if output.status.code().is_none_or(|code| [101, 124].contains(&code) || code > 128) {
                tally.wrong(&name, format_args!("it ended with {}", output.status));
            }
            if matches!(manner, Manner::Json) && output.status.success() {
                check_json(&name, &output.stdout, tally);
            }
        }
        Manner::Terminal => {
            command.stdin(Stdio::piped());
            let mut screen = Screen::start(&mut command);
            type_in(&mut screen.child, place, string);
            tally.look(&format!("{name} (terminal)"), &screen.end(), Shown::Terminal);
        }
    }
}

/// What begins to serve after all is ended, and told by its status 124.
fn bounded(home: &Home) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--foreground", "-k", "2", "20", env!("CARGO_BIN_EXE_postrider")]);
    command.current_dir(home.path()).env_clear().env("HOME", home.path());
    command
}

fn place_name(place: &Place) -> String {
    let beside = [place.stdin, place.file, place.variable].into_iter().flatten().next();
    beside.map_or_else(|| place.words.to_owned(), |beside| format!("{} with {beside:?}", place.words))
}

fn type_in(child: &mut std::process::Child, place: &Place, string: &[u8]) {
    let mut typed = child.stdin.take().unwrap();
    if let Some(text) = place.stdin {
        // Whoever refuses before it reads closes its end.
        let _ = typed.write_all(&filled(text, string));
    }
}

/// What a program is given is one JSON value a line.
fn check_json(name: &str, stdout: &[u8], tally: &Tally) {
    let bytes_were_asked_for =
        ["--print", "--curl", "--html -", "--junit -"].iter().any(|option| name.contains(option));
    for line in stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !bytes_were_asked_for) {
        if let Err(error) = serde_json::from_slice::<serde_json::Value>(line) {
            tally.wrong(name, format_args!("{error}: {}", String::from_utf8_lossy(line)));
        }
    }
}

pub fn filled(text: &str, string: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = text.split("{}").map(str::as_bytes).collect();
    parts.join(string)
}
