//! From folded text to words, and from words to hashed n-grams: what the model weighs.
//!
//! A word is lower-cased and loses its accents; digits and signs that stand for letters inside a word (`1gn0re`, `p@ss`)
//! become those letters. Nothing is allocated: a word lives in a buffer of fixed size, an n-gram is a number.

use unicode_normalization::UnicodeNormalization;

use crate::rule::is_word;

/// Bytes of a word that count; what is longer is a blob and stands for itself only.
const LONGEST_WORD: usize = 32;
/// Letters in an n-gram that pays no heed to spaces (`i g n o r e`).
const SQUEEZED: u32 = 6;

/// Takes what [`Words`] reads, in order: where a word begins, its n-grams, where it ends. Positions are bytes of folded text.
pub(super) trait Sink {
    fn begin(&mut self, at: usize);
    fn gram(&mut self, hash: u32);
    fn end(&mut self, at: usize);
}

/// Reads text piece by piece. The words and n-grams are the same for any way to cut it.
#[derive(Debug, Clone)]
pub(super) struct Words {
    letters: [u8; LONGEST_WORD],
    len: usize,
    /// The word went over the buffer.
    long: bool,
    digits: usize,
    /// One past its last letter.
    end: usize,
    /// A sign that belongs to the word if it goes on.
    joint: Option<char>,
    /// The last three words or boundaries, the latest first.
    history: [u32; 3],
    squeezed: u64,
}

/// What separates words without dividing a sentence has no hash of its own.
const SENTENCE: u32 = 0x9E37_79B1;
const BRACKET: u32 = 0x85EB_CA77;

impl Words {
    pub(super) const fn new() -> Self {
        Self {
            letters: [0; LONGEST_WORD],
            len: 0,
            long: false,
            digits: 0,
            end: 0,
            joint: None,
            history: [SENTENCE, 0, 0],
            squeezed: 0,
        }
    }

    /// Reads the next piece, which begins at byte `at` of the folded text.
    pub(super) fn read(&mut self, text: &str, at: usize, sink: &mut impl Sink) {
        for (offset, c) in text.char_indices() {
            self.character(c, at + offset, sink);
        }
    }

    /// The text has ended.
    pub(super) fn finish(&mut self, sink: &mut impl Sink) {
        self.close(sink);
    }

