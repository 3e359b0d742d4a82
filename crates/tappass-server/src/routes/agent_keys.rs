//! The keys of agents: made, rotated, revoked. Each is shown once.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tappass_audit::EventType;
use tappass_identity::{ApiKey, KeyTerms};
use tappass_model::{Role, clock::rfc3339};
use tappass_store::{Agent, AgentKey, KeyKind, users::email_key};
use uuid::Uuid;

use super::agents::find;
use crate::{body, error::ApiError, record::Change, scope::Scope, state::App};

const DAY: u64 = 24 * 60 * 60;
/// The longest life of a developer's key, in days.
const MOST_DAYS: u64 = 366;
/// How long the old key goes on beside the new one, in seconds, unless said otherwise: an hour.
const OVERLAP: u64 = 60 * 60;
/// The longest overlap, in seconds: thirty days.
const MOST_OVERLAP: u64 = 30 * DAY;

/// A key, without what makes it one.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KeyView {
    key_id: Uuid,
    /// `agent` or `developer`.
    kind: KeyKindName,
    /// Tells keys apart.
    hint: String,
    /// The developer it is bound to.
    email: Option<String>,
    /// Who made it.
    created_by: Option<String>,
    created_at: String,
    /// When it ends by itself.
    expires_at: Option<String>,
    last_used_at: Option<String>,
    revoked_at: Option<String>,
}

/// A key's kind, by name.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyKindName {
    /// An agent's own.
    Agent,
    /// A developer's.
    Developer,
    /// A person's.
    Personal,
}

/// A new key.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NewKey {
    key_id: Uuid,
    hint: String,
    created_at: String,
    /// When it ends by itself.
    expires_at: Option<String>,
    /// Shown this once.
    api_key: String,
}

/// `POST /agents/{agent}/developer-keys`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeveloperKey {
    /// Whose: a developer of the organisation. Oneself unless said otherwise; for others one must be an admin.
    email: Option<String>,
    /// 1 to 366; 30 unless said otherwise.
    expires_in_days: Option<u64>,
}

/// `POST /agents/{agent}/keys/{key}/rotate`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rotate {
    /// How long the old key goes on beside the new one: 0 to 2,592,000; 3,600 unless said otherwise.
    overlap_seconds: Option<u64>,
}

/// What a rotation gives.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Rotated {
    #[serde(flatten)]
    key: NewKey,
    /// When the old key ends.
    old_key_ends_at: String,
}

impl NewKey {
    fn of(key: AgentKey, secret: &ApiKey) -> Self {
        Self {
            key_id: key.key_id,
            hint: key.hint,
            created_at: rfc3339(key.created_at),
            expires_at: key.expires_at.map(rfc3339),
            api_key: secret.expose().to_owned(),
        }
    }
}

impl From<AgentKey> for KeyView {
    fn from(key: AgentKey) -> Self {
        Self {
            key_id: key.key_id,
            kind: match key.kind {
                KeyKind::Agent => KeyKindName::Agent,
                KeyKind::Developer => KeyKindName::Developer,
                KeyKind::Personal => KeyKindName::Personal,
            },
            hint: key.hint,
            email: key.email,
            created_by: key.created_by,
            created_at: rfc3339(key.created_at),
            expires_at: key.expires_at.map(rfc3339),
            last_used_at: key.last_used_at.map(rfc3339),
            revoked_at: key.revoked_at.map(rfc3339),
        }
    }
}

/// `POST /agents/{agent}/keys`
pub async fn add(
    State(app): State<App>,
    scope: Scope,
    Path(agent): Path<String>,
) -> Result<(StatusCode, Json<NewKey>), ApiError> {
    let agent = find(&app, &scope, &agent).await?;
    let (key, secret) = mint(&app, &scope, &agent, KeyTerms::default()).await?;
    Ok((StatusCode::CREATED, Json(NewKey::of(key, &secret))))
}

/// `POST /agents/{agent}/developer-keys`
pub async fn add_developer(
    State(app): State<App>,
    scope: Scope,
    Path(agent): Path<String>,
    body::Json(new): body::Json<DeveloperKey>,
) -> Result<(StatusCode, Json<NewKey>), ApiError> {
    let agent = find(&app, &scope, &agent).await?;
    let days = new.expires_in_days.unwrap_or(30);
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(ApiError::unprocessable("invalid_life", "`expires_in_days` is 1 to 366."));
    }
    let own = scope.person.as_ref().map(|person| person.email.clone());
    let email = new.email.or(own).ok_or_else(|| {
        ApiError::unprocessable("email_needed", "`email` says whose key it is: the admin key is nobody.")
    })?;
    may_hold(&app, &scope, &email).await?;
    let ends = app.clock.now().checked_add(Duration::from_secs(days * DAY)).map_err(ApiError::internal)?;
    let terms = KeyTerms { email: Some(email), expires_at: Some(ends), created_by: None };
    let (key, secret) = mint(&app, &scope, &agent, terms).await?;
    Ok((StatusCode::CREATED, Json(NewKey::of(key, &secret))))
}

