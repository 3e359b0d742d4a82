//! The organisation a request acts in, and who acts. Everything a handler reads or changes goes through it.

use axum::extract::FromRequestParts;
use http::{StatusCode, Uri, request::Parts};
use tappass_identity::UserPrincipal;
use tappass_model::Role;
use tappass_store::PageRequest;
use uuid::Uuid;

use crate::{caller::Caller, error::ApiError, state::App};

/// One organisation, and who acts in it.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The organisation.
    pub org_id: Uuid,
    /// Who acts, for the audit log: an e-mail address, or `admin key`.
    pub actor: String,
    /// The person, if it is one.
    pub person: Option<UserPrincipal>,
}

impl FromRequestParts<App> for Scope {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let named = named_org(parts)?;
        Self::of(app, Caller::from_request_parts(parts, app).await?, named).await
    }
}

impl Scope {
    /// Where a caller acts: in the organisation that is named, if they may, else in their own.
    ///
    /// # Errors
    /// 404 for an organisation that is not theirs, as for one that does not exist; 400 or 409 for an admin key that
    /// names none and would have to; 403 for an agent.
    pub(crate) async fn of(app: &App, caller: Caller, named: Option<Uuid>) -> Result<Self, ApiError> {
        match caller {
            Caller::Agent(_) => Err(ApiError::forbidden("An agent's key opens the model routes only.")),
            Caller::Person(person) => {
                let org_id = match named.filter(|named| *named != person.org_id) {
                    None => person.org_id,
                    Some(other) if person.role == Role::PlatformAdmin => exists(app, other).await?,
                    Some(_) => return Err(ApiError::not_found()),
                };
                Ok(Self { org_id, actor: person.email.clone(), person: Some(person) })
            }
            Caller::Admin => {
                let org_id = match named {
                    Some(org_id) => exists(app, org_id).await?,
                    None => the_only_one(app).await?,
                };
                Ok(Self { org_id, actor: "admin key".to_owned(), person: None })
            }
        }
    }

    /// What whoever acts may do.
    #[must_use]
    pub fn role(&self) -> Role {
        self.person.as_ref().map_or(Role::PlatformAdmin, |person| person.role)
    }
}

/// `X-TapPass-Org`, else `?org_id=`.
fn named_org(parts: &Parts) -> Result<Option<Uuid>, ApiError> {
    let header = parts.headers.get("x-tappass-org").map(|v| v.to_str().unwrap_or("?").to_owned());
    let Some(text) = header.or_else(|| in_query(&parts.uri)) else { return Ok(None) };
    text.trim().parse().map(Some).map_err(|_| {
        ApiError::bad_request(
            "invalid_org_id",
            "The organisation's id must be a UUID, as /auth/me and signup give it.",
        )
    })
}

fn in_query(uri: &Uri) -> Option<String> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("org_id=")).map(str::to_owned)
}

async fn exists(app: &App, org_id: Uuid) -> Result<Uuid, ApiError> {
    app.store.orgs().get(org_id).await?.map(|org| org.org_id).ok_or_else(ApiError::not_found)
}

/// On a laptop there is one organisation, and nobody should have to name it.
async fn the_only_one(app: &App) -> Result<Uuid, ApiError> {
    let page = app.store.orgs().list(&PageRequest { limit: 2, cursor: None }).await?;
    match page.items.as_slice() {
        [only] => Ok(only.org_id),
        [] => Err(ApiError::new(
            StatusCode::CONFLICT,
            "no_organisation",
            "There is no organisation yet: make one with POST /auth/signup.",
        )),
        _ => Err(ApiError::bad_request(
            "org_id_needed",
            "There are several organisations: say which one with ?org_id= or X-TapPass-Org.",
        )),
    }
}
