//! `postrider check`, the real program, against receivers of each profile: a right one passes whole, and a planted fault
//! is found by the cases that are meant for it and by no other.

mod bounds;
mod faults;
mod partner;
mod reports;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub const HMAC: &str = "T0pS3cretOfThePartner";
/// The private key 2.
pub const KEY: &str = "0000000000000000000000000000000000000000000000000000000000000002";
pub const V1: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const V1A: &str = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A folder with the secrets, in which postrider is run.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        for (name, text) in [("hmac", HMAC), ("key", KEY), ("v1", V1), ("v1a", V1A)] {
            fs::write(place.path(name), text).unwrap();
            fs::set_permissions(place.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn files(&self) -> usize {
        fs::read_dir(self.0.path()).unwrap().count()
    }

    /// `words` are split at spaces.
    pub fn run(&self, words: &str) -> Output {
        self.run_with(&words.split_whitespace().collect::<Vec<_>>())
    }

    pub fn run_with(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
        command.args(arguments).env_clear().env("HOME", self.0.path()).current_dir(self.0.path());
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// What a check found, as JSON.
    pub fn check(&self, words: &str) -> Found {
        let output = self.run(&format!("check --json {words}"));
        let text = String::from_utf8(output.stdout).unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        let document: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{words}: {text}\n{err}"));
        let found = Found { exit: output.status.code().unwrap(), document };
        assert_eq!(found.exit == 0, found.document["ok"] == true, "{words}: {:#}", found.document);
        found
    }
}

pub struct Found {
    pub exit: i32,
    pub document: Value,
}

impl Found {
    /// The cases with this result.
    pub fn with(&self, result: &str) -> BTreeSet<String> {
        let findings = self.document["findings"].as_array().unwrap().iter();
        let those = findings.filter(|finding| finding["result"] == result);
        those.map(|finding| finding["case"].as_str().unwrap().to_owned()).collect()
    }

    pub fn finding(&self, case: &str) -> &Value {
        let mut findings = self.document["findings"].as_array().unwrap().iter();
        findings.find(|finding| finding["case"] == case).unwrap_or_else(|| panic!("{case} in {:#}", self.document))
    }

    /// Fails unless these cases failed, those warned, and all others passed.
    #[track_caller]
    pub fn assert(&self, failed: &[&str], warned: &[&str]) {
        let set = |cases: &[&str]| cases.iter().map(|case| (*case).to_owned()).collect::<BTreeSet<_>>();
        let (found, expected) = ((self.with("fail"), self.with("warn")), (set(failed), set(warned)));
        assert_eq!(found, expected, "{:#}", self.document);
        assert_eq!(self.with("skipped"), set(&[]), "{:#}", self.document);
        assert_eq!(self.exit, i32::from(!failed.is_empty()));
    }
}
