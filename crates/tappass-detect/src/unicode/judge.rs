//! The judgement on one character, or a row of them, by its neighbours.

use super::scripts::{Script, costumed, looks_latin, mark, script, tag, variation, zero_width};

/// What was found at a character: how many bytes it covers, and what it is if it is anything.
pub(super) struct Found {
    pub(super) len: usize,
    pub(super) kind: Option<(&'static str, f32)>,
}

/// Whether a character is worth a judgement. Asked of every character beyond ASCII, so it is cheap.
pub(super) fn may_hide(c: char) -> bool {
    matches!(
        c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}' | '\u{300}'..='\u{52F}' | '\u{530}'..='\u{58F}' | '\u{13A0}'..='\u{13FF}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{24B6}'..='\u{24E9}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FF21}'..='\u{FF5A}' | '\u{FFF9}'..='\u{FFFB}' | '\u{2C80}'..='\u{2CFF}' | '\u{A4D0}'..='\u{A4FF}' | '\u{AB70}'..='\u{ABBF}' | '\u{1D173}'..='\u{1D17A}' | '\u{1D400}'..='\u{1D7FF}' | '\u{1F110}'..='\u{1F169}' | '\u{E0000}'..='\u{E0FFF}'
    )
}

/// `before` and `after` are the neighbours, as far as they are seen.
pub(super) fn judge(before: &str, c: char, after: &str) -> Found {
    let previous = before.chars().next_back();
    let one = |kind| Found { len: c.len_utf8(), kind };
    match c {
        _ if tag(c) => tags(previous, c, after),
        _ if variation(c) => selectors(previous, c, after),
        '\u{202D}' | '\u{202E}' => one(Some(("BIDI_OVERRIDE", 0.9))),
        '\u{202A}' | '\u{202B}' | '\u{2066}' | '\u{2067}' => one(Some((
            "BIDI_CONTROL",
            if right_to_left(before) || right_to_left(after) { 0.2 } else { 0.75 },
        ))),
        // Closes what was opened, or is put around any name by libraries of translation.
        '\u{202C}' | '\u{2068}' | '\u{2069}' => one(None),
        '\u{AD}' => one(soft_hyphen(before, after)),
        _ if zero_width(c) => zero_widths(before, c, after),
        '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' => {
            let hangul = |c: Option<char>| c.is_some_and(|c| script(c) == Script::East);
            let row = row(c, after, |c| matches!(c, '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}'));
            let score = if hangul(previous) || hangul(after[row.len - c.len_utf8()..].chars().next()) {
                0.2
            } else {
                0.8
            };
            Found { kind: Some(("INVISIBLE", score)), ..row }
        }
        '\u{34F}' | '\u{180B}'..='\u{180F}' | '\u{17B4}' | '\u{17B5}' => {
            let latin = previous.is_some_and(|p| p.is_ascii_graphic());
            one(latin.then_some(("INVISIBLE", 0.7)))
        }
        '\u{FFF9}'..='\u{FFFB}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0080}'..='\u{E0FFF}' => {
            one(Some(("INVISIBLE", 0.8)))
        }
        _ if mark(c) => {
            let row = row(c, after, mark);
            let many = after.chars().take_while(|c| mark(*c)).count() >= 4;
            Found { kind: many.then_some(("STACKED_MARKS", 0.65)), ..row }
        }
        _ if costumed(c) => costume(before, c, after),
        _ => mixed(before, c, after),
    }
}

/// A row of characters of a kind, as far as it is seen.
fn row(c: char, after: &str, same: impl Fn(char) -> bool) -> Found {
    let rest: usize = after.chars().take_while(|c| same(*c)).map(char::len_utf8).sum();
    Found { len: c.len_utf8() + rest, kind: None }
}

/// Tags spell the regions of three flags, and nothing else.
fn tags(previous: Option<char>, c: char, after: &str) -> Found {
    let found = row(c, after, tag);
    let spelled: String = std::iter::once(c)
        .chain(after.chars().take_while(|c| tag(*c)))
        .filter_map(|c| char::from_u32(u32::from(c) - 0xE0000))
        .collect();
    let flag = previous == Some('\u{1F3F4}')
        && matches!(
            spelled.as_str(),
            "gbeng\u{7F}" | "gbsct\u{7F}" | "gbwls\u{7F}" | "ustx\u{7F}" | "usca\u{7F}"
        );
    Found { kind: (!flag).then_some(("TAG_CHARACTERS", 0.95)), ..found }
}

/// One selector may follow an emoji, a sign, or an ideograph. A row of them is writing.
fn selectors(previous: Option<char>, c: char, after: &str) -> Found {
    let found = row(c, after, variation);
    let rows = found.len > c.len_utf8();
    let letter = previous
        .is_none_or(|p| script(p) == Script::Latin || p.is_whitespace() || script(p) == Script::Cyrillic);
    let kind = if rows {
        Some(("VARIATION_SELECTORS", 0.95))
    } else if letter {
        Some(("VARIATION_SELECTORS", if c == '\u{FE0F}' || c == '\u{FE0E}' { 0.3 } else { 0.7 }))
    } else {
        None
    };
    Found { kind, ..found }
}

fn right_to_left(text: &str) -> bool {
    text.chars().any(|c| script(c) == Script::RightToLeft)
}

