//! What a configuration says, and each way in which it can be wrong, with the exact words.

mod api;

use super::*;

/// A folder of its own with the given config.toml in it; the current folder of `Sources`.
struct Place(tempfile::TempDir);

impl Place {
    fn empty() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn with(text: impl AsRef<[u8]>) -> Self {
        let place = Place::empty();
        std::fs::write(place.0.path().join("config.toml"), text).unwrap();
        place
    }

    fn sources(&self) -> Sources {
        Sources { folder: self.0.path().to_owned(), ..Sources::default() }
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        load(&self.sources())
    }

    fn load_with(&self, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let flags = flags.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        load(&Sources { environment, flags, ..self.sources() })
    }
}

#[track_caller]
fn refused(text: &str, said: &[&str]) {
    assert_eq!(Place::with(text).load().unwrap_err().to_string(), said.join("\n"), "{text}");
}

#[track_caller]
fn refused_environment(name: &str, value: &str, said: &str) {
    assert_eq!(Place::empty().load_with(&[(name, value)], &[]).unwrap_err().to_string(), said);
}

fn setting<'a>(loaded: &'a Loaded, key: &str) -> &'a Setting {
    loaded.settings.iter().find(|setting| setting.key == key).unwrap()
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let expected = Config {
        store: StoreSettings {
            path: "postrider.db".into(),
            master_key_file: None,
            max_body_bytes: 5 * 1024 * 1024,
            keep_ended: Some(Span::from_hours(30 * 24)),
        },
        delivery: DeliverySettings {
            concurrency_per_endpoint: 8,
            in_flight: 256,
            in_flight_body_bytes: 64 * 1024 * 1024,
            connect_timeout: Span::from_seconds(3),
            poll: Span::from_ms(50),
        },
        safety: SafetySettings {
            allow_http: false,
            allow_addresses: vec![],
            extra_roots_file: None,
            egress_proxy: None,
        },
        api: ApiSettings {
            listen: Some("127.0.0.1:8787".parse().unwrap()),
            socket: None,
            allow_hosts: vec![],
            max_connections: 2048,
            max_header_bytes: 16 * 1024,
            request_timeout: Span::from_seconds(10),
            in_flight_enqueues: 4096,
            in_flight_body_bytes: 64 * 1024 * 1024,
            min_free_disk_bytes: 64 * 1024 * 1024,
        },
        telemetry: TelemetrySettings { otlp_endpoint: None },
        log: LogSettings { format: Format::Text, level: Level::Info },
    };
    assert_eq!(Config::default(), expected);
}

#[test]
fn the_shipped_file_has_every_setting_in_order_each_with_a_comment_above() {
    let entries = found::entries(SHIPPED).unwrap();
    let lines: Vec<&str> = SHIPPED.lines().collect();
    let mut keys = Vec::new();
    for entry in &entries {
        match &entry.what {
            What::Setting(key, _) => {
                assert!(lines[entry.line - 2].starts_with("# "), "{key} has no comment directly above");
                keys.push(key.as_str());
            }
            What::Section(name) => assert!(table::is_section(name)),
        }
    }
    assert_eq!(keys, ROWS.map(|row| row.key));
}

#[test]
fn the_shipped_comments_state_the_limits_that_hold() {
    let mut comments = String::new();
    for line in SHIPPED.lines() {
        match (line.strip_prefix('#'), line.split_once(" = ")) {
            (Some(comment), _) => comments.push_str(comment),
            (None, Some((name, _))) => {
                let row = ROWS.iter().find(|row| row.key.ends_with(&format!(".{name}"))).unwrap();
                let stated: Vec<String> = match row.kind {
                    table::Kind::Whole(least, most, _) => vec![least.to_string(), most.to_string()],
                    table::Kind::Choice(words) => words.iter().map(|word| format!("\"{word}\"")).collect(),
                    table::Kind::Path | table::Kind::PathOrNone | table::Kind::Flag | table::Kind::Networks => vec![],
                    table::Kind::AddressOrNone | table::Kind::Hosts | table::Kind::UrlOrNone => vec![],
                };
                for limit in stated {
                    assert!(comments.contains(&limit), "{name} does not state {limit}");
                }
            }
            (None, None) => comments.clear(),
        }
    }
}

#[test]
fn the_shipped_file_as_a_file_changes_nothing() {
    let place = Place::with(SHIPPED);
    let defaults = Gathered::new(place.0.path()).config();
    assert_eq!(place.load().unwrap().config, defaults);
}

