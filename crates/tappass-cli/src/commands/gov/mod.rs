//! `tappass gov`: what is governed, and how.

mod allowlist;
mod changes;
mod explain;
mod files;
mod policy;
mod readiness;
mod replay;

use std::path::PathBuf;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::{Format, Target},
    client::Client,
    error::Exit,
    output::Out,
    prompt, safe,
    table::{Table, cell},
};

/// What is governed, and how
#[derive(Debug, Subcommand)]
pub enum Gov {
    /// All pipelines
    Pipelines(Format),
    /// One pipeline, step by step
    Pipeline {
        /// Its name
        name: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Put an agent under a pipeline
    Assign {
        /// The agent's id or UUID
        agent: String,
        /// The pipeline's name
        #[arg(long, value_name = "NAME")]
        pipeline: String,
    },
    /// What a file would change, step by step; exit code 3 when it changes something
    Diff {
        /// Which.
        #[command(flatten)]
        file: files::File,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Make a pipeline what a file says, unless someone else changes it meanwhile
    Apply {
        /// Which.
        #[command(flatten)]
        file: files::File,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Write a file as a pipeline, whatever is there
    Import {
        /// Which.
        #[command(flatten)]
        file: files::File,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// A pipeline's text, for a file under version control
    Export {
        /// The pipeline's name
        name: String,
        /// Write it here instead of stdout
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// What is wrong with files, and what is likely a mistake; without a server; exit code 3 when there is something
    Lint {
        /// The files; `-` for standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Past calls through a changed pipeline: what it would have blocked or masked; exit code 3 when it differs
    Replay(replay::Replay),
    /// Whether and how long what calls say is kept, sealed, so that it can be replayed
    Payloads(replay::Payloads),
    /// The organisation's own policies in Rego: they tighten, never loosen
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Run the tests beside policies (rules named `test_…`); without a server; exit code 3 when one fails
    Test {
        /// The folder with the .rego files
        dir: PathBuf,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// What the organisation never counts as a hit
    #[command(subcommand)]
    Allowlist(allowlist::Allowlist),
    /// Why a call was decided as it was: each step, what it found and where, and what would have changed it
    Explain {
        /// The call: `task_id` of its answer, the event's id in `tappass logs --json`
        call: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// What enforce would have refused: by rule, agent and example, with what people said of them
    Readiness(readiness::Readiness),
    /// From now on block and mask what the pipeline says; the agent cannot ask for less
    Enforce {
        /// The agent's id or UUID
        agent: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Back to the pilot: record what would happen, change nothing
    Observe {
        /// The agent's id or UUID
        agent: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl Gov {
    pub(crate) async fn run(self, server: &Target, out: &mut Out) -> anyhow::Result<Exit> {
        if let Self::Lint { files, format } = self {
            return files::lint(files, format, out).await;
        }
        if let Self::Test { dir, format } = self {
            return policy::test(&dir, format, out);
        }
        let client = &super::connect(server, out)?;
        match self {
            Self::Lint { .. } | Self::Test { .. } => {}
            Self::Policy(policy) => policy.run(client, out).await?,
            Self::Replay(replay) => return replay.run(client, out).await,
            Self::Payloads(payloads) => payloads.run(client, out).await?,
            Self::Diff { file, format } => return file.diff(client, format, out).await,
            Self::Apply { file, yes, format } => file.apply(client, yes, format, out).await?,
            Self::Import { file, format } => file.import(client, format, out).await?,
            Self::Export { name, to } => files::export(client, &name, to.as_deref(), out).await?,
            Self::Allowlist(list) => list.run(client, out).await?,
            Self::Pipelines(format) => pipelines(client, format, out).await?,
            Self::Pipeline { name, format } => pipeline(client, &name, format, out).await?,
            Self::Assign { agent, pipeline } => {
                let body = json!({"pipeline": pipeline});
                client.call(Method::PUT, &["agents", &agent, "pipeline"], &[], Some(&body)).await?;
                out.note(&format!("{} is under the pipeline {}", safe::text(&agent), safe::text(&pipeline)));
            }
            Self::Explain { call, format } => explain::run(client, &call, format, out).await?,
            Self::Readiness(readiness) => readiness.run(client, out).await?,
            Self::Enforce { agent, yes } => {
                let name = safe::text(&agent);
                if !yes {
                    prompt::confirm(&format!("Block and mask the calls of {name} from now on?"), "--yes")?;
                }
                set(client, &agent, "enforce").await?;
                out.note(&format!("{name} is in mode enforce, floor enforce: detections are acted on, and callers cannot ask for less"));
            }
            Self::Observe { agent, yes } => {
                let name = safe::text(&agent);
                if !yes {
                    prompt::confirm(&format!("Stop blocking and masking the calls of {name}?"), "--yes")?;
                }
                set(client, &agent, "observe").await?;
                out.note(&format!(
                    "{name} is in mode observe, floor observe: everything is recorded, nothing is changed"
                ));
            }
        }
        Ok(Exit::Done)
    }
}

async fn set(client: &Client, agent: &str, mode: &str) -> anyhow::Result<()> {
    let body = json!({"mode": mode, "floor": mode});
    client.call(Method::PATCH, &["agents", agent], &[], Some(&body)).await?;
    Ok(())
}

async fn pipelines(client: &Client, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let pipelines = client.list(&["pipelines"], &[]).await?;
    if format.json {
        return Ok(out.json(&Value::Array(pipelines))?);
    }
    let mut table = Table::new(["pipeline", "preset", "version", "hash"]);
    for pipeline in &pipelines {
        table.row([
            cell(pipeline, "name"),
            cell(pipeline, "preset"),
            cell(pipeline, "version"),
            short(pipeline),
        ]);
    }
    Ok(out.table(&table, "no pipelines")?)
}

async fn pipeline(client: &Client, name: &str, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let pipeline = client.get(&["pipelines", name], &[]).await?;
    if format.json {
        return Ok(out.json(&pipeline)?);
    }
    let head = ["name", "preset", "version"].map(|f| safe::text(&cell(&pipeline, f)));
    out.line(&format!(
        "{} · preset {} · version {} · hash {}\n",
        head[0],
        head[1],
        head[2],
        safe::text(&short(&pipeline))
    ))?;
    let mut table = Table::new(["#", "step", "phase", "category", "on", "what it does"]);
    for step in pipeline.get("steps").and_then(Value::as_array).into_iter().flatten() {
        table.row(
            ["position", "id", "phase", "category", "enabled", "summary"].map(|field| cell(step, field)),
        );
    }
    Ok(out.table(&table, "it has no steps")?)
}

/// The beginning of a pipeline's hash: enough to tell two apart.
fn short(pipeline: &Value) -> String {
    cell(pipeline, "hash").chars().take(12).collect()
}
