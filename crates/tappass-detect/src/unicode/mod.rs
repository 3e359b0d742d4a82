//! Unicode: characters that hide or disguise text.
//!
//! Reads the text as it came. A character is judged by its neighbours, because every one of them has honest uses:
//! joiners in emoji and Indic scripts, bidi marks in Hebrew and Arabic, soft hyphens between syllables, variation
//! selectors after emoji and ideographs, Greek and Cyrillic as such. What has none (tag characters, overrides,
//! selectors in rows, zero widths inside Latin words, letters of two scripts in one word) is reported.

mod judge;
mod scripts;

use tappass_model::{Family, Match};

use crate::{
    detector::{self, Text, View},
    rule::CONTEXT,
};

/// Bytes after a character that its judgement may read.
const AHEAD: usize = 96;

/// Where the scan of one text stands.
#[derive(Debug, Default)]
pub(crate) struct Detector {
    next: usize,
}

impl detector::Detector for Detector {
    fn reads(&self) -> Text {
        Text::Original
    }

    fn advance(&mut self, view: View<'_>, out: &mut Vec<Match>) -> usize {
        while self.next < view.end() {
            let at = self.next - view.base;
            let Some(skip) = view.text.as_bytes()[at..].iter().position(|b| !b.is_ascii()) else {
                self.next = view.end();
                break;
            };
            let at = at + skip;
            self.next = view.base + at;
            let Some(c) = view.text[at..].chars().next() else { break };
            if !judge::may_hide(c) {
                self.next += c.len_utf8();
                continue;
            }
            // What follows may matter.
            if !view.last && view.end() < self.next + c.len_utf8() + AHEAD {
                break;
            }
            let before = &view.text[view.text.ceil_char_boundary(at.saturating_sub(CONTEXT))..at];
            let after = at + c.len_utf8();
            let after =
                &view.text[after..view.text.floor_char_boundary((after + AHEAD).min(view.text.len()))];
            let found = judge::judge(before, c, after);
            if let Some((kind, score)) = found.kind {
                let (start, end) = (self.next, self.next + found.len);
                out.push(Match { family: Family::Unicode, kind: kind.into(), start, end, score });
            }
            self.next += found.len;
        }
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scanner, family_score};

    fn score(text: &str) -> f32 {
        family_score(Family::Unicode, &Scanner::new(&[Family::Unicode], &[]).unwrap().scan(text))
    }

    #[test]
    fn what_hides() {
        for text in [
            "sum\u{E0069}\u{E0067}\u{E006E}\u{E006F}\u{E0072}\u{E0065}",
            "poem \u{FE01}\u{E0106}\u{FE05}\u{E0102}",
            "open \u{202E}gpj.exe\u{202C} now",
            "a \u{2066}hidden part\u{2069} here",
            "ig\u{200B}nore",
            "trainin\u{FEFF}\u{FEFF}g",
            "a\u{3164}\u{3164}b",
            "a\u{200B}\u{200C}\u{200B}\u{200D}\u{200C} b",
            "p\u{0430}ssword",
            "W\u{AD}hat are \u{AD}you do\u{AD}ing",
            "\u{1D422}\u{1D420}\u{1D427}\u{1D428}\u{1D42B}\u{1D41E} it",
            "u\u{2063}\u{2063}p",
            "y\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}es",
        ] {
            assert!(score(text) >= 0.5, "{} {}", score(text), text.escape_unicode());
        }
    }

    #[test]
    fn honest_characters() {
        for text in [
            "👨‍👩‍👧‍👦 🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F} ❤️ 1️⃣ 🏳️‍🌈",
            "שלום \u{200E}UTF-8\u{200E} עולם, \u{2067}טקסט\u{2069}",
            "كتاب \u{200F}ABC\u{200F} متوفر، می\u{200C}خواهم",
            "क्\u{200D}ष หนังสือ\u{200B}พิมพ์ 葛\u{E0100}飾区",
            "Donau\u{AD}dampf\u{AD}schiff\u{AD}fahrts\u{AD}gesell\u{AD}schaft",
            "Привет, мир. Καλημέρα κόσμε.",
            "IT-шник поставил Windowsом 5 мкм",
            "Δx = 3 μm, αmax, πr², σ2, 𝑓(𝑥) = 𝑥²",
            "\u{FEFF}A file with a mark",
            "Le prix\u{202F}: 12\u{202F}€ (n°\u{A0}5), naïve, Łódź, ﬁn",
            "カタカナABC 한국어test 日本語",
            "e\u{301}a\u{308}",
        ] {
            assert!(score(text) < 0.5, "{} {text}", score(text));
        }
    }
}
