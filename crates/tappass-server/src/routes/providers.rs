//! Where calls can go.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use crate::state::App;

/// `GET /api/providers`: names and hosts, never keys.
pub async fn list(State(app): State<App>) -> Json<Value> {
    Json(json!({"items": app.providers.list(), "next_cursor": null}))
}
