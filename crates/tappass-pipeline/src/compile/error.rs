//! What is wrong with a pipeline's text: where, what, and the nearest valid name.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line and column, from 1; `None` for what stands nowhere.
    pub place: Option<(u64, u64)>,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// Why a pipeline cannot be made: all that is wrong with its text, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CompileError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl CompileError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { problems: vec![Problem { place: None, what: what.into() }] }
    }

    /// `Ok` when nothing is wrong.
    pub(super) fn check(mut problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by_key(|p| p.place);
        Err(Self { problems })
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// What is said of a name that is not known: the nearest that is, or all.
pub(super) fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let shown: String = name.chars().take(64).collect();
    let nearest = known.iter().copied().min_by_key(|k| strsim::damerau_levenshtein(k, name));
    match nearest {
        // As much as a slip of the finger: a third of the word.
        Some(near) if strsim::damerau_levenshtein(near, name) <= (near.len() / 3).clamp(1, 3) => {
            format!("unknown {what} `{shown}`; did you mean `{near}`?")
        }
        _ if known.is_empty() => format!("unknown {what} `{shown}`; nothing can stand here"),
        _ => format!("unknown {what} `{shown}`; known: {}", known.join(", ")),
    }
}

/// A message of a parameter's type, in our words: the nearest name where one was expected.
pub(super) fn plain(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    for (start, what) in [("unknown field ", "parameter"), ("unknown variant ", "value")] {
        if message.starts_with(start)
            && let Some(name) = quoted.next()
        {
            return unknown(what, name, quoted);
        }
    }
    message.replace("invalid type: ", "this is ").replace("invalid value: ", "this is ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_far_from_all_are_answered_with_all() {
        assert_eq!(
            unknown("step", "detect_pi", ["detect_pii", "x"]),
            "unknown step `detect_pi`; did you mean `detect_pii`?"
        );
        assert_eq!(unknown("step", "zzz", ["b", "a"]), "unknown step `zzz`; known: a, b");
        assert_eq!(unknown("key", "on", ["pii"]), "unknown key `on`; known: pii");
    }

    #[test]
    fn messages_of_types_name_the_nearest() {
        let field = "unknown field `max_call`, expected one of `max_calls`, `window_seconds`";
        assert_eq!(plain(field), "unknown parameter `max_call`; did you mean `max_calls`?");
        assert_eq!(
            plain("invalid type: string \"many\", expected u32"),
            "this is string \"many\", expected u32"
        );
    }
}