/// A value for each setting that is allowed and not the default.
const OTHERS: [(&str, &str); ROWS.len()] = [
    ("store.path", "\"/var/lib/postrider/\\\"odd\\\" \\U0000001B.db\""),
    ("store.master_key_file", "\"/etc/postrider/master.key\""),
    ("store.max_body_bytes", "1000"),
    ("store.keep_ended_days", "0"),
    ("delivery.concurrency_per_endpoint", "1"),
    ("delivery.in_flight", "4096"),
    ("delivery.in_flight_body_bytes", "17179869184"),
    ("delivery.connect_timeout_ms", "100"),
    ("delivery.poll_ms", "1000"),
    ("safety.allow_http", "true"),
    ("safety.allow_addresses", "[\"10.0.0.0/8\", \"192.0.2.7/32\", \"fd00::/8\"]"),
    ("safety.extra_roots_file", "\"/etc/roots.pem\""),
    ("safety.egress_proxy", "\"http://proxy.internal:4750\""),
    ("api.listen", "\"[::1]:0\""),
    ("api.socket", "\"/run/postrider.sock\""),
    ("api.allow_hosts", "[\"hooks.example.com\", \"10.0.0.7\", \"::1\"]"),
    ("api.max_connections", "1"),
    ("api.max_header_bytes", "4096"),
    ("api.request_timeout_ms", "600000"),
    ("api.in_flight_enqueues", "65536"),
    ("api.in_flight_body_bytes", "17179869184"),
    ("api.min_free_disk_bytes", "0"),
    ("telemetry.otlp_endpoint", "\"https://collector.example.com/otlp\""),
    ("log.format", "\"json\""),
    ("log.level", "\"trace\""),
];

/// Holds the list of settings and the typed configuration together: no setting that changes nothing.
#[test]
fn every_setting_changes_the_configuration_and_no_other_setting() {
    for (key, value) in OTHERS {
        let place = Place::with(format!("{key} = {value}"));
        let loaded = place.load().unwrap();
        assert_ne!(loaded.config, Gathered::new(place.0.path()).config(), "{key}");
        for setting in &loaded.settings {
            let line = Origin::File { path: "config.toml".into(), line: 1 };
            assert_eq!(setting.origin, if setting.key == key { line } else { Origin::Default }, "{key}");
        }
    }
}

