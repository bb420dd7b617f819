//! A newcomer's first receiver: ten lines of Flask, wrong in the two ways that are the most common. `check` says what is wrong
//! with it in words that can be acted on, and once that is done, it passes.

use std::net::TcpStream;
use std::process::{Child, Stdio};

use super::{Place, interpreter};
use crate::process::harness::{PATIENCE, wait_for};

const FIRST: &str = r#"
import hashlib, hmac, json
from flask import Flask, request

app = Flask(__name__)
secret = open("secret").read().strip()

@app.post("/notify")
def notify():
    right = hmac.new(secret.encode(), json.dumps(request.json).encode(), hashlib.sha256).hexdigest()
    if right != request.headers.get("X-Ensuro-Signature"):
        print("what is this?")
    return "", 200

app.run(port=3000)
"#;

/// Their receiver, while it runs.
struct Newcomer(Child);

impl Newcomer {
    fn start(place: &Place, text: &str, port: u16) -> Self {
        let file = place.path("receiver.py");
        place.write("receiver.py", text.replace("3000", &port.to_string()));
        let mut command = interpreter(&file);
        command.arg(&file).current_dir(place.0.path()).stdin(Stdio::null());
        let newcomer = Newcomer(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        wait_for("the receiver", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).ok());
        newcomer
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_newcomer_learns_what_is_wrong_mends_it_and_passes() {
    let place = Place::new();
    let port = crate::receivers::free_port();
    let check = |text: &str| {
        let _newcomer = Newcomer::start(&place, text, port);
        let output = place.run(&format!("check http://127.0.0.1:{port}/notify --secret-file secret"));
        // However its lines are broken.
        let told = String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        (output.status.code().unwrap(), told)
    };
    // It believes everybody.
    let (exit, told) = check(FIRST);
    assert_eq!(exit, 1, "{told}");
    assert!(told.contains("signature/missing seen took it: answered 200"), "{told}");
    assert!(told.contains("Treat a missing header as a wrong signature: answer 401"), "{told}");

    // So it refuses what is not signed, and with that also what is: the bytes that it signs are not those that came.
    let refuses = FIRST.replace("print(\"what is this?\")", "return \"\", 401");
    let (exit, told) = check(&refuses);
    assert_eq!(exit, 1, "{told}");
    assert!(told.contains("basics/reached seen answered 401") && told.contains("request.get_data()"), "{told}");
    assert!(told.contains("took the same notification as Python's json.dumps writes it"), "{told}");

    let raw = refuses.replace("json.dumps(request.json).encode()", "request.get_data()");
    let (exit, told) = check(&raw);
    assert_eq!(exit, 0, "{told}");
    assert!(!told.contains("FAIL") && told.contains(" 0 failed "), "{told}");
}
