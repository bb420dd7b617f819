//! The HTTP server on real sockets: what slow, greedy and broken peers cost, and how it ends.

mod sockets;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use listenfd::ListenFd;
use postrider::access::{AccessToken, Scope};
use postrider::api::guard::{Fenced, Gate, needs, with_problems};
use postrider::api::listen::{self, Bound};
use postrider::api::problem::Problem;
use postrider::api::server::{self, Limits};
use postrider::api::{body, json};
use postrider::config::{ApiSettings, Config};
use postrider::daemon::handle::Phase;
use postrider::observe::metrics::Metrics;
use postrider::time::Time;
use tokio::sync::{Notify, watch};

/// More than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Short enough to be waited for, where a test waits for an end.
const SHORT: Duration = Duration::from_millis(300);

const LIMITS: Limits =
    Limits { connections: 100, header_bytes: 16_384, head: PATIENCE, stalled: PATIENCE, closing: PATIENCE };

/// A server with a few routes, on a thread of its own; `Drop` closes it.
struct Running {
    bound: Vec<Bound>,
    phases: watch::Sender<Phase>,
    /// Lets one request of `/held` be answered.
    let_go: Arc<Notify>,
    /// Requests of `/held` under way.
    held: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn new(limits: Limits) -> Self {
        Running::with(limits, ApiSettings { listen: Some(([127, 0, 0, 1], 0).into()), ..Config::default().api }, &[])
    }

    fn with(limits: Limits, settings: ApiSettings, tokens: &[(&str, Scope)]) -> Self {
        let (told, bound) = std::sync::mpsc::channel();
        let phases = watch::Sender::new(Phase::Serving);
        let (let_go, held) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let tokens: Arc<[AccessToken]> = tokens.iter().map(|(text, scope)| token(text, *scope)).collect();
        let (routes, phase) = (routes(&let_go, &held), phases.subscribe());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listeners = listen::open(&settings, &mut ListenFd::empty(), !tokens.is_empty()).await.unwrap();
                told.send(listeners.bound()).unwrap();
                let (_keeper, tokens) = watch::channel(tokens);
                let gate = Gate::new(&settings.allow_hosts, &listeners.bound(), tokens, phase.clone());
                let site = Fenced { gate, behind: with_problems(routes) };
                server::serve(listeners, site, limits, phase, Metrics::new()).await;
            });
        });
        Running { bound: bound.recv().unwrap(), phases, let_go, held, thread: Some(thread) }
    }

    fn address(&self) -> SocketAddr {
        let tcp = |bound: &Bound| match bound {
            Bound::Tcp(address) => Some(*address),
            Bound::Unix(_) => None,
        };
        self.bound.iter().find_map(tcp).unwrap()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends `text` on a connection of its own and reads until the server closes it.
    fn ask(&self, text: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).unwrap();
        rest(&mut stream)
    }

    fn wait_for_held(&self, count: usize) {
        wait_until(|| self.held.load(Ordering::SeqCst) == count);
    }

    /// Joins the server's thread, which must end by itself.
    fn ended(&mut self) {
        let thread = self.thread.take().unwrap();
        wait_until(|| thread.is_finished());
        thread.join().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.phases.send_replace(Phase::Closing);
    }
}

fn token(text: &str, scope: Scope) -> AccessToken {
    let hash = postrider::signature::digest(text.as_bytes());
    AccessToken { name: text.to_owned(), hash, scope, created_at: Time::from_ms(0) }
}

fn routes(let_go: &Arc<Notify>, held: &Arc<AtomicUsize>) -> Router {
    let limits = body::Limits { bytes: 100_000, time: SHORT, are_settings: true };
    let hold = {
        let (let_go, held) = (Arc::clone(let_go), Arc::clone(held));
        move || async move {
            held.fetch_add(1, Ordering::SeqCst);
            let_go.notified().await;
            held.fetch_sub(1, Ordering::SeqCst);
            "let go"
        }
    };
    let echo = move |body: Body| async move { body::read(body, limits, |_| Ok(())).await };
    let value = move |body: Body| async move {
        let bytes = body::read(body, limits, |_| Ok(())).await?;
        json::read_json::<serde_json::Value>(&bytes).map(|value| value.to_string())
    };
    let panics = || async {
        if true {
            panic!("on purpose");
        }
        ""
    };
    let endless = || async {
        Body::from_stream(futures_util::stream::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![b'x'; 65_536])))
    };
    let read = Router::new()
        .route("/ok", get(|| async { "fine" }))
        .route("/held", get(hold.clone()).post(hold))
        .route("/panic", get(panics))
        .route("/endless", get(endless));
    let write = Router::new().route("/echo", post(echo)).route("/value", post(value));
    read.route_layer(needs(Scope::Read)).merge(write.route_layer(needs(Scope::Enqueue)))
}

#[track_caller]
fn wait_until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it does not come to be");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What comes until the other side closes.
fn rest(stream: &mut (impl Read + ?Sized)) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    String::from_utf8(all).unwrap()
}

/// One answer with a `content-length`, of a connection that goes on.
fn one(stream: &mut impl Read) -> String {
    let mut all = Vec::new();
    loop {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed after {:?}", String::from_utf8_lossy(&all));
        all.push(byte[0]);
        let text = String::from_utf8_lossy(&all);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return text.into_owned();
            }
        }
    }
}

fn get_of(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n")
}

fn last_get_of(path: &str) -> String {
    get_of(path, "connection: close\r\n")
}

#[track_caller]
fn is_problem(answer: &str, status: u16, name: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let problem: Problem = serde_json::from_str(body).unwrap();
    assert_eq!((problem.kind.name(), problem.status), (name, status));
}

