//! How much a scan does, counted where tests ask: bytes walked and bytes judged. Elsewhere it costs nothing.

#[cfg(not(test))]
pub(crate) const fn add(_: usize) {}

#[cfg(test)]
pub(crate) fn add(bytes: usize) {
    tests::SPENT.set(tests::SPENT.get() + bytes);
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tappass_model::Family;

    use crate::{Scanner, families::LONGEST, hostile_units};

    thread_local! {
        pub(super) static SPENT: Cell<usize> = const { Cell::new(0) };
    }

    fn effort(scanner: &Scanner, text: &str) -> usize {
        let before = SPENT.get();
        let _ = scanner.scan(text);
        SPENT.get() - before
    }

    /// Bytes walked and judged for one byte of text, at most: four walks as long as a finding may be. Prose takes about five.
    const MOST: usize = 4 * LONGEST;

    #[test]
    fn no_text_costs_more_than_its_length() {
        let scanner = Scanner::new(&Family::ALL, &[]).unwrap();
        // Some of thousands, so that a run takes seconds; `cost -- hostile` measures all.
        for (name, unit) in hostile_units().iter().step_by(29) {
            // Several times what the longest finding may have: below that, longer texts have longer candidates.
            let text = unit.repeat(6 * LONGEST / unit.len() + 1);
            let half =
                text.char_indices().map(|(at, _)| at).find(|at| *at >= text.len() / 2).unwrap_or_default();
            let (once, twice) = (effort(&scanner, &text[..half]), effort(&scanner, &text));
            assert!(twice <= MOST * text.len(), "{name}: {} a byte for {unit:?}", twice / text.len());
            assert!(
                twice <= once * 5 / 2 + 64 * 1024,
                "{name}: {once} for one half, {twice} for both, of {unit:?}"
            );
        }
    }
}
