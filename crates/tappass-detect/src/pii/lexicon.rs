//! What is known of single words: given name, surname, place, kind of street, ordinary word, and what stands in the
//! context of names. The lists and their licences: `data/SOURCES.md`.

use std::sync::LazyLock;

/// The letters U+00C0 to U+017F without their diacritics, as the lists are folded.
const LATIN: &[u8; 192] = b"aaaaaaaceeeeiiiidnooooo?ouuuuytsaaaaaaaceeeeiiiidnooooo?ouuuuytyaaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkkllllllllllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";

/// A word or phrase as the lists have it: lower case, without diacritics, apostrophes and full stops.
pub(super) struct Key {
    bytes: [u8; 48],
    len: usize,
}

impl Key {
    /// `None` for what no list can have: too long, or letters beyond Latin.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut key = Self { bytes: [0; 48], len: 0 };
        for c in text.chars() {
            let byte = match c {
                'a'..='z' | ' ' | '&' => c as u8,
                'A'..='Z' => (c as u8).to_ascii_lowercase(),
                '\'' | '.' => continue,
                '\u{C0}'..='\u{17F}' => LATIN[c as usize - 0xC0],
                _ => return None,
            };
            *key.bytes.get_mut(key.len)? = byte;
            key.len += 1;
        }
        Some(key)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// FNV-1a, 64 bits.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01B3))
}

/// Words with a byte each, by open addressing; a slot keeps 24 bits of the word's hash, so that one unknown word in some
/// ten million is taken for a known one.
struct Table {
    slots: Vec<u32>,
}

impl Table {
    fn with_room(words: usize) -> Self {
        Self { slots: vec![0; (words * 2).next_power_of_two()] }
    }

    /// The slot of the word, or the free one where it would stand.
    fn slot(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = key as usize & mask;
        while self.slots[at] != 0 && self.slots[at] >> 8 != (key >> 40) as u32 {
            at = (at + 1) & mask;
        }
        at
    }

    /// Keeps the first byte given for a word. Bytes are never zero.
    fn put(&mut self, key: u64, byte: u8) {
        let at = self.slot(key);
        if self.slots[at] == 0 {
            self.slots[at] = ((key >> 40) as u32) * 256 + u32::from(byte);
        }
    }

    fn get(&self, key: u64) -> u8 {
        (self.slots[self.slot(key)] & 255) as u8
    }
}

/// What the lexicon says of a word.
#[derive(Clone, Copy, Default)]
pub(super) struct Entry(u8);

impl Entry {
    /// 0 (no given name) to 3 (a frequent one).
    pub(super) const fn given(self) -> u8 {
        self.0 & 3
    }

    /// 0 (no surname) to 3 (a frequent one).
    pub(super) const fn surname(self) -> u8 {
        (self.0 >> 2) & 3
    }

    pub(super) const fn place(self) -> bool {
        self.0 & 1 << 4 != 0
    }

    /// A name that is an ordinary word as well.
    pub(super) const fn word(self) -> bool {
        self.0 & 1 << 5 != 0
    }

    pub(super) const fn street(self) -> bool {
        self.0 & 1 << 6 != 0
    }
}

static ENTRIES: LazyLock<Table> = LazyLock::new(|| {
    let mut data = include_bytes!("../../data/lexicon.bin").as_slice();
    let mut table = Table::with_room(80_000);
    let mut word = Vec::new();
    while let [lengths, flags, rest @ ..] = data {
        let (suffix, next) = rest.split_at(usize::from(lengths & 15));
        word.truncate(usize::from(lengths >> 4));
        word.extend_from_slice(suffix);
        table.put(hash(&word), *flags);
        data = next;
    }
    table
});

static WORDS: &[u8] = include_bytes!("../../data/words.bin");
static SHAPES: &[u8] = include_bytes!("../../data/shapes.bin");

pub(super) fn entry(key: &Key) -> Entry {
    Entry(ENTRIES.get(hash(key.as_bytes())))
}

/// Whether the word is an ordinary one of English, Dutch, German, Spanish or Italian (of 40 others, one is taken for one).
pub(super) fn is_common(key: &Key) -> bool {
    let h = hash(key.as_bytes());
    let bits = WORDS.len() as u64 * 8;
    (0..5_u64).all(|i| {
        let at = h.wrapping_add(i.wrapping_mul((h >> 32) | 1)) % bits;
        WORDS[(at / 8) as usize] & 1 << (at % 8) != 0
    })
}

