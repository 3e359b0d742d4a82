//! The vault over HTTP: credentials go in and never come out.

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
use tappass_identity::vault::{VaultError, credential_place};
use tappass_model::{Role, clock::rfc3339};
use tappass_provider::{ProviderError, own};
use tappass_store::Credential;

use crate::{
    body,
    error::ApiError,
    params::Listed,
    record::Change,
    scope::Scope,
    state::App,
    vault::{Reference, is_value},
};

/// Variables that are the gateway's own: no credential leads there.
const OURS: [&str; 3] = ["DATABASE_URL", "REDIS_URL", "TAPPASS_"];

/// `PUT /credentials/{provider}`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCredential {
    /// The key; or where it is: `vault:name` (another credential of the organisation), for platform admins also `env:NAME`
    /// and `file:/path` on the server.
    value: String,
}

/// A credential, without what makes it one.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CredentialView {
    /// A provider's id, or a name of its own.
    name: String,
    /// Whether it is a provider's, whose calls it is used for.
    provider: bool,
    /// `value`, `env`, `file` or `vault`.
    kind: String,
    /// The end of a long value, or where it is.
    hint: String,
    created_at: String,
    updated_at: String,
}

/// What a provider said of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trial {
    /// It listed its models.
    Ok,
    /// It does not take the key.
    Refused,
    /// It could not be asked, or did not answer in time.
    Unreachable,
    /// It said something else, or lists no models: the key may be good or not.
    Unclear,
}

/// `POST /credentials/{provider}/test`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Tried {
    provider: String,
    state: Trial,
    /// In a sentence, without the provider's own words, which may repeat the key.
    detail: String,
}

/// `POST /admin/vault/rotate`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Rotated {
    /// The data key that seals now.
    version: i64,
    /// How many credentials were sealed anew, those of MCP servers among them.
    resealed: usize,
}

impl From<Credential> for CredentialView {
    fn from(credential: Credential) -> Self {
        Self {
            provider: own::takes_key(&credential.name).is_some(),
            name: credential.name,
            kind: credential.kind,
            hint: credential.hint,
            created_at: rfc3339(credential.created_at),
            updated_at: rfc3339(credential.updated_at),
        }
    }
}

/// `GET /credentials`
pub async fn list(State(app): State<App>, scope: Scope) -> Result<Json<Listed<CredentialView>>, ApiError> {
    let credentials = app.store.vault().credentials(scope.org_id).await?;
    let items = credentials.into_iter().map(CredentialView::from).collect();
    Ok(Json(Listed { items, next_cursor: None }))
}

/// `PUT /credentials/{provider}`
pub async fn set(
    State(app): State<App>,
    scope: Scope,
    Path(name): Path<String>,
    body::Json(new): body::Json<NewCredential>,
) -> Result<Json<CredentialView>, ApiError> {
    check_name(&name)?;
    let text = tappass_identity::Zeroizing::new(new.value.trim().to_owned());
    if !is_value(&text) {
        return Err(invalid("`value` must be 1 to 8192 visible ASCII characters, without blanks."));
    }
    let place = Reference::of(&text);
    check_reference(&app, &scope, &name, &place).await?;
    let sealed = app
        .own_providers
        .vault
        .seal(scope.org_id, &credential_place(&name), &text)
        .await
        .map_err(vault_error)?;
    let now = app.clock.now();
    let kind = place.kind().to_owned();
    let credential =
        Credential { name, sealed, kind, hint: hint(&place, &text), created_at: now, updated_at: now };
    let set = app.store.vault().set(scope.org_id, &credential).await?.ok_or_else(ApiError::not_found)?;
    app.own_providers.changed(scope.org_id);
    let details = json!({"credential": set.name, "kind": set.kind, "hint": set.hint, "set": true});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok(Json(set.into()))
}

/// `POST /credentials/{provider}/test`: has the provider list its models with the organisation's key, where calls go too.
pub async fn test(
    State(app): State<App>,
    scope: Scope,
    Path(name): Path<String>,
) -> Result<Json<Tried>, ApiError> {
    let all = app.store.vault().credentials(scope.org_id).await?;
    all.iter().find(|c| c.name == name).ok_or_else(ApiError::not_found)?;
    let providers = app.own_providers.of(scope.org_id).await?;
    let (state, detail) = match own::takes_key(&name).map(|id| providers.get(id)) {
        None => (Trial::Unclear, "it is no provider's: nobody can be asked".to_owned()),
        Some(None) => (Trial::Unclear, "it is not called: its region is not allowed".to_owned()),
        Some(Some(asked)) => match tokio::time::timeout(TRIAL, asked.models()).await {
            Err(_) => (Trial::Unreachable, format!("no answer within {} s", TRIAL.as_secs())),
            Ok(said) => judge(said),
        },
    };
    Ok(Json(Tried { provider: name, state, detail }))
}

