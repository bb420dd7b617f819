//! The receivers of the demo: one HTTP server on loopback, and a path for each kind of receiver.
//! Each checks what it gets as a partner's own would, answers 200 only if all of it is right, and keeps the score of
//! every body by its digest.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::cli::wire::{self, Limits, Request, Unread};
use crate::cli::{Exit, Failure};
use crate::endpoint::{Key, ProfileName, Scheme};
use crate::signature::{self, Signed};

/// What kind of receiver it is. Its name is its path, and that of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Hmac,
    Eip191,
    Octamile,
    Standard,
    /// Answers 500 to each body as often as `REFUSALS` says, then accepts it.
    Flaky,
    /// Takes the request and never answers.
    Hangs,
}

/// How often the flaky receiver refuses each body.
pub const REFUSALS: u32 = 2;

/// The daemon keeps a connection for 30 s.
const LIMITS: Limits = Limits {
    head: 16 * 1024,
    body: 1024 * 1024,
    room: None,
    idle: Duration::from_secs(60),
    arrival: Duration::from_secs(10),
};

impl Role {
    pub const ALL: [Role; 6] = [Role::Hmac, Role::Eip191, Role::Octamile, Role::Standard, Role::Flaky, Role::Hangs];

    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Hmac => "hmac",
            Role::Eip191 => "eip191",
            Role::Octamile => "octamile",
            Role::Standard => "standard",
            Role::Flaky => "flaky",
            Role::Hangs => "hangs",
        }
    }

    pub const fn profile(self) -> ProfileName {
        match self {
            Role::Hmac | Role::Eip191 | Role::Flaky | Role::Hangs => ProfileName::Ensuro,
            Role::Octamile => ProfileName::Octamile,
            Role::Standard => ProfileName::Standard,
        }
    }

    pub const fn schemes(self) -> &'static [Scheme] {
        match self {
            Role::Hmac | Role::Flaky | Role::Hangs => &[Scheme::Hmac],
            Role::Eip191 => &[Scheme::Eip191],
            Role::Octamile => &[],
            Role::Standard => &[Scheme::V1, Scheme::V1a],
        }
    }
}

/// What came of one body at one receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Requests that had exactly this body.
    pub requests: u32,
    /// Those among them whose signature, or whose certificate, was right.
    pub verified: u32,
}

/// The running receivers. They end with the runtime that they were started on.
pub struct Receivers {
    pub address: SocketAddr,
    desk: Arc<Desk>,
}

impl Receivers {
    pub fn start(runtime: &Runtime) -> Result<Self, Failure> {
        let keys = Role::ALL.into_iter().map(|role| Ok((role, fresh_keys(role)?))).collect::<Result<_, Failure>>()?;
        let desk = Arc::new(Desk { keys, scores: Mutex::default() });
        let unbound = |error| Failure::new(Exit::Io, format!("no port of 127.0.0.1 can be listened on: {error}"));
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).map_err(unbound)?;
        let address = listener.local_addr().map_err(unbound)?;
        runtime.spawn(listen(listener, desk.clone()));
        Ok(Receivers { address, desk })
    }

    pub fn url(&self, role: Role) -> String {
        format!("http://{}/{}", self.address, role.as_str())
    }

    /// The keys that sign for this receiver.
    pub fn keys(&self, role: Role) -> &[Key] {
        &self.desk.keys[&role]
    }

    pub fn score(&self, role: Role, digest: &[u8; 32]) -> Score {
        self.desk.scores().get(&(role, *digest)).copied().unwrap_or_default()
    }
}

/// Keys that nobody had before.
fn fresh_keys(role: Role) -> Result<Vec<Key>, Failure> {
    let keys = role.schemes().iter().map(|scheme| {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| format!("the machine gives no random numbers: {error}"))?;
        let text = match scheme {
            Scheme::Hmac | Scheme::Eip191 => signature::hex(&bytes),
            Scheme::V1 => format!("whsec_{}", STANDARD.encode(bytes)),
            Scheme::V1a => format!("whsk_{}", STANDARD.encode(bytes)),
        };
        signature::read_key(*scheme, text.as_bytes())
    });
    keys.collect::<Result<_, _>>().map_err(|message| Failure::new(Exit::Io, message))
}

async fn listen(listener: TcpListener, desk: Arc<Desk>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => _ = tokio::spawn(converse(stream, desk.clone())),
            // Out of file handles: whoever knocked tries again, as its schedule says.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Answers the requests of one connection until one is not understood, or the other side ends it.
async fn converse(stream: TcpStream, desk: Arc<Desk>) -> Result<(), Unread> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = wire::read(&mut stream, &LIMITS).await? {
        let role = Role::ALL.into_iter().find(|role| request.path.strip_prefix('/') == Some(role.as_str()));
        let (status, text) = match role {
            Some(Role::Hangs) => return Ok(wait_for_the_end(stream).await?),
            Some(role) if request.method == "POST" => desk.receive(role, &request),
            Some(_) => (StatusCode::METHOD_NOT_ALLOWED, "a webhook is POSTed".to_owned()),
            None => (StatusCode::NOT_FOUND, "there is no such receiver".to_owned()),
        };
        wire::answer(&mut stream, status, &text).await?;
    }
    Ok(())
}

async fn wait_for_the_end(mut reader: BufReader<TcpStream>) -> std::io::Result<()> {
    let mut ignored = [0; 1024];
    while reader.read(&mut ignored).await? > 0 {}
    Ok(())
}

