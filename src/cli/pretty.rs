//! JSON for a person's eyes: a member a line, field names in colour, long texts shortened. Numbers, escapes and the order
//! of fields stay as they were written; only the space between is new.

use super::output::{Tint, tinted};
use crate::plain::plain_json;

/// Texts with more characters are shortened to so many.
const LONGEST: usize = 200;
const SHORTENED: usize = 60;

/// The lines of a text that is JSON; `None` if it is none.
pub fn json(text: &str) -> Option<Vec<String>> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut page = Page { lines: vec![], line: String::new(), depth: 0 };
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = token_end(rest, first);
        let (token, after) = rest.split_at(end);
        let after = after.trim_start();
        rest = page.put(first, token, after);
    }
    page.end_line();
    Some(page.lines)
}

struct Page {
    lines: Vec<String>,
    line: String,
    depth: usize,
}

impl Page {
    /// Puts down a token, and says what is left.
    fn put<'a>(&mut self, first: char, token: &str, after: &'a str) -> &'a str {
        match first {
            '{' | '[' => {
                self.line.push(first);
                if let Some(rest) = after.strip_prefix(['}', ']']) {
                    self.line.push(if first == '{' { '}' } else { ']' });
                    return rest.trim_start();
                }
                self.depth += 1;
                self.end_line();
            }
            '}' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                self.end_line();
                self.line.push(first);
            }
            ',' => {
                self.line.push(',');
                self.end_line();
            }
            ':' => self.line.push_str(": "),
            '"' if after.starts_with(':') => self.line.push_str(&tinted(Tint::Field, &shortened(token))),
            _ => self.line.push_str(&shortened(token)),
        }
        after
    }

    /// The next line begins at the present depth.
    fn end_line(&mut self) {
        let line = std::mem::replace(&mut self.line, "  ".repeat(self.depth));
        if !line.trim().is_empty() {
            self.lines.push(line);
        }
    }
}

fn token_end(text: &str, first: char) -> usize {
    match first {
        '{' | '}' | '[' | ']' | ',' | ':' => 1,
        '"' => {
            let mut escaped = false;
            let closes = |(_, b): &(usize, u8)| {
                let closes = *b == b'"' && !escaped;
                escaped = *b == b'\\' && !escaped;
                closes
            };
            text.bytes().enumerate().skip(1).find(closes).map_or(text.len(), |(at, _)| at + 1)
        }
        _ => text.find([',', ':', '}', ']', ' ', '\t', '\r', '\n']).unwrap_or(text.len()),
    }
}

/// A token as it was written, made plain; a long one by its beginning and its length.
fn shortened(token: &str) -> String {
    if token.chars().nth(LONGEST).is_none() {
        return plain_json(token);
    }
    let beginning: String = token.chars().take(SHORTENED).collect();
    let about = format!("({} characters)", token.chars().count() - 2 * usize::from(token.starts_with('"')));
    format!("{}{}", plain_json(&beginning), tinted(Tint::Faint, &format!("… {about}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without colours.
    fn lines(text: &str) -> Vec<String> {
        let mark = |c: &char| !matches!(c, '\u{200b}' | '\u{2060}'..='\u{2064}');
        json(text).unwrap().iter().map(|line| line.chars().filter(mark).collect()).collect()
    }

    #[test]
    fn only_the_space_between_changes() {
        let text =
            r#" {"b":1.50e+2 ,"a\"\\":[ ],"c" : {"d":[true,null,"\u00e9 é"]},"n":12345678901234567890.10,"b":{ }} "#;
        let expected = [
            "{",
            r#"  "b": 1.50e+2,"#,
            r#"  "a\"\\": [],"#,
            r#"  "c": {"#,
            r#"    "d": ["#,
            "      true,",
            "      null,",
            r#"      "\u00e9 é""#,
            "    ]",
            "  },",
            r#"  "n": 12345678901234567890.10,"#,
            r#"  "b": {}"#,
            "}",
        ];
        assert_eq!(lines(text), expected);
        assert_eq!(lines("7"), ["7"]);
        assert_eq!(lines(" [ ] "), ["[]"]);
        assert_eq!(lines(r#""{,:""#), [r#""{,:""#]);
    }

    #[test]
    fn what_is_no_json_has_no_lines() {
        for text in ["", "{", "{'a': 1}", "a=b", "{} {}", "{\"a\": 1,}"] {
            assert_eq!(json(text), None, "{text:?}");
        }
        assert_eq!(json(&"[".repeat(100_000)), None);
    }

    #[test]
    fn long_texts_are_shortened_and_nothing_acts() {
        let lines = lines(&format!(r#"{{"crtfct": "{}", "x": "a{}b"}}"#, "A".repeat(5000), '\u{202e}'));
        assert_eq!(lines[1], format!("  \"crtfct\": \"{}… (5000 characters),", "A".repeat(SHORTENED - 1)));
        assert_eq!(lines[2], "  \"x\": \"a\\u202eb\"");
    }
}
