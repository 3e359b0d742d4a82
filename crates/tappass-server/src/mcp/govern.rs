//! A message before it goes on: judged by the agent's pipeline, recorded, and told as what it may be.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tappass_model::{Action, Denial, Dialect};
use tappass_pipeline::{Blocked, Halt};
use tappass_provider::dialects::{self, definition_at, mcp};

use super::{link::Link, methods::STATELESS};
use crate::{
    call::{Governed, Open, conclude::sha256, identify::identify, refusal},
    error::ApiError,
    routes::models::Asked,
};
use tappass_provider::jsonrpc::{METHOD_NOT_FOUND, Message, REFUSED};

/// A rule of the gateway itself that objects to a message before any step sees it.
#[derive(Debug, Clone)]
pub struct Objection {
    /// Its name in records.
    pub rule: &'static str,
    /// Why, in a sentence.
    pub reason: String,
    /// How it is told.
    pub denial: Denial,
    /// Whether it holds in every mode.
    pub always: bool,
}

/// What was decided.
pub enum Verdict {
    /// It may go on, with what is masked.
    Passes(Value),
    /// It may not.
    Refused(Refusal),
}

/// A message that may not go on.
pub struct Refusal {
    /// For people and models.
    message: String,
    /// The decision, as on the model routes.
    data: Value,
    /// Whether nobody knows the method.
    unknown: bool,
}

impl Refusal {
    /// The answer to whoever asked for it. A tool that may not run has failed, which its model can read; everything else is
    /// an error.
    #[must_use]
    pub fn answer(self, link: &Link, method: &str, id: Value) -> Message {
        if method == "tools/call" {
            let text = json!([{"type": "text", "text": self.message}]);
            let mut result = json!({"content": text, "isError": true, "_meta": {"tappass": self.data}});
            if link.since(STATELESS) {
                result["resultType"] = "complete".into();
            }
            return Message::Answer { id, outcome: Ok(result) };
        }
        let code = if self.unknown { METHOD_NOT_FOUND } else { REFUSED };
        Message::error(id, code, &self.message, self.data)
    }

    fn of(open: &Open, blocked: &Blocked) -> Self {
        let mut data = refusal::block_body(open, blocked);
        if let Some(data) = data.as_object_mut() {
            // It stands in the error already, or is told in its shape.
            data.shift_remove("error");
        }
        let message = match &blocked.denial {
            Denial::Approval { approval_id, expires_at } => format!(
                "Waits for a person's approval: {}. Approval {approval_id}, until {expires_at}. Once it is approved, make \
                 the same call again: it then passes once.",
                blocked.reason
            ),
            _ => data["message"].as_str().unwrap_or_default().to_owned(),
        };
        Self { message, data, unknown: blocked.step == "mcp.unknown_method" }
    }
}

/// Judges what an agent asks of a server.
///
/// # Errors
/// What keeps it from being judged or recorded.
pub async fn call(link: &Link, body: Value, objection: Option<Objection>) -> Result<Verdict, ApiError> {
    let arguments = sha256(body["payload"]["arguments"].to_string().as_bytes());
    let about = json!({"type": "MCP_CALL", "server": link.server.name, "method": body["method"],
        "tool": body["payload"]["tool"], "arguments_sha256": arguments});
    let mut governed = begin(link, Dialect::McpCall, &body, about).await?;
    let open = governed.open();
    let judged = match objects(open, objection) {
        Ok(()) => open.call.judge_tool_call().await,
        refused => refused,
    };
    let open = governed.settle().await?;
    Ok(match judged {
        Err(Halt::Blocked(blocked)) => Verdict::Refused(Refusal::of(&open, &blocked)),
        Err(Halt::Provider(error)) => return Err(ApiError::internal(error.to_string())),
        Ok(()) => {
            let mut body = open.call.exchange.request.body;
            if let Some(mut answer) = open.call.exchange.answer {
                body["payload"]["arguments"] = answer.body["payload"]["arguments"].take();
            }
            Verdict::Passes(body)
        }
    })
}

