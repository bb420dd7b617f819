//! The sandbox: the provider side of Ensuro's and Octamile's APIs on this machine, so that a partner's whole integration
//! runs without either of them. Pure machines decide what comes of a request, a journal keeps what was accepted, and every
//! notification goes through a real daemon with a store of its own: stored, signed, retried.
//! Whatever was answered survives a crash, and no notification is lost or doubled by one.

pub mod carrier;
pub mod control;
pub mod desk;
pub mod ensuro;
pub mod journal;
pub mod keys;
pub mod octamile;
pub mod routes;
pub mod tell;
mod wire;
pub mod world;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use crate::api::{self, Beside};
use crate::config::{Config, SafetySettings};
use crate::daemon::clock::{self, wall};
use crate::daemon::handle::{Phase, Unserved};
use crate::daemon::{self, Ended, Failed, Handle};
use crate::endpoint::{EndpointName, Key, Overrides, ProfileName};
use crate::operations::{self, Edit, Refused, Rules};
use crate::provider::dice::Dice;
use crate::provider::ensuro::policy::Amount;
use crate::signature::eip191::Address;
use crate::store::sqlite::{self, LockError, SqliteStore};
use crate::store::{NewEndpoint, Store};
use crate::time::{Span, Time};
use desk::Desk;
use journal::{Journal, Opened};
use keys::Keys;
use octamile::File;
use routes::Counter;
use tell::{Happening, Tell};
use world::{Command, Decide, Entry, Settings, World};

/// How a sandbox is to be.
pub struct Setup {
    /// Its journal and its store are here.
    pub folder: PathBuf,
    pub listen: SocketAddr,
    /// Where Ensuro's notifications go; `None`: where they went before, if anywhere.
    pub notify: Option<String>,
    /// What they are signed with: the shared secret, or a private key.
    pub signs: Key,
    pub keys: Keys,
    pub delay: Span,
    pub max_payout: Amount,
    pub max_duration: Span,
    pub decide: Decide,
    /// What may be reached beside the public network and this machine, and which certificates count.
    pub safety: SafetySettings,
    /// Goes out with every approval; `None`: one is made up for each.
    pub certificate: Option<File>,
}

/// The name under which the receiver of Ensuro's notifications is registered.
const ENSURO: &str = "ensuro";
/// What a delivery may reach here in any case.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

impl Setup {
    /// The daemon's settings: the shipped ones but for `safety`, and that this machine may be reached, by plain HTTP too.
    /// A rule of this process alone.
    pub fn config(&self) -> Config {
        let mut config = Config::default();
        config.store.path = self.folder.join("postrider.db");
        config.safety = self.safety.clone();
        config.safety.allow_http = true;
        config.safety.egress_proxy = None;
        config.safety.allow_addresses.extend(LOOPBACK.map(|net| net.parse::<IpNet>().expect("it is a network")));
        config.api.listen = Some(self.listen);
        config.api.socket = None;
        config
    }

    /// Where the notifications go, if it may be sent to.
    pub fn receiver(&self) -> Result<Option<NewEndpoint>, Refused> {
        let Some(url) = &self.notify else { return Ok(None) };
        let endpoint = NewEndpoint {
            name: EndpointName::parse(ENSURO).expect("a name of ours"),
            url: url.clone(),
            profile: ProfileName::Ensuro,
            subscriptions: vec![],
            overrides: Overrides::default(),
            keys: vec![self.signs.clone()],
        };
        let url = operations::check_endpoint(&Rules::of(&self.config()), &endpoint)?;
        Ok(Some(NewEndpoint { url, ..endpoint }))
    }

    /// As the journal keeps it; made-up addresses stay the same for a folder's whole life.
    fn settings(&self, known: Option<&Settings>) -> Result<Settings, String> {
        let mut dice = Dice::new(desk::seed()?);
        let drawn = (Address::new(dice.bytes()), Address::new(dice.bytes()));
        let (risk_module, quote_signer) = known.map_or(drawn, |known| (known.risk_module, known.quote_signer));
        Ok(Settings {
            delay: self.delay,
            max_payout: self.max_payout,
            max_duration: self.max_duration,
            risk_module,
            quote_signer,
            decide: self.decide,
        })
    }
}

