//! Whether it lives, whether it should be sent anything, and the reference that it shows of itself.

use std::time::Duration;

use super::client::Reply;
use super::{Stand, envelope};
use crate::process::harness::{PATIENCE, wait_for};

/// The answer that is not a problem: what probes expect.
#[track_caller]
fn ready(reply: &Reply, is: bool) -> serde_json::Value {
    let told = reply.expect(if is { 200 } else { 503 });
    assert_eq!(told["status"] == "ok", is, "{told}");
    told["checks"].clone()
}

#[test]
fn it_is_alive_and_ready_once_it_listens() {
    let stand = Stand::new();
    let alive = stand.api.get("/livez");
    assert_eq!((alive.status, alive.text().trim()), (200, "ok"));
    for path in ["/readyz", "/healthz"] {
        let checks = ready(&stand.api.get(path), true);
        assert_eq!(
            (&checks["store"], &checks["disk"], &checks["draining"]),
            (&"ok".into(), &"ok".into(), &"ok".into())
        );
        // A probe may ask by any name: an orchestrator knows only an address.
        ready(&stand.api.ask("GET", path, &[("host", "10.1.2.3:8787")], b""), true);
        assert_eq!(stand.api.ask("HEAD", path, &[], b"").status, 200);
    }
    stand.stop();
}

#[test]
fn a_disk_below_its_mark_is_not_ready() {
    let stand = Stand::with("[api]\nmin_free_disk_bytes = 1099511627776\n");
    let free = rustix::fs::statvfs(stand.home.path()).unwrap();
    if free.f_bavail * free.f_frsize >= 1 << 40 {
        println!("this disk has more than a terabyte free");
        return;
    }
    let checks = ready(&stand.api.get("/readyz"), false);
    assert!(checks["disk"].as_str().unwrap().contains("min_free_disk_bytes"), "{checks}");
    assert_eq!(stand.api.get("/livez").status, 200);
    stand.stop();
}

#[test]
fn a_held_store_is_not_ready_and_then_ready_again() {
    let stand = Stand::new();
    stand.add_hopeless("acme");
    ready(&stand.api.get("/readyz"), true);
    let other = rusqlite::Connection::open(stand.home.store_path()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let asked = std::time::Instant::now();
    let checks = wait_for("not ready", PATIENCE, || {
        // Something that has to be written, so that the store is seen to be held.
        let mut wire = stand.api.connect();
        let body = envelope("held", "acme", "1");
        wire.send(
            stand.api.head("POST", "/v1/events", &[("content-type", "application/json")], Some(body.len())) + &body,
        );
        std::thread::sleep(Duration::from_millis(100));
        let reply = stand.api.get("/readyz");
        (reply.status == 503).then(|| ready(&reply, false))
    });
    println!("a held store was seen after {:?}: {checks}", asked.elapsed());
    assert_ne!(checks["store"], "ok");
    assert_eq!(stand.api.get("/livez").status, 200, "it lives all the same");
    other.execute_batch("ROLLBACK").unwrap();
    wait_for("ready again", PATIENCE, || (stand.api.get("/readyz").status == 200).then_some(()));
    stand.api.post("/v1/events", &envelope("after", "acme", "1")).expect(201);
    stand.stop();
}
