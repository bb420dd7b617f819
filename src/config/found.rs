//! What a configuration file or a text gave for a setting, before anybody asked whether that may be.
//! Reads TOML into a flat list with lines; knows no setting.

use std::fmt;

use toml::de::{DeTable, DeValue};

use super::table::quoted;
use crate::plain::acts;

/// Something found for a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// From the environment or a flag, where everything is text: means what the setting's kind makes of it.
    Untyped(String),
    Text(String),
    Whole(i64),
    Flag(bool),
    List(Vec<Found>),
    /// A TOML value that no setting has, as a person would call it.
    Other(String),
}

impl Found {
    pub fn text(&self) -> Option<&str> {
        match self {
            Found::Untyped(text) | Found::Text(text) => Some(text),
            Found::Whole(_) | Found::Flag(_) | Found::List(_) | Found::Other(_) => None,
        }
    }

    pub fn whole(&self) -> Option<u64> {
        match self {
            Found::Whole(number) => u64::try_from(*number).ok(),
            Found::Untyped(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            Found::Untyped(_) | Found::Text(_) | Found::Flag(_) | Found::List(_) | Found::Other(_) => None,
        }
    }

    pub fn flag(&self) -> Option<bool> {
        match self {
            Found::Flag(flag) => Some(*flag),
            Found::Untyped(text) => text.parse().ok(),
            Found::Text(_) | Found::Whole(_) | Found::List(_) | Found::Other(_) => None,
        }
    }

    /// Untyped text is a list with commas; an empty one has no items.
    pub fn items(&self) -> Option<Vec<Found>> {
        match self {
            Found::List(items) => Some(items.clone()),
            Found::Untyped(text) if text.trim().is_empty() => Some(Vec::new()),
            Found::Untyped(text) => Some(text.split(',').map(|item| Found::Untyped(item.trim().to_owned())).collect()),
            Found::Text(_) | Found::Whole(_) | Found::Flag(_) | Found::Other(_) => None,
        }
    }

    fn of(value: &DeValue<'_>) -> Found {
        match value {
            DeValue::String(text) => Found::Text(text.clone().into_owned()),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(number) => Found::Whole(number),
                Err(_) => Found::Other(format!("{digits} (a number beyond 64 bits)")),
            },
            DeValue::Float(digits) => Found::Other(format!("{digits} (a number with a fraction)")),
            DeValue::Boolean(flag) => Found::Flag(*flag),
            DeValue::Datetime(at) => Found::Other(format!("{at} (a date or time)")),
            DeValue::Array(items) => Found::List(items.iter().map(|item| Found::of(item.get_ref())).collect()),
            DeValue::Table(_) => Found::Other("a table".to_owned()),
        }
    }
}

/// The middle of the sentence `store.path is …; it must be …`.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Untyped(text) => f.write_str(&quoted(text)),
            Found::Text(text) => write!(f, "{} (a text)", quoted(text)),
            Found::Whole(number) => write!(f, "{number}"),
            Found::Flag(flag) => write!(f, "{flag}"),
            Found::List(items) => match items.len() {
                0 => f.write_str("an empty list"),
                1 => f.write_str("a list of 1 item"),
                count => write!(f, "a list of {count} items"),
            },
            Found::Other(what) => f.write_str(what),
        }
    }
}

/// One line's worth of a configuration file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// From 1.
    pub line: usize,
    pub what: What,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    /// `key = value` within `[section]`, the key as `section.key`; or outside any, with the bare key.
    Setting(String, Found),
    /// A table of that name, empty ones too.
    Section(String),
}

/// A file that is not TOML.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong, and the line with a caret below the place.
    pub text: String,
}

/// Everything that `text` says, in the order of its lines.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, Syntax> {
    let table = DeTable::parse(text).map_err(|error| syntax(text, &error))?;
    let line = |offset: usize| 1 + text.as_bytes()[..offset].iter().filter(|b| **b == b'\n').count();
    let mut entries = Vec::new();
    for (name, value) in table.get_ref() {
        let what = match value.get_ref() {
            DeValue::Table(_) => What::Section(name.get_ref().to_string()),
            other => What::Setting(name.get_ref().to_string(), Found::of(other)),
        };
        entries.push(Entry { line: line(name.span().start), what });
        for (key, value) in value.get_ref().as_table().into_iter().flatten() {
            let full = format!("{}.{}", name.get_ref(), key.get_ref());
            entries.push(Entry { line: line(key.span().start), what: What::Setting(full, Found::of(value.get_ref())) });
        }
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

/// How much of a line an excerpt shows before and after the place.
const EXCERPT_CHARACTERS: usize = 60;

fn syntax(text: &str, error: &toml::de::Error) -> Syntax {
    let offset = error.span().map_or(0, |span| span.start).min(text.len());
    let start = text.as_bytes()[..offset].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let line = 1 + text.as_bytes()[..start].iter().filter(|b| **b == b'\n').count();
    let before = String::from_utf8_lossy(&text.as_bytes()[start..offset]).chars().count();
    let rest = text[start..].lines().next().unwrap_or_default();
    let skipped = before.saturating_sub(EXCERPT_CHARACTERS);
    // One character each, so that the caret stays below its place whatever the line holds.
    let shown = |c: char| if acts(c) { ' ' } else { c };
    let excerpt: String = rest.chars().skip(skipped).take(2 * EXCERPT_CHARACTERS).map(shown).collect();
    let (gutter, indent) = (" ".repeat(line.to_string().len()), " ".repeat(before - skipped));
    let message = error.message().replace('\n', "; ");
    Syntax {
        line,
        column: before + 1,
        text: format!("{message}\n  {line} | {}\n  {gutter} | {indent}^", excerpt.trim_end()),
    }
}
