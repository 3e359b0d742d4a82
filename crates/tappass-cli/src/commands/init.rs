//! `tappass init`: from nothing to a first agent: signed in, an organisation, an agent with its preset, and a `.env` for
//! its program. Run again it finds what is there and adds what is missing.

use std::path::PathBuf;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use tappass_identity::SessionToken;

use super::{agents::slug, browser, find, login};
use crate::{
    args::Target,
    client::Client,
    dotenv::Dotenv,
    error::{CliError, Exit},
    output::Out,
    prompt, safe,
    settings::{Settings, Token, is_loopback},
    table::cell,
};

/// Sign in, make the first agent, and write its .env
#[derive(Debug, Args)]
pub struct Init {
    /// The preset or the industry's pack that governs the agent [default: asked; with --defaults: starter]
    #[arg(long, value_name = "P")]
    preset: Option<String>,
    /// Ask nothing. Without --email, on this machine, an account of its own is made
    #[arg(long)]
    defaults: bool,
    /// Your e-mail address; the password is asked, or read from stdin
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// The organisation's name, for a new account [default: what follows the @ of the address]
    #[arg(long = "org-name", value_name = "NAME")]
    org_name: Option<String>,
    /// The agent's id [default: the one in the .env, else made from the directory's name]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = ".env")]
    env_file: PathBuf,
}

/// Where a company starts, by what it does.
const INDUSTRIES: [(&str, &str); 7] = [
    ("Financial services", "finance"),
    ("Healthcare", "healthcare"),
    ("Legal", "legal"),
    ("Government", "government"),
    ("Software as a service", "saas"),
    ("Consulting", "consulting"),
    ("A start-up", "startup"),
];
/// Where it may start too.
const PRESETS: [(&str, &str); 3] = [
    ("Something else: the few steps that hurt nobody", "starter"),
    ("Something else: what most companies need", "standard"),
    ("Something else: everything, for regulated work", "regulated"),
];

impl Init {
    pub(crate) async fn run(self, target: &Target, out: &mut Out) -> anyhow::Result<Exit> {
        if !self.defaults && !prompt::is_terminal() {
            return Err(CliError::usage("nobody is there to answer")
                .mend("say --defaults; --email ADDRESS and the password on stdin sign you in")
                .into());
        }
        let mut file = Dotenv::read(&self.env_file)?;
        let client = self.signed_in(target, out).await?;
        let url = client.settings().url.as_str().trim_end_matches('/').to_owned();
        // An agent of another server is none of ours.
        let here = file.get("TAPPASS_URL").is_none_or(|said| said.trim_end_matches('/') == url);
        let kept = |name: &str| file.get(name).filter(|_| here).map(str::to_owned);
        let (kept_agent, kept_key) = (kept("TAPPASS_AGENT_ID"), kept("TAPPASS_API_KEY"));
        let agent = self.agent_id(kept_agent.clone())?;
        let new_key = self.agent(&client, &agent, out).await?;
        let key = match new_key {
            Some(key) => key,
            None => match kept_key.filter(|_| kept_agent.as_deref() == Some(&agent)) {
                Some(key) if works(&client, &key).await? => key,
                _ => {
                    let made = client.post(&["agents", &agent, "keys"], &json!({})).await?;
                    out.note(&format!("a new key was made for {}", safe::text(&agent)));
                    cell(&made, "api_key")
                }
            },
        };
        let wanted = [("TAPPASS_URL", url.as_str()), ("TAPPASS_API_KEY", &key), ("TAPPASS_AGENT_ID", &agent)];
        let shown = self.env_file.display();
        if wanted.iter().all(|(name, value)| file.get(name) == Some(value)) {
            out.note(&format!("{shown} is as it should be"));
        } else {
            file.set(&wanted)?;
            out.note(&format!(
                "{shown} has TAPPASS_URL, TAPPASS_API_KEY and TAPPASS_AGENT_ID; it belongs in no repository"
            ));
        }
        out.line("Next:")?;
        out.line(
            "  tappass run CMD…        a program of yours with its model calls going through the gateway",
        )?;
        out.line("  tappass logs -f         what is called, as it happens")?;
        out.line(&format!("  tappass gov enforce {}   once you have seen a week of it", safe::text(&agent)))?;
        Ok(Exit::Done)
    }

