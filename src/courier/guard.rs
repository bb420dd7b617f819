//! Which URLs and addresses may be reached at all.
//! Pure functions over constant tables: the text of a URL is parsed once by the `url` crate and judged by what it
//! means, never by how it is spelt; an address is judged by every form in which it could be taken for another.
//! Nothing here resolves a name: whoever does brings all of its addresses to `vet`, and dials only what comes back.

mod tables;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

use super::Settings;
use tables::{FORBIDDEN_V4, FORBIDDEN_V6, GLOBAL_UNICAST, LOCAL_ZONES, SERVICE_PORTS};

/// The longest URL, as it is serialised.
pub const LONGEST_URL: usize = 2048;

/// At most this many of a name's addresses are dialled; all of them are judged.
pub const MOST_ADDRESSES: usize = 8;

/// Reads a URL and says whether it may be sent to, as far as that shows without resolving its name.
/// Fails with a sentence that says which rule forbids it; the sentence holds neither user info nor query.
pub fn check_url(text: &str, settings: &Settings) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("the URL cannot be read: {error}"))?;
    match url.scheme() {
        "https" => {}
        "http" if settings.allow_http => {}
        "http" => return Err("the URL must begin with https://; http:// needs allow_http".to_owned()),
        other => return Err(format!("the URL must begin with https://; {} is not carried", clipped(other))),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL must not hold a user name or password".to_owned());
    }
    if url.fragment().is_some() {
        return Err("the URL must not have a fragment (#...)".to_owned());
    }
    if url.as_str().len() > LONGEST_URL {
        return Err(format!("the URL has {} characters; {LONGEST_URL} is the most", url.as_str().len()));
    }
    if url.as_str().parse::<http::Uri>().is_err() {
        return Err("the URL holds characters that cannot be sent in a request".to_owned());
    }
    let opted_in = check_host(&url, &settings.allow_addresses)?;
    check_port(&url, opted_in)?;
    Ok(url)
}

/// Whether an address may be reached. Fails with the rule, as "10.0.0.5 is in 10.0.0.0/8, a private network".
pub fn check_address(address: IpAddr, allow: &[IpNet]) -> Result<(), String> {
    if is_allowed(address, allow) {
        return Ok(());
    }
    match address {
        IpAddr::V4(v4) => forbidden_v4(v4),
        IpAddr::V6(v6) => forbidden_v6(v6),
    }
    .map_or(Ok(()), |rule| Err(format!("{address} is in {rule}")))
}

/// The addresses of `host` that may be dialled, out of all that were found for it, in the same order.
///
/// One forbidden address refuses them all: whoever mixes a private address into a public name wants us to reach it.
pub fn vet(host: &str, found: &[IpAddr], settings: &Settings) -> Result<Vec<IpAddr>, String> {
    let allow = &settings.allow_addresses;
    let mut vetted = Vec::new();
    for &address in found {
        if is_local_name(host) && !is_allowed(address, allow) {
            return Err(format!("{host} is a local name, and {address} is not among the allowed addresses"));
        }
        check_address(address, allow).map_err(|rule| format!("{host} is refused: {rule}"))?;
        if !vetted.contains(&address) && vetted.len() < MOST_ADDRESSES {
            vetted.push(address);
        }
    }
    Ok(vetted)
}

/// The rules for hosts; `Ok(true)` if the host can be reached only because the operator allowed its addresses.
fn check_host(url: &Url, allow: &[IpNet]) -> Result<bool, String> {
    let address = match url.host() {
        None => return Err("the URL names no host".to_owned()),
        // No host has such a name, and what a resolver makes of one is its own affair.
        Some(Host::Domain(name)) if has_empty_label(name) => {
            return Err(format!("{} is no host's name: a part between its dots is empty", clipped(name)));
        }
        Some(Host::Domain(name)) if is_local_name(name) => {
            return match allow.is_empty() {
                true => {
                    Err(format!("{} is a name of this machine or network; it needs allow_addresses", clipped(name)))
                }
                false => Ok(true),
            };
        }
        Some(Host::Domain(_)) => return Ok(false),
        Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
        Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
    };
    check_address(address, allow)?;
    Ok(is_allowed(address, allow))
}

