//! Who looks at a page.

use axum::extract::FromRequestParts;
use http::request::Parts;
use tappass_model::Role;

use super::page::Shell;
use crate::{error::ApiError, scope::Scope, state::App};

/// The person in front of a page, and the organisation they look at.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// Where, and who.
    pub scope: Scope,
    /// The organisation's name.
    pub org_name: String,
    /// What forms must send with every change; empty for a caller without a session.
    pub csrf: String,
    /// Approvals that wait for somebody.
    pub waiting: u64,
}

impl FromRequestParts<App> for Viewer {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let org = app.store.orgs().get(scope.org_id).await?;
        let csrf = scope.person.as_ref().map(|person| app.authenticator.csrf_token(person.session_id));
        let waiting = app.store.approvals().waiting(scope.org_id, app.clock.now()).await?;
        Ok(Self {
            org_name: org.map(|org| org.name).unwrap_or_default(),
            csrf: csrf.unwrap_or_default(),
            waiting,
            scope,
        })
    }
}

impl Viewer {
    /// Whether they have at least this role.
    #[must_use]
    pub fn may(&self, least: Role) -> bool {
        self.scope.role() >= least
    }

    /// Whether they govern the organisation.
    #[must_use]
    pub fn governs(&self) -> bool {
        self.may(Role::OrgAdmin)
    }

    /// Whether they register and run agents.
    #[must_use]
    pub fn develops(&self) -> bool {
        self.may(Role::Developer)
    }

    /// What surrounds a page at this path of the navigation.
    #[must_use]
    pub fn shell(&self, at: &'static str) -> Shell {
        Shell::of(self, at)
    }
}
