//! The real program, as a person and a script meet it: what it prints where, its exit status, and what it refuses.
//! Every run has a folder of its own and an empty environment, and no secret may appear in anything it prints.

mod backup;
mod batch;
mod by_hand;
mod enqueue;
mod refused;
mod remote;
mod seal;
mod stores;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use postrider::endpoint::ProfileName;
use postrider::event::EventType;
use postrider::provider;
use postrider::provider::dice::Dice;
use postrider::time::Time;
use serde_json::Value;

const SECRET: &str = "T0pS3cretOfNobody";
/// The private key 1, and its address.
const KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";
const ADDRESS: &str = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";
const V1: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const V1A: &str = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const TOKEN: &str = "t0k3nInAnUrl";
/// What no output may hold.
const HIDDEN: [&str; 5] = [SECRET, KEY, V1, V1A, TOKEN];

const LENIENT: &str = "[safety]\nallow_http = true\nallow_addresses = [\"127.0.0.0/8\"]\n";

/// The same notification for every test: of 2026-11-01.
fn sample(profile: ProfileName, event_type: &str) -> String {
    let event_type = EventType::parse(event_type).unwrap();
    let body = provider::sample(profile, &event_type, &mut Dice::new(1), Time::from_ms(1_793_491_200_000));
    String::from_utf8(body.unwrap()).unwrap()
}

/// A folder with a configuration, secrets and bodies, in which postrider is run.
struct Place(tempfile::TempDir);

