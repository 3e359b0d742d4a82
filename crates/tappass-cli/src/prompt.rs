//! What is asked on a terminal. Where there is none nothing is asked: a script gets an error that says what to
//! give instead.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use anyhow::Context as _;
use inquire::{Confirm, InquireError, Password, PasswordDisplayMode, Select, Text};

use crate::error::{CliError, Exit};

/// Whether someone sits there.
#[must_use]
pub fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Yes or no; `flag` is what says yes beforehand.
///
/// # Errors
/// It was answered no, or nobody is there to answer.
pub fn confirm(question: &str, flag: &str) -> anyhow::Result<()> {
    if !is_terminal() {
        return Err(CliError::usage("nobody is there to confirm this").mend(format!("say {flag}")).into());
    }
    match Confirm::new(question).with_default(false).prompt() {
        Ok(true) => Ok(()),
        Ok(false) => Err(CliError::failed("nothing was changed").into()),
        Err(e) => Err(given_up(e)),
    }
}

/// One of several.
///
/// # Errors
/// The prompt was left.
pub fn choose<T: std::fmt::Display>(question: &str, options: Vec<T>) -> anyhow::Result<T> {
    Select::new(question, options)
        .without_filtering()
        .with_help_message("↑↓ to move, Enter to choose")
        .prompt()
        .map_err(given_up)
}

/// A line that may be seen; without a terminal `flag` should have given it.
///
/// # Errors
/// The prompt was left, or nobody is there.
pub fn line(question: &str, flag: &str) -> anyhow::Result<String> {
    if !is_terminal() {
        return Err(CliError::usage(format!("{question} is missing")).mend(format!("give {flag}")).into());
    }
    Text::new(&format!("{question}:")).prompt().map_err(given_up)
}

/// A line that may be seen, with what it is if only Enter is pressed. Only where somebody sits there.
///
/// # Errors
/// The prompt was left.
pub fn line_or(question: &str, default: &str) -> anyhow::Result<String> {
    Text::new(&format!("{question}:")).with_default(default).prompt().map_err(given_up)
}

/// A secret: asked without showing it, or the first line of stdin.
///
/// # Errors
/// The prompt was left, or stdin is empty.
pub fn secret(question: &str, twice: bool) -> anyhow::Result<String> {
    let given = if is_terminal() {
        let label = format!("{question}:");
        let prompt = Password::new(&label).with_display_mode(PasswordDisplayMode::Masked);
        if twice { prompt } else { prompt.without_confirmation() }.prompt().map_err(given_up)?
    } else {
        let mut first = String::new();
        io::stdin().lock().take(64 * 1024).read_line(&mut first).context("cannot read stdin")?;
        first.trim_end_matches(['\r', '\n']).to_owned()
    };
    if given.is_empty() {
        return Err(CliError::usage(format!("{} is empty", question.to_lowercase()))
            .mend("type it on a terminal, or give it on stdin")
            .into());
    }
    Ok(given)
}

fn given_up(error: InquireError) -> anyhow::Error {
    match error {
        InquireError::OperationCanceled | InquireError::OperationInterrupted => {
            CliError::new(Exit::Failed, "given up, nothing was changed").into()
        }
        other => other.into(),
    }
}
