//! Strings that would steer a terminal, break a line or forge one, and the eye that finds what of them got through.
//! What counts as raw is written down here anew; it does not ask the program what it takes for harmless.

/// Stands in each string, so that it can be told whether a string was shown at all.
pub const MARK: &str = "M4RK";
/// Stands behind whatever might break a line: no line may begin with it.
pub const FORGED: &str = "FORGED";

/// Bytes, for not all of them are UTF-8.
pub fn strings() -> Vec<Vec<u8>> {
    let texts = [
        "M4RK\r\nX-Injected: yes\r\n\r\nFORGED HTTP/1.1 200 OK",
        "M4RK\nFORGED 2026-01-01T00:00:00.000Z ERROR all is lost",
        "M4RK\n{\"FORGED\":true,\"timestamp\":\"2026\",\"level\":\"ERROR\",\"message\":\"started\"}",
        "M4RK\rFORGED",
        "M4RK\0FORGED",
        "M4RK\x1b[95;41mred",
        "M4RK\x1b]0;title\x07",
        "M4RK\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
        "M4RK\x1b]52;c;ZXZpbA==\x07",
        "M4RK\x1b[2J\x1b[1;1HFORGED",
        "M4RK\x1bP+q544e\x1b\\",
        "M4RK\u{9b}95;41mred",
        "M4RK\u{9d}0;title\u{9c}",
        "M4RK\u{85}FORGED",
        "M4RK\x7f\x08\x08\x08gone",
        "M4RK\x0b\x0cFORGED",
        "M4RK\u{202e}gpj.exe",
        "M4RK\u{2066}in\u{2069}\u{200f}\u{61c}",
        "M4RK\u{200b}\u{2060}\u{feff}\u{ad}",
        "M4RK\u{2028}FORGED\u{2029}FORGED",
        "M4RK\u{e0041}\u{e007f}",
        "M4RK\u{2061}tint\u{2064}",
        "M4RK</script><script>alert(1)</script><img src=x onerror=alert(1)>",
        "M4RK\" onmouseover=\"alert(1)\" x='y'",
        "M4RK\"} 1\nFORGED_metric{x=\"",
        "M4RK ]]> --> <!ENTITY x SYSTEM 'file:///etc/passwd'>&x;",
        "M4RK %n%s {} {0} ${x} $(id) `id` \\x1b[31m \\u001b[31m",
    ];
    let mut strings: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    // No UTF-8: a C1 control as one byte, an overlong one, half a surrogate pair, a character cut off.
    for bytes in [&b"M4RK\x9b95;41m"[..], b"M4RK\xc0\x9b31m\xff\xfe", b"M4RK\xed\xa0\x80", b"M4RK\xe2\x80"] {
        strings.push(bytes.to_vec());
    }
    strings.push([MARK.as_bytes(), "\x1b[95;41m\u{202e}".repeat(1200).as_bytes()].concat());
    strings
}

/// How a text was shown, and so what it may hold of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// To a pipe, a file or a log: nothing but text, newlines and tabs.
    Plain,
    /// On a terminal: the program's own colours and its progress bar besides.
    Terminal,
    /// The head of an HTTP message: visible ASCII in lines that end with CR and LF.
    Head,
}

/// What got through raw, in words; `None` if nothing did.
pub fn raw(bytes: &[u8], shown: Shown) -> Option<String> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Some(format!("it is not UTF-8: {:?}", String::from_utf8_lossy(bytes)));
    };
    let text = match shown {
        Shown::Plain => text.to_owned(),
        Shown::Terminal => without_own(text),
        Shown::Head => return raw_in_head(text),
    };
    if let Some(at) = text.find(acts) {
        let around: String = text[at..].chars().take(24).collect();
        return Some(format!("{around:?}"));
    }
    let forged = text.split(['\n', '\r']).find(|line| line.starts_with(FORGED) || line.starts_with("{\"FORGED"));
    forged.map(|line| format!("the line {line:?}"))
}

fn raw_in_head(text: &str) -> Option<String> {
    let lines = text.split("\r\n");
    let odd = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        !line.bytes().all(|byte| (b' '..=b'~').contains(&byte))
            || lower.starts_with("x-injected")
            || line.starts_with(FORGED)
    };
    lines.into_iter().find(odd).map(|line| format!("the header line {line:?}"))
}

/// Controls but newline and tab, what turns the direction of reading, what cannot be seen, and line ends of Unicode.
fn acts(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' => true,
        '\u{ad}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{2028}' | '\u{2029}' => true,
        '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

/// A terminal's text without what the program itself may send: colours of its own (which no string has), the moves of a
/// progress bar, and the carriage return that the terminal puts before a newline.
fn without_own(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut rest = text.strip_suffix('\r').unwrap_or(text);
    while let Some(at) = rest.find(['\x1b', '\r']) {
        left.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix("\r\x1b[2K")) {
            left.push('\n');
            rest = after;
            continue;
        }
        match own_sequence(rest) {
            Some(length) => rest = &rest[length..],
            None => {
                // Left in its place, where it is found.
                left.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    left + rest
}

/// The length of a sequence of the program's own that `text` begins with.
fn own_sequence(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("\x1b[")?;
    let end = inner.find(|c: char| c.is_ascii_alphabetic())?;
    let (numbers, last) = (&inner[..end], &inner[end..=end]);
    let own = match last {
        "m" => numbers.split(';').all(|n| ["", "0", "1", "2", "4", "31", "32", "33", "36"].contains(&n)),
        "A" | "B" => numbers.bytes().all(|b| b.is_ascii_digit()),
        "K" => ["", "2"].contains(&numbers),
        "l" | "h" => numbers == "?25",
        _ => false,
    };
    own.then_some(2 + end + 1)
}

/// Whether the eye sees each of these strings where it stands raw. Without that, finding nothing means nothing.
pub fn prove_the_eye() {
    for string in strings() {
        let is_raw = string.iter().any(|byte| *byte < b' ' || *byte >= 0x7f);
        let line = [b"before ", &string[..], b" after\n"].concat();
        for shown in [Shown::Plain, Shown::Terminal, Shown::Head] {
            let seen = raw(&line, shown).is_some();
            let expected = is_raw || shown == Shown::Head;
            assert_eq!(seen, expected, "{shown:?} of {:?}", String::from_utf8_lossy(&line));
        }
    }
    let own = "\x1b[1m\x1b[31merror:\x1b[0m it\r\n\r\x1b[2K[##] 1\x1b[K\n\ttab";
    assert_eq!(raw(own.as_bytes(), Shown::Terminal), None);
    assert!(raw(own.as_bytes(), Shown::Plain).is_some());
    assert_eq!(raw(b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n", Shown::Head), None);
}
