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
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as a receiver shows them.
#[derive(Clone)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    versions: &'static [&'static SupportedProtocolVersion],
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let number = ROOTS.fetch_add(1, Ordering::SeqCst);
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("Root {number} of the tests"));
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        Authority { root, issuer: Issuer::new(params, key) }
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
        Identity::of(certificate, &key)
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

    fn of(certificate: rcgen::Certificate, key: &KeyPair) -> Self {
        Identity { chain: vec![certificate.der().clone()], key: key.serialize_der(), versions: rustls::ALL_VERSIONS }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), PrivateKeyDer::try_from(self.key.clone()).unwrap())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

const ONLY_TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

fn params_for(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}
