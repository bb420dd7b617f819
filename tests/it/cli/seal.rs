//! The master key: what is sealed, by which key, and what is refused. Afterwards no byte of the store's files holds a secret.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{LENIENT, Place, SECRET, TOKEN};

const HEADER: &str = "an API key in a header";

fn key_of(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

/// A place with two master keys, of which the configuration names none.
fn place() -> Place {
    let place = Place::new();
    place.write("one.key", format!("{}\n", key_of(1)));
    place.write("two.key", key_of(2));
    place
}

fn configure(place: &Place, key: &str) {
    place.write("config.toml", format!("{LENIENT}[store]\nmaster_key_file = \"{key}\"\n"));
}

fn add(place: &Place) {
    let header = format!("x-api-key:{HEADER}");
    let words = [
        "endpoint",
        "add",
        "acme",
        "http://127.0.0.1:9/",
        "--profile",
        "ensuro",
        "--secret-file",
        "secret",
        "--header",
        &header,
    ];
    assert_eq!(place.run_with(&words, "").exit, 0);
    place.done("endpoint add eip http://127.0.0.1:9/ --profile ensuro --key-file key");
    place.done("endpoint add std http://127.0.0.1:9/ --profile standard --secret-file v1");
}

/// How many of the secrets stand in the files of the store.
fn found(place: &Place) -> usize {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(place.path(".")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("postrider.db") {
            bytes.extend(fs::read(entry.path()).unwrap());
        }
    }
    assert!(!bytes.is_empty());
    let raw_key = [vec![0; 31], vec![1]].concat();
    let secrets = [SECRET.as_bytes(), HEADER.as_bytes(), &raw_key, b"\x31\xf2\x90\xf6\xbf", TOKEN.as_bytes()];
    secrets.iter().filter(|secret| bytes.windows(secret.len()).any(|window| window == **secret)).count()
}

#[test]
fn a_store_that_is_made_with_a_master_key_is_sealed_from_its_beginning() {
    let place = place();
    configure(&place, "one.key");
    add(&place);
    assert_eq!(found(&place), 0);
    assert!(place.done("sign --scheme hmac --secret-file secret body.json").len() > 60);
    place.done("endpoint edit acme --rate 5");
    place.done("endpoint rotate acme --secret-file secret");
    assert!(place.done("endpoint show acme").contains("x-api-key"));
    assert_eq!(found(&place), 0);
    // Neither without its key nor with another, and nothing is harmed by having tried.
    place.write("config.toml", LENIENT);
    place.refused(78, "endpoint list", &["is sealed", "store.master_key_file must name its master key"]);
    configure(&place, "two.key");
    place.refused(78, "endpoint list", &["another master key", "postrider seal --was"]);
    configure(&place, "one.key");
    assert!(place.done("endpoint list").contains("acme"));
}

#[test]
fn an_older_store_is_sealed_by_its_verb_and_by_nothing_else() {
    let place = place();
    add(&place);
    place.done("endpoint rotate acme --secret-file secret");
    assert!(found(&place) >= 3, "unsealed, it shows what it holds, or looking for it means nothing: {}", found(&place));
    place.refused(78, "seal", &["names no master key"]);
    configure(&place, "one.key");
    place.refused(78, "endpoint list", &["is not sealed yet", "postrider seal"]);
    assert!(place.done("seal").contains("is sealed now: 4 secrets"));
    assert_eq!(found(&place), 0);
    assert!(place.done("endpoint list").contains("acme"));
    assert!(place.done("seal").contains("was sealed already"));
    // To another key, and back to none.
    configure(&place, "two.key");
    place.refused(78, "seal", &["another master key"]);
    assert_eq!(place.json("seal --was one.key")["secrets"], 4);
    assert!(place.done("endpoint list").contains("acme"));
    place.write("config.toml", LENIENT);
    assert!(place.done("seal --was two.key").contains("is not sealed now"));
    assert!(place.done("endpoint show acme").contains("x-api-key"));
    assert!(found(&place) >= 3);
}

#[test]
fn a_master_key_that_is_none_is_told_and_never_shown() {
    let place = place();
    add(&place);
    place.write("short.key", "0011");
    let open = place.path("open.key");
    fs::write(&open, key_of(3)).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    for (file, words) in [
        ("short.key", "holds no master key"),
        ("open.key", "is open to others (mode 0644)"),
        ("missing.key", "cannot be read"),
        (".", "cannot be read"),
    ] {
        configure(&place, file);
        place.refused(78, "endpoint list", &[words]);
        place.refused(78, "seal", &[words]);
    }
    let answer = place.run("seal");
    assert!(!answer.err.contains(&key_of(3)));
}
