//! How receivers are verified: TLS 1.2 or newer, against the system's roots and the operator's own, by the names in the
//! certificate. There is no switch that turns verification off.

use std::fmt;
use std::sync::Arc;

use rustls::client::Tls13ClientSessionValue;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, NamedGroup, RootCertStore};

use super::probe::Probe;

/// Sessions to resume, all receivers together.
const SESSIONS: usize = 2048;

/// Fails with a sentence if one of `extra_roots` is no certificate.
pub fn client_config(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots(extra_roots)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::store(Arc::new(MarkingStore(ClientSessionMemoryCache::new(SESSIONS))));
    Ok(config)
}

/// The system's roots, or Mozilla's where the system has none (an empty container), and the operator's own.
fn roots(extra_roots: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // Systems carry the odd certificate that cannot be read; the others still serve.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for (index, root) in extra_roots.iter().enumerate() {
        let added = roots.add(root.clone());
        added.map_err(|error| format!("certificate {} of the extra roots cannot be used: {error}", index + 1))?;
    }
    Ok(roots)
}

/// The store of TLS sessions, which rustls asks first thing in a handshake: the only sign to the outside that TCP is
/// done and TLS begins.
struct MarkingStore(ClientSessionMemoryCache);

impl fmt::Debug for MarkingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MarkingStore")
    }
}

impl ClientSessionStore for MarkingStore {
    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        if let Some(probe) = Probe::current() {
            probe.handshaking();
        }
        self.0.kx_hint(server_name)
    }

    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server_name, group);
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(server_name, value);
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.0.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(server_name, value);
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(server_name)
    }
}