    /// A client that may govern: as it is signed in already, else after signing in.
    async fn signed_in(&self, target: &Target, out: &mut Out) -> anyhow::Result<Client> {
        let settings = find(target)?;
        if settings.token.is_some() {
            let client = Client::new(settings.clone())?;
            match client.get(&["agents"], &[("limit", "1".to_owned())]).await {
                Ok(_) => {
                    for note in &settings.notes {
                        out.note(note);
                    }
                    let me = client.get(&["auth", "me"], &[]).await?;
                    let who = me.pointer("/user/email").and_then(Value::as_str).unwrap_or("the admin key");
                    out.note(&format!("signed in to {} as {}", settings.url, safe::text(who)));
                    return Ok(client);
                }
                // Nobody, somebody else, or an admin where there is no organisation yet.
                Err(e)
                    if matches!(e.exit, Exit::Denied | Exit::Usage)
                        || e.code.as_deref() == Some("no_organisation") => {}
                Err(e) => return Err(e.into()),
            }
        }
        let client = Client::new(Settings { token: None, ..settings })?;
        let answer =
            if self.defaults { self.enter(&client, out).await? } else { self.ask(&client, out).await? };
        login::keep(&client, &answer, out)?;
        let token = answer.pointer("/session/token").and_then(Value::as_str).unwrap_or_default().to_owned();
        let token = Some(Token { secret: token, origin: "this sign-in".to_owned() });
        Client::new(Settings { token, ..client.settings().clone() })
    }

    /// Without asking: the account of `--email`, made if there is none; on this machine without it, one of its own.
    async fn enter(&self, client: &Client, out: &mut Out) -> anyhow::Result<Value> {
        if let Some(email) = &self.email {
            if prompt::is_terminal() {
                return Err(CliError::usage("--defaults asks nothing, not even a password")
                    .mend("give the password on stdin, or leave --defaults away")
                    .into());
            }
            let password = prompt::secret("Password", false)?;
            return match login::sign_up(client, email, &password, self.org_name.as_deref()).await {
                Err(e) if e.code.as_deref() == Some("email_taken") => {
                    login::sign_in(client, email, &password).await
                }
                other => Ok(other?),
            };
        }
        if !is_loopback(&client.settings().url) {
            return Err(CliError::usage(format!("{} asks who you are", client.settings().url))
                .mend("give --email ADDRESS, and the password on stdin")
                .into());
        }
        let (email, password) = ("admin@localhost", SessionToken::generate());
        let org = self.org_name.as_deref().unwrap_or("Default");
        let answer = login::sign_up(client, email, password.expose(), Some(org)).await.map_err(|e| {
            if e.code.as_deref() == Some("email_taken") {
                CliError::new(
                    Exit::Denied,
                    "there is an account on this machine, and nobody is signed in to it",
                )
                .mend("sign in with `tappass login`, or give --email and the password on stdin")
            } else {
                e
            }
        })?;
        out.note(&format!("an account was made: {email}; its password, shown this once:"));
        out.line(password.expose())?;
        Ok(answer)
    }

    async fn ask(&self, client: &Client, out: &mut Out) -> anyhow::Result<Value> {
        let (old, new) = ("I have an account", "Make an account and an organisation");
        let issuers = browser::issuers(client).await?;
        let ways = [new.to_owned(), old.to_owned()].into_iter();
        let ways = ways.chain(issuers.iter().map(browser::Issuer::offer)).collect();
        let question = format!("You are not signed in to {}", client.settings().url);
        let chosen = prompt::choose(&question, ways)?;
        if let Some(issuer) = issuers.iter().find(|issuer| issuer.offer() == chosen) {
            let org = self.org_name.clone();
            let org =
                org.map_or_else(|| prompt::line_or("Organisation, if you are new here", "Default"), Ok)?;
            return browser::sign_in(client, &issuer.id, Some(&org), out).await;
        }
        let email = self.email.clone().map_or_else(|| prompt::line("E-mail", "--email ADDRESS"), Ok)?;
        let password = prompt::secret("Password", chosen == new)?;
        if chosen == old {
            return login::sign_in(client, &email, &password).await;
        }
        let domain = email.rsplit('@').next().unwrap_or(&email).to_owned();
        let org = self.org_name.clone().map_or_else(|| prompt::line_or("Organisation", &domain), Ok)?;
        Ok(login::sign_up(client, &email, &password, Some(&org)).await?)
    }

