//! A small description with everything that a schema may be, read and laid out.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::*;
use crate::api::problem::Problem;

/// A thing that holds others.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "<b>", "state": "ready"}))]
pub struct Thing {
    /// What it is called: letters & `digits`.
    #[schema(example = "msg_01", max_length = 256)]
    id: String,
    /// How it is.
    state: State,
    /// Where it goes; `null` if it is everywhere.
    target: Option<Target>,
    /// How long, in milliseconds.
    #[schema(minimum = 1, maximum = 1000, default = 10)]
    wait_ms: u32,
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<String>,
    labels: BTreeMap<String, Label>,
    numbers: Vec<i64>,
    /// Others within it.
    #[schema(no_recursion)]
    things: Vec<Thing>,
    body: serde_json::Value,
}

/// A state in a word.
#[derive(Serialize, ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Ready,
    NotReady,
}

/// Where something goes.
#[derive(Serialize, ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
#[serde(untagged)]
pub enum Target {
    /// To these.
    Named { endpoints: Vec<String> },
    /// To a URL that comes with it.
    #[schema(title = "One-off")]
    OneOff {
        #[schema(format = Hostname)]
        url: String,
        key: Option<Label>,
    },
}

#[derive(Serialize, ToSchema)]
pub struct Label {
    /// Deep within.
    text: String,
}

/// Makes a thing.
///
/// It is made at once:
///
/// - whole, or
/// - not at all `<script>`.
#[utoipa::path(
    post,
    path = "/v1/things/{id}",
    tag = "Things",
    params(
        ("id" = String, Path, description = "Which one.", example = "msg_01"),
        ("state" = Option<State>, Query, description = "Only those."),
    ),
    request_body = Thing,
    responses(
        (status = 201, description = "It is made.", body = Thing, headers(("Location" = String, description = "Where."))),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 204, description = "Nothing to say."),
    ),
    security(("bearer" = ["admin"]))
)]
#[expect(dead_code, reason = "only its description is used")]
fn make() {}

/// Lives.
#[utoipa::path(get, path = "/livez", responses((status = 200, description = "It lives.", body = String)))]
#[expect(dead_code, reason = "only its description is used")]
fn lives() {}

#[derive(OpenApi)]
#[openapi(
    paths(make, lives),
    tags((name = "Things", description = "What there is.")),
    info(title = "postrider", version = "1.2.3", description = "An API.\n\nIt is `plain`.")
)]
struct Api;

fn sample() -> Page {
    page(&serde_json::to_value(Api::openapi()).unwrap())
}

/// `depth name kind! values limits`, a line each.
fn told(lines: &[Line]) -> Vec<String> {
    let of = |line: &Line| {
        let shape = &line.shape;
        let required = if line.mark == "required" { "!" } else { "" };
        let more = [shape.values.join(" "), shape.limits.join(", "), shape.example.clone().unwrap_or_default()];
        let more: String = more.iter().filter(|text| !text.is_empty()).map(|text| format!(" [{text}]")).collect();
        format!("{} {}{required}: {}{more}", line.depth, line.name, shape.kind)
    };
    lines.iter().map(of).collect()
}

#[test]
fn a_schema_is_told_in_lines_with_its_references_followed() {
    let page = sample();
    let [things, other] = &page.groups[..] else { panic!("{} groups", page.groups.len()) };
    assert_eq!((things.name.as_str(), other.name.as_str()), ("Things", "Other"));
    let route = &things.routes[0];
    assert_eq!((route.anchor.as_str(), route.summary.as_str()), ("post-v1-things-id", "Makes a thing"));
    assert_eq!(route.scopes, ["admin"]);
    assert_eq!(
        told(&route.bodies[0].lines),
        [
            "0 id!: string [at most 256 characters] [\"msg_01\"]",
            "0 state!: string [\"ready\" \"not-ready\"]",
            "0 target: object, of one of these forms or null",
            "1 either: object",
            "2 endpoints!: list of strings",
            "1 or: object",
            "2 url!: string",
            "2 key: object or null",
            "3 text!: string",
            "0 wait_ms!: whole number [at least 1, at most 1000, default 10]",
            "0 at: time (RFC 3339) or null",
            "0 labels!: object of objects by name",
            "1 any name: object",
            "2 text!: string",
            "0 numbers!: list of whole numbers",
            "0 things!: list of Thing, as above",
            "0 body!: any JSON",
        ]
    );
    assert_eq!(route.bodies[0].examples, ["{\n  \"id\": \"<b>\",\n  \"state\": \"ready\"\n}"]);
    let parameters: Vec<_> =
        route.parameters.iter().map(|parameter| (parameter.place.as_str(), &parameter.line)).collect();
    assert_eq!(
        parameters.iter().map(|(place, line)| (*place, line.mark == "required")).collect::<Vec<_>>(),
        [("path", true), ("query", false)]
    );
    let statuses: Vec<_> = route.answers.iter().map(|answer| (answer.status.as_str(), answer.is_problem)).collect();
    assert_eq!(statuses, [("201", false), ("204", false), ("404", true)]);
    assert_eq!(route.answers[0].headers[0].name, "Location");
}

#[test]
fn the_page_is_escaped_and_complete_and_loads_nothing() {
    let reference = Reference::new(&Api::openapi());
    let html = String::from_utf8(reference.html.to_vec()).unwrap();
    for text in
        ["POST", "/v1/things/{id}", "It is made.", "<code>digits</code>", "href=\"#post-v1-things-id\"", "1.2.3"]
    {
        assert!(html.contains(text), "{text}");
    }
    for kind in Kind::ALL {
        assert!(html.contains(&format!("<code>{}</code>", kind.name())), "{}", kind.name());
    }
    assert!(!html.contains("<script") && !html.contains("<b>") && !html.contains(" style=") && !html.contains(" src="));
    assert!(!html.contains("<link") && !html.contains("url(") && !html.contains("@import"));
    let style = html.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    assert_eq!(style, STYLE, "the hash in the policy is of these very bytes");

    let response = reference.response();
    assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
}
