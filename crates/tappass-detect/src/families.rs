//! What each built-in family consists of: rules, detectors written by hand, or both. A family without either finds
//! nothing.

use tappass_model::Family;

use crate::{
    business, code, detector::Detector, escalation, exfil, infra, injection, marking, memory, pii,
    rule::Rule, safety, secrets, shell, tool_poison, unicode,
};

/// No built-in finding is longer, bytes of the text it is found in. Rules for long values (private keys, tokens) have no
/// bound of their own: counting thousands of characters would take the automaton thousands of states.
pub(crate) const LONGEST: usize = 4096;

/// The rules of a family.
pub(crate) fn rules(family: Family) -> Vec<Rule> {
    match family {
        Family::Pii => pii::rules(),
        Family::Secret => secrets::rules(),
        Family::Injection => injection::rules(),
        Family::Escalation => escalation::rules(),
        Family::Infra => infra::rules(),
        Family::Marking => marking::rules(),
        Family::Business => business::rules(),
        Family::Code => code::rules(),
        Family::Exfiltration => exfil::rules(),
        Family::Memory => memory::rules(),
        Family::Safety => safety::rules(),
        Family::Shell => shell::rules(),
        Family::ToolPoison => tool_poison::rules(),
        _ => Vec::new(),
    }
}

/// The detectors of a family that are written by hand, new for one text.
pub(crate) fn detectors(family: Family) -> Vec<Box<dyn Detector>> {
    match family {
        Family::Unicode => vec![Box::<unicode::Detector>::default()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_rules_parse_and_match_nothing_empty() {
        for family in Family::ALL {
            for rule in rules(family) {
                assert_eq!(rule.family, family, "{}", rule.kind);
                let hir = regex_syntax::parse(&rule.regex).unwrap_or_else(|e| panic!("{}: {e}", rule.kind));
                let least = hir.properties().minimum_len();
                assert!(least.is_some_and(|n| n > 0), "{} may match the empty text", rule.kind);
            }
        }
    }
}
