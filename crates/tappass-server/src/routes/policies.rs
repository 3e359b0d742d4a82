//! An organisation's own policies in Rego, beside the shipped ones.

use axum::{
    Json as Answer,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tappass_audit::EventType;
use tappass_policy::{Embedded, Question};
use tappass_store::PolicyVersion;

use crate::{
    body::Json,
    error::ApiError,
    params::{Listed, etag, if_match},
    policies::PoliciesError,
    record::Change,
    scope::Scope,
    state::App,
};

/// A question, the shipped answer, and the organisation's.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PolicyView {
    /// `authz`, `tools`, `routing` or `guardrails`.
    question: &'static str,
    /// The package that the text must have.
    package: &'static str,
    /// Counts the organisation's changes; 0 when there was none.
    version: i64,
    /// The organisation's own policy; null when it has none.
    rego: Option<String>,
    /// The shipped policy. Both are asked, and the stricter answer holds.
    shipped: &'static str,
}

/// What `PUT /policies/{question}` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyText {
    /// The policy, in Rego v1.
    rego: String,
}

/// `GET /policies`
pub async fn list(State(app): State<App>, scope: Scope) -> Result<Answer<Listed<PolicyView>>, ApiError> {
    let stored = app.store.policies().latest(scope.org_id).await?;
    let items = Question::ALL.map(|question| view(question, &stored)).into();
    Ok(Answer(Listed { items, next_cursor: None }))
}

/// `GET /policies/{question}`
pub async fn show(
    State(app): State<App>,
    scope: Scope,
    Path(question): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let question = named(&question)?;
    let view = view(question, &app.store.policies().latest(scope.org_id).await?);
    Ok((etag(view.version), Answer(view)))
}

/// `PUT /policies/{question}`
pub async fn put(
    State(app): State<App>,
    scope: Scope,
    Path(question): Path<String>,
    headers: HeaderMap,
    Json(PolicyText { rego }): Json<PolicyText>,
) -> Result<Response, ApiError> {
    let question = named(&question)?;
    if rego.trim().is_empty() {
        let detail = "The policy is empty; DELETE takes a policy back.";
        return Err(ApiError::unprocessable("invalid_policy", detail));
    }
    app.policies.check(question, rego.clone()).await.map_err(failed)?;
    let put = write(&app, &scope, question, &headers, rego).await?;
    let status = if put.version == 1 { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, etag(put.version), Answer(view(question, &[put]))).into_response())
}

/// `DELETE /policies/{question}`
pub async fn remove(
    State(app): State<App>,
    scope: Scope,
    Path(question): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    write(&app, &scope, named(&question)?, &headers, String::new()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn write(
    app: &App,
    scope: &Scope,
    question: Question,
    headers: &HeaderMap,
    rego: String,
) -> Result<PolicyVersion, ApiError> {
    let new = PolicyVersion {
        org_id: scope.org_id,
        question: question.name().to_owned(),
        version: 0,
        rego,
        created_at: app.clock.now(),
    };
    let put = app.store.policies().put(&new, if_match(headers)?).await?.ok_or_else(ApiError::not_found)?;
    app.policies.changed(scope.org_id);
    let digest = crate::call::conclude::sha256(put.rego.as_bytes());
    let details = json!({"policy": question.package(), "version": put.version, "own": !put.rego.is_empty(), "sha256": digest});
    app.changed(Change::new(EventType::PolicyChanged, scope).details(details)).await?;
    Ok(put)
}

fn view(question: Question, stored: &[PolicyVersion]) -> PolicyView {
    let own = stored.iter().find(|policy| policy.question == question.name());
    PolicyView {
        question: question.name(),
        package: question.package(),
        version: own.map_or(0, |policy| policy.version),
        rego: own.map(|policy| policy.rego.clone()).filter(|rego| !rego.is_empty()),
        shipped: Embedded::text(question),
    }
}

fn named(question: &str) -> Result<Question, ApiError> {
    Question::named(question).ok_or_else(ApiError::not_found)
}

fn failed(e: PoliciesError) -> ApiError {
    match e {
        PoliciesError::Store(e) => e.into(),
        PoliciesError::Compile { error, .. } => ApiError::unprocessable("invalid_policy", error.to_string()),
        PoliciesError::Broken(_) => ApiError::internal(e),
    }
}
