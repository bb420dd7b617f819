//! The receivers: valid ones of every kind, and every way not to be valid.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, NameConstraints};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, date_time_ymd};

use super::Expected::{self, Answered, Delivered, Refused};
use super::wire::{Cut, Wire, listen};
use super::{Case, Server};
use crate::receivers::certificates::{Authority, Identity};
use crate::receivers::{Answer, Door, Receiver};

/// Names of this machine, for the daemon.
pub const NAMES: [&str; 4] = ["hooks.example", "a.wild.example", "a.b.wild.example", "wild.example"];

const HOST: &str = "hooks.example";
const ADDRESS: &str = "127.0.0.1";

pub fn all(root: &Authority, canary: &Receiver, folder: &Path) -> Vec<Case> {
    let mut all = valid(root, canary);
    all.extend(certificates(root));
    all.extend(chains(root));
    all.extend(old_and_weak(folder));
    all.extend(broken(root));
    all
}

fn shown(name: &'static str, host: &'static str, expected: Expected, identity: &Identity) -> Case {
    Case::new(name, host, expected, Server::Receiver(Receiver::start_tls(identity, |_| Answer::status(200))))
}

fn valid(root: &Authority, canary: &Receiver) -> Vec<Case> {
    let plain = |names: &[&str]| root.identity(names);
    let between = root.below(|_| {});
    let revocable = root.odd(&[HOST], &PKCS_ECDSA_P256_SHA256, |params| {
        let uris = vec![canary.url()];
        params.crl_distribution_points = vec![rcgen::CrlDistributionPoint { uris }];
        // authorityInfoAccess with an OCSP responder, and the TLS feature that demands a stapled answer.
        let place = canary.url();
        let name = [&[0x86, place.len() as u8][..], place.as_bytes()].concat();
        let method = [&[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 1][..], &name].concat();
        let access = [&[0x30, (method.len() + 2) as u8, 0x30, method.len() as u8][..], &method].concat();
        let extension = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access);
        let staple = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], vec![0x30, 3, 2, 1, 5]);
        params.custom_extensions = vec![extension, staple];
    });
    vec![
        shown("p256", HOST, Delivered, &plain(&[HOST])),
        shown("p384", HOST, Delivered, &root.odd(&[HOST], &PKCS_ECDSA_P384_SHA384, |_| {})),
        shown("ed25519", HOST, Delivered, &root.odd(&[HOST], &PKCS_ED25519, |_| {})),
        shown("rsa-2048", HOST, Delivered, &root.odd(&[HOST], &PKCS_RSA_SHA256, |_| {})),
        shown("only-tls-1-2", HOST, Delivered, &plain(&[HOST]).only_tls12()),
        shown("only-tls-1-3", HOST, Delivered, &plain(&[HOST]).only_tls13()),
        shown("an-address", ADDRESS, Delivered, &plain(&[ADDRESS])),
        shown("a-wildcard", "a.wild.example", Delivered, &plain(&["*.wild.example"])),
        shown("with-intermediate", HOST, Delivered, &between.identity(&[HOST])),
        // Nobody is asked whether it was revoked: what that would tell, and to whom, is worse than what it would find.
        shown("revocable", HOST, Delivered, &revocable),
        shown("http-1-1-chosen", HOST, Delivered, &plain(&[HOST]).speaking(&["h2", "http/1.1"])),
        shown("http-2-only", HOST, Refused(&["TLS"]), &plain(&[HOST]).speaking(&["h2"])),
    ]
}

