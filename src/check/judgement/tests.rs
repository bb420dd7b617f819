use super::*;

fn contract() -> Contract {
    Contract {
        profile: ProfileName::Ensuro,
        success: Success::Codes(vec![200]),
        limit: Span::from_seconds(10),
        timeout: Span::from_seconds(10),
        usual: None,
    }
}

fn met(outcome: Outcome) -> Exchange {
    Exchange {
        sent: "policy/creation".to_owned(),
        bytes: 1_800,
        outcome,
        location: None,
        body: Vec::new(),
        body_end: Some(BodyEnd::Whole),
        took: Span::from_ms(3),
        reused: false,
        resent: false,
    }
}

fn accepted() -> Exchange {
    met(Outcome::Accepted { status: 200, late: false })
}

fn rejected(status: u16) -> Exchange {
    met(Outcome::Rejected { status })
}

fn hung() -> Exchange {
    met(Outcome::TimedOut { stage: Stage::Answer })
}

fn broken(stage: Stage, error: &str) -> Exchange {
    met(Outcome::Unreachable { stage, error: error.to_owned() })
}

#[test]
fn only_the_success_status_is_a_pass_and_each_other_says_why() {
    assert_eq!(taken(&accepted(), &contract()).grade, Grade::Pass);
    let other = taken(&rejected(202), &contract());
    assert_eq!((other.grade, other.seen.as_str()), (Grade::Fail, "answered 202, and Ensuro counts only 200"));
    assert!(other.fix.unwrap().contains("Answer 200 exactly"));
    let moved = Exchange { location: Some("https://a.example/x/?token=t0ps3cret".to_owned()), ..rejected(308) };
    let moved = taken(&moved, &contract());
    assert_eq!(moved.grade, Grade::Fail);
    assert!(moved.seen.contains("https://a.example/x/?token=***"), "{}", moved.seen);
    for status in [400, 401, 404, 409, 500, 503] {
        let judged = taken(&rejected(status), &contract());
        assert_eq!((judged.grade, judged.fix), (Grade::Fail, None), "the case knows what to do about {status}");
    }
    assert_eq!(taken(&hung(), &contract()).seen, "gave no answer within 10 s");
    assert_eq!(taken(&broken(Stage::Answer, "the connection was reset"), &contract()).seen, "the connection was reset");
}

#[test]
fn what_it_answers_always_is_told_once_only() {
    let usual = Contract { usual: Some(201), ..contract() };
    assert_eq!(taken(&rejected(201), &usual).grade, Grade::Pass);
    assert_eq!(taken(&rejected(202), &usual).grade, Grade::Fail);
    assert_eq!(taken(&rejected(201), &contract()).grade, Grade::Fail);
}

#[test]
fn a_body_that_is_too_large_is_known_in_every_spelling() {
    let says = |status: u16, bytes: usize, body: &str| {
        taken(&Exchange { bytes, body: body.as_bytes().to_vec(), ..rejected(status) }, &contract())
    };
    for (status, body) in [
        (413, ""),
        (500, "<pre>PayloadTooLargeError: request entity too large<br>"),
        (400, "{\"error\":\"request entity too large\"}"),
    ] {
        let judged = says(status, 273_000, body);
        assert_eq!(judged.seen, format!("answered {status}: the body of 273 kB is too large for it"));
        let fix = judged.fix.unwrap();
        assert!(fix.contains("100 kB") && fix.contains("express.json({limit: \"5mb\"})"), "{fix}");
    }
    assert!(!says(413, 1_800, "").fix.unwrap().contains("100 kB"), "that is another limit");
    assert_eq!(says(500, 273_000, "no such table").fix, None);
    assert_eq!(says(400, 1_800, "the number is too large").fix, None);
}

#[test]
fn a_forgery_must_be_refused_and_clearly() {
    let grade = |exchange: &Exchange| refused(exchange, &contract()).grade;
    for status in [400, 401, 403, 422] {
        assert_eq!(grade(&rejected(status)), Grade::Pass, "{status}");
    }
    for status in [500, 502, 302] {
        assert_eq!(grade(&rejected(status)), Grade::Warn, "{status}");
    }
    assert!(refused(&rejected(500), &contract()).fix.unwrap().contains("401 or 403"));
    assert_eq!(grade(&accepted()), Grade::Fail);
    assert_eq!(grade(&rejected(202)), Grade::Fail, "202 is no refusal");
    assert_eq!(grade(&hung()), Grade::Fail);
    assert_eq!(grade(&broken(Stage::Answer, "the connection was closed")), Grade::Fail);
}

#[test]
fn what_it_never_heard_of_may_be_refused_at_the_price_of_retries() {
    let grade = |exchange: &Exchange| tolerated(exchange, &contract()).grade;
    assert_eq!(grade(&accepted()), Grade::Pass);
    assert_eq!(grade(&rejected(404)), Grade::Warn);
    assert!(tolerated(&rejected(404), &contract()).seen.contains("ten times for nothing"));
    assert_eq!((grade(&rejected(500)), grade(&hung())), (Grade::Fail, Grade::Fail));
    for exchange in [rejected(400), rejected(500), hung()] {
        assert_eq!(welcome(&exchange, &contract()).grade, Grade::Warn);
    }
    assert_eq!(welcome(&accepted(), &contract()).grade, Grade::Pass);
}

