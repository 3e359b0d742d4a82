//! The commands of the terminal: one file a verb, over the HTTP contract.
//!
//! A command's way: [`args`] says what was typed, [`settings`] which server is meant and who asks, [`client`]
//! talks to it, [`output`] shows what came back, [`error`] says what went wrong and which exit code that is.
//! Text that comes from a server is data: it reaches the terminal through [`safe`] only.

pub mod args;
pub mod client;
pub mod commands;
mod demo;
pub mod dotenv;
pub mod error;
pub mod help;
pub mod lockfile;
pub mod output;
pub mod prompt;
pub mod safe;
pub mod settings;
pub mod since;
pub mod sse;
pub mod table;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, FromArgMatches};

pub use args::Cli;
pub use error::{CliError, Exit};
use output::Out;

/// What was typed, or the exit code with which to stop: help and version were printed, or it was misspelt.
///
/// # Errors
/// The exit code.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    let parsed =
        help::grouped(Cli::command()).try_get_matches_from(args).and_then(|m| Cli::from_arg_matches(&m));
    parsed.map_err(|e| {
        // Where even that cannot be printed, the exit code still tells.
        let _ = e.print();
        if e.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
    })
}

/// Does what was typed, prints the error if there is one.
pub async fn run(cli: Cli) -> ExitCode {
    let mut out = Out::terminal();
    let result = commands::dispatch(cli, &mut out).await;
    error::report(result, &mut out).into()
}
