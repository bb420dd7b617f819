//! How a log line is written, as text or as JSON.
//! Nothing that a line shows can end it, begin another or steer a terminal: every value is escaped here, whoever wrote
//! the event, so no caller can forget to.

use std::fmt::{self, Debug, Display};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::calendar::rfc3339;
use crate::log::Format;
use crate::plain::{acts, plain, plain_json};
use crate::time::Time;

/// The form of all lines.
pub(super) struct Lines {
    pub format: Format,
    /// Of no meaning for JSON.
    pub colour: bool,
    pub clock: fn() -> Time,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        if !metadata.target().starts_with("postrider") {
            fields.named.push(("target", Value::from(metadata.target())));
        }
        let at = rfc3339((self.clock)());
        let line = match self.format {
            Format::Text => text(&at, metadata.level(), &fields, self.colour),
            Format::Json => json(&at, metadata.level(), fields),
        };
        writer.write_str(&line)
    }
}

/// What an event says, in its own order.
#[derive(Default)]
struct Fields {
    message: String,
    named: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.named.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::from(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, Value::from(format!("{value:?}")));
    }
}

/// `2026-11-01T00:00:00.000Z  INFO message key=value other="of several words"`.
fn text(at: &str, level: &tracing::Level, fields: &Fields, colour: bool) -> String {
    let painted = |code: &str, text: &dyn Display| match colour {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_string(),
    };
    let level_code = match *level {
        tracing::Level::ERROR => "1;31",
        tracing::Level::WARN => "33",
        tracing::Level::INFO => "32",
        tracing::Level::DEBUG => "34",
        tracing::Level::TRACE => "35",
    };
    let level = painted(level_code, &format_args!("{:>5}", level.as_str()));
    let mut line = format!("{} {level} {}", painted("2", &at), plain(&fields.message));
    for (name, value) in &fields.named {
        let name = painted("2", &format_args!("{name}="));
        line.push_str(&format!(" {name}{}", shown(value)));
    }
    line.push('\n');
    line
}

/// A value as text: bare if it is one word, else in quotes that only we can open and close.
fn shown(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let bare = |c: char| !acts(c) && !c.is_whitespace() && !matches!(c, '"' | '\\' | '=');
    match !text.is_empty() && text.chars().all(bare) {
        true => text.clone(),
        false => format!("\"{}\"", plain(&text.replace('\\', "\\\\").replace('"', "\\\""))),
    }
}

/// `{"timestamp":"…","level":"info","message":"…","key":value}`. Whatever acts is escaped as JSON does it, so that a
/// program reads the text unchanged.
fn json(at: &str, level: &tracing::Level, fields: Fields) -> String {
    let mut object = serde_json::Map::new();
    object.insert("timestamp".to_owned(), Value::from(at));
    object.insert("level".to_owned(), Value::from(level.as_str().to_ascii_lowercase()));
    object.insert("message".to_owned(), Value::from(fields.message));
    for (name, value) in fields.named {
        // Ours come first: no field can pass for the time or the level.
        object.entry(name).or_insert(value);
    }
    let mut line = plain_json(&Value::Object(object).to_string());
    line.push('\n');
    line
}
