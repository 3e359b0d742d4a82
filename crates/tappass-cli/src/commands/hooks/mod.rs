//! `tappass hooks`: coding agents that ask the gateway before they act.

mod file;
mod install;
mod run;
mod verify;

use std::{
    env,
    path::{Path, PathBuf},
};

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use serde::Deserialize;
use tappass_model::{Clock as _, SystemClock};
use tappass_server::hooks::CodingAgent;

use crate::{
    args::Target,
    client::Client,
    error::{CliError, Exit},
    output::Out,
    settings::{self, Settings, Token},
};

/// What can be done about hooks.
#[derive(Debug, Subcommand)]
pub enum Hooks {
    /// Put the hooks into a coding agent's settings, and keep the key they call with
    #[command(
        after_help = "Installed hooks fail closed: what cannot be asked about does not happen. The settings as \
        they were are kept beside them (`.bak`). The agent's key is taken from TAPPASS_API_KEY, asked for, or read from \
        stdin, and kept with the server's address in ~/.tappass/config.toml."
    )]
    Install(install::Install),
    /// Prove that they work: a canary that must be refused, and a gateway that is away
    #[command(
        after_help = "Runs the installed commands as the agent would. The canary is the shell command \
        `tappass-canary`, which the gateway refuses in every mode and records."
    )]
    Verify(verify::Verify),
    /// Take the hooks out again, and nothing else
    Uninstall(Place),
    /// What the hooks run: an event on stdin, the agent's answer on stdout
    #[command(
        after_help = "Exit code 2 tells the agent no. The gateway's address and the agent's key are taken from \
        TAPPASS_URL and TAPPASS_API_KEY, else from where `tappass hooks install` has kept them; TAPPASS_FLAGS tightens."
    )]
    Run(run::Run),
}

/// Which agent's settings.
#[derive(Debug, Args)]
pub struct Place {
    /// The coding agent
    #[arg(value_parser = agents())]
    agent: CodingAgent,
    /// The user's settings, for all projects, instead of those of the project in this folder
    #[arg(long)]
    user: bool,
}

fn agents() -> impl clap::builder::TypedValueParser<Value = CodingAgent> {
    PossibleValuesParser::new(CodingAgent::ALL.map(CodingAgent::as_str)).map(|name| {
        // The parser has let no other name pass.
        CodingAgent::ALL.into_iter().find(|a| a.as_str() == name).unwrap_or(CodingAgent::ClaudeCode)
    })
}

impl Hooks {
    pub(crate) async fn run(self, target: &Target, out: &mut Out) -> anyhow::Result<Exit> {
        match self {
            Self::Install(install) => install.run(target, out).await,
            Self::Verify(verify) => verify.run(out).await,
            Self::Uninstall(place) => install::uninstall(&place, out),
            Self::Run(run) => Ok(run.run(target, out).await),
        }
    }
}

impl Place {
    /// The agent's settings file.
    fn file(&self) -> anyhow::Result<PathBuf> {
        let home =
            || settings::env("HOME").map(PathBuf::from).ok_or_else(|| CliError::usage("HOME is not set"));
        let dir = if self.user { home()? } else { env::current_dir()? };
        Ok(dir.join(match (self.agent, self.user) {
            (CodingAgent::ClaudeCode, _) => ".claude/settings.json",
            (CodingAgent::Codex, _) => ".codex/hooks.json",
            (CodingAgent::Cursor, _) => ".cursor/hooks.json",
            (CodingAgent::Windsurf, true) => ".codeium/windsurf/hooks.json",
            (CodingAgent::Windsurf, false) => ".windsurf/hooks.json",
        }))
    }

    /// The command that does something here.
    fn command(&self, verb: &str) -> String {
        format!("tappass hooks {verb} {}{}", self.agent.as_str(), if self.user { " --user" } else { "" })
    }
}

/// The `[hooks]` table of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Kept {
    url: Option<String>,
    api_key: Option<String>,
}

fn kept(path: &Path) -> anyhow::Result<Kept> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        hooks: Kept,
    }
    let text = match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Kept::default()),
        text => text?,
    };
    let file = toml::from_str::<File>(&text);
    Ok(file.map_err(|_| CliError::usage(format!("{} is not valid TOML", path.display())))?.hooks)
}

/// The server, and the key that hooks call it with: of the environment, else the one kept for this server and no other.
fn access(target: &Target) -> anyhow::Result<Settings> {
    let path = settings::file(&settings::env);
    let kept = kept(&path)?;
    let mut target = target.clone();
    if target.server.is_none() && settings::env("TAPPASS_URL").is_none() {
        target.server.clone_from(&kept.url);
    }
    let found = Settings::load(&target, &settings::env, SystemClock.now(), |_| Ok(None))?;
    let ours = kept
        .url
        .as_deref()
        .is_some_and(|url| url.trim_end_matches('/') == found.url.as_str().trim_end_matches('/'));
    let token = settings::env("TAPPASS_API_KEY")
        .map(|secret| Token { secret, origin: "the environment variable TAPPASS_API_KEY".to_owned() })
        .or(kept.api_key.filter(|_| ours).map(|secret| Token { secret, origin: path.display().to_string() }));
    Ok(Settings { token, org: None, ..found })
}

/// Sends an event, and gives what the agent's hook is to print.
async fn ask(client: &Client, agent: CodingAgent, event: Vec<u8>) -> Result<serde_json::Value, CliError> {
    let flags = settings::env("TAPPASS_FLAGS");
    let headers: Vec<_> = flags.iter().map(|flags| ("x-tappass-flags", flags.as_str())).collect();
    let query = [("agent", agent.as_str().to_owned())];
    client.post_bytes(&["hooks"], &query, &headers, event).await
}
