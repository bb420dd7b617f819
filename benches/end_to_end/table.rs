//! What was measured, as lines of a table: each beside its target, and beside the bare loop of the same run where there is one.

use std::fmt::Write;
use std::time::Duration;

pub struct Line {
    pub what: &'static str,
    pub target: &'static str,
    pub measured: String,
    /// What the bare loop did, or the same run without what is looked at.
    pub beside: String,
    pub met: bool,
}

/// As Markdown.
pub fn table(lines: &[Line]) -> String {
    let mut text = "| what | target | measured | beside it | |\n|---|---|---|---|---|\n".to_owned();
    for Line { what, target, measured, beside, met } in lines {
        let verdict = if *met { "met" } else { "**missed**" };
        writeln!(text, "| {what} | {target} | {measured} | {beside} | {verdict} |").expect("memory");
    }
    text
}

pub fn ms(time: Duration) -> String {
    match time.as_secs_f64() * 1000.0 {
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 10.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// `31,400`.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
