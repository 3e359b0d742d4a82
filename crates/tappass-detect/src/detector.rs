//! What finds things in a growing text, and the contract that makes a stream's findings those of the whole text.
//!
//! Most families are lists of [`crate::rule::Rule`]s, which are walked together ([`crate::walks`]). What rules cannot
//! say (characters as such, names by gazetteer, a trained model) is a [`Detector`] of its own, added with one line in
//! [`crate::families::detectors`]. It may stand beside rules of the same family: overlaps are resolved between both.
//!
//! A detector is made anew for every text and asked again and again, with more text each time. It must find the same
//! whatever the pieces are, so it decides only what no further text can change:
//! - it keeps the position up to which it has decided, and goes on from there;
//! - it treats the end of the view as the end of the text only if the view says `last`;
//! - it bounds what it looks at (by [`crate::families::LONGEST`] at most): what it holds back is held from the reader
//!   of the stream. A model that scores windows of a text reports on a part of the window that it has not passed yet,
//!   its last word for instance, or holds the window back.

use tappass_model::Match;

/// Which text a detector reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// Folded: disguises have fallen ([`crate::normalise`]). What nearly all want.
    Folded,
    /// As it came.
    Original,
}

/// A part of a text: what a detector may look at now. Positions are absolute, in the text that it reads; the part
/// begins at least [`crate::rule::CONTEXT`] bytes before the position that the detector returned last (or where the
/// text begins).
#[derive(Clone, Copy)]
pub(crate) struct View<'t> {
    pub(crate) text: &'t str,
    /// Absolute position of the part's first byte.
    pub(crate) base: usize,
    /// Nothing follows.
    pub(crate) last: bool,
}

impl View<'_> {
    /// One past the last byte, absolute.
    pub(crate) const fn end(&self) -> usize {
        self.base + self.text.len()
    }
}

/// Finds what it knows in one text, read in pieces.
pub(crate) trait Detector: Send + Sync {
    /// Which text it reads.
    fn reads(&self) -> Text {
        Text::Folded
    }

    /// Reads on as far as the view allows, and puts what it is sure of into `out`, at positions of the text it reads,
    /// in any order, overlapping or not. Returns a position before which it will report nothing more: no later finding
    /// starts there. It never goes back, and is the end of the view once that is `last`.
    fn advance(&mut self, view: View<'_>, out: &mut Vec<Match>) -> usize;
}
