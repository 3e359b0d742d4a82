//! `tappass keys`: the keys that sign capability tokens.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::{
    args::Format,
    client::Client,
    error::Exit,
    output::Out,
    prompt, safe,
    table::{Table, cell},
};

/// Where they are.
const KEYS: [&str; 2] = ["admin", "token-keys"];

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Purpose {
    /// Signs capability tokens
    Token,
}

/// The keys that sign capability tokens
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// All keys that are published
    List(Format),
    /// Make a key that is published now and signs from the next rotation on
    Generate {
        /// What it is for
        #[arg(long)]
        purpose: Purpose,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Let the key that waits, or a new one, sign; the one before stays published until its last token is over
    Rotate {
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
}

impl Keys {
    pub(crate) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<Exit> {
        match self {
            Self::List(format) => {
                let keys = client.list(&KEYS, &[]).await?;
                if format.json {
                    out.json(&Value::Array(keys))?;
                    return Ok(Exit::Done);
                }
                let mut table = Table::new(["key id", "state", "created", "signs from", "retired"]);
                for key in &keys {
                    let fields = ["key_id", "state", "created_at", "signs_from", "retired_at"];
                    table.row(fields.map(|field| cell(key, field)));
                }
                out.table(&table, "no key yet; the first token makes one")?;
            }
            Self::Generate { purpose: Purpose::Token, format } => {
                let key = client.post(&KEYS, &json!({})).await?;
                told(&key, "is published, and signs after `tappass keys rotate`", format, out)?;
            }
            Self::Rotate { yes, format } => {
                if !yes {
                    prompt::confirm("Sign capability tokens with another key from now on?", "--yes")?;
                }
                let key = client.post(&["admin", "token-keys", "rotate"], &json!({})).await?;
                told(&key, "signs from now on", format, out)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn told(key: &Value, what: &str, format: Format, out: &mut Out) -> anyhow::Result<()> {
    if format.json {
        return Ok(out.json(key)?);
    }
    out.note(&format!("key {} {what}", safe::text(&cell(key, "key_id"))));
    Ok(())
}
