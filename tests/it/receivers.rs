//! A receiver that misbehaves to order, for everything that sends: raw TCP or TLS on a port of 127.0.0.1, on a thread
//! of its own. It keeps what it was sent byte for byte, and a closure decides each answer.

#[path = "receivers/certificates.rs"]
pub mod certificates;
#[path = "receivers/proxy.rs"]
pub mod proxy;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use certificates::{Authority, Identity};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// From 1, over all connections.
    pub number: usize,
    /// From 1, in the order of acceptance.
    pub connection: usize,
    /// From 1, on its connection.
    pub on_connection: usize,
    pub method: String,
    pub path: String,
    /// In the order sent, names as sent.
    pub headers: Vec<(String, String)>,
    /// Request line and headers with the empty line behind them.
    pub head: Vec<u8>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(sent, _)| sent.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What is done to a connection once a request was read from it. After the last step the next request is awaited.
#[derive(Clone, Debug)]
pub struct Answer(pub Vec<Step>);

#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// Until the other side has enough.
    Repeat {
        bytes: Vec<u8>,
        pause: Duration,
    },
    Hang,
    Close,
    /// RST instead of FIN.
    Reset,
}

impl Answer {
    /// A complete answer; the connection stays open.
    pub fn status(status: u16) -> Self {
        Self::with(status, &[], b"")
    }

    pub fn with(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut bytes = head(status, headers, Some(body.len()));
        bytes.extend_from_slice(body);
        Answer(vec![Step::Send(bytes)])
    }

    pub fn redirect(location: &str) -> Self {
        Self::with(302, &[("location", location)], b"elsewhere")
    }

    pub fn close() -> Self {
        Answer(vec![Step::Close])
    }

    pub fn reset() -> Self {
        Answer(vec![Step::Reset])
    }

    pub fn hang() -> Self {
        Answer(vec![Step::Hang])
    }

    /// Half a head, and then nothing.
    pub fn hang_in_head() -> Self {
        Answer(vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()), Step::Hang])
    }

    pub fn half_a_head_then_reset() -> Self {
        let pause = Step::Pause(Duration::from_millis(50));
        Answer(vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()), pause, Step::Reset])
    }

    /// A complete head, and a body of which a byte comes now and then, for ever.
    pub fn drip(status: u16) -> Self {
        let drip = Step::Repeat { bytes: b".".to_vec(), pause: Duration::from_millis(20) };
        Answer(vec![Step::Send(head(status, &[], Some(1 << 30))), drip])
    }

    /// A complete head, and a body as fast as it is taken, for ever.
    pub fn endless(status: u16) -> Self {
        let flood = Step::Repeat { bytes: vec![b'x'; 1 << 16], pause: Duration::ZERO };
        Answer(vec![Step::Send(head(status, &[], None)), flood])
    }

    /// A complete head and the beginning of a body, and then a reset.
    pub fn reset_in_body(status: u16) -> Self {
        let mut bytes = head(status, &[], Some(1000));
        bytes.extend_from_slice(b"beginning");
        Answer(vec![Step::Send(bytes), Step::Pause(Duration::from_millis(50)), Step::Reset])
    }

    /// Header lines without end.
    pub fn huge_head() -> Self {
        let line = format!("x-filler: {}\r\n", "x".repeat(8000));
        let flood = Step::Repeat { bytes: line.into_bytes(), pause: Duration::ZERO };
        Answer(vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), flood])
    }

    /// `100 Continue` without end.
    pub fn interim_flood() -> Self {
        Answer(vec![Step::Repeat {
            bytes: b"HTTP/1.1 100 Continue\r\n\r\n".repeat(50),
            pause: Duration::from_millis(1),
        }])
    }

    /// This answer, and then FIN.
    pub fn then_close(mut self) -> Self {
        self.0.push(Step::Close);
        self
    }

    /// This answer, and then RST once it had time to arrive.
    pub fn then_reset(mut self) -> Self {
        self.0.extend([Step::Pause(Duration::from_millis(50)), Step::Reset]);
        self
    }
}

