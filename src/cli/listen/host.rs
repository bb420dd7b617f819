//! Accepts connections, as many at once as there is room for, and holds the conversation on each. A connection that goes
//! wrong is told of and ends; the others go on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::answer::{self, Next};
use super::desk::{Decision, Desk, Met};
use crate::cli::output::{note, terminal};
use crate::cli::wire::{self, Request, Socket, Unread};

/// Connections at once; further ones wait until one of them ends.
const CONNECTIONS: usize = 256;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After a connection could not be accepted: out of file handles, as a rule.
const REST: Duration = Duration::from_millis(100);

/// Never ends by itself.
pub async fn serve(listener: TcpListener, desk: Arc<Desk>, tls: Option<TlsAcceptor>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut told = false;
    loop {
        let place = room.clone().acquire_owned().await.expect("it is never closed");
        match listener.accept().await {
            Ok((stream, remote)) => {
                told = false;
                let (desk, tls) = (desk.clone(), tls.clone());
                tokio::spawn(async move {
                    welcome(stream, remote, &desk, tls).await;
                    drop(place);
                });
            }
            Err(error) => {
                if !told {
                    note(&format!("a connection could not be accepted: {error}"));
                }
                told = true;
                sleep(REST).await;
            }
        }
    }
}

async fn welcome(stream: TcpStream, remote: SocketAddr, desk: &Desk, tls: Option<TlsAcceptor>) {
    // Only makes small answers slower where it fails.
    let _ = stream.set_nodelay(true);
    let ended = match tls {
        None => converse(stream, remote, desk).await,
        Some(acceptor) => match sealed(stream, remote, desk, &acceptor).await {
            Some(stream) => converse(stream, remote, desk).await,
            None => return,
        },
    };
    if let Err(error) = ended {
        note(&format!("{remote}: {}", terminal(&error.to_string())));
    }
}

/// The connection once it speaks TLS; `None` if it never does.
async fn sealed(
    mut stream: TcpStream,
    remote: SocketAddr,
    desk: &Desk,
    acceptor: &TlsAcceptor,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let mut first = [0];
    let begun = timeout(desk.limits.idle, stream.peek(&mut first)).await;
    if !matches!(begun, Ok(Ok(1))) {
        return None;
    }
    if first[0].is_ascii_alphabetic() {
        desk.misread();
        note(&format!("{remote} speaks plain HTTP, and this port HTTPS: its URL begins with https://"));
        let text = "this port speaks HTTPS\n";
        let mut plain = wire::answer_head(StatusCode::BAD_REQUEST, &[("connection", "close")], Some(text.len()));
        plain.extend_from_slice(text.as_bytes());
        // Whether that is read or not, there is nothing more to say.
        let _ = stream.write_all(&plain).await;
        let _ = wire::close(&mut BufReader::new(stream)).await;
        return None;
    }
    let failed = match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no handshake within {} s", HANDSHAKE.as_secs()),
    };
    desk.misread();
    note(&format!("{remote}: no TLS connection: {}; does it trust the authority of this run?", terminal(&failed)));
    None
}

/// Answers the requests of one connection until it ends. Fails if it breaks in the middle of a request.
async fn converse<S: Socket>(stream: S, remote: SocketAddr, desk: &Desk) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = match wire::read(&mut stream, &desk.limits).await {
            Ok(Some(request)) => request,
            Ok(None) => return end(stream).await,
            Err(Unread::Broken(error)) => return Err(error),
            Err(Unread::Refused(refusal)) => {
                desk.misread();
                let status = refusal.status.as_u16();
                note(&format!("{remote}: a request is not taken and answered {status}: {}", terminal(&refusal.why)));
                // Whether that is read or not, there is nothing more to say.
                let _ = wire::refuse(&mut stream, &refusal).await;
                return Ok(());
            }
        };
        // Whoever reads what is told may be slow; signals and other connections do not wait for it.
        let received = block_in_place(|| desk.receive(&request, remote));
        let Some((met, decision)) = received else { return end(stream).await };
        if !matches!(decision, Decision::Forward(_)) {
            // An answer may take an hour, and nobody looks at the body any more.
            (request.body, request.room) = (Vec::new(), None);
        }
        let answered = answer(&mut stream, remote, desk, &request, &met, &decision).await;
        desk.answered();
        match answered {
            Ok(Next::Request) => {}
            Ok(Next::End) => return end(stream).await,
            Ok(Next::Reset) => return Ok(()),
            Err(_) => {
                note(&format!("#{}: the sender ended the connection before the answer was complete", met.number));
                return Ok(());
            }
        }
    }
}

async fn answer<S: Socket>(
    stream: &mut BufReader<S>,
    remote: SocketAddr,
    desk: &Desk,
    request: &Request,
    met: &Met,
    decision: &Decision<'_>,
) -> io::Result<Next> {
    match decision {
        Decision::Refuse(why) => {
            sleep(desk.delay.to_std()).await;
            answer::refuse(stream, request, why).await
        }
        Decision::Follow(step) => {
            sleep(step.wait.unwrap_or(desk.delay).to_std()).await;
            answer::perform(stream, request, &step.act).await
        }
        Decision::Forward(target) => {
            let forwarded = target.forward(request).await;
            let (status, failure) = (forwarded.status.as_u16(), forwarded.failure.clone());
            block_in_place(|| desk.handed_on(request, remote, met, status, failure));
            sleep(desk.delay.to_std()).await;
            answer::hand_on(stream, request, &forwarded).await
        }
    }
}

/// What the other side makes of the end is its own business.
async fn end<S: Socket>(mut stream: BufReader<S>) -> io::Result<()> {
    let _ = wire::close(&mut stream).await;
    Ok(())
}
