//! `POST /v1/chat/completions`: the path of a call, in six words.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::HeaderMap, response::Response};
use bytes::Bytes;
use serde_json::{Value, json};
use tappass_model::AgentCaller;
use tappass_provider::ProviderReply;

use crate::{
    body::RawJson, call::identify::identify, caller::Agent, error::ApiError, middleware::RequestId,
    state::App,
};

/// identify → admit → forward → examine → conclude; export follows the audit log by itself.
pub async fn completions(
    State(app): State<App>,
    Agent(caller): Agent,
    Extension(request_id): Extension<RequestId>,
    head: HeaderMap,
    RawJson(body): RawJson,
) -> Result<Response, ApiError> {
    govern(&app, &caller, &head, &request_id, &body).await
}

/// The six words, of a request that has come in now or was stored until a person approved it.
pub(super) async fn govern(
    app: &App,
    caller: &Arc<AgentCaller>,
    head: &HeaderMap,
    request_id: &RequestId,
    body: &Bytes,
) -> Result<Response, ApiError> {
    let mut call = identify(app, caller, head, request_id, body).await?;
    if let Err(halt) = call.admit().await {
        return Ok(call.refuse(halt).await);
    }
    let answer = match call.forward().await {
        Ok(ProviderReply::Stream(events)) => return Ok(call.stream(events)),
        Ok(ProviderReply::Whole(answer)) => answer,
        Err(halt) => return Ok(call.refuse(halt).await),
    };
    if let Err(halt) = call.examine(answer).await {
        return Ok(call.refuse(halt).await);
    }
    Ok(call.conclude().await)
}

/// `GET /v1/models`, in OpenAI's shape: what each configured provider says it has, under its routing prefix.
pub async fn models(State(app): State<App>, _: Agent) -> Json<Value> {
    let listed = app.providers.models().await;
    let data: Vec<Value> = listed
        .into_iter()
        .map(|(provider, model)| json!({"id": model, "object": "model", "created": 0, "owned_by": provider}))
        .collect();
    Json(json!({"object": "list", "data": data}))
}
