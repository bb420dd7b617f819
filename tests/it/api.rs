//! The HTTP API as an application meets it: the real binary, real sockets, and a client of our own that also speaks badly.
//! What is accepted arrives as it was given; what is refused says why, and leaves nothing behind.

mod access;
mod activation;
mod bad;
mod batch;
pub mod client;
mod document;
mod drain;
mod durability;
mod endpoints;
mod follow;
mod fuzz;
mod health;
mod intake;
mod limits;
mod metrics;
mod resend;

use postrider::access::Scope;
use postrider::daemon::clock::wall;
use postrider::operations;
use postrider::store::NewEndpoint;
use serde_json::Value;

use crate::process::harness::{Daemon, Home, LENIENT, PATIENCE, endpoint, overrides, wait_for};
use crate::receivers::{Answer, Receiver};
use client::Api;

/// A daemon that listens.
pub struct Stand {
    pub home: Home,
    daemon: Daemon,
    pub api: Api,
}

impl Stand {
    pub fn new() -> Self {
        Self::with("")
    }

    /// With this table `[api]`, or with other tables.
    fn with(config: &str) -> Self {
        Self::of(Home::with(&format!("{LENIENT}{config}")))
    }

    fn of(home: Home) -> Self {
        let daemon = Daemon::start(&home);
        let api = daemon.api();
        Stand { home, daemon, api }
    }

    /// The same folder after kill -9.
    fn killed(self) -> Home {
        let Stand { home, daemon, api: _ } = self;
        daemon.kill9();
        home
    }

    /// A clean end.
    pub fn stop(self) -> Home {
        let Stand { home, daemon, api: _ } = self;
        daemon.stop();
        home
    }

    /// An endpoint that is tried again after these waits.
    fn add(&self, name: &str, receiver: &Receiver, delays_ms: &[i64]) {
        self.home.add(NewEndpoint { overrides: overrides(delays_ms), ..endpoint(name, &receiver.url()) });
    }

    /// One where nobody ever answers: what it is owed stays pending.
    fn add_hopeless(&self, name: &str) {
        self.home.add(NewEndpoint { overrides: overrides(&[3_600_000; 3]), ..endpoint(name, &nowhere()) });
    }

    /// Makes a token while the daemon runs, as `postrider token add` does, and waits until it counts.
    fn token(&self, name: &str, scope: Scope) -> Api {
        let api = self.api.with_token(&token(&self.home, name, scope));
        // While there is no token at all everybody may ask, so first that has to end.
        wait_for("the end of asking without a token", PATIENCE, || {
            (self.api.get("/v1/status").status == 401).then_some(())
        });
        wait_for("the token's being known", PATIENCE, || (api.get("/v1/status").status != 401).then_some(()));
        api
    }

    /// How much is stored of everything.
    fn stored(&self) -> (u64, u64) {
        let counts = self.home.counts();
        (counts.events, counts.pending + counts.delivered + counts.dead + counts.cancelled)
    }
}

/// A token made beside a daemon, whether one runs or not.
fn token(home: &Home, name: &str, scope: Scope) -> String {
    operations::access::add(&mut home.store(), wall(), name, scope).unwrap().to_string()
}

/// A URL of this machine where nothing listens.
fn nowhere() -> String {
    let port = crate::receivers::free_port();
    format!("http://127.0.0.1:{port}/hook")
}

fn well() -> Receiver {
    Receiver::start(|_| Answer::status(200))
}

/// An envelope for one endpoint.
fn envelope(id: &str, endpoint: &str, body: &str) -> String {
    format!(r#"{{"id":"{id}","type":"thing.happened","endpoint":"{endpoint}","body":{body}}}"#)
}

impl Daemon {
    /// Where it listens for TCP, waited for if need be.
    fn api(&self) -> Api {
        Api::at(&self.address("TCP", |address| !address.contains('/') || address.starts_with("http://")))
    }

    /// Where it listens at a path.
    fn unix(&self) -> Api {
        Api::at(&self.address("unix", |address| address.starts_with('/') || address.starts_with("unix:")))
    }

    fn address(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        wait_for(&format!("a {what} address in the log"), PATIENCE, || {
            let told = self.told("listening").into_iter();
            told.filter_map(|line| Some(line["address"].as_str()?.to_owned())).find(|address| fits(address))
        })
    }
}

/// The deliveries of an event, as the API shows them.
fn shown(api: &Api, event: &str) -> Vec<Value> {
    api.get(&format!("/v1/events/{event}")).expect(200)["deliveries"].as_array().unwrap().clone()
}

/// Waits until the only delivery of an event has this state.
fn wait_for_state(api: &Api, event: &str, state: &str) -> Value {
    wait_for(&format!("{event} {state}"), PATIENCE, || shown(api, event).pop().filter(|only| only["state"] == state))
}
