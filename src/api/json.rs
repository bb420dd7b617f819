//! JSON as it comes from outside: checked before it is believed, and every fault told with its place.
//! What a field of raw JSON holds is not looked into, beyond that it is JSON.

use std::fmt::Write;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use super::problem::{Kind, Problem};
use crate::config::nearest;

/// Levels of arrays and objects within one another that are read.
pub const DEEPEST: usize = 128;

/// The value that `bytes` hold as JSON. A struct wants `#[serde(deny_unknown_fields)]`. Fields of
/// `Box<serde_json::value::RawValue>` get their text byte for byte, unless the struct is flattened or untagged.
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let detail = format!("the body is not UTF-8 at byte {at} (0x{:02x}); JSON is always UTF-8", bytes[at]);
            return Err(Problem::new(Kind::BadUtf8, detail));
        }
    };
    if text.trim_ascii().is_empty() {
        return Err(Problem::new(Kind::MalformedJson, "the body is empty; send a JSON value"));
    }
    if is_too_deep(bytes) {
        return Err(too_deep());
    }
    // To keep the path costs as much as to read: it is asked for when something is wrong.
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().clone();
        fault(&path, &error.into_inner())
    })?;
    reader.end().map_err(|error| fault_of_syntax(&error))?;
    Ok(value)
}

/// The same of an object: serde would take an array for a struct too, member by member.
pub fn read_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        return read_json(bytes);
    }
    read_json::<IgnoredAny>(bytes)?;
    Err(Problem::envelope("", "the body must be a JSON object"))
}

fn too_deep() -> Problem {
    Problem::new(Kind::TooDeep, format!("the JSON nests deeper than {DEEPEST} levels; flatten it"))
}

/// Counts what is open outside strings; whether it closes in order is the reader's to say.
fn is_too_deep(json: &[u8]) -> bool {
    // What opens so little cannot be, wherever it stands.
    if json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() <= DEEPEST {
        return false;
    }
    let (mut open, mut within, mut escaped) = (0_usize, false, false);
    for byte in json {
        match (within, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => within = !within,
            (false, b'[' | b'{') => open += 1,
            (false, b']' | b'}') => open = open.saturating_sub(1),
            (true | false, _) => {}
        }
        if open > DEEPEST {
            return true;
        }
    }
    false
}

fn fault(path: &Path, error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Data => fault_of_data(path, error),
        Category::Syntax | Category::Eof | Category::Io if message(error).starts_with("recursion limit") => too_deep(),
        Category::Syntax | Category::Eof | Category::Io => fault_of_syntax(error),
    }
}

fn fault_of_syntax(error: &serde_json::Error) -> Problem {
    let (line, column, message) = (error.line(), error.column(), message(error));
    let detail = format!("the body is not JSON: line {line}, column {column}: {message}");
    Problem::new(Kind::MalformedJson, detail)
}

fn fault_of_data(path: &Path, error: &serde_json::Error) -> Problem {
    let (pointer, last) = pointer(path);
    let told = message(error);
    let (pointer, detail) = match Told::of(&told) {
        Told::Unknown { member, allowed } => {
            // The path leads to the member already, or to what holds it.
            let parent = match last.as_deref() == Some(member) {
                true => pointer[..pointer.rfind('/').unwrap_or_default()].to_owned(),
                false => pointer,
            };
            let near = unknown_member(member, &allowed);
            let list = match allowed.is_empty() {
                true => "nothing is allowed here".to_owned(),
                false => format!("allowed are {}", allowed.join(", ")),
            };
            (child(&parent, member), format!("is no member here{near}; {list}"))
        }
        Told::Missing { member } => (child(&pointer, member), "is missing; give it".to_owned()),
        Told::Repeated { member } if last.as_deref() == Some(member) => (pointer, "is given twice".to_owned()),
        Told::Repeated { member } => (child(&pointer, member), "is given twice".to_owned()),
        Told::Other(text) => (pointer, text),
    };
    let place = if pointer.is_empty() { "the body" } else { &pointer };
    Problem::new(Kind::InvalidEnvelope, format!("{place} {detail}")).at(&pointer, detail)
}

