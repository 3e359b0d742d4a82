//! Text from elsewhere made harmless for a terminal: an agent's name cannot move the cursor, change colours or
//! turn the reading direction.

use std::fmt::Write as _;

/// On one line: every control character, line breaks included, is shown as its escape.
#[must_use]
pub fn text(s: &str) -> String {
    escape(s, |_| false)
}

/// As [`text`], with line breaks and tabs left as they are: for what is meant to have lines, as an answer.
#[must_use]
pub fn lines(s: &str) -> String {
    escape(s, |c| matches!(c, '\n' | '\t'))
}

/// A JSON text, still the same JSON: control characters can stand inside its strings only, where `\u` escapes
/// mean the same.
#[must_use]
pub fn json(s: &str) -> String {
    let mut safe = String::with_capacity(s.len());
    for c in s.chars() {
        if c != '\n' && is_hostile(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

fn escape(s: &str, keep: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(s.len());
    for c in s.chars() {
        match c {
            c if keep(c) || !is_hostile(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c => safe.extend(c.escape_unicode()),
        }
    }
    safe
}

/// Control characters (C0, DEL, C1) and what reorders or hides text: bidirectional controls, zero-width and
/// line-separating characters, tags.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[31mred\u{7}\u{9b}2J\r\nb\u{202e}txt\u{7f}";

    #[test]
    fn nothing_that_moves_the_cursor_is_left() {
        for safe in [text(HOSTILE), lines(HOSTILE).replace('\n', "")] {
            assert!(!safe.chars().any(is_hostile), "{safe:?}");
        }
        assert_eq!(text("a\tb\u{1b}[0m"), "a\\tb\\u{1b}[0m");
        assert_eq!(lines("a\n\tb"), "a\n\tb");
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        let ordinary = "claims-processor · Überprüfung 審査 👍🏽";
        assert_eq!(text(ordinary), ordinary);
        assert_eq!(json(ordinary), ordinary);
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({"name": format!("{HOSTILE}\u{e0041}")});
        let printed = json(&serde_json::to_string_pretty(&value).expect("writes"));
        assert!(!printed.chars().any(|c| c != '\n' && is_hostile(c)), "{printed:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).expect("reads"), value);
    }
}