/// Zero widths belong to some scripts and to emoji; in a row, or inside a Latin word, they hide or mark.
fn zero_widths(before: &str, c: char, after: &str) -> Found {
    let found = row(c, after, zero_width);
    let count = 1 + after.chars().take_while(|c| zero_width(*c)).count();
    let (previous, next) = (before.chars().next_back(), after[found.len - c.len_utf8()..].chars().next());
    let at_start = before.is_empty() && count == 1;
    let is = |c: Option<char>, kinds: &[Script]| c.is_some_and(|c| kinds.contains(&script(c)));
    let spelled = [Script::RightToLeft, Script::Joining, Script::East, Script::Emoji];
    let bidi_mark = matches!(c, '\u{200E}' | '\u{200F}' | '\u{61C}');
    let honest = is(previous, &spelled) || is(next, &spelled) || previous.is_some_and(variation);
    let word = |c: Option<char>| {
        c.is_some_and(|c| {
            matches!(script(c), Script::Latin | Script::Cyrillic | Script::Greek) || c.is_ascii_digit()
        })
    };
    let inside = word(previous) && word(next);
    let score = if count >= 4 {
        0.95
    } else if c == '\u{FEFF}' && at_start {
        0.0
    } else if honest {
        if count >= 3 { 0.5 } else { 0.1 }
    } else if bidi_mark {
        if inside {
            0.6
        } else if right_to_left(before) || right_to_left(after) {
            0.1
        } else {
            0.25
        }
    } else if inside || count >= 2 || matches!(c, '\u{2061}'..='\u{2064}' | '\u{206A}'..='\u{206F}') {
        0.75
    } else {
        0.3
    };
    Found { kind: (score > 0.2).then_some(("ZERO_WIDTH", score)), ..found }
}

/// A hyphenator leaves two letters on each side at least. One slip is a slip.
fn soft_hyphen(before: &str, after: &str) -> Option<(&'static str, f32)> {
    let text: Vec<char> = before.chars().chain(['\u{AD}']).chain(after.chars()).collect();
    let here = before.chars().count();
    let odd = |at: usize| {
        let ahead = text[at + 1..].iter().take_while(|c| c.is_alphabetic()).count();
        let back = text[..at].iter().rev().take_while(|c| c.is_alphabetic()).count();
        // A line that was broken here.
        let broken = back >= 2 && text.get(at + 1).is_none_or(|c| c.is_whitespace());
        (back < 2 || ahead < 2) && !broken
    };
    if !odd(here) {
        return None;
    }
    let others = text.iter().enumerate().filter(|(at, c)| **c == '\u{AD}' && *at != here && odd(*at)).count();
    Some(("SOFT_HYPHEN", if others >= 1 { 0.75 } else { 0.3 }))
}

/// Letters in costume that spell: a formula has them alone or in names of two or three.
fn costume(before: &str, c: char, after: &str) -> Found {
    let found = row(c, after, costumed);
    let count = 1 + after.chars().take_while(|c| costumed(*c)).count();
    let wide = matches!(c, '\u{FF21}'..='\u{FF5A}');
    let east = |text: &str| text.chars().any(|c| script(c) == Script::East);
    let score = match count {
        _ if wide && (east(before) || east(after)) => 0.1,
        4.. => 0.75,
        3 if after[found.len - c.len_utf8()..].trim_start().chars().take(3).all(costumed)
            && after.len() > found.len =>
        {
            0.6
        }
        _ => 0.1,
    };
    Found { kind: (score > 0.2).then_some(("DISGUISED_LETTERS", score)), ..found }
}

/// Letters of two scripts in one word.
fn mixed(before: &str, c: char, after: &str) -> Found {
    let is_letter =
        |c: &char| matches!(script(*c), Script::Latin | Script::Greek | Script::Cyrillic | Script::Alphabet);
    let head: Vec<char> = before.chars().rev().take_while(is_letter).collect();
    let tail: Vec<char> = after.chars().take_while(is_letter).collect();
    let own = script(c);
    let len = c.len_utf8();
    if own == Script::Other || own == Script::Latin {
        return Found { len, kind: None };
    }
    // The first foreign letter of the word speaks for the word.
    let rest = tail.iter().take_while(|c| script(**c) != Script::Latin).map(|c| c.len_utf8()).sum::<usize>();
    let found = Found { len: len + rest, kind: None };
    let word: Vec<char> = head.iter().rev().chain([&c]).chain(&tail).copied().collect();
    let latin = word.iter().filter(|c| script(**c) == Script::Latin).count();
    if latin == 0 {
        return Found { len, kind: None };
    }
    let foreign = word.len() - latin;
    let alike = word.iter().filter(|c| looks_latin(**c)).count();
    let switches = word
        .windows(2)
        .filter(|pair| (script(pair[0]) == Script::Latin) != (script(pair[1]) == Script::Latin))
        .count();
    let neighbours = |kind| {
        before
            .chars()
            .rev()
            .skip(head.len())
            .chain(after.chars().skip(tail.len()))
            .filter(|c| script(*c) == kind)
            .count()
    };
    let score = match own {
        Script::Alphabet => 0.8,
        // Units, variables and their indices.
        Script::Greek if foreign == 1 && head.is_empty() => 0.2,
        Script::Greek if alike == foreign && latin >= 2 => 0.8,
        Script::Greek => 0.2,
        // An ending of one's own on a foreign name.
        Script::Cyrillic if switches == 1 && neighbours(Script::Cyrillic) > neighbours(Script::Latin) => 0.3,
        Script::Cyrillic if alike == foreign => 0.85,
        Script::Cyrillic if switches >= 2 => 0.75,
        _ => 0.3,
    };
    Found { kind: (score > 0.25).then_some(("HOMOGLYPH", score)), ..found }
}
