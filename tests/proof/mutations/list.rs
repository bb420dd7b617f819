//! The mutations: for each promise a change to the source that breaks it and nothing else, as somebody might make it who
//! means well, and the tests that must go red then.

mod outside;

use super::Suite::{It, Row, Unit};
use super::{Change, Mutation};

pub fn mutations() -> impl Iterator<Item = &'static Mutation> {
    PROMISES.iter().chain(outside::MUTATIONS)
}

const PROMISES: &[Mutation] = &[
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
        caught_by: &[Unit("store::sqlite::open::tests::what_is_committed_is_synced_before_it_is_told"), Row("power")],
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
        caught_by: &[Row("writes")],
    },
    // Every delivery ends, by its schedule and by nothing else.
    Mutation {
        name: "the attempt budget is not checked",
        changes: &[Change {
            file: "src/store/sqlite/lease.rs",
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
        caught_by: &[Unit("engine::chance::tests::draws_are_spread_over_all_there_is")],
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
            new: "    if !same_request && same_body && !same_body {\n",
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
        caught_by: &[It("cli::enqueue::a_receiver_need_not_be_registered")],
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
            old: "if marks.connection == Connection::Reused && failure::is_silent_end(&error) {",
            new: "if marks.connection == Connection::Reused || failure::is_silent_end(&error) {",
        }],
        caught_by: &[It("courier::a_connection_that_ends_without_an_answer_is_unreachable_and_sent_once")],
    },
    // Isolation.
    Mutation {
        name: "an endpoint may have any number of attempts in flight",
        changes: &[Change {
            file: "src/engine/lane.rs",
            old: "self.opened = if roomy { self.window.max(self.half()) } else { self.window };",
            new: "self.opened = if roomy { self.window.max(self.half()) } else { self.window }.max(64);",
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
        caught_by: &[It("isolation::more_dead_endpoints_than_there_is_room_for_leave_half_of_it")],
    },
    Mutation {
        name: "an endpoint that comes back is met by all that waited",
        changes: &[Change {
            file: "src/engine/lane.rs",
            old: "            false => (self.window / 2).max(1),\n",
            new: "            false => most,\n",
        }],
        caught_by: &[Row("herd")],
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
];
