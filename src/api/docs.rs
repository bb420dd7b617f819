//! The reference page at /docs, made from the OpenAPI description: every route, what it takes and what it answers.
//! A page without scripts that loads nothing: it can be read where there is no network, and runs nothing of anybody.

mod prose;
mod shape;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde_json::Value;
use utoipa::openapi::OpenApi;

use super::problem::{Kind, PROBLEM_JSON};
use crate::signature;
use prose::{Block, blocks};
use shape::{Row, Shape, Shapes};

const STYLE: &str = include_str!("docs.css");

/// The page, ready to be sent.
#[derive(Clone)]
pub struct Reference {
    html: Bytes,
    policy: HeaderValue,
}

impl Reference {
    pub fn new(api: &OpenApi) -> Self {
        let description = serde_json::to_value(api).expect("a description is JSON");
        let html = page(&description).render().expect("the page is text");
        let style = BASE64_STANDARD.encode(signature::digest(STYLE.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Reference { html: html.into(), policy: HeaderValue::try_from(policy).expect("base64 fits a header") }
    }

    pub fn response(&self) -> Response {
        let mut response = Response::new(Body::from(self.html.clone()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        response
    }
}

#[derive(Template)]
#[template(path = "docs.html", config = "src/api/askama.toml")]
struct Page {
    style: &'static str,
    title: String,
    version: String,
    about: Vec<Block>,
    groups: Vec<Group>,
    kinds: &'static [Kind],
}

/// The routes of one tag.
struct Group {
    name: String,
    about: Vec<Block>,
    routes: Vec<Route>,
}

struct Route {
    /// `get-v1-events-id`: its place on the page.
    anchor: String,
    /// In capitals.
    method: String,
    path: String,
    summary: String,
    about: Vec<Block>,
    deprecated: bool,
    /// What a token must have; empty: none is needed.
    scopes: Vec<String>,
    parameters: Vec<Parameter>,
    bodies: Vec<Content>,
    answers: Vec<Answer>,
}

struct Parameter {
    /// `path`, `query` or `header`.
    place: String,
    line: Line,
}

struct Answer {
    status: String,
    about: Vec<Block>,
    headers: Vec<Line>,
    contents: Vec<Content>,
    /// Its shape is that of every problem, and told once.
    is_problem: bool,
}

/// A body of one media type.
struct Content {
    media: String,
    about: Vec<Block>,
    /// What the whole is.
    whole: Line,
    lines: Vec<Line>,
    /// Pretty JSON, or text.
    examples: Vec<String>,
}

/// One line of a table: a member, a form, a parameter.
struct Line {
    /// 0 to 6: how far it is set in.
    depth: usize,
    name: String,
    member: bool,
    /// Whether it must be there, in a word; empty where that goes without saying.
    mark: &'static str,
    shape: Shape,
}

/// Who sends something, and so what needs to be said of what may be missing.
#[derive(Clone, Copy)]
enum Side {
    Request,
    Answer,
}

impl Side {
    fn mark(self, member: bool, required: bool) -> &'static str {
        match (self, member, required) {
            (Side::Request, true, true) => "required",
            (Side::Answer, true, false) => ", may be missing",
            (Side::Request | Side::Answer, _, _) => "",
        }
    }
}

const DEEPEST_INDENT: usize = 6;
const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

fn page(description: &Value) -> Page {
    let shapes = Shapes { root: description };
    let mut groups: Vec<Group> = Vec::new();
    for tag in description["tags"].as_array().into_iter().flatten() {
        groups.push(Group { name: text(&tag["name"]), about: prose(tag), routes: Vec::new() });
    }
    for (path, item) in description["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let tag = operation["tags"][0].as_str().unwrap_or("Other");
            let route = route(&shapes, path, method, item, operation);
            match groups.iter_mut().find(|group| group.name == tag) {
                Some(group) => group.routes.push(route),
                None => groups.push(Group { name: tag.to_owned(), about: Vec::new(), routes: vec![route] }),
            }
        }
    }
    groups.retain(|group| !group.routes.is_empty());
    let info = &description["info"];
    Page {
        style: STYLE,
        title: text(&info["title"]),
        version: text(&info["version"]),
        about: prose(info),
        groups,
        kinds: Kind::ALL,
    }
}

fn route<'a>(shapes: &Shapes<'a>, path: &str, method: &str, item: &'a Value, operation: &'a Value) -> Route {
    let given = [item, operation].into_iter().filter_map(|of| of["parameters"].as_array()).flatten();
    let responses = operation["responses"].as_object().into_iter().flatten();
    let words: Vec<&str> = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    Route {
        anchor: format!("{method}-{}", words.join("-")),
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]).trim_end_matches('.').to_owned(),
        about: prose(operation),
        deprecated: operation["deprecated"] == true,
        scopes: scopes(operation),
        parameters: given.map(|parameter| self::parameter(shapes, shapes.resolved(parameter))).collect(),
        bodies: contents(shapes, shapes.resolved(&operation["requestBody"]), Side::Request),
        answers: responses.map(|(status, answer)| self::answer(shapes, status, shapes.resolved(answer))).collect(),
    }
}

