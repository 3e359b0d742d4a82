//! An entry that says more than a hit: of `Anna Router` a detector may have found `Anna` alone.
//!
//! The hit is allowed where it stands inside the entry's words, so an entry hides nothing but what it names.

use std::ops::Range;

use super::normalised;

/// Where a hit stands, and whether the text goes on.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The text as far as it is known.
    pub text: &'a str,
    /// The hit's first byte in it.
    pub start: usize,
    /// One past its last.
    pub end: usize,
    /// Whether more of the text may come.
    pub open: bool,
}

impl<'a> Around<'a> {
    /// A hit in a complete text.
    #[must_use]
    pub const fn whole(text: &'a str, hit: Range<usize>) -> Self {
        Self { text, start: hit.start, end: hit.end, open: false }
    }

    /// The hit's own text.
    #[must_use]
    pub fn hit(&self) -> &'a str {
        &self.text[self.start..self.end]
    }

    /// Whether `before` (normalised, from its end) stands right before the hit, as words of its own.
    fn follows(&self, before: &str) -> bool {
        let mut rest = self.text[..self.start].chars().rev().peekable();
        for wanted in before.chars().rev() {
            let said = match rest.next() {
                Some(c) if c.is_whitespace() => {
                    while rest.next_if(|c| c.is_whitespace()).is_some() {}
                    ' '
                }
                Some(c) => lower(c),
                None => return false,
            };
            if said != wanted {
                return false;
            }
        }
        before.is_empty() || !rest.peek().is_some_and(|c| c.is_alphanumeric())
    }

    /// Whether `after` stands right behind the hit, as words of its own. `None`: the text that would tell is still to
    /// come.
    fn precedes(&self, after: &str) -> Option<bool> {
        let more = || if self.open { None } else { Some(false) };
        let mut rest = self.text[self.end..].chars().peekable();
        for wanted in after.chars() {
            let said = match rest.next() {
                Some(c) if c.is_whitespace() => {
                    while rest.next_if(|c| c.is_whitespace()).is_some() {}
                    ' '
                }
                Some(c) => lower(c),
                None => return more(),
            };
            if said != wanted {
                return Some(false);
            }
        }
        match rest.peek() {
            _ if after.is_empty() => Some(true),
            Some(c) => Some(!c.is_alphanumeric()),
            None if self.open => None,
            None => Some(true),
        }
    }
}

/// A letter whose lower case is several characters (`İ`) fits no entry around a hit.
fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// What stands beside a hit, by entry.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// The exact entries, normalised, each behind a line break: one search finds all that contain a hit.
    texts: String,
    /// Where each begins in `texts`, and which entry it is.
    begins: Vec<(usize, usize)>,
    /// Globs with their only `*` at an end: what must stand before and after the hit, and which entry it is.
    globs: Vec<(String, String, usize)>,
}

impl Beside {
    /// Takes in an exact entry.
    pub(super) fn text(&mut self, text: &str, index: usize) {
        self.texts.push('\n');
        self.begins.push((self.texts.len(), index));
        self.texts.push_str(&normalised(text));
    }

    /// Takes in a glob, if words stand before or behind its only `*`.
    pub(super) fn glob(&mut self, pattern: &str, index: usize) {
        let glob = normalised(pattern);
        let literal = |s: &str| !s.contains(['*', '?', '/']);
        if let Some(after) = glob.strip_prefix('*').filter(|s| s.starts_with(' ') && literal(s)) {
            self.globs.push((String::new(), after.to_owned(), index));
        } else if let Some(before) = glob.strip_suffix('*').filter(|s| s.ends_with(' ') && literal(s)) {
            self.globs.push((before.to_owned(), String::new(), index));
        }
    }

    /// The entry inside whose words the hit stands. `Err`: what comes next in the text will tell.
    pub(super) fn find(
        &self,
        around: &Around<'_>,
        hit: &str,
        holds: impl Fn(usize) -> bool,
    ) -> Result<Option<usize>, Undecided> {
        let mut undecided = false;
        let mut fits = |before: &str, after: &str, index: usize| {
            let told = holds(index) && around.follows(before);
            match told.then(|| around.precedes(after)) {
                Some(Some(fits)) => fits,
                Some(None) => {
                    undecided = true;
                    false
                }
                None => false,
            }
        };
        if !hit.is_empty() {
            for (at, _) in self.texts.match_indices(hit) {
                let entry = self.begins.partition_point(|(begin, _)| *begin <= at);
                let Some(&(begin, index)) = self.begins.get(entry.wrapping_sub(1)) else { continue };
                let end = self.begins.get(entry).map_or(self.texts.len(), |(next, _)| next - 1);
                if fits(&self.texts[begin..at], &self.texts[at + hit.len()..end], index) {
                    return Ok(Some(index));
                }
            }
        }
        for (before, after, index) in &self.globs {
            if fits(before, after, *index) {
                return Ok(Some(*index));
            }
        }
        if undecided { Err(Undecided) } else { Ok(None) }
    }
}

/// What comes next in the text will tell whether a hit is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecided;
