//! `backup`: whole or not there, for its user alone, and never over the store itself.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use rusqlite::Connection;

use super::Place;

#[test]
fn a_backup_is_the_store_as_it_was_and_can_take_its_place() {
    let place = Place::new().with_acme();
    place.done("enqueue --type policy/creation --id first body.json");
    let told = place.json("backup kept.db");
    assert_eq!((told["events"].as_u64(), told["pending"].as_u64()), (Some(1), Some(1)), "{told}");
    assert_eq!(told["bytes"].as_u64(), Some(fs::metadata(place.path("kept.db")).unwrap().len()));
    assert_eq!(fs::metadata(place.path("kept.db")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!place.path("kept.db.part").exists());
    place.done("enqueue --type policy/creation --id second body.json");

    assert!(place.done("--store kept.db show first").contains("first"));
    place.refused(66, "--store kept.db show second", &["second"]);
    assert!(place.done("--store kept.db endpoint list").contains("acme"));
    // In the store's place, without what stood beside it.
    for file in ["postrider.db", "postrider.db-wal", "postrider.db-shm"] {
        let _ = fs::remove_file(place.path(file));
    }
    fs::rename(place.path("kept.db"), place.path("postrider.db")).unwrap();
    place.done("enqueue --type policy/creation --id third body.json");
    assert!(place.done("show first").contains("first"));
}

#[test]
fn what_is_there_already_is_replaced_only_on_demand() {
    let place = Place::new().with_acme();
    place.write("kept.db", "something of value");
    place.refused(65, "backup kept.db", &["kept.db is there already", "--force"]);
    assert_eq!(fs::read(place.path("kept.db")).unwrap(), b"something of value");
    place.done("backup --force kept.db");
    assert!(place.done("--store kept.db endpoint list").contains("acme"));
    // What a backup that was killed left behind is taken over.
    place.write("next.db.part", "half a backup".repeat(1000));
    place.done("backup next.db");
    assert!(place.done("--store next.db endpoint list").contains("acme"));
}

#[test]
fn a_backup_is_never_written_over_the_store_or_through_a_link() {
    let place = Place::new().with_acme();
    symlink(place.path("postrider.db"), place.path("link.db")).unwrap();
    fs::hard_link(place.path("postrider.db"), place.path("hard.db")).unwrap();
    for file in ["postrider.db", "link.db", "hard.db", "postrider.db-wal", "postrider.db-lock", "postrider.db-journal"]
    {
        place.refused(65, &format!("backup --force {file}"), &["belongs to the store itself"]);
    }
    fs::remove_file(place.path("hard.db")).unwrap();
    // Nor is the store taken for what a killed backup left.
    fs::hard_link(place.path("postrider.db"), place.path("copy.part")).unwrap();
    place.refused(65, "backup copy", &["copy.part belongs to the store itself"]);
    fs::remove_file(place.path("copy.part")).unwrap();
    place.done("--store own.part endpoint add acme http://127.0.0.1:9/ --profile standard --secret-file v1");
    place.refused(65, "--store own.part backup own", &["own.part belongs to the store itself"]);
    assert!(place.done("--store own.part endpoint list").contains("acme"));
    place.write("victim", "of somebody else");
    symlink(place.path("victim"), place.path("trap.db.part")).unwrap();
    place.refused(74, "backup trap.db", &["trap.db.part cannot be written"]);
    assert_eq!(fs::read(place.path("victim")).unwrap(), b"of somebody else");
    assert!(place.done("endpoint list").contains("acme"));
}

#[test]
fn a_backup_that_cannot_be_made_says_why_and_leaves_nothing() {
    let place = Place::new();
    place.refused(66, "backup kept.db", &["there is no store"]);
    let place = Place::new().with_acme();
    place.refused(66, "backup no/such/kept.db", &["kept.db.part cannot be written", "folder must exist"]);
    place.refused(65, "backup --force ..", &["names no file"]);
    place.refused(2, "--server http://127.0.0.1:1 backup kept.db", &["backup works on this machine"]);
    // A row without what points to it: to read is to find it.
    let damaged = Connection::open(place.path("postrider.db")).unwrap();
    damaged.pragma_update(None, "foreign_keys", false).unwrap();
    damaged.execute_batch("PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'event';").unwrap();
    drop(damaged);
    assert_ne!(place.run("backup kept.db").exit, 0);
    assert!(!place.path("kept.db").exists() && !place.path("kept.db.part").exists());
}

/// One takes over what another left, or is told to wait; none ever spoils what has its name already.
#[test]
fn backups_to_one_name_at_once_leave_a_whole_one() {
    let place = Place::new().with_acme();
    place.done("enqueue --type policy/creation --id first body.json");
    place.done("backup kept.db");
    for _ in 0..10 {
        let backups: Vec<_> =
            (0..4).map(|_| place.command(&["backup", "--force", "kept.db"]).spawn().unwrap()).collect();
        for backup in backups {
            let ended = backup.wait_with_output().unwrap();
            assert!([0, 75].contains(&ended.status.code().unwrap()), "{}", String::from_utf8_lossy(&ended.stderr));
        }
        assert!(place.done("--store kept.db show first").contains("first"));
        assert!(!place.path("kept.db.part").exists());
    }
}

#[test]
fn a_backup_for_which_there_is_no_room_leaves_nothing() {
    let place = Place::new().with_acme();
    place.write("large.json", format!("{{\"text\": \"{}\"}}", "x".repeat(400_000)));
    for id in ["one", "two", "three"] {
        place.done(&format!(
            "enqueue --profile standard --to http://127.0.0.1:9/ --secret-file v1 --type a.b --id {id} large.json"
        ));
    }
    let limited = "ulimit -f 600 && exec \"$0\" backup kept.db";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_postrider")]).env_clear().current_dir(place.path("."));
    let ended = command.output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(74), "{told}");
    for left in ["kept.db", "kept.db.part", "kept.db.part-journal"] {
        assert!(!place.path(left).exists(), "{left} is left: {told}");
    }
    place.done("backup kept.db");
}