fn certificates(root: &Authority) -> Vec<Case> {
    const OTHER: Expected = Refused(&["another name"]);
    let odd = |change: fn(&mut CertificateParams)| root.odd(&[HOST], &PKCS_ECDSA_P256_SHA256, change);
    let nameless = root.odd(&[], &PKCS_ECDSA_P256_SHA256, |params| {
        params.distinguished_name.push(rcgen::DnType::CommonName, HOST);
    });
    vec![
        shown("expired", HOST, Refused(&["has expired"]), &root.expired(&[HOST])),
        shown(
            "not-yet-valid",
            HOST,
            Refused(&["not valid yet"]),
            &odd(|params| {
                params.not_before = date_time_ymd(2090, 1, 1);
                params.not_after = date_time_ymd(2091, 1, 1);
            }),
        ),
        shown("of-another-name", HOST, OTHER, &root.identity(&["other.example"])),
        shown("of-another-address", ADDRESS, OTHER, &root.identity(&["127.0.0.2"])),
        shown("a-name-for-an-address", ADDRESS, OTHER, &root.identity(&[HOST])),
        shown("an-address-for-a-name", HOST, OTHER, &root.identity(&[ADDRESS])),
        shown("only-a-common-name", HOST, OTHER, &nameless),
        shown("wildcard-two-deep", "a.b.wild.example", OTHER, &root.identity(&["*.wild.example"])),
        shown("wildcard-of-itself", "wild.example", OTHER, &root.identity(&["*.wild.example"])),
        shown(
            "wildcard-of-all",
            HOST,
            Refused(&["certificate", "another name"]),
            &root.identity(&["*.example"]).only_tls13(),
        ),
        shown("self-signed", HOST, Refused(&["issuer is unknown", "refused"]), &Identity::self_signed(&[HOST])),
        shown("of-an-unknown-authority", HOST, Refused(&["issuer is unknown"]), &Authority::new().identity(&[HOST])),
        shown(
            "for-clients-only",
            HOST,
            Refused(&["refused"]),
            &odd(|params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
        ),
        shown(
            "an-authority-as-receiver",
            HOST,
            Refused(&["refused"]),
            &odd(|params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }),
        ),
    ]
}

fn chains(root: &Authority) -> Vec<Case> {
    let good = root.below(|_| {});
    let stale = root.below(|params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let no_authority = root.below(|params| params.is_ca = IsCa::ExplicitNoCa);
    let short = root.below(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let too_deep = short.below(|_| {});
    let elsewhere = root.below(|params| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("elsewhere.example".to_owned())];
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
    });
    vec![
        shown("without-its-intermediate", HOST, Refused(&["issuer is unknown"]), &good.identity(&[HOST]).alone()),
        shown("expired-intermediate", HOST, Refused(&["has expired"]), &stale.identity(&[HOST])),
        shown("intermediate-that-is-none", HOST, Refused(&["refused"]), &no_authority.identity(&[HOST])),
        shown("path-too-long", HOST, Refused(&["refused"]), &too_deep.identity(&[HOST])),
        shown("name-not-permitted", HOST, Refused(&["refused"]), &elsewhere.identity(&[HOST])),
    ]
}

/// The file with the root under which openssl's certificates stand.
pub const OLD_ROOT: &str = "old-root.pem";

