//! The report as text of 80 columns: a line for each case, and below it what there is to know if it did not pass.

use crate::check::Plan;
use crate::check::case::Case;
use crate::check::report::{self, Answer, Finding, Grade, Report};
use crate::cli::Failure;
use crate::cli::output::{Table, Tint, line, terminal, tinted};
use crate::endpoint::ProfileName;
use crate::operations::look::redacted;

/// Lines are no longer than this, but for words that are.
const COLUMNS: usize = 80;
/// Where a case's title begins.
const INDENT: usize = 8;
/// Where the text of a detail begins.
const DETAIL: usize = 17;
/// Characters of an answer's body that are shown.
const SHOWN: usize = 160;

/// Writes findings as they come.
pub struct Writer {
    profile: ProfileName,
    heading: String,
    group: &'static str,
    /// The last one of which was told why it matters and what to do.
    told: Option<Finding>,
}

impl Writer {
    pub fn new(plan: &Plan) -> Self {
        let heading = format!("{}, profile {}", terminal(&redacted(&plan.endpoint.url)), plan.endpoint.profile);
        Writer { profile: plan.endpoint.profile, heading, group: "", told: None }
    }

    pub fn found(&mut self, finding: &Finding) -> Result<(), Failure> {
        // What was not tried is told in one sentence at the end.
        if finding.grade == Grade::Skipped && finding.seen == report::NOT_TRIED {
            return Ok(());
        }
        if self.group.is_empty() {
            line(&self.heading)?;
        }
        if self.group != finding.case.group() {
            self.group = finding.case.group();
            line("")?;
            line(self.group)?;
        }
        let lines = lines(finding, self.profile, self.told.as_ref());
        if finding.is_trouble() && !self.told.as_ref().is_some_and(|told| says_the_same(told, finding)) {
            self.told = Some(finding.clone());
        }
        lines.iter().try_for_each(|text| line(text))
    }
}

/// What follows the last finding.
pub fn end(report: &Report) -> Result<(), Failure> {
    line("")?;
    let troubled: Vec<&Finding> = report.findings.iter().filter(|finding| finding.grade == Grade::Fail).collect();
    if troubled.len() > 1 {
        let ids: Vec<&str> = troubled.iter().map(|finding| finding.case.id).collect();
        for text in wrapped(&format!("failed: {}", ids.join(", ")), COLUMNS) {
            line(&text)?;
        }
    }
    let tint = match (report.is_good(), report.counts().warned) {
        (true, 0) => Tint::Good,
        (true, _) => Tint::Waiting,
        (false, _) => Tint::Bad,
    };
    wrapped(&summary(report), COLUMNS).iter().try_for_each(|text| line(&tinted(tint, text)))
}

/// `28 passed, 2 warnings, 1 failed in 4.2 s (--seed 7 repeats it)`.
pub fn summary(report: &Report) -> String {
    let stopped = report.stopped.as_ref().map_or(String::new(), |why| format!("{}. ", terminal(why)));
    let counts = report.counts().in_words();
    format!("{stopped}{counts} in {} (--seed {} repeats it)", report.took, report.seed)
}

/// The cases alone.
pub fn list(cases: &[&Case], profile: ProfileName) -> Result<(), Failure> {
    let mut table = Table::new(&["case", "a good receiver", "source"]);
    for case in cases {
        table.row(vec![case.id.to_owned(), case.title.to_owned(), case.source(profile).to_owned()]);
    }
    table.print()
}

/// What was told with the case before is not told again.
fn lines(finding: &Finding, profile: ProfileName, before: Option<&Finding>) -> Vec<String> {
    let case = finding.case;
    let (word, tint) = match finding.grade {
        Grade::Pass => ("pass", Tint::Good),
        Grade::Warn => ("WARN", Tint::Waiting),
        Grade::Fail => ("FAIL", Tint::Bad),
        Grade::Skipped => ("-", Tint::Faint),
    };
    let took = match finding.grade {
        Grade::Skipped => String::new(),
        Grade::Pass | Grade::Warn | Grade::Fail => finding.took.to_string(),
    };
    let title = format!("{:<width$}", case.title, width = COLUMNS - INDENT - 10);
    let end = tinted(Tint::Faint, &format!("{took:>10}"));
    let head = format!("  {}{title}{end}", tinted(tint, &format!("{word:<6}")));
    let mut lines = vec![head.trim_end().to_owned()];
    if !finding.is_trouble() {
        return lines;
    }
    let mut detail = |name: &str, text: &str| {
        for (number, part) in wrapped(text, COLUMNS - DETAIL).into_iter().enumerate() {
            let name = if number == 0 { name } else { "" };
            lines.push(format!("{:INDENT$}{}{part}", "", tinted(Tint::Faint, &format!("{name:<9}"))));
        }
    };
    detail("case", case.id);
    detail("seen", &terminal(&finding.seen));
    if let Some(sent) = &finding.sent {
        detail("sent", &terminal(sent));
    }
    if let Some(answer) = &finding.answer {
        detail("answer", &answered(answer));
    }
    if let Some(before) = before.filter(|before| says_the_same(before, finding)) {
        detail("fix", &format!("as for {}", before.case.id));
        return lines;
    }
    detail("matters", &format!("{} ({})", case.why, case.source(profile)));
    if let Some(fix) = &finding.fix {
        detail("fix", &terminal(fix));
    }
    lines
}

/// Whether both matter for the same reason and are put right in the same way.
fn says_the_same(a: &Finding, b: &Finding) -> bool {
    a.case.why == b.case.why && a.fix == b.fix
}

/// `413, <!DOCTYPE html>…`.
pub fn answered(answer: &Answer) -> String {
    let shown: String = answer.body.trim().chars().take(SHOWN).collect();
    let mut text = answer.status.to_string();
    if let Some(location) = &answer.location {
        text += &format!(", Location {}", terminal(location));
    }
    match shown.is_empty() {
        true => text + ", no body",
        false => {
            let more = if answer.more || shown.len() < answer.body.trim().len() { "…" } else { "" };
            text + &format!(", {}{more}", terminal(&shown))
        }
    }
}

/// Broken at spaces into lines of at most `columns` characters; a longer word is broken within.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut width = 0;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if width > 0 && width + 1 + word.len() > columns {
            lines.push(String::new());
            width = 0;
        }
        while word.len() > columns {
            let rest = word.split_off(columns);
            lines.last_mut().expect("a line").extend(word);
            lines.push(String::new());
            word = rest;
        }
        let line = lines.last_mut().expect("a line");
        if width > 0 {
            line.push(' ');
            width += 1;
        }
        width += word.len();
        line.extend(word);
    }
    lines
}

#[cfg(test)]
pub mod tests;
