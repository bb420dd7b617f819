//! Foreign text made plain: whatever a receiver, a file or a caller wrote, shown so that it can neither steer a
//! terminal nor look like a line of ours. Every text that did not begin here passes through before a person sees it.

/// `text` with every character that acts instead of showing written as `\u{1b}`: controls (C0 with newline and tab,
/// DEL, C1), the marks that reorder what is read (bidi), and the invisible ones.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match acts(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    shown
}

/// A JSON text that shows the same way and still reads as the same value: whatever acts is escaped as JSON does it.
pub fn plain_json(json: &str) -> String {
    // Most answers.
    if json.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return json.to_owned();
    }
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        match acts(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}"))),
            false => shown.push(c),
        }
    }
    shown
}

/// Whether a character does something to its surroundings, or hides, instead of being seen.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Invisible: soft hyphen, zero-width space, word joiner to invisible plus, byte order mark, tags.
            '\u{ad}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
            // Bidirectional marks, embeddings, overrides and isolates.
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators, at which some viewers break the line.
            | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_gets_through() {
        assert_eq!(plain("\x1b[31mred\x1b[0m"), "\\u{1b}[31mred\\u{1b}[0m");
        assert_eq!(plain("a\nb\r\tc\0"), "a\\u{a}b\\u{d}\\u{9}c\\u{0}");
        assert_eq!(plain("\u{7f}\u{9b}2J\u{85}"), "\\u{7f}\\u{9b}2J\\u{85}");
        assert_eq!(plain("safe\u{202e}exe.\u{2066}x\u{2069}"), "safe\\u{202e}exe.\\u{2066}x\\u{2069}");
        assert_eq!(plain("a\u{2028}b\u{feff}"), "a\\u{2028}b\\u{feff}");
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::Value::from("a\u{9b}\u{202e}\u{e0041}\"");
        let shown = plain_json(&value.to_string());
        assert_eq!(shown, r#""a\u009b\u202e\udb40\udc41\"""#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn what_only_shows_stays_as_it_is() {
        for text in ["", "Straße 7, 東京", "\"quoted\" \\ back", "👩\u{200d}🔧", "a=b"] {
            assert_eq!(plain(text), text);
        }
    }
}
