//! The report as JUnit XML, as CI systems show it: a suite for each group, a test case for each case. A warning passes,
//! with its text as output. Foreign text is escaped, and holds no character that XML forbids.

use askama::Template;

use super::text::{answered, summary};
use crate::calendar::rfc3339;
use crate::check::report::{Counts, Finding, Grade, Report};
use crate::plain::plain;
use crate::time::Span;

#[derive(Template)]
#[template(path = "junit.xml", config = "src/cli/check/askama.toml")]
struct Document {
    url: String,
    terms: String,
    seed: u64,
    summary: String,
    /// Seconds.
    time: String,
    timestamp: String,
    counts: Counts,
    total: usize,
    suites: Vec<Suite>,
}

struct Suite {
    name: &'static str,
    time: String,
    counts: Counts,
    total: usize,
    cases: Vec<TestCase>,
}

struct TestCase {
    name: String,
    time: String,
    grade: Grade,
    seen: String,
    /// What a person needs to know of it, line by line.
    details: String,
}

pub fn document(report: &Report) -> String {
    let suite = |(name, findings): (&'static str, &[Finding])| Suite {
        name,
        time: seconds(Span::from_ms(findings.iter().map(|finding| finding.took.ms()).sum())),
        counts: Counts::of(findings.iter()),
        total: findings.len(),
        cases: findings.iter().map(|finding| test_case(finding, report)).collect(),
    };
    let document = Document {
        url: safe(&report.url),
        terms: report.terms(),
        seed: report.seed,
        summary: safe(&summary(report)),
        time: seconds(report.took),
        timestamp: rfc3339(report.started_at),
        counts: report.counts(),
        total: report.findings.len(),
        suites: report.groups().map(suite).collect(),
    };
    document.render().expect("the document is text")
}

fn test_case(finding: &Finding, report: &Report) -> TestCase {
    let case = finding.case;
    let mut details = vec![format!("case    {}", case.id), format!("seen    {}", safe(&finding.seen))];
    details.extend(finding.sent.as_ref().map(|sent| format!("sent    {}", safe(sent))));
    details.extend(finding.answer.as_ref().map(|answer| format!("answer  {}", safe(&answered(answer)))));
    details.push(format!("matters {} ({})", case.why, case.source(report.profile)));
    details.extend(finding.fix.as_ref().map(|fix| format!("fix     {}", safe(fix))));
    TestCase {
        name: format!("{}: {}", case.id, case.title),
        time: seconds(finding.took),
        grade: finding.grade,
        seen: safe(&finding.seen),
        details: details.join("\n"),
    }
}

fn seconds(span: Span) -> String {
    format!("{}.{:03}", span.ms() / 1000, span.ms() % 1000)
}

/// Text that acts in no viewer, and without the two characters beyond controls that XML 1.0 forbids.
fn safe(text: &str) -> String {
    plain(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::text::tests::report;

    #[test]
    fn each_case_is_a_test_case_and_foreign_text_is_only_text() {
        let xml = document(&report("<b>&\"'\u{1b}[31m]]>\u{ffff}"));
        assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites "), "{xml}");
        assert_eq!(xml.matches("<testcase ").count(), 4);
        assert_eq!(xml.matches("<failure ").count(), 1);
        assert_eq!(xml.matches("<skipped ").count(), 1);
        assert_eq!(xml.matches("<system-out>").count(), 1);
        assert!(xml.contains("tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"1\""), "{xml}");
        assert!(
            !xml.contains("<b>") && !xml.contains('\u{1b}') && !xml.contains('\u{ffff}') && !xml.contains("]]>"),
            "{xml}"
        );
        assert!(xml.contains("&#60;b&#62;"), "{xml}");
    }
}
