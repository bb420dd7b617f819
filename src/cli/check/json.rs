//! The report as JSON.

use serde_json::{Value, json};

use crate::calendar::rfc3339;
use crate::check::case::Case;
use crate::check::report::{Answer, Finding, Report};
use crate::endpoint::ProfileName;

pub fn document(report: &Report) -> Value {
    let counts = report.counts();
    json!({
        "ok": report.is_good(),
        "url": report.url,
        "profile": report.profile.as_str(),
        "schemes": report.schemes.iter().map(|scheme| scheme.as_str()).collect::<Vec<_>>(),
        "seed": report.seed,
        "started_at": rfc3339(report.started_at),
        "took_ms": report.took.ms(),
        "passed": counts.passed,
        "warnings": counts.warned,
        "failed": counts.failed,
        "skipped": counts.skipped,
        // Null if everything was tried.
        "stopped": report.stopped,
        "findings": report.findings.iter().map(|found| finding(found, report.profile)).collect::<Vec<_>>(),
    })
}

/// The cases alone, as they would be tried.
pub fn cases(cases: &[&Case], profile: ProfileName) -> Value {
    let case = |case: &&Case| {
        json!({
            "case": case.id,
            "title": case.title,
            "why": case.why,
            "source": case.source(profile),
            "fix": case.fix,
        })
    };
    cases.iter().map(case).collect()
}

fn finding(finding: &Finding, profile: ProfileName) -> Value {
    let case = finding.case;
    json!({
        "case": case.id,
        "group": case.group(),
        "title": case.title,
        "result": finding.grade.as_str(),
        "seen": finding.seen,
        "sent": finding.sent,
        "answer": finding.answer.as_ref().map(answer),
        "why": case.why,
        "source": case.source(profile),
        "fix": finding.fix,
        "took_ms": finding.took.ms(),
    })
}

fn answer(answer: &Answer) -> Value {
    json!({"status": answer.status, "location": answer.location, "body": answer.body, "more": answer.more})
}
