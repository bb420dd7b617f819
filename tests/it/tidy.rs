//! Tidy: the source keeps the shape that its map promises, and the shipped files say what the program does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file below `folder`, with its text.
fn sources(folder: &str) -> BTreeMap<PathBuf, String> {
    fn gather(folder: &Path, into: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => gather(&path, into),
                false if path.extension().is_some_and(|end| end == "rs") => {
                    let text = fs::read_to_string(&path).expect("UTF-8");
                    into.insert(path, text);
                }
                false => {}
            }
        }
    }
    let mut all = BTreeMap::new();
    gather(&root().join(folder), &mut all);
    all
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The room that a file of `src` belongs to: `store` for `src/store/sqlite/read.rs`.
fn room(path: &Path) -> String {
    let below = path.strip_prefix(root().join("src")).expect("a file of src");
    let first = below.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

const LAYERS: [&[&str]; 6] = [
    &["access", "delivery", "endpoint", "event", "log", "plain", "time", "trace"],
    &["calendar", "judge", "provider", "request", "schedule", "signature"],
    &["engine"],
    &["config", "courier", "observe", "store"],
    &["check", "daemon", "operations"],
    &["api", "cli", "main", "lib", "sandbox"],
];

fn layer(room: &str) -> usize {
    LAYERS.iter().position(|rooms| rooms.contains(&room)).unwrap_or_else(|| panic!("{room} stands in no layer"))
}

/// The code of a file without comments and without its unit tests.
fn code(text: &str) -> String {
    let until = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..until].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_module_names_only_lower_layers_and_its_own() {
    for (path, text) in sources("src") {
        let own = room(&path);
        for (place, _) in code(&text).match_indices("crate::") {
            let text = code(&text);
            let rest = &text[place + "crate::".len()..];
            let named: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if named.is_empty() || named == own {
                continue;
            }
            let (from, to) = (layer(&own), layer(&named));
            // Words may use words, rules rules, and so on; but no door another door, and nothing the engine but the shell.
            let doors_apart = from != 3 || to < 2 || (own == "config" && named == "log");
            assert!(to <= from && doors_apart, "{} names crate::{named}", path.display());
            assert!(named != "engine" || from >= 4, "{} names the engine", path.display());
        }
    }
}

#[test]
fn the_pure_layers_know_no_clock_no_chance_no_file_and_no_socket() {
    let banned = [
        "SystemTime",
        "Instant",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "std::process",
        "tokio",
        "async ",
        "getrandom",
        "fastrand",
        "rusqlite",
        "reqwest",
        "tracing",
        "println!",
        "Uuid",
        ".await",
    ];
    // Parts of a higher room that are held to the same: what they decide must be the same again.
    let machines = ["sandbox/ensuro", "sandbox/octamile", "sandbox/world"];
    for (path, text) in sources("src") {
        let place = path.strip_prefix(root().join("src")).unwrap().with_extension("");
        let is_machine = machines.iter().any(|machine| place.starts_with(machine));
        if layer(&room(&path)) > 2 && !is_machine {
            continue;
        }
        let text = code(&text);
        for word in banned {
            assert!(!text.contains(word), "{} mentions {word}", path.display());
        }
    }
}

#[test]
fn each_craft_stays_in_its_room() {
    let crafts: [(&str, &[&str]); 12] = [
        ("tokio::", &["daemon", "courier", "observe", "check", "api", "cli", "sandbox"]),
        ("rusqlite", &["store"]),
        ("SELECT ", &["store"]),
        ("reqwest", &["courier", "observe", "cli/remote"]),
        ("prometheus_client", &["observe"]),
        ("opentelemetry", &["observe"]),
        ("hmac::{Hmac", &["signature"]),
        ("k256", &["signature"]),
        ("ed25519_dalek", &["signature"]),
        ("clap", &["cli", "main"]),
        ("tokio_rustls", &["cli/listen"]),
        ("rcgen", &["cli/listen"]),
    ];
    for (path, text) in sources("src") {
        let (place, text) = (path.strip_prefix(root().join("src")).unwrap().with_extension(""), code(&text));
        for (word, rooms) in crafts {
            let is_its = rooms.iter().any(|room| place.starts_with(room));
            assert!(!text.contains(word) || is_its, "{} mentions {word}", path.display());
        }
    }
}

#[test]
fn files_and_functions_stay_short_enough_to_be_read() {
    for folder in ["src", "tests"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= 500, "{} has {lines} lines", path.display());
            let mut begun: Option<(usize, String)> = None;
            for (number, line) in text.lines().enumerate() {
                let indent = line.len() - line.trim_start().len();
                let is_head = line.trim_start().split("fn ").next().is_some_and(|before| {
                    line.contains("fn ")
                        && before.split_whitespace().all(|w| {
                            w.starts_with("pub") || ["async", "const", "super)"].contains(&w) || w == "(super)"
                        })
                });
                if is_head && line.trim_end().ends_with(['{', '(']) {
                    begun = Some((number, " ".repeat(indent) + "}"));
                } else if let Some((first, end)) = &begun
                    && line == end
                {
                    let length = number - first + 1;
                    assert!(length <= 70, "{}:{} is a function of {length} lines", path.display(), first + 1);
                    begun = None;
                }
            }
        }
    }
}

/// clap breaks longer lines wherever they end, in the midst of an example too.
#[test]
fn the_lines_of_help_texts_fit_the_width_that_help_has() {
    const WIDEST: usize = 100;
    let mut seen = 0;
    for (path, text) in sources("src/cli") {
        for (place, _) in text.match_indices("\nExamples:\n") {
            let end = text[place..].match_indices('"').find(|(at, _)| !text[..place + at].ends_with('\\'));
            let help = &text[place..place + end.expect("an end of the text").0];
            for line in help.lines().map(|line| line.replace("\\\"", "\"")) {
                assert!(line.chars().count() <= WIDEST, "{}: {line}", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} help texts");
}

#[test]
fn modules_say_what_they_promise_and_nothing_is_unsafe_or_unfinished() {
    for (path, text) in sources("src") {
        let only_tests = path.ends_with("tests.rs");
        assert!(only_tests || text.starts_with("//! "), "{} does not begin with what it promises", path.display());
        let text = code(&text);
        for word in ["unsafe ", "todo!", "unimplemented!", "dbg!", "allow(dead_code", "allow(unused"] {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}

/// The word in the source could hide in a macro; the compiler finds it there too.
#[test]
fn the_compiler_forbids_unsafe_code() {
    for file in ["lib.rs", "main.rs"] {
        let text = fs::read_to_string(root().join("src").join(file)).unwrap();
        assert!(text.lines().any(|line| line == "#![forbid(unsafe_code)]"), "{file}");
    }
}

#[test]
fn the_top_level_is_what_it_should_be() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "tests",
        "schema.sql",
        "config.toml",
        "README.md",
        "LICENSE",
        ".cargo",
        ".ci",
        ".git",
        ".gitignore",
        "rustfmt.toml",
        "benches",
        "packaging",
        "target",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let leftover = name.starts_with("postrider.db");
        assert!(allowed.contains(&name.as_str()) || leftover, "{name} does not belong beside Cargo.toml");
    }
}
