//! MCP servers as agents reach them: Streamable HTTP, every message governed.

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::Response,
};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    body::{self, RawJson},
    caller::Agent,
    error::ApiError,
    mcp::{execute::execute, link::Link, transport},
    middleware::RequestId,
    state::App,
};

/// `POST /v1/tools/execute`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Execute {
    /// The MCP server.
    server: String,
    /// The tool.
    tool: String,
    /// Its arguments.
    #[serde(default)]
    arguments: Map<String, Value>,
}

/// What a tool has returned.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Executed {
    server: String,
    tool: String,
    /// As MCP has it: `content`, `structuredContent`, `isError`. A call that was not let run has `isError`, and the decision
    /// in `_meta.tappass`.
    result: Value,
}

/// `POST /tools/execute`: runs a tool of an MCP server.
pub async fn run(
    State(app): State<App>,
    Agent(caller): Agent,
    Extension(request_id): Extension<RequestId>,
    head: HeaderMap,
    body::Json(Execute { server, tool, arguments }): body::Json<Execute>,
) -> Result<Json<Executed>, ApiError> {
    let link = Link::open(app, caller, request_id, head, &server).await?;
    let result = execute(link, &tool, Value::Object(arguments), Value::Null).await?;
    Ok(Json(Executed { server, tool, result }))
}

/// Sends a stored call, once a person has approved it.
///
/// # Errors
/// 409 for what only the client itself can send again.
pub(super) async fn again(
    app: App,
    caller: std::sync::Arc<tappass_model::AgentCaller>,
    request_id: RequestId,
    head: HeaderMap,
    stored: &Value,
) -> Result<Json<Executed>, ApiError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let payload = &stored["payload"];
    if stored["method"] != "tools/call" {
        let detail = "It belongs to a session with an MCP server: send it again there, where it passes once.";
        return Err(ApiError::conflict("send_again", detail));
    }
    let (server, tool) = (text(&payload["server"]), text(&payload["tool"]));
    let link = Link::open(app, caller, request_id, head, &server).await?;
    let result = execute(link, &tool, payload["arguments"].clone(), stored["beside"].clone()).await?;
    Ok(Json(Executed { server, tool, result }))
}

/// `POST /mcp/{server}`: messages to the server, and its answers.
pub async fn post(
    State(app): State<App>,
    Agent(caller): Agent,
    Extension(request_id): Extension<RequestId>,
    Path(name): Path<String>,
    head: HeaderMap,
    RawJson(body): RawJson,
) -> Result<Response, ApiError> {
    transport::post(Link::open(app, caller, request_id, head, &name).await?, &body).await
}

/// `GET /mcp/{server}`: what the server says by itself.
pub async fn get(
    State(app): State<App>,
    Agent(caller): Agent,
    Extension(request_id): Extension<RequestId>,
    Path(name): Path<String>,
    head: HeaderMap,
) -> Result<Response, ApiError> {
    transport::get(Link::open(app, caller, request_id, head, &name).await?).await
}

/// `DELETE /mcp/{server}`: ends the session.
pub async fn delete(
    State(app): State<App>,
    Agent(caller): Agent,
    Extension(request_id): Extension<RequestId>,
    Path(name): Path<String>,
    head: HeaderMap,
) -> Result<Response, ApiError> {
    transport::delete(Link::open(app, caller, request_id, head, &name).await?).await
}