/// What the receivers know and remember.
struct Desk {
    keys: HashMap<Role, Vec<Key>>,
    scores: Mutex<HashMap<(Role, [u8; 32]), Score>>,
}

impl Desk {
    fn receive(&self, role: Role, request: &Request) -> (StatusCode, String) {
        let checked = match role {
            Role::Octamile => check_certificate(&request.body),
            Role::Hmac | Role::Eip191 | Role::Standard | Role::Flaky | Role::Hangs => self.check(role, request),
        };
        let mut scores = self.scores();
        let score = scores.entry((role, signature::digest(&request.body))).or_default();
        score.requests += 1;
        score.verified += u32::from(checked.is_ok());
        match checked {
            Err(why) => (StatusCode::BAD_REQUEST, why),
            Ok(()) if role == Role::Flaky && score.requests <= REFUSALS => {
                (StatusCode::INTERNAL_SERVER_ERROR, "not yet".to_owned())
            }
            Ok(()) => (StatusCode::OK, "thank you".to_owned()),
        }
    }

    /// Every signature that the receiver knows must be there and right.
    fn check(&self, role: Role, request: &Request) -> Result<(), String> {
        let header = |name: &str| request.header(name).ok_or_else(|| format!("the header {name} is missing"));
        for key in &self.keys[&role] {
            let mut signed = Signed { event_id: "", timestamp: 0, body: &request.body };
            let text = match key.scheme {
                Scheme::Hmac => header(signature::HMAC_HEADER)?,
                Scheme::Eip191 => header(signature::EIP191_HEADER)?,
                Scheme::V1 | Scheme::V1a => {
                    signed.event_id = header("webhook-id")?;
                    let timestamp = header("webhook-timestamp")?.parse();
                    signed.timestamp = timestamp.map_err(|_| "webhook-timestamp is no number".to_owned())?;
                    header("webhook-signature")?
                }
            };
            let checked = signature::verify(&signature::verify_key_of(key), text, &signed);
            checked.map_err(|mismatch| format!("the {} signature is wrong: {mismatch}", key.scheme))?;
        }
        Ok(())
    }

    fn scores(&self) -> std::sync::MutexGuard<'_, HashMap<(Role, [u8; 32]), Score>> {
        self.scores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Octamile signs nothing, so there is only the certificate to look at: on approval, and on approval alone.
fn check_certificate(body: &[u8]) -> Result<(), String> {
    let fields: Value = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let certificate = fields["crtfct"].as_str().map(|text| STANDARD.decode(text));
    match (fields["status"].as_str(), certificate) {
        (Some("a"), Some(Ok(bytes))) if !bytes.is_empty() => Ok(()),
        (Some("d"), None) => Ok(()),
        (Some("a"), _) => Err("an approval has a certificate in base64".to_owned()),
        (Some("d"), Some(_)) => Err("a decline has no certificate".to_owned()),
        (_, _) => Err("the status is a or d".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"status": "d"}"#;

    fn desk() -> Desk {
        let keys = Role::ALL.into_iter().map(|role| (role, fresh_keys(role).unwrap())).collect();
        Desk { keys, scores: Mutex::default() }
    }

    fn request(desk: &Desk, role: Role, body: &[u8]) -> Request {
        let signed = Signed { event_id: "e", timestamp: 1_793_491_200, body: BODY };
        let headers = signature::headers(&desk.keys[&role], &signed, None);
        let path = format!("/{}", role.as_str());
        Request { method: "POST".into(), path, headers, body: body.to_vec(), keeps_alive: true, room: None }
    }

    #[test]
    fn a_receiver_takes_what_is_right_and_nothing_else() {
        let desk = desk();
        for role in [Role::Hmac, Role::Eip191, Role::Standard, Role::Octamile] {
            assert_eq!(desk.receive(role, &request(&desk, role, BODY)).0, StatusCode::OK, "{role:?}");
            let other = if role == Role::Octamile { Role::Hmac } else { role };
            let changed = request(&desk, other, br#"{"status":"d"}"#);
            assert_eq!(desk.receive(other, &changed).0, StatusCode::BAD_REQUEST, "{other:?}");
            let score = desk.scores()[&(role, signature::digest(BODY))];
            assert_eq!(score, Score { requests: 1, verified: 1 }, "{role:?}");
        }
        let one_signature_less = {
            let mut request = request(&desk, Role::Standard, BODY);
            let (_, signatures) = request.headers.last_mut().unwrap();
            signatures.truncate(signatures.find(' ').unwrap());
            request
        };
        assert_eq!(desk.receive(Role::Standard, &one_signature_less).0, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn the_flaky_receiver_refuses_twice() {
        let desk = desk();
        let answers = [(); 3].map(|()| desk.receive(Role::Flaky, &request(&desk, Role::Flaky, BODY)).0.as_u16());
        assert_eq!(answers, [500, 500, 200]);
    }

    #[test]
    fn a_certificate_comes_with_an_approval_alone() {
        assert!(check_certificate(br#"{"status": "a", "crtfct": "iVBORw0KGgo="}"#).is_ok());
        for bad in [
            br#"{"status": "a"}"#.as_slice(),
            br#"{"status": "a", "crtfct": "iVBORw0KGg"}"#,
            br#"{"status": "d", "crtfct": "iVBORw0KGgo="}"#,
            br#"{"status": "x"}"#,
            b"no JSON",
        ] {
            assert!(check_certificate(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