/// Judges any other message by its texts. One without texts passes, and is not recorded.
///
/// # Errors
/// What keeps it from being judged or recorded.
pub async fn message(link: &Link, body: Value, objection: Option<Objection>) -> Result<Verdict, ApiError> {
    let shape = dialects::of(Dialect::McpMessage);
    let empty = shape.read_request(body.clone(), 0).is_ok_and(|request| request.segments.is_empty());
    if empty && objection.is_none() {
        return Ok(Verdict::Passes(mcp::said(body)));
    }
    let (open, judged) = judge(link, &body, objection, |_| false).await?;
    ended(open, judged)
}

/// `repeats` says whether a message that is refused is judged once more, without what was objected to.
async fn judge(
    link: &Link,
    body: &Value,
    objection: Option<Objection>,
    repeats: impl Fn(&Open) -> bool,
) -> Result<(Box<Open>, Result<(), Halt>), ApiError> {
    let mut governed = begin(link, Dialect::McpMessage, body, about(link, body)).await?;
    let open = governed.open();
    let judged = match objects(open, objection) {
        Ok(()) => open.call.judge_message().await,
        refused => refused,
    };
    open.call.repeated = judged.is_err() && repeats(open);
    Ok((governed.settle().await?, judged))
}

/// Judges what a server tells of itself and its parts. The parts that a step objects to are taken out, and the rest is
/// judged again: one bad prompt does not hide all others, and a server works without its instructions.
///
/// # Errors
/// What keeps it from being judged or recorded.
pub async fn described(link: &Link, method: &str, mut said: Value) -> Result<Verdict, ApiError> {
    let body = |said: &Value| mcp::message(&link.server.name, method, true, None, said.clone());
    let parts = match method {
        "prompts/list" => "prompts",
        "resources/list" => "resources",
        "resources/templates/list" => "resourceTemplates",
        _ => "instructions",
    };
    let there = format!("/said/{parts}");
    let repeats = |open: &Open| objected(open).any(|at| at.starts_with(&there));
    let (open, judged) = judge(link, &body(&said), None, repeats).await?;
    if judged.is_ok() {
        return ended(open, judged);
    }
    let gone: Vec<usize> = objected(&open)
        .filter_map(|at| at.strip_prefix("/said/")?.strip_prefix(parts)?.split('/').nth(1)?.parse().ok())
        .collect();
    let whole = said.as_object_mut().filter(|_| parts == "instructions").and_then(|s| s.shift_remove(parts));
    match said.get_mut(parts).and_then(Value::as_array_mut) {
        _ if whole.is_some() => {}
        Some(items) if !gone.is_empty() => {
            let mut at = 0..;
            items.retain(|_| at.next().is_none_or(|i| !gone.contains(&i)));
        }
        _ => return ended(open, judged),
    }
    let (open, judged) = judge(link, &body(&said), None, |_| false).await?;
    ended(open, judged)
}

fn about(link: &Link, body: &Value) -> Value {
    let said = sha256(format!("{}{}", body["tools"], body["said"]).as_bytes());
    json!({"type": "MCP_MESSAGE", "server": link.server.name, "method": body["method"],
        "from_server": body["from_server"], "tool": body["tool"], "said_sha256": said})
}

fn ended(open: Box<Open>, judged: Result<(), Halt>) -> Result<Verdict, ApiError> {
    match judged {
        Ok(()) => Ok(Verdict::Passes(mcp::said(open.call.exchange.request.body))),
        Err(Halt::Blocked(blocked)) => Ok(Verdict::Refused(Refusal::of(&open, &blocked))),
        Err(Halt::Provider(error)) => Err(ApiError::internal(error.to_string())),
    }
}

fn objects(open: &mut Open, objection: Option<Objection>) -> Result<(), Halt> {
    match objection {
        Some(Objection { rule, reason, denial, always }) => open.call.refuse_by(rule, reason, denial, always),
        None => Ok(()),
    }
}