/// How a run ended.
struct Answer {
    exit: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        place.write("config.toml", LENIENT);
        place.write("secret", SECRET);
        place.write("key", KEY);
        place.write("v1", V1);
        place.write("v1a", V1A);
        place.write("body.json", sample(ProfileName::Ensuro, "policy/creation"));
        place.write("declined.json", sample(ProfileName::Octamile, "policy/declined"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a file that only its owner may read.
    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt;
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
        command.args(arguments).env_clear().env("HOME", self.0.path()).current_dir(self.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `words` split at spaces.
    fn run(&self, words: &str) -> Answer {
        let arguments: Vec<&str> = words.split_whitespace().collect();
        self.run_with(&arguments, "")
    }

    fn run_with(&self, arguments: &[&str], stdin: &str) -> Answer {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // It may end without reading.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        Answer::of(child.wait_with_output().unwrap())
    }

    /// A run that must end well; its stdout.
    fn done(&self, words: &str) -> String {
        let answer = self.run(words);
        assert_eq!(answer.exit, 0, "{words}: {}", answer.err);
        answer.out
    }

    fn json(&self, words: &str) -> Value {
        let out = self.done(&format!("--json {words}"));
        assert_eq!(out.lines().count(), 1, "one document on one line: {out}");
        serde_json::from_str(&out).unwrap()
    }

    /// A run that must fail with this status and say all of `parts`; in JSON too.
    fn refused(&self, exit: i32, words: &str, parts: &[&str]) {
        let arguments: Vec<&str> = words.split_whitespace().collect();
        self.refused_with(exit, &arguments, parts);
    }

    fn refused_with(&self, exit: i32, arguments: &[&str], parts: &[&str]) {
        let answer = self.run_with(arguments, "");
        assert_eq!((answer.exit, answer.out.as_str()), (exit, ""), "{arguments:?}: {}", answer.err);
        let with_json: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
        let in_json = self.run_with(&with_json, "");
        assert_eq!((in_json.exit, in_json.out.as_str()), (exit, ""), "{arguments:?} in JSON");
        let error: Value = serde_json::from_str(in_json.err.lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["exit"], exit);
        let message = error["error"]["message"].as_str().unwrap();
        for part in parts {
            assert!(answer.err.contains(part), "{arguments:?}: {:?} does not say {part:?}", answer.err);
            assert!(message.contains(part), "{arguments:?} in JSON: {message:?} does not say {part:?}");
        }
    }

    /// An endpoint of the ensuro profile.
    fn with_acme(self) -> Self {
        self.done("endpoint add acme http://127.0.0.1:9/hook --profile ensuro --secret-file secret");
        self
    }
}

impl Answer {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let exit = output.status.code().expect("no signal ended it");
        let answer = Answer { exit, out: text(output.stdout), err: text(output.stderr) };
        for hidden in HIDDEN {
            assert!(!answer.out.contains(hidden) && !answer.err.contains(hidden), "shows a secret: {}", answer.err);
        }
        assert!(!answer.err.contains("panicked"), "{}", answer.err);
        answer
    }
}

#[test]
fn every_verb_has_help_with_an_example() {
    let place = Place::new();
    for verb in ["", "serve", "endpoint", "endpoint add", "endpoint list", "endpoint show", "endpoint remove"]
        .into_iter()
        .chain(["endpoint edit", "endpoint pause", "endpoint resume", "endpoint rotate", "endpoint test"])
        .chain(["enqueue", "retry", "cancel", "replay", "token", "token add", "token list", "token remove"])
        .chain(["config", "config check", "config show"])
    {
        let help = place.done(&format!("{verb} --help"));
        assert!(help.contains("Example"), "{verb}: {help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{verb}: {help}");
    }
    assert!(place.done("--version").starts_with("postrider "));
}

#[test]
fn an_endpoint_is_added_listed_shown_and_removed() {
    let place = Place::new();
    let url = format!("http://127.0.0.1:9/hook?token={TOKEN}");
    let added = place.run(&format!(
        "endpoint add acme {url} --profile ensuro --secret-file secret --timeout 5s --schedule 1s,2min --success 2xx \
         --subscribe policy/* --header X-Team:{TOKEN} --concurrency 2 --rate 10 --signature-header X-Signed"
    ));
    assert_eq!((added.exit, added.err.contains("made the store")), (0, true), "{}", added.err);
    let shown = place.done("endpoint show acme");
    for line in [
        "state          active",
        "url            http://127.0.0.1:9/hook?token=***",
        "subscriptions  policy/*",
        "signed with    hmac with a shared secret",
        "in header      x-signed (ensuro: x-ensuro-signature)",
        "timeout        5 s (ensuro: 10 s)",
        "schedule       3 attempts; waits 1 s, 2 min (ensuro: 11 attempts; waits 30 s, 1 min, 2 min, 4 min, 8 min, \
         10 min x 5)",
        "success        2xx (ensuro: 200)",
        "header         X-Team: ***",
        "concurrency    2 (configuration: 8)",
        "rate           10 per second",
        "owed           0 pending deliveries",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line:?} in {shown}");
    }
    let json = place.json("endpoint show acme");
    assert_eq!(json["schedule_ms"], serde_json::json!([1000, 120_000]));
    assert_eq!(json["overrides"].as_array().unwrap().len(), 7);
    assert!(place.done("endpoint list").lines().nth(1).unwrap().starts_with("acme  active  ensuro"));
    assert_eq!(place.json("endpoint list")["endpoints"][0]["name"], "acme");

    place.refused(2, "endpoint remove acme", &["say --yes"]);
    assert_eq!(place.done("endpoint remove acme --yes"), "acme removed: 0 pending deliveries ended as dead\n");
    assert_eq!(place.json("endpoint list"), serde_json::json!({"endpoints": []}));
}

#[test]
fn the_public_half_of_a_key_is_shown() {
    let place = Place::new();
    let eip191 = place.done("endpoint add chain http://127.0.0.1:9/ --profile ensuro --key-file key");
    assert!(eip191.contains(&format!("signed with    eip191 by {ADDRESS}\n")), "{eip191}");
    let both = "endpoint add shop http://127.0.0.1:9/ --profile standard --secret-file v1 --key-file v1a";
    let keys = place.json(both)["keys"].clone();
    assert_eq!((&keys[0]["scheme"], &keys[0]["public"]), (&Value::from("v1"), &Value::Null));
    assert_eq!(keys[1]["scheme"], "v1a");
    assert!(keys[1]["public"].as_str().unwrap().starts_with("whpk_"));
    let unsigned = place.done("endpoint add broker http://127.0.0.1:9/ --profile octamile");
    assert!(unsigned.contains("signed with    nothing"), "{unsigned}");
}

#[test]
fn a_secret_comes_from_a_file_a_variable_or_stdin() {
    let place = Place::new();
    let add =
        |name, flag, value| vec!["endpoint", "add", name, "http://127.0.0.1:9/", "--profile", "ensuro", flag, value];
    assert_eq!(place.run_with(&add("a", "--secret-file", "-"), SECRET).exit, 0);
    let by_variable = place.command(&add("b", "--secret-env", "HOOK_SECRET")).env("HOOK_SECRET", SECRET).output();
    assert_eq!(Answer::of(by_variable.unwrap()).exit, 0);
    fs::write(place.path("open"), SECRET).unwrap();
    let warned = place.run_with(&add("c", "--secret-file", "open"), "");
    assert_eq!(warned.exit, 0);
    assert!(warned.err.contains("warning: open is open to others (mode 0644)"), "{}", warned.err);
    let silent = place.run_with(&add("d", "--secret-file", "secret"), "");
    assert!(!silent.err.contains("warning"), "{}", silent.err);
}

#[test]
fn config_check_and_show_say_where_a_value_comes_from() {
    let place = Place::new();
    assert_eq!(place.done("config check"), "config.toml holds\n");
    let shown = place.done("config show --store elsewhere.db");
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("store.path").ends_with("elsewhere.db\"  command line"), "{shown}");
    assert!(line("safety.allow_http").ends_with("config.toml:2"), "{shown}");
    assert!(line("log.level").ends_with("default"), "{shown}");
    let settings = place.json("config show")["settings"].clone();
    let http = settings.as_array().unwrap().iter().find(|setting| setting["key"] == "safety.allow_http").unwrap();
    assert_eq!((&http["value"], &http["origin"]), (&Value::from(true), &Value::from("config.toml:2")));
    assert_eq!(place.json("config check")["warnings"], serde_json::json!([]));

