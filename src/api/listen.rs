//! Where the API listens: TCP, a unix socket, and sockets that systemd passes.
//! Nothing is opened to other machines unless there is a token, and no socket is taken from a process that uses it.

use std::fmt;
use std::fs;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket, UnixStream};
use tokio::time::timeout;

use super::server::Peer;
use crate::config::ApiSettings;
use crate::plain::plain;

/// Connections that the system keeps waiting for us.
const BACKLOG: u32 = 1024;
/// How long a process that may listen already has to take a connection.
const ANSWER: Duration = Duration::from_secs(1);

/// Where somebody can connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// `http://127.0.0.1:8787` or `unix:/run/postrider.sock`.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Tcp(address) => write!(f, "http://{address}"),
            Bound::Unix(path) => write!(f, "unix:{}", plain(&path.to_string_lossy())),
        }
    }
}

/// Why there is no listening: one sentence that says what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unheard(pub String);

/// Sockets that listen, as one. Dropped, they close, and a unix socket's file that is ours goes.
pub struct Listeners {
    all: Vec<Listener>,
    /// Which one is asked first: everyone in turn.
    turn: usize,
}

enum Listener {
    Tcp(TcpListener),
    /// With the file, if it is ours to remove.
    Unix {
        listener: UnixListener,
        _file: Option<OwnFile>,
    },
}

pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Opens all that the settings name, and what systemd passed (`ListenFd::from_env()`) in place of `api.listen`.
/// `tokens`: whether there is a token, without which nothing but this machine is listened to.
pub async fn open(settings: &ApiSettings, passed: &mut ListenFd, tokens: bool) -> Result<Listeners, Unheard> {
    let mut all = Vec::new();
    for index in 0..passed.len() {
        all.push(take(passed, index, tokens)?);
    }
    if let (Some(address), true) = (settings.listen, all.is_empty()) {
        all.push(tcp(address, tokens)?);
    }
    if let Some(path) = &settings.socket {
        all.push(unix(path).await?);
    }
    Ok(Listeners { all, turn: 0 })
}

fn tcp(address: SocketAddr, tokens: bool) -> Result<Listener, Unheard> {
    allowed("api.listen", address, tokens)?;
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // An address whose last user ended a moment ago may be used again.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map(Listener::Tcp).map_err(|error| Unheard(untaken(address, &error)))
}

/// Refuses to listen to other machines while anybody could command.
fn allowed(origin: &str, address: SocketAddr, tokens: bool) -> Result<(), Unheard> {
    match address.ip().to_canonical().is_loopback() || tokens {
        true => Ok(()),
        false => Err(Unheard(format!(
            "{origin} is {address}, which other machines can reach, and there is no token that they would need; make one \
             with `postrider token add`, or listen on 127.0.0.1:{}",
            address.port()
        ))),
    }
}

fn untaken(address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "is in use by another process; stop that one, or give api.listen another port",
        io::ErrorKind::AddrNotAvailable => "is no address of this machine; give api.listen one that is, or 127.0.0.1",
        io::ErrorKind::PermissionDenied => {
            "may not be used by this user; give api.listen a port from 1024, or let systemd pass the socket"
        }
        _ => return format!("api.listen is {address}, which cannot be listened on: {error}"),
    };
    format!("api.listen is {address}, which {advice}")
}

async fn unix(path: &Path) -> Result<Listener, Unheard> {
    let shown = plain(&path.to_string_lossy());
    clear(path, &shown).await?;
    let failed = |error: io::Error| {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "its folder does not exist; make it first".to_owned(),
            io::ErrorKind::InvalidInput => "a socket's path has at most 107 bytes; give a shorter one".to_owned(),
            _ => format!("{error}; its folder must be writable for this user"),
        };
        Unheard(format!("api.socket is {shown}, which cannot be listened on: {advice}"))
    };
    let socket = UnixSocket::new_stream().map_err(failed)?;
    socket.bind(path).map_err(failed)?;
    let file = OwnFile::of(path).map_err(failed)?;
    // Before anybody can connect.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(Listener::Unix { listener: socket.listen(BACKLOG).map_err(failed)?, _file: Some(file) })
}

