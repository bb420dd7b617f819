//! What makes no sense is refused in one sentence, before anything is sent.

use super::Place;

#[test]
fn mistakes_are_named_with_what_to_do() {
    let place = Place::new();
    place.write("text.txt", "no certificate");
    let to = "--to http://127.0.0.1:9/";
    let cases = [
        (format!("ensuro policy/create {to} --unsigned"), 65, "is policy/creation meant?"),
        (format!("ensuro nothing {to} --unsigned"), 65, "policy/replacement/failed"),
        (format!("octamile paid {to}"), 65, "policy/approved, policy/declined"),
        (format!("standard a//b {to} --unsigned"), 65, "an event type has"),
        (format!("ensuro creation {to}"), 65, "--unsigned sends without"),
        (format!("octamile approved {to} --secret-file secret"), 65, "not signed"),
        (format!("octamile declined {to} --certificate text.txt"), 2, "only `mock octamile approved`"),
        (format!("octamile approved {to} --certificate text.txt"), 65, "no JPG, PNG or PDF"),
        (format!("octamile approved {to} --certificate missing.pdf"), 66, "missing.pdf cannot be read"),
        (format!("octamile approved {to} --certificate-kind gif"), 2, "jpg, png or pdf"),
        (format!("octamile approved {to} --ca text.txt"), 74, "text.txt is no PEM file"),
        (format!("ensuro creation {to} --unsigned --set polcy.id=1"), 65, "there is no polcy in this notification"),
        (format!("ensuro creation {to} --unsigned --set policy.id"), 2, "FIELD=VALUE"),
        (format!("octamile declined {to} --count 0"), 2, "--count"),
        (format!("octamile declined {to} --rate 0"), 2, "a rate is from"),
        (format!("octamile declined {to} --speed 9"), 2, "--retries"),
        (format!("octamile declined {to} --timeout 1h"), 65, "the timeout must be from"),
        (format!("octamile declined {to} --retries --count 2"), 2, "cannot be used with"),
        (format!("octamile declined {to} --curl --json"), 2, "--print --json"),
        (format!("octamile declined {to} --header nonsense"), 65, "Name: value"),
        (format!("octamile declined {to} --header Host:x"), 65, "host is the transport's"),
        (format!("octamile declined {to} --server http://127.0.0.1:1"), 2, "mock works on this machine"),
        ("octamile declined --to localhost:3000/hook".to_owned(), 65, "such as http://localhost:3000/hook"),
        ("octamile declined --to http://10.1.2.3/".to_owned(), 65, "safety.allow_addresses"),
        ("octamile declined".to_owned(), 2, "--to <URL>"),
        ("acme policy/creation --print".to_owned(), 2, "ensuro, octamile or standard"),
        ("ensuro --file - --secret-file - --to http://127.0.0.1:9/".to_owned(), 2, "stdin can be"),
    ];
    for (words, exit, part) in cases {
        let ended = place.run(&words);
        assert_eq!((ended.exit, ended.out.as_str()), (exit, ""), "{words}: {}", ended.err);
        assert!(ended.err.contains(part), "{words}: {:?} does not say {part:?}", ended.err);
    }
}
