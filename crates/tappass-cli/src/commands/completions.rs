//! `tappass completions`: what the shell needs to complete commands.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{args::Cli, error::Exit, output::Out};

/// Write the shell's completion script to stdout
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "tappass", &mut script);
        out.piece(&String::from_utf8(script)?)?;
        Ok(Exit::Done)
    }
}
