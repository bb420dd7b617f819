//! The file handles that the system grants this process, shared out between those who ask and those who are asked.
//! With fewer than what is configured could need, fewer connections are open at once, and that is told.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::observe::{Notice, tell};

/// For the store's files, the log, sockets that listen, and lookups of names.
const KEPT: u64 = 32;

/// As many as may be had.
pub(super) fn raise() {
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum });
}

/// The configuration with no more open at once than there are handles for: half of them are for connections to the API, a
/// quarter for attempts, and the rest for connections that receivers keep open, which are closed when handles run out.
pub(super) fn share_out(config: &Config) -> Config {
    let mut config = config.clone();
    let Some(granted) = getrlimit(Resource::Nofile).current else { return config };
    let spare = granted.saturating_sub(KEPT);
    let connections = usize::try_from((spare / 2).max(1)).unwrap_or(usize::MAX);
    let in_flight = u32::try_from((spare / 4).max(1)).unwrap_or(u32::MAX);
    if connections < config.api.max_connections || in_flight < config.delivery.in_flight {
        config.api.max_connections = config.api.max_connections.min(connections);
        config.delivery.in_flight = config.delivery.in_flight.min(in_flight);
        config.delivery.concurrency_per_endpoint = config.delivery.concurrency_per_endpoint.min(in_flight);
        tell(&Notice::FewHandles {
            granted,
            max_connections: config.api.max_connections as u64,
            in_flight: u64::from(config.delivery.in_flight),
        });
    }
    config
}
