//! `tappass tokens`: one's own personal tokens, for scripts.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::people::Role;
use crate::{
    args::Format,
    client::Client,
    error::Exit,
    output::Out,
    safe,
    table::{Table, cell},
};

/// Your personal tokens: they act for you in scripts, never for more than you may
#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// All of yours in this organisation
    List(Format),
    /// Make one; it is printed once
    New(New),
    /// Revoke one
    Revoke {
        /// Its id, from `tappass tokens list`
        token: String,
    },
}

/// `tappass tokens new`
#[derive(Debug, Args)]
pub struct New {
    /// What it is for
    name: String,
    /// The most it may do [default: what you may]
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// How long it lasts, in days: 1 to 366
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    days: u64,
    #[command(flatten)]
    format: Format,
}

impl Tokens {
    pub(crate) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<Exit> {
        match self {
            Self::List(format) => list(client, format, out).await?,
            Self::New(new) => new.run(client, out).await?,
            Self::Revoke { token } => {
                client.call(Method::DELETE, &["auth", "tokens", &token], &[], None).await?;
                out.note(&format!("token {} is revoked", safe::text(&token)));
            }
        }
        Ok(Exit::Done)
    }
}

impl New {
    async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<()> {
        let mut body = json!({"name": self.name, "expires_in_days": self.days});
        if let Some(role) = self.role {
            body["role"] = Value::String(role.name());
        }
        let made = client.post(&["auth", "tokens"], &body).await?;
        if self.format.json {
            return Ok(out.json(&made)?);
        }
        let (role, until) = (safe::text(&cell(&made, "role")), safe::text(&cell(&made, "expires_at")));
        out.note(&format!("{role} until {until}; shown this once (TAPPASS_TOKEN in a script):"));
        Ok(out.line(&safe::text(&cell(&made, "token")))?)
    }
}

async fn list(client: &Client, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let tokens = client.list(&["auth", "tokens"], &[]).await?;
    if format.json {
        return Ok(out.json(&Value::Array(tokens))?);
    }
    let mut table = Table::new(["name", "role", "hint", "until", "last used", "revoked", "id"]);
    for token in &tokens {
        table.row(
            ["name", "role", "hint", "expires_at", "last_used_at", "revoked_at", "token_id"]
                .map(|field| cell(token, field)),
        );
    }
    Ok(out.table(&table, "no tokens; `tappass tokens new NAME` makes one")?)
}
