//! The ranges, names and ports that are not for webhooks, each with the registry that says so.
//! Constants only; what they mean for a URL or an address is decided in `guard`.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

pub(super) const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 0, 3);

/// Source: IANA IPv4 Special-Purpose Address Registry, and the clouds' own documents for their single addresses.
/// The first match names the rule, so single addresses stand before the ranges that hold them.
pub(super) const FORBIDDEN_V4: &[(Ipv4Net, &str)] = &[
    (v4(168, 63, 129, 16, 32), "Azure's platform address"),
    (v4(100, 100, 100, 200, 32), "Alibaba Cloud's metadata address"),
    (v4(192, 0, 0, 192, 32), "Oracle Cloud's metadata address"),
    (v4(169, 254, 169, 254, 32), "the clouds' metadata address"),
    (v4(0, 0, 0, 0, 8), "this network"),
    (v4(10, 0, 0, 0, 8), "a private network"),
    (v4(100, 64, 0, 0, 10), "carrier-grade NAT"),
    (v4(127, 0, 0, 0, 8), "this machine"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "a private network"),
    (v4(192, 0, 0, 0, 24), "protocol assignments"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 88, 99, 0, 24), "6to4 relays"),
    (v4(192, 168, 0, 0, 16), "a private network"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// Source: IANA IPv6 Special-Purpose Address Registry. The tunnels (6to4, Teredo, compatible, translated, local NAT64)
/// are refused whole: no receiver lives there, and each of them can name an IPv4 address on the inside.
pub(super) const FORBIDDEN_V6: &[(Ipv6Net, &str)] = &[
    (v6(0, 0, 0, 0, 128), "no address"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "this machine"),
    (v6(0, 0, 0, 0, 96), "IPv4-compatible"),
    (Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96), "IPv4-translated"),
    (v6(0x64, 0xff9b, 1, 0, 48), "local NAT64"),
    (v6(0x100, 0, 0, 0, 64), "discard-only"),
    (v6(0x100, 0, 0, 1, 64), "a dummy prefix"),
    (v6(0x2001, 0, 0, 0, 32), "Teredo"),
    (v6(0x2001, 0, 0, 0, 23), "protocol assignments"),
    (v6(0x2001, 0xdb8, 0, 0, 32), "documentation"),
    (v6(0x2002, 0, 0, 0, 16), "6to4"),
    (v6(0x3fff, 0, 0, 0, 20), "documentation"),
    (v6(0x5f00, 0, 0, 0, 16), "segment routing"),
    (v6(0xfc00, 0, 0, 0, 7), "a private network"),
    (v6(0xfe80, 0, 0, 0, 10), "link-local"),
    (v6(0xfec0, 0, 0, 0, 10), "site-local"),
    (v6(0xff00, 0, 0, 0, 8), "multicast"),
];

/// Zones that mean this machine or its network. Source: RFC 6761, RFC 6762, RFC 8375, ICANN's `.internal`, and the
/// names that appendix G of RFC 6762 found in use.
pub(super) const LOCAL_ZONES: &[&str] =
    &["localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa"];

/// Services that a POST could harm or be mistaken by. Webhook receivers do not live there.
pub(super) const SERVICE_PORTS: &[(u16, &str)] = &[
    (21, "FTP"),
    (22, "SSH"),
    (23, "Telnet"),
    (25, "SMTP"),
    (53, "DNS"),
    (110, "POP3"),
    (111, "RPC"),
    (135, "RPC"),
    (139, "SMB"),
    (143, "IMAP"),
    (389, "LDAP"),
    (445, "SMB"),
    (465, "SMTP"),
    (587, "SMTP"),
    (636, "LDAP"),
    (873, "rsync"),
    (993, "IMAP"),
    (995, "POP3"),
    (1433, "SQL Server"),
    (1521, "Oracle"),
    (2049, "NFS"),
    (2181, "ZooKeeper"),
    (2375, "Docker"),
    (2376, "Docker"),
    (2379, "etcd"),
    (2380, "etcd"),
    (3306, "MySQL"),
    (3389, "RDP"),
    (5432, "PostgreSQL"),
    (5672, "AMQP"),
    (5900, "VNC"),
    (5984, "CouchDB"),
    (6379, "Redis"),
    (6443, "Kubernetes"),
    (9092, "Kafka"),
    (9200, "Elasticsearch"),
    (9300, "Elasticsearch"),
    (10250, "Kubernetes"),
    (11211, "memcached"),
    (27017, "MongoDB"),
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// From the first four of the eight groups; the others are zero in every range below but the mapped ones.
const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}
