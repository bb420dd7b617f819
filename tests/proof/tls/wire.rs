//! A wire before a receiver, which keeps what the client says, and may be cut after so many bytes of the receiver's.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION: u8 = 23;
const CLIENT_HELLO: u8 = 1;
/// An alert under TLS 1.3: two bytes, the inner type and the seal.
const SEALED_ALERT: usize = 2 + 1 + 16;

pub struct Cut {
    pub after: u64,
    /// Rather than close.
    pub hang: bool,
}

pub struct Wire {
    port: u16,
    /// By connection, in the order of acceptance.
    said: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Wire {
    /// To this port of 127.0.0.1, until the process ends; several connections at once.
    pub fn to(behind: u16, cut: Option<Cut>) -> Self {
        let (cut, said) = (Arc::new(cut), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let kept = said.clone();
        let port = listen(move |client| {
            let number = {
                let mut kept = kept.lock().unwrap();
                kept.push(Vec::new());
                kept.len() - 1
            };
            let (kept, cut) = (kept.clone(), cut.clone());
            std::thread::spawn(move || {
                carry(client, behind, cut.as_ref().as_ref(), move |bytes| {
                    kept.lock().unwrap()[number].extend_from_slice(bytes);
                })
            });
        });
        Wire { port, said }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What each connection's client said.
    pub fn said(&self) -> Vec<Said> {
        self.said.lock().unwrap().iter().map(|bytes| Said::read(bytes)).collect()
    }
}

/// A port of 127.0.0.1 whose connections are given to `serve`, one after the other.
pub fn listen(serve: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    port
}

fn carry(mut client: TcpStream, behind: u16, cut: Option<&Cut>, mut keep: impl FnMut(&[u8]) + Send + 'static) {
    let Ok(mut receiver) = TcpStream::connect(("127.0.0.1", behind)) else { return };
    let (mut from, mut into) = (client.try_clone().unwrap(), receiver.try_clone().unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            keep(&buffer[..length]);
            if into.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = into.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut Read::by_ref(&mut receiver).take(cut.map_or(u64::MAX, |cut| cut.after)), &mut client);
    if cut.is_some_and(|cut| cut.hang) {
        std::thread::sleep(Duration::from_secs(5));
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = receiver.shutdown(Shutdown::Both);
}

/// What a client said, as records of TLS.
#[derive(Debug, Default)]
pub struct Said {
    /// Of each hello, the names that it asks for.
    pub names: Vec<Vec<String>>,
    /// Records that can be neither a hello nor an alert: type and length.
    pub more: Vec<(u8, usize)>,
}

impl Said {
    fn read(mut bytes: &[u8]) -> Said {
        const CHANGE_CIPHER_SPEC: u8 = 20;
        let mut said = Said::default();
        while let [kind, _, _, high, low, rest @ ..] = bytes {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let record = &rest[..length.min(rest.len())];
            match *kind {
                HANDSHAKE if record.first() == Some(&CLIENT_HELLO) => said.names.push(asked_for(record)),
                ALERT | CHANGE_CIPHER_SPEC => {}
                APPLICATION if length <= SEALED_ALERT => {}
                other => said.more.push((other, length)),
            }
            bytes = &rest[record.len()..];
        }
        said
    }
}

/// The host names in the extension server_name of a hello (RFC 8446 section 4.1.2, RFC 6066 section 3).
fn asked_for(hello: &[u8]) -> Vec<String> {
    // Type, length, version and random; then session, ciphers and compressions, each behind its length.
    let mut rest = &hello[4 + 2 + 32..];
    take(&mut rest, 1);
    take(&mut rest, 2);
    take(&mut rest, 1);
    let mut extensions = take(&mut rest, 2);
    let mut names = Vec::new();
    while !extensions.is_empty() {
        let kind = [extensions[0], extensions[1]];
        extensions = &extensions[2..];
        let mut body = take(&mut extensions, 2);
        if kind != [0, 0] {
            continue;
        }
        let mut list = take(&mut body, 2);
        while !list.is_empty() {
            list = &list[1..];
            names.push(String::from_utf8_lossy(take(&mut list, 2)).into_owned());
        }
    }
    names
}

/// What stands behind a length of `width` bytes.
fn take<'a>(rest: &mut &'a [u8], width: usize) -> &'a [u8] {
    let length = rest[..width].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (taken, left) = rest[width..].split_at(length);
    *rest = left;
    taken
}
