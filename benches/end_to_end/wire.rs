//! The two sides around the sender under test: clients that hand events over, and the receivers that get them. Both speak
//! HTTP by hand on kept connections, each on a thread of its own, so that they cost little, and what they cost is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What stands in a body before the number of its event, which has ten digits.
const MARK: &[u8] = b"\"number\":\"";
const DIGITS: usize = 10;
/// The body's whole length.
pub const BODY: usize = 1024;

/// What happened to all of them.
pub const TYPE: &str = "policy/creation/failed";

/// A notification in Ensuro's shape, of 1 KiB, with the event's number in it.
pub fn body(number: u32) -> Vec<u8> {
    let mut text = format!(
        "{{\"type\":\"{TYPE}\",\"data\":{{\"quote\":{{\"number\":\"{number:010}\",\"quote_id\":\"5d1f0c92-7a64-4be3-\
         9f27-c80be1d37a45\",\"risk_module\":\"0x41A7c09dE25b83f6D0c94e17Bb5A2f38d6C1e790\",\"ensuro_id\":\"2973104486175520398841\
         70265513094827716350942281765033914208\",\"bucket_id\":\"Frost.spring\",\"data\":{{\"parcel\":\"FR-20417\"}},\"payout\":\
         \"1250.000000\",\"loss_prob\":\"0.021000000000000000\",\"premium\":null,\"premium_details\":{{\"pure\":\"26.250000\",\
         \"ensuro_commission\":\"2.310000\",\"jr_coc\":\"3.480000\",\"sr_coc\":\"1.905000\"}},\"params\":{{\"moc\":\"1.0\",\
         \"coll_ratio\":\"0.30\",\"ensuro_pp_fee\":\"0.08\"}},\"policy_expiration\":1790812800,\"valid_until\":1783036800}},\
         \"signature\":{{\"type\":\"full\",\"hash\":\"0x{number:064x}\"}}}},\"error_detail\":\"execution reverted: the quote is \
         not valid any more"
    );
    text.extend(std::iter::repeat_n('.', BODY - text.len() - 2));
    text.push_str("\"}");
    text.into_bytes()
}

fn number_in(bytes: &[u8]) -> Option<u32> {
    let at = bytes.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    std::str::from_utf8(bytes.get(at..at + DIGITS)?).ok()?.parse().ok()
}

/// When each event was handed over, acknowledged and received: microseconds since `begun`, 0 for not yet.
pub struct Times {
    begun: Instant,
    next: AtomicU32,
    pub sent: Vec<AtomicU32>,
    pub acknowledged: Vec<AtomicU32>,
    pub arrived: Vec<AtomicU32>,
    /// Answers other than 201, by what they were.
    pub refused: AtomicU64,
    pub count_arrived: AtomicU64,
    /// Arrivals of what had arrived before.
    pub doubled: AtomicU64,
}

impl Times {
    /// For so many events at most.
    pub fn of(most: usize) -> Arc<Times> {
        let times = || (0..most).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Times {
            begun: Instant::now(),
            next: AtomicU32::new(0),
            sent: times(),
            acknowledged: times(),
            arrived: times(),
            refused: AtomicU64::new(0),
            count_arrived: AtomicU64::new(0),
            doubled: AtomicU64::new(0),
        })
    }

    pub fn now(&self) -> u32 {
        u32::try_from(self.begun.elapsed().as_micros()).expect("no run lasts an hour").max(1)
    }

    /// The number of the next event; `None` when there are no more.
    pub fn next(&self) -> Option<u32> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        ((number as usize) < self.sent.len()).then_some(number)
    }

    fn receive(&self, number: u32) {
        let Some(place) = self.arrived.get(number as usize) else { return };
        match place.compare_exchange(0, self.now(), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => self.count_arrived.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.doubled.fetch_add(1, Ordering::Relaxed),
        };
    }

    fn numbers(&self) -> std::ops::Range<usize> {
        0..self.sent.len().min(self.next.load(Ordering::Relaxed) as usize)
    }

    /// How many of `some` events were acknowledged and have not arrived.
    pub fn missing(&self, some: &impl Fn(u32) -> bool) -> u64 {
        let at = |times: &[AtomicU32], number: usize| times[number].load(Ordering::Relaxed);
        let missing = |number: &usize| at(&self.acknowledged, *number) > 0 && at(&self.arrived, *number) == 0;
        self.numbers().filter(|number| some(*number as u32)).filter(missing).count() as u64
    }

    /// In order, how long it took from the one to the other, of `some` events handed over in this time.
    pub fn took(
        &self,
        from: &[AtomicU32],
        to: &[AtomicU32],
        between: (u32, u32),
        some: &impl Fn(u32) -> bool,
    ) -> Vec<Duration> {
        let mut took: Vec<Duration> = self
            .numbers()
            .filter(|number| some(*number as u32))
            .filter(|number| (between.0..between.1).contains(&self.sent[*number].load(Ordering::Relaxed)))
            .filter_map(|number| {
                let (from, to) = (from[number].load(Ordering::Relaxed), to[number].load(Ordering::Relaxed));
                (from > 0 && to > 0).then(|| Duration::from_micros(u64::from(to.saturating_sub(from))))
            })
            .collect();
        took.sort();
        took
    }
}

