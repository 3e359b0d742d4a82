//! A person's organisations, and what an organisation sets for all its people.

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use tappass_audit::EventType;
use tappass_identity::Accounts;
use tappass_model::{Role, clock::rfc3339};
use tappass_store::OrgTerms;
use uuid::Uuid;

use super::auth::{OrgView, Session};
use crate::{
    body,
    caller::{ByCookie, Caller, Own},
    error::ApiError,
    params::{Listed, check_match, etag},
    record::Change,
    scope::Scope,
    state::App,
};

/// An organisation one belongs to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OwnOrg {
    org_id: Uuid,
    name: String,
    /// As what.
    role: Role,
    /// Whether it is the one the session acts in.
    current: bool,
}

/// `POST /auth/orgs`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrg {
    /// 1 to 100 characters.
    name: String,
}

/// `POST /auth/switch-org`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// One of one's own.
    org_id: Uuid,
}

/// `GET /auth/orgs/{org}`
#[derive(Debug, Serialize, JsonSchema)]
pub struct TermsView {
    org_id: Uuid,
    name: String,
    created_at: String,
    /// Whether whoever signs in with a password needs a second factor. Until they have set one up, they reach nothing
    /// but that.
    require_second_factor: bool,
    /// Counts its changes; the `ETag` is made of it.
    version: i64,
}

/// `PATCH /auth/orgs/{org}`: what is not named stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TermsChange {
    name: Option<String>,
    require_second_factor: Option<bool>,
}

impl From<OrgTerms> for TermsView {
    fn from(terms: OrgTerms) -> Self {
        Self {
            org_id: terms.org.org_id,
            name: terms.org.name,
            created_at: rfc3339(terms.org.created_at),
            require_second_factor: terms.require_second_factor,
            version: terms.version,
        }
    }
}

/// `GET /auth/orgs`
pub async fn list(State(app): State<App>, Own(person): Own) -> Result<Json<Listed<OwnOrg>>, ApiError> {
    let orgs = app.store.users().orgs(person.user_id).await?;
    let items = orgs.into_iter().map(|(org, role)| OwnOrg {
        current: org.org_id == person.org_id,
        org_id: org.org_id,
        name: org.name,
        role,
    });
    Ok(Json(Listed { items: items.collect(), next_cursor: None }))
}

/// `POST /auth/orgs`
pub async fn found(
    State(app): State<App>,
    Own(person): Own,
    body::Json(new): body::Json<NewOrg>,
) -> Result<(StatusCode, Json<OrgView>), ApiError> {
    if person.factor_missing {
        return Err(ApiError::factor_missing());
    }
    let org = app.accounts.found(&person, &new.name).await?;
    app.begins_with_license(org.org_id).await;
    let details = json!({"organisation": "made", "org_name": org.name});
    app.changed(Change::by(EventType::ConfigChanged, org.org_id, &person.email).details(details)).await?;
    Ok((StatusCode::CREATED, Json(OrgView::of(&org))))
}

/// `POST /auth/switch-org`: a session there for the one in use, which ends.
pub async fn switch(
    State(app): State<App>,
    cookie: Option<Extension<ByCookie>>,
    Own(person): Own,
    body::Json(to): body::Json<Switch>,
) -> Result<Response, ApiError> {
    let moved = app.accounts.renew(&person, to.org_id).await?.ok_or_else(ApiError::not_found)?;
    let details = json!({"switched_from": person.org_id, "session_id": moved.session.session_id});
    app.changed(Change::by(EventType::Signin, to.org_id, &person.email).details(details)).await?;
    Ok(Session::answer(&app, &moved, cookie.is_some()))
}

/// `GET /auth/orgs/{org}`
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let (_, terms) = terms(&app, caller, &org).await?;
    Ok((etag(terms.version), Json(TermsView::from(terms))))
}

/// `PATCH /auth/orgs/{org}`
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    headers: HeaderMap,
    body::Json(change): body::Json<TermsChange>,
) -> Result<impl IntoResponse, ApiError> {
    let (scope, before) = terms(&app, caller, &org).await?;
    check_match(&headers, before.version)?;
    let mut after = before.clone();
    if let Some(name) = &change.name {
        Accounts::org_name(name)?.clone_into(&mut after.org.name);
    }
    after.require_second_factor = change.require_second_factor.unwrap_or(before.require_second_factor);
    let mut changes = Map::new();
    if before.org.name != after.org.name {
        changes.insert("name".to_owned(), json!([before.org.name, after.org.name]));
    }
    if before.require_second_factor != after.require_second_factor {
        let both = json!([before.require_second_factor, after.require_second_factor]);
        changes.insert("require_second_factor".to_owned(), both);
    }
    let saved = app.store.orgs().set_terms(&after).await?.ok_or_else(ApiError::not_found)?;
    let details = json!({"organisation": "changed", "changes": changes});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok((etag(saved.version), Json(TermsView::from(saved))))
}

/// The organisation that the path names, for whoever may act in it.
async fn terms(app: &App, caller: Caller, org: &str) -> Result<(Scope, OrgTerms), ApiError> {
    let org: Uuid = org.parse().map_err(|_| ApiError::not_found())?;
    let scope = Scope::of(app, caller, Some(org)).await?;
    let terms = app.store.orgs().terms(scope.org_id).await?.ok_or_else(ApiError::not_found)?;
    Ok((scope, terms))
}
