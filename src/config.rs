//! The configuration: shipped defaults, then a file, then the environment, then flags, checked and typed.
//! Every error is found at once and says where it stands, what was found and what is allowed. Nothing global is read:
//! the environment and the current folder are arguments, and nothing outside this room sees TOML.

mod file;
mod found;
mod table;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::log::{Format, Level};
use crate::plain::plain;
use crate::time::Span;
use found::{Entry, Found, What};
pub(crate) use table::nearest;
use table::{ROWS, Value};

/// The defaults, documented for people: the one place where they stand.
pub const SHIPPED: &str = include_str!("../config.toml");

/// What the process is told, typed. One field for each setting of config.toml, where they are documented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub store: StoreSettings,
    pub delivery: DeliverySettings,
    pub safety: SafetySettings,
    pub api: ApiSettings,
    pub telemetry: TelemetrySettings,
    pub log: LogSettings,
}

/// The shipped defaults, with paths relative to the current folder.
impl Default for Config {
    fn default() -> Self {
        Gathered::new(Path::new("")).config()
    }
}

impl Config {
    /// With plain HTTP and the addresses of this machine allowed too: for what somebody tries out by hand.
    pub fn allowing_this_machine(&self) -> Config {
        let mut config = self.clone();
        config.safety.allow_http = true;
        let own = ["127.0.0.0/8", "::1/128"].map(|net| net.parse::<IpNet>().expect("it is a network"));
        config.safety.allow_addresses.extend(own);
        config
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Absolute if `Sources::folder` is.
    pub path: PathBuf,
    /// With it, secrets are sealed in the store. Absolute if `Sources::folder` is.
    pub master_key_file: Option<PathBuf>,
    pub max_body_bytes: usize,
    /// `None`: ended events are kept for ever.
    pub keep_ended: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySettings {
    pub concurrency_per_endpoint: u32,
    pub in_flight: u32,
    pub in_flight_body_bytes: u64,
    pub connect_timeout: Span,
    pub poll: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafetySettings {
    pub allow_http: bool,
    pub allow_addresses: Vec<IpNet>,
    /// Absolute if `Sources::folder` is.
    pub extra_roots_file: Option<PathBuf>,
    /// The proxy that all deliveries go through, as a URL.
    pub egress_proxy: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    pub listen: Option<SocketAddr>,
    /// Absolute if `Sources::folder` is.
    pub socket: Option<PathBuf>,
    /// In lower case; addresses in their shortest form, without brackets.
    pub allow_hosts: Vec<String>,
    pub max_connections: usize,
    pub max_header_bytes: usize,
    pub request_timeout: Span,
    pub in_flight_enqueues: usize,
    pub in_flight_body_bytes: usize,
    pub min_free_disk_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetrySettings {
    pub otlp_endpoint: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub format: Format,
    pub level: Level,
}

/// Where settings may come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that `--config` or `$POSTRIDER_CONFIG` names; `None`: look in the usual places.
    pub file: Option<PathBuf>,
    /// The whole environment, as `std::env::vars_os` gives it.
    pub environment: Vec<(OsString, OsString)>,
    /// Settings that flags gave, by key (`store.path`) and text.
    pub flags: Vec<(String, String)>,
    /// The current folder.
    pub folder: PathBuf,
}

/// A configuration that holds.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Every setting, in the order of config.toml.
    pub settings: Vec<Setting>,
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
    /// What is allowed but hardly meant: one sentence each, with its place.
    pub warnings: Vec<String>,
}

/// A setting as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `section.name`.
    pub key: &'static str,
    /// As it would stand in config.toml; paths as they were resolved.
    pub value: String,
    pub origin: Origin,
}

/// Who had the last word on a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Environment { variable: String },
    Flag,
}

/// `default`, `config.toml:12`, `POSTRIDER_STORE_PATH`, `command line`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", plain(&path.to_string_lossy())),
            Origin::Environment { variable } => f.write_str(&plain(variable)),
            Origin::Flag => f.write_str("command line"),
        }
    }
}