#[test]
fn what_is_shown_reads_back_as_the_same() {
    let text: String = OTHERS.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let loaded = Place::with(text).load().unwrap();
    let shown: Vec<String> = loaded.settings.iter().map(|s| format!("{} = {}", s.key, s.value)).collect();
    assert_eq!(shown, OTHERS.map(|(key, value)| format!("{key} = {value}")));
    assert_eq!(Place::with(shown.join("\n")).load().unwrap().config, loaded.config);
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() {
    let file = "[delivery]\nin_flight = 100\npoll_ms = 100\nconnect_timeout_ms = 1000\n";
    let place = Place::with(file);
    let environment = [("POSTRIDER_DELIVERY_IN_FLIGHT", "200"), ("POSTRIDER_DELIVERY_POLL_MS", "200"), ("HOME", "/")];
    let loaded = place.load_with(&environment, &[("delivery.in_flight", "300")]).unwrap();
    let of = |key| (setting(&loaded, key).value.as_str(), setting(&loaded, key).origin.to_string());
    assert_eq!(of("delivery.in_flight"), ("300", "command line".to_owned()));
    assert_eq!(of("delivery.poll_ms"), ("200", "POSTRIDER_DELIVERY_POLL_MS".to_owned()));
    assert_eq!(of("delivery.connect_timeout_ms"), ("1000", "config.toml:4".to_owned()));
    assert_eq!(of("delivery.concurrency_per_endpoint"), ("8", "default".to_owned()));
    assert_eq!(loaded.config.delivery.in_flight, 300);
    assert_eq!(loaded.config.delivery.poll, Span::from_ms(200));
    assert_eq!(loaded.file, Some("config.toml".into()));
}

#[test]
fn the_environment_sets_every_kind() {
    let environment = [
        ("POSTRIDER_STORE_PATH", "/data/p.db"),
        ("POSTRIDER_SAFETY_ALLOW_HTTP", "true"),
        ("POSTRIDER_SAFETY_ALLOW_ADDRESSES", "10.0.0.0/8, ::1"),
        ("POSTRIDER_LOG_FORMAT", "json"),
        ("POSTRIDER_CONFIG", "unused"),
    ];
    let loaded = Place::empty().load_with(&environment, &[]).unwrap();
    assert_eq!(loaded.config.store.path, PathBuf::from("/data/p.db"));
    assert!(loaded.config.safety.allow_http);
    assert_eq!(setting(&loaded, "safety.allow_addresses").value, "[\"10.0.0.0/8\", \"::1/128\"]");
    assert_eq!(loaded.config.log.format, Format::Json);
    assert_eq!(loaded.warnings, Vec::<String>::new());

    let place = Place::with("safety.allow_addresses = [\"10.0.0.0/8\"]");
    let none = place.load_with(&[("POSTRIDER_SAFETY_ALLOW_ADDRESSES", "")], &[]).unwrap();
    assert_eq!(none.config.safety.allow_addresses, []);
}

#[test]
fn relative_paths_begin_where_the_one_who_wrote_them_stands() {
    let place = Place::empty();
    let folder = place.0.path().to_owned();
    assert_eq!(place.load().unwrap().config.store.path, folder.join("postrider.db"));

    std::fs::create_dir(folder.join("etc")).unwrap();
    std::fs::write(folder.join("etc/p.toml"), "safety.extra_roots_file = 'ca.pem'").unwrap();
    let named = |environment: Vec<(OsString, OsString)>| {
        load(&Sources { file: Some("etc/p.toml".into()), environment, ..place.sources() }).unwrap()
    };
    let loaded = named(vec![]);
    assert_eq!(loaded.config.store.path, folder.join("etc/postrider.db"));
    assert_eq!(loaded.config.safety.extra_roots_file, Some(folder.join("etc/ca.pem")));
    assert_eq!(setting(&loaded, "safety.extra_roots_file").origin.to_string(), "etc/p.toml:1");
    let loaded = named(vec![("POSTRIDER_STORE_PATH".into(), "mine.db".into())]);
    assert_eq!(loaded.config.store.path, folder.join("mine.db"));
}

#[test]
fn the_file_is_looked_for_in_the_usual_places() {
    let place = Place::empty();
    let own = place.0.path().join("home");
    let places = |name: &str, value: &Path| {
        file::places(&Sources { environment: vec![(name.into(), value.into())], ..place.sources() })
    };
    let etc = PathBuf::from("/etc/postrider/config.toml");
    let [here, in_own] = [PathBuf::from("config.toml"), own.join("postrider/config.toml")];
    assert_eq!(places("XDG_CONFIG_HOME", &own), [here.clone(), in_own.clone(), etc.clone()]);
    assert_eq!(places("HOME", &own), [here.clone(), own.join(".config/postrider/config.toml"), etc.clone()]);
    assert_eq!(places("XDG_CONFIG_HOME", Path::new("relative")), [here.clone(), etc.clone()]);
    assert_eq!(places("XDG_CONFIG_HOME", Path::new("")), [here, etc]);

    std::fs::create_dir_all(own.join("postrider")).unwrap();
    std::fs::write(&in_own, "log.level = 'warn'").unwrap();
    let loaded = place.load_with(&[("XDG_CONFIG_HOME", own.to_str().unwrap())], &[]).unwrap();
    assert_eq!((loaded.config.log.level, loaded.file), (Level::Warn, Some(in_own)));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let place = Place::empty();
    let named = |name: &str| load(&Sources { file: Some(name.into()), ..place.sources() }).unwrap_err().to_string();
    assert_eq!(
        named("nowhere.toml"),
        "nowhere.toml: does not exist; name another with --config, or none to use the defaults"
    );
    std::fs::create_dir(place.0.path().join("folder")).unwrap();
    assert_eq!(named("folder"), "folder: cannot be read: Is a directory (os error 21)");
    let said = |bytes: &[u8]| Place::with(bytes).load().unwrap_err().to_string();
    assert_eq!(said(b"a = 1\n\xff"), "config.toml: is not UTF-8 on line 2");
    let largest = vec![b'\n'; 1024 * 1024];
    assert!(Place::with(&largest).load().is_ok());
    assert_eq!(said(&[&largest[..], b"\n"].concat()), "config.toml: has more than 1 MiB; is it a configuration file?");
}

#[test]
fn unknown_names_are_errors_that_name_the_nearest() {
    refused("[store]\npth = 'x'", &["config.toml:2: store.pth is not a setting; did you mean store.path?"]);
    refused(
        "[store]\nin_flight = 3",
        &["config.toml:2: store.in_flight is not a setting; did you mean delivery.in_flight?"],
    );
    refused("path = 'x'", &["config.toml:1: path is not a setting; did you mean store.path?"]);
    refused("[store]\ncolour = 'x'", &["config.toml:2: store.colour is not a setting"]);
    refused("[stor]\npath = 'x'\nb = 1", &["config.toml:1: [stor] is not a section; did you mean [store]?"]);
    refused("\n[package]\nname = 'x'", &["config.toml:2: [package] is not a section"]);
    refused("store = 5", &["config.toml:1: store is 5, but store is a section: begin it with [store]"]);
    refused("\"a\\u001B[2J\" = 5", &["config.toml:1: a\\u{1b}[2J is not a setting"]);
}

#[test]
fn unknown_variables_are_errors_if_they_are_slips_and_warnings_if_not() {
    refused_environment(
        "POSTRIDER_STORE_PTH",
        "x",
        "POSTRIDER_STORE_PTH: no setting has this variable; did you mean POSTRIDER_STORE_PATH?",
    );
    refused_environment(
        "POSTRIDER_LOGLEVEL",
        "x",
        "POSTRIDER_LOGLEVEL: no setting has this variable; did you mean POSTRIDER_LOG_LEVEL?",
    );
    let kubernetes = [("POSTRIDER_PORT", "tcp://10.0.0.1:80"), ("POSTRIDER_SERVICE_HOST", "10.0.0.1")];
    assert_eq!(
        Place::empty().load_with(&kubernetes, &[]).unwrap().warnings,
        [
            "POSTRIDER_PORT: no setting has this variable; it is ignored",
            "POSTRIDER_SERVICE_HOST: no setting has this variable; it is ignored",
        ]
    );
}

#[test]
fn whole_numbers_keep_to_their_range() {
    let must = "it must be a whole number of bytes from 1 to 67108864";
    for (value, found) in [
        ("0", "0"),
        ("-1", "-1"),
        ("67_108_865", "67108865"),
        ("1.5", "1.5 (a number with a fraction)"),
        ("99999999999999999999", "99999999999999999999 (a number beyond 64 bits)"),
        ("'5 MB'", "\"5 MB\" (a text)"),
        ("true", "true"),
        ("[]", "an empty list"),
        ("[1]", "a list of 1 item"),
        ("{ a = 1 }", "a table"),
        ("2026-11-01", "2026-11-01 (a date or time)"),
    ] {
        let said = format!("config.toml:2: store.max_body_bytes is {found}; {must}");
        refused(&format!("[store]\nmax_body_bytes = {value}"), &[&said]);
    }
    assert_eq!(Place::with("store.max_body_bytes = 0xFF").load().unwrap().config.store.max_body_bytes, 255);
    for text in ["", "+5", "5 ", "5_0", "99999999999999999999", "five"] {
        refused_environment(
            "POSTRIDER_DELIVERY_IN_FLIGHT",
            text,
            &format!(
                "POSTRIDER_DELIVERY_IN_FLIGHT: delivery.in_flight is \"{text}\"; it must be a whole number from 1 to 4096"
            ),
        );
    }
}

#[test]
fn the_other_kinds_say_what_they_want() {
    refused(
        "[log]\nlevel = 'warning'\nformat = 1\n",
        &[
            "config.toml:2: log.level is \"warning\" (a text); it must be \"error\", \"warn\", \"info\", \"debug\" or \
             \"trace\"",
            "config.toml:3: log.format is 1; it must be \"text\" or \"json\"",
        ],
    );
    refused(
        "safety.allow_http = 'yes'",
        &["config.toml:1: safety.allow_http is \"yes\" (a text); it must be true or false"],
    );
    refused_environment(
        "POSTRIDER_SAFETY_ALLOW_HTTP",
        "1",
        "POSTRIDER_SAFETY_ALLOW_HTTP: safety.allow_http is \"1\"; it must be true or false",
    );
    refused("store.path = ''", &["config.toml:1: store.path is \"\" (a text); it must be a text that is a path"]);
    refused(
        "safety.extra_roots_file = false",
        &["config.toml:1: safety.extra_roots_file is false; it must be a text that is a path, or empty for none"],
    );
    refused(
        "store.path = \"a\\u001Bb\\u0000\"",
        &["config.toml:1: store.path is \"a\\U0000001Bb\\U00000000\" (a text); it must be a text that is a path"],
    );
}

#[test]
fn networks_are_taken_at_their_word_only() {
    let key = "safety.allow_addresses";
    refused(
        "safety.allow_addresses = '10.0.0.0/8'",
        &[&format!(
            "config.toml:1: {key} is \"10.0.0.0/8\" (a text); it must be a list of addresses and networks, as \
             [\"10.0.0.0/8\", \"192.0.2.7\"]"
        )],
    );
    for (item, found) in [
        ("'10.0.0.0/33'", "\"10.0.0.0/33\" (a text)"),
        ("'localhost'", "\"localhost\" (a text)"),
        ("'010.0.0.1'", "\"010.0.0.1\" (a text)"),
        ("7", "7"),
    ] {
        let must = "each must be an address (192.0.2.7) or a network (10.0.0.0/8)";
        refused(&format!("{key} = ['::1', {item}]"), &[&format!("config.toml:1: {key} contains {found}; {must}")]);
    }
    refused_environment(
        "POSTRIDER_SAFETY_ALLOW_ADDRESSES",
        "10.1.2.3/8",
        "POSTRIDER_SAFETY_ALLOW_ADDRESSES: safety.allow_addresses contains \"10.1.2.3/8\", which has bits set beyond \
         its prefix; write \"10.0.0.0/8\" for the network or \"10.1.2.3\" for the address",
    );
}

#[test]
fn toml_errors_show_the_place() {
    refused(
        "[store]\npath = 'a\nmax_body_bytes = 1",
        &["config.toml:2:10: invalid literal string, expected `'`", "  2 | path = 'a", "    |          ^"],
    );
    refused(
        "[log]\nlevel 'info'\n",
        &["config.toml:2:7: key with no value, expected `=`", "  2 | level 'info'", "    |       ^"],
    );
    refused(
        "[log]\nlevel = 'info'\nlevel = 'warn'\n",
        &["config.toml:3:1: duplicate key", "  3 | level = 'warn'", "    | ^"],
    );
    let long = format!("{}= 1 = \t\u{1b}[31m", "a".repeat(100));
    let excerpt = format!("  1 | {}= 1 =   [31m", "a".repeat(56));
    refused(
        &long,
        &[
            "config.toml:1:105: unexpected key or value, expected newline, `#`",
            &excerpt,
            &format!("    | {}^", " ".repeat(60)),
        ],
    );
}

#[test]
fn all_problems_are_told_at_once_in_order() {
    let place = Place::with("[store]\nz = 1\npath = 5\n[log]\nlevel = 'x'\n[delivery]\npoll_ms = 1\n[lag]\na = 1\n");
    let error = place.load_with(&[("POSTRIDER_LOG_FORMAT", "xml")], &[("store.pat", "x")]).unwrap_err();
    let places: Vec<&str> = error.problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "config.toml:2",
            "config.toml:3",
            "config.toml:5",
            "config.toml:7",
            "config.toml:8",
            "POSTRIDER_LOG_FORMAT",
            "command line"
        ]
    );
    assert_eq!(error.problems[6].to_string(), "command line: store.pat is not a setting; did you mean store.path?");
}

