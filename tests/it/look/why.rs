//! Every case of `why`, as golden sentences.

use postrider::delivery::{DeadReason, DeliveryId, Outcome, Stage, StateName, Verdict};
use postrider::endpoint::{Overrides, ProfileName, Success};
use postrider::operations::look::Daemon;
use postrider::store::Command;

use super::{NOW, RUNS, World, seconds};

#[test]
fn what_nobody_tried_yet_waits_for_a_daemon_or_for_room() {
    let mut world = World::new();
    let lane = world.endpoint("acme", ProfileName::Ensuro, Overrides::default());
    world.enqueue("msg_1", "policy/creation", &[lane]);
    world.after(seconds(65));
    assert_eq!(
        world.why("msg_1", Daemon::Absent).text,
        "dlv_1 (policy/creation, msg_1, to acme) is pending. It was accepted at 2026-11-01T00:00:00.000Z (1 min 5 s \
         ago); no attempt was made yet. Attempt 1 has been due since 2026-11-01T00:00:00.000Z (1 min 5 s ago); 10 \
         more may follow. No daemon holds this store, so nothing is sent until `postrider serve` runs."
    );
    let text = world.why("dlv_1", RUNS).text;
    let room = "It goes out as soon as the daemon (process 812) has room for it: 0 attempts to this endpoint are in \
                flight of at most 8 (delivery.concurrency_per_endpoint), fewer while it fails; nothing else is owed \
                to this endpoint.";
    assert!(text.ends_with(room), "{text}");
}

#[test]
fn a_full_lane_is_named_with_its_limits() {
    let mut world = World::new();
    let overrides = Overrides { concurrency: Some(1), rate: Some(5), ..Overrides::default() };
    let lane = world.endpoint("acme", ProfileName::Ensuro, overrides);
    world.enqueue("msg_1", "policy/creation", &[lane]);
    world.enqueue("msg_2", "policy/creation", &[lane]);
    world.lease(lane);
    let text = world.why("msg_2", RUNS).text;
    let room = "It waits for room: 1 attempt to this endpoint is in flight, and 1 is the most (the endpoint's own \
                limit), at most 5 a second (the endpoint's own limit); 1 other delivery is owed to this endpoint.";
    assert!(text.ends_with(room), "{text}");
}

#[test]
fn a_retry_says_what_happened_when_it_comes_and_which_document_says_so() {
    let mut world = World::new();
    let lane = world.endpoint("acme", ProfileName::Ensuro, Overrides::default());
    world.enqueue("msg_1", "policy/creation", &[lane]);
    world.fail(lane, Outcome::Rejected { status: 500 }, seconds(30));
    world.after(seconds(20));
    world.fail(lane, Outcome::Rejected { status: 500 }, seconds(60));
    let why = world.why("dlv_1", RUNS);
    assert_eq!(
        why.text,
        "dlv_1 (policy/creation, msg_1, to acme) is pending. Attempt 2 of 11, at 2026-11-01T00:00:32.000Z (12 s ago), \
         was rejected with status 500 by 203.0.113.7:443, like the one before it. Attempt 3 is due at \
         2026-11-01T00:01:34.000Z (in 50 s); 8 more may follow. The wait after attempt 2 is 1 min by profile ensuro \
         (Ensuro, Callback notifications, retries: 30 s, doubled up to 10 minutes, 10 retries)."
    );
    assert_eq!(why.next_at, Some(NOW + seconds(94)));
    assert_eq!((why.attempts, why.of, why.state), (2, 11, StateName::Pending));
    assert_eq!(
        why.advice.unwrap(),
        "The receiver failed: its own log at that time says why, and its answer (`postrider show`) may."
    );
}

#[test]
fn an_override_is_named_where_it_decides() {
    let mut world = World::new();
    let overrides = Overrides {
        schedule: Some(vec![seconds(60), seconds(90)]),
        timeout: Some(seconds(2)),
        success: Some(Success::Codes(vec![202])),
        ..Overrides::default()
    };
    let lane = world.endpoint("acme", ProfileName::Ensuro, overrides);
    world.enqueue("msg_1", "policy/creation", &[lane]);
    world.fail(lane, Outcome::Rejected { status: 200 }, seconds(60));
    let text = world.why("msg_1", RUNS).text;
    let success = "as only 202 is success by the endpoint's own success (202), which overrides that of profile ensuro";
    let schedule = "The wait after attempt 1 is 1 min by the endpoint's own schedule (1 min, 1 min 30 s), which \
                    overrides that of profile ensuro.";
    assert!(text.contains(success) && text.contains(schedule), "{text}");
    world.after(seconds(60));
    world.fail(lane, Outcome::TimedOut { stage: Stage::Answer }, seconds(90));
    let text = world.why("msg_1", RUNS).text;
    let timeout = "timed out after 2 s waiting for the receiver's answer (203.0.113.7:443); the limit is 2 s by the \
                   endpoint's own timeout (2 s), which overrides that of profile ensuro.";
    assert!(text.contains(timeout), "{text}");
    assert!(text.contains("Attempt 3 is due at 2026-11-01T00:02:44.000Z (in 1 min 20 s); it is the last."), "{text}");
}