/// Why there is no configuration: everything that must be changed, in the order of the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.problems.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// One thing that is wrong. Shown as one line, `config.toml:12: store.pth is not a setting; did you mean store.path?`;
/// only TOML's own errors have more, for an excerpt with a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: String,
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Variables that begin as settings do and are none.
pub const OTHER_VARIABLES: [&str; 4] = ["POSTRIDER_CONFIG", "POSTRIDER_SANDBOX", "POSTRIDER_SERVER", "POSTRIDER_TOKEN"];

/// Reads, lays over and checks. All problems are gathered, except that a file which is not TOML ends the search.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let alone = |problem| ConfigError { problems: vec![problem] };
    let file = file::find(sources).map_err(alone)?;
    let path = file.as_ref().map(|file| file.path.clone());
    let beside_file = path.as_deref().and_then(Path::parent).map(|folder| sources.folder.join(folder));
    let mut gathered = Gathered::new(beside_file.as_deref().unwrap_or(&sources.folder));
    if let (Some(file), Some(folder)) = (&file, &beside_file) {
        gathered.add_file(file, folder).map_err(alone)?;
    }
    gathered.add_environment(sources);
    for (key, text) in &sources.flags {
        gathered.add(key, &Found::Untyped(text.clone()), Origin::Flag, &sources.folder);
    }
    gathered.check_together();
    match gathered.problems.is_empty() {
        false => Err(ConfigError { problems: gathered.problems }),
        true => Ok(Loaded {
            config: gathered.config(),
            settings: gathered.settings(),
            file: path,
            warnings: gathered.warnings.iter().map(Problem::to_string).collect(),
        }),
    }
}

/// The settings as the layers are laid over one another.
struct Gathered {
    /// In the order of `ROWS`.
    values: Vec<Given>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

struct Given {
    value: Value,
    origin: Origin,
    /// Some layer gave it wrongly, so nothing can be concluded from it.
    spoiled: bool,
}

impl Gathered {
    /// The shipped defaults. Tests hold that every setting is among them.
    fn new(folder: &Path) -> Self {
        let entries = found::entries(SHIPPED).expect("the shipped config.toml is TOML");
        let shipped = |key: &str| {
            entries.iter().find_map(|entry| match &entry.what {
                What::Setting(known, found) if known == key => Some(found),
                What::Setting(..) | What::Section(_) => None,
            })
        };
        let values = ROWS.iter().map(|row| {
            let found = shipped(row.key).expect("the shipped config.toml has every setting");
            let value = row.kind.read(found, folder).expect("the shipped config.toml is right");
            Given { value, origin: Origin::Default, spoiled: false }
        });
        Gathered { values: values.collect(), problems: Vec::new(), warnings: Vec::new() }
    }

    fn add_file(&mut self, file: &file::ConfigFile, folder: &Path) -> Result<(), Problem> {
        let shown = plain(&file.path.to_string_lossy());
        let entries = found::entries(&file.text).map_err(|syntax| Problem {
            place: format!("{shown}:{}:{}", syntax.line, syntax.column),
            text: syntax.text,
        })?;
        for Entry { line, what } in entries {
            let origin = Origin::File { path: file.path.clone(), line };
            match what {
                What::Setting(key, found) if table::is_section(&key) => {
                    let text = format!("{key} is {found}, but {key} is a section: begin it with [{key}]");
                    self.refuse(&origin, text);
                }
                What::Setting(key, found) => self.add(&key, &found, origin, folder),
                What::Section(name) if table::is_section(&name) => {}
                What::Section(name) => {
                    let text = format!("[{}] is not a section{}", plain(&name), table::nearest_section(&name));
                    self.refuse(&origin, text);
                }
            }
        }
        Ok(())
    }