/// What serde's sentence says.
enum Told<'t> {
    Unknown { member: &'t str, allowed: Vec<&'t str> },
    Missing { member: &'t str },
    Repeated { member: &'t str },
    Other(String),
}

impl<'t> Told<'t> {
    fn of(text: &'t str) -> Self {
        let quoted = |rest: &'t str| rest.strip_prefix('`').and_then(|rest| rest.rsplit_once('`'));
        if let Some(rest) = text.strip_prefix("unknown field ") {
            // The foreign name first, up to where our own text goes on: it may have back quotes itself.
            let cut = rest.rfind("`, expected ").or_else(|| rest.rfind("`, there are no fields"));
            if let Some((member, after)) = cut.map(|at| rest.split_at(at)) {
                let allowed = after.split('`').skip(1).skip(1).step_by(2).collect();
                return Told::Unknown { member: member.trim_start_matches('`'), allowed };
            }
        }
        if let Some((member, _)) = text.strip_prefix("missing field ").and_then(quoted) {
            return Told::Missing { member };
        }
        if let Some((member, _)) = text.strip_prefix("duplicate field ").and_then(quoted) {
            return Told::Repeated { member };
        }
        Told::Other(in_json_words(text))
    }
}

/// `invalid type: string "x", expected u32` as people who write JSON say it.
fn in_json_words(text: &str) -> String {
    if let Some(rest) = text.strip_prefix("unknown variant ")
        && let Some((found, allowed)) = rest.rsplit_once(", expected ")
    {
        return format!("is {}; it must be {}", found.replace('`', "\""), allowed.replace('`', "\""));
    }
    if text.starts_with("invalid length ") && text.contains(", expected struct ") {
        return "is an array; it must be an object".to_owned();
    }
    let kinds = ["invalid type: ", "invalid value: ", "invalid length "];
    let found = kinds.iter().find_map(|kind| text.strip_prefix(kind));
    let Some((found, expected)) = found.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return format!("is not as it must be: {text}");
    };
    let found = match found {
        "map" => "an object".to_owned(),
        "sequence" => "an array".to_owned(),
        "null" => "null".to_owned(),
        other => other.replace('`', ""),
    };
    format!("is {found}; it must be {}", expectation(expected))
}

fn expectation(expected: &str) -> String {
    let whole = |least: i128, most: i128| format!("a whole number from {least} to {most}");
    match expected {
        "u8" => whole(0, u8::MAX.into()),
        "u16" => whole(0, u16::MAX.into()),
        "u32" => whole(0, u32::MAX.into()),
        "u64" | "usize" => whole(0, u64::MAX.into()),
        "i32" => whole(i32::MIN.into(), i32::MAX.into()),
        "i64" => whole(i64::MIN.into(), i64::MAX.into()),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => "an object".to_owned(),
        _ if expected.starts_with("struct ") => "an object".to_owned(),
        _ => expected.to_owned(),
    }
}

/// The error without ` at line 1 column 2`.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// The JSON pointer of a path, and its last part as it was written.
fn pointer(path: &Path) -> (String, Option<String>) {
    let (mut pointer, mut last) = (String::new(), None);
    for segment in path.iter() {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.clone(),
            // They have no place of their own in the text, or none that is known.
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        pointer = child(&pointer, &part);
        last = Some(part);
    }
    (pointer, last)
}

fn child(pointer: &str, member: &str) -> String {
    let mut child = pointer.to_owned();
    let _ = write!(child, "/{}", member.replace('~', "~0").replace('/', "~1"));
    child
}

