//! `tappass credentials`: an organisation's own keys, in the vault; and `tappass vault`.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::Format,
    client::Client,
    error::Exit,
    output::Out,
    prompt, safe,
    table::{Table, cell},
};

/// The organisation's own keys of providers, in the vault
#[derive(Debug, Subcommand)]
pub enum Credentials {
    /// All credentials, without their values
    List(Format),
    /// Set a credential: asked for, or read from stdin; its calls use it from the next one on
    Set {
        /// A provider (openai, anthropic, azure, gemini, mistral …), or a name of its own
        name: String,
        /// Where it is instead: vault:NAME, or on the server env:NAME or file:/PATH (platform admins)
        #[arg(long, value_name = "REFERENCE")]
        from: Option<String>,
    },
    /// Ask the provider for its models with the key: whether it is taken
    Test {
        /// The provider
        name: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Remove a credential
    Remove {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// The keys that seal what organisations entrust
#[derive(Debug, Subcommand)]
pub enum Vault {
    /// Make a new data key for the organisation and seal its credentials anew, while calls run
    Rotate {
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
}

impl Credentials {
    pub(crate) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<Exit> {
        match self {
            Self::List(format) => {
                let all = client.list(&["credentials"], &[]).await?;
                if format.json {
                    out.json(&Value::Array(all))?;
                    return Ok(Exit::Done);
                }
                let mut table = Table::new(["name", "kind", "hint", "created", "updated"]);
                for one in &all {
                    table.row(
                        ["name", "kind", "hint", "created_at", "updated_at"].map(|field| cell(one, field)),
                    );
                }
                out.table(&table, "none: calls use the keys of the server's environment")?;
            }
            Self::Set { name, from } => {
                let value = match from {
                    Some(reference) => reference,
                    None => prompt::secret("The key", false)?,
                };
                let body = json!({"value": value});
                let set = client.call(Method::PUT, &["credentials", &name], &[], Some(&body)).await?;
                out.note(&format!("{} is set ({})", safe::text(&name), safe::text(&cell(&set, "hint"))));
            }
            Self::Test { name, format } => {
                let tried = client.post(&["credentials", &name, "test"], &json!({})).await?;
                if format.json {
                    out.json(&tried)?;
                } else {
                    let [state, detail] = ["state", "detail"].map(|field| safe::text(&cell(&tried, field)));
                    out.note(&format!("{}: {state}, {detail}", safe::text(&name)));
                }
                return Ok(match tried["state"].as_str() {
                    Some("ok") => Exit::Done,
                    Some("unreachable") => Exit::Unreachable,
                    _ => Exit::Failed,
                });
            }
            Self::Remove { name, yes } => {
                let shown = safe::text(&name);
                if !yes {
                    prompt::confirm(&format!("Remove the credential {shown}?"), "--yes")?;
                }
                client.call(Method::DELETE, &["credentials", &name], &[], None).await?;
                out.note(&format!("{shown} is removed"));
            }
        }
        Ok(Exit::Done)
    }
}

impl Vault {
    pub(crate) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<Exit> {
        let Self::Rotate { yes, format } = self;
        if !yes {
            prompt::confirm("Make a new data key and seal all credentials anew?", "--yes")?;
        }
        let done = client.post(&["admin", "vault", "rotate"], &json!({})).await?;
        if format.json {
            out.json(&done)?;
        } else {
            let [version, resealed] = ["version", "resealed"].map(|field| safe::text(&cell(&done, field)));
            out.note(&format!("data key {version} seals now; sealed anew: {resealed}"));
        }
        Ok(Exit::Done)
    }
}