    fn character(&mut self, c: char, at: usize, sink: &mut impl Sink) {
        if c.is_ascii_alphanumeric() {
            self.letter(c.to_ascii_lowercase() as u8, at, at + 1, sink);
            return;
        }
        if !c.is_ascii() {
            if is_word(c) {
                // The letter without its accents; what is not Latin keeps all its bytes.
                let base = std::iter::once(c).nfd().next().unwrap_or(c);
                let lower = base.to_lowercase().next().unwrap_or(base);
                let mut bytes = [0; 4];
                for byte in lower.encode_utf8(&mut bytes).bytes() {
                    self.letter(byte, at, at + c.len_utf8(), sink);
                }
                return;
            }
            if c.is_alphanumeric() {
                // An ideograph is a word of its own.
                self.close(sink);
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    self.letter(byte, at, at + c.len_utf8(), sink);
                }
                self.close(sink);
                return;
            }
        }
        if self.len > 0 && self.joint.is_none() && letter_in(c).is_some() {
            self.joint = Some(c);
            return;
        }
        let joint = self.joint;
        self.close(sink);
        self.boundary(joint.unwrap_or(c));
        self.boundary(c);
    }

    fn letter(&mut self, byte: u8, start: usize, end: usize, sink: &mut impl Sink) {
        if self.len == 0 {
            sink.begin(start);
        }
        if let Some(letter) = self.joint.take().and_then(letter_in).filter(|letter| *letter != 0) {
            self.digits += 1;
            self.put(letter);
        }
        self.digits += usize::from(byte.is_ascii_digit());
        self.put(byte);
        self.end = end;
    }

    fn put(&mut self, byte: u8) {
        match self.letters.get_mut(self.len) {
            Some(slot) => {
                *slot = byte;
                self.len += 1;
            }
            None => self.long = true,
        }
    }

    fn boundary(&mut self, c: char) {
        let mark = match c {
            '.' | '!' | '?' | ':' | ';' | '\n' => SENTENCE,
            '[' | ']' | '{' | '}' | '<' | '>' | '|' | '"' | '`' | '/' | '\\' | '#' | '=' | '*' => BRACKET,
            _ => return,
        };
        if self.history[0] != SENTENCE && self.history[0] != BRACKET {
            self.remember(mark);
        }
    }

    fn remember(&mut self, hash: u32) {
        self.history = [hash, self.history[0], self.history[1]];
    }

    /// Ends the word, if there is one.
    fn close(&mut self, sink: &mut impl Sink) {
        if self.len == 0 {
            return;
        }
        let hash = self.hash(sink);
        let [one, two, three] = self.history;
        sink.gram(mix(hash, 1));
        sink.gram(mix(hash ^ one.wrapping_mul(0x0100_0193), 2));
        if two != 0 {
            sink.gram(mix(hash ^ one.wrapping_mul(0x0100_0193) ^ two.wrapping_mul(0x27D4_EB2F), 3));
            sink.gram(mix(hash ^ two.wrapping_mul(0x27D4_EB2F), 4));
        }
        if three != 0 {
            sink.gram(mix(hash ^ three.wrapping_mul(0x1656_67B1), 5));
        }
        self.remember(hash);
        sink.end(self.end);
        (self.len, self.long, self.digits, self.joint) = (0, false, 0, None);
    }

    /// The word's hash; its letters' n-grams on the way.
    fn hash(&mut self, sink: &mut impl Sink) -> u32 {
        let letters = &mut self.letters[..self.len];
        if self.long {
            return 0x2545_F491;
        }
        if self.digits == letters.len() {
            return 0x6C07_8965;
        }
        if self.digits > 0 && self.digits * 2 <= letters.len() {
            for byte in letters.iter_mut() {
                *byte = stands_for(*byte);
            }
        }
        let mut hash = 0x811C_9DC5_u32;
        // The last four letters, with a mark before the word.
        let mut four = u64::from(b'^');
        for (i, byte) in letters.iter().enumerate() {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
            four = four << 8 | u64::from(*byte);
            if letters.len() > 3 && i >= 2 {
                sink.gram(mix(fold64(four & 0xFFFF_FFFF), 6));
                if i >= 3 {
                    sink.gram(mix(fold64(four & 0xFF_FFFF_FFFF), 7));
                }
            }
            self.squeezed = self.squeezed << 8 | u64::from(*byte);
            sink.gram(mix(fold64(self.squeezed & ((1 << (8 * SQUEEZED)) - 1)), 8));
        }
        if letters.len() > 3 {
            four = four << 8 | u64::from(b'$');
            sink.gram(mix(fold64(four & 0xFFFF_FFFF), 6));
            sink.gram(mix(fold64(four & 0xFF_FFFF_FFFF), 7));
        }
        hash
    }
}

/// What a sign inside a word stands for: a letter, or nothing at all (0). `None`: it ends the word.
const fn letter_in(c: char) -> Option<u8> {
    Some(match c {
        '\'' => 0,
        '@' => b'a',
        '$' => b's',
        '!' | '|' => b'i',
        '+' => b't',
        '€' => b'e',
        _ => return None,
    })
}

const fn stands_for(digit: u8) -> u8 {
    match digit {
        b'0' => b'o',
        b'1' => b'i',
        b'3' => b'e',
        b'4' => b'a',
        b'5' => b's',
        b'7' => b't',
        b'8' => b'b',
        b'9' => b'g',
        other => other,
    }
}

const fn fold64(bits: u64) -> u32 {
    let mixed = bits.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as u32
}

/// Spreads a hash over all its bits; `kind` keeps kinds of n-grams apart.
const fn mix(hash: u32, kind: u32) -> u32 {
    let mut h = hash ^ kind.wrapping_mul(0x9E37_79B1);
    h ^= h >> 16;
    h = h.wrapping_mul(0x85EB_CA6B);
    h ^= h >> 13;
    h = h.wrapping_mul(0xC2B2_AE35);
    h ^ (h >> 16)
}
