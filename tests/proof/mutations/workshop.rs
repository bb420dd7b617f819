//! A copy of the source that may be broken, built and tested beside the real one: never in its place, and never in the
//! folder in which the real one is built.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::Suite;

/// A mutation may make a test wait for ever.
const LONGEST: Duration = Duration::from_secs(1200);
/// What the copy is made of.
const PARTS: [&str; 6] = ["src", "tests", "schema.sql", "config.toml", "Cargo.toml", "Cargo.lock"];

pub struct Workshop {
    root: PathBuf,
    copy: PathBuf,
    target: PathBuf,
}

#[derive(Debug)]
pub enum Ended {
    Green,
    /// The tests that failed.
    Red(BTreeSet<String>),
    /// The compiler's words.
    Unbuilt(String),
}

impl Workshop {
    /// `None` without cargo.
    pub fn open(root: &Path) -> Option<Workshop> {
        Command::new(cargo()).arg("--version").stdout(Stdio::null()).status().ok().filter(|ended| ended.success())?;
        let below = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in target").join("mutations");
        let shop = Workshop { root: root.to_owned(), copy: below.join("source"), target: below.join("target") };
        let _ = fs::remove_dir_all(&shop.copy);
        fs::create_dir_all(&shop.copy).expect("a folder in target");
        for part in PARTS {
            copy(&root.join(part), &shop.copy.join(part));
        }
        Some(shop)
    }

    pub fn write(&self, files: &[(PathBuf, String)]) {
        for (path, text) in files {
            fs::write(self.copy.join(path), text).expect("a file of the copy");
        }
    }

    pub fn restore<'a>(&self, files: impl Iterator<Item = &'a Path>) {
        for path in files {
            fs::write(self.copy.join(path), fs::read(self.root.join(path)).unwrap()).expect("a file of the copy");
        }
    }

    /// Builds the copy, and runs these tests in it.
    pub fn test(&self, suites: &[Suite]) -> Ended {
        let mut red = BTreeSet::new();
        let of = |wanted: fn(&Suite) -> bool| -> Vec<&str> {
            suites.iter().filter(|suite| wanted(suite)).map(|suite| suite.name()).collect()
        };
        let units = of(|suite| matches!(suite, Suite::Unit(_)));
        let tests = of(|suite| matches!(suite, Suite::It(_)));
        for (target, names) in [(&["--lib"][..], units), (&["--test", "it"], tests)] {
            if names.is_empty() {
                continue;
            }
            let (built, words) = self.cargo(target, &["--no-run"], &[]);
            if !built {
                return Ended::Unbuilt(words);
            }
            let (green, words) = self.cargo(target, &[], &names);
            let failed = names.iter().filter(|name| {
                let line = format!("test {name} ... FAILED");
                words.lines().any(|told| told == line)
            });
            let before = red.len();
            red.extend(failed.map(|name| (*name).to_owned()));
            let ran = |name: &str| words.lines().any(|line| line.starts_with(&format!("test {name} ... ")));
            assert!(green || red.len() > before, "the tests ended badly, and none of them failed:\n{words}");
            assert!(names.iter().all(|name| ran(name)), "not all of {names:?} are there:\n{words}");
        }
        for row in of(|suite| matches!(suite, Suite::Row(_))) {
            let (built, words) = self.cargo(&["--test", "proof"], &["--no-run"], &[]);
            if !built {
                return Ended::Unbuilt(words);
            }
            let (green, words) = self.cargo(&["--test", "proof"], &["--", "--quick", row], &[]);
            assert!(words.contains(&format!("== {row} ")), "{row} did not run:\n{words}");
            if !green {
                red.insert(row.to_owned());
            }
        }
        if red.is_empty() { Ended::Green } else { Ended::Red(red) }
    }

    /// Whether it ended well, and what it said.
    fn cargo(&self, target: &[&str], options: &[&str], names: &[&str]) -> (bool, String) {
        let said = self.target.join("said");
        fs::create_dir_all(&self.target).expect("a folder in target");
        let out = fs::File::create(&said).expect("a file in target");
        let mut command = Command::new(cargo());
        command.current_dir(&self.copy).args(["test", "--locked", "--quiet", "--no-fail-fast"]).args(target);
        // Built as fast as can be: what is tested runs but once.
        command.args(["--config", "profile.dev.opt-level=0", "--config", "profile.dev.debug=false"]);
        command.args(["--config", "profile.dev.package.\"*\".opt-level=1"]).args(options);
        if !names.is_empty() {
            command.args(["--", "--exact", "--format", "pretty"]).args(names);
        }
        for (name, _) in std::env::vars_os() {
            // What the cargo that runs this says of itself is not meant for another.
            let text = name.to_string_lossy();
            let ours = ["CARGO_MANIFEST", "CARGO_PKG", "CARGO_BIN", "CARGO_CRATE", "CARGO_PRIMARY", "CARGO_TARGET"];
            if ours.iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command.env("CARGO_TARGET_DIR", &self.target).env("CARGO_TERM_COLOR", "never");
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out).process_group(0);
        let mut child = command.spawn().expect("cargo starts");
        let end = Instant::now() + LONGEST;
        let status = loop {
            match child.try_wait().expect("it is ours") {
                Some(status) => break status,
                None if Instant::now() > end => {
                    let group = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
                    let _ = kill_process_group(group, Signal::KILL);
                    break child.wait().expect("it is ours");
                }
                None => std::thread::sleep(Duration::from_millis(100)),
            }
        };
        (status.success(), fs::read_to_string(&said).unwrap_or_default())
    }
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a folder in target");
        for entry in fs::read_dir(from).expect("a folder of the project") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).expect("a file of the project");
    }
}
