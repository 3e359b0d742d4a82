//! `tappass gov policy`, `tappass gov test`: policies in Rego.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};
use tappass_policy::testing;

use crate::{
    args::Format,
    client::Client,
    error::{CliError, Exit},
    output::Out,
    prompt, safe,
    table::{Table, cell},
};

/// The organisation's own policies in Rego
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// The four questions, and which of them the organisation answers too
    List(Format),
    /// The organisation's policy for a question, else the shipped one
    Show {
        /// authz, tools, routing or guardrails
        question: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Write the organisation's policy for a question; it can tighten, never loosen
    Set {
        /// authz, tools, routing or guardrails
        question: String,
        /// The policy, a .rego file
        file: PathBuf,
    },
    /// Take the organisation's policy for a question back
    Remove {
        /// authz, tools, routing or guardrails
        question: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl Policy {
    pub(crate) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<()> {
        match self {
            Self::List(format) => list(client, format, out).await?,
            Self::Show { question, format } => {
                let policy = client.get(&["policies", &question], &[]).await?;
                if format.json {
                    out.json(&policy)?;
                } else {
                    let text = policy["rego"].as_str().or_else(|| policy["shipped"].as_str());
                    out.line(&safe::lines(text.unwrap_or_default().trim_end()))?;
                }
            }
            Self::Set { question, file } => {
                let rego = std::fs::read_to_string(&file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                let body = json!({"rego": rego});
                let put = client.call(Method::PUT, &["policies", &question], &[], Some(&body)).await?;
                out.note(&format!(
                    "the policy {} is version {}",
                    safe::text(&question),
                    safe::text(&cell(&put, "version"))
                ));
            }
            Self::Remove { question, yes } => {
                let name = safe::text(&question);
                if !yes {
                    prompt::confirm(&format!("Take the policy {name} back?"), "--yes")?;
                }
                client.call(Method::DELETE, &["policies", &question], &[], None).await?;
                out.note(&format!("only the shipped policy {name} is asked from now on"));
            }
        }
        Ok(())
    }
}

async fn list(client: &Client, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let policies = client.list(&["policies"], &[]).await?;
    if format.json {
        return Ok(out.json(&Value::Array(policies))?);
    }
    let mut table = Table::new(["question", "package", "own", "version"]);
    for policy in &policies {
        let own = if policy["rego"].is_null() { "no" } else { "yes" };
        table.row([
            cell(policy, "question"),
            cell(policy, "package"),
            own.to_owned(),
            cell(policy, "version"),
        ]);
    }
    Ok(out.table(&table, "no policies")?)
}

/// Runs the tests that stand beside policies. Needs no server.
pub(crate) fn test(folder: &Path, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let results = testing::run(folder).map_err(|e| CliError::usage(e.to_string()))?;
    if results.is_empty() {
        anyhow::bail!("there is no rule whose name begins with `test_` in {}", folder.display());
    }
    let failed = results.iter().filter(|r| !r.passed).count();
    if format.json {
        out.json(&json!(results))?;
    } else {
        for result in &results {
            let verdict = if result.passed { "ok    " } else { "FAILED" };
            let why = result.error.as_ref().map(|e| format!(": {e}")).unwrap_or_default();
            out.line(&safe::text(&format!("{verdict}  {}{why}", result.name)))?;
        }
        out.note(&format!("{} passed, {failed} failed", results.len() - failed));
    }
    Ok(if failed == 0 { Exit::Done } else { Exit::Findings })
}
