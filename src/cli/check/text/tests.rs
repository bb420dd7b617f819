use super::*;
use crate::check::case;
use crate::endpoint::Scheme;
use crate::time::{Span, Time};

/// One finding of each grade; the receiver says `foreign`.
pub fn report(foreign: &str) -> Report {
    let finding = |id: &str, grade: Grade| {
        let case = case::all().find(|case| case.id == id).unwrap();
        let is_trouble = matches!(grade, Grade::Warn | Grade::Fail);
        Finding {
            case,
            grade,
            seen: format!("answered 500 {foreign}"),
            sent: Some("policy/creation, 1.9 kB, rightly signed".to_owned()),
            answer: Some(Answer { status: 500, location: None, body: foreign.to_owned(), more: false }),
            fix: is_trouble.then(|| case.fix.to_owned()),
            took: Span::from_ms(12),
        }
    };
    Report {
        url: "http://127.0.0.1:3000/hook".to_owned(),
        profile: ProfileName::Ensuro,
        schemes: vec![Scheme::Hmac],
        seed: 7,
        started_at: Time::from_ms(1_793_491_200_000),
        took: Span::from_ms(4200),
        findings: vec![
            finding("basics/reached", Grade::Pass),
            finding("signature/half", Grade::Warn),
            finding("signature/other-body", Grade::Fail),
            finding("bytes/unicode", Grade::Skipped),
        ],
        stopped: None,
    }
}

#[test]
fn every_line_fits_80_columns_and_foreign_text_cannot_steer_the_terminal() {
    let report = report(&format!("\u{1b}[2J\n{}", "x".repeat(500)));
    for finding in &report.findings {
        for text in lines(finding, report.profile, None) {
            let bare: String = text.chars().filter(|c| !matches!(c, '\u{2060}'..='\u{2064}')).collect();
            assert!(bare.chars().count() <= COLUMNS, "{bare}");
            assert!(!text.contains(['\u{1b}', '\n']), "{text:?}");
        }
    }
}

#[test]
fn a_pass_is_one_line_and_trouble_says_all_that_is_to_be_known() {
    let report = report("Internal Server Error");
    assert_eq!(lines(&report.findings[0], report.profile, None).len(), 1);
    assert_eq!(lines(&report.findings[3], report.profile, None).len(), 1);
    let told = lines(&report.findings[2], report.profile, None).join("\n");
    for part in
        ["FAIL", "signature/other-body", "Internal Server Error", "Notification signature", "get_data()", "12 ms"]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn a_remedy_is_told_once_in_a_row() {
    let report = report("");
    let (before, now) = (&report.findings[1], &report.findings[2]);
    let same = Finding { case: now.case, fix: now.fix.clone(), ..before.clone() };
    let told = lines(now, report.profile, Some(&same)).join("\n");
    assert!(told.contains("as for signature/other-body") && !told.contains("get_data()"), "{told}");
    assert!(lines(now, report.profile, Some(before)).join("\n").contains("get_data()"));
}

#[test]
fn long_text_is_broken_at_spaces_and_long_words_within() {
    assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
    assert_eq!(wrapped("a 123456789 b", 4), ["a", "1234", "5678", "9 b"]);
    assert_eq!(wrapped("", 7), [""]);
}

#[test]
fn the_summary_says_how_to_repeat_it() {
    let mut report = report("");
    assert_eq!(summary(&report), "1 passed, 1 warning, 1 failed, 1 skipped in 4.2 s (--seed 7 repeats it)");
    report.stopped = Some("it cannot be reached: the rest was not tried".to_owned());
    assert!(summary(&report).starts_with("it cannot be reached: the rest was not tried. 1 passed, "));
}