/// Status line and headers. Without a length the body ends with the connection.
fn head(status: u16, headers: &[(&str, &str)], length: Option<usize>) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Status\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if let Some(length) = length {
        text += &format!("content-length: {length}\r\n");
    }
    (text + "\r\n").into_bytes()
}

/// What happens to a connection before anything is read from it, a TLS handshake included.
#[derive(Clone, Copy, Debug)]
pub enum Door {
    Open,
    Hang,
    /// Once the other side has said something.
    Reset,
    /// Speaks first, in plain HTTP, as a web server does on the wrong port.
    Greet,
}

type Script = Arc<dyn Fn(&Received) -> Answer + Send + Sync>;

/// Runs until it is stopped or dropped.
pub struct Receiver {
    address: SocketAddr,
    identity: Option<Identity>,
    door: Door,
    script: Script,
    seen: Arc<Seen>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Received>>,
    more: Condvar,
    connections: AtomicUsize,
}

impl Receiver {
    /// Plain HTTP.
    pub fn start(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::launch(None, Door::Open, Arc::new(script))
    }

    pub fn start_tls(identity: &Identity, script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::launch(Some(identity.clone()), Door::Open, Arc::new(script))
    }

    /// Accepts connections and reads nothing from them. The URL is of `https` if `tls`.
    pub fn behind(door: Door, tls: bool) -> Self {
        let identity = tls.then(|| Authority::new().identity(&["127.0.0.1"]));
        Self::launch(identity, door, Arc::new(|_| Answer::status(200)))
    }

