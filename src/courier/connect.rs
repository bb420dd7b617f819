//! The parts of the HTTP client that decide whom it talks to: names become vetted addresses, dialling has a limit, and
//! what was reached is judged once more. No address gets from here to a socket without `guard` having passed it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit, watch};
use tower::{Layer, Service};

use super::failure::Said;
use super::guard;
use super::probe::Probe;
use super::{LOOKUPS_AT_ONCE, Lookup, Settings};

/// Names that are remembered as resolving.
const MOST_PROVEN: usize = 1024;

/// What a connection may take that no request waits for any more, name and TLS included.
const LONGEST_UNATTENDED: Duration = Duration::from_secs(30);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Turns a host's name into the addresses that may be dialled, or refuses it.
///
/// A name whose servers are dead hangs for longer than an attempt, up to half a minute, and cannot be stopped. So there
/// are places for more lookups than attempts in flight usually are, and half of them are kept for names that are known
/// to resolve: these are found even when dead names fill all the others.
#[derive(Clone)]
pub(super) struct Resolver(Arc<Inner>);

struct Inner {
    settings: Arc<Settings>,
    lookup: Lookup,
    /// Places for whatever name.
    open: Semaphore,
    /// Places for proven names.
    kept: Semaphore,
    /// The names whose last lookup succeeded, the latest last; at most `MOST_PROVEN`.
    proven: Mutex<VecDeque<String>>,
    /// The lookup that runs for a name serves all who ask meanwhile, so that one name whose servers are dead holds one
    /// permit, however many attempts wait for it.
    running: Mutex<HashMap<String, watch::Receiver<Option<Found>>>>,
    turn: AtomicUsize,
}

type Found = Result<Arc<[IpAddr]>, String>;

impl Resolver {
    pub fn new(settings: Arc<Settings>, lookup: Lookup) -> Self {
        Resolver(Arc::new(Inner {
            settings,
            lookup,
            open: Semaphore::new(LOOKUPS_AT_ONCE / 2),
            kept: Semaphore::new(LOOKUPS_AT_ONCE / 2),
            proven: Mutex::new(VecDeque::new()),
            running: Mutex::new(HashMap::new()),
            turn: AtomicUsize::new(0),
        }))
    }

    async fn vetted(&self, name: &str) -> Result<Vec<IpAddr>, BoxError> {
        if let Some(proxy) = &self.0.settings.egress_proxy {
            return self.of_the_proxy(name, proxy).await;
        }
        let found = self.find(name).await.map_err(Said)?;
        if found.is_empty() {
            return Err(Said(format!("{name} has no addresses")).into());
        }
        match guard::vet(name, &found, &self.0.settings) {
            Ok(vetted) => Ok(take_turns(&vetted, self.0.turn.fetch_add(1, Ordering::Relaxed))),
            Err(reason) => {
                if let Some(probe) = Probe::current() {
                    probe.block(reason.clone());
                }
                Err(Said(reason).into())
            }
        }
    }

    /// The proxy's own name is the only one that is asked for; whatever it resolves to, the operator wants to be dialled.
    async fn of_the_proxy(&self, name: &str, proxy: &str) -> Result<Vec<IpAddr>, BoxError> {
        let is_its_own = url::Url::parse(proxy).is_ok_and(|url| url.host_str() == Some(name));
        if !is_its_own {
            return Err(Said(format!("{name} is for the egress proxy to resolve")).into());
        }
        let found = self.find(name).await.map_err(Said)?;
        Ok(found.iter().copied().take(guard::MOST_ADDRESSES).collect())
    }

    /// Joins the lookup that runs for the name, or begins one.
    async fn find(&self, name: &str) -> Found {
        let mut answer = {
            let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
            match running.get(name) {
                // An error here means that the lookup's task died without an answer.
                Some(answer) if answer.has_changed().is_ok() => answer.clone(),
                Some(_) | None => {
                    let (sender, answer) = watch::channel(None);
                    running.insert(name.to_owned(), answer.clone());
                    // A task of its own: the system's lookup cannot be stopped, and must keep its permit until it ends.
                    tokio::spawn(self.clone().run(name.to_owned(), sender));
                    answer
                }
            }
        };
        let found = answer.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        found.unwrap_or_else(|| Err(format!("the lookup of {name} was given up")))
    }

    async fn run(self, name: String, answer: watch::Sender<Option<Found>>) {
        let permit = self.permit(&name).await;
        let found = (self.0.lookup)(name.clone()).await;
        drop(permit);
        self.remember(&name, found.is_ok());
        let found = found.map(Arc::from).map_err(|error| {
            let text = error.to_string();
            let cause = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
            format!("{name} does not resolve: {cause}")
        });
        // First out of the map, so that nobody joins a lookup that is over: each new connection resolves anew.
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        answer.send_replace(Some(found));
    }

