//! The scanner: which families run, and the scan of a whole text.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use tappass_model::{Classification, Family, Match};

use crate::{
    custom::{self, CustomPattern, PatternError},
    infra, injection, marking, pii,
    rule::Rule,
    ruleset::RuleSet,
    sample::min_classification,
    secrets,
    stream::StreamScan,
};

/// No built-in finding is longer, bytes. Rules for long values (private keys, tokens) have no bound of their own: counting
/// thousands of characters would take the automaton thousands of states.
const LONGEST: usize = 4096;

/// One rule set per family that runs.
pub(crate) type Lanes = Vec<Arc<RuleSet>>;

static PII: LazyLock<Arc<RuleSet>> = LazyLock::new(|| built_in(pii::rules()));
static SECRET: LazyLock<Arc<RuleSet>> = LazyLock::new(|| built_in(secrets::rules()));
static INJECTION: LazyLock<Arc<RuleSet>> = LazyLock::new(|| built_in(injection::rules()));
static INFRA: LazyLock<Arc<RuleSet>> = LazyLock::new(|| built_in(infra::rules()));
static MARKING: LazyLock<Arc<RuleSet>> = LazyLock::new(|| built_in(marking::rules()));

fn built_in(rules: Vec<Rule>) -> Arc<RuleSet> {
    let parse = |rule: &Rule| regex_syntax::parse(&rule.regex).expect("built-in rules parse: tested");
    let hirs: Vec<_> = rules.iter().map(parse).collect();
    Arc::new(RuleSet::new(rules, &hirs, LONGEST, false).expect("built-in rules compile: tested"))
}

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
        let mut lanes: Lanes = families
            .into_iter()
            .filter_map(|family| match family {
                Family::Pii => Some(Arc::clone(&PII)),
                Family::Secret => Some(Arc::clone(&SECRET)),
                Family::Injection => Some(Arc::clone(&INJECTION)),
                Family::Infra => Some(Arc::clone(&INFRA)),
                Family::Marking => Some(Arc::clone(&MARKING)),
                Family::Custom => None,
            })
            .collect();
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
    fn built_in_rules_compile_and_match_nothing_empty() {
        for rules in [pii::rules(), secrets::rules(), injection::rules(), infra::rules(), marking::rules()] {
            for rule in &rules {
                let hir = regex_syntax::parse(&rule.regex).unwrap_or_else(|e| panic!("{}: {e}", rule.kind));
                let least = hir.properties().minimum_len();
                assert!(least.is_some_and(|n| n > 0), "{} may match the empty text", rule.kind);
            }
            drop(built_in(rules));
        }
    }

    #[test]
    fn no_family_no_finding() {
        let scanner = Scanner::new(&[], &[]).unwrap();
        assert_eq!(scanner.scan("mail me: joan@example.org"), []);
        assert_eq!(scanner.stream().push("abc").upto, 3);
    }
}
