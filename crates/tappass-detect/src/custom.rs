//! The patterns of a pipeline's own configuration: checked, bounded, linear.

use std::borrow::Cow;

use regex_syntax::hir::{Class, Hir, HirKind, Look};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Classification, Family};

use crate::{compile, gate::Gate, rule::Rule};

/// No finding of a custom pattern is longer, in bytes of folded text: a pattern without an upper bound (`.*`) matches up
/// to here, in whole texts and in streams alike.
pub const CUSTOM_LONGEST: usize = 1024;
/// Longest source of one pattern, bytes.
const SOURCE: usize = 2000;
/// Most patterns in one pipeline.
const COUNT: usize = 500;
/// Largest automaton of one pattern, bytes.
const SIZE: usize = 1 << 20;

/// A pattern of one's own: findings carry its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomPattern {
    /// What findings are called: letters, digits, `_`, `-` and `.`, at most 64 characters.
    pub name: String,
    /// A regular expression (RE2 syntax: no back-references, no look-around except `^ $ \b \B`). It is matched anywhere
    /// in the text; of several ends the longest counts; a match is at most 1024 bytes long.
    pub pattern: String,
    /// The least classification of a text with a match; `CONFIDENTIAL` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Classification>,
}

/// Why custom patterns were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// The name cannot be used.
    #[error("custom pattern {name:?}: a name has 1 to 64 letters, digits, '_', '-' or '.'; rename it")]
    Name {
        /// As given.
        name: String,
    },
    /// Two patterns share a name.
    #[error("custom pattern {name:?} is given twice; rename one or join them with '|'")]
    Twice {
        /// The name.
        name: String,
    },
    /// Not a regular expression.
    #[error("custom pattern {name:?} is not a valid regular expression: {reason}")]
    Syntax {
        /// The pattern's name.
        name: String,
        /// Where and why.
        reason: String,
    },
    /// The pattern matches where nothing is.
    #[error(
        "custom pattern {name:?} may match the empty text; make a part of it mandatory (use '+' for '*')"
    )]
    Empty {
        /// The pattern's name.
        name: String,
    },
    /// No match could ever be reported.
    #[error(
        "custom pattern {name:?} only matches more than {CUSTOM_LONGEST} bytes; match the beginning only"
    )]
    TooLong {
        /// The pattern's name.
        name: String,
    },
    /// The automaton would be too large.
    #[error(
        "custom pattern {name:?} is too large; use smaller repetitions or plain ASCII classes ([0-9] for \\d)"
    )]
    TooLarge {
        /// The pattern's name.
        name: String,
    },
    /// Too many.
    #[error("{count} custom patterns; at most {COUNT} are allowed: join some with '|'")]
    TooMany {
        /// How many were given.
        count: usize,
    },
}

/// Compiles the patterns.
pub(crate) fn compile(patterns: &[CustomPattern]) -> Result<Gate, PatternError> {
    if patterns.len() > COUNT {
        return Err(PatternError::TooMany { count: patterns.len() });
    }
    let mut rules: Vec<Rule> = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        let name = pattern.name.clone();
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.chars().count() > 64 || !name.chars().all(fits) {
            return Err(PatternError::Name { name });
        }
        if rules.iter().any(|rule| rule.kind == name) {
            return Err(PatternError::Twice { name });
        }
        check(pattern)?;
        let mut rule = Rule::new(Family::Custom, "", 0.9, "").open();
        (rule.kind, rule.regex) = (Cow::Owned(name), Cow::Owned(pattern.pattern.clone()));
        rules.push(rule);
    }
    let last = patterns.last().map(|p| p.name.clone()).unwrap_or_default();
    compile::groups(rules, CUSTOM_LONGEST)
        .and_then(|groups| {
            // Here, not on a call's way.
            groups.iter().try_for_each(|group| group.build().map(drop))?;
            Gate::new(groups, true)
        })
        .map_err(|_| PatternError::TooLarge { name: last })
}

