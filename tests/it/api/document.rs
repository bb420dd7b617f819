//! The OpenAPI document and the reference page: made of what is there, complete, and readable without the internet.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Stand;

const PATHS: [&str; 26] = [
    "/healthz",
    "/livez",
    "/metrics",
    "/readyz",
    "/v1/deliveries",
    "/v1/deliveries/{id}",
    "/v1/deliveries/{id}/cancel",
    "/v1/deliveries/{id}/retry",
    "/v1/deliveries/{id}/why",
    "/v1/endpoints",
    "/v1/endpoints/{name}",
    "/v1/endpoints/{name}/pause",
    "/v1/endpoints/{name}/resume",
    "/v1/endpoints/{name}/rotate",
    "/v1/endpoints/{name}/test",
    "/v1/events",
    "/v1/events/batch",
    "/v1/events/stream",
    "/v1/events/{id}",
    "/v1/events/{id}/cancel",
    "/v1/events/{id}/retry",
    "/v1/events/{id}/why",
    "/v1/replays",
    "/v1/schedule",
    "/v1/status",
    "/docs",
];

/// Every reference in a document.
fn references<'d>(value: &'d Value, into: &mut BTreeSet<&'d str>) {
    match value {
        Value::Object(members) => {
            into.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, into));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

#[test]
fn the_document_has_every_route_and_says_how_each_may_end() {
    let stand = Stand::new();
    let reply = stand.api.get("/openapi.json");
    let document = reply.expect(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths = document["paths"].as_object().unwrap();
    for path in PATHS.into_iter().filter(|path| *path != "/docs") {
        assert!(paths.contains_key(path), "{path} is not in the document");
    }
    let mut names = BTreeSet::new();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            let place = format!("{method} {path}");
            let answers: Vec<&str> = operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
            assert!(answers.iter().any(|status| status.starts_with('2')), "{place} has no good end");
            if path.starts_with("/v1") {
                assert!(answers.iter().any(|status| status.starts_with('4')), "{place} is never refused");
                assert!(answers.contains(&"503"), "{place} is never unavailable");
            }
            let said = ["summary", "description"].iter().any(|member| operation[member].as_str().is_some());
            assert!(said, "{place} is not described");
            let name = operation["operationId"].as_str().unwrap_or_else(|| panic!("{place} has no operationId"));
            assert!(names.insert(name.to_owned()), "{name} is the name of two operations");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                assert!(parameter["in"] != "path" || path.contains(&format!("{{{name}}}")), "{place}: {name}");
            }
        }
    }
    let mut all = BTreeSet::new();
    references(&document, &mut all);
    assert!(all.len() > 10);
    for reference in all {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads elsewhere"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    stand.stop();
}

#[test]
fn the_reference_is_one_page_that_runs_nothing_and_fetches_nothing() {
    let stand = Stand::new();
    let reply = stand.api.get("/docs");
    assert_eq!(reply.status, 200);
    assert!(reply.header("content-type").is_some_and(|value| value.starts_with("text/html")), "{:?}", reply.headers);
    let page = reply.text();
    let lower = page.to_lowercase();
    for word in ["<script", "javascript:", "onload=", "onclick=", "src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!lower.contains(word), "the page has {word}");
    }
    for path in PATHS.into_iter().filter(|path| path.starts_with("/v1")) {
        assert!(page.contains(path), "{path} is not on the page");
    }
    // What its own policy forbids must not be what it needs: a style of its own is allowed by name.
    let policy = reply.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    if lower.contains("<style") {
        assert!(policy.contains("style-src"), "{policy}");
    }
    stand.stop();
}
