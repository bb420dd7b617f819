//! What a check found: a finding for each case, and the counts that decide the exit status.
//! A model for whoever shows it. Texts from the receiver are as it sent them, but cut and without the secrets that it
//! may have repeated; to make them harmless is up to each way of showing them.

use super::case::Case;
use crate::endpoint::{ProfileName, Scheme};
use crate::time::{Span, Time};

/// How a case went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    Skipped,
    Pass,
    /// Works today, and will hurt some day.
    Warn,
    /// Breaks the contract.
    Fail,
}

impl Grade {
    pub const ALL: [Grade; 4] = [Grade::Skipped, Grade::Pass, Grade::Warn, Grade::Fail];

    pub const fn as_str(self) -> &'static str {
        match self {
            Grade::Skipped => "skipped",
            Grade::Pass => "pass",
            Grade::Warn => "warn",
            Grade::Fail => "fail",
        }
    }
}

/// What one case found.
#[derive(Clone, Debug)]
pub struct Finding {
    pub case: &'static Case,
    pub grade: Grade,
    /// What was seen, in half a sentence: `answered 201, and Ensuro counts only 200`.
    pub seen: String,
    /// What was sent, in short; `None` if nothing was sent for this case.
    pub sent: Option<String>,
    /// What came back, in short; `None` if nothing was sent, or nothing came.
    pub answer: Option<Answer>,
    /// What to change; `None` unless something is to be changed.
    pub fix: Option<String>,
    pub took: Span,
}

/// An answer, as far as it helps to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Where a redirect pointed.
    pub location: Option<String>,
    /// The first characters of the body.
    pub body: String,
    /// The body went on.
    pub more: bool,
}

#[derive(Clone, Debug)]
pub struct Report {
    /// Without the values of its query.
    pub url: String,
    pub profile: ProfileName,
    pub schemes: Vec<Scheme>,
    /// With which the same notifications are made again.
    pub seed: u64,
    pub started_at: Time,
    pub took: Span,
    pub findings: Vec<Finding>,
    /// Why not all cases were run, in a sentence.
    pub stopped: Option<String>,
}

/// What is seen of a case that was not tried.
pub const NOT_TRIED: &str = "not tried";

/// How many cases went how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub warned: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Report {
    /// Nothing failed, and everything that was asked for was tried.
    pub fn is_good(&self) -> bool {
        self.stopped.is_none() && self.counts().failed == 0
    }

    pub fn counts(&self) -> Counts {
        Counts::of(self.findings.iter())
    }

    /// The findings of each group, in order.
    pub fn groups(&self) -> impl Iterator<Item = (&'static str, &[Finding])> {
        let runs = self.findings.chunk_by(|a, b| a.case.group() == b.case.group());
        runs.map(|run| (run[0].case.group(), run))
    }

    /// `ensuro, signed with hmac`.
    pub fn terms(&self) -> String {
        let schemes: Vec<&str> = self.schemes.iter().map(|scheme| scheme.as_str()).collect();
        match schemes.is_empty() {
            true => format!("{}, unsigned", self.profile),
            false => format!("{}, signed with {}", self.profile, schemes.join(" and ")),
        }
    }
}

impl Counts {
    pub fn of<'a>(findings: impl Iterator<Item = &'a Finding>) -> Self {
        let mut counts = Counts::default();
        for finding in findings {
            match finding.grade {
                Grade::Pass => counts.passed += 1,
                Grade::Warn => counts.warned += 1,
                Grade::Fail => counts.failed += 1,
                Grade::Skipped => counts.skipped += 1,
            }
        }
        counts
    }

    /// `28 passed, 2 warnings, 1 failed`; skipped ones are told where there are any.
    pub fn in_words(self) -> String {
        let warnings = if self.warned == 1 { "warning" } else { "warnings" };
        let mut words = format!("{} passed, {} {warnings}, {} failed", self.passed, self.warned, self.failed);
        if self.skipped > 0 {
            words += &format!(", {} skipped", self.skipped);
        }
        words
    }
}

impl Finding {
    /// It was not tried.
    pub fn skipped(case: &'static Case) -> Self {
        Finding {
            case,
            grade: Grade::Skipped,
            seen: NOT_TRIED.to_owned(),
            sent: None,
            answer: None,
            fix: None,
            took: Span::ZERO,
        }
    }

    /// Whether there is something to be done about it.
    pub fn is_trouble(&self) -> bool {
        match self.grade {
            Grade::Warn | Grade::Fail => true,
            Grade::Pass | Grade::Skipped => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_as_a_person_would_say_them() {
        let counts = Counts { passed: 28, warned: 2, failed: 1, skipped: 0 };
        assert_eq!(counts.in_words(), "28 passed, 2 warnings, 1 failed");
        let counts = Counts { passed: 0, warned: 1, failed: 0, skipped: 3 };
        assert_eq!(counts.in_words(), "0 passed, 1 warning, 0 failed, 3 skipped");
    }
}
