//! Checks a policy's text before it is used: what is wrong, on which line and in which column.

use std::fmt;

use crate::Question;

/// Why a text is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CompileError {
    /// Line, from 1; 0 when it is about the text as a whole.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}, column {}: {}", self.column, self.what),
        }
    }
}

impl CompileError {
    pub(crate) fn whole(what: impl Into<String>) -> Self {
        Self { line: 0, column: 0, what: what.into() }
    }

    /// Out of the engine's message, which draws the line and points at it:
    /// `--> file:LINE:COLUMN`, the line, and at the end `error: what`.
    pub(crate) fn of(message: &str) -> Self {
        let place = message.lines().find_map(|line| {
            let mut parts = line.trim().strip_prefix("--> ")?.rsplitn(3, ':');
            let (column, line) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            Some((line, column))
        });
        let what = message.lines().rev().find_map(|line| line.trim().strip_prefix("error: "));
        let (line, column) = place.unwrap_or((0, 0));
        Self { line, column, what: what.unwrap_or(message.trim()).trim().to_owned() }
    }
}

/// OPA's functions that the embedded engine lacks. There a call of one has no value, without a word, so a text that
/// uses one is refused.
const LACKING: &[&str] =
    &["http.send", "io.jwt.", "opa.runtime", "net.lookup_ip_addr", "rego.parse_module", "crypto."];

/// How deep brackets may nest, how many operators one rule may have, and how long a reference may be: the engine
/// follows each of them by recursion, and a policy is input.
const MAX_DEPTH: usize = 32;
const MAX_OPERATORS: usize = 200;
const MAX_REFERENCE: usize = 64;

/// Refuses what the engine would not survive, and functions that would silently have no value.
pub(crate) fn lint(text: &str) -> Result<(), CompileError> {
    let (mut depth, mut operators) = (0_usize, 0_usize);
    for (row, line) in code_only(text).lines().enumerate() {
        let refuse = |column: usize, what: String| {
            let place = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
            Err(CompileError { line: place(row), column: place(column), what })
        };
        for name in LACKING {
            let Some(at) = line.find(name) else { continue };
            if !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.') {
                let what = format!("`{name}` is not available in the embedded engine");
                return refuse(line[..at].chars().count(), what);
            }
        }
        // A rule begins where a line does; what is indented or closes a bracket belongs to the rule before.
        if line.starts_with(|c: char| c.is_alphabetic()) && depth == 0 {
            operators = 0;
        }
        let mut reference = 0_usize;
        for (column, c) in line.chars().enumerate() {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                '+' | '-' | '*' | '/' | '%' | '|' | '&' | '=' | '<' | '>' => operators += 1,
                _ => {}
            }
            reference = match c {
                '.' | '[' => reference + 1,
                c if c.is_alphanumeric() || matches!(c, '_' | ']' | '"') => reference,
                _ => 0,
            };
            if depth > MAX_DEPTH {
                return refuse(column, format!("brackets nest deeper than {MAX_DEPTH}"));
            }
            if operators > MAX_OPERATORS {
                return refuse(column, format!("a rule has more than {MAX_OPERATORS} operators; divide it"));
            }
            if reference > MAX_REFERENCE {
                return refuse(column, format!("a reference has more than {MAX_REFERENCE} parts"));
            }
        }
    }
    Ok(())
}

/// The text with what stands in strings and comments blanked, in its lines and columns.
fn code_only(text: &str) -> String {
    enum Inside {
        Code,
        Comment,
        String,
        Raw,
    }
    let (mut inside, mut escaped) = (Inside::Code, false);
    let mut blank = |c: char| {
        let (shown, next) = match (&inside, c) {
            (Inside::Code, '#') => (' ', Inside::Comment),
            (Inside::Code, '"') => ('"', Inside::String),
            (Inside::Code, '`') => ('"', Inside::Raw),
            (Inside::Code, c) => (c, Inside::Code),
            // A comment and an ordinary string end with their line.
            (Inside::Comment | Inside::String, '\n') => ('\n', Inside::Code),
            (Inside::String, '"') if !escaped => ('"', Inside::Code),
            (Inside::Raw, '`') => ('"', Inside::Code),
            (Inside::Raw, '\n') => ('\n', Inside::Raw),
            (Inside::Comment, _) => (' ', Inside::Comment),
            (Inside::String, _) => (' ', Inside::String),
            (Inside::Raw, _) => (' ', Inside::Raw),
        };
        escaped = matches!(next, Inside::String) && c == '\\' && !escaped;
        inside = next;
        shown
    };
    text.chars().map(&mut blank).collect()
}

/// Refuses a text of another package, which would never be asked.
pub(crate) fn check_package(question: Question, found: &[String]) -> Result<(), CompileError> {
    let wanted = format!("data.{}", question.package());
    if found.iter().any(|package| package == &wanted || package == question.package()) {
        return Ok(());
    }
    let found = found.first().map_or("none", |p| p.trim_start_matches("data."));
    Err(CompileError {
        line: 1,
        column: 1,
        what: format!("the package must be `{}`, not `{found}`", question.package()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_would_not_survive_is_refused() {
        for (bad, what) in [
            (format!("x := {}1{}", "[".repeat(99), "]".repeat(99)), "nest deeper"),
            (format!("x := {{\n{}1\n}}", "  1 +\n".repeat(300)), "operators"),
            (format!("x := input{}", ".a".repeat(99)), "parts"),
            ("x := http.send({})".to_owned(), "not available"),
        ] {
            assert!(lint(&bad).is_err_and(|e| e.what.contains(what)), "{what}");
        }
    }

    #[test]
    fn strings_and_comments_are_no_code() {
        let fine = "x := \"http.send( [[ \\\" [\" # http.send(\ny := `io.jwt.\n[[`\nz := my_http.send(1)\n";
        assert_eq!(lint(fine), Ok(()));
        assert_eq!(code_only("a \"b\\\"c\" `d\ne` f # g\nh"), "a \"    \" \" \n \" f    \nh");
    }
}
