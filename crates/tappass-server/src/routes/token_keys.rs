//! The keys that sign capability tokens: the platform's, so platform admins make and rotate them, and every organisation's
//! log says so.

use axum::{Json, extract::State};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tappass_audit::EventType;
use tappass_model::clock::rfc3339;
use tappass_store::TokenKey;

use super::tokens::no_keys;
use crate::{caller::Caller, error::ApiError, params::Listed, state::App};

/// A key, without what makes it one.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TokenKeyView {
    /// The `kid` of what it signs.
    key_id: String,
    /// `waiting` (published, not signing yet), `signing`, or `retired` (published until what it signed is over).
    state: &'static str,
    created_at: String,
    signs_from: Option<String>,
    retired_at: Option<String>,
}

impl From<TokenKey> for TokenKeyView {
    fn from(key: TokenKey) -> Self {
        let state = match (key.signs_from, key.retired_at) {
            (_, Some(_)) => "retired",
            (Some(_), None) => "signing",
            (None, None) => "waiting",
        };
        Self {
            key_id: key.key_id,
            state,
            created_at: rfc3339(key.created_at),
            signs_from: key.signs_from.map(rfc3339),
            retired_at: key.retired_at.map(rfc3339),
        }
    }
}

/// `GET /admin/token-keys`
pub async fn list(State(app): State<App>) -> Result<Json<Listed<TokenKeyView>>, ApiError> {
    let items = app.token_keys.list().await?.into_iter().map(TokenKeyView::from).collect();
    Ok(Json(Listed { items, next_cursor: None }))
}

/// `POST /admin/token-keys`
pub async fn generate(
    State(app): State<App>,
    caller: Caller,
) -> Result<(StatusCode, Json<TokenKeyView>), ApiError> {
    let key = app.token_keys.generate().await.map_err(no_keys)?;
    let details = json!({"purpose": "token", "key_id": key.key_id, "state": "waiting"});
    app.changed_everywhere(EventType::KeyCreated, caller.name(), &details).await?;
    Ok((StatusCode::CREATED, Json(key.into())))
}

/// `POST /admin/token-keys/rotate`
pub async fn rotate(State(app): State<App>, caller: Caller) -> Result<Json<TokenKeyView>, ApiError> {
    let key = app.token_keys.rotate().await.map_err(no_keys)?;
    let details = json!({"purpose": "token", "rotated_to": key.key_id});
    app.changed_everywhere(EventType::ConfigChanged, caller.name(), &details).await?;
    Ok(Json(key.into()))
}
