//! HTTPS with an authority of one run: made at the start, and forgotten at the end. Its certificate is written to a file,
//! for whoever shall trust it; its key never leaves this process's memory, and is dropped once it has signed.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::PrivateKeyDer;
use tempfile::{NamedTempFile, TempPath};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::cli::wire::Socket;
use crate::cli::{Exit, Failure, shown};
use crate::time::{Span, Time};

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// How long a certificate is good; some clients refuse one of more than a year.
const LONGEST: Span = Span::from_hours(90 * 24);
/// For clients whose clock is behind.
const SLACK: Span = Span::from_hours(24);

pub struct Tls {
    pub acceptor: TlsAcceptor,
    /// Where the authority's certificate stands.
    pub ca_file: PathBuf,
    /// Removes the file at the end, if nobody asked for it by name.
    _temporary: Option<TempPath>,
}

/// `address`: what is listened on, besides this machine's usual names.
pub fn prepare(address: IpAddr, ca_file: Option<&Path>, now: Time) -> Result<Tls, Failure> {
    let (pem, acceptor) =
        identity(address, now).map_err(|what| Failure::new(Exit::Io, format!("no certificate can be made: {what}")))?;
    let refused = |place: &Path, why: &str| {
        Failure::new(Exit::Io, format!("the authority's certificate cannot be written to {}: {why}", shown(place)))
    };
    let folder = match ca_file {
        Some(path) => path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        None => &std::env::temp_dir(),
    };
    let written = NamedTempFile::with_prefix_in("postrider-listen-", folder).and_then(|mut file| {
        file.write_all(pem.as_bytes())?;
        // It is public.
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        Ok(file)
    });
    let written = written.map_err(|error| refused(ca_file.unwrap_or(folder), &error.to_string()))?;
    let Some(path) = ca_file else {
        let path = written.into_temp_path();
        return Ok(Tls { acceptor, ca_file: path.to_path_buf(), _temporary: Some(path) });
    };
    if path.exists() && !is_certificate(path) {
        return Err(refused(path, "there is something else, which is left as it is"));
    }
    written.persist(path).map_err(|error| refused(path, &error.error.to_string()))?;
    Ok(Tls { acceptor, ca_file: path.to_path_buf(), _temporary: None })
}

/// Whether a file may be replaced: one of another run.
fn is_certificate(path: &Path) -> bool {
    const BEGINNING: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let mut found = [0; BEGINNING.len()];
    let read = |mut file: std::fs::File| file.read_exact(&mut found);
    path.is_file() && std::fs::File::open(path).and_then(read).is_ok() && found == *BEGINNING
}

/// The authority's certificate, and what shows one that it signed.
fn identity(address: IpAddr, now: Time) -> Result<(String, TlsAcceptor), String> {
    let failed = |error: rcgen::Error| error.to_string();
    let valid = |params: &mut CertificateParams| {
        let day = |at: Time| {
            let date = Timestamp::from_millisecond(at.ms()).unwrap_or(Timestamp::MAX).to_zoned(TimeZone::UTC).date();
            rcgen::date_time_ymd(date.year().into(), date.month().cast_unsigned(), date.day().cast_unsigned())
        };
        (params.not_before, params.not_after) = (day(now - SLACK), day(now + LONGEST));
    };
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    valid(&mut params);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(|error| error.to_string())?;
    // Of two runs the authorities must not be taken for each other.
    let name = format!("postrider listen {}", crate::signature::hex(&number));
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().map_err(failed)?;
    let authority = params.self_signed(&key).map_err(failed)?;
    let issuer = Issuer::new(params, key);

    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let own = address.to_string();
    if !address.is_unspecified() && !names.contains(&own) {
        names.push(own);
    }
    let mut params = CertificateParams::new(names).map_err(failed)?;
    valid(&mut params);
    params.distinguished_name.push(DnType::CommonName, "postrider listen");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let secret = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], secret))
        .map_err(|error| error.to_string())?;
    Ok((authority.pem(), TlsAcceptor::from(Arc::new(config))))
}