/// How long a provider may take to list its models.
const TRIAL: Duration = Duration::from_secs(15);

fn judge(said: Result<Vec<String>, ProviderError>) -> (Trial, String) {
    match said {
        Ok(models) if models.is_empty() => (Trial::Unclear, "it lists no models".to_owned()),
        Ok(models) => (Trial::Ok, format!("it lists {} models", models.len())),
        Err(error) => {
            let state = match error {
                ProviderError::Upstream { status: 401 | 403, .. } => Trial::Refused,
                ProviderError::Unreachable { .. } | ProviderError::TimedOut { .. } => Trial::Unreachable,
                _ => Trial::Unclear,
            };
            (state, error.for_the_record())
        }
    }
}

/// `DELETE /credentials/{provider}`
pub async fn remove(
    State(app): State<App>,
    scope: Scope,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    if !app.store.vault().remove(scope.org_id, &name).await? {
        return Err(ApiError::not_found());
    }
    app.own_providers.changed(scope.org_id);
    let details = json!({"credential": name, "removed": true});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /admin/vault/rotate`
pub async fn rotate(State(app): State<App>, scope: Scope) -> Result<Json<Rotated>, ApiError> {
    let vault = &app.own_providers.vault;
    let (version, own) = vault.rotate(scope.org_id).await.map_err(vault_error)?;
    let servers = app.mcp.reseal(scope.org_id).await.map_err(vault_error)?;
    vault.forget(scope.org_id).await.map_err(vault_error)?;
    app.own_providers.changed(scope.org_id);
    let resealed = own + servers;
    let details = json!({"vault": {"rotated_to": version, "resealed": resealed}});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok(Json(Rotated { version, resealed }))
}

/// What the vault says, as a caller hears it.
pub fn vault_error(error: VaultError) -> ApiError {
    match error {
        VaultError::Store(error) => error.into(),
        VaultError::Busy => ApiError::conflict(
            "vault_busy",
            "The vault's keys are being changed by somebody else: try again.",
        ),
        VaultError::Sealed(_) => ApiError::internal(error),
    }
}

fn invalid(detail: impl Into<String>) -> ApiError {
    ApiError::unprocessable("invalid_credential", detail)
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if !fits {
        return Err(invalid(
            "The name is a provider's id, or 1 to 64 lower-case letters, digits, `.`, `_`, `-`.",
        ));
    }
    if matches!(name, "builtin" | "bedrock") {
        return Err(invalid(format!("{name} takes no key of an organisation's own here.")));
    }
    Ok(())
}

/// The server's environment and files are its operator's: an organisation's admin does not lay hands on them.
async fn check_reference(
    app: &App,
    scope: &Scope,
    name: &str,
    place: &Reference<'_>,
) -> Result<(), ApiError> {
    let platform = scope.person.as_ref().is_none_or(|person| person.role == Role::PlatformAdmin);
    match place {
        Reference::Env(_) | Reference::File(_) if !platform => {
            return Err(ApiError::forbidden(
                "`env:` and `file:` lead to the server's own: a platform admin sets them.",
            ));
        }
        Reference::Env(variable) if OURS.iter().any(|own| variable.starts_with(own)) => {
            return Err(invalid("This variable is the gateway's own."));
        }
        Reference::File(path) if !path.starts_with('/') => {
            return Err(invalid("`file:` takes a path from the root on."));
        }
        Reference::Vault(other) if own::takes_key(other).is_some() || *other == name => {
            return Err(invalid("`vault:` leads to a credential that is no provider's."));
        }
        Reference::Vault(other) => {
            let all = app.store.vault().credentials(scope.org_id).await?;
            if !all.iter().any(|c| c.name == *other && c.kind != "vault") {
                return Err(invalid("`vault:` leads to no value of this organisation."));
            }
            return Ok(());
        }
        _ => {}
    }
    let value = app.own_providers.found(place).await.map_err(invalid)?;
    let Some(id) = own::takes_key(name) else { return Ok(()) };
    let env = app.env.clone();
    let set_up = tokio::task::spawn_blocking(move || own::set_up(id, &value, &*env).map(|_| ()));
    set_up.await.map_err(ApiError::internal)?.map_err(|error| invalid(format!("It cannot be used: {error}.")))
}

/// Four characters of a value that is long enough to keep the rest to itself; of a reference, where it leads.
fn hint(place: &Reference<'_>, text: &str) -> String {
    match place {
        Reference::Value(value) if value.len() >= 24 => format!("…{}", &value[value.len() - 4..]),
        Reference::Value(_) => "…".to_owned(),
        _ => text.to_owned(),
    }
}
