//! From rules to what is walked: patterns, their anchors, groups, the gate.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use tappass_model::Family;

use crate::{
    anchor,
    families::{self, LONGEST},
    gate::Gate,
    group::{Group, Member},
    pattern,
    rule::Rule,
};

/// An anchor at the very start with few literals: patterns that have such ones never get in each other's way, so they
/// share an automaton.
const FEW: usize = 4;
/// Patterns of about so many states are small: made of a few classes, as numbers and codes are.
const SMALL: usize = 150;
/// Larger patterns share no automaton: where one is walked, the states of all would be built.
const LARGE: usize = 1000;

/// The gate of the built-in rules of some families (sorted); made once per process. `None`: they have none.
pub(crate) fn built_in(families: &[Family]) -> Option<Arc<Gate>> {
    type Gates = HashMap<Vec<Family>, Option<Arc<Gate>>>;
    type Groups = HashMap<Family, Vec<Arc<Group>>>;
    static COMPILED: LazyLock<Mutex<(Gates, Groups)>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let (gates, groups) = &mut *compiled;
    if let Some(gate) = gates.get(families) {
        return gate.clone();
    }
    // A start waits for them, so all processors help.
    std::thread::scope(|threads| {
        let missing = families.iter().filter(|family| !groups.contains_key(family)).copied();
        let compiling: Vec<_> =
            missing.map(|family| (family, threads.spawn(move || family_groups(family)))).collect();
        for (family, thread) in compiling {
            groups.insert(family, thread.join().expect("built-in rules compile: tested"));
        }
    });
    let all: Vec<Arc<Group>> = families.iter().flat_map(|family| groups[family].clone()).collect();
    let gate = || Arc::new(Gate::new(all.clone(), false).expect("built-in rules compile: tested"));
    let gate = (!all.is_empty()).then(gate);
    gates.insert(families.to_vec(), gate.clone());
    gate
}

fn family_groups(family: Family) -> Vec<Arc<Group>> {
    groups(families::rules(family), LONGEST).expect("built-in rules compile: tested")
}

/// The groups of rules.
///
/// Patterns that share an automaton cost one walk for all; those that go through ordinary words would multiply its states,
/// so they get automata of their own.
pub(crate) fn groups(rules: Vec<Rule>, longest: usize) -> Result<Vec<Arc<Group>>, String> {
    let rules = Arc::new(rules);
    let (mut keys, mut codes, mut own): (Vec<Member>, Vec<Member>, Vec<Vec<Member>>) = Default::default();
    for (index, rule) in rules.iter().enumerate() {
        for (nth, pattern) in pattern::split(&rule.hir()?).into_iter().enumerate() {
            let anchor = anchor::of(&pattern.hir);
            let size = pattern.size();
            let few = anchor.as_ref().is_some_and(|found| found.reach == 0 && found.literals.len() <= FEW);
            let few = few && size <= LARGE;
            let small = anchor.is_none() && size <= SMALL;
            let members = if few {
                &mut keys
            } else if small {
                &mut codes
            } else {
                own.push(Vec::new());
                own.last_mut().unwrap_or(&mut codes)
            };
            members.push(Member { rule: index, nth, pattern, anchor });
        }
    }
    own.extend([keys, codes].into_iter().filter(|members| !members.is_empty()));
    own.into_iter().map(|members| Group::new(&rules, members, longest).map(Arc::new)).collect()
}
