//! Texts made to cost much: what tests and benches hold the scan's bounds against.

use regex_syntax::hir::{Class, Hir, HirKind};
use tappass_model::Family;

use crate::families;

/// For every built-in rule, beginnings of its matches to be repeated without end: as short and as long as the rule lets
/// them be, whole and broken off, and run together. Each comes with the name of its family and kind.
#[must_use]
pub fn hostile_units() -> Vec<(String, String)> {
    let mut units = Vec::new();
    for family in Family::ALL {
        for rule in families::rules(family) {
            let Ok(hir) = regex_syntax::parse(&rule.regex) else { continue };
            for (more, last) in [(0, false), (0, true), (3, false), (24, false), (24, true)] {
                let mut unit = String::new();
                write(&hir, more, last, &mut unit);
                let name = format!("{family:?} {}", rule.kind);
                units.push((name.clone(), unit.clone() + " "));
                let broken = unit.char_indices().next_back().map_or(0, |(at, _)| at);
                units.push((name.clone(), unit[..broken].to_owned()));
                let half = unit.char_indices().nth(unit.chars().count() / 2).map_or(0, |(at, _)| at);
                units.push((name, unit[..half].to_owned() + "-"));
            }
        }
    }
    units.retain(|(_, unit)| !unit.is_empty());
    units.sort();
    units.dedup();
    units
}

/// Writes a text that matches: of every repetition `more` than the fewest, if it may; of alternatives and classes the
/// first, or the last.
fn write(hir: &Hir, more: u32, last: bool, out: &mut String) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(class) => out.extend(member(class, last)),
        HirKind::Capture(capture) => write(&capture.sub, more, last, out),
        HirKind::Repetition(repetition) => {
            let times = repetition.min.saturating_add(more).min(repetition.max.unwrap_or(u32::MAX));
            for _ in 0..times {
                write(&repetition.sub, more.min(3), last, out);
            }
        }
        HirKind::Concat(parts) => parts.iter().for_each(|part| write(part, more, last, out)),
        HirKind::Alternation(parts) => {
            if let Some(part) = if last { parts.last() } else { parts.first() } {
                write(part, more, last, out);
            }
        }
    }
}

fn member(class: &Class, last: bool) -> Option<char> {
    let printable = |c: &char| c.is_ascii_graphic() || !c.is_ascii();
    match class {
        Class::Unicode(class) => {
            let mut all =
                class.ranges().iter().flat_map(|range| [range.start(), range.end()]).filter(printable);
            if last { all.next_back() } else { all.next() }
        }
        Class::Bytes(class) => {
            let ends = class.ranges().iter().flat_map(|range| [range.start(), range.end()]);
            let mut all = ends.map(char::from).filter(char::is_ascii).filter(printable);
            if last { all.next_back() } else { all.next() }
        }
    }
}
