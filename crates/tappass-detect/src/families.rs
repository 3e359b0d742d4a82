//! The rules of each built-in family, compiled once per process.

use std::sync::{Arc, LazyLock};

use tappass_model::Family;

use crate::{infra, injection, marking, pii, rule::Rule, ruleset::RuleSet, secrets};

/// No built-in finding is longer, bytes. Rules for long values (private keys, tokens) have no bound of their own: counting
/// thousands of characters would take the automaton thousands of states.
const LONGEST: usize = 4096;

static PII: LazyLock<Arc<RuleSet>> = LazyLock::new(|| built_in(pii::rules()));
static SECRET: LazyLock<Arc<RuleSet>> = LazyLock::new(|| built_in(secrets::rules()));
static INJECTION: LazyLock<Arc<RuleSet>> = LazyLock::new(|| built_in(injection::rules()));
static INFRA: LazyLock<Arc<RuleSet>> = LazyLock::new(|| built_in(infra::rules()));
static MARKING: LazyLock<Arc<RuleSet>> = LazyLock::new(|| built_in(marking::rules()));

/// The rules of a family; `None` for what has none of its own.
pub(crate) fn rule_set(family: Family) -> Option<Arc<RuleSet>> {
    let set = match family {
        Family::Pii => &PII,
        Family::Secret => &SECRET,
        Family::Injection => &INJECTION,
        Family::Infra => &INFRA,
        Family::Marking => &MARKING,
        _ => return None,
    };
    Some(Arc::clone(set))
}

fn built_in(rules: Vec<Rule>) -> Arc<RuleSet> {
    let parse = |rule: &Rule| regex_syntax::parse(&rule.regex).expect("built-in rules parse: tested");
    let hirs: Vec<_> = rules.iter().map(parse).collect();
    Arc::new(RuleSet::new(rules, &hirs, LONGEST, false).expect("built-in rules compile: tested"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_rules_compile_and_match_nothing_empty() {
        for family in Family::ALL {
            let Some(set) = rule_set(family) else { continue };
            for rule in &set.rules {
                let hir = regex_syntax::parse(&rule.regex).unwrap_or_else(|e| panic!("{}: {e}", rule.kind));
                let least = hir.properties().minimum_len();
                assert!(least.is_some_and(|n| n > 0), "{} may match the empty text", rule.kind);
            }
        }
    }
}
