//! Sent nowhere: the bytes that a seed makes, what `--set` changes in them, and the curl command that sends the same.

use std::process::Command;

use serde_json::json;

use super::{PATIENCE, Place, hmac_of, verifying};

#[test]
fn the_same_seed_makes_the_same_bytes_and_no_seed_new_ones() {
    let place = Place::new();
    for what in ["ensuro policy/creation", "ensuro replacement/failed", "octamile approved", "standard a.b"] {
        let (first, _) = place.body(&format!("{what} --seed 7"));
        assert_eq!(first, place.body(&format!("{what} --seed 7")).0, "{what}");
        assert_ne!(first, place.body(&format!("{what} --seed 8")).0, "{what}");
        assert_ne!(place.body(what).0, place.body(what).0, "{what}");
    }
    let many = |seed: u64| place.run(&format!("ensuro --all --count 2 --print --seed {seed}")).out;
    assert_eq!((many(3) == many(3), many(3) == many(4)), (true, false));
    assert_eq!(many(3).matches("content-type: application/json").count(), 16);
}

#[test]
fn times_are_around_now_unless_they_follow_from_a_seed() {
    let place = Place::new();
    let (_, body) = place.body("ensuro policy/creation");
    let start: jiff::Timestamp = body["policy"]["start"].as_str().unwrap().parse().unwrap();
    let ago = jiff::Timestamp::now().as_second() - start.as_second();
    assert!((0..120).contains(&ago), "{ago} s ago");
}

#[test]
fn fields_are_set_and_what_the_provider_would_not_send_is_warned_of() {
    let place = Place::new();
    let set = ["ensuro", "resolution", "--print", "--json", "--set", "policy.actual_payout=12.5"];
    let more = ["--set", "policy.quote=null", "--set", "policy.events[0].log_index=77", "--set", "policy.new=yes"];
    let ended = place.run_with(&[&set[..], &more].concat());
    assert_eq!((ended.exit, ended.err.as_str()), (0, ""), "without a secret it is printed unsigned");
    let printed: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let body: serde_json::Value = serde_json::from_str(printed["body"].as_str().unwrap()).unwrap();
    let policy = &body["policy"];
    assert_eq!((&policy["actual_payout"], &policy["quote"]), (&json!("12.5"), &json!(null)));
    assert_eq!((&policy["events"][0]["log_index"], &policy["new"]), (&json!(77), &json!("yes")));
    let ended = place.run("ensuro creation --print --set policy.premium:=12.5");
    assert_eq!(ended.exit, 0);
    assert!(
        ended.err.contains("warning: ensuro would not send this: policy.premium must be a decimal"),
        "{}",
        ended.err
    );
}

#[test]
fn the_headers_and_the_very_body_are_printed_and_nothing_is_sent() {
    let (place, receiver) = (Place::new(), verifying());
    place.write("own", "{\"odd\" : 1}");
    let ended = place.run(&format!("ensuro --file own --to {}?token=abc --secret-file secret --print", receiver.url()));
    assert_eq!(ended.exit, 0, "{}", ended.err);
    let (head, body) = ended.out.split_once("\n\n").unwrap();
    assert_eq!(body, "{\"odd\" : 1}");
    let lines: Vec<&str> = head.lines().collect();
    assert_eq!(lines[0], format!("POST {}?token=abc", receiver.url()));
    assert_eq!(lines[1], "content-type: application/json");
    assert_eq!(lines[3], format!("x-ensuro-signature: {}", hmac_of(b"{\"odd\" : 1}")));
    assert_eq!((lines.len(), receiver.connections()), (4, 0));
}

/// Needs curl, which every machine has that somebody develops on.
#[test]
fn the_curl_command_sends_the_same_bytes_whatever_they_are() {
    let (place, receiver) = (Place::new(), verifying());
    place.write("quotes", "{\"it's\": \"$HOME `x` \\\\ \\u0000 é\"}");
    place.write("at", "@/etc/hostname");
    place.write("lines", "a\nb\n\n");
    place.write("bytes", [0u8, 255, 10, 13, 39]);
    place.write("large", vec![b'x'; 300_000]);
    for (index, name) in ["quotes", "at", "lines", "bytes", "large"].into_iter().enumerate() {
        let words = format!("ensuro --file {name} --to {}?a=[1]&b={{2}} --secret-file secret --curl", receiver.url());
        let ended = place.run(&words);
        assert_eq!(ended.exit, 0, "{}", ended.err);
        let output = Command::new("sh").arg("-c").arg(&ended.out).current_dir(place.path()).output();
        // One argument of a process has a limit, which a script in a file has not.
        let output = match output {
            Ok(output) => output,
            Err(_) => {
                place.write("script", &ended.out);
                Command::new("sh").arg("script").current_dir(place.path()).output().unwrap()
            }
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.starts_with("HTTP/1.1 200"), "{name}: {said} {}", String::from_utf8_lossy(&output.stderr));
        let requests = receiver.wait_for(index + 1, PATIENCE);
        assert_eq!(requests[index].body, std::fs::read(place.path().join(name)).unwrap(), "{name}");
        assert_eq!(requests[index].header("content-type"), Some("application/json"));
        assert!(requests[index].path.ends_with("?a=[1]&b={2}") || requests[index].path.contains("a=[1]"));
    }
    let made = place.run(&format!("ensuro creation --to {} --secret-file secret --curl", receiver.url()));
    assert!(made.out.contains("--data-binary '{\"type\":\"policy/creation\""), "{}", made.out);
}
