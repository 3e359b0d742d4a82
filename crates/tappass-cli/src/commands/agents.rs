//! `tappass agents`: who may call, and with which keys.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::Format,
    client::Client,
    error::{CliError, Exit},
    output::Out,
    prompt, safe,
    table::{Table, cell},
};

/// Agents, their state and their keys
#[derive(Debug, Subcommand)]
pub enum Agents {
    /// Register an agent; its key is printed once
    Add(Add),
    /// All agents
    List(Format),
    /// One agent
    Show {
        /// Its id or UUID
        agent: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// What an agent's capability tokens may cover: show it, set it, remove it
    Scope(TokenScope),
    /// Refuse an agent's calls from now on
    Suspend {
        /// Its id or UUID
        agent: String,
    },
    /// Let a suspended agent call again
    Reactivate {
        /// Its id or UUID
        agent: String,
    },
    /// Remove an agent and its keys; its records stay in the audit log
    Remove {
        /// Its id or UUID
        agent: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// An agent's keys: list them, make one, rotate one, revoke one
    Keys(Keys),
}

/// `tappass agents add`
#[derive(Debug, Args)]
pub struct Add {
    /// The agent's id in requests and records: a-z, 0-9, ., _ and - [default: made from --name]
    #[arg(required_unless_present = "name")]
    id: Option<String>,
    /// Its name for people
    #[arg(long)]
    name: Option<String>,
    /// The pipeline that governs it [default: starter]
    #[arg(long, value_name = "PIPELINE")]
    preset: Option<String>,
    /// What it does
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What it is built with: langchain, crewai, …
    #[arg(long)]
    framework: Option<String>,
    /// Who answers for it
    #[arg(long, value_name = "EMAIL")]
    owner: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// `tappass agents keys`
#[derive(Debug, Args)]
pub struct Keys {
    /// The agent's id or UUID
    agent: String,
    /// Make a key; it is printed once
    #[arg(long)]
    new: bool,
    /// Make a developer's key, for their machine: bound to their address, and it ends
    #[arg(long, conflicts_with = "new")]
    developer: bool,
    /// Whose the developer's key is [default: yours]
    #[arg(long, value_name = "EMAIL", requires = "developer")]
    email: Option<String>,
    /// How long the developer's key lasts, in days: 1 to 366 [default: 30]
    #[arg(long, value_name = "DAYS", requires = "developer")]
    days: Option<u64>,
    /// Make a key in place of this one, which goes on for a while
    #[arg(long, value_name = "KEY_ID", conflicts_with_all = ["new", "developer"])]
    rotate: Option<String>,
    /// How long the old key goes on, in seconds [default: 3600]
    #[arg(long, value_name = "SECONDS", requires = "rotate")]
    overlap: Option<u64>,
    /// Revoke this key
    #[arg(long, value_name = "KEY_ID", conflicts_with_all = ["new", "developer", "rotate"])]
    revoke: Option<String>,
    #[command(flatten)]
    format: Format,
}

impl Agents {
    pub(crate) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<Exit> {
        match self {
            Self::Add(add) => add.run(client, out).await?,
            Self::List(format) => list(client, format, out).await?,
            Self::Show { agent, format } => show(client, &agent, format, out).await?,
            Self::Scope(scope) => scope.run(client, out).await?,
            Self::Suspend { agent } => {
                client.post(&["agents", &agent, "suspend"], &json!({})).await?;
                out.note(&format!(
                    "{0} is suspended; `tappass agents reactivate {0}` lets it call again",
                    safe::text(&agent)
                ));
            }
            Self::Reactivate { agent } => {
                client.post(&["agents", &agent, "reactivate"], &json!({})).await?;
                out.note(&format!("{} may call again", safe::text(&agent)));
            }
            Self::Remove { agent, yes } => {
                let name = safe::text(&agent);
                if !yes {
                    prompt::confirm(&format!("Remove {name} and its keys?"), "--yes")?;
                }
                client.call(Method::DELETE, &["agents", &agent], &[], None).await?;
                out.note(&format!("{name} is removed"));
            }
            Self::Keys(keys) => keys.run(client, out).await?,
        }
        Ok(Exit::Done)
    }
}

/// `tappass agents scope`
#[derive(Debug, Args)]
pub struct TokenScope {
    /// The agent's id or UUID
    agent: String,
    /// The tools, by name or glob, with commas between them; an empty text for none of them
    #[arg(long, value_name = "GLOBS")]
    tools: Option<String>,
    /// The highest level of data: PUBLIC, INTERNAL, CONFIDENTIAL, RESTRICTED or TOP_SECRET
    #[arg(long, value_name = "LEVEL", ignore_case = true)]
    max_level: Option<String>,
    /// Remove the scope: the agent gets tokens only where it asks for them
    #[arg(long, conflicts_with_all = ["tools", "max_level"])]
    clear: bool,
    #[command(flatten)]
    format: Format,
}

impl TokenScope {
    async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<()> {
        let path = ["agents", &self.agent, "scope"];
        let agent = if self.clear {
            client.call(Method::DELETE, &path, &[], None).await?
        } else {
            let before = client.get(&["agents", &self.agent], &[]).await?;
            if self.tools.is_none() && self.max_level.is_none() {
                before
            } else {
                // What is not named stays; without a scope before, every tool.
                let had = before.get("scope").cloned().unwrap_or_else(|| json!({"tools": ["*"]}));
                let mut scope = had;
                if let Some(tools) = &self.tools {
                    let globs: Vec<&str> =
                        tools.split(',').map(str::trim).filter(|t| !t.is_empty()).collect();
                    scope["tools"] = json!(globs);
                }
                if let Some(level) = &self.max_level {
                    scope["max_level"] = json!(level.to_ascii_uppercase());
                }
                client.call(Method::PUT, &path, &[], Some(&scope)).await?
            }
        };
        let scope = agent.get("scope").cloned().unwrap_or(Value::Null);
        if self.format.json {
            return Ok(out.json(&scope)?);
        }
        let name = safe::text(&cell(&agent, "agent_id"));
        if scope.is_null() {
            out.note(&format!(
                "{name} has no scope: its calls get a capability token only where they ask for one"
            ));
            return Ok(());
        }
        let mut table = Table::new(["field", "value"]);
        let globs: Vec<&str> =
            scope["tools"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        table.row(["tools".to_owned(), if globs.is_empty() { "none".to_owned() } else { globs.join(", ") }]);
        table.row(["max level".to_owned(), scope["max_level"].as_str().unwrap_or("any").to_owned()]);
        Ok(out.table(&table, "nothing is set")?)
    }
}

impl Add {
    async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<()> {
        let id = self.id.or_else(|| self.name.as_deref().map(slug)).unwrap_or_default();
        if id.is_empty() {
            return Err(CliError::usage("no id can be made from that name")
                .mend("give one: `tappass agents add ID`")
                .into());
        }
        let mut body = json!({"agent_id": id});
        let given = [
            ("name", self.name),
            ("preset", self.preset),
            ("description", self.description),
            ("framework", self.framework),
            ("owner_email", self.owner),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                body[key] = Value::String(value);
            }
        }
        let agent = client.post(&["agents", "register"], &body).await?;
        if self.format.json {
            return Ok(out.json(&agent)?);
        }
        let (id, pipeline) = (safe::text(&cell(&agent, "agent_id")), safe::text(&cell(&agent, "pipeline")));
        out.note(&format!(
            "{id} is registered: pipeline {pipeline}, mode {}",
            safe::text(&cell(&agent, "mode"))
        ));
        out.note("its key, shown this once (TAPPASS_API_KEY in its environment):");
        Ok(out.line(&safe::text(&cell(&agent, "api_key")))?)
    }
}

async fn list(client: &Client, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let agents = client.list(&["agents"], &[]).await?;
    if format.json {
        return Ok(out.json(&Value::Array(agents))?);
    }
    let mut table = Table::new(["agent", "name", "status", "mode", "floor", "pipeline"]);
    for agent in &agents {
        table
            .row(["agent_id", "name", "status", "mode", "floor", "pipeline"].map(|field| cell(agent, field)));
    }
    Ok(out.table(&table, "no agents yet; `tappass agents add --name NAME` registers one")?)
}

async fn show(client: &Client, agent: &str, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let agent = client.get(&["agents", agent], &[]).await?;
    if format.json {
        return Ok(out.json(&agent)?);
    }
    let mut table = Table::new(["field", "value"]);
    for (field, value) in
        agent.as_object().into_iter().flatten().filter(|(k, v)| !v.is_null() && *v != "" && *k != "keys")
    {
        table.row([field.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
    }
    let in_use = |key: &&Value| key.get("revoked_at").is_none_or(Value::is_null);
    let keys =
        agent.get("keys").and_then(Value::as_array).map_or(0, |keys| keys.iter().filter(in_use).count());
    table.row(["keys in use".to_owned(), keys.to_string()]);
    Ok(out.table(&table, "nothing is known about it")?)
}

impl Keys {
    async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<()> {
        let path = ["agents", &self.agent, "keys"];
        if let Some(key) = self.revoke {
            client.call(Method::DELETE, &["agents", &self.agent, "keys", &key], &[], None).await?;
            out.note(&format!("key {} is revoked", safe::text(&key)));
            return Ok(());
        }
        if let Some(old) = self.rotate {
            let mut body = json!({});
            if let Some(overlap) = self.overlap {
                body["overlap_seconds"] = overlap.into();
            }
            let key = client.post(&["agents", &self.agent, "keys", &old, "rotate"], &body).await?;
            if !self.format.json {
                let ends = safe::text(&cell(&key, "old_key_ends_at"));
                out.note(&format!("key {} goes on until {ends}", safe::text(&old)));
            }
            return shown_once(&key, self.format, out);
        }
        if self.developer {
            let mut body = json!({});
            if let Some(email) = self.email {
                body["email"] = email.into();
            }
            if let Some(days) = self.days {
                body["expires_in_days"] = days.into();
            }
            let key = client.post(&["agents", &self.agent, "developer-keys"], &body).await?;
            return shown_once(&key, self.format, out);
        }
        if self.new {
            let key = client.post(&path, &json!({})).await?;
            return shown_once(&key, self.format, out);
        }
        let mut agent = client.get(&["agents", &self.agent], &[]).await?;
        let keys = agent.get_mut("keys").map(Value::take).unwrap_or_default();
        if self.format.json {
            return Ok(out.json(&keys)?);
        }
        let mut table = Table::new(["key id", "hint", "bound to", "created", "ends", "last used", "revoked"]);
        for key in keys.as_array().into_iter().flatten() {
            table.row(
                ["key_id", "hint", "email", "created_at", "expires_at", "last_used_at", "revoked_at"]
                    .map(|field| cell(key, field)),
            );
        }
        Ok(out.table(&table, "no keys; --new makes one")?)
    }
}

/// Prints a new key.
fn shown_once(key: &Value, format: Format, out: &mut Out) -> anyhow::Result<()> {
    if format.json {
        return Ok(out.json(key)?);
    }
    out.note(&format!("key {}, shown this once:", safe::text(&cell(key, "key_id"))));
    Ok(out.line(&safe::text(&cell(key, "api_key")))?)
}

/// An id from a name: lower case, everything else a dash.
pub(super) fn slug(name: &str) -> String {
    let dashed: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' })
        .collect();
    dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_a_name() {
        assert_eq!(slug("claims-processor"), "claims-processor");
        assert_eq!(slug("  Claims Processor (EU)!"), "claims-processor-eu");
        assert_eq!(slug("審査"), "");
    }
}
