//! What the payload rules of the providers share: a body read as a JSON object, and the words for what was found in it.
//! Nothing here changes a body, and no error repeats more of it than a few characters.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Reads a body that must be one JSON object. Fails with a sentence; a field that stands twice is refused, for
/// receivers disagree on which of the two counts.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    if body.is_empty() {
        return Err("the body is empty; it must be a JSON object".to_owned());
    }
    let object: Object = serde_json::from_slice(body).map_err(|error| match error.is_data() {
        true => "the body is JSON, but no object".to_owned(),
        false => format!("the body is not JSON: {error}"),
    })?;
    match object.repeated {
        None => Ok(object.fields),
        Some(name) => Err(format!("the field {} stands twice in the body", shown(&name))),
    }
}

/// What stands there, as the end of "..., not ": `a number`, `null`, `the text "abc"`.
pub fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(text) => format!("the text {}", shown(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// A text in quotes, control characters escaped, at most 40 characters of it.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(40) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}

/// The one of `known` that a mistyped name is nearest to, if any is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let nearness = |candidate: &'a str| (strsim::jaro_winkler(name, candidate), candidate);
    let best = known.into_iter().map(nearness).max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(best.1).filter(|_| best.0 > 0.8)
}

/// An object's fields in their order; of a repeated field the last, and its name.
struct Object {
    fields: Map<String, Value>,
    repeated: Option<String>,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Object, A::Error> {
        let mut object = Object { fields: Map::new(), repeated: None };
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if object.fields.contains_key(&name) {
                object.repeated.get_or_insert(name.clone());
            }
            object.fields.insert(name, value);
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_object_without_repeated_fields_is_a_body() {
        assert_eq!(object(br#" {"a":1,"b":{"c":null}} "#).unwrap().len(), 2);
        let error = |body: &[u8]| object(body).unwrap_err();
        assert_eq!(error(b""), "the body is empty; it must be a JSON object");
        assert_eq!(error(br#"{"a":1,"a":1}"#), r#"the field "a" stands twice in the body"#);
        for other in [&b"[]"[..], b"7", b"\"a\"", b"null", b"true"] {
            assert_eq!(error(other), "the body is JSON, but no object");
        }
        for broken in
            [&b"{"[..], b"{} {}", b"{'a':1}", b"{\"a\":1,}", b"\xef\xbb\xbf{}", b"{\"a\":\"\xff\"}", b"type=x"]
        {
            assert!(error(broken).starts_with("the body is not JSON: "), "{}", error(broken));
        }
        let deep = [b"{\"a\":".as_slice(), &b"[".repeat(100_000)].concat();
        assert!(error(&deep).contains("recursion limit"), "{}", error(&deep));
    }

    #[test]
    fn texts_are_shown_short_and_harmless() {
        assert_eq!(shown("a\u{1b}[31m\n"), r#""a\u{1b}[31m\n""#);
        assert_eq!(shown(&"é".repeat(1000)), format!("{:?}...", "é".repeat(40)));
    }
}
