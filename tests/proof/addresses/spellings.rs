//! Hosts that must not be reached, in every way that somebody, or some parser, writes them.

use std::net::Ipv4Addr;

pub fn spellings() -> Vec<String> {
    let inner =
        [[127, 0, 0, 1], [10, 0, 0, 1], [169, 254, 169, 254], [192, 168, 1, 1], [172, 16, 5, 4], [100, 64, 0, 1]];
    let mut all: Vec<String> = inner.into_iter().flat_map(of).collect();
    let others = "0.0.0.0 0 255.255.255.255 224.0.0.1 240.0.0.1 192.0.2.1 198.18.0.1 203.0.113.9 198.51.100.7 192.88.99.1 \
                  168.63.129.16 100.100.100.200 127.255.255.254 [::] [::1] [fd00::1] [fc00::1] [fec0::1] [ff02::1] [ff0e::1] \
                  [2001:db8::1] [100::1] [3fff::1] [5f00::1] [fe80::1] [fe80::1%25lo] [fe80::1%lo] [0:0:0:0:0:0:0:1] \
                  [::127.0.0.1] [::ffff:0:127.0.0.1] localhost LOCALHOST localhost. a.localhost localhost.localdomain \
                  ｌｏｃａｌｈｏｓｔ metadata.google.internal db.internal printer printer.local router.lan metadata";
    all.extend(others.split_whitespace().map(str::to_owned));
    all
}

fn of(bytes: [u8; 4]) -> Vec<String> {
    let [a, b, c, d] = bytes;
    let number = u32::from_be_bytes(bytes);
    let (high, low) = (number >> 16, number & 0xffff);
    let plain = Ipv4Addr::from(bytes).to_string();
    let wide: String = plain.chars().map(wide).collect();
    let percent: String = plain.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let teredo = !number;
    vec![
        plain.clone(),
        format!("{plain}."),
        number.to_string(),
        format!("0x{number:x}"),
        format!("0{number:o}"),
        format!("{a}.{}", number & 0xff_ffff),
        format!("{a}.{b}.{}", low),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a}.0x{b:x}.0{c:o}.{d}"),
        format!("0x{a:X}.{}", number & 0xff_ffff),
        wide,
        plain.replace('.', "。"),
        percent,
        format!("good.example@{plain}"),
        format!("good.example:443@{plain}"),
        format!("[::ffff:{plain}]"),
        format!("[::ffff:{high:x}:{low:x}]"),
        format!("[::{plain}]"),
        format!("[64:ff9b::{plain}]"),
        format!("[64:ff9b::{high:x}:{low:x}]"),
        format!("[64:ff9b:1::{high:x}:{low:x}]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[2001:0:4136:e378:8000:63bf:{:x}:{:x}]", teredo >> 16, teredo & 0xffff),
        format!("[fe80::5efe:{plain}]"),
        format!("[2606:4700::5efe:{plain}]"),
        format!("[2606:4700::200:5efe:{high:x}:{low:x}]"),
    ]
}

/// A digit or dot as wide as a Chinese character.
fn wide(c: char) -> char {
    match c {
        '.' => '．',
        digit => char::from_u32(u32::from(digit) - u32::from('0') + 0xff10).unwrap(),
    }
}
