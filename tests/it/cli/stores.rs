//! Files that are not the store that was meant. None of them is changed.

use std::fs;

use rusqlite::Connection;

use super::Place;

const ADD: &str = "endpoint add acme http://127.0.0.1:9/ --profile ensuro --secret-file secret";

#[test]
fn a_store_that_is_not_there_is_made_only_by_what_fills_it() {
    let place = Place::new();
    for words in ["endpoint list", "endpoint show acme", "endpoint remove acme --yes"] {
        place.refused(66, words, &["there is no store", "postrider.db yet"]);
    }
    assert!(!place.path("postrider.db").exists());
    place.refused(74, &format!("--store missing/a.db {ADD}"), &["missing/a.db cannot be made"]);
    place.refused(74, &format!("--store . {ADD}"), &["cannot be opened"]);
    let made = place.run(&format!("--store here.db {ADD}"));
    assert!(made.err.lines().any(|line| line.starts_with("made the store ") && line.ends_with("/here.db")));
    assert!(!place.run("--store here.db enqueue --type policy/creation body.json").err.contains("made"));
}

/// It holds the keys: not even for a moment may somebody else read it.
#[test]
fn a_store_is_its_user_s_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new().with_acme();
    // While somebody looks at it, it has its log and its index beside it.
    let watching = Connection::open(place.path("postrider.db")).unwrap();
    watching.query_row("SELECT count(*) FROM endpoint", [], |row| row.get::<_, i64>(0)).unwrap();
    for file in ["postrider.db", "postrider.db-wal", "postrider.db-shm"] {
        let mode = fs::metadata(place.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_file_of_another_program_is_left_alone() {
    let place = Place::new();
    Connection::open(place.path("foreign.db")).unwrap().execute_batch("CREATE TABLE note (text TEXT)").unwrap();
    place.write("text.db", "this is no database, but as long as a header of one would be, and some more".repeat(20));
    let before = ["foreign.db", "text.db"].map(|name| fs::read(place.path(name)).unwrap());
    place.refused(70, &format!("--store foreign.db {ADD}"), &["foreign.db is a database of another program"]);
    place.refused(70, &format!("--store text.db {ADD}"), &["text.db is not an SQLite database"]);
    place.refused(70, "--store foreign.db endpoint list", &["a database of another program"]);
    assert_eq!(["foreign.db", "text.db"].map(|name| fs::read(place.path(name)).unwrap()), before);
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let place = Place::new().with_acme();
    Connection::open(place.path("postrider.db")).unwrap().execute_batch("PRAGMA user_version = 999").unwrap();
    place.refused(70, "endpoint list", &["written by a newer postrider (schema 999"]);
}

#[test]
fn a_store_that_cannot_be_written_is_told() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        eprintln!("left out: root may write everything");
        return;
    }
    let place = Place::new().with_acme();
    fs::set_permissions(place.path("postrider.db"), fs::Permissions::from_mode(0o400)).unwrap();
    place.refused(74, "enqueue --type policy/creation body.json", &["read-only"]);
}

#[test]
fn a_limit_on_file_sizes_is_told_and_kills_nobody() {
    let place = Place::new().with_acme();
    let shell = format!(
        "ulimit -f 8; exec {} enqueue --type policy/creation --endpoint acme body.json",
        env!("CARGO_BIN_EXE_postrider")
    );
    place.write("body.json", super::sample(postrider::endpoint::ProfileName::Ensuro, "policy/creation"));
    let output = std::process::Command::new("sh").args(["-c", &shell]).current_dir(place.path("")).output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("postrider.db"), "{output:?}");
}