/// What today's libraries do not even make is made by openssl: old protocols, short keys, weak digests. All of it stands under
/// a root that the daemon knows, and the first receiver shows that it is not the tool that is refused.
fn old_and_weak(folder: &Path) -> Vec<Case> {
    let tool = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().expect("openssl");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let authority = "-nodes -days 30 -subj /CN=Root-of-openssl -addext basicConstraints=critical,CA:TRUE";
    tool(&format!("req -x509 -newkey rsa:2048 {authority} -keyout old-root.key -out {OLD_ROOT}"));
    for (name, bits, digest) in [("good", 2048, "sha256"), ("short", 1024, "sha256"), ("sha1", 2048, "sha1")] {
        let named = "-nodes -subj /CN=hooks.example -addext subjectAltName=DNS:hooks.example";
        tool(&format!("req -new -newkey rsa:{bits} {named} -keyout {name}.key -out {name}.csr"));
        let under = format!("-CA {OLD_ROOT} -CAkey old-root.key -copy_extensions copyall -days 30");
        tool(&format!("x509 -req -in {name}.csr {under} -{digest} -out {name}.pem"));
    }
    let serve = |name: &'static str, expected, certificate: &str, options: &str| {
        let port = crate::receivers::free_port();
        let quiet = || Stdio::null();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-rev", "-accept", &port.to_string()]);
        command.args(["-cert", &format!("{certificate}.pem"), "-key", &format!("{certificate}.key")]);
        command.args(options.split(' ').filter(|option| !option.is_empty())).current_dir(folder);
        let child = command.stdin(Stdio::null()).stdout(quiet()).stderr(quiet()).spawn().expect("openssl");
        // It offers what it is to offer, or its refusal would mean nothing.
        let address = format!("127.0.0.1:{port}");
        crate::harness::wait_for(name, Duration::from_secs(10), || {
            let mut command = Command::new("openssl");
            command.args(["s_client", "-connect", &address, "-verify_return_error", "-CAfile", OLD_ROOT]);
            command.args(options.split(' ').filter(|option| !option.is_empty())).current_dir(folder);
            command.args(["-auth_level", "0"]);
            let done = command.stdin(Stdio::null()).stdout(quiet()).stderr(quiet()).status().expect("openssl");
            done.success().then_some(())
        });
        Case::new(name, HOST, expected, Server::Process(child, port))
    };
    const OLD: Expected = Refused(&["TLS"]);
    const WEAK: Expected = Refused(&["certificate"]);
    vec![
        serve("of-openssl", Answered, "good", "-cipher ALL:@SECLEVEL=0"),
        serve("of-openssl-tls-1-2", Answered, "good", "-tls1_2 -cipher ALL:@SECLEVEL=0"),
        serve("tls-1-0", OLD, "good", "-tls1 -cipher ALL:@SECLEVEL=0"),
        serve("tls-1-1", OLD, "good", "-tls1_1 -cipher ALL:@SECLEVEL=0"),
        serve("no-common-cipher", OLD, "good", "-tls1_2 -cipher AES128-SHA:@SECLEVEL=0"),
        serve("rsa-1024", WEAK, "short", "-cipher ALL:@SECLEVEL=0"),
        serve("sha-1", WEAK, "sha1", "-cipher ALL:@SECLEVEL=0"),
    ]
}

/// Handshakes that end or go wrong somewhere.
fn broken(root: &Authority) -> Vec<Case> {
    const ENDS: &[&str] = &["closed", "reset", "TLS"];
    const HANGS: &[&str] = &["timed out"];
    let door = |name, door, words| {
        let server = Server::Receiver(Receiver::behind(door, true));
        // Without a wire: it would not carry a reset.
        Case { name, host: HOST, expected: Refused(words), server, wire: None }
    };
    let says = |name, bytes: &'static [u8], words| {
        let port = listen(move |mut client| {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(bytes);
            std::thread::sleep(Duration::from_secs(5));
        });
        Case::new(name, HOST, Refused(words), Server::Raw(port))
    };
    let mut all = vec![
        door("hangs-at-once", Door::Hang, HANGS),
        door("resets-at-once", Door::Reset, ENDS),
        door("speaks-first-in-http", Door::Greet, &["does not speak TLS"]),
        says("garbage", b"\x00\x01\x02\x03garbage that is no record at all", &["TLS"]),
        says("http-as-an-answer", b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", &["does not speak TLS"]),
        says("an-alert", b"\x15\x03\x03\x00\x02\x02\x28", &["refused TLS"]),
        says(
            "a-record-too-large",
            &[[0x16, 3, 3, 0xff, 0xff].as_slice(), &[0; 2000]].concat().leak()[..],
            &["TLS", "timed out"],
        ),
        says("half-a-hello", b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03", HANGS),
    ];
    // A valid receiver, behind a wire that is cut after so many bytes of its.
    for (name, after, hang) in [
        ("closes-after-1", 1, false),
        ("closes-after-100", 100, false),
        ("closes-after-600", 600, false),
        ("hangs-after-1", 1, true),
        ("hangs-after-100", 100, true),
        ("hangs-after-600", 600, true),
    ] {
        let receiver = Receiver::start_tls(&root.identity(&[HOST]), |_| Answer::status(200));
        let wire = Some(Wire::to(receiver.port(), Some(Cut { after, hang })));
        let expected = Refused(if hang { HANGS } else { ENDS });
        all.push(Case { name, host: HOST, expected, server: Server::Receiver(receiver), wire });
    }
    all
}
