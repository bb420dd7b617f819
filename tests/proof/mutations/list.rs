//! The mutations: for each promise a change to the source that breaks it and nothing else, as somebody might make it who
//! means well, and the tests that must go red then.

use super::Suite::{It, Unit};
use super::{Change, Mutation};

pub const MUTATIONS: &[Mutation] = &[
    // Accepted means on disk.
    Mutation {
        name: "acknowledged before the commit",
        changes: &[
            Change {
                file: "src/store/sqlite.rs",
                old: "        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;",
                new: "        if !self.connection.is_autocommit() {
            self.connection.execute_batch(\"COMMIT\")?;
        }
        let mut transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        transaction.set_drop_behavior(rusqlite::DropBehavior::Ignore);",
            },
            Change { file: "src/store/sqlite.rs", old: "        transaction.commit()?;\n", new: "" },
        ],
        caught_by: &[It("api::durability::what_parallel_clients_were_answered_survives_kill_9_right_after_it")],
    },
    Mutation {
        name: "synchronous FULL -> NORMAL",
        changes: &[Change {
            file: "src/store/sqlite/open.rs",
            old: "PRAGMA synchronous = FULL;",
            new: "PRAGMA synchronous = NORMAL;",
        }],
        caught_by: &[Unit("store::sqlite::open::tests::what_is_committed_is_synced_before_it_is_told")],
    },
    Mutation {
        name: "an event that the disk refused is acknowledged",
        changes: &[Change {
            file: "src/daemon/keeper.rs",
            old: "            new.into_iter().for_each(|(arrival, _)| arrival.refuse(error));
            answer.refused_all = Some(error.clone());",
            new: "            let told = |new: &New| match &new.command {
                Command::Enqueue(event) => Accepted {
                    event: event.id.clone(),
                    event_type: event.event_type.clone(),
                    accepted_at: now,
                    again: false,
                    deliveries: Vec::new(),
                    warnings: Vec::new(),
                },
                other => unreachable!(\"{other:?}\"),
            };
            new.into_iter().for_each(|(arrival, new)| arrival.answer(Ok(told(&new))));
            answer.refused_all = Some(error.clone());",
        }],
        caught_by: &[It("api::limits::events_that_the_store_cannot_take_now_are_told_to_come_again")],
    },
    // Every delivery ends, by its schedule and by nothing else.
    Mutation {
        name: "the attempt budget is not checked",
        changes: &[Change {
            file: "src/store/sqlite/write.rs",
            old: "let used_up = due.attempts - due.earlier >= request.most_attempts;",
            new: "let used_up = false;",
        }],
        caught_by: &[
            It("process::crash::crashes_never_add_attempts_to_a_schedule"),
            It("sim::every_world_keeps_the_promises_and_repeats_itself"),
        ],
    },
    Mutation {
        name: "a retry by a person counts from the first attempt",
        changes: &[Change {
            file: "src/engine.rs",
            old: "let counted = flight.attempt - flight.earlier;",
            new: "let counted = flight.attempt;",
        }],
        caught_by: &[
            It("api::resend::a_dead_delivery_begins_its_schedule_anew"),
            It("sim::every_world_keeps_the_promises_and_repeats_itself"),
        ],
    },
    Mutation {
        name: "old events are deleted although they are owed",
        changes: &[Change {
            file: "src/store/sqlite/clear.rs",
            old: "WHERE d.event_id = e.id AND d.state = 'pending')",
            new: "WHERE d.event_id = e.id AND d.state = 'none')",
        }],
        caught_by: &[It("conformance::sqlite::clearing::pruning_keeps_what_is_owed_and_what_is_young")],
    },
    Mutation {
        name: "the lease's token is not checked",
        changes: &[Change {
            file: "src/store/sqlite/write.rs",
            old: "if standing.token == Some(record.token.0) {",
            new: "if standing.token.is_some() {",
        }],
        caught_by: &[
            It("conformance::sqlite::recording::a_late_failure_is_kept_and_decides_nothing"),
            It("sim::every_world_keeps_the_promises_and_repeats_itself"),
        ],
    },
    Mutation {
        name: "an acceptance that comes late does not count",
        changes: &[Change {
            file: "src/store/sqlite/write.rs",
            old: "if open && record.attempt.outcome.is_accepted() {",
            new: "if open && record.attempt.outcome.is_accepted() && self.now.ms() < 0 {",
        }],
        caught_by: &[It("conformance::sqlite::by_hand::an_acceptance_after_all_delivers_what_was_cancelled")],
    },
    // Byte-exact.
    Mutation {
        name: "the body is parsed and printed again before it is sent",
        changes: &[Change {
            file: "src/request.rs",
            old: "        body: event.body.clone(),\n",
            new: "        body: serde_json::from_slice::<serde_json::Value>(&event.body)
            .map_or_else(|_| event.body.clone(), |value| value.to_string().into_bytes().into()),\n",
        }],
        caught_by: &[It("process::deliver::odd_bodies_arrive_as_they_were")],
    },
    Mutation {
        name: "the body is parsed and printed again before it is kept and signed",
        changes: &[Change {
            file: "src/operations/enqueue.rs",
            old: "        let by_key = self.find_by_key(store, &mut asked)?;\n",
            new: "        if let Ok(value) = serde_json::from_slice::<serde_json::Value>(&asked.body) {
            asked.body = value.to_string().into_bytes().into();
        }
        let by_key = self.find_by_key(store, &mut asked)?;\n",
        }],
        caught_by: &[
            It("process::deliver::odd_bodies_arrive_as_they_were"),
            It("api::intake::the_body_of_an_envelope_is_carried_byte_for_byte"),
        ],
    },
    Mutation {
        name: "a stored body is sent although it is not what was accepted",
        changes: &[Change {
            file: "src/request.rs",
            old: "if signature::digest(&event.body) != event.digest {",
            new: "if event.body.len() > usize::MAX / 2 {",
        }],
        caught_by: &[Unit("request::tests::the_body_is_the_events_own_or_nothing_goes_out")],
    },
    Mutation {
        name: "Ensuro's signature covers the hash of the body",
        changes: &[Change {
            file: "src/signature/hmac.rs",
            old: "hex(&mac(secret, &[body]).finalize().into_bytes())",
            new: "hex(&mac(secret, &[&super::digest(body)]).finalize().into_bytes())",
        }],
        caught_by: &[Unit("signature::tests::hmac_gives_the_published_vectors")],
    },
    Mutation {
        name: "the standard timestamp is that of the acceptance",
        changes: &[Change {
            file: "src/request.rs",
            old: "timestamp: now.unix_seconds()",
            new: "timestamp: event.accepted_at.unix_seconds()",
        }],
        caught_by: &[Unit("request::tests::a_standard_request_is_stamped_with_the_attempts_time")],
    },
    Mutation {
        name: "a key that has ended signs on",
        changes: &[Change {
            file: "src/endpoint.rs",
            old: "self.until.is_none_or(|until| now < until)",
            new: "self.until.is_none_or(|until| now < until || until <= now)",
        }],
        caught_by: &[Unit("request::tests::a_key_signs_until_its_end_and_no_longer")],
    },
    // Never early.
    Mutation {
        name: "jitter is early",
        changes: &[Change {
            file: "src/schedule.rs",
            old: "Some(failed_at + delay + Span::from_ms(jitter as i64))",
            new: "Some(failed_at + delay - Span::from_ms(jitter as i64))",
        }],
        caught_by: &[Unit("schedule::tests::jitter_is_late_only_and_bounded")],
    },
    Mutation {
        name: "there is no jitter",
        changes: &[Change {
            file: "src/engine/chance.rs",
            old: "Draw((self.next() >> 32) as u32)",
            new: "Draw((self.next() >> 63) as u32)",
        }],
        caught_by: &[It("sim::the_worlds_are_not_all_quiet")],
    },
    Mutation {
        name: "Retry-After makes a retry early",
        changes: &[Change {
            file: "src/judge.rs",
            old: "scheduled.max(finished_at + wait)",
            new: "scheduled.min(finished_at + wait)",
        }],
        caught_by: &[Unit(
            "judge::tests::retry_after_moves_later_never_earlier_at_most_a_day_and_only_where_it_means_something",
        )],
    },
    Mutation {
        name: "what waits does not follow a step of the clock",
        changes: &[Change {
            file: "src/store/sqlite/clear.rs",
            old: "        // First what is due already, which a step back would hide in the future; then what waits.\n",
            new: "        if after != before {\n            return Ok(Reply::Done(0));\n        }\n",
        }],
        caught_by: &[
            It("conformance::sqlite::clearing::a_clock_step_moves_all_that_lies_ahead"),
            It("process::clock::a_clock_set_a_day_ahead_makes_no_retry_early"),
        ],
    },
    // Once, where that is promised.
    Mutation {
        name: "a known id is answered whatever is asked by it",
        changes: &[Change {
            file: "src/store/sqlite/read.rs",
            old: "    if !same_request {\n",
            new: "    if !same_request && !same_body && accepted_at.ms() < 0 {\n",
        }],
        caught_by: &[
            It("cli::enqueue::an_id_belongs_to_one_request"),
            It("conformance::sqlite::enqueueing::the_same_id_for_another_request_is_refused"),
        ],
    },
    Mutation {
        name: "an idempotency key is not looked up",
        changes: &[Change {
            file: "src/operations/enqueue.rs",
            old: "            idempotency_key: asked.idempotency_key,\n",
            new: "            idempotency_key: None,\n",
        }],
        caught_by: &[It("api::intake::an_idempotency_key_makes_one_event_quoted_or_bare")],
    },
    Mutation {
        name: "an idempotency key is good for another request",
        changes: &[Change {
            file: "src/store/sqlite/write.rs",
            old: "                && (came != event.id || !same_request)",
            new: "                && (came != event.id || (!same_request && self.now.ms() < 0))",
        }],
        caught_by: &[It("conformance::sqlite::enqueueing::an_idempotency_key_is_one_requests")],
    },
    Mutation {
        name: "Octamile's status fires again",
        changes: &[Change {
            file: "src/operations/enqueue.rs",
            old: "            once: checked.once,\n",
            new: "            once: checked.once.filter(|_| false),\n",
        }],
        caught_by: &[It("cli::enqueue::what_cannot_be_sent_is_not_taken")],
    },
    Mutation {
        name: "a success whose body breaks is a failure",
        changes: &[Change {
            file: "src/courier.rs",
            old: "        let reply = Reply::Head {\n            status: answer.status().as_u16(),",
            new: "        let broken = matches!(end, BodyEnd::Broken | BodyEnd::Unfinished);
        let reply = Reply::Head {
            status: if broken { 502 } else { answer.status().as_u16() },",
        }],
        caught_by: &[It("courier::the_status_stands_whatever_the_body_does")],
    },
    Mutation {
        name: "a request is sent again although an answer had begun",
        changes: &[Change {
            file: "src/courier.rs",
            old: "stale = marks.connection == Connection::Reused && failure::is_silent_end(&error);",
            new: "stale = marks.connection == Connection::Reused || failure::is_silent_end(&error);",
        }],
        caught_by: &[It("courier::a_connection_that_ends_without_an_answer_is_unreachable_and_sent_once")],
    },
    // Isolation.
    Mutation {
        name: "an endpoint may have any number of attempts in flight",
        changes: &[Change {
            file: "src/engine/lane.rs",
            old: "window.saturating_sub(self.in_flight).min(self.bucket.tokens(now))",
            new: "window.max(64).min(self.bucket.tokens(now))",
        }],
        caught_by: &[It("sim::every_world_keeps_the_promises_and_repeats_itself")],
    },
    Mutation {
        name: "endpoints that fail may take all attempts",
        changes: &[Change {
            file: "src/engine/room.rs",
            old: "        self.limits.in_flight.div_ceil(2)\n",
            new: "        self.limits.in_flight\n",
        }],
        caught_by: &[It("isolation::a_hundred_endpoints_that_hang_with_a_backlog_do_not_slow_one_that_answers")],
    },
    Mutation {
        name: "an endpoint that comes back is met by all that waited",
        changes: &[Change {
            file: "src/engine/lane.rs",
            old: "            false => (self.window / 2).max(1),\n",
            new: "            false => most,\n",
        }],
        caught_by: &[It("isolation::an_endpoint_that_comes_back_is_not_met_by_all_that_waited")],
    },
    Mutation {
        name: "a rate is not kept",
        changes: &[Change {
            file: "src/engine/lane.rs",
            old: "        self.level -= self.rate.map_or(0, |_| i64::from(attempts) * 1000);",
            new: "        self.level -= self.rate.map_or(0, |_| i64::from(attempts));",
        }],
        caught_by: &[Unit(
            "engine::lane::tests::a_rate_spreads_attempts_and_never_exceeds_itself_by_more_than_a_tenth",
        )],
    },
    // Nothing to repair.
    Mutation {
        name: "a predecessor's leases are left to run out",
        changes: &[Change {
            file: "src/daemon.rs",
            old: "store.apply(clock.now(), &[Command::Recover])?",
            new: "store.apply(clock.now(), &[Command::ExtendLeases { by: crate::time::Span::ZERO }])?",
        }],
        caught_by: &[It("process::crash::an_attempt_that_was_in_flight_at_kill_9_is_unknown_and_made_again_at_once")],
    },
    Mutation {
        name: "draining does not wait for attempts in flight",
        changes: &[Change {
            file: "src/engine.rs",
            old: "self.draining && self.room.is_empty() && self.recording == 0 && self.unrecorded.is_empty()",
            new: "self.draining && self.recording == 0 && self.unrecorded.is_empty()",
        }],
        caught_by: &[It("process::drain::an_attempt_in_flight_ends_and_is_recorded_and_none_begins")],
    },
    Mutation {
        name: "an outcome that the store refused is forgotten",
        changes: &[Change {
            file: "src/engine.rs",
            old: "                self.unrecorded.push(record);\n",
            new: "                drop(record);\n",
        }],
        caught_by: &[
            It("process::disk::an_outcome_that_cannot_be_written_is_kept_until_it_can"),
            It("sim::every_world_keeps_the_promises_and_repeats_itself"),
        ],
    },
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
        changes: &[Change { file: "src/courier.rs", old: "        .no_proxy()\n", new: "" }],
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