/// `POST /agents/{agent}/keys/{key}/rotate`
pub async fn rotate(
    State(app): State<App>,
    scope: Scope,
    Path((agent, key)): Path<(String, String)>,
    body::Json(given): body::Json<Rotate>,
) -> Result<(StatusCode, Json<Rotated>), ApiError> {
    let agent = find(&app, &scope, &agent).await?;
    let key_id: Uuid = key.parse().map_err(|_| ApiError::not_found())?;
    let overlap = given.overlap_seconds.unwrap_or(OVERLAP);
    if overlap > MOST_OVERLAP {
        let detail = "`overlap_seconds` is at most 2,592,000: thirty days.";
        return Err(ApiError::unprocessable("invalid_overlap", detail));
    }
    let (keys, uuid) = (app.store.keys(), agent.agent_uuid);
    let old = keys.get(scope.org_id, uuid, key_id).await?.ok_or_else(ApiError::not_found)?;
    if let Some(email) = &old.email {
        may_hold(&app, &scope, email).await?;
    }
    let (overlap, by) = (Duration::from_secs(overlap), scope.actor.clone());
    let made = app.authenticator.rotate_key(scope.org_id, uuid, key_id, overlap, by).await?;
    let (new, secret) = made.ok_or_else(ApiError::not_found)?;
    let after = keys.get(scope.org_id, uuid, key_id).await?;
    let ends = rfc3339(after.and_then(|key| key.expires_at).unwrap_or(new.created_at));
    let details = json!({"key_id": new.key_id, "key": new.hint, "kind": new.kind, "rotated": key_id,
        "old_key_ends_at": ends});
    app.changed(Change::new(EventType::KeyCreated, &scope).agent(&agent.agent_id).details(details)).await?;
    let rotated = Rotated { key: NewKey::of(new, &secret), old_key_ends_at: ends };
    Ok((StatusCode::CREATED, Json(rotated)))
}

/// `DELETE /agents/{agent}/keys/{key}`
pub async fn revoke(
    State(app): State<App>,
    scope: Scope,
    Path((agent, key)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let agent = find(&app, &scope, &agent).await?;
    let key: Uuid = key.parse().map_err(|_| ApiError::not_found())?;
    if !app.authenticator.revoke_key(scope.org_id, agent.agent_uuid, key).await? {
        return Err(ApiError::not_found());
    }
    let details = json!({"key_id": key});
    app.changed(Change::new(EventType::KeyRevoked, &scope).agent(&agent.agent_id).details(details)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a key and records it; gives what is stored of it and the key itself.
async fn mint(
    app: &App,
    scope: &Scope,
    agent: &Agent,
    terms: KeyTerms,
) -> Result<(AgentKey, ApiKey), ApiError> {
    let terms = KeyTerms { created_by: Some(scope.actor.clone()), ..terms };
    let made = app.authenticator.issue_key(agent.org_id, agent.agent_uuid, terms).await?;
    let (key, secret) = made.ok_or_else(ApiError::not_found)?;
    let details = json!({"key_id": key.key_id, "key": key.hint, "kind": key.kind, "email": key.email,
        "expires_at": key.expires_at.map(rfc3339)});
    app.changed(Change::new(EventType::KeyCreated, scope).agent(&agent.agent_id).details(details)).await?;
    Ok((key, secret))
}

/// A developer's key is for a developer of the organisation: oneself, or, given by an admin, another.
async fn may_hold(app: &App, scope: &Scope, email: &str) -> Result<(), ApiError> {
    let oneself = scope.person.as_ref().is_some_and(|p| email_key(&p.email) == email_key(email));
    if !oneself && scope.role() < Role::OrgAdmin {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "above_your_role",
            "A key that is bound to somebody else is an admin's to make and to rotate.",
        ));
    }
    let users = app.store.users();
    let member = match users.credentials(email).await? {
        Some(known) => users.get(scope.org_id, known.user.user_id).await?,
        None => None,
    };
    if member.is_some_and(|member| member.role >= Role::Developer) {
        return Ok(());
    }
    Err(ApiError::unprocessable(
        "no_developer",
        "`email` is nobody who develops in this organisation: invite them first, as a developer.",
    ))
}
