//! What an endpoint must not be, each with the words that say why.

use super::{KEY, Place, TOKEN, V1};

const ADD: &str = "endpoint add acme http://127.0.0.1:9/ --profile ensuro --secret-file secret";

/// `ADD` with more arguments.
fn refused(place: &Place, exit: i32, more: &[&str], parts: &[&str]) {
    let arguments: Vec<&str> = ADD.split_whitespace().chain(more.iter().copied()).collect();
    place.refused_with(exit, &arguments, parts);
}

#[test]
fn the_command_line_must_make_sense() {
    let place = Place::new();
    place.refused(2, "enqueu body.json", &["a similar subcommand exists: 'enqueue'"]);
    place.refused(2, "endpoint show", &["<NAME>"]);
    place.refused(2, "endpoint add a.b http://127.0.0.1:9/ --profile ensuro", &["1 to 64 characters", "\"a.b\""]);
    place.refused(2, "endpoint add one-off-1 http://127.0.0.1:9/ --profile ensuro", &["not with one-off-"]);
    place.refused(2, "endpoint add a http://127.0.0.1:9/ --profile ensro", &["ensuro, octamile or standard"]);
    refused(&place, 2, &["--timeout", "5"], &["a length of time is written like"]);
    refused(&place, 2, &["--schedule", "5s,soon"], &["none, or the waits before each retry"]);
    refused(&place, 2, &["--success", "404"], &["codes from 200 to 299"]);
    refused(&place, 2, &["--subscribe", "pol*"], &["a family (policy/*)"]);
    refused(&place, 2, &["--concurrency", "many"], &["--concurrency", "many"]);
    refused(&place, 2, &["--secret", TOKEN], &["unexpected argument '--secret'"]);
    refused(&place, 2, &["--secret-env", "X"], &["--secret-file", "--secret-env"]);
    place.refused(2, "serve --log-level loud", &["error, warn, info, debug or trace"]);
}

#[test]
fn what_an_endpoint_wants_must_be_possible() {
    let place = Place::new();
    refused(&place, 65, &["--timeout", "31s"], &["from 100 to 30000 ms"]);
    refused(&place, 65, &["--schedule", "0s"], &["each from 1 ms to 30 d"]);
    refused(&place, 65, &["--concurrency", "0"], &["from 1 to 256"]);
    refused(&place, 65, &["--rate", "100001"], &["from 1 to 100000"]);
    refused(
        &place,
        65,
        &["--subscribe", "order/*"],
        &["ensuro has no event type that order/* covers", "policy/creation"],
    );
    refused(&place, 65, &["--header", TOKEN], &["'Name: value'"]);
    refused(&place, 65, &["--header", &format!("Host: {TOKEN}")], &["the header host is the transport's"]);
    refused(&place, 65, &["--header", &format!("Webhook-Id: {TOKEN}")], &["webhook-id is for signatures"]);
    refused(&place, 65, &["--header", &format!("A b: {TOKEN}")], &["cannot be the name of a header"]);
    refused(&place, 65, &["--header", &format!("X-A: {TOKEN}\r\nX-B: 1")], &["visible ASCII"]);
    refused(&place, 65, &["--header", "X-A: 1", "--header", "x-a: 2"], &["x-a is set twice"]);
    refused(&place, 65, &["--signature-header", "Content-Length"], &["content-length"]);
    assert!(!place.path("postrider.db").exists(), "what is refused makes no store");
}

#[test]
fn a_url_must_be_public_https_unless_the_configuration_says_otherwise() {
    let place = Place::new();
    place.write("config.toml", "");
    let url = |url: &str, parts: &[&str]| {
        place.refused(65, &format!("endpoint add acme {url} --profile ensuro --secret-file secret"), parts);
    };
    url("http://partner.example/", &["https://", "allow_http"]);
    url("https://10.0.0.1/", &["10.0.0.1", "private"]);
    url("https://127.0.0.1/", &["127.0.0.1"]);
    url("https://localhost/", &["localhost", "allow_addresses"]);
    url("https://[::1]/", &["::1"]);
    url("ftp://partner.example/", &["must begin with https://"]);
    url("partner.example", &["the URL cannot be read"]);
    url(&format!("https://me:{TOKEN}@partner.example/"), &["user name or password"]);
}

#[test]
fn keys_must_be_those_of_the_profile() {
    let place = Place::new();
    place.write("empty", "");
    place.write("long", "x".repeat(10_000));
    let add = |exit, flags: &str, parts: &[&str]| {
        place.refused(exit, &format!("endpoint add acme http://127.0.0.1:9/ --profile {flags}"), parts);
    };
    add(65, "ensuro", &["signed", "--secret-file (hmac)", "--key-file (eip191)"]);
    add(65, "standard", &["whsec_…", "whsk_…"]);
    add(65, "octamile --secret-file secret", &["not signed"]);
    add(65, "octamile --key-file key", &["not signed"]);
    add(65, "ensuro --secret-file secret --key-file key", &["not with both"]);
    add(65, "ensuro --key-file secret", &["64 hex digits"]);
    add(65, "ensuro --secret-file empty", &["an hmac secret has 1 to 4096 bytes"]);
    add(65, "ensuro --secret-file long", &["long has more than 8192 bytes"]);
    add(65, "standard --secret-file secret", &["whsec_"]);
    add(65, "standard --key-file v1", &["whsk_"]);
    add(66, "ensuro --secret-file missing", &["missing cannot be read"]);
    add(74, "ensuro --secret-file .", &[". cannot be read"]);
    add(66, "ensuro --secret-env HOOK_SECRET", &["HOOK_SECRET is not set"]);
    add(2, "standard --secret-file - --key-file -", &["not both"]);
    // Somebody gives the secret where its file's name belongs.
    add(2, &format!("standard --secret-file {V1}"), &["shell's history"]);
    add(2, &format!("ensuro --key-file {KEY}"), &["shell's history"]);
    add(66, &format!("ensuro --secret-env {TOKEN}"), &["that --secret-env names is not set"]);
}

#[test]
fn names_that_are_taken_or_unknown_are_told_with_a_way_on() {
    let place = Place::new().with_acme();
    place.refused(65, ADD, &["there is an endpoint acme already"]);
    place.refused(66, "endpoint show acne", &["there is no endpoint acne; did you mean acme?"]);
    place.refused(66, "endpoint remove other --yes", &["there is no endpoint other", "endpoint list"]);
    place.refused(66, "enqueue --endpoint acmee body.json", &["did you mean acme?"]);
}