async fn begin(link: &Link, dialect: Dialect, body: &Value, about: Value) -> Result<Governed, ApiError> {
    let asked = Asked {
        app: link.app.clone(),
        caller: link.caller.clone(),
        request_id: link.request_id.clone(),
        head: link.head.clone(),
        body: Bytes::from(body.to_string()),
    };
    let mut governed = identify(dialect, &asked).await?;
    governed.open().about = match about {
        Value::Object(about) => about.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    };
    Ok(governed)
}

/// Judges the tools that a server offers. Where a mode acts, those that may not be offered are taken out: first what is in
/// quarantine and what the agent may not use; then what a step objects to, and the rest is judged again. Where nobody
/// can say which tools a step objects to, none is offered.
///
/// # Errors
/// What keeps it from being judged or recorded.
pub async fn offer(link: &Link, said: Value, quarantined: &[String]) -> Result<Verdict, ApiError> {
    let mut objected: Vec<String> = Vec::new();
    // At most: as it came, without what is objected to, twice, without anything.
    for last in [false, false, false, true] {
        let body = mcp::message(&link.server.name, "tools/list", true, None, said.clone());
        let mut governed = begin(link, Dialect::McpMessage, &body, about(link, &body)).await?;
        let open = governed.open();
        if !quarantined.is_empty() {
            let reason = format!(
                "their definitions have changed, or there is no room to pin them: {}",
                quarantined.join(", ")
            );
            open.call.withhold("mcp.quarantine", reason, &|tool| quarantined.iter().any(|q| q == tool));
        }
        let denied: Vec<String> = not_for(open);
        if !denied.is_empty() {
            let reason = format!("the agent may not use: {}", denied.join(", "));
            open.call.withhold("mcp.tools", reason, &|tool| denied.iter().any(|d| d == tool));
        }
        if last {
            open.call.withhold(
                "mcp.offer",
                "what is objected to is not one of the tools".to_owned(),
                &|_| true,
            );
        } else if !objected.is_empty() {
            let reason = format!("objected to: {}", objected.join(", "));
            open.call.withhold("mcp.offer", reason, &|tool| objected.iter().any(|o| o == tool));
        }
        let judged = open.call.judge_message().await;
        open.call.repeated = judged.is_err() && !last;
        let open = governed.settle().await?;
        if judged.is_ok() || last {
            return ended(open, judged);
        }
        objected.extend(culprits(&open));
        if objected.is_empty() {
            break;
        }
    }
    // What remains objected to is not told at all.
    let mut none = said;
    none["tools"] = json!([]);
    Ok(Verdict::Passes(none))
}

/// The tools that the agent's rules, or the call's flags, do not let it use.
fn not_for(open: &Open) -> Vec<String> {
    let x = &open.call.exchange;
    let may = |tool: &&String| !tappass_pipeline::steps::tool_permissions::may_use(x, tool);
    x.request.tools.iter().filter(may).cloned().collect()
}

/// The tools that the steps which refused an offer have found something about.
fn culprits(open: &Open) -> Vec<String> {
    let x = &open.call.exchange;
    let at = objected(open).filter_map(|at| definition_at(&x.request.body, at)).map(str::to_owned);
    let named = open.call.trace.findings.iter().filter(|f| f.span.is_none() && refuses(open, f.step));
    let named = named.filter_map(|finding| {
        x.request.tools.iter().find(|tool| tool.chars().take(80).eq(finding.sample.chars())).cloned()
    });
    let mut found: Vec<String> = at.chain(named).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Where the steps that refused a message have found something in it.
fn objected(open: &Open) -> impl Iterator<Item = &str> {
    let findings = open.call.trace.findings.iter().filter(|finding| refuses(open, finding.step));
    let segments = &open.call.exchange.request.segments;
    findings.filter_map(|finding| Some(segments.get(finding.span?.segment)?.pointer.as_str()))
}

fn refuses(open: &Open, step: &str) -> bool {
    open.call.trace.rows.iter().any(|row| row.step == step && row.action == Action::Block)
}
