//! Tool calls that agents make themselves: asked about before, reported after. One way for both.

use axum::response::Response;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tappass_model::Dialect;
use tappass_pipeline::Halt;

use super::models::Asked;
use crate::{
    body,
    call::{
        Open,
        conclude::sha256,
        identify::{identify, name},
    },
    error::ApiError,
};

/// `POST /v1/govern`. Other fields are accepted; the dialect reads these, and says what is wrong.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Question {
    /// `TOOL_CALL`, `LLM_CALL`, `CODE_EXEC`, `CREDENTIAL_ACCESS` or `SYSTEM_OF_RECORD_WRITE`.
    #[serde(rename = "type")]
    kind: Value,
    /// The agent, by its id or its UUID: a key speaks for its own agent only.
    agent_id: Option<String>,
    /// The session; the header `X-TapPass-Session` goes before it.
    session_id: Value,
    /// The agent's organisation.
    org_id: Option<String>,
    /// Told back and recorded.
    behavior_id: Option<String>,
    /// `tool` (needed of `TOOL_CALL`; else the type's name in lower case), `args` (an object; where it is absent, all
    /// other members), `server`.
    payload: Value,
}

/// `POST /v1/govern/execution`. Other fields are accepted; the dialect reads these, and says what is wrong.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Execution {
    /// As of the question.
    behavior_id: Option<String>,
    /// The session; the header `X-TapPass-Session` goes before it.
    session_id: Value,
    /// The tool that ran.
    tool: Value,
    /// What it returned: text or JSON.
    result: Value,
    /// What went wrong, where something did.
    error: Value,
    /// How long it took, in milliseconds.
    duration_ms: Value,
}

/// Who a request says it is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    pub agent_id: Option<String>,
    pub org_id: Option<String>,
    pub behavior_id: Option<String>,
    pub result: Value,
    pub error: Value,
    pub duration_ms: Value,
}

/// `POST /v1/govern`
pub async fn ask(asked: Asked) -> Result<Response, ApiError> {
    judged(Dialect::ToolCall, asked).await
}

/// `POST /v1/govern/execution`
pub async fn report(asked: Asked) -> Result<Response, ApiError> {
    judged(Dialect::ToolResult, asked).await
}

/// identify → admit → examine → conclude: the path of a call, without a model.
pub(super) async fn judged(dialect: Dialect, asked: Asked) -> Result<Response, ApiError> {
    let named: Named = body::typed(&asked.body)?;
    let caller = &asked.caller;
    if named
        .agent_id
        .as_ref()
        .is_some_and(|id| *id != caller.agent_id && *id != caller.agent_uuid.to_string())
    {
        return Err(ApiError::forbidden("`agent_id` is another agent: a key speaks for its own agent only."));
    }
    if named.org_id.as_ref().is_some_and(|id| *id != caller.org_id.to_string()) {
        return Err(ApiError::not_found());
    }
    let behavior = name("behavior_id", named.behavior_id.as_deref())?;
    let mut call = identify(dialect, &asked).await?;
    let open = call.open();
    open.about = about(dialect, &open.call.exchange.request.body, &named);
    if let Some(behavior) = behavior {
        open.about.insert("behavior_id".into(), behavior.into());
    }
    let judged = judge(open, dialect).await;
    Ok(call.verdict(judged, |_, decision| json!(decision)).await)
}

/// The steps' say, without a model.
pub(super) async fn judge(open: &mut Open, dialect: Dialect) -> Result<(), Halt> {
    match dialect {
        Dialect::ToolResult => open.call.judge_tool_result().await,
        Dialect::Prompt => open.call.judge_prompt().await,
        _ => open.call.judge_tool_call().await,
    }
}

/// What is recorded of it: names, hashes and times, no content.
pub(super) fn about(dialect: Dialect, body: &Value, named: &Named) -> Map<String, Value> {
    let hash = |value: &Value| match value {
        Value::String(text) => json!(sha256(text.as_bytes())),
        other => json!(sha256(other.to_string().as_bytes())),
    };
    let payload = &body["payload"];
    let members = match dialect {
        Dialect::ToolResult => {
            let parts = [("result", &named.result), ("error", &named.error)];
            let structured: Vec<&str> = parts
                .into_iter()
                .filter(|(_, value)| !value.is_null() && !value.is_string())
                .map(|(key, _)| key)
                .collect();
            json!({"type": "TOOL_RESULT", "tool": body["tool"], "result_sha256": hash(&body["result"]),
                "failed": !named.error.is_null(), "duration_ms": named.duration_ms, "structured": structured})
        }
        Dialect::Prompt => json!({"type": "PROMPT", "prompt_sha256": hash(&body["prompt"])}),
        _ => json!({"type": body["type"], "tool": payload["tool"], "server": payload["server"],
            "arguments_sha256": hash(&payload["arguments"])}),
    };
    match members {
        Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}
