//! Folding: the text as the rules see it, with the way back to the text as it came.
//!
//! Each character is folded on its own (never with its neighbours), so folding a text in pieces gives the same
//! as folding it whole: default-ignorable characters (zero width, bidi, variation selectors, tags) vanish, compatibility
//! forms become what they stand for (`４` → `4`, `ﬁ` → `fi`), Cyrillic and Greek letters that look Latin become
//! Latin, typographic quotes, dashes and spaces become ASCII.

use unicode_normalization::UnicodeNormalization;

use crate::{detector::View, original::cut};

/// A stretch of folded text and where it came from.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// First byte in the folded text.
    folded: usize,
    /// First byte in the original text.
    original: usize,
    /// `None`: the stretch is unchanged, byte for byte. `Some(n)`: it replaces one character of `n` bytes.
    replaces: Option<usize>,
}

/// Folded text that grows at its end and may be cut at its front. All positions are absolute: they count from the
/// first byte ever pushed.
#[derive(Debug, Clone)]
pub(crate) struct Folded {
    text: String,
    /// Folded bytes cut off at the front so far.
    base: usize,
    pieces: Vec<Piece>,
    /// Original bytes pushed so far.
    original: usize,
}

impl Folded {
    pub(crate) const fn new() -> Self {
        Self { text: String::new(), base: 0, pieces: Vec::new(), original: 0 }
    }

    /// The folded text that is still kept.
    pub(crate) fn view(&self, last: bool) -> View<'_> {
        View { text: &self.text, base: self.base, last }
    }

    /// One past the last folded byte.
    pub(crate) const fn end(&self) -> usize {
        self.base + self.text.len()
    }

    /// Original bytes pushed so far.
    pub(crate) const fn original_len(&self) -> usize {
        self.original
    }

    pub(crate) fn push(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let plain = rest.bytes().position(|b| !b.is_ascii()).unwrap_or(rest.len());
            if plain > 0 {
                let (ascii, tail) = rest.split_at(plain);
                self.unchanged(ascii);
                rest = tail;
                continue;
            }
            let Some(c) = rest.chars().next() else { break };
            let (one, tail) = rest.split_at(c.len_utf8());
            match fold(c) {
                Fold::Same => self.unchanged(one),
                Fold::Drop => self.original += one.len(),
                Fold::To(to) => self.replaced(one.len(), |text| text.push(to)),
                Fold::Compatible => self.replaced(one.len(), |text| text.extend(one.nfkc())),
            }
            rest = tail;
        }
    }

    fn unchanged(&mut self, part: &str) {
        let (folded, original) = (self.end(), self.original);
        let continues = self
            .pieces
            .last()
            .is_some_and(|p| p.replaces.is_none() && original - p.original == folded - p.folded);
        if !continues {
            self.pieces.push(Piece { folded, original, replaces: None });
        }
        self.text.push_str(part);
        self.original += part.len();
    }

    fn replaced(&mut self, len: usize, write: impl FnOnce(&mut String)) {
        let folded = self.end();
        write(&mut self.text);
        if self.end() > folded {
            self.pieces.push(Piece { folded, original: self.original, replaces: Some(len) });
        }
        self.original += len;
    }

    /// Where the character of the folded byte `at` starts in the original text.
    pub(crate) fn original_start(&self, at: usize) -> usize {
        if at >= self.end() {
            return self.original;
        }
        let piece = self.piece(at);
        match piece.replaces {
            None => piece.original + (at - piece.folded),
            Some(_) => piece.original,
        }
    }

    /// Where the original text of the folded bytes before `end` ends.
    pub(crate) fn original_end(&self, end: usize) -> usize {
        if end == 0 {
            return 0;
        }
        let piece = self.piece(end - 1);
        match piece.replaces {
            None => piece.original + (end - piece.folded),
            Some(len) => piece.original + len,
        }
    }

    fn piece(&self, at: usize) -> Piece {
        let after = self.pieces.partition_point(|p| p.folded <= at);
        // A byte that was never pushed has no piece: it maps to the start.
        after.checked_sub(1).map_or(Piece { folded: 0, original: 0, replaces: None }, |i| self.pieces[i])
    }

    /// Forgets what is before the folded position `to`. Cuts rarely, so that the cost per pushed byte stays constant.
    pub(crate) fn forget(&mut self, to: usize) {
        let cut = cut(&mut self.text, to.saturating_sub(self.base));
        if cut > 0 {
            self.base += cut;
            let used = self.pieces.partition_point(|p| p.folded <= self.base).saturating_sub(1);
            self.pieces.drain(..used);
        }
    }
}

