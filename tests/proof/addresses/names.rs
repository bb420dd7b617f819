//! Names whose server means no good, and that server. By the rules of this row `NAME.example` is asked for.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::network::{PUBLIC, PUBLIC_6};

/// What an event to a name comes to.
#[derive(Clone, Copy)]
pub enum Expected {
    Delivered,
    /// Not delivered; the attempt says one of these.
    Refused(&'static [&'static str]),
    /// As it is answered at that moment; only the canary counts.
    Either,
}

use Expected::{Delivered, Either, Refused};

const INNER: Expected = Refused(&["is refused"]);
const NOTHING: Expected = Refused(&["does not resolve", "no addresses", "timed out"]);

pub const NAMES: [(&str, Expected); 20] = [
    ("good", Delivered),
    ("chain", Delivered),
    ("inner", INNER),
    ("mixed", INNER),
    ("split", INNER),
    ("mapped", INNER),
    ("nat64", INNER),
    ("six-to-four", INNER),
    ("this-machine", INNER),
    ("nowhere", INNER),
    ("alias", INNER),
    ("many", INNER),
    ("rebind", Either),
    ("loop", NOTHING),
    ("empty", NOTHING),
    ("silent", NOTHING),
    ("servfail", NOTHING),
    ("nxdomain", NOTHING),
    ("garbage", NOTHING),
    ("another-id", NOTHING),
];

/// What the receiver has a certificate for.
pub fn served() -> [&'static str; 3] {
    ["good.example", "chain.example", "rebind.example"]
}

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

struct Asked {
    id: [u8; 2],
    /// As it came, with its type and class.
    question: Vec<u8>,
    name: String,
    kind: u16,
}

/// A record for the name that was asked for, or for `of`.
struct Record {
    of: Option<String>,
    kind: u16,
    data: Vec<u8>,
}

enum Reply {
    Records(Vec<Record>),
    Failure(u8),
    Nothing,
    Garbage,
    AnotherId,
}

/// On 127.0.0.1, port 53, over UDP and TCP, until the process ends.
pub fn serve() {
    let times: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let udp = UdpSocket::bind("127.0.0.1:53").expect("a name server's port");
    let counted = times.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            if let Some(answer) = answer(&buffer[..length], &counted) {
                // What does not fit is to be asked for over TCP.
                let cut = if answer.len() > 512 { truncated(&answer) } else { answer };
                let _ = udp.send_to(&cut, from);
            }
        }
    });
    let tcp = TcpListener::bind("127.0.0.1:53").expect("a name server's port");
    std::thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let times = times.clone();
            std::thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                    if stream.read_exact(&mut query).is_err() {
                        return;
                    }
                    if let Some(answer) = answer(&query, &times) {
                        let framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
                        let _ = stream.write_all(&framed);
                    }
                }
            });
        }
    });
}

fn read(query: &[u8]) -> Option<Asked> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
    let question = query.get(12..at + 4)?.to_vec();
    Some(Asked { id: [query[0], query[1]], question, name: labels.join("."), kind })
}

fn answer(query: &[u8], times: &Mutex<BTreeMap<String, usize>>) -> Option<Vec<u8>> {
    let asked = read(query)?;
    let bare = asked.name.strip_suffix(".example").unwrap_or(&asked.name).to_owned();
    let time = {
        let mut times = times.lock().unwrap();
        let time = times.entry(format!("{bare} {}", asked.kind)).or_default();
        *time += 1;
        *time
    };
    match reply(&bare, asked.kind, time) {
        Reply::Nothing => None,
        Reply::Garbage => Some([&asked.id[..], &[0xff; 40]].concat()),
        Reply::AnotherId => {
            let records = [address(PUBLIC)];
            Some(message([asked.id[0] ^ 0xff, asked.id[1]], &asked, 0, &records))
        }
        Reply::Failure(code) => Some(message(asked.id, &asked, code, &[])),
        Reply::Records(records) => Some(message(asked.id, &asked, 0, &records)),
    }
}