    place.write("odd.toml", "[safety]\nallow_addresses = [\"0.0.0.0/0\"]\n");
    let check = Answer::of(place.command(&["config", "check"]).env("POSTRIDER_CONFIG", "odd.toml").output().unwrap());
    assert_eq!((check.exit, check.out.as_str()), (0, "odd.toml holds\n"));
    assert!(check.err.contains("warning: odd.toml:2: safety.allow_addresses contains"), "{}", check.err);
    let other = place.run("--config odd.toml config show");
    assert_eq!(other.err, "", "only check and serve warn");
}

#[test]
fn a_wrong_configuration_is_told_with_its_place() {
    let place = Place::new();
    place.write("config.toml", "[store]\npth = \"a.db\"\n[log]\nlevel = \"loud\"\n");
    let parts = ["config.toml:2: store.pth is not a setting; did you mean store.path?", "config.toml:4: log.level"];
    place.refused(78, "config check", &parts);
    place.refused(78, "endpoint list", &parts);
    place.refused(78, "--config missing.toml config show", &["missing.toml: does not exist"]);
}

/// A stdout that nobody reads any more.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A stdout on a full disk.
fn full() -> Stdio {
    fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn a_reader_that_closes_its_pipe_ends_a_run_in_peace() {
    let place = Place::new().with_acme();
    for words in ["--help", "endpoint list", "endpoint show acme", "config show --json", "endpoint add --help"] {
        let arguments: Vec<&str> = words.split_whitespace().collect();
        let answer = Answer::of(place.command(&arguments).stdout(closed()).output().unwrap());
        assert_eq!((answer.exit, answer.err.as_str()), (0, ""), "{words}");
    }
    let verify = ["verify", "--scheme", "hmac", "--secret-file", "secret", "--signature", &"0".repeat(64), "body.json"];
    let answer = Answer::of(place.command(&verify).stdout(closed()).output().unwrap());
    assert_eq!((answer.exit, answer.err.as_str()), (1, ""), "the exit status is the answer");
    let answer = Answer::of(place.command(&["config", "show"]).stdout(full()).output().unwrap());
    assert_eq!(answer.exit, 74);
    assert!(answer.err.starts_with("postrider: standard output cannot be written"), "{}", answer.err);
}

#[test]
fn pipes_get_no_colours() {
    let place = Place::new().with_acme();
    for words in ["endpoint list", "endpoint show acme", "config show", "--help"] {
        let out = place.done(words);
        assert!(!out.contains(|c: char| c.is_control() && c != '\n'), "{out:?}");
        assert!(!out.contains(|c| ('\u{2060}'..='\u{2064}').contains(&c)), "{out:?}");
    }
}

#[test]
fn an_accepted_id_is_answered_whatever_became_of_its_endpoint_and_the_rules() {
    let place = Place::new().with_acme();
    place.write("body.json", sample(ProfileName::Ensuro, "policy/creation"));
    let enqueue = "enqueue --endpoint acme --id order-1 body.json";
    let first = place.json(enqueue);
    place.done("endpoint remove acme --yes");
    let again = place.json(enqueue);
    assert_eq!((&again["again"], &again["deliveries"]), (&true.into(), &first["deliveries"]), "{again}");
    place.write("body.json", "{}");
    place.refused(65, enqueue, &["the id order-1 was used", "another body"]);
}
