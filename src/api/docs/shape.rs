//! A JSON schema as lines for a person: what a value is, and what stands within it, references followed.
//! Works on the description as JSON, so whatever it holds is shown in some way, and a recursion ends.

use serde_json::Value;

use super::prose::{Block, blocks};

/// What a value is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shape {
    /// `list of objects`, `whole number or null`.
    pub kind: String,
    pub about: Vec<Block>,
    /// The only values there are, as JSON.
    pub values: Vec<String>,
    /// Limits and the default: `at least 1`, `default 100`.
    pub limits: Vec<String>,
    /// As JSON.
    pub example: Option<String>,
    pub within: Vec<Row>,
}

/// One member, or one of several forms.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// A member's name; of a form: `either`, `or`.
    pub name: String,
    /// Whether `name` is a member's.
    pub member: bool,
    pub required: bool,
    pub shape: Shape,
}

/// Beyond so many references within one another a type is named and not shown.
const DEEPEST: usize = 6;

/// Reads the schemas of one description.
pub(super) struct Shapes<'a> {
    /// The whole description, to which references lead.
    pub root: &'a Value,
}

impl<'a> Shapes<'a> {
    pub fn of(&self, schema: &'a Value) -> Shape {
        self.shape(schema, &mut Vec::new())
    }

    /// What a reference leads to; anything else is itself.
    pub fn resolved(&self, value: &'a Value) -> &'a Value {
        let target = value["$ref"].as_str().and_then(|place| place.strip_prefix('#'));
        target.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(value)
    }

    fn shape(&self, schema: &'a Value, open: &mut Vec<&'a str>) -> Shape {
        if let Some(place) = schema["$ref"].as_str() {
            return self.referred(schema, place, open);
        }
        for list in ["oneOf", "anyOf"] {
            if let Some(forms) = schema[list].as_array() {
                return self.either(schema, forms, open);
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            return self.together(schema, parts, open);
        }
        let mut shape = plain(schema);
        match type_names(schema).find(|name| *name != "null") {
            Some("array") => {
                let items = self.shape(&schema["items"], open);
                shape.kind = format!("list of {}", plural(&items.kind));
                shape.values = items.values;
                shape.example = shape.example.or(items.example);
                shape.within = items.within;
            }
            Some("object") => shape.within = self.members(schema, open, &mut shape.kind),
            Some(_) | None => {}
        }
        if is_nullable(schema) {
            shape.kind.push_str(" or null");
        }
        shape
    }

    fn referred(&self, schema: &'a Value, place: &'a str, open: &mut Vec<&'a str>) -> Shape {
        let name = place.rsplit('/').next().unwrap_or(place);
        let target = self.resolved(schema);
        let mut shape = match open.contains(&place) || open.len() > DEEPEST || std::ptr::eq(target, schema) {
            true => Shape { kind: format!("{name}, as above"), ..Shape::default() },
            false => {
                open.push(place);
                let shape = self.shape(target, open);
                open.pop();
                shape
            }
        };
        // What is said where it is used is nearer than what is said of the type.
        if let Some(text) = schema["description"].as_str().filter(|text| !text.is_empty()) {
            shape.about = blocks(text);
        }
        shape
    }

    /// The members of an object; what they are called by if any name will do.
    fn members(&self, schema: &'a Value, open: &mut Vec<&'a str>, kind: &mut String) -> Vec<Row> {
        let is_required =
            |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|given| given == name));
        let other = |name: &str, shape| Row { name: name.to_owned(), member: false, required: false, shape };
        let named = schema["properties"].as_object().into_iter().flatten();
        let mut rows: Vec<Row> = Vec::new();
        for (name, member) in named {
            let (required, shape) = (is_required(name), self.shape(member, open));
            rows.push(Row { name: name.clone(), member: true, required, shape });
        }
        let others = &schema["additionalProperties"];
        if others.is_object() {
            let shape = self.shape(others, open);
            if rows.is_empty() {
                *kind = format!("object of {} by name", plural(&shape.kind));
            }
            match (rows.is_empty(), shape.within.is_empty()) {
                (false, _) => rows.push(other("any other name", shape)),
                (true, false) => rows.push(other("any name", shape)),
                (true, true) => {}
            }
        }
        rows
    }

