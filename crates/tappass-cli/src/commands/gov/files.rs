//! Pipelines in files, under version control: `lint`, `diff`, `apply`, `import`, `export`.

use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tappass_pipeline::{
    CompileError, Pipeline, compile,
    difference::{Change, between},
    lint, name_in,
};

use super::changes;
use crate::{
    args::Format,
    client::Client,
    error::{CliError, Exit},
    output::Out,
    prompt, safe,
    table::cell,
};

/// A pipeline's file, and what the pipeline is called.
#[derive(Debug, Args)]
pub struct File {
    /// The file: `preset: NAME` and `overrides: {…}`; `-` for standard input
    file: PathBuf,
    /// What the pipeline is called [default: the file's `name`, else the file's own name without its ending]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl File {
    /// The text, and the pipeline's name.
    async fn read(&self) -> anyhow::Result<(String, String)> {
        let text = read(&self.file).await?;
        let stem = || self.file.file_stem().filter(|_| !is_stdin(&self.file))?.to_str().map(str::to_owned);
        let name = self.name.clone().or_else(|| name_in(&text)).or_else(stem);
        let name = name.ok_or_else(|| {
            CliError::usage("the pipeline has no name")
                .mend("give one: --name NAME, or `name: NAME` in the file")
        })?;
        Ok((text, name))
    }

    /// As [`File::read`], compiled: what is wrong with it is told with its lines.
    async fn compiled(&self) -> anyhow::Result<(String, String, std::sync::Arc<Pipeline>)> {
        let (text, name) = self.read().await?;
        let (of, yaml) = (name.clone(), text.clone());
        let compiled = tokio::task::spawn_blocking(move || compile(&of, 1, &yaml)).await?;
        let pipeline = compiled.map_err(|e| wrong(&self.file, &e))?;
        Ok((text, name, pipeline))
    }

    /// `gov diff`
    pub(super) async fn diff(&self, client: &Client, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let (_, name, proposed) = self.compiled().await?;
        let now = current(client, &name).await?;
        let changes = between(now.as_ref().map_or(&Value::Null, |(v, _)| v), &proposed.describe());
        if format.json {
            let same = changes.is_empty() && now.is_some();
            out.json(&json!({"name": name, "exists": now.is_some(), "same": same, "changes": changes}))?;
        } else {
            show(&name, now.as_ref().map(|(v, _)| v), &changes, out)?;
        }
        Ok(if changes.is_empty() && now.is_some() { Exit::Done } else { Exit::Findings })
    }

    /// `gov apply`: writes the file over the version that was looked at, and no other.
    pub(super) async fn apply(
        &self,
        client: &Client,
        yes: bool,
        format: Format,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let (text, name, proposed) = self.compiled().await?;
        let now = current(client, &name).await?;
        let changes = between(now.as_ref().map_or(&Value::Null, |(v, _)| v), &proposed.describe());
        if changes.is_empty() && now.is_some() {
            out.note(&format!("{} is already so", safe::text(&name)));
            return if format.json {
                Ok(out.json(&json!({"name": name, "changed": false}))?)
            } else {
                Ok(())
            };
        }
        if !yes {
            show(&name, now.as_ref().map(|(v, _)| v), &changes, out)?;
            prompt::confirm(&format!("Apply this to {}?", safe::text(&name)), "--yes")?;
        }
        let tag = now.as_ref().map_or("\"v0\"", |(_, tag)| tag.as_str());
        let done = client
            .send_text(Method::PUT, &["pipelines", &name], &[], &[("if-match", tag)], text)
            .await
            .map_err(|e| overtaken(e, &name))?;
        told(&done, format, out)
    }

    /// `gov import`: writes the file, whatever is there.
    pub(super) async fn import(&self, client: &Client, format: Format, out: &mut Out) -> anyhow::Result<()> {
        let (text, name) = self.read().await?;
        let done =
            client.send_text(Method::POST, &["pipelines", "import"], &[("name", name)], &[], text).await?;
        told(&done, format, out)
    }
}

