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

/// Refuses functions that would silently have no value.
pub(crate) fn lint(text: &str) -> Result<(), CompileError> {
    for (row, line) in text.lines().enumerate() {
        let code = line.split_once('#').map_or(line, |(code, _)| code);
        for name in LACKING {
            let Some(at) = code.find(name) else { continue };
            let inside =
                code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.' || c == '"');
            if !inside {
                let place = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
                let what = format!("`{name}` is not available in the embedded engine");
                return Err(CompileError {
                    line: place(row),
                    column: place(code[..at].chars().count()),
                    what,
                });
            }
        }
    }
    Ok(())
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
