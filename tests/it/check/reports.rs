//! The reports: each of the four says the same, none holds a secret, and files are there whole or not at all.

use postrider::endpoint::Scheme;

use super::partner::{Fault, start, start_answering};
use super::{HMAC, KEY, Place};
use crate::receivers::Answer;

#[test]
fn each_report_tells_of_the_same_and_all_of_it() {
    let receiver = start(&[Scheme::Hmac], Fault::Rewrites);
    let place = Place::new();
    let before = place.files();
    let words = format!("check {} --secret-file hmac --junit out.xml --html out.html", receiver.url());
    let output = place.run(&words);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("30 passed, 0 warnings, 3 failed in "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("  FAIL  takes JSON with unusual spacing"), "{text}");
    assert_eq!(text.matches("fix      as for bytes/spacing").count(), 2, "{text}");
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(err.matches("http and addresses of this machine are allowed here").count(), 1, "{err}");
    let xml = std::fs::read_to_string(place.path("out.xml")).unwrap();
    assert_eq!((xml.matches("<testcase ").count(), xml.matches("<failure ").count()), (33, 3), "{xml}");
    let page = std::fs::read_to_string(place.path("out.html")).unwrap();
    assert_eq!((page.matches("<li class=").count(), page.matches("<li class=\"fail\"").count()), (33, 3));
    assert_eq!(place.files(), before + 2, "nothing is left beside them");
}

#[test]
fn junit_xml_is_xml_for_another_parser() {
    let receiver = start_answering(&[Scheme::Hmac], Fault::Rewrites, |_, answer| match answer.0.len() {
        1 if format!("{answer:?}").contains("401") => Answer::with(401, &[], "<b>&]]>\u{1b}\u{0}ü\u{ffff}".as_bytes()),
        _ => answer,
    });
    let place = Place::new();
    place.run(&format!("check {} --secret-file hmac --junit out.xml", receiver.url()));
    let script = "import sys, xml.etree.ElementTree as tree\n\
                  root = tree.parse(sys.argv[1]).getroot()\n\
                  print(root.tag, root.get('tests'), root.get('failures'), len(root.findall('testsuite/testcase')),\n\
                  len(root.findall('testsuite/testcase/failure')))";
    let output =
        std::process::Command::new("python3").args(["-c", script]).arg(place.path("out.xml")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(told.trim(), "testsuites 33 3 33 3", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn no_report_holds_a_secret_that_the_receiver_repeats() {
    const BEARER: &str = "b3arerT0kenOfTheProxy";
    const QUERY: &str = "t0k3nInAnUrl";
    for (schemes, arguments, secret) in
        [(&[Scheme::Hmac], "--secret-file hmac", HMAC), (&[Scheme::Eip191], "--key-file key", KEY)]
    {
        let echo = format!("the secret is {secret}, {BEARER}, {QUERY}, {}", hex_of(HMAC.as_bytes()));
        // Whatever it is sent, it says what it knows.
        let receiver =
            start_answering(schemes, Fault::RefusesRepeats, move |_, _| Answer::with(500, &[], echo.as_bytes()));
        let place = Place::new();
        let url = format!("{}?key={QUERY}", receiver.url());
        for way in ["--junit out.xml --html out.html", "--json", "--junit -", "--html -"] {
            let words = format!(
                "check|{url}|{}|{}|--header|x-proxy: Bearer {BEARER}",
                arguments.replace(' ', "|"),
                way.replace(' ', "|")
            );
            let words: Vec<&str> = words.split('|').collect();
            let output = place.run_with(&words);
            assert_eq!(output.status.code(), Some(1));
            let mut all = String::from_utf8_lossy(&output.stdout).into_owned();
            all += &String::from_utf8_lossy(&output.stderr);
            for file in ["out.xml", "out.html"] {
                all += &std::fs::read_to_string(place.path(file)).unwrap_or_default();
            }
            assert!(all.contains("the secret is ***"), "the answer is told of: {all}");
            for hidden in [secret, BEARER, QUERY] {
                assert!(!all.contains(hidden), "{way}: {hidden} in {all}");
            }
        }
    }
}

fn hex_of(bytes: &[u8]) -> String {
    postrider::signature::hex(bytes)
}

#[test]
fn a_seed_repeats_a_check_and_nothing_else_does() {
    let receiver = start(&[], Fault::None);
    let place = Place::new();
    let ids = |seed: &str| {
        let from = receiver.requests().len();
        place.check(&format!("{} --profile octamile --only types {seed}", receiver.url())).assert(&[], &[]);
        receiver.requests()[from..].iter().map(|request| request.body.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids("--seed 7"), ids("--seed 7"));
    assert_ne!(ids("--seed 7"), ids("--seed 8"));
    assert_ne!(ids(""), ids(""));
}
