//! The secrets, in every form in which they could stand somewhere, and what was written.

use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use postrider::provider::dice::Dice;

pub struct Secret {
    /// Also of the file in which it is given.
    pub name: &'static str,
    pub text: String,
    pub forms: Vec<Vec<u8>>,
}

impl Secret {
    /// One of each kind.
    pub fn all(dice: &mut Dice) -> Vec<Secret> {
        let mut raw = || dice.bytes::<32>();
        let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (hmac, eip191, v1, v1a, header, query, master) = (raw(), raw(), raw(), raw(), raw(), raw(), raw());
        vec![
            Secret::new("hmac", hex(hmac), None),
            // Below the curve's order whatever was drawn.
            Secret::new("eip191", format!("0f{}", &hex(eip191)[2..]), Some(&[&[0x0f], &eip191[1..]].concat())),
            Secret::new("v1", format!("whsec_{}", STANDARD.encode(v1)), Some(&v1)),
            Secret::new("v1a", format!("whsk_{}", STANDARD.encode(v1a)), Some(&v1a)),
            Secret::new("header", format!("hd {}", hex(header)), None),
            Secret::new("query", hex(query), None),
            Secret::new("master", hex(master), Some(&master)),
        ]
    }

    fn new(name: &'static str, text: String, raw: Option<&[u8]>) -> Self {
        let mut forms = forms_of(text.as_bytes());
        raw.into_iter().for_each(|raw| forms.extend(forms_of(raw)));
        // What a prefix or a longer text around it would hide.
        forms.extend(text.split_once('_').map(|(_, rest)| rest.as_bytes().to_vec()));
        Secret { name, text, forms }
    }
}

fn forms_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let url: String = bytes
        .iter()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(*byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    vec![
        bytes.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        STANDARD.encode(bytes).into_bytes(),
        STANDARD_NO_PAD.encode(bytes).into_bytes(),
        URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
        url.into_bytes(),
        format!("{bytes:?}").trim_matches(['[', ']']).to_owned().into_bytes(),
    ]
}

/// Whatever was written, by the name of where.
#[derive(Default)]
pub struct Artefacts {
    all: Vec<(String, Vec<u8>)>,
    more: Vec<Vec<u8>>,
}

impl Artefacts {
    pub fn add(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.all.push((name.to_owned(), bytes.into()));
    }

    /// Something that was made on the way and must not be found either.
    pub fn also(&mut self, text: &str) {
        self.more.extend(forms_of(text.as_bytes()));
    }

    /// Runs a verb to its end, and keeps what it wrote and how it stood in the list of processes; its stdout.
    pub fn ran(&mut self, name: &str, command: &mut Command) -> String {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        self.add(&format!("{name} (stdout)"), output.stdout.clone());
        self.add(&format!("{name} (stderr)"), output.stderr);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn of_process(&mut self, pid: u32) {
        for file in ["cmdline", "environ", "comm", "status"] {
            // A daemon shuts out whoever is not root.
            let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            self.add(&format!("/proc/PID/{file}"), bytes);
        }
    }

    /// All files but these.
    pub fn of_folder(&mut self, folder: &Path, but: &[&str]) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_file() && !but.contains(&name.as_str()) {
                self.add(&name, std::fs::read(entry.path()).unwrap());
            }
        }
    }

    pub fn count(&self) -> u64 {
        self.all.len() as u64
    }

    pub fn bytes(&self) -> usize {
        self.all.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Where which secret stands. URLs are not sealed: of a query only what is shown counts.
    pub fn hits(&self, secrets: &[Secret]) -> Vec<String> {
        let mut hits = Vec::new();
        for (place, bytes) in &self.all {
            let is_store = place.contains(".db");
            for secret in secrets.iter().filter(|secret| !(is_store && secret.name == "query")) {
                if secret.forms.iter().any(|form| holds(bytes, form)) {
                    hits.push(format!("{} in {place}", secret.name));
                }
            }
            if self.more.iter().any(|form| holds(bytes, form)) {
                hits.push(format!("the token in {place}"));
            }
        }
        hits
    }
}

/// By its first byte, then the rest.
fn holds(bytes: &[u8], form: &[u8]) -> bool {
    let Some(first) = form.first() else { return false };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(form) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}