/// `; did you mean "endpoint"?`, or nothing if no name is like it.
pub(super) fn unknown_member(wrong: &str, allowed: &[&str]) -> String {
    let near = nearest(wrong, allowed.iter().map(|name| (*name).to_owned()));
    near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;
    use crate::api::problem::Fault;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Envelope {
        #[serde(rename = "type")]
        event_type: String,
        #[serde(default)]
        tries: Option<u8>,
        #[serde(default)]
        targets: Vec<Target>,
        #[serde(default)]
        labels: BTreeMap<String, u32>,
        #[serde(default)]
        mode: Option<Mode>,
        #[serde(default)]
        body: Option<Box<RawValue>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Target {
        endpoint: String,
        #[serde(default)]
        body: Option<Box<RawValue>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Now,
        Later,
    }

    #[track_caller]
    fn refused(json: impl AsRef<[u8]>) -> Problem {
        read_json::<Envelope>(json.as_ref()).unwrap_err()
    }

    /// The one place that is wrong, and what is said there.
    #[track_caller]
    fn at(json: &str) -> (String, String) {
        let problem = refused(json);
        assert_eq!((problem.kind, problem.status), (Kind::InvalidEnvelope, 422), "{json}: {problem:?}");
        let [Fault { pointer, detail }] = &problem.errors[..] else { panic!("{problem:?}") };
        let place = if pointer.is_empty() { "the body" } else { pointer };
        assert_eq!(problem.detail, format!("{place} {detail}"));
        (pointer.clone(), detail.clone())
    }

    #[test]
    fn raw_json_keeps_its_bytes() {
        let raw = "{ \"b\" : 1.10,\"a\":[1e2 ,\t\"\\u00e9\\/\", 12345678901234567890123],\"a\":null}";
        let json =
            format!("{{\"type\":\"t\", \"body\":  {raw}  ,\"targets\":[{{\"endpoint\":\"e\",\"body\":{raw}}}]}}");
        let read: Envelope = read_json(json.as_bytes()).unwrap();
        assert_eq!(read.body.unwrap().get(), raw);
        assert_eq!(read.targets[0].body.as_ref().unwrap().get(), raw);
        assert_eq!(read.targets[0].endpoint, "e");
        let read: Envelope =
            read_json(b" {\"type\":\"t\",\"mode\":\"now\",\"tries\":3,\"labels\":{\"x\":1}}\r\n").unwrap();
        assert_eq!((read.event_type.as_str(), read.mode, read.tries), ("t", Some(Mode::Now), Some(3)));
        assert_eq!(read.labels["x"], 1);
        assert_eq!(read_json::<Box<RawValue>>(b" [1.0] ").unwrap().get(), "[1.0]");
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        let said = |json: &str| {
            let problem = refused(json);
            assert_eq!((problem.kind, problem.status), (Kind::MalformedJson, 400), "{json}: {problem:?}");
            assert_eq!(problem.errors, []);
            problem.detail
        };
        assert_eq!(said(""), "the body is empty; send a JSON value");
        assert_eq!(said(" \n"), "the body is empty; send a JSON value");
        let place = "the body is not JSON: line";
        assert_eq!(said("{\n \"type\": \"a\" \"b\"}"), format!("{place} 2, column 14: expected `,` or `}}`"));
        assert_eq!(said("{\"type\":\"a\""), format!("{place} 1, column 11: EOF while parsing an object"));
        assert_eq!(said("{\"type\":\"a\"} x"), format!("{place} 1, column 14: trailing characters"));
        assert_eq!(said("{'type':1}"), format!("{place} 1, column 2: key must be a string"));
        assert_eq!(said("{\"type\":\"t\",\"body\":{\"a\":01}}"), format!("{place} 1, column 26: invalid number"));
        for odd in [
            "nul",
            "{\"body\":[1,]}",
            "{\"type\":\"a\",}",
            "\u{feff}{}",
            "{\"type\":\"a\",\"body\":[}",
            "{\"type\":\"\u{1}\"}",
            "}",
        ] {
            assert!(said(odd).starts_with(place), "{odd:?}");
        }
        let problem = refused(b"{\"type\":\"\xc3\x28\"}");
        assert_eq!((problem.kind, problem.status), (Kind::BadUtf8, 400));
        assert_eq!(problem.detail, "the body is not UTF-8 at byte 9 (0xc3); JSON is always UTF-8");
    }

    #[test]
    fn nesting_ends_at_its_limit_wherever_it_is() {
        let body = |levels: usize| format!("{{\"type\":\"t\",\"body\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(read_json::<Envelope>(body(DEEPEST - 1).as_bytes()).is_ok());
        let problem = refused(body(DEEPEST));
        assert_eq!((problem.kind, problem.status), (Kind::TooDeep, 400));
        assert_eq!(refused("[".repeat(5_000_000)).kind, Kind::TooDeep);
        // Brackets in strings are letters.
        let strings = format!("{{\"type\":\"{}\\\"{}\\\\\"}}", "[".repeat(300), "{".repeat(300));
        assert!(read_json::<Envelope>(strings.as_bytes()).is_ok());
        // What is read into memory is held by the reader as well.
        let deep = format!("{}{}", "[".repeat(DEEPEST), "]".repeat(DEEPEST));
        assert_eq!(read_json::<serde_json::Value>(deep.as_bytes()).unwrap_err().kind, Kind::TooDeep);
    }

    #[test]
    fn members_are_told_by_pointers() {
        let own = |pointer: &str, detail: &str| (pointer.to_owned(), detail.to_owned());
        assert_eq!(at("{}"), own("/type", "is missing; give it"));
        assert_eq!(
            at("{\"typ\":\"a\"}"),
            own(
                "/typ",
                "is no member here; did you mean \"type\"?; allowed are type, tries, targets, labels, mode, body"
            )
        );
        assert_eq!(
            at("{\"type\":\"a\",\"targets\":[{\"endpoint\":\"a\"},{\"x/y~z\":1}]}"),
            own("/targets/1/x~1y~0z", "is no member here; allowed are endpoint, body")
        );
        assert_eq!(at("{\"type\":\"a\",\"targets\":[{}]}"), own("/targets/0/endpoint", "is missing; give it"));
        assert_eq!(at("{\"type\":\"a\",\"type\":\"b\"}"), own("/type", "is given twice"));
        assert_eq!(
            at("{\"type\":\"a\",\"targets\":[{\"endpoint\":\"a\",\"endpoint\":\"a\"}]}"),
            own("/targets/0/endpoint", "is given twice")
        );
        assert_eq!(at("{\"type\":5}"), own("/type", "is integer 5; it must be a string"));
        assert_eq!(at("{\"type\":null}"), own("/type", "is null; it must be a string"));
        assert_eq!(at("[]"), own("", "is an array; it must be an object"));
        assert_eq!(at("\"t\""), own("", "is string \"t\"; it must be an object"));
        assert_eq!(at("{\"type\":\"a\",\"targets\":{}}"), own("/targets", "is an object; it must be an array"));
        assert_eq!(
            at("{\"type\":\"a\",\"tries\":256}"),
            own("/tries", "is integer 256; it must be a whole number from 0 to 255")
        );
        assert_eq!(
            at("{\"type\":\"a\",\"labels\":{\"a/b\":-1}}"),
            own("/labels/a~1b", "is integer -1; it must be a whole number from 0 to 4294967295")
        );
        assert_eq!(
            at("{\"type\":\"a\",\"mode\":\"soon\"}"),
            own("/mode", "is \"soon\"; it must be \"now\" or \"later\"")
        );
    }

    #[test]
    fn foreign_names_neither_act_nor_confuse() {
        let (pointer, detail) = at("{\"a`, expected `b\\u001b\":1}");
        assert_eq!(pointer, "/a`, expected `b\\u{1b}");
        assert!(detail.starts_with("is no member here; allowed are type, tries,"), "{detail}");
        assert_eq!(at("{\"\":1}").0, "/");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            let _ = read_json::<Envelope>(&bytes);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}:,\"\\\\a-z0-9`é\u{1b} ]{0,40}") {
            let _ = read_json::<Envelope>(format!("{{\"type\":\"a\",{text}").as_bytes());
        }
    }
}