fn scopes(operation: &Value) -> Vec<String> {
    let required = operation["security"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
    required.flat_map(|(_, scopes)| scopes.as_array().into_iter().flatten().map(text)).collect()
}

fn parameter<'a>(shapes: &Shapes<'a>, given: &'a Value) -> Parameter {
    let mut shape = shapes.of(&given["schema"]);
    if given["description"].is_string() {
        shape.about = prose(given);
    }
    if let Some(example) = given.get("example") {
        shape.example = Some(example.to_string());
    }
    let mark = Side::Request.mark(true, given["required"] == true);
    let line = Line { depth: 0, name: text(&given["name"]), member: true, mark, shape };
    Parameter { place: text(&given["in"]), line }
}

fn answer<'a>(shapes: &Shapes<'a>, status: &str, answer: &'a Value) -> Answer {
    let mut contents = contents(shapes, answer, Side::Answer);
    let is_problem = contents.iter().any(|content| content.media == PROBLEM_JSON);
    contents.retain(|content| content.media != PROBLEM_JSON);
    let headers = answer["headers"].as_object().into_iter().flatten().map(|(name, header)| {
        let header = shapes.resolved(header);
        let mut shape = shapes.of(&header["schema"]);
        if header["description"].is_string() {
            shape.about = prose(header);
        }
        Line { depth: 0, name: name.clone(), member: true, mark: "", shape }
    });
    Answer { status: status.to_owned(), about: prose(answer), headers: headers.collect(), contents, is_problem }
}

/// The bodies that a request or an answer may have.
fn contents<'a>(shapes: &Shapes<'a>, of: &'a Value, side: Side) -> Vec<Content> {
    let content = |(media, content): (&String, &'a Value)| {
        let content = shapes.resolved(content);
        let items = content.get("itemSchema");
        let mut whole = shapes.of(items.unwrap_or(&content["schema"]));
        if items.is_some() {
            whole.kind = format!("one after another: {}", whole.kind);
        }
        let mut lines = Vec::new();
        flatten(std::mem::take(&mut whole.within), 0, side, &mut lines);
        let named = content["examples"].as_object().into_iter().flatten();
        let named = named.filter_map(|(_, example)| shapes.resolved(example).get("value"));
        let examples = content.get("example").into_iter().chain(named).map(pretty);
        let examples: Vec<String> = examples.chain(whole.example.take().map(|json| reprinted(&json))).collect();
        let whole = Line { depth: 0, name: String::new(), member: false, mark: "", shape: whole };
        Content { media: media.clone(), about: prose(of), whole, lines, examples }
    };
    of["content"].as_object().into_iter().flatten().map(content).collect()
}

fn flatten(rows: Vec<Row>, depth: usize, side: Side, lines: &mut Vec<Line>) {
    for Row { name, member, required, mut shape } in rows {
        let within = std::mem::take(&mut shape.within);
        lines.push(Line { depth: depth.min(DEEPEST_INDENT), name, member, mark: side.mark(member, required), shape });
        flatten(within, depth + 1, side, lines);
    }
}

fn pretty(example: &Value) -> String {
    match example {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).expect("JSON is JSON"),
    }
}

fn reprinted(json: &str) -> String {
    serde_json::from_str(json).map_or_else(|_| json.to_owned(), |value: Value| pretty(&value))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn prose(of: &Value) -> Vec<Block> {
    of["description"].as_str().map(blocks).unwrap_or_default()
}
