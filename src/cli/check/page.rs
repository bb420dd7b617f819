//! The report as a web page for whoever did not run the check: one file without scripts that loads nothing. All foreign
//! text is escaped.

use askama::Template;

use super::text::answered;
use crate::calendar::rfc3339;
use crate::check::report::{Counts, Finding, Grade, Report};
use crate::plain::plain;

const STYLE: &str = include_str!("page.css");

#[derive(Template)]
#[template(path = "page.html", config = "src/cli/check/askama.toml")]
struct Page {
    style: &'static str,
    version: &'static str,
    url: String,
    terms: String,
    seed: u64,
    started_at: String,
    took: String,
    is_good: bool,
    counts: Counts,
    stopped: Option<String>,
    /// What there is to do something about, the failures first.
    trouble: Vec<Row>,
    groups: Vec<Group>,
}

struct Group {
    name: &'static str,
    counts: String,
    rows: Vec<Row>,
}

struct Row {
    id: &'static str,
    title: &'static str,
    grade: &'static str,
    is_trouble: bool,
    took: String,
    seen: String,
    sent: Option<String>,
    answer: Option<String>,
    why: &'static str,
    source: &'static str,
    fix: Option<String>,
}

pub fn document(report: &Report) -> String {
    let group = |(name, findings): (&'static str, &[Finding])| Group {
        name,
        counts: match Counts::of(findings.iter()) {
            Counts { warned: 0, failed: 0, skipped: 0, .. } => "all passed".to_owned(),
            counts => counts.in_words(),
        },
        rows: findings.iter().map(|finding| row(finding, report)).collect(),
    };
    let mut trouble: Vec<&Finding> = report.findings.iter().filter(|finding| finding.is_trouble()).collect();
    trouble.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
    let page = Page {
        style: STYLE,
        version: env!("CARGO_PKG_VERSION"),
        url: plain(&report.url),
        terms: report.terms(),
        seed: report.seed,
        started_at: rfc3339(report.started_at),
        took: report.took.to_string(),
        is_good: report.is_good(),
        counts: report.counts(),
        stopped: report.stopped.as_deref().map(plain),
        trouble: trouble.into_iter().map(|finding| row(finding, report)).collect(),
        groups: report.groups().map(group).collect(),
    };
    page.render().expect("the page is text")
}

fn row(finding: &Finding, report: &Report) -> Row {
    let took = match finding.grade {
        Grade::Skipped => String::new(),
        Grade::Pass | Grade::Warn | Grade::Fail => finding.took.to_string(),
    };
    Row {
        id: finding.case.id,
        title: finding.case.title,
        grade: finding.grade.as_str(),
        is_trouble: finding.is_trouble(),
        took,
        seen: plain(&finding.seen),
        sent: finding.sent.as_deref().map(plain),
        answer: finding.answer.as_ref().map(answered),
        why: finding.case.why,
        source: finding.case.source(report.profile),
        fix: finding.fix.as_deref().map(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::text::tests::report;

    #[test]
    fn foreign_text_is_only_text_and_nothing_runs_or_loads() {
        let page = document(&report("<script>alert(1)</script>\u{202e}\" onload=\"x"));
        assert!(page.contains("&#60;script&#62;alert(1)&#60;/script&#62;\\u{202e}&#34; onload=&#34;x"), "{page}");
        for word in ["<script", "http-equiv=\"refresh", "src=\"", "href=\"http", "url(", "\u{202e}", " onload=\""] {
            assert!(!page.contains(word), "{word} in {page}");
        }
        assert_eq!(page.matches("<li class=\"").count(), 4, "{page}");
        assert!(page.contains("1 failed") && page.contains("1 warning"), "{page}");
    }
}