enum Fold {
    Same,
    Drop,
    To(char),
    Compatible,
}

fn fold(c: char) -> Fold {
    let same_unless = |to: Option<char>| to.map_or(Fold::Same, Fold::To);
    match c {
        '\u{A0}' => Fold::To(' '),
        '«' | '»' => Fold::To('"'),
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' => Fold::Drop,
        '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' => Fold::Drop,
        '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' => {
            Fold::Drop
        }
        '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' => Fold::Drop,
        '\u{E0000}'..='\u{E0FFF}' => Fold::Drop,
        // Latin-1 and Latin Extended: letters of the languages we read.
        'ſ' => Fold::To('s'),
        '\u{80}'..='\u{24F}' => Fold::Same,
        '\u{250}'..='\u{52F}' => same_unless(looks_latin(c)),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' | '\u{FF0D}' => Fold::To('-'),
        '\u{2018}'..='\u{201B}' | '\u{2032}' => Fold::To('\''),
        '\u{201C}'..='\u{201F}' | '\u{2033}' => Fold::To('"'),
        '\u{2028}' | '\u{2029}' => Fold::To('\n'),
        '\u{530}'..='\u{1FFF}' => same_unless(digit(c)),
        '\u{2000}'..='\u{24FF}' | '\u{2C60}'..='\u{2C7F}' | '\u{3000}'..='\u{33FF}' => Fold::Compatible,
        '\u{FB00}'..='\u{FFEF}' | '\u{1D400}'..='\u{1D7FF}' | '\u{1F100}'..='\u{1F1FF}' => Fold::Compatible,
        _ => Fold::Same,
    }
}

/// The value of a decimal digit of another script, as an ASCII digit.
fn digit(c: char) -> Option<char> {
    const ZEROS: [u32; 12] =
        [0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xE50, 0x17E0, 0x1810];
    let code = u32::from(c);
    ZEROS
        .iter()
        .find(|zero| (**zero..**zero + 10).contains(&code))
        .and_then(|zero| char::from_digit(code - zero, 10))
}

/// The Latin letter that a Greek or Cyrillic one is drawn like.
fn looks_latin(c: char) -> Option<char> {
    Some(match c {
        'Α' | 'А' => 'A',
        'Β' | 'В' => 'B',
        'С' | 'Ϲ' => 'C',
        'Ε' | 'Е' => 'E',
        'Η' | 'Н' => 'H',
        'Ι' | 'І' | 'Ӏ' => 'I',
        'Ј' => 'J',
        'Κ' | 'К' => 'K',
        'Μ' | 'М' => 'M',
        'Ν' => 'N',
        'Ο' | 'О' => 'O',
        'Ρ' | 'Р' => 'P',
        'Ѕ' => 'S',
        'Τ' | 'Т' => 'T',
        'Υ' | 'У' | 'Ү' => 'Y',
        'Χ' | 'Х' => 'X',
        'Ζ' => 'Z',
        'α' | 'а' | 'ɑ' => 'a',
        'ϲ' | 'с' => 'c',
        'ԁ' => 'd',
        'е' | 'ε' => 'e',
        'ɡ' => 'g',
        'һ' => 'h',
        'ι' | 'і' | 'ı' => 'i',
        'ј' => 'j',
        'κ' | 'к' => 'k',
        'ο' | 'о' => 'o',
        'ρ' | 'р' => 'p',
        'ѕ' => 's',
        'τ' => 't',
        'υ' => 'u',
        'ν' | 'ѵ' => 'v',
        'ѡ' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> Folded {
        let mut folded = Folded::new();
        folded.push(text);
        folded
    }

    #[test]
    fn disguises_fall() {
        assert_eq!(folded("４１１１\u{200B} 1111").text, "4111 1111");
        assert_eq!(folded("раsswоrd").text, "password");
        assert_eq!(folded("“ﬁne” – né").text, "\"fine\" - né");
    }

    #[test]
    fn positions_lead_back() {
        let text = "é４\u{200B}x";
        let f = folded(text);
        assert_eq!(f.text, "é4x");
        assert_eq!((f.original_start(2), f.original_end(3)), (2, 5));
        assert_eq!((f.original_start(3), f.original_end(4)), (8, 9));
        assert_eq!(f.original_start(4), text.len());
    }

    #[test]
    fn forgetting_keeps_positions() {
        let text = format!("{}{}", "ab４".repeat(1000), "tail");
        let mut f = folded(&text);
        let at = f.end() - 4;
        let before = f.original_start(at);
        f.forget(at);
        assert!(f.base > 0 && f.text.len() < 100);
        assert_eq!(f.original_start(at), before);
    }
}
