//! What may be asked of postrider, whoever asks: the CLI and the HTTP API.
//! Everything is checked before anything is stored; a refusal is one sentence that says what is wrong and what to do.

pub mod access;
pub mod answer;
mod endpoint;
mod enqueue;
pub mod look;
pub mod resend;
pub mod trial;

use crate::config::{Config, StoreSettings};
use crate::courier;
use crate::endpoint::EndpointId;
use crate::store::sqlite::{MasterKey, SqliteStore};
use crate::store::{Reply, Store, StoreError};

pub use endpoint::{
    Edit, OverridesEdit, add_endpoint, bury, check_endpoint, close_endpoint, edit_endpoint, generate, pause_endpoint,
    remove_endpoint, resume_endpoint, rotate_keys, scheme_of,
};
pub use enqueue::{Accepted, Checked, Intake, New, Owed, Submission, Target, endpoint, enqueue, idempotency_key};

/// The limits that requests are held to.
#[derive(Clone, Debug)]
pub struct Rules {
    pub max_body_bytes: usize,
    /// Which URLs a delivery may go to.
    pub safety: courier::Settings,
}

impl Rules {
    pub fn of(config: &Config) -> Self {
        let safety = courier::Settings {
            allow_http: config.safety.allow_http,
            allow_addresses: config.safety.allow_addresses.clone(),
            connect_timeout: config.delivery.connect_timeout,
            egress_proxy: config.safety.egress_proxy.clone(),
            // Twice what is in flight: one that is needed again before it has come back makes another beside it.
            idle_connections: (config.delivery.concurrency_per_endpoint as usize * 2).max(8),
            ..courier::Settings::default()
        };
        Rules { max_body_bytes: config.store.max_body_bytes, safety }
    }
}

/// The store that the configuration names, made if it is not there, with the master key that its secrets are sealed with.
pub fn open_store(settings: &StoreSettings) -> Result<SqliteStore, StoreError> {
    let key = settings.master_key_file.as_deref().map(MasterKey::read).transpose();
    SqliteStore::open_with(&settings.path, key.map_err(StoreError::Sealed)?.as_ref())
}

/// Why something was not done. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// What was asked for cannot be: a bad URL, key, type, body or id.
    #[error("{0}")]
    Invalid(String),
    /// The body has more bytes than `store.max_body_bytes` allows.
    #[error("{0}")]
    TooLarge(String),
    /// It contradicts what is stored: a name or a status that was used before, or a state in which it cannot be done.
    #[error("{0}")]
    Conflict(String),
    /// The id belongs to another request.
    #[error("{0}")]
    Taken(String),
    /// The idempotency key belongs to another request.
    #[error("{0}")]
    KeyTaken(String),
    /// There is no such endpoint, event or delivery.
    #[error("{0}")]
    Unknown(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn one(mut replies: Vec<Reply>) -> Reply {
    assert_eq!(replies.len(), 1, "one command has one reply");
    replies.remove(0)
}

/// What the daemon's lanes are called by in logs.
pub fn label(store: &mut dyn Store, id: EndpointId) -> Result<String, StoreError> {
    Ok(store.endpoint(id)?.map_or_else(|| format!("one-off-{}", id.0), |endpoint| endpoint.label()))
}