#[test]
fn requests_are_answered_one_after_another_on_one_connection() {
    let running = Running::new(LIMITS);
    let mut stream = running.connect();
    for _ in 0..3 {
        stream.write_all(get_of("/ok", "").as_bytes()).unwrap();
        let answer = one(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nfine"), "{answer}");
        assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
        assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
    }
    let head = running.ask(&last_get_of("/ok").replace("GET", "HEAD"));
    assert!(head.contains("content-length: 4\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    is_problem(&running.ask(&last_get_of("/nowhere")), 404, "not-found");
    let answer = running.ask(&last_get_of("/ok").replace("GET", "DELETE"));
    is_problem(&answer, 405, "method-not-allowed");
    assert!(answer.contains("allow: GET,HEAD\r\n"), "{answer}");
    is_problem(&running.ask("GET /ok HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n"), 421, "wrong-host");
    is_problem(
        &running.ask(&get_of("/ok", "connection: close\r\norigin: http://evil.example\r\n")),
        403,
        "foreign-origin",
    );
}

#[test]
fn a_head_that_does_not_end_ends_its_connection() {
    let running = Running::new(Limits { head: SHORT, ..LIMITS });
    let begun = Instant::now();
    let mut slow = running.connect();
    slow.write_all(b"GET /ok HTTP/1.1\r\nhost: loc").unwrap();
    let mut silent = running.connect();
    let mut kept = running.connect();
    kept.write_all(get_of("/ok", "").as_bytes()).unwrap();
    one(&mut kept);
    // Dripping on does not help.
    let mut dripping = slow.try_clone().unwrap();
    let drip = std::thread::spawn(move || {
        while dripping.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    for stream in [&mut slow, &mut silent, &mut kept] {
        let mut left = Vec::new();
        match stream.read_to_end(&mut left) {
            Ok(_) => assert!(left.is_empty() || left.starts_with(b"HTTP/1.1 408 "), "{left:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    assert!(begun.elapsed() < PATIENCE);
    drip.join().unwrap();
    assert!(running.ask(&last_get_of("/ok")).ends_with("fine"));
}

#[test]
fn a_body_that_does_not_come_is_answered_408() {
    let running = Running::new(LIMITS);
    let answer = running.ask("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n01234");
    is_problem(&answer, 408, "slow-request");
    let answer =
        running.ask("POST /echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n");
    is_problem(&answer, 408, "slow-request");
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read_and_the_answer_arrives() {
    let running = Running::new(LIMITS);
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100001\r\n\r\n";
    is_problem(&running.ask(head), 413, "too-large");
    // A client that sends all of it before it reads still sees why.
    let mut stream = running.connect();
    let large = 3_000_000;
    let head = format!("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: {large}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![b'x'; large]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    is_problem(&rest(&mut stream), 413, "too-large");
    // One that waits to be asked is spared the sending.
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 100001\r\n\r\n";
    let answer = running.ask(head);
    assert!(!answer.contains("100 Continue"), "{answer}");
    is_problem(&answer, 413, "too-large");

    let fits = "x".repeat(100_000);
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 100000\r\n\r\n";
    assert!(running.ask(&format!("{head}{fits}")).ends_with(&format!("\r\n\r\n{fits}")));
    let head = "POST /value HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n\r\n";
    is_problem(&running.ask(&format!("{head}{{,")), 400, "malformed-json");
}

#[test]
fn a_head_that_is_too_large_is_answered_431() {
    let running = Running::new(Limits { header_bytes: 4096, ..LIMITS });
    let fits = format!("x: {}\r\nconnection: close\r\n", "x".repeat(3900));
    assert!(running.ask(&get_of("/ok", &fits)).starts_with("HTTP/1.1 200 "));
    for more in
        [format!("x: {}\r\n", "x".repeat(4096)), "x: y\r\n".repeat(200), format!("x: {}\r\n", "x".repeat(90_000))]
    {
        let answer = running.ask(&get_of("/ok", &more));
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[test]
fn a_connection_beyond_the_limit_waits() {
    let running = Running::new(Limits { connections: 2, ..LIMITS });
    let mut open = [running.connect(), running.connect()];
    for stream in &mut open {
        stream.write_all(get_of("/ok", "").as_bytes()).unwrap();
        one(stream);
    }
    let mut third = running.connect();
    third.write_all(last_get_of("/ok").as_bytes()).unwrap();
    third.set_read_timeout(Some(SHORT)).unwrap();
    let waits = third.read(&mut [0]).unwrap_err().kind();
    assert!(matches!(waits, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{waits}");
    drop(open);
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(rest(&mut third).ends_with("fine"));
}

#[test]
fn a_panic_costs_its_own_answer() {
    let running = Running::new(LIMITS);
    let mut stream = running.connect();
    stream.write_all(get_of("/panic", "").as_bytes()).unwrap();
    let answer = one(&mut stream);
    is_problem(&answer, 500, "internal");
    assert!(answer.contains("cache-control: no-store\r\n") && !answer.contains("on purpose"), "{answer}");
    stream.write_all(last_get_of("/ok").as_bytes()).unwrap();
    assert!(rest(&mut stream).ends_with("fine"));
}

#[test]
fn a_peer_that_takes_nothing_of_its_answer_is_given_up() {
    let mut running = Running::new(Limits { stalled: SHORT, connections: 1, ..LIMITS });
    let mut greedy = running.connect();
    greedy.write_all(get_of("/endless", "").as_bytes()).unwrap();
    // The only connection becomes free again, though the peer keeps its end open.
    assert!(running.ask(&last_get_of("/ok")).ends_with("fine"));
    running.phases.send_replace(Phase::Closing);
    running.ended();
}
