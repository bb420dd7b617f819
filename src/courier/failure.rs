//! Says in one short sentence why a request got no answer.
//! The reasons lie deep inside nested errors, and the outer ones quote the URL with its query; so only links that are
//! known here are put into words, and the sentence never holds more than host and certificate names.

use std::error::Error;
use std::io;

use rustix::io::Errno;
use rustls::{AlertDescription, CertificateError};

/// A failure that is already in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Said(pub String);

/// The longest sentence: a certificate may hold any number of names, of any length.
const LONGEST: usize = 300;

type Link<'a> = &'a (dyn Error + 'static);

pub(super) fn describe(error: Link<'_>) -> String {
    plain(&sentence(error))
}

/// As `describe`, of a request that the egress proxy was to carry: what happened on the way to the proxy itself is not the
/// receiver's doing, and says so. `dialling`: the request got no connection.
pub(super) fn describe_proxied(error: Link<'_>, dialling: bool, tunnelled: bool) -> String {
    let words = match links(error).into_iter().find_map(tunnel) {
        Some(Tunnel::NoProxy) => format!("the egress proxy cannot be reached: {}", sentence(error)),
        Some(Tunnel::Broken(words)) => words.to_owned(),
        // Without a tunnel there is no connection but the one to the proxy.
        None if dialling && !tunnelled => format!("the egress proxy cannot be reached: {}", sentence(error)),
        None => sentence(error),
    };
    plain(&words)
}

fn sentence(error: Link<'_>) -> String {
    let known = links(error).into_iter().rev().find_map(in_words);
    known.unwrap_or_else(|| "the request could not be carried out".to_owned())
}

fn plain(sentence: &str) -> String {
    sentence.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

/// Whether the connection ended without a word, as an idle one does that the receiver has long forgotten.
pub(super) fn is_silent_end(error: Link<'_>) -> bool {
    links(error).into_iter().any(|link| {
        if let Some(error) = link.downcast_ref::<hyper::Error>() {
            return error.is_incomplete_message() || error.is_canceled() || error.is_closed();
        }
        link.downcast_ref::<io::Error>().is_some_and(|error| is_end(error.kind()))
    })
}

/// Whether the system, or its limit for this process, had no file handle for a socket.
pub(super) fn is_lack_of_handles(error: Link<'_>) -> bool {
    let lacking = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    let number = |link: Link<'_>| link.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    links(error).into_iter().filter_map(number).any(|number| lacking.contains(&number))
}

/// The error and all behind it, outermost first. An `io::Error` hides what it wraps from `source()`.
fn links(error: Link<'_>) -> Vec<Link<'_>> {
    let mut links = vec![error];
    // The bound is against an error that is its own source.
    while links.len() < 32 {
        let last = links[links.len() - 1];
        let wrapped = last.downcast_ref::<io::Error>().and_then(io::Error::get_ref).map(|inner| inner as Link<'_>);
        match wrapped.or_else(|| last.source()) {
            Some(inner) => links.push(inner),
            None => break,
        }
    }
    links
}

fn in_words(link: Link<'_>) -> Option<String> {
    if let Some(said) = link.downcast_ref::<Said>() {
        return Some(said.0.clone());
    }
    if let Some(error) = link.downcast_ref::<rustls::Error>() {
        return Some(tls_in_words(error));
    }
    if let Some(error) = link.downcast_ref::<hyper::Error>() {
        return http_in_words(error);
    }
    link.downcast_ref::<io::Error>().map(io_in_words)
}

/// How CONNECT failed.
enum Tunnel {
    /// There was nobody to ask.
    NoProxy,
    Broken(&'static str),
}

/// What became of CONNECT, if this link is about it. The library's type has no name outside of it, and tells no status.
fn tunnel(link: Link<'_>) -> Option<Tunnel> {
    let text = link.to_string();
    let what = text.strip_prefix("tunnel error: ")?;
    Some(match what {
        "failed to create underlying connection" => Tunnel::NoProxy,
        "unsuccessful" => Tunnel::Broken("the egress proxy refused the connection"),
        "proxy authorization required" => {
            Tunnel::Broken("the egress proxy wants a password, which postrider does not give")
        }
        _ => Tunnel::Broken("the egress proxy broke off"),
    })
}

fn http_in_words(error: &hyper::Error) -> Option<String> {
    if error.is_parse() {
        return Some(format!("the answer cannot be read: {error}"));
    }
    let silent = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    silent.then(|| "the connection was closed before the answer was complete".to_owned())
}

const fn is_end(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
    )
}

fn io_in_words(error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "the connection was reset",
        io::ErrorKind::HostUnreachable => "no route to the host",
        io::ErrorKind::NetworkUnreachable => "the network is unreachable",
        io::ErrorKind::TimedOut => "the connection timed out",
        kind if is_end(kind) => "the connection was closed",
        _ => return error.to_string(),
    };
    words.to_owned()
}

fn tls_in_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate_in_words(error),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the receiver demands a client certificate".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("the receiver refused TLS: {alert:?}"),
        rustls::Error::InvalidMessage(_) => "the receiver does not speak TLS on this port".to_owned(),
        rustls::Error::PeerIncompatible(why) => format!("the receiver's TLS is too old or foreign: {why:?}"),
        other => format!("TLS failed: {other}"),
    }
}

fn certificate_in_words(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => "the certificate's issuer is unknown".to_owned(),
        CertificateError::Revoked => "the certificate was revoked".to_owned(),
        CertificateError::BadSignature => "the certificate's signature is wrong".to_owned(),
        CertificateError::NotValidForName => "the certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let shown: Vec<String> = presented.iter().take(3).map(|name| name.chars().take(64).collect()).collect();
            let shown = if shown.is_empty() { "no name".to_owned() } else { shown.join(", ") };
            format!("the certificate is for another name: wanted {}, got {shown}", expected.to_str())
        }
        other => format!("the certificate was refused: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_inside_nested_io_errors() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let nested = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, expired));
        assert_eq!(describe(&nested), "the certificate has expired");
        let said = io::Error::other(Said("as it was said".to_owned()));
        assert_eq!(describe(&said), "as it was said");
        assert_eq!(describe(&io::Error::from(io::ErrorKind::ConnectionRefused)), "connection refused");
    }

    #[test]
    fn a_sentence_is_short_and_one_line() {
        let long = Said(format!("a\nb\u{1b}[31m{}", "x".repeat(1000)));
        let sentence = describe(&long);
        assert_eq!(sentence.chars().count(), LONGEST);
        assert!(sentence.starts_with("a b [31m"));
    }

    #[test]
    fn only_silence_counts_as_a_stale_connection() {
        assert!(is_silent_end(&io::Error::from(io::ErrorKind::ConnectionReset)));
        assert!(is_silent_end(&io::Error::other(io::Error::from(io::ErrorKind::BrokenPipe))));
        assert!(!is_silent_end(&io::Error::from(io::ErrorKind::ConnectionRefused)));
        assert!(!is_silent_end(&rustls::Error::DecryptError));
    }
}
