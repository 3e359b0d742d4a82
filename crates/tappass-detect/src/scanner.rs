//! The scanner: which families run, and the scan of a whole text.

use std::{collections::HashMap, sync::Arc};

use tappass_model::{Classification, Family, Match};

use crate::{
    compile,
    custom::{self, CustomPattern, PatternError},
    families,
    gate::Gate,
    layers::{DEPTH, Layers},
    sample::min_classification,
    stream::{Source, StreamScan},
    walks::Walks,
};

/// What a scan runs.
#[derive(Default)]
pub(crate) struct Plan {
    /// The families that have detectors of their own.
    families: Vec<Family>,
    /// The rules: the built-in ones and those of the configuration.
    gates: Vec<(Vec<Family>, Arc<Gate>)>,
    /// Whether the injection model reads along.
    pub(crate) model: bool,
}

impl Plan {
    /// All detectors, new for one text that was opened so many layers deep.
    pub(crate) fn sources(self: &Arc<Self>, depth: usize) -> Vec<Source> {
        let rules =
            self.gates.iter().map(|(families, gate)| Source::new(families, Box::new(Walks::new(gate))));
        let by_hand = self.families.iter().flat_map(|family| {
            families::detectors(*family).into_iter().map(|detector| Source::new(&[*family], detector))
        });
        let mut all: Vec<Source> = rules.chain(by_hand).collect();
        if depth < DEPTH && !all.is_empty() {
            let layers = Box::new(Layers::new(Arc::clone(self), depth));
            all.push(Source::new(&Family::ALL, layers));
        }
        all
    }
}

/// Finds what the chosen families and patterns describe. Immutable; cloning is cheap.
#[derive(Clone)]
pub struct Scanner {
    plan: Arc<Plan>,
    /// The levels of custom patterns, by name.
    levels: Arc<HashMap<String, Classification>>,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").field("gates", &self.plan.gates.len()).finish_non_exhaustive()
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
        let mut gates = Vec::new();
        if let Some(gate) = compile::built_in(&families) {
            gates.push((families.clone(), gate));
        }
        if !custom.is_empty() {
            gates.push((vec![Family::Custom], Arc::new(custom::compile(custom)?)));
        }
        let model = families.contains(&Family::Injection);
        families.retain(|family| !families::detectors(*family).is_empty());
        let levels = custom.iter().filter_map(|p| Some((p.name.clone(), p.level?))).collect();
        Ok(Self { plan: Arc::new(Plan { families, gates, model }), levels: Arc::new(levels) })
    }

    /// The least classification of a text with this finding: [`min_classification`], or a custom pattern's own level.
    #[must_use]
    pub fn classification(&self, m: &Match) -> Classification {
        let own = if m.family == Family::Custom { self.levels.get(m.kind.as_ref()).copied() } else { None };
        own.unwrap_or_else(|| min_classification(m))
    }

    /// Builds what the first scans would otherwise build as they come to need it: milliseconds of CPU each, a few tenths of
    /// a second for all families.
    pub fn prepare(&self) {
        for (_, gate) in &self.plan.gates {
            gate.prepare();
        }
    }

    /// All findings, by start. Within one family they do not overlap: of overlapping candidates the surest is kept, then
    /// the longest, then the first. Only what the injection model finds may lie over what rules found. Offsets are bytes of
    /// `text`.
    #[must_use]
    pub fn scan(&self, text: &str) -> Vec<Match> {
        self.stream().whole(text)
    }

    /// A scan of a text that arrives in pieces.
    #[must_use]
    pub fn stream(&self) -> StreamScan {
        StreamScan::new(&self.plan, 0)
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