    fn add_environment(&mut self, sources: &Sources) {
        let mut given: Vec<_> = sources
            .environment
            .iter()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
            .filter(|(name, _)| name.starts_with(table::PREFIX) && !OTHER_VARIABLES.contains(&name.as_str()))
            .collect();
        given.sort();
        for (variable, value) in given {
            let origin = Origin::Environment { variable: variable.clone() };
            let row = ROWS.iter().find(|row| row.variable() == variable);
            match (row, value.to_str()) {
                (Some(row), Some(text)) => {
                    self.add(row.key, &Found::Untyped(text.to_owned()), origin, &sources.folder);
                }
                (Some(row), None) => self.refuse(&origin, format!("{} is not UTF-8", row.key)),
                (None, _) => self.add_unknown_variable(&variable, &origin),
            }
        }
    }

    /// A slip in a setting's name is an error. Anything else is a warning: in Kubernetes, a service that is called
    /// postrider gives every container variables as `POSTRIDER_PORT`.
    fn add_unknown_variable(&mut self, variable: &str, origin: &Origin) {
        match table::nearest_variable(variable) {
            Some(near) => self.refuse(origin, format!("no setting has this variable{}", table::meant(Some(near)))),
            None => self.warn(origin, "no setting has this variable; it is ignored".to_owned()),
        }
    }

    fn add(&mut self, key: &str, found: &Found, origin: Origin, folder: &Path) {
        let Some(at) = table::position(key) else {
            // A section that is unknown has been told; its settings need not be told each.
            let section = key.split_once('.').map(|(section, _)| section);
            if section.is_none_or(table::is_section) {
                self.refuse(&origin, format!("{} is not a setting{}", plain(key), table::nearest_key(key)));
            }
            return;
        };
        match ROWS[at].kind.read(found, folder) {
            Ok(value) => {
                self.values[at].value = value;
                self.values[at].origin = origin;
            }
            Err(text) => {
                self.values[at].spoiled = true;
                self.refuse(&origin, format!("{key} {text}"));
            }
        }
    }

    fn refuse(&mut self, origin: &Origin, text: String) {
        self.problems.push(Problem { place: origin.to_string(), text });
    }

    fn warn(&mut self, origin: &Origin, text: String) {
        self.warnings.push(Problem { place: origin.to_string(), text });
    }

    /// What is wrong or hardly meant only together.
    fn check_together(&mut self) {
        self.check_not_below("delivery.in_flight", "delivery.concurrency_per_endpoint");
        self.check_not_below("delivery.in_flight_body_bytes", "store.max_body_bytes");
        self.check_not_below("api.in_flight_body_bytes", "store.max_body_bytes");
        let addresses = self.given("safety.allow_addresses");
        let http = self.given("safety.allow_http");
        let nets = networks(&addresses.value).to_vec();
        let (at_addresses, at_http) = (addresses.origin.clone(), http.origin.clone());
        let only_public = nets.is_empty() && !addresses.spoiled;
        let plain_http = http.value == Value::Flag(true);
        for net in nets.iter().filter(|net| net.prefix_len() == 0) {
            let text = "lets deliveries reach every address, this machine and its network included";
            self.warn(&at_addresses, format!("safety.allow_addresses contains \"{net}\", which {text}"));
        }
        if plain_http && only_public {
            let text = "safety.allow_http is true and safety.allow_addresses is empty: plain HTTP goes to public \
                        addresses, where anybody on the way can read and change it";
            self.warn(&at_http, text.to_owned());
        }
    }

    /// Tells it where somebody set one of the two.
    fn check_not_below(&mut self, larger: &str, smaller: &str) {
        let (large, small) = (self.given(larger), self.given(smaller));
        if large.spoiled || small.spoiled || self.whole::<u64>(larger) >= self.whole::<u64>(smaller) {
            return;
        }
        let place = if large.origin == Origin::Default { &small.origin } else { &large.origin };
        let text = format!("{larger} is {}; it must not be below {smaller}, which is {}", large.value, small.value);
        self.refuse(&place.clone(), text);
    }

