//! Names of tools with `*` (any text) and `?` (one character), and which of them hold within which.

/// Whether all that `inner` means `outer` means too. Sound, and not complete: a yes is always right; `*?` and `?*`, which
/// mean the same, are not told to be within each other.
///
/// `inner` is read as a text in which only a `*` of `outer` may stand for its `*`, and no letter for its `?`.
#[must_use]
pub fn covers(outer: &str, inner: &str) -> bool {
    let (outer, inner): (Vec<char>, Vec<char>) = (outer.chars().collect(), inner.chars().collect());
    let (mut o, mut i) = (0, 0);
    // Where to go on when the last star takes one more character.
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (outer.get(o), inner.get(i)) {
            (None, None) => return true,
            (Some('*'), _) => {
                star = Some((o + 1, i));
                o += 1;
            }
            (Some('?'), Some(c)) if *c != '*' => {
                o += 1;
                i += 1;
            }
            (Some(p), Some(c)) if p == c && *c != '*' && *c != '?' => {
                o += 1;
                i += 1;
            }
            _ => {
                let Some((after, from)) = &mut star else { return false };
                if *from >= inner.len() {
                    return false;
                }
                *from += 1;
                (o, i) = (*after, *from);
            }
        }
    }
}

/// Whether a name means more than itself.
#[must_use]
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_holds_within_what() {
        for (outer, inner) in [
            ("*", "anything"),
            ("*", "*"),
            ("*", "?*?"),
            ("read_*", "read_file"),
            ("read_*", "read_f*"),
            ("read_*", "read_?"),
            ("r*d", "r*ea*d"),
            ("?", "?"),
            ("?", "a"),
            ("a", "a"),
            ("a**b", "a*b"),
        ] {
            assert!(covers(outer, inner), "{outer} {inner}");
        }
        for (outer, inner) in [
            ("read_*", "*"),
            ("read_*", "r*"),
            ("?", "*"),
            ("a?", "a*"),
            ("read_file", "read_*"),
            ("a", "?"),
            ("a", "b"),
            ("", "*"),
            ("r*d", "r*"),
        ] {
            assert!(!covers(outer, inner), "{outer} {inner}");
        }
        assert!(!covers(&"*a".repeat(60), &"b".repeat(10_000)));
    }

    proptest! {
        /// What the narrower one means, the wider one means.
        #[test]
        fn a_yes_is_always_right(outer in "[ab?*]{0,7}", inner in "[ab?*]{0,6}", fill in prop::collection::vec("[ab]{0,3}", 6)) {
            if covers(&outer, &inner) {
                let mut fill = fill.iter().cycle();
                let name: String = inner.chars().map(|c| match c {
                    '*' => fill.next().cloned().unwrap_or_default(),
                    '?' => fill.next().and_then(|f| f.chars().next()).unwrap_or('a').to_string(),
                    c => c.to_string(),
                }).collect();
                prop_assert!(covers(&inner, &name));
                prop_assert!(covers(&outer, &name), "{} within {}, but not {}", inner, outer, name);
            }
        }
    }
}