#[test]
fn settings_must_fit_together() {
    refused(
        "[delivery]\nin_flight = 4",
        &["config.toml:2: delivery.in_flight is 4; it must not be below delivery.concurrency_per_endpoint, which is 8"],
    );
    refused(
        "store.max_body_bytes = 67108864\ndelivery.in_flight_body_bytes = 1048576",
        &[
            "config.toml:2: delivery.in_flight_body_bytes is 1048576; it must not be below store.max_body_bytes, which is \
           67108864",
        ],
    );
    // What was given wrongly is told as such, and nothing is concluded from it.
    refused(
        "[delivery]\nin_flight = 4\nconcurrency_per_endpoint = 0",
        &["config.toml:3: delivery.concurrency_per_endpoint is 0; it must be a whole number from 1 to 256"],
    );
}

#[test]
fn what_opens_the_door_too_wide_is_warned_of() {
    let warnings = |text: &str| Place::with(text).load().unwrap().warnings;
    let wide = |line: u8, net: &str| {
        format!(
            "config.toml:{line}: safety.allow_addresses contains \"{net}\", which lets deliveries reach every address, \
             this machine and its network included"
        )
    };
    assert_eq!(
        warnings("[safety]\nallow_addresses = ['0.0.0.0/0', '::/0', '10.0.0.0/8']"),
        [wide(2, "0.0.0.0/0"), wide(2, "::/0")]
    );
    assert_eq!(
        warnings("safety.allow_http = true"),
        ["config.toml:1: safety.allow_http is true and safety.allow_addresses is empty: plain HTTP goes to public \
          addresses, where anybody on the way can read and change it"]
    );
    assert_eq!(warnings("safety.allow_http = true\nsafety.allow_addresses = ['::1']"), Vec::<String>::new());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-z\\[\\]=.\"'#{},0-9 \t\r\n\u{e9}\u{1b}\u{202e}]{0,60}") {
        if let Err(syntax) = found::entries(&text) {
            assert!(syntax.text.lines().count() == 3, "{syntax:?}");
        }
    }
}
