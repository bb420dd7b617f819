//! Sockets that a service manager opened: the daemon takes them in place of its own address.

use std::process::Command;

use super::client::Api;
use super::{Stand, envelope};
use crate::process::harness::{Daemon, Home, LENIENT, PATIENCE, program, wait_for};

/// What systemd does: opens sockets, puts them at 3 and on, says so in the environment, and becomes the daemon.
const MANAGER: &str = r#"
import os, socket, sys
tcp = socket.socket()
tcp.bind(("127.0.0.1", 0))
tcp.listen(64)
path = sys.argv[1]
unix = socket.socket(socket.AF_UNIX)
unix.bind(path)
os.chmod(path, int(sys.argv[2], 8))
unix.listen(64)
with open(path + ".port", "w") as file:
    file.write(str(tcp.getsockname()[1]))
numbers = [os.dup2(tcp.fileno(), 100), os.dup2(unix.fileno(), 101)]
for place, number in enumerate(numbers):
    os.dup2(number, 3 + place)
    os.set_inheritable(3 + place, True)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = "2"
os.execv(sys.argv[3], sys.argv[3:])
"#;

/// `postrider serve` with a TCP socket and a unix socket of this mode from a manager.
fn activated(home: &Home, mode: &str) -> Command {
    let serve = program(home);
    let mut command = Command::new("/usr/bin/env");
    command.args(["python3", "-c", MANAGER]).arg(home.path().join("given.sock")).arg(mode);
    command.arg(serve.get_program()).args(serve.get_args()).arg("serve");
    command.current_dir(home.path());
    command
}

#[test]
fn sockets_that_a_service_manager_passed_are_listened_on() {
    // An address that would fail, if it were tried.
    let home = Home::with(&format!("{LENIENT}[api]\nlisten = \"192.0.2.1:1\"\n"));
    let daemon = Daemon::spawn(activated(&home, "600"));
    daemon.wait_for_line("started");
    let path = home.path().join("given.sock");
    let port = std::fs::read_to_string(home.path().join("given.sock.port")).unwrap();
    let told = wait_for("two addresses", PATIENCE, || Some(daemon.told("listening")).filter(|told| told.len() == 2));
    let told = format!("{told:?}");
    assert!(told.contains(&format!("127.0.0.1:{port}")) && told.contains("given.sock"), "{told}");
    let stand = Stand { api: Api::at(&format!("127.0.0.1:{port}")), daemon, home };
    stand.add_hopeless("acme");
    stand.api.post("/v1/events", &envelope("by-tcp", "acme", "1")).expect(201);
    let socket = Api::at(path.to_str().unwrap());
    socket.post("/v1/events", &envelope("by-unix", "acme", "1")).expect(201);
    assert_eq!(stand.stored(), (2, 2));
    let _home = stand.stop();
    assert!(path.exists(), "it belongs to the manager");
}

#[test]
fn a_passed_socket_that_everybody_may_open_is_refused() {
    let home = Home::new();
    let mut daemon = Daemon::spawn(activated(&home, "666"));
    assert_eq!(daemon.wait().code(), Some(78), "{:#?}", daemon.lines());
    let said = daemon.lines().join("\n");
    assert!(said.contains("SocketMode"), "{said}");
}
