//! `tappass mcp`: MCP servers that agents reach through the gateway, and the definitions of their tools.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    args::Format,
    client::Client,
    error::{CliError, Exit},
    output::{
        Out,
        style::{GREEN, RED, RESET, YELLOW},
    },
    prompt, safe,
    table::{Table, cell},
};

/// Where servers are configured.
const SERVERS: [&str; 3] = ["admin", "mcp", "servers"];

/// MCP servers that agents reach through the gateway
#[derive(Debug, Subcommand)]
pub enum Mcp {
    /// All servers
    List(Format),
    /// Add a server; agents reach it at /mcp/NAME
    Add {
        /// Its name in the path: a-z, 0-9, ., _ and -
        name: String,
        /// Where it speaks MCP over Streamable HTTP (https://mcp.example.com/mcp)
        url: String,
        /// What is set.
        #[command(flatten)]
        set: What,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// One server, with its tools and what has changed in their definitions
    Show {
        /// Its name
        name: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Change what is set for a server; the next message honours it
    Set {
        /// Its name
        name: String,
        /// Where it speaks MCP over Streamable HTTP
        #[arg(long)]
        url: Option<String>,
        /// Let agents reach it again
        #[arg(long, conflicts_with = "disable")]
        enable: bool,
        /// Let nobody reach it
        #[arg(long)]
        disable: bool,
        /// Show it no credential any more
        #[arg(long, conflicts_with_all = ["bearer", "header"])]
        no_credential: bool,
        /// What is set.
        #[command(flatten)]
        set: What,
    },
    /// Approve the changed definition of a tool: it leaves quarantine
    Approve {
        /// The server's name
        name: String,
        /// The tool's name
        tool: String,
        /// The definition that was read, by its SHA-256; it is not asked then
        #[arg(long, value_name = "SHA256")]
        hash: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Remove a server and what is known of its tools
    Remove {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// What is set for a server.
#[derive(Debug, Args)]
pub struct What {
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Agents that may reach it, by id or glob; several times [default: all]
    #[arg(long = "agent", value_name = "GLOB")]
    agents: Vec<String>,
    /// Tools that may be used, by name or glob; several times [default: all]
    #[arg(long = "allow", value_name = "GLOB")]
    allow: Vec<String>,
    /// Tools that may never be used, by name or glob; several times
    #[arg(long = "deny", value_name = "GLOB")]
    deny: Vec<String>,
    /// How long it may take to answer [default: 120]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Show it a bearer token: asked for, or read from stdin
    #[arg(long)]
    bearer: bool,
    /// Show it a credential in this header: asked for, or read from stdin
    #[arg(long, value_name = "NAME", conflicts_with = "bearer")]
    header: Option<String>,
}

impl What {
    /// The members of a request. Globs that are given replace the list.
    fn body(self) -> anyhow::Result<Map<String, Value>> {
        let mut body = Map::new();
        if let Some(description) = self.description {
            body.insert("description".into(), description.into());
        }
        if !self.agents.is_empty() {
            body.insert("agents".into(), json!(self.agents));
        }
        if !self.allow.is_empty() || !self.deny.is_empty() {
            body.insert("tools".into(), json!({"allow": self.allow, "deny": self.deny}));
        }
        if let Some(seconds) = self.timeout {
            body.insert("timeout_seconds".into(), seconds.into());
        }
        if self.bearer {
            let token = prompt::secret("The server's bearer token", false)?;
            body.insert("credential".into(), json!({"bearer": token}));
        }
        if let Some(name) = self.header {
            let value = prompt::secret(&format!("The value of {name}"), false)?;
            body.insert("credential".into(), json!({"header": {"name": name, "value": value}}));
        }
        Ok(body)
    }
}

impl Mcp {
    pub(crate) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<Exit> {
        match self {
            Self::List(format) => list(client, format, out).await?,
            Self::Add { name, url, set, format } => {
                let mut body = set.body()?;
                body.insert("name".into(), name.into());
                body.insert("url".into(), url.into());
                let server = client.post(&SERVERS, &Value::Object(body)).await?;
                if format.json {
                    out.json(&server)?;
                } else {
                    out.note("agents reach it, each with its own key, at:");
                    out.line(&safe::text(&cell(&server, "address")))?;
                }
            }
            Self::Show { name, format } => show(client, &name, format, out).await?,
            Self::Set { name, url, enable, disable, no_credential, set } => {
                let mut body = set.body()?;
                if let Some(url) = url {
                    body.insert("url".into(), url.into());
                }
                if enable || disable {
                    body.insert("enabled".into(), enable.into());
                }
                if no_credential {
                    body.insert("credential".into(), Value::Null);
                }
                if body.is_empty() {
                    return Err(CliError::usage("nothing is to be changed")
                        .mend("say what: `tappass mcp set --help` lists it")
                        .into());
                }
                client.call(Method::PATCH, &at(&name, &[]), &[], Some(&Value::Object(body))).await?;
                out.note(&format!("{} is changed; the next message honours it", safe::text(&name)));
            }
            Self::Approve { name, tool, hash, yes } => approve(client, &name, &tool, hash, yes, out).await?,
            Self::Remove { name, yes } => {
                let shown = safe::text(&name);
                if !yes {
                    prompt::confirm(&format!("Remove {shown} and what is known of its tools?"), "--yes")?;
                }
                client.call(Method::DELETE, &at(&name, &[]), &[], None).await?;
                out.note(&format!("{shown} is removed"));
            }
        }
        Ok(Exit::Done)
    }
}

fn at<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    SERVERS.iter().copied().chain([name]).chain(more.iter().copied()).collect()
}

async fn list(client: &Client, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let servers = client.list(&SERVERS, &[]).await?;
    if format.json {
        return Ok(out.json(&Value::Array(servers))?);
    }
    let mut table = Table::new(["name", "url", "agents", "enabled", "description"]).spare(&[4, 1]);
    for server in &servers {
        table.row([
            cell(server, "name"),
            cell(server, "url"),
            globs(&server["agents"], "nobody"),
            if server["enabled"] == true { "yes" } else { "no" }.to_owned(),
            cell(server, "description"),
        ]);
    }
    Ok(out.table(&table, "no MCP servers yet; `tappass mcp add NAME URL` adds one")?)
}

fn globs(list: &Value, none: &str) -> String {
    let names: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}

async fn show(client: &Client, name: &str, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let mut server = client.get(&at(name, &[]), &[]).await?;
    let tools = client.list(&at(name, &["tools"]), &[]).await?;
    if format.json {
        server["known_tools"] = Value::Array(tools);
        return Ok(out.json(&server)?);
    }
    let mut table = Table::new(["field", "value"]);
    for field in
        ["name", "description", "url", "address", "enabled", "timeout_seconds", "credential", "updated_at"]
    {
        if !server[field].is_null() && server[field] != "" {
            table.row([field.to_owned(), cell(&server, field)]);
        }
    }
    table.row(["agents".to_owned(), globs(&server["agents"], "nobody")]);
    table.row(["allowed tools".to_owned(), globs(&server["tools"]["allow"], "all")]);
    table.row(["denied tools".to_owned(), globs(&server["tools"]["deny"], "none")]);
    out.table(&table, "nothing is known about it")?;
    out.line("")?;
    let mut table = Table::new(["tool", "state", "since", "sha256"]).spare(&[3]);
    for tool in &tools {
        table.row(["tool", "state", "pinned_at", "hash"].map(|field| cell(tool, field)));
    }
    out.table(&table, "none of its tools has been seen yet")?;
    for tool in tools.iter().filter(|tool| !tool["changed"].is_null()) {
        out.line("")?;
        differences(tool, out)?;
        let (name, tool) = (safe::text(name), safe::text(&cell(tool, "tool")));
        out.note(&format!("`tappass mcp approve {name} {tool}` takes it out of quarantine"));
    }
    Ok(())
}

/// What has changed in a tool's definition, line by line.
fn differences(tool: &Value, out: &mut Out) -> anyhow::Result<()> {
    let changed = &tool["changed"];
    out.line(&format!(
        "{YELLOW}~ {}{RESET}  (now sha256 {})",
        safe::text(&cell(tool, "tool")),
        cell(changed, "hash")
    ))?;
    for difference in changed["differences"].as_array().into_iter().flatten() {
        out.line(&format!("    {}", safe::text(&cell(difference, "at"))))?;
        let text =
            |value: &Value| safe::text(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        for (sign, colour, side) in [('-', RED, "was"), ('+', GREEN, "now")] {
            if !difference[side].is_null() {
                out.line(&format!("    {colour}{sign} {}{RESET}", text(&difference[side])))?;
            }
        }
    }
    Ok(())
}

async fn approve(
    client: &Client,
    name: &str,
    tool: &str,
    hash: Option<String>,
    yes: bool,
    out: &mut Out,
) -> anyhow::Result<()> {
    let hash = match hash {
        Some(hash) => hash,
        None => {
            let tools = client.list(&at(name, &["tools"]), &[]).await?;
            let known = tools.iter().find(|known| known["tool"] == *tool);
            let Some(known) = known.filter(|known| !known["changed"].is_null()) else {
                return Err(CliError::failed(format!("{} is not in quarantine", safe::text(tool))).into());
            };
            differences(known, out)?;
            if !yes {
                prompt::confirm("Approve this definition?", "--yes")?;
            }
            cell(&known["changed"], "hash")
        }
    };
    client.post(&at(name, &["definitions", &hash, "approve"]), &json!({})).await?;
    out.note(&format!("{} is out of quarantine", safe::text(tool)));
    Ok(())
}
