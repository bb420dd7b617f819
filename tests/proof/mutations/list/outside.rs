//! The mutations of what keeps others out, what others may make us do, and what they may see.

use super::super::Suite::{It, Unit};
use super::{Change, Mutation};

pub const MUTATIONS: &[Mutation] = &[
    // No way inside.
    Mutation {
        name: "redirects are followed",
        changes: &[Change {
            file: "src/courier.rs",
            old: "reqwest::redirect::Policy::none()",
            new: "reqwest::redirect::Policy::limited(5)",
        }],
        caught_by: &[It("courier::a_redirect_is_shown_and_not_followed")],
    },
    Mutation {
        name: "proxies of the environment are used",
        changes: &[Change { file: "src/courier.rs", old: "    builder = builder.no_proxy();\n", new: "" }],
        caught_by: &[It("courier::walls::proxies_of_the_environment_are_not_used")],
    },
    Mutation {
        name: "a URL's address is not judged",
        changes: &[Change {
            file: "src/courier/guard.rs",
            old: "    check_address(address, allow)?;\n    Ok(is_allowed(address, allow))",
            new: "    Ok(is_allowed(address, allow))",
        }],
        caught_by: &[
            Unit("courier::guard::tests::spellings_of_this_machine_are_all_one"),
            It("process::safety::by_default_nothing_inside_can_be_added"),
        ],
    },
    Mutation {
        name: "the addresses of a name are not judged",
        changes: &[Change {
            file: "src/courier/guard.rs",
            old: "        check_address(address, allow).map_err(|rule| format!(\"{host} is refused: {rule}\"))?;\n",
            new: "",
        }],
        caught_by: &[
            Unit("courier::guard::tests::one_forbidden_address_refuses_the_whole_name"),
            It("courier::walls::a_name_with_one_inner_address_is_blocked"),
        ],
    },
    Mutation {
        name: "the address that was reached is not judged once more",
        changes: &[Change {
            file: "src/courier/connect.rs",
            old: "guard::check_address(remote.ip(), &settings.allow_addresses).err())",
            new: "guard::check_address(remote.ip(), &[remote.ip().into()]).err())",
        }],
        caught_by: &[Unit("courier::connect::tests::an_address_that_was_reached_unvetted_is_let_go")],
    },
    Mutation {
        name: "any certificate is good enough",
        changes: &[
            Change {
                file: "src/courier/tls.rs",
                old: "        .with_root_certificates(roots(extra_roots)?)\n",
                new: "        .dangerous()\n        .with_custom_certificate_verifier(Arc::new(Gullible(roots(extra_roots)?)))\n",
            },
            Change { file: "src/courier/tls.rs", old: "/// The store of TLS sessions,", new: GULLIBLE },
        ],
        caught_by: &[
            It("courier::a_bad_certificate_is_refused_and_named"),
            It("process::safety::a_certificate_for_another_name_or_of_the_past_is_refused"),
        ],
    },
    Mutation {
        name: "a web page may drive the API",
        changes: &[Change { file: "src/api/guard.rs", old: "    check_origin(request)?;\n", new: "" }],
        caught_by: &[It("api::access::a_web_page_cannot_drive_the_api_of_this_machine")],
    },
    Mutation {
        name: "any name of this machine's address will do for Host",
        changes: &[Change {
            file: "src/api/guard.rs",
            old: "        check_host(gate, request)?;\n",
            new: "        let _ = check_host(gate, request);\n",
        }],
        caught_by: &[It("api::access::a_web_page_cannot_drive_the_api_of_this_machine")],
    },
    Mutation {
        name: "any token may do everything",
        changes: &[Change {
            file: "src/access.rs",
            old: "self == Scope::Admin || self == needed",
            new: "self == Scope::Admin || self <= needed || self > needed",
        }],
        caught_by: &[It("api::access::every_route_needs_its_scope_and_no_other")],
    },
    // Bounded.
    Mutation {
        name: "all of an answer is kept",
        changes: &[
            Change {
                file: "src/courier.rs",
                old: "            if body.len() >= limit {\n",
                new: "            if body.len() >= usize::MAX {\n",
            },
            Change {
                file: "src/courier.rs",
                old: "body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())])",
                new: "body.extend_from_slice(&chunk)",
            },
        ],
        caught_by: &[It("courier::a_kept_answer_is_cut_at_its_limit")],
    },
    Mutation {
        name: "an attempt may last as long as its receiver likes",
        changes: &[Change {
            file: "src/courier.rs",
            old: "let deadline = begun + request.timeout.to_std().min(Duration::from_secs(86_400));",
            new: "let deadline = begun + request.timeout.to_std().max(Duration::from_secs(86_400));",
        }],
        caught_by: &[It("process::retry::a_receiver_that_hangs_is_timed_out")],
    },
    // Secrets, and what others write.
    Mutation {
        name: "secrets show in Debug",
        changes: &[Change {
            file: "src/endpoint.rs",
            old: "        f.write_str(\"***\")\n",
            new: "        f.write_str(&String::from_utf8_lossy(&self.0))\n",
        }],
        caught_by: &[Unit("endpoint::tests::a_secret_never_shows_in_debug")],
    },
    Mutation {
        name: "everybody on the machine may read the store",
        changes: &[Change {
            file: "src/store/sqlite/open.rs",
            old: "create_new(true).mode(0o600)",
            new: "create_new(true).mode(0o644)",
        }],
        caught_by: &[It("cli::stores::a_store_is_its_user_s_alone")],
    },
    Mutation {
        name: "an extra header may be the signature's",
        changes: &[Change {
            file: "src/request.rs",
            old: "begins(&[\"webhook-\", \"x-ensuro-\", \"x-eip191-\"])",
            new: "begins(&[\"webhook-\"])",
        }],
        caught_by: &[Unit("request::tests::extra_headers_cannot_take_over_the_request")],
    },
    Mutation {
        name: "foreign text is shown as it is",
        changes: &[Change { file: "src/plain.rs", old: "    c.is_control()\n", new: "    c == '\\0'\n" }],
        caught_by: &[Unit("plain::tests::nothing_that_acts_gets_through")],
    },
];

/// Takes every receiver for the one that was meant.
const GULLIBLE: &str = "#[derive(Debug)]
struct Gullible(#[allow(dead_code)] RootCertStore);

impl rustls::client::danger::ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The store of TLS sessions,";
