//! `tappass run`: a program whose model calls go through the gateway, without a change to it.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process};

use clap::Args;

use super::find;
use crate::{
    args::Target,
    error::{CliError, Exit},
};

/// Run a program with its model calls going through the gateway
#[derive(Debug, Args)]
#[command(
    after_help = "The program finds OPENAI_BASE_URL, OPENAI_API_KEY, ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY and \
    TAPPASS_URL set. The agent's key is taken from TAPPASS_API_KEY."
)]
pub struct Run {
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Run {
    /// Becomes the program: returns only when that fails.
    pub(crate) fn run(self, target: &Target) -> anyhow::Result<Exit> {
        let key = super::chat::agent_key()?;
        let settings = find(target)?;
        let url = settings.url.as_str().trim_end_matches('/');
        let [program, arguments @ ..] = self.command.as_slice() else {
            return Err(CliError::usage("which program?").into());
        };
        let error = process::Command::new(program)
            .args(arguments)
            .env("OPENAI_BASE_URL", format!("{url}/v1"))
            .env("OPENAI_API_KEY", &key)
            .env("ANTHROPIC_BASE_URL", url)
            .env("ANTHROPIC_API_KEY", &key)
            // It would be sent beside the key, and two that differ are refused.
            .env_remove("ANTHROPIC_AUTH_TOKEN")
            .env("TAPPASS_URL", url)
            .exec();
        Err(CliError::usage(format!("cannot run {}: {error}", program.to_string_lossy())).into())
    }
}
