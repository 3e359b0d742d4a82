//! What went wrong: what, where, what to do; and the exit code a script can branch on.

use std::{io, process::ExitCode};

use crate::{output::Out, safe};

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// Wrong usage or input.
    Usage = 2,
    /// Findings or differences.
    Findings = 3,
    /// Not signed in, or not allowed.
    Denied = 4,
    /// The server, or what it needs, cannot be reached.
    Unreachable = 5,
    /// The audit log is not intact.
    Integrity = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with its exit code and what mends it. Any other error ends with [`Exit::Failed`].
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct CliError {
    /// The exit code.
    pub exit: Exit,
    /// What was wrong, and where.
    pub what: String,
    /// What to do about it.
    pub mend: Option<String>,
    /// The server's code, where it was the server that said no.
    pub code: Option<String>,
}

impl CliError {
    /// With this exit code.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), mend: None, code: None }
    }

    /// It failed.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what)
    }

    /// What was typed, or read, is wrong.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// With what to do about it.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }
}

/// Prints an error to stderr and gives the exit code. A reader that has seen enough (`tappass logs | head`) is
/// no error. Lines are kept, for a file's excerpt; a server's sentences were put on one line where they came in.
pub fn report(result: anyhow::Result<Exit>, out: &mut Out) -> Exit {
    let error = match result {
        Ok(exit) => return exit,
        Err(error) => error,
    };
    if error
        .chain()
        .any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
    {
        return Exit::Done;
    }
    let known = error.downcast_ref::<CliError>();
    out.error(&safe::lines(&format!("{error:#}")));
    if let Some(mend) = known.and_then(|e| e.mend.as_deref()) {
        out.mend(&safe::text(mend));
    }
    known.map_or(Exit::Failed, |e| e.exit)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn what_where_and_what_to_do_are_told() {
        let (mut out, printed) = Out::captured();
        let error = CliError::new(Exit::Denied, "not allowed\u{1b}[2J").mend("run `tappass login`");
        assert_eq!(report(Err(error).context("listing agents"), &mut out), Exit::Denied);
        assert_eq!(
            printed.stderr(),
            "error: listing agents: not allowed\\u{1b}[2J\n  → run `tappass login`\n"
        );
        assert_eq!(printed.stdout(), "");
    }

    #[test]
    fn anything_else_failed_and_a_closed_pipe_did_not() {
        let (mut out, printed) = Out::captured();
        assert_eq!(report(Err(anyhow::anyhow!("disk full")), &mut out), Exit::Failed);
        assert_eq!(printed.stderr(), "error: disk full\n");
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(report(Err(closed).context("writing"), &mut out), Exit::Done);
    }
}
