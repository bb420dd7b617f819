//! `--set`: a value put into a field of a made notification. Only the field that is named changes, whatever follows from
//! it elsewhere; and only objects that are there get new fields, so that a slip in a path is told.

use std::fmt;

use serde_json::Value;

/// One `FIELD=VALUE`, or `FIELD:=JSON`.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    path: Vec<Step>,
    wished: Wished,
}

#[derive(Clone, Debug, PartialEq)]
enum Wished {
    /// A string where a string stands, else JSON if it is JSON.
    AsFits(String),
    Json(Value),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

impl Change {
    /// Fails with a sentence that says how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((path, value)) = text.split_once('=') else {
            return Err("it is written FIELD=VALUE, as policy.payout=12.5".to_owned());
        };
        let (path, wished) = match path.strip_suffix(':') {
            Some(path) => {
                let json = serde_json::from_str(value);
                (path, Wished::Json(json.map_err(|error| format!("what follows := must be JSON: {error}"))?))
            }
            None => (path, Wished::AsFits(value.to_owned())),
        };
        Ok(Change { path: steps(path)?, wished })
    }

    /// Fails with a sentence that names the part of the path that is not there.
    pub fn apply(&self, body: &mut Value) -> Result<(), String> {
        let (last, before) = self.path.split_last().expect("a path has a step");
        let mut place = body;
        for (index, step) in before.iter().enumerate() {
            let found = found(place, step);
            place = found.ok_or_else(|| self.missing(index))?;
        }
        match (place, last) {
            (Value::Object(fields), Step::Name(name)) => {
                let value = self.value(fields.get(name));
                fields.insert(name.clone(), value);
                Ok(())
            }
            (place, step) => {
                let slot = found(place, step).ok_or_else(|| self.missing(before.len()))?;
                *slot = self.value(Some(slot));
                Ok(())
            }
        }
    }

    fn missing(&self, index: usize) -> String {
        let (path, part) = (Shown(&self.path), Shown(&self.path[..=index]));
        match index {
            0 if self.path.len() > 1 => format!("--set {path}: there is no {part} in this notification"),
            _ => format!("--set {path}: there is no {part}, and no object to put it into"),
        }
    }

    fn value(&self, old: Option<&Value>) -> Value {
        match &self.wished {
            Wished::Json(value) => value.clone(),
            Wished::AsFits(text) if text == "null" => Value::Null,
            Wished::AsFits(text) => match old {
                Some(Value::String(_)) => Value::String(text.clone()),
                Some(_) | None => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())),
            },
        }
    }
}

fn found<'a>(place: &'a mut Value, step: &Step) -> Option<&'a mut Value> {
    match (place, step) {
        (Value::Object(fields), Step::Name(name)) => fields.get_mut(name),
        (Value::Array(elements), Step::Index(index)) => elements.get_mut(*index),
        // events.0 for events[0]
        (Value::Array(elements), Step::Name(name)) => elements.get_mut(name.parse::<usize>().ok()?),
        _ => None,
    }
}

/// `policy.events[0].log_index`
fn steps(path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, indexes) = part.split_at(part.find('[').unwrap_or(part.len()));
        if name.is_empty() {
            return Err(format!("{path:?} is no path to a field, such as policy.events[0].log_index"));
        }
        steps.push(Step::Name(name.to_owned()));
        for index in indexes.split_terminator(']') {
            let number = index.strip_prefix('[').and_then(|digits| digits.parse().ok());
            steps
                .push(Step::Index(number.ok_or_else(|| format!("{part:?} is no element of a list, as events[0] is"))?));
        }
        if !indexes.is_empty() && !indexes.ends_with(']') {
            return Err(format!("{part:?} is no element of a list, as events[0] is"));
        }
    }
    Ok(steps)
}

struct Shown<'a>(&'a [Step]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if index == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Index(number) => write!(f, "[{number}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(text: &str) -> Result<Value, String> {
        let mut body =
            json!({"id": 7, "policy": {"payout": "1.0", "quote": {"a": 1}, "none": null, "events": [{"n": 1}, 2]}});
        Change::parse(text)?.apply(&mut body)?;
        Ok(body)
    }

    fn at(text: &str, pointer: &str) -> Value {
        changed(text).unwrap().pointer(pointer).unwrap().clone()
    }

    #[test]
    fn a_string_stays_a_string_and_all_else_is_json_if_it_can_be() {
        assert_eq!(at("policy.payout=12.5", "/policy/payout"), json!("12.5"));
        assert_eq!(at("policy.payout=null", "/policy/payout"), json!(null));
        assert_eq!(at("policy.payout:=12.5", "/policy/payout"), json!(12.5));
        assert_eq!(at("policy.payout:=\"null\"", "/policy/payout"), json!("null"));
        assert_eq!(at("policy.quote=null", "/policy/quote"), json!(null));
        assert_eq!(at("policy.quote={\"b\":[1]}", "/policy/quote"), json!({"b": [1]}));
        assert_eq!(at("policy.none=12.5", "/policy/none"), json!(12.5));
        assert_eq!(at("policy.none=soon", "/policy/none"), json!("soon"));
        assert_eq!(at("id=8", "/id"), json!(8));
        assert_eq!(at("policy.payout=a=b", "/policy/payout"), json!("a=b"));
        assert_eq!(at("policy.payout=", "/policy/payout"), json!(""));
    }

    #[test]
    fn lists_are_reached_by_number_and_objects_grow() {
        assert_eq!(at("policy.events[0].n=9", "/policy/events/0/n"), json!(9));
        assert_eq!(at("policy.events.1=x", "/policy/events/1"), json!("x"));
        assert_eq!(at("policy.events[1]=null", "/policy/events/1"), json!(null));
        assert_eq!(at("policy.quote.new=1", "/policy/quote/new"), json!(1));
        assert_eq!(at("tomorrow=yes", "/tomorrow"), json!("yes"));
    }

    #[test]
    fn a_path_that_leads_nowhere_is_told() {
        let error = |text| changed(text).unwrap_err();
        assert_eq!(error("polcy.payout=1"), "--set polcy.payout: there is no polcy in this notification");
        let nowhere = "there is no policy.events[2], and no object to put it into";
        assert_eq!(error("policy.events[2]=1"), format!("--set policy.events[2]: {nowhere}"));
        assert!(error("policy.payout.deep=1").contains("there is no policy.payout.deep"));
        assert!(error("policy.quote.x.y=1").contains("there is no policy.quote.x"));
        assert!(error("policy[0]=1").contains("there is no policy[0]"));
        for bad in ["policy.payout", "=1", "a..b=1", "a[=1", "a[x]=1", "a[1=1", "a[1]b=1", "[0]=1", "a:={"] {
            assert!(Change::parse(bad).is_err(), "{bad}");
        }
    }
}