/// How much the letters of a word look like a name (above zero) or an ordinary word (below), in 32nds of a log-odds.
pub(super) fn shape(key: &Key) -> i32 {
    let mut marked = [b'$'; 50];
    marked[0] = b'^';
    marked[1..=key.len].copy_from_slice(key.as_bytes());
    let marked = &marked[..key.len + 2];
    let weight = |gram: &[u8]| i32::from(SHAPES[((hash(gram) >> 8) % 4096) as usize] as i8);
    marked.windows(2).map(weight).sum::<i32>() + marked.windows(3).map(weight).sum::<i32>()
}

/// Classes of words that stand beside names, by the order of the lines of `data/context.txt`.
pub(super) const CLASSES: [&str; 26] = [
    "greet", "title", "role", "kin", "label", "named", "speech", "verb", "object", "by", "with", "for",
    "from", "of", "in", "and", "art", "poss", "be", "aux", "wh", "pron", "month", "org", "street", "product",
];

static CONTEXT_WORDS: LazyLock<Table> = LazyLock::new(|| classes(include_str!("../../data/context.txt")));

/// The classes of `data/streets.txt`, by the order of its lines.
pub(super) const STREETS: [&str; 7] =
    ["english", "foreign", "doubtful", "unit", "announces", "leads", "ending"];

static STREET_WORDS: LazyLock<Table> = LazyLock::new(|| classes(include_str!("../../data/streets.txt")));

/// Words with the number of their line, from one; a word keeps its first line.
fn classes(text: &str) -> Table {
    let mut table = Table::with_room(2_000);
    for (class, line) in text.lines().filter(|line| !line.starts_with('#')).enumerate() {
        for key in line.split(' ').skip(1).filter_map(Key::of) {
            table.put(hash(key.as_bytes()), class as u8 + 1);
        }
    }
    table
}

/// What a word is in an address, of [`STREETS`].
pub(super) fn street_class(key: &Key) -> Option<&'static str> {
    let line = usize::from(STREET_WORDS.get(hash(key.as_bytes())));
    STREETS.get(line.checked_sub(1)?).copied()
}

/// Whether a word of some length ends as one-word street names do: `Veldstraat`.
pub(super) fn ends_as_street(key: &Key) -> bool {
    let word = key.as_bytes();
    let mut tails = (3..=9).filter(|n| word.len() >= n + 3).map(|n| &word[word.len() - n..]);
    tails.any(|tail| ENDINGS.get(hash(tail)) > 0)
}

static ENDINGS: LazyLock<Table> = LazyLock::new(|| {
    let line = include_str!("../../data/streets.txt")
        .lines()
        .find(|line| line.starts_with("ending "))
        .unwrap_or_default();
    classes(line)
});

/// The class of a word, an index into [`CLASSES`].
pub(super) fn class(key: &Key) -> Option<usize> {
    usize::from(CONTEXT_WORDS.get(hash(key.as_bytes()))).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(word: &str) -> Entry {
        entry(&Key::of(word).unwrap())
    }

    #[test]
    fn words_are_known_in_any_case_and_with_diacritics() {
        assert_eq!(known("Anna").given(), 3);
        assert_eq!(known("JOSÉ").given(), 3);
        assert!(known("O'Neil").surname() >= 1 && known("Müller").surname() >= 2);
        assert!(known("Antwerpen").place() && known("new york").place());
        assert!(known("Grace").word() && known("Straße").street());
        assert_eq!(known("Qwrtzp").0, 0);
        assert!(is_common(&Key::of("Invoice").unwrap()) && !is_common(&Key::of("Qwrtzp").unwrap()));
        assert!(Key::of("Иван").is_none());
    }

    #[test]
    fn unknown_words_are_told_apart_by_their_letters() {
        let of = |word| shape(&Key::of(word).unwrap());
        assert!(of("Vandenbergh") > 0 && of("Kowalczewski") > 0);
        assert!(of("unverifiable") < 0 && of("Abrechnungen") < 0);
    }

    #[test]
    fn every_class_has_its_line() {
        let lines = include_str!("../../data/context.txt").lines().filter(|line| !line.starts_with('#'));
        let names: Vec<&str> = lines.filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names, CLASSES);
        let lines = include_str!("../../data/streets.txt").lines().filter(|line| !line.starts_with('#'));
        let names: Vec<&str> = lines.filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names, STREETS);
        assert!(
            ends_as_street(&Key::of("Veldstraat").unwrap()) && !ends_as_street(&Key::of("Straat").unwrap())
        );
        assert_eq!(class(&Key::of("Dear").unwrap()), Some(0));
        assert_eq!(class(&Key::of("zebra").unwrap()), None);
    }
}
