//! What the sections [api] and [telemetry] say, and what they refuse.

use super::*;

fn api(text: &str) -> ApiSettings {
    Place::with(text).load().unwrap().config.api
}

#[test]
fn an_address_has_a_port_and_may_be_left_empty() {
    assert_eq!(api("api.listen = ''").listen, None);
    assert_eq!(api("api.listen = '[::]:80'").listen, Some("[::]:80".parse().unwrap()));
    for wrong in ["localhost:8787", "127.0.0.1", ":8787", "127.0.0.1:99999", "http://127.0.0.1:8787"] {
        refused(
            &format!("api.listen = '{wrong}'"),
            &[&format!(
                "config.toml:1: api.listen is \"{wrong}\" (a text); it must be an IP address with a port, as \
                 \"127.0.0.1:8787\" or \"[::1]:8787\", or empty for none"
            )],
        );
    }
    refused_environment(
        "POSTRIDER_API_LISTEN",
        "8787",
        "POSTRIDER_API_LISTEN: api.listen is \"8787\"; it must be an IP address with a port, as \"127.0.0.1:8787\" or \
         \"[::1]:8787\", or empty for none",
    );
}

#[test]
fn a_socket_is_a_path_or_none() {
    let place = Place::with("api.socket = 'run/p.sock'");
    assert_eq!(place.load().unwrap().config.api.socket, Some(place.0.path().join("run/p.sock")));
    assert_eq!(api("api.socket = ''").socket, None);
}

#[test]
fn hosts_are_names_and_addresses_in_one_spelling() {
    let text = "api.allow_hosts = ['Hooks.Example.com', '[FD00::1]', '10.0.0.7', 'under_score']";
    assert_eq!(api(text).allow_hosts, ["hooks.example.com", "fd00::1", "10.0.0.7", "under_score"]);
    for wrong in ["", "https://a.example", "a.example:80", "a b", "*.example.com", "a/b", "é.example"] {
        refused(
            &format!("api.allow_hosts = ['{wrong}']"),
            &[&format!(
                "config.toml:1: api.allow_hosts contains \"{wrong}\" (a text); each must be a name or an address without \
                 scheme and port (hooks.example.com, 10.0.0.7)"
            )],
        );
    }
    let environment = [("POSTRIDER_API_ALLOW_HOSTS", "a.example, ::1")];
    let loaded = Place::empty().load_with(&environment, &[("api.max_connections", "7")]).unwrap();
    assert_eq!(loaded.config.api.allow_hosts, ["a.example", "::1"]);
    assert_eq!(loaded.config.api.max_connections, 7);
    assert_eq!(setting(&loaded, "api.allow_hosts").value, "[\"a.example\", \"::1\"]");
}

#[test]
fn spans_go_to_a_plain_url_or_nowhere() {
    let to = |text: &str| Place::with(text).load().unwrap().config.telemetry.otlp_endpoint;
    assert_eq!(to("telemetry.otlp_endpoint = ''"), None);
    assert_eq!(to("telemetry.otlp_endpoint = 'http://[::1]:4318'").as_deref(), Some("http://[::1]:4318"));
    for wrong in ["127.0.0.1:4318", "grpc://a", "http://u:p@a", "http://a?b", "http://a#b", "http://"] {
        refused(
            &format!("telemetry.otlp_endpoint = '{wrong}'"),
            &[&format!(
                "config.toml:1: telemetry.otlp_endpoint is \"{wrong}\" (a text); it must be an http:// or https:// URL, \
                 as \"http://127.0.0.1:4318\", without user, query and fragment, or empty for none"
            )],
        );
    }
}
