//! From the findings of a family to one figure for a text.

use tappass_model::{Family, Match};

/// How likely a text is what the family looks for, 0 to 1, from its findings; those of other families are ignored.
/// Kinds are taken as independent, and each counts once with its highest score, so repetition proves nothing.
pub fn family_score<'a>(family: Family, matches: impl IntoIterator<Item = &'a Match>) -> f32 {
    let mut kinds: Vec<(&str, f32)> = Vec::new();
    for m in matches.into_iter().filter(|m| m.family == family) {
        match kinds.iter_mut().find(|(kind, _)| *kind == m.kind) {
            Some((_, score)) => *score = score.max(m.score),
            None => kinds.push((&m.kind, m.score)),
        }
    }
    1.0 - kinds.iter().map(|(_, score)| 1.0 - score).product::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(family: Family, kind: &'static str, score: f32) -> Match {
        Match { family, kind: kind.into(), start: 0, end: 1, score }
    }

    #[test]
    fn kinds_add_up_and_repetition_proves_nothing() {
        let (a, b) = (found(Family::Shell, "A", 0.4), found(Family::Shell, "B", 0.5));
        let once = family_score(Family::Shell, [&a]);
        assert!((once - 0.4).abs() < 1e-6);
        assert!((family_score(Family::Shell, [&a, &a, &a]) - once).abs() < 1e-6);
        assert!((family_score(Family::Shell, [&a, &b]) - 0.7).abs() < 1e-6);
        assert!(family_score(Family::Code, [&a, &b]).abs() < 1e-6);
    }
}
