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
    /// An agent's keys: list them, make one, revoke one
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
    /// Revoke this key
    #[arg(long, value_name = "KEY_ID", conflicts_with = "new")]
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
        if self.new {
            let key = client.post(&path, &json!({})).await?;
            if self.format.json {
                return Ok(out.json(&key)?);
            }
            out.note(&format!("key {}, shown this once:", safe::text(&cell(&key, "key_id"))));
            return Ok(out.line(&safe::text(&cell(&key, "api_key")))?);
        }
        let mut agent = client.get(&["agents", &self.agent], &[]).await?;
        let keys = agent.get_mut("keys").map(Value::take).unwrap_or_default();
        if self.format.json {
            return Ok(out.json(&keys)?);
        }
        let mut table = Table::new(["key id", "hint", "created", "last used", "revoked"]);
        for key in keys.as_array().into_iter().flatten() {
            table.row(
                ["key_id", "hint", "created_at", "last_used_at", "revoked_at"].map(|field| cell(key, field)),
            );
        }
        Ok(out.table(&table, "no keys; --new makes one")?)
    }
}

/// An id from a name: lower case, everything else a dash.
fn slug(name: &str) -> String {
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
