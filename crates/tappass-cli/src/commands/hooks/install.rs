//! `tappass hooks install` and `uninstall`.

use std::env;

use clap::Args;
use serde_json::json;
use tappass_server::hooks::CodingAgent;

use super::{Place, access, ask, file::File};
use crate::{
    args::Target,
    client::Client,
    error::{CliError, Exit},
    output::Out,
    prompt,
    settings::{self, Token},
};

/// Put the hooks into a coding agent's settings, and keep the key they call with
#[derive(Debug, Args)]
pub struct Install {
    #[command(flatten)]
    place: Place,
    /// Let through what cannot be asked about, instead of refusing it
    #[arg(long)]
    fail_open: bool,
}

impl Install {
    pub(crate) async fn run(self, target: &Target, out: &mut Out) -> anyhow::Result<Exit> {
        let Place { agent, user } = self.place;
        let path = self.place.file()?;
        let mut file = File::read(&path, agent)?;
        let mut settings = access(target)?;
        if settings.token.is_none() {
            let secret = prompt::secret("The agent's key (tp_…)", false)?;
            settings.token = Some(Token { secret, origin: "what was typed".to_owned() });
        }
        let client = Client::new(settings)?;
        // Hooks that cannot ask would refuse all that the agent does: better said now.
        let hello = json!({"hook_event_name": "tappass.install", "agent_action_name": "tappass.install"});
        ask(&client, agent, hello.to_string().into_bytes()).await?;
        let (url, key) =
            (client.settings().url.as_str().trim_end_matches('/'), client.settings().token.as_ref());
        let config = settings::file(&settings::env);
        let key = key.map(|token| token.secret.as_str());
        settings::save(&config, "hooks", &[("url", Some(url)), ("api_key", key)])?;
        file.install(&program()?, if self.fail_open { " --fail-open" } else { "" })?;
        match file.write()? {
            Some(path) => out.note(&format!("the hooks are in {}", path.display())),
            None => out.note(&format!("the hooks were in {} already", file.path().display())),
        }
        if self.fail_open {
            out.warn("they fail open: what cannot be asked about goes through");
        }
        if !user {
            out.note("they name the program of this machine: keep the file out of version control");
        }
        if agent == CodingAgent::Codex {
            out.note("Codex runs them once you have looked at them and trust them: /hooks");
        }
        out.note(&format!("prove that they work with `{}`", self.place.command("verify")));
        Ok(Exit::Done)
    }
}

/// Takes them out.
pub fn uninstall(place: &Place, out: &mut Out) -> anyhow::Result<Exit> {
    let mut file = File::read(&place.file()?, place.agent)?;
    if file.remove()? {
        file.write()?;
        out.note(&format!("the hooks are out of {}", file.path().display()));
    } else {
        out.note(&format!("there are none in {}", file.path().display()));
    }
    Ok(Exit::Done)
}

/// This program, as a shell runs it: by its place, for an agent's PATH may be another.
fn program() -> anyhow::Result<String> {
    let path = env::current_exe()?;
    match path.to_str() {
        Some(path) => Ok(format!("'{}'", path.replace('\'', r"'\''"))),
        None => Err(CliError::failed("the place of this program is no text").into()),
    }
}
