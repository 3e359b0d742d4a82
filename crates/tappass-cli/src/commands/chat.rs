//! `tappass chat`: one governed call. The answer goes to stdout as it comes, what governed it to stderr.

use std::io::{self, IsTerminal as _, Read as _};

use clap::Args;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::find;
use crate::{
    args::{Format, Target},
    client::Client,
    error::{CliError, Exit},
    output::Out,
    safe,
    settings::{self, Token},
    sse,
    table::cell,
};

/// More than this no call may have.
const LONGEST: u64 = 5 * 1024 * 1024;

/// One governed call from the terminal
#[derive(Debug, Args)]
#[command(after_help = "The agent's key is taken from TAPPASS_API_KEY.")]
pub struct Chat {
    /// What to say; `-`, or nothing in a pipe, reads stdin
    prompt: Option<String>,
    /// The model
    #[arg(long, default_value = "builtin")]
    model: String,
    /// How to govern this call: mode=enforce, pii=mask, … [env: TAPPASS_FLAGS]
    #[arg(long, value_name = "FLAGS")]
    flags: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// The agent's key of the environment.
pub(crate) fn agent_key() -> Result<String, CliError> {
    settings::env("TAPPASS_API_KEY").ok_or_else(|| {
        CliError::new(Exit::Denied, "no agent's key: TAPPASS_API_KEY is not set").mend(
            "register an agent with `tappass agents add --name NAME`, then `export TAPPASS_API_KEY=` its key",
        )
    })
}

impl Chat {
    pub(crate) async fn run(self, target: &Target, out: &mut Out) -> anyhow::Result<Exit> {
        let prompt = said(self.prompt)?;
        let mut settings = find(target)?;
        settings.token = Some(Token {
            secret: agent_key()?,
            origin: "the environment variable TAPPASS_API_KEY".to_owned(),
        });
        let client = Client::new(settings)?;
        let body = json!({
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "stream": !self.format.json,
        });
        let flags = self.flags.or_else(|| settings::env("TAPPASS_FLAGS"));
        let headers: Vec<_> = flags.iter().map(|flags| ("x-tappass-flags", flags.as_str())).collect();
        let path = ["v1", "chat", "completions"];
        let response = client.send(Method::POST, &path, &[], &headers, Some(&body)).await?;
        if !response.status().is_success() {
            return refused(&client, response, self.format, out).await;
        }
        if self.format.json {
            let answer = response.json::<Value>().await.map_err(|e| client.broken(&e))?;
            out.json(&answer)?;
            return Ok(Exit::Done);
        }
        stream(response, out).await
    }
}

/// The prompt.
fn said(given: Option<String>) -> anyhow::Result<String> {
    let text = match given {
        Some(text) if text != "-" => text,
        None if io::stdin().is_terminal() => String::new(),
        _ => io::read_to_string(io::stdin().lock().take(LONGEST + 1))?,
    };
    if text.len() as u64 > LONGEST {
        return Err(CliError::usage("stdin is longer than the 5 MB that a call may have").into());
    }
    if text.trim().is_empty() {
        return Err(CliError::usage("nothing to say").mend("give a prompt: tappass chat \"Hello\"").into());
    }
    Ok(text)
}

/// A decision against the call is told with its reason; anything else is an error like any other.
async fn refused(client: &Client, response: Response, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let status = response.status();
    let body = response.json::<Value>().await.ok();
    let decided = body.as_ref().filter(|b| status == StatusCode::FORBIDDEN && b.get("decision").is_some());
    let Some(body) = decided else { return Err(client.refused(status, body.as_ref()).into()) };
    if format.json {
        out.json(body)?;
    }
    let [decision, step, reason] = ["decision", "blocked_by", "reason"].map(|f| safe::text(&cell(body, f)));
    let by = if step == "-" { String::new() } else { format!(" by {step}") };
    summary(body.get("tappass").unwrap_or(&Value::Null), out);
    let mut error = CliError::failed(format!("{decision}{by}: {reason}"));
    if let Some(id) = body.get("approval_id").and_then(Value::as_str) {
        error = error
            .mend(format!("somebody approves it with `tappass approvals approve {id}`; then send it again"));
    }
    Err(error.into())
}

async fn stream(response: Response, out: &mut Out) -> anyhow::Result<Exit> {
    let mut events = sse::events(response);
    let mut governance = Value::Null;
    let mut finish = None;
    while let Some(message) = events.next().await? {
        if message.data == "[DONE]" {
            break;
        }
        let Ok(mut chunk) = serde_json::from_str::<Value>(&message.data) else { continue };
        if let Some(error) = chunk.get("error") {
            out.piece("\n")?;
            return Err(CliError::failed(format!(
                "the answer broke off: {}",
                safe::text(&cell(error, "message"))
            ))
            .into());
        }
        if let Some(piece) = chunk.pointer("/choices/0/delta/content").and_then(Value::as_str) {
            out.piece(&safe::lines(piece))?;
        }
        if let Some(reason) = chunk.pointer("/choices/0/finish_reason").and_then(Value::as_str) {
            finish = Some(reason.to_owned());
        }
        if let Some(object) = chunk.get_mut("tappass").filter(|t| t.is_object()) {
            governance = object.take();
        }
    }
    out.piece("\n")?;
    summary(&governance, out);
    match finish.as_deref() {
        None => Err(CliError::failed("the answer broke off").mend("try again").into()),
        Some("content_filter") => {
            let step = safe::text(&cell(&governance, "blocked_by"));
            Err(CliError::failed(format!("policy_block by {step}: the rest of the answer was held back"))
                .into())
        }
        Some(_) => Ok(Exit::Done),
    }
}

/// What governed the call, in one line and one more for each step that would have blocked.
fn summary(governance: &Value, out: &mut Out) {
    if !governance.is_object() {
        return;
    }
    let text = |field| safe::text(&cell(governance, field));
    let mut line =
        format!("mode {} · {} · pipeline {}", text("mode"), text("classification"), text("pipeline_id"));
    line.push_str(&format!(" · {} steps in {} ms", text("steps_run"), text("total_duration_ms")));
    out.note(&line);
    for would in governance.get("would_block").and_then(Value::as_array).into_iter().flatten() {
        let [step, reason] = ["step", "reason"].map(|f| safe::text(&cell(would, f)));
        out.note(&format!("would block: {step}: {reason}"));
    }
}