/// Removes the socket of a process that is dead, and nothing else.
async fn clear(path: &Path, shown: &str) -> Result<(), Unheard> {
    let refused = |what: &str| Err(Unheard(format!("api.socket is {shown}, {what}")));
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(found) if !found.file_type().is_socket() => {
            return refused("where something stands that is no socket; give a path where nothing is");
        }
        Ok(_) => {}
    }
    match timeout(ANSWER, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).or_else(|error| {
            refused(&format!("which a dead process left and which cannot be removed: {error}; remove it"))
        }),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(Err(error)) => refused(&format!("where a socket stands that cannot be asked whose it is: {error}")),
        Ok(Ok(_)) | Err(_) => refused("where another process listens; stop that one, or give another path"),
    }
}

/// A socket's file that is removed with this, unless another one took its place.
struct OwnFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OwnFile {
    fn of(path: &Path) -> io::Result<Self> {
        let file = fs::symlink_metadata(path)?;
        Ok(OwnFile { path: path.to_owned(), device: file.dev(), inode: file.ino() })
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == (self.device, self.inode)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The socket that systemd passed at this place.
fn take(passed: &mut ListenFd, index: usize, tokens: bool) -> Result<Listener, Unheard> {
    let unusable = |error: &dyn fmt::Display| {
        Unheard(format!("the socket number {index} that was passed in LISTEN_FDS cannot be used: {error}"))
    };
    if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
        let address = listener.local_addr().map_err(|error| unusable(&error))?;
        allowed("a socket that was passed in LISTEN_FDS", address, tokens)?;
        return tokio_tcp(listener).map_err(|error| unusable(&error));
    }
    match passed.take_unix_listener(index) {
        Ok(Some(listener)) => {
            closed_to_others(&listener).map_err(|error| unusable(&error))?;
            tokio_unix(listener).map_err(|error| unusable(&error))
        }
        Ok(None) => Err(unusable(&"it was taken already")),
        Err(_) => {
            Err(unusable(&"it is no listening TCP or unix stream socket; see ListenStream= in systemd.socket(5)"))
        }
    }
}

fn tokio_tcp(listener: StdTcpListener) -> io::Result<Listener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).map(Listener::Tcp)
}

fn tokio_unix(listener: StdUnixListener) -> io::Result<Listener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener).map(|listener| Listener::Unix { listener, _file: None })
}

/// Whoever may open a unix socket needs no token, so it must not be everybody.
fn closed_to_others(listener: &StdUnixListener) -> Result<(), String> {
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let Some(path) = address.as_pathname() else {
        return Err("it has no file whose mode says who may use it; give ListenStream= a path".to_owned());
    };
    let mode = fs::symlink_metadata(path).map_err(|error| error.to_string())?.permissions().mode();
    match mode & 0o002 {
        0 => Ok(()),
        _ => Err(format!(
            "every user may write to {}, and it needs no token; set SocketMode=0600",
            plain(&path.to_string_lossy())
        )),
    }
}

impl Listeners {
    /// Where one can connect; ports are the real ones.
    pub fn bound(&self) -> Vec<Bound> {
        self.all.iter().filter_map(Listener::bound).collect()
    }

    /// Whether nothing listens.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The next connection of any of them.
    pub(super) async fn accept(&mut self) -> io::Result<(Stream, Peer)> {
        poll_fn(|cx| {
            let count = self.all.len();
            for step in 0..count {
                let index = (self.turn + step) % count;
                let taken = match &self.all[index] {
                    Listener::Tcp(listener) => listener.poll_accept(cx).map_ok(|(stream, from)| {
                        // Answers are small and whole: waiting for more to send with them only delays.
                        let _ = stream.set_nodelay(true);
                        (Stream::Tcp(stream), Peer::Tcp(from))
                    }),
                    Listener::Unix { listener, .. } => {
                        listener.poll_accept(cx).map_ok(|(stream, _)| (Stream::Unix(stream), Peer::Unix))
                    }
                };
                if taken.is_ready() {
                    self.turn = index + 1;
                    return taken;
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl Listener {
    fn bound(&self) -> Option<Bound> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok().map(Bound::Tcp),
            Listener::Unix { listener, .. } => {
                let path = listener.local_addr().ok()?.as_pathname().map(Path::to_owned);
                path.map(Bound::Unix)
            }
        }
    }
}