    fn agent_id(&self, kept: Option<String>) -> anyhow::Result<String> {
        if let Some(id) = self.agent.clone().or(kept) {
            return Ok(id);
        }
        let dir = std::env::current_dir().ok();
        let dir = dir.as_deref().and_then(|dir| dir.file_name()).map(|name| slug(&name.to_string_lossy()));
        let made = dir.filter(|id| !id.is_empty()).unwrap_or_else(|| "first-agent".to_owned());
        if self.defaults { Ok(made) } else { prompt::line_or("The agent's id", &made) }
    }

    /// Sees to it that there is the agent, with the preset that was asked for; its key if it is new.
    async fn agent(&self, client: &Client, id: &str, out: &mut Out) -> anyhow::Result<Option<String>> {
        let shown = safe::text(id);
        match client.get(&["agents", id], &[]).await {
            Ok(agent) => {
                let has = cell(&agent, "pipeline");
                match &self.preset {
                    Some(preset) if *preset != has => {
                        let body = json!({"pipeline": preset});
                        client.call(Method::PUT, &["agents", id, "pipeline"], &[], Some(&body)).await?;
                        out.note(&format!(
                            "{shown} was there; its pipeline is {} now, it was {}",
                            safe::text(preset),
                            safe::text(&has)
                        ));
                    }
                    _ => out.note(&format!("{shown} is there: pipeline {}", safe::text(&has))),
                }
                Ok(None)
            }
            Err(e) if e.code.as_deref() == Some("not_found") => {
                let preset = self.preset()?;
                let body = json!({"agent_id": id, "preset": preset});
                let made = client.post(&["agents", "register"], &body).await?;
                let (pipeline, mode) = (cell(&made, "pipeline"), cell(&made, "mode"));
                out.note(&format!(
                    "{shown} is registered: pipeline {}, mode {}",
                    safe::text(&pipeline),
                    safe::text(&mode)
                ));
                Ok(Some(cell(&made, "api_key")))
            }
            Err(e) => Err(e.into()),
        }
    }

    fn preset(&self) -> anyhow::Result<String> {
        if let Some(preset) = &self.preset {
            return Ok(preset.clone());
        }
        if self.defaults {
            return Ok("starter".to_owned());
        }
        let all: Vec<_> = INDUSTRIES.iter().chain(&PRESETS).collect();
        let lines = all.iter().map(|(what, name)| format!("{what} ({name})")).collect();
        let chosen = prompt::choose("What does the company do?", lines)?;
        let found = all.iter().find(|(what, name)| chosen == format!("{what} ({name})"));
        Ok(found.map_or("starter", |(_, name)| name).to_owned())
    }
}

/// Whether a key opens the model routes.
async fn works(client: &Client, key: &str) -> anyhow::Result<bool> {
    let token = Some(Token { secret: key.to_owned(), origin: "the .env file".to_owned() });
    let agent = Client::new(Settings { token, ..client.settings().clone() })?;
    match agent.get(&["v1", "models"], &[]).await {
        Ok(_) => Ok(true),
        Err(e) if e.exit == Exit::Denied => Ok(false),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_that_is_offered_is_there() {
        for (what, name) in INDUSTRIES.iter().chain(&PRESETS) {
            assert!(tappass_pipeline::compile_preset(name).is_ok(), "{what}: {name}");
        }
    }
}