fn reply(name: &str, kind: u16, time: usize) -> Reply {
    let of_kind = |four: &[&str], six: &[&str]| {
        let texts = match kind {
            A => four,
            AAAA => six,
            _ => &[],
        };
        Reply::Records(texts.iter().map(|text| address(text)).collect())
    };
    match name {
        "good" => of_kind(&[PUBLIC], &[PUBLIC_6]),
        "inner" => of_kind(&["10.0.0.1"], &[]),
        "mixed" => of_kind(&[PUBLIC, "10.0.0.1"], &[]),
        "split" => of_kind(&[PUBLIC], &["fd00::1"]),
        "mapped" => of_kind(&[], &["::ffff:10.0.0.1"]),
        "nat64" => of_kind(&[], &["64:ff9b::a00:1"]),
        "six-to-four" => of_kind(&[], &["2002:a00:1::1"]),
        "this-machine" => of_kind(&["127.0.0.1"], &["::1"]),
        "nowhere" => of_kind(&["0.0.0.0"], &["::"]),
        // Good for whoever looks first, and not for who looks again.
        "rebind" if time % 2 == 1 => of_kind(&[PUBLIC], &[]),
        "rebind" => of_kind(&["169.254.169.254"], &[]),
        "alias" => aliased(&["inner.example"], kind, "10.0.0.1"),
        "chain" => {
            let links: Vec<String> = (0..8).map(|number| format!("link-{number}.example")).collect();
            aliased(&links.iter().map(String::as_str).collect::<Vec<_>>(), kind, PUBLIC)
        }
        "loop" => Reply::Records(vec![Record { of: None, kind: CNAME, data: encoded("loop.example") }]),
        "many" => {
            let all: Vec<String> =
                (0..300).map(|number| format!("93.184.{}.{}", number / 250, number % 250 + 1)).collect();
            let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
            all.push("10.0.0.1");
            of_kind(&all, &[])
        }
        "silent" => Reply::Nothing,
        "servfail" => Reply::Failure(2),
        "garbage" => Reply::Garbage,
        "another-id" => Reply::AnotherId,
        "empty" => of_kind(&[], &[]),
        _ => Reply::Failure(3),
    }
}

fn address(text: &str) -> Record {
    match text.parse().expect("an address") {
        IpAddr::V4(four) => Record { of: None, kind: A, data: four.octets().to_vec() },
        IpAddr::V6(six) => Record { of: None, kind: AAAA, data: six.octets().to_vec() },
    }
}

/// One alias after the other, and the last one's address.
fn aliased(links: &[&str], kind: u16, last: &str) -> Reply {
    let mut records = Vec::new();
    let mut of = None;
    for link in links {
        records.push(Record { of: of.clone(), kind: CNAME, data: encoded(link) });
        of = Some((*link).to_owned());
    }
    if kind == A {
        records.push(Record { of, ..address(last) });
    }
    Reply::Records(records)
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn message(id: [u8; 2], asked: &Asked, code: u8, records: &[Record]) -> Vec<u8> {
    let mut bytes = [&id[..], &[0x81, 0x80 | code, 0, 1], &(records.len() as u16).to_be_bytes(), &[0; 4]].concat();
    bytes.extend_from_slice(&asked.question);
    for record in records {
        match &record.of {
            None => bytes.extend_from_slice(&[0xc0, 12]),
            Some(name) => bytes.extend_from_slice(&encoded(name)),
        }
        bytes.extend_from_slice(&record.kind.to_be_bytes());
        // Class IN, and nothing of it may be kept.
        bytes.extend_from_slice(&[0, 1, 0, 0, 0, 0]);
        bytes.extend_from_slice(&(record.data.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&record.data);
    }
    bytes
}

/// The question alone, marked as cut.
fn truncated(answer: &[u8]) -> Vec<u8> {
    let asked = read(answer).expect("an answer of ours");
    let mut bytes = message(asked.id, &asked, 0, &[]);
    bytes[2] |= 0x02;
    bytes
}