    fn either(&self, schema: &'a Value, forms: &'a [Value], open: &mut Vec<&'a str>) -> Shape {
        let mut shape = Shape { kind: String::new(), ..plain(schema) };
        let (nulls, forms): (Vec<_>, Vec<_>) = forms.iter().partition(|form| form["type"] == "null");
        let mut shapes: Vec<Shape> = forms.iter().map(|form| self.shape(form, open)).collect();
        let single = |shape: &Shape| !shape.values.is_empty() && shape.within.is_empty();
        if shapes.len() == 1 {
            let only = shapes.remove(0);
            let about = if shape.about.is_empty() { only.about.clone() } else { shape.about };
            shape = Shape { about, example: shape.example.or_else(|| only.example.clone()), ..only };
        } else if !shapes.is_empty() && shapes.iter().all(single) {
            shape.kind = shapes[0].kind.clone();
            shape.values = shapes.iter().flat_map(|shape| shape.values.clone()).collect();
            shape.within = told_values(shapes);
        } else {
            shape.kind = alternatives(&shapes);
            let lead = |index| if index == 0 { "either" } else { "or" };
            let worth = |shape: &Shape| !shape.within.is_empty() || !shape.about.is_empty();
            if shapes.iter().any(worth) {
                shape.within = forms_as_rows(shapes, lead);
            }
        }
        if !nulls.is_empty() && !shape.kind.ends_with(" or null") {
            shape.kind.push_str(" or null");
        }
        shape
    }

    fn together(&self, schema: &'a Value, parts: &'a [Value], open: &mut Vec<&'a str>) -> Shape {
        let mut shape = Shape { kind: String::new(), ..plain(schema) };
        for part in parts {
            let part = self.shape(part, open);
            if shape.kind.is_empty() {
                shape.kind = part.kind;
            }
            if shape.about.is_empty() {
                shape.about = part.about;
            }
            shape.values.extend(part.values);
            shape.limits.extend(part.limits);
            shape.example = shape.example.or(part.example);
            shape.within.extend(part.within);
        }
        shape
    }
}

/// The values that have something said of them, each with that.
fn told_values(shapes: Vec<Shape>) -> Vec<Row> {
    if shapes.iter().all(|shape| shape.about.is_empty()) {
        return Vec::new();
    }
    let row = |mut shape: Shape| {
        let name = std::mem::take(&mut shape.values).join(", ");
        Row { name, member: false, required: false, shape: Shape { kind: String::new(), ..shape } }
    };
    shapes.into_iter().map(row).collect()
}

fn forms_as_rows(shapes: Vec<Shape>, lead: impl Fn(usize) -> &'static str) -> Vec<Row> {
    let row = |(index, shape)| Row { name: lead(index).to_owned(), member: false, required: false, shape };
    shapes.into_iter().enumerate().map(row).collect()
}

/// What a schema says of itself alone.
fn plain(schema: &Value) -> Shape {
    let mut values: Vec<String> = schema["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|value| !value.is_null())
        .map(Value::to_string)
        .collect();
    values.extend(schema.get("const").map(Value::to_string));
    let example = schema.get("example").or_else(|| schema["examples"].get(0));
    Shape {
        kind: kind(schema),
        about: schema["description"].as_str().map(blocks).unwrap_or_default(),
        values,
        limits: limits(schema),
        example: example.map(Value::to_string),
        within: Vec::new(),
    }
}

fn type_names(schema: &Value) -> impl Iterator<Item = &str> {
    let one = schema["type"].as_str();
    one.into_iter().chain(schema["type"].as_array().into_iter().flatten().filter_map(Value::as_str))
}

fn is_nullable(schema: &Value) -> bool {
    type_names(schema).count() > 1 && type_names(schema).any(|name| name == "null")
}

fn kind(schema: &Value) -> String {
    let word = |name: &str| match (name, schema["format"].as_str()) {
        ("string", Some("date-time")) => "time (RFC 3339)".to_owned(),
        ("string", Some("uri")) => "URL".to_owned(),
        ("integer", _) => "whole number".to_owned(),
        ("boolean", _) => "true or false".to_owned(),
        (name, _) => name.to_owned(),
    };
    let words: Vec<String> = type_names(schema).filter(|name| *name != "null").map(word).collect();
    match (words.is_empty(), type_names(schema).next()) {
        (false, _) => words.join(" or "),
        (true, Some(_)) => "null".to_owned(),
        (true, None) => "any JSON".to_owned(),
    }
}

fn limits(schema: &Value) -> Vec<String> {
    let told = [
        ("minimum", "at least ", ""),
        ("maximum", "at most ", ""),
        ("exclusiveMinimum", "above ", ""),
        ("exclusiveMaximum", "below ", ""),
        ("minLength", "at least ", " characters"),
        ("maxLength", "at most ", " characters"),
        ("minItems", "at least ", " items"),
        ("maxItems", "at most ", " items"),
        ("pattern", "matches ", ""),
        ("default", "default ", ""),
    ];
    let value =
        |key| schema.get(key).map(|value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    told.iter().filter_map(|(key, before, after)| Some(format!("{before}{}{after}", value(key)?))).collect()
}

fn alternatives(shapes: &[Shape]) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for shape in shapes {
        if !kinds.contains(&shape.kind.as_str()) {
            kinds.push(&shape.kind);
        }
    }
    match kinds[..] {
        [] => "any JSON".to_owned(),
        ["object"] => "object, of one of these forms".to_owned(),
        _ => kinds.join(" or "),
    }
}

fn plural(kind: &str) -> String {
    match kind {
        "object" | "string" | "whole number" | "number" => format!("{kind}s"),
        _ => kind.to_owned(),
    }
}
