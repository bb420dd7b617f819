//! A network of this row's own: every address that must not be reached is there, and a canary on it; and two public ones, behind
//! which a receiver listens.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddrV6, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::names;
use crate::harness::{PATIENCE, wait_for};
use crate::mounts::tool;

/// Public, as far as anybody here can tell.
pub const PUBLIC: &str = "93.184.216.34";
pub const PUBLIC_6: &str = "2606:2800:220:1::1946";

pub const CANARIES: [&str; 24] = [
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "192.88.99.1",
    "fd00::1",
    "fc00::1",
    "fec0::1",
    "fe80::1",
    "2001:db8::1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2002:a00:1::1",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    "2606:4700::5efe:a00:1",
    "2606:4700::200:5efe:a00:1",
    "100::1",
];
/// Web servers' ports, and one that is asked for by nobody.
const PORTS: [u16; 3] = [443, 80, 8443];

/// The first link of every network namespace.
const LOOPBACK: u32 = 1;

pub struct Network {
    /// The addresses on which somebody called.
    called: Arc<Mutex<BTreeSet<IpAddr>>>,
}

impl Network {
    /// What comes to a public address goes on to this port of 127.0.0.1.
    pub fn new(receiver: u16) -> Self {
        tool("ip", &["link", "set", "lo", "up"]).expect("a network of one's own");
        for address in CANARIES.iter().chain(&[PUBLIC, PUBLIC_6]) {
            let bits = if address.contains(':') { 128 } else { 32 };
            tool("ip", &["address", "add", &format!("{address}/{bits}"), "dev", "lo"])
                .expect("an address of one's own");
        }
        let resolver = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(resolver.path(), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
        tool("mount", &["--bind", resolver.path().to_str().unwrap(), "/etc/resolv.conf"]).expect("names of one's own");
        names::serve();
        let called: Arc<Mutex<BTreeSet<IpAddr>>> = Arc::default();
        for port in PORTS {
            let listener = TcpListener::bind(("::", port)).expect("a port of one's own");
            let called = called.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let at = stream.local_addr().unwrap().ip().to_canonical();
                    match at.to_string().as_str() {
                        PUBLIC | PUBLIC_6 => drop(std::thread::spawn(move || splice(stream, receiver))),
                        _ => drop(called.lock().unwrap().insert(at)),
                    }
                }
            });
        }
        Network { called }
    }

    pub fn canary(&self) -> BTreeSet<IpAddr> {
        self.called.lock().unwrap().clone()
    }

    /// It can tell, on each of its addresses, or its silence means nothing.
    pub fn shows_that_it_hears(&self) {
        for address in CANARIES {
            let called = match address.parse().expect("an address") {
                IpAddr::V4(four) => TcpStream::connect((four, PORTS[0])),
                // An address of a link is one on this link.
                IpAddr::V6(six) => TcpStream::connect(SocketAddrV6::new(six, PORTS[0], 0, LOOPBACK)),
            };
            called.unwrap_or_else(|error| panic!("{address}: {error}"));
        }
        let all: BTreeSet<IpAddr> = CANARIES.iter().map(|address| address.parse().unwrap()).collect();
        wait_for("every canary", PATIENCE, || (self.canary() == all).then_some(()));
        self.forget();
    }

    fn forget(&self) {
        self.called.lock().unwrap().clear();
    }
}

fn splice(client: TcpStream, to: u16) -> std::io::Result<()> {
    let receiver = TcpStream::connect(("127.0.0.1", to))?;
    let (mut from, mut into) = (receiver.try_clone()?, client.try_clone()?);
    let back = std::thread::spawn(move || {
        let copied = std::io::copy(&mut from, &mut into);
        let _ = into.shutdown(std::net::Shutdown::Write);
        copied
    });
    let (mut from, mut into) = (client, receiver);
    let _ = std::io::copy(&mut from, &mut into);
    let _ = into.shutdown(std::net::Shutdown::Write);
    let _ = back.join();
    Ok(())
}
