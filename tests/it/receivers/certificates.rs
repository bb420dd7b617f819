//! Certificates for receivers: good ones under a root of our own, and each kind of bad one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Two roots of one name would be taken for each other, and told apart by their signatures only.
static ROOTS: AtomicUsize = AtomicUsize::new(1);

/// A certificate authority of our own.
pub struct Authority {
    root: rcgen::Certificate,
    /// What a receiver shows between its own certificate and the root.
    between: Vec<CertificateDer<'static>>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as a receiver shows them.
#[derive(Clone)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    versions: &'static [&'static SupportedProtocolVersion],
    protocols: Vec<Vec<u8>>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let number = ROOTS.fetch_add(1, Ordering::SeqCst);
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("Root {number} of the tests"));
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        Authority { root, between: Vec::new(), issuer: Issuer::new(params, key) }
    }

    pub fn root(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }

    pub fn pem(&self) -> String {
        self.root.pem()
    }

    /// For names and addresses.
    pub fn identity(&self, names: &[&str]) -> Identity {
        self.sign(params_for(names))
    }

    pub fn expired(&self, names: &[&str]) -> Identity {
        let mut params = params_for(names);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::of(certificate, &key).with(&self.between)
    }
}

impl Identity {
    pub fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params_for(names).self_signed(&key).unwrap();
        Self::of(certificate, &key)
    }

    pub fn only_tls12(mut self) -> Self {
        self.versions = ONLY_TLS12;
        self
    }

    fn with(mut self, between: &[CertificateDer<'static>]) -> Self {
        self.chain.extend_from_slice(between);
        self
    }

    fn of(certificate: rcgen::Certificate, key: &KeyPair) -> Self {
        Identity {
            chain: vec![certificate.der().clone()],
            key: key.serialize_der(),
            versions: rustls::ALL_VERSIONS,
            protocols: Vec::new(),
        }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), PrivateKeyDer::try_from(self.key.clone()).unwrap())
            .unwrap();
        config.alpn_protocols = self.protocols.clone();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What only the fault campaign shows: chains, and certificates that nobody should make.
#[allow(dead_code, reason = "shared with the fault campaign")]
impl Authority {
    /// One that this one has signed, as `change` wants it.
    pub fn below(&self, change: impl FnOnce(&mut CertificateParams)) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let number = ROOTS.fetch_add(1, Ordering::SeqCst);
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("Intermediate {number} of the tests"));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let root = params.signed_by(&key, &self.issuer).unwrap();
        let between = [vec![root.der().clone()], self.between.clone()].concat();
        Authority { root, between, issuer: Issuer::new(params, key) }
    }

    /// As `change` wants it, with a key of this algorithm.
    pub fn odd(
        &self,
        names: &[&str],
        algorithm: &'static rcgen::SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = params_for(names);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::of(certificate, &key).with(&self.between)
    }
}

#[allow(dead_code, reason = "shared with the fault campaign")]
impl Identity {
    pub fn only_tls13(mut self) -> Self {
        const ONLY_TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
        self.versions = ONLY_TLS13;
        self
    }

    /// Chooses among these only, if it is asked to choose at all.
    pub fn speaking(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Shows nothing but its own certificate.
    pub fn alone(mut self) -> Self {
        self.chain.truncate(1);
        self
    }
}

const ONLY_TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

fn params_for(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}
