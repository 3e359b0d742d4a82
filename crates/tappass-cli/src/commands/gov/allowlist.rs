//! `tappass gov allowlist`: what the organisation never counts as a hit.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::Format,
    client::Client,
    output::Out,
    safe,
    table::{Table, cell},
};

/// What the organisation never counts as a hit
#[derive(Debug, Subcommand)]
pub enum Allowlist {
    /// All entries
    List(Format),
    /// Add an entry; the next call honours it
    Add {
        /// What is no hit ("Anna Router"), or words of which a hit is a part, whatever their case; with --pattern a glob, or /a regular expression/
        text: String,
        /// The text is a pattern
        #[arg(long)]
        pattern: bool,
        /// Only for these kinds (PERSON) or families (pii) [default: all that could be masked]
        #[arg(long = "kind", value_name = "KIND")]
        kinds: Vec<String>,
        /// Why
        #[arg(long)]
        note: Option<String>,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Remove an entry
    Remove {
        /// Its id, or its text
        entry: String,
    },
}

impl Allowlist {
    pub(super) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<()> {
        match self {
            Self::List(format) => {
                let list = client.get(&["allowlist"], &[]).await?;
                if format.json {
                    return Ok(out.json(&list)?);
                }
                let mut table = Table::new(["id", "text or pattern", "kinds", "note"]);
                for entry in items(&list) {
                    let said = [cell(entry, "text"), cell(entry, "pattern")].into_iter().find(|s| s != "-");
                    let kinds: Vec<&str> =
                        entry["kinds"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                    table.row([
                        cell(entry, "id"),
                        said.unwrap_or_default(),
                        kinds.join(", "),
                        cell(entry, "note"),
                    ]);
                }
                out.table(
                    &table,
                    "nothing is on the allowlist; `tappass gov allowlist add TEXT` adds to it",
                )?;
            }
            Self::Add { text, pattern, kinds, note, format } => {
                let mut entry = json!({"kinds": kinds});
                entry[if pattern { "pattern" } else { "text" }] = text.into();
                if let Some(note) = note {
                    entry["note"] = note.into();
                }
                let added = client.post(&["allowlist"], &entry).await?;
                if format.json {
                    return Ok(out.json(&added)?);
                }
                out.note(&format!("added as {}; the next call honours it", safe::text(&cell(&added, "id"))));
            }
            Self::Remove { entry } => {
                let list = client.get(&["allowlist"], &[]).await?;
                let of_text = |e: &&Value| e["text"] == *entry || e["pattern"] == *entry;
                let id = items(&list).find(of_text).map_or_else(|| entry.clone(), |e| cell(e, "id"));
                client.call(Method::DELETE, &["allowlist", &id], &[], None).await?;
                out.note(&format!("{} is off the allowlist", safe::text(&entry)));
            }
        }
        Ok(())
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}
