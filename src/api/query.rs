//! The query of a URL as typed parameters: unknown, repeated and unreadable ones are problems that say what is
//! allowed. Nothing is guessed: an escape that is not UTF-8 is refused, not replaced.

use std::fmt;

use serde::de::value::SeqDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::json::unknown_member;
use super::problem::{Kind, Problem};

/// The parameters of `query`, what follows the `?`. A field of a list takes a parameter that is repeated; every other
/// one must be given once at most. Use `#[serde(deny_unknown_fields)]`, and `default` for what may be left out.
pub fn read_query<T: DeserializeOwned>(query: Option<&str>) -> Result<T, Problem> {
    let mut given: Vec<Parameter> = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (unescaped(name, true), unescaped(value, true)) else {
            let detail = format!("the parameter {pair:?} has a % escape that is not UTF-8; escape the UTF-8 bytes");
            return Err(Problem::new(Kind::InvalidParameter, detail));
        };
        match given.iter_mut().find(|known| known.name == name) {
            Some(known) => known.values.push(value),
            None => given.push(Parameter { name, values: vec![value] }),
        }
    }
    let reader = Reader { rest: given.into_iter(), current: None };
    T::deserialize(reader).map_err(|Wrong(text)| Problem::new(Kind::InvalidParameter, text))
}

/// The text that was escaped by `%41`, and by `+` for a space in a query; `None` if an escape is cut short or the
/// bytes are not UTF-8.
pub(super) fn unescaped(text: &str, query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                bytes.push(digit(digits[0])? << 4 | digit(digits[1])?);
                rest = after;
            }
            b'+' if query => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

struct Parameter {
    name: String,
    /// At least one.
    values: Vec<String>,
}