    fn config(&self) -> Config {
        let ms = |key| Span::from_ms(self.whole(key));
        let keep_ended_days: i64 = self.whole("store.keep_ended_days");
        Config {
            store: StoreSettings {
                path: self.path("store.path").expect("the store's path is never empty"),
                master_key_file: self.path("store.master_key_file"),
                max_body_bytes: self.whole("store.max_body_bytes"),
                keep_ended: (keep_ended_days > 0).then(|| Span::from_hours(24 * keep_ended_days)),
            },
            delivery: DeliverySettings {
                concurrency_per_endpoint: self.whole("delivery.concurrency_per_endpoint"),
                in_flight: self.whole("delivery.in_flight"),
                in_flight_body_bytes: self.whole("delivery.in_flight_body_bytes"),
                connect_timeout: ms("delivery.connect_timeout_ms"),
                poll: ms("delivery.poll_ms"),
            },
            safety: SafetySettings {
                allow_http: self.given("safety.allow_http").value == Value::Flag(true),
                allow_addresses: networks(&self.given("safety.allow_addresses").value).to_vec(),
                extra_roots_file: self.path("safety.extra_roots_file"),
                egress_proxy: self.url("safety.egress_proxy"),
            },
            api: self.api(),
            telemetry: TelemetrySettings { otlp_endpoint: self.url("telemetry.otlp_endpoint") },
            log: LogSettings {
                format: Format::parse(self.word("log.format")).expect("the table has the formats' own words"),
                level: Level::parse(self.word("log.level")).expect("the table has the levels' own words"),
            },
        }
    }

    fn api(&self) -> ApiSettings {
        let Value::Address(listen) = self.given("api.listen").value else { panic!("api.listen is an address") };
        let Value::Hosts(hosts) = &self.given("api.allow_hosts").value else { panic!("api.allow_hosts is a list") };
        ApiSettings {
            listen,
            socket: self.path("api.socket"),
            allow_hosts: hosts.clone(),
            max_connections: self.whole("api.max_connections"),
            max_header_bytes: self.whole("api.max_header_bytes"),
            request_timeout: Span::from_ms(self.whole("api.request_timeout_ms")),
            in_flight_enqueues: self.whole("api.in_flight_enqueues"),
            in_flight_body_bytes: self.whole("api.in_flight_body_bytes"),
            min_free_disk_bytes: self.whole("api.min_free_disk_bytes"),
        }
    }

    fn settings(&self) -> Vec<Setting> {
        let setting = |(row, given): (&table::Row, &Given)| Setting {
            key: row.key,
            value: given.value.to_string(),
            origin: given.origin.clone(),
        };
        ROWS.iter().zip(&self.values).map(setting).collect()
    }

    fn given(&self, key: &str) -> &Given {
        &self.values[table::position(key).unwrap_or_else(|| panic!("{key} is a setting"))]
    }

    fn whole<N: TryFrom<u64>>(&self, key: &str) -> N {
        let Value::Whole(number) = self.given(key).value else { panic!("{key} is a number") };
        N::try_from(number).ok().unwrap_or_else(|| panic!("the range of {key} fits"))
    }

    /// `None` if it is empty.
    fn path(&self, key: &str) -> Option<PathBuf> {
        let Value::Path(path) = &self.given(key).value else { panic!("{key} is a path") };
        (!path.as_os_str().is_empty()).then(|| path.clone())
    }

    /// `None` if it is empty.
    fn url(&self, key: &str) -> Option<String> {
        let Value::Url(url) = &self.given(key).value else { panic!("{key} is a URL") };
        (!url.is_empty()).then(|| url.clone())
    }

    fn word(&self, key: &str) -> &'static str {
        let Value::Choice(word) = self.given(key).value else { panic!("{key} is a choice") };
        word
    }
}

fn networks(value: &Value) -> &[IpNet] {
    let Value::Networks(nets) = value else { return &[] };
    nets
}
