//! A linear model over hashed n-grams: what the rules have no words for.
//!
//! The weights come from `tools/train_injection.py`, which asks this crate for the n-grams of its texts. A text is read in
//! windows of [`WINDOW`] blocks of [`BLOCK`] words, one window for each block that ends; the likeliest counts. So the cost
//! is linear, an attack inside a long document is not diluted, and a stream is judged as it flows. What is reported is
//! the stretch of the window whose n-grams weigh most.

use std::borrow::Cow;

use tappass_model::{Family, Match};

use super::words::{Sink, Words};
use crate::normalise::Folded;

/// The kind of the model's findings.
pub(super) const KIND: &str = "MODEL";
/// Words in a block.
const BLOCK: usize = 16;
/// Blocks in a window.
const WINDOW: usize = 4;
/// Shorter texts are not judged: three words prove nothing.
const LEAST: usize = 4;

/// Numbers at the head of the file, little-endian `f32`, then one `i8` per hash.
static FILE: &[u8] = include_bytes!("model.bin");
const NUMBERS: usize = 8;
const BITS: u32 = 18;

const fn number(index: usize) -> f32 {
    let at = index * 4;
    f32::from_le_bytes([FILE[at], FILE[at + 1], FILE[at + 2], FILE[at + 3]])
}

/// Log-odds per unit of weight.
const SCALE: f32 = number(0);
/// Words added to a window's own when its sum is divided by the root of their number.
const SMOOTH: f32 = number(1);
/// Log-odds of a window without a known n-gram.
const BIAS: f32 = number(2);
/// What is less likely is not reported.
const CUTOFF: f32 = number(3);
/// How the rules and the model make one figure: see [`combined`].
const BY_MODEL: f32 = number(4);
const BY_RULES: f32 = number(5);
const BASE: f32 = number(6);
/// The model's log-odds when it reported nothing.
const NOTHING: f32 = number(7);

fn weight(hash: u32) -> i32 {
    let at = NUMBERS * 4 + (hash >> (32 - BITS)) as usize;
    i32::from(i8::from_ne_bytes([FILE[at]]))
}

fn probability(log_odds: f32) -> f32 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// How likely an attack is, from the model's best finding (if any) and from what the rules leave open: the probability
/// that all of them are wrong.
pub(super) fn combined(model: Option<f32>, rules_wrong: f32) -> f32 {
    let model = model.map_or(NOTHING, |p| (p / (1.0 - p).max(1e-6)).ln());
    probability(BY_MODEL.mul_add(model, BY_RULES.mul_add(-rules_wrong.max(1e-6).ln(), BASE)))
}

/// A word that was weighed.
#[derive(Debug, Clone, Copy, Default)]
struct Weighed {
    /// Bytes of the original text.
    start: usize,
    end: usize,
    /// The sum of the weights of the n-grams that end with it.
    weight: i32,
}

/// Reads a text as it grows.
#[derive(Debug, Clone)]
pub(crate) struct ModelScan {
    words: Words,
    /// Everything before this byte of the folded text has been read.
    read: usize,
    window: Window,
}

impl Default for ModelScan {
    fn default() -> Self {
        Self { words: Words::new(), read: 0, window: Window::new() }
    }
}

impl ModelScan {
    /// Reads what is new in `folded`; puts what became final into `found`, in order. A finding may begin before text
    /// that was released long ago.
    pub(crate) fn advance(&mut self, folded: &Folded, last: bool, found: &mut Vec<Match>) {
        let view = folded.view(last);
        let text = &view.text[self.read - view.base..];
        let mut sink = Weigher { window: &mut self.window, folded, found };
        self.words.read(text, self.read, &mut sink);
        self.read = view.end();
        if last {
            self.words.finish(&mut sink);
            self.window.judge(found);
            found.extend(self.window.pending.take());
        }
    }
}

/// The last words read, and the best finding among them.
#[derive(Debug, Clone)]
struct Window {
    /// A ring: word `n` is at `n % len`.
    words: [Weighed; BLOCK * WINDOW],
    read: usize,
    /// The word being read.
    current: Weighed,
    /// Waits for the next window, which may know better.
    pending: Option<Match>,
}

impl Window {
    const fn new() -> Self {
        const NO: Weighed = Weighed { start: 0, end: 0, weight: 0 };
        Self { words: [NO; BLOCK * WINDOW], read: 0, current: NO, pending: None }
    }

    fn judge(&mut self, found: &mut Vec<Match>) {
        let len = self.read.min(self.words.len());
        let words = || (self.read - len..self.read).map(|n| self.words[n % self.words.len()]);
        #[expect(clippy::cast_precision_loss, reason = "a window's sum is far below 2^24")]
        let (sum, count) = (words().map(|w| w.weight).sum::<i32>() as f32, len as f32);
        let score = probability(SCALE.mul_add(sum / (count + SMOOTH).sqrt(), BIAS));
        let new = (len >= LEAST && score >= CUTOFF).then(|| {
            let (start, end) = heaviest(words());
            Match { family: Family::Injection, kind: Cow::Borrowed(KIND), start, end, score }
        });
        match (&self.pending, new) {
            (Some(old), Some(new)) if new.start < old.end && new.score > old.score => {
                self.pending = Some(new);
            }
            (Some(old), Some(new)) if new.start < old.end => found.extend(self.pending.take()),
            (_, new) => found.extend(std::mem::replace(&mut self.pending, new)),
        }
    }
}

/// The stretch of words with the largest sum.
fn heaviest(words: impl Iterator<Item = Weighed>) -> (usize, usize) {
    let (mut best, mut best_sum) = ((0, 0), i32::MIN);
    let (mut start, mut sum) = (0, 0);
    for word in words {
        if sum <= 0 {
            (start, sum) = (word.start, 0);
        }
        sum += word.weight;
        if sum > best_sum {
            (best, best_sum) = ((start, word.end), sum);
        }
    }
    best
}

struct Weigher<'a> {
    window: &'a mut Window,
    folded: &'a Folded,
    found: &'a mut Vec<Match>,
}

impl Sink for Weigher<'_> {
    fn begin(&mut self, at: usize) {
        self.window.current = Weighed { start: self.folded.original_start(at), end: 0, weight: 0 };
    }

    fn gram(&mut self, hash: u32) {
        self.window.current.weight += weight(hash);
    }

    fn end(&mut self, at: usize) {
        let window = &mut *self.window;
        window.current.end = self.folded.original_end(at);
        let len = window.words.len();
        window.words[window.read % len] = window.current;
        window.read += 1;
        if window.read.is_multiple_of(BLOCK) {
            window.judge(self.found);
        }
    }
}

/// The n-grams of a text as the model sees them, for each block of words (and how many words it has): what its weights
/// are trained on.
#[must_use]
pub fn injection_features(text: &str) -> Vec<(usize, Vec<u32>)> {
    struct Blocks(Vec<(usize, Vec<u32>)>);
    impl Sink for Blocks {
        fn begin(&mut self, _: usize) {
            if self.0.last().is_none_or(|(words, _)| *words == BLOCK) {
                self.0.push((0, Vec::new()));
            }
        }
        fn gram(&mut self, hash: u32) {
            self.0.last_mut().expect("a word has begun").1.push(hash);
        }
        fn end(&mut self, _: usize) {
            self.0.last_mut().expect("a word has begun").0 += 1;
        }
    }
    let mut folded = Folded::new();
    folded.push(text);
    let mut sink = Blocks(Vec::new());
    let mut words = Words::new();
    words.read(folded.view(true).text, 0, &mut sink);
    words.finish(&mut sink);
    sink.0
}