#[test]
fn every_failure_is_put_into_words_and_followed_by_advice() {
    let connect = Outcome::Unreachable { stage: Stage::Connect, error: "connection refused".to_owned() };
    let tls = Outcome::Unreachable { stage: Stage::Tls, error: "the certificate has expired".to_owned() };
    let issuer = Outcome::Unreachable { stage: Stage::Tls, error: "the certificate's issuer is unknown".to_owned() };
    let cut = Outcome::Unreachable { stage: Stage::Answer, error: "the connection was reset".to_owned() };
    let private =
        Outcome::Blocked { reason: "a.example is refused: 10.0.0.5 is in 10.0.0.0/8, a private network".into() };
    let http = Outcome::Blocked { reason: "the URL must begin with https://; http:// needs allow_http".to_owned() };
    let cases = [
        (
            connect,
            "could not connect to the receiver (203.0.113.7:443): connection refused.",
            "Nothing listens on that port",
        ),
        (tls, "could not agree on TLS with the receiver (203.0.113.7:443): the certificate has expired.", "must renew"),
        (issuer, "the certificate's issuer is unknown.", "safety.extra_roots_file"),
        (cut, "got no answer from the receiver (203.0.113.7:443): the connection was reset.", "hung up"),
        (
            private,
            "was blocked here before anything was sent: a.example is refused: 10.0.0.5 is in",
            "safety.allow_addresses",
        ),
        (http, "http:// needs allow_http.", "safety.allow_http = true"),
        (Outcome::TimedOut { stage: Stage::Dns }, "timed out after 2 s looking up the receiver's name;", "name server"),
        (Outcome::TimedOut { stage: Stage::Connect }, "connecting to the receiver (203.0.113.7:443)", "firewall"),
        (Outcome::TimedOut { stage: Stage::Tls }, "in the TLS handshake with the receiver", "wrong port"),
        (
            Outcome::TimedOut { stage: Stage::Answer },
            "the limit is 10 s by profile ensuro (Ensuro, Callback notifications, retries: no answer within 10 \
             seconds).",
            "answer first and work afterwards",
        ),
        (Outcome::Rejected { status: 401 }, "rejected with status 401", "compare both sides' secrets"),
        (Outcome::Rejected { status: 404 }, "rejected with status 404", "path is probably wrong"),
        (Outcome::Rejected { status: 405 }, "rejected with status 405", "takes no POST"),
        (Outcome::Rejected { status: 410 }, "rejected with status 410", "remove the endpoint"),
        (Outcome::Rejected { status: 413 }, "rejected with status 413", "only 14 bytes"),
        (Outcome::Rejected { status: 415 }, "rejected with status 415", "content type"),
        (Outcome::Rejected { status: 429 }, "rejected with status 429", "--rate"),
        (Outcome::Rejected { status: 503 }, "rejected with status 503", "A proxy"),
        (
            Outcome::Rejected { status: 201 },
            "as only 200 is success by profile ensuro (Ensuro, Callback notifications: status 200).",
            "must answer 200",
        ),
    ];
    for (outcome, said, advised) in cases {
        let (text, advice) = World::after_failure(ProfileName::Ensuro, outcome);
        assert!(text.contains(said), "{text}");
        assert!(advice.contains(advised), "{advice}");
    }
    let (_, advice) = World::after_failure(ProfileName::Octamile, Outcome::Rejected { status: 403 });
    assert!(advice.contains("unsigned"), "{advice}");
}

#[test]
fn a_redirect_shows_where_it_pointed_without_its_query() {
    let mut world = World::new();
    let lane = world.endpoint("acme", ProfileName::Ensuro, Overrides::default());
    world.enqueue("msg_1", "policy/creation", &[lane]);
    let retry = Verdict::RetryAt(world.now + seconds(32));
    world.attempt_at(lane, Outcome::Rejected { status: 308 }, retry, Some("https://b.example/\x1bhook?token=s3cret"));
    let why = world.why("msg_1", RUNS);
    let said = "a redirect to https://b.example/\\u{1b}hook?token=***, and redirects are never followed.";
    assert!(why.text.contains(said), "{}", why.text);
    assert!(why.advice.unwrap().contains("`postrider endpoint edit acme --url URL` follows it there"));
}