    /// A place for the lookup of a name; an error only if there will never be one, which nobody brings about.
    async fn permit(&self, name: &str) -> Result<SemaphorePermit<'_>, AcquireError> {
        let is_proven = self.proven().iter().any(|proven| proven == name);
        if !is_proven {
            return self.0.open.acquire().await;
        }
        tokio::select! {
            biased;
            permit = self.0.kept.acquire() => permit,
            permit = self.0.open.acquire() => permit,
        }
    }

    fn remember(&self, name: &str, resolved: bool) {
        let mut proven = self.proven();
        proven.retain(|known| known != name);
        if resolved {
            proven.push_back(name.to_owned());
        }
        if proven.len() > MOST_PROVEN {
            proven.pop_front();
        }
    }

    fn proven(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            if let Some(probe) = Probe::current() {
                probe.resolving();
            }
            let vetted = resolver.vetted(name.as_str()).await?;
            if let Some(probe) = Probe::current() {
                probe.resolved(&vetted);
            }
            // Port 0 stands for the URL's.
            Ok(Box::new(vetted.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// The system's resolver (`getaddrinfo`), which reads `/etc/hosts` and follows CNAMEs by itself.
pub(super) fn system_lookup() -> Lookup {
    Arc::new(|name: String| -> Boxed<io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Begins each time at another address of the first one's family, so that a dead one among several costs a retry and
/// not the delivery: dialling stops at the connect limit, which a silent first address can use up.
fn take_turns(addresses: &[IpAddr], turn: usize) -> Vec<IpAddr> {
    let first_is_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let (mut ordered, others): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|address| address.is_ipv4() == first_is_v4);
    if !ordered.is_empty() {
        let begin = turn % ordered.len();
        ordered.rotate_left(begin);
    }
    ordered.extend(others);
    ordered
}

/// Wraps the client's connector: marks the probe, limits the TCP connect, and judges the address that was reached.
#[derive(Clone)]
pub(super) struct Watch {
    pub settings: Arc<Settings>,
}

#[derive(Clone)]
pub(super) struct Watched<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Layer<S> for Watch {
    type Service = Watched<S>;
    fn layer(&self, inner: S) -> Watched<S> {
        Watched { inner, settings: self.settings.clone() }
    }
}

impl<S, R> Service<R> for Watched<S>
where
    S: Service<R, Error = BoxError>,
    S::Response: Connection,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Boxed<Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let probe = Probe::current();
        if let Some(probe) = &probe {
            probe.connecting();
        }
        let connecting = self.inner.call(request);
        let settings = self.settings.clone();
        Box::pin(async move { watched(connecting, probe, &settings).await })
    }
}

async fn watched<C, F>(connecting: F, probe: Option<Probe>, settings: &Settings) -> Result<C, BoxError>
where
    C: Connection,
    F: Future<Output = Result<C, BoxError>>,
{
    let limit = settings.connect_timeout.to_std();
    let mut connecting = pin!(connecting);
    let mut attending = probe.as_ref();
    let attended = std::future::poll_fn(|context| {
        // Once a request has taken an idle connection instead, this runs on a task without its probe.
        if let Some(left) = attending.take_if(|probe| !probe.is_current()) {
            left.overtaken();
        }
        connecting.as_mut().poll(context)
    });
    let overdue = async {
        match &probe {
            Some(probe) => probe.overdue(limit).await,
            None => std::future::pending().await,
        }
    };
    let connection = tokio::select! {
        biased;
        done = attended => done?,
        () = overdue => return Err(Said("the connection took too long".to_owned()).into()),
        () = tokio::time::sleep(LONGEST_UNATTENDED) => return Err(Said("nobody waits any more".to_owned()).into()),
    };
    let remote = remote_of(&connection);
    let judged = remote.filter(|_| settings.egress_proxy.is_none());
    if let Some(reason) = judged.and_then(|remote| guard::check_address(remote.ip(), &settings.allow_addresses).err()) {
        if let Some(probe) = &probe {
            probe.block(reason.clone());
        }
        return Err(Said(reason).into());
    }
    if let Some(probe) = attending {
        probe.connected(remote);
    }
    Ok(connection)
}

fn remote_of(connection: &impl Connection) -> Option<SocketAddr> {
    let mut extensions = http::Extensions::new();
    connection.connected().get_extras(&mut extensions);
    extensions.get::<HttpInfo>().map(HttpInfo::remote_addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn each_lookup_begins_at_another_address_of_the_preferred_family() {
        let found = addresses(&["2606::1", "2606::2", "1.1.1.1"]);
        assert_eq!(take_turns(&found, 0), found);
        assert_eq!(take_turns(&found, 1), addresses(&["2606::2", "2606::1", "1.1.1.1"]));
        assert_eq!(take_turns(&found, 2), found);
        assert!(take_turns(&[], 3).is_empty());
    }

    /// The last wall: whatever led there, what was reached is judged by itself before a byte is sent to it.
    #[tokio::test]
    async fn an_address_that_was_reached_unvetted_is_let_go() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            Ok::<_, BoxError>(hyper_util::rt::TokioIo::new(stream))
        };
        let refused = watched(connect(), None, &Settings::default()).await.expect_err("it must be let go");
        assert!(refused.to_string().contains("127.0.0.0/8"), "{refused}");
        let allowing = Settings { allow_addresses: vec!["127.0.0.1/32".parse().unwrap()], ..Settings::default() };
        assert!(watched(connect(), None, &allowing).await.is_ok());
    }

    #[tokio::test]
    async fn whoever_asks_for_a_name_meanwhile_joins_the_lookup_that_runs() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let gate = Arc::new(Semaphore::new(0));
        let closed = gate.clone();
        let lookup: Lookup = Arc::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            let gate = closed.clone();
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                Ok(vec!["1.1.1.1".parse().unwrap()])
            })
        });
        let resolver = Resolver::new(Arc::new(Settings::default()), lookup);
        let (a, b) = (resolver.clone(), resolver.clone());
        let both = tokio::spawn(async move { tokio::join!(a.vetted("a.example"), b.vetted("a.example")) });
        while calls.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        let (first, second) = both.await.unwrap();
        assert_eq!(first.unwrap(), second.unwrap());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        resolver.vetted("a.example").await.unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 2, "a lookup that is over serves nobody else");
    }
}