fn check(pattern: &CustomPattern) -> Result<(), PatternError> {
    let name = || pattern.name.clone();
    if pattern.pattern.len() > SOURCE {
        return Err(PatternError::TooLarge { name: name() });
    }
    let hir =
        parse(&pattern.pattern).map_err(|e| PatternError::Syntax { name: name(), reason: reason(&e) })?;
    let least = hir.properties().minimum_len();
    match least {
        Some(0) => return Err(PatternError::Empty { name: name() }),
        Some(n) if n > CUSTOM_LONGEST => return Err(PatternError::TooLong { name: name() }),
        // `None`: a class without members; it matches nothing, which is odd but harmless.
        _ => {}
    }
    let config = regex_automata::nfa::thompson::Config::new().nfa_size_limit(Some(SIZE));
    regex_automata::nfa::thompson::Compiler::new()
        .configure(config)
        .build_from_hir(&hir)
        .map_err(|_| PatternError::TooLarge { name: name() })?;
    Ok(())
}

/// The expression of a custom pattern: what is walked.
pub(crate) fn parse(source: &str) -> Result<Hir, regex_syntax::Error> {
    regex_syntax::ParserBuilder::new().nest_limit(100).build().parse(source).map(ascii_words)
}

/// The message of a parse error without the drawing around it.
fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(e) => format!("{} (at byte {})", e.kind(), e.span().start.offset),
        regex_syntax::Error::Translate(e) => format!("{} (at byte {})", e.kind(), e.span().start.offset),
        other => other.to_string(),
    }
}

/// `\b` and `\B` as the automaton knows them: by ASCII words.
fn ascii_words(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(Class::Unicode(class)) => Hir::class(Class::Unicode(class)),
        HirKind::Class(class) => Hir::class(class),
        HirKind::Look(look) => Hir::look(match look {
            Look::WordUnicode => Look::WordAscii,
            Look::WordUnicodeNegate => Look::WordAsciiNegate,
            Look::WordStartUnicode => Look::WordStartAscii,
            Look::WordEndUnicode => Look::WordEndAscii,
            Look::WordStartHalfUnicode => Look::WordStartHalfAscii,
            Look::WordEndHalfUnicode => Look::WordEndHalfAscii,
            other => other,
        }),
        HirKind::Repetition(mut repetition) => {
            repetition.sub = Box::new(ascii_words(*repetition.sub));
            Hir::repetition(repetition)
        }
        // Groups only delimit here: nothing is captured.
        HirKind::Capture(capture) => ascii_words(*capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(ascii_words).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.into_iter().map(ascii_words).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scanner;

    fn pattern(name: &str, pattern: &str) -> CustomPattern {
        CustomPattern { name: name.into(), pattern: pattern.into(), level: None }
    }

    fn scan(source: &str, text: &str) -> Vec<(usize, usize)> {
        let scanner = Scanner::new(&[Family::Custom], &[pattern("p", source)]).unwrap();
        scanner.scan(text).iter().map(|m| (m.start, m.end)).collect()
    }

    #[test]
    fn matches_like_a_search() {
        assert_eq!(scan("ACC-[0-9]{8}", "xACC-12345678, ACC-87654321"), [(1, 13), (15, 27)]);
        assert_eq!(scan(r"\bACC-\d{4}\b", "ACC-1234 ACC-12345 xACC-1234 ACC-9999"), [(0, 8), (29, 37)]);
        assert_eq!(scan("^top", "top top"), [(0, 3)]);
    }

    #[test]
    fn unbounded_patterns_are_cut() {
        let text = format!("<{}>", "a".repeat(5000));
        assert_eq!(scan("<[a>]+", &text), [(0, CUSTOM_LONGEST)]);
    }

    #[test]
    fn refusals_say_why() {
        let refuse = |p: CustomPattern| Scanner::new(&[], &[p]).unwrap_err();
        assert!(matches!(refuse(pattern("a b", "x")), PatternError::Name { .. }));
        assert!(matches!(refuse(pattern("a", "x*")), PatternError::Empty { .. }));
        assert!(matches!(refuse(pattern("a", r"\pL{1000}")), PatternError::TooLarge { .. }));
        let bad = refuse(pattern("acc", "ACC-[0-9"));
        assert!(bad.to_string().contains("acc") && bad.to_string().contains("unclosed"), "{bad}");
        let twice = Scanner::new(&[], &[pattern("a", "x"), pattern("a", "y")]).unwrap_err();
        assert!(matches!(twice, PatternError::Twice { .. }));
    }
}
