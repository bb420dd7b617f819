//! The one list of settings: what each is called and what it may be.
//! Everything that speaks of a setting (file, environment, flags, errors, `config show`) reads this list; the shipped
//! config.toml holds the values.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use url::Url;

use super::found::Found;
use crate::log;
use crate::plain::acts;

/// One setting.
pub(super) struct Row {
    /// `section.name`.
    pub key: &'static str,
    pub kind: Kind,
}

/// What a setting may be.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A file's path; relative ones are resolved.
    Path,
    /// The same, or empty for none.
    PathOrNone,
    /// From the first to the second, both allowed, of the unit (empty: of nothing in particular).
    Whole(u64, u64, &'static str),
    Flag,
    Networks,
    /// An IP address with a port, or empty for none.
    AddressOrNone,
    /// Names and addresses that a `Host` header may have, without ports.
    Hosts,
    /// An http:// or https:// URL without user, query and fragment, or empty for none.
    UrlOrNone,
    Choice(&'static [&'static str]),
}

const MIB: u64 = 1024 * 1024;
const FORMATS: [&str; 2] = [log::Format::Text.as_str(), log::Format::Json.as_str()];
const LEVELS: [&str; 5] = [
    log::Level::Error.as_str(),
    log::Level::Warn.as_str(),
    log::Level::Info.as_str(),
    log::Level::Debug.as_str(),
    log::Level::Trace.as_str(),
];

pub(super) const ROWS: [Row; 25] = [
    row("store.path", Kind::Path),
    row("store.master_key_file", Kind::PathOrNone),
    row("store.max_body_bytes", Kind::Whole(1, 64 * MIB, "bytes")),
    row("store.keep_ended_days", Kind::Whole(0, 3650, "days")),
    row("delivery.concurrency_per_endpoint", Kind::Whole(1, 256, "")),
    row("delivery.in_flight", Kind::Whole(1, 4096, "")),
    row("delivery.in_flight_body_bytes", Kind::Whole(MIB, 16 * 1024 * MIB, "bytes")),
    row("delivery.connect_timeout_ms", Kind::Whole(100, 60_000, "milliseconds")),
    row("delivery.poll_ms", Kind::Whole(10, 1000, "milliseconds")),
    row("safety.allow_http", Kind::Flag),
    row("safety.allow_addresses", Kind::Networks),
    row("safety.extra_roots_file", Kind::PathOrNone),
    row("safety.egress_proxy", Kind::UrlOrNone),
    row("api.listen", Kind::AddressOrNone),
    row("api.socket", Kind::PathOrNone),
    row("api.allow_hosts", Kind::Hosts),
    row("api.max_connections", Kind::Whole(1, 65_536, "")),
    row("api.max_header_bytes", Kind::Whole(4096, MIB, "bytes")),
    row("api.request_timeout_ms", Kind::Whole(100, 600_000, "milliseconds")),
    row("api.in_flight_enqueues", Kind::Whole(1, 65_536, "")),
    row("api.in_flight_body_bytes", Kind::Whole(MIB, 16 * 1024 * MIB, "bytes")),
    row("api.min_free_disk_bytes", Kind::Whole(0, 1024 * 1024 * MIB, "bytes")),
    row("telemetry.otlp_endpoint", Kind::UrlOrNone),
    row("log.format", Kind::Choice(&FORMATS)),
    row("log.level", Kind::Choice(&LEVELS)),
];

const fn row(key: &'static str, kind: Kind) -> Row {
    Row { key, kind }
}

impl Row {
    /// `POSTRIDER_STORE_PATH`.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.key.replace('.', "_").to_ascii_uppercase())
    }

    fn section(&self) -> &'static str {
        self.key.split('.').next().unwrap_or_default()
    }
}

/// What the variables of the environment begin with.
pub(super) const PREFIX: &str = "POSTRIDER_";

pub(super) fn position(key: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.key == key)
}

pub(super) fn is_section(name: &str) -> bool {
    ROWS.iter().any(|row| row.section() == name)
}

/// `; did you mean store.path?`, or nothing if no key is like it.
pub(super) fn nearest_key(wrong: &str) -> String {
    let last = |key: &str| key.rsplit('.').next().map(str::to_owned);
    let elsewhere = ROWS.iter().find(|row| last(row.key) == last(wrong)).map(|row| row.key.to_owned());
    meant(elsewhere.or_else(|| nearest(wrong, ROWS.iter().map(|row| row.key.to_owned()))))
}

pub(super) fn nearest_section(wrong: &str) -> String {
    meant(nearest(wrong, ROWS.iter().map(|row| row.section().to_owned())).map(|section| format!("[{section}]")))
}

/// The variable that was meant, if one is like it.
pub(super) fn nearest_variable(wrong: &str) -> Option<String> {
    let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    nearest(&bare(wrong), ROWS.iter().map(|row| bare(&row.variable()))).map(|name| format!("{PREFIX}{name}"))
}

