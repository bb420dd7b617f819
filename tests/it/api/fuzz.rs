//! The OpenAPI document against the daemon that shows it: schemathesis sends what the document allows and what it does not,
//! and holds every answer to the document. Takes about a minute.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Stand, envelope, well};
use crate::process::harness::PATIENCE;
use crate::receivers::{Answer, Receiver};

/// For the whole run; its phases share it.
const SECONDS: &str = "60";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance";

/// A batch is lines of whatever is generated: as JSON if it is data, as it is if it is text.
const HOOKS: &str = r#"
import json
import schemathesis

@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    if isinstance(value, bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", errors="surrogatepass")
"#;

fn fuzzer() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/schemathesis");
    assert!(path.exists(), "there is no target/tools/bin/schemathesis: ./tests/run installs it");
    path
}

#[test]
fn no_answer_is_a_fault_of_the_server_or_against_the_document() {
    let fuzzer = fuzzer();
    let stand = Stand::new();
    let (receiver, ill) = (well(), Receiver::start(|_| Answer::status(500)));
    stand.add("acme", &receiver, &[20]);
    stand.add("ill", &ill, &[20]);
    stand.add_hopeless("dull");
    for (number, name) in ["acme", "ill", "dull", "acme"].into_iter().enumerate() {
        stand.api.post("/v1/events", &envelope(&format!("event-{number}"), name, "{\"a\":1}")).expect(201);
    }
    receiver.wait_for(2, PATIENCE);
    let Stand { home, mut daemon, api } = stand;
    std::fs::write(home.path().join("hooks_of_the_test.py"), HOOKS).unwrap();
    let output = Command::new("timeout")
        .args(["150"])
        .arg(fuzzer)
        .args(["run", &format!("{}/openapi.json", api.url())])
        .args(["--phases", "examples,coverage,fuzzing", "--checks", CHECKS, "--max-time", SECONDS])
        // It never ends by itself; tests of its own hold it.
        .args(["--exclude-path", "/v1/events/stream"])
        .args(["--request-timeout", "20", "--workers", "2", "--generation-database", "none", "--no-color"])
        .args(["--continue-on-failure", "--max-failures", "20", "--warnings", "off"])
        .current_dir(home.path())
        .env("SCHEMATHESIS_HOOKS", "hooks_of_the_test")
        .env("PYTHONPATH", home.path())
        .env("HYPOTHESIS_STORAGE_DIRECTORY", home.path().join("hypothesis"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{complained}");
    let last: Vec<&str> = said.lines().rev().take(12).collect();
    println!("{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    // And the daemon is well after it all.
    assert!(daemon.runs());
    api.get("/readyz").expect(200);
    let log = daemon.stop().join("\n");
    assert!(!log.contains("panicked"), "{log}");
    home.check_integrity();
}