#[test]
fn more_than_half_of_the_time_is_a_warning_and_more_than_all_of_it_a_failure() {
    let octamile = Contract { limit: Span::from_seconds(5), ..contract() };
    let grade = |ms: i64| in_time(Some(Span::from_ms(ms)), &octamile).grade;
    assert_eq!(
        [grade(3), grade(2_500), grade(2_501), grade(5_000), grade(5_001)].map(Grade::as_str),
        ["pass", "pass", "warn", "warn", "fail"]
    );
    assert_eq!(in_time(None, &octamile).grade, Grade::Skipped);
    let late = Exchange { took: Span::from_seconds(6), ..accepted() };
    assert_eq!(taken_in_time(&late, &octamile).grade, Grade::Fail);
    assert_eq!(taken(&late, &octamile).grade, Grade::Pass, "that is told once, of all");
}

#[test]
fn of_many_the_worst_decides_and_is_shown() {
    let (shown, judged) = all_taken(&[accepted(), rejected(503), hung()], &contract());
    assert_eq!((shown, judged.grade), (1, Grade::Fail));
    assert_eq!(judged.seen, "2 of 3 went wrong; one of them: answered 503");
    assert_eq!(all_taken(&[accepted(), accepted()], &contract()).1.grade, Grade::Pass);
}

#[test]
fn a_kept_connection_must_answer_again() {
    let reused = Exchange { reused: true, ..accepted() };
    let resent = Exchange { resent: true, ..accepted() };
    let grade = |exchanges: &[Exchange]| kept_alive(exchanges, &contract()).grade;
    assert_eq!(grade(&[accepted(), reused.clone()]), Grade::Pass);
    assert_eq!(grade(&[accepted(), accepted(), accepted()]), Grade::Warn);
    assert_eq!(grade(&[accepted(), resent]), Grade::Fail);
    let hangs = Exchange { reused: true, ..hung() };
    let judged = kept_alive(&[accepted(), hangs], &contract());
    assert_eq!(
        (judged.grade, judged.seen.as_str()),
        (Grade::Fail, "on a kept connection it gave no answer within 10 s")
    );
}

#[test]
fn what_overtakes_may_be_refused_only_until_the_rest_has_come() {
    let judged = |early: Exchange, creation: Exchange, again: Option<Exchange>| {
        let (shown, judged) = out_of_order(&early, &creation, again.as_ref(), &contract());
        (shown, judged.grade)
    };
    assert_eq!(judged(accepted(), accepted(), None), (0, Grade::Pass));
    assert_eq!(judged(rejected(404), accepted(), Some(accepted())), (0, Grade::Warn));
    assert_eq!(judged(rejected(500), accepted(), Some(accepted())), (0, Grade::Fail));
    assert_eq!(judged(accepted(), rejected(409), None), (1, Grade::Fail));
    assert_eq!(judged(rejected(404), accepted(), Some(rejected(404))), (2, Grade::Fail));
}

#[test]
fn the_first_notification_says_what_to_do_and_whether_to_go_on() {
    let fix = |exchange: &Exchange| reached(exchange, &contract(), true).fix.unwrap_or_default();
    assert!(fix(&rejected(401)).contains("same secret"));
    assert!(reached(&rejected(401), &contract(), false).fix.unwrap().contains("unsigned"));
    assert!(fix(&rejected(404)).contains("--set"));
    assert!(fix(&broken(Stage::Connect, "connection refused")).contains("Start the receiver"));
    assert!(fix(&broken(Stage::Tls, "the certificate's issuer is unknown")).contains("--ca"));
    assert!(fix(&rejected(201)).contains("Answer 200 exactly"));
    for exchange in [
        rejected(302),
        rejected(401),
        rejected(404),
        rejected(405),
        hung(),
        broken(Stage::Connect, "connection refused"),
        broken(Stage::Tls, "the certificate has expired"),
        broken(Stage::Answer, "the answer cannot be read"),
        met(Outcome::Blocked { reason: "10.0.0.5 is in 10.0.0.0/8, a private network".to_owned() }),
    ] {
        assert!(hopeless(&exchange).is_some(), "{exchange:?}");
    }
    for exchange in [accepted(), rejected(201), rejected(400), rejected(422), rejected(500), rejected(503)] {
        assert_eq!(hopeless(&exchange), None, "other types may be taken");
    }
}

#[test]
fn an_answer_without_end_is_a_warning() {
    let grade = |body_end| answer_size(&Exchange { body_end, ..accepted() }).grade;
    assert_eq!(grade(Some(BodyEnd::Whole)), Grade::Pass);
    for end in [BodyEnd::Cut, BodyEnd::Unfinished, BodyEnd::Broken] {
        assert_eq!(grade(Some(end)), Grade::Warn, "{end:?}");
    }
    assert_eq!(grade(None), Grade::Skipped);
}

#[test]
fn sizes_read_as_a_person_would_say_them() {
    let said = [7, 1_849, 12_345, 273_000, 2_700_000].map(in_kilobytes);
    assert_eq!(said, ["7 bytes", "1.8 kB", "12 kB", "273 kB", "2.7 MB"]);
}
