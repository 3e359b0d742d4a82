//! The scanner: which families run, and the scan of a whole text.

use std::{collections::HashMap, sync::Arc};

use tappass_model::{Classification, Family, Match};

use crate::{
    custom::{self, CustomPattern, PatternError},
    families::rule_set,
    ruleset::RuleSet,
    sample::min_classification,
    stream::StreamScan,
};

/// One rule set per family that runs.
pub(crate) type Lanes = Vec<Arc<RuleSet>>;

/// Finds what the chosen families and patterns describe. Immutable; cloning is cheap.
#[derive(Clone)]
pub struct Scanner {
    lanes: Arc<Lanes>,
    /// The levels of custom patterns, by name.
    levels: Arc<HashMap<String, Classification>>,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").field("rule_sets", &self.lanes.len()).finish()
    }
}

impl Scanner {
    /// A scanner for the given families and, when there are any, the custom patterns (whatever the families say).
    /// Built-in rules are compiled once per process and shared.
    ///
    /// # Errors
    /// A custom pattern that is malformed, too large, or matches the empty text.
    pub fn new(families: &[Family], custom: &[CustomPattern]) -> Result<Self, PatternError> {
        let mut families = families.to_vec();
        families.sort_unstable();
        families.dedup();
        let mut lanes: Lanes = families.into_iter().filter_map(rule_set).collect();
        if !custom.is_empty() {
            lanes.push(Arc::new(custom::compile(custom)?));
        }
        let levels = custom.iter().filter_map(|p| Some((p.name.clone(), p.level?))).collect();
        Ok(Self { lanes: Arc::new(lanes), levels: Arc::new(levels) })
    }

    /// The least classification of a text with this finding: [`min_classification`], or a custom pattern's own level.
    #[must_use]
    pub fn classification(&self, m: &Match) -> Classification {
        let own = if m.family == Family::Custom { self.levels.get(m.kind.as_ref()).copied() } else { None };
        own.unwrap_or_else(|| min_classification(m))
    }

    /// All findings, by start. Within one family they do not overlap: of overlapping candidates the surest is kept, then
    /// the longest, then the first. Offsets are bytes of `text`.
    #[must_use]
    pub fn scan(&self, text: &str) -> Vec<Match> {
        self.stream().whole(text)
    }

    /// A scan of a text that arrives in pieces.
    #[must_use]
    pub fn stream(&self) -> StreamScan {
        StreamScan::new(Arc::clone(&self.lanes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_family_no_finding() {
        let scanner = Scanner::new(&[], &[]).unwrap();
        assert_eq!(scanner.scan("mail me: joan@example.org"), []);
        assert_eq!(scanner.stream().push("abc").upto, 3);
    }
}