    fn launch(identity: Option<Identity>, door: Door, script: Script) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut receiver = Receiver { address, identity, door, script, seen: Arc::default(), running: None };
        receiver.restart();
        receiver
    }

    /// Stops if it runs, and starts again on the same port. What was received stays.
    pub fn restart(&mut self) {
        self.stop();
        let listener = bind(self.address);
        self.address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let host = Host {
            tls: self.identity.as_ref().map(Identity::acceptor),
            door: self.door,
            script: self.script.clone(),
            seen: self.seen.clone(),
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    _ = stopped => {}
                    () = host.accept(listener) => {}
                }
            });
        });
        self.running = Some((stop, thread));
    }

    /// Closes the port and all connections; returns when they are closed.
    pub fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// `http://127.0.0.1:PORT/hook`, or `https://…`.
    pub fn url(&self) -> String {
        let scheme = if self.identity.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/hook", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn requests(&self) -> Vec<Received> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Waits until at least `count` requests have come. Panics with what did come after `patience`.
    pub fn wait_for(&self, count: usize, patience: Duration) -> Vec<Received> {
        let end = Instant::now() + patience;
        let mut requests = self.seen.requests.lock().unwrap();
        while requests.len() < count {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "wanted {count} requests within {patience:?}, got {requests:#?}");
            requests = self.seen.more.wait_timeout(requests, left).unwrap().0;
        }
        requests.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port is free again a moment after the last connection on it was closed.
fn bind(address: SocketAddr) -> std::net::TcpListener {
    let end = Instant::now() + Duration::from_secs(5);
    let listener = loop {
        match std::net::TcpListener::bind(address) {
            Ok(listener) => break listener,
            Err(error) => assert!(Instant::now() < end, "cannot listen on {address}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    listener.set_nonblocking(true).unwrap();
    listener
}

/// What each connection needs.
#[derive(Clone)]
struct Host {
    tls: Option<TlsAcceptor>,
    door: Door,
    script: Script,
    seen: Arc<Seen>,
}

impl Host {
    async fn accept(self, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let connection = self.seen.connections.fetch_add(1, Ordering::SeqCst) + 1;
            let host = self.clone();
            tokio::spawn(async move {
                // What ends a connection here is what the test wanted, or what it looks for on the other side.
                let _ = host.serve(stream, connection).await;
            });
        }
    }

    async fn serve(&self, stream: TcpStream, connection: usize) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        match self.door {
            Door::Open => {}
            Door::Hang => return std::future::pending().await,
            Door::Reset => {
                // Sooner, and the reset would end the other side's connect instead of what follows it.
                stream.peek(&mut [0]).await?;
                return stream.set_zero_linger();
            }
            Door::Greet => {
                let mut wire = Wire::Plain(stream);
                wire.write(&head(400, &[], Some(0))).await?;
                return std::future::pending().await;
            }
        }
        let mut wire = match &self.tls {
            None => Wire::Plain(stream),
            Some(acceptor) => Wire::Tls(Box::new(acceptor.accept(stream).await?)),
        };
        let mut unread = Vec::new();
        for on_connection in 1.. {
            let Some(mut request) = read_request(&mut wire, &mut unread).await? else { break };
            (request.connection, request.on_connection) = (connection, on_connection);
            {
                let mut requests = self.seen.requests.lock().unwrap();
                request.number = requests.len() + 1;
                requests.push(request.clone());
            }
            self.seen.more.notify_all();
            for step in (self.script)(&request).0 {
                if !perform(&mut wire, step).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Whether the connection goes on.
async fn perform(wire: &mut Wire, step: Step) -> std::io::Result<bool> {
    match step {
        Step::Send(bytes) => wire.write(&bytes).await?,
        Step::Pause(pause) => tokio::time::sleep(pause).await,
        Step::Repeat { bytes, pause } => loop {
            wire.write(&bytes).await?;
            tokio::time::sleep(pause).await;
        },
        Step::Hang => std::future::pending().await,
        Step::Close => {
            wire.close().await?;
            return Ok(false);
        }
        Step::Reset => {
            wire.tcp().set_zero_linger()?;
            return Ok(false);
        }
    }
    Ok(true)
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.read_buf(buffer).await,
            Wire::Tls(stream) => stream.read_buf(buffer).await,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Wire::Plain(stream) => stream.write_all(bytes).await,
            Wire::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    async fn close(&mut self) -> std::io::Result<()> {
        match self {
            Wire::Plain(stream) => stream.shutdown().await,
            Wire::Tls(stream) => stream.shutdown().await,
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// The next request with a Content-Length; `None` if the connection ends first.
async fn read_request(wire: &mut Wire, unread: &mut Vec<u8>) -> std::io::Result<Option<Received>> {
    let end = loop {
        if let Some(at) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if wire.read(unread).await? == 0 {
            return Ok(None);
        }
    };
    let head: Vec<u8> = unread.drain(..end).collect();
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.trim_end().split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let mut request =
        Received { number: 0, connection: 0, on_connection: 0, method, path, headers, head, body: Vec::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    while unread.len() < length {
        if wire.read(unread).await? == 0 {
            return Ok(None);
        }
    }
    request.body = unread.drain(..length).collect();
    Ok(Some(request))
}

/// A port that lets no TCP connection through: its queue is full, and nobody accepts.
pub struct Clogged {
    pub url: String,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Clogged {
    pub async fn open() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queued.push(stream.unwrap());
            assert!(queued.len() < 64, "the queue of a listener never fills here");
        }
        Clogged { url: format!("http://{address}/hook"), _listener: listener, _queued: queued }
    }
}

/// A port of 127.0.0.1 that is free, for another program or for nobody. Below those that the system gives away, so that no
/// other test gets it meanwhile.
pub fn free_port() -> u16 {
    const FIRST: usize = 20_000;
    const COUNT: usize = 10_000;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let begin = std::process::id() as usize * 97;
    let candidates = std::iter::repeat_with(|| (FIRST + (begin + NEXT.fetch_add(1, Ordering::SeqCst)) % COUNT) as u16);
    candidates.take(COUNT).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}
