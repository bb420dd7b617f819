//! Where the server listens, whom it lets in there, and how it leaves.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::*;

fn settings(listen: Option<&str>, socket: Option<&Path>) -> ApiSettings {
    let listen = listen.map(|address| address.parse().unwrap());
    ApiSettings { listen, socket: socket.map(Path::to_owned), ..Config::default().api }
}

/// Opens and closes again; what is said if that is refused.
fn open(settings: &ApiSettings, tokens: bool) -> Result<Vec<Bound>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listeners = listen::open(settings, &mut ListenFd::empty(), tokens).await;
        listeners.map(|listeners| listeners.bound()).map_err(|unheard| unheard.to_string())
    })
}

fn ask_by(socket: &Path, text: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    rest(&mut stream)
}

#[test]
fn a_unix_socket_is_for_its_owner_and_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.sock");
    let tokens = [("secret", Scope::Read)];
    let mut running = Running::with(LIMITS, settings(Some("127.0.0.1:0"), Some(&path)), &tokens);
    assert_eq!(running.bound[1], Bound::Unix(path.clone()));
    assert_eq!(running.bound[1].to_string(), format!("unix:{}", path.display()));
    let file = std::fs::symlink_metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);

    assert!(ask_by(&path, "GET /ok HTTP/1.1\r\nhost: anything\r\nconnection: close\r\n\r\n").ends_with("fine"));
    is_problem(&running.ask(&last_get_of("/ok")), 401, "unauthorized");
    let bearer = "authorization: Bearer secret\r\nconnection: close\r\n";
    assert!(running.ask(&get_of("/ok", bearer)).ends_with("fine"));
    is_problem(&running.ask(&get_of("/echo", bearer).replace("GET", "POST")), 403, "forbidden");

    let live = open(&settings(None, Some(&path)), false).unwrap_err();
    assert!(live.ends_with("where another process listens; stop that one, or give another path"), "{live}");
    running.phases.send_replace(Phase::Closing);
    running.ended();
    assert!(!path.exists());
}

#[test]
fn a_dead_socket_is_replaced_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert_eq!(open(&settings(None, Some(&path)), false), Ok(vec![Bound::Unix(path.clone())]));
    assert!(!path.exists());

    std::fs::write(&path, "mine").unwrap();
    let refused = open(&settings(None, Some(&path)), false).unwrap_err();
    assert!(refused.ends_with("where something stands that is no socket; give a path where nothing is"), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(open(&settings(None, Some(&link)), false).unwrap_err().contains("no socket"));

    let nowhere = open(&settings(None, Some(&folder.path().join("none/p.sock"))), false).unwrap_err();
    assert!(nowhere.ends_with("its folder does not exist; make it first"), "{nowhere}");
    let long = open(&settings(None, Some(&folder.path().join("x".repeat(120)))), false).unwrap_err();
    assert!(long.ends_with("at most 107 bytes; give a shorter one"), "{long}");
}

#[test]
fn other_machines_need_a_token_to_be_listened_to() {
    let refused = open(&settings(Some("0.0.0.0:0"), None), false).unwrap_err();
    assert_eq!(
        refused,
        "api.listen is 0.0.0.0:0, which other machines can reach, and there is no token that they would need; make one \
         with `postrider token add`, or listen on 127.0.0.1:0"
    );
    assert!(open(&settings(Some("[::ffff:10.0.0.1]:0"), None), false).is_err());
    assert!(open(&settings(Some("0.0.0.0:0"), None), true).is_ok());
    assert_eq!(open(&settings(None, None), false), Ok(vec![]));
}

#[test]
fn an_address_that_cannot_be_had_is_told_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    assert_eq!(
        open(&settings(Some(&address.to_string()), None), false).unwrap_err(),
        format!(
            "api.listen is {address}, which is in use by another process; stop that one, or give api.listen another port"
        )
    );
    let foreign = open(&settings(Some("192.0.2.1:0"), None), true).unwrap_err();
    assert!(foreign.contains("is no address of this machine"), "{foreign}");
}

#[test]
fn a_free_port_is_told_as_it_is() {
    let running = Running::new(LIMITS);
    assert_ne!(running.address().port(), 0);
    assert_eq!(running.bound[0].to_string(), format!("http://{}", running.address()));
}