#[test]
fn an_attempt_in_flight_or_left_open_is_told_apart() {
    let mut world = World::new();
    let lane = world.endpoint("acme", ProfileName::Ensuro, Overrides::default());
    world.enqueue("msg_1", "policy/creation", &[lane]);
    world.lease(lane);
    world.after(seconds(4));
    let flying = "is pending. Attempt 1 of 11 is in flight since 2026-11-01T00:00:00.000Z (4 s ago)";
    let why = world.why("msg_1", RUNS);
    assert!(why.text.ends_with(&format!("{flying}; it may take 10 s in all.")), "{}", why.text);
    assert_eq!(why.next_at, None);
    let text = world.why("msg_1", Daemon::Absent).text;
    assert!(text.contains(&format!("{flying}, but its daemon is gone:")), "{text}");
    world.after(seconds(60));
    let text = world.why("msg_1", RUNS).text;
    assert!(text.contains("longer than its lease, which ended at 2026-11-01T00:00:20.000Z (44 s ago)"), "{text}");
    world.apply(Command::Recover);
    let why = world.why("msg_1", RUNS);
    let cut = "was cut off before its outcome was recorded, so the receiver may or may not have got it.";
    assert!(why.text.contains(cut), "{}", why.text);
    assert!(why.text.contains("An attempt that was cut off is tried again at once."), "{}", why.text);
    assert!(why.advice.unwrap().contains("the same notification may come twice"));
    world.attempt(lane, Outcome::Accepted { status: 200, late: false }, Verdict::Delivered);
    assert_eq!(
        world.why("msg_1", RUNS).text,
        "dlv_1 (policy/creation, msg_1, to acme) is delivered. Attempt 2 of 11 was accepted with status 200 after 2 s \
         by 203.0.113.7:443, at 2026-11-01T00:01:06.000Z (0 ms ago), 1 min 6 s after the event was accepted here. \
         Attempt 1 was cut off before its outcome was recorded, so the receiver may or may not have got it. So the \
         receiver may have got it twice."
    );
}

#[test]
fn retry_after_is_named_where_it_moved_the_attempt() {
    let mut world = World::new();
    let lane = world.endpoint("acme", ProfileName::Standard, Overrides::default());
    world.enqueue("msg_1", "order.paid", &[lane]);
    world.fail(lane, Outcome::Rejected { status: 429 }, seconds(120));
    let text = world.why("msg_1", RUNS).text;
    let said = "The receiver asked for 2 min in Retry-After instead of the schedule's 30 s, and profile standard \
                obeys that (Standard Webhooks 1.0.0, Delivery success and failure: Retry-After).";
    assert!(text.ends_with(said), "{text}");
    world.after(seconds(120));
    world.fail(lane, Outcome::Rejected { status: 500 }, seconds(65));
    let text = world.why("msg_1", RUNS).text;
    assert!(text.contains("The wait after attempt 2 is 1 min, and up to 10 % longer, by profile standard"), "{text}");
}

#[test]
fn the_end_says_which_rule_ended_it() {
    let mut world = World::new();
    let lane = world.endpoint("acme", ProfileName::Ensuro, Overrides::default());
    world.enqueue("msg_1", "policy/creation", &[lane]);
    for _ in 0..10 {
        world.fail(lane, Outcome::Rejected { status: 500 }, seconds(10));
    }
    world.attempt(lane, Outcome::Rejected { status: 500 }, Verdict::Dead(DeadReason::ScheduleUsedUp));
    let why = world.why("msg_1", RUNS);
    assert_eq!(
        why.text,
        "dlv_1 (policy/creation, msg_1, to acme) is dead. Attempt 11 of 11, at 2026-11-01T00:02:00.000Z (2 s ago), \
         was rejected with status 500 by 203.0.113.7:443, like all 10 before it. It was given up at \
         2026-11-01T00:02:02.000Z (0 ms ago), as the schedule allows 11 attempts by profile ensuro (Ensuro, Callback \
         notifications, retries: 30 s, doubled up to 10 minutes, 10 retries)."
    );
    assert!(why.advice.unwrap().ends_with("`postrider retry dlv_1` begins its schedule anew."));

    let gone = world.endpoint("gone", ProfileName::Standard, Overrides::default());
    world.enqueue("msg_2", "order.paid", &[gone]);
    world.enqueue("msg_3", "order.paid", &[gone]);
    world.attempt(gone, Outcome::Rejected { status: 410 }, Verdict::Dead(DeadReason::EndpointGone));
    let text = world.why("msg_2", RUNS).text;
    let said = "after 1 attempt: status 410 says that the receiver is gone for good, and disables the endpoint \
                (Standard Webhooks 1.0.0, Delivery success and failure: 410 disables the endpoint).";
    assert!(text.ends_with(said), "{text}");
    let text = world.why("msg_3", RUNS).text;
    assert!(
        text.contains("Its endpoint answered 410 at 2026-11-01T00:02:04.000Z (0 ms ago) and is disabled;"),
        "{text}"
    );
    world.apply(Command::Bury { lane: gone, limit: 10 });
    let text = world.why("msg_3", RUNS).text;
    assert!(
        text.ends_with("after 0 attempts, as its endpoint answered 410 at 2026-11-01T00:02:04.000Z and is disabled."),
        "{text}"
    );
}

