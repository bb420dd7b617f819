//! A forward proxy on a port of 127.0.0.1: it keeps what it is asked for, and forwards it to the one place that it knows, or
//! does what bad proxies do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What it does with a request, once it has its head.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// Whatever host is asked for, it is this one.
    Forward(SocketAddr),
    Refuse(u16),
    Hang,
    Garbage,
    EndlessHead,
    Close,
}

pub struct Proxy {
    address: SocketAddr,
    /// The first line of each request.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Until the process ends.
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || drop(serve(stream, manner, &kept)));
            }
        });
        Proxy { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, manner: Manner, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let first = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    let is_tunnel = first.starts_with("CONNECT ");
    asked.lock().unwrap().push(first);
    match manner {
        Manner::Forward(to) => {
            let mut receiver = TcpStream::connect(to)?;
            match is_tunnel {
                true => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?,
                false => receiver.write_all(&head)?,
            }
            let (mut from, mut into) = (receiver.try_clone()?, client.try_clone()?);
            let back = std::thread::spawn(move || {
                let copied = std::io::copy(&mut from, &mut into);
                into.shutdown(std::net::Shutdown::Write).and(copied)
            });
            std::io::copy(&mut client, &mut receiver)?;
            receiver.shutdown(std::net::Shutdown::Write)?;
            let _ = back.join();
            Ok(())
        }
        Manner::Refuse(status) => {
            write!(client, "HTTP/1.1 {status} No\r\ncontent-length: 0\r\nproxy-authenticate: Basic\r\n\r\n")
        }
        Manner::Hang => {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        }
        Manner::Garbage => client.write_all(b"\x16\x03\x01\xff\xfe what\r\n\r\n"),
        Manner::EndlessHead => loop {
            client.write_all(&[b'x'; 4096])?;
        },
        Manner::Close => Ok(()),
    }
}