/// What is wrong with a query, as a sentence.
#[derive(Debug)]
struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Wrong(message.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let allowed = match expected {
            [] => "there are no parameters here".to_owned(),
            _ => format!("there are {}", expected.join(", ")),
        };
        let near = unknown_member(field, expected);
        Wrong(format!("{field:?} is no parameter here{near}; {allowed}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Wrong(format!("the parameter {field} is missing; give it"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Wrong(format!("is {variant:?}; it must be one of {}", expected.join(", ")))
    }
}

/// Hands out one parameter after another.
struct Reader {
    rest: std::vec::IntoIter<Parameter>,
    current: Option<Parameter>,
}

impl<'de> de::Deserializer<'de> for Reader {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Reader {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        self.current = self.rest.next();
        let name = self.current.as_ref().map(|parameter| parameter.name.clone());
        name.map(|name| seed.deserialize(name.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let Parameter { name, values } = self.current.take().expect("a value follows its name");
        seed.deserialize(Values(values)).map_err(|Wrong(text)| Wrong(format!("the parameter {name} {text}")))
    }
}

/// What one parameter was given as.
struct Values(Vec<String>);

impl Values {
    fn only(self) -> Result<String, Wrong> {
        match <[String; 1]>::try_from(self.0) {
            Ok([value]) => Ok(value),
            Err(values) => Err(Wrong(format!("is given {} times; give it once", values.len()))),
        }
    }
}

macro_rules! parsed {
    ($($read:ident => $visit:ident: $type:ty, $allowed:expr;)+) => {
        $(fn $read<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            let text = self.only()?;
            let value: Result<$type, _> = text.parse();
            visitor.$visit(value.map_err(|_| Wrong(format!("is {text:?}; it must be {}", $allowed)))?)
        })+
    };
}

macro_rules! whole {
    ($type:ty) => {
        format!("a whole number from {} to {}", <$type>::MIN, <$type>::MAX)
    };
}

impl<'de> de::Deserializer<'de> for Values {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_string(self.only()?)
    }

    parsed! {
        deserialize_bool => visit_bool: bool, "true or false";
        deserialize_i8 => visit_i8: i8, whole!(i8);
        deserialize_i16 => visit_i16: i16, whole!(i16);
        deserialize_i32 => visit_i32: i32, whole!(i32);
        deserialize_i64 => visit_i64: i64, whole!(i64);
        deserialize_u8 => visit_u8: u8, whole!(u8);
        deserialize_u16 => visit_u16: u16, whole!(u16);
        deserialize_u32 => visit_u32: u32, whole!(u32);
        deserialize_u64 => visit_u64: u64, whole!(u64);
        deserialize_f32 => visit_f32: f32, "a number";
        deserialize_f64 => visit_f64: f64, "a number";
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let values = self.0.into_iter().map(|value| Values(vec![value]));
        visitor.visit_seq(SeqDeserializer::new(values))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_enum(self.only()?.into_deserializer())
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Wrong> for Values {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Asked {
        state: Option<State>,
        endpoint: Vec<String>,
        limit: Option<u16>,
        dry_run: bool,
        cursor: Option<String>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum State {
        Pending,
        Dead,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Needed {
        #[serde(rename = "of")]
        _of: String,
    }

    #[track_caller]
    fn refused(query: &str) -> String {
        let problem = read_query::<Asked>(Some(query)).unwrap_err();
        assert_eq!((problem.kind, problem.status), (Kind::InvalidParameter, 400));
        problem.detail
    }

    #[test]
    fn parameters_are_read_by_their_types() {
        assert_eq!(read_query::<Asked>(None).unwrap(), Asked::default());
        assert_eq!(read_query::<Asked>(Some("")).unwrap(), Asked::default());
        let read = "state=dead&endpoint=a%2Fb&limit=65535&endpoint=c+d&&dry_run=true&cursor=%c3%a9%2B";
        assert_eq!(
            read_query::<Asked>(Some(read)).unwrap(),
            Asked {
                state: Some(State::Dead),
                endpoint: vec!["a/b".to_owned(), "c d".to_owned()],
                limit: Some(65535),
                dry_run: true,
                cursor: Some("é+".to_owned()),
            }
        );
        assert_eq!(read_query::<Asked>(Some("cursor")).unwrap().cursor.as_deref(), Some(""));
    }

    #[test]
    fn slips_are_told_with_what_is_allowed() {
        let all = "there are state, endpoint, limit, dry_run, cursor";
        assert_eq!(refused("limi=1"), format!("\"limi\" is no parameter here; did you mean \"limit\"?; {all}"));
        assert_eq!(refused("%1b=1"), format!("\"\\u{{1b}}\" is no parameter here; {all}"));
        assert_eq!(refused("limit=1&limit=2"), "the parameter limit is given 2 times; give it once");
        assert_eq!(refused("a=&state=dead&state=dead"), format!("\"a\" is no parameter here; {all}"));
        assert_eq!(refused("state=dead&state=dead"), "the parameter state is given 2 times; give it once");
        assert_eq!(refused("limit=-1"), "the parameter limit is \"-1\"; it must be a whole number from 0 to 65535");
        assert_eq!(refused("limit="), "the parameter limit is \"\"; it must be a whole number from 0 to 65535");
        assert_eq!(refused("dry_run=1"), "the parameter dry_run is \"1\"; it must be true or false");
        assert_eq!(refused("state=done"), "the parameter state is \"done\"; it must be one of pending, dead");
        let escape = "has a % escape that is not UTF-8; escape the UTF-8 bytes";
        for odd in ["cursor=%ff", "cursor=%4", "cursor=%zz", "%c3=1"] {
            assert_eq!(refused(odd), format!("the parameter {odd:?} {escape}"));
        }
        let missing = read_query::<Needed>(None).unwrap_err();
        assert_eq!(missing.detail, "the parameter of is missing; give it");
    }

    proptest::proptest! {
        #[test]
        fn no_query_makes_it_panic(query in "[a-z=&%+0-9é]{0,40}") {
            let _ = read_query::<Asked>(Some(&query));
        }
    }
}