/// Of `took`, which is sorted, that which `of_thousand` do not exceed.
pub fn percentile(took: &[Duration], of_thousand: usize) -> Duration {
    match took.len() {
        0 => Duration::MAX,
        length => took[(length * of_thousand / 1000).min(length - 1)],
    }
}

/// How a receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Accept,
    Fail,
    Hang,
}

/// A thread that does one side's work.
pub struct Side {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Nanoseconds of processor that it used until it was stopped.
    used: Arc<AtomicU64>,
}

impl Side {
    fn run(work: impl Future<Output = ()> + Send + 'static) -> Side {
        let (stop, stopped) = oneshot::channel::<()>();
        let used = Arc::new(AtomicU64::new(0));
        let told = used.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! { () = work => {}, _ = stopped => {} }
            });
            let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
            told.store(text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0), Ordering::SeqCst);
        });
        Side { stop: Some(stop), thread: Some(thread), used }
    }

    /// Answers the time of processors that it used.
    pub fn stop(mut self) -> Duration {
        self.end();
        Duration::from_nanos(self.used.load(Ordering::SeqCst))
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it ends when it is told");
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.end();
    }
}

/// Listens on a port of 127.0.0.1; answers that port.
pub fn receiver(times: &Arc<Times>, manner: Manner) -> (Side, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("bound").port();
    let times = times.clone();
    let side = Side::run(async move {
        let listener = TcpListener::from_std(listener).expect("a listener");
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(serve(stream, times.clone(), manner));
        }
    });
    (side, port)
}

async fn serve(mut stream: TcpStream, times: Arc<Times>, manner: Manner) {
    let mut buffer = Vec::with_capacity(8 * 1024);
    loop {
        let Some(length) = whole(&buffer) else {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let answer: &[u8] = match manner {
            Manner::Accept => {
                if let Some(number) = number_in(&buffer[..length]) {
                    times.receive(number);
                }
                b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
            }
            Manner::Fail => b"HTTP/1.1 500 Error\r\ncontent-length: 0\r\n\r\n",
            Manner::Hang => std::future::pending().await,
        };
        buffer.drain(..length);
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// The length of the message at the front of `buffer`, head and body, if all of it is there.
fn whole(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let length = head + content_length(&buffer[..head]);
    (buffer.len() >= length).then_some(length)
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    let at = head.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME));
    let digits = at.map(|at| head[at + NAME.len()..].trim_ascii_start()).unwrap_or_default();
    digits.iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |sum, byte| sum * 10 + usize::from(byte - b'0'))
}

/// How events are handed over.
#[derive(Clone)]
pub struct Load {
    /// Where the API of the sender listens.
    pub port: u16,
    pub connections: usize,
    /// Events a second over all connections; `None`: each connection hands over the next as soon as one is acknowledged.
    pub rate: Option<f64>,
    /// Whom the event of this number is for.
    pub endpoint: Arc<dyn Fn(u32) -> String + Send + Sync>,
}

/// Clients, until they are stopped or there are no more numbers.
pub fn clients(load: Load, times: &Arc<Times>, pause: &Arc<AtomicBool>) -> Side {
    let (times, pause) = (times.clone(), pause.clone());
    Side::run(async move {
        let begun = Instant::now();
        let all =
            (0..load.connections).map(|_| tokio::spawn(client(load.clone(), times.clone(), pause.clone(), begun)));
        for client in all.collect::<Vec<_>>() {
            client.await.expect("a client goes on");
        }
    })
}

async fn client(load: Load, times: Arc<Times>, pause: Arc<AtomicBool>, begun: Instant) {
    let mut stream = TcpStream::connect(("127.0.0.1", load.port)).await.expect("the sender listens");
    stream.set_nodelay(true).expect("a socket");
    let (mut buffer, mut request) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    while let Some(number) = times.next() {
        if let Some(rate) = load.rate {
            let hour = begun + Duration::from_secs_f64(f64::from(number) / rate);
            tokio::time::sleep_until(hour.into()).await;
        }
        if pause.load(Ordering::Relaxed) {
            return;
        }
        compose(&mut request, number, &(load.endpoint)(number));
        times.sent[number as usize].store(times.now(), Ordering::Relaxed);
        loop {
            stream.write_all(&request).await.expect("the sender reads");
            buffer.clear();
            while whole(&buffer).is_none() {
                assert!(stream.read_buf(&mut buffer).await.expect("an answer") > 0, "the sender closed a connection");
            }
            if buffer.starts_with(b"HTTP/1.1 201") {
                break;
            }
            times.refused.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.acknowledged[number as usize].store(times.now(), Ordering::Relaxed);
    }
}

fn compose(request: &mut Vec<u8>, number: u32, endpoint: &str) {
    use std::io::Write;
    let before = format!("{{\"type\":\"{TYPE}\",\"endpoint\":\"{endpoint}\",\"body\":");
    request.clear();
    let length = before.len() + BODY + 1;
    let head = "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ";
    write!(request, "{head}{length}\r\n\r\n{before}").expect("memory");
    request.extend_from_slice(&body(number));
    request.push(b'}');
}
