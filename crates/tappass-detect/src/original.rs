//! The text as it came, for the detectors that read it so.

use crate::detector::View;

/// The end of the original text: what may still be looked at. Empty when nothing reads it.
#[derive(Debug)]
pub(crate) struct Original {
    wanted: bool,
    text: String,
    base: usize,
}

impl Original {
    pub(crate) const fn new(wanted: bool) -> Self {
        Self { wanted, text: String::new(), base: 0 }
    }

    pub(crate) fn push(&mut self, text: &str) {
        if self.wanted {
            self.text.push_str(text);
        }
    }

    pub(crate) fn view(&self, last: bool) -> View<'_> {
        View { text: &self.text, base: self.base, last }
    }

    /// Forgets what is before the position `to`. Cuts rarely, so that the cost per pushed byte stays constant.
    pub(crate) fn forget(&mut self, to: usize) {
        self.base += cut(&mut self.text, to.saturating_sub(self.base));
    }
}

/// Cuts about `most` bytes off the front of a text when that is worth the copy; returns how many.
pub(crate) fn cut(text: &mut String, most: usize) -> usize {
    const WORTH_IT: usize = 1024;
    let mut cut = most.min(text.len());
    if cut < WORTH_IT.max(text.len() / 2) {
        return 0;
    }
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    text.drain(..cut);
    cut
}
