//! What script a character belongs to, as far as it matters here.

/// Scripts, coarse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Latin,
    Greek,
    Cyrillic,
    /// Alphabets that have no reason to share a word with Latin: Armenian, Cherokee, Coptic, Lisu …
    Alphabet,
    /// Written from right to left.
    RightToLeft,
    /// Where joiners and zero-width spaces are part of spelling.
    Joining,
    /// Hangul, kana, ideographs: stand beside Latin without a space.
    East,
    Emoji,
    /// Digits, punctuation, spaces, signs.
    Other,
}

pub(super) fn script(c: char) -> Script {
    match c {
        'a'..='z' | 'A'..='Z' | '\u{AA}' | '\u{BA}' => Script::Latin,
        '\u{0}'..='\u{A8}' | '\u{AB}' | '\u{AC}' | '\u{AF}'..='\u{B9}' | '\u{BB}'..='\u{BF}' | '×' | '÷' => {
            Script::Other
        }
        '\u{A9}' | '\u{AE}' => Script::Emoji,
        '\u{C0}'..='\u{24F}'
        | '\u{1E00}'..='\u{1EFF}'
        | '\u{2C60}'..='\u{2C7F}'
        | '\u{A720}'..='\u{A7FF}' => Script::Latin,
        '\u{370}'..='\u{3FF}' | '\u{1F00}'..='\u{1FFF}' => Script::Greek,
        '\u{400}'..='\u{52F}'
        | '\u{1C80}'..='\u{1C8F}'
        | '\u{2DE0}'..='\u{2DFF}'
        | '\u{A640}'..='\u{A69F}' => Script::Cyrillic,
        '\u{530}'..='\u{58F}'
        | '\u{13A0}'..='\u{13FF}'
        | '\u{AB70}'..='\u{ABBF}'
        | '\u{2C80}'..='\u{2CFF}'
        | '\u{A4D0}'..='\u{A4FF}' => Script::Alphabet,
        '\u{590}'..='\u{8FF}'
        | '\u{FB1D}'..='\u{FDFF}'
        | '\u{FE70}'..='\u{FEFC}'
        | '\u{10800}'..='\u{10FFF}'
        | '\u{1E800}'..='\u{1EEFF}' => Script::RightToLeft,
        '\u{900}'..='\u{109F}'
        | '\u{1780}'..='\u{18AF}'
        | '\u{1900}'..='\u{1CFF}'
        | '\u{A840}'..='\u{A8FF}'
        | '\u{A980}'..='\u{AADF}'
        | '\u{11000}'..='\u{11FFF}' => Script::Joining,
        '\u{1100}'..='\u{115E}'
        | '\u{1161}'..='\u{11FF}'
        | '\u{2E80}'..='\u{3163}'
        | '\u{3165}'..='\u{9FFF}'
        | '\u{AC00}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{3FFFF}' => Script::East,
        '\u{203C}'
        | '\u{2049}'
        | '\u{20E3}'
        | '\u{2122}'
        | '\u{2139}'
        | '\u{2190}'..='\u{21FF}'
        | '\u{2300}'..='\u{23FF}'
        | '\u{24C2}'
        | '\u{25A0}'..='\u{27BF}'
        | '\u{2900}'..='\u{297F}'
        | '\u{2B00}'..='\u{2BFF}'
        | '\u{1F000}'..='\u{1F0FF}'
        | '\u{1F170}'..='\u{1FAFF}' => Script::Emoji,
        _ => Script::Other,
    }
}

/// Zero width, whatever for.
pub(super) const fn zero_width(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{206A}'..='\u{206F}' | '\u{FEFF}' | '\u{180E}' | '\u{61C}')
}

pub(super) const fn variation(c: char) -> bool {
    matches!(c, '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}')
}

pub(super) const fn tag(c: char) -> bool {
    matches!(c, '\u{E0000}'..='\u{E007F}')
}

/// A letter in a costume: mathematical, circled, squared, full width.
pub(super) const fn costumed(c: char) -> bool {
    matches!(c, '\u{1D400}'..='\u{1D7CB}' | '\u{24B6}'..='\u{24E9}' | '\u{1F110}'..='\u{1F169}' | '\u{FF21}'..='\u{FF3A}' | '\u{FF41}'..='\u{FF5A}')
}

pub(super) const fn mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{34E}' | '\u{350}'..='\u{36F}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20DC}')
}

/// Letters of Greek and Cyrillic that are drawn like Latin ones.
pub(super) const fn looks_latin(c: char) -> bool {
    matches!(
        c,
        'Α' | 'Β'
            | 'Ε'
            | 'Ζ'
            | 'Η'
            | 'Ι'
            | 'Κ'
            | 'Μ'
            | 'Ν'
            | 'Ο'
            | 'Ρ'
            | 'Τ'
            | 'Υ'
            | 'Χ'
            | 'Ϲ'
            | 'α'
            | 'ε'
            | 'ι'
            | 'κ'
            | 'ν'
            | 'ο'
            | 'ρ'
            | 'τ'
            | 'υ'
            | 'χ'
            | 'γ'
            | 'ϲ'
            | 'ϳ'
            | 'А'
            | 'В'
            | 'С'
            | 'Е'
            | 'Н'
            | 'І'
            | 'Ј'
            | 'К'
            | 'М'
            | 'О'
            | 'Р'
            | 'Ѕ'
            | 'Т'
            | 'У'
            | 'Х'
            | 'Ӏ'
            | 'Ү'
            | 'Ԛ'
            | 'Ԝ'
            | 'а'
            | 'в'
            | 'с'
            | 'ԁ'
            | 'е'
            | 'һ'
            | 'і'
            | 'ј'
            | 'к'
            | 'ӏ'
            | 'м'
            | 'н'
            | 'о'
            | 'р'
            | 'ѕ'
            | 'т'
            | 'у'
            | 'ү'
            | 'х'
            | 'ѵ'
            | 'ѡ'
            | 'ԝ'
            | 'ԛ'
            | 'г'
            | 'п'
            | 'и'
    )
}
