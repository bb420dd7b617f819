//! The yardstick: what every durable sender has to do, and nothing else. HTTP ingest, one durable group commit, a signed POST,
//! a durable outcome; with the libraries that postrider uses, one thread for the sockets and one for the store.
//!
//! No schedule, no retries, no endpoints, no checks, no log: what it is faster by is what those cost.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response};
use rusqlite::{Connection, params};
use sha2::Sha256;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Events that are accepted and not delivered yet, at most: without a bound its memory would have none.
const WAITING: usize = 4096;
/// POSTs at once.
const IN_FLIGHT: usize = 64;

enum Work {
    Insert(Bytes, oneshot::Sender<i64>),
    Delivered(i64),
}

struct Loop {
    store: Sender<Work>,
    client: reqwest::Client,
    url: String,
    waiting: Arc<Semaphore>,
    in_flight: Arc<Semaphore>,
}

/// Until the process is ended.
pub fn run(receiver: u16) {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("the first");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (store, works) = channel();
    let connection = open(Path::new("bare.db"));
    std::thread::spawn(move || keep(&connection, &works));
    let shared = Arc::new(Loop {
        store,
        client: reqwest::Client::builder().no_proxy().http1_only().build().expect("a client"),
        url: format!("http://127.0.0.1:{receiver}/hook"),
        waiting: Arc::new(Semaphore::new(WAITING)),
        in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
    });
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        eprintln!("listening http://{}", listener.local_addr().expect("bound"));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.set_nodelay(true);
            let shared = shared.clone();
            let service = hyper::service::service_fn(move |request| shared.clone().take_in(request));
            let stream = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
        }
    });
}

impl Loop {
    async fn take_in(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
        let body = request.into_body().collect().await.expect("a whole body").to_bytes();
        let permit = self.waiting.clone().acquire_owned().await.expect("never closed");
        let (stored, id) = oneshot::channel();
        self.store.send(Work::Insert(body.clone(), stored)).expect("the store lives");
        let id = id.await.expect("it is stored");
        tokio::spawn(self.deliver(id, body, permit));
        Ok(Response::builder().status(201).body(Empty::new()).expect("a response"))
    }

    async fn deliver(self: Arc<Self>, id: i64, body: Bytes, _waiting: OwnedSemaphorePermit) {
        let permit = self.in_flight.acquire().await.expect("never closed");
        let mut mac = Hmac::<Sha256>::new_from_slice(b"a secret of the bench").expect("any length");
        mac.update(&body);
        let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let request = self.client.post(&self.url).header("content-type", "application/json");
        let answer = request.header("x-ensuro-signature", signature).body(body).send().await.expect("an answer");
        assert!(answer.status().is_success());
        let _ = answer.bytes().await.expect("a whole answer");
        drop(permit);
        self.store.send(Work::Delivered(id)).expect("the store lives");
    }
}

/// As `shared` in postrider's own: 8 KiB pages, a log of writes, and a commit is on disk before it is told.
fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("a store");
    let schema =
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;
         CREATE TABLE event (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
         CREATE TABLE delivery (id INTEGER PRIMARY KEY, event_id INTEGER NOT NULL, state TEXT NOT NULL, due_at INTEGER);
         CREATE TABLE attempt (delivery_id INTEGER NOT NULL, number INTEGER NOT NULL, status INTEGER NOT NULL,
                               PRIMARY KEY (delivery_id, number)) WITHOUT ROWID;";
    connection.execute_batch(schema).expect("a schema");
    connection
}

/// Whatever waits goes into one commit.
fn keep(connection: &Connection, works: &Receiver<Work>) {
    let mut stored = Vec::new();
    while let Ok(first) = works.recv() {
        connection.execute_batch("BEGIN IMMEDIATE").expect("the store is ours");
        let mut run = |work: Work| match work {
            Work::Insert(body, told) => {
                let run = |sql: &str, id: i64| connection.prepare_cached(sql).and_then(|mut it| it.execute([id]));
                let event = "INSERT INTO event (body) VALUES (?1)";
                connection.prepare_cached(event).and_then(|mut it| it.execute([&body[..]])).expect("room");
                let id = connection.last_insert_rowid();
                run("INSERT INTO delivery (id, event_id, state, due_at) VALUES (?1, ?1, 'pending', 0)", id)
                    .expect("room");
                stored.push((told, id));
            }
            Work::Delivered(id) => {
                let update = "UPDATE delivery SET state = 'delivered', due_at = NULL WHERE id = ?1";
                connection.prepare_cached(update).and_then(|mut it| it.execute([id])).expect("room");
                let attempt = "INSERT INTO attempt VALUES (?1, 1, ?2)";
                connection.prepare_cached(attempt).and_then(|mut it| it.execute(params![id, 200])).expect("room");
            }
        };
        run(first);
        works.try_iter().for_each(run);
        connection.execute_batch("COMMIT").expect("a disk");
        for (told, id) in stored.drain(..) {
            let _ = told.send(id);
        }
    }
}