#[test]
fn it_drains_and_closes_in_three_phases() {
    let mut running = Running::new(LIMITS);
    let [mut kept, mut under_way] = [running.connect(), running.connect()];
    kept.write_all(get_of("/ok", "").as_bytes()).unwrap();
    assert!(!one(&mut kept).contains("connection: close"));
    under_way.write_all(get_of("/held", "").as_bytes()).unwrap();
    running.wait_for_held(1);

    running.phases.send_replace(Phase::Draining);
    // Who asks on a kept connection is answered once more, and told that it ends.
    kept.write_all(get_of("/ok", "").as_bytes()).unwrap();
    let answer = rest(&mut kept);
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("fine"), "{answer}");
    // New connections are taken; only what would change something is refused.
    assert!(running.ask(&get_of("/ok", "")).ends_with("fine"));
    let refused = running.ask(&get_of("/held", "").replace("GET", "POST"));
    is_problem(&refused, 503, "draining");
    assert!(refused.contains("retry-after: 5\r\n") && refused.contains("connection: close\r\n"), "{refused}");

    let mut idle = running.connect();
    // By then it is taken, as they are taken in order.
    running.ask(&get_of("/ok", ""));
    running.phases.send_replace(Phase::Closing);
    assert_eq!(rest(&mut idle), "");
    wait_until(|| TcpStream::connect(running.address()).is_err());
    assert!(!running.thread.as_ref().unwrap().is_finished());
    running.let_go.notify_one();
    let answer = rest(&mut under_way);
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("let go"), "{answer}");
    running.ended();
}

#[test]
fn what_does_not_end_is_cut_off_at_the_deadline() {
    let mut running = Running::new(Limits { closing: SHORT, ..LIMITS });
    let mut held = running.connect();
    held.write_all(get_of("/held", "").as_bytes()).unwrap();
    running.wait_for_held(1);
    running.phases.send_replace(Phase::Closing);
    running.ended();
    assert!(matches!(held.read(&mut [0]), Ok(0) | Err(_)));
}

/// In the process that is given the sockets: says where it listens. Without any it has nothing to do.
#[test]
fn it_listens_where_systemd_says() {
    if std::env::var_os("LISTEN_FDS").is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = settings(Some("127.0.0.1:0"), None);
        match listen::open(&settings, &mut ListenFd::from_env(), false).await {
            Ok(listeners) => println!("heard at {:?}.", listeners.bound()),
            Err(unheard) => println!("unheard: {unheard}."),
        }
    });
}

#[test]
fn a_socket_that_was_passed_takes_the_place_of_the_address() {
    let passed = |socket: std::os::fd::OwnedFd| {
        let name = "api_server::sockets::it_listens_where_systemd_says";
        let run = format!("exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" --exact {name} --nocapture");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &run]).arg(std::env::current_exe().unwrap()).stdin(socket);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let expected = format!("heard at [Tcp({})].", tcp.local_addr().unwrap());
    let said = passed(tcp.into());
    assert!(said.contains(&expected), "{said}");

    let said = passed(std::net::TcpListener::bind("0.0.0.0:0").unwrap().into());
    assert!(said.contains("unheard: a socket that was passed in LISTEN_FDS is 0.0.0.0:"), "{said}");
    let said = passed(std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into());
    assert!(said.contains("it is no listening TCP or unix stream socket"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.sock");
    for (mode, expected) in [(0o660, format!("heard at [Unix({path:?})].")), (0o666, "set SocketMode=0600".to_owned())]
    {
        let unix = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let said = passed(unix.into());
        assert!(said.contains(&expected), "{said}");
        // The file is systemd's.
        std::fs::remove_file(&path).unwrap();
    }
}

/// In a process of its own, as the limit is one of the whole process: serves with few file handles until it is killed.
#[test]
fn it_serves_with_few_file_handles() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if std::env::var_os("FEW_FILE_HANDLES").is_none() {
        return;
    }
    let running = Running::new(LIMITS);
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(20), maximum }).unwrap();
    println!("at {} .", running.address());
    std::thread::sleep(10 * PATIENCE);
}

#[test]
fn connections_wait_while_there_are_no_file_handles() {
    use std::io::BufRead;
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "api_server::sockets::it_serves_with_few_file_handles", "--nocapture"]);
    command.env("FEW_FILE_HANDLES", "1").stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once("at 127.")?;
        Some(format!("127.{}", rest.split(' ').next()?))
    });
    let address = address.unwrap();
    let connect = || {
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let many: Vec<TcpStream> = (0..30).map(|_| connect()).collect();
    let mut late = connect();
    late.write_all(last_get_of("/ok").as_bytes()).unwrap();
    late.set_read_timeout(Some(SHORT)).unwrap();
    let waits = late.read(&mut [0]);
    drop(many);
    late.set_read_timeout(Some(PATIENCE)).unwrap();
    let answer = rest(&mut late);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(waits.is_err(), "all of them were taken");
    assert!(answer.ends_with("fine"), "{answer}");
}