pub(super) fn meant(name: Option<String>) -> String {
    name.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

/// Below this share of equal letters a suggestion would be a guess.
const ALIKE: f64 = 0.6;

/// The name that was meant, if one of them is like what was given.
pub(crate) fn nearest(wrong: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let wrong = wrong.to_lowercase();
    names
        .map(|name| (strsim::normalized_damerau_levenshtein(&wrong, &name.to_lowercase()), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// A setting's value, checked against its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Absolute if the folder that it was resolved against was; empty: none.
    Path(PathBuf),
    Whole(u64),
    Flag(bool),
    Networks(Vec<IpNet>),
    Address(Option<SocketAddr>),
    Hosts(Vec<String>),
    /// Empty: none.
    Url(String),
    Choice(&'static str),
}

impl Kind {
    /// Checks what was found. Relative paths begin at `folder`. Fails with the part of a sentence that follows the
    /// setting's key: what was found and what is allowed.
    pub fn read(&self, found: &Found, folder: &Path) -> Result<Value, String> {
        let refused = || format!("is {found}; it must be {self}");
        match self {
            Kind::Path | Kind::PathOrNone => match found.text() {
                Some("") if matches!(self, Kind::PathOrNone) => Ok(Value::Path(PathBuf::new())),
                Some(text) if !text.is_empty() && !text.contains('\0') => Ok(Value::Path(folder.join(text))),
                Some(_) | None => Err(refused()),
            },
            Kind::Whole(least, most, _) => match found.whole() {
                Some(number) if (*least..=*most).contains(&number) => Ok(Value::Whole(number)),
                Some(_) | None => Err(refused()),
            },
            Kind::Flag => found.flag().map(Value::Flag).ok_or_else(refused),
            Kind::Networks => {
                let items = found.items().ok_or_else(refused)?;
                items.iter().map(network).collect::<Result<_, _>>().map(Value::Networks)
            }
            Kind::AddressOrNone => match found.text() {
                Some("") => Ok(Value::Address(None)),
                Some(text) => text.parse().map(|address| Value::Address(Some(address))).map_err(|_| refused()),
                None => Err(refused()),
            },
            Kind::Hosts => {
                let items = found.items().ok_or_else(refused)?;
                items.iter().map(host).collect::<Result<_, _>>().map(Value::Hosts)
            }
            Kind::UrlOrNone => match found.text() {
                Some("") => Ok(Value::Url(String::new())),
                Some(text) if is_plain_url(text) => Ok(Value::Url(text.to_owned())),
                Some(_) | None => Err(refused()),
            },
            Kind::Choice(words) => {
                let word = words.iter().find(|word| found.text() == Some(word));
                word.map(|word| Value::Choice(word)).ok_or_else(refused)
            }
        }
    }
}

/// One item of a list of networks. Bits beyond the prefix are a slip that could open more than was meant.
fn network(item: &Found) -> Result<IpNet, String> {
    let text = item.text().unwrap_or_default();
    let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
    match text.parse::<IpNet>().ok().or_else(single) {
        Some(net) if net.addr() == net.network() => Ok(net),
        Some(net) => Err(format!(
            "contains {item}, which has bits set beyond its prefix; write \"{}\" for the network or \"{}\" for the \
             address",
            net.trunc(),
            net.addr()
        )),
        None => Err(format!("contains {item}; each must be an address (192.0.2.7) or a network (10.0.0.0/8)")),
    }
}

/// One item of a list of hosts, in lower case.
fn host(item: &Found) -> Result<String, String> {
    let text = item.text().unwrap_or_default().to_ascii_lowercase();
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&text);
    match (bare.parse::<IpAddr>(), !text.is_empty() && text.chars().all(name)) {
        (Ok(address), _) => Ok(address.to_string()),
        (Err(_), true) => Ok(text),
        (Err(_), false) => Err(format!(
            "contains {item}; each must be a name or an address without scheme and port (hooks.example.com, 10.0.0.7)"
        )),
    }
}

fn is_plain_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let bare = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && bare && url.query().is_none() && url.fragment().is_none()
    })
}

/// The end of the sentence `it must be …`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Path => f.write_str("a text that is a path"),
            Kind::PathOrNone => f.write_str("a text that is a path, or empty for none"),
            Kind::Whole(least, most, "") => write!(f, "a whole number from {least} to {most}"),
            Kind::Whole(least, most, unit) => write!(f, "a whole number of {unit} from {least} to {most}"),
            Kind::Flag => f.write_str("true or false"),
            Kind::Networks => f.write_str("a list of addresses and networks, as [\"10.0.0.0/8\", \"192.0.2.7\"]"),
            Kind::AddressOrNone => {
                f.write_str("an IP address with a port, as \"127.0.0.1:8787\" or \"[::1]:8787\", or empty for none")
            }
            Kind::Hosts => f.write_str("a list of names and addresses, as [\"hooks.example.com\", \"10.0.0.7\"]"),
            Kind::UrlOrNone => {
                let shape = "as \"http://127.0.0.1:4318\", without user, query and fragment";
                write!(f, "an http:// or https:// URL, {shape}, or empty for none")
            }
            Kind::Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                let (last, others) = words.split_last().expect("a choice has words");
                write!(f, "{} or {last}", others.join(", "))
            }
        }
    }
}

/// As it would stand in config.toml.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Path(path) => f.write_str(&quoted(&path.to_string_lossy())),
            Value::Whole(number) => write!(f, "{number}"),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Networks(nets) => write_list(f, nets),
            Value::Address(None) => f.write_str("\"\""),
            Value::Address(Some(address)) => write!(f, "\"{address}\""),
            Value::Hosts(hosts) => write_list(f, hosts),
            Value::Url(url) => f.write_str(&quoted(url)),
            Value::Choice(word) => write!(f, "\"{word}\""),
        }
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    let items: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
    write!(f, "[{}]", items.join(", "))
}

/// A TOML basic string; what a terminal would act on is escaped.
pub(super) fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => shown.extend(['\\', c]),
            _ if acts(c) => {
                shown.push_str(&format!("\\U{:08X}", u32::from(c)));
            }
            _ => shown.push(c),
        }
    }
    shown.push('"');
    shown
}