#[test]
fn a_late_answer_and_a_removed_endpoint_are_named() {
    let mut world = World::new();
    let lane = world.endpoint("broker", ProfileName::Octamile, Overrides::default());
    world.enqueue("msg_1", "policy/approved", &[lane]);
    world.attempt(lane, Outcome::Accepted { status: 200, late: true }, Verdict::Delivered);
    let text = world.why("msg_1", RUNS).text;
    let said = "late: the receiver's side of the contract is 5 s (Octamile, Webhook Reference: within 5 seconds)";
    assert!(text.contains(said), "{text}");
    world.enqueue("msg_2", "policy/approved", &[lane]);
    world.apply(Command::RemoveEndpoint(lane));
    let text = world.why("msg_2", RUNS).text;
    assert!(text.contains("Its endpoint was removed at"), "{text}");
    world.apply(Command::Bury { lane, limit: 10 });
    let why = world.why("msg_2", RUNS);
    assert!(why.text.contains("as a person removed its endpoint at"), "{}", why.text);
    assert!(why.advice.unwrap().contains("Octamile notifies of a status once"));
}

#[test]
fn a_paused_endpoint_is_named_with_the_way_on() {
    let mut world = World::new();
    let lane = world.endpoint("acme", ProfileName::Ensuro, Overrides::default());
    world.enqueue("msg_1", "policy/creation", &[lane]);
    world.apply(Command::Pause(lane));
    world.after(seconds(5));
    let text = world.why("msg_1", RUNS).text;
    let said = "Endpoint acme is paused since 2026-11-01T00:00:00.000Z (5 s ago); `postrider endpoint resume acme` lets \
                it go on.";
    assert!(text.ends_with(said), "{text}");
}

#[test]
fn a_retry_by_hand_counts_on_and_begins_the_schedule_anew() {
    let mut world = World::new();
    let overrides = Overrides { schedule: Some(vec![seconds(60)]), ..Overrides::default() };
    let lane = world.endpoint("acme", ProfileName::Ensuro, overrides);
    world.enqueue("msg_1", "policy/creation", &[lane]);
    world.fail(lane, Outcome::Rejected { status: 500 }, seconds(10));
    world.attempt(lane, Outcome::Rejected { status: 500 }, Verdict::Dead(DeadReason::ScheduleUsedUp));
    world.after(seconds(60));
    let retry = |world: &World| Command::Retry {
        delivery: DeliveryId(1),
        states: vec![StateName::Dead, StateName::Pending],
        now_due: world.now,
    };
    world.apply(retry(&world));
    let why = world.why("msg_1", RUNS);
    let said = "Attempt 2 of 4, at 2026-11-01T00:00:12.000Z (1 min 2 s ago), was rejected with status 500 by \
                203.0.113.7:443, like the one before it. After 2 attempts a person asked to retry it, and its schedule \
                began anew. Attempt 3 has been due since 2026-11-01T00:01:14.000Z (0 ms ago); 1 more may follow. It goes \
                out as soon as";
    assert!(why.text.contains(said), "{}", why.text);
    assert_eq!((why.attempts, why.of), (2, 4));
    world.fail(lane, Outcome::Rejected { status: 500 }, seconds(60));
    let text = world.why("msg_1", RUNS).text;
    let said =
        "Attempt 4 is due at 2026-11-01T00:02:16.000Z (in 50 s); it is the last. The wait after attempt 3 is 1 min by";
    assert!(text.contains(said), "{text}");
    world.apply(retry(&world));
    let text = world.why("msg_1", RUNS).text;
    assert!(text.contains("sooner than the schedule's 1 min after attempt 3: a person asked to retry it"), "{text}");
    world.apply(Command::Cancel { delivery: DeliveryId(1) });
    let why = world.why("msg_1", RUNS);
    assert!(
        why.text.ends_with("A person cancelled it at 2026-11-01T00:01:26.000Z (0 ms ago), after 3 attempts."),
        "{}",
        why.text
    );
    assert_eq!(why.advice.unwrap(), "`postrider retry dlv_1` begins its schedule anew.");
}
