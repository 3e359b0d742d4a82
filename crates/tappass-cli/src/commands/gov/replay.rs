//! `tappass gov replay`: past traffic through a changed pipeline. `tappass gov payloads`: whether there is any.

use std::path::PathBuf;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use tappass_model::{Clock as _, SystemClock, clock::rfc3339};
use tappass_pipeline::name_in;

use super::files;
use crate::{
    args::Format,
    client::Client,
    error::{CliError, Exit},
    output::{
        Out,
        style::{BOLD, DIM, GREEN, RED, RESET, YELLOW},
    },
    prompt, safe, since,
    table::{Table, cell},
};

/// What is asked.
#[derive(Debug, Args)]
pub struct Replay {
    /// The changed pipeline: a file (`-` for standard input), or the name of one that is there
    #[arg(long, value_name = "FILE")]
    pipeline: PathBuf,
    /// Only this agent's calls [default: of the agents under the pipeline of that name, or of all where none is]
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// From when on: how long ago (90s, 15m, 1h, 7d, 2w) or a moment (RFC 3339)
    #[arg(long, value_name = "WHEN", default_value = "7d")]
    since: String,
    /// The newest so many calls, at most 1000
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: u32,
    /// How it is printed.
    #[command(flatten)]
    format: Format,
}

impl Replay {
    pub(super) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<Exit> {
        let since = since::parse(&self.since, SystemClock.now()).map_err(CliError::usage)?;
        let mut body = json!({"since": rfc3339(since), "limit": self.limit});
        if let Some(agent) = &self.agent {
            body["agent_id"] = json!(agent);
        }
        let stem = || self.pipeline.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        if files::is_stdin(&self.pipeline) {
            body["pipeline"] = json!(files::read(&self.pipeline).await?);
        } else if self.pipeline.exists() {
            let text = files::read(&self.pipeline).await?;
            body["name"] = json!(name_in(&text).or_else(stem));
            body["pipeline"] = json!(text);
        } else {
            body["name"] = json!(self.pipeline.display().to_string());
        }
        let replayed = client.call(Method::POST, &["pipelines", "replay"], &[], Some(&body)).await?;
        let same = replayed["same"] == true;
        if self.format.json {
            out.json(&replayed)?;
        } else {
            show(&replayed, same, out)?;
        }
        Ok(if same { Exit::Done } else { Exit::Findings })
    }
}

fn show(replayed: &Value, same: bool, out: &mut Out) -> anyhow::Result<()> {
    let calls = &replayed["calls"];
    let number = |key: &str| calls[key].as_u64().unwrap_or_default();
    let judged = number("replayed");
    let whose = match replayed["agents"].as_array() {
        Some(agents) => {
            agents.iter().filter_map(Value::as_str).map(safe::text).collect::<Vec<_>>().join(", ")
        }
        None => "all agents".to_owned(),
    };
    let name = safe::text(&cell(replayed, "pipeline.name"));
    out.line(&format!(
        "{BOLD}{judged} calls{RESET} of {whose} since {} through {BOLD}{name}{RESET}\n",
        safe::text(&cell(replayed, "since"))
    ))?;
    let mut table = Table::new(["what changes", "calls", "step", "agents", "for example"]).spare(&[3]);
    for group in replayed["groups"].as_array().into_iter().flatten() {
        let agents = group["agents"].as_object().into_iter().flatten();
        let agents: Vec<String> = agents.map(|(agent, count)| format!("{agent} {count}")).collect();
        let example = &group["examples"][0];
        table.row([
            words(&cell(group, "effect")).to_owned(),
            cell(group, "count"),
            cell(group, "step"),
            agents.join(", "),
            format!("{} ({})", cell(example, "reason"), cell(example, "call")),
        ]);
    }
    if !table.is_empty() {
        out.table(&table, "")?;
        out.line("")?;
    }
    let counts = ["newly_blocked", "no_longer_blocked", "newly_masked", "no_longer_masked", "same"];
    let colours = [RED, YELLOW, YELLOW, YELLOW, GREEN];
    let told: Vec<String> = (counts.iter().zip(colours))
        .filter_map(|(key, colour)| {
            let count = replayed["counts"][key].as_u64().filter(|n| *n > 0)?;
            Some(format!("{colour}{count} {}{RESET}", words(key)))
        })
        .collect();
    if judged > 0 {
        out.line(&told.join(" · "))?;
    }
    let left = replayed["not_replayed"].as_array().cloned().unwrap_or_default();
    let names = |partly: bool| -> Vec<String> {
        left.iter().filter(|l| l["partly"] == partly).map(|l| safe::text(&cell(l, "step"))).collect()
    };
    for (partly, words) in
        [(false, "as recorded, for a replay cannot judge them"), (true, "judged without what they remember")]
    {
        let names = names(partly);
        if judged > 0 && !names.is_empty() {
            out.line(&format!("{DIM}{words}: {}{RESET}", names.join(", ")))?;
        }
    }
    for (key, words) in [
        ("without_text", "model calls had no text that was kept"),
        ("skipped", "kept calls could not be judged"),
    ] {
        if number(key) > 0 {
            out.note(&format!("{} {words}", number(key)));
        }
    }
    if let Some(advice) = replayed["advice"].as_str() {
        out.note(&safe::text(advice));
        if number("kept") == 0 {
            out.mend("`tappass gov payloads --keep-days 7` keeps what calls say from now on");
        }
    } else if same {
        out.note("nothing changes for any of them");
    }
    Ok(())
}

fn words(effect: &str) -> &'static str {
    match effect {
        "newly_blocked" => "newly blocked",
        "no_longer_blocked" => "no longer blocked",
        "newly_masked" => "newly masked",
        "no_longer_masked" => "no longer masked",
        _ => "the same",
    }
}

/// Whether what calls say is kept, so that it can be replayed.
#[derive(Debug, Args)]
pub struct Payloads {
    /// Keep it, sealed, for so many days; 0: no more
    #[arg(long, value_name = "DAYS")]
    keep_days: Option<u16>,
    /// The share of calls that is kept, 0 to 1 [default: as it is; 1 at first]
    #[arg(long, value_name = "SHARE", requires = "keep_days")]
    sample: Option<f64>,
    /// Forget all that is kept, now
    #[arg(long, conflicts_with = "keep_days")]
    forget: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// How it is printed.
    #[command(flatten)]
    format: Format,
}

impl Payloads {
    pub(super) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<()> {
        let path = ["settings", "payloads"];
        if self.forget {
            if !self.yes {
                prompt::confirm("Forget everything that calls said?", "--yes")?;
            }
            let done = client.call(Method::DELETE, &["settings", "payloads", "kept"], &[], None).await?;
            out.note(&format!("forgotten: {} calls", safe::text(&cell(&done, "forgotten"))));
        }
        let mut now = client.get(&path, &[]).await?;
        if let Some(days) = self.keep_days {
            let new =
                json!({"keep_days": days, "sample": self.sample.map_or(now["sample"].clone(), |s| json!(s))});
            now = client.call(Method::PUT, &path, &[], Some(&new)).await?;
        }
        if self.format.json {
            return Ok(out.json(&now)?);
        }
        let told = match now["keep_days"].as_u64() {
            Some(0) | None => "what calls say is not kept".to_owned(),
            Some(days) => format!(
                "what calls say is kept, sealed, for {days} days (a share of {})",
                safe::text(&cell(&now, "sample"))
            ),
        };
        Ok(out.line(&format!("{told}; {} calls are kept now", safe::text(&cell(&now, "kept"))))?)
    }
}