/// `gov lint`: offline.
pub(super) async fn lint(files: Vec<PathBuf>, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let mut findings = Vec::new();
    for file in &files {
        let text = read(file).await?;
        let shown = file.display().to_string();
        let found = tokio::task::spawn_blocking(move || lint::lint(&text)).await?;
        findings.extend(found.into_iter().map(|finding| (shown.clone(), finding)));
    }
    if format.json {
        let all: Vec<Value> = findings
            .iter()
            .map(|(file, f)| {
                json!({"file": file, "line": f.line, "column": f.column, "severity": f.severity, "message": f.message})
            })
            .collect();
        out.json(&Value::Array(all))?;
    } else {
        for (file, finding) in &findings {
            out.line(&safe::text(&finding.as_line(file)))?;
        }
        if findings.is_empty() {
            out.note("nothing to find fault with");
        }
    }
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Findings })
}

/// `gov export`
pub(super) async fn export(
    client: &Client,
    name: &str,
    to: Option<&Path>,
    out: &mut Out,
) -> anyhow::Result<()> {
    let answer = client.send(Method::GET, &["pipelines", name, "export"], &[], &[], None).await?;
    let (text, _) = client.text_of(answer).await?;
    match to {
        None => out.bytes(text.as_bytes())?,
        Some(path) => {
            tokio::fs::write(path, &text).await.map_err(|e| {
                CliError::failed(format!(
                    "{} cannot be written: {e}",
                    safe::text(&path.display().to_string())
                ))
            })?;
            out.note(&format!("{} is in {}", safe::text(name), safe::text(&path.display().to_string())));
        }
    }
    Ok(())
}

/// The pipeline as the server has it, with its tag; `None` when there is none.
async fn current(client: &Client, name: &str) -> anyhow::Result<Option<(Value, String)>> {
    let answer = client.send(Method::GET, &["pipelines", name], &[], &[], None).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let (text, tag) = client.text_of(answer).await?;
    let pipeline: Value = serde_json::from_str(&text)?;
    Ok(Some((pipeline, tag.unwrap_or_else(|| "*".to_owned()))))
}

fn show(name: &str, now: Option<&Value>, changes: &[Change], out: &mut Out) -> anyhow::Result<()> {
    let name = safe::text(name);
    match now {
        Some(now) if changes.is_empty() => {
            out.note(&format!("{name}: the same as version {}", cell(now, "version")));
        }
        Some(now) => out.note(&format!("{name}: against version {} on the server", cell(now, "version"))),
        None => out.note(&format!("{name}: not on the server yet")),
    }
    for line in changes::lines(changes) {
        out.line(&line)?;
    }
    Ok(())
}

fn told(pipeline: &Value, format: Format, out: &mut Out) -> anyhow::Result<()> {
    if format.json {
        return Ok(out.json(pipeline)?);
    }
    let get = |field| safe::text(&cell(pipeline, field));
    let hash: String = get("hash").chars().take(12).collect();
    out.note(&format!(
        "{} is version {} ({hash}); the next call of its agents takes it",
        get("name"),
        get("version")
    ));
    Ok(())
}

fn overtaken(e: CliError, name: &str) -> CliError {
    if e.exit == Exit::Failed && e.what.contains("If-Match") {
        let name = safe::text(name);
        return CliError::failed(format!(
            "{name} was changed by someone else meanwhile; nothing was written"
        ))
        .mend("look again with `tappass gov diff FILE`, then apply again");
    }
    e
}

/// All that is wrong with a file, as a compiler tells it.
fn wrong(file: &Path, error: &CompileError) -> CliError {
    let lines: Vec<String> =
        lint::of_error(error).iter().map(|f| f.as_line(&file.display().to_string())).collect();
    CliError::usage(safe::lines(&lines.join("\n")))
}

pub(super) fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

pub(super) async fn read(file: &Path) -> anyhow::Result<String> {
    use tokio::io::AsyncReadExt as _;
    let shown = safe::text(&file.display().to_string());
    let unreadable = |e: std::io::Error| CliError::usage(format!("{shown} cannot be read: {e}"));
    if !is_stdin(file) {
        return Ok(tokio::fs::read_to_string(file).await.map_err(unreadable)?);
    }
    let mut text = String::new();
    tokio::io::stdin().read_to_string(&mut text).await.map_err(unreadable)?;
    Ok(text)
}