fn check_port(url: &Url, opted_in: bool) -> Result<(), String> {
    let port = url.port_or_known_default().unwrap_or(0);
    if port == 0 {
        return Err("port 0 cannot be connected to".to_owned());
    }
    match SERVICE_PORTS.iter().find(|(number, _)| *number == port) {
        Some((_, service)) if !opted_in => {
            Err(format!("port {port} is {service}'s; it needs the address in allow_addresses"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether a name, as the `url` crate folds it, means this machine or the network around it.
fn is_local_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let in_zone = |zone: &str| name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !name.contains('.') || name.starts_with("metadata.") || LOCAL_ZONES.iter().any(|zone| in_zone(zone))
}

/// One dot at the end stands for the root.
fn has_empty_label(host: &str) -> bool {
    host.strip_suffix('.').unwrap_or(host).split('.').any(str::is_empty)
}

/// Judges the address as it stands and, if it is an IPv4 address in IPv6 clothes (`::ffff:127.0.0.1`), bare as well.
fn is_allowed(address: IpAddr, allow: &[IpNet]) -> bool {
    allow.iter().any(|net| net.contains(&address) || net.contains(&address.to_canonical()))
}

fn forbidden_v4(address: Ipv4Addr) -> Option<String> {
    let (net, what) = FORBIDDEN_V4.iter().find(|(net, _)| net.contains(&address))?;
    Some(format!("{net}, {what}"))
}

fn forbidden_v6(address: Ipv6Addr) -> Option<String> {
    if let Some(inner) = embedded_v4(address) {
        return forbidden_v4(inner).map(|rule| format!("{rule} ({inner} inside IPv6)"));
    }
    if let Some((net, what)) = FORBIDDEN_V6.iter().find(|(net, _)| net.contains(&address)) {
        return Some(format!("{net}, {what}"));
    }
    let isatap = matches!(address.segments(), [_, _, _, _, 0 | 0x0200, 0x5efe, _, _]);
    if isatap && let Some(rule) = forbidden_v4(last_v4(address)) {
        return Some(format!("{rule} ({} inside ISATAP)", last_v4(address)));
    }
    // All that is routed on the public internet is here, so whatever the tables do not know yet is refused too.
    match GLOBAL_UNICAST.contains(&address) {
        true => None,
        false => Some("no public range of IPv6".to_owned()),
    }
}

/// The IPv4 address that an IPv6 one stands for, where the network in between delivers to just that address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        // RFC 4291 section 2.5.5.2: mapped; the kernel connects over IPv4.
        [0, 0, 0, 0, 0, 0xffff, _, _] => Some(last_v4(address)),
        // RFC 6052: NAT64. An IPv6-only host behind DNS64 reaches every IPv4 receiver this way.
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(last_v4(address)),
        _ => None,
    }
}

fn last_v4(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// For messages: what somebody else wrote, short and without control characters.
fn clipped(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(allow_http: bool, allow: &[&str]) -> Settings {
        let allow_addresses = allow.iter().map(|net| net.parse().unwrap()).collect();
        Settings { allow_http, allow_addresses, ..Settings::default() }
    }

    fn refused(url: &str) -> String {
        check_url(url, &settings(true, &[])).expect_err(url)
    }

    #[test]
    fn a_name_with_an_empty_part_is_no_hosts() {
        for url in [
            "https://../",
            "https:..//a",
            "https://localhost../",
            "https://printer../",
            "https://a..example/",
            "https://.a.example/",
        ] {
            let refused = check_url(url, &Settings::default()).unwrap_err();
            assert!(refused.contains("is no host's name"), "{url}: {refused}");
        }
        check_url("https://a.example./", &Settings::default()).unwrap();
    }

    #[test]
    fn only_plain_https_urls_pass_by_default() {
        let strict = settings(false, &[]);
        assert_eq!(check_url("https://Hooks.Example.com:443/a?b=c", &strict).unwrap().as_str(), {
            "https://hooks.example.com/a?b=c"
        });
        let long = format!("https://a.example/{}", "x".repeat(2048));
        for bad in [
            "http://hooks.example.com/",
            "ftp://hooks.example.com/",
            "file:///etc/passwd",
            "hooks.example.com",
            "https://",
            "https://user@hooks.example.com/",
            "https://:word@hooks.example.com/",
            "https://hooks.example.com/#top",
            "https://hooks.example.com:0/",
            "https://hooks.example.com:6379/",
            "https://{{host}}.example/",
            &long,
        ] {
            assert!(check_url(bad, &strict).is_err(), "{bad}");
        }
        assert!(check_url("http://hooks.example.com:8080/", &settings(true, &[])).is_ok());
    }

    #[test]
    fn a_refusal_does_not_repeat_secrets_of_the_url() {
        for url in ["https://me:topsecret@10.0.0.1/?token=topsecret", "https://10.0.0.1/?token=topsecret"] {
            assert!(!refused(url).contains("topsecret"), "{}", refused(url));
        }
        assert_eq!(refused("https://10.0.0.5/"), "10.0.0.5 is in 10.0.0.0/8, a private network");
    }

    #[test]
    fn spellings_of_this_machine_are_all_one() {
        for host in "127.0.0.1 127.1 2130706433 0x7f.1 0x7f000001 0177.0.0.1 017700000001 127.0.0.1. ①②⑦.⓪.⓪.① \
             %31%32%37.0.0.1 0 0.0.0.0 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] \
             [64:ff9b::7f00:1] [2002:7f00:1::] [2001:0:7f00:1::] [2606:4700::5efe:127.0.0.1] [::ffff:0:127.0.0.1] \
             localhost LOCALHOST localhost. ｌｏｃａｌｈｏｓｔ a.localhost loc\u{ad}alhost printer printer. db.internal \
             nas.local metadata.google.internal metadata.example.com router.home.arpa"
            .split(' ')
        {
            refused(&format!("https://{host}/"));
            refused(&format!("http://{host}/"));
        }
        for host in
            ["locally.example.com", "notlocalhost.example", "internal.example.com", "1.1.1.1", "[2606:4700::1111]"]
        {
            assert!(check_url(&format!("https://{host}/"), &settings(false, &[])).is_ok(), "{host}");
        }
    }

    #[test]
    fn every_special_range_is_refused_at_both_of_its_ends() {
        for (net, _) in FORBIDDEN_V4 {
            for address in [net.network(), net.broadcast()] {
                assert!(check_address(address.into(), &[]).is_err(), "{address}");
            }
        }
        for (net, _) in FORBIDDEN_V6 {
            for address in [net.network(), net.broadcast()] {
                assert!(check_address(address.into(), &[]).is_err(), "{address}");
            }
        }
        for public in ["1.1.1.1", "9.255.255.255", "100.63.255.255", "172.32.0.1", "223.255.255.255", "2606:4700::1111"]
        {
            assert_eq!(check_address(public.parse().unwrap(), &[]), Ok(()), "{public}");
        }
        for inside in
            ["168.63.129.16", "100.100.100.200", "169.254.169.254", "fd00:ec2::254", "4000::1", "64:ff9b::a9fe:a9fe"]
        {
            assert!(check_address(inside.parse().unwrap(), &[]).is_err(), "{inside}");
        }
        assert_eq!(check_address("64:ff9b::101:101".parse().unwrap(), &[]), Ok(()), "a public receiver behind DNS64");
    }

    #[test]
    fn what_the_operator_allows_is_reached_and_nothing_beside_it() {
        let allowing = settings(true, &["127.0.0.0/8", "10.1.0.0/16", "fd00::/8"]);
        for good in [
            "http://127.0.0.1:6379/",
            "http://[::ffff:127.0.0.1]/",
            "http://10.1.2.3/",
            "http://[fd00::1]/",
            "http://localhost:5432/",
            "http://a.example/",
        ] {
            assert!(check_url(good, &allowing).is_ok(), "{good}");
        }
        for bad in [
            "http://10.2.0.1/",
            "http://[::1]/",
            "http://127.0.0.1:0/",
            "http://a.example:6379/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
        ] {
            assert!(check_url(bad, &allowing).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_forbidden_address_refuses_the_whole_name() {
        let all = |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let strict = settings(false, &[]);
        let mixed = vet("a.example", &all(&["1.1.1.1", "10.0.0.1"]), &strict).unwrap_err();
        assert_eq!(mixed, "a.example is refused: 10.0.0.1 is in 10.0.0.0/8, a private network");
        let many: Vec<IpAddr> = (0..20).map(|last| IpAddr::from([1, 1, 1, last])).collect();
        assert_eq!(vet("a.example", &many, &strict).unwrap(), many[..MOST_ADDRESSES]);
        let late = [many.as_slice(), &all(&["127.0.0.1"])].concat();
        assert!(vet("a.example", &late, &strict).is_err(), "addresses beyond the first few are judged too");
        let allowing = settings(false, &["10.0.0.0/8"]);
        assert!(vet("db.internal", &all(&["10.0.0.1"]), &allowing).is_ok());
        assert!(vet("db.internal", &all(&["1.1.1.1"]), &allowing).is_err(), "a local name has only allowed addresses");
    }

    /// One number as decimal, octal or hexadecimal, in ASCII or full-width digits.
    fn spelt(number: u32, base: u8, wide: bool) -> String {
        let text = match base % 3 {
            0 => format!("{number}"),
            1 => format!("0{number:o}"),
            _ => format!("0x{number:x}"),
        };
        let widen = |c: char| char::from_u32(u32::from(c) + 0xfee0).filter(|_| wide).unwrap_or(c);
        text.chars().map(widen).collect()
    }

    /// An IPv4 address in one to four parts, as inet_aton reads it.
    fn spelling(address: u32, parts: usize, bases: [u8; 4], wide: [bool; 4], dot: bool) -> String {
        let octets = address.to_be_bytes();
        let heads = parts - 1;
        let tail = u32::try_from(u64::from(address) & ((1u64 << (8 * (4 - heads))) - 1)).unwrap();
        let mut texts: Vec<String> = (0..heads).map(|i| spelt(u32::from(octets[i]), bases[i], wide[i])).collect();
        texts.push(spelt(tail, bases[heads], wide[heads]));
        texts.join(".") + if dot { "." } else { "" }
    }

    fn forbidden() -> impl Strategy<Value = u32> {
        (0..FORBIDDEN_V4.len(), any::<u32>()).prop_map(|(index, host)| {
            let net = FORBIDDEN_V4[index].0;
            u32::from(net.network()) | (host & u32::from(net.hostmask()))
        })
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_forbidden_address_passes(
            address in forbidden(), parts in 1usize..=4, bases: [u8; 4], wide: [bool; 4], dot: bool
        ) {
            let url = format!("https://{}/", spelling(address, parts, bases, wide, dot));
            prop_assert!(check_url(&url, &settings(true, &[])).is_err(), "{}", url);
        }

        #[test]
        fn no_ipv6_form_of_a_forbidden_address_passes(address in forbidden(), high: u16, low: u64) {
            let v4 = Ipv4Addr::from(address);
            let [a, b] = [(address >> 16) as u16, address as u16];
            let [l0, l1, l2, l3] = [(low >> 48) as u16, (low >> 32) as u16, (low >> 16) as u16, low as u16];
            for form in [
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, a, b),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, a, b),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
                Ipv6Addr::new(0x64, 0xff9b, 1, l0, l1, l2, a, b),
                Ipv6Addr::new(0x2002, a, b, l0, l1, l2, l3, high),
                Ipv6Addr::new(0x2001, 0, l0, l1, l2, l3, !a, !b),
                Ipv6Addr::new(0x2a00 | (high & 0xff), l0, l1, l2, 0, 0x5efe, a, b),
                Ipv6Addr::new(0x2a00 | (high & 0xff), l0, l1, l2, 0x0200, 0x5efe, a, b),
            ] {
                prop_assert!(check_address(form.into(), &[]).is_err(), "{}", form);
                let url = format!("https://[{form}]/");
                prop_assert!(check_url(&url, &settings(true, &[])).is_err(), "{}", url);
            }
        }

        #[test]
        fn a_public_address_passes_however_it_is_spelt(
            address: u32, parts in 1usize..=4, bases: [u8; 4], wide: [bool; 4], dot: bool
        ) {
            let v4 = Ipv4Addr::from(address);
            prop_assume!(!FORBIDDEN_V4.iter().any(|(net, _)| net.contains(&v4)));
            let url = format!("https://{}/", spelling(address, parts, bases, wide, dot));
            let folded = check_url(&url, &settings(false, &[])).unwrap();
            prop_assert_eq!(folded.as_str(), format!("https://{v4}/"));
        }

        #[test]
        fn nothing_outside_global_unicast_passes(bits: u128) {
            let address = Ipv6Addr::from(bits);
            prop_assume!(!GLOBAL_UNICAST.contains(&address) && embedded_v4(address).is_none());
            prop_assert!(check_address(address.into(), &[]).is_err());
        }

        #[test]
        fn no_text_makes_the_check_panic(text in ".{0,80}") {
            let _ = check_url(&text, &settings(true, &["127.0.0.0/8"]));
            let _ = check_url(&format!("https://{text}"), &settings(false, &[]));
        }
    }
}
