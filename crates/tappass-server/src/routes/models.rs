//! The routes on which agents call models, one for each dialect: the path of a call, in six words.

use std::sync::Arc;

use axum::{
    Extension, Json, RequestExt,
    extract::{FromRequest, Request, State},
    http::HeaderMap,
    response::Response,
};
use bytes::Bytes;
use serde_json::{Value, json};
use tappass_model::{AgentCaller, Dialect};
use tappass_provider::ProviderReply;

use crate::{
    body::RawJson, call::identify::identify, caller::Agent, error::ApiError, middleware::RequestId,
    state::App,
};

/// What an agent sent.
#[derive(Clone)]
pub struct Asked {
    /// The gateway.
    pub app: App,
    /// Which agent.
    pub caller: Arc<AgentCaller>,
    /// The request's id.
    pub request_id: RequestId,
    /// Its headers.
    pub head: HeaderMap,
    /// Its body, unread.
    pub body: Bytes,
}

impl FromRequest<App> for Asked {
    type Rejection = ApiError;
    async fn from_request(mut request: Request, app: &App) -> Result<Self, ApiError> {
        let Agent(caller) = request.extract_parts_with_state(app).await?;
        let Extension(request_id) =
            request.extract_parts_with_state(app).await.map_err(ApiError::internal)?;
        let head = request.headers().clone();
        let RawJson(body) = RawJson::from_request(request, app).await?;
        Ok(Self { app: app.clone(), caller, request_id, head, body })
    }
}

/// The six words, of a request that has come in now or was stored until a person approved it; export follows the audit
/// log by itself.
pub(super) async fn governed(dialect: Dialect, asked: Asked) -> Result<Response, ApiError> {
    let mut call = identify(dialect, &asked).await?;
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

/// `POST /v1/chat/completions`
pub async fn completions(asked: Asked) -> Result<Response, ApiError> {
    governed(Dialect::OpenAiChat, asked).await
}

/// `POST /v1/responses`
pub async fn responses(asked: Asked) -> Result<Response, ApiError> {
    governed(Dialect::OpenAiResponses, asked).await
}

/// `POST /v1/embeddings`
pub async fn embeddings(asked: Asked) -> Result<Response, ApiError> {
    governed(Dialect::OpenAiEmbeddings, asked).await
}

/// `POST /v1/messages`
pub async fn messages(asked: Asked) -> Result<Response, ApiError> {
    governed(Dialect::AnthropicMessages, asked).await
}

/// `POST /v1/messages/count_tokens`
pub async fn count_tokens(asked: Asked) -> Result<Response, ApiError> {
    governed(Dialect::AnthropicTokens, asked).await
}

/// `GET /v1/models`: what each configured provider says it has, under its routing prefix. In OpenAI's shape, and in
/// Anthropic's for its clients, who say which version of the API they speak.
pub async fn models(
    State(app): State<App>,
    Agent(caller): Agent,
    head: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    let listed = app.own_providers.of(caller.org_id).await?.models().await;
    if head.contains_key("anthropic-version") {
        // Nobody says when a model was made: the API's clients read a time all the same.
        let one = |(_, id): (_, String)| json!({"type": "model", "display_name": id, "created_at": "1970-01-01T00:00:00Z", "id": id});
        let data: Vec<Value> = listed.into_iter().map(one).collect();
        let id = |item: Option<&Value>| item.map(|item| item["id"].clone()).unwrap_or_default();
        return Ok(Json(
            json!({"first_id": id(data.first()), "last_id": id(data.last()), "has_more": false, "data": data}),
        ));
    }
    let data: Vec<Value> = listed
        .into_iter()
        .map(|(provider, model)| json!({"id": model, "object": "model", "created": 0, "owned_by": provider}))
        .collect();
    Ok(Json(json!({"object": "list", "data": data})))
}
