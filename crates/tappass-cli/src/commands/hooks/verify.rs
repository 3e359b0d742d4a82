//! `tappass hooks verify`: the installed commands, run as the agent would run them.

use std::{process::Stdio, time::Duration};

use clap::Args;
use serde_json::{Value, json};
use tappass_server::hooks::{CANARY, CANARY_SAYS, CodingAgent, denial};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, process::Command, time::timeout};

use super::{
    Place,
    file::{self, File},
};
use crate::{
    args::Format,
    error::{CliError, Exit},
    output::Out,
    safe,
    table::Table,
};

/// As long as an agent would wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prove that they work: a canary that must be refused, and a gateway that is away
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    format: Format,
}

struct Check {
    name: &'static str,
    ok: bool,
    /// What came of it.
    what: String,
}

impl Verify {
    pub(crate) async fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let agent = self.place.agent;
        let file = File::read(&self.place.file()?, agent)?;
        let mut missing = Vec::new();
        for hook in file::hooks(agent) {
            if file.command(hook.event)?.is_none() {
                missing.push(hook.event);
            }
        }
        let what = if missing.is_empty() {
            file.path().display().to_string()
        } else {
            format!("not in {}: {}", file.path().display(), missing.join(", "))
        };
        let mut checks = vec![Check { name: "installed", ok: missing.is_empty(), what }];
        if let (Some(before), Some(prompt)) = (file.command(shell(agent))?, file.command(said(agent))?) {
            checks.push(canary(agent, &before).await?);
            for (name, command, event) in [
                ("no gateway: a tool call", &before, calls(agent, "true")),
                ("no gateway: a prompt", &prompt, says(agent)),
            ] {
                checks.push(away(agent, name, command, &event).await?);
            }
        }
        let ok = checks.iter().all(|check| check.ok);
        if self.format.json {
            let listed: Vec<Value> =
                checks.iter().map(|c| json!({"check": c.name, "ok": c.ok, "what": c.what})).collect();
            out.json(&json!({"agent": agent, "file": file.path(), "ok": ok, "checks": listed}))?;
        } else {
            let mut table = Table::new(["CHECK", "", "WHAT"]);
            for check in &checks {
                let state = if check.ok { "pass" } else { "fail" };
                table.row([check.name.to_owned(), state.to_owned(), safe::text(&check.what)]);
            }
            out.table(&table, "nothing was checked")?;
        }
        if ok {
            return Ok(Exit::Done);
        }
        let mend = format!("install them with `{}`", self.place.command("install"));
        Err(CliError::failed(format!("the hooks of {} do not hold", agent.as_str())).mend(mend).into())
    }
}

/// The gateway itself must refuse it: a refusal for want of a gateway proves nothing here.
async fn canary(agent: CodingAgent, command: &str) -> anyhow::Result<Check> {
    let refused = refusal(agent, command, &calls(agent, CANARY), &[]).await?;
    let (ok, what) = match refused {
        Ok(why) => (why.contains(CANARY_SAYS), format!("refused: {why}")),
        Err(why) => (false, why),
    };
    Ok(Check { name: "canary", ok, what })
}

/// The same commands in front of a gateway that is not there.
async fn away(agent: CodingAgent, name: &'static str, command: &str, event: &Value) -> anyhow::Result<Check> {
    // A port that was free a moment ago.
    let port = TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port();
    let url = format!("http://127.0.0.1:{port}");
    let nowhere = [("TAPPASS_URL", url.as_str()), ("TAPPASS_API_KEY", "tp_verify")];
    let (ok, what) = match refusal(agent, command, event, &nowhere).await? {
        Ok(why) => (true, format!("refused: {why}")),
        Err(why) => (false, why),
    };
    Ok(Check { name, ok, what })
}

/// Runs a hook's command as agents do. `Ok` is the reason of its no, `Err` what it said instead.
async fn refusal(
    agent: CodingAgent,
    command: &str,
    event: &Value,
    variables: &[(&str, &str)],
) -> anyhow::Result<Result<String, String>> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read will say so by its exit code.
        let _ = stdin.write_all(event.to_string().as_bytes()).await;
    }
    let Ok(ended) = timeout(PATIENCE, child.wait_with_output()).await else {
        return Ok(Err(format!("no answer within {} s", PATIENCE.as_secs())));
    };
    let ended = ended?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (stdout, stderr, code) = (text(&ended.stdout), text(&ended.stderr), ended.status.code());
    let printed: Value = serde_json::from_str(&stdout).unwrap_or_default();
    let no = denial(&printed).map(str::to_owned);
    Ok(match (code, no) {
        (Some(0), Some(why)) if agent != CodingAgent::Windsurf => Ok(why),
        (Some(2), _) if agent != CodingAgent::Codex || !stderr.is_empty() => Ok(stderr),
        (Some(code), _) => Err(format!("let through: exit code {code} {stdout} {stderr}")),
        (None, _) => Err("it was killed".to_owned()),
    })
}

/// The event before a shell command.
const fn shell(agent: CodingAgent) -> &'static str {
    match agent {
        CodingAgent::ClaudeCode | CodingAgent::Codex => "PreToolUse",
        CodingAgent::Cursor => "beforeShellExecution",
        CodingAgent::Windsurf => "pre_run_command",
    }
}

/// The event of a prompt.
const fn said(agent: CodingAgent) -> &'static str {
    match agent {
        CodingAgent::ClaudeCode | CodingAgent::Codex => "UserPromptSubmit",
        CodingAgent::Cursor => "beforeSubmitPrompt",
        CodingAgent::Windsurf => "pre_user_prompt",
    }
}

/// A shell command, as the agent tells of it.
fn calls(agent: CodingAgent, command: &str) -> Value {
    let (name, id) = (shell(agent), "tappass-verify");
    match agent {
        CodingAgent::ClaudeCode | CodingAgent::Codex => {
            json!({"session_id": id, "transcript_path": "", "cwd": "/",
            "hook_event_name": name, "tool_name": "Bash", "tool_input": {"command": command}, "tool_use_id": id})
        }
        CodingAgent::Cursor => json!({"conversation_id": id, "generation_id": id, "hook_event_name": name,
            "workspace_roots": [], "command": command, "cwd": "/"}),
        CodingAgent::Windsurf => json!({"agent_action_name": name, "trajectory_id": id, "execution_id": id,
            "tool_info": {"command_line": command, "cwd": "/"}}),
    }
}

/// A prompt, as the agent tells of it.
fn says(agent: CodingAgent) -> Value {
    let (name, id, prompt) = (said(agent), "tappass-verify", "Hello.");
    match agent {
        CodingAgent::ClaudeCode | CodingAgent::Codex => {
            json!({"session_id": id, "transcript_path": "", "cwd": "/", "hook_event_name": name, "prompt": prompt})
        }
        CodingAgent::Cursor => json!({"conversation_id": id, "generation_id": id, "hook_event_name": name,
            "workspace_roots": [], "prompt": prompt, "attachments": []}),
        CodingAgent::Windsurf => json!({"agent_action_name": name, "trajectory_id": id, "execution_id": id,
            "tool_info": {"user_prompt": prompt}}),
    }
}