/// Runs until SIGTERM or SIGINT, then drains; a second signal ends it at once.
pub fn run(setup: Setup, tell: Tell) -> Result<Ended, Failed> {
    let path = setup.folder.join("journal.ndjson");
    let _lock = sqlite::lock(&path).map_err(|error| locked(&setup, error))?;
    let Opened { mut journal, mut world, dropped } = Journal::open(&path).map_err(Failed::Machine)?;
    // Before anything looks at the wall.
    clock::set_ahead(world.ahead());
    if dropped > 0 {
        let what = format!("the journal ended in half a line, which was never answered: {dropped} bytes are dropped");
        tell(wall(), &Happening::Trouble { what });
    }
    settle(&setup, &mut journal, &mut world).map_err(Failed::Machine)?;
    let config = setup.config();
    if let Some(receiver) = setup.receiver().map_err(|refused| Failed::Unheard(refused.to_string()))? {
        // The daemon finds it there; a change by its handle would wait for a loop that has not begun.
        let mut store = SqliteStore::open(&config.store.path)?;
        register(&mut store, &Rules::of(&config), wall(), receiver).map_err(unregistered)?;
    }
    let guest = move |handle, bound: Vec<api::listen::Bound>| {
        let opened = open(setup, journal, world, handle, bound, tell);
        Box::pin(opened) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
    };
    daemon::run(&config, api::entrance_with(Box::new(guest))).map_err(|failed| match failed {
        // Its flag, where the daemon knows a setting.
        Failed::Unheard(text) => Failed::Unheard(text.replace("api.listen", "--listen")),
        Failed::Held(_) | Failed::Store(_) | Failed::Machine(_) => failed,
    })
}

fn locked(setup: &Setup, error: LockError) -> Failed {
    let folder = crate::plain::plain(&setup.folder.to_string_lossy());
    match error {
        LockError::Held { pid } => {
            let holder = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            Failed::Held(format!(
                "a sandbox runs in {folder} already ({holder}); stop that one first, or give this one another --folder"
            ))
        }
        LockError::Io { error, .. } => {
            Failed::Machine(format!("the folder {folder} cannot be used: {error}; it must be writable for this user"))
        }
    }
}

/// Has the world decide by this setup from now on.
fn settle(setup: &Setup, journal: &mut Journal, world: &mut World) -> Result<(), String> {
    let settings = setup.settings(world.settings())?;
    if world.settings() == Some(&settings) {
        return Ok(());
    }
    let at = world.no_earlier(wall());
    let entry = Entry { at, seed: desk::seed()?, command: Command::Settings(settings) };
    journal.accept(&entry)?;
    world.apply(&entry).expect("settings are always taken");
    Ok(())
}

/// Begins to serve, once the daemon holds its store and it is known where it listens.
async fn open(
    setup: Setup,
    journal: Journal,
    world: World,
    handle: Handle,
    bound: Vec<api::listen::Bound>,
    tell: Tell,
) -> Result<Beside, Failed> {
    let (out, inbox) = tokio::sync::mpsc::unbounded_channel();
    let desk = Desk::start(world, journal, setup.certificate, out, tell.clone()).map_err(Failed::Machine)?;
    let after = carrier::last_outcome(&handle).await.map_err(unserved)?;
    for at in bound {
        tell(wall(), &Happening::Listening { at });
    }
    let counter = Counter { desk: desk.clone(), keys: setup.keys, handle: handle.clone(), tell: tell.clone() };
    let routes = routes::routes().merge(control::routes()).with_state(Arc::new(counter));
    let work = async move {
        let mut phases = handle.phases();
        tokio::select! {
            () = async { tokio::join!(carrier::carry(&handle, inbox, &desk, &tell), carrier::follow(&handle, after, &tell)); } => {}
            () = api::server::reached(&mut phases, Phase::Closing) => {}
        }
    };
    Ok(Beside { routes, work: Box::pin(work) })
}

fn unregistered(refused: Refused) -> Failed {
    match refused {
        Refused::Store(error) => Failed::Store(error),
        other => Failed::Unheard(format!("--notify: {other}")),
    }
}

fn unserved(error: Unserved) -> Failed {
    match error {
        Unserved::Refused(Refused::Store(error)) => Failed::Store(error),
        other => Failed::Machine(format!("the sandbox's store does not answer: {other:?}")),
    }
}

/// Registers the receiver, or brings the one that is registered up to date.
fn register(store: &mut dyn Store, rules: &Rules, now: Time, receiver: NewEndpoint) -> Result<(), Refused> {
    let name = receiver.name.clone();
    let Some(known) = store.endpoint_named(&name)? else {
        return operations::add_endpoint(store, rules, now, receiver).map(|_| ());
    };
    if known.url != receiver.url {
        let edit = Edit { url: Some(receiver.url), ..Edit::default() };
        operations::edit_endpoint(store, rules, now, &name, &edit)?;
    }
    if known.keys != receiver.keys {
        operations::rotate_keys(store, now, &name, receiver.keys, Span::ZERO)?;
    }
    Ok(())
}
